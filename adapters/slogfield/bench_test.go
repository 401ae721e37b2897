package slogfield_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/sealfield/sealfield/adapters/slogfield"
)

// BenchmarkPlain logs attributes in which there is nothing to look for, through the
// handler alone and redacted, in turns. It reports the median of the ratios.
func BenchmarkPlain(b *testing.B) {
	benchmark(b, plainAttrs()[:5])
}

// BenchmarkStruct logs a struct of three fields: untagged, and tagged.
func BenchmarkStruct(b *testing.B) {
	type untagged struct {
		ID   int
		Name string
		At   time.Time
	}
	b.Run("untagged", func(b *testing.B) {
		benchmark(b, []slog.Attr{slog.Any("v", &untagged{1, "a name", time.Unix(1e9, 0)})})
	})
	b.Run("tagged", func(b *testing.B) { benchmark(b, []slog.Attr{slog.Any("v", &ann)}) })
}

// benchmark compares NewHandler with the handler alone, and ReplaceAttr with one that
// does nothing, whose cost is slog's, and with none.
func benchmark(b *testing.B, attrs []slog.Attr) {
	type function = func([]string, slog.Attr) slog.Attr
	for name, handler := range handlers(io.Discard) {
		with := func(f function) slog.Handler { return handler(&slog.HandlerOptions{ReplaceAttr: f}) }
		nothing := with(func(_ []string, a slog.Attr) slog.Attr { return a })
		for how, h := range map[string][2]slog.Handler{
			"NewHandler":          {with(nil), slogfield.NewHandler(with(nil))},
			"ReplaceAttr":         {with(nil), with(slogfield.ReplaceAttr)},
			"ReplaceAttr/nothing": {nothing, with(slogfield.ReplaceAttr)},
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				const rounds, lines = 199, 100
				var ratios []float64
				for b.Loop() {
					for range rounds {
						alone := took(h[0], attrs, lines)
						ratios = append(ratios, float64(took(h[1], attrs, lines))/float64(alone))
					}
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "x")
				b.ReportMetric(ratios[len(ratios)/4], "x-quarter")
				b.ReportMetric(ratios[3*len(ratios)/4], "x-three-quarters")
			})
		}
	}
}

func took(h slog.Handler, attrs []slog.Attr, lines int) time.Duration {
	ctx := context.Background()
	start := time.Now()
	for range lines {
		r := slog.NewRecord(start, slog.LevelInfo, "message", 0)
		r.AddAttrs(attrs...)
		_ = h.Handle(ctx, r)
	}
	return time.Since(start)
}

package slogfield_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/slogfield"
	"github.com/sealfield/sealfield/internal/leaktest"
)

// ways are those to hand a value to a logger.
var ways = map[string]func(*slog.Logger, any){
	"any": func(l *slog.Logger, v any) { l.Info("m", "v", v) },
	"attr": func(l *slog.Logger, v any) {
		l.LogAttrs(context.Background(), slog.LevelInfo, "m", slog.Int("a", 1), slog.Any("v", v))
	},
	"many": func(l *slog.Logger, v any) {
		l.Info("m", "z", 2, "a", 1, "b", 2, "c", 3, "d", 4, "e", 5, "f", 6, "v", v, "w", v)
	},
	"group":           func(l *slog.Logger, v any) { l.Info("m", slog.Group("g", "a", 1, "v", v)) },
	"group in group":  func(l *slog.Logger, v any) { l.Info("m", slog.Group("g", slog.Group("h", "v", v))) },
	"nameless group":  func(l *slog.Logger, v any) { l.Info("m", slog.Group("", "v", v)) },
	"with":            func(l *slog.Logger, v any) { l.With("v", v).Info("m", "a", 1) },
	"with group":      func(l *slog.Logger, v any) { l.With(slog.Group("g", "v", v)).Info("m") },
	"in group":        func(l *slog.Logger, v any) { l.WithGroup("g").Info("m", "v", v) },
	"with in groups":  func(l *slog.Logger, v any) { l.WithGroup("g").With("a", 1).WithGroup("h").With("v", v).Info("m") },
	"valuer":          func(l *slog.Logger, v any) { l.Info("m", "v", lazy{v}) },
	"group in valuer": func(l *slog.Logger, v any) { l.With("x", lazy{[]slog.Attr{slog.Any("v", lazy{v})}}).Info("m") },
	"bad key":         func(l *slog.Logger, v any) { l.Info("m", v) },
}

// redactors are the ways to redact. Each makes a logger of what makes a handler.
var redactors = map[string]func(func(*slog.HandlerOptions) slog.Handler) slog.Handler{
	"NewHandler": func(h func(*slog.HandlerOptions) slog.Handler) slog.Handler { return slogfield.NewHandler(h(nil)) },
	"ReplaceAttr": func(h func(*slog.HandlerOptions) slog.Handler) slog.Handler {
		return h(&slog.HandlerOptions{ReplaceAttr: slogfield.ReplaceAttr})
	},
	"behind another": func(h func(*slog.HandlerOptions) slog.Handler) slog.Handler {
		return h(&slog.HandlerOptions{AddSource: true, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == "v" { // one that wraps values again, and makes groups
				a.Value = slog.AnyValue(lazy{slog.GroupValue(slog.Any("w", lazy{a.Value.Any()}))})
			}
			return slogfield.ReplaceAttr(groups, a)
		}})
	},
	"both": func(h func(*slog.HandlerOptions) slog.Handler) slog.Handler {
		return slogfield.NewHandler(slogfield.NewHandler(h(&slog.HandlerOptions{ReplaceAttr: slogfield.ReplaceAttr})))
	},
}

func handlers(w io.Writer) map[string]func(*slog.HandlerOptions) slog.Handler {
	return map[string]func(*slog.HandlerOptions) slog.Handler{
		"text": func(o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) },
		"json": func(o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) },
	}
}

// shows reports whether a text has the marker in it, in any form.
func shows(text string) bool {
	for _, form := range []string{marker, "MARKER", fmt.Sprintf("%x", marker), fmt.Sprint([]byte(marker)), base64.StdEncoding.EncodeToString([]byte(marker))} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// TestNothingIsPrinted hands every carrier in every way to the handlers of slog. The
// control is the same without redaction, where the marker has to be seen in
// one of the two at least.
func TestNothingIsPrinted(t *testing.T) {
	var out bytes.Buffer
	all := carriers()
	checked := 0
	for what, v := range all {
		for way, log := range ways {
			seen := 0
			for name, handler := range handlers(&out) {
				out.Reset()
				log(slog.New(handler(nil)), v)
				if shows(out.String()) {
					seen++
				}
				for how, redactor := range redactors {
					out.Reset()
					log(slog.New(redactor(handler)), v)
					require.False(t, shows(out.String()), "%s in %s, by %s, %s:\n%.2000s", what, way, how, name, out.String())
					require.NotContains(t, out.String(), "PANIC")
					require.Contains(t, out.String(), "m")
					checked++
				}
			}
			require.NotZero(t, seen, "control of %s in %s", what, way)
		}
	}
	t.Logf("%d values, %d ways: %d lines", len(all), len(ways), checked)
}

// deep is a handler that shows all that reflection reaches, unexported fields too.
type deep struct{ out *strings.Builder }

func (deep) Enabled(context.Context, slog.Level) bool { return true }
func (d deep) WithGroup(string) slog.Handler          { return d }
func (d deep) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		d.show(a)
	}
	return d
}

func (d deep) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(d.show)
	return nil
}

func (d deep) show(a slog.Attr) bool {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		d.WithAttrs(a.Value.Group())
	}
	v := a.Value.Any()
	d.out.WriteString(leaktest.Deep(v))
	fmt.Fprintf(d.out, "%v %+v %#v %s", v, v, v, v)
	return true
}

// TestNothingIsReached is TestNothingIsPrinted with a handler that knows no limits: what
// it gets has nothing of the carrier in it.
func TestNothingIsReached(t *testing.T) {
	all := carriers()
	maps.Copy(all, deepCarriers())
	for what, v := range all {
		for way, log := range ways {
			var bare, redacted strings.Builder
			log(slog.New(deep{&bare}), v)
			require.True(t, shows(bare.String()), "control of %s in %s", what, way)
			log(slog.New(slogfield.NewHandler(deep{&redacted})), v)
			require.False(t, shows(redacted.String()), "%s in %s:\n%.2000s", what, way, redacted.String())
		}
	}
}

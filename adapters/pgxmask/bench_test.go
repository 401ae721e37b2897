package pgxmask

import (
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkRun exports a table of 10 columns, 6 of them masked, with 2 workers, in rounds
// that interleave it with its floor, COPY TO STDOUT of the same rows by plain pgconn. It
// reports the median ratios of the wall times, floor by export: 0.9 means nine tenths of
// the floor's speed. masked is without manifest and Verify, default is Run as it is. Set
// SEALFIELD_BENCH_ROWS to 500000 for the size that the goals are for.
func BenchmarkRun(b *testing.B) {
	const rounds = 9
	n := 10_000
	if s := os.Getenv("SEALFIELD_BENCH_ROWS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(b, err)
	}
	conn, p := newCustomers(b, n)
	source := conn.Config()
	export := func(config RunConfig) time.Duration {
		config.Source, config.Dir, config.Workers = source, b.TempDir(), 2
		start := time.Now()
		r, err := p.Run(b.Context(), config)
		elapsed := time.Since(start)
		require.NoError(b, err)
		require.Equal(b, int64(n), r.Rows)
		require.NoError(b, os.RemoveAll(config.Dir))
		return elapsed
	}
	floor := func() time.Duration {
		start := time.Now()
		tag, err := conn.PgConn().CopyTo(b.Context(), io.Discard, "copy customers to stdout")
		require.NoError(b, err)
		require.Equal(b, int64(n), tag.RowsAffected())
		return time.Since(start)
	}
	for b.Loop() {
		var masked, whole []float64
		var speed []float64
		for range rounds {
			f := floor().Seconds()
			m := export(RunConfig{bare: true}).Seconds()
			masked = append(masked, f/m)
			speed = append(speed, float64(n)/m)
			whole = append(whole, f/export(RunConfig{}).Seconds())
		}
		reportRatios(b, "masked", masked)
		reportRatios(b, "default", whole)
		b.ReportMetric(median(speed), "rows/s")
	}
}

func reportRatios(b *testing.B, name string, ratios []float64) {
	b.ReportMetric(median(ratios), name+"/floor")
	b.ReportMetric(slices.Min(ratios), name+"-min")
	b.ReportMetric(slices.Max(ratios), name+"-max")
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

package pgxmask

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		pages, total, rows, bytes int64
		elapsed                   time.Duration
		bar                       bool
		want                      string
	}{
		{0, 100, 0, 0, 0, false, "  0%  0 rows  0.0 MB  0s"},
		{25, 100, 1000, 2_500_000, 10 * time.Second, false, " 25%  1000 rows  2.5 MB  10s  ETA 30s"},
		{100, 100, 4000, 10_000_000, time.Minute, false, "100%  4000 rows  10.0 MB  1m0s"},
		{50, 100, 4000, 1e6, time.Minute, true, "[###############---------------]  50%  4000 rows  1.0 MB  1m0s  ETA 1m0s"},
		{0, 0, 0, 0, time.Second, false, "100%  0 rows  0.0 MB  1s"},
	} {
		require.Equal(t, c.want, progressText(c.pages, c.total, c.rows, c.bytes, c.elapsed, c.bar))
	}
}

// TestProgressLines has plain lines where there is no terminal, the last one at the end.
func TestProgressLines(t *testing.T) {
	conn, p := newCustomers(t, 100)
	var out bytes.Buffer
	_, err := p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir(), Progress: &out})
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "100%  100 rows")
	require.Equal(t, "reading the output back", lines[1])
	require.NotContains(t, out.String(), "\r")
}

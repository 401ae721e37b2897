package mask

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDays compares the calendar with that of package time, for every day.
func TestDays(t *testing.T) {
	want := time.Date(0, 3, 1, 0, 0, 0, 0, time.UTC)
	for n := day(0); n <= lastDay; n++ {
		year, month, d := want.Date()
		if got := dayOf(uint32(year), uint32(month), uint32(d)); got != n {
			require.Equal(t, n, got, "%s", want)
		}
		if y, m, day := n.date(); int(y) != year || m != uint32(month) || int(day) != d {
			require.Equal(t, want, n.time())
		}
		want = want.AddDate(0, 0, 1)
	}
	require.Equal(t, 10_000, want.Year())
	require.Equal(t, dayOf(2025, 1, 1), dayOf(2024, 13, 1))
}

// TestParseDate reads every date of two digits for months and days, in years that have a
// leap day and in others, as package time does.
func TestParseDate(t *testing.T) {
	for _, year := range []string{"0000", "0001", "1900", "1999", "2000", "2024", "9999"} {
		for i := range 10_000 {
			v := []byte(year + "-00-00")
			putDigits(v[5:7], i/100)
			putDigits(v[8:], i%100)
			want, err := time.Parse(time.DateOnly, string(v))
			n, _, ok := parseDate(v)
			require.Equal(t, err == nil && year != "0000", ok, "%s", v)
			if ok {
				require.Equal(t, want, n.time())
				out, ok := appendDate(nil, n)
				require.True(t, ok)
				require.Equal(t, string(v), string(out))
			}
		}
	}
	for _, n := range []day{firstDay - 1, lastDay + 1, -40_000} {
		_, ok := appendDate(nil, n)
		require.False(t, ok)
	}
}

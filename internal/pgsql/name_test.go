package pgsql

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("ä", 31) + "x" // 63 bytes
	for _, c := range []struct {
		name string
		want pgx.Identifier
	}{
		{"t", pgx.Identifier{"t"}}, {"s.t", pgx.Identifier{"s", "t"}}, {"Größe.T", pgx.Identifier{"Größe", "T"}}, {long + "." + long, pgx.Identifier{long, long}},
		{`"a.b"`, pgx.Identifier{"a.b"}}, {`s."a.b"`, pgx.Identifier{"s", "a.b"}}, {`"s.1".t`, pgx.Identifier{"s.1", "t"}}, {`"a""b"`, pgx.Identifier{`a"b`}}, {`""""`, pgx.Identifier{`"`}},
		{`we"ird`, pgx.Identifier{`we"ird`}}, {`a;drop table b--`, pgx.Identifier{`a;drop table b--`}},
	} {
		got, err := ParseName(c.name)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got)
		again, err := ParseName(got.Sanitize())
		require.NoError(t, err)
		require.Equal(t, got, again, "what is written as SQL reads the same")
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a.b.c", `"`, `"a`, `""`, `"a"b`, `"a".`, `"a"."b"."c"`, "a\x00", "a\xff", long + "x", `"` + long + `x"`} {
		_, err := ParseName(bad)
		require.Error(t, err, bad)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"t", "s.t", `"a.b"."c""d"`, `""`, `x"y`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := ParseName(s)
		if err != nil {
			return
		}
		again, err := ParseName(name.Sanitize())
		require.NoError(t, err)
		require.Equal(t, name, again)
	})
}

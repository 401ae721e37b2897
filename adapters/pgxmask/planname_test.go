package pgxmask

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalName(t *testing.T) {
	for text, want := range map[string]string{
		"public.t":           "public.t",
		"Public.T":           "Public.T",
		`"public"."t"`:       "public.t",
		`"a.b".c`:            `"a.b".c`,
		`a."b""c"`:           `a."b""c"`,
		"a.b c":              "a.b c",
		"t":                  "",
		"a.b.c":              "",
		".t":                 "",
		"a.":                 "",
		`a."b`:               "",
		`a."b"c`:             "",
		`a.b"c`:              "",
		`"".t`:               "",
		"":                   "",
		"public.t; drop x--": "public.t; drop x--",
	} {
		got, ok := canonicalName(text)
		require.Equal(t, want != "", ok, text)
		require.Equal(t, want, got, text)
	}
}

// FuzzName has each name of a schema and a table come back, and lines of a lock stay lines.
func FuzzName(f *testing.F) {
	f.Add("public", "t")
	f.Add("a.b", `c"d`)
	f.Add("ü \n", ": x")
	f.Add(`"`, `""."`)
	f.Fuzz(func(t *testing.T, schema, name string) {
		if schema == "" || name == "" {
			t.Skip()
		}
		title := tableName(schema, name)
		got, ok := canonicalName(title)
		require.True(t, ok)
		require.Equal(t, title, got)
		require.NotRegexp(t, `[\n\r:]`, lockName(title))
		require.Equal(t, lockName(title) == lockName(tableName(name, schema)), title == tableName(name, schema))
	})
}

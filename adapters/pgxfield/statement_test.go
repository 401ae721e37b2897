package pgxfield

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestNumberNames(t *testing.T) {
	for _, c := range []struct{ sql, want, names string }{
		{"select 1", "select 1", ""},
		{"", "", ""},
		{"@a", "$1", "a"},
		{"values (@a,@b, @a, @_c1)", "values ($1,$2, $1, $3)", "a b _c1"},
		{"set email=@email, x = @x::text where id>=@id", "set email=$1, x = $2::text where id>=$3", "email x id"},
		{"a@b", "a$1", "b"},
		{"-@a +@b ||@c ->>@d !@e", "-$1 +$2 ||$3 ->>$4 !$5", "a b c d e"},
		{"a @> b and a <@b and a @@b and a @@@b and a @-@b and a ^@b and @ b and @1", "a @> b and a <@b and a @@b and a @@@b and a @-@b and a ^@b and @ b and @1", ""},
		{"a @>@b and a <@ @c and a @@ @d", "a @>$1 and a <@ $2 and a @@ $3", "b c d"},
		{"'@a' || '''@a' || @b", "'@a' || '''@a' || $1", "b"},
		{`'\' || @b`, `'\' || $1`, "b"},
		{`"@a""@a" = @b`, `"@a""@a" = $1`, "b"},
		{`e'\'@a' || E'\\' || @b`, `e'\'@a' || E'\\' || $1`, "b"},
		{"e'a' -- x\n 'b\\'@a' || @b", "e'a' -- x\n 'b\\'@a' || $1", "b"},
		{"e'a' || 'b\\' || @b", "e'a' || 'b\\' || $1", "b"},
		{`some'\' || @b`, `some'\' || $1`, "b"},
		{"U&'@a' || b'@a' || @b", "U&'@a' || b'@a' || $1", "b"},
		{"$$@a'$$ || $x$ @a $$ $y$ $x$ || @b", "$$@a'$$ || $x$ @a $$ $y$ $x$ || $1", "b"},
		{"a$x$ || @b || a$x$", "a$x$ || $1 || a$x$", "b"},
		{"$é$@a$é$ || @b", "$é$@a$é$ || $1", "b"},
		{"-- @a\n@b -- ' \r@c", "-- @a\n$1 -- ' \r$2", "b c"},
		{"/* @a /* ' */ @a */ @b", "/* @a /* ' */ @a */ $1", "b"},
		{"/*<*/@b", "/*<*/$1", "b"},
		{"größe = @größe", "größe = $1", "größe"},
		{"'@a", "'@a", ""}, {"/* @a", "/* @a", ""}, {"$$ @a", "$$ @a", ""}, {"e'\\", "e'\\", ""}, {"@", "@", ""},
		{"\xff@a\xff", "\xff$1", "a\xff"},
	} {
		got, names, err := numberNames(c.sql)
		require.NoError(t, err, c.sql)
		require.Equal(t, c.want, got, c.sql)
		require.Equal(t, c.names, strings.Join(names, " "), c.sql)
	}
	for _, sql := range []string{"select $1", "select @a, $2"} {
		_, _, err := numberNames(sql)
		require.ErrorIs(t, err, errPositional)
	}
	_, _, err := numberNames("'$1' || $$ $1 $$ || a$1 -- $1")
	require.NoError(t, err)
}

// FuzzNumberNames compares with pgx.NamedArgs on statements without what only
// PostgreSQL and we read so: operators that end in @, names and spaces beyond
// ASCII, strings that go on in the next line, and what is not terminated.
func FuzzNumberNames(f *testing.F) {
	f.Add("set email=@email where id = @id and '@x' <> e'\\'' -- @y")
	f.Add("select $x$ @a $x$ /* /* */ @b */ \"@c\"")
	ours := regexp.MustCompile(`[@<^?-]@|[^ -~\n]|\\`)
	f.Fuzz(func(t *testing.T, sql string) {
		got, names, err := numberNames(sql)
		if err != nil || ours.MatchString(sql) || strings.Count(sql, "'")%2 != 0 || strings.Count(sql, `"`)%2 != 0 {
			return
		}
		args := pgx.NamedArgs{}
		for _, n := range names {
			args[n] = n
		}
		want, values, err := args.RewriteQuery(context.Background(), nil, sql, nil)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, fmt.Sprint(names), fmt.Sprint(values))
	})
}

func TestStatementCacheIsBounded(t *testing.T) {
	var c statementCache
	for i := range 3 * maxStatements {
		c.put(fmt.Sprint(i), &statement{})
		require.NotNil(t, c.get(fmt.Sprint(i)))
	}
	require.Len(t, c.m, maxStatements)
	c.put(strings.Repeat("x", maxStatementLen+1), &statement{})
	require.Len(t, c.m, maxStatements)
}

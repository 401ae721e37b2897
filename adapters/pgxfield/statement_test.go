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

func TestAssignments(t *testing.T) {
	for sql, want := range map[string]string{
		"update t set a = 1, b = @b where c = @c":                                       "[[a b b]]",
		"UPDATE ONLY App.T AS x SET A = 1 FROM other o WHERE x.c = o.c":                 "[[a]]",
		`update "app" . "t" set a = 1`:                                                  "[]", // not sure
		`update "app"."t" set "a" = x.b returning c`:                                    "[[a b]]",
		`update "T" set a = 1`:                                                          "[]",
		"update other set a = 1":                                                        "[]",
		"update t.other set a = 1":                                                      "[]",
		"update t set a = b is distinct from c, d = (select e from f where g) from h":   "[[a b is distinct from c d select e from f where g]]",
		"update t set (a, b) = (select 1, 2) where c":                                   "[[a b select]]",
		"with u as (update t set a = 1 returning id) select b from u":                   "[[a]]",
		"with u as (update other set a = 1), v as (update t set b = 2) select c":        "[[b]]",
		"update t set a = 1; update t set b = 2":                                        "[[a] [b]]",
		"insert into t values (1) on conflict (c) do update set a = excluded.a where d": "[[a a]]",
		"merge into t using s on c = d when matched then update set a = case when e then f end, b = 1 when not matched then insert values (g)": "[[a when e then f b]]",
		"select a from t for update; set local x = 1":            "[]",
		"select a from t for update of t":                        "[]",
		"create table x (y int references t on update set null)": "[[null]]",
		"update t set -- a\n b = 'where c' /* d */":              "[[b]]",
		"select 1": "[]",
	} {
		require.Equal(t, want, fmt.Sprint(assignments(sql, "t")), sql)
	}
}

package pgxmask

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// restored runs a plan for a schema into a database, and into a folder that psql restores,
// and returns both copies.
func restored(t *testing.T, tables string, ddl ...string) (copies []*pgx.Conn) {
	conn := connect(t, ddl...)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), tables)
	require.NoError(t, err)
	copied := connect(t)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Target: copied.Config()})
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir, Format: SQL})
	require.NoError(t, err)
	dsn := pgtest.Database(t)
	out, err := psql(t, dir, "-X", "-q", "-d", dsn, "-f", "restore.sql")
	require.NoError(t, err, out)
	second, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { second.Close(context.Background()) })
	return []*pgx.Conn{copied, second}
}

// TestNotValid has a row that a foreign key has never looked at, and that refers to nothing
// in the source either.
func TestNotValid(t *testing.T) {
	for _, conn := range restored(t, `"public.a": {"columns": {"e": "email"}}, "public.b": {"columns": {"e": "email"}}`,
		`create table a (e text primary key)`, `create table b (e text)`, `insert into b values ('ann.smith@example.com')`,
		`alter table b add foreign key (e) references a not valid`) {
		var validated bool
		require.NoError(t, conn.QueryRow(t.Context(), "select convalidated from pg_constraint where contype = 'f'").Scan(&validated))
		require.False(t, validated)
	}
}

// TestSequences has sequences that were called, set, and neither.
func TestSequences(t *testing.T) {
	for _, conn := range restored(t, `"public.a": {"columns": {"e": "email"}}`, `create table a (e text)`,
		`create sequence s start 5`, `create sequence "odd 'name'"`, `create sequence u`, `select nextval('s')`, `select setval('"odd ''name''"', 100, false)`) {
		var s, odd, u int64
		require.NoError(t, conn.QueryRow(t.Context(), `select nextval('public.s'), nextval('public."odd ''name''"'), nextval('public.u')`).Scan(&s, &odd, &u))
		require.Equal(t, []int64{6, 100, 1}, []int64{s, odd, u})
	}
}

// TestSequencesOfMasked has keys that are masked, and that the next ones must not be among.
func TestSequencesOfMasked(t *testing.T) {
	const integer = `"int,lo=1,hi=120,fallback=error"`
	for _, conn := range restored(t, `"public.a": {"columns": {"s": `+integer+`, "i": `+integer+`, "d": `+integer+`, "down": "int,lo=-120,hi=-1,fallback=error", "k": {"keep": "a number"}}},
		"public.none": {"columns": {"id": `+integer+`}}`,
		`create sequence down increment -1`, `create sequence shared`,
		`create table a (s serial, i bigint generated always as identity, d int default nextval('shared'), down int default nextval('down'), k serial)`,
		`create table none (id serial)`, `insert into a (k) select nextval('a_k_seq') from generate_series(1, 100)`) {
		var n, before int
		require.NoError(t, conn.QueryRow(t.Context(), "select max(s) + max(i) + max(d) - min(down) from a").Scan(&before))
		require.Greater(t, before, 4*100)
		run(t, conn, "insert into a default values")
		for _, c := range []string{"s", "i", "d", "down", "k"} {
			require.NoError(t, conn.QueryRow(t.Context(), "select count(distinct "+c+") from a").Scan(&n))
			require.Equal(t, 101, n, c)
		}
		require.NoError(t, conn.QueryRow(t.Context(), "select max(s) + max(i) + max(d) - min(down) from a").Scan(&n))
		require.Equal(t, before+4, n)
		require.NoError(t, conn.QueryRow(t.Context(), "select k from a order by k desc").Scan(&n))
		require.Equal(t, 101, n, "a kept key goes on as it did")
		require.NoError(t, conn.QueryRow(t.Context(), "insert into none default values returning id").Scan(&n))
		require.Equal(t, 1, n)
	}
}

// TestSettings restores where settings say that the same text means something else.
func TestSettings(t *testing.T) {
	const table = "create table a (e text, m money check (current_setting('lc_monetary') = 'C'), x xml, n text[], i interval, d date)"
	conn := connect(t, table, "set lc_monetary = 'C'", `insert into a values ('Ann', '1,234.56', '<a>1</a> and text', '{NULL,"NULL"}', '-1 mon 3 days -02:03:04', '2001-02-03')`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.a": {"columns": {"e": "given",
		"m": {"keep": "x"}, "x": {"keep": "x"}, "n": {"keep": "x"}, "i": {"keep": "x"}, "d": {"keep": "x"}}}`)
	require.NoError(t, err)
	kept := func(conn *pgx.Conn) (text string) {
		require.NoError(t, conn.QueryRow(t.Context(), "select to_jsonb(a) - 'e' from a").Scan(&text))
		return text
	}
	// elsewhere returns a database with such settings, and a connection that does not feel them.
	elsewhere := func(ddl ...string) (dsn string, conn *pgx.Conn) {
		dsn = pgtest.Database(t)
		conn, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		run(t, conn, ddl...)
		for _, s := range []string{"lc_monetary = 'POSIX'", "xmloption = document", "array_nulls = off", "intervalstyle = sql_standard", "datestyle = 'SQL, DMY'"} {
			run(t, conn, "alter database "+ident(conn.Config().Database)+" set "+s)
		}
		return dsn, conn
	}
	for _, ddl := range [][]string{nil, {table}} {
		_, copied := elsewhere(ddl...)
		_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Target: copied.Config()})
		require.NoError(t, err)
		require.Equal(t, kept(conn), kept(copied))
	}
	dir := t.TempDir()
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir, Format: SQL})
	require.NoError(t, err)
	dsn, copied := elsewhere()
	out, err := psql(t, dir, "-X", "-q", "-d", dsn, "-f", "restore.sql")
	require.NoError(t, err, out)
	require.Equal(t, kept(conn), kept(copied))
}

package pgxmask

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func TestChecks(t *testing.T) {
	rows := `; insert into t select i, 'zeppelin' || i || '@example.com', i from generate_series(1, 1200) i; analyze`
	keep := `"b": {"keep": "x"}`
	testCases(t, []planCase{
		{name: "that hold", ddl: `create domain d as text check (value ~ '@'); create table t (id int, a d check (length(a) < 40), b int check (b > 0))` + rows,
			policy: columns(`"a": "email", ` + keep),
			proven: []string{"check t_a_check: tried by PostgreSQL on 1000 masked rows", "check t_b_check: no column of it is masked", "check d_check of domain public.d of a: tried by PostgreSQL on 1000 masked rows"}},
		{name: "that fail", ddl: `create table t (id int, a text constraint c1 check (a like 'zeppelin%'), b int, constraint c2 check (a <> '' and b > 0), constraint c3 check (length(a) > 20 + b / 10000))` + rows,
			policy: columns(`"a": "token", ` + keep),
			want: []string{
				`policy line 1: public.t (c1): it fails for masked rows, of which 1000 were tried`,
				`policy line 1: public.t (c3): it fails for masked rows, of which 1000 were tried`,
			}},
		{name: "and are known to", ddl: `create table t (id int, a text constraint c1 check (a like 'zeppelin%'), b int)` + rows,
			policy: columns(`"a": "token", ` + keep), change: accept(Check, "public.t", "c1")},
		{name: "not valid", ddl: `create table t (id int, a text, b int)` + rows + `; alter table t add constraint c check (a = 'x') not valid`,
			policy: columns(`"a": "token", ` + keep), proven: []string{"check c: it is NOT VALID: nothing is known of the rows that are there"}},
		{name: "of domains", ddl: `create domain d as text constraint d1 check (value like 'zeppelin%'); create domain e as d constraint e1 check (value <> ''); create table t (id int, a e, b int)` + rows,
			policy: columns(`"a": "token", ` + keep),
			want: []string{
				`policy line 1: public.t.a (d1): it fails for results of rule token`,
			}},
		{name: "values of a type", ddl: `create type mood as enum ('sad', 'ok'); create table t (id int, a mood, b int); insert into t values (1, 'ok', 2)`,
			policy: columns(`"a": "constant,value=happy", ` + keep),
			want: []string{
				`policy line 1: public.t.a: public.mood does not take results of rule constant,value=happy: SQLSTATE 22P02`,
			}},
		{name: "values of an enum that fit", ddl: `create type mood as enum ('sad', 'ok'); create table t (id int, a mood, b int); insert into t values (1, 'ok', 2)`,
			policy: columns(`"a": "constant,value=sad", ` + keep)},
		{name: "values that a rule refuses", ddl: `create table t (id int, a text, b int)` + rows, policy: columns(`"a": "pan,fallback=error", ` + keep),
			want: []string{
				`policy line 1: public.t.a: rule pan,fallback=error refuses 1000 of 1000 sampled values; take another fallback, or another rule`,
			}},
		{name: "a generated column that fails", ddl: `create table t (id int, a text, b int, g int generated always as (substr(a, 9, length(a) - 20)::int) stored)` + rows,
			policy: columns(`"a": "token", ` + keep),
			want: []string{
				`policy line 1: public.t: PostgreSQL does not take masked rows: SQLSTATE 22011`,
			}},
		{name: "with what is hard to write", ddl: `create table t (id int, a text, "b" text); insert into t values (1, E'x\\\ty\nz\r\\.\\N', null), (2, '', '\N')`,
			policy: columns(`"a": "shape", "b": "shape"`)},
	})
}

// TestForeignFunctions: a CHECK, a domain or a generated column may call a function whose
// owner would have it run with the rights of whoever makes the plan.
func TestForeignFunctions(t *testing.T) {
	conn := connect(t)
	run(t, conn, `create role sealfield_mallory`)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), `drop owned by sealfield_mallory cascade; drop role sealfield_mallory`)
		require.NoError(t, err)
	})
	run(t, conn,
		`create table ran (x int)`,
		`create function f(text) returns bool language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create function h(text, text) returns bool language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create function g(text) returns text immutable language sql as 'select $1'`,
		`create operator ~~~~ (leftarg = text, rightarg = text, function = h)`,
		`create domain d as text constraint d1 check (value ~~~~ 'x')`,
		`create table t (id int, a d, b text constraint c check (f(b)), c text generated always as (g(b)) stored)`,
		`alter function f(text) owner to sealfield_mallory`, `alter function g(text) owner to sealfield_mallory`, `alter function h(text, text) owner to sealfield_mallory`,
	)
	kr := keyringtest.NewKeyring(t)
	cfg := Config{Policy: policy(t, columns(`"a": "token", "b": "token"`)+`, "public.ran": {"skip": "x"}`), Keyring: kr}
	_, err := NewPlan(t.Context(), conn, cfg)
	says := ", which would run with the rights of the role that makes the plan, and is of role sealfield_mallory; make the plan with a role without other rights, and accept it"
	require.EqualError(t, err, "pgxmask: policy line 1: public.t (public.f(text)): a CHECK calls this function"+says+
		"\npgxmask: policy line 1: public.t (public.g(text)): a generated column calls this function"+says+
		"\npgxmask: policy line 1: public.t (public.h(text,text)): a CHECK of a domain calls this function"+says)
	run(t, conn, `create type pair as (x d, y int)`, `create table in_array (id int, a d[], b text)`, `create table in_pair (id int, a pair[], b text)`)
	nested := `{"columns": {"id": {"keep": "x"}, "a": {"keep": "x"}, "b": "token"}}`
	cfg.Policy = policy(t, `"public.t": {"skip": "x"}, "public.ran": {"skip": "x"}, "public.in_array": `+nested+`, "public.in_pair": `+nested)
	_, err = NewPlan(t.Context(), conn, cfg)
	require.EqualError(t, err, "pgxmask: policy line 1: public.in_array (public.h(text,text)): a CHECK of a domain calls this function"+says+
		"\npgxmask: policy line 1: public.in_pair (public.h(text,text)): a CHECK of a domain calls this function"+says)
	cfg.Policy = policy(t, columns(`"a": "token", "b": "token"`)+`, "public.ran": {"skip": "x"}, "public.in_array": {"skip": "x"}, "public.in_pair": {"skip": "x"}`)
	for _, f := range []string{"public.f(text)", "public.g(text)", "public.h(text,text)"} {
		accept(Check, "public.t", f)(&cfg)
	}
	_, err = NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err, "there is no row to try")
}

// TestRights names what a role may not read, before the run.
func TestRights(t *testing.T) {
	conn := connect(t)
	run(t, conn, `create role sealfield_reader`)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), `reset role; drop owned by sealfield_reader cascade; drop role sealfield_reader`)
		require.NoError(t, err)
	})
	run(t, conn,
		`create schema closed; create table closed.t (id int)`,
		`create table t (id int not null, a text check (a <> '')); create table u (id int); create table v (id int); alter table v enable row level security; create policy p on v using (id > 0)`,
		`create table w (id int) partition by list (id); create table w1 partition of w default`,
		`insert into t values (1, 'zeppelin')`,
		`grant select on t, v, w to sealfield_reader; grant select (id) on u to sealfield_reader; grant usage on schema public to sealfield_reader`,
		`do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$`,
		`set role sealfield_reader`,
	)
	keep := `{"columns": {"id": {"keep": "x"}}}`
	cfg := Config{Keyring: keyringtest.NewKeyring(t), Policy: policy(t, columns(`"a": "token"`)+`, "public.u": `+keep+`, "public.v": `+keep+`, "public.w": `+keep+`, "closed.t": `+keep)}
	_, err := NewPlan(t.Context(), conn, cfg)
	require.EqualError(t, err, `pgxmask: the database (closed): there is no right to use schema closed; grant usage on it, or leave it out by Config.Schemas
pgxmask: closed.t: there is no right to read it; grant select on it
pgxmask: public.u: there is no right to read it; grant select on it
pgxmask: public.v: row-level security would hide rows; use a role with BYPASSRLS, or its owner
pgxmask: public.w1: there is no right to read it; grant select on it`)

	run(t, conn, `reset role`, `grant select on w1, u to sealfield_reader`, `alter table v disable row level security`, `set role sealfield_reader`)
	cfg.Schemas = []string{"public"}
	cfg.Policy = policy(t, columns(`"a": "token"`)+`, "public.u": `+keep+`, "public.v": `+keep+`, "public.w": `+keep)
	_, err = NewPlan(t.Context(), conn, cfg)
	require.EqualError(t, err, `pgxmask: policy line 1: public.t (t_a_check): it can not be tried: there is no right to create temporary tables`)
	accept(Check, "public.t", "t_a_check")(&cfg)
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)
	require.Len(t, p.tables, 4)
}

// TestReadOnlyRole has a role whose transactions are read-only unless they say otherwise.
func TestReadOnlyRole(t *testing.T) {
	conn := connect(t, `create table t (id int, a text check (a <> ''))`, `insert into t values (1, 'x')`, `set default_transaction_read_only = on`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"a": "token"`))
	require.NoError(t, err)
	require.Contains(t, p.proofLines(), "check t_a_check: tried by PostgreSQL on 1 masked rows")
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from pg_class where relname like 'sealfield%'`).Scan(&n))
	require.Zero(t, n, "nothing stays")
	_, err = conn.Begin(t.Context())
	require.NoError(t, err, "the transaction ended")
}

// TestLeavesNothing breaks off and finds the connection as it was.
func TestLeavesNothing(t *testing.T) {
	conn := connect(t, `create table t (id int, a text)`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewPlan(ctx, conn, Config{Policy: policy(t, columns(`"a": "token"`)), Keyring: keyringtest.NewKeyring(t)})
	require.ErrorIs(t, err, context.Canceled)
	_, err = NewPlan(t.Context(), closed(t, conn), Config{Policy: policy(t, columns(`"a": "token"`)), Keyring: keyringtest.NewKeyring(t)})
	require.Error(t, err)
}

func closed(t *testing.T, conn *pgx.Conn) *pgx.Conn {
	require.NoError(t, conn.Close(t.Context()))
	return conn
}

// TestSample has tables larger than a sample, in rows and in bytes.
func TestSample(t *testing.T) {
	conn := connect(t,
		`create table t (id int, a text); insert into t select i, i from generate_series(1, 60000) i`,
		`create table u (id int, a text); alter table u alter a set storage external; insert into u select i, repeat('x', 100000) from generate_series(1, 200) i`,
		`create table v (id int, a text) partition by range (id); create table v1 partition of v for values from (0) to (30000); create table v2 partition of v for values from (30000) to (90000);
		insert into v select * from t`,
		`create table never_analysed (id int, a text); alter table never_analysed set (autovacuum_enabled = off); insert into never_analysed select i, i from generate_series(1, 60000) i`,
		`analyze t; analyze u; analyze v`)
	tables := columns(`"a": "shape"`)
	for _, name := range []string{"u", "v", "never_analysed"} {
		tables += `, "public.` + name + `": {"columns": {"id": {"keep": "x"}, "a": "shape"}}`
	}
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), tables)
	require.NoError(t, err)
	sampled := map[string]int{}
	for _, x := range p.tables {
		sampled[x.name] = x.sampled
		require.Equal(t, x.name == "never_analysed", x.rows > 60001, "%s has %f rows", x.name, x.rows)
		require.Zero(t, fallbacks(x), "the sample does not count")
	}
	require.Equal(t, 100, sampled["u"], "50 rows at a time, until there are 8 MiB")
	for _, name := range []string{"t", "v", "never_analysed"} {
		require.LessOrEqual(t, sampled[name], sampleRows)
		require.Greater(t, sampled[name], sampleRows/2, name)
	}
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	s, err := readSample(t.Context(), tx, p.tables[1])
	require.NoError(t, err)
	require.Equal(t, "t", p.tables[1].name)
	pages := map[string]bool{}
	for _, row := range s.rows {
		pages[string(row[0][:1])] = true
	}
	require.Greater(t, len(pages), 3, "it is from all over the table")
}

func fallbacks(t *table) (n uint64) {
	for _, c := range t.columns {
		if c.rule != nil {
			n += c.rule.Fallbacks()
		}
	}
	return n
}

// TestBeforeARow: what the catalogue shows is all that is said, as no row was read.
func TestBeforeARow(t *testing.T) {
	conn := connect(t, `create table t (id int, a text, added text); insert into t values (1, 'zeppelin', 'x'); comment on table t is 'zeppelin'`)
	_, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"a": "pan,fallback=error"`))
	require.EqualError(t, err, `pgxmask: policy line 1: public.t.added: the policy does not name this column; give it a rule, or {"keep": "why"}`)
	_, err = newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"a": "pan,fallback=error", "added": {"keep": "x"}`))
	require.EqualError(t, err, `pgxmask: policy line 1: public.t.a (comment public.t): it has a value of this column, and goes with the schema into the copy; change the text, or accept it
pgxmask: policy line 1: public.t.a: rule pan,fallback=error refuses 1 of 1 sampled values; take another fallback, or another rule`)
}

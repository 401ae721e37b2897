package pgxmask

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// shop is a schema of what makes a restore difficult: references in a cycle and to
// oneself, composite keys, partitions with their columns in another order, generated and
// identity columns, sequences, names that need quotes, types of all kinds.
var shop = []string{
	`create type mood as enum ('good', 'it''s bad')`,
	`create domain postcode as text check (value ~ '^[0-9]{5}$')`,
	`create schema "Odd.Name"`,
	`create table people (id int generated always as identity primary key, email text not null unique check (email like '%@%'), boss int references people,
		born date not null, mood mood, tags text[], extra jsonb, raw bytea, zip postcode, upper text generated always as (upper(email)) stored, best int)`,
	`create table orders (person int not null references people, n int not null, card text, total numeric(10,2) not null, paid bool, primary key (person, n))`,
	`alter table people add foreign key (id, best) references orders (person, n)`,
	`create table items (person int, n int, item serial, what text, foreign key (person, n) references orders, primary key (person, n, item))`,
	`create table "Odd.Name"."it's a ""table""" ("a ""column""" text, "b,c" timestamptz)`,
	`create table events (at timestamptz not null, who text) partition by range (at)`,
	`create table events_1 (who text, at timestamptz not null)`,
	`alter table events attach partition events_1 for values from ('2024-01-01') to ('2025-01-01')`,
	`create table events_rest partition of events default`,
	`create view adults as select * from people where born < '2000-01-01'`,
	`create index on people (born)`,
	`comment on table people is 'whom we know'`,
	`insert into people (email, boss, born, mood, tags, extra, raw, zip) select 'p' || i || '@example.com', nullif(i / 2, 0), date '1980-01-01' + i,
		(array['good', 'it''s bad', null])[1 + i % 3]::mood, array['a,b', null, 'c "d"', E'e\\f'], jsonb_build_object('n', i, 't', E'x\ny', 'e', null),
		decode(md5(i::text), 'hex'), lpad(i::text, 5, '0') from generate_series(1, 500) i`,
	`insert into orders select i, n, '411111111111111' || n, i * n / 7.0, i % 2 = 0 from generate_series(1, 500) i, generate_series(1, 3) n`,
	`update people set best = 2`,
	`insert into items (person, n, what) select i, 1, E'tab\t, "quote", back\\slash, line\nline, \\. ' || i from generate_series(1, 500) i`,
	`insert into items (person, n, what) select i, 2, nullif('', case i % 2 when 0 then '' end) from generate_series(1, 500) i`,
	`insert into "Odd.Name"."it's a ""table""" values (E'\\.', now()), ('', 'infinity'), (null, null)`,
	`insert into events select timestamptz '2023-06-01' + i * interval '1 day', 'who' || i from generate_series(1, 1000) i`,
	`analyze`,
}

const shopPolicy = `
	"public.people": {"subject": "id", "columns": {"id": {"keep": "a number"}, "email": "email", "boss": {"keep": "a number"}, "born": "date,fallback=error", "mood": {"keep": "two"},
		"tags": {"keep": "few"}, "extra": {"keep": "made"}, "raw": {"keep": "made"}, "zip": {"keep": "large"}, "best": {"keep": "a number"}}},
	"public.orders": {"columns": {"person": {"keep": "a number"}, "n": {"keep": "a number"}, "card": "pan", "total": {"keep": "wanted"}, "paid": {"keep": "wanted"}}},
	"public.items": {"columns": {"person": {"keep": "a number"}, "n": {"keep": "a number"}, "item": {"keep": "a number"}, "what": {"keep": "wares"}}},
	"\"Odd.Name\".\"it's a \"\"table\"\"\"": {"columns": {"a \"column\"": {"keep": "odd"}, "b,c": {"keep": "odd"}}},
	"public.events": {"columns": {"at": {"keep": "when"}, "who": "shape"}},
	"public.adults": {"skip": "a view"}`

func newShop(t *testing.T) (*pgx.Conn, *Plan) {
	small(t)
	conn := connect(t, shop...)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), shopPolicy)
	require.NoError(t, err)
	return conn, p
}

// sameShop checks that the copy has the same rows in the kept columns, masked ones in the
// others, all constraints, and sequences that go on.
func sameShop(t *testing.T, source, copied *pgx.Conn) {
	one := func(conn *pgx.Conn, sql string) (out string) {
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&out), sql)
		return out
	}
	for _, sql := range []string{
		`select string_agg(p::text, '|' order by id) from (select id, boss, mood, tags, extra, raw, zip, best from people) p`,
		`select string_agg(o::text, '|' order by person, n) from (select person, n, total, paid from orders) o`,
		`select string_agg(i::text, '|' order by item) from items i`,
		`select string_agg(o::text, '|' order by 1) from "Odd.Name"."it's a ""table""" o`,
		`select string_agg(tableoid::regclass || at::text, '|' order by at) from events`,
		`select string_agg(conname || pg_get_constraintdef(oid) || convalidated, '|' order by conname, conrelid::regclass::text) from pg_constraint where connamespace = 'public'::regnamespace`,
		`select string_agg(indexdef, '|' order by indexdef) from pg_indexes where schemaname = 'public'`,
		`select obj_description('people'::regclass)`,
		`select count(*)::text from people p join people b on b.id = p.boss join orders o on o.person = p.id and o.n = p.best join items i on i.person = o.person and i.n = 1`,
	} {
		require.Equal(t, one(source, sql), one(copied, sql), sql)
	}
	require.NotEqual(t, one(source, "select string_agg(email, '|' order by id) from people"), one(copied, "select string_agg(email, '|' order by id) from people"))
	require.Equal(t, "0", one(copied, `select count(*)::text from people where email like 'p%@example.com' or upper <> upper(email)`))
	require.Equal(t, one(source, "select nextval('items_item_seq')::text"), one(copied, "select nextval('items_item_seq')::text"))
	require.Equal(t, one(source, "select nextval('people_id_seq')::text"), one(copied, "select nextval('people_id_seq')::text"))
}

func psql(t *testing.T, dir string, args ...string) (string, error) {
	bin, err := pgtest.Binaries()
	require.NoError(t, err)
	program := filepath.Join(bin, "psql")
	if _, err := exec.LookPath(program); err != nil {
		program, err = exec.LookPath("psql")
		require.NoError(t, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestRestore restores the script with psql, in all compressions.
func TestRestore(t *testing.T) {
	for _, c := range []Compression{None, Zstd, Gzip} {
		t.Run("compression "+string(c), func(t *testing.T) {
			if c == Zstd {
				if _, err := exec.LookPath("zstd"); err != nil {
					t.Skip("SKIPPED: psql would need the program zstd: ", err)
				}
			}
			source, p := newShop(t)
			dir := t.TempDir()
			_, err := p.Run(t.Context(), RunConfig{Source: source.Config(), Dir: dir, Format: SQL, Compression: c, Workers: 2})
			require.NoError(t, err)
			dsn := pgtest.Database(t)
			out, err := psql(t, dir, "-X", "-q", "-d", dsn, "-f", "restore.sql")
			require.NoError(t, err, out)
			copied, err := pgx.Connect(t.Context(), dsn)
			require.NoError(t, err)
			defer copied.Close(t.Context())
			sameShop(t, source, copied)
		})
	}
}

// TestTarget copies into a database.
func TestTarget(t *testing.T) {
	source, p := newShop(t)
	copied, err := pgx.Connect(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	defer copied.Close(t.Context())
	config := RunConfig{Source: source.Config(), Target: copied.Config(), Workers: 2}
	r, err := p.Run(t.Context(), config)
	require.NoError(t, err)
	require.Equal(t, int64(500+1500+1000+3+1000), r.Rows)
	sameShop(t, source, copied)
	_, err = p.Run(t.Context(), config)
	require.ErrorIs(t, err, ErrExists)
}

// TestTargetTables copies into tables that are there, whose foreign keys and triggers do
// not matter, and refuses what is not ready for it.
func TestTargetTables(t *testing.T) {
	small(t)
	schema := []string{
		"create table accounts (email text primary key, friend text references accounts)",
		"create table logins (email text not null references accounts, at int not null)"}
	source := connect(t, append(schema, "insert into accounts select 'user' || i || '@example.com', 'user' || 2001 - i || '@example.com' from generate_series(1, 2000) i",
		"insert into logins select email, 1 from accounts", "analyze")...)
	p, err := newPlan(t, source, keyringtest.NewKeyring(t), `
		"public.accounts": {"columns": {"email": "email", "friend": "email"}},
		"public.logins": {"columns": {"email": "email", "at": {"keep": "a number"}}}`)
	require.NoError(t, err)
	for _, c := range []struct {
		name  string
		setup []string
		want  error
	}{
		{"ready", append(schema, "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$",
			"create trigger no before insert on logins for each row execute function no()"), nil},
		{"a table less", schema[:1], ErrSchema},
		{"rows", append(schema, "insert into accounts values ('a@b.c')"), ErrExists},
		{"an output", []string{"create schema pgxmask"}, ErrExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied := connect(t, c.setup...)
			config := RunConfig{Source: source.Config(), Target: copied.Config(), Workers: 2}
			r, err := p.Run(t.Context(), config)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				_, err = p.Verify(t.Context(), config)
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 2, r.Verification.References)
			var n int
			require.NoError(t, copied.QueryRow(t.Context(), "select count(*) from accounts a join accounts b on b.email = a.friend join logins l on l.email = a.email").Scan(&n))
			require.Equal(t, 2000, n)
			_, err = p.Verify(t.Context(), config)
			require.NoError(t, err)
			run(t, copied, "delete from logins where email = (select min(email) from logins)")
			_, err = p.Verify(t.Context(), config)
			require.ErrorIs(t, err, ErrDamaged)
		})
	}
}

// TestTargetTampered changes rows of a target, of which no sample may have one.
func TestTargetTampered(t *testing.T) {
	const table = "create table a (e text, k text, n numeric)"
	source := connect(t, table, `insert into a select i || '@example.com', case when i % 3 > 0 then 'k\' || i end, i from generate_series(1, 3000) i`, "analyze")
	p, err := newPlan(t, source, keyringtest.NewKeyring(t), `"public.a": {"columns": {"e": "email", "k": {"keep": "x"}, "n": {"keep": "x"}}}`)
	require.NoError(t, err)
	for _, c := range []struct{ name, sql string }{
		{"nothing", "delete from a where k = 'none'"},
		{"a kept value", `update a set k = 'k' where k = 'k\7'`},
		{"NULL", `update a set k = null where k = 'k\7'`},
		{"a masked value", `update a set e = 'x@example.com' where k = 'k\7'`},
		{"two rows", `update a set k = case n when 7 then 'k\8' else 'k\7' end where n in (7, 8)`},
		{"another row", `with d as (delete from a where n = 7 returning *) insert into a select e, 'k\8', n from d`},
	} {
		copied := connect(t, table)
		config := RunConfig{Source: source.Config(), Target: copied.Config()}
		_, err = p.Run(t.Context(), config)
		require.NoError(t, err)
		run(t, copied, c.sql)
		_, err = p.Verify(t.Context(), config)
		if c.name == "nothing" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrVerify, c.name)
		require.ErrorContains(t, err, "public.a: rows of the output are not what the rules make of the source's", c.name)
	}

	copied := connect(t, table, "create function f() returns trigger language plpgsql as $$ begin new.k := 'other'; return new; end $$",
		"create trigger f before insert on a for each row when (new.n = 7) execute function f()", "alter table a enable always trigger f")
	_, err = p.Run(t.Context(), RunConfig{Source: source.Config(), Target: copied.Config()})
	require.ErrorIs(t, err, ErrVerify, "a trigger that was not asked")

	for _, code := range []string{"P0001", "45000", "42P01"} {
		copied := connect(t, table, "create function f() returns trigger language plpgsql as $$ begin raise '%', new.k using errcode = '"+code+"', column = new.k; end $$",
			"create trigger f before insert on a for each row execute function f()", "alter table a enable always trigger f")
		_, err = p.Run(t.Context(), RunConfig{Source: source.Config(), Target: copied.Config()})
		require.ErrorContains(t, err, code)
		require.NotContains(t, err.Error(), `k\`, "a value")
	}
}

// TestFormats has PostgreSQL read CSV, and Go's decoder JSONL, and compares every value
// with COPY text's.
func TestFormats(t *testing.T) {
	source, p := newShop(t)
	export := func(f Format, c Compression) string {
		dir := t.TempDir()
		_, err := p.Run(t.Context(), RunConfig{Source: source.Config(), Dir: dir, Format: f, Compression: c})
		require.NoError(t, err)
		return dir
	}
	text := export(CopyText, None)
	for _, c := range []Compression{None, Zstd, Gzip} {
		csv, jsonl := export(CSV, c), export(JSONL, c)
		require.Equal(t, content(t, text, "public.people", None), content(t, export(CopyText, c), "public.people", c))
		for i, table := range p.tables {
			folder := tableFolder(&header{Tables: []tableHeader{{Name: table.String()}}}, 0)[5:]
			want := string(content(t, text, folder, None))

			run(t, source, "create temp table again (like "+table.ident()+")")
			for _, col := range []string{"upper"} {
				run(t, source, "alter table again drop column if exists "+col)
			}
			_, err := source.PgConn().CopyFrom(t.Context(), bytes.NewReader(content(t, csv, folder, c)), "copy again"+table.columnList()+" from stdin (format csv)")
			require.NoError(t, err)
			var got bytes.Buffer
			require.NoError(t, begin(t.Context(), source, ""))
			_, err = source.PgConn().CopyTo(t.Context(), &got, "copy pg_temp.again"+table.columnList()+" to stdout")
			require.NoError(t, err)
			run(t, source, "rollback", "drop table again")
			require.Equal(t, want, got.String(), "%d %s", i, table)

			lines := strings.Split(strings.TrimSuffix(want, "\n"), "\n")
			d := json.NewDecoder(bytes.NewReader(content(t, jsonl, folder, c)))
			d.UseNumber()
			for _, line := range lines {
				var object map[string]any
				require.NoError(t, d.Decode(&object))
				require.Len(t, object, len(table.columns))
				fields := make([][]byte, len(table.columns))
				_, err := splitText(fields, []byte(line))
				require.NoError(t, err)
				for i, c := range table.columns {
					value, _ := decodeText(nil, fields[i])
					equalJSON(t, value, object[c.name])
				}
			}
			require.False(t, d.More())
		}
	}
}

// equalJSON compares a value in PostgreSQL's text form with one of JSON.
func equalJSON(t *testing.T, text []byte, v any) {
	switch v := v.(type) {
	case nil:
		require.Nil(t, text)
	case bool:
		require.Equal(t, string(text), map[bool]string{true: "t", false: "f"}[v])
	case json.Number:
		require.Equal(t, string(text), v.String())
	case string:
		require.Equal(t, string(text), v)
	default:
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(data))
	}
}

// TestHostileNames has whoever names tables and columns end the line of a meta-command of
// psql, and begin another one.
func TestHostileNames(t *testing.T) {
	for _, ddl := range []string{"create table \"x\n\\! touch pwned\n\" (id int)", "create table t (\"x\n\\! touch pwned\n\" int)"} {
		conn := connect(t, ddl)
		var name, column string
		require.NoError(t, conn.QueryRow(t.Context(), `select relname, attname from pg_attribute a join pg_class c on c.oid = attrelid
			where relnamespace = 'public'::regnamespace and attnum = 1 and relkind = 'r'`).Scan(&name, &column))
		escape := strings.NewReplacer("\\", `\\`, "\n", `\n`)
		p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.`+escape.Replace(name)+`": {"columns": {"`+escape.Replace(column)+`": {"keep": "odd"}}}`)
		require.NoError(t, err)
		dir := t.TempDir()
		_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir, Format: SQL})
		require.ErrorContains(t, err, "line break")
		require.Empty(t, files(t, dir))
		target, err := pgx.ParseConfig(pgtest.Database(t))
		require.NoError(t, err)
		_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Target: target})
		require.NoError(t, err)
	}
}

// TestLongNames has names that are longer, with their escapes, than those of files may be.
func TestLongNames(t *testing.T) {
	name := strings.Repeat("表", 21)
	conn := connect(t, `create schema `+name, `create table `+name+`.`+name+` (id int)`, `insert into `+name+`.`+name+` values (1)`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"`+name+`.`+name+`": {"columns": {"id": {"keep": "a number"}}}`)
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err)
}

// TestTargetInUse has two processes go on with the same Target: rows would come twice.
func TestTargetInUse(t *testing.T) {
	conn, p := newCustomers(t, 100)
	target, err := pgx.ParseConfig(pgtest.Database(t))
	require.NoError(t, err)
	config := RunConfig{Source: conn.Config(), Target: target}
	first, err := newTarget(t.Context(), newJob(p, config))
	require.NoError(t, err)
	defer first.close()
	_, err = p.Run(t.Context(), config)
	require.ErrorIs(t, err, ErrInUse)
	_, err = p.Resume(t.Context(), config)
	require.ErrorIs(t, err, ErrInUse)
	first.close()
	_, err = p.Run(t.Context(), config)
	require.NoError(t, err)
}

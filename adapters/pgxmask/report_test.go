package pgxmask

import (
	"bytes"
	"encoding/json"
	"html/template"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

func read(t testing.TB, file string) string {
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	return string(text)
}

// shopConfig is for the schema of testdata/shop.sql.
func shopConfig(t testing.TB, kr *keyring.Keyring) Config {
	p, err := mask.ParsePolicy([]byte(read(t, "shop.json")))
	require.NoError(t, err)
	return Config{Policy: p, Keyring: kr, References: []Reference{{"public.orders", []string{"email"}, "crm.customers", []string{"email"}}}}
}

// TestShop plans a schema with a bit of everything, and holds the reports and the
// lock against files that were read by people.
func TestShop(t *testing.T) {
	conn := connect(t, read(t, "shop.sql"))
	cfg := shopConfig(t, keyringtest.NewKeyring(t))
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)

	var order []string
	for _, x := range p.tables {
		order = append(order, x.title())
	}
	require.Equal(t, []string{"crm.customers", `public."Ünï.c""ode | table"`, "public.departments", "public.employees", "public.orders", "public.items"}, order)
	require.Equal(t, [][]string{{"public.departments", "public.employees"}}, p.cycles)

	same := steady(t, p)
	var markdown, html bytes.Buffer
	require.NoError(t, p.WriteMarkdown(&markdown))
	require.NoError(t, p.WriteHTML(&html))
	for file, text := range map[string]string{"shop.md": markdown.String(), "shop.html": html.String(), "shop.lock": string(p.Lock())} {
		require.Equal(t, read(t, file), same.Replace(text), file)
		require.NotContains(t, strings.ToLower(text), secret)
	}
	require.Contains(t, markdown.String(), p.tables[0].column("email").rule.Explain(minRows))
	require.NotContains(t, html.String(), "<script>")
	require.NotContains(t, html.String(), "http")

	t.Run("lock", func(t *testing.T) {
		lock := p.Lock()
		run(t, conn,
			`alter table public.items alter article type varchar(200)`, `alter table public.items add x int`, `alter table public.items drop line cascade`,
			`create index on public.items (article)`, `create unique index i on public.items (x)`, `alter table public.orders drop constraint orders_total_check`,
			`comment on table crm.customers is 'other'`, `create table public.u (x int)`)
		_, err := NewPlan(t.Context(), conn, cfg)
		require.EqualError(t, err, `pgxmask: policy line 31: public.items.x: the policy does not name this column; give it a rule, or {"keep": "why"}
pgxmask: policy line 35: public.items.line: the policy names it, and there is no such column
pgxmask: public.u: the policy does not name this table; give it columns, or leave it out: {"skip": "why"}`)

		text := strings.Replace(read(t, "shop.json"), `"line"`, `"x"`, 1)
		cfg.Policy, err = mask.ParsePolicy([]byte(strings.Replace(text, `"public.audit"`, `"public.u": {"skip": "x"}, "public.audit"`, 1)))
		require.NoError(t, err)
		p, err := NewPlan(t.Context(), conn, cfg)
		require.NoError(t, err)
		changes, err := p.Changes(lock)
		require.NoError(t, err)
		var keys []string
		for _, c := range changes {
			key, _, _ := strings.Cut(c, ": sha256")
			keys = append(keys, key)
		}
		require.Equal(t, []string{
			"gone: partitioned table public.orders: constraint orders_total_check",
			"changed: policy",
			"changed: table public.items: column article: character varying(200) not null, kept, before text not null, kept",
			"gone: table public.items: column line: integer not null, kept",
			"new: table public.items: column x: integer, kept",
			"new: table public.items: index i",
			"gone: table public.items: index items_pkey",
			"new: table public.u: left out",
			"gone: text: check public.orders orders_total_check",
			"changed: text: comment crm.customers",
		}, keys)
		_, err = p.Changes([]byte("{}"))
		require.EqualError(t, err, `pgxmask: this is no lock that begins with "sealfield pgxmask lock 1"`)
	})
}

// steady replaces what is other every time, and what package mask says of its rules,
// which is its own to change.
func steady(t *testing.T, p *Plan) *strings.Replacer {
	pairs := [][2]string{{p.check, "0123456789abcdef"}, {p.database, "shop"}, {markdownText(p.database), "shop"}}
	add := func(text, to string) {
		var html strings.Builder
		require.NoError(t, template.Must(template.New("").Parse("{{.}}")).Execute(&html, text))
		for _, form := range []string{text, markdownText(text), html.String()} {
			pairs = append(pairs, [2]string{form, to})
		}
	}
	for _, x := range p.tables {
		for _, c := range x.columns {
			if c.rule == nil {
				continue
			}
			props := c.rule.Properties()
			add(c.rule.Explain(max(x.rows, minRows)), "[explained]\n")
			if len(props.Visible) > 0 {
				add(strings.Join(props.Visible, "; "), "[visible]")
			}
			add(props.Domain, "[domain]")
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	var all []string
	for _, pair := range pairs {
		all = append(all, pair[:]...)
	}
	return strings.NewReplacer(all...)
}

// TestLockIsStable makes the same schema in another order, with dropped columns.
func TestLockIsStable(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	tables := columns(`"a": "token", "b": "shape"`) + `, "public.u": {"columns": {"id": {"keep": "x"}}}`
	var locks []string
	for _, ddl := range []string{
		`create table u (id int primary key); create table t (id int primary key references u, a text, b text unique, check (a <> b)); create index on t (a); comment on table t is 'x'`,
		`create table t (x int, id int constraint t_pkey primary key, a text, y int, b text, constraint t_check check (a <> b)); comment on table t is 'x'; alter table t drop x, drop y, add unique (b);
			create table u (id int primary key); insert into u values (1); alter table t add foreign key (id) references u; set search_path = u; set datestyle = german; set quote_all_identifiers = on`,
	} {
		conn := connect(t, ddl)
		p, err := NewPlan(t.Context(), conn, Config{Policy: policy(t, tables), Keyring: kr, Accept: []Accepted{{Unique, "public.t", "t_b_key", "x"}}})
		require.NoError(t, err)
		locks = append(locks, string(p.Lock()))
	}
	require.Equal(t, locks[0], locks[1])
}

// TestAttackersPath has a schema of somebody else's come first, with functions, operators,
// types and relations by the names of PostgreSQL's own.
func TestAttackersPath(t *testing.T) {
	conn := connect(t, `create table t (id int, a text check (lower(a) <> 'x'))`, `insert into t values (1, 'zeppelin')`,
		`create schema evil`,
		`create function evil.lower(text) returns text language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create function evil.current_database() returns name language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create function evil.eq(name, name) returns bool language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create operator evil.= (leftarg = name, rightarg = name, function = evil.eq)`,
		`create function evil.generate_series(smallint, smallint) returns setof int language plpgsql as 'begin raise exception ''it ran''; end'`,
		`create table evil.pg_class (oid int)`, `create type evil.text as enum ('x')`,
		`do $$ begin execute format('alter database %I set search_path = evil, pg_catalog, public', current_database()); end $$`,
		`set search_path = evil, pg_catalog, public`,
		`create temporary table pg_class (oid int)`, `create temporary table pg_namespace (oid int)`)
	cfg := Config{Policy: policy(t, columns(`"a": "token"`)), Keyring: keyringtest.NewKeyring(t), Schemas: []string{"public"}}
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)
	require.Contains(t, p.proofLines(), "check t_a_check: tried by PostgreSQL on 1 masked rows")
	var path string
	require.NoError(t, conn.QueryRow(t.Context(), "show search_path").Scan(&path))
	require.Equal(t, "evil, pg_catalog, public", path, "it is as it was")
}

// TestNames has names that are SQL, Markdown and HTML.
func TestNames(t *testing.T) {
	name := `x"; drop table victim; --` + "\n| `a` </script><script>alert(1)</script> \u202e"
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	conn := connect(t, `create table victim (id int)`,
		`create schema `+quoted[:20]+`"`,
		`create table `+quoted[:20]+`".`+quoted+` (`+quoted+` text constraint `+quoted+` check (`+quoted+` <> ''), id int primary key)`,
		`insert into `+quoted[:20]+`".`+quoted+` values ('zeppelin', 1)`,
		`comment on column `+quoted[:20]+`".`+quoted+`.`+quoted+` is '</pre><script>alert(2)</script> `+"```"+`'`)
	var got string
	require.NoError(t, conn.QueryRow(t.Context(), `select relname from pg_class where relname like 'x"; drop%' and relkind = 'r'`).Scan(&got))
	column, schema := got, quoted[1:20]
	schema = strings.ReplaceAll(schema, `""`, `"`)
	one, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.victim": {"skip": "x"}, `+jsonText(t, tableName(schema, got))+`: {"columns": {"id": {"keep": "x"}, `+jsonText(t, column)+`: "token"}}`)
	require.NoError(t, err)
	require.Len(t, one.tables, 1)
	require.Equal(t, 1, one.tables[0].sampled)
	var markdown, html bytes.Buffer
	require.NoError(t, one.WriteMarkdown(&markdown))
	require.NoError(t, one.WriteHTML(&html))
	require.NotContains(t, html.String(), "<script>")
	for _, text := range []string{markdown.String(), html.String(), string(one.Lock())} {
		require.NotContains(t, text, "\u202e")
	}
	fence := ""
	for _, line := range strings.Split(markdown.String(), "\n") {
		if run := line[:len(line)-len(strings.TrimLeft(line, "`"))]; fence == "" && len(run) >= 3 {
			fence = run
		} else if line == fence {
			fence = ""
		}
		require.False(t, fence == "" && strings.HasPrefix(line, "| `a`"), "a name does not begin a row")
	}
	require.Empty(t, fence, "no name and no comment ends a block")
	changes, err := one.Changes(one.Lock())
	require.NoError(t, err)
	require.Empty(t, changes)
}

func jsonText(t *testing.T, s string) string {
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

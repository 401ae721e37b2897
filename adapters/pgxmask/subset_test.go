package pgxmask

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// circles has references of all sorts: to itself, in a circle, of two columns, NULL, to a
// partitioned table, and to what is only needed by others.
const circles = `
create table country (code text primary key);
create table customer (id int primary key, country text not null references country, referred_by int references customer);
create table product (sku text primary key, replaced_by text);
create table picture (id int primary key, sku text not null references product);
create table caption (id int primary key, picture int references picture, country text references country);
create table orders (customer int not null references customer, no int not null, latest_item int, primary key (customer, no)) partition by hash (customer);
create table orders_0 partition of orders for values with (modulus 2, remainder 0);
create table orders_1 partition of orders for values with (modulus 2, remainder 1);
create table item (id int primary key, customer int, no int, sku text references product, foreign key (customer, no) references orders);
alter table product add foreign key (replaced_by) references product deferrable initially deferred;
alter table orders add foreign key (latest_item) references item deferrable initially deferred;
create table setting (name text primary key);
insert into country select 'c' || n from generate_series(0, 9) n;
insert into customer select n, 'c' || n % 10, case when n > 10 then n / 10 end from generate_series(1, 200) n;
insert into product select 's' || n, case when n % 7 = 0 then 's' || n + 1 end from generate_series(1, 101) n;
insert into picture select n, 's' || 1 + n % 101 from generate_series(1, 300) n;
insert into caption select n, case when n % 3 > 0 then 1 + n % 300 end, 'c' || n % 10 from generate_series(1, 200) n;
insert into orders select n, k from generate_series(1, 200) n, generate_series(1, 3) k;
insert into item select row_number() over (), customer, no, 's' || 1 + (customer * 7 + no * 3) % 101 from orders;
update orders set latest_item = (select max(id) from item where item.customer = orders.customer);
insert into setting values ('a');
`

// TestReach is about tables, not rows.
func TestReach(t *testing.T) {
	// 0 customer, 1 orders, 2 product, 3 picture, 4 caption, 5 setting
	edges := []edge{{from: 1, to: 0}, {from: 1, to: 2}, {from: 3, to: 2}, {from: 4, to: 3}, {from: 0, to: 0}}
	require.Equal(t, []reach{{down: true, up: true}, {down: true}, {up: true}, {filter: true}, {filter: true}, {}}, withUp(reachOf(6, map[int]string{0: ""}, edges)))
	require.Equal(t, []reach{{up: true}, {down: true}, {up: true}, {filter: true}, {filter: true}, {}}, reachOf(6, map[int]string{1: ""}, edges))
	require.Equal(t, []reach{{}, {}, {}, {}, {down: true}, {}}, reachOf(6, map[int]string{4: ""}, nil))
}

// withUp is for tables that refer to themselves: down says it already.
func withUp(all []reach) []reach {
	all[0].up = true
	return all
}

func TestClosure(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(t))
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, circles)
	require.NoError(t, err)
	names := strings.Fields("country customer product picture caption orders item setting")
	var tables []*table
	for _, n := range names {
		tables = append(tables, &table{schema: "public", name: n})
	}
	keys := []struct{ from, to, columns, targets string }{
		{"customer", "country", "country", "code"}, {"customer", "customer", "referred_by", "id"}, {"product", "product", "replaced_by", "sku"},
		{"picture", "product", "sku", "sku"}, {"caption", "picture", "picture", "id"}, {"caption", "country", "country", "code"},
		{"orders", "customer", "customer", "id"}, {"orders", "item", "latest_item", "id"}, {"item", "orders", "customer no", "customer no"}, {"item", "product", "sku", "sku"},
	}
	number := func(name string) int { return slices.Index(names, name) }
	require.NoError(t, makeSubset(ctx, conn))
	for i, start := range []map[int]string{
		{number("customer"): "id in (3, 44)"},
		{number("customer"): "country = 'c9'", number("setting"): "false"},
		{number("product"): "sku = 's14'"},
		{number("item"): "id between 10 and 12"},
		{number("country"): "code = 'c1'"},
		{number("setting"): "true"},
	} {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "set local search_path = pg_catalog")
		require.NoError(t, err)
		c := &closure{conn: conn, tables: tables, start: start}
		for _, k := range keys {
			e := edge{from: number(k.from), to: number(k.to), columns: strings.Fields(k.columns), targets: strings.Fields(k.targets)}
			require.NoError(t, e.findOperators(ctx, conn, tables[e.from]))
			c.edges = append(c.edges, e)
		}
		require.NoError(t, c.compute(ctx))
		in := func(n int) string {
			if !c.reach[n].restricted() {
				return "true"
			}
			return fmt.Sprintf("exists (select from %s r where r.rel = t.tableoid and r.tid = t.ctid)", subsetTable)
		}
		count := func(sql string) (n int) {
			require.NoError(t, conn.QueryRow(ctx, sql).Scan(&n), sql)
			return n
		}
		var log []string
		for n, name := range names {
			log = append(log, fmt.Sprint(name, " ", count(fmt.Sprintf("select count(*) from public.%s t where %s", name, in(n)))))
		}
		t.Log(i, log)
		for n, where := range start {
			require.Zero(t, count(fmt.Sprintf("select count(*) from public.%s t where (%s) and not %s", names[n], where, in(n))))
		}
		for _, e := range c.edges {
			// No reference leads out, and what refers to a start row is in.
			from, to := fmt.Sprintf("public.%s t", names[e.from]), fmt.Sprintf("public.%s o", names[e.to])
			require.Zero(t, count(fmt.Sprintf("select count(*) from %s join %s on %s where %s and not %s", from, to, e.on("o", "t"), in(e.from), strings.ReplaceAll(in(e.to), "t.", "o."))), "%s to %s", names[e.from], names[e.to])
			if where, ok := start[e.to]; ok {
				require.Zero(t, count(fmt.Sprintf("select count(*) from %s join (select * from public.%s where %s) o on %s where not %s", from, names[e.to], where, e.on("o", "t"), in(e.from))))
			}
		}
		switch i {
		case 0: // 3 referred 30 to 39; 44 was referred by 4, whose orders stay out
			require.Equal(t, 13, count("select count(*) from public.customer t where "+in(number("customer"))))
			require.Equal(t, 12*3, count("select count(*) from public.orders t where "+in(number("orders"))))
			require.Zero(t, count("select count(*) from public.orders t where customer = 4 and "+in(number("orders"))))
			require.Equal(t, 1, count("select count(*) from public.setting t where "+in(number("setting"))))
		case 1:
			require.Zero(t, count("select count(*) from public.setting t where "+in(number("setting"))))
		case 5:
			require.Equal(t, 200, count("select count(*) from public.customer t where "+in(number("customer"))))
		}
		list, err := tids(ctx, conn, "public.orders_0", 0, 1)
		require.NoError(t, err)
		require.Equal(t, count(fmt.Sprintf("select count(*) from %s where rel = 'public.orders_0'::regclass and tid < '(1,0)'", subsetTable)), strings.Count(list, "("))
		_, err = conn.Exec(ctx, "select from public.orders_0 where ctid = any("+literal(list)+"::tid[])")
		require.NoError(t, err)
		require.NoError(t, tx.Rollback(ctx))
		require.Zero(t, count("select count(*) from "+subsetTable), "a rollback empties it")
	}
}

const circlesPolicy = `
	"public.country": {"columns": {"code": {"keep": "public"}}},
	"public.customer": {"columns": {"id": "int,domain=customer,fallback=error", "country": {"keep": "public"}, "referred_by": "int,domain=customer,fallback=error"}},
	"public.product": {"columns": {"sku": {"keep": "public"}, "replaced_by": {"keep": "public"}}},
	"public.picture": {"columns": {"id": {"keep": "a number"}, "sku": {"keep": "public"}}},
	"public.caption": {"columns": {"id": {"keep": "a number"}, "picture": {"keep": "a number"}, "country": {"keep": "public"}}},
	"public.orders": {"columns": {"customer": "int,domain=customer,fallback=error", "no": {"keep": "a number"}, "latest_item": {"keep": "a number"}}},
	"public.item": {"columns": {"id": {"keep": "a number"}, "customer": "int,domain=customer,fallback=error", "no": {"keep": "a number"}, "sku": {"keep": "public"}}},
	"public.setting": {"columns": {"name": {"keep": "public"}}}`

// TestSubset copies a subset into a database, where PostgreSQL checks every constraint,
// and into files, with the same bytes by any number of workers and after an
// interruption.
func TestSubset(t *testing.T) {
	small(t)
	ctx := t.Context()
	conn, target := connect(t, circles), connect(t)
	run(t, conn, "analyze")
	cfg := Config{Policy: policy(t, circlesPolicy), Keyring: keyringtest.NewKeyring(t), Subset: map[string]string{"public.customer": "id in (3, 44) -- two", "public.setting": "false"}}
	p, err := NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	r, err := p.Run(ctx, RunConfig{Source: conn.Config(), Target: target.Config()})
	require.NoError(t, err)
	require.Equal(t, int64(10+13+33+99+110+36+36), r.Rows)
	for table, want := range map[string]int{"customer": 13, "orders": 36, "item": 36, "product": 33, "setting": 0} {
		var n int
		require.NoError(t, target.QueryRow(ctx, "select count(*) from "+table).Scan(&n))
		require.Equal(t, want, n, table)
	}
	var constraints int
	require.NoError(t, target.QueryRow(ctx, "select count(*) from pg_constraint where contype = 'f' and convalidated and conparentid = 0").Scan(&constraints))
	require.Equal(t, len(p.references), constraints)

	one, three := t.TempDir(), t.TempDir()
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: one, Workers: 1})
	require.NoError(t, err)
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: three, Workers: 3})
	require.NoError(t, err)
	require.Equal(t, files(t, one), files(t, three))
	require.NotEmpty(t, content(t, one, "public.orders", None))
	require.Empty(t, content(t, one, "public.setting", None))
	v, err := p.Verify(ctx, RunConfig{Source: conn.Config(), Dir: one})
	require.NoError(t, err)
	require.Positive(t, v.Verification.References)

	// The order of a customer who is in goes, and one of another comes: as many rows, but
	// not the same.
	remove(t, three, finishedName)
	manifest := filepath.Join(three, manifestName)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	lines := bytes.SplitAfter(bytes.TrimSpace(text), []byte("\n"))
	require.NoError(t, os.WriteFile(manifest, bytes.Join(lines[:len(lines)-1], nil), 0o600))
	resumed, err := p.Resume(ctx, RunConfig{Source: conn.Config(), Dir: three})
	require.NoError(t, err)
	require.Positive(t, resumed.Kept)
	require.Equal(t, files(t, one), files(t, three))
}

// TestSubsetChanges resumes after the subset has become another one, without a change of
// the table that is looked at.
func TestSubsetChanges(t *testing.T) {
	ctx := t.Context()
	conn := connect(t, "create table a (id int primary key, chosen boolean not null)", "create table b (id int primary key, a int not null references a)",
		"insert into a values (1, true), (2, false)", "insert into b values (10, 1), (20, 2)", "analyze")
	p, err := NewPlan(ctx, conn, Config{Keyring: keyringtest.NewKeyring(t), Subset: map[string]string{"public.a": "chosen"},
		Policy: policy(t, `"public.a": {"columns": {"id": {"keep": "a number"}, "chosen": {"keep": "nothing"}}}, "public.b": {"columns": {"id": {"keep": "a number"}, "a": {"keep": "a number"}}}`)})
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	require.Equal(t, "10\t1\n", string(content(t, dir, "public.b", None)))
	remove(t, dir, finishedName)
	run(t, conn, "update a set chosen = not chosen")
	r, err := p.Resume(ctx, RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	require.Zero(t, r.Kept)
	require.Equal(t, "20\t2\n", string(content(t, dir, "public.b", None)))
}

// TestSubsetPartition follows a reference to a single partition, which somebody has accepted.
func TestSubsetPartition(t *testing.T) {
	ctx := t.Context()
	conn := connect(t, "create table a (id int primary key) partition by range (id)", "create table a1 partition of a for values from (0) to (10)", "create table a2 partition of a default",
		"create table b (a int references a1 (id))", "insert into a select generate_series(1, 20)", "insert into b values (1), (2)")
	cfg := Config{Keyring: keyringtest.NewKeyring(t), Subset: map[string]string{"public.b": "a = 2"},
		Policy: policy(t, `"public.a": {"columns": {"id": {"keep": "a number"}}}, "public.b": {"columns": {"a": {"keep": "a number"}}}`)}
	accept(ForeignKey, "public.b", "b_a_fkey")(&cfg)
	p, err := NewPlan(ctx, conn, cfg)
	require.NoError(t, err)
	dir := t.TempDir()
	_, err = p.Run(ctx, RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	require.Equal(t, "2\n", string(content(t, dir, "public.a", None)))
}

func TestSubsetRefuses(t *testing.T) {
	ctx := t.Context()
	conn := connect(t, "create table a (id int primary key)", "insert into a values (1)")
	for _, c := range []struct{ table, where, want string }{
		{"public.b", "true", "Config.Subset has it, and no such table is copied"},
		{"a", "true", "Config.Subset has it, and no such table is copied"},
		{"public.a", "  ", "the condition is empty"},
		{"public.a", "nope = 1", "does not take its condition: column \"nope\" does not exist"},
		{"public.a", "id = 1); drop table a; --", "does not take its condition"},
	} {
		_, err := NewPlan(ctx, conn, Config{Keyring: keyringtest.NewKeyring(t), Subset: map[string]string{c.table: c.where}, Policy: policy(t, `"public.a": {"columns": {"id": {"keep": "a number"}}}`)})
		require.ErrorContains(t, err, c.want)
	}
	run(t, conn, "select from a")
}

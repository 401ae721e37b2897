package pgxmask

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
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

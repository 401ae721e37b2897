package pgxfield_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// asCustomers makes a Table of another relation read what is sealed for customers.
var asCustomers = pgxfield.Config{RowKey: []string{"id"}, Name: "customers"}

// TestViews writes and reads through views, and verifies what is under them.
func TestViews(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, _ := newCustomers(t, kr)
	type renamed struct {
		Key  int64   `db:"key"`
		Mail string  `db:"mail address" seal:"encrypt,name=email,index=mail_idx,norm=email"`
		SSN  *string `db:"ssn" seal:"encrypt"`
	}
	run(t, conn, "create view v1 as select * from customers where id > 0", "create view v2 with (security_barrier) as select * from v1 with check option",
		`create view renamed (key, "mail address", mail_idx, ssn) as select c.id, c.email, c.email_idx, c.ssn from customers c join (select 1 as one) x on true`,
		"create materialized view kept as select * from v1", "create view twice as select * from customers union all select * from customers",
		"create view made as select id, email || '' as email, email_idx, (select ssn from customers limit 1) as ssn, born from customers")
	for i, name := range []string{"v1", "v2"} {
		view := newTable[customer](t, kr, name, asCustomers)
		require.NoError(t, view.Verify(ctx, conn), name)
		_, err := conn.Exec(ctx, strings.ReplaceAll(insertCustomer, "customers", name), view.Args(ann(int64(i+1))))
		require.NoError(t, err)
		_, err = conn.Exec(ctx, "update "+name+" set ssn = @ssn where id = @id", view.Args(ann(int64(i+1))))
		require.NoError(t, err)
		all, err := query(t, conn, view.Row(ctx), "select * from "+name+" where id = $1", i+1)
		require.NoError(t, err)
		require.Equal(t, []customer{*ann(int64(i + 1))}, all)
		require.Len(t, collectSearch(t, view, conn, pgxfield.SearchQuery{Column: "email", Value: "ann@example.com"}), i+1)
		_, err = conn.Exec(ctx, "update "+name+" set ssn = 'plain'")
		require.ErrorContains(t, err, "23514")
	}
	odd := newTable[renamed](t, kr, "renamed", pgxfield.Config{RowKey: []string{"key"}, Name: "customers"})
	require.NoError(t, odd.Verify(ctx, conn))
	rows, err := query(t, conn, odd.Row(ctx), "select * from renamed")
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, "Ann@Example.com", rows[0].Mail)

	run(t, conn, "refresh materialized view kept")
	kept := newTable[customer](t, kr, "kept", asCustomers)
	require.ErrorContains(t, kept.Verify(ctx, conn), "kept.email_idx: there is no valid btree or hash index on it (in schema public)")
	run(t, conn, "create index on kept (email_idx)")
	require.NoError(t, kept.Verify(ctx, conn))
	require.Len(t, collectSearch(t, kept, conn, pgxfield.SearchQuery{Column: "email", Value: "ann@example.com"}), 2)

	err = newTable[customer](t, kr, "twice", asCustomers).Verify(ctx, conn)
	require.Equal(t, 4, strings.Count(err.Error(), "its CHECK can not be seen"), err)
	err = newTable[customer](t, kr, "made", asCustomers).Verify(ctx, conn)
	require.ErrorContains(t, err, "made.email: the view does not say which column of a table it is")
	require.ErrorContains(t, err, "made.ssn: the view does not say")
	require.ErrorContains(t, err, "made.email: it can be NULL")
	require.Equal(t, 3, strings.Count(err.Error(), "\n")+1, err)

	run(t, conn, "alter table customers drop constraint customers_ssn_sealed", "drop index customers_email_idx_key")
	for _, name := range []string{"v1", "v2"} {
		err := newTable[customer](t, kr, name, asCustomers).Verify(ctx, conn)
		require.ErrorContains(t, err, name+".ssn: there is no CHECK (substring(ssn from 1 for 2) >=")
		require.ErrorContains(t, err, `on "public"."customers".ssn (in schema public)`)
		require.ErrorContains(t, err, name+`.email_idx: there is no valid btree or hash index on it in "public"."customers"`)
	}
	require.ErrorContains(t, newTable[customer](t, kr, "customers_email_idx_tag", asCustomers).Verify(ctx, conn), "there is no such table")
}

// TestPartitions uses partitioned tables and tables that inherit.
func TestPartitions(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, strings.ReplaceAll(createCustomers, "customers", "parts")+" partition by range (id)", "create table parts_1 partition of parts for values from (1) to (100)",
		strings.ReplaceAll(createCustomers, "customers", "parents"), "create table children (extra text) inherits (parents)", "create table grandchildren () inherits (children)")
	parts, parents := newTable[customer](t, kr, "parts", byID), newTable[customer](t, kr, "parents", byID)
	run(t, conn, append(parts.DDL(), parents.DDL()...)...)
	run(t, conn, append(parts.DDL(), parents.DDL()...)...)
	require.NoError(t, parts.Verify(ctx, conn))
	err := parents.Verify(ctx, conn)
	require.ErrorContains(t, err, `parents.email_idx: there is no valid btree or hash index on it in "public"."children"`)
	require.ErrorContains(t, err, `in "public"."grandchildren"`)
	require.Equal(t, 1, strings.Count(err.Error(), "\n"))
	run(t, conn, "create index on children (email_idx)", "create index on grandchildren (email_idx)")
	require.NoError(t, parents.Verify(ctx, conn))

	run(t, conn, "create table parts_2 partition of parts for values from (100) to (200)")
	for _, id := range []int64{1, 150} {
		_, err := conn.Exec(ctx, strings.ReplaceAll(insertCustomer, "customers", "parts"), parts.Args(ann(id)))
		require.NoError(t, err)
	}
	_, err = conn.Exec(ctx, strings.ReplaceAll(insertCustomer, "customers", "grandchildren"), parents.Args(ann(5)))
	require.NoError(t, err)
	require.Len(t, collectSearch(t, parts, conn, pgxfield.SearchQuery{Column: "email", Value: "ann@example.com"}), 2)
	require.Len(t, collectSearch(t, parents, conn, pgxfield.SearchQuery{Column: "email", Value: "ann@example.com"}), 1)
	for _, plain := range []string{"parts", "parts_2", "children", "grandchildren"} {
		_, err := conn.Exec(ctx, "insert into "+plain+" (id, email, email_idx, born) values (160, 'plain', 'x', 'x')")
		require.ErrorContains(t, err, "23514", plain)
	}

	type unique struct {
		ID int64  `db:"id"`
		A  string `db:"a" seal:"encrypt,index=x,unique=y"`
	}
	run(t, conn, "create table u (id bigint, a bytea not null, x bytea, y bytea)", "create table u_child () inherits (u)")
	only := newTable[unique](t, kr, "u", byID)
	run(t, conn, only.DDL()...)
	run(t, conn, "create unique index on u_child (x)", "create unique index on u_child (y)")
	require.ErrorContains(t, only.Verify(ctx, conn), `u.x: no index keeps it unique beyond one table, and others inherit from "public"."u"`)
}

// TestSearchPath puts hostile operators, functions, types and tables before
// PostgreSQL's own.
func TestSearchPath(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, "create schema app", "create schema evil", "create table app.customers (id bigint primary key, email bytea not null, email_idx bytea not null, ssn bytea, born bytea not null)")
	for _, op := range []string{"=", "<>", "<", ">", "<=", ">="} {
		for _, typ := range []string{"bytea", "int8", "int4", "int2", "oid", "text", "name", "char"} {
			typ = sqlType(typ)
			run(t, conn, "create or replace function evil.yes(pg_catalog."+typ+", pg_catalog."+typ+") returns boolean language plpgsql as 'begin raise exception ''hostile''; end'",
				"create operator evil."+op+" (leftarg = pg_catalog."+typ+", rightarg = pg_catalog."+typ+", function = evil.yes)")
		}
	}
	run(t, conn, "create function evil.octet_length(bytea) returns int language plpgsql as 'begin raise exception ''hostile''; end'", "create function evil.to_regclass(text) returns regclass language plpgsql as 'begin raise exception ''hostile''; end'",
		"create function evil.quote_ident(text) returns text language sql as $$ select 'x'::pg_catalog.text $$", "create aggregate evil.count(*) (sfunc = int8inc, stype = int8, initcond = '666')",
		"create domain evil.text as pg_catalog.int4", "create domain evil.bytea as pg_catalog.text", "create domain evil.oid as pg_catalog.text")
	table := newTable[customer](t, kr, "app.customers", byID)
	for _, path := range []string{"app", "evil, pg_catalog, app"} {
		run(t, conn, "set search_path = "+path)
		for _, mode := range modes {
			db := reconnect(t, conn, mode)
			run(t, db, "set search_path = "+path)
			run(t, db, table.DDL()...)
			require.NoError(t, table.Verify(ctx, db), path)
			_, err := db.Exec(ctx, "delete from app.customers")
			require.NoError(t, err)
			for id := range int64(3) {
				_, err := db.Exec(ctx, strings.ReplaceAll(insertCustomer, "customers", "app.customers"), table.Args(ann(id+1)))
				require.NoError(t, err)
			}
			for _, desc := range []bool{false, true} {
				q := pgxfield.SearchQuery{Column: "email", Value: "ann@example.com", Desc: desc, Limit: 2}
				page := collectSearch(t, table, db, q)
				require.Len(t, page, 2)
				q.After = []any{page[1].ID}
				require.Len(t, collectSearch(t, table, db, q), 1)
			}
		}
	}
	run(t, conn, "set search_path = evil, pg_catalog")
	_, err := conn.Exec(ctx, "select email = email from app.customers")
	require.ErrorContains(t, err, "hostile", "the control")

	// A CHECK out of hostile parts reads like ours, and is none.
	run(t, conn, "alter table app.customers drop constraint customers_ssn_sealed",
		"create or replace function evil.yes(pg_catalog.bytea, pg_catalog.bytea) returns boolean language sql as 'select true'",
		`alter table app.customers add check (substring(ssn from 1 for 2) >= '\x0180'::pg_catalog.bytea and substring(ssn from 1 for 2) <= '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length(ssn) operator(pg_catalog.>=) 33)`)
	require.ErrorContains(t, table.Verify(ctx, conn), "app.customers.ssn: the CHECK on it is made of functions or operators that are not PostgreSQL's own")

	// Names without a schema.
	run(t, conn, "set search_path = app, evil", "alter table app.customers drop constraint customers_ssn_check")
	short := newTable[customer](t, kr, "customers", byID)
	require.ErrorContains(t, short.Verify(ctx, conn), "customers.ssn: there is no CHECK")
	require.ErrorContains(t, short.Verify(ctx, conn), "(in schema app)")
	run(t, conn, table.DDL()...)
	require.NoError(t, short.Verify(ctx, conn))
	run(t, conn, "create table evil.customers (like app.customers including all)")
	require.ErrorContains(t, short.Verify(ctx, conn), "several schemas of search_path (app, evil): name one")
	require.NoError(t, table.Verify(ctx, conn))
	run(t, conn, "drop table evil.customers", "create temporary table customers (like app.customers including all)")
	require.ErrorContains(t, short.Verify(ctx, conn), "the name stands for a temporary table")
	require.NoError(t, table.Verify(ctx, conn))
}

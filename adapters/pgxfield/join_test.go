package pgxfield_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

type buyer struct {
	ID    int64  `db:"id"`
	Email string `db:"email" seal:"encrypt,index=email_idx"`
}

type order struct {
	ID      int64   `db:"id"`
	Account int64   `db:"account"`
	Note    string  `db:"note" seal:"encrypt"`
	PAN     *string `db:"pan" seal:"token=pan,key=pan_key"`
}

const createOrders = `create table orders (id bigint primary key, account bigint, note bytea, pan text, pan_key bytea)`

func joinTables(t *testing.T) (*pgx.Conn, *pgxfield.Table[buyer], *pgxfield.Table[order]) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	accounts := newTable[buyer](t, kr, "accounts", byID)
	orders := newTable[order](t, kr, "orders", byID)
	run(t, conn, "create table accounts (id bigint primary key, email bytea, email_idx bytea)", createOrders)
	for _, a := range []buyer{{1, "ann@example.com"}, {2, "bob@example.com"}} {
		_, err := conn.Exec(ctx, "insert into accounts values (@id, @email, @email_idx)", accounts.Args(&a))
		require.NoError(t, err)
	}
	for _, o := range []order{{7, 1, "first", ptr("4111111111111111")}, {8, 1, "second", nil}} {
		_, err := conn.Exec(ctx, "insert into orders values (@id, @account, @note, @pan, @pan_key)", orders.Args(&o))
		require.NoError(t, err)
	}
	return conn, accounts, orders
}

// TestScanJoin reads two tables, and one twice, from one row.
func TestScanJoin(t *testing.T) {
	ctx := t.Context()
	conn, accounts, orders := joinTables(t)
	type all struct {
		a, again buyer
		o        order
	}
	const sql = `select a.id as a_id, a.email as a_email, a.email_idx as a_email_idx, 'else' as other,
		b.id as b_id, b.email as b_email, o.id as o_id, o.account as o_account, o.note as o_note, o.pan as o_pan, o.pan_key as o_pan_key
		from accounts a join accounts b using (id) left join orders o on o.account = a.id order by a.id, o.id`
	for _, mode := range modes {
		rows, err := conn.Query(ctx, sql, mode)
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r all, err error) {
			if r.a, err = accounts.Scan(ctx, row, "a_"); err != nil {
				return r, err
			}
			if r.again, err = accounts.Scan(ctx, row, "b_"); err != nil {
				return r, err
			}
			r.o, err = orders.Scan(ctx, row, "o_")
			return r, err
		})
		require.NoError(t, err, mode)
		ann, bob := buyer{1, "ann@example.com"}, buyer{2, "bob@example.com"}
		require.Equal(t, []all{
			{ann, ann, order{7, 1, "first", ptr("4111111111111111")}},
			{ann, ann, order{8, 1, "second", nil}},
			{bob, bob, order{}}, // without an order
		}, got, mode)
	}
}

// TestScanRefuses holds that a prefix changes nothing of what Row refuses.
func TestScanRefuses(t *testing.T) {
	ctx := t.Context()
	conn, accounts, orders := joinTables(t)
	const from = " from accounts a join orders o on o.account = a.id"
	for _, c := range []struct{ sql, want string }{
		{"select o.note as o_note, a.id as id, a.id as a_id" + from, "sealed column o_note without o_id, which it is bound to"},
		{"select o.id as o_id, o.note as o_note, 1 as o_unknown" + from, "has a column o_unknown"},
		{"select o.id as o_id, o.note as o_note, o.id as o_id" + from, "has the column o_id twice"},
		{"select o.id as o_id, o.note as o_note, o.note as o_note" + from, "has the column o_note twice"},
		{"select o.id as o_id, o.note::text as o_note" + from, "column o_note of the result is no bytea"},
		{"select o.id as o_id, o.pan as o_pan, o.pan_key as pan_key" + from, "tokens of o_pan without o_pan_key"},
		{"select o.id as o_id, o.pan as o_pan, o.pan as o_pan_key" + from, "column o_pan_key of the result is no bytea"},
		{"select o.id as o_id, o.note as o_pan" + from, "column o_pan of the result is not of the type of its tokens"},
		{"select a.id" + from, "has no column whose name begins with o_"},
		{"select null::bigint as o_id, o.note as o_note" + from, "column o_id: it is NULL, which Go type int64 can not hold"},
		{"select null::bigint as o_account" + from, "column o_account: it is NULL"}, // no row key: no outer join
		{"select 'x' as o_id, o.note as o_note" + from, "column o_id: the value does not fit Go type int64"},
		{"select o.id + 1 as o_id, o.note as o_note" + from, "column o_note (row key id): " + crypto.ErrDecrypt.Error()},
		{"select o.id as o_id, a.email as o_note" + from, "column o_note (row key id): " + crypto.ErrDecrypt.Error()},
	} {
		rows, err := conn.Query(ctx, c.sql)
		require.NoError(t, err, c.sql)
		_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (order, error) { return orders.Scan(ctx, row, "o_") })
		require.ErrorContains(t, err, "pgxfield: orders: ", c.sql)
		require.ErrorContains(t, err, c.want, c.sql)
	}
	rows, err := conn.Query(ctx, "select a.id as a_id, a.email as a_email, o.id as o_id, o.note as o_note"+from)
	require.NoError(t, err)
	_, err = pgx.CollectRows(rows, accounts.Row(ctx))
	require.ErrorContains(t, err, "has a column a_id")
}

// TestPlansOfManyResults reads more kinds of results in turn than a reader keeps
// plans for.
func TestPlansOfManyResults(t *testing.T) {
	ctx := t.Context()
	conn, accounts, _ := joinTables(t)
	for range 3 {
		for _, columns := range []string{"id", "email, id", "id, email", "id, email_idx", "*", "id, email, email_idx", "email_idx", "email_idx, id", "email_idx, id, email", "id, email_idx, email", "email, email_idx, id"} {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
				rows, err := conn.Query(ctx, "select "+columns+" from accounts order by accounts.id", mode)
				require.NoError(t, err)
				all, err := pgx.CollectRows(rows, accounts.Row(ctx))
				require.NoError(t, err, columns)
				require.Len(t, all, 2)
			}
		}
	}
}

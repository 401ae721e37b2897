package pgxfield_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

type customer struct {
	ID    int64     `db:"id"`
	Email string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	SSN   *string   `db:"ssn"   seal:"encrypt"`
	Born  time.Time `db:"born"  seal:"encrypt,type=date"`
}

const (
	createCustomers = `create table customers (id bigint primary key, email bytea not null, email_idx bytea not null, ssn bytea, born bytea not null)`
	insertCustomer  = `insert into customers (id, email, email_idx, ssn, born) values (@id, @email, @email_idx, @ssn, @born)`
)

var byID = pgxfield.Config{RowKey: []string{"id"}}

func ann(id int64) *customer {
	return &customer{id, "Ann@Example.com", ptr("078-05-1120"), time.Date(1984, 5, 6, 0, 0, 0, 0, time.UTC)}
}

// newCustomers returns a fresh table of customers, ready for use.
func newCustomers(t testing.TB, kr *keyring.Keyring) (*pgx.Conn, *pgxfield.Table[customer]) {
	conn := connect(t)
	table := newTable[customer](t, kr, "customers", byID)
	run(t, conn, createCustomers)
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(t.Context(), conn))
	return conn, table
}

func query[T any](t testing.TB, conn *pgx.Conn, f pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	return pgx.CollectRows(rows, f)
}

// TestArgsRefuses covers the statements and rows that must not be sent.
func TestArgsRefuses(t *testing.T) {
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	bad := ann(1)
	bad.Email = "\xff"
	zero := ann(0)
	for _, c := range []struct {
		want string
		sql  string
		args []any
	}{
		{"the row is nil", insertCustomer, []any{table.Args(nil)}},
		{"@nope: there is no such column or argument", "select @nope", []any{table.Args(ann(1))}},
		{"positional arguments", insertCustomer, []any{table.Args(ann(1)), 5}},
		{"positional arguments", "select @id, $2", []any{table.Args(ann(1))}},
		{"@email and @email_idx have to stand in the same statement", "update customers set email = @email where id = @id", []any{table.Args(ann(1))}},
		{"@email and @email_idx have to stand in the same statement", "select * from customers where email_idx = @email_idx", []any{table.Args(ann(1))}},
		{"email and email_idx have to stand in the same set, or neither", "update customers set email = @email where email_idx = @email_idx", []any{table.Args(ann(1))}},
		{"email and email_idx have to stand in the same set, or neither", "update public.customers c set email_idx = @email_idx from t where email = @email", []any{table.Args(ann(1))}},
		{"email and email_idx have to stand in the same set, or neither", "merge into customers c using (select 1::bigint as id, @email::bytea as email, @email_idx::bytea as idx) s on c.id = s.id when matched then update set email = s.email", []any{table.Args(ann(1))}},
		{"argument @id has the name of a column", insertCustomer, []any{table.Args(ann(1), pgx.NamedArgs{"id": 2})}},
		{"argument @email_idx has the name of a column", insertCustomer, []any{table.Args(ann(1), pgx.NamedArgs{"email_idx": 2})}},
		{"argument @x is given twice", insertCustomer, []any{table.Args(ann(1), pgx.NamedArgs{"x": 2}, pgx.NamedArgs{"x": 2})}},
		{"@email: row key column id is NULL or zero", insertCustomer, []any{table.Args(zero)}},
		{"@email: the value is no UTF-8 text", insertCustomer, []any{table.Args(bad)}},
		{"@email: crypto: encrypt field customers.email: keyring", insertCustomer, []any{table.In("acme").Args(ann(1))}},
	} {
		_, err := conn.Exec(t.Context(), c.sql, c.args...)
		require.ErrorContains(t, err, c.want)
		require.ErrorContains(t, err, "pgxfield.Args(customers): ")
		rows, err := conn.Query(t.Context(), c.sql, c.args...)
		require.ErrorContains(t, err, c.want)
		rows.Close()
		var batch pgx.Batch
		batch.Queue(c.sql, c.args...)
		require.ErrorContains(t, conn.SendBatch(t.Context(), &batch).Close(), c.want)
	}
	all, err := query(t, conn, table.Row(t.Context()), "select * from customers")
	require.NoError(t, err)
	require.Empty(t, all)

	// Time ends, and with it what the type can hold.
	bad = ann(1)
	bad.Born = time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err = conn.Exec(t.Context(), insertCustomer, table.Args(bad))
	require.ErrorContains(t, err, "@born: the value is out of range")
	require.ErrorIs(t, err, pgxfield.ErrValue)
	_, err = table.CopyFrom(t.Context(), conn, func(yield func(*customer, error) bool) { yield(bad, nil) })
	require.ErrorIs(t, err, pgxfield.ErrValue)
	require.ErrorContains(t, err, "pgxfield: customers: copy: row 1: column born: the value is out of range")

	run(t, conn, "set standard_conforming_strings = off")
	_, err = conn.Exec(t.Context(), insertCustomer, table.Args(ann(1)))
	require.ErrorContains(t, err, "standard_conforming_strings")
}

// TestArgs covers what is sealed when.
func TestArgs(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	c := ann(1)
	args := table.Args(c, pgx.NamedArgs{"limit": 1, "unused": nil})
	c.ID, c.Email, *c.SSN = 2, "bob@example.com", "changed"
	_, err := conn.Exec(ctx, insertCustomer+" -- @limit", args)
	require.NoError(t, err)
	all, err := query(t, conn, table.Row(ctx), "select * from customers where id < 1 + @limit", args)
	require.NoError(t, err)
	require.Equal(t, []customer{*ann(1)}, all, "the row was copied by Args")

	raw := func() (raw [4][]byte) {
		require.NoError(t, conn.QueryRow(ctx, "select email, email_idx, ssn, born from customers").Scan(&raw[0], &raw[1], &raw[2], &raw[3]))
		return raw
	}
	before := raw()
	update := &customer{ID: 1, Email: "new@example.com"}
	tag, err := conn.Exec(ctx, "update customers set email=@email, email_idx=@email_idx where id=@id", table.Args(update))
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	after := raw()
	require.NotEqual(t, before[0], after[0])
	require.NotEqual(t, before[1], after[1])
	require.Equal(t, before[2:], after[2:], "one column was updated")
	all, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err)
	want := *ann(1)
	want.Email = "new@example.com"
	require.Equal(t, []customer{want}, all)

	// A key that is zero is none, also where only the row is looked for.
	_, err = conn.Exec(ctx, "select @ssn::bytea", table.Args(&customer{SSN: ptr("x")}))
	require.ErrorContains(t, err, "row key column id")
}

// TestArgsCopies changes everything that a row holds after Args.
func TestArgsCopies(t *testing.T) {
	type row struct {
		ID    []byte            `db:"id"`
		Words []string          `db:"words" seal:"encrypt"`
		Map   map[string]string `db:"map" seal:"encrypt"`
		Data  []byte            `db:"data" seal:"encrypt"`
		Clear []int32           `db:"clear"`
	}
	conn := connect(t)
	table := newTable[row](t, keyringtest.NewKeyring(t), "t", byID)
	run(t, conn, "create table t (id bytea, words bytea, map bytea, data bytea, clear int[])")
	make := func() *row {
		return &row{[]byte{1, 2}, []string{"a", "b"}, map[string]string{"a": "b"}, []byte("data"), []int32{1, 2}}
	}
	r := make()
	args := table.Args(r)
	r.ID[0], r.Words[0], r.Map["a"], r.Data[0], r.Clear[0] = 9, "x", "x", 'x', 9
	_, err := conn.Exec(t.Context(), "insert into t (id, words, map, data, clear) values (@id, @words, @map, @data, @clear)", args)
	require.NoError(t, err)
	all, err := query(t, conn, table.Row(t.Context()), "select * from t")
	require.NoError(t, err)
	require.Equal(t, []row{*make()}, all)
}

// TestRowRefuses covers the results that must not be read.
func TestRowRefuses(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	for _, c := range []struct{ sql, want string }{
		{"select *, 1 as extra from customers", "the result has a column extra, which pgxfield_test.customer has not"},
		{"select *, email from customers", "the result has the column email twice"},
		{"select id, id, email from customers", "the result has the column id twice"},
		{"select email from customers", "sealed column email without id, which it is bound to"},
		{"select id, 'x' as email from customers", "column email of the result is no bytea"},
		{"select id, encode(email, 'hex') as email from customers", "column email of the result is no bytea"},
		{"select id, null::bytea as email from customers", "column email (row key id): the value is NULL"},
		{"select 0::bigint as id, email from customers", "column email (row key id): row key column id is NULL or zero"},
		{"select null::bigint as id, email from customers", "id"},
	} {
		for _, mode := range modes {
			_, err := query(t, conn, table.Row(ctx), c.sql, mode)
			require.ErrorContains(t, err, c.want, mode)
			require.ErrorContains(t, err, "pgxfield: customers: ")
			require.NotErrorIs(t, err, crypto.ErrDecrypt)
		}
	}
	for _, sql := range []string{
		"select 2::bigint as id, email from customers", "select id, ''::bytea as email from customers", `select id, '\x01'::bytea as email from customers`,
		"select id, convert_to('ann@example.com', 'UTF8') as email from customers", "select id, ssn as email from customers", "select id, email_idx as email from customers",
		"select id, email || 'x' as email from customers", "select id, substr(email, 1, octet_length(email) - 1) as email from customers",
	} {
		for _, mode := range modes {
			all, err := query(t, conn, table.Row(ctx), sql, mode)
			require.ErrorIs(t, err, crypto.ErrDecrypt)
			require.ErrorContains(t, err, "column email (row key id)")
			require.Empty(t, all)
		}
	}
	some, err := query(t, conn, table.Row(ctx), "select born, id from customers")
	require.NoError(t, err)
	require.Equal(t, []customer{{ID: 1, Born: ann(1).Born}}, some, "absent columns stay zero")
	_, err = query(t, conn, table.Row(ctx), "select id from customers")
	require.NoError(t, err)

	run(t, conn, "set bytea_output = escape")
	_, err = query(t, conn, table.Row(ctx), "select * from customers", pgx.QueryExecModeSimpleProtocol)
	require.ErrorContains(t, err, "bytea_output")
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err)
	require.NoError(t, table.Verify(ctx, conn))
}

// TestRowFollowsTheResult reads results of different shapes with one function,
// also when pgx uses the memory of the last column description again.
func TestRowFollowsTheResult(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	row := table.Row(ctx)
	for range 3 {
		for _, mode := range modes {
			one, err := query(t, conn, row, "select id, email from customers", mode)
			require.NoError(t, err)
			require.Equal(t, []customer{{ID: 1, Email: "Ann@Example.com"}}, one)
			two, err := query(t, conn, row, "select id, ssn from customers", mode)
			require.NoError(t, err)
			require.Equal(t, []customer{{ID: 1, SSN: ptr("078-05-1120")}}, two)
			_, err = query(t, conn, row, "select email as ssn, id from customers", mode)
			require.ErrorIs(t, err, crypto.ErrDecrypt)
		}
	}
}

// TestTypeChanged reads values with a struct whose type is another.
func TestTypeChanged(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	type narrow struct {
		ID int64   `db:"id"`
		N  int16   `db:"n" seal:"encrypt"`
		NS []int16 `db:"ns" seal:"encrypt"`
		S  string  `db:"s" seal:"encrypt,type=varchar"`
	}
	type wide struct {
		ID int64   `db:"id"`
		N  int64   `db:"n" seal:"encrypt,type=int8"`
		NS []int64 `db:"ns" seal:"encrypt,type=int8[]"`
		S  *string `db:"s" seal:"encrypt,type=text"`
	}
	type other struct {
		ID int64 `db:"id"`
		N  bool  `db:"n" seal:"encrypt"`
	}
	run(t, conn, "create table t (id bigint primary key, n bytea, ns bytea, s bytea)")
	insert := "insert into t (id, n, ns, s) values (@id, @n, @ns, @s)"
	small, large, foreign := newTable[narrow](t, kr, "t", byID), newTable[wide](t, kr, "t", byID), newTable[other](t, kr, "t", byID)
	_, err := conn.Exec(ctx, insert, small.Args(&narrow{1, -5, []int16{1, 2}, "s"}))
	require.NoError(t, err)
	all, err := query(t, conn, large.Row(ctx), "select * from t")
	require.NoError(t, err)
	require.Equal(t, []wide{{1, -5, []int64{1, 2}, ptr("s")}}, all)
	_, err = conn.Exec(ctx, insert, large.Args(&wide{2, 1 << 40, []int64{3}, ptr("t")}))
	require.NoError(t, err)
	_, err = query(t, conn, small.Row(ctx), "select * from t where id = 2")
	require.ErrorContains(t, err, "column n (row key id): the value is out of range")
	_, err = conn.Exec(ctx, "update t set n = null, ns = @ns where id = @id", large.Args(&wide{2, 1, []int64{1 << 40}, nil}))
	require.NoError(t, err)
	_, err = query(t, conn, small.Row(ctx), "select id, ns from t where id = 2")
	require.ErrorContains(t, err, "column ns (row key id): the int8[] value does not fit Go type []int16")
	_, err = query(t, conn, foreign.Row(ctx), "select id, n from t where id = 1")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "a changed type fails instead of misreading")
}

// TestUpsertAndChangedKey shows the unsafe forms refused on read, and the safe
// ones of the package documentation.
func TestUpsertAndChangedKey(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	run(t, conn, "create unique index on customers (email_idx)")
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	const set = ` do update set email = excluded.email, email_idx = excluded.email_idx, ssn = excluded.ssn, born = excluded.born`

	_, err = conn.Exec(ctx, insertCustomer+" on conflict (id)"+set, table.Args(ann(1)))
	require.NoError(t, err)
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err, "upsert on the row key")

	const merge = `merge into customers c using (select @id::bigint as id) s on %s when matched then update set email = @email, email_idx = @email_idx, ssn = @ssn, born = @born
		when not matched then insert (id, email, email_idx, ssn, born) values (@id, @email, @email_idx, @ssn, @born)`
	for range 2 {
		_, err = conn.Exec(ctx, fmt.Sprintf(merge, "c.id = s.id"), table.Args(ann(1)))
		require.NoError(t, err)
		_, err = query(t, conn, table.Row(ctx), "select * from customers")
		require.NoError(t, err, "merge on the row key")
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(merge, "c.email_idx = @email_idx"), table.Args(ann(2)))
	require.NoError(t, err)
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "merge on another column")
	run(t, conn, "create temporary table staged as select * from customers")
	_, err = conn.Exec(ctx, "update customers c set email = s.email, email_idx = s.email_idx, ssn = s.ssn, born = s.born from staged s where c.id <> @id", table.Args(ann(9)))
	require.NoError(t, err)
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "values of another row")

	_, err = conn.Exec(ctx, insertCustomer+" on conflict (email_idx)"+set, table.Args(ann(2)))
	require.NoError(t, err)
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "upsert on another column: row 1 has values that are bound to row 2")

	_, err = conn.Exec(ctx, insertCustomer+" on conflict (id)"+set, table.Args(ann(1)))
	require.NoError(t, err)
	run(t, conn, "update customers set id = 3")
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "changed primary key")

	run(t, conn, "update customers set id = 1")
	all, err := query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err)
	c := all[0]
	c.ID = 3
	_, err = conn.Exec(ctx, `update customers set id = @id, email = @email, email_idx = @email_idx, ssn = @ssn, born = @born where id = @old`,
		table.Args(&c, pgx.NamedArgs{"old": 1}))
	require.NoError(t, err)
	all, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err, "sealed anew with the new key")
	require.Equal(t, []customer{*ann(3)}, all)
}

// TestKeyringErrors holds that what the keyring says can be told apart.
func TestKeyringErrors(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table := newCustomers(t, kr)
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)

	other := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	_, err = query(t, conn, other.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	var about *keyring.KeyError
	require.True(t, errors.As(err, &about))

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = conn.Exec(canceled, insertCustomer, table.Args(ann(2)))
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, kr.Close())
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
	_, err = conn.Exec(ctx, insertCustomer, table.Args(ann(2)))
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestPlaintextIsRefused holds the CHECKs to their word.
func TestPlaintextIsRefused(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	type blob struct {
		ID   int64           `db:"id"`
		JSON json.RawMessage `db:"json" seal:"encrypt"`
	}
	_, _, err = newTable[blob](t, keyringtest.NewKeyring(t), "t", byID).Args(&blob{1, json.RawMessage("{secret")}).RewriteQuery(ctx, nil, "@json", nil)
	require.ErrorContains(t, err, "@json: the value is no JSON")
	for _, mode := range modes {
		for _, set := range []string{
			"email = @v::text::bytea", "ssn = @v::text::bytea", "email_idx = @v::text::bytea", `ssn = '\x01'`, `ssn = ''`,
			`ssn = decode('01' || repeat('7f', 50), 'hex')`, `ssn = decode('0180' || repeat('00', 30), 'hex')`, `email_idx = email`, `email = email_idx`,
			`email_idx = 'ann.smith@example.com'`, `email_idx = decode('017f' || repeat('00', 19), 'hex')`,
		} {
			_, err := conn.Exec(ctx, "update customers set "+set+" where @v::text is not null", mode, pgx.NamedArgs{"v": "a plain text that is long enough to pass by its length"})
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg, set)
			require.Equal(t, "23514", pg.Code, "check_violation")
		}
	}
	_, err = query(t, conn, table.Row(ctx), "select * from customers")
	require.NoError(t, err)
}

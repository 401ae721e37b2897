package pgxfield_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// marker is the plaintext that must be seen nowhere.
const marker = "MARKER-4711"

// leaky fails to encode and to decode, with its value in the error.
type leaky struct{ s string }

func (l leaky) TextValue() (pgtype.Text, error) { return pgtype.Text{}, errors.New(l.s) }
func (l *leaky) ScanText(v pgtype.Text) error   { return errors.New(v.String) }

// collector is a logger for tracelog that keeps everything in every form.
type collector struct{ bytes.Buffer }

func (c *collector) Log(_ context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
	fmt.Fprintf(c, "%s %v %+v %#v\n", msg, data, data, data)
	for k, v := range data {
		slog.New(slog.NewTextHandler(c, nil)).Info(msg, k, v)
		slog.New(slog.NewJSONHandler(c, nil)).Info(msg, k, v)
	}
}

// printed is all that printers make of v.
func printed(t *testing.T, v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb[:1]+"+v", v, &v)
		fmt.Fprintf(&out, verb, []any{v})
	}
	js, err := json.Marshal(v)
	require.NoError(t, err)
	out.Write(js)
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "v", v)
	return out.String()
}

type failures struct{ bytes.Buffer }

func (f *failures) Errorf(format string, args ...any) { fmt.Fprintf(f, format, args...) }

// testifyDiff is what testify says of two values that differ: it looks into fields that
// are not exported, and past methods.
func testifyDiff(a, b any) string {
	var f failures
	assert.Equal(&f, a, b)
	return f.String()
}

func holdsNothing(t *testing.T, text string) {
	t.Helper()
	require.NotEmpty(t, text)
	for _, form := range []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("% x", marker[:6]), fmt.Sprint([]byte(marker))} {
		require.NotContains(t, text, form)
	}
}

// TestTextRowsAndSearchQueriesAreNotPrinted has both in use, with values in them.
func TestTextRowsAndSearchQueriesAreNotPrinted(t *testing.T) {
	ctx := t.Context()
	_, table := newCustomers(t, keyringtest.NewKeyring(t))
	rows, err := table.TextRows(table.Columns())
	require.NoError(t, err)
	other, err := table.TextRows(table.Columns())
	require.NoError(t, err)
	row := [][]byte{[]byte("1"), []byte(marker), nil, []byte(marker), []byte("2000-01-01")}
	require.Len(t, table.Columns(), len(row))
	require.NoError(t, rows.Seal(ctx, row))
	require.NoError(t, rows.Open(ctx, row))
	require.Equal(t, marker, string(row[1]), "it is in the memory of rows")
	require.Contains(t, testifyDiff(struct{ opened []byte }{row[1]}, struct{ opened []byte }{}), "4d 41 52 4b 45 52", "control: a field that is not exported is found")
	holdsNothing(t, printed(t, rows))
	holdsNothing(t, testifyDiff(rows, other))

	q := pgxfield.SearchQuery{Column: "email", Value: marker, Args: pgx.NamedArgs{"x": marker}, After: []any{marker}}
	type plain pgxfield.SearchQuery
	require.Contains(t, printed(t, plain(q)), marker, "control")
	holdsNothing(t, printed(t, q))
	require.Contains(t, printed(t, q), "pgxfield.SearchQuery(email)")
}

// TestNothingIsPrinted looks for the marker in all that pgx logs and all that
// printers make of Args. Its control is pgx.NamedArgs, where the marker has to
// be found by the same means.
func TestNothingIsPrinted(t *testing.T) {
	ctx := t.Context()
	var log collector
	conn := connect(t, func(c *pgx.ConnConfig) {
		c.Tracer = &tracelog.TraceLog{Logger: &log, LogLevel: tracelog.LogLevelTrace}
	})
	table := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	run(t, conn, createCustomers)
	run(t, conn, table.DDL()...)
	c := &customer{1, marker, ptr(marker), time.Now()}
	args := table.Args(c, pgx.NamedArgs{"x": marker})
	control := pgx.NamedArgs{"email": marker, "x": marker}

	require.Contains(t, printed(t, control), marker, "control")
	require.Contains(t, testifyDiff(control, pgx.NamedArgs{}), marker, "control")
	holdsNothing(t, printed(t, args))
	holdsNothing(t, testifyDiff(args, table.Args(c)))
	require.Contains(t, printed(t, args), "pgxfield.Args(customers)")

	for _, mode := range modes {
		log.Reset()
		c.ID++
		_, err := conn.Exec(ctx, insertCustomer, mode, table.Args(c))
		require.NoError(t, err)
		c.ID++
		rows, err := conn.Query(ctx, insertCustomer+" returning *", mode, table.Args(c))
		require.NoError(t, err)
		_, err = pgx.CollectRows(rows, table.Row(ctx))
		require.NoError(t, err)
		_, err = conn.Exec(ctx, insertCustomer, mode, table.Args(c))
		require.Error(t, err, "duplicate key")
		require.NotContains(t, err.Error(), marker)
		var batch pgx.Batch
		c.ID++
		batch.Queue(insertCustomer, table.Args(c))
		batch.Queue("bad sql", table.Args(c))
		require.Error(t, conn.SendBatch(ctx, &batch).Close())
		require.NotEmpty(t, log.String())
		for _, form := range []string{marker, fmt.Sprintf("%x", marker), fmt.Sprintf("%v", []byte(marker))} {
			require.NotContains(t, log.String(), form)
		}
		_, err = conn.Exec(ctx, "select @email::text", mode, control)
		require.NoError(t, err)
		require.Contains(t, log.String(), marker, "control")
	}
}

// TestErrorsHoldNoValue makes every kind of encoder and decoder fail.
func TestErrorsHoldNoValue(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, "create table t (id bigint primary key, a bytea, a_idx bytea)")
	check := func(err error) {
		t.Helper()
		require.Error(t, err)
		text := err.Error()
		for e := err; e != nil; e = errors.Unwrap(e) {
			text += fmt.Sprintf("%v %+v %#v", e, e, e)
		}
		for _, part := range []string{marker, "4711", fmt.Sprintf("%x", marker)} {
			require.NotContains(t, text, part)
		}
		require.Contains(t, text, "pgxfield")
	}
	write := func(args pgx.QueryRewriter) {
		t.Helper()
		_, err := conn.Exec(ctx, "insert into t (id, a) values (@id, @a)", args)
		check(err)
	}
	type custom struct {
		ID int64 `db:"id"`
		A  leaky `db:"a" seal:"encrypt,type=text"`
	}
	type uuid struct {
		ID int64  `db:"id"`
		A  string `db:"a" seal:"encrypt,type=uuid"`
	}
	type raw struct {
		ID int64           `db:"id"`
		A  json.RawMessage `db:"a" seal:"encrypt"`
	}
	type text struct {
		ID int64  `db:"id"`
		A  string `db:"a" seal:"encrypt"`
	}
	type structured struct {
		ID int64 `db:"id"`
		A  struct {
			X int
		} `db:"a" seal:"encrypt"`
	}
	type digits struct {
		ID int64  `db:"id"`
		A  string `db:"a" seal:"encrypt,index=a_idx,norm=digits"`
	}
	_, err := pgtype.NewMap().Encode(pgtype.TextOID, pgtype.BinaryFormatCode, leaky{marker}, nil)
	require.ErrorContains(t, err, marker, "control: pgx's own error holds it")

	write(newTable[custom](t, kr, "t", byID).Args(&custom{1, leaky{marker}}))
	write(newTable[uuid](t, kr, "t", byID).Args(&uuid{1, marker}))
	write(newTable[raw](t, kr, "t", byID).Args(&raw{1, json.RawMessage(marker)}))
	write(newTable[text](t, kr, "t", byID).Args(&text{1, marker + "\x00"}))
	write(newTable[digits](t, kr, "t", byID).Args(&digits{1, marker}))
	_, err = conn.Exec(ctx, "insert into t (id, a, a_idx) values (@id, @a, @a_idx)", newTable[digits](t, kr, "t", byID).Args(&digits{1, marker}))
	check(err)
	_, err = newTable[digits](t, kr, "t", byID).Match(ctx, "a", marker)
	check(err)

	// Arguments in the clear of a statement that is the package's own.
	for _, q := range []pgxfield.SearchQuery{
		{Column: "a", Value: "4711", After: []any{marker}}, {Column: "a", Value: "4711", Where: "id = @v", Args: pgx.NamedArgs{"v": marker}},
	} {
		_, err := conn.Exec(ctx, "select * from t where id = $1", marker)
		require.ErrorContains(t, err, marker, "control: pgx's own error holds it")
		for _, err := range newTable[digits](t, kr, "t", byID).Search(ctx, conn, q) {
			check(err)
		}
	}
	for _, mode := range modes {
		conn := reconnect(t, conn, mode)
		for _, err := range newTable[digits](t, kr, "t", byID).Search(ctx, conn, pgxfield.SearchQuery{Column: "a", Value: "4711", After: []any{struct{ S string }{marker}}}) {
			check(err)
		}
	}

	// Values that are there, but can not be decoded.
	_, err = conn.Exec(ctx, "insert into t (id, a) values (@id, @a)", newTable[text](t, kr, "t", byID).Args(&text{1, marker}))
	require.NoError(t, err)
	_, err = query(t, conn, newTable[custom](t, kr, "t", byID).Row(ctx), "select id, a from t")
	check(err)
	require.Contains(t, err.Error(), "column a (row key id): the text value does not fit Go type pgxfield_test.leaky")
	_, err = conn.Exec(ctx, "update t set a = @a where id = @id", newTable[raw](t, kr, "t", byID).Args(&raw{1, json.RawMessage(`{"X": "` + marker + `"}`)}))
	require.NoError(t, err)
	_, err = query(t, conn, newTable[structured](t, kr, "t", byID).Row(ctx), "select id, a from t")
	check(err)
	require.Contains(t, err.Error(), "column a (row key id): the jsonb value does not fit Go type struct")
}

// TestConcurrentUse shares one table, one row function and one statement among
// goroutines; run it with -race.
func TestConcurrentUse(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	row := table.Row(ctx)
	var wg sync.WaitGroup
	for g := range 4 {
		conn := reconnect(t, conn, modes[g])
		wg.Go(func() {
			for i := range 50 {
				want := *ann(int64(g*1000 + i + 1))
				want.Email = fmt.Sprint("mail", g, "-", i)
				rows, err := conn.Query(ctx, insertCustomer+" returning *", table.Args(&want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := pgx.CollectExactlyOneRow(rows, row)
				if err != nil || got.ID != want.ID || got.Email != want.Email || *got.SSN != *want.SSN {
					t.Errorf("got another row: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

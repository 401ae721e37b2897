package pgxfield_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

type status string
type level int32
type userID [16]byte

type address struct {
	Street string
	No     int
}

// everything has a field of each type that is promised.
type everything struct {
	ID        int64            `db:"id"`
	Plain     *string          `db:"plain"`
	Text      string           `db:"text" seal:"encrypt,index=text_idx"`
	Status    status           `db:"status" seal:"encrypt"`
	TextP     *string          `db:"text_p" seal:"encrypt"`
	StatusP   *status          `db:"status_p" seal:"encrypt"`
	PgText    pgtype.Text      `db:"pg_text" seal:"encrypt"`
	Int2      int16            `db:"int2" seal:"encrypt"`
	Int4      int32            `db:"int4" seal:"encrypt"`
	Int8      int64            `db:"int8" seal:"encrypt"`
	Int       int              `db:"int" seal:"encrypt,type=int4"`
	Uint64    uint64           `db:"uint64" seal:"encrypt"`
	Level     *level           `db:"level" seal:"encrypt"`
	PgInt4    pgtype.Int4      `db:"pg_int4" seal:"encrypt"`
	SQLInt    sql.NullInt64    `db:"sql_int" seal:"encrypt,type=int8"`
	Bool      bool             `db:"bool" seal:"encrypt"`
	BoolP     *bool            `db:"bool_p" seal:"encrypt"`
	Float4    float32          `db:"float4" seal:"encrypt"`
	Float8    *float64         `db:"float8" seal:"encrypt"`
	Date      time.Time        `db:"date" seal:"encrypt,type=date"`
	PgDate    pgtype.Date      `db:"pg_date" seal:"encrypt"`
	Time      time.Time        `db:"time" seal:"encrypt"`
	TimeP     *time.Time       `db:"time_p" seal:"encrypt"`
	Timestamp time.Time        `db:"timestamp" seal:"encrypt,type=timestamp"`
	Interval  time.Duration    `db:"interval" seal:"encrypt"`
	Numeric   pgtype.Numeric   `db:"numeric" seal:"encrypt"`
	NumericS  string           `db:"numeric_s" seal:"encrypt,type=numeric"`
	UUID      [16]byte         `db:"uuid" seal:"encrypt"`
	UserID    *userID          `db:"user_id" seal:"encrypt"`
	UUIDS     string           `db:"uuid_s" seal:"encrypt,type=uuid"`
	Bytes     []byte           `db:"bytes" seal:"encrypt"`
	JSON      json.RawMessage  `db:"json" seal:"encrypt"`
	Map       map[string]any   `db:"map" seal:"encrypt"`
	Address   address          `db:"address" seal:"encrypt"`
	AddressP  *address         `db:"address_p" seal:"encrypt,type=json"`
	Addr      netip.Addr       `db:"addr" seal:"encrypt"`
	Texts     []string         `db:"texts" seal:"encrypt"`
	TextPs    []*string        `db:"text_ps" seal:"encrypt"`
	Ints      []int64          `db:"ints" seal:"encrypt"`
	Int2s     []int16          `db:"int2s" seal:"encrypt,type=int2[]"`
	Grid      [][]int32        `db:"grid" seal:"encrypt"`
	Bools     []bool           `db:"bools" seal:"encrypt"`
	Times     []time.Time      `db:"times" seal:"encrypt"`
	Dates     []time.Time      `db:"dates" seal:"encrypt,type=_date"`
	Numerics  []pgtype.Numeric `db:"numerics" seal:"encrypt"`
	UUIDs     [][16]byte       `db:"uuids" seal:"encrypt"`
	JSONs     []map[string]int `db:"jsons" seal:"encrypt"`
	Blobs     [][]byte         `db:"blobs" seal:"encrypt"`
	Unbound   string           `db:"unbound" seal:"encrypt,norow"`
	Left      string           `db:"-"`
}

func ptr[E any](v E) *E { return &v }

// full has a value everywhere, empty only what would be NULL otherwise.
func full(id int64) everything {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	day := time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)
	number := pgtype.Numeric{Int: mustInt("12345678901234567890123456"), Exp: -6, Valid: true} // 26 digits
	return everything{
		ID: id, Plain: ptr("clear"), Text: "Grüße, 世界", Status: "new", TextP: ptr(""), StatusP: ptr(status("old")), PgText: pgtype.Text{String: "t", Valid: true},
		Int2: -32768, Int4: 1 << 30, Int8: -1 << 63, Int: -1, Uint64: 1<<63 - 1, Level: ptr(level(7)), PgInt4: pgtype.Int4{Int32: -5, Valid: true}, SQLInt: sql.NullInt64{Int64: 9, Valid: true},
		Bool: true, BoolP: ptr(false), Float4: 1.5, Float8: ptr(-0.1),
		Date: day, PgDate: pgtype.Date{Time: day, Valid: true}, Time: at, TimeP: ptr(at.AddDate(-2500, 0, 0)), Timestamp: at, Interval: 90 * time.Minute,
		Numeric: number, NumericS: "-98765432109876543210.123456", UUID: [16]byte{1, 15: 255}, UserID: &userID{2}, UUIDS: "0a0b0c0d-0102-0304-0506-0708090a0b0c",
		Bytes: []byte{}, JSON: json.RawMessage(`{"a": [1, null]}`), Map: map[string]any{"x": "y", "n": 1.5}, Address: address{"Main St", 5}, AddressP: &address{No: 1},
		Addr: netip.MustParseAddr("2001:db8::1"), Texts: []string{}, TextPs: []*string{ptr("a"), nil, ptr("")}, Ints: []int64{1, -1}, Int2s: []int16{-3, 3}, Grid: [][]int32{{1, 2}, {3, 4}},
		Bools: []bool{true, false}, Times: []time.Time{at}, Dates: []time.Time{day}, Numerics: []pgtype.Numeric{number}, UUIDs: [][16]byte{{1}, {2}},
		JSONs: []map[string]int{{"a": 1}}, Blobs: [][]byte{{0}, {}}, Unbound: "free",
	}
}

// empty has NULL wherever the type allows it and zero elsewhere.
func empty(id int64) everything {
	return everything{ID: id, NumericS: "0", UUIDS: "00000000-0000-0000-0000-000000000000", Addr: netip.MustParseAddr("::")}
}

func mustInt(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

// createSQL makes the table for t with all its columns: id in the clear.
func createSQL(name string, columns []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "create table %s (id bigint primary key", name)
	for _, c := range columns {
		switch c {
		case "id":
		case "plain":
			b.WriteString(", plain text")
		default:
			fmt.Fprintf(&b, ", %q bytea", c)
		}
	}
	return b.String() + ")"
}

func insertSQL(name string, columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = fmt.Sprintf("%q", c)
	}
	return fmt.Sprintf("insert into %s (%s) values (@%s)", name, strings.Join(quoted, ", "), strings.Join(columns, ", @"))
}

// utc brings the times of a row to one location, so that they compare.
func (e everything) utc() everything {
	for _, p := range []*time.Time{&e.Time, &e.Timestamp, &e.Date} {
		*p = p.UTC()
	}
	if e.TimeP != nil {
		e.TimeP = ptr(e.TimeP.UTC())
	}
	for i := range e.Times {
		e.Times[i] = e.Times[i].UTC()
	}
	return e
}

// TestRoundTrip writes and reads every type in every exec mode by every way that
// pgx has.
func TestRoundTrip(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	table := newTable[everything](t, keyringtest.NewKeyring(t), "everything", pgxfield.Config{RowKey: []string{"id"}})
	run(t, conn, createSQL("everything", table.Columns()))
	run(t, conn, table.DDL()...)
	run(t, conn, table.DDL()...)
	insert := insertSQL("everything", table.Columns())

	want := map[int64]everything{}
	var id int64
	next := func(make func(int64) everything) *everything {
		id++
		row := make(id)
		want[id] = row
		return &row
	}
	for _, mode := range modes {
		for _, kind := range []func(int64) everything{full, empty} {
			_, err := conn.Exec(ctx, insert, mode, table.Args(next(kind)))
			require.NoError(t, err, mode)

			rows, err := conn.Query(ctx, insert+" returning *", mode, table.Args(next(kind)))
			require.NoError(t, err)
			back, err := pgx.CollectExactlyOneRow(rows, table.Row(ctx))
			require.NoError(t, err, mode)
			require.Equal(t, want[id], back.utc())

			tx, err := conn.Begin(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, insert, mode, table.Args(next(kind)))
			require.NoError(t, err)
			require.NoError(t, tx.Commit(ctx))
		}
	}
	for _, mode := range modes {
		conn := reconnect(t, conn, mode)
		var batch pgx.Batch
		for range 3 {
			batch.Queue(insert, table.Args(next(full)))
			batch.Queue(insert, table.Args(next(empty)))
		}
		batch.Queue("select * from everything").Query(func(rows pgx.Rows) error {
			all, err := pgx.CollectRows(rows, table.Row(ctx))
			require.NoError(t, err)
			require.Len(t, all, len(want))
			return nil
		})
		require.NoError(t, conn.SendBatch(ctx, &batch).Close(), mode)
	}
	for _, mode := range modes {
		rows, err := conn.Query(ctx, "select * from everything", mode)
		require.NoError(t, err)
		all, err := pgx.CollectRows(rows, table.Row(ctx))
		require.NoError(t, err, mode)
		require.Len(t, all, len(want))
		for _, row := range all {
			require.Equal(t, want[row.ID], row.utc())
		}
		tags, err := table.Match(ctx, "text", "Grüße, 世界")
		require.NoError(t, err)
		rows, err = conn.Query(ctx, "select id, text from everything where text_idx = any($1)", mode, tags)
		require.NoError(t, err)
		all, err = pgx.CollectRows(rows, table.Row(ctx))
		require.NoError(t, err)
		require.Len(t, all, len(want)/2)
	}
	var nulls, empties int
	require.NoError(t, conn.QueryRow(ctx, "select count(*) filter (where text_p is null), count(*) filter (where octet_length(bytes) = 45) from everything").Scan(&nulls, &empties))
	require.Equal(t, len(want)/2, nulls, "NULL stays NULL")
	require.Equal(t, len(want)/2, empties, "and empty stays empty")
}

func reconnect(t testing.TB, conn *pgx.Conn, mode pgx.QueryExecMode) *pgx.Conn {
	cfg := conn.Config()
	cfg.DefaultQueryExecMode = mode
	other, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { other.Close(context.Background()) })
	return other
}

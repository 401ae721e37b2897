package sqlfield_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

type (
	mood    string
	address struct {
		Street string
		No     int
	}
	pair struct {
		Street string
		No     *int32
	}
)

// wide has many types, with pgxfield's tags.
type wide struct {
	ID       int64                                        `db:"id"`
	Text     string                                       `db:"text" seal:"encrypt,index=text_idx,norm=email"`
	TextP    *string                                      `db:"text_p" seal:"encrypt"`
	Mood     mood                                         `db:"mood" seal:"encrypt"`
	Int      int                                          `db:"int" seal:"encrypt,index=int_idx"`
	Int16    int16                                        `db:"int16" seal:"encrypt"`
	Uint32P  *uint32                                      `db:"uint32_p" seal:"encrypt"`
	Bool     bool                                         `db:"bool" seal:"encrypt"`
	Float    float64                                      `db:"float" seal:"encrypt"`
	Float32  float32                                      `db:"float32" seal:"encrypt"`
	Bytes    []byte                                       `db:"bytes" seal:"encrypt"`
	UUID     [16]byte                                     `db:"uuid" seal:"encrypt"`
	Time     time.Time                                    `db:"time" seal:"encrypt"`
	Duration time.Duration                                `db:"duration" seal:"encrypt"`
	JSON     map[string]string                            `db:"json" seal:"encrypt"`
	Struct   address                                      `db:"struct" seal:"encrypt"`
	Raw      json.RawMessage                              `db:"raw" seal:"encrypt"`
	Texts    []string                                     `db:"texts" seal:"encrypt"`
	Ints     []int32                                      `db:"ints" seal:"encrypt"`
	Times    []time.Time                                  `db:"times" seal:"encrypt"`
	Addr     netip.Addr                                   `db:"addr" seal:"encrypt"`
	PgText   pgtype.Text                                  `db:"pg_text" seal:"encrypt"`
	Numeric  pgtype.Numeric                               `db:"numeric" seal:"encrypt"`
	Range    pgtype.Range[pgtype.Int4]                    `db:"range" seal:"encrypt"`
	Array    pgtype.Array[string]                         `db:"dims" seal:"encrypt"`
	Date     time.Time                                    `db:"date" seal:"encrypt,type=date"`
	Stamp    time.Time                                    `db:"stamp" seal:"encrypt,type=timestamp"`
	Decimal  string                                       `db:"decimal" seal:"encrypt,type=numeric"`
	Varchar  string                                       `db:"varchar" seal:"encrypt,type=varchar"`
	Document map[string]string                            `db:"document" seal:"encrypt,type=json"`
	NullStr  sql.NullString                               `db:"null_str" seal:"encrypt,type=text"`
	NullInt  sql.Null[int64]                              `db:"null_int" seal:"encrypt,type=int8"`
	Enum     mood                                         `db:"enum" seal:"encrypt,type=app.mood"`
	Enums    []mood                                       `db:"enums" seal:"encrypt,type=mood[]"`
	Pair     pair                                         `db:"pair" seal:"encrypt,type=pair"`
	Loose    string                                       `db:"loose" seal:"encrypt,norow"`
	Ranges   []pgtype.Range[pgtype.Int4]                  `db:"ranges" seal:"encrypt"`
	Maps     []map[string]string                          `db:"maps" seal:"encrypt,type=jsonb[]"`
	Multi    pgtype.Multirange[pgtype.Range[pgtype.Int4]] `db:"multi" seal:"encrypt"`
}

func ptr[V any](v V) *V { return &v }

func wideRows() []wide {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.Local)
	day := time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)
	number, _ := new(big.Int).SetString("-12345678901234567890123456", 10)
	four := func(n int32) pgtype.Int4 { return pgtype.Int4{Int32: n, Valid: true} }
	between := pgtype.Range[pgtype.Int4]{Lower: four(1), Upper: four(5), LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}
	return []wide{{
		Text: "Grüße@example.com", TextP: ptr(""), Mood: "sad", Int: math.MinInt64, Int16: -1, Uint32P: ptr(uint32(math.MaxUint32)), Bool: true, Float: 0.1, Float32: 1.1,
		Bytes: []byte{0, 1, 255}, UUID: [16]byte{1, 15: 255}, Time: at, Duration: 90 * time.Minute, JSON: map[string]string{"a": "ü"}, Struct: address{"Main", 5}, Raw: json.RawMessage(`{"a": [1, null]}`),
		Texts: []string{"", "NULL", "a,b"}, Ints: []int32{-1, math.MaxInt32}, Times: []time.Time{at}, Addr: netip.MustParseAddr("2001:db8::1"),
		PgText: pgtype.Text{String: "x", Valid: true}, Numeric: pgtype.Numeric{Int: number, Exp: -6, Valid: true}, Range: between,
		Array: pgtype.Array[string]{Elements: []string{"a", "b"}, Dims: []pgtype.ArrayDimension{{Length: 2, LowerBound: 3}}, Valid: true},
		Date:  day, Stamp: day, Decimal: "0.1000", Varchar: "v", Document: map[string]string{"k": "v"}, NullStr: sql.NullString{String: "x", Valid: true}, NullInt: sql.Null[int64]{V: 7, Valid: true},
		Enum: `it's "ok"`, Enums: []mood{"sad", "a, b"}, Pair: pair{`a "b" (c)`, ptr(int32(-5))}, Loose: "anywhere",
		Ranges: []pgtype.Range[pgtype.Int4]{between, {}}, Maps: []map[string]string{{"a": "b"}, nil}, Multi: pgtype.Multirange[pgtype.Range[pgtype.Int4]]{between},
	}, {Decimal: "-5", Time: at, Date: day, Stamp: day, Enum: "sad", Addr: netip.MustParseAddr("10.0.0.1")}}
}

// TestPgxfield writes rows through pgxfield and reads them through sqlfield, and the
// other way round, with the same tables, types, row keys and scopes.
func TestPgxfield(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t, scoped)
	dsn := pgtest.Database(t)
	db := openDB(t, dsn)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	table, err := pgxfield.NewTable[wide](kr, "app.wide", pgxfield.Config{RowKey: []string{"id"}})
	require.NoError(t, err)
	table = table.In("acme")
	var columns, names []string
	for _, c := range table.Columns() {
		names = append(names, "@"+c)
		columns = append(columns, c+map[bool]string{true: " bigint primary key", false: " bytea"}[c == "id"])
	}
	run(t, db, "create schema app", "create type app.mood as enum ('sad', 'it''s \"ok\"', 'a, b')", "create type app.pair as (street text, no int)", "create table app.wide ("+strings.Join(columns, ", ")+")")
	run(t, db, table.DDL()...)

	for i, row := range wideRows() {
		row.ID = int64(10 * (i + 1))
		_, err := conn.Exec(ctx, "insert into app.wide ("+strings.Join(table.Columns(), ", ")+") values ("+strings.Join(names, ", ")+")", table.Args(&row))
		require.NoError(t, err)
		back := wide{ID: row.ID + 1}
		run(t, db, fmt.Sprintf("insert into app.wide (id) values (%d)", back.ID))

		x := exchange{t, kr, db, table, row.ID}
		own := x.read(row.ID)
		indexed(x, "text", token.IndexConfig{Normalizer: token.Email}, own.Text)
		both(x, "text_p", sqlfield.Config{}, own.TextP)
		both(x, "mood", sqlfield.Config{}, own.Mood)
		indexed(x, "int", token.IndexConfig{}, own.Int)
		both(x, "int16", sqlfield.Config{}, own.Int16)
		both(x, "uint32_p", sqlfield.Config{}, own.Uint32P)
		both(x, "bool", sqlfield.Config{}, own.Bool)
		both(x, "float", sqlfield.Config{}, own.Float)
		both(x, "float32", sqlfield.Config{}, own.Float32)
		both(x, "bytes", sqlfield.Config{}, own.Bytes)
		both(x, "uuid", sqlfield.Config{}, own.UUID)
		both(x, "time", sqlfield.Config{}, own.Time)
		both(x, "duration", sqlfield.Config{}, own.Duration)
		both(x, "json", sqlfield.Config{}, own.JSON)
		both(x, "struct", sqlfield.Config{}, own.Struct)
		both(x, "raw", sqlfield.Config{}, own.Raw)
		both(x, "texts", sqlfield.Config{}, own.Texts)
		both(x, "ints", sqlfield.Config{}, own.Ints)
		both(x, "times", sqlfield.Config{}, own.Times)
		both(x, "addr", sqlfield.Config{}, own.Addr)
		both(x, "pg_text", sqlfield.Config{}, own.PgText)
		both(x, "numeric", sqlfield.Config{}, own.Numeric)
		both(x, "range", sqlfield.Config{}, own.Range)
		both(x, "dims", sqlfield.Config{}, own.Array)
		both(x, "date", sqlfield.Config{Type: "date"}, own.Date)
		both(x, "stamp", sqlfield.Config{Type: "timestamp"}, own.Stamp)
		both(x, "decimal", sqlfield.Config{Type: "numeric"}, own.Decimal)
		both(x, "varchar", sqlfield.Config{Type: "varchar"}, own.Varchar)
		both(x, "document", sqlfield.Config{Type: "json"}, own.Document)
		both(x, "null_str", sqlfield.Config{Type: "text"}, own.NullStr)
		both(x, "null_int", sqlfield.Config{Type: "int8"}, own.NullInt)
		both(x, "enum", sqlfield.Config{Type: "app.mood"}, own.Enum)
		both(x, "enums", sqlfield.Config{Type: "mood[]"}, own.Enums)
		both(x, "pair", sqlfield.Config{Type: "pair"}, own.Pair)
		both(x, "loose", sqlfield.Config{}, own.Loose)
		both(x, "ranges", sqlfield.Config{}, own.Ranges)
		both(x, "maps", sqlfield.Config{Type: "jsonb[]"}, own.Maps)
		both(x, "multi", sqlfield.Config{}, own.Multi)

		// What pgxfield reads of what sqlfield wrote is what it reads of its own.
		other := x.read(back.ID)
		require.Equal(t, row.Text, other.Text)
		other.ID = own.ID
		require.Equal(t, own, other)
	}
}

// exchange is a row that pgxfield wrote, and the next one, to be written.
type exchange struct {
	t     *testing.T
	keys  *keyring.Keyring
	db    *sql.DB
	table *pgxfield.Table[wide]
	id    int64
}

func (x exchange) read(id int64) wide {
	conn, err := x.db.Conn(x.t.Context())
	require.NoError(x.t, err)
	defer conn.Close()
	var row wide
	require.NoError(x.t, conn.Raw(func(driver any) error {
		rows, err := driver.(interface{ Conn() *pgx.Conn }).Conn().Query(x.t.Context(), "select * from app.wide where id = $1", id)
		if err != nil {
			return err
		}
		row, err = pgx.CollectExactlyOneRow(rows, x.table.Row(x.t.Context()))
		return err
	}))
	return row
}

func (x exchange) place(next int64) crypto.Binding {
	return crypto.Binding{Scope: "acme", Row: sqlfield.Row(x.id + next)}
}

// both reads a column that pgxfield wrote, and writes the value to the next row.
func both[V any](x exchange, column string, cfg sqlfield.Config, want V) {
	ctx := x.t.Context()
	cfg.RowBound = column != "loose"
	use[V](x.t, x.keys, "app.wide."+column, cfg)
	var read sealed[V]
	require.NoError(x.t, x.db.QueryRowContext(ctx, "select "+column+" from app.wide where id = $1", x.id).Scan(&read), column)
	got, err := read.OpenAt(ctx, x.place(0))
	require.NoError(x.t, err, column)
	require.Equal(x.t, want, got, column)
	if cfg.RowBound && !read.IsZero() {
		_, err = read.OpenAt(ctx, x.place(1))
		require.ErrorIs(x.t, err, crypto.ErrDecrypt)
	}
	written := sqlfield.Of[mark[V]](got)
	require.NoError(x.t, sqlfield.Seal(ctx, x.place(1), &written), column)
	_, err = x.db.ExecContext(ctx, "update app.wide set "+column+" = $1 where id = $2", written, x.id+1)
	require.NoError(x.t, err, column)
}

// indexed does the same with a column and its index.
func indexed[V any](x exchange, column string, cfg token.IndexConfig, want V) {
	both(x, column, sqlfield.Config{}, want)
	ctx := x.t.Context()
	index, err := use[V](x.t, x.keys, "app.wide."+column, sqlfield.Config{RowBound: true}).NewIndex(cfg)
	require.NoError(x.t, err)
	set(index)
	tags, err := index.Match(ctx, want, "acme")
	require.NoError(x.t, err)
	var id int64
	require.NoError(x.t, x.db.QueryRowContext(ctx, "select id from app.wide where "+column+"_idx = any($1)", tags).Scan(&id))
	require.Equal(x.t, x.id, id)

	written, tagged := sqlfield.Of[mark[V]](want), tag[V]{}
	require.NoError(x.t, sqlfield.Seal(ctx, x.place(1), &written, &tagged))
	_, err = x.db.ExecContext(ctx, fmt.Sprintf("update app.wide set %[1]s = $1, %[1]s_idx = $2 where id = $3", column), written, tagged, x.id+1)
	require.NoError(x.t, err)
	pgxTags, err := x.table.Match(ctx, column, want)
	require.NoError(x.t, err)
	var n int
	require.NoError(x.t, x.db.QueryRowContext(ctx, "select count(*) from app.wide where "+column+"_idx = any($1)", pgxTags).Scan(&n))
	require.Equal(x.t, 2, n)
}

// TestPgx gives values to pgx itself, in all of its modes, and through database/sql with
// each as the default.
func TestPgx(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t)
	dsn := pgtest.Database(t)
	admin := openDB(t, dsn)
	run(t, admin, fmt.Sprintf("create table t (id serial, v bytea check (%s), idx bytea check (%s), text text check (%s))",
		sqlfield.SealedCheck(sqlfield.PostgreSQL, "v"), sqlfield.TagCheck(sqlfield.PostgreSQL, "idx"), sqlfield.TextCheck(sqlfield.PostgreSQL, "text")))
	x := usePerson(t, kr)
	use[*string](t, kr, "t.text", sqlfield.Config{Text: true})
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		cfg, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		cfg.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(ctx, cfg)
		require.NoError(t, err)
		db := stdlib.OpenDB(*cfg)
		name := mode.String()
		v, idx, text := sqlfield.Of[mark[string]](name), tag[string]{}, sqlfield.Of[mark[*string]](&name)
		require.NoError(t, sqlfield.Seal(ctx, crypto.Binding{}, &v, &idx))
		check := func(v sealed[string], text sealed[*string]) {
			got, err := v.Open(ctx)
			require.NoError(t, err)
			require.Equal(t, name, got)
			p, err := text.Open(ctx)
			require.NoError(t, err)
			require.Equal(t, name, *p)
		}
		const insert, read = "insert into t (v, idx, text) values ($1, $2, $3)", "select v, text from t where idx = any($1::bytea[])"
		tags, err := x.Match(ctx, name, "")
		require.NoError(t, err)

		_, err = conn.Exec(ctx, insert, v, &idx, text)
		require.NoError(t, err, mode)
		_, err = conn.Exec(ctx, insert, sealed[string]{}, tag[string]{}, (*sealed[*string])(nil))
		require.NoError(t, err, mode)
		var gotV sealed[string]
		var gotText sealed[*string]
		require.NoError(t, conn.QueryRow(ctx, read, tags).Scan(&gotV, &gotText), mode)
		check(gotV, gotText)
		require.NoError(t, conn.QueryRow(ctx, "select v, text from t where v is null and idx is null and text is null limit 1").Scan(&gotV, &gotText))
		require.True(t, gotV.IsZero() && gotText.IsZero())

		_, err = db.Exec("delete from t")
		require.NoError(t, err)
		_, err = db.Exec(insert, v, &idx, text)
		require.NoError(t, err, mode)
		require.NoError(t, db.QueryRow(read, tags).Scan(&gotV, &gotText), mode)
		check(gotV, gotText)
		require.NoError(t, db.Close())
		require.NoError(t, conn.Close(ctx))
	}
}

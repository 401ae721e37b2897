package pgxfield_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// cell is a row with a sealed column and one in the clear, both of Go type V, which
// may be NULL.
type cell[V any] struct {
	ID    int64 `db:"id"`
	V     V     `db:"v" seal:"encrypt"`
	Clear V     `db:"clear"`
}

// bound is an end of a range that is there.
func between[T any](lo, hi T, types ...pgtype.BoundType) pgtype.Range[T] {
	r := pgtype.Range[T]{Lower: lo, Upper: hi, LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}
	if len(types) == 2 {
		r.LowerType, r.UpperType = types[0], types[1]
	}
	return r
}

func int4(n int32) pgtype.Int4  { return pgtype.Int4{Int32: n, Valid: true} }
func int8v(n int64) pgtype.Int8 { return pgtype.Int8{Int64: n, Valid: true} }

var tries atomic.Int32

// try writes each value to a sealed column of the type and to one in the clear, in
// all modes, reads both back as text and as binary, and holds the sealed one to the
// clear one by PostgreSQL's own judgement.
func try[V any](t *testing.T, conn *pgx.Conn, kr *keyring.Keyring, typ string, values ...V) {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("type %s as %s", typ, reflect.TypeFor[V]())
	cells := fmt.Sprint("cells_", tries.Add(1)) // a fresh one: plans are cached
	table, err := pgxfield.NewTagged[cell[V]](kr, cells, byID, map[string]string{"V": "encrypt,type=" + typ})
	require.NoError(t, err, name)
	run(t, conn, fmt.Sprintf("create table %s (id bigint primary key, v bytea, clear %s)", cells, sqlType(typ)))
	run(t, conn, table.DDL()...)
	id := int64(0)
	for _, v := range values {
		for _, mode := range modes {
			id++
			_, err := conn.Exec(ctx, "insert into "+cells+" (id, v) values (@id, @v)", mode, table.Args(&cell[V]{id, v, v}))
			require.NoError(t, err, name)
			for _, format := range []int16{pgx.TextFormatCode, pgx.BinaryFormatCode} {
				rows, err := conn.Query(ctx, "select id, v from "+cells+" where id = $1", mode, pgx.QueryResultFormats{format}, id)
				require.NoError(t, err)
				got, err := pgx.CollectExactlyOneRow(rows, table.Row(ctx))
				require.NoError(t, err, name)

				// Both go through a column in the clear, and are equal there. As text, for
				// not every type has an equality.
				var texts [2]*string
				for i, c := range []V{v, got.V} {
					_, err := conn.Exec(ctx, "update "+cells+" set clear = $1 where id = $2", any(c), id)
					require.NoError(t, err, name)
					require.NoError(t, conn.QueryRow(ctx, "select clear::text from "+cells+" where id = $1", id).Scan(&texts[i]))
				}
				require.Equal(t, texts[0], texts[1], "%s, %v", name, mode)

				var null bool
				require.NoError(t, conn.QueryRow(ctx, "select v is null from "+cells+" where id = $1", id).Scan(&null))
				require.Equal(t, texts[0] == nil, null, "NULL is sealed as NULL, and nothing else is: %s", name)
			}
		}
	}
}

// sqlType spells a name of pg_type for create table.
func sqlType(typ string) string {
	if element, ok := strings.CutPrefix(typ, "_"); ok {
		return element + "[]"
	}
	if typ == "char" {
		return `"char"`
	}
	return typ
}

// TestBuiltInTypes has every type that PostgreSQL has built in and pgx knows, but for
// those of its own bookkeeping that have no values of their own.
func TestBuiltInTypes(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, "set timezone = 'Asia/Kathmandu'", "set datestyle = 'SQL, DMY'")
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	day := time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)
	number := pgtype.Numeric{Int: mustInt("-12345678901234567890123456"), Exp: -6, Valid: true}
	never := pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	point := func(x, y float64) pgtype.Vec2 { return pgtype.Vec2{X: x, Y: y} }
	done := map[string]bool{}
	test := func(typ string, f func(t *testing.T)) {
		done[typ] = true
		t.Run(typ, f)
	}

	test("text", func(t *testing.T) {
		try(t, conn, kr, "text", ptr(""), nil, ptr("Grüße 'x' \\ \n"))
		try(t, conn, kr, "text", pgtype.Text{}, pgtype.Text{Valid: true}, pgtype.Text{String: "x", Valid: true})
		try(t, conn, kr, "text", sql.NullString{}, sql.NullString{String: "x", Valid: true})
		try(t, conn, kr, "text[]", nil, []string{}, []string{"", "NULL", "a,b", `"{}"`})
		try(t, conn, kr, "text[]", []*string{nil, ptr("")})
		try(t, conn, kr, "_text", pgtype.Array[string]{}, pgtype.Array[string]{Elements: []string{"a", "b"}, Dims: []pgtype.ArrayDimension{{Length: 2, LowerBound: 3}}, Valid: true})
	})
	for _, typ := range []string{"varchar", "bpchar", "name", "xml"} {
		test(typ, func(t *testing.T) {
			v := "<a>x</a>"
			try(t, conn, kr, typ, &v, nil)
			if typ != "xml" {
				try(t, conn, kr, typ+"[]", nil, []string{}, []string{"x", "y"})
			}
		})
	}
	test("bytea", func(t *testing.T) {
		try(t, conn, kr, "bytea", nil, []byte{}, []byte{0, 1, 255})
		try(t, conn, kr, "bytea[]", nil, [][]byte{}, [][]byte{{}, {1}, nil})
	})
	test("bool", func(t *testing.T) {
		try(t, conn, kr, "bool", ptr(true), ptr(false), nil)
		try(t, conn, kr, "bool[]", []bool{true, false}, nil)
		try(t, conn, kr, "bool", pgtype.Bool{}, pgtype.Bool{Bool: true, Valid: true})
	})
	test("int2", func(t *testing.T) {
		try(t, conn, kr, "int2", ptr(int16(math.MinInt16)), nil, ptr(int16(0)))
		try(t, conn, kr, "int2[]", []int16{-1, math.MaxInt16})
		try(t, conn, kr, "int2", pgtype.Int2{}, pgtype.Int2{Int16: 5, Valid: true})
	})
	test("int4", func(t *testing.T) {
		try(t, conn, kr, "int4", ptr(int32(math.MinInt32)), nil)
		try(t, conn, kr, "int4[]", []int32{-1, math.MaxInt32}, nil)
		try(t, conn, kr, "int4[]", [][]int32{{1, 2}, {3, 4}})
	})
	test("int8", func(t *testing.T) {
		try(t, conn, kr, "int8", ptr(int64(math.MinInt64)), nil, ptr(int64(math.MaxInt64)))
		try(t, conn, kr, "int8", sql.NullInt64{}, sql.NullInt64{Int64: 7, Valid: true})
		try(t, conn, kr, "int8[]", pgtype.FlatArray[int64]{1, -1})
	})
	test("float4", func(t *testing.T) {
		try(t, conn, kr, "float4", ptr(float32(1.1)), ptr(float32(math.Inf(-1))), ptr(float32(math.NaN())), nil)
		try(t, conn, kr, "float4[]", []float32{1.5, -0})
	})
	test("float8", func(t *testing.T) {
		try(t, conn, kr, "float8", ptr(0.1), ptr(math.Copysign(0, -1)), ptr(math.MaxFloat64), nil)
		try(t, conn, kr, "float8[]", []float64{0.1, math.Inf(1)})
	})
	test("numeric", func(t *testing.T) {
		try(t, conn, kr, "numeric", number, pgtype.Numeric{}, pgtype.Numeric{NaN: true, Valid: true}, pgtype.Numeric{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, pgtype.Numeric{Int: mustInt("100"), Exp: 20, Valid: true})
		try(t, conn, kr, "numeric[]", []pgtype.Numeric{number, {}})
		try(t, conn, kr, "numeric", ptr("0.1000"), nil)
	})
	test("uuid", func(t *testing.T) {
		try(t, conn, kr, "uuid", ptr([16]byte{1, 15: 255}), nil)
		try(t, conn, kr, "uuid[]", [][16]byte{{1}}, nil)
		try(t, conn, kr, "uuid", pgtype.UUID{}, pgtype.UUID{Bytes: [16]byte{5}, Valid: true})
	})
	test("date", func(t *testing.T) {
		try(t, conn, kr, "date", ptr(day), nil)
		try(t, conn, kr, "date", pgtype.Date{}, pgtype.Date{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, pgtype.Date{Time: day, Valid: true})
		try(t, conn, kr, "date[]", []time.Time{day})
	})
	test("time", func(t *testing.T) {
		try(t, conn, kr, "time", pgtype.Time{}, pgtype.Time{Microseconds: 86_399_999_999, Valid: true})
		try(t, conn, kr, "time[]", []pgtype.Time{{Microseconds: 1, Valid: true}, {}})
	})
	test("timestamp", func(t *testing.T) {
		try(t, conn, kr, "timestamp", ptr(at), nil)
		try(t, conn, kr, "timestamp", pgtype.Timestamp{InfinityModifier: pgtype.Infinity, Valid: true}, pgtype.Timestamp{})
		try(t, conn, kr, "timestamp[]", []time.Time{at})
	})
	test("timestamptz", func(t *testing.T) {
		try(t, conn, kr, "timestamptz", ptr(at), nil)
		try(t, conn, kr, "timestamptz", never, pgtype.Timestamptz{}, pgtype.Timestamptz{Time: at, Valid: true})
		try(t, conn, kr, "timestamptz[]", []time.Time{at}, nil)
	})
	test("interval", func(t *testing.T) {
		try(t, conn, kr, "interval", ptr(90*time.Minute), nil)
		try(t, conn, kr, "interval", pgtype.Interval{}, pgtype.Interval{Months: 13, Days: -2, Microseconds: 1, Valid: true})
		try(t, conn, kr, "interval[]", []pgtype.Interval{{Days: 1, Valid: true}})
	})
	for _, typ := range []string{"json", "jsonb"} {
		test(typ, func(t *testing.T) {
			try(t, conn, kr, typ, nil, json.RawMessage(`{"a": [1, null, "ü"]}`), json.RawMessage(`null`), json.RawMessage(`""`))
			try(t, conn, kr, typ, nil, map[string]any{}, map[string]any{"x": "y", "n": 1.5, "m": map[string]any{}})
			try(t, conn, kr, typ, nil, &address{}, &address{"Main", 5})
			try(t, conn, kr, typ, nil, []address{}, []address{{"Main", 5}})
			try(t, conn, kr, typ, ptr(`[1]`), nil)
			try(t, conn, kr, typ+"[]", []map[string]int{{"a": 1}, nil})
		})
	}
	test("inet", func(t *testing.T) {
		try(t, conn, kr, "inet", ptr(netip.MustParseAddr("2001:db8::1")), nil, ptr(netip.MustParseAddr("10.0.0.1")))
		try(t, conn, kr, "inet[]", []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")})
	})
	test("cidr", func(t *testing.T) {
		try(t, conn, kr, "cidr", ptr(netip.MustParsePrefix("10.0.0.0/8")), nil)
		try(t, conn, kr, "cidr[]", []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")})
	})
	test("macaddr", func(t *testing.T) {
		try(t, conn, kr, "macaddr", nil, net.HardwareAddr{1, 2, 3, 4, 5, 6})
		try(t, conn, kr, "macaddr[]", []net.HardwareAddr{{1, 2, 3, 4, 5, 6}})
	})
	test("macaddr8", func(t *testing.T) { try(t, conn, kr, "macaddr8", nil, net.HardwareAddr{1, 2, 3, 4, 5, 6, 7, 8}) })
	test("bit", func(t *testing.T) {
		try(t, conn, kr, "bit", pgtype.Bits{Bytes: []byte{0x80}, Len: 1, Valid: true}, pgtype.Bits{})
	})
	test("varbit", func(t *testing.T) {
		try(t, conn, kr, "varbit", pgtype.Bits{Bytes: []byte{0xA0, 0x80}, Len: 9, Valid: true}, pgtype.Bits{}, pgtype.Bits{Valid: true})
		try(t, conn, kr, "varbit[]", []pgtype.Bits{{Bytes: []byte{0xA0}, Len: 4, Valid: true}})
	})
	test("point", func(t *testing.T) {
		try(t, conn, kr, "point", pgtype.Point{P: point(1.5, -2), Valid: true}, pgtype.Point{})
		try(t, conn, kr, "point[]", []pgtype.Point{{P: point(1, 2), Valid: true}})
	})
	test("line", func(t *testing.T) {
		try(t, conn, kr, "line", pgtype.Line{A: 1, B: 2, C: 3, Valid: true}, pgtype.Line{})
	})
	test("lseg", func(t *testing.T) {
		try(t, conn, kr, "lseg", pgtype.Lseg{P: [2]pgtype.Vec2{point(1, 2), point(3, 4)}, Valid: true}, pgtype.Lseg{})
	})
	test("box", func(t *testing.T) {
		try(t, conn, kr, "box", pgtype.Box{P: [2]pgtype.Vec2{point(3, 4), point(1, 2)}, Valid: true}, pgtype.Box{})
	})
	test("path", func(t *testing.T) {
		try(t, conn, kr, "path", pgtype.Path{P: []pgtype.Vec2{point(1, 2), point(3, 4)}, Closed: true, Valid: true}, pgtype.Path{})
	})
	test("polygon", func(t *testing.T) {
		try(t, conn, kr, "polygon", pgtype.Polygon{P: []pgtype.Vec2{point(1, 2), point(3, 4), point(5, 0)}, Valid: true}, pgtype.Polygon{})
	})
	test("circle", func(t *testing.T) {
		try(t, conn, kr, "circle", pgtype.Circle{P: point(1, 2), R: 3, Valid: true}, pgtype.Circle{})
	})
	test("tsvector", func(t *testing.T) {
		try(t, conn, kr, "tsvector", pgtype.TSVector{Lexemes: []pgtype.TSVectorLexeme{{Word: "ann", Positions: []pgtype.TSVectorPosition{{Position: 1, Weight: pgtype.TSVectorWeightA}}}}, Valid: true}, pgtype.TSVector{})
	})
	test("char", func(t *testing.T) { try(t, conn, kr, "char", ptr("x"), nil) })
	for _, typ := range []string{"oid", "xid", "cid"} {
		test(typ, func(t *testing.T) {
			try(t, conn, kr, typ, pgtype.Uint32{}, pgtype.Uint32{Uint32: math.MaxUint32, Valid: true})
			try(t, conn, kr, typ+"[]", []pgtype.Uint32{{Uint32: 1, Valid: true}})
		})
	}
	test("xid8", func(t *testing.T) {
		try(t, conn, kr, "xid8", pgtype.Uint64{}, pgtype.Uint64{Uint64: math.MaxUint64, Valid: true})
	})
	test("tid", func(t *testing.T) {
		try(t, conn, kr, "tid", pgtype.TID{}, pgtype.TID{BlockNumber: 5, OffsetNumber: 6, Valid: true})
	})

	test("int4range", func(t *testing.T) {
		empty := pgtype.Range[pgtype.Int4]{LowerType: pgtype.Empty, UpperType: pgtype.Empty, Valid: true}
		try(t, conn, kr, "int4range", between(int4(1), int4(3)), between(int4(1), int4(3), pgtype.Inclusive, pgtype.Inclusive), between(int4(1), int4(0), pgtype.Exclusive, pgtype.Unbounded), empty, pgtype.Range[pgtype.Int4]{})
		try(t, conn, kr, "int4range[]", nil, []pgtype.Range[pgtype.Int4]{}, []pgtype.Range[pgtype.Int4]{between(int4(1), int4(3)), empty, {}})
		try(t, conn, kr, "int4range", ptr(between(int4(-1), int4(3))), nil)
		try(t, conn, kr, "int4range", between(int32(5), 7))
	})
	test("int8range", func(t *testing.T) {
		try(t, conn, kr, "int8range", between(int8v(math.MinInt64), int8v(3)), pgtype.Range[pgtype.Int8]{})
		try(t, conn, kr, "int8range", between(int64(5), 7))
	})
	test("numrange", func(t *testing.T) {
		try(t, conn, kr, "numrange", between(number, pgtype.Numeric{Int: mustInt("5"), Exp: -1, Valid: true}), pgtype.Range[pgtype.Numeric]{})
	})
	test("daterange", func(t *testing.T) {
		try(t, conn, kr, "daterange", between(pgtype.Date{Time: day, Valid: true}, pgtype.Date{InfinityModifier: pgtype.Infinity, Valid: true}), pgtype.Range[pgtype.Date]{})
		try(t, conn, kr, "daterange", between(day, day.AddDate(0, 1, 0), pgtype.Exclusive, pgtype.Inclusive))
	})
	test("tsrange", func(t *testing.T) {
		try(t, conn, kr, "tsrange", between(pgtype.Timestamp{Time: at, Valid: true}, pgtype.Timestamp{}, pgtype.Inclusive, pgtype.Unbounded), pgtype.Range[pgtype.Timestamp]{})
	})
	test("tstzrange", func(t *testing.T) {
		try(t, conn, kr, "tstzrange", between(pgtype.Timestamptz{Time: at, Valid: true}, never), pgtype.Range[pgtype.Timestamptz]{})
		try(t, conn, kr, "tstzrange[]", []pgtype.Range[time.Time]{between(at, at.Add(time.Hour))})
	})
	test("int4multirange", func(t *testing.T) {
		try(t, conn, kr, "int4multirange", nil, pgtype.Multirange[pgtype.Range[pgtype.Int4]]{}, pgtype.Multirange[pgtype.Range[pgtype.Int4]]{between(int4(1), int4(3)), between(int4(5), int4(7))})
	})
	test("int8multirange", func(t *testing.T) {
		try(t, conn, kr, "int8multirange", pgtype.Multirange[pgtype.Range[pgtype.Int8]]{between(int8v(1), int8v(3))})
		try(t, conn, kr, "int8multirange", pgtype.Multirange[pgtype.Range[int64]]{between(int64(1), 3)})
	})
	test("nummultirange", func(t *testing.T) {
		try(t, conn, kr, "nummultirange", pgtype.Multirange[pgtype.Range[pgtype.Numeric]]{between(number, pgtype.Numeric{Int: mustInt("5"), Exp: -1, Valid: true})})
	})
	test("datemultirange", func(t *testing.T) {
		try(t, conn, kr, "datemultirange", pgtype.Multirange[pgtype.Range[pgtype.Date]]{between(pgtype.Date{Time: day, Valid: true}, pgtype.Date{Time: at, Valid: true})})
	})
	test("tsmultirange", func(t *testing.T) {
		try(t, conn, kr, "tsmultirange", pgtype.Multirange[pgtype.Range[pgtype.Timestamp]]{between(pgtype.Timestamp{Time: day, Valid: true}, pgtype.Timestamp{Time: at, Valid: true})})
	})
	test("tstzmultirange", func(t *testing.T) {
		try(t, conn, kr, "tstzmultirange", pgtype.Multirange[pgtype.Range[pgtype.Timestamptz]]{between(pgtype.Timestamptz{Time: at, Valid: true}, never)})
	})

	// No built-in type is left out: each is tested above, or refused by its name.
	rows, err := conn.Query(t.Context(), `select typname::text from pg_type where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') and typcategory <> 'A' and typname !~ '^pg_'`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, name := range names {
		_, err := pgxfield.NewTagged[cell[string]](kr, "cells", byID, map[string]string{"V": "encrypt,type=" + name})
		if !done[name] {
			require.ErrorContains(t, err, "is built in, but pgx has no form of it", name)
		}
	}
}

// TestTypeIsInTheKey reads each value under another type.
func TestTypeIsInTheKey(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, "create table cells (id bigint primary key, v bytea)")
	types := []string{"text", "bytea", "json", "jsonb", "uuid", "numeric", "text[]", "xml", "mood", "mood[]"}
	tables := map[string]*pgxfield.Table[cell[*string]]{}
	for i, typ := range types {
		table, err := pgxfield.NewTagged[cell[*string]](kr, "cells", byID, map[string]string{"V": "encrypt,type=" + typ})
		if typ == "bytea" || typ == "text[]" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, typ)
		value := map[string]string{"json": "{}", "jsonb": "{}", "uuid": "0a0b0c0d-0102-0304-0506-0708090a0b0c", "numeric": "5"}[typ]
		_, err = conn.Exec(ctx, "insert into cells values (@id, @v)", table.Args(&cell[*string]{ID: int64(i + 1), V: &value}))
		require.NoError(t, err, typ)
		tables[typ] = table
	}
	for i, typ := range types {
		for other, table := range tables {
			_, err := query(t, conn, table.Row(ctx), "select id, v from cells where id = $1", i+1)
			if other == typ || tables[typ] == nil {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, crypto.ErrDecrypt, "%s as %s", typ, other)
		}
	}
}

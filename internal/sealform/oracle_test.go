package sealform

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
)

// clearColumn writes v to a column in the clear and returns what it gives back.
func clearColumn(t *testing.T, conn *pgx.Conn, typ string, v any) (back any, err error) {
	defer func() {
		if p := recover(); p != nil { // pgx, over an array with holes
			err = fmt.Errorf("%v", p)
		}
	}()
	to := reflect.New(reflect.TypeOf(v))
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	if typ == "char" {
		typ = `"char"`
	}
	_, err = tx.Exec(t.Context(), "create temporary table cells (clear "+typ+")")
	require.NoError(t, err)
	if _, err := tx.Exec(t.Context(), "insert into cells values ($1)", pgx.QueryExecModeDescribeExec, v); err != nil {
		return nil, err
	}
	err = tx.QueryRow(t.Context(), "select clear from cells", pgx.QueryExecModeDescribeExec).Scan(to.Interface())
	return to.Elem().Interface(), err
}

// hold seals values of a type, and gives them to a column in the clear. What that
// refuses has to be refused; what is taken has to come back as from there. All have
// to be refused if refused says so, though pgx would make another value of them.
func hold(t *testing.T, conn *pgx.Conn, refused bool, typ string, values ...any) {
	t.Helper()
	pg, err := Named(typ)
	require.NoError(t, err)
	for _, v := range values {
		name := fmt.Sprintf("%s: %#v", typ, v)
		want, clearErr := clearColumn(t, conn, typ, v)
		c, err := New(reflect.TypeOf(v), pg)
		require.NoError(t, err, name)
		field := reflect.New(reflect.TypeOf(v))
		field.Elem().Set(reflect.ValueOf(v))
		m := NewMap()
		form, null, err := c.Encode(m, []byte("x"), field.Interface())
		if refused || clearErr != nil {
			require.ErrorIs(t, err, ErrValue, "%s, in the clear: %v", name, clearErr)
			require.Equal(t, "x", string(form))
			continue
		}
		require.NoError(t, err, name)
		back := reflect.New(reflect.TypeOf(v))
		if null {
			require.NoError(t, c.SetNull(m, back.Interface()))
		} else {
			require.NoError(t, c.Decode(m, form[1:], back.Interface()), name)
		}
		got := back.Elem().Interface()
		if typ == "jsonb" { // which the database spells anew
			sealed, err := json.Marshal(got)
			require.NoError(t, err)
			stored, err := json.Marshal(want)
			require.NoError(t, err)
			require.JSONEq(t, string(stored), string(sealed))
			continue
		}
		require.Equal(t, want, got, name)
	}
}

// TestFaithful holds sealed columns to columns in the clear, with values at the
// edges of their types and beyond.
func TestFaithful(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "set timezone = 'UTC'")
	require.NoError(t, err)
	const taken, refused = false, true
	day := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	first, last := time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC), time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC)
	early, late := first.Add(-time.Microsecond), last.Add(time.Microsecond)

	t.Run("integers", func(t *testing.T) {
		hold(t, conn, taken, "int8", 5.0, -math.Pow(2, 63), math.Pow(2, 62))
		hold(t, conn, refused, "int8", 1.5, math.Pow(2, 63), -math.Pow(2, 64), math.NaN(), math.Inf(-1), 1e300)
		hold(t, conn, refused, "int8", float32(0.5))
		hold(t, conn, refused, "int8", pgtype.Float8{Float64: 0.5, Valid: true})
		hold(t, conn, refused, "int8[]", []float64{1, 1.5})
		hold(t, conn, refused, "int8", uint64(math.MaxUint64))
		hold(t, conn, refused, "int8", new(1.5))
		hold(t, conn, taken, "int4", int64(math.MaxInt32), math.MinInt32)
		hold(t, conn, refused, "int4", int64(math.MaxInt32+1), math.MinInt32-1)
		hold(t, conn, refused, "int4", 1.5, 1e10)
		hold(t, conn, refused, "int4[]", []*int64{new(int64(1)), nil, new(int64(1 << 40))})
		hold(t, conn, taken, "int4[]", []*int64{new(int64(1)), nil, new(int64(1 << 30))}, []*int64{}, []*int64(nil))
		hold(t, conn, refused, "int2", 1<<15, -1<<15-1)
		hold(t, conn, taken, "int2", -1<<15, 1<<15-1)
		hold(t, conn, refused, "int4range", between(0.5, 7))
		hold(t, conn, refused, "int8", "1.5", "", "x", "9223372036854775808")
	})
	t.Run("floats", func(t *testing.T) {
		hold(t, conn, taken, "float4", 0.5, math.Inf(1), math.Copysign(0, -1), 1<<24)
		hold(t, conn, refused, "float4", 0.1, 1e300, 1e-60, 1<<24+1)
		hold(t, conn, refused, "float4[]", []float64{0.5, 0.1})
		hold(t, conn, taken, "float4", 1<<24, 1<<62)
		hold(t, conn, refused, "float4", 1<<24+1, math.MaxInt64)
		hold(t, conn, taken, "float8", 1<<53, 1<<62, math.MinInt64)
		hold(t, conn, refused, "float8", 1<<53+1, math.MaxInt64)
		hold(t, conn, refused, "float8[]", []int64{1<<53 + 1})
		hold(t, conn, taken, "float8", "0.1", "NaN", "-Infinity", "1e5")
		hold(t, conn, refused, "float8", "0,1", "1e400")
		hold(t, conn, taken, "float4", "0.1")
		hold(t, conn, refused, "numeric", pgtype.Numeric{Int: mustInt("1"), Exp: -16384, Valid: true}, pgtype.Numeric{Int: mustInt("1"), Exp: 131072, Valid: true})
		hold(t, conn, taken, "numeric", pgtype.Numeric{Int: mustInt("1"), Exp: -16383, Valid: true})
		hold(t, conn, refused, "numeric", "1,5", "x", "1e200000", "1e131072", "0.1e131073", "1e-16384", "0e-16384", "1.0e-16383", "1e2147483647", "0e2147483647", "1e-2147483648", "1e", "e5", ".e5", "1e5.0", "1e5e5", "1e+", "--1e5")
		hold(t, conn, taken, "numeric", "1e5", "-1.50e1", "+1E5", ".5e1", "5.e-1", "1e-3", "0e5", "0e131072", "0e1000000", "001.2300e+3", "1e131071", "0.1e131072", "0.001e131074", "1e-16383", "10e-16383", json.Number("1.5e-7"))
	})
	t.Run("times", func(t *testing.T) {
		for _, typ := range []string{"timestamp", "timestamptz"} {
			hold(t, conn, taken, typ, first, last)
			hold(t, conn, refused, typ, early, late, day(300000), day(1<<40), day(-5000))
			hold(t, conn, refused, typ+"[]", []time.Time{first, late}, []time.Time{early})
		}
		hold(t, conn, refused, "timestamptz", pgtype.Timestamptz{Time: late, Valid: true}, pgtype.Timestamptz{InfinityModifier: 5, Valid: true})
		hold(t, conn, refused, "timestamp", pgtype.Timestamp{Time: early, Valid: true})
		hold(t, conn, taken, "timestamp", time.Date(294276, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)))
		hold(t, conn, refused, "tstzrange", between(first, late))
		hold(t, conn, refused, "tsrange", between(early, last))
		hold(t, conn, refused, "tstzmultirange", pgtype.Multirange[pgtype.Range[time.Time]]{between(first, late)})
		hold(t, conn, taken, "date", pgtype.Date{Time: day(5874897), Valid: true}, pgtype.Date{Time: first, Valid: true})
		hold(t, conn, refused, "date", pgtype.Date{Time: day(5874898), Valid: true}, pgtype.Date{Time: early, Valid: true}, pgtype.Date{Time: day(1 << 40), Valid: true})
		hold(t, conn, refused, "date", early, day(5874898))
		hold(t, conn, refused, "date[]", []time.Time{early})
		hold(t, conn, refused, "daterange", between(day(2000), day(5874898)))

		hold(t, conn, taken, "time", "11:22", "00:00", "24:00", "00:00:00", "23:59:59.999999", "24:00:00")
		hold(t, conn, refused, "time", "25:61:00", "10:61:00", "10:00:61", "24:00:01", "24:01", "25:00", "11:60", "00:00:00.1234567", "x")
		hold(t, conn, refused, "time", pgtype.Time{Microseconds: -1, Valid: true}, pgtype.Time{Microseconds: 86_400_000_001, Valid: true})
		hold(t, conn, refused, "time[]", []pgtype.Time{{Microseconds: 86_400_000_001, Valid: true}})
		clock, err := time.Parse("15:04", "11:22")
		require.NoError(t, err)
		hold(t, conn, taken, "time", clock, time.Time{}, time.Date(2000, 1, 1, 23, 59, 59, 999999000, time.UTC))
		hold(t, conn, refused, "time", day(2024), day(2000).AddDate(0, 0, 1), time.Date(2000, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)))

		hold(t, conn, taken, "interval", time.Microsecond, -time.Hour)
		hold(t, conn, refused, "interval", time.Nanosecond, time.Hour+1)
		hold(t, conn, refused, "interval[]", []time.Duration{time.Hour, 1})
	})
	t.Run("addresses", func(t *testing.T) {
		addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
		hold(t, conn, taken, "inet", addr("::ffff:10.0.0.1"), addr("fe80::1"))
		hold(t, conn, refused, "inet", addr("fe80::1%eth0"))
		hold(t, conn, refused, "inet[]", []netip.Addr{addr("fe80::1%eth0")})
		hold(t, conn, refused, "inet", netip.PrefixFrom(addr("10.0.0.1"), 33))
		hold(t, conn, taken, "inet", net.IP{10, 0, 0, 1}, net.ParseIP("fe80::1"))
		hold(t, conn, refused, "inet", net.ParseIP("10.0.0.1"), net.IP{1, 2, 3}, net.IP{})
		hold(t, conn, taken, "inet[]", []net.IP{{10, 0, 0, 1}, net.ParseIP("fe80::1"), nil}, []net.IP{}, []net.IP(nil))
		hold(t, conn, refused, "inet[]", []net.IP{net.ParseIP("10.0.0.1")}, []net.IP{{1, 2, 3}})
		hold(t, conn, taken, "inet", net.IPNet{IP: net.IP{10, 1, 2, 3}, Mask: net.CIDRMask(8, 32)})
		hold(t, conn, refused, "inet", net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(8, 32)}, net.IPNet{IP: net.IP{10, 1, 2, 3}, Mask: net.IPMask{255, 0, 255, 0}}, net.IPNet{IP: net.IP{10, 1, 2, 3}})
		hold(t, conn, taken, "cidr", prefix("10.0.0.0/8"))
		hold(t, conn, refused, "cidr", prefix("10.1.2.3/8"), prefix("fe80::1/64"))
		hold(t, conn, refused, "cidr[]", []netip.Prefix{prefix("10.1.2.3/8")})
		hold(t, conn, refused, "macaddr", net.HardwareAddr{1, 2, 3, 4, 5, 6, 7, 8}, net.HardwareAddr{1})
		hold(t, conn, refused, "macaddr8", net.HardwareAddr{1, 2, 3, 4, 5, 6})
		hold(t, conn, refused, "uuid", []byte{1, 2}, make([]byte, 17), []byte{})
		hold(t, conn, taken, "uuid", make([]byte, 16))
		hold(t, conn, refused, "uuid", "0a0b0c0d_0102_0304_0506_0708090a0b0c", "x", "")
	})
	t.Run("texts", func(t *testing.T) {
		for _, typ := range []string{"text", "varchar", "bpchar", "name", "xml"} {
			hold(t, conn, refused, typ, "a\x00b", "\xff", "\xed\xa0\x80")
			if typ != "xml" {
				hold(t, conn, refused, typ+"[]", []string{"a", "b\x00"}, []string{"\xff"})
			}
			hold(t, conn, refused, typ, []byte("a\x00b"), []byte("\xff"))
			hold(t, conn, refused, typ, pgtype.Text{String: "\xff", Valid: true})
		}
		long := strings.Repeat("ä", 31) + "x" // 63 bytes
		hold(t, conn, taken, "name", long)
		hold(t, conn, refused, "name", long+"y")
		hold(t, conn, refused, "name[]", []string{"x", long + "y"})
		hold(t, conn, refused, "name", new(long+"y"))
		hold(t, conn, refused, "char", "xy", "ä")
		hold(t, conn, refused, "tsvector", vector("b", "a"), vector("a", "a"), vector("\xff"), vector(""), vector("a\x00"), vector("a", "b\x00\x00\x00"), vector("a", "b\x00"), pgtype.TSVector{Valid: true, Lexemes: []pgtype.TSVectorLexeme{{Word: "a", Positions: []pgtype.TSVectorPosition{{Position: 2}, {Position: 1}}}}})
		hold(t, conn, taken, "tsvector", vector("a", "aa", "b"), vector())
	})
	t.Run("json", func(t *testing.T) {
		for _, typ := range []string{"json", "jsonb"} {
			hold(t, conn, refused, typ, json.RawMessage("\"\xff\""), json.RawMessage("{"), json.RawMessage("\"\x00\""), json.RawMessage("\"a\x00\""))
			hold(t, conn, refused, typ, "x", "\"\xff\"", "")
			hold(t, conn, refused, typ+"[]", []json.RawMessage{json.RawMessage("{}"), json.RawMessage("{")})
		}
		hold(t, conn, taken, "json", json.RawMessage(`"\u0000"`), json.RawMessage(`"\ud800"`), json.RawMessage(`1e999999`))
		hold(t, conn, refused, "jsonb", json.RawMessage(`"\u0000"`), json.RawMessage(`{"a\u0000": 1}`), json.RawMessage(`"\ud800"`), json.RawMessage(`"\ud800x"`), json.RawMessage(`"\ud800\n"`), json.RawMessage(`"\udc00"`),
			json.RawMessage(`"\ud800\ud800"`), json.RawMessage(`1e999999`), json.RawMessage(`[1e131072]`), json.RawMessage(`1e-16384`), json.RawMessage(`0e-16384`), json.RawMessage(`0.01e131074`), json.RawMessage(`0e2147483647`), json.RawMessage(`1E99999999999999999999`))
		hold(t, conn, taken, "jsonb", json.RawMessage(`"\ud83d\ude00 \\u0000 \\ud800 \" \u00ff"`), json.RawMessage(`[1e5, -1.5, 0, true, null]`), json.RawMessage(`[0e131072, 0.0E+1000000, 0.001e13, 0.5]`))
		hold(t, conn, refused, "jsonb[]", []json.RawMessage{json.RawMessage(`"\u0000"`)})
		hold(t, conn, refused, "jsonb", map[string]string{"a": "\x00"})
		hold(t, conn, taken, "json", map[string]string{"a": "\x00"})
	})
	t.Run("bits", func(t *testing.T) {
		bits := func(n int32, b ...byte) pgtype.Bits { return pgtype.Bits{Bytes: b, Len: n, Valid: true} }
		hold(t, conn, taken, "varbit", bits(4, 0xa0), bits(8, 0xff), bits(0))
		hold(t, conn, refused, "varbit", bits(4, 0xa8), bits(9, 0xff, 0x01), bits(9, 0xff), bits(4, 0xa0, 0), bits(-1))
		hold(t, conn, refused, "varbit[]", []pgtype.Bits{bits(4, 0xa8)})
		hold(t, conn, refused, "bit", bits(1, 0xff))
	})
	t.Run("geometry", func(t *testing.T) {
		v := func(x, y float64) pgtype.Vec2 { return pgtype.Vec2{X: x, Y: y} }
		hold(t, conn, refused, "box", pgtype.Box{P: [2]pgtype.Vec2{v(1, 2), v(3, 4)}, Valid: true}, pgtype.Box{P: [2]pgtype.Vec2{v(1, 4), v(3, 2)}, Valid: true})
		hold(t, conn, refused, "line", pgtype.Line{C: 1, Valid: true})
		hold(t, conn, refused, "circle", pgtype.Circle{R: -1, Valid: true})
		hold(t, conn, refused, "path", pgtype.Path{Valid: true})
		hold(t, conn, refused, "polygon", pgtype.Polygon{Valid: true})
	})
	t.Run("ranges", func(t *testing.T) {
		number := func(s string, exp int32) pgtype.Numeric {
			return pgtype.Numeric{Int: mustInt(s), Exp: exp, Valid: true}
		}
		hold(t, conn, refused, "int4range", between(int4(3), int4(1)), between(int4(1), int4(-1)))
		hold(t, conn, refused, "int8range", between(int8v(3), int8v(1)))
		hold(t, conn, refused, "int8range[]", []pgtype.Range[pgtype.Int8]{between(int8v(3), int8v(1))})
		hold(t, conn, refused, "int4multirange", pgtype.Multirange[pgtype.Range[pgtype.Int4]]{between(int4(3), int4(1))})
		hold(t, conn, refused, "daterange", between(day(2001), day(2000)))
		hold(t, conn, refused, "tsrange", between(day(2001), day(2000)))
		hold(t, conn, refused, "tstzrange", between(day(2001), day(1999)))
		hold(t, conn, refused, "numrange", between(number("11", -1), number("1", 0)), between(number("1", 2), number("99", 0)), between(pgtype.Numeric{NaN: true, Valid: true}, number("1", 0)),
			between(pgtype.Numeric{InfinityModifier: pgtype.Infinity, Valid: true}, number("1", 0)))
		hold(t, conn, taken, "numrange", between(number("9", -1), number("1", 0)), between(number("-1", 0), pgtype.Numeric{NaN: true, Valid: true}))
	})
	t.Run("arrays", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), conn.Config().ConnString()) // on the other one pgx remembers how it wrote other arrays
		require.NoError(t, err)
		defer conn.Close(t.Context())
		hold(t, conn, refused, "int4[]", [][]int32{{1, 2}, {3}}, [][]int32{{1}, {2, 3}}, [][]int32{{}, {}}, [][]int32{nil, {1}})
		hold(t, conn, taken, "int4[]", [][]int32{{1, 2}, {3, 4}}, [][]int32{}, [][]int32(nil))
		dims := func(n ...int32) (all []pgtype.ArrayDimension) {
			for _, n := range n {
				all = append(all, pgtype.ArrayDimension{Length: n, LowerBound: 1})
			}
			return all
		}
		array := func(d []pgtype.ArrayDimension, s ...string) pgtype.Array[string] {
			return pgtype.Array[string]{Elements: s, Dims: d, Valid: true}
		}
		hold(t, conn, refused, "text[]", array(dims(2), "a"), array(dims(1), "a", "b"), array(nil, "a"), array(dims(2, 0)), array(dims(1, 1, 1, 1, 1, 1, 1), "a"), array(dims(-1, -1), "a"))
		hold(t, conn, taken, "text[]", array(dims(2, 1), "a", "b"))
	})
}

func vector(words ...string) pgtype.TSVector {
	v := pgtype.TSVector{Valid: true}
	for _, w := range words {
		v.Lexemes = append(v.Lexemes, pgtype.TSVectorLexeme{Word: w})
	}
	return v
}

func between[T any](lo, hi T) pgtype.Range[T] {
	return pgtype.Range[T]{Lower: lo, Upper: hi, LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true}
}

func int4(n int32) pgtype.Int4  { return pgtype.Int4{Int32: n, Valid: true} }
func int8v(n int64) pgtype.Int8 { return pgtype.Int8{Int64: n, Valid: true} }

func mustInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return n
}

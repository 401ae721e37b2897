package pgxfield_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// oracle is a column in the clear, which says what a sealed one may take.
type oracle struct {
	conn *pgx.Conn
	kr   *keyring.Keyring
}

// clear writes v to a column in the clear and returns what it gives back.
func clearColumn[V any](t *testing.T, conn *pgx.Conn, cells string, id int64, v V) (back V, err error) {
	defer func() {
		if p := recover(); p != nil { // pgx, over an array with holes
			err = fmt.Errorf("%v", p)
		}
	}()
	if _, err := conn.Exec(t.Context(), "insert into "+cells+" (id, clear) values ($1, $2)", id, v); err != nil {
		return back, err
	}
	return back, conn.QueryRow(t.Context(), "select clear from "+cells+" where id = $1", id).Scan(&back)
}

// hold gives values to a sealed column of a type and to one in the clear. What that
// refuses has to be refused; what is taken has to come back as from there. All have
// to be refused if refused says so, though pgx would make another value of them.
func hold[V any](t *testing.T, o oracle, refused bool, typ string, values ...V) {
	t.Helper()
	ctx := t.Context()
	cells := fmt.Sprint("cells_", tries.Add(1))
	table, err := pgxfield.NewTagged[cell[V]](o.kr, cells, byID, map[string]string{"V": "encrypt,type=" + typ})
	require.NoError(t, err, typ)
	run(t, o.conn, fmt.Sprintf("create table %s (id bigint primary key, v bytea, clear %s)", cells, sqlType(typ)))
	for i, v := range values {
		id, name := int64(i+1), fmt.Sprintf("%s of %s: %#v", typ, reflect.TypeFor[V](), v)
		want, clearErr := clearColumn(t, o.conn, cells, id, v)
		_, err := o.conn.Exec(ctx, "insert into "+cells+" (id, v) values (@id, @v) on conflict (id) do update set v = excluded.v", table.Args(&cell[V]{id, v, v}))
		if refused || clearErr != nil {
			require.ErrorIs(t, err, pgxfield.ErrValue, "%s, in the clear: %v", name, clearErr)
			require.ErrorContains(t, err, "pgxfield.Args("+cells+"): @v: ")
			continue
		}
		require.NoError(t, err, name)
		got, err := query(t, o.conn, table.Row(ctx), "select id, v from "+cells+" where id = $1", id)
		require.NoError(t, err, name)
		if typ == "jsonb" { // which the database spells anew
			sealed, err := json.Marshal(got[0].V)
			require.NoError(t, err)
			stored, err := json.Marshal(want)
			require.NoError(t, err)
			require.JSONEq(t, string(stored), string(sealed))
			continue
		}
		require.Equal(t, want, got[0].V, name)
	}
}

// TestFaithful holds sealed columns to columns in the clear, with values at the
// edges of their types and beyond.
func TestFaithful(t *testing.T) {
	conn := connect(t)
	run(t, conn, "set timezone = 'UTC'")
	o := oracle{conn, keyringtest.NewKeyring(t)}
	const taken, refused = false, true
	day := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	first, last := time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC), time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC)
	early, late := first.Add(-time.Microsecond), last.Add(time.Microsecond)

	t.Run("integers", func(t *testing.T) {
		hold(t, o, taken, "int8", 5.0, -math.Pow(2, 63), math.Pow(2, 62))
		hold(t, o, refused, "int8", 1.5, math.Pow(2, 63), -math.Pow(2, 64), math.NaN(), math.Inf(-1), 1e300)
		hold(t, o, refused, "int8", float32(0.5))
		hold(t, o, refused, "int8", pgtype.Float8{Float64: 0.5, Valid: true})
		hold(t, o, refused, "int8[]", []float64{1, 1.5})
		hold(t, o, refused, "int8", uint64(math.MaxUint64))
		hold(t, o, refused, "int8", ptr(1.5))
		hold(t, o, taken, "int4", int64(math.MaxInt32), math.MinInt32)
		hold(t, o, refused, "int4", int64(math.MaxInt32+1), math.MinInt32-1)
		hold(t, o, refused, "int4", 1.5, 1e10)
		hold(t, o, refused, "int4[]", []*int64{ptr(int64(1)), nil, ptr(int64(1 << 40))})
		hold(t, o, taken, "int4[]", []*int64{ptr(int64(1)), nil, ptr(int64(1 << 30))}, nil, []*int64{})
		hold(t, o, refused, "int2", 1<<15, -1<<15-1)
		hold(t, o, taken, "int2", -1<<15, 1<<15-1)
		hold(t, o, refused, "int4range", between(0.5, 7))
		hold(t, o, refused, "int8", "1.5", "", "x", "9223372036854775808")
	})
	t.Run("floats", func(t *testing.T) {
		hold(t, o, taken, "float4", 0.5, math.Inf(1), -0.0, 1<<24)
		hold(t, o, refused, "float4", 0.1, 1e300, 1e-60, 1<<24+1)
		hold(t, o, refused, "float4[]", []float64{0.5, 0.1})
		hold(t, o, taken, "float4", 1<<24, 1<<62)
		hold(t, o, refused, "float4", 1<<24+1, math.MaxInt64)
		hold(t, o, taken, "float8", 1<<53, 1<<62, math.MinInt64)
		hold(t, o, refused, "float8", 1<<53+1, math.MaxInt64)
		hold(t, o, refused, "float8[]", []int64{1<<53 + 1})
		hold(t, o, taken, "float8", "0.1", "NaN", "-Infinity", "1e5")
		hold(t, o, refused, "float8", "0,1", "1e400")
		hold(t, o, taken, "float4", "0.1")
		hold(t, o, refused, "numeric", pgtype.Numeric{Int: mustInt("1"), Exp: -16384, Valid: true}, pgtype.Numeric{Int: mustInt("1"), Exp: 131072, Valid: true})
		hold(t, o, taken, "numeric", pgtype.Numeric{Int: mustInt("1"), Exp: -16383, Valid: true})
		hold(t, o, refused, "numeric", "1,5", "x", "1e200000")
	})
	t.Run("times", func(t *testing.T) {
		for _, typ := range []string{"timestamp", "timestamptz"} {
			hold(t, o, taken, typ, first, last)
			hold(t, o, refused, typ, early, late, day(300000), day(1<<40), day(-5000))
			hold(t, o, refused, typ+"[]", []time.Time{first, late}, []time.Time{early})
		}
		hold(t, o, refused, "timestamptz", pgtype.Timestamptz{Time: late, Valid: true}, pgtype.Timestamptz{InfinityModifier: 5, Valid: true})
		hold(t, o, refused, "timestamp", pgtype.Timestamp{Time: early, Valid: true})
		hold(t, o, taken, "timestamp", time.Date(294276, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)))
		hold(t, o, refused, "tstzrange", between(first, late))
		hold(t, o, refused, "tsrange", between(early, last))
		hold(t, o, refused, "tstzmultirange", pgtype.Multirange[pgtype.Range[time.Time]]{between(first, late)})
		hold(t, o, taken, "date", pgtype.Date{Time: day(5874897), Valid: true}, pgtype.Date{Time: first, Valid: true})
		hold(t, o, refused, "date", pgtype.Date{Time: day(5874898), Valid: true}, pgtype.Date{Time: early, Valid: true}, pgtype.Date{Time: day(1 << 40), Valid: true})
		hold(t, o, refused, "date", early, day(5874898))
		hold(t, o, refused, "date[]", []time.Time{early})
		hold(t, o, refused, "daterange", between(day(2000), day(5874898)))

		hold(t, o, taken, "time", "00:00:00", "23:59:59.999999", "24:00:00")
		hold(t, o, refused, "time", "25:61:00", "10:61:00", "10:00:61", "24:00:01", "00:00:00.1234567", "x")
		hold(t, o, refused, "time", pgtype.Time{Microseconds: -1, Valid: true}, pgtype.Time{Microseconds: 86_400_000_001, Valid: true})
		hold(t, o, refused, "time[]", []pgtype.Time{{Microseconds: 86_400_000_001, Valid: true}})
		clock, err := time.Parse("15:04", "11:22")
		require.NoError(t, err)
		hold(t, o, taken, "time", clock, time.Time{}, time.Date(2000, 1, 1, 23, 59, 59, 999999000, time.UTC))
		hold(t, o, refused, "time", day(2024), day(2000).AddDate(0, 0, 1), time.Date(2000, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600)))

		hold(t, o, taken, "interval", time.Microsecond, -time.Hour)
		hold(t, o, refused, "interval", time.Nanosecond, time.Hour+1)
		hold(t, o, refused, "interval[]", []time.Duration{time.Hour, 1})
	})
	t.Run("addresses", func(t *testing.T) {
		addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
		hold(t, o, taken, "inet", addr("::ffff:10.0.0.1"), addr("fe80::1"))
		hold(t, o, refused, "inet", addr("fe80::1%eth0"))
		hold(t, o, refused, "inet[]", []netip.Addr{addr("fe80::1%eth0")})
		hold(t, o, refused, "inet", netip.PrefixFrom(addr("10.0.0.1"), 33))
		hold(t, o, taken, "inet", net.IP{10, 0, 0, 1}, net.ParseIP("fe80::1"), nil)
		hold(t, o, refused, "inet", net.ParseIP("10.0.0.1"), net.IP{1, 2, 3}, net.IP{})
		hold(t, o, taken, "inet[]", []net.IP{{10, 0, 0, 1}, net.ParseIP("fe80::1"), nil}, []net.IP{}, nil)
		hold(t, o, refused, "inet[]", []net.IP{net.ParseIP("10.0.0.1")}, []net.IP{{1, 2, 3}})
		hold(t, o, taken, "inet", net.IPNet{IP: net.IP{10, 1, 2, 3}, Mask: net.CIDRMask(8, 32)})
		hold(t, o, refused, "inet", net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(8, 32)}, net.IPNet{IP: net.IP{10, 1, 2, 3}, Mask: net.IPMask{255, 0, 255, 0}}, net.IPNet{IP: net.IP{10, 1, 2, 3}})
		hold(t, o, taken, "cidr", prefix("10.0.0.0/8"))
		hold(t, o, refused, "cidr", prefix("10.1.2.3/8"), prefix("fe80::1/64"))
		hold(t, o, refused, "cidr[]", []netip.Prefix{prefix("10.1.2.3/8")})
		hold(t, o, refused, "macaddr", net.HardwareAddr{1, 2, 3, 4, 5, 6, 7, 8}, net.HardwareAddr{1})
		hold(t, o, refused, "macaddr8", net.HardwareAddr{1, 2, 3, 4, 5, 6})
		hold(t, o, refused, "uuid", []byte{1, 2}, make([]byte, 17), []byte{})
		hold(t, o, taken, "uuid", make([]byte, 16), nil)
		hold(t, o, refused, "uuid", "0a0b0c0d_0102_0304_0506_0708090a0b0c", "x", "")
	})
	t.Run("texts", func(t *testing.T) {
		for _, typ := range []string{"text", "varchar", "bpchar", "name", "xml"} {
			hold(t, o, refused, typ, "a\x00b", "\xff", "\xed\xa0\x80")
			if typ != "xml" {
				hold(t, o, refused, typ+"[]", []string{"a", "b\x00"}, []string{"\xff"})
			}
			hold(t, o, refused, typ, []byte("a\x00b"), []byte("\xff"))
			hold(t, o, refused, typ, pgtype.Text{String: "\xff", Valid: true})
		}
		long := strings.Repeat("ä", 31) + "x" // 63 bytes
		hold(t, o, taken, "name", long)
		hold(t, o, refused, "name", long+"y")
		hold(t, o, refused, "name[]", []string{"x", long + "y"})
		hold(t, o, refused, "name", ptr(long+"y"))
		hold(t, o, refused, "char", "xy", "ä")
		hold(t, o, refused, "tsvector", vector("b", "a"), vector("a", "a"), vector("\xff"), vector(""), pgtype.TSVector{Valid: true, Lexemes: []pgtype.TSVectorLexeme{{Word: "a", Positions: []pgtype.TSVectorPosition{{Position: 2}, {Position: 1}}}}})
		hold(t, o, taken, "tsvector", vector("a", "aa", "b"), vector())
	})
	t.Run("json", func(t *testing.T) {
		for _, typ := range []string{"json", "jsonb"} {
			hold(t, o, refused, typ, json.RawMessage("\"\xff\""), json.RawMessage("{"), json.RawMessage("\"\x00\""), json.RawMessage("\"a\x00\""))
			hold(t, o, refused, typ, "x", "\"\xff\"", "")
			hold(t, o, refused, typ+"[]", []json.RawMessage{json.RawMessage("{}"), json.RawMessage("{")})
		}
		hold(t, o, taken, "json", json.RawMessage(`"\u0000"`), json.RawMessage(`"\ud800"`), json.RawMessage(`1e999999`))
		hold(t, o, refused, "jsonb", json.RawMessage(`"\u0000"`), json.RawMessage(`{"a\u0000": 1}`), json.RawMessage(`"\ud800"`), json.RawMessage(`"\ud800x"`), json.RawMessage(`"\ud800\n"`), json.RawMessage(`"\udc00"`),
			json.RawMessage(`"\ud800\ud800"`), json.RawMessage(`1e999999`), json.RawMessage(`[1e131072]`), json.RawMessage(`1e-16384`), json.RawMessage(`1E99999999999999999999`))
		hold(t, o, taken, "jsonb", json.RawMessage(`"\ud83d\ude00 \\u0000 \\ud800 \" \u00ff"`), json.RawMessage(`[1e5, -1.5, 0, true, null]`))
		hold(t, o, refused, "jsonb[]", []json.RawMessage{json.RawMessage(`"\u0000"`)})
		hold(t, o, refused, "jsonb", map[string]string{"a": "\x00"})
		hold(t, o, taken, "json", map[string]string{"a": "\x00"})
	})
	t.Run("bits", func(t *testing.T) {
		bits := func(n int32, b ...byte) pgtype.Bits { return pgtype.Bits{Bytes: b, Len: n, Valid: true} }
		hold(t, o, taken, "varbit", bits(4, 0xa0), bits(8, 0xff), bits(0))
		hold(t, o, refused, "varbit", bits(4, 0xa8), bits(9, 0xff, 0x01), bits(9, 0xff), bits(4, 0xa0, 0), bits(-1))
		hold(t, o, refused, "varbit[]", []pgtype.Bits{bits(4, 0xa8)})
		hold(t, o, refused, "bit", bits(1, 0xff))
	})
	t.Run("geometry", func(t *testing.T) {
		v := func(x, y float64) pgtype.Vec2 { return pgtype.Vec2{X: x, Y: y} }
		hold(t, o, refused, "box", pgtype.Box{P: [2]pgtype.Vec2{v(1, 2), v(3, 4)}, Valid: true}, pgtype.Box{P: [2]pgtype.Vec2{v(1, 4), v(3, 2)}, Valid: true})
		hold(t, o, refused, "line", pgtype.Line{C: 1, Valid: true})
		hold(t, o, refused, "circle", pgtype.Circle{R: -1, Valid: true})
		hold(t, o, refused, "path", pgtype.Path{Valid: true})
		hold(t, o, refused, "polygon", pgtype.Polygon{Valid: true})
	})
	t.Run("ranges", func(t *testing.T) {
		number := func(s string, exp int32) pgtype.Numeric {
			return pgtype.Numeric{Int: mustInt(s), Exp: exp, Valid: true}
		}
		hold(t, o, refused, "int4range", between(int4(3), int4(1)), between(int4(1), int4(-1)))
		hold(t, o, refused, "int8range", between(int8v(3), int8v(1)))
		hold(t, o, refused, "int8range[]", []pgtype.Range[pgtype.Int8]{between(int8v(3), int8v(1))})
		hold(t, o, refused, "int4multirange", pgtype.Multirange[pgtype.Range[pgtype.Int4]]{between(int4(3), int4(1))})
		hold(t, o, refused, "daterange", between(day(2001), day(2000)))
		hold(t, o, refused, "tsrange", between(day(2001), day(2000)))
		hold(t, o, refused, "tstzrange", between(day(2001), day(1999)))
		hold(t, o, refused, "numrange", between(number("11", -1), number("1", 0)), between(number("1", 2), number("99", 0)), between(pgtype.Numeric{NaN: true, Valid: true}, number("1", 0)),
			between(pgtype.Numeric{InfinityModifier: pgtype.Infinity, Valid: true}, number("1", 0)))
		hold(t, o, taken, "numrange", between(number("9", -1), number("1", 0)), between(number("-1", 0), pgtype.Numeric{NaN: true, Valid: true}))
	})
	t.Run("arrays", func(t *testing.T) {
		o := oracle{connect(t), o.kr} // on the other connection pgx remembers how it wrote other arrays
		hold(t, o, refused, "int4[]", [][]int32{{1, 2}, {3}}, [][]int32{{1}, {2, 3}}, [][]int32{{}, {}}, [][]int32{nil, {1}})
		hold(t, o, taken, "int4[]", [][]int32{{1, 2}, {3, 4}}, [][]int32{}, nil)
		dims := func(n ...int32) (all []pgtype.ArrayDimension) {
			for _, n := range n {
				all = append(all, pgtype.ArrayDimension{Length: n, LowerBound: 1})
			}
			return all
		}
		array := func(d []pgtype.ArrayDimension, s ...string) pgtype.Array[string] {
			return pgtype.Array[string]{Elements: s, Dims: d, Valid: true}
		}
		hold(t, o, refused, "text[]", array(dims(2), "a"), array(dims(1), "a", "b"), array(nil, "a"), array(dims(2, 0)), array(dims(1, 1, 1, 1, 1, 1, 1), "a"), array(dims(-1, -1), "a"))
		hold(t, o, taken, "text[]", array(dims(2, 1), "a", "b"))
	})
}

func vector(words ...string) pgtype.TSVector {
	v := pgtype.TSVector{Valid: true}
	for _, w := range words {
		v.Lexemes = append(v.Lexemes, pgtype.TSVectorLexeme{Word: w})
	}
	return v
}

package pgxfield

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
)

// TestQuickForms holds the codecs that do without pgx to its binary form.
func TestQuickForms(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	for _, c := range []struct {
		typ   string
		value any
	}{
		{"text", "Grüße"}, {"bool", true}, {"bool", false}, {"uuid", [16]byte{1, 2, 15: 3}}, {"bytea", []byte{0, 1}},
		{"int8", int64(math.MinInt64)}, {"int8", uint32(math.MaxUint32)}, {"int8", int8(-1)}, {"int8", 42},
		{"timestamptz", time.Date(2024, 2, 29, 23, 59, 59, 123456789, zone)},
		{"timestamptz", time.Date(1999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		{"timestamptz", time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC)},
		{"timestamptz", time.Date(294276, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"timestamptz", time.Time{}},
		{"date", time.Date(2000, 1, 1, 23, 0, 0, 0, zone)}, {"date", time.Date(1999, 12, 31, 0, 0, 0, 0, zone)},
		{"date", time.Date(-4713, 11, 25, 0, 0, 0, 0, time.UTC)}, {"date", time.Time{}},
	} {
		pg, err := typeNamed(c.typ)
		require.NoError(t, err)
		typ := reflect.TypeOf(c.value)
		quick, usual := quickCodec(typ, pg), &pgxCodec{pg: pg}
		require.NotNil(t, quick, c)
		field := reflect.New(typ)
		field.Elem().Set(reflect.ValueOf(c.value))
		m := pgtype.NewMap()
		got, null, err := quick.encode(m, []byte("x"), field.Interface())
		require.NoError(t, err, c)
		require.False(t, null)
		want, _, err := usual.encode(m, []byte("x"), field.Interface())
		require.NoError(t, err)
		require.Equal(t, want, got, c)

		quickly, usually := reflect.New(typ), reflect.New(typ)
		require.NoError(t, quick.decode(m, got[1:], quickly.Interface()), c)
		require.NoError(t, usual.decode(m, got[1:], usually.Interface()), c)
		require.Equal(t, usually.Interface(), quickly.Interface())
		for n := range len(got) - 1 {
			if c.typ != "text" && c.typ != "bytea" {
				require.Error(t, quick.decode(m, got[1:1+n], quickly.Interface()))
			}
		}
	}
}

func TestIntegerWidths(t *testing.T) {
	wide, err := appendInteger(nil, new(int64(math.MaxInt16+1)))
	require.NoError(t, err)
	require.Len(t, wide, 8)
	require.ErrorIs(t, scanInteger(wide, new(int16)), errRange)
	require.NoError(t, scanInteger(wide, new(uint16)))
	negative, err := appendInteger(nil, new(int8(-1)))
	require.NoError(t, err)
	require.ErrorIs(t, scanInteger(negative, new(uint64)), errRange)
	var n int32
	require.NoError(t, scanInteger(negative, &n))
	require.EqualValues(t, -1, n)
	_, err = appendInteger(nil, new(uint64(math.MaxInt64+1)))
	require.ErrorIs(t, err, errRange)
}

// TestRowKey compares the bytes that values are bound to with crypto.Row.
func TestRowKey(t *testing.T) {
	type keys struct {
		A int32
		B uint64
		C string
		D [16]byte
		E []byte
		F *int64
		G pgtype.Int8
		H pgtype.Text
		I pgtype.UUID
		J *string
	}
	s, n := "é", int64(-7)
	u := [16]byte{0xA0, 0xEE, 0xBC, 0x99, 0x9C, 0x0B, 0x4E, 0xF8, 0xBB, 0x6D, 0x6B, 0xB9, 0xBD, 0x38, 0x0A, 0x11}
	row := keys{-1, math.MaxUint64, "a,b", u, []byte{0xAB}, &n, pgtype.Int8{Int64: 5, Valid: true}, pgtype.Text{String: "t", Valid: true}, pgtype.UUID{Bytes: u, Valid: true}, &s}
	const uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	typ := reflect.TypeFor[keys]()
	tab := &table{}
	for i := range typ.NumField() {
		k, err := newKeyColumn(&field{column: typ.Field(i).Name, index: []int{i}, typ: typ.Field(i).Type})
		require.NoError(t, err)
		tab.key = append(tab.key, k)
	}
	got, err := tab.appendRow(nil, reflect.ValueOf(row))
	require.NoError(t, err)
	require.Equal(t, crypto.Row("-1", "18446744073709551615", "a,b", uuid, "ab", "-7", "5", "t", uuid, "é"), got)

	zero, full := reflect.New(typ).Elem(), reflect.ValueOf(row)
	for i := range typ.NumField() {
		row := reflect.New(typ).Elem()
		row.Set(full)
		row.Field(i).Set(zero.Field(i))
		_, err := tab.appendRow(nil, row)
		require.EqualError(t, err, "row key column "+typ.Field(i).Name+" is NULL or zero")
	}
	row.G.Valid = false
	_, err = tab.appendRow(nil, reflect.ValueOf(row))
	require.Error(t, err)
	for _, v := range []any{1.5, true, time.Time{}, struct{}{}, pgtype.Numeric{}, []string{}, new(*int)} {
		_, err := newKeyColumn(&field{typ: reflect.TypeOf(v)})
		require.Error(t, err)
	}
}

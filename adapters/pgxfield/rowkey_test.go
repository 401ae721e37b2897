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

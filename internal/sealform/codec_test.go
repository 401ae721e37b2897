package sealform

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
		pg, err := Named(c.typ)
		require.NoError(t, err)
		typ := reflect.TypeOf(c.value)
		quick, usual := quickCodec(typ, pg), &pgxCodec{pg: pg}
		require.NotNil(t, quick, c)
		field := reflect.New(typ)
		field.Elem().Set(reflect.ValueOf(c.value))
		m := NewMap()
		got, null, err := quick.Encode(m, []byte("x"), field.Interface())
		require.NoError(t, err, c)
		require.False(t, null)
		want, _, err := usual.Encode(m, []byte("x"), field.Interface())
		require.NoError(t, err)
		require.Equal(t, want, got, c)

		quickly, usually := reflect.New(typ), reflect.New(typ)
		require.NoError(t, quick.Decode(m, got[1:], quickly.Interface()), c)
		require.NoError(t, usual.Decode(m, got[1:], usually.Interface()), c)
		require.Equal(t, usually.Interface(), quickly.Interface())
		for n := range len(got) - 1 {
			if c.typ != "text" && c.typ != "bytea" {
				require.Error(t, quick.Decode(m, got[1:1+n], quickly.Interface()))
			}
		}
	}
}

func TestIntegerWidths(t *testing.T) {
	wide, err := appendInteger(nil, new(int64(math.MaxInt16+1)))
	require.NoError(t, err)
	require.Len(t, wide, 8)
	require.ErrorIs(t, scanInteger(wide, new(int16)), ErrRange)
	require.NoError(t, scanInteger(wide, new(uint16)))
	negative, err := appendInteger(nil, new(int8(-1)))
	require.NoError(t, err)
	require.ErrorIs(t, scanInteger(negative, new(uint64)), ErrRange)
	var n int32
	require.NoError(t, scanInteger(negative, &n))
	require.EqualValues(t, -1, n)
	_, err = appendInteger(nil, new(uint64(math.MaxInt64+1)))
	require.ErrorIs(t, err, ErrRange)
}

type (
	link struct {
		Name string
		Next *link
	}
	links struct {
		Name string
		All  []links
	}
	lists    []lists
	pointers []*pointers
)

// TestOfThemselves has types that are made of themselves: JSON holds them, no composite
// and no array does.
func TestOfThemselves(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[link](), reflect.TypeFor[links](), reflect.TypeFor[lists](), reflect.TypeFor[pointers]()} {
		isList := typ.Kind() == reflect.Slice
		require.Equal(t, map[bool]string{true: "", false: "jsonb"}[isList], Default(typ), typ)
		for _, name := range []string{"jsonb", "int4[]", "text[]", "text", "custom", "custom[]"} {
			pg, err := Named(name)
			require.NoError(t, err)
			_, err = New(typ, pg)
			if name == "jsonb" {
				require.NoError(t, err, typ)
				continue
			}
			require.Error(t, err, "%s as %s", typ, name)
		}
	}
}

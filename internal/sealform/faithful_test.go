package sealform

import (
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// borrowed keeps what it is given to scan.
type borrowed []byte

func (b *borrowed) ScanBytes(v []byte) error { *b = v; return nil }

// TestDecodeKeepsNothing holds that no field shares memory with the buffer that the
// next value is opened into.
func TestDecodeKeepsNothing(t *testing.T) {
	for _, c := range []struct {
		typ   string
		value any
	}{
		{"bytea", new(pgtype.DriverBytes("secret"))}, {"bytea", new(borrowed("secret"))}, {"bytea", new([]byte("secret"))},
		{"bytea[]", []pgtype.DriverBytes{[]byte("secret")}}, {"varbit", pgtype.Bits{Bytes: []byte{1, 2}, Len: 16, Valid: true}},
	} {
		out, value, c2 := sealedForm(t, c.typ, c.value)
		back := reflect.New(value.Type())
		require.NoError(t, c2.Decode(NewMap(), out, back.Interface()))
		clear(out)
		require.Equal(t, c.value, back.Elem().Interface(), "%s %T", c.typ, c.value)
	}
}

// sealedForm returns the form of a value, and its codec.
func sealedForm(t *testing.T, typ string, v any) ([]byte, reflect.Value, Codec) {
	t.Helper()
	pg, err := Named(typ)
	require.NoError(t, err)
	c, err := New(reflect.TypeOf(v), pg)
	require.NoError(t, err, "%s %T", typ, v)
	field := reflect.New(reflect.TypeOf(v))
	field.Elem().Set(reflect.ValueOf(v))
	out, null, err := c.Encode(NewMap(), nil, field.Interface())
	require.NoError(t, err, "%s %T", typ, v)
	require.False(t, null)
	return out, field.Elem(), c
}

package sealform

import (
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

type fuzzRecord struct {
	S string
	P *int32
	A []string
	T time.Time
}

// FuzzCodec decodes anything as anything: it must not panic, and what it takes has to
// come back the same after another turn.
func FuzzCodec(f *testing.F) {
	kinds := []struct {
		typ   string
		value any
	}{
		{"text", ""}, {"bytea", []byte{}}, {"int8", int64(0)}, {"bool", false}, {"uuid", [16]byte{}}, {"timestamptz", time.Time{}}, {"date", time.Time{}},
		{"numeric", pgtype.Numeric{}}, {"text[]", []*string{}}, {"int8[]", []int64{}}, {"int4range", pgtype.Range[pgtype.Int4]{}}, {"tstzmultirange", pgtype.Multirange[pgtype.Range[pgtype.Timestamptz]]{}},
		{"jsonb", map[string]any{}}, {"interval", pgtype.Interval{}}, {"mood", ""}, {"mood[]", []*string{}}, {"pair", fuzzRecord{}}, {"pair[]", []fuzzRecord{}},
	}
	for i := range kinds {
		for _, seed := range []string{"", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x05", "{}", `{a,"b\\"",NULL}`, `(a,1,"{""x""}","2024-01-02 03:04:05Z")`, `{"(,,,)"}`, "(", "{", `("`, "\x01{}", "\x12\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x03"} {
			f.Add(byte(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		k := kinds[int(kind)%len(kinds)]
		pg, err := Named(k.typ)
		require.NoError(t, err)
		typ := reflect.TypeOf(k.value)
		c, err := New(typ, pg)
		require.NoError(t, err)
		m := NewMap()
		first := reflect.New(typ)
		if c.Decode(m, data, first.Interface()) != nil {
			return
		}
		once, null, err := c.Encode(m, nil, first.Interface())
		if err != nil || null {
			return // what PostgreSQL itself could not hold
		}
		second := reflect.New(typ)
		require.NoError(t, c.Decode(m, once, second.Interface()))
		twice, _, err := c.Encode(m, nil, second.Interface())
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}

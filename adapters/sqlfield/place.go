package sqlfield

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/sealform"
)

// Row returns the Binding.Row of the row with the given key, one value per key column,
// as crypto.Row and pgxfield's Config.RowKey have it. The values are integers, strings,
// uuids or bytes, or of a type made from these, or pointers to such; Row panics on
// other types.
//
// A key that is NULL or zero is none: the database, or a library, is yet to choose it.
// Then Row returns an empty slice that is not nil, which every column that is bound to
// its row refuses. So the key has to be known before a row is written: a uuid that the
// program makes, or a number that it fetched from the sequence.
func Row(key ...any) []byte {
	parts := make([]string, len(key))
	for i, v := range key {
		if parts[i] = keyText(v); parts[i] == "" {
			return []byte{}
		}
	}
	return crypto.Row(parts...)
}

// keyText returns the text of a value of a key, empty for none.
func keyText(v any) string {
	switch v := v.(type) { // the common ones, without reflection
	case nil:
		return ""
	case string:
		return v
	case int64:
		if v == 0 {
			return ""
		}
		return strconv.FormatInt(v, 10)
	}
	k, err := sealform.NewKey(reflect.TypeOf(v))
	if err != nil {
		panic(fmt.Sprintf("sqlfield: Row: %v", err))
	}
	text, ok := k.AppendText(nil, reflect.ValueOf(v))
	if !ok {
		return ""
	}
	return string(text)
}

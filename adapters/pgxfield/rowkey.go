package pgxfield

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/sealfield/sealfield/internal/sealform"
)

// keyColumn is a column of the row key.
type keyColumn struct {
	*field
	sealform.Key
}

func newKeyColumn(f *field) (k keyColumn, err error) {
	k.field = f
	k.Key, err = sealform.NewKey(f.typ)
	return k, err
}

// appendText appends the key's text in a row, and reports whether there is one.
func (k *keyColumn) appendText(dst []byte, row reflect.Value) ([]byte, bool) {
	return k.AppendText(dst, k.in(row))
}

// appendRow appends what crypto.Row returns for the row's key.
func (t *table) appendRow(dst []byte, row reflect.Value) ([]byte, error) {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.key)))
	for i := range t.key {
		k := &t.key[i]
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		var ok bool
		if dst, ok = k.appendText(dst, row); !ok {
			return nil, fmt.Errorf("row key column %s is NULL or zero", k.column)
		}
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	}
	return dst, nil
}

package pgxfield

import (
	"reflect"

	"github.com/sealfield/sealfield/keyring"
)

// CheckStruct returns NewTable's error for a struct. It compiles no Table for it.
func CheckStruct(kr *keyring.Keyring, typ reflect.Type, name string, cfg Config) error {
	_, err := newTable(kr, typ, name, cfg)
	return err
}

// NewTagged is NewTable with other seal tags, by the names of fields: tests can so
// use one generic struct for many types.
func NewTagged[T any](kr *keyring.Keyring, name string, cfg Config, tags map[string]string) (*Table[T], error) {
	typ := reflect.TypeFor[T]()
	var fields []reflect.StructField
	for i := range typ.NumField() {
		f := typ.Field(i)
		if tag, ok := tags[f.Name]; ok {
			f.Tag = reflect.StructTag(`db:"` + f.Tag.Get("db") + `" seal:"` + tag + `"`)
		}
		fields = append(fields, f)
	}
	inner, err := newTable(kr, reflect.StructOf(fields), name, cfg)
	if err != nil {
		return nil, err
	}
	return tableOf[T](inner), nil
}

// CheckSize returns the error for a plaintext of n bytes in a column.
func CheckSize[T any](t *Table[T], column string, n int) error {
	a := t.table.names[column]
	return a.checkSize(n)
}

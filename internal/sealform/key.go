package sealform

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// Key turns what identifies a row into the text that values are bound to: a part of
// crypto.Row.
type Key struct {
	Class  string // int8, text, uuid or bytea
	append func(dst []byte, v reflect.Value) []byte
}

// NewKey returns the Key of values of Go type t, or of pointers to such. It refuses
// types whose values the database can hand back in another spelling than the one
// that was bound.
func NewKey(typ reflect.Type) (k Key, err error) {
	t := typ
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case IsUUID(t):
		k.Class, k.append = "uuid", func(dst []byte, v reflect.Value) []byte {
			return appendUUIDText(dst, v.Convert(uuidType).Interface().([16]byte))
		}
	case CustomForm(t):
		k.Class, k.append = pgtypeKey(t)
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		k.Class, k.append = "int8", func(dst []byte, v reflect.Value) []byte { return strconv.AppendInt(dst, v.Int(), 10) }
	case IsInteger(t.Kind()):
		k.Class, k.append = "int8", func(dst []byte, v reflect.Value) []byte { return strconv.AppendUint(dst, v.Uint(), 10) }
	case t.Kind() == reflect.String:
		k.Class, k.append = "text", func(dst []byte, v reflect.Value) []byte { return append(dst, v.String()...) }
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		k.Class, k.append = "bytea", func(dst []byte, v reflect.Value) []byte { return hex.AppendEncode(dst, v.Bytes()) }
	}
	if k.append == nil {
		return k, fmt.Errorf("values of Go type %s can not be a row key: it takes an integer, a string, a uuid or bytes", typ)
	}
	return k, nil
}

func pgtypeKey(t reflect.Type) (string, func([]byte, reflect.Value) []byte) {
	switch t {
	case reflect.TypeFor[pgtype.Int2](), reflect.TypeFor[pgtype.Int4](), reflect.TypeFor[pgtype.Int8]():
		return "int8", func(dst []byte, v reflect.Value) []byte {
			n, _ := v.Interface().(pgtype.Int64Valuer).Int64Value()
			return strconv.AppendInt(dst, n.Int64, 10)
		}
	case reflect.TypeFor[pgtype.Text]():
		return "text", func(dst []byte, v reflect.Value) []byte { return append(dst, v.Interface().(pgtype.Text).String...) }
	case reflect.TypeFor[pgtype.UUID]():
		return "uuid", func(dst []byte, v reflect.Value) []byte {
			return appendUUIDText(dst, v.Interface().(pgtype.UUID).Bytes)
		}
	}
	return "", nil
}

// appendUUIDText appends the 36 lower-case characters of u.
func appendUUIDText(dst []byte, u [16]byte) []byte {
	for i, n := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, u[start:n])
	}
	return dst
}

// AppendText appends the key's text, and reports whether there is one: NULL and the
// zero value, which a database may yet replace by a default, are none.
func (k Key) AppendText(dst []byte, v reflect.Value) ([]byte, bool) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() || v.IsZero() {
		return dst, false
	}
	if valid := ValidFlag(v); valid.IsValid() && !valid.Bool() {
		return dst, false
	}
	start := len(dst)
	dst = k.append(dst, v)
	return dst, len(dst) > start
}

// ValidFlag returns the field of a pgtype that says that it is not NULL.
func ValidFlag(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName("Valid")
}

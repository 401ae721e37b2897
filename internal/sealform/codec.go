// Package sealform turns Go values into the bytes that are sealed, and back: the
// sealed form of SPEC, which pgxfield and sqlfield share. Integers of any width are 8
// bytes big endian, other built-in types stand in PostgreSQL's binary form, custom
// ones as text. A Type's class belongs to the derivation of the field's key.
package sealform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// Codec turns a struct field into its sealed form and back. Fields are passed by
// address, so that no value is boxed. A codec is safe for concurrent use; m is
// not.
//
// Encode refuses what a column of the type could not hold, or would give back as
// another value, with an error that is ErrValue. The errors of pgx can quote the value, so none of them is handed on: a codec's
// errors say what does not fit and no more.
type Codec interface {
	// Encode appends the sealed form of *field to dst. It returns null, and
	// dst as it was, if *field stands for NULL.
	Encode(m *Map, dst []byte, field any) (out []byte, null bool, err error)
	// Decode sets *field, and keeps nothing of src.
	Decode(m *Map, src []byte, field any) error
	// SetNull sets *field, which is zero, to NULL.
	SetNull(m *Map, field any) error
}

var errNull = errors.New("the value is NULL, which the field's type can not hold")

// New returns the codec for fields of Go type t in columns of type pg.
func New(t reflect.Type, pg Type) (Codec, error) {
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Pointer {
		return nil, errors.New("a pointer to a pointer can not be sealed")
	}
	if pg.IsArray() && isEndless(t) {
		return nil, fmt.Errorf("values of Go type %s have no last dimension", t)
	}
	base := t
	if t.Kind() == reflect.Pointer {
		base = t.Elem()
	}
	if p := reflect.PointerTo(base); p.Implements(valuerType) != p.Implements(scannerType) {
		return nil, fmt.Errorf("values of Go type %s would not come back as they were stored: it has only one of driver.Valuer and sql.Scanner", t)
	}
	var c Codec
	var err error
	if pg.Custom != nil {
		return newTextCodec(t, pg)
	} else if c = quickCodec(t, pg); c == nil {
		c, err = newPgxCodec(t, pg)
	}
	if err == nil && pg.narrow != "" {
		c = narrow{c, pg}
	}
	return c, err
}

// pgxCodec leaves the work to pgx.
type pgxCodec struct {
	pg      Type
	viaText bool // strings in a type that pgx can not encode from a string: by its text form
	shaped  bool // an array, whose Go value can have more dimensions than one
}

func newPgxCodec(t reflect.Type, pg Type) (Codec, error) {
	c := &pgxCodec{pg: pg}
	m := NewMap()
	zero := reflect.New(t)
	value := zero
	if t.Kind() == reflect.Pointer {
		value = reflect.New(t.Elem())
	}
	c.shaped = pg.IsArray() && !strings.HasPrefix(pg.Class, "json")
	mismatch := fmt.Errorf("values of Go type %s can not be stored as type %s", t, pg.Class)
	if _, aliases := value.Interface().(*pgtype.UndecodedBytes); aliases {
		return nil, mismatch
	}
	if m.PlanEncode(pg.OID, pgtype.BinaryFormatCode, value.Elem().Interface()) == nil {
		if value.Elem().Kind() != reflect.String {
			return nil, mismatch
		}
		c.viaText = true
	}
	if plan := m.PlanScan(pg.OID, pgtype.BinaryFormatCode, zero.Interface()); isFailure(plan) {
		return nil, mismatch
	}
	if pg.Class == "json" || pg.Class == "jsonb" { // pgx would marshal anything
		if _, err := json.Marshal(value.Interface()); err != nil && !value.Type().Elem().ConvertibleTo(bytesType) {
			return nil, mismatch
		}
	}
	return c, nil
}

// isFailure reports whether plan is the one that pgx makes when there is none.
func isFailure(plan pgtype.ScanPlan) bool {
	return strings.HasSuffix(fmt.Sprintf("%T", plan), ".scanPlanFail")
}

func (c *pgxCodec) Encode(m *Map, dst []byte, field any) ([]byte, bool, error) {
	if dst == nil {
		dst = []byte{} // pgx means NULL by nil
	}
	out, err := c.encode(m, dst, reflect.ValueOf(field).Elem())
	switch {
	case err != nil:
		return dst, false, refusal(err, "the value can not be encoded as "+c.pg.Class)
	case out == nil:
		return dst, true, nil
	}
	return out, false, nil
}

// encode returns nil for NULL.
func (c *pgxCodec) encode(m *Map, dst []byte, value reflect.Value) ([]byte, error) {
	if c.viaText {
		return c.encodeText(m, dst, value)
	}
	if c.shaped {
		if inner := reflect.Indirect(value); inner.IsValid() && isNested(inner.Type()) {
			array, err := flatten(inner)
			if err != nil {
				return nil, err
			}
			return m.Encode(c.pg.OID, pgtype.BinaryFormatCode, array, dst)
		} else if err := checkShape(inner); err != nil {
			return nil, err
		}
	}
	return m.Encode(c.pg.OID, pgtype.BinaryFormatCode, value.Interface(), dst)
}

// refusal returns what may be said of an error of encoding: pgx's can quote the value.
func refusal(err error, otherwise string) error {
	if own, ok := errors.AsType[valueError](err); ok {
		return own
	}
	return valueError(otherwise)
}

// JSONText returns the text in the binary form of a json or jsonb value.
func JSONText(form []byte, class string) []byte {
	if class == "jsonb" {
		return bytes.TrimPrefix(form, []byte{1})
	}
	return form
}

func (c *pgxCodec) encodeText(m *Map, dst []byte, value reflect.Value) ([]byte, error) {
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return nil, nil
		}
		value = value.Elem()
	}
	t, _ := m.TypeForOID(c.pg.OID)
	parsed, err := t.Codec.DecodeValue(m.Map, c.pg.OID, pgtype.TextFormatCode, []byte(value.String()))
	if err != nil {
		return nil, err
	}
	return m.Encode(c.pg.OID, pgtype.BinaryFormatCode, parsed, dst)
}

func (c *pgxCodec) Decode(m *Map, src []byte, field any) error {
	src = append([]byte{}, src...) // a pgtype.BytesScanner may keep it
	if err := m.Scan(c.pg.OID, pgtype.BinaryFormatCode, src, field); err != nil {
		return fmt.Errorf("the %s value does not fit Go type %s", c.pg.Class, reflect.TypeOf(field).Elem())
	}
	return nil
}

func (c *pgxCodec) SetNull(m *Map, field any) error {
	switch reflect.TypeOf(field).Elem().Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return nil
	}
	if m.Scan(c.pg.OID, pgtype.BinaryFormatCode, nil, field) != nil {
		return errNull
	}
	return nil
}

// quickCodec returns a codec for the common types that does without pgx's
// planning and allocations, or nil. Its sealed form is the same.
func quickCodec(t reflect.Type, pg Type) Codec {
	base := t
	if t.Kind() == reflect.Pointer {
		base = t.Elem()
	}
	if base != timeType && CustomForm(base) && !IsUUID(base) {
		return nil
	}
	switch {
	case pg.Class == "text" && base.Kind() == reflect.String:
		return quickFor(t, appendText, scanText)
	case pg.Class == "int8" && IsInteger(base.Kind()):
		return quickInteger(t, base.Kind())
	case pg.Class == "bool" && base.Kind() == reflect.Bool:
		return quickFor(t, appendBool, scanBool)
	case pg.Class == "uuid" && IsUUID(base):
		return quickFor(t, appendUUID, scanUUID)
	case pg.Class == "bytea" && t.ConvertibleTo(bytesType) && t.Kind() == reflect.Slice:
		return quickBytes{convert: converter[[]byte](t)}
	case pg.Class == "timestamptz" && base == timeType:
		return quickFor(t, appendTimestamptz, scanTimestamptz)
	case pg.Class == "date" && base == timeType:
		return quickFor(t, appendDate, scanDate)
	}
	return nil
}

func quickInteger(t reflect.Type, k reflect.Kind) Codec {
	switch k {
	case reflect.Int:
		return quickFor(t, appendInteger[int], scanInteger[int])
	case reflect.Int8:
		return quickFor(t, appendInteger[int8], scanInteger[int8])
	case reflect.Int16:
		return quickFor(t, appendInteger[int16], scanInteger[int16])
	case reflect.Int32:
		return quickFor(t, appendInteger[int32], scanInteger[int32])
	case reflect.Int64:
		return quickFor(t, appendInteger[int64], scanInteger[int64])
	case reflect.Uint:
		return quickFor(t, appendInteger[uint], scanInteger[uint])
	case reflect.Uint8:
		return quickFor(t, appendInteger[uint8], scanInteger[uint8])
	case reflect.Uint16:
		return quickFor(t, appendInteger[uint16], scanInteger[uint16])
	case reflect.Uint32:
		return quickFor(t, appendInteger[uint32], scanInteger[uint32])
	default:
		return quickFor(t, appendInteger[uint64], scanInteger[uint64])
	}
}

// quick is the codec of fields of type E, or of a type made from it; pointer is
// the one of pointers to such.
type quick[E any] struct {
	convert func(any) any // *Named to *E; nil if the field's type is E
	append  func(dst []byte, v *E) ([]byte, error)
	scan    func(src []byte, v *E) error
}

type pointer[E any] struct{ quick[E] }

func quickFor[E any](t reflect.Type, app func([]byte, *E) ([]byte, error), scan func([]byte, *E) error) Codec {
	if t.Kind() == reflect.Pointer {
		return pointer[E]{quick[E]{converter[*E](t), app, scan}}
	}
	return quick[E]{converter[E](t), app, scan}
}

// converter returns what turns a *t into a *E without touching the value.
func converter[E any](t reflect.Type) func(any) any {
	if t == reflect.TypeFor[E]() {
		return nil
	}
	if target := reflect.TypeFor[*E](); reflect.PointerTo(t).ConvertibleTo(target) {
		return func(p any) any { return reflect.ValueOf(p).Convert(target).Interface() }
	}
	// A **Named is no **E, although a *Named is a *E: point to a copy of the
	// pointer instead. Decoding goes through pointer.decode, which copies back.
	target := reflect.TypeFor[E]()
	return func(p any) any {
		e := reflect.New(target)
		e.Elem().Set(reflect.ValueOf(p).Elem().Convert(target))
		return e.Interface()
	}
}

func (c quick[E]) field(p any) *E {
	if c.convert != nil {
		p = c.convert(p)
	}
	return p.(*E)
}

func (c quick[E]) Encode(_ *Map, dst []byte, field any) ([]byte, bool, error) {
	out, err := c.append(dst, c.field(field))
	return out, false, err
}

func (c quick[E]) Decode(_ *Map, src []byte, field any) error {
	return c.scan(src, c.field(field))
}

func (c quick[E]) SetNull(*Map, any) error { return errNull }

func (c pointer[E]) field(p any) **E {
	if c.convert != nil {
		p = c.convert(p)
	}
	return p.(**E)
}

func (c pointer[E]) Encode(_ *Map, dst []byte, field any) ([]byte, bool, error) {
	p := *c.field(field)
	if p == nil {
		return dst, true, nil
	}
	out, err := c.append(dst, p)
	return out, false, err
}

func (c pointer[E]) Decode(_ *Map, src []byte, field any) error {
	v := new(E)
	if err := c.scan(src, v); err != nil {
		return err
	}
	if p, ok := field.(**E); ok {
		*p = v
		return nil
	}
	to := reflect.ValueOf(field).Elem()
	to.Set(reflect.ValueOf(v).Convert(to.Type()))
	return nil
}

func (c pointer[E]) SetNull(*Map, any) error { return nil }

// quickBytes is the codec of byte slices, whose nil is NULL.
type quickBytes struct{ convert func(any) any }

func (c quickBytes) field(p any) *[]byte {
	if c.convert != nil {
		p = c.convert(p)
	}
	return p.(*[]byte)
}

func (c quickBytes) Encode(_ *Map, dst []byte, field any) ([]byte, bool, error) {
	v := *c.field(field)
	return append(dst, v...), v == nil, nil
}

func (c quickBytes) Decode(_ *Map, src []byte, field any) error {
	*c.field(field) = append(make([]byte, 0, len(src)), src...)
	return nil
}

func (c quickBytes) SetNull(*Map, any) error { return nil }

const errText = valueError("the value is no UTF-8 text without zero bytes")

func appendText(dst []byte, v *string) ([]byte, error) {
	if !utf8.ValidString(*v) || strings.IndexByte(*v, 0) >= 0 {
		return dst, errText // PostgreSQL would not take it as text either
	}
	return append(dst, *v...), nil
}

func scanText(src []byte, v *string) error {
	*v = string(src)
	return nil
}

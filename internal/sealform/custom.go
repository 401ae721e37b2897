package sealform

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// This file holds the text form of types that PostgreSQL does not have built in:
// enums, composites, domains, those of extensions, and arrays of them. Their OIDs
// differ from database to database, and so would their binary form.

// textForm turns a Go value into the text that PostgreSQL writes for it, and back.
type textForm interface {
	// append appends the text of v. It returns null, and dst as it was, if v
	// stands for NULL.
	append(m *Map, dst []byte, v reflect.Value) (out []byte, null bool, err error)
	// scan sets v, which is zero, and keeps nothing of src. A nil src is NULL.
	scan(m *Map, src []byte, v reflect.Value) error
	// fits says why a column of a type of the catalogue does not take what append
	// writes, or "".
	fits(t *CatalogueType) string
}

// textCodec is the codec of custom types.
type textCodec struct {
	class string
	form  textForm
}

func newTextCodec(t reflect.Type, pg Type) (Codec, error) {
	form, err := newTextForm(t, strings.HasSuffix(pg.Class, "[]"))
	if err != nil {
		return nil, fmt.Errorf("values of Go type %s can not be stored as type %s: %w", t, pg.Name(), err)
	}
	return textCodec{pg.Name(), form}, nil
}

func (c textCodec) Encode(m *Map, dst []byte, field any) ([]byte, bool, error) {
	out, null, err := c.form.append(m, dst, reflect.ValueOf(field).Elem())
	if err != nil {
		return dst, false, refusal(err, "the value can not be encoded as "+c.class)
	}
	return out, null, nil
}

func (c textCodec) Decode(m *Map, src []byte, field any) error {
	src = append([]byte{}, src...) // a pgtype.BytesScanner may keep it
	to := reflect.ValueOf(field).Elem()
	v := reflect.New(to.Type()).Elem()
	if err := c.form.scan(m, src, v); err != nil {
		return fmt.Errorf("the %s value does not fit Go type %s", c.class, to.Type())
	}
	to.Set(v)
	return nil
}

func (c textCodec) SetNull(m *Map, field any) error {
	if c.form.scan(m, nil, reflect.ValueOf(field).Elem()) != nil {
		return errNull
	}
	return nil
}

// Misfit says why a column of a type of the catalogue does not take the sealed form
// that the codec of a custom type writes, or "".
func Misfit(c Codec, t *CatalogueType) string { return c.(textCodec).form.fits(t) }

// CatalogueType is a type of the catalogue.
type CatalogueType struct {
	OID     uint32
	Schema  string
	Name    string
	Kind    string // pg_type.typtype: b, c, d, e, m, r
	BaseOID uint32 // of a domain, else 0
	ElemOID uint32 // of an array, else 0
	Record  uint32 // of a composite, its pg_class, else 0

	Base       *CatalogueType // of a domain
	Element    *CatalogueType // of an array
	Attributes []Attribute
}

// Attribute is one of a composite.
type Attribute struct {
	Name string
	Type *CatalogueType
}

// Under returns what is under domains.
func (t *CatalogueType) Under() *CatalogueType {
	for t.Base != nil {
		t = t.Base
	}
	return t
}

const firstCustomOID = 16384

// BuiltIn reports whether the type is one of PostgreSQL itself.
func (t *CatalogueType) BuiltIn() bool { return t.OID < firstCustomOID }

// newTextForm returns the form of Go type t; of arrays, t has to be a slice or a
// string with the whole literal. Outer are the structs that it is a part of.
func newTextForm(t reflect.Type, array bool, outer ...reflect.Type) (textForm, error) {
	switch {
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Pointer:
		return nil, errors.New("it is a pointer to a pointer")
	case t.Kind() == reflect.Pointer:
		form, err := newTextForm(t.Elem(), array, outer...)
		return pointerForm{form}, err
	case CustomForm(t):
		return leafForm{pgtype.TextOID, ""}, nil
	case t.Kind() == reflect.String:
		return stringForm{}, nil
	case array && t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		form, err := newTextForm(t.Elem(), false, outer...)
		return arrayForm{form}, err
	case array:
		return nil, errors.New("it is no slice")
	}
	if name := Default(t); name != "" && (name != "jsonb" || t == rawJSONType) {
		pg, err := Named(name)
		if err != nil || strings.HasSuffix(pg.Class, "[]") || pg.OID == 0 {
			return nil, errors.New("it is an array")
		}
		return leafForm{pg.OID, pg.Class}, nil
	}
	if t.Kind() == reflect.Struct && !ownGetter(t) {
		return newRecordForm(t, outer)
	}
	return nil, errors.New("it has no text form")
}

// stringForm is that of strings: the text as it is.
type stringForm struct{}

func (stringForm) append(_ *Map, dst []byte, v reflect.Value) ([]byte, bool, error) {
	s := v.String()
	out, err := appendText(dst, &s)
	return out, false, err
}

func (stringForm) scan(_ *Map, src []byte, v reflect.Value) error {
	if src == nil {
		return errNull
	}
	v.SetString(string(src))
	return nil
}

func (stringForm) fits(*CatalogueType) string { return "" }

// leafForm is that of a built-in type.
type leafForm struct {
	oid   uint32
	class string // "" if the Go type writes its text itself
}

func (f leafForm) append(m *Map, dst []byte, v reflect.Value) ([]byte, bool, error) {
	if dst == nil {
		dst = []byte{} // pgx means NULL by nil
	}
	out, err := m.Encode(f.oid, pgtype.TextFormatCode, v.Interface(), dst)
	switch {
	case err != nil:
		return dst, false, err
	case out == nil:
		return dst, true, nil
	case !validText(out[len(dst):]):
		return dst, false, errText
	}
	return out, false, nil
}

func (f leafForm) scan(m *Map, src []byte, v reflect.Value) error {
	return m.Scan(f.oid, pgtype.TextFormatCode, src, v.Addr().Interface())
}

func (f leafForm) fits(t *CatalogueType) string {
	base := t.Under()
	switch {
	case f.class == "" || ClassOf(base.Name) == f.class:
		return ""
	case base.BuiltIn():
		return fmt.Sprintf("values of it are kept as %s, and it is made of %s", f.class, base.Name)
	}
	return fmt.Sprintf("values of it are kept as %s, and it is a type of its own", f.class)
}

// pointerForm is that of pointers, whose nil is NULL.
type pointerForm struct{ elem textForm }

func (f pointerForm) append(m *Map, dst []byte, v reflect.Value) ([]byte, bool, error) {
	if v.IsNil() {
		return dst, true, nil
	}
	return f.elem.append(m, dst, v.Elem())
}

func (f pointerForm) scan(m *Map, src []byte, v reflect.Value) error {
	if src == nil {
		return nil
	}
	p := reflect.New(v.Type().Elem())
	if err := f.elem.scan(m, src, p.Elem()); err != nil {
		return err
	}
	v.Set(p)
	return nil
}

func (f pointerForm) fits(t *CatalogueType) string { return f.elem.fits(t) }

// arrayForm is that of slices, whose nil is NULL.
type arrayForm struct{ elem textForm }

func (f arrayForm) append(m *Map, dst []byte, v reflect.Value) ([]byte, bool, error) {
	if v.IsNil() {
		return dst, true, nil
	}
	out := append(dst, '{')
	for i := range v.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		text, null, err := f.elem.append(m, nil, v.Index(i))
		switch {
		case err != nil:
			return dst, false, err
		case null:
			out = append(out, "NULL"...)
		case len(text) == 0 || strings.EqualFold(string(text), "null") || needsQuotes(text, `{},"\`):
			out = append(out, '"')
			for _, c := range text {
				if c == '"' || c == '\\' {
					out = append(out, '\\')
				}
				out = append(out, c)
			}
			out = append(out, '"')
		default:
			out = append(out, text...)
		}
	}
	return append(out, '}'), false, nil
}

func (f arrayForm) scan(m *Map, src []byte, v reflect.Value) error {
	if src == nil {
		return nil
	}
	var texts []*string
	if err := m.Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, src, &texts); err != nil {
		return err
	}
	s := reflect.MakeSlice(v.Type(), len(texts), len(texts))
	for i, text := range texts {
		var elem []byte
		if text != nil {
			elem = append([]byte{}, *text...)
		}
		if err := f.elem.scan(m, elem, s.Index(i)); err != nil {
			return err
		}
	}
	v.Set(s)
	return nil
}

func (f arrayForm) fits(t *CatalogueType) string {
	if t.Element == nil {
		return "a slice is kept as an array, and it is none"
	}
	return f.elem.fits(t.Element)
}

// recordForm is that of structs as composites: their exported fields in order.
type recordForm struct {
	typ    reflect.Type
	fields []int
	forms  []textForm
}

func newRecordForm(t reflect.Type, outer []reflect.Type) (textForm, error) {
	if slices.Contains(outer, t) {
		return nil, errors.New("no composite is a member of itself")
	}
	outer = append(outer, t)
	f := recordForm{typ: t}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() || sf.Tag.Get("db") == "-" {
			continue
		}
		form, err := newTextForm(sf.Type, sf.Type.Kind() == reflect.Slice && sf.Type.Elem().Kind() != reflect.Uint8, outer...)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", sf.Name, err)
		}
		f.fields, f.forms = append(f.fields, i), append(f.forms, form)
	}
	if len(f.fields) == 0 {
		return nil, errors.New("it is a struct without exported fields")
	}
	return f, nil
}

func (f recordForm) append(m *Map, dst []byte, v reflect.Value) ([]byte, bool, error) {
	out := append(dst, '(')
	for i, form := range f.forms {
		if i > 0 {
			out = append(out, ',')
		}
		text, null, err := form.append(m, nil, v.Field(f.fields[i]))
		switch {
		case err != nil:
			return dst, false, err
		case null:
		case len(text) == 0 || needsQuotes(text, `(),"\`):
			out = append(out, '"')
			for _, c := range text {
				if c == '"' || c == '\\' {
					out = append(out, c)
				}
				out = append(out, c)
			}
			out = append(out, '"')
		default:
			out = append(out, text...)
		}
	}
	return append(out, ')'), false, nil
}

func (f recordForm) scan(m *Map, src []byte, v reflect.Value) error {
	if src == nil {
		return errNull
	}
	texts, err := parseRecord(src)
	if err != nil {
		return err
	}
	if len(texts) != len(f.forms) {
		return ErrForm
	}
	for i, form := range f.forms {
		if err := form.scan(m, texts[i], v.Field(f.fields[i])); err != nil {
			return err
		}
	}
	return nil
}

func (f recordForm) fits(t *CatalogueType) string {
	base := t.Under()
	if base.Kind != "c" {
		return fmt.Sprintf("struct %s is kept as a composite, and it is none", f.typ)
	}
	if len(base.Attributes) != len(f.forms) {
		return fmt.Sprintf("struct %s has %d fields, and it has %d", f.typ, len(f.forms), len(base.Attributes))
	}
	for i, form := range f.forms {
		a := base.Attributes[i]
		if why := form.fits(a.Type); why != "" {
			return fmt.Sprintf("attribute %s: %s", a.Name, why)
		}
	}
	return ""
}

// parseRecord returns the texts of a composite's fields, nil for NULL, as
// PostgreSQL reads them.
func parseRecord(src []byte) (fields [][]byte, err error) {
	s := strings.Trim(string(src), " \t\n\r\v\f")
	if len(s) < 2 || s[0] != '(' {
		return nil, ErrForm
	}
	var field []byte // nil as long as nothing was read
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return nil, ErrForm
			}
			field = append(field, s[i])
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			i++
			field = append(field, '"')
		case c == '"':
			if quoted = !quoted; field == nil {
				field = []byte{}
			}
		case quoted || c != ',' && c != ')' && c != '(':
			field = append(field, c)
		case c == '(':
			return nil, ErrForm
		default:
			fields, field = append(fields, field), nil
			if c == ')' {
				if i != len(s)-1 {
					return nil, ErrForm
				}
				return fields, nil
			}
		}
	}
	return nil, ErrForm
}

func needsQuotes(text []byte, special string) bool {
	for _, c := range text {
		if c == ' ' || c >= '\t' && c <= '\r' || strings.IndexByte(special, c) >= 0 {
			return true
		}
	}
	return false
}

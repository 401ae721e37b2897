package mask

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Struct masks values of a struct type by the mask tags of its fields:
//
//	type Customer struct {
//		ID    int64     `mask:"subject"`
//		Email string    `mask:"email,domain=customer.email"`
//		Born  time.Time `mask:"date"`
//		Note  string    `mask:"text,email=customer.email"`
//		Plan  string    `mask:"keep"`
//	}
//
// A tag is the text of a rule, or keep. subject says that the field is the Row's Subject,
// alone or before a rule: subject,int,domain=customer. Every exported field has a tag,
// unless it is a struct, or a pointer to or slice of structs, whose fields have theirs.
// Fields are strings, byte slices (as text), integers, floats, time.Time, whatever
// has MarshalText and UnmarshalText, and pointers to, slices of and maps by string with
// these; the names in a map stay. The rule text knows the values of its struct and of the
// structs around and in it, but not those of elements of a list in it. NULL makes a pointer nil, and other fields zero.
//
// It is safe for concurrent use.
type Struct[T any] struct{ plan *plan }

// NewStruct returns what masks values of type T. A wrong or missing tag is an error.
func NewStruct[T any](m *Masker) (*Struct[T], error) {
	p, err := m.planOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Struct[T]{p}, nil
}

// Mask returns a masked copy. It shares no memory with v but through fields that are
// kept. Fields that are not exported are zero.
func (s *Struct[T]) Mask(v T) (T, error) {
	var out T
	err := s.plan.maskAll(reflect.ValueOf(&out).Elem(), reflect.ValueOf(&v).Elem())
	return out, err
}

// JSON returns the JSON of a masked copy of a struct, a pointer to one or a slice of
// these, for logs and screens: without keys, so that tags may name only the rules that
// need none. Those with one are for Masker.JSON.
func JSON(v any) ([]byte, error) { return new(Masker).JSON(v) }

// JSON returns the JSON of a masked copy of a struct with mask tags (see Struct), a
// pointer to one or a slice of these.
func (m *Masker) JSON(v any) ([]byte, error) {
	src := reflect.ValueOf(v)
	if !src.IsValid() {
		return []byte("null"), nil
	}
	p, err := m.cachedPlan(src.Type())
	if err != nil {
		return nil, err
	}
	dst := reflect.New(src.Type()).Elem()
	if err := p.maskAll(dst, src); err != nil {
		return nil, err
	}
	return json.Marshal(dst.Interface())
}

func (m *Masker) cachedPlan(t reflect.Type) (*plan, error) {
	if p, ok := m.plans.Load(t); ok {
		return p.(*plan), nil
	}
	p, err := m.planOf(t)
	if err == nil {
		m.plans.Store(t, p)
	}
	return p, err
}

// plan says what becomes of the fields of a struct.
type plan struct {
	fields  []fieldPlan
	subject int // in fields, or -1
}

type fieldPlan struct {
	index int
	name  string // with the type's
	rule  *Rule  // nil keeps, if inner is nil too
	inner *plan
}

var (
	timeType        = reflect.TypeFor[time.Time]()
	marshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (m *Masker) planOf(t reflect.Type) (*plan, error) {
	s := structOf(t)
	if s == nil {
		return nil, fmt.Errorf("mask: %s is no struct", t)
	}
	return m.planStruct(s, nil)
}

// structOf returns the struct that t is, points to or is a slice of, or nil.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || isLeaf(t) {
		return nil
	}
	return t
}

func (m *Masker) planStruct(t reflect.Type, outer []reflect.Type) (*plan, error) {
	if slices.Contains(outer, t) {
		return nil, fmt.Errorf("mask: %s contains itself", t)
	}
	p := &plan{subject: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		fp := fieldPlan{index: i, name: t.String() + "." + f.Name}
		tag, ok := f.Tag.Lookup("mask")
		var err error
		switch inner := structOf(f.Type); {
		case !ok && inner != nil:
			fp.inner, err = m.planStruct(inner, append(outer, t))
		case !ok:
			err = &SpecError{Field: fp.name, Reason: "has no mask tag", Suggestion: `write mask:"keep" if it may stay`}
		default:
			err = m.planField(p, &fp, tag, f.Type)
		}
		if err != nil {
			return nil, err
		}
		p.fields = append(p.fields, fp)
	}
	if len(p.fields) == 0 {
		return nil, fmt.Errorf("mask: %s has no exported fields", t)
	}
	return p, nil
}

func (m *Masker) planField(p *plan, fp *fieldPlan, tag string, t reflect.Type) error {
	if rest, ok := strings.CutPrefix(tag, "subject"); ok && (rest == "" || rest[0] == ',') {
		if p.subject >= 0 {
			return &SpecError{Field: fp.name, Reason: "is a second subject"}
		}
		if !isLeaf(t) {
			return &SpecError{Field: fp.name, Reason: "can not be a subject: it is no text, number or time"}
		}
		p.subject = len(p.fields)
		tag = strings.TrimPrefix(rest, ",")
		if tag == "" {
			tag = "keep"
		}
	}
	if tag == "keep" {
		return nil
	}
	s, err := parseSpec(tag, 0, fp.name)
	if err == nil {
		fp.rule, err = m.compile(s, new(atomic.Uint64))
	}
	if err != nil {
		return err
	}
	for t.Kind() == reflect.Pointer || !isLeaf(t) && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map && t.Key().Kind() == reflect.String) {
		t = t.Elem()
	}
	if !isLeaf(t) {
		return &SpecError{Field: fp.name, Reason: fmt.Sprintf("%s can not be masked", t), Suggestion: "tag the fields of the struct"}
	}
	return fits(fp.rule, fp.name, t)
}

// isLeaf reports whether values of the type are masked as one text.
func isLeaf(t reflect.Type) bool {
	switch k := t.Kind(); {
	case t == timeType, t.Implements(marshalerType) && reflect.PointerTo(t).Implements(unmarshalerType):
		return t.Kind() != reflect.Pointer
	case k == reflect.String, k >= reflect.Int && k <= reflect.Uint64, k == reflect.Float32, k == reflect.Float64:
		return true
	case k == reflect.Slice:
		return t.Elem().Kind() == reflect.Uint8
	}
	return false
}

// fits refuses rules whose results the type can not hold.
func fits(r *Rule, name string, t reflect.Type) error {
	var types []string
	switch k := t.Kind(); {
	case t == timeType:
		types = []string{"timestamptz", "any"}
	case k >= reflect.Int && k <= reflect.Uint64, k == reflect.Float32, k == reflect.Float64:
		types = []string{"int8", "any"}
	default:
		return nil
	}
	if slices.ContainsFunc(types, func(t string) bool { return slices.Contains(r.props.Types, t) }) {
		return nil
	}
	return &SpecError{Field: name, Reason: fmt.Sprintf("rule %s makes no %s", r.text, t), Suggestion: "use null, or a rule for that type"}
}

// maskAll masks a struct, a pointer or a slice of some.
func (p *plan) maskAll(dst, src reflect.Value) error {
	var row Row
	// Free text comes second, when the row's own values are known.
	if err := p.mask(dst, src, &row, false); err != nil {
		return err
	}
	return p.mask(dst, src, &row, true)
}

func (p *plan) mask(dst, src reflect.Value, row *Row, late bool) error {
	switch src.Kind() {
	case reflect.Pointer:
		if src.IsNil() {
			return nil
		}
		if dst.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
		}
		return p.mask(dst.Elem(), src.Elem(), row, late)
	case reflect.Slice, reflect.Array:
		if src.Kind() == reflect.Slice {
			if src.IsNil() {
				return nil
			}
			if dst.IsNil() {
				dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
			}
		}
		for i := range src.Len() {
			// The elements of a list are rows of their own.
			own := &Row{Subject: row.Subject}
			if late {
				*own.owned() = slices.Clone(*row.owned())
				if err := p.mask(dst.Index(i), src.Index(i), own, false); err != nil {
					return err
				}
				if err := p.mask(dst.Index(i), src.Index(i), own, true); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if p.subject >= 0 {
		f := src.Field(p.fields[p.subject].index)
		text, err := appendText(nil, f)
		if err != nil {
			return fmt.Errorf("mask: %s: %w", p.fields[p.subject].name, err)
		}
		defer func(outer []byte) { row.Subject = outer }(row.Subject)
		row.Subject = text
	}
	for _, f := range p.fields {
		from, to := src.Field(f.index), dst.Field(f.index)
		var err error
		switch {
		case f.inner != nil:
			err = f.inner.mask(to, from, row, late)
		case f.rule == nil:
			to.Set(from)
		case f.rule.readsOwn == late:
			if err = f.rule.value(to, from, row, !late); err != nil {
				err = fmt.Errorf("mask: %s: %w", f.name, err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value masks a field, or what it points to or holds. With own, the row learns of it.
func (r *Rule) value(dst, src reflect.Value, row *Row, own bool) error {
	t := src.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if src.IsNil() {
			return nil
		}
		v := reflect.New(t.Elem())
		isNull, err := r.leafOr(v.Elem(), src.Elem(), row, own)
		if err == nil && !isNull {
			dst.Set(v)
		}
		return err
	case isLeaf(t):
		_, err := r.leafOr(dst, src, row, own)
		return err
	case t.Kind() == reflect.Map:
		if src.IsNil() {
			return nil
		}
		dst.Set(reflect.MakeMapWithSize(t, src.Len()))
		for i := src.MapRange(); i.Next(); {
			v := reflect.New(t.Elem()).Elem()
			if err := r.value(v, i.Value(), row, own); err != nil {
				return err
			}
			dst.SetMapIndex(i.Key(), v)
		}
		return nil
	case t.Kind() == reflect.Slice:
		if src.IsNil() {
			return nil
		}
		dst.Set(reflect.MakeSlice(t, src.Len(), src.Len()))
	}
	for i := range src.Len() {
		if err := r.value(dst.Index(i), src.Index(i), row, own); err != nil {
			return err
		}
	}
	return nil
}

// leafOr masks a leaf, or what is below if it is none.
func (r *Rule) leafOr(dst, src reflect.Value, row *Row, own bool) (isNull bool, err error) {
	if !isLeaf(src.Type()) {
		return false, r.value(dst, src, row, own)
	}
	if src.IsZero() && (src.Kind() == reflect.Slice || src.Type() == timeType) {
		return false, nil // as good as NULL
	}
	text, err := appendText(nil, src)
	if err != nil {
		return false, err
	}
	out, err := r.Append(nil, text, row)
	if own && err == nil {
		row.Own(text, out)
	}
	if err != nil || out == nil {
		return true, err
	}
	if err := setText(dst, out); err != nil {
		return false, errors.New("the result does not fit the field")
	}
	return false, nil
}

// appendText appends a leaf as text. The result is not nil.
func appendText(dst []byte, v reflect.Value) ([]byte, error) {
	dst = empty(dst)
	switch {
	case v.Type() == timeType:
		return v.Interface().(time.Time).AppendFormat(dst, time.RFC3339Nano), nil
	case v.Type().Implements(marshalerType):
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return nil, errors.New("the value has no text") // err may hold it
		}
		return append(dst, text...), nil
	case v.CanInt():
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case v.CanUint():
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case v.CanFloat():
		return strconv.AppendFloat(dst, v.Float(), 'f', -1, v.Type().Bits()), nil
	case v.Kind() == reflect.Slice:
		return append(dst, v.Bytes()...), nil
	}
	return append(dst, v.String()...), nil
}

// setText is the inverse of appendText.
func setText(v reflect.Value, text []byte) error {
	switch {
	case v.Type() == timeType:
		t, err := time.Parse(time.RFC3339Nano, string(text))
		v.Set(reflect.ValueOf(t))
		return err
	case v.Addr().Type().Implements(unmarshalerType):
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text)
	case v.CanInt():
		n, err := strconv.ParseInt(string(text), 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(string(text), 10, v.Type().Bits())
		v.SetUint(n)
		return err
	case v.CanFloat():
		x, err := strconv.ParseFloat(string(text), v.Type().Bits())
		v.SetFloat(x)
		return err
	case v.Kind() == reflect.Slice:
		v.SetBytes(slices.Clone(text))
		return nil
	}
	v.SetString(string(text))
	return nil
}

package slogfield

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// plan is what there is to know of a type, whatever the value.
type plan struct {
	holds   holds
	isError bool
	spoken  bool // isError, or pointers to values of the type are errors

	// Of structs:
	always bool                // to be redacted: a field is tagged, or holds what is
	opaque bool                // likewise, unless the text of an error stands for it: a field can not be looked at
	fields []field             // those of its copy
	copied func() reflect.Type // the struct that is printed in its place
}

// holds says what values of a type may hold, at any depth.
type holds uint8

const (
	texts    holds = 1 << iota // strings and bytes that can be seen, which may be sealed values
	anything                   // what only the value tells: interfaces, errors that wrap others
	tagged                     // a struct with a tagged field

	secrets = anything | tagged
)

// field is a field of a struct's copy.
type field struct {
	index     int // in the struct
	as        as
	omitEmpty bool // of asAny: left out of JSON
	omitZero  bool
	visible   bool // of asAny: a struct of which unexported fields are left out
}

// as says how the copy of a struct keeps a field.
type as uint8

const (
	asMarker   as = iota // without its value
	asItself             // as it is: it holds nothing to redact
	asVisible            // as a copy without unexported fields, which holds nothing to redact
	asString             // as a string, which may be a note
	asAny                // as what may be seen of it
	asEmbedded           // as a copy of the embedded struct, or a pointer to that
)

var (
	anyType          = reflect.TypeFor[any]()
	stringType       = reflect.TypeFor[string]()
	reflectValueType = reflect.TypeFor[reflect.Value]()
	errorType        = reflect.TypeFor[error]()
	unwrapTypes      = []reflect.Type{reflect.TypeFor[interface{ Unwrap() error }](), reflect.TypeFor[interface{ Unwrap() []error }]()}
	printerTypes     = []reflect.Type{reflect.TypeFor[interface{ String() string }](), reflect.TypeFor[interface{ MarshalJSON() ([]byte, error) }](), reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()}
)

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	p, ok := plans.Load(t)
	if !ok {
		p, _ = plans.LoadOrStore(t, newPlan(t))
	}
	return p.(*plan)
}

func newPlan(t reflect.Type) *plan {
	p := &plan{holds: scan(t, false, map[visited]bool{}), isError: t.Kind() != reflect.Interface && t.Implements(errorType)}
	if t.Kind() != reflect.Struct {
		return p
	}
	p.spoken = reflect.PointerTo(t).Implements(errorType)
	for sf := range t.Fields() {
		h := scan(sf.Type, false, map[visited]bool{})
		base := embeddedStruct(sf)
		f := field{index: sf.Index[0], as: asAny}
		switch {
		case hasTag(sf):
			p.always, f.as = true, asMarker
		case base != nil && !(sf.IsExported() && h == 0 && implements(sf.Type, printerTypes)) && !embeds(base, t, nil):
			f.as = asEmbedded
		case !sf.IsExported():
			p.always, p.opaque = p.always || h&tagged != 0, p.opaque || h&anything != 0
		case h == 0 && isVisible(sf.Type):
			f.as = asVisible
		case h == 0:
			f.as = asItself
		case sf.Type.Kind() == reflect.String && sf.Type.NumMethod() == 0:
			f.as = asString
		default:
			_, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
			words := strings.Split(options, ",")
			f.visible = isVisible(sf.Type)
			f.omitEmpty, f.omitZero = slices.Contains(words, "omitempty"), slices.Contains(words, "omitzero")
		}
		if sf.IsExported() || f.as == asEmbedded {
			p.fields = append(p.fields, f)
		}
	}
	p.copied = sync.OnceValue(func() reflect.Type { return copyOf(t, p.fields) })
	return p
}

type visited struct {
	t      reflect.Type
	hidden bool
}

// scan returns what values of t may hold. Of hidden ones, in unexported fields,
// texts are not looked at.
func scan(t reflect.Type, hidden bool, seen map[visited]bool) (h holds) {
	if v := (visited{t, hidden}); seen[v] {
		return 0
	} else if seen[v] = true; implements(t, unwrapTypes) && t.Implements(errorType) {
		h = anything
	}
	switch t.Kind() {
	case reflect.Interface:
		return anything
	case reflect.String:
		h |= texts
	case reflect.Slice, reflect.Array, reflect.Pointer:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			h |= texts
		}
		h |= scan(t.Elem(), hidden, seen)
	case reflect.Map:
		h |= scan(t.Key(), hidden, seen) | scan(t.Elem(), hidden, seen)
	case reflect.Struct:
		if t == reflectValueType {
			return anything
		}
		for sf := range t.Fields() {
			if hasTag(sf) {
				h |= tagged
			} else {
				h |= scan(sf.Type, hidden || !sf.IsExported() && embeddedStruct(sf) == nil, seen)
			}
		}
	}
	if hidden {
		h &^= texts
	}
	return h
}

// copyOf returns the type of a struct's copy. It has the names and JSON tags of the
// fields, and no methods.
func copyOf(t reflect.Type, fields []field) reflect.Type {
	copies := make([]reflect.StructField, len(fields))
	for i, f := range fields {
		sf := t.Field(f.index)
		c := reflect.StructField{Name: sf.Name, Type: anyType}
		if tag, ok := sf.Tag.Lookup("json"); ok {
			c.Tag = reflect.StructTag("json:" + strconv.Quote(tag))
		}
		switch f.as {
		case asItself:
			c.Type = sf.Type
		case asVisible:
			c.Type = planOf(sf.Type).copied()
		case asString:
			c.Type = stringType
		case asEmbedded:
			c.Name, c.Anonymous = exportedName(t, sf), true
			c.Type = planOf(embeddedStruct(sf)).copied()
			if sf.Type.Kind() == reflect.Pointer {
				c.Type = reflect.PointerTo(c.Type)
			}
		}
		copies[i] = c
	}
	return reflect.StructOf(copies)
}

// exportedName returns the name of an embedded field in the copy, which JSON does not
// show.
func exportedName(t reflect.Type, sf reflect.StructField) string {
	if sf.IsExported() {
		return sf.Name
	}
	first, size := utf8.DecodeRuneInString(sf.Name)
	name := string(unicode.ToUpper(first)) + sf.Name[size:]
	if !unicode.IsUpper(unicode.ToUpper(first)) {
		name = "X" + sf.Name
	}
	for sameName := func(f reflect.StructField) bool { return f.Name == name }; slices.ContainsFunc(reflect.VisibleFields(t), sameName); {
		name += "_"
	}
	return name
}

// hasTag reports whether a field is tagged, in whatever words.
func hasTag(sf reflect.StructField) bool {
	_, ok := sf.Tag.Lookup("seal")
	return ok
}

// embeddedStruct returns the struct that a field embeds, by itself or as a pointer.
func embeddedStruct(sf reflect.StructField) reflect.Type {
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !sf.Anonymous || t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// isVisible reports whether unexported fields are left out of a copy of t. A method may
// print them, so what has one stays whole.
func isVisible(t reflect.Type) bool { return t.NumMethod() == 0 && hides(t) }

// hides reports whether t is a struct with unexported fields, at any depth.
func hides(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for sf := range t.Fields() {
		if !sf.IsExported() || hides(sf.Type) {
			return true
		}
	}
	return false
}

// embeds reports whether t is target, or embeds it at any depth.
func embeds(t, target reflect.Type, path []reflect.Type) bool {
	if t == target {
		return true
	}
	if slices.Contains(path, t) {
		return false
	}
	for sf := range t.Fields() {
		if base := embeddedStruct(sf); base != nil && embeds(base, target, append(path, t)) {
			return true
		}
	}
	return false
}

func implements(t reflect.Type, any []reflect.Type) bool {
	return slices.ContainsFunc(any, t.Implements)
}

package slogfield

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// What is looked at of one attribute. What lies beyond is redacted, unless its type
// can hold no secret.
const (
	maxDepth  = 100
	maxValues = 1 << 16
)

// walk is the way through the value of one attribute.
type walk struct {
	path    []reference // pointers that are followed
	left    int         // values that may yet be looked at
	secrets bool        // the whole is redacted if none is left

	// speaker is the struct of the error that is looked at, or nil: its text stands for
	// what it has in unexported fields. The same struct prints without it, as no error,
	// if only a pointer to it is one.
	speaker reflect.Type
}

type reference struct {
	to uintptr
	t  reflect.Type
}

// redactAny returns what may be seen of x, and whether that differs from x. A panic
// of a method of x, or of reflection, shows nothing of it.
func redactAny(x any) (out any, changed bool) {
	v := reflect.ValueOf(x)
	if !v.IsValid() {
		return x, false
	}
	p := planOf(v.Type())
	if p.holds == 0 {
		return x, false
	}
	defer func() {
		if recover() != nil {
			out, changed = marker, true
		}
	}()
	w := walk{left: maxValues, secrets: p.holds&secrets != 0}
	if out, changed = w.value(v, 0); w.left <= 0 && w.secrets {
		return marker, true
	}
	return out, changed
}

// value returns what takes the place of v, if something does.
func (w *walk) value(v reflect.Value, depth int) (out any, changed bool) {
	p := planOf(v.Type())
	if p.holds == 0 {
		return nil, false
	}
	if w.left--; w.left <= 0 || depth > maxDepth {
		return p.beyond()
	}
	if p.isError {
		return w.error(v, p, depth)
	}
	return w.content(v, p, depth)
}

// beyond is value of what is not looked at.
func (p *plan) beyond() (any, bool) {
	if p.holds&secrets == 0 {
		return nil, false
	}
	return marker, true
}

func (w *walk) content(v reflect.Value, p *plan, depth int) (out any, changed bool) {
	switch v.Kind() {
	case reflect.String:
		return sealedText(v.String())
	case reflect.Interface:
		if !v.IsNil() {
			return w.value(v.Elem(), depth+1)
		}
	case reflect.Pointer:
		return w.pointer(v, p, depth)
	case reflect.Map:
		return w.entries(v, depth)
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return sealedBytes(v.Bytes())
		}
		return w.elements(v, depth)
	case reflect.Struct:
		if v.Type() == reflectValueType { // fmt prints what it stands for
			return w.reflected(v.Interface().(reflect.Value), depth)
		}
		if c := w.structure(v, p, depth, v.Type() == w.speaker); c.IsValid() {
			return c.Interface(), true
		}
	}
	return nil, false
}

// error redacts the text of an error if it, or one that it wraps, holds a secret. Other
// texts stay, whatever is in them.
func (w *walk) error(v reflect.Value, p *plan, depth int) (any, bool) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, false
	}
	outer, speaker := w.speaker, v.Type()
	if v.Kind() == reflect.Pointer {
		speaker = speaker.Elem()
	}
	w.speaker = speaker
	_, changed := w.content(v, p, depth)
	w.speaker = outer
	var wrapped []error
	switch err := v.Interface().(type) {
	case interface{ Unwrap() error }:
		wrapped = []error{err.Unwrap()}
	case interface{ Unwrap() []error }:
		wrapped = err.Unwrap()
	}
	for i := 0; i < len(wrapped) && !changed; i++ {
		if wrapped[i] != nil {
			_, changed = w.value(reflect.ValueOf(wrapped[i]), depth+1)
		}
	}
	return marker + " error of type " + v.Type().String(), changed
}

func (w *walk) pointer(v reflect.Value, p *plan, depth int) (out any, changed bool) {
	if v.IsNil() {
		return nil, false
	}
	to := reference{v.Pointer(), v.Type()}
	for _, r := range w.path {
		if r == to {
			return p.beyond()
		}
	}
	w.path = append(w.path, to)
	out, changed = w.value(v.Elem(), depth+1)
	w.path = w.path[:len(w.path)-1]
	return out, changed
}

func (w *walk) reflected(v reflect.Value, depth int) (any, bool) {
	switch {
	case !v.IsValid():
		return nil, false
	case !v.CanInterface():
		return marker, true
	}
	return w.value(v, depth+1)
}

// isOver reports whether what is left of a list or map need not be gone through: nobody
// sees the copy of it, or there is none.
func (w *walk) isOver(changed bool) bool { return w.left <= 0 && (w.secrets || !changed) }

func (w *walk) elements(v reflect.Value, depth int) (out any, changed bool) {
	var all []any
	for i := range v.Len() {
		if w.isOver(all != nil) {
			return nil, false
		}
		seen, ok := w.value(v.Index(i), depth+1)
		if ok && all == nil {
			all = make([]any, v.Len())
			for j := range i {
				all[j] = v.Index(j).Interface()
			}
		}
		if all != nil {
			if !ok {
				seen = v.Index(i).Interface()
			}
			all[i] = seen
		}
	}
	return all, all != nil
}

// entries makes texts of keys that may have to be redacted: JSON has no others.
func (w *walk) entries(v reflect.Value, depth int) (out any, changed bool) {
	keys := v.Type().Key()
	if planOf(keys).holds != 0 {
		keys = stringType
	}
	all := reflect.MakeMapWithSize(reflect.MapOf(keys, anyType), min(v.Len(), w.left))
	same := map[string]int{}
	for it := v.MapRange(); it.Next(); {
		if w.isOver(changed) {
			return nil, false
		}
		k := it.Key()
		if keys == stringType {
			seen, ok := w.value(k, depth+1)
			if !ok {
				seen = k.Interface()
			}
			name := keyText(seen)
			if same[name]++; same[name] > 1 {
				name += " #" + strconv.Itoa(same[name])
			}
			k, changed = reflect.ValueOf(name), changed || ok
		}
		e, ok := w.value(it.Value(), depth+1)
		if !ok {
			e = it.Value().Interface()
		}
		changed = changed || ok
		all.SetMapIndex(k, reflect.ValueOf(&e).Elem())
	}
	return all.Interface(), changed
}

func keyText(k any) string {
	if v := reflect.ValueOf(k); v.Kind() == reflect.String {
		return v.String()
	}
	if m, ok := k.(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprintf("%+v", k)
}

// structure returns the copy that takes the place of a struct, if one does. The text of an
// error stands for one that is spoken for.
func (w *walk) structure(v reflect.Value, p *plan, depth int, spoken bool) (c reflect.Value) {
	if p.always || p.opaque && !spoken {
		c = p.copy(v)
	}
	for i, f := range p.fields {
		var seen reflect.Value
		switch fv := v.Field(f.index); f.as {
		case asString, asAny:
			if out, ok := w.value(fv, depth+1); ok {
				seen = reflect.ValueOf(out)
			}
		case asEmbedded:
			seen = w.embedded(fv, depth, spoken)
		}
		if !seen.IsValid() {
			continue
		}
		if !c.IsValid() {
			c = p.copy(v)
		}
		c.Field(i).Set(seen)
	}
	return c
}

func (w *walk) embedded(v reflect.Value, depth int, spoken bool) (c reflect.Value) {
	if v.Kind() == reflect.Struct {
		p := planOf(v.Type())
		return w.structure(v, p, depth+1, spoken && p.spoken)
	}
	if !v.IsNil() {
		p := planOf(v.Type().Elem())
		c = w.structure(v.Elem(), p, depth+1, spoken && p.spoken)
	}
	if c.IsValid() {
		return c.Addr()
	}
	return c
}

// copy returns the copy of a struct with all that nothing takes the place of.
func (p *plan) copy(v reflect.Value) reflect.Value {
	c := reflect.New(p.copied()).Elem()
	for i, f := range p.fields {
		switch from, to := v.Field(f.index), c.Field(i); f.as {
		case asMarker:
			to.Set(reflect.ValueOf(marker))
		case asItself:
			to.Set(from)
		case asVisible:
			to.Set(planOf(from.Type()).copy(from))
		case asString:
			to.SetString(from.String())
		case asAny:
			switch {
			case f.omitEmpty && isEmpty(from) || f.omitZero && from.IsZero():
			case f.visible:
				to.Set(planOf(from.Type()).copy(from))
			default:
				to.Set(from)
			}
		case asEmbedded:
			if from.Kind() == reflect.Struct {
				to.Set(planOf(from.Type()).copy(from))
			} else if !from.IsNil() {
				to.Set(planOf(from.Type().Elem()).copy(from.Elem()).Addr())
			}
		}
	}
	return c
}

// isEmpty is what encoding/json leaves out for omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

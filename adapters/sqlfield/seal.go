package sqlfield

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/sealfield/sealfield/crypto"
)

// Field is what Seal takes: a *Sealed or a *Tag.
type Field interface {
	title() string
	set(bytes []byte)
}

type valueField interface {
	Field
	core() *column
	form(ctx context.Context, c *column, s *scratch, at crypto.Binding) (null bool, err error)
	unsealed(ctx context.Context, c *column, scope string) (bool, error)
}

type tagField interface {
	Field
	core() *index
}

func (*Sealed[T, C]) core() *column       { return coreOf[T, C]() }
func (*Sealed[T, C]) title() string       { return title[C](coreOf[T, C]()) }
func (v *Sealed[T, C]) set(sealed []byte) { *v = Sealed[T, C]{sealed: sealed} }

// unsealed reports whether v has to be sealed: for the first time, or under a newer key.
func (v *Sealed[T, C]) unsealed(ctx context.Context, c *column, scope string) (bool, error) {
	if v.plain != nil || v.sealed == nil {
		return v.plain != nil, nil
	}
	return c.crypto.Stale(ctx, v.sealed, scope)
}

// Seal seals, for one row, the values that were given to Of, and sets the tags of all
// of them. It does so before the row is written, with the context and the place that
// Sealed.Value can not know:
//
//	at := crypto.Binding{Scope: tenant, Row: sqlfield.Row(u.ID)}
//	err := sqlfield.Seal(ctx, at, &u.Email, &u.EmailIdx, &u.SSN)
//
// The values of columns that are not bound to rows ignore at.Row. A value that is
// sealed already, because it was read, has to open at the place; it stays as it is, or
// is sealed anew if there is a newer key. A value without the tags of each of its
// indexes is refused, and so is a tag without its value, since a row could then be
// found under an old value. On an error all fields stay as they were.
func Seal(ctx context.Context, at crypto.Binding, fields ...Field) error {
	s := getScratch()
	defer s.release()
	p := sealing{ctx: ctx, at: at, fields: fields, scratch: s, results: s.resultsOf(len(fields)), out: make([]byte, 0, fieldSize*len(fields))}
	for i, f := range fields {
		if r := reflect.ValueOf(f); !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
			return fmt.Errorf("sqlfield: seal: field %d is nil", i)
		}
		v, ok := f.(valueField)
		if !ok {
			continue
		}
		if err := p.value(i, v); err != nil {
			return &Error{v.title(), "seal", err}
		}
	}
	for i, f := range fields {
		if t, ok := f.(tagField); ok && !p.results[i].changed {
			err := errors.New("its tag is there without its value")
			if t.core() == nil {
				err = ErrNotSetUp
			}
			return &Error{t.title(), "seal", err}
		}
	}
	for i, r := range p.results {
		if r.changed {
			fields[i].set(r.bytes)
		}
	}
	return nil
}

// sealing is one call of Seal.
type sealing struct {
	ctx     context.Context
	at      crypto.Binding
	fields  []Field
	scratch *scratch
	results []result
	out     []byte // the ciphertexts and tags, one after the other
}

// result is what becomes of a field.
type result struct {
	bytes   []byte // nil for NULL
	changed bool
}

const fieldSize = 80 // bytes of a result, to begin with

// take returns what was appended to p.out.
func (p *sealing) take(out []byte, err error) (result, error) {
	if err != nil {
		return result{}, err
	}
	start := len(p.out)
	p.out = out
	return result{out[start:len(out):len(out)], true}, nil
}

func (p *sealing) value(i int, v valueField) error {
	c := v.core()
	if c == nil {
		return ErrNotSetUp
	}
	for _, f := range p.fields[:i] {
		if other, ok := f.(valueField); ok && other.core() == c {
			return errors.New("it is there twice")
		}
	}
	s := p.scratch
	s.wipe()
	null, err := v.form(p.ctx, c, s, p.at)
	if err != nil {
		return err
	}
	r := &p.results[i]
	if r.changed, err = v.unsealed(p.ctx, c, p.at.Scope); err != nil {
		return err
	}
	if r.changed && !null {
		if *r, err = p.take(c.seal(p.ctx, p.out, s.plain, p.at)); err != nil {
			return err
		}
	}
	for _, x := range c.indexes.all() {
		if err := p.tag(x, s.plain, null); err != nil {
			return err
		}
	}
	return nil
}

// tag makes the tag of the index in all fields that hold it.
func (p *sealing) tag(x *index, plain []byte, null bool) (err error) {
	found := false
	for i, f := range p.fields {
		t, ok := f.(tagField)
		if !ok || t.core() != x {
			continue
		}
		found, p.results[i] = true, result{changed: true}
		if null {
			continue
		}
		if p.results[i], err = p.take(x.token.AppendTag(p.ctx, p.out, plain, p.at.Scope)); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("its value is there without the tag of an index")
	}
	return nil
}

// Fields returns every Sealed and Tag in the struct that row points to, and in those
// that are embedded in it, by pointers too, for Seal. It panics if row is no pointer to a
// struct.
func Fields(row any) []Field {
	v := reflect.ValueOf(row)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("sqlfield: Fields of %T, which is no pointer to a struct", row))
	}
	return appendFields(nil, v.Elem(), nil)
}

// nest is the type of a struct and those of the structs that it is embedded in.
type nest struct {
	t     reflect.Type
	outer *nest
}

func (n *nest) has(t reflect.Type) bool {
	return n != nil && (n.t == t || n.outer.has(t))
}

func appendFields(all []Field, v reflect.Value, outer *nest) []Field {
	n := &nest{v.Type(), outer}
	for i := range v.NumField() {
		f := v.Field(i)
		if e := reflect.Indirect(f); v.Type().Field(i).Anonymous && e.Kind() == reflect.Struct {
			if n.has(e.Type()) {
				continue
			}
			// What embeds a Field is one, and may hold others.
			if embedded := appendFields(nil, e, n); embedded != nil {
				all = append(all, embedded...)
				continue
			}
		}
		if found := fieldOf(f); found != nil {
			all = append(all, found)
		}
	}
	return all
}

// fieldOf returns the Field that a field of a struct is or points to, or nil.
func fieldOf(v reflect.Value) Field {
	switch {
	case !v.CanInterface() || v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Kind() != reflect.Pointer:
		v = v.Addr()
	}
	f, _ := v.Interface().(Field)
	return f
}

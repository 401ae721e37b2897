package sqlfield

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/token"
)

// Index makes the tags by which the values of a column are found. It is safe for
// concurrent use. A nil Index is one that is not set up.
type Index[T any] struct{ index }

type index struct {
	of    *column
	token *token.Index
}

// IndexMarker is a type of the program's, without fields, that stands for an index in
// the type of its tags:
//
//	type EmailIdx struct{}
//
//	func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
type IndexMarker[T any] interface{ Index() *Index[T] }

// NewIndex returns an index of the column, to be kept in a column of its own, of bytes.
// From then on Seal wants its Tag together with each value. cfg is as for
// token.NewIndex, of kind Exact and with 128 bits; normalizers are for text. Once the
// column has sealed a value it is an error, since that value has no such tag. pgxfield
// has the same index under index=.
func (c *Column[T]) NewIndex(cfg token.IndexConfig) (*Index[T], error) {
	if c == nil || c.crypto == nil {
		return nil, fmt.Errorf("sqlfield: index of %s: %w", reflect.TypeFor[T](), ErrNotSetUp)
	}
	x := &Index[T]{index{of: &c.column}}
	var err error
	if x.token, err = c.newIndex(cfg); err == nil {
		err = c.indexes.add(&x.index)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlfield: index of %s: %w", c.name, err)
	}
	return x, nil
}

// indexes are those of a column, in full from the first value on that it seals.
type indexes struct {
	list  []*index
	full  atomic.Bool // that list does not change any more
	mutex sync.Mutex  // guards list until then
}

// all returns the indexes, of which there will be no more.
func (x *indexes) all() []*index {
	if !x.full.Load() {
		x.mutex.Lock()
		x.full.Store(true)
		x.mutex.Unlock()
	}
	return x.list
}

func (x *indexes) add(added *index) error {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	if x.full.Load() {
		return errors.New("the column has sealed values already, which have no tags of it: make it before")
	}
	for _, other := range x.list {
		if other.token.Config().Normalizer.ID() == added.token.Config().Normalizer.ID() {
			return errors.New("there is such an index already")
		}
	}
	x.list = append(x.list, added)
	return nil
}

func (c *column) newIndex(cfg token.IndexConfig) (*token.Index, error) {
	switch {
	case !sealform.Comparable(c.pg.Class) || c.pg.IsArray():
		return nil, fmt.Errorf("equal values of type %s can have different bytes, so it can not be searched", c.pg.Name())
	case c.pg.Class == "bool" || c.pg.Class == "char":
		return nil, fmt.Errorf("type %s has so few values that an index gives them away", c.pg.Class)
	case cfg.Normalizer != nil && cfg.Normalizer != token.Identity && c.pg.Class != "text":
		return nil, fmt.Errorf("a Normalizer is for text, and the type is %s", c.pg.Name())
	}
	x, err := token.NewIndex(c.keyring, c.name, cfg)
	if err != nil {
		return nil, err
	}
	if full := x.Config(); full.Kind != token.Exact || full.Bits != 128 {
		return nil, errors.New("it has to be of kind exact, with 128 bits: search others with pgxfield")
	}
	return x, nil
}

var errNullMatch = errors.New(`NULL has no index tags: search with "is null"`)

// Tag returns the tag of v in a new slice, nil for NULL, for a statement that is
// written by hand. Scope is empty unless the keyring is scoped.
func (x *Index[T]) Tag(ctx context.Context, v T, scope string) (tag []byte, err error) {
	err = x.with("tag", &v, func(plain []byte, null bool) error {
		if !null {
			tag, err = x.token.Tag(ctx, plain, scope)
		}
		return err
	})
	return tag, err
}

// Match returns the tags that rows with the value v may have, one under each key that
// may have been used, to be looked for with
//
//	where email_idx = any($1)      -- PostgreSQL through pgx
//	where email_idx in (?, ?)      -- see In; other libraries expand slices themselves
//
// The slice is the caller's, and not nil even where it is empty, before the first value
// was stored. A keyring in doubt about one key gives an error, never fewer tags. NULL
// has no tags and is an error.
func (x *Index[T]) Match(ctx context.Context, v T, scope string) (tags [][]byte, err error) {
	err = x.with("match", &v, func(plain []byte, null bool) error {
		if null {
			return errNullMatch
		}
		tags, err = x.token.Match(ctx, plain, scope)
		return err
	})
	return tags, err
}

// In returns the condition that a column holds one of the tags, with a question mark for
// each, and these as arguments:
//
//	where, args := sqlfield.In("email_idx", tags)
//	rows, err := db.QueryContext(ctx, "select * from customers where "+where, args...)
//
// Column is SQL and taken as it is. Without a tag the condition is one that is never
// true.
func In(column string, tags [][]byte) (condition string, args []any) {
	if len(tags) == 0 {
		return "1 = 0", nil
	}
	for _, t := range tags {
		args = append(args, t)
	}
	return column + " in (?" + strings.Repeat(", ?", len(tags)-1) + ")", args
}

// with calls use with the sealed form of a value.
func (x *Index[T]) with(op string, v *T, use func(plain []byte, null bool) error) error {
	if x == nil || x.token == nil {
		return &Error{"index of " + reflect.TypeFor[T]().String(), op, ErrNotSetUp}
	}
	s := getScratch()
	defer s.release()
	var null bool
	var err error
	if s.plain, null, err = x.of.codec.Encode(s.types, s.plain[:0], v); err == nil {
		err = use(s.plain, null)
	}
	if err != nil {
		return &Error{x.of.name, op, err}
	}
	return nil
}

// Tag is an index tag of the index that X stands for; the zero Tag is NULL. Seal sets
// it from the value of the column. It is a driver.Valuer, and a pointer to it a
// sql.Scanner.
type Tag[T any, X IndexMarker[T]] struct{ tag []byte }

// IsZero reports whether the tag is NULL.
func (t Tag[T, X]) IsZero() bool { return t.tag == nil }

// Value implements driver.Valuer. The bytes must not be changed.
func (t Tag[T, X]) Value() (driver.Value, error) {
	if t.tag == nil {
		return nil, nil
	}
	return t.tag[:len(t.tag):len(t.tag)], nil
}

// Scan implements sql.Scanner: it copies a tag, which has to be bytes. What does not
// look like one is refused.
func (t *Tag[T, X]) Scan(src any) error {
	tag, ok := src.([]byte)
	if src == nil {
		t.tag = nil
		return nil
	}
	if !ok {
		return t.error("scan", fmt.Errorf("a tag is bytes, and the driver has a %T", src))
	}
	if len(tag) != token.TagSize || tag[0] != 1 || tag[1] < 0x80 {
		return t.error("scan", errors.New("it is no index tag"))
	}
	t.tag = bytes.Clone(tag)
	return nil
}

func (t *Tag[T, X]) core() *index {
	var marker X
	if x := marker.Index(); x != nil && x.token != nil {
		return &x.index
	}
	return nil
}

func (t *Tag[T, X]) set(tag []byte) { t.tag = tag }

func (t *Tag[T, X]) error(op string, err error) error { return &Error{t.title(), op, err} }

func (t *Tag[T, X]) title() string {
	if x := t.core(); x != nil {
		return x.of.name
	}
	return reflect.TypeFor[X]().String()
}

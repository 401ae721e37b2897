package pgxfield

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// indexed is an index column.
type indexed struct {
	of     []*sealed // several of a compound index
	column string
	unique string // the column of the tags under keys of even versions, "" if the index is not unique
	token  *token.Index
}

// tagColumns returns the one or two columns that hold the tags.
func (x *indexed) tagColumns() []string {
	if x.unique != "" {
		return []string{x.column, x.unique}
	}
	return []string{x.column}
}

// array reports whether a row has several tags, so that the column is bytea[].
func (x *indexed) array() bool { return x.token.Config().Kind != token.Exact }

// lowCardinality are the types that have so few values that equality gives them
// away.
var lowCardinality = map[string]bool{"bool": true, "char": true}

// comparable refuses columns in which equality means nothing, or too much.
func (s *sealed) comparable(force bool) error {
	switch element := strings.TrimSuffix(s.pg.Class, "[]"); {
	case !sealform.Comparable(element):
		return fmt.Errorf("equal values of type %s can have different bytes, so it can not be searched", s.pg.Class)
	case lowCardinality[element] && !force:
		return fmt.Errorf("type %s has so few values that an index gives them away: put it into a compound index, or say force", s.pg.Class)
	}
	return nil
}

func (t *table) addIndex(kr *keyring.Keyring, s *sealed, logical string, it indexTag, cfg Config) error {
	if err := s.comparable(it.force); err != nil {
		return err
	}
	norm, err := s.normalizer(it.norm, cfg)
	if err != nil {
		return err
	}
	config := token.IndexConfig{Normalizer: norm, Kind: token.Kind(it.kind), Bits: it.bits, Min: it.min, Max: it.max}
	if it.kind != "" && it.kind != string(token.Exact) && s.pg.Class != "text" {
		return fmt.Errorf("kind=%s is for text, and the type is %s", it.kind, s.pg.Name())
	}
	x := &indexed{of: []*sealed{s}, column: it.column, unique: it.unique}
	if x.unique != "" && (config.Bits != 0 && config.Bits != 128 || config.Kind != "" && config.Kind != token.Exact) {
		return errors.New("unique= is for kind exact with 128 bits")
	}
	if x.token, err = token.NewIndex(kr, logical, config); err != nil {
		return err
	}
	for _, o := range s.indexes {
		if o.sameAs(x) {
			return fmt.Errorf("column %s has such an index already", s.column)
		}
	}
	s.indexes = append(s.indexes, x)
	return t.addIndexed(x)
}

// sameAs reports whether both would have the same tags.
func (x *indexed) sameAs(o *indexed) bool {
	a, b := x.token.Config(), o.token.Config()
	return a.Kind == b.Kind && a.Normalizer.ID() == b.Normalizer.ID() && a.Bits == b.Bits && a.Min == b.Min && a.Max == b.Max
}

func (t *table) addIndexed(x *indexed) error {
	t.indexes = append(t.indexes, x)
	for i, column := range x.tagColumns() {
		if err := t.addName(argument{name: column, sealed: x.of[0], index: x, even: i == 1}); err != nil {
			return err
		}
	}
	return nil
}

// normalizer returns the normalizer that norm= names.
func (s *sealed) normalizer(name string, cfg Config) (token.Normalizer, error) {
	if name == "" {
		name = "identity"
	}
	norm, builtIn := normalizers[name]
	if own, ok := cfg.Normalizers[name]; ok {
		if builtIn || own == nil {
			return nil, fmt.Errorf("config.Normalizers: %q is nil, or the name of another one", name)
		}
		norm = own
	}
	switch {
	case norm == nil:
		return nil, fmt.Errorf("norm=%s is no normalizer", name)
	case name != "identity" && s.pg.Class != "text":
		return nil, fmt.Errorf("norm=%s is for text, and the type is %s", name, s.pg.Name())
	}
	return norm, nil
}

func (t *table) addCompound(kr *keyring.Keyring, c CompoundIndex, cfg Config) error {
	if c.Column == "" || len(c.Of) < 2 {
		return errors.New("it needs a Column, and at least two columns in Of")
	}
	x := &indexed{column: c.Column, unique: c.Unique}
	if x.unique != "" && c.Bits != 0 && c.Bits != 128 {
		return errors.New("a unique index has 128 bits")
	}
	var norms []token.Normalizer
	for _, part := range c.Of {
		s := t.names[part.Column].sealed
		if s == nil || s.column != part.Column {
			return fmt.Errorf("column %s is not sealed", part.Column)
		}
		if err := s.comparable(true); err != nil { // beside another column it is not alone
			return err
		}
		norm, err := s.normalizer(part.Norm, cfg)
		if err != nil {
			return fmt.Errorf("column %s: %w", part.Column, err)
		}
		x.of, norms = append(x.of, s), append(norms, norm)
	}
	if c.Name == "" {
		c.Name = c.Column
	}
	logical, err := logicalName(cfg.Name, c.Name)
	if err != nil {
		return err
	}
	x.token, err = token.NewIndex(kr, logical, token.IndexConfig{Normalizer: token.Compound(norms...), Bits: c.Bits})
	if err != nil {
		return err
	}
	return t.addIndexed(x)
}

// compound returns the compound indexes.
func (t *table) compound() []*indexed {
	n := len(t.indexes)
	for n > 0 && len(t.indexes[n-1].of) > 1 {
		n--
	}
	return t.indexes[n:]
}

// plain returns the value of the index in a row, or null if it has none. It lives
// in s.
func (x *indexed) plain(s *scratch, row reflect.Value) (plain []byte, null bool, err error) {
	if len(x.of) == 1 {
		s.plain, null, err = x.of[0].codec.Encode(s.types, s.plain[:0], x.of[0].in(row).Addr().Interface())
		return s.plain, null, err
	}
	parts := make([][]byte, len(x.of))
	for i, of := range x.of {
		if parts[i], null, err = of.codec.Encode(s.types, nil, of.in(row).Addr().Interface()); null || err != nil {
			return nil, null, err
		}
	}
	s.plain = pae.Append(s.plain[:0], parts...)
	return s.plain, false, nil
}

// Match returns the index tags of the value v under every key that may have
// been used, for a search with
//
//	where email_idx = any($1)     -- kind exact, a compound index, token=siv
//	where name_prefixes && $1     -- kinds prefix and suffix
//	where email_idx = any($1) or email_idx2 = any($1)    -- with unique=email_idx2
//
// The column is the sealed one, or, if that has several indexes, the index
// column. v is of the field's type, a pointer to it, or another Go type that
// can be stored in the column; it is encoded like the field. A compound index
// takes a value for each of its columns. The slice is the caller's, and not nil
// even where it is empty, before the first value was stored. NULL has no tags:
// searching for it is an error.
//
// PostgreSQL plans a prepared statement with any($1) anew for each array, which
// takes longer than the lookup. Where that counts, write
//
//	where email_idx = any(array(select unnest($1::bytea[])))
//
// which it plans once, or set plan_cache_mode to force_generic_plan.
//
// A keyring in doubt about one key gives an error, never fewer tags. A search
// whose tags would find other rows, too, is a token.ErrLossy: call Search. With
// Config.Scope, choose the scope by In.
func (t *Table[T]) Match(ctx context.Context, column string, v ...any) ([][]byte, error) {
	tags, err := t.table.match(ctx, column, v, t.scope)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: %s: match: %w", t.table.label(column), err)
	}
	return tags, nil
}

func (t *table) match(ctx context.Context, column string, v []any, scope string) ([][]byte, error) {
	sc := getScratch()
	defer sc.release()
	if s := t.names[column].sealed; s != nil && s.siv != nil {
		plain, err := encodeValues(sc, []*sealed{s}, v)
		if err != nil {
			return nil, err
		}
		return s.siv.Match(ctx, plain, nil, scope)
	}
	x, err := t.indexOf(column)
	if err != nil {
		return nil, err
	}
	plain, err := encodeValues(sc, x.of, v)
	if err != nil {
		return nil, err
	}
	return x.token.Match(ctx, plain, scope)
}

// encodeValues returns what is looked for in the form in which it is sealed, in
// the memory of sc.
func encodeValues(sc *scratch, of []*sealed, v []any) ([]byte, error) {
	if len(v) != len(of) {
		return nil, fmt.Errorf("it is searched by %d values, and there are %d", len(of), len(v))
	}
	if len(of) == 1 {
		err := of[0].encodeSearched(sc, v[0])
		return sc.plain, err
	}
	parts := make([][]byte, len(of))
	for i := range of {
		if err := of[i].encodeSearched(sc, v[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", of[i].column, err)
		}
		parts[i] = bytes.Clone(sc.plain)
	}
	return token.Values(parts...), nil
}

// encodeSearched puts the sealed form of a value that is searched for, which may
// be of another Go type than the field, into sc.plain.
func (s *sealed) encodeSearched(sc *scratch, v any) (err error) {
	if v == nil {
		return errNullMatch
	}
	c := s.codec
	typ := reflect.TypeOf(v)
	if typ.Kind() == reflect.Pointer && s.typ != typ {
		typ = typ.Elem()
		if reflect.ValueOf(v).IsNil() {
			return errNullMatch
		}
		v = reflect.ValueOf(v).Elem().Interface()
	}
	if typ != s.typ {
		if c, err = sealform.New(typ, s.pg); err != nil {
			return err
		}
	}
	field := reflect.New(typ)
	field.Elem().Set(reflect.ValueOf(v))
	var null bool
	sc.plain, null, err = c.Encode(sc.types, sc.plain[:0], field.Interface())
	if err == nil && null {
		err = errNullMatch
	}
	return err
}

var errNullMatch = errors.New("NULL has no index tags: search with \"is null\"")

func (t *table) indexOf(column string) (*indexed, error) {
	a := t.names[column]
	switch {
	case a.index != nil:
		return a.index, nil
	case a.sealed == nil || len(a.sealed.indexes) == 0:
		return nil, errors.New("it has no index")
	case len(a.sealed.indexes) > 1:
		return nil, errors.New("it has several indexes: name one of the index columns")
	}
	return a.sealed.indexes[0], nil
}

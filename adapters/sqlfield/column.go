package sqlfield

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// Config is how a column differs from the usual one. The zero value is the right one
// for most.
type Config struct {
	// Type names the PostgreSQL type in whose form values are sealed, as type= in
	// the tags of pgxfield: a name in pg_type without modifiers, such as "date" for
	// a time.Time, in any database. Values stay readable only as long as it stays
	// the same, but for integers of other widths. Defaults to that of the Go type:
	// text for strings, int8 for integers, timestamptz for time.Time, jsonb for
	// structs and maps, and so on.
	Type string

	// RowBound binds each value to its row: one that was copied from another row
	// does not open. The key of the row has to be known when a value is sealed.
	RowBound bool

	// Text makes the database's column one of text, which holds the form of
	// crypto.EncodeText. Both forms are read, whatever it says.
	Text bool

	// Raw also takes values that are sealed already, and seals them again, which
	// otherwise is an ErrSealed.
	Raw bool
}

// Column seals and opens the values of one column, which are of Go type T. It is safe
// for concurrent use. A nil Column is one that is not set up: all that needs it is an
// ErrNotSetUp.
type Column[T any] struct{ column }

// column is what does not depend on the Go type.
type column struct {
	keyring *keyring.Keyring
	name    string
	cfg     Config
	pg      sealform.Type
	codec   sealform.Codec
	crypto  *crypto.Field
	most    int // bytes of a sealed value
	indexes indexes
}

// Marker is a type of the program's, without fields, that stands for a column in the
// types of its values:
//
//	type Email struct{}
//
//	func (Email) Column() *sqlfield.Column[string] { return email }
type Marker[T any] interface{ Column() *Column[T] }

// NewColumn returns the column of the given logical name, such as "customers.email":
// table and column. The name is part of the key, so values stay readable only as long
// as it stays the same, whatever becomes of the table and the column. pgxfield reads
// and writes the same values where its names, its types and its row key are the same.
func NewColumn[T any](kr *keyring.Keyring, name string, cfg Config) (*Column[T], error) {
	c := &Column[T]{column{keyring: kr, name: name, cfg: cfg, most: sealform.MostBytes}}
	if err := c.complete(reflect.TypeFor[T]()); err != nil {
		return nil, fmt.Errorf("sqlfield: column %s: %w", name, err)
	}
	return c, nil
}

func (c *column) complete(t reflect.Type) (err error) {
	if i := strings.LastIndexByte(c.name, '.'); i < 1 || i == len(c.name)-1 {
		return errors.New(`the name has to be "table.column"`)
	}
	if t == reflect.TypeFor[token.Token]() || t == reflect.TypeFor[*token.Token]() {
		return errors.New("a vault's token is no value to seal: leave it in the clear")
	}
	typeName := c.cfg.Type
	if typeName == "" {
		if typeName = sealform.Default(t); typeName == "" {
			return fmt.Errorf("the Go type %s has no PostgreSQL type of its own: name one with Config.Type", t)
		}
	}
	if c.pg, err = sealform.Named(typeName); err != nil {
		return err
	}
	if c.codec, err = sealform.New(t, c.pg); err != nil {
		return err
	}
	c.crypto, err = crypto.NewField(c.keyring, c.name, crypto.FieldConfig{RowBound: c.cfg.RowBound, Type: c.pg.Class})
	return err
}

// ErrNotSetUp is the error of a column that has not been made by NewColumn yet, or of
// an index that has not been made by NewIndex.
var ErrNotSetUp = errors.New("it is not set up: make it when the program starts, before anything uses it")

// Error is an error of a column. It never holds a value; for a value that does not
// open there is a *crypto.DecryptError in Err.
type Error struct {
	Column string // the logical name, or the Go type of a Marker that is not set up
	Op     string // seal, open, scan, value, tag, match
	Err    error
}

func (e *Error) Error() string {
	text := "sqlfield: " + e.Column + ": " + e.Op
	if refused, ok := errors.AsType[*crypto.DecryptError](e.Err); ok && refused.KeyID != 0 {
		text += ", key " + refused.KeyID.String()
	}
	return text + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// coreOf returns the column that C stands for, or nil.
func coreOf[T any, C Marker[T]]() *column {
	var marker C
	if c := marker.Column(); c != nil && c.crypto != nil {
		return &c.column
	}
	return nil
}

// title names the column that C stands for.
func title[C any](c *column) string {
	if c == nil {
		return reflect.TypeFor[C]().String()
	}
	return c.name
}

// seal appends the ciphertext of a plaintext to dst.
func (c *column) seal(ctx context.Context, dst, plain []byte, at crypto.Binding) ([]byte, error) {
	if token.IsToken(plain) {
		return nil, token.ErrIsToken // a vault's, which has a column of its own
	}
	if n := len(plain) + crypto.Overhead; n > c.most {
		return nil, &sealform.SizeError{What: "the sealed value", Bytes: n, Most: c.most}
	}
	if !c.cfg.Raw {
		if err := crypto.RefuseSealed(ctx, derive.Access{}, c.keyring, c.pg.Class, plain, at.Scope, keyring.Encryption); err != nil {
			return nil, err
		}
	}
	return c.crypto.AppendEncrypt(ctx, dst, plain, c.place(at))
}

// place drops the row from the place of a column that is not bound to it.
func (c *column) place(at crypto.Binding) crypto.Binding {
	if !c.cfg.RowBound {
		at.Row = nil
	}
	return at
}

// needsPlace says why Sealed.Value can not seal, or "".
func (c *column) needsPlace() string {
	switch {
	case c.cfg.RowBound:
		return "it is bound to its row"
	case c.keyring.Scoped():
		return "its keys have a scope"
	case len(c.indexes.all()) > 0:
		return "it has an index"
	}
	return ""
}

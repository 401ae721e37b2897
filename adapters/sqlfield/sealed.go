package sqlfield

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/sealform"
)

// Sealed is a value of the column that C stands for: NULL, which is the zero Sealed; or
// what Of was given, to be sealed; or sealed. It is a driver.Valuer, and a pointer to
// it a sql.Scanner.
//
// Nothing prints what it holds. Copies share it. Different goroutines may use one
// Sealed as long as none calls Scan or Seal.
type Sealed[T any, C Marker[T]] struct {
	sealed []byte
	plain  func() *T // what Of was given, where no printer finds it
}

// Of returns v, to be sealed by Seal, or by Sealed.Value. A pointer, slice or map that
// is nil is NULL; what others point to has to stay as it is until it is sealed.
//
//	u := User{Email: sqlfield.Of[Email]("ann@example.com")}
func Of[C Marker[T], T any](v T) Sealed[T, C] {
	p := &v
	switch r := reflect.ValueOf(p).Elem(); r.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		if r.IsNil() {
			return Sealed[T, C]{}
		}
	}
	return Sealed[T, C]{plain: func() *T { return p }}
}

// IsZero reports whether the value is NULL. A value given to Of whose type has an
// own form of NULL, such as pgtype.Text, is NULL from Seal on.
func (v Sealed[T, C]) IsZero() bool { return v.sealed == nil && v.plain == nil }

var (
	// ErrNotSealed is the error of a value that is written without having been
	// sealed, although its column needs Seal to know the place: the scope, the
	// row, or where its index tags are.
	ErrNotSealed = errors.New("the value is not sealed, and needs Seal")

	// ErrNull is the error of a NULL that is opened, and which T can not hold.
	ErrNull = errors.New("it is NULL")

	// ErrSealed is the error of a value that is sealed already, under a key of
	// the same keyring and scope, and given to be sealed again: it was read
	// as plain bytes or text, and is on its way back. It is crypto.ErrSealed.
	ErrSealed = crypto.ErrSealed

	// ErrValue is the error of a value that a column of its type could not hold in
	// the clear, or would give back as another one, or of one that is too large: see
	// package pgxfield.
	ErrValue = sealform.ErrValue
)

// Value implements driver.Valuer: it returns nil for NULL, and the ciphertext, which
// must not be changed, of a sealed value: a string if the column has Config.Text, else
// bytes.
//
// What was given to Of is sealed, anew each time, if the column is neither bound to
// rows nor indexed and the keyring has no scopes; otherwise that is an ErrNotSealed. No
// context reaches it: if a key has to be loaded, that ends with the timeouts of the
// keyring only.
//
// With an error comes an empty []byte, which PostgreSQL's CHECK refuses, rather than
// nil: there are libraries that ignore the error, and would take nil for NULL.
func (v Sealed[T, C]) Value() (driver.Value, error) {
	if v.IsZero() {
		return nil, nil
	}
	c := coreOf[T, C]()
	sealed := v.sealed
	var err error
	if v.plain != nil {
		sealed, err = v.sealAlone(c)
	} else if c == nil {
		err = ErrNotSetUp
	}
	switch {
	case err != nil:
		return []byte{}, &Error{title[C](c), "value", err}
	case sealed == nil:
		return nil, nil
	case c.cfg.Text:
		return crypto.EncodeText(sealed), nil
	}
	return sealed[:len(sealed):len(sealed)], nil
}

func (v Sealed[T, C]) sealAlone(c *column) ([]byte, error) {
	if c == nil {
		return nil, ErrNotSetUp
	}
	if why := c.needsPlace(); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrNotSealed, why)
	}
	s := getScratch()
	defer s.release()
	ctx, at := context.Background(), crypto.Binding{}
	null, err := v.form(ctx, c, s, at)
	if null || err != nil {
		return nil, err
	}
	return c.seal(ctx, nil, s.plain, at)
}

// Scan implements sql.Scanner: it copies a ciphertext, bytes or its text form, and
// opens nothing. What does not look like a ciphertext, such as plaintext, is refused
// with an error that is crypto.ErrDecrypt, and v stays as it was.
func (v *Sealed[T, C]) Scan(src any) error {
	sealed, err := scanSealed(src, leastSize)
	if err != nil {
		c := coreOf[T, C]()
		return &Error{title[C](c), "scan", err}
	}
	*v = Sealed[T, C]{sealed: sealed}
	return nil
}

// leastSize is the size of a sealed value that is empty: AES-256-GCM.
const leastSize = 33

// scanSealed returns what a driver read in a new slice, or nil for NULL.
func scanSealed(src any, least int) ([]byte, error) {
	var sealed []byte
	var err error
	switch src := src.(type) {
	case nil:
		return nil, nil
	case []byte:
		if strings.HasPrefix(string(src[:min(len(src), 4)]), "sf1.") {
			sealed, err = crypto.DecodeText(string(src))
		} else {
			sealed = append([]byte{}, src...)
		}
	case string:
		sealed, err = crypto.DecodeText(src)
	default:
		return nil, fmt.Errorf("a sealed value is bytes or text, and the driver has a %T", src)
	}
	if err != nil {
		return nil, err
	}
	if _, err := crypto.KeyID(sealed); err != nil {
		return nil, err
	}
	if len(sealed) < least {
		return nil, &crypto.DecryptError{}
	}
	return sealed, nil
}

// Open returns the value, which is decrypted each time. It is for columns that are not
// bound to rows, of keyrings without scopes; for others there is OpenAt. ctx is that
// of loading keys.
func (v Sealed[T, C]) Open(ctx context.Context) (T, error) { return v.OpenAt(ctx, crypto.Binding{}) }

// OpenAt returns the value that was sealed at the given place. A value that does not
// open, because it was moved or altered, is an error that is crypto.ErrDecrypt; a
// keyring that can not tell gives another one. NULL is a nil pointer, slice or map, or
// an invalid value of pgtype; of other types it is an ErrNull. What was given to Of,
// and not sealed yet, comes back as it is.
func (v Sealed[T, C]) OpenAt(ctx context.Context, at crypto.Binding) (out T, err error) {
	if v.plain != nil {
		return *v.plain(), nil
	}
	c := coreOf[T, C]()
	if c == nil {
		err = ErrNotSetUp
	} else {
		err = c.open(ctx, v.sealed, at, &out)
	}
	if err != nil {
		var zero T
		return zero, &Error{title[C](c), "open", err}
	}
	return out, nil
}

func (c *column) open(ctx context.Context, sealed []byte, at crypto.Binding, to any) (err error) {
	s := getScratch()
	defer s.release()
	if sealed == nil {
		if c.codec.SetNull(s.types, to) != nil {
			return ErrNull
		}
		return nil
	}
	if err := c.decrypt(ctx, s, sealed, at); err != nil {
		return err
	}
	return c.codec.Decode(s.types, s.plain, to)
}

// decrypt puts the plaintext into s.
func (c *column) decrypt(ctx context.Context, s *scratch, sealed []byte, at crypto.Binding) error {
	plain, err := c.crypto.AppendDecrypt(ctx, s.plain[:0], sealed, c.place(at))
	if err == nil {
		s.plain = plain
	}
	return err
}

// form puts what is sealed into s, or reports NULL.
func (v Sealed[T, C]) form(ctx context.Context, c *column, s *scratch, at crypto.Binding) (null bool, err error) {
	switch {
	case v.plain != nil:
		s.plain, null, err = c.codec.Encode(s.types, s.plain[:0], v.plain())
		return null, err
	case v.sealed == nil:
		return true, nil
	}
	return false, c.decrypt(ctx, s, v.sealed, at)
}

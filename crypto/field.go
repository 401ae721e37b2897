package crypto

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
)

// Overhead is how many bytes longer than its plaintext a ciphertext is at the
// most: 45 with XAES-256-GCM, 33 with AES-256-GCM.
const Overhead = 45

const (
	prefixSize      = 5  // 0x01 and the key id
	compactOverhead = 33 // prefix, nonce 12, tag 16
)

// Field encrypts and decrypts the values of one field. It is safe for
// concurrent use.
type Field struct {
	name string
	cfg  FieldConfig
	keys *keyring.Derivation[fieldKey]
}

// FieldConfig is how a Field differs from the usual one. The zero value is the
// right one for most. RowBound may be changed at any time; values that were
// written without a Row are refused from then on.
type FieldConfig struct {
	// RowBound makes every call fail whose Binding has no Row, so that it
	// can not be forgotten.
	RowBound bool

	// Type names how values are encoded as bytes, such as "int8". It is part
	// of the key: a field that changes its Type can not misread old
	// values, it refuses them. Adapters set it; empty means plain bytes.
	Type string

	// FreshSalt draws a salt for every value instead of one per process and
	// 2^20 values. That raises the limit from 2^45 to 2^80 values per key,
	// hides which values one process wrote, and makes each call about 1 us
	// slower, for readers too. It changes nothing for AES-256-GCM keys.
	FreshSalt bool
}

// Binding is the place of a value: it is authenticated and not stored.
type Binding struct {
	// Scope is the tenant or data subject, for a keyring with Scoped set;
	// else it is empty.
	Scope string

	// Row identifies the row, best made by the function Row from its primary
	// key. Any bytes will do, as long as no two rows share them. Nil binds
	// the value to the field only. It is not kept.
	Row []byte
}

// Row returns the Binding.Row of a row with the given key, one part per key
// column, in an unambiguous encoding: uint32 number of parts, then uint32 length
// and bytes of each, big endian. Parts are text: integers in base 10, UUIDs as 36
// lower-case characters, text as it is stored, bytea as lower-case hex.
//
// A row without a key can not be bound to: if there is no part, or an empty one,
// Row returns an empty slice that is not nil, which every Field refuses.
func Row(parts ...string) []byte {
	for _, p := range parts {
		if p == "" {
			return []byte{}
		}
	}
	if len(parts) == 0 {
		return []byte{}
	}
	return pae.Encode(parts...)
}

// ErrDecrypt is what every refused ciphertext gets, whatever is wrong with it.
// The error is a *DecryptError, which says more to operators.
var ErrDecrypt = errors.New("crypto: decryption failed")

// DecryptError is an error that is ErrDecrypt and has its text. Its fields are
// for operators, not for whoever sent the value. Err is a *keyring.KeyError if
// the key is not to be had, unknown, suspended or erased; it is nil if the
// ciphertext is malformed or fails authentication: altered, or moved from
// another place. An Envelope's says why no data key was found that fits, or is
// io.ErrUnexpectedEOF for a stream that was cut off.
type DecryptError struct {
	Field string        // or the Envelope's name
	KeyID keyring.KeyID // zero if the ciphertext has none, as an Envelope's
	Err   error
}

func (e *DecryptError) Error() string        { return ErrDecrypt.Error() }
func (e *DecryptError) Is(target error) bool { return target == ErrDecrypt }
func (e *DecryptError) Unwrap() error        { return e.Err }

// NewField returns the field of that name. The name is logical, such as
// "customers.email": it is part of the key, so values stay readable only as long
// as it stays the same, whatever becomes of the table and the column. Names that
// begin with "sealfield/" are reserved. Two Fields with the same keyring, name
// and Type are the same field.
func NewField(kr *keyring.Keyring, name string, cfg FieldConfig) (*Field, error) {
	switch {
	case kr == nil:
		return nil, errors.New("crypto: NewField needs a keyring")
	case name == "":
		return nil, errors.New("crypto: NewField needs a name")
	case strings.HasPrefix(name, "sealfield/"):
		return nil, fmt.Errorf("crypto: field name %q is reserved", name)
	}
	f := &Field{name: name, cfg: cfg}
	label := string(pae.Encode("field", name, cfg.Type))
	f.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Encryption, label, f.newKey)
	return f, nil
}

// Name returns the field's name.
func (f *Field) Name() string { return f.name }

// Encrypt returns the ciphertext of plaintext in a new slice. A nil plaintext
// is encrypted as an empty one. The first call for a scope makes its key.
//
// It fails without output if the keyring can not give a key that may encrypt
// now (see the errors of package keyring), or if at does not fit the field.
func (f *Field) Encrypt(ctx context.Context, plaintext []byte, at Binding) ([]byte, error) {
	return f.AppendEncrypt(ctx, make([]byte, 0, Overhead+len(plaintext)), plaintext, at)
}

// AppendEncrypt appends the ciphertext of plaintext to dst and returns the
// extended slice, or nil and an error. It allocates nothing if dst has room for
// len(plaintext)+Overhead bytes, which may be overwritten even on failure and
// must not overlap plaintext or at.Row.
func (f *Field) AppendEncrypt(ctx context.Context, dst, plaintext []byte, at Binding) ([]byte, error) {
	if err := f.check(at); err != nil {
		return nil, err
	}
	k, err := f.keys.Active(ctx, at.Scope)
	if err != nil {
		return nil, fmt.Errorf("crypto: encrypt field %s: %w", f.name, err)
	}
	out, err := k.seal(dst, plaintext, at.Row, f.cfg.FreshSalt)
	if err != nil {
		return nil, fmt.Errorf("crypto: encrypt field %s: %w", f.name, err)
	}
	return out, nil
}

// Decrypt returns the plaintext in a new slice, which is never nil: an empty
// value is an empty slice.
//
// A ciphertext that was not written for exactly this keyring, field, scope and
// row is refused with an error that is ErrDecrypt. ErrUnavailable, ErrDenied,
// ErrStale and ErrClosed of package keyring are not, nor is any error about a
// root key, such as a wrong answer of the KMS: they say nothing about the
// ciphertext.
func (f *Field) Decrypt(ctx context.Context, ciphertext []byte, at Binding) ([]byte, error) {
	return f.AppendDecrypt(ctx, make([]byte, 0, max(0, len(ciphertext)-compactOverhead)), ciphertext, at)
}

// AppendDecrypt appends the plaintext to dst and returns the extended slice, or
// nil and an error. It allocates nothing if dst has room for len(ciphertext) bytes
// and the key is in memory; the room may be overwritten, but holds no plaintext
// after a failure. It must not overlap ciphertext or at.Row.
func (f *Field) AppendDecrypt(ctx context.Context, dst, ciphertext []byte, at Binding) ([]byte, error) {
	if err := f.check(at); err != nil {
		return nil, err
	}
	id, ok := parseKeyID(ciphertext)
	if !ok {
		return nil, &DecryptError{Field: f.name}
	}
	k, err := f.keys.ByID(ctx, at.Scope, id)
	if err != nil {
		return nil, f.keyError(id, err)
	}
	out, ok := k.open(dst, ciphertext, at.Row)
	if !ok {
		return nil, &DecryptError{Field: f.name, KeyID: id}
	}
	return out, nil
}

// Stale reports whether a ciphertext is not under the key that Encrypt would use
// now, so that encrypting the value again would bring it up to date. It looks
// at the key id only and does not decrypt.
func (f *Field) Stale(ctx context.Context, ciphertext []byte, scope string) (bool, error) {
	id, ok := parseKeyID(ciphertext)
	if !ok {
		return false, &DecryptError{Field: f.name}
	}
	active, err := f.keys.ActiveID(ctx, scope)
	if err != nil {
		return false, fmt.Errorf("crypto: field %s: %w", f.name, err)
	}
	return id != active, nil
}

// KeyID returns the id of the key that a ciphertext or an index tag names. It
// is not authenticated. The same in SQL: substring(column from 2 for 4).
func KeyID(ciphertext []byte) (keyring.KeyID, error) {
	id, ok := parseKeyID(ciphertext)
	if !ok {
		return 0, &DecryptError{}
	}
	return id, nil
}

func parseKeyID(ciphertext []byte) (keyring.KeyID, bool) {
	if len(ciphertext) < prefixSize || ciphertext[0] != 1 {
		return 0, false
	}
	id := keyring.KeyID(binary.BigEndian.Uint32(ciphertext[1:]))
	return id, id.Valid()
}

func (f *Field) check(at Binding) error {
	switch {
	case at.Row != nil && len(at.Row) == 0:
		return fmt.Errorf("crypto: field %s: the row key is empty", f.name)
	case at.Row == nil && f.cfg.RowBound:
		return fmt.Errorf("crypto: field %s is bound to rows and the Binding has no Row", f.name)
	}
	return nil
}

// keyError makes what the keyring said of a ciphertext's key an ErrDecrypt,
// unless it said that it can not tell, or it spoke of the root key above: no
// ciphertext is the cause of that.
func (f *Field) keyError(id keyring.KeyID, err error) error {
	var about, root *keyring.KeyError
	if errors.As(err, &about) && !errors.As(about.Err, &root) &&
		!errors.Is(err, keyring.ErrUnavailable) && !errors.Is(err, keyring.ErrDenied) && !errors.Is(err, keyring.ErrStale) {
		return &DecryptError{f.name, id, err}
	}
	return fmt.Errorf("crypto: decrypt field %s, key %s: %w", f.name, id, err)
}

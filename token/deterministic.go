package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/daead/aessiv"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/siv"
	"github.com/sealfield/sealfield/keyring"
)

// DeterministicOverhead is how many bytes longer than its value a deterministic
// token is.
const DeterministicOverhead = prefixSize + siv.Overhead

// Deterministic turns values into tokens and back by deterministic AEAD: equal
// values have equal tokens, so tokens can be compared, joined and made unique,
// and the value comes back from the token and the key, without a table. The
// token is what Tink's AES-SIV (RFC 5297, 512-bit key) writes:
//
//	0x01 ‖ key id (4, big endian) ‖ synthetic IV (16) ‖ ciphertext
//
// which is DeterministicOverhead bytes longer than the value and authenticated:
// an altered token is refused. crypto.EncodeText makes it text. The keyring's
// Token purpose gives the keys.
//
// What a reader of tokens learns: the length of each value, which are equal, and
// so how often each occurs. Do not use it where few values are common (see the
// package documentation) or where nobody compares tokens: crypto.Field hides
// both. Whoever has the key reads all values, so card numbers that are kept this
// way are still card numbers to PCI DSS.
//
// The tweak is context that is authenticated and not stored, such as the id of
// the merchant; the same value under another tweak is another token. It is empty
// for tokens that are to be equal everywhere. It must be the same again for
// Detokenize.
//
// One key is good for 2^48 values; then the chance that two different values
// shared a synthetic IV is below 2^-32. A Deterministic is safe for concurrent
// use.
type Deterministic struct {
	name string
	cfg  DeterministicConfig
	keys *keyring.Derivation[sivKey]
}

// DeterministicConfig is how a Deterministic differs from the usual one. The
// zero value is the right one for most.
type DeterministicConfig struct {
	// Type names how values are encoded as bytes, such as "int8". It is part
	// of the key: tokens of another Type are refused. Adapters set it; empty
	// means plain bytes.
	Type string
}

// sivKey is a Deterministic's key under one DEK. It is only ever reached through
// the keyring's atomic.Pointers, into which no printer looks.
type sivKey struct {
	prefix [prefixSize]byte
	*siv.Cipher
}

// NewDeterministic returns the Deterministic of that name. The name is logical,
// such as "payments.iban", and part of the key: the same value has other tokens
// under another name, and tokens are readable only as long as the name stays
// the same. Names that begin with "sealfield/" are reserved.
func NewDeterministic(kr *keyring.Keyring, name string, cfg DeterministicConfig) (*Deterministic, error) {
	if err := checkName("NewDeterministic", kr, name); err != nil {
		return nil, err
	}
	d := &Deterministic{name: name, cfg: cfg}
	label := string(pae.Encode("deterministic", name, cfg.Type))
	d.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Token, label, d.newKey)
	return d, nil
}

// Name returns the name.
func (d *Deterministic) Name() string { return d.name }

// Tokenize returns the token of value under the active key, in a new slice. nil
// is taken as an empty value; the token of NULL is NULL, which is the caller's
// to keep so. scope is empty unless the keyring is scoped.
func (d *Deterministic) Tokenize(ctx context.Context, value, tweak []byte, scope string) ([]byte, error) {
	return d.AppendTokenize(ctx, make([]byte, 0, DeterministicOverhead+len(value)), value, tweak, scope)
}

// AppendTokenize appends the token to dst and returns the extended slice, or nil
// and an error. It allocates nothing if dst has room for
// len(value)+DeterministicOverhead bytes, which must not overlap value or tweak.
func (d *Deterministic) AppendTokenize(ctx context.Context, dst, value, tweak []byte, scope string) ([]byte, error) {
	k, err := d.keys.Active(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("token: tokenize %s: %w", d.name, err)
	}
	return k.seal(dst, value, tweak), nil
}

// Detokenize returns the value of a token in a new slice, which is never nil.
//
// A token that was not made for exactly this keyring, name, scope and tweak is
// refused with a *crypto.DecryptError, which is crypto.ErrDecrypt. The errors
// ErrUnavailable, ErrDenied, ErrStale and ErrClosed of package keyring are not:
// they say nothing about the token.
func (d *Deterministic) Detokenize(ctx context.Context, token, tweak []byte, scope string) ([]byte, error) {
	return d.AppendDetokenize(ctx, make([]byte, 0, max(0, len(token)-DeterministicOverhead)), token, tweak, scope)
}

// AppendDetokenize appends the value to dst and returns the extended slice, or
// nil and an error. It allocates nothing if dst has room for the value, which must
// not overlap token or tweak; it may be overwritten, but holds nothing of the
// value after a failure.
func (d *Deterministic) AppendDetokenize(ctx context.Context, dst, token, tweak []byte, scope string) ([]byte, error) {
	id, err := crypto.KeyID(token)
	if err != nil {
		return nil, &crypto.DecryptError{Field: d.name}
	}
	k, err := d.keys.ByID(ctx, scope, id)
	if err != nil {
		return nil, d.keyError(id, err)
	}
	out, ok := k.Open(dst, token[prefixSize:], tweak)
	if !ok {
		return nil, &crypto.DecryptError{Field: d.name, KeyID: id}
	}
	return out, nil
}

// Match returns the tokens that value may have: one under each key that is not
// destroyed, for a search with "column = any($1)". It is as strict as
// Index.Match: never fewer tokens than there could be.
func (d *Deterministic) Match(ctx context.Context, value, tweak []byte, scope string) ([][]byte, error) {
	keys, err := d.keys.Live(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("token: match %s: %w", d.name, err)
	}
	tokens := make([][]byte, len(keys))
	for i, k := range keys {
		tokens[i] = k.seal(make([]byte, 0, DeterministicOverhead+len(value)), value, tweak)
	}
	return tokens, nil
}

// Stale reports whether a token is not under the key that Tokenize would use
// now. It looks at the key id only.
func (d *Deterministic) Stale(ctx context.Context, token []byte, scope string) (bool, error) {
	id, err := crypto.KeyID(token)
	if err != nil {
		return false, &crypto.DecryptError{Field: d.name}
	}
	active, err := d.keys.ActiveID(ctx, scope)
	if err != nil {
		return false, fmt.Errorf("token: %s: %w", d.name, err)
	}
	return id != active, nil
}

// TinkKeyset returns the keys for one scope as a Tink keyset, for readers and
// writers in other languages: every key that is not destroyed, with the one
// that Tokenize uses now as primary. Tink's deterministic AEAD of the keyset,
// given the tweak as associated data, reads what Tokenize wrote and the reverse.
//
// It is raw key material, hence the access token, and a snapshot that sees no
// rotation, suspension or erasure. It fails if the scope has no key.
func (d *Deterministic) TinkKeyset(ctx context.Context, scope string, access insecuresecretdataaccess.Token) (*keyset.Handle, error) {
	h, err := d.tinkKeyset(ctx, scope, access)
	if err != nil {
		return nil, fmt.Errorf("token: export %s: %w", d.name, err)
	}
	return h, nil
}

func (d *Deterministic) tinkKeyset(ctx context.Context, scope string, access insecuresecretdataaccess.Token) (*keyset.Handle, error) {
	params, err := aessiv.NewParameters(siv.KeySize, aessiv.VariantTink)
	if err != nil {
		return nil, err
	}
	active, err := d.keys.ActiveID(ctx, scope)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	err = d.keys.Each(ctx, scope, func(m *keyring.Material) error {
		raw, err := d.derive(m)
		if err != nil {
			return err
		}
		defer clear(raw)
		k, err := aessiv.NewKey(secretdata.NewBytesFromData(raw, access), uint32(m.ID()), params)
		if err != nil {
			return err
		}
		_, err = manager.AddKey(k)
		return err
	})
	if err != nil {
		return nil, err
	}
	if active == 0 {
		return nil, fmt.Errorf("scope %q: %w", scope, keyring.ErrUnknownKey)
	}
	if err := manager.SetPrimary(uint32(active)); err != nil {
		return nil, err
	}
	return manager.Handle()
}

// derive returns the raw key, which the caller wipes.
func (d *Deterministic) derive(m *keyring.Material) ([]byte, error) {
	var detail []string
	if d.cfg.Type != "" {
		detail = []string{d.cfg.Type}
	}
	return m.Derive("AES-256-SIV", d.name, siv.KeySize, detail...)
}

func (d *Deterministic) newKey(m *keyring.Material, k *sivKey) error {
	raw, err := d.derive(m)
	if err != nil {
		return err
	}
	defer clear(raw)
	k.prefix = prefixOf(m)
	k.Cipher, err = siv.New(raw)
	return err
}

func (k *sivKey) seal(dst, value, tweak []byte) []byte {
	return k.Seal(append(dst, k.prefix[:]...), value, tweak)
}

// keyError makes what the keyring said of a token's key a refusal of the token,
// unless it said that it can not tell.
func (d *Deterministic) keyError(id keyring.KeyID, err error) error {
	var about *keyring.KeyError
	if errors.As(err, &about) && !errors.Is(err, keyring.ErrUnavailable) && !errors.Is(err, keyring.ErrDenied) && !errors.Is(err, keyring.ErrStale) {
		return &crypto.DecryptError{Field: d.name, KeyID: id, Err: err}
	}
	return fmt.Errorf("token: detokenize %s, key %s: %w", d.name, id, err)
}

package mask

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/secret"
	"github.com/sealfield/sealfield/keyring"
)

// Masker makes rules under the keys of one epoch. It is safe for concurrent use.
// The zero Masker has no keys and makes only the rules that need none.
//
// The keys are those of the moment of New: a rotation, and even the end of the
// keyring, changes nothing in a job that runs. A later New uses the Masking key
// that is active then, so a rotation is a new epoch for all.
type Masker struct {
	keys *epochKeys

	mu    sync.Mutex // guards ready
	ready map[string]*Rule

	plans sync.Map // of *plan by reflect.Type, for JSON
}

// Config says which keys to use. The zero value is right for a keyring that is not
// scoped.
type Config struct {
	// Scope is the tenant whose data is masked, for a keyring with Scoped
	// set; else it is empty.
	Scope string

	// Epoch is any text that names an export, such as "2026-q4". Results of
	// different epochs can not be linked, by anybody without the keys.
	Epoch string

	// Check is what Masker.Check has to return: if it is not empty and
	// differs, New fails with ErrCheck.
	Check string
}

// ErrCheck says that the keys are not those that were asked for: the keyring, the
// scope, the epoch or the active Masking key is another one.
var ErrCheck = errors.New("the check value differs: other keys than expected")

// epochKeys is what is derived from a DEK for an epoch.
type epochKeys struct {
	secret  secret.Bytes // HKDF's pseudorandom key
	reserve func(int64) bool
}

// New returns the masker. The first one of a scope makes its Masking key.
func New(ctx context.Context, kr *keyring.Keyring, cfg Config) (*Masker, error) {
	if kr == nil {
		return nil, errors.New("mask: New needs a keyring")
	}
	build := func(m *keyring.Material, k *epochKeys) error {
		key, err := m.Derive("MASK", "sealfield/mask", sha256.Size, cfg.Epoch)
		k.secret, k.reserve = secret.New(key), m.Reserve
		return err
	}
	label := string(pae.Encode("mask", cfg.Epoch))
	keys, err := keyring.NewDerivation(derive.Access{}, kr, keyring.Masking, label, build).Active(ctx, cfg.Scope)
	if err != nil {
		return nil, fmt.Errorf("mask: %w", err)
	}
	m := &Masker{keys: keys}
	if cfg.Check != "" && cfg.Check != m.Check() {
		return nil, fmt.Errorf("mask: %w", ErrCheck)
	}
	return m, nil
}

// Check returns the key check value: 16 hex digits that depend on the keyring, the
// scope, the Masking key and the epoch, and tell nothing about them. It is empty
// for a Masker without keys.
func (m *Masker) Check() string {
	if m.keys == nil {
		return ""
	}
	check, err := m.keys.derive("sealfield/check", "check/1", 8)
	if err != nil {
		panic(err) // only for lengths beyond HKDF's
	}
	return hex.EncodeToString(check)
}

// derive returns the key of a join domain for one primitive, which is a name with
// a version and all that changes results, in n bytes.
func (k *epochKeys) derive(domain, primitive string, n int) ([]byte, error) {
	return hkdf.Expand(sha256.New, k.secret.Expose(), string(pae.Encode("sealfield/v1/mask", domain, primitive)), n)
}

const maxDomain = 255

func checkDomain(domain string) error {
	switch {
	case domain == "" || len(domain) > maxDomain:
		return fmt.Errorf("a domain has 1 to %d bytes", maxDomain)
	case strings.HasPrefix(domain, "sealfield/"):
		return errors.New("domains that begin with sealfield/ are reserved")
	case strings.ContainsFunc(domain, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' }):
		return errors.New("a domain has no spaces, commas or control characters")
	}
	return nil
}

// Mask returns the masked value: a shorthand for Rule and Append for single values
// without a row. It keeps the rules that it makes. A result that is NULL is the
// empty string.
func (m *Masker) Mask(rule, value string) (string, error) {
	m.mu.Lock()
	r := m.ready[rule]
	m.mu.Unlock()
	if r == nil {
		var err error
		if r, err = m.Rule(rule); err != nil {
			return "", err
		}
		m.mu.Lock()
		if m.ready == nil || len(m.ready) >= maxReady {
			m.ready = make(map[string]*Rule)
		}
		m.ready[rule] = r
		m.mu.Unlock()
	}
	out, err := r.Append(nil, []byte(value), nil)
	return string(out), err
}

const maxReady = 1000 // rules kept by Mask

package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
)

// TagSize is the length of an index tag in bytes.
const TagSize = 21

const (
	prefixSize = 5   // 0x01 and the key id
	macSize    = 16  // bytes of HMAC-SHA256 in a tag
	bits       = 128 // the same
	kind       = "exact"
)

// Index makes the tags of one blind index. It is safe for concurrent use.
type Index struct {
	name string
	norm Normalizer
	keys *keyring.Derivation[indexKey]
}

// IndexConfig says what the index compares.
type IndexConfig struct {
	// Normalizer is applied to every value that is written or looked for.
	// Defaults to Identity.
	Normalizer Normalizer
}

// NewIndex returns the index of that name. The name is logical, such as
// "customers.email", and part of the key together with the normalizer's ID:
// indexes of different names share no tag, and one whose name or normalizer
// changes finds nothing that was written before. Names that begin with
// "sealfield/" are reserved. The keyring's Index purpose gives the keys.
func NewIndex(kr *keyring.Keyring, name string, cfg IndexConfig) (*Index, error) {
	if err := checkName("NewIndex", kr, name); err != nil {
		return nil, err
	}
	if cfg.Normalizer == nil {
		cfg.Normalizer = Identity
	}
	x := &Index{name: name, norm: cfg.Normalizer}
	label := string(pae.Encode("index", name, kind, x.norm.ID()))
	x.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Index, label, x.newKey)
	return x, nil
}

func checkName(function string, kr *keyring.Keyring, name string) error {
	switch {
	case kr == nil:
		return fmt.Errorf("token: %s needs a keyring", function)
	case name == "":
		return fmt.Errorf("token: %s needs a name", function)
	case strings.HasPrefix(name, "sealfield/"):
		return fmt.Errorf("token: %s: name %q is reserved", function, name)
	}
	return nil
}

// Name returns the index's name.
func (x *Index) Name() string { return x.name }

// Tag returns the tag of value under the active key, to be stored: TagSize
// bytes in a new slice. An empty value has a tag; the tag of NULL is NULL, which
// is the caller's to keep so. scope is empty unless the keyring is scoped.
func (x *Index) Tag(ctx context.Context, value []byte, scope string) ([]byte, error) {
	return x.AppendTag(ctx, make([]byte, 0, TagSize), value, scope)
}

// AppendTag appends the tag to dst and returns the extended slice, or nil and
// an error. It allocates nothing if dst has room for TagSize bytes.
func (x *Index) AppendTag(ctx context.Context, dst, value []byte, scope string) ([]byte, error) {
	k, err := x.keys.Active(ctx, scope)
	if err == nil {
		dst, err = k.append(dst, value, x.norm)
	}
	if err != nil {
		return nil, fmt.Errorf("token: index %s: %w", x.name, err)
	}
	return dst, nil
}

// Match returns the tags that rows with this value may have: one under each key
// that is not destroyed, so that rows are found before, during and after a
// rotation. It is the argument of "column = any($1)". A scope without any key
// has no rows, and the result is empty but not nil.
//
// It never returns fewer tags than there could be: it fails if one of the keys
// is suspended or can not be loaded, or if the store was out of reach for so long
// that another process may have begun to use a new key: the keyring's
// PropagationDelay less a minute, or half of it if that is more.
func (x *Index) Match(ctx context.Context, value []byte, scope string) ([][]byte, error) {
	keys, err := x.keys.Live(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("token: index %s: %w", x.name, err)
	}
	tags := make([][]byte, len(keys))
	for i, k := range keys {
		if tags[i], err = k.append(make([]byte, 0, TagSize), value, x.norm); err != nil {
			return nil, fmt.Errorf("token: index %s: %w", x.name, err)
		}
	}
	return tags, nil
}

// indexKey is an index's key under one DEK.
type indexKey struct {
	prefix [prefixSize]byte
	states *sync.Pool // of *state
}

// state is a keyed HMAC, kept because keying one costs more than a tag, and
// room to work in.
type state struct {
	mac        hash.Hash
	sum        [sha256.Size]byte
	normalized []byte
}

func (x *Index) newKey(m *keyring.Material, k *indexKey) error {
	key, err := m.Derive("HMAC-SHA256", x.name, sha256.Size, kind, x.norm.ID(), fmt.Sprint(bits))
	if err != nil {
		return err
	}
	k.prefix = prefixOf(m)
	k.states = &sync.Pool{New: func() any { return &state{mac: hmac.New(sha256.New, key)} }}
	return nil
}

// prefixOf returns what Tink puts in front: 0x01 and the key id.
func prefixOf(m *keyring.Material) [prefixSize]byte {
	return [prefixSize]byte(append([]byte{1}, m.ID().Bytes()...))
}

func (k *indexKey) append(dst, value []byte, norm Normalizer) ([]byte, error) {
	s := k.states.Get().(*state)
	defer k.states.Put(s)
	if norm != Identity {
		var err error
		defer func() { clear(s.normalized) }()
		if s.normalized, err = norm.Append(s.normalized[:0], value); err != nil {
			return nil, err
		}
		value = s.normalized
	}
	s.mac.Reset()
	s.mac.Write(value)
	tag := s.mac.Sum(s.sum[:0])[:macSize]
	return append(append(slices.Grow(dst, TagSize), k.prefix[:]...), tag...), nil
}

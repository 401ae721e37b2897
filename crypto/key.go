package crypto

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// fieldKey is a field's key under one DEK. It and all that hangs off it is only
// ever reached through atomic.Pointers, into which no printer looks.
//
// The fields are in the order of their use by seal, with the first epoch among
// them: among the keys of many scopes each cache line costs a wait for memory.
type fieldKey struct {
	prefix  [prefixSize]byte
	kdf     *xaes.KDF // of an XAES-256-GCM key, else nil
	epoch   atomic.Pointer[epoch]
	first   epoch                  // what epoch points to at first
	own     atomic.Pointer[salted] // of the epoch's salt, once a value of it was read
	compact aead                   // of an AES-256-GCM key, else empty
	salts   saltCache
}

// epoch is one salt and the AES-256-GCM key that XAES-256-GCM derives for it. It
// seals only: many processes write and never read, or the reverse.
//
// XAES draws a salt and a nonce per message, 192 random bits. Drawing the salt
// once per epochUnits messages leaves the format as it is and the bound still
// far away: 2^20 random 96-bit nonces under one derived key collide with
// probability 2^-57, and 2^25 epochs, 2^45 values, stay at 2^-32.
type epoch struct {
	salt [xaes.SaltSize]byte
	used atomic.Int64 // units
	xaes.Sealer
}

// aead is AES-256-GCM, for both directions.
type aead struct {
	xaes.Sealer
	xaes.Opener
}

const (
	epochUnits = 1 << 20
	unitSize   = 64 << 10 // a value counts 1 + len/unitSize

	// An atomic add by every caller would make the goroutines of several
	// cores wait for each other. So one value in sampling counts for all:
	// the one whose nonce's first byte is 0 modulo sampling. The nonce is
	// uniformly random, so the count is right on average, and that 2^21
	// values are counted as less than 2^20 has a chance below 2^-5000.
	sampling = 64
)

// newKey derives the field's key from a DEK.
func (f *Field) newKey(m *keyring.Material, k *fieldKey) error {
	key, err := f.derive(m)
	if err != nil {
		return err
	}
	defer clear(key)
	k.salts.reserve = m.Reserve
	copy(k.prefix[:], append([]byte{1}, m.ID().Bytes()...))
	if m.Algorithm() == keyring.AES256GCM {
		if k.compact.Sealer, err = xaes.NewSealer(key); err == nil {
			k.compact.Opener, err = xaes.NewOpener(key)
		}
		return err
	}
	if k.kdf, err = xaes.New(key); err != nil {
		return err
	}
	k.epoch.Store(&k.first)
	return k.begin(&k.first)
}

// derive returns the raw key, which the caller wipes.
func (f *Field) derive(m *keyring.Material) ([]byte, error) {
	var detail []string
	if f.cfg.Type != "" {
		detail = []string{f.cfg.Type}
	}
	return m.Derive(string(m.Algorithm()), f.name, xaes.KeySize, detail...)
}

// begin gives the epoch e its salt and its key.
func (k *fieldKey) begin(e *epoch) (err error) {
	rand.Read(e.salt[:])
	e.Sealer, err = k.kdf.Sealer(&e.salt)
	return err
}

func (k *fieldKey) seal(dst, plaintext, row []byte, freshSalt bool) ([]byte, error) {
	dst = append(slices.Grow(dst, Overhead+len(plaintext)), k.prefix[:]...)
	if k.kdf == nil {
		return k.compact.Seal(dst, plaintext, row), nil
	}
	if freshSalt {
		return k.sealFresh(dst, plaintext, row)
	}
	e := k.epoch.Load()
	if e.used.Load() >= epochUnits {
		next := &epoch{}
		if err := k.begin(next); err != nil {
			return nil, err
		}
		k.epoch.CompareAndSwap(e, next)
		e = next
	}
	dst = append(dst, e.salt[:]...)
	nonce := len(dst)
	dst = e.Seal(dst, plaintext, row)
	switch {
	case len(plaintext) >= unitSize:
		e.used.Add(1 + int64(len(plaintext)/unitSize))
	case dst[nonce]%sampling == 0:
		e.used.Add(sampling)
	}
	return dst, nil
}

// sealFresh is XAES-256-GCM as specified, with a salt for this value alone.
func (k *fieldKey) sealFresh(dst, plaintext, row []byte) ([]byte, error) {
	var salt [xaes.SaltSize]byte
	rand.Read(salt[:])
	sealer, err := k.kdf.Sealer(&salt)
	if err != nil {
		return nil, err
	}
	return sealer.Seal(append(dst, salt[:]...), plaintext, row), nil
}

func (k *fieldKey) open(dst, ciphertext, row []byte) ([]byte, bool) {
	if k.kdf == nil {
		if len(ciphertext) < compactOverhead {
			return nil, false
		}
		out, err := k.compact.Open(dst, ciphertext[prefixSize:], row)
		return out, err == nil
	}
	if len(ciphertext) < Overhead {
		return nil, false
	}
	salt := (*[xaes.SaltSize]byte)(ciphertext[prefixSize:])
	sealed := ciphertext[prefixSize+xaes.SaltSize:]
	if s := k.own.Load(); s != nil && sameSalt(&s.salt, salt) {
		out, err := s.Open(dst, sealed, row)
		return out, err == nil
	}
	if s := k.salts.get(salt); s != nil {
		out, err := s.Open(dst, sealed, row)
		return out, err == nil
	}
	opener, err := k.kdf.Opener(salt)
	if err != nil {
		return nil, false
	}
	out, err := opener.Open(dst, sealed, row)
	if err != nil {
		return nil, false
	}
	if s := (&salted{*salt, opener}); sameSalt(&k.epoch.Load().salt, salt) {
		k.own.Store(s)
	} else {
		k.salts.put(s)
	}
	return out, true
}

// sameSalt is *a == *b by two loads rather than a call.
func sameSalt(a, b *[xaes.SaltSize]byte) bool {
	return binary.NativeEndian.Uint64(a[:8]) == binary.NativeEndian.Uint64(b[:8]) &&
		binary.NativeEndian.Uint32(a[8:]) == binary.NativeEndian.Uint32(b[8:])
}

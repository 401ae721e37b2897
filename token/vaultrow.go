package token

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/secret"
	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// What a row's sealed value is made of: one byte for its form, and then the token's
// body and the value, or the value encrypted under a key that the body gives.
const (
	formConvergent = 0
	formRandom     = 1
)

// seal makes a token for value and its row, without tags.
func (v *Vault) seal(ctx context.Context, value []byte, scope string, now time.Time) (VaultRow, Token, error) {
	var b body
	rand.Read(b[:])
	token := newToken(v.cfg.Prefix, &b)
	row := VaultRow{Keyring: v.kr.Name(), Vault: v.name, Scope: scope, Hash: token.hash(), Uses: v.cfg.Uses}
	if v.cfg.TTL > 0 {
		row.ExpiresAt = now.Add(v.cfg.TTL)
	}
	plain := make([]byte, 0, 1+bodySize+xaes.Overhead+len(value))
	if v.cfg.Convergent {
		plain = append(append(append(plain, formConvergent), b[:]...), value...)
	} else {
		key, err := v.bodyKey(&b, scope)
		if err != nil {
			return row, "", err
		}
		defer clear(key)
		sealer, err := xaes.NewSealer(key)
		if err != nil {
			return row, "", err
		}
		plain = sealer.Seal(append(plain, formRandom), value, nil)
	}
	defer clear(plain)
	var err error
	row.Sealed, err = v.field.Encrypt(ctx, plain, crypto.Binding{Scope: scope, Row: row.place()})
	return row, token, err
}

// bodyKey returns the key that a token gives, under which one value is encrypted
// once.
func (v *Vault) bodyKey(b *body, scope string) ([]byte, error) {
	info := pae.Encode("sealfield/v1/vault", v.kr.Name(), scope, v.name, v.cfg.Prefix)
	return hkdf.Key(sha256.New, b[:], nil, string(info), xaes.KeySize)
}

// place returns what a row's value is bound to beside keyring, scope and vault. The
// hash stands for the token, prefix included.
func (r *VaultRow) place() []byte {
	expires := ""
	if !r.ExpiresAt.IsZero() {
		expires = strconv.FormatInt(r.ExpiresAt.UnixMicro(), 10)
	}
	return pae.Encode(string(r.Hash[:]), expires, strconv.Itoa(r.Uses))
}

// opened is what a row holds.
type opened struct {
	token Token // of a convergent vault
	value []byte
}

// open proves a row and returns what it holds. b is the body of the token, or nil
// if a tag led here.
func (v *Vault) open(ctx context.Context, row *VaultRow, b *body, scope string, now time.Time) (o opened, err error) {
	if err := v.owns(row, scope); err != nil {
		return o, err
	}
	if err := row.ended(now); err != nil {
		return o, err
	}
	if row.Uses > 0 && (row.UsesLeft < 1 || row.UsesLeft > row.Uses) {
		return o, ErrTampered
	}
	plain, err := v.field.Decrypt(ctx, row.Sealed, crypto.Binding{Scope: scope, Row: row.place()})
	if err != nil {
		if d, ok := errors.AsType[*crypto.DecryptError](err); ok && d.Err == nil {
			err = fmt.Errorf("%w: %w", ErrTampered, err)
		}
		return o, err
	}
	switch {
	case len(plain) > bodySize && plain[0] == formConvergent:
		o.token = newToken(v.cfg.Prefix, (*body)(plain[1:]))
		if o.token.hash() == row.Hash {
			o.value = plain[1+bodySize:]
			return o, nil
		}
	case len(plain) > xaes.Overhead && plain[0] == formRandom && b != nil:
		if o.value, err = v.openRandom(plain[1:], b, scope); err == nil {
			return o, nil
		}
	}
	clear(plain)
	return opened{}, ErrTampered
}

func (v *Vault) openRandom(sealed []byte, b *body, scope string) ([]byte, error) {
	key, err := v.bodyKey(b, scope)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	opener, err := xaes.NewOpener(key)
	if err != nil {
		return nil, err
	}
	return opener.Open(make([]byte, 0, len(sealed)), sealed, nil)
}

// owns returns an error unless the row is of this vault and scope.
func (v *Vault) owns(row *VaultRow, scope string) error {
	switch {
	case row.Keyring != v.kr.Name():
		return ErrTampered
	case row.Vault != v.name:
		return ErrKind
	case row.Scope != scope:
		return ErrScope
	}
	return nil
}

// ended says how the token has ended, nil if it lives.
func (r *VaultRow) ended(now time.Time) error {
	switch {
	case r.Ended == EndedRevoked:
		return ErrRevoked
	case r.Ended == EndedUsed:
		return ErrUsed
	case r.Ended == EndedExpired, !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt):
		return ErrExpired
	case r.Ended != "":
		return ErrTampered
	}
	return nil
}

// vaultTagKey is the key of the tags under one DEK.
type vaultTagKey struct {
	prefix [prefixSize]byte
	key    secret.Bytes
}

func (v *Vault) newTagKey(m *keyring.Material, k *vaultTagKey) error {
	key, err := m.Derive("HMAC-SHA256", v.name, sha256.Size, "vault", v.cfg.Normalizer.ID(), "128", v.cfg.Prefix)
	if err != nil {
		return err
	}
	k.prefix, k.key = prefixOf(m), secret.New(key)
	return nil
}

// setTags sets the tags of values, one under each of the keys.
func setTags(keys []*vaultTagKey, all []*wanted) {
	for _, k := range keys {
		mac := hmac.New(sha256.New, k.key.Expose())
		for _, w := range all {
			mac.Reset()
			mac.Write(w.normalized)
			tag := mac.Sum(append(make([]byte, 0, len(k.prefix)+sha256.Size), k.prefix[:]...))
			w.tags = append(w.tags, tag[:TagSize:TagSize])
		}
	}
}

// Package kmsaead is a KEK in memory: what the key file and the test KMS have
// in common.
package kmsaead

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// ErrRefused says that the wrapped key was not wrapped by this key for this
// context.
var ErrRefused = errors.New("the wrapped key or its context is not genuine")

// Key wraps with AES-256-GCM: nonce (12 bytes), ciphertext, tag (16). It holds
// the key behind funcs, out of reach of printers, and is safe for concurrent
// use.
type Key struct {
	seal func(dst, nonce, plaintext, additionalData []byte) []byte
	open func(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// New returns the KEK of the given KeySize bytes, which it does not keep.
func New(key []byte) (*Key, error) {
	if len(key) != KeySize {
		return nil, errors.New("a key must have 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Key{aead.Seal, aead.Open}, nil
}

// Wrap encrypts key, bound to context.
func (k *Key) Wrap(key, context []byte) []byte { return k.seal(nil, nil, key, context) }

// Unwrap decrypts what Wrap wrote for the same context, or fails with
// ErrRefused.
func (k *Key) Unwrap(wrapped, context []byte) ([]byte, error) {
	key, err := k.open(nil, nil, wrapped, context)
	if err != nil {
		return nil, ErrRefused
	}
	return key, nil
}

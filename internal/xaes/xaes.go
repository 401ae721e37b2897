// Package xaes is XAES-256-GCM (c2sp.org/XAES-256-GCM) cut in two: the key
// derivation from the first 12 bytes of the 24-byte nonce, here called the salt,
// and AES-256-GCM under the derived key with the other 12. That lets one
// derived key serve many messages.
package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// Sizes in bytes.
const (
	KeySize  = 32
	SaltSize = 12
)

// KDF derives AES-256-GCM keys from an XAES-256-GCM key, which it holds behind
// a func, out of reach of printers. It is safe for concurrent use.
type KDF struct {
	derive func(salt *[SaltSize]byte) [KeySize]byte
}

// Overhead is how many bytes a sealed value is longer than its plaintext: the
// nonce in front and the tag behind.
const Overhead = nonceSize + 16

const nonceSize = 12

// Sealer encrypts with AES-256-GCM under random nonces. It is
// cipher.NewGCMWithRandomNonce, the form of GCM that may also be used under
// GODEBUG=fips140=only. Printers reach the key: keep it behind an atomic.Pointer
// or a func.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns the Sealer of a key of KeySize bytes, which it does not keep.
func NewSealer(key []byte) (Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return Sealer{aead}, err
}

// Seal appends nonce, ciphertext and tag to dst.
func (s *Sealer) Seal(dst, plaintext, additionalData []byte) []byte {
	return s.aead.Seal(dst, nil, plaintext, additionalData)
}

// Opener decrypts what a Sealer of the same key wrote. Keep it as one.
type Opener struct {
	aead  cipher.AEAD
	nonce int // bytes of what was sealed that aead takes as nonce
}

// NewOpener returns the Opener of a key of KeySize bytes, which it does not keep.
// It is plain GCM, which opens faster, or, where that is not allowed, the form
// that takes the nonce as part of the ciphertext.
func NewOpener(key []byte) (Opener, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return Opener{}, err
	}
	if aead, err := cipher.NewGCM(block); err == nil {
		return Opener{aead, nonceSize}, nil
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return Opener{aead, 0}, err
}

// Open appends the plaintext to dst. sealed has at least Overhead bytes.
func (o *Opener) Open(dst, sealed, additionalData []byte) ([]byte, error) {
	return o.aead.Open(dst, sealed[:o.nonce], sealed[o.nonce:], additionalData)
}

// New returns the KDF of a key of KeySize bytes, which it does not keep.
func New(key []byte) (*KDF, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// K1 of CMAC (NIST SP 800-38B): the encrypted zero block, doubled in
	// GF(2^128), without a branch on its top bit.
	var k1 [aes.BlockSize]byte
	block.Encrypt(k1[:], k1[:])
	var carry byte
	for i := len(k1) - 1; i >= 0; i-- {
		k1[i], carry = k1[i]<<1|carry, k1[i]>>7
	}
	k1[len(k1)-1] ^= byte(subtle.ConstantTimeSelect(int(carry), 0x87, 0))

	return &KDF{func(salt *[SaltSize]byte) (key [KeySize]byte) {
		// The key is CMAC(0x0001 ‖ "X" ‖ 0x00 ‖ salt) ‖ CMAC(0x0002 ‖ ...),
		// each of a single block (the KDF of NIST SP 800-108r1).
		for i := range 2 {
			half := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
			half[1], half[2] = byte(i+1), 'X'
			copy(half[4:], salt[:])
			subtle.XORBytes(half, half, k1[:])
			block.Encrypt(half, half)
		}
		return key
	}}, nil
}

// Sealer returns the Sealer for a salt.
func (k *KDF) Sealer(salt *[SaltSize]byte) (Sealer, error) {
	key := k.derive(salt)
	defer clear(key[:])
	return NewSealer(key[:])
}

// Opener returns the Opener for a salt.
func (k *KDF) Opener(salt *[SaltSize]byte) (Opener, error) {
	key := k.derive(salt)
	defer clear(key[:])
	return NewOpener(key[:])
}

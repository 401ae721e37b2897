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
	derive func(salt *[SaltSize]byte) (cipher.AEAD, error)
}

// NewAEAD returns plain AES-256-GCM under a key of KeySize bytes. The nonce is
// random and in front of the ciphertext: 28 bytes of overhead. That is
// cipher.NewGCMWithRandomNonce, the one form of GCM that may also be used under
// GODEBUG=fips140=only. Printers reach the key: keep it behind an atomic.Pointer
// or a func.
func NewAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
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

	return &KDF{func(salt *[SaltSize]byte) (cipher.AEAD, error) {
		// The key is CMAC(0x0001 ‖ "X" ‖ 0x00 ‖ salt) ‖ CMAC(0x0002 ‖ ...),
		// each of a single block (the KDF of NIST SP 800-108r1).
		var key [KeySize]byte
		defer clear(key[:])
		for i := range 2 {
			half := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
			half[1], half[2] = byte(i+1), 'X'
			copy(half[4:], salt[:])
			subtle.XORBytes(half, half, k1[:])
			block.Encrypt(half, half)
		}
		return NewAEAD(key[:])
	}}, nil
}

// Derive returns the AEAD for a salt.
func (k *KDF) Derive(salt *[SaltSize]byte) (cipher.AEAD, error) { return k.derive(salt) }

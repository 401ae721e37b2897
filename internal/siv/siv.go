// Package siv is AES-SIV-CMAC (RFC 5297) with 512-bit keys and one string of
// associated data, the AEAD_AES_SIV_CMAC_512 that Tink calls AES-SIV, without
// allocations: both AES key schedules are made once and kept. It is built on
// crypto/aes alone and needs no random numbers.
package siv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"sync"
)

// Sizes in bytes.
const (
	KeySize  = 64 // MAC key, then encryption key
	Overhead = 16 // the synthetic IV in front of the ciphertext
)

const blockSize = aes.BlockSize

// Cipher is AES-SIV under one key. It is safe for concurrent use. Printers reach
// the key: keep it behind an atomic.Pointer or a func.
type Cipher struct {
	mac, enc cipher.Block
	k1, k2   [blockSize]byte // CMAC's subkeys
	zero     [blockSize]byte // dbl(CMAC(zero block)), where S2V begins
	noData   [blockSize]byte // zero xor CMAC(""), where it is without associated data
	states   sync.Pool       // of *state
}

// New returns the cipher of a key of KeySize bytes, which it does not keep.
func New(key []byte) (*Cipher, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("siv: a key of %d bytes, not %d", len(key), KeySize)
	}
	c := &Cipher{}
	var err error
	if c.mac, err = aes.NewCipher(key[:KeySize/2]); err != nil {
		return nil, err
	}
	if c.enc, err = aes.NewCipher(key[KeySize/2:]); err != nil {
		return nil, err
	}
	c.states.New = func() any { return &state{Cipher: c} }
	s := &state{Cipher: c}
	c.mac.Encrypt(c.k1[:], c.k1[:])
	double(&c.k1)
	c.k2 = c.k1
	double(&c.k2)
	s.cmac(make([]byte, blockSize))
	c.zero = s.sum
	double(&c.zero)
	s.cmac(nil)
	subtle.XORBytes(c.noData[:], c.zero[:], s.sum[:])
	return c, nil
}

// Seal appends the synthetic IV and the ciphertext to dst, which must not
// overlap plaintext or data. Equal plaintexts under equal data give equal bytes.
func (c *Cipher) Seal(dst, plaintext, data []byte) []byte {
	s := c.states.Get().(*state)
	defer s.release()
	s.s2v(plaintext, data)
	dst = append(dst, s.sum[:]...)
	return s.ctr(dst, plaintext, s.sum)
}

// Open appends the plaintext to dst, which must not overlap sealed or data. It
// is not ok, and leaves no plaintext in dst, if sealed was not made by Seal under
// this key and data.
func (c *Cipher) Open(dst, sealed, data []byte) (out []byte, ok bool) {
	if len(sealed) < Overhead {
		return nil, false
	}
	s := c.states.Get().(*state)
	defer s.release()
	iv := [blockSize]byte(sealed)
	out = s.ctr(dst, sealed[Overhead:], iv)
	plaintext := out[len(dst):]
	s.s2v(plaintext, data)
	if subtle.ConstantTimeCompare(s.sum[:], iv[:]) != 1 {
		clear(plaintext)
		return nil, false
	}
	return out, true
}

// state is the memory of one call, kept in a pool because the arguments of
// cipher.Block escape to the heap.
type state struct {
	*Cipher
	sum     [blockSize]byte // of CMAC, and the result of s2v
	counter [blockSize]byte
	stream  [blockSize]byte
	tail    [2 * blockSize]byte
}

// release gives s back without anything of the message.
func (s *state) release() {
	s.sum, s.stream, s.tail = [blockSize]byte{}, [blockSize]byte{}, [2 * blockSize]byte{}
	s.states.Put(s)
}

// s2v sets s.sum to S2V(data, message), RFC 5297 section 2.4.
func (s *state) s2v(message, data []byte) {
	d := s.noData
	if len(data) > 0 {
		s.cmac(data)
		subtle.XORBytes(d[:], s.zero[:], s.sum[:])
	}
	if len(message) < blockSize {
		double(&d)
		subtle.XORBytes(d[:], d[:], message)
		d[len(message)] ^= 0x80
		subtle.XORBytes(s.sum[:], d[:], s.k1[:])
		s.mac.Encrypt(s.sum[:], s.sum[:])
		return
	}
	// CMAC of message xorend d. The last 16 bytes lie in the last one or two
	// blocks; those before are taken where they are.
	n := (len(message) - blockSize) / blockSize * blockSize
	tail := s.tail[:copy(s.tail[:], message[n:])]
	end := tail[len(tail)-blockSize:]
	subtle.XORBytes(end, end, d[:])
	s.sum = [blockSize]byte{}
	s.chain(message[:n])
	s.finish(tail)
}

// cmac sets s.sum to CMAC(message), NIST SP 800-38B.
func (s *state) cmac(message []byte) {
	s.sum = [blockSize]byte{}
	n := max(0, len(message)-1) / blockSize * blockSize
	s.chain(message[:n])
	s.finish(message[n:])
}

// chain takes whole blocks that are not the last.
func (s *state) chain(blocks []byte) {
	for ; len(blocks) > 0; blocks = blocks[blockSize:] {
		subtle.XORBytes(s.sum[:], s.sum[:], blocks[:blockSize])
		s.mac.Encrypt(s.sum[:], s.sum[:])
	}
}

// finish takes what is left: at most two blocks.
func (s *state) finish(rest []byte) {
	if len(rest) > blockSize {
		s.chain(rest[:blockSize])
		rest = rest[blockSize:]
	}
	subtle.XORBytes(s.sum[:], s.sum[:], rest)
	subkey := &s.k1
	if len(rest) < blockSize {
		s.sum[len(rest)] ^= 0x80
		subkey = &s.k2
	}
	subtle.XORBytes(s.sum[:], s.sum[:], subkey[:])
	s.mac.Encrypt(s.sum[:], s.sum[:])
}

// ctr appends in, encrypted in counter mode from iv, RFC 5297 section 2.5. The
// two bits that are cleared keep the low half of the counter from overflowing.
func (s *state) ctr(dst, in []byte, iv [blockSize]byte) []byte {
	s.counter = iv
	s.counter[8] &= 0x7f
	s.counter[12] &= 0x7f
	low := binary.BigEndian.Uint64(s.counter[8:])
	start := len(dst)
	dst = append(dst, in...)
	for out := dst[start:]; len(out) > 0; out = out[min(blockSize, len(out)):] {
		s.enc.Encrypt(s.stream[:], s.counter[:])
		subtle.XORBytes(out, out, s.stream[:])
		low++
		binary.BigEndian.PutUint64(s.counter[8:], low)
	}
	return dst
}

// double multiplies b by x in GF(2^128), without a branch on its top bit.
func double(b *[blockSize]byte) {
	var carry byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i], carry = b[i]<<1|carry, b[i]>>7
	}
	b[len(b)-1] ^= byte(subtle.ConstantTimeSelect(int(carry), 0x87, 0))
}

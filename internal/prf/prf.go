// Package prf draws what a rule of package mask needs from a value under a key:
// equal values under one key draw the same, and nobody without the key can tell
// the draws of different values from random bits.
//
// The value is authenticated with AES-CMAC (NIST SP 800-38B, RFC 4493), a
// pseudorandom function of values of any length, and the tag is the first counter
// block of AES in counter mode under a second key: the construction of AES-SIV
// (RFC 5297) without a plaintext. It is good for 2^48 values under one key.
package prf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// KeySize is the length of a key in bytes: two AES-256 keys.
const KeySize = 64

// PRF is a keyed function. It is safe for concurrent use. Printing it shows no
// key.
type PRF struct {
	pool sync.Pool // of *Stream; its New, a func, is all that holds the keys
}

// New returns the function under that key, which is not kept.
func New(key []byte) (*PRF, error) {
	if len(key) != KeySize {
		return nil, errors.New("prf: the key has not 64 bytes")
	}
	mac, err := aes.NewCipher(key[:KeySize/2])
	if err != nil {
		return nil, err
	}
	ctr, err := aes.NewCipher(key[KeySize/2:])
	if err != nil {
		return nil, err
	}
	p := &PRF{}
	p.pool.New = func() any {
		s := &Stream{mac: mac, ctr: ctr, owner: p}
		mac.Encrypt(s.k1[:], s.k1[:])
		double(&s.k1)
		s.k2 = s.k1
		double(&s.k2)
		return s
	}
	return p, nil
}

// double multiplies by x in GF(2^128) as CMAC has it.
func double(k *[aes.BlockSize]byte) {
	hi, lo := binary.BigEndian.Uint64(k[:8]), binary.BigEndian.Uint64(k[8:])
	carry := hi >> 63
	binary.BigEndian.PutUint64(k[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(k[8:], lo<<1^carry*0x87)
}

// Stream is what one value draws. It is of one goroutine, and ended by End.
type Stream struct {
	x      [aes.BlockSize]byte // the tag, then the counter
	block  [aes.BlockSize]byte
	at     int // in block
	k1, k2 [aes.BlockSize]byte
	mac    cipher.Block
	ctr    cipher.Block
	owner  *PRF
}

// Start begins the stream of a value.
func (p *PRF) Start(value []byte) *Stream {
	s := p.pool.Get().(*Stream)
	s.sum(value)
	s.at = aes.BlockSize
	return s
}

// End gives the stream back.
func (s *Stream) End() {
	clear(s.x[:])
	clear(s.block[:])
	s.owner.pool.Put(s)
}

// sum leaves the CMAC of value in x.
func (s *Stream) sum(value []byte) {
	clear(s.x[:])
	for len(value) > aes.BlockSize {
		subtle.XORBytes(s.x[:], s.x[:], value[:aes.BlockSize])
		s.mac.Encrypt(s.x[:], s.x[:])
		value = value[aes.BlockSize:]
	}
	subtle.XORBytes(s.x[:], s.x[:], value)
	last := &s.k1
	if len(value) < aes.BlockSize {
		s.x[len(value)] ^= 0x80
		last = &s.k2
	}
	subtle.XORBytes(s.x[:], s.x[:], last[:])
	s.mac.Encrypt(s.x[:], s.x[:])
}

// next fills block. The counter is the last 8 bytes of the tag, big endian.
func (s *Stream) next() {
	s.ctr.Encrypt(s.block[:], s.x[:])
	binary.BigEndian.PutUint64(s.x[8:], binary.BigEndian.Uint64(s.x[8:])+1)
	s.at = 0
}

// Uint16 draws 16 bits.
func (s *Stream) Uint16() uint16 {
	if s.at+2 > aes.BlockSize {
		s.next()
	}
	v := binary.BigEndian.Uint16(s.block[s.at:])
	s.at += 2
	return v
}

// Uint32 draws 32 bits.
func (s *Stream) Uint32() uint32 {
	hi := uint32(s.Uint16())
	return hi<<16 | uint32(s.Uint16())
}

// Uint64 draws 64 bits.
func (s *Stream) Uint64() uint64 {
	hi := uint64(s.Uint32())
	return hi<<32 | uint64(s.Uint32())
}

// Below draws a number below n, as 64 bits times n divided by 2^64: no number is
// more likely than another by more than one part in 2^64/n.
func (s *Stream) Below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.Uint64(), n)
	return hi
}

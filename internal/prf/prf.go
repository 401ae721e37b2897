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
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// KeySize is the length of a key in bytes: two AES-256 keys.
const KeySize = 64

// BatchSize is the most values that StartBatch takes.
const BatchSize = 16

// PRF is a keyed function. It is safe for concurrent use. Printing it shows no
// key.
type PRF struct {
	pool    sync.Pool // of *Stream; its New, a func, is all that holds the keys
	batches sync.Pool // of *Batch, likewise
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
	k := &keys{mac: mac, ctr: ctr}
	mac.Encrypt(k.k1[:], k.k1[:])
	double(&k.k1)
	k.k2 = k.k1
	double(&k.k2)
	p := &PRF{}
	p.pool.New = func() any { return &Stream{keys: k, owner: p} }
	p.batches.New = func() any {
		b := &Batch{keys: k, owner: p}
		for i := range b.streams {
			b.streams[i].keys = k
		}
		return b
	}
	return p, nil
}

// keys has the two keys, and the subkeys of CMAC.
type keys struct {
	mac, ctr cipher.Block
	k1, k2   [aes.BlockSize]byte
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
	x     [aes.BlockSize]byte // the tag, then the counter
	block [2 * aes.BlockSize]byte
	at    int // in block
	end   int // of what is drawn in block
	keys  *keys
	owner *PRF
}

// Start begins the stream of a value.
func (p *PRF) Start(value []byte) *Stream {
	s := p.pool.Get().(*Stream)
	s.begin()
	for len(value) > aes.BlockSize {
		value = s.absorb(value)
		s.keys.mac.Encrypt(s.x[:], s.x[:])
	}
	s.absorbLast(value)
	s.keys.mac.Encrypt(s.x[:], s.x[:])
	return s
}

// End gives the stream back.
func (s *Stream) End() {
	s.wipe()
	s.owner.pool.Put(s)
}

func (s *Stream) wipe() {
	clear(s.x[:])
	clear(s.block[:])
}

func (s *Stream) begin() {
	clear(s.x[:])
	s.at, s.end = 0, 0
}

// absorb takes a block of a value, which is not the last one, into x, which CMAC encrypts
// then, and returns the rest.
func (s *Stream) absorb(value []byte) []byte {
	s.xor(binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:]))
	return value[aes.BlockSize:]
}

// absorbLast takes in the last block, which may be short or empty.
func (s *Stream) absorbLast(value []byte) {
	lo, hi := words(value)
	last := &s.keys.k1
	switch n := len(value); {
	case n < 8:
		lo |= 0x80 << (8 * n)
		last = &s.keys.k2
	case n < aes.BlockSize:
		hi |= 0x80 << (8 * (n - 8))
		last = &s.keys.k2
	}
	s.xor(lo^binary.LittleEndian.Uint64(last[:8]), hi^binary.LittleEndian.Uint64(last[8:]))
}

func (s *Stream) xor(lo, hi uint64) {
	binary.LittleEndian.PutUint64(s.x[:8], binary.LittleEndian.Uint64(s.x[:8])^lo)
	binary.LittleEndian.PutUint64(s.x[8:], binary.LittleEndian.Uint64(s.x[8:])^hi)
}

// words returns the block that v, of at most 16 bytes, begins, little endian. It loads
// words that overlap, because a word that is loaded after it was stored in pieces waits.
func words(v []byte) (lo, hi uint64) {
	switch n := len(v); {
	case n >= 8:
		return binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[n-8:]) >> (8 * (aes.BlockSize - n))
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(v)) | uint64(binary.LittleEndian.Uint32(v[n-4:]))<<(8*(n-4)), 0
	}
	for i, c := range v {
		lo |= uint64(c) << (8 * i)
	}
	return lo, 0
}

// fill draws into block from n on.
func (s *Stream) fill(n int) {
	s.keys.ctr.Encrypt(s.block[n:n+aes.BlockSize], s.x[:])
	s.count(n + aes.BlockSize)
}

// count goes on to the next counter, which is the last 8 bytes of the tag, big endian.
func (s *Stream) count(end int) {
	binary.BigEndian.PutUint64(s.x[8:], binary.BigEndian.Uint64(s.x[8:])+1)
	s.end = end
}

// Batch is the streams of several values, which are begun together: each block of one
// waits for the one before, and the processor fills that time with the other values'. It
// is of one goroutine, and ended by End, which ends its streams.
type Batch struct {
	streams [BatchSize]Stream
	n       int
	keys    *keys
	owner   *PRF
}

// StartBatch begins the streams of at most BatchSize values, which draw what Start has
// them draw. The first 16 bytes of each are drawn at once, or 32 if long.
func (p *PRF) StartBatch(values [][]byte, long bool) *Batch {
	b := p.batches.Get().(*Batch)
	b.n = len(values)
	streams := b.streams[:b.n]
	for i := range streams {
		streams[i].begin()
	}
	for block := 0; b.step(values, block); block++ {
	}
	b.fill(0)
	if long {
		b.fill(aes.BlockSize)
	}
	return b
}

// fill is that of the streams.
func (b *Batch) fill(n int) {
	ctr := b.keys.ctr
	for i := range b.streams[:b.n] {
		s := &b.streams[i]
		ctr.Encrypt(s.block[n:n+aes.BlockSize], s.x[:])
	}
	for i := range b.streams[:b.n] {
		b.streams[i].count(n + aes.BlockSize)
	}
}

// step does a block of each value. It reports whether there are more.
func (b *Batch) step(values [][]byte, block int) (more bool) {
	var busy [BatchSize]*Stream
	n, from := 0, block*aes.BlockSize
	for i, v := range values {
		s := &b.streams[i]
		switch rest := len(v) - from; {
		case rest > aes.BlockSize:
			s.absorb(v[from:])
			more = true
		case rest > 0 || block == 0:
			s.absorbLast(v[from:])
		default:
			continue
		}
		busy[n] = s
		n++
	}
	mac := b.keys.mac
	for _, s := range busy[:n] {
		mac.Encrypt(s.x[:], s.x[:])
	}
	return more
}

// Stream returns the stream of the i-th value. It is not ended by itself.
func (b *Batch) Stream(i int) *Stream { return &b.streams[i] }

// End gives the batch back.
func (b *Batch) End() {
	for i := range b.streams[:b.n] {
		b.streams[i].wipe()
	}
	b.owner.batches.Put(b)
}

// Next draws an even number of bytes, at least 2 and at most n, in a slice that is good
// until the next draw.
func (s *Stream) Next(n int) []byte {
	if s.at == s.end {
		s.at = 0
		s.fill(0)
	}
	v := s.block[s.at:min(s.at+n, s.end)]
	s.at += len(v)
	return v
}

// Uint16 draws 16 bits.
func (s *Stream) Uint16() uint16 { return binary.BigEndian.Uint16(s.Next(2)) }

// Uint32 draws 32 bits.
func (s *Stream) Uint32() uint32 {
	if s.end-s.at >= 4 {
		s.at += 4
		return binary.BigEndian.Uint32(s.block[s.at-4:])
	}
	hi := uint32(s.Uint16())
	return hi<<16 | uint32(s.Uint16())
}

// Uint64 draws 64 bits.
func (s *Stream) Uint64() uint64 {
	if s.end-s.at >= 8 {
		s.at += 8
		return binary.BigEndian.Uint64(s.block[s.at-8:])
	}
	hi := uint64(s.Uint32())
	return hi<<32 | uint64(s.Uint32())
}

// Below draws a number below n, as 64 bits times n divided by 2^64: no number is
// more likely than another by more than one part in 2^64/n.
func (s *Stream) Below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.Uint64(), n)
	return hi
}

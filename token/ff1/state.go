package ff1

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	rounds    = 10
	blockSize = 16
)

// state is the memory of one call, kept in a pool because the arguments of
// cipher.Block escape to the heap. Names of one letter are those of the
// standard's algorithms 7 and 8.
type state struct {
	in, out [blockSize]byte // first, so that each lies in one cache line

	block    cipher.Block
	radix    uint64
	inverse  uint64 // ceil(2^64/radix)
	chunk    uint64 // radix^chunkLen
	chunkLen int    // so that radix^(chunkLen+1) < 2^64

	*length
	short [maxKept]*length // by n, those of width64
	long  length           // the last of the others

	// These depend on the value and the tweak.
	mac      [blockSize]byte // the CBC-MAC of P and the blocks of Q that no round changes
	tail     []byte          // the other blocks of Q
	hi, lo   uint64          // of width64, the block to which a round adds its number and b
	s        []byte          // R and the blocks after it, of which S is the beginning
	lanes    [16]lane
	numerals []uint16
	text     []byte
	big      bigState
}

// length is what depends on n, the length of the value in numerals.
type length struct {
	n, u, v int
	b       int // bytes of a half as an integer
	d       int // bytes of y
	words   width
	size    uint64        // radix^n, or 0 if that is 2^64 or more
	mod64   [2]modulus64  // radix^u, radix^v
	minus64 [2]modulus64  // the same, to subtract
	mod128  [2]modulus128 // the same

	t int             // the length of the tweak in bytes for which p is, or -1
	p [blockSize]byte // the CBC-MAC of P
}

// maxKept is more than the length of most values, so that a column of different
// lengths does not cost a calculation of the moduli for each.
const maxKept = 40

func newState(block cipher.Block, radix uint64) *state {
	s := &state{block: block, radix: radix, inverse: ^uint64(0)/radix + 1, chunkLen: 64/bits.Len64(radix) - 1}
	s.chunk, _ = pow64(radix, s.chunkLen)
	return s
}

// width says which integers hold every number below radix^v.
type width int

const (
	width64 width = iota
	width128
	widthBig
)

// crypt encrypts or decrypts x in place. Its length and numerals are valid. It
// clears what wide numbers leave behind.
func (s *state) crypt(x []uint16, tweak []byte, decrypt bool) {
	s.setLength(len(x))
	s.setTweak(tweak)
	switch s.words {
	case width64:
		a, b := s.crypt64(num64(x[:s.u], s.radix), num64(x[s.u:], s.radix), decrypt)
		digits64(x[:s.u], a, s.radix)
		digits64(x[s.u:], b, s.radix)
	case width128:
		s.crypt128(x, decrypt)
	default:
		s.cryptBig(x, decrypt)
	}
	if s.words != width64 {
		clear(s.tail)
		clear(s.s)
		s.big.wipe()
	}
}

// setLength does steps 1, 3 and 4 of the algorithm. The ceiling of
// v*log2(radix) is the bit length of radix^v-1, without any rounding.
func (s *state) setLength(n int) {
	if s.length != nil && s.n == n {
		return
	}
	switch {
	case n < maxKept && s.short[n] != nil:
		s.length = s.short[n]
	case n == s.long.n:
		s.length = &s.long
	default:
		s.newLength(n)
	}
	s.tail = resize(s.tail, roundUp(s.b+1))
	s.s = resize(s.s, roundUp(s.d))
}

func (s *state) newLength(n int) {
	u, v, bitLen := n/2, n-n/2, 0
	m, ok := pow64(s.radix, v)
	ok = ok && m <= 1<<56
	s.length = &s.long
	if ok && n < maxKept {
		s.short[n] = new(length)
		s.length = s.short[n]
	}
	*s.length = length{n: n, u: u, v: v, t: -1}
	if ok {
		s.words, bitLen = width64, bits.Len64(m-1)
		s.mod64[1] = newModulus64(m)
		m, _ = pow64(s.radix, s.u)
		s.mod64[0] = newModulus64(m)
		s.minus64 = [2]modulus64{s.mod64[0].negative(), s.mod64[1].negative()}
		s.size, _ = pow64(s.radix, n)
	} else if m, ok := pow128(s.radix, s.v); ok {
		s.words, bitLen = width128, m.sub1().bitLen()
		s.mod128[1] = newModulus128(m)
		m, _ = pow128(s.radix, s.u)
		s.mod128[0] = newModulus128(m)
	} else {
		s.words = widthBig
		bitLen = s.big.set(s.radix, s.u, s.v)
	}
	s.b = (bitLen + 7) / 8
	s.d = 4*((s.b+3)/4) + 4
}

// setTweakLength does step 5 of the algorithm and encrypts P.
func (s *state) setTweakLength(t int) {
	s.t = t
	p := &s.in
	*p = [blockSize]byte{1, 2, 1, byte(s.radix >> 16), byte(s.radix >> 8), byte(s.radix), rounds, byte(s.u)}
	binary.BigEndian.PutUint32(p[8:], uint32(s.n))
	binary.BigEndian.PutUint32(p[12:], uint32(t))
	s.block.Encrypt(s.p[:], p[:])
}

// setTweak prepares Q = T || zeros || round number (1 byte) || number (b bytes),
// where as many zeros make whole blocks: mac takes in the blocks before the
// tail, and the tail gets what is left of the tweak. For width64 the tail is one
// block, and mac and tail are two words: a load of what was just stored in smaller pieces
// would wait.
func (s *state) setTweak(tweak []byte) {
	t := len(tweak)
	if s.t != t {
		s.setTweakLength(t)
	}
	fixed := roundUp(t+1+s.b) - len(s.tail)
	s.mac = s.p
	for i := 0; i < fixed; i += blockSize {
		subtle.XORBytes(s.mac[:], s.mac[:], tweak[min(i, t):min(i+blockSize, t)])
		s.block.Encrypt(s.mac[:], s.mac[:])
	}
	rest := tweak[min(fixed, t):]
	if s.words == width64 {
		hi, lo := words64(rest)
		s.hi, s.lo = hi^binary.BigEndian.Uint64(s.mac[:8]), lo^binary.BigEndian.Uint64(s.mac[8:])
		return
	}
	clear(s.tail)
	copy(s.tail, rest)
}

// words64 returns the block that b, of less than 16 bytes, begins. It loads words that
// overlap.
func words64(b []byte) (hi, lo uint64) {
	switch n := len(b); {
	case n >= 8:
		return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[n-8:]) << (8 * (blockSize - n))
	case n >= 4:
		return uint64(binary.BigEndian.Uint32(b))<<32 | uint64(binary.BigEndian.Uint32(b[n-4:]))<<(8*(8-n)), 0
	}
	for i, c := range b {
		hi |= uint64(c) << (56 - 8*i)
	}
	return hi, 0
}

// prf does steps 6 i to 6 iii for a number that stands in the last b bytes of
// the tail, and returns S.
func (s *state) prf(round int) []byte {
	s.tail[len(s.tail)-s.b-1] = byte(round)
	r := s.s[:blockSize]
	copy(r, s.mac[:])
	for block := range slices.Chunk(s.tail, blockSize) {
		subtle.XORBytes(r, r, block)
		s.block.Encrypt(r, r)
	}
	low := binary.BigEndian.Uint64(r[8:])
	for j := blockSize; j < s.d; j += blockSize {
		next := s.s[j : j+blockSize]
		copy(next, r)
		binary.BigEndian.PutUint64(next[8:], low^uint64(j/blockSize))
		s.block.Encrypt(next, next)
	}
	return s.s[:s.d]
}

// wipe clears what the value could be found from and crypt has not cleared.
func (s *state) wipe() {
	s.in, s.out = [blockSize]byte{}, [blockSize]byte{}
	clear(s.numerals)
	clear(s.text)
	s.numerals, s.text = s.numerals[:0], s.text[:0]
}

// roundOf returns the number of the round at a step: decryption goes back.
func roundOf(step int, decrypt bool) int {
	if decrypt {
		return rounds - 1 - step
	}
	return step
}

func roundUp(n int) int { return (n + blockSize - 1) / blockSize * blockSize }

func resize(b []byte, n int) []byte { return slices.Grow(b[:0], n)[:n] }

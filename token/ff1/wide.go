package ff1

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// crypt128 is crypt64 for radix^v < 2^128. The number in the tail is b bytes, at
// most 16, and d is at most 20.
func (s *state) crypt128(x []uint16, decrypt bool) {
	left, right := x[:s.u], x[s.u:]
	a, b := s.num128(left), s.num128(right)
	if decrypt {
		a, b = b, a
	}
	for step := range rounds {
		i := roundOf(step, decrypt)
		b.put(s.tail[len(s.tail)-s.b:])
		m := &s.mod128[i&1]
		y := m.reduce(words(s.prf(i)))
		if !decrypt {
			y = m.n.sub(y)
		}
		a, b = b, m.sub(a, y)
	}
	if decrypt {
		a, b = b, a
	}
	s.str128(left, a)
	s.str128(right, b)
}

// words returns a number of 12 to 20 bytes, big endian.
func words(b []byte) (x2, x1, x0 uint64) {
	x0 = binary.BigEndian.Uint64(b[len(b)-8:])
	switch b = b[:len(b)-8]; len(b) {
	case 12:
		return uint64(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:]), x0
	case 8:
		return 0, binary.BigEndian.Uint64(b), x0
	default:
		return 0, uint64(binary.BigEndian.Uint32(b)), x0
	}
}

// uint128 is hi*2^64 + lo.
type uint128 struct{ hi, lo uint64 }

// put writes the low bytes of x, big endian.
func (x uint128) put(b []byte) {
	var bytes [16]byte
	binary.BigEndian.PutUint64(bytes[:8], x.hi)
	binary.BigEndian.PutUint64(bytes[8:], x.lo)
	copy(b, bytes[16-len(b):])
}

func (x uint128) bitLen() int {
	if x.hi != 0 {
		return 64 + bits.Len64(x.hi)
	}
	return bits.Len64(x.lo)
}

// sub returns x-y modulo 2^128.
func (x uint128) sub(y uint128) uint128 {
	lo, borrow := bits.Sub64(x.lo, y.lo, 0)
	hi, _ := bits.Sub64(x.hi, y.hi, borrow)
	return uint128{hi, lo}
}

func (x uint128) sub1() uint128 { return x.sub(uint128{0, 1}) }

// mulAdd returns x*k + digit, and what does not fit.
func (x uint128) mulAdd(k, digit uint64) (product uint128, over uint64) {
	carry, lo := bits.Mul64(x.lo, k)
	over, hi := bits.Mul64(x.hi, k)
	lo, c := bits.Add64(lo, digit, 0)
	hi, c = bits.Add64(hi, carry, c)
	return uint128{hi, lo}, over + c
}

// num128 returns the number that x is, several numerals at a time.
func (s *state) num128(x []uint16) uint128 {
	first := len(x) % s.chunkLen
	n := uint128{0, num64(x[:first], s.radix)}
	for chunk := range slices.Chunk(x[first:], s.chunkLen) {
		n, _ = n.mulAdd(s.chunk, num64(chunk, s.radix))
	}
	return n
}

// str128 is the reverse of num128.
func (s *state) str128(x []uint16, n uint128) {
	for len(x) > 0 {
		rest := max(0, len(x)-s.chunkLen)
		var low uint64
		n.hi, low = n.hi/s.chunk, n.hi%s.chunk
		n.lo, low = bits.Div64(low, n.lo, s.chunk)
		str64(x[rest:], low, s.radix, s.inverse)
		x = x[:rest]
	}
}

// pow128 returns x^k, or false if that is 2^128 or more.
func pow128(x uint64, k int) (uint128, bool) {
	power := uint128{0, 1}
	for range k {
		var over uint64
		if power, over = power.mulAdd(x, 0); over != 0 {
			return uint128{}, false
		}
	}
	return power, true
}

// modulus128 reduces modulo n.
type modulus128 struct {
	n     uint128
	shift uint    // leading zero bits of n
	top   uint128 // n << shift
}

func newModulus128(n uint128) modulus128 {
	shift := uint(128 - n.bitLen())
	if shift >= 64 { // reduce takes another way
		return modulus128{n: n}
	}
	return modulus128{n, shift, uint128{n.hi<<shift | n.lo>>(64-shift), n.lo << shift}}
}

// sub returns a-y mod n for a < n and y <= n.
func (m *modulus128) sub(a, y uint128) uint128 {
	lo, borrow := bits.Sub64(a.lo, y.lo, 0)
	hi, borrow := bits.Sub64(a.hi, y.hi, borrow)
	lo, carry := bits.Add64(lo, m.n.lo&-borrow, 0)
	return uint128{hi + m.n.hi&-borrow + carry, lo}
}

// reduce returns x2*2^128 + x1*2^64 + x0 mod n, for x2 < 2^63. It is the
// schoolbook division by two words (Knuth, TAOCP volume 2, 4.3.1, algorithm D)
// of the numbers shifted so that the divisor's highest bit is set.
func (m *modulus128) reduce(x2, x1, x0 uint64) uint128 {
	if m.n.hi == 0 {
		r := bits.Rem64(x2, x1, m.n.lo)
		return uint128{0, bits.Rem64(r, x0, m.n.lo)}
	}
	x3 := x2 >> (64 - m.shift) // below 2^63, so x3 and x2 are below top
	x2 = x2<<m.shift | x1>>(64-m.shift)
	x1 = x1<<m.shift | x0>>(64-m.shift)
	r := m.step(uint128{x3, x2}, x1)
	r = m.step(r, x0<<m.shift)
	return uint128{r.hi >> m.shift, r.lo>>m.shift | r.hi<<(64-m.shift)}
}

// step returns r*2^64 + x mod top, for r < top: it guesses the quotient from
// the highest words, which is at most 2 too much, and corrects it.
func (m *modulus128) step(r uint128, x uint64) uint128 {
	var q, rest, over uint64
	if r.hi < m.top.hi {
		q, rest = bits.Div64(r.hi, r.lo, m.top.hi)
	} else {
		q = ^uint64(0)
		rest, over = bits.Add64(r.lo, m.top.hi, 0)
	}
	product := uint128{}
	product.hi, product.lo = bits.Mul64(q, m.top.lo)
	for over == 0 && (product.hi > rest || product.hi == rest && product.lo > x) {
		product = product.sub(uint128{0, m.top.lo})
		rest, over = bits.Add64(rest, m.top.hi, 0)
	}
	return uint128{rest, x}.sub(product)
}

package ff1

import (
	"encoding/binary"
	"math/bits"
)

// crypt64 is crypt for radix^v < 2^62 and radix^(v+1) < 2^64: b is at most 8 and
// d at most 12, so a round is one block, which is kept in two words.
//
// Encryption maps (a, b) to (b, a+y(b)), decryption maps (b, a) to (a, b-y(a))
// with the rounds in reverse: the same loop with the halves swapped and the
// sign changed.
func (s *state) crypt64(x []uint16, decrypt bool) {
	left, right := x[:s.u], x[s.u:]
	a, b := num64(left, s.radix), num64(right, s.radix)
	if decrypt {
		a, b = b, a
	}
	hi, lo := s.prefix()
	shift := uint(8 * s.b) // the round number stands before the b bytes
	block, in, out := s.block, s.in[:], s.out[:]
	binary.BigEndian.PutUint64(in[:8], hi)
	for step := range rounds {
		i := uint64(roundOf(step, decrypt))
		if shift == 64 {
			binary.BigEndian.PutUint64(in[:8], hi^i)
		}
		binary.BigEndian.PutUint64(in[8:], lo^i<<shift^b)
		block.Encrypt(out, in)
		m := &s.mod64[i&1]
		y, multiple := m.divide(out, shift <= 32)
		a, b = b, m.add(a, y, multiple, decrypt)
	}
	if decrypt {
		a, b = b, a
	}
	str64(left, a, s.radix, s.inverse)
	str64(right, b, s.radix, s.inverse)
}

// prefix returns the block to which a round adds its number and b.
func (s *state) prefix() (hi, lo uint64) {
	return binary.BigEndian.Uint64(s.mac[:8]) ^ binary.BigEndian.Uint64(s.tail[:8]),
		binary.BigEndian.Uint64(s.mac[8:]) ^ binary.BigEndian.Uint64(s.tail[8:])
}

// modulus64 calculates modulo n, for n < 2^62. It multiplies and selects,
// which is faster than the processor's division and takes the same time for
// all numbers.
type modulus64 struct {
	n       uint64
	inverse uint64 // floor((2^64-1)/n)
}

func newModulus64(n uint64) modulus64 { return modulus64{n, ^uint64(0) / n} }

// divide returns the first 8 or 12 bytes of out as y, or what is left of them,
// and a multiple of n such that 0 <= y-multiple < 2n.
//
// For 8 bytes: with inverse = (2^64-1-e)/n, 0 <= e < n, the product
// y*inverse/2^64 is y/n - y(1+e)/(2^64 n), less than 1 below y/n, so its integer
// part is the quotient or one less.
func (m *modulus64) divide(out []byte, short bool) (y, multiple uint64) {
	y = binary.BigEndian.Uint64(out[:8])
	if short {
		quotient, _ := bits.Mul64(y, m.inverse)
		return y, quotient * m.n
	}
	return bits.Rem64(y>>32, y<<32|uint64(binary.BigEndian.Uint32(out[8:12])), m.n), 0
}

// add returns a+y mod n, or a-y mod n, for a < n and what divide returns. It adds
// what is known first: nothing else of a round is on the way from one block to
// the next. The sum is below 3n, modulo 2^64 like its parts; where it is below
// n or 2n, subtracting them gives a number of more than 2^63.
func (m *modulus64) add(a, y, multiple uint64, minus bool) uint64 {
	sum := a + y - multiple
	if minus {
		sum = a + 2*m.n - y + multiple
	}
	return min(min(sum, sum-m.n), sum-2*m.n)
}

func num64(x []uint16, radix uint64) uint64 {
	var n uint64
	for _, digit := range x {
		n = n*radix + uint64(digit)
	}
	return n
}

// str64 is the reverse of num64, for n < 2^64/radix. It multiplies by
// inverse, ceil(2^64/radix) = (2^64+e)/radix with
// 0 <= e < radix: the product is n/radix + n*e/(2^64 radix), too much by less
// than 1/radix, so its integer part is the quotient.
func str64(x []uint16, n, radix, inverse uint64) {
	for i := len(x) - 1; i >= 0; i-- {
		quotient, _ := bits.Mul64(n, inverse)
		x[i] = uint16(n - quotient*radix)
		n = quotient
	}
}

// pow64 returns x^k, or false if that is 2^64 or more.
func pow64(x uint64, k int) (uint64, bool) {
	power := uint64(1)
	for range k {
		var over uint64
		if over, power = bits.Mul64(power, x); over != 0 {
			return 0, false
		}
	}
	return power, true
}

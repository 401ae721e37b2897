package ff1

import (
	"encoding/binary"
	"math/bits"
)

// crypt64 is crypt for radix^v <= 2^56: b is at most 7 and d at most 12, so a round
// is one block, of which only the second word changes. It returns the halves as
// fractions of modulus64.
//
// Encryption maps (a, b) to (b, a+y(b)), decryption maps (b, a) to (a, b-y(a))
// with the rounds in reverse: the same loop with the halves swapped and the
// reciprocals negated.
func (s *state) crypt64(left, right uint64, decrypt bool) (a, b uint64) {
	m, other := &s.mod64[0], &s.mod64[1]
	a, b = m.fraction(left), other.fraction(right)
	number, shift := right, 8*s.b // the round number stands before the b bytes
	round, next := uint64(0), uint64(1)<<shift
	if decrypt {
		m, other, a, b, number = &s.minus64[1], &s.minus64[0], b, a, left
		round, next = (rounds-1)<<shift, -next
	}
	block, in, out, lo := s.block, s.in[:], s.out[:], s.lo
	binary.BigEndian.PutUint64(in[:8], s.hi)
	for range rounds {
		binary.BigEndian.PutUint64(in[8:], lo^round^number)
		block.Encrypt(out, in)
		a, b = b, a+m.block(out, shift <= 32)
		number = m.number(b)
		m, other = other, m
		round += next
	}
	if decrypt {
		return b, a
	}
	return a, b
}

// modulus64 adds modulo n, 1 < n <= 2^56. It keeps a number x below n as the
// fraction (x+1/2)/n, in units of 2^-64: addition modulo 2^64 is then addition modulo
// n, without division or correction, and in the same time for all numbers.
//
// A fraction stands for x from x/n to less than (x+1)/n, so it may be 2^63/n units off,
// which is at least 128. It is less than 2 off at first and less than 3 more after each
// block: a reciprocal is less than 2^-128 off, which times a number below 2^64 is less
// than a unit, for at most two numbers, and less than a unit is cut off from their sum.
type modulus64 struct {
	n       uint64
	half    uint64  // 1/2n, in those units
	inverse uint128 // 1/n modulo 1, in units of 2^-128, rounded up
	high    uint128 // 2^32/n, likewise
}

func newModulus64(n uint64) modulus64 {
	return modulus64{n, 1 << 63 / n, reciprocal(1, n), reciprocal(1<<32%n, n)}
}

// negative returns what subtracts.
func (m modulus64) negative() modulus64 {
	m.inverse, m.high = uint128{}.sub(m.inverse), uint128{}.sub(m.high)
	return m
}

// reciprocal returns ceil(2^128 x/n) for x < n.
func reciprocal(x, n uint64) uint128 {
	hi, x := bits.Div64(x, 0, n)
	lo, x := bits.Div64(x, 0, n)
	if x == 0 {
		return uint128{hi, lo}
	}
	return uint128{hi, lo}.sub(uint128{^uint64(0), ^uint64(0)})
}

// fraction returns the fraction of x.
func (m *modulus64) fraction(x uint64) uint64 {
	high, _ := bits.Mul64(x, m.inverse.lo)
	return x*m.inverse.hi + high + m.half
}

// number returns the number of a fraction.
func (m *modulus64) number(fraction uint64) uint64 {
	x, _ := bits.Mul64(fraction, m.n)
	return x
}

// block returns what is to be added to a fraction for the first 8 or 12 bytes of out.
func (m *modulus64) block(out []byte, short bool) uint64 {
	if short {
		return m.block8(binary.BigEndian.Uint64(out[:8]))
	}
	return m.block12(out)
}

// block8 is block for the first 8 bytes, y.
func (m *modulus64) block8(y uint64) uint64 {
	high, _ := bits.Mul64(y, m.inverse.lo)
	return y*m.inverse.hi + high
}

// block12 is block for 12 bytes.
func (m *modulus64) block12(out []byte) uint64 {
	y := binary.BigEndian.Uint64(out[:8])
	rest := uint64(binary.BigEndian.Uint32(out[8:12]))
	high1, low1 := bits.Mul64(y, m.high.lo)
	high2, low2 := bits.Mul64(rest, m.inverse.lo)
	_, carry := bits.Add64(low1, low2, 0)
	return y*m.high.hi + rest*m.inverse.hi + high1 + high2 + carry
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

// quotient returns x/n, rounded down: as x/2^128 < 1/n, it is that of the product.
func (m *modulus64) quotient(x uint64) uint64 {
	quotient, low := bits.Mul64(x, m.inverse.hi)
	high, _ := bits.Mul64(x, m.inverse.lo)
	_, carry := bits.Add64(low, high, 0)
	return quotient + carry
}

// digits64 writes the numerals of a fraction of n = radix^len(x): each is the whole
// part of the rest times radix.
func digits64(x []uint16, fraction, radix uint64) {
	for i := range x {
		var digit uint64
		digit, fraction = bits.Mul64(fraction, radix)
		x[i] = uint16(digit)
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

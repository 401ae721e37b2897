package ff1

import (
	"math/big"
	"slices"
)

// bigState is the part of state for halves that need big integers.
type bigState struct {
	mod      [2]big.Int // radix^u, radix^v
	half     [2]big.Int
	y        big.Int
	quotient big.Int
	digits   big.Int
	chunk    big.Int // state.chunk
}

// set prepares for halves of u and v numerals and returns the bit length of
// radix^v-1.
func (s *bigState) set(radix uint64, u, v int) int {
	r := new(big.Int).SetUint64(radix)
	s.mod[0].Exp(r, big.NewInt(int64(u)), nil)
	s.mod[1].Exp(r, big.NewInt(int64(v)), nil)
	return s.y.Sub(&s.mod[1], big.NewInt(1)).BitLen()
}

// wipe overwrites the numbers; what math/big copied elsewhere it does not find.
func (s *bigState) wipe() {
	for _, x := range []*big.Int{&s.half[0], &s.half[1], &s.y, &s.quotient, &s.digits} {
		clear(x.Bits())
		x.SetUint64(0)
	}
}

// cryptBig is crypt64 for all other lengths.
func (s *state) cryptBig(x []uint16, decrypt bool) {
	left, right := x[:s.u], x[s.u:]
	a, b := &s.big.half[0], &s.big.half[1]
	s.numBig(a, left)
	s.numBig(b, right)
	if decrypt {
		a, b = b, a
	}
	y := &s.big.y
	for step := range rounds {
		i := roundOf(step, decrypt)
		b.FillBytes(s.tail[len(s.tail)-s.b:])
		y.SetBytes(s.prf(i))
		if decrypt {
			y.Sub(a, y)
		} else {
			y.Add(a, y)
		}
		s.big.quotient.DivMod(y, &s.big.mod[i&1], a)
		a, b = b, a
	}
	if decrypt {
		a, b = b, a
	}
	s.strBig(left, a)
	s.strBig(right, b)
}

// numBig sets n to the number that x is, several numerals at a time.
func (s *state) numBig(n *big.Int, x []uint16) {
	first, power := len(x)%s.chunkLen, s.big.chunk.SetUint64(s.chunk)
	n.SetUint64(num64(x[:first], s.radix))
	for chunk := range slices.Chunk(x[first:], s.chunkLen) {
		n.Mul(n, power)
		n.Add(n, s.big.digits.SetUint64(num64(chunk, s.radix)))
	}
}

// strBig is the reverse of numBig; it uses n up.
func (s *state) strBig(x []uint16, n *big.Int) {
	power := s.big.chunk.SetUint64(s.chunk)
	for len(x) > 0 {
		rest := max(0, len(x)-s.chunkLen)
		n.QuoRem(n, power, &s.big.digits)
		str64(x[rest:], s.big.digits.Uint64(), s.radix, s.inverse)
		x = x[:rest]
	}
}

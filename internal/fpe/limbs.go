package fpe

import "math/bits"

// Numbers are slices of words, the least first, without leading zeros: they are
// small, seldom more than two words, and must not allocate.

// mulAdd returns x*m + a, in the memory of x.
func mulAdd(x []uint64, m, a uint64) []uint64 {
	for i, w := range x {
		hi, lo := bits.Mul64(w, m)
		var carry uint64
		x[i], carry = bits.Add64(lo, a, 0)
		a = hi + carry
	}
	if a != 0 {
		x = append(x, a)
	}
	return x
}

// divMod returns x/d, in the memory of x, and x mod d.
func divMod(x []uint64, d uint64) (quotient []uint64, rest uint64) {
	for i := len(x) - 1; i >= 0; i-- {
		x[i], rest = bits.Div64(rest, x[i], d)
	}
	if n := len(x); n > 0 && x[n-1] == 0 {
		x = x[:n-1]
	}
	return x, rest
}

func less(x, y []uint64) bool {
	if len(x) != len(y) {
		return len(x) < len(y)
	}
	for i := len(x) - 1; i >= 0; i-- {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

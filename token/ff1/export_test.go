package ff1

import "math/big"

// Reduce128 returns x2*2^128 + x1*2^64 + x0 mod n, for test only.
func Reduce128(n *big.Int, x2, x1, x0 uint64) *big.Int {
	m := newModulus128(uint128{new(big.Int).Rsh(n, 64).Uint64(), new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()})
	r := m.reduce(x2, x1, x0)
	result := new(big.Int).SetUint64(r.hi)
	return result.Or(result.Lsh(result, 64), new(big.Int).SetUint64(r.lo))
}

// Add64 returns a plus or minus the first 8 or 12 bytes of each block modulo n, for
// a < n, 1 < n <= 2^56, for test only.
func Add64(n, a uint64, minus bool, blocks ...[]byte) uint64 {
	m := newModulus64(n)
	add := m
	if minus {
		add = m.negative()
	}
	sum := m.fraction(a)
	for _, block := range blocks {
		sum += add.block(block, len(block) == 8)
	}
	return m.number(sum)
}

// Quotient64 returns x/n, for 1 < n <= 2^56, for test only.
func Quotient64(x, n uint64) uint64 {
	m := newModulus64(n)
	return m.quotient(x)
}

package ff1

import (
	"encoding/binary"
	"math/big"
)

// Reduce128 returns x2*2^128 + x1*2^64 + x0 mod n, for test only.
func Reduce128(n *big.Int, x2, x1, x0 uint64) *big.Int {
	m := newModulus128(uint128{new(big.Int).Rsh(n, 64).Uint64(), new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1)).Uint64()})
	r := m.reduce(x2, x1, x0)
	result := new(big.Int).SetUint64(r.hi)
	return result.Or(result.Lsh(result, 64), new(big.Int).SetUint64(r.lo))
}

// Add64 returns a+x mod n or a-x mod n for a < n < 2^62, for test only.
func Add64(n, a, x uint64, negative bool) uint64 {
	m := newModulus64(n)
	y, multiple := m.divide(binary.BigEndian.AppendUint64(nil, x), true)
	return m.add(a, y, multiple, negative)
}

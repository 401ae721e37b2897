package fpe

// Table returns the permutation that newTable makes, for test only.
func Table(seed []byte, n uint32) []uint32 { return newTable(seed, n).to }

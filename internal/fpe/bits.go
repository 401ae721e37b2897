package fpe

import (
	"math"
	"slices"
)

// Bits returns the size of the format's smallest domain as a power of two.
func (f *Format) Bits() float64 {
	if f.interval != nil {
		return math.Log2(float64(uint64(f.interval.hi)-uint64(f.interval.lo)) + 1)
	}
	bits := 0.0
	for i := range f.elements {
		e := &f.elements[i]
		radixes := e.radixes()
		if len(radixes) == 0 {
			continue
		}
		numerals := 1
		if e.kind == encipher {
			numerals = e.min
		}
		bits += float64(numerals) * math.Log2(float64(slices.Min(radixes)))
	}
	return bits
}

package sqlfield

import (
	"slices"
	"sync"

	"github.com/sealfield/sealfield/internal/sealform"
)

// scratch is what sealing or opening needs for a moment: a plaintext, a type map, which
// is not safe for concurrent use, and the results of a call of Seal.
type scratch struct {
	types   *sealform.Map
	plain   []byte
	results []result
}

const (
	firstScratch = 256     // bytes
	maxScratch   = 1 << 14 // larger buffers are not kept
)

var scratches = sync.Pool{New: func() any {
	return &scratch{types: sealform.NewMap(), plain: make([]byte, 0, firstScratch)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// resultsOf returns n results without anything in them.
func (s *scratch) resultsOf(n int) []result {
	s.results = slices.Grow(s.results[:0], n)[:n]
	return s.results
}

func (s *scratch) wipe() { clear(s.plain[:cap(s.plain)]) }

// release gives s back without plaintext and results.
func (s *scratch) release() {
	s.wipe()
	clear(s.results)
	s.results = s.results[:0]
	if cap(s.plain) > maxScratch {
		s.plain = make([]byte, 0, firstScratch)
	}
	scratches.Put(s)
}

package sqlfield

import (
	"sync"

	"github.com/sealfield/sealfield/internal/sealform"
)

// scratch is what sealing or opening one value needs for a moment: a plaintext, and a
// type map, which is not safe for concurrent use.
type scratch struct {
	types *sealform.Map
	plain []byte
}

const (
	firstScratch = 256     // bytes
	maxScratch   = 1 << 14 // larger buffers are not kept
)

var scratches = sync.Pool{New: func() any {
	return &scratch{types: sealform.NewMap(), plain: make([]byte, 0, firstScratch)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// release gives s back without plaintext.
func (s *scratch) release() {
	clear(s.plain[:cap(s.plain)])
	if cap(s.plain) > maxScratch {
		s.plain = make([]byte, 0, firstScratch)
	}
	scratches.Put(s)
}

package pgxfield

import (
	"sync"

	"github.com/sealfield/sealfield/internal/sealform"
)

// scratch is what sealing or opening one row needs for a moment: buffers, and a
// type map, which is not safe for concurrent use.
type scratch struct {
	types  *sealform.Map
	plain  []byte // a plaintext
	text   []byte // the value of a token
	bytea  []byte // a ciphertext
	rowKey []byte
}

const maxScratch = 1 << 14 // larger buffers are not kept

var scratches = sync.Pool{New: func() any {
	return &scratch{types: sealform.NewMap(), plain: make([]byte, 0, 256)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

// release gives s back without plaintext.
func (s *scratch) release() {
	clear(s.plain[:cap(s.plain)])
	clear(s.text[:cap(s.text)])
	if cap(s.plain) > maxScratch {
		s.plain = make([]byte, 0, 256)
	}
	for _, b := range []*[]byte{&s.text, &s.bytea, &s.rowKey} {
		if cap(*b) > maxScratch {
			*b = nil
		}
	}
	scratches.Put(s)
}

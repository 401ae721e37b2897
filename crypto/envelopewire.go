package crypto

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"slices"

	"github.com/sealfield/sealfield/internal/pae"
)

// A message is
//
//	header ‖ commitment (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//	header = 0xf5 "sf1" ‖ kind (1) ‖ pae(key id (16), URI, wrapped key, URI, wrapped key, ...)
//
// and a stream has Tink's segments in place of the nonce and what follows it.
// URIs ascend, so that the same wraps have one spelling.
const (
	magic          = "\xf5sf1" // 0xf5 begins no UTF-8 text, nor a Tink value
	kindMessage    = 1
	kindStream     = 2
	keyIDSize      = 16
	dataKeySize    = 32
	commitmentSize = 32

	kindAt     = len(magic)
	tailAt     = kindAt + 1
	partsAt    = tailAt + 4
	maxWraps   = 16
	maxURI     = 1024
	maxWrapped = 4096
)

// header is that of a message or stream that was read, with its commitment.
// Nothing of it is proven yet.
type header struct {
	kind       byte
	tail       []byte // what follows the kind: id and wraps of the data key
	commitment []byte
}

// scanHeader reads the header that b begins with. It returns its length, or, if
// b is too short to know that, how many bytes of the message it has to see to
// go on, which is at most 4100 more than b has.
func scanHeader(b []byte) (n int, complete, ok bool) {
	if len(b) < partsAt {
		return partsAt, false, true
	}
	kind, parts := b[kindAt], binary.BigEndian.Uint32(b[tailAt:])
	if string(b[:kindAt]) != magic || kind != kindMessage && kind != kindStream {
		return 0, false, false
	}
	if parts%2 != 1 || parts < 3 || parts > 1+2*maxWraps {
		return 0, false, false
	}
	n = partsAt
	var last []byte // URI
	for i := range parts {
		if len(b) < n+4 {
			return n + 4, false, true
		}
		least, most := uint32(dataKeySize+1), uint32(maxWrapped)
		switch {
		case i == 0:
			least, most = keyIDSize, keyIDSize
		case i%2 == 1:
			least, most = 1, maxURI
		}
		size := binary.BigEndian.Uint32(b[n:])
		if size < least || size > most {
			return 0, false, false
		}
		n += 4
		if len(b) < n+int(size) {
			return n + int(size), false, true
		}
		part := b[n : n+int(size)]
		n += int(size)
		if i%2 == 1 {
			if bytes.Compare(last, part) >= 0 {
				return 0, false, false
			}
			last = part
		}
	}
	return n, true, true
}

// parseMessage splits a message, which it does not copy.
func parseMessage(b []byte) (h header, body []byte, ok bool) {
	n, complete, ok := scanHeader(b)
	if !ok || !complete || len(b) < n+commitmentSize {
		return header{}, nil, false
	}
	return newHeader(b[:n+commitmentSize]), b[n+commitmentSize:], true
}

// readHeader reads header and commitment from r, and not a byte more. The
// error is nil if what was read is no header.
func readHeader(r io.Reader) (h header, ok bool, err error) {
	var b []byte
	for {
		n, complete, ok := scanHeader(b)
		if !ok {
			return header{}, false, nil
		}
		if complete {
			n += commitmentSize
		}
		read := len(b)
		b = append(b, make([]byte, n-read)...)
		if _, err := io.ReadFull(r, b[read:]); err != nil {
			return header{}, false, err
		}
		if complete {
			return newHeader(b), true, nil
		}
	}
}

func newHeader(b []byte) header {
	n := len(b) - commitmentSize
	return header{b[kindAt], b[tailAt:n:n], b[n:]}
}

// clone returns a copy that stays when the message goes back to its owner.
func (h header) clone() header {
	return header{h.kind, bytes.Clone(h.tail), bytes.Clone(h.commitment)}
}

// encodeHeader returns the header's bytes without the commitment.
func encodeHeader(kind byte, tail string) []byte {
	return append(append([]byte(magic), kind), tail...)
}

// wrap is a data key as one KMS has wrapped it.
type wrap struct {
	uri     string
	wrapped []byte
}

func encodeTail(id []byte, wraps []wrap) string {
	slices.SortFunc(wraps, func(a, b wrap) int { return bytes.Compare([]byte(a.uri), []byte(b.uri)) })
	parts := [][]byte{id}
	for _, w := range wraps {
		parts = append(parts, []byte(w.uri), w.wrapped)
	}
	return string(pae.Encode(parts...))
}

// parts yields the parts of a tail that scanHeader has accepted.
func parts(tail []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		b := tail[partsAt-tailAt:]
		for i := 0; len(b) > 0; i++ {
			n := 4 + int(binary.BigEndian.Uint32(b))
			if !yield(i, b[4:n]) {
				return
			}
			b = b[n:]
		}
	}
}

func (h header) keyID() []byte {
	return h.tail[partsAt-tailAt+4:][:keyIDSize]
}

// wrappedBy returns the data key as the KMS of that URI has wrapped it, or nil.
func (h header) wrappedBy(uri string) []byte {
	found := false
	for i, part := range parts(h.tail) {
		if found {
			return part
		}
		found = i%2 == 1 && string(part) == uri
	}
	return nil
}

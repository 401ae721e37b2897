// Package pae holds the one encoding by which Sealfield turns several values
// into one byte string: uint32 n, then for each value uint32 length and its
// bytes, all big endian. It is injective, so no two lists of values share an
// encoding ("ab","c" and "a","bc" differ), which is what associated data,
// key derivation and compound index values rest on.
package pae

import "encoding/binary"

// Encode returns the encoding of parts in a new slice.
func Encode[T ~string | ~[]byte](parts ...T) []byte {
	n := 4
	for _, p := range parts {
		n += 4 + len(p)
	}
	return Append(make([]byte, 0, n), parts...)
}

// Decode returns the parts of an encoding, or false if encoded is none.
func Decode(encoded []byte) (parts []string, ok bool) {
	if len(encoded) < 4 {
		return nil, false
	}
	n, rest := binary.BigEndian.Uint32(encoded), encoded[4:]
	for ; n > 0; n-- {
		if len(rest) < 4 {
			return nil, false
		}
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(len(rest)) < uint64(size) {
			return nil, false
		}
		parts, rest = append(parts, string(rest[:size])), rest[size:]
	}
	return parts, len(rest) == 0
}

// Append appends the encoding of parts to dst.
func Append[T ~string | ~[]byte](dst []byte, parts ...T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(parts)))
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
		dst = append(dst, p...)
	}
	return dst
}

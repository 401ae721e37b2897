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

// Append appends the encoding of parts to dst.
func Append[T ~string | ~[]byte](dst []byte, parts ...T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(parts)))
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
		dst = append(dst, p...)
	}
	return dst
}

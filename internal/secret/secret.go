// Package secret holds key bytes so that they can not be printed by accident.
package secret

// Bytes is a byte string that fmt, slog, encoding/json, encoding/gob and
// deep printers such as spew can not show: it lives behind a func, whose
// insides reflection does not reach. The zero value is empty.
//
// Wipe must not run at the same time as any other method.
type Bytes struct{ data func() *[]byte }

// New takes ownership of b.
func New(b []byte) Bytes { return Bytes{func() *[]byte { return &b }} }

// Expose returns the bytes themselves, not a copy; nil after Wipe.
func (s Bytes) Expose() []byte {
	if s.data == nil {
		return nil
	}
	return *s.data()
}

// Wipe overwrites the bytes and forgets them. It is best effort: the runtime
// and the standard library's ciphers may have copies.
func (s Bytes) Wipe() {
	if s.data != nil {
		p := s.data()
		clear(*p)
		*p = nil
	}
}

package pgxfield

import (
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/token"
)

// mostIndexed is the size of the largest value that fits into a row of a btree: of
// 2704 bytes, 8 are the row's header and 4 the value's.
const mostIndexed = 2704 - 8 - 4

// checkSize refuses a plaintext of n bytes whose sealed value could not be stored, or
// not be read as text.
func (a *argument) checkSize(n int) error {
	switch {
	case a.index != nil || a.sealed.token != nil: // tags are short, and so are tokens
		return nil
	case a.sealed.siv != nil && n+token.DeterministicOverhead > mostIndexed:
		return &sealform.SizeError{What: "the sealed value, which token=siv keeps in an index,", Bytes: n + token.DeterministicOverhead, Most: mostIndexed}
	case n+crypto.Overhead > sealform.MostBytes:
		return &sealform.SizeError{What: "the sealed value", Bytes: n + crypto.Overhead, Most: sealform.MostBytes}
	}
	return nil
}

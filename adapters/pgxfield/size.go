package pgxfield

import (
	"fmt"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/token"
)

const (
	// mostBytes is the size of the largest sealed value. PostgreSQL takes messages and
	// values of less than 1 GiB, and the text of a bytea, in which simple_protocol and exec
	// send it and pg_dump reads it, has two digits for each byte.
	mostBytes = 1<<29 - 1<<10

	// mostIndexed is the size of the largest value that fits into a row of a btree: of
	// 2704 bytes, 8 are the row's header and 4 the value's.
	mostIndexed = 2704 - 8 - 4
)

// sizeError is the error of a value that is too large. It is an ErrValue.
type sizeError struct {
	what        string
	bytes, most int
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("%s would be of %d bytes, and the most are %d", e.what, e.bytes, e.most)
}

func (e *sizeError) Is(target error) bool { return target == ErrValue }

// checkSize refuses a plaintext of n bytes whose sealed value could not be stored, or
// not be read as text.
func (a *argument) checkSize(n int) error {
	switch {
	case a.index != nil || a.sealed.token != nil: // tags are short, and so are tokens
		return nil
	case a.sealed.siv != nil && n+token.DeterministicOverhead > mostIndexed:
		return &sizeError{"the sealed value, which token=siv keeps in an index,", n + token.DeterministicOverhead, mostIndexed}
	case n+crypto.Overhead > mostBytes:
		return &sizeError{"the sealed value", n + crypto.Overhead, mostBytes}
	}
	return nil
}

package mask

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"
)

// Rule says what becomes of the values of a column. It is safe for concurrent use.
// Printing it shows its text and no key.
type Rule struct {
	text      string
	props     Properties
	mask      engine
	fallback  engine // nil: an error
	fallbacks *atomic.Uint64
	readsOwn  bool // the row's own values, so that it comes last
}

// engine appends the masked value to dst, or reports false if it can not parse the
// value, and then nothing of dst counts. A nil result with true is NULL. It is a
// func so that nothing prints the keys that it holds. src is not empty.
type engine func(dst, src []byte, row *Row) ([]byte, bool)

// The errors of Append, found with errors.Is. They never hold a value.
var (
	// ErrValue says that the value does not fit the rule, whose fallback is
	// to refuse it.
	ErrValue = errors.New("the value does not fit the rule")
	// ErrSubject says that the rule needs a Row with a Subject.
	ErrSubject = errors.New("the rule needs the row's subject")
)

// Append appends the masked value of src to dst and returns the extended slice, or
// nil and an error. A nil src is NULL and stays NULL: the result is nil without an
// error, as it is where the rule makes NULL of a value. An empty src stays empty.
//
// The row is what the rules of one row share; most rules do without and take nil.
// Append keeps nothing. It allocates nothing if dst has room and the rule can parse
// the value, which is not an IPv6 address; json, array, hstore and text allocate. dst
// must not overlap src.
func (r *Rule) Append(dst, src []byte, row *Row) ([]byte, error) {
	if src == nil {
		return nil, nil
	}
	if r.props.Subject && (row == nil || len(row.Subject) == 0) {
		return nil, fmt.Errorf("mask: rule %s: %w", r.text, ErrSubject)
	}
	if len(src) == 0 {
		return empty(dst), nil
	}
	n := len(dst)
	if out, ok := r.mask(dst, src, row); ok {
		return out, nil
	}
	r.fallbacks.Add(1)
	if r.fallback == nil {
		return nil, fmt.Errorf("mask: rule %s: %w", r.text, ErrValue)
	}
	out, _ := r.fallback(dst[:n], src, row)
	return out, nil
}

// empty returns dst as a value that is not NULL.
func empty(dst []byte) []byte {
	if dst == nil {
		return []byte{}
	}
	return dst
}

// Fallbacks returns how many values the rule could not parse so far, the rules
// inside it included.
func (r *Rule) Fallbacks() uint64 { return r.fallbacks.Load() }

// Properties returns what can be said about the results. The slices are shared and
// must not be changed.
func (r *Rule) Properties() Properties { return r.props }

// String returns the text of the rule.
func (r *Rule) String() string { return r.text }

// Row is what the rules of one row share. The zero value is ready. It is of one
// goroutine.
type Row struct {
	// Subject identifies whom or what the row is about, such as the primary
	// key of the customer. Rows of one subject, in all tables, have their
	// dates shifted alike and get one name and address.
	Subject []byte

	own []ownValue
}

// Own tells the rule text that a value of the row becomes masked, so that where it
// occurs in free text it becomes the same; nil, which is NULL, becomes ***. Each word of
// a value of two to four words stands for the word at its place in masked, so that a
// name is found by its parts. Values and words of fewer than three characters are passed
// over. Call it before the rule text is applied; it keeps copies.
func (r *Row) Own(value, masked []byte) {
	if masked == nil {
		masked = []byte(full)
	}
	r.add(value, masked)
	words, others := bytes.Fields(value), bytes.Fields(masked)
	if len(words) < 2 || len(words) > maxWords || len(others) == 0 {
		return
	}
	for i, w := range words {
		r.add(w, others[i*len(others)/len(words)])
	}
}

// Reset makes the row ready for the next one.
func (r *Row) Reset() { r.Subject, r.own = nil, r.own[:0] }

type ownValue struct{ value, masked []byte }

const (
	minOwn   = 3 // characters
	maxWords = 4
)

func (r *Row) add(value, masked []byte) {
	if utf8.RuneCount(value) >= minOwn {
		r.own = append(r.own, ownValue{bytes.Clone(value), bytes.Clone(masked)})
	}
}

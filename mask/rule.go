package mask

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Rule says what becomes of the values of a column. It is safe for concurrent use.
// Printing it shows its text and no key.
type Rule struct {
	text      string
	props     Properties
	mask      engine
	batch     batchEngine // nil: one value after another
	fallback  engine      // nil: an error
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
	if r.lacksSubject(row) {
		return nil, fmt.Errorf("mask: rule %s: %w", r.text, ErrSubject)
	}
	if len(src) == 0 {
		return empty(dst), nil
	}
	out, ok := r.mask(dst, src, row)
	return r.finish(dst, src, row, out, ok)
}

func (r *Rule) lacksSubject(row *Row) bool {
	return r.props.Subject && (row == nil || len(row.Subject) == 0)
}

// applies reports whether Append applies the engine.
func (r *Rule) applies(src []byte, row *Row) bool { return len(src) > 0 && !r.lacksSubject(row) }

// finish returns what Append does for dst, src and row, given what the engine returned.
func (r *Rule) finish(dst, src []byte, row *Row, out []byte, ok bool) ([]byte, error) {
	if ok {
		return out, nil
	}
	r.fallbacks.Add(1)
	if r.fallback == nil {
		return nil, fmt.Errorf("mask: rule %s: %w", r.text, ErrValue)
	}
	out, _ = r.fallback(dst, src, row)
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

	own func() *[]ownValue // behind a func, where no printer finds them; nil for none
}

// Own tells the rule text that a value of the row becomes masked, so that where it
// occurs in free text it becomes the same; nil, which is NULL, becomes ***. It is found in
// other case, with other accents, apostrophes, hyphens and white space, numbers with
// other separators, and dates with the day or month first. Each word of a value of two to six words, or four with digits, stands for
// the word at its place in masked, so that a name is found by its parts. Values and words of fewer than
// three letters or digits, two in scripts without spaces, are passed over. Call it before
// the rule text is applied; it keeps copies.
func (r *Row) Own(value, masked []byte) {
	if masked == nil {
		masked = []byte(full)
	}
	r.add(value, masked)
	if n, _, ok := parseDate(value); ok {
		r.addDates(n, masked)
	}
	words, others := wordsOf(value), wordsOf(masked)
	most := maxWords
	if bytes.ContainsAny(value, digits10) {
		most = maxAddressWords // more are of addresses, and stand for much else
	}
	if len(words) < 2 || len(words) > most {
		return
	}
	for i, w := range words {
		other := []byte(full)
		if len(others) > 0 {
			other = others[i*len(others)/len(words)]
		}
		r.add(w, other)
	}
}

// addDates adds the spellings of a date in numbers.
func (r *Row) addDates(n day, masked []byte) {
	other, _, ok := parseDate(masked)
	for _, layout := range []string{"2006-01-02", "02.01.2006", "01/02/2006", "2.1.2006", "1/2/2006"} {
		to := []byte(full)
		if ok {
			to = other.time().AppendFormat(nil, layout)
		}
		r.add(n.time().AppendFormat(nil, layout), to)
	}
}

// wordsOf returns what white space, commas and semicolons separate, and hyphens if it is
// all letters.
func wordsOf(v []byte) [][]byte {
	hyphens := !bytes.ContainsAny(v, "@"+digits10)
	return bytes.FieldsFunc(v, func(r rune) bool {
		return unicode.IsSpace(r) || r == ',' || r == ';' || r == '-' && hyphens
	})
}

// Reset makes the row ready for the next one.
func (r *Row) Reset() {
	if r.Subject = nil; r.own != nil {
		own := r.own()
		*own = (*own)[:0]
	}
}

// owned returns the list of the row's own values, which is made if there is none.
func (r *Row) owned() *[]ownValue {
	if r.own == nil {
		list := new([]ownValue)
		r.own = func() *[]ownValue { return list }
	}
	return r.own()
}

// ownValue is a value that may occur in text, and what stands before and after its
// skeleton.
type ownValue struct{ skeleton, before, after, masked []byte }

const (
	minOwn          = 3 // letters and digits, an ideograph is as good as two
	maxWords        = 6
	maxAddressWords = 4
	digits10        = "0123456789"
)

func (r *Row) add(value, masked []byte) {
	if len(value) > math.MaxInt32 {
		return // no text has it
	}
	p := plainOf(value)
	s := p.skeleton()
	n := 0
	for i, at := range s.at {
		if s.text[i] != ' ' && (i == 0 || s.at[i-1] != at) {
			c, _ := utf8.DecodeRune(p.text[at:])
			n += 1 + btoi(isIdeograph(c))
		}
	}
	if n < minOwn {
		return
	}
	start, end, _ := p.span(s, 0, len(s.at))
	own := r.owned()
	*own = append(*own, ownValue{s.text, p.text[:start], p.text[end:], bytes.Clone(masked)})
}

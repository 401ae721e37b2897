package fpe

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/token/ff1"
)

// Format says which texts are values, and which of their characters are
// enciphered. It does not change.
type Format struct {
	notation string
	interval *interval // of an int or date format, else nil
	elements []element
	after    []int // the width of the elements after each, without the variable one
	variable int   // the element of variable width, or -1
	check    int   // the element that is worked out, or -1
	calling  bool  // whether there is a calling code
}

type kind int

const (
	literal kind = iota
	keep
	encipher
	number // a decimal number of fixed width that is one numeral
	luhn
	mod97
	callingCode
)

// element is a part of a format.
type element struct {
	kind     kind
	class    *class // of keep and encipher
	min, max int    // characters; they differ in one element of a format at most
	char     byte   // of literal
	lo, hi   int    // of number
	except   []int  // of number, ascending
}

// class is a set of characters in one or more parts. A numeral is the place of
// a character in its part.
type class struct {
	parts   []string
	numeral [256]uint16
	part    [256]uint8 // from 1 on, 0 for what is outside
}

const (
	maxCount = 255
	maxValue = 1024 // characters of a value, separators included
)

var named = map[string]string{
	"pan":      `[1-9][0-9]{7-13}(luhn)<[0-9]{4}>`,
	"pan-bin6": `<[1-9][0-9]{5}>[0-9]{6-12}(luhn)`,
	"ssn":      `(001-899!666)(01-99)(0001-9999)`,
	"phone":    `+(cc)[0-9]{6-14}`,
	"iban":     `<[A-Z]{2}>(mod97)[0-9|A-Z]{11-30}`,
	"uuid":     `[0-9a-f]{8}-[0-9a-f]{4}-<[1-8]>[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
}

// both is what card numbers leave if both ends are kept.
const both = "pan-bin6-last4"

// Parse returns the format of that name, range or notation.
func Parse(s string) (*Format, error) {
	f := &Format{notation: s, variable: -1, check: -1}
	var err error
	switch n, ok := named[s]; {
	case ok:
		f.notation = n
		err = f.parse(n)
	case s == both:
		err = fmt.Errorf("%w: pan and pan-bin6 together leave 100,000 numbers of 16 digits; %s", ff1.ErrDomain, advice)
	case strings.HasPrefix(s, "int:"), strings.HasPrefix(s, "date:"):
		f.interval, err = parseInterval(s)
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "":
		err = errors.New("there is no format of that name")
	default:
		err = f.parse(s)
	}
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", s, err)
	}
	return f, nil
}

// String returns the notation of the format, or the range. It is what names the
// format in the derivation of keys.
func (f *Format) String() string { return f.notation }

// advice is what to do about a small domain.
const advice = "use token.Vault, or package mask for test data"

// Options are what can be chosen beside the format.
type Options struct {
	Separators Separators
	// Permute has domains of fewer than a million values permuted by a
	// table, which is not FF1, instead of refused.
	Permute bool
}

// Separators says what becomes of spaces and of - . / ( ) in a value, where the
// format has none.
type Separators int

// The kinds of Separators.
const (
	Reject Separators = iota // the value is refused
	Keep                     // they stay where they are, and go into the tweak
	Drop                     // they stay where they are, and change nothing else
)

const separators = " -./()"

// minPermuted is the smallest domain that is worth permuting.
const minPermuted = 100

// Allows returns an error if the format can not be used with the options: the
// domain of the shortest value is too small, or separators could be mistaken
// for the format's own characters.
func (f *Format) Allows(o Options) error {
	least, small := uint64(ff1.MinDomain), ff1.ErrDomain
	if o.Permute {
		least, small = minPermuted, fmt.Errorf("the domain is smaller than %d values, which a permutation does not hide", minPermuted)
	}
	n := f.minDomain()
	switch {
	case n < least:
		return fmt.Errorf("format %q: %w: it leaves as few as %d; %s", f, small, n, advice)
	case o.Separators < Reject || o.Separators > Drop:
		return fmt.Errorf("format %q: there is no such way with separators", f)
	case o.Separators != Reject && f.interval != nil:
		return fmt.Errorf("format %q: its values have no separators", f)
	case o.Separators != Reject && f.has(separators):
		return fmt.Errorf("format %q: it has characters of its own that are separators", f)
	}
	return nil
}

// Keeps reports whether something of a value stays as it is that is not the same
// in all values, its length aside.
func (f *Format) Keeps() bool {
	for _, e := range f.elements {
		if e.kind == keep || e.kind == callingCode || e.kind == encipher && len(e.class.parts) > 1 {
			return true
		}
	}
	return false
}

// Decimal reports whether all values are decimal integers in the canonical
// spelling, which can be stored as numbers, and the range of those that fit an
// int64.
func (f *Format) Decimal() (lo, hi int64, ok bool) {
	if f.interval != nil {
		return f.interval.lo, f.interval.hi, !f.interval.date
	}
	shortest, longest := 0, 0
	for i, e := range f.elements {
		first, rest := e.characters()
		if strings.Trim(rest, "0123456789") != "" || i == 0 && strings.ContainsRune(first, '0') {
			return 0, 0, false
		}
		shortest, longest = shortest+e.min, longest+e.max
	}
	const most = 18 // digits that always fit
	if shortest > most {
		return 0, 0, false
	}
	return power10(shortest - 1), power10(min(longest, most)) - 1, true
}

func power10(n int) int64 {
	x := int64(1)
	for range n {
		x *= 10
	}
	return x
}

// Regexp returns a regular expression that all values match, and little else: in
// the syntax that PostgreSQL and Go share, anchored at both ends.
func (f *Format) Regexp() string {
	switch {
	case f.interval != nil && f.interval.date:
		return `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	case f.interval != nil:
		return `^(0|-?[1-9][0-9]*)$`
	}
	var b strings.Builder
	b.WriteByte('^')
	for i := range f.elements {
		e := &f.elements[i]
		_, set := e.characters()
		b.WriteString(bracket(set))
		switch {
		case e.min < e.max:
			fmt.Fprintf(&b, "{%d,%d}", e.min, e.max)
		case e.min > 1:
			fmt.Fprintf(&b, "{%d}", e.min)
		}
	}
	b.WriteByte('$')
	return b.String()
}

// bracket returns the bracket expression of the characters.
func bracket(set string) string {
	if len(set) == 1 && alphanumeric(set[0]) {
		return set
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(set); {
		j := i + 1
		for j < len(set) && set[j] == set[j-1]+1 && alphanumeric(set[i]) && alphanumeric(set[j]) {
			j++
		}
		if j-i > 2 {
			fmt.Fprintf(&b, "%c-%c", set[i], set[j-1])
			i = j
			continue
		}
		if !alphanumeric(set[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(set[i])
		i++
	}
	b.WriteByte(']')
	return b.String()
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// characters returns those that the element can begin with, and all it can have.
func (e *element) characters() (first, all string) {
	const digits = "0123456789"
	switch e.kind {
	case literal:
		return string(e.char), string(e.char)
	case keep, encipher:
		s := strings.Join(e.class.parts, "")
		return s, s
	case number:
		if e.lo >= int(power10(e.min-1)) {
			return digits[1:], digits
		}
	case callingCode:
		return digits[1:], digits
	}
	return digits, digits
}

// has reports whether values can have one of the characters.
func (f *Format) has(characters string) bool {
	for i := range f.elements {
		if _, all := f.elements[i].characters(); strings.ContainsAny(all, characters) {
			return true
		}
	}
	return false
}

// minDomain returns the size of the smallest domain, or 2^64-1 if it is larger.
func (f *Format) minDomain() uint64 {
	if f.interval != nil {
		if n := f.interval.size(); n != 0 {
			return n
		}
		return math.MaxUint64
	}
	n := uint64(1)
	for i := range f.elements {
		e := &f.elements[i]
		radixes := e.radixes()
		if len(radixes) == 0 {
			continue
		}
		numerals := 1
		if e.kind == encipher {
			numerals = e.min
		}
		for range numerals {
			over, product := bits.Mul64(n, uint64(slices.Min(radixes)))
			if over != 0 {
				return math.MaxUint64
			}
			n = product
		}
	}
	return n
}

// radixes returns those that a numeral of the element can have, if it has any.
func (e *element) radixes() (all []int) {
	switch e.kind {
	case encipher:
		for _, part := range e.class.parts {
			all = append(all, len(part))
		}
	case number:
		all = append(all, e.radix())
	}
	return all
}

// radix returns how many numbers a number can be.
func (e *element) radix() int { return e.hi - e.lo + 1 - len(e.except) }

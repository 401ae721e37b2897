package fpe

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrFormat says that a text is no value of the format. Errors that wrap it say
// where and why, and do not hold the text.
var ErrFormat = errors.New("the value does not fit the format")

// scratch is a value on its way.
type scratch struct {
	raw      []byte // with separators
	text     []byte // without
	tweak    []byte
	numerals []uint16
	radixes  []uint32
	x, n     []uint64 // the numerals as a number, and the size of their domain
	digits   []uint16 // x in the radix of its domain
	check    int      // where the check digits are in text
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// release gives s back without the value.
func (s *scratch) release() {
	clear(s.raw)
	clear(s.text[:cap(s.text)])
	clear(s.tweak)
	clear(s.numerals)
	clear(s.x[:cap(s.x)])
	clear(s.digits)
	scratches.Put(s)
}

// take copies the value, without separators unless they are rejected. It makes
// room for all of it: what grows leaves copies that release does not find.
func (s *scratch) take(value []byte, sep Separators) {
	s.raw, s.text, s.tweak = append(s.raw[:0], value...), slices.Grow(s.text[:0], len(value)), s.tweak[:0]
	s.numerals, s.radixes = slices.Grow(s.numerals[:0], len(value)), s.radixes[:0]
	if sep == Reject {
		s.text = append(s.text, value...)
		return
	}
	for _, c := range value {
		if !isSeparator(c) {
			s.text = append(s.text, c)
		}
	}
}

func isSeparator(c byte) bool {
	switch c {
	case ' ', '-', '.', '/', '(', ')':
		return true
	}
	return false
}

// spread puts the separators of the value between the bytes of b.
func (s *scratch) spread(b []byte) []byte {
	from := len(b) - 1
	if len(b) == len(s.raw) {
		return b
	}
	b = append(b, s.raw[len(b):]...)
	for i := len(b) - 1; i >= 0; i-- {
		if isSeparator(s.raw[i]) {
			b[i] = s.raw[i]
		} else {
			b[i] = b[from]
			from--
		}
	}
	return b
}

// refuse returns the error for what is wrong at a position in s.text.
func (s *scratch) refuse(position int, what string) error {
	if len(s.raw) != len(s.text) {
		for i := 0; i < len(s.raw) && i <= position; i++ {
			if isSeparator(s.raw[i]) {
				position++
			}
		}
	}
	return fmt.Errorf("%w: %s at byte %d", ErrFormat, what, position)
}

var errLength = fmt.Errorf("%w: too short or too long", ErrFormat)

// split takes s.text apart: its numerals and their radixes, and a tweak that is
// the text with a zero byte for every character that is enciphered or worked
// out, or the number of its part if its class has several.
func (f *Format) split(s *scratch) error {
	if f.calling && countDigits(s.text) > 15 {
		return errLength
	}
	rest := s.text
	for i := range f.elements {
		e := &f.elements[i]
		n, err := f.width(i, rest)
		if err != nil {
			return err
		}
		at := len(s.text) - len(rest)
		if wrong, what := e.split(s, rest[:n]); wrong >= 0 {
			return s.refuse(at+wrong, what)
		}
		if i == f.check {
			s.check = at
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return errLength
	}
	return f.verify(s)
}

func countDigits(text []byte) (n int) {
	for _, c := range text {
		if '0' <= c && c <= '9' {
			n++
		}
	}
	return n
}

// width returns how many characters of rest the element i has.
func (f *Format) width(i int, rest []byte) (int, error) {
	e := &f.elements[i]
	n := e.min
	switch {
	case e.kind == callingCode:
		n = callingCodeLen(rest)
	case i == f.variable:
		n = len(rest) - f.after[i]
	}
	if n < e.min || n > e.max || n > len(rest) {
		return 0, errLength
	}
	return n, nil
}

// split takes apart the characters of one element. It returns the place and the
// reason if they do not fit, else -1.
func (e *element) split(s *scratch, text []byte) (wrong int, what string) {
	switch e.kind {
	case literal:
		if text[0] != e.char {
			return 0, "another character than the format's"
		}
		s.tweak = append(s.tweak, text...)
	case keep:
		for i, c := range text {
			if e.class.part[c] == 0 {
				return i, "a character outside its class"
			}
		}
		s.tweak = append(s.tweak, text...)
	case encipher:
		parts := e.class.parts
		for i, c := range text {
			part := e.class.part[c]
			if part == 0 {
				return i, "a character outside its class"
			}
			s.numerals = append(s.numerals, e.class.numeral[c])
			s.radixes = append(s.radixes, uint32(len(parts[part-1])))
			if len(parts) == 1 {
				part = 0
			}
			s.tweak = append(s.tweak, part)
		}
	case number:
		n, ok := e.index(text)
		if !ok {
			return 0, "a number outside its range"
		}
		s.numerals = append(s.numerals, n)
		s.radixes = append(s.radixes, uint32(e.radix()))
		s.tweak = append(s.tweak, make([]byte, len(text))...)
	case luhn, mod97:
		if _, ok := digits(text); !ok {
			return 0, "something else than a check digit"
		}
		s.tweak = append(s.tweak, make([]byte, len(text))...)
	case callingCode:
		if _, ok := digits(text); !ok || text[0] == '0' {
			return 0, "no calling code"
		}
		s.tweak = append(s.tweak, text...)
	}
	return -1, ""
}

// verify holds the check digits against what they have to be.
func (f *Format) verify(s *scratch) error {
	if f.check < 0 {
		return nil
	}
	digits, n := f.checkDigits(s)
	if string(s.text[s.check:s.check+n]) != string(digits[:n]) {
		return s.refuse(s.check, "a wrong check digit")
	}
	return nil
}

// checkDigits returns the n check digits that s.text has to have.
func (f *Format) checkDigits(s *scratch) (digits [2]byte, n int) {
	if f.elements[f.check].kind == luhn {
		return [2]byte{luhnDigit(s.text, s.check)}, 1
	}
	return ibanDigits(s.text), 2
}

// join puts the numerals into s.text, which split took apart.
func (f *Format) join(s *scratch) error {
	rest, numerals := s.text, s.numerals
	for i := range f.elements {
		e := &f.elements[i]
		n, err := f.width(i, rest)
		if err != nil {
			return err
		}
		switch e.kind {
		case encipher:
			for j, c := range rest[:n] {
				rest[j] = e.class.parts[e.class.part[c]-1][numerals[j]]
			}
			numerals = numerals[n:]
		case number:
			e.put(rest[:n], numerals[0])
			numerals = numerals[1:]
		}
		rest = rest[n:]
	}
	if f.check >= 0 {
		digits, n := f.checkDigits(s)
		copy(s.text[s.check:], digits[:n])
	}
	return nil
}

// index returns the place of a number in its range.
func (e *element) index(text []byte) (uint16, bool) {
	n, ok := digits(text)
	if !ok || n < e.lo || n > e.hi {
		return 0, false
	}
	index := n - e.lo
	for _, x := range e.except {
		if n == x {
			return 0, false
		}
		if n > x {
			index--
		}
	}
	return uint16(index), true
}

// put writes the number at the place index of the range.
func (e *element) put(text []byte, index uint16) {
	n := e.lo + int(index)
	for _, x := range e.except {
		if n >= x {
			n++
		}
	}
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = '0' + byte(n%10)
		n /= 10
	}
}

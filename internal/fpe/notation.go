package fpe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// parser reads a notation.
type parser struct {
	rest    string
	kept    bool // inside < >
	openAny bool // since the last <, there was no element
}

func (f *Format) parse(notation string) error {
	p := parser{rest: notation}
	for p.rest != "" {
		e, err := p.element()
		if err != nil {
			return err
		}
		if e != nil {
			f.elements = append(f.elements, *e)
		}
	}
	if p.kept {
		return errors.New("< is not closed by >")
	}
	return f.plan()
}

// element reads one element, or a < or > and returns nil.
func (p *parser) element() (*element, error) {
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case c < ' ' || c > '~':
		return nil, errNotASCII
	case c == '<' && !p.kept:
		p.kept, p.openAny = true, true
		return nil, nil
	case c == '>' && p.kept && !p.openAny:
		p.kept = false
		return nil, nil
	case c == '[':
		return p.characters()
	case p.kept:
		return nil, errors.New("between < and > there are classes only")
	case c == '(':
		return p.function()
	case c == '\\' && p.rest != "" && strings.IndexByte(special, p.rest[0]) >= 0:
		c, p.rest = p.rest[0], p.rest[1:]
	case strings.IndexByte(special, c) >= 0 && c != '-' && c != '!':
		return nil, fmt.Errorf(`%q stands where it has no meaning; write \%c for the character`, c, c)
	}
	return &element{kind: literal, char: c, min: 1, max: 1}, nil
}

const special = `[](){}<>|!-\`

var errNotASCII = errors.New("it has characters that are not printable ASCII")

// until returns what stands before the next c, and skips both.
func (p *parser) until(c byte) (string, error) {
	before, after, ok := strings.Cut(p.rest, string(c))
	if !ok {
		return "", fmt.Errorf("a %q is missing", c)
	}
	p.rest = after
	return before, nil
}

// characters reads a class, after its [, and its count.
func (p *parser) characters() (*element, error) {
	k := &class{parts: []string{""}}
	for {
		first, mark, err := p.member()
		if err != nil {
			return nil, err
		}
		if mark == '|' {
			k.parts = append(k.parts, "")
			continue
		}
		if mark == ']' {
			break
		}
		last := first
		if strings.HasPrefix(p.rest, "-") {
			p.rest = p.rest[1:]
			if last, mark, err = p.member(); err != nil {
				return nil, err
			}
			if last <= first || mark != 0 {
				return nil, errors.New("a range of characters does not ascend")
			}
		}
		if err := k.add(first, last); err != nil {
			return nil, err
		}
	}
	e := &element{kind: encipher, class: k}
	if p.kept {
		e.kind, p.openAny = keep, false
	}
	for _, part := range k.parts {
		if len(part) < 2 && (e.kind == encipher || len(k.parts) > 1) || len(part) == 0 {
			return nil, errors.New("a class, or a part of one, has fewer than two characters")
		}
	}
	return e, p.count(e)
}

// add adds characters to the last part.
func (k *class) add(first, last byte) error {
	part := &k.parts[len(k.parts)-1]
	for c := first; c <= last; c++ {
		if k.part[c] != 0 {
			return fmt.Errorf("a class has %q twice", c)
		}
		k.part[c], k.numeral[c] = uint8(len(k.parts)), uint16(len(*part))
		*part += string(c)
	}
	return nil
}

// member reads one character of a class, or the mark ] or |.
func (p *parser) member() (c, mark byte, err error) {
	var escaped bool
	if p.rest, escaped = strings.CutPrefix(p.rest, `\`); p.rest == "" {
		return 0, 0, errors.New("a ']' is missing")
	}
	c, p.rest = p.rest[0], p.rest[1:]
	switch isSpecial := strings.IndexByte(special, c) >= 0; {
	case c < ' ' || c > '~':
		return 0, 0, errNotASCII
	case !escaped && (c == ']' || c == '|'):
		return 0, c, nil
	case isSpecial != escaped:
		return 0, 0, fmt.Errorf(`%q stands where it has no meaning; write \%c for the character`, c, c)
	}
	return c, 0, nil
}

func (p *parser) count(e *element) error {
	e.min, e.max = 1, 1
	if !strings.HasPrefix(p.rest, "{") {
		return nil
	}
	p.rest = p.rest[1:]
	text, err := p.until('}')
	if err != nil {
		return err
	}
	lo, hi, variable := strings.Cut(text, "-")
	if !variable {
		hi = lo
	}
	if e.min, err = decimal(lo); err == nil {
		e.max, err = decimal(hi)
	}
	if err != nil || e.min < 1 || e.min > e.max || e.max > maxCount || variable && e.min == e.max {
		return fmt.Errorf("{%s} is no count: it has to be {N} or {LESS-MORE}, up to %d", text, maxCount)
	}
	return nil
}

// decimal reads a number in the canonical spelling.
func decimal(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s {
		return 0, errors.New("no number")
	}
	return n, nil
}

// function reads what stands in parentheses, after the first.
func (p *parser) function() (*element, error) {
	text, err := p.until(')')
	if err != nil {
		return nil, err
	}
	switch text {
	case "luhn":
		return &element{kind: luhn, min: 1, max: 1}, nil
	case "mod97":
		return &element{kind: mod97, min: 2, max: 2}, nil
	case "cc":
		return &element{kind: callingCode, min: 1, max: 3}, nil
	}
	e, err := numberElement(text)
	if err != nil {
		return nil, fmt.Errorf("(%s) is neither (luhn), (mod97), (cc) nor a range such as (01-99), of up to 4 digits: %w", text, err)
	}
	return e, nil
}

func numberElement(text string) (*element, error) {
	words := strings.Split(text, "!")
	lo, hi, _ := strings.Cut(words[0], "-")
	width := len(lo)
	numbers := append([]string{lo, hi}, words[1:]...)
	e := &element{kind: number, min: width, max: width}
	for i, word := range numbers {
		n, err := strconv.ParseUint(word, 10, 16)
		switch {
		case err != nil:
			return nil, errors.New("no number")
		case len(word) != width || width > 4:
			return nil, errors.New("numbers of different width, or too wide")
		case i == 0:
			e.lo = int(n)
		case i == 1:
			e.hi = int(n)
		case int(n) <= e.lo || int(n) >= e.hi || len(e.except) > 0 && int(n) <= e.except[len(e.except)-1]:
			return nil, errors.New("exceptions have to lie between the ends and to ascend")
		default:
			e.except = append(e.except, int(n))
		}
	}
	if e.radix() < 2 {
		return nil, errors.New("fewer than two numbers")
	}
	return e, nil
}

// plan completes the format and refuses what can not be split or put together
// again without doubt.
func (f *Format) plan() error {
	width := 0
	f.after = make([]int, len(f.elements))
	for i, e := range slices.Backward(f.elements) {
		f.after[i] = width
		switch {
		case e.kind == callingCode:
			if f.calling {
				return errors.New("(cc) is there twice")
			}
			f.calling = true
			continue
		case e.min < e.max:
			if f.variable >= 0 || f.calling {
				return errors.New("two counts are variable, or one before (cc)")
			}
			f.variable = i
		default:
			width += e.min
		}
		if e.kind == luhn || e.kind == mod97 {
			if f.check >= 0 {
				return errors.New("two elements are check digits")
			}
			f.check = i
		}
	}
	if width+f.variableMax() > maxValue {
		return fmt.Errorf("values have more than %d characters", maxValue)
	}
	if f.minDomain() == 1 {
		return errors.New("nothing in it is enciphered")
	}
	return f.checkable()
}

func (f *Format) variableMax() int {
	if f.variable < 0 {
		return 0
	}
	return f.elements[f.variable].max
}

// checkable refuses check digits where they can not be worked out.
func (f *Format) checkable() error {
	if f.check < 0 {
		return nil
	}
	allowed, text := "0123456789", "(luhn) is for values of digits only"
	if f.elements[f.check].kind == mod97 {
		allowed, text = allowed+"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "(mod97) comes after two characters, in values of digits and capital letters only"
		if before := f.elements[:f.check]; len(before) == 0 || len(before) > 2 || widthOf(before) != 2 {
			return errors.New(text)
		}
	}
	for i := range f.elements {
		if _, all := f.elements[i].characters(); strings.Trim(all, allowed) != "" {
			return errors.New(text)
		}
	}
	return nil
}

// widthOf returns the width of elements if it is fixed, else -1.
func widthOf(elements []element) int {
	width := 0
	for _, e := range elements {
		if e.min < e.max {
			return -1
		}
		width += e.min
	}
	return width
}

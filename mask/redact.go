package mask

import (
	"unicode"
	"unicode/utf8"
)

// Full returns what stands for a value that nobody may see: ***, whatever it is.
func Full(string) string { return full }

const full = "***"

// Keep returns the value with all characters but the first and the last ones, up to
// those counts, replaced by *. It shows at most half of the characters: of a
// shorter value it shows nothing and is Full. Characters are Unicode code points that
// are seen: combining marks are of the character before them, and left out where that
// is replaced, as are characters that nobody sees. The number of characters stays visible.
func Keep(value string, first, last int) string {
	return string(appendKeep(nil, []byte(value), first, last))
}

// PAN returns a card number for display: of its digits at most the first six and the
// last four stay, and at least six do not (PCI DSS 3.4.1). Spaces and hyphens stay.
// What has not 12 to 19 digits is no card number and is Full.
func PAN(value string) string { return string(appendPAN(nil, []byte(value))) }

func appendFull(dst []byte) []byte { return append(dst, full...) }

func appendKeep(dst, src []byte, first, last int) []byte {
	n := 0
	for rest := src; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		if !extends(r) {
			n++
		}
	}
	first, last = max(0, first), max(0, last)
	if first > n || last > n || 2*(first+last) > n {
		return appendFull(dst)
	}
	for i := 0; len(src) > 0; {
		r, size := utf8.DecodeRune(src)
		if !extends(r) {
			i++
		}
		switch shown := i > 0 && i <= first || i > n-last; {
		case shown && !unicode.Is(unicode.Cf, r):
			dst = append(dst, src[:size]...)
		case !extends(r):
			dst = append(dst, '*')
		}
		src = src[size:]
	}
	return dst
}

// extends reports whether a character is part of the one before it, or not seen.
func extends(r rune) bool { return unicode.In(r, unicode.M, unicode.Cf) }

func appendPAN(dst, src []byte) []byte {
	digits := 0
	for _, c := range src {
		switch {
		case isDigit(c):
			digits++
		case c != ' ' && c != '-':
			return appendFull(dst)
		}
	}
	if digits < 12 || digits > 19 {
		return appendFull(dst)
	}
	first, i := min(6, digits-4-6), 0
	for _, c := range src {
		if isDigit(c) {
			if i >= first && i < digits-4 {
				c = '*'
			}
			i++
		}
		dst = append(dst, c)
	}
	return dst
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func buildRedact(b *builder) {
	b.rule.mask = func(dst, _ []byte, _ *Row) ([]byte, bool) { return appendFull(dst), true }
	p := &b.rule.props
	p.Domain, p.Hidden, p.MaxLen, p.Alphabet, p.Types = anyText, unbounded, len(full), "[*]", textTypes
}

func buildPartial(b *builder) {
	first, last := int(b.number("first", 0, 0, 1000)), int(b.number("last", 0, 0, 1000))
	if first+last == 0 {
		b.fail("", "partial shows nothing", "give first= or last=, or use redact")
	}
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) { return appendKeep(dst, src, first, last), true }
	p := &b.rule.props
	p.Domain, p.Types = anyText, textTypes
	p.MaxLen = 0
	p.Visible = []string{"the number of characters, if at least twice what is shown", "the first or last characters"}
}

func buildPANDisplay(b *builder) {
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) { return appendPAN(dst, src), true }
	p := &b.rule.props
	p.Domain, p.Types, p.Hidden = anyText, textTypes, bitsOf(100_000)
	p.Visible = []string{"the number of digits", "spaces and hyphens", "the first six and the last four digits at most"}
}

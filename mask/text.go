package mask

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"
)

// textMasker finds in free text what looks like personal data, and the values of the
// row itself.
type textMasker struct {
	email, phone, pan, ssn, iban, ip *Rule
	shape                            engine // of numbers that are none of them
}

func buildText(b *builder) {
	t := &textMasker{}
	for _, c := range []struct {
		name  string
		rule  **Rule
		param string // passed on
	}{{"email", &t.email, "at"}, {"phone", &t.phone, "cc"}, {"pan", &t.pan, ""}, {"ssn", &t.ssn, ""}, {"iban", &t.iban, ""}, {"ip", &t.ip, ""}} {
		s := &spec{name: c.name, params: map[string]string{}, line: b.spec.line, field: b.spec.field}
		if v, ok := b.spec.params[c.name]; ok {
			s.params["domain"] = v
		}
		if v, ok := b.spec.params[c.param]; ok {
			s.params[c.param] = v
		}
		*c.rule = b.inner(s)
	}
	if b.err != nil {
		return
	}
	t.shape = b.shape()
	b.rule.mask, b.rule.readsOwn = t.mask, true
	b.container(anyText, "all that is not recognised, and what kind of data the rest is", textTypes...)
	p := &b.rule.props
	p.Deterministic, p.Bijective, p.Reversible, p.Nullable, p.Hidden, p.results = false, false, false, false, 0, 0
}

func (t *textMasker) mask(dst, src []byte, row *Row) ([]byte, bool) {
	own := row.longestFirst()
	kept := 0 // src[kept:i] is to be copied
	before := rune(-1)
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		if startsWord(before, src[i:]) {
			if n, out := t.find(dst, src[kept:i], src[i:], before, own); n > 0 {
				dst = out
				i += n
				kept = i
				before, _ = utf8.DecodeLastRune(src[:i])
				continue
			}
		}
		i += size
		before = r
	}
	return empty(append(dst, src[kept:]...)), true
}

// longestFirst returns the row's own values.
func (r *Row) longestFirst() []ownValue {
	if r == nil {
		return nil
	}
	slices.SortStableFunc(r.own, func(a, b ownValue) int { return len(b.value) - len(a.value) })
	return r.own
}

func isWord(r rune) bool {
	return r >= 0 && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '_')
}

// isIdeograph reports whether words of such letters stand without spaces.
func isIdeograph(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}

// find looks at the beginning of v. If there is something, it returns how long it is
// and dst with skipped, which comes before v, and the masked value.
func (t *textMasker) find(dst, skipped, v []byte, before rune, own []ownValue) (n int, out []byte) {
	for _, o := range own {
		if n := len(o.value); n <= len(v) && bytes.EqualFold(v[:n], o.value) && endsWord(v, n) && startsWord(before, v) {
			return n, append(append(dst, skipped...), o.masked...)
		}
	}
	with := func(r *Rule, n int) []byte {
		if n == 0 {
			return nil
		}
		var room [maxSeparated]byte // a rule that refuses must not cost a copy of skipped
		masked, ok := r.mask(room[:0], v[:n], nil)
		if !ok || masked == nil {
			return nil
		}
		return append(append(dst, skipped...), masked...)
	}
	c := v[0]
	if n = emailLen(v); n > 0 {
		if out = with(t.email, n); out != nil {
			return n, out
		}
	}
	switch {
	case len(v) > 4 && 'A' <= c && c <= 'Z' && 'A' <= v[1] && v[1] <= 'Z' && isDigit(v[2]) && isDigit(v[3]):
		for _, n := range runs(v, func(c byte) bool { return isDigit(c) || 'A' <= c && c <= 'Z' }, " ", maxIBAN) {
			if out = with(t.iban, n); out != nil {
				return n, out
			}
		}
	case isDigit(c) || c == '+' || c == '(':
		return t.number(dst, skipped, v, with)
	}
	return 0, nil
}

const maxIBAN = 42 // with spaces

// number looks for a number at the beginning of v: of a card, of social security, an IP
// address, or of a phone. Any other with seven digits or more is masked too, but for
// dates.
func (t *textMasker) number(dst, skipped, v []byte, with func(*Rule, int) []byte) (int, []byte) {
	ends := runs(v, isDigit, " -./()", maxSeparated)
	if len(ends) == 0 || isDate(v) {
		return 0, nil
	}
	for _, n := range ends {
		digits, dots := countDigits(v[:n]), bytes.Count(v[:n], []byte("."))
		var r *Rule
		switch {
		case digits >= minPAN:
			r = t.pan
		case dots == 3:
			r = t.ip
		case digits == 9 && n == len("123-45-6789") && v[3] == '-' && v[6] == '-':
			r = t.ssn
		default:
			continue
		}
		if out := with(r, n); out != nil {
			return n, out
		}
	}
	for _, n := range ends {
		if countDigits(v[:n]) >= minPhone {
			if out := with(t.phone, n); out != nil {
				return n, out
			}
		}
	}
	if n := ends[0]; countDigits(v[:n]) >= minPhone {
		out, _ := t.shape(append(dst, skipped...), v[:n], nil)
		return n, out
	}
	return 0, nil
}

const minPhone = 7 // digits in text

func countDigits(v []byte) (n int) {
	for _, c := range v {
		if isDigit(c) {
			n++
		}
	}
	return n
}

// isDate reports whether v begins with a date like 2006-01-02 or 02.01.2006.
func isDate(v []byte) bool {
	for _, layout := range []string{"0000-00-00", "00.00.0000", "00/00/0000"} {
		fits := len(v) >= len(layout) && (len(v) == len(layout) || !isDigit(v[len(layout)]))
		for i := 0; fits && i < len(layout); i++ {
			fits = isDigit(v[i]) == (layout[i] == '0') && (isDigit(v[i]) || v[i] == layout[i])
		}
		if fits {
			return true
		}
	}
	return false
}

// runs returns the lengths of the beginnings of v, longest first, that end with a
// character before a separator or before what is neither. There are at most two
// separators next to each other, and an opening + or (.
func runs(v []byte, in func(byte) bool, separators string, most int) (ends []int) {
	i, gap := 0, 0
	if v[0] == '+' || v[0] == '(' {
		i = 1
	}
	for ; i < len(v) && i < most; i++ {
		switch {
		case in(v[i]):
			gap = 0
			continue
		case bytes.IndexByte([]byte(separators), v[i]) >= 0 && gap < 2:
			if gap == 0 && i > 0 && in(v[i-1]) {
				ends = append(ends, i)
			}
			gap++
			continue
		}
		break
	}
	if i > 0 && in(v[i-1]) && (i == len(v) || !in(v[i])) && endsWord(v, i) {
		ends = append(ends, i)
	}
	slices.Reverse(ends)
	return ends
}

// emailLen returns the length of the address that v begins with, or 0.
func emailLen(v []byte) int {
	i := 0
	for i < len(v) && i <= 64 && (alphanumeric(v[i]) || v[i] >= 0x80 || bytes.IndexByte([]byte("._%+'-"), v[i]) >= 0) {
		i++
	}
	if i == 0 || i > 64 || i == len(v) || v[i] != '@' {
		return 0
	}
	dot := false
	j := i + 1
	for ; j < len(v) && j-i <= 255 && (alphanumeric(v[j]) || v[j] >= 0x80 || v[j] == '.' || v[j] == '-'); j++ {
		dot = dot || v[j] == '.'
	}
	for j > i && (v[j-1] == '.' || v[j-1] == '-') {
		j--
	}
	if !dot || j == i+1 {
		return 0
	}
	return j
}

// startsWord and endsWord report whether a word may begin after before, or end at n.
func startsWord(before rune, v []byte) bool {
	r, _ := utf8.DecodeRune(v)
	return !isWord(before) || !isWord(r) || isIdeograph(r) || isIdeograph(before)
}

func endsWord(v []byte, n int) bool {
	last, _ := utf8.DecodeLastRune(v[:n])
	next, size := utf8.DecodeRune(v[n:])
	return size == 0 || !isWord(last) || !isWord(next) || isIdeograph(last) || isIdeograph(next)
}

package mask

import (
	"bytes"
	"math"
	"slices"
	"strings"
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
	b.container(anyText, "all that is not recognised, such as names, dates and numbers of fewer than seven digits, and what kind of data the rest is", textTypes...)
	p := &b.rule.props
	p.Deterministic, p.Bijective, p.Reversible, p.Nullable, p.Hidden, p.results = false, false, false, false, 0, 0
}

func (t *textMasker) mask(dst, src []byte, row *Row) ([]byte, bool) {
	if len(src) > math.MaxInt32 {
		return nil, false
	}
	s := scanner{textMasker: t, plain: plainOf(src)}
	s.own = s.occurrences(row.longestFirst())
	kept := int32(0) // src from here on is to be copied
	before := rune(-1)
	for i := 0; i < len(s.text); {
		r, size := utf8.DecodeRune(s.text[i:])
		n, masked := s.find(i, before)
		if n == 0 {
			i, before = i+size, r
			continue
		}
		dst = append(append(dst, src[kept:s.at[i]]...), masked...)
		i, before = i+n, -1
		kept = s.at[i]
	}
	return empty(append(dst, src[kept:]...)), true
}

// longestFirst returns the row's own values.
func (r *Row) longestFirst() []ownValue {
	if r == nil || r.own == nil {
		return nil
	}
	own := *r.own()
	slices.SortStableFunc(own, func(a, b ownValue) int { return len(b.skeleton) - len(a.skeleton) })
	return own
}

// scanner goes through one text.
type scanner struct {
	*textMasker
	plain
	own    []occurrence // from here on
	noMail int          // no address begins before
	room   []byte
}

// find returns how long what begins at i is, and what becomes of it: the longer of
// a value of the row and of what is recognised.
func (s *scanner) find(i int, before rune) (n int, masked []byte) {
	n, masked = s.recognise(i, before)
	for len(s.own) > 0 && s.own[0].start < i {
		s.own = s.own[1:]
	}
	for _, o := range s.own {
		if o.start > i || o.end-i < n {
			break
		}
		if !s.cutsAddress(i, o.end) {
			return o.end - i, o.masked
		}
	}
	return n, masked
}

// cutsAddress reports whether an e-mail address begins after i and before end, and goes
// on after that.
func (s *scanner) cutsAddress(i, end int) bool {
	from := end
	for from > i {
		r, size := utf8.DecodeLastRune(s.text[i:from])
		if !isLocal(r) {
			break
		}
		from -= size
	}
	if from == end || from < s.noMail {
		return false
	}
	n, _ := emailLen(s.text[from:])
	return from+n > end
}

// with applies a rule to v. It returns nil if the rule refuses it.
func (s *scanner) with(r *Rule, v []byte) []byte {
	out, ok := r.mask(s.room[:0], v, nil)
	if !ok || out == nil {
		return nil
	}
	s.room = out
	return out
}

// shaped applies the rule shape.
func (s *scanner) shaped(v []byte) []byte {
	s.room, _ = s.shape(s.room[:0], v, nil)
	return s.room
}

// recognise looks for what begins at i. It returns its length, or 0, and the masked value.
func (s *scanner) recognise(i int, before rune) (n int, masked []byte) {
	v := s.text[i:]
	r, _ := utf8.DecodeRune(v)
	if i >= s.noMail && !isWord(before) && (isWord(r) || r == '_' || r >= utf8.RuneSelf) {
		n, local := emailLen(v)
		if n > 0 {
			if masked = s.with(s.email, v[:n]); masked == nil {
				masked = s.shaped(v[:n])
			}
			return n, masked
		}
		s.noMail = i + local
	}
	switch {
	case len(v) > 4 && isLetter(v[0]) && isLetter(v[1]) && isDigit(v[2]) && isDigit(v[3]) && !isWord(before):
		for _, n := range runs(v, alphanumeric, " ", maxIBAN) {
			if masked = s.with(s.iban, v[:n]); masked != nil {
				return n, masked
			}
		}
	case isDigit(v[0]) && !unicode.IsDigit(before) || v[0] == '+' || v[0] == '(':
		return s.number(i, unicode.IsLetter(before))
	}
	return 0, nil
}

const maxIBAN = 42 // with spaces

// number looks for a number at i: of a card, of social security, an IP address, or of a
// phone. Any other with seven digits or more is masked too, but for dates. After a letter
// it has to have as many.
func (s *scanner) number(i int, afterLetter bool) (int, []byte) {
	v := s.text[i:]
	if isDate(v) {
		return len("2006-01-02"), s.src[s.at[i]:s.at[i+len("2006-01-02")]]
	}
	ends := runs(v, isDigit, numberSpaces, maxSeparated)
	ends = slices.DeleteFunc(ends, func(n int) bool { return s.cutsAddress(i, i+n) })
	for _, n := range ends {
		digits := countDigits(v[:n])
		if digits < minPhone && (afterLetter || digits < 4) {
			break
		}
		var out []byte
		if bytes.Count(v[:n], []byte(".")) == 3 {
			out = s.with(s.ip, v[:n])
		}
		if out == nil && digits >= minPAN {
			out = s.with(s.pan, v[:n])
		}
		if out == nil && digits == 9 && n == len("123-45-6789") && v[3] == '-' && v[6] == '-' {
			out = s.with(s.ssn, v[:n])
		}
		if out != nil {
			return n, out
		}
	}
	for _, n := range ends {
		if countDigits(v[:n]) < minPhone {
			break
		}
		if out := s.with(s.phone, v[:n]); out != nil {
			return n, out
		}
	}
	if len(ends) > 0 && countDigits(v[:ends[0]]) >= minPhone {
		return ends[0], s.shaped(v[:ends[0]])
	}
	return 0, nil
}

const (
	minPhone     = 7 // digits in text
	numberSpaces = phoneSpaces + "_"
)

func countDigits(v []byte) (n int) {
	for _, c := range v {
		if isDigit(c) {
			n++
		}
	}
	return n
}

// isDate reports whether v begins with a date of two centuries or so, like 2006-01-02,
// 02.01.2006 or 01/02/2006.
func isDate(v []byte) bool {
	for _, layout := range []string{"YYYY-MM-MM", "MM.MM.YYYY", "MM/MM/YYYY"} {
		fits := len(v) >= len(layout) && (len(v) == len(layout) || !isDigit(v[len(layout)]))
		for i := 0; fits && i < len(layout); i++ {
			fits = isDigit(v[i]) == ('A' <= layout[i]) && (isDigit(v[i]) || v[i] == layout[i])
		}
		if !fits {
			continue
		}
		at := strings.IndexByte(layout, 'Y')
		year, _ := decimalDigits(v[at : at+4])
		first := strings.IndexByte(layout, 'M')
		a, _ := decimalDigits(v[first : first+2])
		b, _ := decimalDigits(v[first+3 : first+5])
		return 1800 <= year && year < 2200 && a > 0 && b > 0 && min(a, b) <= 12 && max(a, b) <= 31
	}
	return false
}

// runs returns the lengths of the beginnings of v, longest first, that end with a
// character before a separator or before what is neither. There are at most four
// separators next to each other, and an opening + or (. What is in without separators
// may be longer than most.
func runs(v []byte, in func(byte) bool, separators string, most int) (ends []int) {
	i, gap := 0, 0
	if v[0] == '+' || v[0] == '(' {
		i = 1
	}
	for ; i < len(v) && (i < most || gap == 0 && in(v[i])); i++ {
		switch {
		case in(v[i]):
			gap = 0
			continue
		case strings.IndexByte(separators, v[i]) >= 0 && gap < 4:
			if gap == 0 && i > 0 && in(v[i-1]) {
				ends = append(ends, i)
			}
			gap++
			continue
		}
		break
	}
	if i > 0 && in(v[i-1]) && (i == len(v) || !in(v[i])) && (isDigit(v[i-1]) || endsWord(v, i)) {
		ends = append(ends, i)
	}
	slices.Reverse(ends)
	return ends
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isLocal reports whether a character can be before the @ of an address.
func isLocal(r rune) bool {
	return r >= utf8.RuneSelf && !unicode.In(r, unicode.P, unicode.Z) || r >= 0 && r < utf8.RuneSelf && (alphanumeric(byte(r)) || strings.ContainsRune("._%+'-", r))
}

// emailLen returns the length of the address that v begins with, or 0, and that of what
// could come before its @. What is no address but has an @ within counts.
func emailLen(v []byte) (n, local int) {
	for local < len(v) {
		r, size := utf8.DecodeRune(v[local:])
		if !isLocal(r) {
			break
		}
		local += size
	}
	if local == 0 || local == len(v) || v[local] != '@' {
		return 0, local
	}
	n = local + 1
	for n < len(v) {
		r, size := utf8.DecodeRune(v[n:])
		if !isLocal(r) || r == '%' || r == '+' || r == '\'' {
			break
		}
		n += size
	}
	for n > local && (v[n-1] == '.' || v[n-1] == '-' || v[n-1] == '_') {
		n--
	}
	if n == local+1 {
		return 0, local
	}
	return n, local
}

// endsWord reports whether a word may end at n.
func endsWord(v []byte, n int) bool {
	last, _ := utf8.DecodeLastRune(v[:n])
	next, size := utf8.DecodeRune(v[n:])
	return size == 0 || !isWord(last) || !isWord(next) || isIdeograph(last) || isIdeograph(next)
}

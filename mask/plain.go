package mask

import (
	"bytes"
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// plain is a text in the one spelling in which personal data is looked for: digits of
// all scripts and full-width characters as those of ASCII, a space for any white space,
// - for any dash, @ for what stands for it in HTML and URLs; without characters that
// nobody sees and the hyphen at the end of a line.
type plain struct {
	src, text []byte
	at        []int32 // where in src each byte of text begins, and the length of src
}

// plainOf takes at most 2 GiB.
func plainOf(src []byte) plain {
	p := plain{src, make([]byte, 0, len(src)), make([]int32, 0, len(src)+1)}
	for i := 0; i < len(src); {
		if c := src[i]; c >= ' ' && c < utf8.RuneSelf && c != '%' && c != '&' && c != '-' {
			p.text, p.at = append(p.text, c), append(p.at, int32(i))
			i++
			continue
		}
		r, size := utf8.DecodeRune(src[i:])
		whole := src[i : i+size]
		switch {
		case r == '%' || r == '&':
			if n := encodedAt(src[i:]); n > 0 {
				whole, size = []byte("@"), n
			}
		case r == '-' || r == '\u2010':
			if n := lineBreak(src[i+size:]); n > 0 && unicode.IsLetter(lastRune(p.text)) {
				whole, size = nil, size+n
			} else {
				whole = []byte("-")
			}
		case r == '\t' || r == '\n' || r == '\r':
			whole = []byte(" ")
		case r >= utf8.RuneSelf && size > 1:
			whole = plainRune(r, whole)
		}
		for j := range whole {
			p.text, p.at = append(p.text, whole[j]), append(p.at, int32(i+min(j, size-1)))
		}
		i += size
	}
	p.at = append(p.at, int32(len(src)))
	return p
}

func lastRune(v []byte) rune {
	r, size := utf8.DecodeLastRune(v)
	if size == 0 {
		return -1
	}
	return r
}

// encodedAt returns the length of the encoded @ that v begins with, or 0.
func encodedAt(v []byte) int {
	for _, s := range []string{"%40", "&commat;", "&#64;", "&#064;", "&#x40;", "&#X40;"} {
		if bytes.HasPrefix(v, []byte(s)) {
			return len(s)
		}
	}
	return 0
}

// lineBreak returns the length of the end of a line that v begins with, and the white
// space after it, if a letter follows; else 0.
func lineBreak(v []byte) int {
	rest := bytes.TrimPrefix(v, []byte("\r"))
	if len(rest) == 0 || rest[0] != '\n' {
		return 0
	}
	rest = bytes.TrimLeft(rest, "\n \t")
	if r, _ := utf8.DecodeRune(rest); !unicode.IsLetter(r) {
		return 0
	}
	return len(v) - len(rest)
}

// plainRune returns the spelling of a character outside ASCII, which is whole if there
// is no other.
func plainRune(r rune, whole []byte) []byte {
	switch {
	case unicode.In(r, unicode.Cf, unicode.Variation_Selector), r == '\u034f', r == '\u20e3':
		return nil
	case unicode.Is(unicode.Nd, r):
		return []byte{'0' + digitOf(r)}
	case '\uff01' <= r && r <= '\uff5e':
		return []byte{byte(r - 0xfee0)}
	case r == '\ufe6b':
		return []byte("@")
	case unicode.Is(unicode.Z, r):
		return []byte(" ")
	case unicode.Is(unicode.Pd, r), r == '\u2212':
		return []byte("-")
	}
	return whole
}

// digitOf returns the value of a decimal digit: they come in tens, from 0 on.
func digitOf(r rune) byte {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10)
		}
	}
	return 0
}

// skeleton is what of a plain text says which words it has: letters in one case,
// without accents, and digits. What separates letters is one space; apostrophes and
// what separates digits, or letters of scripts without spaces, is nothing.
type skeleton struct {
	text []byte
	at   []int32 // where in the plain text each byte begins
}

func (p plain) skeleton() (s skeleton) {
	s.text, s.at = make([]byte, 0, len(p.text)), make([]int32, 0, len(p.text))
	gap, letter := -1, false // where a separator began; whether a letter came before
	var room [64]byte
	for i := 0; i < len(p.text); {
		r, size := utf8.DecodeRune(p.text[i:])
		switch {
		case isApostrophe(r), isAccent(r):
		case isGap(r, size):
			if gap < 0 {
				gap = i
			}
		default:
			isLetter := r >= utf8.RuneSelf && !isIdeograph(r) || !isDigit(p.text[i]) && r < utf8.RuneSelf
			if gap >= 0 && letter && isLetter {
				s.put(gap, []byte(" "))
			}
			s.put(i, foldRune(room[:0], p.text[i:i+size]))
			gap, letter = -1, isLetter
		}
		i += size
	}
	return s
}

func (s *skeleton) put(at int, v []byte) {
	for _, c := range v {
		s.text, s.at = append(s.text, c), append(s.at, int32(at))
	}
}

func isApostrophe(r rune) bool {
	switch r {
	case '\'', '`', '´', '‘', '’', 'ʼ', 'ʻ', '′':
		return true
	}
	return false
}

func isAccent(r rune) bool { return '\u0300' <= r && r <= '\u036f' }

func isGap(r rune, size int) bool {
	if r < utf8.RuneSelf {
		return !alphanumeric(byte(r))
	}
	return size > 1 && unicode.In(r, unicode.P, unicode.Z, unicode.C, unicode.Sk)
}

// foldRune appends a character, taken apart, in small letters and without accents.
func foldRune(dst, v []byte) []byte {
	if len(v) == 1 {
		if c := v[0]; 'A' <= c && c <= 'Z' {
			return append(dst, c+'a'-'A')
		}
		return append(dst, v...)
	}
	var room [64]byte
	for rest := norm.NFKD.Append(room[:0], v...); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case isAccent(r):
		case r == 'ß' || r == 'ẞ':
			dst = append(dst, "ss"...)
		default:
			dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToUpper(r)))
		}
	}
	return dst
}

// occurrence is where in a plain text a value of the row stands.
type occurrence struct {
	start, end int
	masked     []byte
}

// occurrences finds values of the row, in order; of those with one beginning the
// longest is first.
func (p plain) occurrences(own []ownValue) (found []occurrence) {
	if len(own) == 0 {
		return nil
	}
	s := p.skeleton()
	for _, o := range own {
		for k := 0; ; {
			j := bytes.Index(s.text[k:], o.skeleton)
			if j < 0 {
				break
			}
			k += j
			start, end, ok := p.span(s, k, k+len(o.skeleton))
			if !ok {
				k++
				continue
			}
			k += len(o.skeleton)
			if bytes.HasSuffix(p.text[:start], o.before) {
				start -= len(o.before)
			}
			if bytes.HasPrefix(p.text[end:], o.after) {
				end += len(o.after)
			}
			found = append(found, occurrence{start, end, o.masked})
		}
	}
	slices.SortStableFunc(found, func(a, b occurrence) int {
		return cmp.Or(a.start-b.start, b.end-a.end)
	})
	return found
}

// span returns where from..to-1 of the skeleton stands, and whether these are whole
// words. Long ones need not be, so that a text of many almost equal words costs no time.
func (p plain) span(s skeleton, from, to int) (start, end int, ok bool) {
	start, end = int(s.at[from]), int(s.at[to-1])
	_, size := utf8.DecodeRune(p.text[end:])
	end += size
	for {
		r, size := utf8.DecodeRune(p.text[end:])
		if !isAccent(r) {
			break
		}
		end += size
	}
	if to-from > maxChecked {
		return start, end, true
	}
	if from > 0 && s.at[from-1] == s.at[from] || to < len(s.at) && s.at[to-1] == s.at[to] {
		return 0, 0, false // half a character
	}
	return start, end, p.boundary(start) && p.boundary(end)
}

const maxChecked = 64 // bytes of a skeleton

// boundary reports whether a word may begin or end at i: letters and digits are not of
// one word, and a line ends one.
func (p plain) boundary(i int) bool {
	before := lastRune(p.text[:i])
	after, size := utf8.DecodeRune(p.text[i:])
	if before < 0 || size == 0 || !isWord(before) || !isWord(after) || isIdeograph(before) || isIdeograph(after) {
		return true
	}
	return unicode.IsDigit(before) != unicode.IsDigit(after) || bytes.IndexByte(p.src[p.at[i-1]:p.at[i]], '\n') >= 0
}

func isWord(r rune) bool {
	return r >= 0 && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// isIdeograph reports whether words of such letters stand without spaces.
func isIdeograph(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan)
}

package pgxmask

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Originals are compared by their letters and digits alone, in small letters, so that
// 4111 1111 1111 1111 and 4111-1111-1111-1111 are one. One is found in a text where
// it begins and ends at the border of a run of letters or of digits. It has minOriginal
// bytes, or minDigits if they are all digits: shorter ones are somewhere by chance.
const (
	minOriginal = 8
	minDigits   = 9
	maxOriginal = 96 // longer ones are found by their beginning
)

// view is a text in the form in which it is compared.
type view struct {
	norm   []byte
	starts []int // of the runs, in norm; each ends where the next begins
}

// read makes the view of a text. Bytes that are no UTF-8 separate runs.
func (v *view) read(text []byte) {
	const none, letter, digit = 0, 1, 2
	v.norm, v.starts = v.norm[:0], v.starts[:0]
	last := none
	for len(text) > 0 {
		r, n, class := rune(text[0]), 1, none
		switch {
		case r >= utf8.RuneSelf:
			r, n = utf8.DecodeRune(text)
			switch {
			case r == utf8.RuneError:
			case unicode.IsLetter(r), unicode.IsMark(r):
				class, r = letter, unicode.ToLower(r)
			case unicode.IsDigit(r):
				class = digit
			}
		case 'a' <= r && r <= 'z':
			class = letter
		case 'A' <= r && r <= 'Z':
			class, r = letter, r|0x20
		case '0' <= r && r <= '9':
			class = digit
		}
		if class != none {
			if class != last {
				v.starts = append(v.starts, len(v.norm))
			}
			v.norm = utf8.AppendRune(v.norm, r)
		}
		last, text = class, text[n:]
	}
}

// end is where run i ends.
func (v *view) end(i int) int {
	if i+1 < len(v.starts) {
		return v.starts[i+1]
	}
	return len(v.norm)
}

// original returns what stands for a whole value, nil if that is too short.
func (v *view) original(value []byte) []byte {
	v.read(value)
	norm := v.norm
	if len(norm) > maxOriginal {
		norm = norm[:maxOriginal]
		for i := len(v.starts) - 1; i > 0; i-- {
			if v.starts[i] <= maxOriginal && v.starts[i] >= minOriginal {
				norm = norm[:v.starts[i]]
				break
			}
		}
	}
	if len(norm) < minOriginal || len(norm) < minDigits && !bytes.ContainsFunc(norm, func(r rune) bool { return !unicode.IsDigit(r) }) {
		return nil
	}
	return norm
}

// filter is a Bloom filter, split into blocks of a cache line (Putze, Sanders and
// Singler, Cache-, Hash- and Space-Efficient Bloom Filters, 2007), with one bit in each
// of the eight words of a block. It is keyed: its hash is of this process alone.
type filter struct {
	seed    maphash.Seed
	words   []uint64
	blocks  uint64
	oneIn   uint64
	lengths [maxOriginal + 1]atomic.Bool // of what was added
	added   atomic.Int64
}

// With 64 bits for each original one of some million other texts is taken for one; with
// 32, if there are many, one of about 100,000. The size is limited: beyond it one
// original in oneIn is looked for, chosen by its hash.
const (
	bitsEach  = 32
	bitsFew   = 64
	maxFilter = 64 << 20 // bytes
)

func newFilter(originals float64) *filter {
	f := &filter{seed: maphash.MakeSeed(), oneIn: 1}
	need := max(originals*bitsEach/8, min(originals*bitsFew/8, maxFilter), 64<<10)
	for need/float64(f.oneIn) > maxFilter {
		f.oneIn++
	}
	f.blocks = uint64(need / float64(f.oneIn) / 64)
	f.words = make([]uint64, f.blocks*8)
	return f
}

func (f *filter) block(h uint64) []uint64 {
	hi, _ := bits.Mul64(h, f.blocks)
	return f.words[hi*8 : hi*8+8 : hi*8+8]
}

// add is safe for concurrent use.
func (f *filter) add(norm []byte) {
	if !f.lengths[len(norm)].Load() {
		f.lengths[len(norm)].Store(true)
	}
	f.addHash(maphash.Bytes(f.seed, norm))
}

func (f *filter) addHash(h uint64) {
	if f.oneIn > 1 && h%f.oneIn != 0 {
		return
	}
	block, h2 := f.block(h), h*0x9e3779b97f4a7c15
	fresh := false
	for i := range block {
		bit := uint64(1) << (h2 >> 58)
		h2 = bits.RotateLeft64(h2, 6)
		if atomic.LoadUint64(&block[i])&bit == 0 {
			atomic.OrUint64(&block[i], bit)
			fresh = true
		}
	}
	if fresh {
		f.added.Add(1)
	}
}

// has is called when all are added.
func (f *filter) has(norm []byte) bool {
	found, chosen := f.hasHash(maphash.Bytes(f.seed, norm))
	return found && chosen
}

// hasHash also says whether such a one would have been chosen.
func (f *filter) hasHash(h uint64) (found, chosen bool) {
	if f.oneIn > 1 && h%f.oneIn != 0 {
		return false, false
	}
	block, h2 := f.block(h), h*0x9e3779b97f4a7c15
	for i := range block {
		if block[i]&(1<<(h2>>58)) == 0 {
			return false, true
		}
		h2 = bits.RotateLeft64(h2, 6)
	}
	return true, true
}

// form is how an original stands in a text.
type form uint8

const (
	plain form = iota
	escaped
	percent
	reversed
	base64ed
	hexed
)

func (f form) String() string {
	return [...]string{"as it is", "with escapes", "with percent encoding", "reversed", "in base64", "in hex"}[f]
}

// scanner looks for originals in texts. It is of one goroutine.
type scanner struct {
	filter *filter
	view   view
	room   []byte
	back   []byte
}

// find looks at a value as look says.
func (s *scanner) find(value []byte, l look, hit func(norm []byte, f form)) {
	switch l {
	case lookWhole:
		if norm := s.view.original(value); norm != nil && s.filter.has(norm) {
			hit(norm, plain)
		}
	case lookEverywhere:
		s.scan(value, hit)
	}
}

// scan calls hit for what may be an original in a text, in any form. norm is good until
// hit returns.
func (s *scanner) scan(text []byte, hit func(norm []byte, f form)) {
	if len(text) < minOriginal {
		return
	}
	s.plain(text, plain, hit)
	if bytes.IndexByte(text, '\\') >= 0 {
		s.room = appendUnescaped(s.room[:0], text)
		s.plain(s.room, escaped, hit)
	}
	if bytes.IndexByte(text, '%') >= 0 {
		s.room = appendPercent(s.room[:0], text)
		s.plain(s.room, percent, hit)
	}
	s.back = append(s.back[:0], text...)
	reverse(s.back)
	s.plain(s.back, reversed, hit)
	runs(text, base64Digit, (minOriginal*4+2)/3, func(run []byte) {
		for offset := range 4 {
			s.room = appendBase64(s.room[:0], run[offset:])
			s.plain(s.room, base64ed, hit)
		}
	})
	runs(text, hexDigit, 2*minOriginal, func(run []byte) {
		for offset := range 2 {
			s.room = appendHex(s.room[:0], run[offset:])
			s.plain(s.room, hexed, hit)
		}
	})
}

// plain looks at every window from the start of a run to the end of one.
func (s *scanner) plain(text []byte, f form, hit func([]byte, form)) {
	s.view.read(text)
	v := &s.view
	for i, start := range v.starts {
		for j := i; j < len(v.starts); j++ {
			n := min(v.end(j)-start, maxOriginal)
			if n >= minOriginal && s.filter.lengths[n].Load() && s.filter.has(v.norm[start:start+n]) {
				hit(v.norm[start:start+n], f)
			}
			if n == maxOriginal {
				break
			}
		}
	}
}

// reverse reverses the characters.
func reverse(text []byte) {
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRune(text[i:])
		slices.Reverse(text[i : i+n])
		i += n
	}
	slices.Reverse(text)
}

// appendUnescaped takes the escapes of JSON, and those of C that are the same, for what
// they are.
func appendUnescaped(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		b := text[i]
		if b != '\\' || i+1 == len(text) {
			dst = append(dst, b)
			continue
		}
		i++
		switch text[i] {
		case 'u':
			if r, ok := hex4(text[i+1:]); ok {
				dst, i = utf8.AppendRune(dst, r), i+4
				continue
			}
			dst = append(dst, 'u')
		case 'n', 'r', 't', 'b', 'f', 'v':
			dst = append(dst, ' ')
		default:
			dst = append(dst, text[i])
		}
	}
	return dst
}

func hex4(text []byte) (r rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, b := range text[:4] {
		d := hexDigit[b]
		if d < 0 {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func appendPercent(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && hexDigit[text[i+1]] >= 0 && hexDigit[text[i+2]] >= 0 {
			dst = append(dst, byte(hexDigit[text[i+1]]<<4|hexDigit[text[i+2]]))
			i += 2
			continue
		}
		dst = append(dst, text[i])
	}
	return dst
}

// runs calls run for every part of a text with at least n digits and nothing else.
func runs(text []byte, digit *[256]int8, n int, run func([]byte)) {
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && digit[text[i]] >= 0 {
			continue
		}
		if i-start >= n {
			run(text[start:i])
		}
		start = i + 1
	}
}

func digits(alphabets ...string) *[256]int8 {
	var table [256]int8
	for i := range table {
		table[i] = -1
	}
	for _, a := range alphabets {
		for i := range len(a) {
			table[a[i]] = int8(i)
		}
	}
	return &table
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Both alphabets of base64 (RFC 4648, sections 4 and 5), and hex.
var (
	base64Digit = digits(letters+"+/", letters+"-_")
	hexDigit    = digits("0123456789abcdef", "0123456789ABCDEF")
)

// appendBase64 decodes the digits, also where they do not end at a whole byte.
func appendBase64(dst, run []byte) []byte {
	var bits uint32
	n := 0
	for _, b := range run {
		bits, n = bits<<6|uint32(base64Digit[b]), n+6
		if n >= 8 {
			n -= 8
			dst = append(dst, byte(bits>>n))
		}
	}
	return dst
}

func appendHex(dst, run []byte) []byte {
	for ; len(run) >= 2; run = run[2:] {
		dst = append(dst, byte(hexDigit[run[0]]<<4|hexDigit[run[1]]))
	}
	return dst
}

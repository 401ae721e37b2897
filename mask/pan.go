package mask

import (
	"strings"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/token/ff1"
)

// pan enciphers the digits of card numbers between those that are kept, which are
// the tweak, and works out one more so that the check digit is right: the last, or
// the one before the last ones that are kept. It is a format of internal/fpe in
// less time, as cards are many.
type pan struct {
	cipher      *ff1.Cipher // of digits
	first, last int         // digits that are kept
}

const (
	minPAN = 12
	maxPAN = 19
)

func buildPAN(b *builder) {
	p := pan{first: 6}
	visible, hidden := "the first six digits", bitsOf(1e6)
	keep := b.choice("keep", "bin6", "last4", "first", "both")
	switch keep {
	case "both":
		buildPANBoth(b)
		return
	case "last4":
		p.first, p.last, visible = 1, 4, "the first digit and the last four"
	case "first":
		p.first, visible, hidden = 1, "the first digit", bitsOf(1e10)
	}
	p.cipher = b.ff1("pan/1/"+keep, 10)
	b.rule.mask, b.rule.batch = p.mask, p.maskBatch
	props := b.bijective("card numbers of 12 (with keep=bin6, 13) to 19 digits with a right check digit, the first not 0", hidden, visible, "the number of digits", separators)
	props.Alphabet = "[0-9 ./()-]"
}

// buildPANBoth keeps the first six digits and the last four. That leaves 100,000
// numbers of 16 digits, too few for FF1, so each pair of ends has a table of its own.
func buildPANBoth(b *builder) {
	b.rule.mask = encipher(b.fpe("<[1-9][0-9]{5}>[0-9]{2-8}(luhn)<[0-9]{4}>", fpe.Options{Separators: fpe.Drop, Permute: true}))
	props := b.bijective("card numbers of 13 to 19 digits with a right check digit, the first not 0", bitsOf(100), "the first six digits and the last four", "the number of digits", separators)
	props.Alphabet = "[0-9 ./()-]"
}

func (p pan) mask(dst, src []byte, _ *Row) ([]byte, bool) {
	var room [maxPAN]byte
	digits, check, ok := p.parse(room[:0], src)
	if !ok {
		return nil, false
	}
	var tweakRoom [maxPAN]byte
	tweak := p.tweak(tweakRoom[:0], digits)
	if _, err := p.cipher.AppendEncrypt(digits[:p.first], digitAlphabet, digits[p.first:check], tweak); err != nil {
		return nil, false
	}
	return p.append(dst, src, digits, check), true
}

// parse appends the digits to dst, which has room for maxPAN, and returns the place of the
// one that is worked out.
func (p pan) parse(dst, src []byte) (digits []byte, check int, ok bool) {
	digits, ok = separatedDigits(dst, src)
	if !ok || len(digits) < minPAN || digits[0] == '0' || luhnSum(digits) != 0 {
		return nil, 0, false
	}
	check = len(digits) - 1 - p.last
	return digits, check, check-p.first >= p.cipher.MinLen()
}

// tweak appends the digits that are kept.
func (p pan) tweak(dst, digits []byte) []byte {
	return append(append(dst, digits[:p.first]...), digits[len(digits)-p.last:]...)
}

func (p pan) append(dst, src, digits []byte, check int) []byte {
	digits[check] = luhnDigit(digits, check)
	return appendSeparated(dst, src, digits)
}

func (p pan) maskBatch(b *batch) {
	var checks [batchSize]int
	for i := range b.n {
		v := &b.items[i]
		b.values[i], checks[i], v.ok = p.parse(b.rooms[i][:0:maxPAN], v.src)
		if v.ok {
			tweak := p.tweak(b.rooms[i][maxPAN:maxPAN], b.values[i])
			b.ff1.add(b.values[i][p.first:checks[i]], tweak)
		}
	}
	all := b.ff1.encrypt(p.cipher)
	for i := range b.n {
		if v := &b.items[i]; v.ok && all {
			v.dst = p.append(v.dst, v.src, b.values[i], checks[i])
		} else {
			v.ok = false
		}
	}
}

var digitAlphabet, _ = ff1.NewAlphabet("0123456789")

// separatedDigits appends the digits of src to dst, which has room for as many as
// there may be. Between them there may be separators.
func separatedDigits(dst, src []byte) ([]byte, bool) {
	if len(src) > maxSeparated {
		return nil, false
	}
	n := 0
	for n < len(src) && isDigit(src[n]) {
		n++
	}
	if n > cap(dst)-len(dst) {
		return nil, false
	}
	dst = append(dst, src[:n]...)
	for _, c := range src[n:] {
		switch {
		case !isDigit(c):
			if strings.IndexByte(phoneSpaces, c) < 0 {
				return nil, false
			}
		case len(dst) == cap(dst):
			return nil, false
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

// appendSeparated appends src with its digits replaced.
func appendSeparated(dst, src, digits []byte) []byte {
	switch {
	case len(digits) == len(src):
		return append(dst, digits...)
	case len(digits) == len(src)-1 && !isDigit(src[0]):
		return append(append(dst, src[0]), digits...)
	}
	for _, c := range src {
		if isDigit(c) {
			c, digits = digits[0], digits[1:]
		}
		dst = append(dst, c)
	}
	return dst
}

// doubled is what a digit counts that is doubled (ISO/IEC 7812-1).
var doubled = [256]byte{'1': 2, '2': 4, '3': 6, '4': 8, '5': 1, '6': 3, '7': 5, '8': 7, '9': 9}

// luhnSum returns the sum modulo 10 of all digits; of a whole card number it is 0.
func luhnSum(digits []byte) uint {
	sum := uint(0)
	for i := len(digits) - 1; i > 0; i -= 2 {
		sum += uint(digits[i]-'0') + uint(doubled[digits[i-1]])
	}
	if len(digits)%2 == 1 {
		sum += uint(digits[0] - '0')
	}
	return sum % 10
}

// luhnDigit returns the digit that makes the sum 0 at that position, which it sets. There is one
// whether it is doubled or not, as doubled is a permutation.
func luhnDigit(digits []byte, position int) byte {
	digits[position] = '0'
	d := byte(10-luhnSum(digits)) % 10
	if (len(digits)-position)%2 == 0 {
		d = (d + d%2*9) / 2 // the inverse of doubled
	}
	return '0' + d
}

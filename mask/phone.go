package mask

import (
	"strings"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/token/ff1"
)

// phone keeps the country calling code and the first digit after it, which tells
// in many countries a mobile number from others; they are the tweak of FF1. Fewer than
// six other digits are permuted by a table. Of numbers of the North American plan
// it keeps the plan: area code and exchange are from 200 to 999 and not N11.
type phone struct {
	home         string      // + and calling code of numbers without +, or empty
	digits       *ff1.Cipher // of six or more
	other, local *fpe.Cipher // of fewer
	american     *ff1.Cipher
}

const (
	maxPhone     = 18 // digits: 15 and a prefix
	maxPrefix    = 4  // + and calling code
	phoneSpaces  = " -./()"
	minNational  = 5
	maxE164      = 15
	maxSeparated = 64 // bytes of a value

	noService    = "(200-999!211!311!411!511!611!711!811!911)"
	inService    = 800 - 8 // numbers
	americans    = inService * inService * 10_000
	americanPlan = "+1" + noService + noService + "[0-9]{4}"
	radix        = 282 // americans <= radix^4, as internal/fpe chooses it
)

var americanTweak = append([]byte("+1"), make([]byte, 10)...)

func buildPhone(b *builder) {
	small := fpe.Options{Permute: true}
	ph := &phone{
		home:  b.text("cc", ""),
		other: b.fpe("+(cc)<[0-9]>[0-9]{4-13}", small),
		local: b.fpe("<[1-9]>[0-9]{4-13}", small),
	}
	if strings.Trim(ph.home, "0123456789") != "" || len(ph.home) > 3 || strings.HasPrefix(ph.home, "0") {
		b.fail("cc", "is no country calling code", "write its digits, without +")
	}
	if ph.home != "" {
		ph.home = "+" + ph.home
	}
	ph.digits = b.ff1("phone/1", 10)
	ph.american = b.ff1("ff1/"+americanPlan, radix)
	b.rule.mask, b.rule.batch = ph.mask, ph.maskBatch
	p := b.bijective("phone numbers with + and country, or national ones", bitsOf(1e4),
		"the country calling code and the first digit after it, or the first digit; of +1 nothing but that", "the number of digits", separators)
	p.Alphabet = "[0-9+ ./()-]"
}

// ff1 returns a cipher under the key of a primitive.
func (b *builder) ff1(primitive string, radix int) *ff1.Cipher {
	key, err := b.m.keys.derive(b.domain(), primitive, 32)
	var c *ff1.Cipher
	if err == nil {
		c, err = ff1.New(key, radix)
	}
	if err != nil {
		b.fail("", err.Error(), "")
	}
	return c
}

func (ph *phone) mask(dst, src []byte, _ *Row) ([]byte, bool) {
	if plainE164(src) {
		out := append(dst, src...)
		v := out[len(dst):]
		if !ph.international(v) {
			clear(v)
			return nil, false
		}
		return out, true
	}
	var room [maxPrefix + maxPhone]byte
	digits, plus, ok := phoneDigits(room[maxPrefix:maxPrefix], src)
	if !ok {
		return nil, false
	}
	prefix := ""                // before the number as it is masked, with + if it has a country
	first, skip := digits[0], 0 // digits that stay and are no part of the number
	switch {
	case plus:
		prefix = "+"
	case ph.home == "":
		for skip < 2 && digits[skip] == '0' {
			skip++
		}
	default:
		prefix = ph.home
		switch {
		case ph.home == "+1" && len(digits) == 11 && first == '1':
			skip = 1
		case ph.home != "+1" && ph.home != "+39" && first == '0': // in Italy the 0 belongs to the number
			skip = 1
		}
	}
	v := room[maxPrefix+skip-len(prefix) : maxPrefix+len(digits)]
	copy(v, prefix)
	if prefix == "" {
		ok = v[0] != '0' && ph.crypt(v, 1, ph.local)
	} else {
		ok = ph.international(v)
	}
	if !ok {
		return nil, false
	}
	if skip > 0 {
		digits[0] = first
	}
	return appendSeparated(dst, src, digits), true
}

// maskBatch enciphers the digits of numbers with + and nothing but digits together, but
// for those of the North American plan and short ones.
func (ph *phone) maskBatch(b *batch) {
	var together [batchSize]bool
	for i := range b.n {
		v := &b.items[i]
		if !plainE164(v.src) || v.src[1] == '0' || v.src[1] == '1' {
			continue
		}
		kept := keptOf(v.src)
		if len(v.src)-kept < ph.digits.MinLen() {
			continue
		}
		v.dst = append(v.dst, v.src...)
		b.ff1.add(v.dst[kept:], v.src[:kept])
		together[i] = true
	}
	all := b.ff1.encrypt(ph.digits)
	for i := range b.n {
		v := &b.items[i]
		if v.ok = together[i] && all; !v.ok {
			v.dst, v.ok = ph.mask(v.dst[:0], v.src, nil)
		}
	}
}

// keptOf returns the length of what is kept of a number with + and country.
func keptOf(v []byte) int { return 1 + fpe.CallingCodeLen(v[1:]) + 1 }

// international masks a number with + and country in place.
func (ph *phone) international(v []byte) bool {
	switch {
	case len(v) > 1+maxE164, v[1] == '0':
		return false
	case v[1] == '1':
		return ph.americanNumber(v)
	}
	return ph.crypt(v, keptOf(v), ph.other)
}

// crypt masks the digits after those that are kept, in place.
func (ph *phone) crypt(v []byte, kept int, small *fpe.Cipher) bool {
	if len(v)-kept < ph.digits.MinLen() {
		var room [maxPhone]byte
		out, err := small.Append(room[:0], v, false)
		copy(v, out)
		return err == nil
	}
	_, err := ph.digits.AppendEncrypt(v[:kept], digitAlphabet, v[kept:], v[:kept])
	return err == nil
}

// americanNumber masks a number of the North American plan, +1 and ten digits, in
// place: FF1 of four digits of the radix, and cycle walking where the result is none of
// the numbers, which has a probability of 1 - americans/radix^4, below 1 %.
func (ph *phone) americanNumber(v []byte) bool {
	if len(v) != len("+12125550100") {
		return false
	}
	area, ok1 := serviceIndex(v[2:5])
	exchange, ok2 := serviceIndex(v[5:8])
	line, _ := decimalDigits(v[8:])
	if !ok1 || !ok2 {
		return false
	}
	n := (area*inService+exchange)*10_000 + line
	x, walk := uint64(n), 0
	for ; walk == 0 || x >= americans; walk++ {
		var err error
		if x, err = ph.american.EncryptInteger(x, 4, americanTweak); err != nil || walk == maxWalk {
			return false
		}
	}
	n = int(x)
	putDigits(v[8:], n%10_000)
	n /= 10_000
	putDigits(v[5:8], serviceNumber(n%inService))
	putDigits(v[2:5], serviceNumber(n/inService))
	return true
}

// serviceIndex returns the place of a number from 200 to 999 among those that do not
// end with 11.
func serviceIndex(v []byte) (int, bool) {
	n, _ := decimalDigits(v)
	return n - 200 - (n-200)/100 - btoi(n%100 > 11), n >= 200 && n%100 != 11
}

func serviceNumber(index int) int {
	hundreds, rest := index/99, index%99
	return 200 + 100*hundreds + rest + btoi(rest >= 11)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func putDigits(dst []byte, n int) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
}

// plainE164 says whether src is + and digits, which are masked without being copied.
func plainE164(src []byte) bool {
	if src[0] != '+' || len(src) <= minNational || len(src) > 1+maxE164 {
		return false
	}
	for _, c := range src[1:] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// phoneDigits appends the digits of a number and says whether they follow a +.
func phoneDigits(dst, src []byte) (digits []byte, plus, ok bool) {
	if len(src) > maxSeparated {
		return nil, false, false
	}
	for _, x := range src {
		switch {
		case isDigit(x) && len(dst) < maxPhone:
			dst = append(dst, x)
		case x == '+' && !plus && len(dst) == 0:
			plus = true
		case strings.IndexByte(phoneSpaces, x) < 0:
			return nil, false, false
		}
	}
	return dst, plus, len(dst) >= minNational
}

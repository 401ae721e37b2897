package ff1

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// Alphabet gives characters to numerals: its first character is numeral 0. It
// does not change and is safe for concurrent use.
type Alphabet struct {
	characters []rune
	ascii      [256]int32 // numerals of the characters of one byte, else -1
	others     map[rune]uint16
}

// NewAlphabet returns the alphabet of the characters (Unicode code points) of
// s in their order, 2 to MaxRadix of them. It fails if one is there twice or if
// s is not valid UTF-8. Upper and lower case are different characters, and
// nothing is normalized: with accented letters bring values to NFC first, and
// keep combining marks out of the alphabet, lest a system that normalizes text
// change a ciphertext.
func NewAlphabet(s string) (*Alphabet, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("ff1: the alphabet is no valid UTF-8")
	}
	a := &Alphabet{characters: []rune(s), others: map[rune]uint16{}}
	if n := len(a.characters); n < 2 || n > MaxRadix {
		return nil, fmt.Errorf("ff1: an alphabet of %d characters, not 2..%d", n, MaxRadix)
	}
	for i := range a.ascii {
		a.ascii[i] = -1
	}
	for i, r := range a.characters {
		if _, ok := a.others[r]; ok || r < utf8.RuneSelf && a.ascii[r] >= 0 {
			return nil, fmt.Errorf("ff1: the alphabet has %q twice", r)
		}
		if r < utf8.RuneSelf {
			a.ascii[r] = int32(i)
		} else {
			a.others[r] = uint16(i)
		}
	}
	return a, nil
}

// Len returns the number of characters: the radix of the cipher to use with.
func (a *Alphabet) Len() int { return len(a.characters) }

// AppendNumerals appends the numerals of the characters of s, UTF-8, to dst and
// returns the extended slice, or nil and a *NumeralError at the first character
// that is not of the alphabet. It does not change or keep s.
func (a *Alphabet) AppendNumerals(dst []uint16, s []byte) ([]uint16, error) {
	dst, position := a.appendNumerals(dst, s)
	if position >= 0 {
		return nil, &NumeralError{position}
	}
	return dst, nil
}

// appendNumerals appends up to the first character that is not of the alphabet
// and returns its position, or -1 if there is none.
func (a *Alphabet) appendNumerals(dst []uint16, s []byte) ([]uint16, int) {
	dst = slices.Grow(dst, len(s))
	n := len(dst)
	dst = dst[:n+len(s)]
	for i := 0; i < len(s); n++ {
		x, size := a.ascii[s[i]], 1
		if x < 0 {
			if x, size = a.other(s[i:]); x < 0 {
				return dst[:n], i
			}
		}
		dst[n] = uint16(x)
		i += size
	}
	return dst[:n], -1
}

// other returns the numeral of the first character of s and its size in bytes
// if it is of the alphabet and not ASCII, else -1.
func (a *Alphabet) other(s []byte) (numeral int32, size int) {
	r, size := utf8.DecodeRune(s)
	x, ok := a.others[r]
	if !ok || size == 1 { // a size of 1 is invalid UTF-8, not U+FFFD
		return -1, 0
	}
	return int32(x), size
}

// AppendText appends the characters of numerals to dst, UTF-8, and returns the
// extended slice. It panics if a numeral is not below Len.
func (a *Alphabet) AppendText(dst []byte, numerals []uint16) []byte {
	for _, x := range numerals {
		if r := a.characters[x]; r < utf8.RuneSelf {
			dst = append(dst, byte(r))
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// EncryptString encrypts s, whose characters are all of the alphabet, under
// tweak. The result has as many characters, not always as many bytes. The
// errors are those of Encrypt, and one if the alphabet has not as many
// characters as the cipher's radix.
func (c *Cipher) EncryptString(alphabet *Alphabet, s string, tweak []byte) (string, error) {
	return c.cryptString(alphabet, s, tweak, false)
}

// DecryptString undoes EncryptString with the same key, alphabet and tweak. A
// wrong one is not noticed.
func (c *Cipher) DecryptString(alphabet *Alphabet, s string, tweak []byte) (string, error) {
	return c.cryptString(alphabet, s, tweak, true)
}

// AppendEncrypt is EncryptString for UTF-8 in bytes: it appends to dst and
// returns the extended slice, or nil and an error. Neither s nor tweak is
// changed or kept; dst may share memory with s.
func (c *Cipher) AppendEncrypt(dst []byte, alphabet *Alphabet, s, tweak []byte) ([]byte, error) {
	return c.appendCrypt(dst, alphabet, s, tweak, false)
}

// AppendDecrypt is to DecryptString what AppendEncrypt is to EncryptString.
func (c *Cipher) AppendDecrypt(dst []byte, alphabet *Alphabet, s, tweak []byte) ([]byte, error) {
	return c.appendCrypt(dst, alphabet, s, tweak, true)
}

func (c *Cipher) appendCrypt(dst []byte, alphabet *Alphabet, text, tweak []byte, decrypt bool) ([]byte, error) {
	s := c.states.Get().(*state)
	if out, ok := c.appendShort(dst, s, alphabet, text, tweak, decrypt); ok {
		c.put(s)
		return out, nil
	}
	err := c.cryptText(s, alphabet, text, tweak, decrypt)
	if err == nil {
		dst = alphabet.AppendText(dst, s.numerals)
	} else {
		dst = nil
	}
	c.put(s)
	return dst, err
}

// appendShort is appendCrypt in less time for ASCII characters and lengths that
// crypt64 takes. It reports false for all else.
func (c *Cipher) appendShort(dst []byte, s *state, alphabet *Alphabet, text, tweak []byte, decrypt bool) ([]byte, bool) {
	n := len(text)
	if len(alphabet.others) > 0 || alphabet.Len() != c.radix || n < c.minLen || n > 64 || len(tweak) > MaxTweakLen {
		return nil, false
	}
	s.setLength(n)
	left, ok1 := alphabet.number(text[:s.u], s.radix)
	right, ok2 := alphabet.number(text[s.u:], s.radix)
	if s.words != width64 || !ok1 || !ok2 {
		return nil, false
	}
	s.setTweak(tweak)
	a, b := s.crypt64(left, right, decrypt)
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	alphabet.put(dst[start:start+s.u], a, s.radix)
	alphabet.put(dst[start+s.u:], b, s.radix)
	return dst, true
}

// outside returns the position of the first byte that is no character of one byte of
// the alphabet, or -1.
func (a *Alphabet) outside(text []byte) int {
	for i, c := range text {
		if a.ascii[c] < 0 {
			return i
		}
	}
	return -1
}

// number is num64 of ASCII characters.
func (a *Alphabet) number(text []byte, radix uint64) (n uint64, ok bool) {
	var outside int32
	for _, c := range text {
		x := a.ascii[c]
		outside |= x
		n = n*radix + uint64(x)
	}
	return n, outside >= 0
}

// put is digits64 for ASCII characters.
func (a *Alphabet) put(text []byte, fraction, radix uint64) {
	characters := a.characters
	for i := range text {
		var digit uint64
		digit, fraction = bits.Mul64(fraction, radix)
		text[i] = byte(characters[digit])
	}
}

func (c *Cipher) cryptString(alphabet *Alphabet, text string, tweak []byte, decrypt bool) (string, error) {
	if err := checkText(len(text)); err != nil {
		return "", err
	}
	s := c.states.Get().(*state)
	defer c.put(s)
	s.text = append(s.text[:0], text...)
	if err := c.cryptText(s, alphabet, s.text, tweak, decrypt); err != nil {
		return "", err
	}
	clear(s.text)
	s.text = alphabet.AppendText(s.text[:0], s.numerals)
	return string(s.text), nil
}

// cryptText leaves its result in s.numerals.
func (c *Cipher) cryptText(s *state, alphabet *Alphabet, text, tweak []byte, decrypt bool) error {
	if alphabet.Len() != c.radix {
		return fmt.Errorf("ff1: an alphabet of %d characters for radix %d", alphabet.Len(), c.radix)
	}
	if err := checkText(len(text)); err != nil {
		return err
	}
	var position int
	if s.numerals, position = alphabet.appendNumerals(s.numerals, text); position >= 0 {
		return &NumeralError{position}
	}
	if err := c.checkLen(len(s.numerals), tweak); err != nil {
		return err
	}
	s.crypt(s.numerals, tweak, decrypt)
	return nil
}

func checkText(size int) error {
	if size > utf8.UTFMax*MaxLen {
		return fmt.Errorf("ff1: %w: %d bytes, at most %d characters", ErrTooLong, size, MaxLen)
	}
	return nil
}

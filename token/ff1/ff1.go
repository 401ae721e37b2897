package ff1

import (
	"crypto/aes"
	"errors"
	"fmt"
	"sync"
)

const (
	// MinDomain is the smallest number of different values of one length,
	// radix^length, that is encrypted: 1,000,000 (NIST SP 800-38G Rev. 1,
	// second public draft). Fewer can be guessed or attacked.
	MinDomain = 1_000_000
	// MaxRadix is the largest radix, 2^16.
	MaxRadix = 1 << 16
	// MaxLen is the largest length of a value, in numerals (characters). It
	// limits the work that one value can cause, which grows with the square
	// of the length, to some milliseconds (0.2 for decimal digits).
	MaxLen = 4096
	// MaxTweakLen is the largest length of a tweak, in bytes.
	MaxTweakLen = 4096
)

// The errors of this package, found with errors.Is. A value outside its
// alphabet or radix is a *NumeralError.
var (
	// ErrDomain says that the value is too short for its radix: there are
	// fewer than MinDomain values of its length.
	ErrDomain = errors.New("the domain is smaller than 1,000,000 values")
	// ErrTooLong says that the value is longer than MaxLen or the tweak
	// longer than MaxTweakLen.
	ErrTooLong = errors.New("the value or the tweak is too long")
)

// NumeralError says that a value holds something that is not of its alphabet,
// or a numeral that is not below the radix. It does not hold it.
type NumeralError struct {
	// Position is the index of the numeral, or the offset of the character
	// in bytes.
	Position int
}

func (e *NumeralError) Error() string {
	return fmt.Sprintf("ff1: the value is outside the alphabet at position %d", e.Position)
}

// Cipher is FF1 under one AES key and radix. It does not change and is safe for
// concurrent use. Printing it shows no key.
type Cipher struct {
	radix  int
	minLen int       // the least length with a domain of MinDomain
	states sync.Pool // of *state; its New, a func, is all that holds the key schedule
}

// New returns a cipher for values of numerals 0 to radix-1. The key is 16, 24
// or 32 bytes for AES-128, AES-192 or AES-256 and is not kept, only its AES key
// schedule is. The radix is 2 to MaxRadix. A key must not be used for anything
// but FF1.
func New(key []byte, radix int) (*Cipher, error) {
	if radix < 2 || radix > MaxRadix {
		return nil, fmt.Errorf("ff1: radix %d is not in 2..%d", radix, MaxRadix)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("ff1: %w", err)
	}
	c := &Cipher{radix: radix}
	for domain := 1; domain < MinDomain; domain *= radix {
		c.minLen++
	}
	c.states.New = func() any { return newState(block, uint64(radix)) }
	return c, nil
}

// Radix returns the radix.
func (c *Cipher) Radix() int { return c.radix }

// MinLen returns the least length of a value in numerals: that for which
// radix^length is at least MinDomain.
func (c *Cipher) MinLen() int { return c.minLen }

// Encrypt appends the encryption of numerals under tweak to dst and returns the
// extended slice, or nil and an error: ErrDomain, ErrTooLong or a *NumeralError.
// The result has as many numerals. Neither numerals nor tweak is changed or
// kept; dst may share memory with numerals.
func (c *Cipher) Encrypt(dst, numerals []uint16, tweak []byte) ([]uint16, error) {
	return c.append(dst, numerals, tweak, false)
}

// Decrypt undoes Encrypt with the same key, radix and tweak. Everything that
// Encrypt accepts decrypts to something: a wrong key or tweak is not noticed.
func (c *Cipher) Decrypt(dst, numerals []uint16, tweak []byte) ([]uint16, error) {
	return c.append(dst, numerals, tweak, true)
}

// EncryptInteger encrypts x as the n numerals that write it in the cipher's radix, the
// most significant first, and returns the number that the result writes: what Encrypt
// does to them, in less time. It fails with ErrDomain or ErrTooLong, also if radix^n is
// 2^64 or more, or with a *NumeralError if x is not below radix^n. It does not change
// or keep tweak.
func (c *Cipher) EncryptInteger(x uint64, n int, tweak []byte) (uint64, error) {
	return c.integer(x, n, tweak, false)
}

// DecryptInteger is to Decrypt what EncryptInteger is to Encrypt.
func (c *Cipher) DecryptInteger(x uint64, n int, tweak []byte) (uint64, error) {
	return c.integer(x, n, tweak, true)
}

// integer is crypt for numbers. A radix^n below 2^64 has halves that crypt64 takes.
func (c *Cipher) integer(x uint64, n int, tweak []byte, decrypt bool) (uint64, error) {
	if err := c.checkLen(n, tweak); err != nil {
		return 0, err
	}
	s := c.states.Get().(*state)
	defer c.put(s)
	s.setLength(n)
	switch {
	case s.size == 0:
		return 0, fmt.Errorf("ff1: %w: %d numerals of radix %d exceed 64 bits", ErrTooLong, n, c.radix)
	case x >= s.size:
		return 0, &NumeralError{0}
	}
	s.setTweak(tweak)
	m := &s.mod64
	left := m[1].quotient(x)
	a, b := s.crypt64(left, x-left*m[1].n, decrypt)
	return m[0].number(a)*m[1].n + m[1].number(b), nil
}

// EncryptBatch encrypts each of values in place, values[i] under tweaks[i]. It
// takes about half the time of Encrypt where neighbours have one length of up
// to 32 decimal digits (halves that fit a machine word), because the processor
// works on several at a time; elsewhere the same. It checks everything first
// and changes nothing if it returns an error: one of Encrypt's, wrapped with the
// index of the value, or one if there are not as many tweaks as values. Values
// must not share memory.
func (c *Cipher) EncryptBatch(values [][]uint16, tweaks [][]byte) error {
	return c.batch(values, tweaks, false)
}

// DecryptBatch is to Decrypt what EncryptBatch is to Encrypt.
func (c *Cipher) DecryptBatch(values [][]uint16, tweaks [][]byte) error {
	return c.batch(values, tweaks, true)
}

func (c *Cipher) batch(values [][]uint16, tweaks [][]byte, decrypt bool) error {
	if len(values) != len(tweaks) {
		return fmt.Errorf("ff1: %d values with %d tweaks", len(values), len(tweaks))
	}
	for i, x := range values {
		if err := c.check(x, tweaks[i]); err != nil {
			return fmt.Errorf("ff1: value %d: %w", i, err)
		}
	}
	s := c.states.Get().(*state)
	s.batch(values, tweaks, decrypt)
	c.put(s)
	return nil
}

// EncryptASCIIBatch encrypts each of values in place, as AppendEncrypt does: values[i]
// under tweaks[i]. It takes the time that EncryptBatch takes, and like it checks everything first and
// changes nothing if it returns an error. The errors are the same, and one if
// the alphabet has other characters than ASCII or not as many as the cipher's radix.
func (c *Cipher) EncryptASCIIBatch(alphabet *Alphabet, values, tweaks [][]byte) error {
	return c.batchASCII(alphabet, values, tweaks, false)
}

// DecryptASCIIBatch is to AppendDecrypt what EncryptASCIIBatch is to AppendEncrypt.
func (c *Cipher) DecryptASCIIBatch(alphabet *Alphabet, values, tweaks [][]byte) error {
	return c.batchASCII(alphabet, values, tweaks, true)
}

func (c *Cipher) batchASCII(alphabet *Alphabet, values, tweaks [][]byte, decrypt bool) error {
	switch {
	case len(values) != len(tweaks):
		return fmt.Errorf("ff1: %d values with %d tweaks", len(values), len(tweaks))
	case len(alphabet.others) > 0:
		return errors.New("ff1: the alphabet has other characters than ASCII")
	case alphabet.Len() != c.radix:
		return fmt.Errorf("ff1: an alphabet of %d characters for radix %d", alphabet.Len(), c.radix)
	}
	for i, x := range values {
		err := c.checkLen(len(x), tweaks[i])
		if outside := alphabet.outside(x); err == nil && outside >= 0 {
			err = &NumeralError{outside}
		}
		if err != nil {
			return fmt.Errorf("ff1: value %d: %w", i, err)
		}
	}
	s := c.states.Get().(*state)
	s.batchASCII(alphabet, values, tweaks, decrypt)
	c.put(s)
	return nil
}

func (c *Cipher) append(dst, numerals []uint16, tweak []byte, decrypt bool) ([]uint16, error) {
	if err := c.check(numerals, tweak); err != nil {
		return nil, err
	}
	s := c.states.Get().(*state)
	start := len(dst)
	dst = append(dst, numerals...)
	s.crypt(dst[start:], tweak, decrypt)
	c.put(s)
	return dst, nil
}

func (c *Cipher) check(numerals []uint16, tweak []byte) error {
	if err := c.checkLen(len(numerals), tweak); err != nil {
		return err
	}
	for i, x := range numerals {
		if int(x) >= c.radix {
			return &NumeralError{i}
		}
	}
	return nil
}

func (c *Cipher) checkLen(n int, tweak []byte) error {
	switch {
	case n > MaxLen:
		return fmt.Errorf("ff1: %w: %d numerals, at most %d", ErrTooLong, n, MaxLen)
	case len(tweak) > MaxTweakLen:
		return fmt.Errorf("ff1: %w: a tweak of %d bytes, at most %d", ErrTooLong, len(tweak), MaxTweakLen)
	case n < c.minLen:
		return fmt.Errorf("ff1: %w: %d numerals, at least %d", ErrDomain, n, c.minLen)
	}
	return nil
}

func (c *Cipher) put(s *state) {
	s.wipe()
	c.states.Put(s)
}

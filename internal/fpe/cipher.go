package fpe

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/token/ff1"
)

// Keys are what a Cipher works with. It keeps no slice.
type Keys struct {
	// FF1 is an AES-256 key of 32 bytes, used for nothing else.
	FF1 []byte
	// Permute is an HMAC-SHA256 key of 32 bytes, used for nothing else. It is
	// needed with Options.Permute only.
	Permute []byte
	// Reserve asks for n bytes of memory to keep. Nil keeps nothing.
	Reserve func(n int64) bool
}

// Cipher enciphers the values of one format under one key. It is safe for
// concurrent use. Printing it shows no key.
type Cipher struct {
	format *Format
	opts   Options
	newFF1 func(radix int) (*ff1.Cipher, error) // has the key
	same   map[uint32]*ff1.Cipher               // by radix, for numerals that share one
	tables *tables                              // nil without Options.Permute

	mu      sync.Mutex // serialises additions to domains
	domains atomic.Pointer[map[string]*domain]
}

// New returns the cipher. What Format.Allows refuses is an error.
func New(f *Format, o Options, k Keys) (*Cipher, error) {
	if err := f.Allows(o); err != nil {
		return nil, err
	}
	if len(k.FF1) != sha256.Size || o.Permute && len(k.Permute) != sha256.Size {
		return nil, errors.New("fpe: a key has not 32 bytes")
	}
	key := append([]byte(nil), k.FF1...)
	c := &Cipher{format: f, opts: o, same: make(map[uint32]*ff1.Cipher)}
	c.newFF1 = func(radix int) (*ff1.Cipher, error) { return ff1.New(key, radix) }
	c.domains.Store(&map[string]*domain{})
	if o.Permute {
		c.tables = newTables(k)
	}
	for i := range f.elements {
		for _, radix := range f.elements[i].radixes() {
			var err error
			if c.same[uint32(radix)], err = c.newFF1(radix); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// Append appends the enciphered value, of equal length and format, to dst, or
// with decrypt what Append without it made it of. It returns the extended slice,
// or nil and an error, which wraps ErrFormat if the value is not of the format.
// Any value decrypts to some other: a wrong key is not noticed. It keeps
// nothing; dst may share memory with value.
func (c *Cipher) Append(dst, value []byte, decrypt bool) ([]byte, error) {
	if len(value) > maxValue {
		return nil, errLength
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	s.take(value, c.opts.Separators)
	if v := c.format.interval; v != nil {
		return c.appendInterval(dst, s, v, decrypt)
	}
	if err := c.format.split(s); err != nil {
		return nil, err
	}
	if c.opts.Separators == Keep {
		s.tweak = s.spread(s.tweak)
	}
	if err := c.cryptNumerals(s, decrypt); err != nil {
		return nil, err
	}
	if err := c.format.join(s); err != nil {
		return nil, err
	}
	s.text = s.spread(s.text)
	return append(dst, s.text...), nil
}

func (c *Cipher) appendInterval(dst []byte, s *scratch, v *interval, decrypt bool) ([]byte, error) {
	value, ok := v.parse(s.text)
	if !ok || value < v.lo || value > v.hi {
		return nil, s.refuse(0, "something else than the range has")
	}
	s.x = mulAdd(s.x[:0], 0, uint64(value)-uint64(v.lo))
	s.n = mulAdd(append(s.n[:0], uint64(v.hi)-uint64(v.lo)), 1, 1)
	if err := c.cryptNumber(s, decrypt); err != nil {
		return nil, err
	}
	var x uint64
	if len(s.x) > 0 {
		x = s.x[0]
	}
	s.text = v.append(s.text[:0], int64(uint64(v.lo)+x))
	return append(dst, s.text...), nil
}

// cryptNumerals permutes the numerals: by FF1 as they are if they share a radix,
// else as one number, the first the most significant.
func (c *Cipher) cryptNumerals(s *scratch, decrypt bool) (err error) {
	if cipher := c.shared(s); cipher != nil {
		return cryptFF1(cipher, s.numerals, s.tweak, decrypt)
	}
	s.x, s.n = s.x[:0], append(s.n[:0], 1)
	for i, numeral := range s.numerals {
		radix := uint64(s.radixes[i])
		s.x, s.n = mulAdd(s.x, radix, uint64(numeral)), mulAdd(s.n, radix, 0)
	}
	if err := c.cryptNumber(s, decrypt); err != nil {
		return err
	}
	for i := len(s.numerals) - 1; i >= 0; i-- {
		var numeral uint64
		s.x, numeral = divMod(s.x, uint64(s.radixes[i]))
		s.numerals[i] = uint16(numeral)
	}
	return nil
}

// shared returns the cipher for the radix that all numerals share, if they do
// and their domain is large enough for FF1.
func (c *Cipher) shared(s *scratch) *ff1.Cipher {
	for _, radix := range s.radixes[1:] {
		if radix != s.radixes[0] {
			return nil
		}
	}
	cipher := c.same[s.radixes[0]]
	if cipher == nil || len(s.numerals) < cipher.MinLen() {
		return nil
	}
	return cipher
}

func cryptFF1(c *ff1.Cipher, numerals []uint16, tweak []byte, decrypt bool) (err error) {
	if decrypt {
		_, err = c.Decrypt(numerals[:0], numerals, tweak)
	} else {
		_, err = c.Encrypt(numerals[:0], numerals, tweak)
	}
	return err
}

// cryptNumber permutes the numbers below s.n.
func (c *Cipher) cryptNumber(s *scratch, decrypt bool) error {
	if len(s.n) == 1 && s.n[0] < ff1.MinDomain {
		if c.tables == nil {
			return fmt.Errorf("%w: %w", ErrFormat, ff1.ErrDomain)
		}
		var x uint64
		if len(s.x) > 0 {
			x = s.x[0]
		}
		s.x = mulAdd(s.x[:0], 0, uint64(c.tables.crypt(uint32(x), uint32(s.n[0]), s.tweak, decrypt)))
		return nil
	}
	d, err := c.domain(s.n)
	switch {
	case err != nil:
		return err
	case d.word:
		return d.cryptWord(s, decrypt)
	}
	return d.crypt(s, decrypt)
}

// domain is how the numbers below n are written for FF1: as k digits of the
// least radix that reaches them all.
type domain struct {
	n      []uint64
	k      int
	radix  uint64
	word   bool // radix^k < 2^64
	cipher *ff1.Cipher
}

const (
	maxDomains = 256 // kept per cipher
	maxWalk    = 100
)

// crypt permutes s.x by FF1 and cycle walking: FF1 permutes the numbers below
// radix^k, which are hardly more than n, and is done again until the result is
// below n. From a number below n that has to come, for the cycle leads back to
// it. As (radix-1)^k < n, a round misses with a probability of less than k/radix:
// n > 65536^(k-2) makes radix at least 1000 for k = 2, 257 for k = 4, 1626 for
// k = 6 and ever larger, so that the worst is 4/257.
func (d *domain) crypt(s *scratch, decrypt bool) error {
	s.digits = append(s.digits[:0], make([]uint16, d.k)...)
	for i := d.k - 1; i >= 0; i-- {
		var digit uint64
		s.x, digit = divMod(s.x, d.radix)
		s.digits[i] = uint16(digit)
	}
	for range maxWalk {
		if err := cryptFF1(d.cipher, s.digits, s.tweak, decrypt); err != nil {
			return err
		}
		s.x = s.x[:0]
		for _, digit := range s.digits {
			s.x = mulAdd(s.x, d.radix, uint64(digit))
		}
		if less(s.x, d.n) {
			return nil
		}
	}
	return errWalk
}

var errWalk = fmt.Errorf("fpe: cycle walking took more than %d rounds", maxWalk)

// cryptWord is crypt for numbers of one word, in less time.
func (d *domain) cryptWord(s *scratch, decrypt bool) (err error) {
	var x uint64
	if len(s.x) > 0 {
		x = s.x[0]
	}
	crypt := d.cipher.EncryptInteger
	if decrypt {
		crypt = d.cipher.DecryptInteger
	}
	for range maxWalk {
		if x, err = crypt(x, d.k, s.tweak); err != nil {
			return err
		}
		if x < d.n[0] {
			s.x = mulAdd(s.x[:0], 0, x)
			return nil
		}
	}
	return errWalk
}

func (c *Cipher) domain(n []uint64) (*domain, error) {
	var room [64]byte
	key := room[:0]
	for _, w := range n {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	if d := (*c.domains.Load())[string(key)]; d != nil {
		return d, nil
	}
	d, err := c.newDomain(n)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := *c.domains.Load(); len(old) < maxDomains {
		all := maps.Clone(old)
		all[string(key)] = d
		c.domains.Store(&all)
	}
	return d, nil
}

// newDomain chooses the least even k for which 65536^k reaches n, and with it the
// least radix: even, so that FF1's halves are as large as each other.
func (c *Cipher) newDomain(n []uint64) (*domain, error) {
	d := &domain{n: append([]uint64(nil), n...)}
	size := new(big.Int)
	for i := len(n) - 1; i >= 0; i-- {
		size.Or(size.Lsh(size, 64), new(big.Int).SetUint64(n[i]))
	}
	last := new(big.Int).Sub(size, big.NewInt(1))
	d.k = 2 * ((last.BitLen() + 31) / 32)
	lo, hi := uint64(2), uint64(ff1.MaxRadix)
	for lo < hi {
		mid, power := (lo+hi)/2, new(big.Int)
		if power.Exp(power.SetUint64(mid), big.NewInt(int64(d.k)), nil).Cmp(size) >= 0 {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	d.radix = lo
	d.word = d.k == 2 || d.k == 4 && lo < ff1.MaxRadix
	var err error
	d.cipher, err = c.newFF1(int(d.radix))
	return d, err
}

package ff1_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/token/ff1"
)

// reference is FF1 as algorithms 7 and 8 of NIST SP 800-38G write it down, in
// big integers and numeral strings, with the standard's names.
type reference struct {
	ciph  cipher.Block
	radix int
}

func newReference(t testing.TB, key []byte, radix int) reference {
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	return reference{block, radix}
}

func (r reference) encrypt(x []uint16, tweak []byte) []uint16 {
	u := len(x) / 2
	a, b := slices.Clone(x[:u]), slices.Clone(x[u:])
	for i := range 10 {
		m := []int{u, len(x) - u}[i%2]
		c := new(big.Int).Add(r.num(a), r.y(i, b, len(x), tweak))
		a, b = b, r.str(c.Mod(c, r.power(m)), m)
	}
	return append(a, b...)
}

func (r reference) decrypt(x []uint16, tweak []byte) []uint16 {
	u := len(x) / 2
	a, b := slices.Clone(x[:u]), slices.Clone(x[u:])
	for i := 9; i >= 0; i-- {
		m := []int{u, len(x) - u}[i%2]
		c := new(big.Int).Sub(r.num(b), r.y(i, a, len(x), tweak))
		b, a = a, r.str(c.Mod(c, r.power(m)), m)
	}
	return append(a, b...)
}

// y does steps 3 to 6 iv. The ceiling of v*log2(radix) is found by counting
// powers of two.
func (r reference) y(i int, half []uint16, n int, tweak []byte) *big.Int {
	u, t := n/2, len(tweak)
	bits, power := 0, r.power(n-u)
	for two := big.NewInt(1); two.Cmp(power) < 0; two.Lsh(two, 1) {
		bits++
	}
	b := (bits + 7) / 8
	d := 4*((b+3)/4) + 4

	p := []byte{1, 2, 1}
	p = append(p, bytesOf(r.radix, 3)...)
	p = append(p, 10, byte(u%256))
	p = append(p, bytesOf(n, 4)...)
	p = append(p, bytesOf(t, 4)...)
	q := slices.Clone(tweak)
	for (len(q)+1+b)%16 != 0 {
		q = append(q, 0)
	}
	q = append(q, byte(i))
	q = append(q, r.num(half).FillBytes(make([]byte, b))...)

	last := r.prf(append(p, q...))
	s := slices.Clone(last)
	for j := 1; len(s) < d; j++ {
		counter := bytesOf(j, 16)
		for k := range counter {
			counter[k] ^= last[k]
		}
		r.ciph.Encrypt(counter, counter)
		s = append(s, counter...)
	}
	return new(big.Int).SetBytes(s[:d])
}

func (r reference) prf(x []byte) []byte {
	y := make([]byte, 16)
	for ; len(x) > 0; x = x[16:] {
		for k := range y {
			y[k] ^= x[k]
		}
		r.ciph.Encrypt(y, y)
	}
	return y
}

func (r reference) num(x []uint16) *big.Int {
	n := new(big.Int)
	for _, digit := range x {
		n.Mul(n, big.NewInt(int64(r.radix)))
		n.Add(n, big.NewInt(int64(digit)))
	}
	return n
}

func (r reference) str(n *big.Int, m int) []uint16 {
	x, digit := make([]uint16, m), new(big.Int)
	for i := m - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(int64(r.radix)), digit)
		x[i] = uint16(digit.Int64())
	}
	return x
}

func (r reference) power(m int) *big.Int {
	return new(big.Int).Exp(big.NewInt(int64(r.radix)), big.NewInt(int64(m)), nil)
}

func bytesOf(x, size int) []byte { return big.NewInt(int64(x)).FillBytes(make([]byte, size)) }

// requireReference compares both directions for one random value.
func requireReference(t testing.TB, rnd *rand.Rand, keySize, radix, n, tweakLen int) {
	key, tweak := randomBytes(rnd, keySize), randomBytes(rnd, tweakLen)
	x := make([]uint16, n)
	for i := range x {
		x[i] = uint16(rnd.IntN(radix))
	}
	switch rnd.IntN(8) { // the edges of the integer arithmetic
	case 0:
		clear(x)
	case 1:
		for i := range x {
			x[i] = uint16(radix - 1)
		}
	}
	c, r := newCipher(t, key, radix), newReference(t, key, radix)
	encrypted, decrypted := r.encrypt(x, tweak), r.decrypt(x, tweak)
	about := fmt.Sprintf("radix %d, %d numerals, tweak of %d, key of %d", radix, n, tweakLen, keySize)
	got, err := c.Encrypt(nil, x, tweak)
	require.NoError(t, err)
	require.Equal(t, encrypted, got, "encrypt: %s", about)
	got, err = c.Decrypt(nil, x, tweak)
	require.NoError(t, err)
	require.Equal(t, decrypted, got, "decrypt: %s", about)
	requireForms(t, r, c, x, encrypted, decrypted, tweak, about)
}

// requireForms compares what is done for text and integers.
func requireForms(t testing.TB, r reference, c *ff1.Cipher, x, encrypted, decrypted []uint16, tweak []byte, about string) {
	if r.radix <= len(ascii) {
		a := newAlphabet(t, ascii[:r.radix])
		text := a.AppendText(nil, x)
		got, err := c.AppendEncrypt(nil, a, text, tweak)
		require.NoError(t, err)
		require.Equal(t, string(a.AppendText(nil, encrypted)), string(got), "encrypt text: %s", about)
		got, err = c.AppendDecrypt(text[:0], a, text, tweak)
		require.NoError(t, err)
		require.Equal(t, string(a.AppendText(nil, decrypted)), string(got), "decrypt text: %s", about)
	}
	if r.power(len(x)).BitLen() <= 64 {
		got, err := c.EncryptInteger(r.num(x).Uint64(), len(x), tweak)
		require.NoError(t, err)
		require.Equal(t, r.num(encrypted).Uint64(), got, "encrypt integer: %s", about)
		got, err = c.DecryptInteger(r.num(x).Uint64(), len(x), tweak)
		require.NoError(t, err)
		require.Equal(t, r.num(decrypted).Uint64(), got, "decrypt integer: %s", about)
	}
}

const ascii = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

var keySizes = []int{16, 24, 32}

func TestReferenceRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const values = 4000
	for range values {
		radix := 2 + rnd.IntN(1<<(1+rnd.IntN(16))-1)
		minLen := newCipher(t, make([]byte, 16), radix).MinLen()
		requireReference(t, rnd, keySizes[rnd.IntN(3)], radix, minLen+rnd.IntN(70), rnd.IntN(50))
	}
	t.Logf("%d random values equal the reference both ways", values)
}

// TestReferenceBoundaries goes over the lengths at which the integers change
// from one word to two and from two words to many, and at which b or d change,
// for many radixes and every alignment of the tweak.
func TestReferenceBoundaries(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	radixes := []int{2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 26, 32, 36, 62, 64, 85, 100, 128, 255, 256, 257, 999, 1000, 1001,
		1 << 12, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1<<16 - 1, 1 << 16}
	values := 0
	for _, radix := range radixes {
		r := reference{radix: radix}
		minLen := newCipher(t, make([]byte, 16), radix).MinLen()
		for n := minLen; ; n++ {
			v, half := n-n/2, 0
			for half = 0; r.power(v).BitLen() > half+1; {
				half++
			}
			if half > 300 {
				break
			}
			near := false
			for _, edge := range []int{8, 16, 24, 32, 40, 48, 56, 64, 72, 96, 104, 120, 128, 136, 256} {
				// Halves within two numerals of the edge.
				near = near || r.power(v+2).BitLen() > edge && r.power(max(0, v-2)).BitLen() <= edge+1
			}
			if !near {
				continue
			}
			for _, tweakLen := range []int{rnd.IntN(16), 16 + rnd.IntN(16)} {
				requireReference(t, rnd, keySizes[values%3], radix, n, tweakLen)
				values++
			}
		}
	}
	for tweakLen := range 50 {
		for _, n := range []int{6, 10, 16, 19, 28, 36, 37, 38, 64, 76, 77, 80} {
			requireReference(t, rnd, 32, 10, n, tweakLen)
			values++
		}
	}
	t.Logf("%d values at the boundaries equal the reference both ways", values)
}

// TestReferencePowers has for each length the radixes whose powers are the last
// up to, and the first above, the numbers at which the integers change or b or d
// does, with tweaks around whole blocks, up to the longest.
func TestReferencePowers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	tweaks, values := []int{0, 6, 7, 8, 11, 12, 15, 16, 17, 23, 31, 32, 33, 127, 128, 129, 4079, 4080, 4095, 4096}, 0
	for v := 1; v <= 128; v++ {
		for _, edge := range []int{32, 40, 61, 62, 63, 64, 65, 96, 127, 128, 129} {
			limit := new(big.Int).Lsh(big.NewInt(1), uint(edge))
			below := sort.Search(1<<16, func(radix int) bool {
				return reference{radix: radix + 1}.power(v).Cmp(limit) > 0
			})
			for _, radix := range []int{below, below + 1} {
				for n := 2*v - 3; n <= 2*v; n++ {
					if radix < 2 || radix > 1<<16 || n < newCipher(t, make([]byte, 16), radix).MinLen() {
						continue
					}
					requireReference(t, rnd, keySizes[values%3], radix, n, tweaks[values%len(tweaks)])
					values++
				}
			}
		}
	}
	t.Logf("%d values at the powers equal the reference both ways", values)
}

// TestReferenceLong has the greatest length, in all kinds of radix.
func TestReferenceLong(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, radix := range []int{2, 10, 1 << 16} {
		requireReference(t, rnd, 32, radix, 4096, 4096)
		requireReference(t, rnd, 32, radix, 4095, 4095)
	}
}

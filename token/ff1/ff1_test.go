package ff1_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/token/ff1"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		keySize, radix int
		ok             bool
	}{
		{16, 10, true}, {24, 10, true}, {32, 10, true}, {32, 2, true}, {32, 65536, true},
		{0, 10, false}, {15, 10, false}, {33, 10, false}, {64, 10, false},
		{32, 1, false}, {32, 0, false}, {32, -10, false}, {32, 65537, false},
	} {
		cipher, err := ff1.New(make([]byte, c.keySize), c.radix)
		require.Equal(t, c.ok, err == nil, "%+v: %v", c, err)
		require.Equal(t, c.ok, cipher != nil)
	}
}

func TestMinLen(t *testing.T) {
	for radix, minLen := range map[int]int{2: 20, 3: 13, 10: 6, 16: 5, 26: 5, 31: 5, 32: 4, 36: 4, 99: 4, 100: 3, 256: 3, 999: 3, 1000: 2, 65536: 2} {
		c := newCipher(t, make([]byte, 16), radix)
		require.Equal(t, minLen, c.MinLen(), "radix %d", radix)
		for n := range minLen {
			_, err := c.Encrypt(nil, make([]uint16, n), nil)
			require.ErrorIs(t, err, ff1.ErrDomain)
			_, err = c.Decrypt(nil, make([]uint16, n), nil)
			require.ErrorIs(t, err, ff1.ErrDomain)
		}
		_, err := c.Encrypt(nil, make([]uint16, minLen), nil)
		require.NoError(t, err)
	}
}

func TestTooLong(t *testing.T) {
	c, a := newCipher(t, make([]byte, 16), 10), newAlphabet(t, digits)
	long, longest := strings.Repeat("0", ff1.MaxLen+1), strings.Repeat("0", ff1.MaxLen)
	_, err := c.Encrypt(nil, make([]uint16, ff1.MaxLen+1), nil)
	require.ErrorIs(t, err, ff1.ErrTooLong)
	_, err = c.EncryptString(a, long, nil)
	require.ErrorIs(t, err, ff1.ErrTooLong)
	_, err = c.AppendDecrypt(nil, a, []byte(long+long), nil)
	require.ErrorIs(t, err, ff1.ErrTooLong)
	_, err = c.EncryptString(a, digits, make([]byte, ff1.MaxTweakLen+1))
	require.ErrorIs(t, err, ff1.ErrTooLong)
	_, err = c.EncryptString(a, longest, make([]byte, ff1.MaxTweakLen))
	require.NoError(t, err)
}

// TestOutside has values with something else than the alphabet's characters at
// a known place. The errors say where and do not show it.
func TestOutside(t *testing.T) {
	c, a := newCipher(t, make([]byte, 16), 10), newAlphabet(t, digits)
	for s, position := range map[string]int{
		"-1234567": 0, "+1234567": 0, "1234567x": 7, "123 4567": 3, "1234567\n": 7, "12345678\x00": 8,
		"1234567\xff": 7, "1234567\ufffd": 7, "12345670\u0661": 8, "1234567\u00b2": 7, "\ufeff1234567": 0, "7x": 1,
	} {
		_, err := c.EncryptString(a, s, nil)
		requirePosition(t, err, position, s)
		_, err = c.DecryptString(a, s, nil)
		requirePosition(t, err, position, s)
		out, err := c.AppendEncrypt([]byte("dst"), a, []byte(s), nil)
		requirePosition(t, err, position, s)
		require.Nil(t, out)
	}
	for _, x := range []uint16{10, 11, 255, 256, 65535} {
		_, err := c.Encrypt(nil, []uint16{1, 2, 3, 4, 5, 6, x}, nil)
		requirePosition(t, err, 6, "")
		_, err = c.Decrypt(nil, []uint16{x, 2, 3, 4, 5, 6, 7}, nil)
		requirePosition(t, err, 0, "")
	}
}

func requirePosition(t *testing.T, err error, position int, value string) {
	var outside *ff1.NumeralError
	require.ErrorAs(t, err, &outside, "%q", value)
	require.Equal(t, position, outside.Position, "%q", value)
	require.Equal(t, fmt.Sprintf("ff1: the value is outside the alphabet at position %d", position), err.Error())
}

func TestAlphabet(t *testing.T) {
	for name, s := range map[string]string{
		"empty": "", "one character": "0", "one long character": "é", "twice": "0120", "twice beyond ASCII": "éaé",
		"no UTF-8": "01\xff", "a surrogate": "01\xed\xa0\x80", "too many": allRunes(ff1.MaxRadix + 1),
	} {
		a, err := ff1.NewAlphabet(s)
		require.Error(t, err, name)
		require.Nil(t, a, name)
	}
	for _, s := range []string{"01", digits, "αβγδεζηθικλμνξοπρστυφχψω", "0\ufffd", "🂡🂢🂣é1", allRunes(ff1.MaxRadix)} {
		a := newAlphabet(t, s)
		require.Equal(t, len([]rune(s)), a.Len())
		c := newCipher(t, make([]byte, 32), a.Len())
		value := string([]rune(strings.Repeat(s, c.MinLen()))[:c.MinLen()+3])
		ct, err := c.EncryptString(a, value, nil)
		require.NoError(t, err)
		require.NotEqual(t, value, ct)
		pt, err := c.DecryptString(a, ct, nil)
		require.NoError(t, err)
		require.Equal(t, value, pt)
	}
	_, err := newCipher(t, make([]byte, 32), 36).EncryptString(newAlphabet(t, digits), digits, nil)
	require.EqualError(t, err, "ff1: an alphabet of 10 characters for radix 36")
}

// allRunes returns the first n characters of Unicode.
func allRunes(n int) string {
	var runes []rune
	for r := rune(0); len(runes) < n; r++ {
		if r < 0xd800 || r > 0xdfff {
			runes = append(runes, r)
		}
	}
	return string(runes)
}

// TestForms holds all forms of one encryption against each other, appending to
// what is there, in place, and with inputs left as they were.
func TestForms(t *testing.T) {
	c, a, tweak := newCipher(t, make([]byte, 32), 10), newAlphabet(t, digits), []byte("tweak")
	want, err := c.EncryptString(a, digits, tweak)
	require.NoError(t, err)

	value := []byte(digits)
	out, err := c.AppendEncrypt([]byte("dst "), a, value, tweak)
	require.NoError(t, err)
	require.Equal(t, "dst "+want, string(out))
	require.Equal(t, digits, string(value))
	require.Equal(t, "tweak", string(tweak))
	out, err = c.AppendEncrypt(value[:0], a, value, tweak)
	require.NoError(t, err)
	require.Equal(t, want, string(out))
	require.Equal(t, want, string(value), "in place")
	out, err = c.AppendDecrypt(value[:0], a, value, tweak)
	require.NoError(t, err)
	require.Equal(t, digits, string(out))

	numerals := []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	got, err := c.Encrypt([]uint16{77}, numerals, tweak)
	require.NoError(t, err)
	require.EqualValues(t, 77, got[0])
	require.Equal(t, []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, numerals)
	require.Equal(t, "dst "+want, string(a.AppendText([]byte("dst "), got[1:])))
	parsed, err := a.AppendNumerals([]uint16{77}, []byte(want))
	require.NoError(t, err)
	require.Equal(t, got, parsed)
	parsed, err = a.AppendNumerals(nil, []byte("12x"))
	requirePosition(t, err, 2, "12x")
	require.Nil(t, parsed)
	require.Panics(t, func() { a.AppendText(nil, []uint16{10}) })
	_, err = c.Encrypt(numerals[:0], numerals, tweak)
	require.NoError(t, err)
	require.Equal(t, got[1:], numerals, "in place")

	seen := map[string]bool{want: true}
	for _, other := range [][]byte{nil, {0}, {0, 0}, []byte("tweak\x00"), []byte("Tweak")} {
		ct, err := c.EncryptString(a, digits, other)
		require.NoError(t, err)
		require.False(t, seen[ct], "tweak %q", other)
		seen[ct] = true
	}
}

func TestInteger(t *testing.T) {
	c, tweak := newCipher(t, make([]byte, 32), 10), []byte("tweak")
	for _, n := range []int{6, 7, 16, 19} {
		size := uint64(1)
		for range n {
			size *= 10
		}
		for _, x := range []uint64{0, 1, size / 3, size - 1} {
			y, err := c.EncryptInteger(x, n, tweak)
			require.NoError(t, err)
			want, err := c.EncryptString(newAlphabet(t, digits), fmt.Sprintf("%0*d", n, x), tweak)
			require.NoError(t, err)
			require.Equal(t, want, fmt.Sprintf("%0*d", n, y))
			y, err = c.DecryptInteger(y, n, tweak)
			require.NoError(t, err)
			require.Equal(t, x, y)
		}
		for _, x := range []uint64{size, size + 1, math.MaxUint64} {
			_, err := c.EncryptInteger(x, n, tweak)
			requirePosition(t, err, 0, "")
		}
	}
	for n, want := range map[int]error{-1: ff1.ErrDomain, 0: ff1.ErrDomain, 5: ff1.ErrDomain, 20: ff1.ErrTooLong, ff1.MaxLen + 1: ff1.ErrTooLong} {
		_, err := c.EncryptInteger(0, n, tweak)
		require.ErrorIs(t, err, want)
		_, err = c.DecryptInteger(0, n, tweak)
		require.ErrorIs(t, err, want)
	}
	_, err := c.EncryptInteger(0, 6, make([]byte, ff1.MaxTweakLen+1))
	require.ErrorIs(t, err, ff1.ErrTooLong)
	_, err = newCipher(t, make([]byte, 32), 1<<16).EncryptInteger(0, 4, nil)
	require.ErrorIs(t, err, ff1.ErrTooLong, "2^64 is no number of 64 bits")
}

// TestBatch holds batches of all sizes, lengths and tweaks against single
// encryptions.
func TestBatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	batches, total := 0, 0
	for _, radix := range []int{2, 10, 36, 1 << 16} {
		c := newCipher(t, randomBytes(rnd, 32), radix)
		for size := range 40 {
			var values, want [][]uint16
			var tweaks [][]byte
			n := c.MinLen()
			for range size {
				if rnd.IntN(5) == 0 {
					n = c.MinLen() + rnd.IntN(60)
				}
				x := make([]uint16, n)
				for i := range x {
					x[i] = uint16(rnd.IntN(radix))
				}
				tweak := randomBytes(rnd, rnd.IntN(40))
				y, err := c.Encrypt(nil, x, tweak)
				require.NoError(t, err)
				values, want, tweaks = append(values, x), append(want, y), append(tweaks, tweak)
			}
			plain := clone(values)
			require.NoError(t, c.EncryptBatch(values, tweaks))
			require.Equal(t, want, values)
			require.NoError(t, c.DecryptBatch(values, tweaks))
			require.Equal(t, plain, values)
			batches, total = batches+1, total+size
		}
	}
	t.Logf("%d batches of %d values equal single encryptions", batches, total)

	c := newCipher(t, make([]byte, 32), 10)
	good := []uint16{0, 1, 2, 3, 4, 5, 6}
	for _, bad := range [][]uint16{{1, 2, 3}, {1, 2, 3, 4, 5, 6, 10}, make([]uint16, ff1.MaxLen+1), nil} {
		values := [][]uint16{good, bad}
		before := clone(values)
		require.ErrorContains(t, c.EncryptBatch(values, make([][]byte, 2)), "value 1")
		require.ErrorContains(t, c.DecryptBatch(values, make([][]byte, 2)), "value 1")
		require.Equal(t, before, values, "nothing is changed")
	}
	require.Error(t, c.EncryptBatch([][]uint16{good}, nil))
}

// TestASCIIBatch compares batches of text, of lengths that share lanes or do not, with
// single encryptions.
func TestASCIIBatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for _, characters := range []string{"01", digits, base36} {
		c, a := newCipher(t, randomBytes(rnd, 32), len(characters)), newAlphabet(t, characters)
		for size := range 40 {
			var values, want, plain, tweaks [][]byte
			n := c.MinLen()
			for range size {
				if rnd.IntN(8) == 0 {
					n = c.MinLen() + rnd.IntN(60)
				}
				x := make([]byte, n)
				for i := range x {
					x[i] = characters[rnd.IntN(len(characters))]
				}
				tweak := randomBytes(rnd, rnd.IntN(40))
				y, err := c.AppendEncrypt(nil, a, x, tweak)
				require.NoError(t, err)
				values, plain, want, tweaks = append(values, x), append(plain, bytes.Clone(x)), append(want, y), append(tweaks, tweak)
			}
			require.NoError(t, c.EncryptASCIIBatch(a, values, tweaks))
			require.Equal(t, want, values)
			require.NoError(t, c.DecryptASCIIBatch(a, values, tweaks))
			require.Equal(t, plain, values)
		}
	}

	c, a := newCipher(t, make([]byte, 32), 10), newAlphabet(t, digits)
	for _, bad := range []string{"123", "123456x", "123456\xff", strings.Repeat("1", ff1.MaxLen+1), ""} {
		values := [][]byte{[]byte("0123456"), []byte(bad)}
		require.ErrorContains(t, c.EncryptASCIIBatch(a, values, make([][]byte, 2)), "value 1")
		require.ErrorContains(t, c.DecryptASCIIBatch(a, values, make([][]byte, 2)), "value 1")
		require.Equal(t, "0123456", string(values[0]), "nothing is changed")
		require.Equal(t, bad, string(values[1]))
	}
	good := [][]byte{[]byte("0123456")}
	require.ErrorContains(t, c.EncryptASCIIBatch(a, good, nil), "tweaks")
	require.ErrorContains(t, c.EncryptASCIIBatch(newAlphabet(t, base36), good, make([][]byte, 1)), "36 characters")
	require.ErrorContains(t, c.EncryptASCIIBatch(newAlphabet(t, "012345678é"), good, make([][]byte, 1)), "ASCII")
	require.ErrorIs(t, c.EncryptASCIIBatch(a, good, [][]byte{make([]byte, ff1.MaxTweakLen+1)}), ff1.ErrTooLong)
}

func clone(values [][]uint16) [][]uint16 {
	out := make([][]uint16, len(values))
	for i, x := range values {
		out[i] = append([]uint16(nil), x...)
	}
	if len(values) == 0 {
		return nil
	}
	return out
}

// TestBijection encrypts every value of a domain: each comes up once.
func TestBijection(t *testing.T) {
	for _, c := range []struct{ radix, n, domain int }{{10, 6, 1_000_000}, {2, 20, 1 << 20}, {1024, 2, 1 << 20}, {1000, 2, 1_000_000}} {
		cipher, seen := newCipher(t, []byte("an AES-128 key.."), c.radix), make([]bool, c.domain)
		x, y := make([]uint16, c.n), make([]uint16, 0, c.n)
		count, fixed := 0, 0
		for value := range c.domain {
			for i, rest := c.n-1, value; i >= 0; i-- {
				x[i], rest = uint16(rest%c.radix), rest/c.radix
			}
			var err error
			if y, err = cipher.Encrypt(y[:0], x, nil); err != nil {
				t.Fatal(err)
			}
			image := 0
			for _, digit := range y {
				image = image*c.radix + int(digit)
			}
			if !seen[image] {
				seen[image] = true
				count++
			}
			if image == value {
				fixed++
			}
		}
		require.Equal(t, c.domain, count)
		require.Less(t, fixed, 12, "a random permutation has one fixed point on average")
		t.Logf("radix %d, %d numerals: %d values, %d different images, %d fixed points", c.radix, c.n, c.domain, count, fixed)
	}
}

// TestConcurrent uses one cipher from 16 goroutines, with values of all widths
// and changing lengths of tweak.
func TestConcurrent(t *testing.T) {
	const goroutines, operations = 16, 1_000_000
	c := newCipher(t, make([]byte, 32), 10)
	type vector struct{ x, y []uint16 }
	tweak := make([]byte, 40)
	var vectors []vector
	for n := 6; n < 90; n += 7 {
		x := make([]uint16, n)
		for i := range x {
			x[i] = uint16(i * n % 10)
		}
		y := newReference(t, make([]byte, 32), 10).encrypt(x, tweak[:n%40])
		vectors = append(vectors, vector{x, y})
	}
	var wrong, done atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			var out []uint16
			for i := range operations / goroutines / 2 {
				v := vectors[(g+i)%min(len(vectors), 4+i%64)]
				n := len(v.x)
				var err error
				if out, err = c.Encrypt(out[:0], v.x, tweak[:n%40]); err != nil || !equal(out, v.y) {
					wrong.Add(1)
				}
				if out, err = c.Decrypt(out[:0], v.y, tweak[:n%40]); err != nil || !equal(out, v.x) {
					wrong.Add(1)
				}
				done.Add(2)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, operations, done.Load())
	require.Zero(t, wrong.Load())
	t.Logf("%d goroutines, %d operations, %d wrong", goroutines, done.Load(), wrong.Load())
}

func equal(a, b []uint16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestAllocations also changes the length each time.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	c, a, tweak := newCipher(t, make([]byte, 32), 10), newAlphabet(t, digits), make([]byte, 8)
	value, dst, i := []byte(strings.Repeat("4", 64)), make([]byte, 0, 64), 0
	numerals := make([]uint16, 16)
	batch := [][]uint16{make([]uint16, 16), make([]uint16, 16)}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		i++
		n := 6 + i%30
		dst, _ = c.AppendEncrypt(dst[:0], a, value[:n], tweak[:i%8])
		dst, _ = c.AppendDecrypt(dst[:0], a, value[:n+28], tweak[:i%8])
		numerals, _ = c.Encrypt(numerals[:0], numerals, tweak)
		_ = c.EncryptBatch(batch, [][]byte{tweak, tweak})
		_ = c.EncryptASCIIBatch(a, [][]byte{value[:n]}, [][]byte{tweak})
		_, _ = c.EncryptInteger(uint64(i), 6+i%10, tweak)
	}))
	require.EqualValues(t, 1, testing.AllocsPerRun(1000, func() {
		_, _ = c.EncryptString(a, "4000001234567899", tweak)
	}))
}

// TestPrinting shows that no way of printing a used cipher has the key, or the value.
func TestPrinting(t *testing.T) {
	key := []byte("\xde\xad\xbe\xef\xca\xfe\xba\xbeKj3vQz9LmXw2RtYb8HnPc5Gd")
	const value = "qzxkvwjprbtgymhcndlfsaue"
	c, a := newCipher(t, key, 26), newAlphabet(t, "abcdefghijklmnopqrstuvwxyz")
	_, err := c.EncryptString(a, value, []byte("a tweak"))
	require.NoError(t, err)
	leaktest.Check(t, map[string][]byte{"key": key, "value": []byte(value)}, map[string]any{"cipher": c, "alphabet": a})
}

// TestFIPSOnly runs the NIST samples in a process of its own in FIPS-only mode.
func TestFIPSOnly(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestNIST$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestNIST")
}

func TestReduce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	word := func() uint64 { // often all zeros or ones in one end
		x := rnd.Uint64() >> rnd.IntN(64)
		switch rnd.IntN(4) {
		case 0:
			return ^x
		case 1:
			return ^uint64(0)
		}
		return x
	}
	const numbers = 300_000
	for range numbers {
		n64 := 2 + word()>>8%(1<<56-1)
		a, minus := word()%n64, rnd.IntN(2) == 1
		blocks, sum := make([][]byte, 5), bigOf(a)
		for i := range blocks { // as many as a half of a value has
			blocks[i] = binary.BigEndian.AppendUint64(nil, word())
			if rnd.IntN(2) == 1 {
				blocks[i] = binary.BigEndian.AppendUint32(blocks[i], uint32(word()))
			}
			y := new(big.Int).SetBytes(blocks[i])
			if minus {
				y.Neg(y)
			}
			sum.Add(sum, y)
		}
		require.Equal(t, sum.Mod(sum, bigOf(n64)).Uint64(), ff1.Add64(n64, a, minus, blocks...), "%d, %x mod %d, minus %v", a, blocks, n64, minus)
		x := word()
		require.Equal(t, x/n64, ff1.Quotient64(x, n64), "%d/%d", x, n64)

		x2, x1, x0 := word()>>32, word(), word()
		n := bigOf(word()>>rnd.IntN(65), max(1, word()))
		want := bigOf(x2, x1, x0)
		require.Zero(t, want.Mod(want, n).Cmp(ff1.Reduce128(n, x2, x1, x0)), "%x %x %x mod %x", x2, x1, x0, n)
	}
	t.Logf("%d results of each width equal math/big's", numbers)
}

func bigOf(words ...uint64) *big.Int {
	n := new(big.Int)
	for _, w := range words {
		n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(w))
	}
	return n
}

func TestErrorsHoldNoValue(t *testing.T) {
	c, a := newCipher(t, make([]byte, 16), 10), newAlphabet(t, digits)
	for _, s := range []string{"93717", "9371731x", strings.Repeat("93717", 1000)} {
		_, err := c.EncryptString(a, s, []byte("93717"))
		require.Error(t, err)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "93717")
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), hex.EncodeToString([]byte("93717")))
	}
}

package fpe_test

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/token/ff1"
)

// TestBijection enciphers every value of a domain: each comes up once. The
// domains are of mixed radixes, of a range with cycle walking, of card numbers
// with a digit worked out, of tables. Package ff1 has those of one radix.
func TestBijection(t *testing.T) {
	digits := func(b []byte) int {
		n := 0
		for _, c := range b {
			n = 10*n + int(c-'0')
		}
		return n
	}
	epoch := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		format string
		o      fpe.Options
		n      int
		value  func(dst []byte, i int) []byte
		index  func(value []byte) int
	}{
		{"int:0..1000003", fpe.Options{}, 1_000_004, appendInt, digits},
		{"[A-K][0-9]{5}", fpe.Options{}, 1_100_000,
			func(dst []byte, i int) []byte {
				return append(append(dst, 'A'+byte(i/100_000)), appendSix(nil, i%100_000)[1:]...)
			},
			func(v []byte) int { return int(v[0]-'A')*100_000 + digits(v[1:]) }},
		{"pan-bin6", fpe.Options{}, 1_000_000,
			func(dst []byte, i int) []byte { return luhnComplete(appendSix(append(dst, "411111"...), i)) },
			func(v []byte) int { return digits(v[6:12]) }},
		{"int:0..999998", fpe.Options{Permute: true}, 999_999, appendInt, digits},
		{"[0-9]{2-3}", fpe.Options{Permute: true}, 1_000, func(dst []byte, i int) []byte { return append(dst, appendSix(nil, i)[3:]...) }, digits},
		{"date:1900-01-01..2099-12-31", fpe.Options{Permute: true}, 73_049,
			func(dst []byte, i int) []byte { return epoch.AddDate(0, 0, i).AppendFormat(dst, time.DateOnly) },
			func(v []byte) int {
				day, err := time.Parse(time.DateOnly, string(v))
				require.NoError(t, err)
				return int(day.Sub(epoch).Hours() / 24)
			}},
	} {
		t.Run(c.format, func(t *testing.T) {
			cipher, seen, count, fixed := newCipher(t, c.format, c.o), make([]bool, c.n), 0, 0
			var value, token []byte
			for i := range c.n {
				var err error
				value = c.value(value[:0], i)
				if token, err = cipher.Append(token[:0], value, false); err != nil {
					t.Fatal(err)
				}
				image := c.index(token)
				if image == i {
					fixed++
				}
				if !seen[image] {
					seen[image] = true
					count++
				}
				if i%1009 == 0 {
					require.Equal(t, string(value), crypt(t, cipher, string(token), true))
				}
			}
			require.Equal(t, c.n, count)
			require.Less(t, fixed, 12, "a random permutation has one fixed point on average")
		})
	}
}

func appendInt(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i), 10) }

// appendSix appends i as six digits.
func appendSix(dst []byte, i int) []byte {
	for power := 100_000; power > 0; power /= 10 {
		dst = append(dst, '0'+byte(i/power%10))
	}
	return dst
}

func luhnComplete(b []byte) []byte {
	b = append(b, '0')
	for !luhn(string(b)) {
		b[len(b)-1]++
	}
	return b
}

// TestReference compares numbers below N with FF1 over the radix that the
// definition gives, found by trying: the least even number of digits, then the
// least radix. Words and math/big have to agree at the borders of both.
func TestReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := []uint64{1_000_000, 1_000_001, 1 << 20, 999_983 * 999_983, 1<<32 - 1, 1 << 32, 1<<32 + 1, 257*257*257*257 + 1, 1<<63 - 1, 1<<63 + 1, 1<<64 - 1}
	for range 40 {
		sizes = append(sizes, max(1_000_000, rnd.Uint64()>>rnd.IntN(44)))
	}
	walked := 0
	for _, n := range sizes {
		c := newCipher(t, fmt.Sprintf("int:%d..%d", int64(-1<<63), int64(n-1+1<<63)), fpe.Options{})
		for range 50 {
			x := rnd.Uint64N(n)
			want, rounds := reference(t, new(big.Int).SetUint64(n), new(big.Int).SetUint64(x), nil)
			got := crypt(t, c, strconv.FormatInt(int64(x+1<<63), 10), false)
			v, err := strconv.ParseInt(got, 10, 64)
			require.NoError(t, err)
			require.Equal(t, want.Uint64(), uint64(v)-1<<63, "%d below %d", x, n)
			walked += rounds - 1
		}
	}
	require.Positive(t, walked, "some walked")

	// Of letters and digits: up to 66 characters, five words.
	for range 300 {
		letters, digits := 1+rnd.IntN(30), 6+rnd.IntN(30)
		c := newCipher(t, fmt.Sprintf("[A-Z]{%d}[0-9]{%d}", letters, digits), fpe.Options{})
		value := make([]byte, letters+digits)
		for i := range value {
			first, radix := place(i, letters)
			value[i] = first + byte(rnd.IntN(radix))
		}
		n, x := numberOf(value, letters)
		want, _ := reference(t, n, x, make([]byte, len(value)))
		_, got := numberOf([]byte(crypt(t, c, string(value), false)), letters)
		require.Zero(t, want.Cmp(got), "%d letters, %d digits", letters, digits)
	}
}

// place returns the first character and the number of them at a place of a value
// of letters and then digits.
func place(i, letters int) (first byte, radix int) {
	if i < letters {
		return 'A', 26
	}
	return '0', 10
}

// numberOf returns the value as a number, and how many there are.
func numberOf(value []byte, letters int) (n, x *big.Int) {
	n, x = big.NewInt(1), new(big.Int)
	for i, c := range value {
		first, radix := place(i, letters)
		n.Mul(n, big.NewInt(int64(radix)))
		x.Add(x.Mul(x, big.NewInt(int64(radix))), big.NewInt(int64(c-first)))
	}
	return n, x
}

func reference(t testing.TB, n, x *big.Int, tweak []byte) (*big.Int, int) {
	k := 2
	for new(big.Int).Exp(big.NewInt(65536), big.NewInt(int64(k)), nil).Cmp(n) < 0 {
		k += 2
	}
	radix := int64(2)
	for step := int64(32768); step > 0; step /= 2 { // the last that is too small
		for radix+step <= 65536 && new(big.Int).Exp(big.NewInt(radix+step-1), big.NewInt(int64(k)), nil).Cmp(n) < 0 {
			radix += step
		}
	}
	c, err := ff1.New(testKeys("test").FF1, int(radix))
	require.NoError(t, err)
	for rounds := 1; ; rounds++ {
		digits, rest, digit := make([]uint16, k), new(big.Int).Set(x), new(big.Int)
		for i := k - 1; i >= 0; i-- {
			rest.DivMod(rest, big.NewInt(radix), digit)
			digits[i] = uint16(digit.Int64())
		}
		digits, err = c.Encrypt(nil, digits, tweak)
		require.NoError(t, err)
		x = new(big.Int)
		for _, d := range digits {
			x.Add(x.Mul(x, big.NewInt(radix)), big.NewInt(int64(d)))
		}
		if x.Cmp(n) < 0 {
			return x, rounds
		}
	}
}

// TestPlainFF1 shows that a value of one class is FF1 as anybody has it.
func TestPlainFF1(t *testing.T) {
	alphabet, err := ff1.NewAlphabet("0123456789")
	require.NoError(t, err)
	plain, err := ff1.New(testKeys("test").FF1, 10)
	require.NoError(t, err)
	want, err := plain.EncryptString(alphabet, "123456789", append([]byte("ID"), make([]byte, 9)...))
	require.NoError(t, err)
	require.Equal(t, "ID"+want, crypt(t, newCipher(t, "ID[0-9]{9}", fpe.Options{}), "ID123456789", false))
}

// TestTables checks what permutations depend on, that they are kept where they
// may be, and that small domains go over into FF1 at a million.
func TestTables(t *testing.T) {
	f, err := fpe.Parse("[0-9]{3-6}")
	require.NoError(t, err)
	reserved := int64(0)
	keys := testKeys("test")
	keys.Reserve = func(n int64) bool { reserved += n; return true }
	c, err := fpe.New(f, fpe.Options{Permute: true}, keys)
	require.NoError(t, err)
	for range 2 {
		crypt(t, c, "123", false)
		crypt(t, c, "1234", false)
	}
	require.EqualValues(t, 8*11_000, reserved, "8 bytes for each number, once")
	require.Equal(t, crypt(t, newCipher(t, "[0-9]{6}", fpe.Options{}), "123456", false), crypt(t, c, "123456", false))

	keys.Reserve = func(int64) bool { return false }
	unkept, err := fpe.New(f, fpe.Options{Permute: true}, keys)
	require.NoError(t, err)
	require.Equal(t, crypt(t, c, "123", false), crypt(t, unkept, "123", false))
	other := testKeys("other")
	other.FF1 = keys.FF1
	different, err := fpe.New(f, fpe.Options{Permute: true}, other)
	require.NoError(t, err)
	require.NotEqual(t, crypt(t, c, "12345", false), crypt(t, different, "12345", false))
}

// TestTablesAreFair counts the permutations of three numbers, which are six, and
// where the first of 100 goes, over many keys.
func TestTablesAreFair(t *testing.T) {
	counts, first := map[[3]uint32]int{}, [100]int{}
	const keys = 6000
	for i := range keys {
		seed := sha256.Sum256([]byte(strconv.Itoa(i)))
		to := fpe.Table(seed[:], 3)
		counts[[3]uint32(to)]++
		first[fpe.Table(seed[:], 100)[0]]++
	}
	require.Len(t, counts, 6)
	for p, n := range counts { // standard deviation 29
		require.InDelta(t, keys/6, n, 130, "%v", p)
	}
	for _, n := range first { // standard deviation 8
		require.InDelta(t, keys/100, n, 40)
	}
}

package vectortest_test

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/token/ff1"
)

type vectorFile[V any] struct {
	Algorithm     string
	NumberOfTests int
	TestGroups    []struct {
		Alphabet string
		Radix    int
		Tests    []vector[V]
	}
}

// vector is one test; V is string, or []int of numerals.
type vector[V any] struct {
	TcID               int
	Flags              []string
	Key, Tweak, Result string
	Msg, Ct            V
}

// counts says what became of the vectors of a file.
type counts struct {
	valid     int // equal both ways
	smallRule int // valid by SP 800-38G of 2016, refused here: fewer than 1,000,000 values
	invalid   int // refused
	noNumeral int // of invalid, those that do not even fit []uint16
}

func (c *counts) add(d counts) {
	c.valid += d.valid
	c.smallRule += d.smallRule
	c.invalid += d.invalid
	c.noNumeral += d.noNumeral
}

func TestFF1(t *testing.T) {
	files, err := fs.Glob(wycheproof.TestVectors, "aes_ff1_*_test.json")
	require.NoError(t, err)
	require.Len(t, files, 22)
	var total counts
	vectors := 0
	for _, file := range files {
		data, err := fs.ReadFile(wycheproof.TestVectors, file)
		require.NoError(t, err)
		var c counts
		var n int
		if strings.HasPrefix(file, "aes_ff1_base") {
			c, n = runFile(t, data, runString)
		} else {
			c, n = runFile(t, data, runList)
		}
		require.Equal(t, n, c.valid+c.smallRule+c.invalid, file)
		t.Logf("%-30s %5d vectors: %5d equal both ways, %3d refused, being valid but of a domain below 1,000,000, %4d refused, being invalid (%d do not fit []uint16)",
			file, n, c.valid, c.smallRule, c.invalid, c.noNumeral)
		total.add(c)
		vectors += n
	}
	t.Logf("%d files, %d vectors: %d equal both ways, %d small domains and %d invalid refused (%d do not fit []uint16)",
		len(files), vectors, total.valid, total.smallRule, total.invalid, total.noNumeral)
}

func runFile[V any](t *testing.T, data []byte, run func(t *testing.T, alphabet string, radix int, v vector[V]) counts) (counts, int) {
	var file vectorFile[V]
	require.NoError(t, json.Unmarshal(data, &file))
	require.Equal(t, "AES-FF1", file.Algorithm)
	var c counts
	for _, group := range file.TestGroups {
		for _, v := range group.Tests {
			c.add(run(t, group.Alphabet, group.Radix, v))
		}
	}
	return c, file.NumberOfTests
}

func runString(t *testing.T, alphabet string, radix int, v vector[string]) counts {
	a, err := ff1.NewAlphabet(alphabet)
	require.NoError(t, err)
	require.Equal(t, radix, a.Len())
	crypt := func(s string, decrypt bool) (string, error) {
		c, err := ff1.New(unhex(t, v.Key), radix)
		if err != nil {
			return "", err
		}
		if decrypt {
			return c.DecryptString(a, s, unhex(t, v.Tweak))
		}
		return c.EncryptString(a, s, unhex(t, v.Tweak))
	}
	return check(t, v, radix, len(v.Msg), crypt)
}

func runList(t *testing.T, _ string, radix int, v vector[[]int]) counts {
	fits := func(x int) bool { return x >= 0 && x < 1<<16 }
	if slices.ContainsFunc(v.Msg, func(x int) bool { return !fits(x) }) {
		require.Equal(t, "invalid", v.Result)
		return counts{invalid: 1, noNumeral: 1}
	}
	crypt := func(x []int, decrypt bool) ([]int, error) {
		numerals := make([]uint16, len(x))
		for i := range x {
			numerals[i] = uint16(x[i])
		}
		c, err := ff1.New(unhex(t, v.Key), radix)
		if err != nil {
			return nil, err
		}
		f := c.Encrypt
		if decrypt {
			f = c.Decrypt
		}
		numerals, err = f(nil, numerals, unhex(t, v.Tweak))
		var out []int
		for _, x := range numerals {
			out = append(out, int(x))
		}
		return out, err
	}
	return check(t, v, radix, len(v.Msg), crypt)
}

// check decides from the vector alone what must happen to it.
func check[V any](t *testing.T, v vector[V], radix, n int, crypt func(x V, decrypt bool) (V, error)) counts {
	domain := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(n)), nil)
	ct, err := crypt(v.Msg, false)
	if v.Result == "valid" && domain.Cmp(big.NewInt(1_000_000)) >= 0 {
		require.NoError(t, err, "tcId %d", v.TcID)
		require.Equal(t, v.Ct, ct, "tcId %d", v.TcID)
		msg, err := crypt(v.Ct, true)
		require.NoError(t, err, "tcId %d", v.TcID)
		require.Equal(t, v.Msg, msg, "tcId %d", v.TcID)
		return counts{valid: 1}
	}
	require.Error(t, err, "tcId %d", v.TcID)
	_, err = crypt(v.Msg, true)
	require.Error(t, err, "tcId %d", v.TcID)
	if v.Result == "valid" {
		require.ErrorIs(t, err, ff1.ErrDomain)
		return counts{smallRule: 1}
	}
	if slices.Contains(v.Flags, "InvalidPlaintext") {
		var outside *ff1.NumeralError
		require.ErrorAs(t, err, &outside, "tcId %d", v.TcID)
	}
	return counts{invalid: 1}
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

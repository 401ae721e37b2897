package siv_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/sealfield/sealfield/internal/siv"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func newCipher(t testing.TB, key []byte) *siv.Cipher {
	c, err := siv.New(key)
	require.NoError(t, err)
	return c
}

// TestTink compares with Tink at every length around the block borders.
func TestTink(t *testing.T) {
	dataLengths := []int{0, 1, 15, 16, 17, 31, 32, 33, 48, 100}
	for range 3 {
		key := random(siv.KeySize)
		c := newCipher(t, key)
		oracle, err := subtle.NewAESSIV(key)
		require.NoError(t, err)
		for n := range 100 {
			for _, m := range dataLengths {
				compare(t, c, oracle, random(n), random(m))
			}
		}
		compare(t, c, oracle, random(1<<20+3), random(1<<16+1))
		compare(t, c, oracle, nil, nil)
	}
}

func compare(t testing.TB, c *siv.Cipher, oracle *subtle.AESSIV, plaintext, data []byte) {
	want, err := oracle.EncryptDeterministically(plaintext, data)
	require.NoError(t, err)
	given, givenData := bytes.Clone(plaintext), bytes.Clone(data)
	got := c.Seal([]byte("head"), plaintext, data)
	require.Equal(t, "head", string(got[:4]))
	require.Equal(t, want, got[4:], "%d bytes, %d of data", len(plaintext), len(data))
	back, ok := c.Open([]byte("head"), got[4:], data)
	require.True(t, ok)
	require.Equal(t, "head"+string(plaintext), string(back))
	require.Equal(t, given, plaintext)
	require.Equal(t, givenData, data)
}

// TestRefuses changes each bit of a sealed value, its data and its length.
func TestRefuses(t *testing.T) {
	c := newCipher(t, random(siv.KeySize))
	for _, n := range []int{0, 1, 15, 16, 17, 40} {
		plaintext, data := random(n), random(5)
		sealed := c.Seal(nil, plaintext, data)
		room := make([]byte, 4, 100)
		refuse := func(sealed, data []byte) {
			t.Helper()
			out, ok := c.Open(room, sealed, data)
			require.False(t, ok)
			require.Nil(t, out)
			require.Equal(t, make([]byte, 96), room[4:100], "plaintext was left behind")
		}
		for bit := range 8 * len(sealed) {
			changed := bytes.Clone(sealed)
			changed[bit/8] ^= 1 << (bit % 8)
			refuse(changed, data)
		}
		for bit := range 8 * len(data) {
			changed := bytes.Clone(data)
			changed[bit/8] ^= 1 << (bit % 8)
			refuse(sealed, changed)
		}
		for cut := range len(sealed) {
			refuse(sealed[:cut], data)
		}
		refuse(append(bytes.Clone(sealed), 0), data)
		refuse(sealed, nil)
		refuse(sealed, append(bytes.Clone(data), 0))
	}
	for _, n := range []int{0, 16, 32, 48, 63, 65} {
		_, err := siv.New(make([]byte, n))
		require.Error(t, err)
	}
}

func TestAllocations(t *testing.T) {
	c := newCipher(t, random(siv.KeySize))
	plaintext, data, dst := random(100), random(20), make([]byte, 0, 200)
	sealed := c.Seal(nil, plaintext, data)
	require.Zero(t, testing.AllocsPerRun(200, func() { c.Seal(dst, plaintext, data) }))
	require.Zero(t, testing.AllocsPerRun(200, func() { c.Open(dst, sealed, data) }))
}

func TestConcurrentUse(t *testing.T) {
	key := random(siv.KeySize)
	c := newCipher(t, key)
	oracle, err := subtle.NewAESSIV(key)
	require.NoError(t, err)
	var wg sync.WaitGroup
	failed := make(chan string, 8)
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				plaintext, data := fmt.Appendf(nil, "%0*d", i%40, g), fmt.Append(nil, i)
				want, err := oracle.EncryptDeterministically(plaintext, data)
				if err != nil || !bytes.Equal(want, c.Seal(nil, plaintext, data)) {
					failed <- fmt.Sprint(g, i)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, failed)
}

// TestFIPSOnly runs TestRefuses in a process of its own in FIPS-only mode. SIV
// itself is outside Go's validated module.
func TestFIPSOnly(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestRefuses$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestRefuses")
}

func FuzzTink(f *testing.F) {
	f.Add(make([]byte, 64), []byte("plaintext"), []byte("data"))
	f.Add(bytes.Repeat([]byte{0xff}, 64), make([]byte, 16), []byte{})
	f.Add(bytes.Repeat([]byte{7}, 64), make([]byte, 33), make([]byte, 17))
	f.Fuzz(func(t *testing.T, key, plaintext, data []byte) {
		c, err := siv.New(key)
		oracle, oracleErr := subtle.NewAESSIV(key)
		require.Equal(t, oracleErr == nil, err == nil)
		if err == nil {
			compare(t, c, oracle, plaintext, data)
		}
	})
}

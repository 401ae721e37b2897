package ff1_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/token/ff1"
)

const (
	digits = "0123456789"
	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func newCipher(t testing.TB, key []byte, radix int) *ff1.Cipher {
	c, err := ff1.New(key, radix)
	require.NoError(t, err)
	return c
}

func newAlphabet(t testing.TB, s string) *ff1.Alphabet {
	a, err := ff1.NewAlphabet(s)
	require.NoError(t, err)
	return a
}

// TestNIST has the nine FF1 samples that NIST publishes as "FF1samples.pdf"
// with its Cryptographic Standards and Guidelines, Examples with Intermediate
// Values.
func TestNIST(t *testing.T) {
	const key = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94"
	for i, c := range []struct {
		keySize               int
		alphabet, tweak       string
		plaintext, ciphertext string
	}{
		{16, digits, "", "0123456789", "2433477484"},
		{16, digits, "39383736353433323130", "0123456789", "6124200773"},
		{16, base36, "3737373770717273373737", "0123456789abcdefghi", "a9tv40mll9kdu509eum"},
		{24, digits, "", "0123456789", "2830668132"},
		{24, digits, "39383736353433323130", "0123456789", "2496655549"},
		{24, base36, "3737373770717273373737", "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"},
		{32, digits, "", "0123456789", "6657667009"},
		{32, digits, "39383736353433323130", "0123456789", "1001623463"},
		{32, base36, "3737373770717273373737", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"},
	} {
		cipher := newCipher(t, unhex(t, key)[:c.keySize], len(c.alphabet))
		alphabet, tweak := newAlphabet(t, c.alphabet), unhex(t, c.tweak)
		got, err := cipher.EncryptString(alphabet, c.plaintext, tweak)
		require.NoError(t, err)
		require.Equal(t, c.ciphertext, got, "sample %d", i+1)
		got, err = cipher.DecryptString(alphabet, c.ciphertext, tweak)
		require.NoError(t, err)
		require.Equal(t, c.plaintext, got, "sample %d", i+1)
	}
}

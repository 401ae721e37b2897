package xaes_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/xaes"
)

// TestVectors are those of c2sp.org/XAES-256-GCM: one key whose K1 is doubled
// with the reduction and one without.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		key                  byte
		nonce, plaintext, ad string
		ciphertext           string
	}{
		{1, "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM", "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		kdf, err := xaes.New(bytes.Repeat([]byte{v.key}, xaes.KeySize))
		require.NoError(t, err)
		opener, err := kdf.Opener((*[xaes.SaltSize]byte)([]byte(v.nonce)))
		require.NoError(t, err)
		want, err := hex.DecodeString(v.ciphertext)
		require.NoError(t, err)
		// The nonce can not be chosen when sealing, so the vectors are opened.
		got, err := opener.Open(nil, append([]byte(v.nonce[xaes.SaltSize:]), want...), []byte(v.ad))
		require.NoError(t, err)
		require.Equal(t, v.plaintext, string(got))
		sealer, err := kdf.Sealer((*[xaes.SaltSize]byte)([]byte(v.nonce)))
		require.NoError(t, err)
		sealed := sealer.Seal([]byte("head"), []byte(v.plaintext), []byte(v.ad))
		require.Len(t, sealed, 4+len(v.plaintext)+xaes.Overhead)
		got, err = opener.Open(nil, sealed[4:], []byte(v.ad))
		require.NoError(t, err)
		require.Equal(t, v.plaintext, string(got))
		want[0] ^= 1
		_, err = opener.Open(nil, append([]byte(v.nonce[xaes.SaltSize:]), want...), []byte(v.ad))
		require.Error(t, err)
	}
}

func TestKeySizes(t *testing.T) {
	for _, n := range []int{0, 15, 31, 33, 64} {
		_, err := xaes.New(make([]byte, n))
		require.Error(t, err, "%d bytes", n)
	}
}

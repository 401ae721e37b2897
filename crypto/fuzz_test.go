package crypto_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// FuzzDecrypt feeds ciphertexts of any shape to a field. The key id is replaced by
// the real one, so that the fuzzer does not stop at "unknown key".
func FuzzDecrypt(f *testing.F) {
	for _, seed := range []string{"", "\x01", "\x01\x80\x00\x00\x00", "\x02\x80\x00\x00\x00"} {
		f.Add([]byte(seed), []byte(nil))
	}
	f.Add(append([]byte{1, 0x80, 0, 0, 1}, make([]byte, 40)...), []byte("row"))
	f.Add(append([]byte{1, 0x80, 0, 0, 1}, make([]byte, 28)...), []byte{})
	var fields []*crypto.Field
	var prefixes [][]byte
	for _, a := range algorithms {
		field := newField(f, keyringtest.NewKeyring(f, func(c *keyring.Config) { c.Algorithm = a }), "f", crypto.FieldConfig{})
		ct, err := field.Encrypt(f.Context(), nil, crypto.Binding{})
		require.NoError(f, err)
		fields, prefixes = append(fields, field), append(prefixes, ct[:5])
	}
	f.Fuzz(func(t *testing.T, ct, row []byte) {
		for i, field := range fields {
			if len(ct) >= 5 && ct[0] == 1 && ct[1]&0x80 != 0 {
				copy(ct, prefixes[i])
			}
			given := bytes.Clone(ct)
			pt, err := field.Decrypt(t.Context(), ct, crypto.Binding{Row: row})
			require.Error(t, err)
			require.Nil(t, pt)
			require.Equal(t, given, ct, "the ciphertext was changed")
		}
	})
}

// FuzzText checks that a text is refused or is exactly what EncodeText writes.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "sf1.", "sf1.AQ", "sf1.AR", "sf1.AQ==", "SF1.AQ", "sf1.A\nQ", "sf1.-_-_"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ct, err := crypto.DecodeText(text)
		if err != nil {
			require.ErrorIs(t, err, crypto.ErrDecrypt)
			return
		}
		require.Equal(t, text, crypto.EncodeText(ct))
	})
}

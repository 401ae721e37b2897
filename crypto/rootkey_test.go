package crypto_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestLyingKMSIsNoRefusedCiphertext opens a good value while the KMS gives wrong
// answers. That is no fault of the value, and an operator must be told whose.
func TestLyingKMSIsNoRefusedCiphertext(t *testing.T) {
	kms := keyringtest.NewKMS()
	cfg := keyring.Config{Name: "test", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}}
	open := func(ciphertext []byte) error {
		kr, err := keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer kr.Close()
		f, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		_, err = f.Decrypt(t.Context(), ciphertext, crypto.Binding{})
		return err
	}
	kr, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	defer kr.Close()
	f, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	require.NoError(t, err)
	ciphertext, err := f.Encrypt(t.Context(), []byte("ann@example.com"), crypto.Binding{})
	require.NoError(t, err)
	for name, answer := range map[string][]byte{"empty": {}, "short": make([]byte, 31), "another key": make([]byte, 32)} {
		kms.SetHook(func(context.Context, string) ([]byte, error) { return append([]byte{}, answer...), nil })
		err := open(ciphertext)
		require.ErrorIs(t, err, keyring.ErrTampered, name)
		require.NotErrorIs(t, err, crypto.ErrDecrypt, name)
		for _, text := range []string{"customers.email", "test", kms.URI(), kr.Health().Roots[0].ID} {
			require.ErrorContains(t, err, text, name)
		}
	}
	kms.SetHook(nil)
	require.NoError(t, open(ciphertext))
	ciphertext[4] ^= 1
	require.ErrorIs(t, open(ciphertext), crypto.ErrDecrypt)
}

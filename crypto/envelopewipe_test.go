package crypto_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// remembering is a KMS that breaks its contract and remembers the key it was given.
type remembering struct {
	*keyringtest.KMS
	key []byte
}

func (k *remembering) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.key = key
	return k.KMS.Wrap(ctx, key, ec)
}

// TestKeyGivenToKMSIsWiped looks at the copy of a data key, and of a root key, that
// was made for a KMS.
func TestKeyGivenToKMSIsWiped(t *testing.T) {
	k := &remembering{KMS: keyringtest.NewKMS()}
	e, err := crypto.NewEnvelope("test", []keyring.KMS{k}, crypto.EnvelopeConfig{})
	require.NoError(t, err)
	defer e.Close()
	_, err = e.Encrypt(t.Context(), []byte("x"), keyring.EncryptionContext{"a": "b"})
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), k.key)

	k.key = nil
	kr, err := keyring.Create(t.Context(), keyring.Config{Name: "test", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{k}})
	require.NoError(t, err)
	defer kr.Close()
	require.Equal(t, make([]byte, 32), k.key)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// TestOneTimeKeyWithoutWriter: a stream that can not begin fails as its writer does.
func TestOneTimeKeyWithoutWriter(t *testing.T) {
	e, err := crypto.NewEnvelope("test", []keyring.KMS{keyringtest.NewKMS()}, crypto.EnvelopeConfig{MaxMessages: 1})
	require.NoError(t, err)
	defer e.Close()
	full := errors.New("disk full")
	_, err = e.NewWriter(t.Context(), brokenWriter{full}, keyring.EncryptionContext{"a": "b"})
	require.ErrorIs(t, err, full)
	_, err = e.Encrypt(t.Context(), []byte("x"), keyring.EncryptionContext{"a": "b"})
	require.NoError(t, err)
}

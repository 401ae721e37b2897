package keyring_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestOneKeyTwoClients gives a purpose the same KMS key through a client with
// other rights: each purpose is served by its own.
func TestOneKeyTwoClients(t *testing.T) {
	f := newFixture()
	creator := f.create(t)
	tag := use(creator, keyring.Index).mustEncrypt(t, "")
	id := use(creator, keyring.Encryption).mustEncrypt(t, "")
	search := &countingKMS{KMS: f.kms}
	f.cfg.PurposeKMS = map[keyring.Purpose][]keyring.KMS{keyring.Index: {search}}
	f.kms.SetHook(deny)
	kr := f.open(t)
	require.ErrorIs(t, use(kr, keyring.Encryption).decrypt("", id), keyring.ErrDenied)
	require.Zero(t, search.unwraps, "the right to search is no right to decrypt")
	f.kms.SetHook(nil)
	require.NoError(t, use(kr, keyring.Index).decrypt("", tag))
	require.Equal(t, 1, search.unwraps)
	h := kr.Health()
	require.Len(t, h.KMS, 1)
	require.Equal(t, keyring.Purposes(), h.KMS[0].Purposes)
	require.Equal(t, f.kms.URI(), h.KMS[0].URI)
}

// countingKMS is a client of the same key.
type countingKMS struct {
	*keyringtest.KMS
	unwraps int
}

func (k *countingKMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.unwraps++
	return k.KMS.Unwrap(ctx, wrapped, ec)
}

package keyring_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestOneWrapPerKMS has somebody who may write the store give a root a thousand
// wraps by the one KMS: it is asked once all the same.
func TestOneWrapPerKMS(t *testing.T) {
	f := newFixture()
	id := use(f.create(t), keyring.Encryption).mustEncrypt(t, "")
	f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) {
		r := &(*roots)[0]
		for i := range 1000 {
			r.Wraps = append(r.Wraps, keyring.Wrap{URI: f.kms.URI(), Wrapped: bytes.Repeat([]byte{byte(i)}, 60)})
		}
		r.Wraps[0], r.Wraps[1000] = r.Wraps[1000], r.Wraps[0]
	})
	kr := f.open(t)
	before := f.kms.Unwraps()
	err := use(kr, keyring.Encryption).decrypt("", id)
	aboutKey(t, err, id, keyring.ErrDenied)
	require.Less(t, len(err.Error()), 500)
	require.Equal(t, 1, f.kms.Unwraps()-before)
}

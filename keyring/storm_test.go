package keyring_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestRefusedColdProcessIsNoStorm has a process that starts without the right to
// a root key serve requests all the same: the KMS, which others need, and the
// store are asked 20 times, and then once a second.
func TestRefusedColdProcessIsNoStorm(t *testing.T) {
	for _, scoped := range []bool{false, true} {
		t.Run(fmt.Sprint("scoped: ", scoped), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture()
				f.cfg.Scoped = scoped
				creator := f.create(t)
				scope := func(i int) string {
					if scoped {
						return fmt.Sprint("t", i%50)
					}
					return ""
				}
				ids := make(map[string]keyring.KeyID)
				for i := range 50 {
					ids[scope(i)] = use(creator, keyring.Encryption).mustEncrypt(t, scope(i))
				}
				tag := use(creator, keyring.Index).mustEncrypt(t, scope(0))
				kr := f.open(t)
				time.Sleep(time.Second)
				f.kms.SetHook(deny)
				k := use(kr, keyring.Encryption)
				unwraps, loads := f.kms.Unwraps(), f.store.Loads.Load()
				call := func(i int) {
					if i%2 == 0 {
						err := k.decrypt(scope(i), ids[scope(i)])
						require.ErrorIs(t, err, keyring.ErrDenied)
						require.ErrorContains(t, err, f.kms.URI())
					} else {
						_, err := k.encrypt(scope(i))
						require.ErrorIs(t, err, keyring.ErrDenied)
					}
				}
				for i := range 100_000 {
					call(i)
				}
				require.LessOrEqual(t, f.kms.Unwraps()-unwraps, 20)
				require.LessOrEqual(t, f.store.Loads.Load()-loads, int64(20))
				unwraps, loads = f.kms.Unwraps(), f.store.Loads.Load()
				for i := range 1000 { // 10 s
					time.Sleep(10 * time.Millisecond)
					call(i)
				}
				require.InDelta(t, 10, f.kms.Unwraps()-unwraps, 1)
				require.InDelta(t, 10, f.store.Loads.Load()-loads, 1)

				f.kms.SetHook(nil)
				require.NoError(t, use(kr, keyring.Index).decrypt(scope(0), tag), "each root key has a limit of its own")
				time.Sleep(time.Second)
				require.NoError(t, k.decrypt(scope(0), ids[scope(0)]), "and comes back by itself")
				require.NoError(t, k.decrypt(scope(1), ids[scope(1)]))
			})
		})
	}
}

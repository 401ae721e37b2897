package keyring_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestHangingCallsAreFew has a KMS that neither answers nor respects its context
// for 8 hours, under requests: its calls can not be ended, but do not heap up.
func TestHangingCallsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		creator := f.create(t)
		id := use(creator, keyring.Encryption).mustEncrypt(t, "")
		require.NoError(t, creator.Close())
		k := use(f.open(t), keyring.Encryption)
		release := make(chan struct{})
		f.kms.SetHook(func(context.Context, string) ([]byte, error) { <-release; return nil, nil })
		before := runtime.NumGoroutine()
		for begun := time.Now(); time.Since(begun) < 8*time.Hour; time.Sleep(time.Second) {
			call := time.Now()
			require.ErrorIs(t, k.decrypt("", id), keyring.ErrUnavailable)
			require.LessOrEqual(t, time.Since(call), 5*time.Second)
		}
		hanging := runtime.NumGoroutine() - before
		t.Logf("%d calls hang", hanging)
		require.Less(t, hanging, 160, "100, and one more each 10 minutes")
		close(release)
		f.kms.SetHook(nil)
		require.Eventually(t, func() bool { return k.decrypt("", id) == nil }, 11*minute, time.Second)
	})
}

// TestLateKeyIsWiped looks at a root key that comes after the time limit.
func TestLateKeyIsWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		id := use(f.create(t), keyring.Encryption).mustEncrypt(t, "")
		late := []byte("a root key that came too late...")
		f.kms.SetHook(func(context.Context, string) ([]byte, error) {
			time.Sleep(6 * time.Second)
			return late, nil
		})
		err := use(f.open(t), keyring.Encryption).decrypt("", id)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, make([]byte, 32), late)
	})
}

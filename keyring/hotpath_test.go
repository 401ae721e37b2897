package keyring_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestEvictedScopesComeBack uses scopes while they are evicted, refreshed,
// rotated and at last closed under the readers, for the race detector and for
// wiped keys that are used on.
func TestEvictedScopesComeBack(t *testing.T) {
	const scopes = 8
	f := newFixture()
	f.cfg.Scoped = true
	kr := f.create(t)
	k := use(kr, keyring.Encryption)
	want := make(map[keyring.KeyID]string) // the derived key of each id
	ids := make([]keyring.KeyID, scopes)
	for i := range ids {
		p, err := k.Active(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
		ids[i], want[p.id] = p.id, p.key
	}
	var stop atomic.Bool
	var reads, wrong atomic.Int64
	errs := make(chan error, 8)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for !stop.Load() {
				i := rand.N(scopes)
				p, err := k.ByID(background, fmt.Sprint(i), ids[i])
				if err == nil {
					if p.key != want[p.id] {
						wrong.Add(1)
					}
					_, err = k.Active(background, fmt.Sprint(i))
				}
				if err == nil {
					_, err = k.Live(background, fmt.Sprint(i))
				}
				if err == nil {
					// A key may be wiped between the lookup and its turn here.
					if err = k.Each(background, fmt.Sprint(i), func(*keyring.Material) error { return nil }); errors.Is(err, keyring.ErrUnavailable) {
						err = nil
					}
				}
				if err != nil {
					if !errors.Is(err, keyring.ErrClosed) {
						errs <- err
					}
					return
				}
				reads.Add(1)
			}
		})
	}
	var work sync.WaitGroup
	work.Go(func() {
		for range 2000 {
			keyring.Evict(kr, keyring.Encryption)
		}
	})
	work.Go(func() {
		for range 40 {
			require.NoError(t, kr.Refresh(background))
		}
	})
	work.Go(func() {
		for i := range 40 {
			_, err := kr.Rotate(background, keyring.Target{Scope: fmt.Sprint(i % scopes), Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
			require.NoError(t, err)
		}
	})
	work.Wait()
	require.NoError(t, kr.Close())
	stop.Store(true)
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Zero(t, wrong.Load())
	require.Zero(t, keyring.Cached(kr))
	t.Logf("%d rounds of reading", reads.Load())
}

// TestManyScopesAtOnce has a thousand callers make the same new scope, with two
// keyrings on one store.
func TestManyScopesAtOnce(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	users := []keys{use(f.create(t), keyring.Encryption), use(f.open(t), keyring.Encryption)}
	ids, errs := make([]keyring.KeyID, 1000), make([]error, 1000)
	race(1000, func(i int) { ids[i], errs[i] = users[i%2].encrypt("new") })
	for i := range ids {
		require.NoError(t, errs[i])
		require.Equal(t, ids[0], ids[i])
	}
	_, rows := f.store.Snapshot()
	require.Len(t, rows, 1)
	t.Logf("1,000 callers, 2 keyrings, one new scope: 1 key, %d inserts tried, %d store loads, %d KMS calls",
		f.store.Inserts.Load(), f.store.Loads.Load(), f.kms.Unwraps())
}

// TestShortcutsFollow takes the short way after each change that ends it.
func TestShortcutsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		kr, admin := f.create(t), f.open(t)
		target := keyring.Target{Scope: "a", Purpose: keyring.Encryption}
		k := use(kr, keyring.Encryption)
		first := k.mustEncrypt(t, "a")
		same := func(id keyring.KeyID) {
			t.Helper()
			for range 3 {
				require.Equal(t, id, k.mustEncrypt(t, "a"))
				require.NoError(t, k.decrypt("a", id))
				require.NoError(t, k.decrypt("a", first))
			}
		}
		same(first)
		second := rotate(t, admin, target, keyring.RotateOptions{})
		require.NoError(t, kr.Refresh(t.Context()))
		same(first)
		time.Sleep(11 * minute)
		same(second)
		f.store.SetSkew(-20 * minute) // the clock goes back
		require.NoError(t, kr.Refresh(t.Context()))
		same(second)
		f.store.SetSkew(0)
		require.NoError(t, admin.Suspend(t.Context(), target, second))
		require.NoError(t, kr.Refresh(t.Context()))
		for range 3 {
			_, err := k.encrypt("a")
			aboutKey(t, err, second, keyring.ErrSuspended)
			aboutKey(t, k.decrypt("a", second), second, keyring.ErrSuspended)
			require.NoError(t, k.decrypt("a", first))
		}
		require.NoError(t, admin.Resume(t.Context(), target, second))
		require.NoError(t, kr.Refresh(t.Context()))
		same(second)
		f.store.Fail(keyring.ErrUnavailable)
		time.Sleep(61 * minute)
		_, err := k.encrypt("a")
		require.ErrorIs(t, err, keyring.ErrStale)
		require.NoError(t, k.decrypt("a", second))
		time.Sleep(24 * time.Hour)
		require.ErrorIs(t, k.decrypt("a", second), keyring.ErrStale)
		f.store.Fail(nil)
		require.NoError(t, kr.Refresh(t.Context()))
		same(second)
		_, err = admin.MarkCompromised(t.Context(), target, second)
		require.NoError(t, err)
		require.NoError(t, kr.Refresh(t.Context()))
		third := k.mustEncrypt(t, "a")
		require.NotEqual(t, second, third)
		same(third)
		require.NoError(t, kr.Close())
		_, err = k.encrypt("a")
		require.ErrorIs(t, err, keyring.ErrClosed)
		require.ErrorIs(t, k.decrypt("a", third), keyring.ErrClosed)
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, scoped := range []bool{false, true} {
		f := newFixture()
		f.cfg.Scoped = scoped
		kr := f.create(t)
		scope := map[bool]string{true: "t"}[scoped]
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, scope)
		require.Zero(t, testing.AllocsPerRun(1000, func() { k.Active(background, scope) }))
		require.Zero(t, testing.AllocsPerRun(1000, func() { k.ByID(background, scope, id) }))
	}
}

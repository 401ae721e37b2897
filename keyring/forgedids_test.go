package keyring_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestForgedIDsOfEachPurpose floods each purpose with ids of keys that do not
// exist: where there is a key, and where none was ever made.
func TestForgedIDsOfEachPurpose(t *testing.T) {
	for _, p := range keyring.Purposes() {
		for _, made := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, key made: %t", p, made), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture()
					f.create(t)
					if made {
						use(f.open(t), p).mustEncrypt(t, "")
					}
					k := use(f.open(t), p)
					k.decrypt("", 0x80000001)
					time.Sleep(time.Second)
					loads, unwraps := f.store.Loads.Load(), f.kms.Unwraps()
					unknown := 0
					for i := range 100_000 {
						err := k.decrypt("", 0x90000000+keyring.KeyID(i))
						if errors.Is(err, keyring.ErrUnknownKey) {
							unknown++
						} else {
							require.ErrorIs(t, err, keyring.ErrUnavailable)
						}
					}
					require.LessOrEqual(t, f.store.Loads.Load()-loads, int64(20), "the burst, as no time has passed")
					require.LessOrEqual(t, unknown, 20)
					require.Equal(t, unwraps, f.kms.Unwraps())
					time.Sleep(10 * time.Second)
					loads = f.store.Loads.Load()
					for i := range 1000 {
						k.decrypt("", 0xa0000000+keyring.KeyID(i))
					}
					require.LessOrEqual(t, f.store.Loads.Load()-loads, int64(20))
				})
			})
		}
	}
}

// TestAbsenceIsNoAnswerToASearch: that a target has no key is remembered for
// forged ids, but a search looks again each time, for the first key of another
// process encrypts at once.
func TestAbsenceIsNoAnswerToASearch(t *testing.T) {
	for _, p := range keyring.Purposes() {
		f := newFixture()
		f.cfg.Scoped = true
		writer := use(f.create(t), p)
		kr := f.open(t)
		k := use(kr, p)
		for range 3 {
			live, err := k.Live(t.Context(), "t")
			require.NoError(t, err)
			require.Empty(t, live)
			require.ErrorIs(t, k.decrypt("t", 0x80000001), keyring.ErrUnknownKey)
		}
		infos, err := kr.Keys(t.Context(), keyring.Target{Scope: "t", Purpose: p})
		require.NoError(t, err)
		require.Empty(t, infos)
		_, rows := f.store.Snapshot()
		require.Empty(t, rows, "none of these makes a key")

		id := writer.mustEncrypt(t, "t")
		live, err := k.Live(t.Context(), "t")
		require.NoError(t, err)
		require.Len(t, live, 1, p)
		require.Equal(t, id, live[0].id)
		require.NoError(t, k.decrypt("t", id))
		require.Equal(t, id, k.mustEncrypt(t, "t"))
	}
}

// TestForgedIDsLeaveNoMemory measures what a flood leaves behind.
func TestForgedIDsLeaveNoMemory(t *testing.T) {
	f := newFixture()
	k := use(f.create(t), keyring.Encryption)
	k.mustEncrypt(t, "")
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range 100_000 {
		k.decrypt("", 0x90000000+keyring.KeyID(i))
	}
	grown := heap() - before
	t.Logf("100,000 forged ids leave %d bytes", grown)
	require.Less(t, grown, int64(1<<20))
	runtime.KeepAlive(k)
}

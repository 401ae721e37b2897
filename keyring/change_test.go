package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// stateOf returns what an operator sees of a key.
func infoOf(t testing.TB, kr *keyring.Keyring, target keyring.Target, id keyring.KeyID) keyring.KeyInfo {
	t.Helper()
	infos, err := kr.Keys(background, target)
	require.NoError(t, err)
	for _, i := range infos {
		if i.ID == id {
			return i
		}
	}
	t.Fatalf("no key %s", id)
	return keyring.KeyInfo{}
}

// none is the Count of a key under which nothing is.
func none(context.Context, keyring.KeyInfo) (int64, error) { return 0, nil }

func TestSuspendResume(t *testing.T) {
	f := newFixture()
	admin, other := f.create(t), f.open(t)
	id := use(admin, keyring.Encryption).mustEncrypt(t, "")
	require.NoError(t, use(other, keyring.Encryption).decrypt("", id))
	for range 2 {
		require.NoError(t, admin.Suspend(t.Context(), encryption, id))
		require.NoError(t, other.Refresh(t.Context()))
		for i, kr := range []*keyring.Keyring{admin, other, f.open(t)} {
			_, err := use(kr, keyring.Encryption).encrypt("")
			aboutKey(t, err, id, keyring.ErrSuspended, i)
			aboutKey(t, use(kr, keyring.Encryption).decrypt("", id), id, keyring.ErrSuspended, i)
			require.Equal(t, keyring.Suspended, infoOf(t, kr, encryption, id).State)
		}
	}
	for range 2 {
		require.NoError(t, other.Resume(t.Context(), encryption, id), "by any process")
		require.NoError(t, admin.Refresh(t.Context()))
		for _, kr := range []*keyring.Keyring{admin, other, f.open(t)} {
			require.Equal(t, id, use(kr, keyring.Encryption).mustEncrypt(t, ""))
			require.Equal(t, keyring.Active, infoOf(t, kr, encryption, id).State)
		}
	}
	_, keys := f.store.Snapshot()
	require.EqualValues(t, 3, keys[0].Revision, "what changes nothing writes nothing")
}

func TestChangesRefused(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	changes := func(target keyring.Target, id keyring.KeyID) map[string]error {
		_, err := kr.MarkCompromised(t.Context(), target, id)
		return map[string]error{
			"Suspend": kr.Suspend(t.Context(), target, id), "Resume": kr.Resume(t.Context(), target, id), "MarkCompromised": err,
			"Destroy": kr.Destroy(t.Context(), target, id, keyring.DestroyOptions{By: "ann", Count: none}),
		}
	}
	for what, err := range changes(encryption, id+1|0x80000000) {
		require.ErrorIs(t, err, keyring.ErrUnknownKey, what)
	}
	for what, err := range changes(keyring.Target{Purpose: keyring.Index}, id) {
		aboutKey(t, err, id, keyring.ErrUnknownKey, what)
	}
	for what, err := range changes(keyring.Target{Scope: "a", Purpose: keyring.Encryption}, id) {
		require.ErrorIs(t, err, keyring.ErrScope, what)
	}
	_, keys := f.store.Snapshot()
	require.Len(t, keys, 1)
	require.EqualValues(t, 1, keys[0].Revision)

	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
		(*keys)[0].ActivateAt = (*keys)[0].ActivateAt.Add(time.Second)
	})
	for what, err := range changes(encryption, id) {
		aboutKey(t, err, id, keyring.ErrTampered, what)
	}
	_, keys = f.store.Snapshot()
	require.Len(t, keys, 1, "an edited row makes no new key")

	f.store.Fail(fmt.Errorf("refused: %w", keyring.ErrUnavailable))
	for what, err := range changes(encryption, id) {
		aboutKey(t, err, id, keyring.ErrUnavailable, what)
	}
	_, err := kr.Keys(t.Context(), encryption)
	aboutKey(t, err, 0, keyring.ErrUnavailable)
	_, err = kr.Rotate(t.Context(), keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
	aboutKey(t, err, 0, keyring.ErrUnavailable)
	aboutKey(t, kr.DestroyRoot(t.Context(), id), id, keyring.ErrUnavailable)
	require.EqualError(t, kr.DestroyRoot(t.Context(), id), "keyring: test, key "+id.String()+": root key: refused: unavailable")
	f.store.Fail(nil)
	require.NoError(t, kr.Close())
	for what, err := range changes(encryption, id) {
		require.ErrorIs(t, err, keyring.ErrClosed, what)
	}
}

// TestChangesOfNewerRelease leaves a key alone whose state a newer release has made.
func TestChangesOfNewerRelease(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	require.NoError(t, keyring.SetState(t.Context(), kr, encryption, id, "of a newer release"))
	_, err := kr.MarkCompromised(t.Context(), encryption, id)
	for what, err := range map[string]error{
		"Suspend": kr.Suspend(t.Context(), encryption, id), "Resume": kr.Resume(t.Context(), encryption, id), "MarkCompromised": err,
		"Destroy": kr.Destroy(t.Context(), encryption, id, keyring.DestroyOptions{By: "ann", Count: none}),
	} {
		aboutKey(t, err, id, keyring.ErrUnavailable, what)
		require.ErrorContains(t, err, "of a newer release", what)
	}
	_, keys := f.store.Snapshot()
	require.Len(t, keys, 1)
	require.EqualValues(t, 2, keys[0].Revision)
}

// TestChangesRace lets a change meet others of the same row.
func TestChangesRace(t *testing.T) {
	f := newFixture()
	var all []*keyring.Keyring
	all = append(all, f.create(t))
	id := use(all[0], keyring.Encryption).mustEncrypt(t, "")
	for range 5 {
		all = append(all, f.open(t))
	}
	for round := range 10 {
		errs := make([]error, len(all))
		race(len(all), func(i int) {
			if (i+round)%2 == 0 {
				errs[i] = all[i].Suspend(background, encryption, id)
			} else {
				errs[i] = all[i].Resume(background, encryption, id)
			}
		})
		require.NoError(t, errors.Join(errs...))
		require.NoError(t, all[0].Suspend(background, encryption, id))
		for _, kr := range all {
			require.NoError(t, kr.Refresh(background))
			aboutKey(t, use(kr, keyring.Encryption).decrypt("", id), id, keyring.ErrSuspended)
		}
	}
	require.NotContains(t, f.log.String(), "level=ERROR")
}

func TestMarkCompromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		admin, other := f.create(t), f.open(t)
		first := use(admin, keyring.Encryption).mustEncrypt(t, "")
		require.NoError(t, use(other, keyring.Encryption).decrypt("", first))
		second, err := admin.MarkCompromised(t.Context(), encryption, first)
		require.NoError(t, err)
		require.NotEqual(t, first, second)
		require.NoError(t, other.Refresh(t.Context()))
		for _, kr := range []*keyring.Keyring{admin, other, f.open(t)} {
			k := use(kr, keyring.Encryption)
			require.Equal(t, second, k.mustEncrypt(t, ""), "the new key is active at once")
			require.NoError(t, k.decrypt("", first), "a compromised key decrypts")
			require.Equal(t, keyring.Compromised, infoOf(t, kr, encryption, first).State)
		}
		again, err := other.MarkCompromised(t.Context(), encryption, first)
		require.NoError(t, err)
		require.Equal(t, second, again, "again: no further key")
		aboutKey(t, admin.Suspend(t.Context(), encryption, first), first, keyring.ErrCompromised)
		require.NoError(t, admin.Resume(t.Context(), encryption, first))
		require.Equal(t, keyring.Compromised, infoOf(t, admin, encryption, first).State, "it does not come back")

		// A pending key: the one that follows is active before it would be.
		pending := rotate(t, admin, encryption, keyring.RotateOptions{})
		fourth, err := admin.MarkCompromised(t.Context(), encryption, pending)
		require.NoError(t, err)
		require.Equal(t, fourth, use(admin, keyring.Encryption).mustEncrypt(t, ""))
		// A retired key: it has a successor.
		same, err := admin.MarkCompromised(t.Context(), encryption, second)
		require.NoError(t, err)
		require.Equal(t, fourth, same)
		for range 30 {
			time.Sleep(minute)
			require.Equal(t, fourth, use(admin, keyring.Encryption).mustEncrypt(t, ""))
		}
		infos, err := admin.Keys(t.Context(), encryption)
		require.NoError(t, err)
		require.Len(t, infos, 4)
	})
}

// TestMarkCompromisedRace has another process rotate in the midst: the key that it
// made is pending, and the compromised one must not leave a gap.
func TestMarkCompromisedRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr, other := f.create(t), f.open(t)
		first := use(kr, keyring.Encryption).mustEncrypt(t, "")
		require.NoError(t, use(other, keyring.Encryption).decrypt("", first))
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			if operation == "insert" {
				f.store.SetAround(nil)
				rotate(t, other, encryption, keyring.RotateOptions{})
			}
			return do()
		})
		next, err := kr.MarkCompromised(t.Context(), encryption, first)
		require.NoError(t, err)
		require.Equal(t, next, use(kr, keyring.Encryption).mustEncrypt(t, ""))
		infos, err := kr.Keys(t.Context(), encryption)
		require.NoError(t, err)
		require.Len(t, infos, 3)
	})
}

// TestMarkCompromisedIndex marks a key whose successor must be known everywhere
// before it is used.
func TestMarkCompromisedIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		index := keyring.Target{Purpose: keyring.Index}
		f := newFixture()
		kr := f.create(t)
		k := use(kr, keyring.Index)
		first := k.mustEncrypt(t, "")
		second, err := kr.MarkCompromised(t.Context(), index, first)
		require.NoError(t, err)
		_, err = k.encrypt("")
		aboutKey(t, err, first, keyring.ErrCompromised, "no fallback, and nothing under a key that others do not know")
		live, err := k.Live(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, live, 2, "rows are found under both")
		again, err := kr.MarkCompromised(t.Context(), index, first)
		require.NoError(t, err)
		require.Equal(t, second, again)
		time.Sleep(10*minute + time.Second)
		require.Equal(t, second, k.mustEncrypt(t, ""))

		// Without an interruption: rotate, wait, mark.
		third := rotate(t, kr, index, keyring.RotateOptions{})
		time.Sleep(11 * minute)
		require.Equal(t, third, k.mustEncrypt(t, ""))
		last, err := kr.MarkCompromised(t.Context(), index, second)
		require.NoError(t, err)
		require.Equal(t, third, last)
		require.Equal(t, third, k.mustEncrypt(t, ""))
	})
}

func TestDestroy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		admin, other := f.create(t), f.open(t)
		k := use(admin, keyring.Encryption)
		first := k.mustEncrypt(t, "")
		require.NoError(t, use(other, keyring.Encryption).decrypt("", first))
		counts := 0
		opts := keyring.DestroyOptions{By: "ann, ticket 7", Count: func(_ context.Context, key keyring.KeyInfo) (int64, error) {
			counts++
			require.Equal(t, first, key.ID)
			return 0, nil
		}}
		refused := func(why string) *keyring.InUseError {
			t.Helper()
			err := admin.Destroy(t.Context(), encryption, first, opts)
			aboutKey(t, err, first, keyring.ErrInUse)
			var inUse *keyring.InUseError
			require.ErrorAs(t, err, &inUse)
			require.ErrorContains(t, err, why)
			return inUse
		}
		refused("it is active, suspend it first")
		require.Zero(t, infoOf(t, admin, encryption, first).DestroyableAt)
		require.NoError(t, admin.Suspend(t.Context(), encryption, first))
		refused("no newer key is active")
		require.NoError(t, admin.Resume(t.Context(), encryption, first))

		rotated := time.Now()
		second := rotate(t, admin, encryption, keyring.RotateOptions{})
		refused("suspend it first")
		secrets := keyring.Secrets(other)
		require.NotEmpty(t, secrets)
		require.NotContains(t, secrets, make([]byte, 32))
		require.NoError(t, admin.Suspend(t.Context(), encryption, first))
		refused("no newer key is active")
		time.Sleep(11 * minute) // PropagationDelay is 10 minutes, EncryptGrace an hour
		inUse := refused("not been inactive for long enough")
		require.WithinDuration(t, rotated.Add(80*minute), inUse.Until, 2*time.Second)
		require.Equal(t, inUse.Until, infoOf(t, admin, encryption, first).DestroyableAt)
		time.Sleep(68 * minute)
		refused("not been inactive for long enough")
		require.Zero(t, counts, "nothing is counted before the rest is right")
		time.Sleep(2 * minute)

		good := opts.Count
		opts.Count = func(context.Context, keyring.KeyInfo) (int64, error) { return 1234, nil }
		inUse = refused("1234 values are under it")
		require.EqualValues(t, 1234, inUse.Values)
		broken := errors.New("no such table")
		opts.Count = func(context.Context, keyring.KeyInfo) (int64, error) { return 0, broken }
		aboutKey(t, admin.Destroy(t.Context(), encryption, first, opts), first, broken)
		opts.Count = good
		for what, bad := range map[string]keyring.DestroyOptions{
			"nobody": {Count: good}, "no count": {By: "ann"}, "long": {By: strings.Repeat("a", 201), Count: good}, "not UTF-8": {By: "\xff", Count: good},
		} {
			require.ErrorContains(t, admin.Destroy(t.Context(), encryption, first, bad), "DestroyOptions", what)
		}
		require.Equal(t, keyring.Suspended, infoOf(t, admin, encryption, first).State)

		_, before := f.store.Snapshot()
		require.NoError(t, admin.Destroy(t.Context(), encryption, first, opts))
		require.Equal(t, 1, counts)
		require.NoError(t, admin.Destroy(t.Context(), encryption, first, opts), "again")
		require.Equal(t, 1, counts)
		require.NoError(t, other.Refresh(t.Context()))
		require.Contains(t, secrets, make([]byte, 32), "wiped in other processes")
		for _, kr := range []*keyring.Keyring{admin, other, f.open(t)} {
			aboutKey(t, use(kr, keyring.Encryption).decrypt("", first), first, keyring.ErrErased)
			require.Equal(t, second, use(kr, keyring.Encryption).mustEncrypt(t, ""))
			tomb := infoOf(t, kr, encryption, first)
			require.Equal(t, keyring.Destroyed, tomb.State)
			require.Equal(t, "ann, ticket 7", tomb.DestroyedBy)
			require.WithinDuration(t, time.Now(), tomb.DestroyedAt, 2*time.Second)
			require.Zero(t, tomb.DestroyableAt)
			require.Zero(t, infoOf(t, kr, encryption, second).DestroyedAt)
		}
		_, keys := f.store.Snapshot()
		require.NotContains(t, string(keys[0].Wrapped), "ann", "the tombstone is sealed")
		for what, err := range map[string]error{
			"Suspend": admin.Suspend(t.Context(), encryption, first),
			"Resume":  admin.Resume(t.Context(), encryption, first),
		} {
			if what == "Suspend" {
				aboutKey(t, err, first, keyring.ErrErased, what)
			} else {
				require.NoError(t, err, what)
			}
		}
		_, err := admin.MarkCompromised(t.Context(), encryption, first)
		aboutKey(t, err, first, keyring.ErrErased)

		// The row from before, put back as it was or with a newer revision:
		// whoever saw the tombstone refuses it.
		for _, revision := range []int64{before[0].Revision, 99} {
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
				(*keys)[0] = before[0]
				(*keys)[0].Revision = revision
			})
			time.Sleep(time.Second)
			aboutKey(t, other.Refresh(t.Context()), first, keyring.ErrTampered)
			aboutKey(t, use(other, keyring.Encryption).decrypt("", first), first, keyring.ErrErased)
		}
	})
}

// TestDestroyCompromised takes the short way: a compromised key need not be
// suspended.
func TestDestroyCompromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		first := use(kr, keyring.Encryption).mustEncrypt(t, "")
		second, err := kr.MarkCompromised(t.Context(), encryption, first)
		require.NoError(t, err)
		opts := keyring.DestroyOptions{By: "ann", Count: none}
		aboutKey(t, kr.Destroy(t.Context(), encryption, first, opts), first, keyring.ErrInUse)
		time.Sleep(71 * minute)
		require.NoError(t, kr.Destroy(t.Context(), encryption, first, opts))
		aboutKey(t, use(kr, keyring.Encryption).decrypt("", first), first, keyring.ErrErased)
		aboutKey(t, kr.Destroy(t.Context(), encryption, second, opts), second, keyring.ErrInUse)
	})
}

// TestVanishedSuccessor deletes the newer key of one that is suspended: processes that
// start now encrypt under the old one, once it is resumed.
func TestVanishedSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		rotate(t, kr, encryption, keyring.RotateOptions{Immediate: true})
		require.NoError(t, kr.Suspend(t.Context(), encryption, id))
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = (*keys)[:1] })
		time.Sleep(80 * minute)
		err := kr.Destroy(t.Context(), encryption, id, keyring.DestroyOptions{By: "ann", Count: none})
		aboutKey(t, err, id, keyring.ErrInUse)
		require.ErrorContains(t, err, "no newer key is active")
	})
}

// TestDestroyedAt counts for long: the tombstone tells the time of the end of that.
func TestDestroyedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		_, err := kr.MarkCompromised(t.Context(), encryption, id)
		require.NoError(t, err)
		time.Sleep(80 * minute)
		count := func(context.Context, keyring.KeyInfo) (int64, error) { time.Sleep(3 * time.Hour); return 0, nil }
		require.NoError(t, kr.Destroy(t.Context(), encryption, id, keyring.DestroyOptions{By: "ann", Count: count}))
		require.WithinDuration(t, time.Now(), infoOf(t, kr, encryption, id).DestroyedAt, 2*time.Second)
	})
}

// TestForgedSuccessor adds a row that nobody sealed, of a higher version and long
// active: it must not make the real key look inactive.
func TestForgedSuccessor(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	require.NoError(t, kr.Suspend(t.Context(), encryption, id))
	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) {
		forged := (*keys)[0]
		forged.ID, forged.Version, forged.State = id^1, 2, keyring.KeyEnabled
		forged.ActivateAt = forged.ActivateAt.Add(-100 * time.Hour)
		*keys = append(*keys, forged)
	})
	err := kr.Destroy(t.Context(), encryption, id, keyring.DestroyOptions{By: "mallory", Count: none})
	aboutKey(t, err, id, keyring.ErrInUse)
	require.ErrorContains(t, err, "no newer key is active")
}

// TestRotateEvery has processes whose clocks are off keep a keyring for twelve
// periods.
func TestRotateEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.store.Skew = -10 * minute // the store's clock counts, which is 10 minutes off the processes'
		f.cfg.RotateEvery = 3 * time.Hour
		all := []*keyring.Keyring{f.create(t), f.open(t), f.open(t)}
		idle := f.cfg
		idle.RotateEvery = 0
		reader, err := keyring.Open(t.Context(), idle)
		require.NoError(t, err)
		t.Cleanup(func() { reader.Close() })
		use(all[0], keyring.Index).mustEncrypt(t, "")
		current := use(all[0], keyring.Encryption).mustEncrypt(t, "")
		changes := []time.Time{time.Now()}
		for range 12*36 + 1 {
			time.Sleep(5 * minute)
			ids := make(map[keyring.KeyID]bool)
			for _, kr := range all {
				ids[use(kr, keyring.Encryption).mustEncrypt(t, "")] = true
			}
			require.Len(t, ids, 1, "one key encrypts at any moment")
			if !ids[current] {
				changes = append(changes, time.Now())
				current, err = use(all[0], keyring.Encryption).encrypt("")
				require.NoError(t, err)
				require.NoError(t, use(reader, keyring.Encryption).decrypt("", current))
			}
		}
		require.Len(t, changes, 13)
		for i := range changes[1:] {
			require.InDelta(t, 180, changes[i+1].Sub(changes[i]).Minutes(), 8, "rotation %d", i)
		}
		infos, err := all[0].Keys(t.Context(), encryption)
		require.NoError(t, err)
		require.Len(t, infos, 13)
		infos, err = all[0].Keys(t.Context(), keyring.Target{Purpose: keyring.Index})
		require.NoError(t, err)
		require.Len(t, infos, 1, "keys of other purposes do not rotate by themselves")
		require.NotContains(t, f.log.String(), "level=WARN")
	})
}

// TestRotateEveryFails denies rotation: it is said once, and the keys go on.
func TestRotateEveryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.RotateEvery, f.cfg.Scoped = 2*time.Hour, true
		kr := f.create(t)
		for i := range 300 {
			use(kr, keyring.Encryption).mustEncrypt(t, fmt.Sprint(i))
		}
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			if operation == "insert" {
				return fmt.Errorf("no right: %w", keyring.ErrDenied)
			}
			return do()
		})
		inserts := f.store.Inserts.Load()
		time.Sleep(3 * time.Hour)
		require.Equal(t, 1, strings.Count(f.log.String(), "rotation by age failed"))
		require.Less(t, f.store.Inserts.Load()-inserts, int64(200), "one attempt for all scopes in a round")
		use(kr, keyring.Encryption).mustEncrypt(t, "7")
		f.store.SetAround(nil)
		before := f.store.Inserts.Load()
		time.Sleep(minute + 10*time.Second)
		require.LessOrEqual(t, f.store.Inserts.Load()-before, int64(200), "scopes are rotated a hundred at a time")
		time.Sleep(10 * minute)
		for i := range 300 {
			infos, err := kr.Keys(t.Context(), keyring.Target{Scope: fmt.Sprint(i), Purpose: keyring.Encryption})
			require.NoError(t, err)
			require.Len(t, infos, 2)
		}
	})
}

// TestRotateEveryMeetsShred erases scopes that are about to be rotated: that is no
// failure, and the others are rotated.
func TestRotateEveryMeetsShred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.RotateEvery, f.cfg.Scoped = 24*time.Hour, true
		kr := f.create(t)
		for i := range 5 {
			use(kr, keyring.Encryption).mustEncrypt(t, fmt.Sprint(i))
		}
		var erased atomic.Bool
		f.store.SetAround(func(ctx context.Context, operation string, do func() error) error {
			if operation == "insert" && erased.CompareAndSwap(false, true) {
				for i := range 4 {
					if err := f.store.EraseScope(ctx, "test", fmt.Sprint(i)); err != nil {
						return err
					}
				}
			}
			return do()
		})
		time.Sleep(25 * time.Hour)
		require.True(t, erased.Load())
		require.NotContains(t, f.log.String(), "level=WARN")
		infos, err := kr.Keys(t.Context(), keyring.Target{Scope: "4", Purpose: keyring.Encryption})
		require.NoError(t, err)
		require.Len(t, infos, 2)
	})
}

func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		var ids []keyring.KeyID
		ids = append(ids, use(kr, keyring.Encryption).mustEncrypt(t, ""))
		roots, keys := f.store.Snapshot() // the backup
		for range 2 {
			ids = append(ids, rotate(t, kr, encryption, keyring.RotateOptions{}))
			time.Sleep(11 * minute)
			use(kr, keyring.Encryption).mustEncrypt(t, "")
		}
		missing, err := kr.Missing(t.Context(), encryption, ids)
		require.NoError(t, err)
		require.Empty(t, missing)
		require.Empty(t, kr.Health().Missing)

		f.store.Restore(roots, keys)
		cold := f.open(t)
		for _, kr := range []*keyring.Keyring{kr, cold} {
			missing, err := kr.Missing(t.Context(), encryption, append(ids, ids...))
			require.NoError(t, err)
			require.Equal(t, ids[1:], missing)
		}
		aboutKey(t, use(cold, keyring.Encryption).decrypt("", ids[2]), ids[2], keyring.ErrUnknownKey)

		time.Sleep(time.Second)
		err = kr.Refresh(t.Context())
		require.ErrorIs(t, err, keyring.ErrVanished)
		require.ErrorIs(t, err, keyring.ErrTampered)
		health := kr.Health().Missing
		require.Len(t, health, 2)
		require.Equal(t, ids[1], health[0].ID)
		require.Equal(t, ids[2], health[1].ID)
		require.Equal(t, 3, health[1].Version)
		for _, id := range ids {
			require.NoError(t, use(kr, keyring.Encryption).decrypt("", id), "what is in memory opens still")
		}
		_, err = use(kr, keyring.Encryption).encrypt("")
		aboutKey(t, err, ids[2], keyring.ErrVanished)
		_, err = kr.Missing(t.Context(), keyring.Target{Scope: "a", Purpose: keyring.Encryption}, ids)
		require.ErrorIs(t, err, keyring.ErrScope)
	})
}

package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// rootWorld is a scoped keyring with keys in every state under its roots.
type rootWorld struct {
	*fixture
	kr     *keyring.Keyring
	usable map[string]keyring.KeyID // by scope: keys that decrypt
}

func newRootWorld(t *testing.T, scopes int) *rootWorld {
	w := &rootWorld{fixture: newFixture(), usable: make(map[string]keyring.KeyID)}
	w.cfg.Scoped = true
	w.kr = w.create(t)
	k := use(w.kr, keyring.Encryption)
	var names []string
	for i := range scopes {
		names = append(names, fmt.Sprint("scope ", i))
	}
	require.NoError(t, keyring.InsertMany(t.Context(), w.kr, keyring.Encryption, names))
	_, rows := w.store.Snapshot()
	for _, row := range rows {
		w.usable[row.Scope] = row.ID
	}
	for scope, state := range map[string]keyring.KeyState{"suspended": keyring.KeySuspended, "destroyed": keyring.KeyDestroyed, "compromised": keyring.KeyCompromised} {
		id := k.mustEncrypt(t, scope)
		require.NoError(t, keyring.SetState(t.Context(), w.kr, keyring.Target{Scope: scope, Purpose: keyring.Encryption}, id, state))
		if state == keyring.KeyCompromised {
			w.usable[scope] = id
		}
	}
	use(w.kr, keyring.Index).mustEncrypt(t, "scope 0")
	require.NoError(t, w.kr.Refresh(t.Context()))
	return w
}

func (w *rootWorld) roots(p keyring.Purpose) (roots []keyring.Root) {
	all, _ := w.store.Snapshot()
	for _, r := range all {
		if r.Purpose == p {
			roots = append(roots, r)
		}
	}
	return roots
}

// under counts the keys for encryption by root.
func (w *rootWorld) under() map[keyring.KeyID]int {
	_, keys := w.store.Snapshot()
	n := make(map[keyring.KeyID]int)
	for _, k := range keys {
		if k.Purpose == keyring.Encryption {
			n[k.Root]++
		}
	}
	return n
}

// check opens every key, and requires that those that do not open still do not.
func (w *rootWorld) check(t *testing.T, kr *keyring.Keyring) {
	t.Helper()
	k := use(kr, keyring.Encryption)
	require.NoError(t, kr.Preload(t.Context(), keyring.Encryption, slices.Collect(maps.Keys(w.usable))...))
	for scope, id := range w.usable {
		require.NoError(t, k.decrypt(scope, id), scope)
	}
	for scope, want := range map[string]error{"suspended": keyring.ErrSuspended, "destroyed": keyring.ErrErased, "compromised": keyring.ErrCompromised} {
		_, err := k.encrypt(scope)
		require.ErrorIs(t, err, want)
	}
}

func TestRotateRoot(t *testing.T) {
	w := newRootWorld(t, 2500)
	warm, old := w.open(t), w.roots(keyring.Encryption)[0]
	w.check(t, warm)
	wraps, unwraps := w.kms.Wraps(), w.kms.Unwraps()
	updates := new(atomic.Int64)
	w.store.SetAround(func(_ context.Context, operation string, do func() error) error {
		if operation == "update" {
			updates.Add(1)
		}
		return do()
	})
	done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	w.store.SetAround(nil)
	require.Equal(t, keyring.RootRotation{Purpose: keyring.Encryption, Root: w.roots(keyring.Encryption)[1].ID, Version: 2, Added: true, Moved: 2503, Empty: []keyring.KeyID{old.ID}}, done)
	require.EqualValues(t, 3, updates.Load(), "keys move by the thousand")
	require.Equal(t, wraps+1, w.kms.Wraps())
	require.Equal(t, unwraps+1, w.kms.Unwraps(), "the new wrap is proven, and the old root was in memory")
	require.Equal(t, map[keyring.KeyID]int{done.Root: 2503}, w.under())
	require.Equal(t, keyring.RootClosed, w.roots(keyring.Encryption)[0].State)
	require.Len(t, w.roots(keyring.Index), 1, "other purposes stay as they are")

	require.NoError(t, warm.Refresh(t.Context()))
	cold := w.open(t)
	for _, kr := range []*keyring.Keyring{w.kr, warm, cold} {
		w.check(t, kr)
	}
	require.Equal(t, unwraps+3, w.kms.Unwraps(), "one per process")
	tomb := infoOf(t, cold, keyring.Target{Scope: "destroyed", Purpose: keyring.Encryption}, mustID(t, cold, "destroyed"))
	require.Equal(t, "a test", tomb.DestroyedBy, "tombstones move, too")
	use(warm, keyring.Encryption).mustEncrypt(t, "a new scope")
	require.Equal(t, 2504, w.under()[done.Root])

	// The end of the old root.
	require.NoError(t, warm.DestroyRoot(t.Context(), old.ID))
	require.NoError(t, w.kr.DestroyRoot(t.Context(), old.ID), "again")
	require.Empty(t, w.roots(keyring.Encryption)[0].Wraps)
	for _, kr := range []*keyring.Keyring{w.kr, warm, w.open(t)} {
		require.NoError(t, kr.Refresh(t.Context()))
		w.check(t, kr)
		var seen bool
		for _, r := range kr.Health().Roots {
			if r.ID == old.ID.String() {
				seen = true
				require.Equal(t, keyring.RootDestroyed, r.State)
				require.Empty(t, r.Missing, "a destroyed root misses no wrap")
			}
		}
		require.True(t, seen)
	}
	report, err := w.kr.Rewrap(t.Context(), keyring.RewrapOptions{})
	require.NoError(t, err)
	require.Len(t, report.Roots, 4, "a destroyed root is not wrapped again")
	again, err := warm.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.Equal(t, 3, again.Version)
	require.Equal(t, []keyring.KeyID{done.Root}, again.Empty)
	require.NotContains(t, w.log.String(), "level=ERROR")
}

func mustID(t *testing.T, kr *keyring.Keyring, scope string) keyring.KeyID {
	infos, err := kr.Keys(t.Context(), keyring.Target{Scope: scope, Purpose: keyring.Encryption})
	require.NoError(t, err)
	require.NotEmpty(t, infos)
	return infos[0].ID
}

func TestDestroyRootRefused(t *testing.T) {
	w := newRootWorld(t, 3)
	old := w.roots(keyring.Encryption)[0]
	aboutKey(t, w.kr.DestroyRoot(t.Context(), old.ID), old.ID, keyring.ErrInUse, "open")
	aboutKey(t, w.kr.DestroyRoot(t.Context(), w.usable["scope 1"]), w.usable["scope 1"], keyring.ErrUnknownKey, "no root key")
	w.store.Edit(func(roots *[]keyring.Root, keys *[]keyring.Key) { // of somebody who can write the store
		(*keys)[1].Wrapped[20] ^= 1
	})
	_, keys := w.store.Snapshot()
	done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	aboutKey(t, err, keys[1].ID, keyring.ErrTampered, "the row is named")
	require.Equal(t, 5, done.Moved, "the others have moved")
	require.Empty(t, done.Empty)
	aboutKey(t, w.kr.DestroyRoot(t.Context(), old.ID), old.ID, keyring.ErrInUse, "the last wrap of a key")
	w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[1].Wrapped[20] ^= 1 })
	done, err = w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.False(t, done.Added, "the rotation before is finished first")
	require.Equal(t, 1, done.Moved)
	require.NoError(t, w.kr.DestroyRoot(t.Context(), old.ID))
	require.NoError(t, w.kr.Refresh(t.Context()))
	w.check(t, w.open(t))
}

// TestRotateRootCutShort ends a rotation at each of its writes, before or after
// it took effect, and has another process finish.
func TestRotateRootCutShort(t *testing.T) {
	down := fmt.Errorf("gone: %w", keyring.ErrUnavailable)
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newRootWorld(t, 2100)
			n := 0
			w.store.SetAround(func(_ context.Context, operation string, do func() error) error {
				if operation == "insert root" || operation == "update" {
					n++
				}
				switch {
				case n > at:
					return down
				case n == at && operation != "load":
					if after {
						do()
					}
					return down
				}
				return do()
			})
			_, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
			w.store.SetAround(nil)
			if err == nil {
				require.Equal(t, 5, at, "a root and three batches")
				break
			}
			require.ErrorIs(t, err, keyring.ErrUnavailable)
			next := w.open(t)
			w.check(t, next)
			done, err := next.RotateRoot(t.Context(), keyring.Encryption)
			require.NoError(t, err)
			last := w.roots(keyring.Encryption)
			if !done.Added {
				require.Len(t, last, 2, "cut at %d: nothing twice", at)
			}
			require.Equal(t, map[keyring.KeyID]int{last[len(last)-1].ID: 2103}, w.under(), "cut at %d", at)
			w.check(t, next)
		}
	}
}

// TestRotateRootRaces has many processes rotate, while others make keys, change
// their states and rotate them.
func TestRotateRootRaces(t *testing.T) {
	w := newRootWorld(t, 300)
	all := []*keyring.Keyring{w.kr}
	for range 5 {
		all = append(all, w.open(t))
	}
	errs := make([]error, 3*len(all))
	made := make([][]string, len(all))
	race(len(errs), func(i int) {
		kr := all[i%len(all)]
		for round := range 10 {
			var err error
			switch i / len(all) {
			case 0:
				_, err = kr.RotateRoot(background, keyring.Encryption)
			case 1:
				scope := fmt.Sprint("new ", i, " ", round)
				_, err = use(kr, keyring.Encryption).encrypt(scope)
				made[i%len(all)] = append(made[i%len(all)], scope)
			case 2:
				target := keyring.Target{Scope: fmt.Sprint("scope ", 20*(i%len(all))+round), Purpose: keyring.Encryption}
				id := w.usable[target.Scope]
				err = errors.Join(kr.Suspend(background, target, id), kr.Resume(background, target, id))
			}
			errs[i] = errors.Join(errs[i], err)
		}
	})
	require.NoError(t, errors.Join(errs...))
	_, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	roots := w.roots(keyring.Encryption)
	require.Equal(t, map[keyring.KeyID]int{roots[len(roots)-1].ID: 303 + 60}, w.under())
	for i, r := range roots {
		require.Equal(t, i+1, r.Version)
		require.Equal(t, i < len(roots)-1, r.State == keyring.RootClosed)
	}
	fresh := w.open(t)
	w.check(t, fresh)
	for _, scopes := range made {
		require.Len(t, scopes, 10)
		for _, scope := range scopes {
			infos, err := fresh.Keys(t.Context(), keyring.Target{Scope: scope, Purpose: keyring.Encryption})
			require.NoError(t, err)
			require.Len(t, infos, 1)
		}
	}
	for _, kr := range all {
		require.NoError(t, kr.Refresh(t.Context()))
		w.check(t, kr)
	}
	require.NotContains(t, w.log.String(), "level=ERROR")
	t.Logf("%d root keys", len(roots))
}

// busyStore is one in which others change many keys all the time: of a large
// batch there is always one that has changed.
type busyStore struct{ keyring.Store }

func (s busyStore) UpdateKeys(ctx context.Context, keys []keyring.Key) error {
	if len(keys) > 3 {
		return keyring.ErrConflict
	}
	return s.Store.UpdateKeys(ctx, keys)
}

func TestRotateRootOfBusyKeys(t *testing.T) {
	w := newRootWorld(t, 200)
	w.cfg.Store = busyStore{w.store}
	done, err := w.open(t).RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.Equal(t, 203, done.Moved)
	require.Len(t, done.Empty, 1)
	w.check(t, w.kr)
}

// TestRotateRootNeedsEveryKMS wraps the new root as Create does.
func TestRotateRootNeedsEveryKMS(t *testing.T) {
	w := newRootWorld(t, 3)
	second := keyringtest.NewKMS()
	w.cfg.KMS = append(w.cfg.KMS, second)
	kr := w.open(t)
	second.SetHook(down)
	_, err := kr.RotateRoot(t.Context(), keyring.Encryption)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, second.URI())
	require.Len(t, w.roots(keyring.Encryption), 1, "nothing was added")
	second.SetHook(deny)
	w.cfg.AllowMissingWraps = true
	lenient := w.open(t)
	_, err = lenient.RotateRoot(t.Context(), keyring.Encryption)
	require.ErrorIs(t, err, keyring.ErrDenied)
	second.SetHook(down)
	_, err = lenient.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.Equal(t, second.URI(), w.roots(keyring.Encryption)[1].Wraps[1].URI)
	require.Empty(t, w.roots(keyring.Encryption)[1].Wraps[1].Wrapped)
	for _, kr := range []*keyring.Keyring{kr, lenient} {
		require.NoError(t, kr.Close())
		_, err = kr.RotateRoot(t.Context(), keyring.Encryption)
		require.ErrorIs(t, err, keyring.ErrClosed)
		require.ErrorIs(t, kr.DestroyRoot(t.Context(), w.roots(keyring.Encryption)[0].ID), keyring.ErrClosed)
	}
	_, err = w.kr.RotateRoot(t.Context(), "other")
	require.ErrorContains(t, err, "no such purpose")
}

// TestRotateRootLeavesWhatIsRefused has rows that can not be moved, of keys and of
// roots: nobody who can write the store may keep a root key from being rotated.
func TestRotateRootLeavesWhatIsRefused(t *testing.T) {
	w := newRootWorld(t, 3)
	first := w.roots(keyring.Encryption)[0]
	w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[1].Wrapped[20] ^= 1 })
	_, keys := w.store.Snapshot()
	for version := 2; version < 4; version++ {
		done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
		aboutKey(t, err, keys[1].ID, keyring.ErrTampered)
		require.Equal(t, version, done.Version)
		require.True(t, done.Added)
		require.Equal(t, 5, done.Moved)
		require.NotContains(t, done.Empty, first.ID)
		require.Len(t, done.Empty, version-2)
	}
	w.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) { // a root that nobody can unwrap
		forged := first
		forged.Version, forged.ID = 7, first.ID^1
		*roots = append(*roots, forged)
	})
	kr := w.open(t)
	_, err := use(kr, keyring.Encryption).encrypt("new")
	require.ErrorIs(t, err, keyring.ErrDenied, "control")
	done, err := kr.RotateRoot(t.Context(), keyring.Encryption)
	aboutKey(t, err, keys[1].ID, keyring.ErrTampered)
	require.Equal(t, 8, done.Version)
	require.Contains(t, done.Empty, first.ID^1)
	require.Equal(t, 5, w.under()[done.Root])
	use(kr, keyring.Encryption).mustEncrypt(t, "new")

	// The KMS denies an older root key too early, while keys are under it.
	w = newRootWorld(t, 3)
	first = w.roots(keyring.Encryption)[0]
	picky := &pickyKMS{KMS: w.kms, denied: first.ID}
	w.cfg.KMS = []keyring.KMS{picky}
	kr = w.open(t)
	done, err = kr.RotateRoot(t.Context(), keyring.Encryption)
	aboutKey(t, err, first.ID, keyring.ErrDenied)
	require.True(t, done.Added)
	require.Zero(t, done.Moved)
	require.Empty(t, done.Empty)
	use(kr, keyring.Encryption).mustEncrypt(t, "new")
	aboutKey(t, kr.DestroyRoot(t.Context(), first.ID), first.ID, keyring.ErrInUse)
	picky.denied = 0
	done, err = kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.False(t, done.Added)
	require.Equal(t, 6, done.Moved)
	require.Equal(t, []keyring.KeyID{first.ID}, done.Empty)
	w.check(t, kr)
}

// pickyKMS denies one root key.
type pickyKMS struct {
	*keyringtest.KMS
	denied keyring.KeyID
}

func (k *pickyKMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if ec["key_id"] == k.denied.String() {
		return nil, keyring.ErrDenied
	}
	return k.KMS.Unwrap(ctx, wrapped, ec)
}

// TestDestroyedRootIsUsedByNobody puts a key under a destroyed root, as somebody
// with a backup and the right to write the store could.
func TestDestroyedRootIsUsedByNobody(t *testing.T) {
	w := newRootWorld(t, 1)
	_, before := w.store.Snapshot()
	_, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.NoError(t, w.kr.DestroyRoot(t.Context(), w.roots(keyring.Encryption)[0].ID))
	id := before[0].ID
	require.NoError(t, use(w.kr, keyring.Encryption).decrypt("scope 0", id))
	w.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[0] = before[0] })
	aboutKey(t, use(w.open(t), keyring.Encryption).decrypt("scope 0", id), id, keyring.ErrTampered)
	time.Sleep(time.Millisecond)
	aboutKey(t, w.kr.Refresh(t.Context()), id, keyring.ErrTampered)
	require.NoError(t, use(w.kr, keyring.Encryption).decrypt("scope 0", id), "what is in memory opens")
}

// TestRootsThatAreGone destroys root keys that a process holds and has no use for,
// or uses only for a key that vanished: its purposes must not go stale, though no
// KMS gives them any more.
func TestRootsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		kr, admin := f.create(t), f.open(t) // who creates has all root keys
		gone := use(kr, keyring.Encryption).mustEncrypt(t, "gone")
		use(kr, keyring.Encryption).mustEncrypt(t, "here")
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = (*keys)[1:] })
		for _, p := range []keyring.Purpose{keyring.Encryption, keyring.Token} {
			done, err := admin.RotateRoot(t.Context(), p)
			require.NoError(t, err)
			require.NoError(t, admin.DestroyRoot(t.Context(), done.Empty[0]))
		}
		time.Sleep(30 * time.Hour)
		require.NoError(t, kr.Health().Err())
		use(kr, keyring.Token).mustEncrypt(t, "new")
		use(kr, keyring.Encryption).mustEncrypt(t, "here")
		require.NoError(t, use(kr, keyring.Encryption).decrypt("gone", gone))
	})
}

// TestSlowLoadMeetsDestroyRoot has a load that read the store before a key was moved
// arrive when the process knows already that the older root is destroyed.
func TestSlowLoadMeetsDestroyRoot(t *testing.T) {
	w := newRootWorld(t, 1)
	kr := w.open(t)
	held := holdNextLoad(w.fixture)
	read := make(chan error, 1)
	go func() { read <- use(kr, keyring.Encryption).decrypt("scope 0", w.usable["scope 0"]) }()
	<-held.read
	done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.NoError(t, w.kr.DestroyRoot(t.Context(), done.Empty[0]))
	require.NoError(t, kr.Refresh(t.Context()))
	close(held.release)
	require.NoError(t, <-read)
	require.NotContains(t, w.log.String(), "level=ERROR")
}

// TestRewrapMeetsDestroyRoot destroys a root that another process is about to wrap
// by a new KMS.
func TestRewrapMeetsDestroyRoot(t *testing.T) {
	w := newRootWorld(t, 1)
	done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	w.cfg.KMS = append(w.cfg.KMS, keyringtest.NewKMS())
	other := w.open(t)
	w.store.SetAround(func(_ context.Context, operation string, do func() error) error {
		if operation == "update root" {
			w.store.SetAround(nil)
			require.NoError(t, w.kr.DestroyRoot(background, done.Empty[0]))
		}
		return do()
	})
	report, err := other.Rewrap(t.Context(), keyring.RewrapOptions{})
	require.NoError(t, err)
	require.Len(t, report.Roots, 5)
	require.Equal(t, keyring.RootDestroyed, w.roots(keyring.Encryption)[0].State)
	require.Empty(t, w.roots(keyring.Encryption)[0].Wraps)
}

// TestDestroyedRootStaysDestroyed puts the row of a destroyed root back, with a newer
// revision, and a key under it: whoever has seen that it was destroyed refuses both.
func TestDestroyedRootStaysDestroyed(t *testing.T) {
	w := newRootWorld(t, 1)
	roots, keys := w.store.Snapshot() // the backup
	first := w.roots(keyring.Encryption)[0]
	_, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.NoError(t, w.kr.DestroyRoot(t.Context(), first.ID))
	warm := w.open(t)
	w.store.Restore(roots, keys)
	w.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) {
		for i := range *roots {
			(*roots)[i].Revision = 9
		}
	})
	time.Sleep(time.Millisecond)
	aboutKey(t, warm.Refresh(t.Context()), first.ID, keyring.ErrTampered)
	aboutKey(t, use(warm, keyring.Encryption).decrypt("scope 0", keys[0].ID), keys[0].ID, keyring.ErrTampered)
	require.NoError(t, use(w.open(t), keyring.Encryption).decrypt("scope 0", keys[0].ID), "the limit that the package doc names")
}

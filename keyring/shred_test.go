package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var byAnn = keyring.ShredOptions{By: "ann"}

// requireErased tries everything with a scope that is erased.
func requireErased(t testing.TB, kr *keyring.Keyring, scope string, ids map[keyring.Purpose]keyring.KeyID) {
	t.Helper()
	for p, id := range ids {
		k := use(kr, p)
		_, err := k.encrypt(scope)
		require.ErrorIs(t, err, keyring.ErrErased)
		aboutKey(t, k.decrypt(scope, id), id, keyring.ErrErased)
		_, err = k.Live(background, scope)
		require.ErrorIs(t, err, keyring.ErrErased)
		_, err = kr.Rotate(background, keyring.Target{Scope: scope, Purpose: p}, keyring.RotateOptions{})
		require.ErrorIs(t, err, keyring.ErrErased)
	}
}

// inAllPurposes makes the scope's keys.
func inAllPurposes(t testing.TB, kr *keyring.Keyring, scope string) map[keyring.Purpose]keyring.KeyID {
	ids := make(map[keyring.Purpose]keyring.KeyID)
	for _, p := range keyring.Purposes() {
		ids[p] = use(kr, p).mustEncrypt(t, scope)
	}
	return ids
}

func TestShred(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	kr, other := f.create(t), f.open(t)
	ids, kept := inAllPurposes(t, kr, "gone"), inAllPurposes(t, kr, "here")
	second := rotate(t, kr, keyring.Target{Scope: "gone", Purpose: keyring.Encryption}, keyring.RotateOptions{})
	roots, _ := f.store.Snapshot()
	for p := range ids {
		require.NoError(t, use(other, p).decrypt("gone", ids[p]))
		require.NoError(t, use(other, p).decrypt("here", kept[p]))
	}
	secrets := keyring.Secrets(kr)
	report, err := kr.Shred(t.Context(), "gone", byAnn)
	require.NoError(t, err)
	requireErased(t, kr, "gone", ids)
	wiped := 0
	for _, s := range secrets {
		if string(s) == string(make([]byte, 32)) {
			wiped++
		}
	}
	require.Equal(t, 5, wiped)
	require.Len(t, report.Keys, 5)
	for _, k := range report.Keys {
		require.Equal(t, "gone", k.Scope)
		require.Equal(t, keyring.Destroyed, k.State)
		require.Equal(t, "ann", k.DestroyedBy)
		require.WithinDuration(t, time.Now(), k.DestroyedAt, time.Minute)
		require.False(t, k.DestroyedAt.After(report.At))
	}
	require.Equal(t, second, report.Keys[1].ID)
	require.Len(t, report.Roots, 4)
	for _, r := range roots {
		require.Equal(t, []keyring.KeyID{r.ID}, report.Roots[r.Purpose])
	}
	require.NotEmpty(t, report.Remains)
	_, keys := f.store.Snapshot()
	for _, k := range keys {
		require.Equal(t, k.Scope == "gone", k.State == keyring.KeyDestroyed)
	}

	again, err := kr.Shred(t.Context(), "gone", keyring.ShredOptions{By: "ben"})
	require.NoError(t, err)
	require.Equal(t, report, again, "again changes nothing")
	require.NoError(t, other.Refresh(t.Context()))
	for _, kr := range []*keyring.Keyring{other, f.open(t)} {
		requireErased(t, kr, "gone", ids)
		for p, id := range kept {
			require.NoError(t, use(kr, p).decrypt("here", id))
		}
	}
	// A scope that has no keys yet gets none.
	report, err = kr.Shred(t.Context(), "never used", byAnn)
	require.NoError(t, err)
	require.Empty(t, report.Keys)
	for _, kr := range []*keyring.Keyring{kr, other} {
		_, err = use(kr, keyring.Encryption).encrypt("never used")
		require.ErrorIs(t, err, keyring.ErrErased)
	}
}

func TestShredRefused(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	_, err := kr.Shred(t.Context(), "", byAnn)
	require.ErrorIs(t, err, keyring.ErrScope)
	_, err = kr.Shred(t.Context(), "a", byAnn)
	require.ErrorIs(t, err, keyring.ErrScope)
	require.NoError(t, use(kr, keyring.Encryption).decrypt("", id))

	f = newFixture()
	f.cfg.Scoped = true
	kr = f.create(t)
	id = use(kr, keyring.Encryption).mustEncrypt(t, "a")
	_, err = kr.Shred(t.Context(), "", byAnn)
	require.ErrorIs(t, err, keyring.ErrScope)
	_, err = kr.Shred(t.Context(), "a", keyring.ShredOptions{})
	require.ErrorContains(t, err, "ShredOptions.By")
	f.store.Fail(keyring.ErrDenied)
	_, err = kr.Shred(t.Context(), "a", byAnn)
	require.ErrorIs(t, err, keyring.ErrDenied)
	f.store.Fail(nil)
	require.NoError(t, use(kr, keyring.Encryption).decrypt("a", id), "nothing happened")
	require.NoError(t, kr.Close())
	_, err = kr.Shred(t.Context(), "a", byAnn)
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestShredUnderReaders has 64 readers at work: no call that begins after Shred
// has returned succeeds.
func TestShredUnderReaders(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	kr := f.create(t)
	for round := range 5 {
		scope := fmt.Sprint("scope ", round)
		ids := inAllPurposes(t, kr, scope)
		var shredded atomic.Bool
		var before, after, wrong atomic.Int64
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				p := keyring.Purposes()[i%4]
				k := use(kr, p)
				for n := 0; n < 20; {
					done := shredded.Load()
					err := k.decrypt(scope, ids[p])
					switch {
					case err == nil && done:
						wrong.Add(1)
					case err == nil:
						before.Add(1)
					case !errors.Is(err, keyring.ErrErased):
						wrong.Add(1)
					default:
						after.Add(1)
					}
					if done {
						n++
					}
				}
			})
		}
		_, err := kr.Shred(t.Context(), scope, byAnn)
		shredded.Store(true)
		wg.Wait()
		require.NoError(t, err)
		require.Zero(t, wrong.Load(), "round %d", round)
		require.GreaterOrEqual(t, after.Load(), int64(64*20))
	}
}

// TestShredMeetsFirstEncrypt holds a first Encrypt at each of its steps in the
// store, and shreds the scope meanwhile.
func TestShredMeetsFirstEncrypt(t *testing.T) {
	for step := 1; step <= 4; step++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("step %d, after %t", step, after), func(t *testing.T) {
				f := newFixture()
				f.cfg.Scoped = true
				kr, other := f.create(t), f.open(t)
				held, release := make(chan struct{}), make(chan struct{})
				var n atomic.Int64
				f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
					if n.Add(1) != int64(step) {
						return do()
					}
					var err error
					if after {
						err = do()
					}
					close(held)
					<-release
					if !after {
						err = do()
					}
					return err
				})
				encrypted := make(chan error, 1)
				go func() {
					_, err := use(kr, keyring.Encryption).encrypt("a")
					encrypted <- err
				}()
				select {
				case <-held:
				case err := <-encrypted:
					require.NoError(t, err)
					close(release)
					t.Log("the first Encrypt has fewer steps")
					return
				}
				_, err := other.Shred(t.Context(), "a", byAnn)
				require.NoError(t, err)
				close(release)
				if err := <-encrypted; err != nil {
					require.ErrorIs(t, err, keyring.ErrErased)
				}
				f.store.SetAround(nil)
				require.NoError(t, kr.Refresh(t.Context()))
				for _, kr := range []*keyring.Keyring{kr, other} {
					_, err := use(kr, keyring.Encryption).encrypt("a")
					require.ErrorIs(t, err, keyring.ErrErased)
				}
				_, keys := f.store.Snapshot()
				for _, k := range keys {
					require.Equal(t, keyring.KeyDestroyed, k.State, "a key outlived the scope")
				}
			})
		}
	}
}

// heldLoad is a Store.Load that has read the store, and whose answer is held back.
type heldLoad struct{ read, release chan struct{} }

func holdNextLoad(f *fixture) heldLoad {
	held := heldLoad{make(chan struct{}), make(chan struct{})}
	var once sync.Once
	change := func(*keyring.Loaded) {
		once.Do(func() {
			f.store.Change.Store(nil)
			close(held.read)
			<-held.release
		})
	}
	f.store.Change.Store(&change)
	return held
}

// TestShredMeetsSlowLoad has a load that read the store before the scope was
// erased arrive afterwards, when nothing in memory speaks of the scope.
func TestShredMeetsSlowLoad(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	maker := f.create(t)
	id := use(maker, keyring.Encryption).mustEncrypt(t, "a")
	kr := f.open(t)
	held := holdNextLoad(f)
	read := make(chan error, 1)
	go func() { read <- use(kr, keyring.Encryption).decrypt("a", id) }()
	<-held.read
	shredded := make(chan error, 1)
	go func() {
		_, err := kr.Shred(background, "a", byAnn)
		shredded <- err
	}()
	for keyring.ErasedAt(kr, "a") == 0 {
		time.Sleep(time.Millisecond)
	}
	close(held.release)
	require.NoError(t, <-shredded)
	require.ErrorIs(t, <-read, keyring.ErrErased, "the load is repeated")
	aboutKey(t, use(kr, keyring.Encryption).decrypt("a", id), id, keyring.ErrErased)
}

// TestShredLeavesOtherLoads shreds one scope after the other during the load of
// yet another: that is not repeated, or would not end while a long list is shredded.
func TestShredLeavesOtherLoads(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	id := use(f.create(t), keyring.Encryption).mustEncrypt(t, "a")
	kr := f.open(t)
	held := holdNextLoad(f)
	read := make(chan error, 1)
	go func() { read <- use(kr, keyring.Encryption).decrypt("a", id) }()
	<-held.read
	for i := range 10 {
		_, err := kr.Shred(t.Context(), fmt.Sprint(i), byAnn)
		require.NoError(t, err)
	}
	loads := f.store.Loads.Load()
	close(held.release)
	require.NoError(t, <-read)
	require.Equal(t, loads, f.store.Loads.Load())
}

// TestShredWithoutStore loses the store, or the caller, right after the tombstone
// was written.
func TestShredWithoutStore(t *testing.T) {
	for name, want := range map[string]error{"store": keyring.ErrUnavailable, "caller": context.Canceled} {
		f := newFixture()
		f.cfg.Scoped = true
		kr := f.create(t)
		ids := inAllPurposes(t, kr, "a")
		secrets := keyring.Secrets(kr)
		ctx, cancel := context.WithCancel(t.Context())
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			if operation != "erase" {
				t.Errorf("%s: %s", name, operation)
			}
			defer f.store.Fail(keyring.ErrUnavailable)
			if name == "caller" {
				defer cancel()
			}
			return do()
		})
		_, err := kr.Shred(ctx, "a", byAnn)
		cancel()
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "has its tombstone")
		requireErased(t, kr, "a", ids)
		require.Len(t, secrets, 4)
		for _, s := range secrets {
			require.Equal(t, make([]byte, 32), s)
		}
		f.store.Fail(nil)
		report, err := kr.Shred(t.Context(), "a", byAnn)
		require.NoError(t, err, "again, to finish")
		require.Len(t, report.Keys, 4)
	}
}

// TestShredInOutages shreds with what is left: the tombstone counts from the
// moment it is written.
func TestShredInOutages(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	index := keyringtest.NewKMS()
	f.cfg.PurposeKMS = map[keyring.Purpose][]keyring.KMS{keyring.Index: {index}}
	maker := f.create(t)
	ids := inAllPurposes(t, maker, "a")
	kr := f.open(t) // knows no root yet
	index.SetHook(deny)
	_, err := kr.Shred(t.Context(), "a", byAnn)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.ErrorContains(t, err, "has its tombstone")
	require.ErrorContains(t, err, ids[keyring.Index].String())
	requireErased(t, kr, "a", ids)
	f.kms.SetHook(down)
	cold := f.open(t)
	requireErased(t, cold, "a", ids) // also where no root can be had
	f.kms.SetHook(nil)
	_, keys := f.store.Snapshot()
	left := 0
	for _, k := range keys {
		if k.State != keyring.KeyDestroyed {
			left++
			require.Equal(t, keyring.Index, k.Purpose)
		}
	}
	require.Equal(t, 1, left)
	index.SetHook(nil)
	report, err := kr.Shred(t.Context(), "a", byAnn)
	require.NoError(t, err, "again, to finish")
	require.Len(t, report.Keys, 4)

	// Cut off from the store, a process ends with its grace.
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		near, far := f.create(t), f.open(t)
		id := use(near, keyring.Encryption).mustEncrypt(t, "a")
		require.NoError(t, use(far, keyring.Encryption).decrypt("a", id))
		_, err := near.Shred(t.Context(), "a", byAnn)
		require.NoError(t, err)
		time.Sleep(minute + 10*time.Second)
		aboutKey(t, use(far, keyring.Encryption).decrypt("a", id), id, keyring.ErrErased, "at the next refresh")

		id = use(near, keyring.Encryption).mustEncrypt(t, "b")
		require.NoError(t, use(far, keyring.Encryption).decrypt("b", id))
		_, err = near.Shred(t.Context(), "b", byAnn)
		require.NoError(t, err)
		f.store.Fail(keyring.ErrUnavailable)
		time.Sleep(23 * time.Hour)
		require.NoError(t, use(far, keyring.Encryption).decrypt("b", id))
		time.Sleep(time.Hour + 2*minute)
		require.ErrorIs(t, use(far, keyring.Encryption).decrypt("b", id), keyring.ErrStale)
	})
}

// TestShredHorizon rotates and destroys root keys before and after a scope is shredded: a
// backup of the store brings its keys back with any root key that they were under.
func TestShredHorizon(t *testing.T) {
	w := newRootWorld(t, 1)
	id := w.usable["scope 0"]
	rotateRoot := func() keyring.KeyID {
		done, err := w.kr.RotateRoot(t.Context(), keyring.Encryption)
		require.NoError(t, err)
		for _, id := range done.Empty {
			require.NoError(t, w.kr.DestroyRoot(t.Context(), id))
		}
		return done.Root
	}
	first := w.roots(keyring.Encryption)[0].ID
	roots, keys := w.store.Snapshot() // the backup
	second := rotateRoot()
	report, err := w.kr.Shred(t.Context(), "scope 0", byAnn)
	require.NoError(t, err)
	require.Equal(t, []keyring.KeyID{first, second}, report.Roots[keyring.Encryption])
	require.Len(t, report.Roots[keyring.Index], 1)
	rotateRoot() // to where no key of the scope ever was, but its tombstones are
	report, err = w.open(t).Shred(t.Context(), "scope 0", byAnn)
	require.NoError(t, err)
	require.Subset(t, report.Roots[keyring.Encryption], []keyring.KeyID{first, second})

	backup := &keyring.TableStore{}
	backup.Restore(roots, keys)
	w.cfg.Store = backup
	for denied, want := range map[keyring.KeyID]error{second: nil, first: keyring.ErrDenied} {
		w.cfg.KMS = []keyring.KMS{&pickyKMS{KMS: w.kms, denied: denied}}
		require.ErrorIs(t, use(w.open(t), keyring.Encryption).decrypt("scope 0", id), want)
	}
}

// TestShredRefusedRows shreds a scope one of whose rows was edited: that row is named,
// the others are destroyed, in a process that knew them and in one that did not.
func TestShredRefusedRows(t *testing.T) {
	for _, warm := range []bool{true, false} {
		f := newFixture()
		f.cfg.Scoped = true
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "a")
		rotate(t, kr, keyring.Target{Scope: "a", Purpose: keyring.Encryption}, keyring.RotateOptions{})
		edit := func() {
			f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[0].Wrapped[20] ^= 1 })
		}
		edit()
		if !warm {
			kr = f.open(t)
		}
		report, err := kr.Shred(t.Context(), "a", byAnn)
		aboutKey(t, err, id, keyring.ErrTampered)
		require.Len(t, report.Keys, 1)
		_, keys := f.store.Snapshot()
		require.Equal(t, keyring.KeyEnabled, keys[0].State)
		require.Equal(t, keyring.KeyDestroyed, keys[1].State)
		edit() // back
		report, err = kr.Shred(t.Context(), "a", byAnn)
		require.NoError(t, err)
		require.Len(t, report.Keys, 2)
	}
}

// TestErasedScopeUnderAnotherRoot moves the keys of a scope whose tombstone is
// known, but whose keys were not destroyed yet.
func TestErasedScopeUnderAnotherRoot(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	kr, other := f.create(t), f.open(t)
	ids := inAllPurposes(t, kr, "a")
	require.NoError(t, f.store.EraseScope(t.Context(), "test", "a"))
	require.NoError(t, kr.Refresh(t.Context()))
	requireErased(t, kr, "a", ids)
	_, err := other.RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)
	require.NoError(t, kr.Refresh(t.Context()))
	report, err := kr.Shred(t.Context(), "a", byAnn)
	require.NoError(t, err)
	require.Len(t, report.Keys, 4)
	require.NotContains(t, f.log.String(), "level=ERROR")
}

func TestPreload(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	maker := f.create(t)
	var scopes []string
	for i := range 10_000 {
		scopes = append(scopes, fmt.Sprint("scope ", i))
	}
	require.NoError(t, keyring.InsertMany(t.Context(), maker, keyring.Encryption, scopes))
	kr := f.open(t)
	loads, unwraps := f.store.Loads.Load(), f.kms.Unwraps()
	require.NoError(t, kr.Preload(t.Context(), keyring.Encryption, append(scopes, scopes...)...))
	require.EqualValues(t, 10, f.store.Loads.Load()-loads, "queries")
	require.Equal(t, 1, f.kms.Unwraps()-unwraps, "KMS calls")
	k := use(kr, keyring.Encryption)
	for _, scope := range scopes {
		k.mustEncrypt(t, scope)
	}
	require.EqualValues(t, 10, f.store.Loads.Load()-loads, "nothing is left to be loaded")
	require.NoError(t, kr.Preload(t.Context(), keyring.Encryption, scopes...))
	require.EqualValues(t, 10, f.store.Loads.Load()-loads, "what is in memory stays there")
	require.NoError(t, kr.Preload(t.Context(), keyring.Index, "nobody", "scope 1"), "no key is no error")
	_, keys := f.store.Snapshot()
	require.Len(t, keys, 10_000, "and none is made")

	f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[3].Wrapped[9] ^= 1 })
	cold := f.open(t)
	aboutKey(t, cold.Preload(t.Context(), keyring.Encryption, scopes[:10]...), keys[3].ID, keyring.ErrTampered)
	loads = f.store.Loads.Load()
	use(cold, keyring.Encryption).mustEncrypt(t, scopes[4])
	require.Equal(t, loads, f.store.Loads.Load(), "the others are loaded")
	require.ErrorIs(t, cold.Preload(t.Context(), keyring.Encryption, "a", ""), keyring.ErrScope)
	f.kms.SetHook(down)
	unwraps = f.kms.Unwraps()
	require.ErrorIs(t, f.open(t).Preload(t.Context(), keyring.Encryption, scopes...), keyring.ErrUnavailable)
	require.Equal(t, 1, f.kms.Unwraps()-unwraps, "a KMS that is down is asked once")
	f.kms.SetHook(nil)
	f.store.Fail(keyring.ErrUnavailable)
	require.ErrorIs(t, cold.Preload(t.Context(), keyring.Encryption, "a"), keyring.ErrUnavailable)
	require.NoError(t, cold.Close())
	require.ErrorIs(t, cold.Preload(t.Context(), keyring.Encryption, "a"), keyring.ErrClosed)
}

func TestNewScopesPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped, f.cfg.NewScopesPerMinute = true, 60
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		made := func(n int) (ok int) {
			for range n {
				if _, err := k.encrypt(fmt.Sprint(ok, " ", time.Now().UnixNano())); err == nil {
					ok++
				} else {
					require.ErrorIs(t, err, keyring.ErrUnavailable)
					require.ErrorContains(t, err, "more than 60 new scopes in a minute")
				}
			}
			return ok
		}
		require.Equal(t, 60, made(1000))
		k.mustEncrypt(t, "0 "+fmt.Sprint(time.Now().UnixNano()))
		time.Sleep(10 * time.Second)
		require.Equal(t, 10, made(100))
		time.Sleep(time.Hour)
		require.Equal(t, 60, made(100))
		_, keys := f.store.Snapshot()
		require.Len(t, keys, 130)

		// Scopes that others have made meanwhile do not count, nor does an outage.
		time.Sleep(time.Hour)
		other := use(f.open(t), keyring.Encryption)
		for i := range 30 {
			require.ErrorIs(t, k.decrypt(fmt.Sprint(i), 0x80000001), keyring.ErrUnknownKey) // remembered as without keys
			other.mustEncrypt(t, fmt.Sprint(i))
			k.mustEncrypt(t, fmt.Sprint(i))
		}
		f.store.Fail(keyring.ErrUnavailable)
		for range 100 {
			require.ErrorIs(t, k.decrypt("down", 0x80000001), keyring.ErrUnavailable)
			_, err := k.encrypt("0 down")
			require.ErrorIs(t, err, keyring.ErrUnavailable)
		}
		f.store.Fail(nil)
		require.Equal(t, 60, made(100))
		_, err := kr.Rotate(t.Context(), keyring.Target{Scope: "by hand", Purpose: keyring.Encryption}, keyring.RotateOptions{})
		require.ErrorContains(t, err, "more than 60 new scopes in a minute")
	})
}

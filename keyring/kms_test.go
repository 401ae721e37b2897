package keyring_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func down(context.Context, string) ([]byte, error) {
	return nil, fmt.Errorf("%w: connection refused", keyring.ErrUnavailable)
}

func deny(context.Context, string) ([]byte, error) {
	return nil, fmt.Errorf("%w: by policy", keyring.ErrDenied)
}

// addKMS gives the fixture's Config a second KMS.
func (f *fixture) addKMS() *keyringtest.KMS {
	k := keyringtest.NewKMS()
	f.cfg.KMS = append(slices.Clone(f.cfg.KMS), k)
	return k
}

func missing(kr *keyring.Keyring) (n int) {
	for _, r := range kr.Health().Roots {
		n += len(r.Missing)
	}
	return n
}

// TestKMSOrder lets the first of two KMSs fail: it is asked last for a while,
// which doubles with each failure, and then first again.
func TestKMSOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		first, second := f.kms, f.addKMS()
		use(f.create(t), keyring.Encryption).mustEncrypt(t, "")
		use(f.open(t), keyring.Index).mustEncrypt(t, "")
		require.Equal(t, []int{1, 0}, []int{first.Unwraps() - 4, second.Unwraps() - 4}, "in the order of the Config, after the proofs of Create")

		kr := f.open(t)
		first.SetHook(down)
		for i, p := range keyring.Purposes() {
			use(kr, p).mustEncrypt(t, "")
			require.Equal(t, []int{2, 1 + i}, []int{first.Unwraps() - 4, second.Unwraps() - 4}, "the failed one is asked once")
		}
		require.Equal(t, first.URI(), kr.Health().KMS[0].URI)
		require.Contains(t, kr.Health().KMS[0].Error, "connection refused")
		require.Empty(t, kr.Health().KMS[1].Error)
		require.Equal(t, 1, strings.Count(f.log.String(), "KMS failed"))

		// Both fail: the one that failed before is asked last, but asked.
		second.SetHook(down)
		kr = f.open(t)
		for range 3 {
			_, err := use(kr, keyring.Encryption).encrypt("")
			require.ErrorIs(t, err, keyring.ErrUnavailable)
			for _, k := range f.cfg.KMS {
				require.ErrorContains(t, err, k.URI())
			}
		}
		first.SetHook(nil)
		second.SetHook(nil)
		asked := second.Unwraps()
		time.Sleep(4 * 30 * time.Second) // after three failures
		use(kr, keyring.Encryption).mustEncrypt(t, "")
		require.Equal(t, asked, second.Unwraps(), "the first one is asked first again")
		require.Contains(t, f.log.String(), "KMS works again")
		require.Empty(t, kr.Health().KMS[0].Error)
	})
}

// TestFailedRootIsNamedOnce opens a keyring of five keys while the KMS is down.
func TestFailedRootIsNamedOnce(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	for range 5 {
		use(kr, keyring.Encryption).mustEncrypt(t, "")
		rotate(t, kr, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	}
	f.kms.SetHook(down)
	_, err := use(f.open(t), keyring.Encryption).encrypt("")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.Regexp(t, `^keyring: test: purpose encryption, key [0-9a-f]{8} under [0-9a-f]{8}: root key: KMS memory:[0-9a-f]{16}: unavailable: connection refused$`, err.Error())
	require.ErrorContains(t, err, "under "+kr.Health().Roots[0].ID)
}

func TestMissingWraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		second := f.addKMS()
		f.cfg.AllowMissingWraps = true

		second.SetHook(deny)
		_, err := keyring.Create(t.Context(), f.cfg)
		require.ErrorIs(t, err, keyring.ErrDenied, "who refuses is not out of reach")
		second.SetHook(down)
		f.kms.SetHook(down)
		_, err = keyring.Create(t.Context(), f.cfg)
		require.ErrorIs(t, err, keyring.ErrUnavailable, "one at least must wrap")
		f.kms.SetHook(nil)
		strict := f.cfg
		strict.AllowMissingWraps = false
		_, err = keyring.Create(t.Context(), strict)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, second.URI())

		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		require.Equal(t, 4, missing(kr))
		require.NoError(t, kr.Health().Err(), "it serves")
		roots, _ := f.store.Snapshot()
		for _, r := range roots {
			require.Equal(t, keyring.Wrap{URI: second.URI()}, r.Wraps[1], "recorded")
		}
		require.Equal(t, 4, strings.Count(f.log.String(), "root key lacks a wrap"))
		require.Contains(t, f.log.String(), second.URI())

		// A process that does not allow it, or may not wrap, adds none.
		bystander, err := keyring.Open(t.Context(), strict)
		require.NoError(t, err)
		t.Cleanup(func() { bystander.Close() })
		require.Equal(t, 4, missing(bystander), "the record is in the store")
		time.Sleep(time.Hour)
		require.Equal(t, 4, missing(kr))
		tried := second.Wraps()
		require.Less(t, tried, 30, "tries while it is down, in an hour")

		second.SetHook(nil)
		time.Sleep(11 * time.Minute)
		require.Zero(t, missing(kr))
		require.Equal(t, 4, second.Wraps()-tried, "one Wrap per root key")
		require.Equal(t, 4, strings.Count(f.log.String(), "missing wrap added"))
		time.Sleep(2 * time.Minute)
		require.Zero(t, missing(bystander))

		alone := f.cfg
		alone.KMS = []keyring.KMS{second}
		other, err := keyring.Open(t.Context(), alone)
		require.NoError(t, err)
		t.Cleanup(func() { other.Close() })
		require.NoError(t, use(other, keyring.Encryption).decrypt("", id), "the second KMS alone opens")
	})
}

// TestManyHealers has several processes add the same missing wraps at once.
func TestManyHealers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		second := f.addKMS()
		f.cfg.AllowMissingWraps = true
		second.SetHook(down)
		krs := []*keyring.Keyring{f.create(t)}
		for range 4 {
			krs = append(krs, f.open(t))
		}
		second.SetHook(nil)
		time.Sleep(5 * time.Minute)
		roots, _ := f.store.Snapshot()
		for _, r := range roots {
			require.Len(t, r.Wraps, 2)
			require.NotEmpty(t, r.Wraps[1].Wrapped)
			require.Equal(t, int64(2), r.Revision, "written once")
		}
		for _, kr := range krs {
			require.Zero(t, missing(kr))
		}
	})
}

// TestPurposeKMS gives each of two purposes a KMS of its own: a service that has
// one of them can use that purpose only.
func TestPurposeKMS(t *testing.T) {
	f := newFixture()
	search := keyringtest.NewKMS()
	f.cfg.PurposeKMS = map[keyring.Purpose][]keyring.KMS{keyring.Index: {search}}
	kr := f.create(t)
	id, tag := use(kr, keyring.Encryption).mustEncrypt(t, ""), use(kr, keyring.Index).mustEncrypt(t, "")
	require.Equal(t, []int{3, 1}, []int{f.kms.Wraps(), search.Wraps()})

	f.cfg.KMS = nil
	searcher := f.open(t)
	require.NoError(t, use(searcher, keyring.Index).decrypt("", tag))
	err := use(searcher, keyring.Encryption).decrypt("", id)
	require.ErrorIs(t, err, keyring.ErrNoKMS)
	require.ErrorContains(t, err, f.kms.URI(), "which KMS would be needed")
	_, err = use(searcher, keyring.Encryption).encrypt("")
	require.ErrorIs(t, err, keyring.ErrNoKMS)
	_, err = searcher.Rewrap(t.Context(), keyring.RewrapOptions{})
	require.ErrorIs(t, err, keyring.ErrNoKMS)
	require.Len(t, searcher.Health().KMS, 1)

	f.cfg.Name = "other"
	_, err = keyring.Create(t.Context(), f.cfg)
	require.ErrorContains(t, err, "no KMS for purpose encryption")
	f.cfg.PurposeKMS["signing"] = nil
	_, err = keyring.Open(t.Context(), f.cfg)
	require.ErrorContains(t, err, "signing")
}

// TestKMSOutage lets the KMS fail for good: a process goes on for the graces
// and then fails with an error that says why.
func TestKMSOutage(t *testing.T) {
	for name, hook := range map[string]keyringtest.Hook{
		"down": down, "denied": deny,
		"silent": func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		"lies":   func(context.Context, string) ([]byte, error) { return make([]byte, 32), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture()
				kr := f.create(t)
				field, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
				require.NoError(t, err)
				ct, err := field.Encrypt(t.Context(), []byte("v"), crypto.Binding{})
				require.NoError(t, err)
				proofs := f.kms.Unwraps()
				time.Sleep(25 * time.Minute)
				require.Equal(t, proofs, f.kms.Unwraps(), "not due yet")
				time.Sleep(10 * time.Minute)
				require.Equal(t, 4, f.kms.Unwraps()-proofs, "after half of the shorter grace each root key is asked for again")
				begun := time.Now()
				f.kms.SetHook(hook)

				open := func() error {
					before := time.Now()
					_, err := field.Decrypt(t.Context(), ct, crypto.Binding{})
					require.Equal(t, before, time.Now(), "a warm key never waits")
					return err
				}
				seals, opens := 0, 0
				for time.Since(begun) < 23*time.Hour+25*time.Minute {
					if _, err := field.Encrypt(t.Context(), nil, crypto.Binding{}); err == nil {
						seals++
						require.Less(t, time.Since(begun), time.Hour+time.Minute)
					} else {
						require.ErrorIs(t, err, keyring.ErrStale)
						require.Greater(t, time.Since(begun), 50*time.Minute)
					}
					require.NoError(t, open())
					opens++
					time.Sleep(time.Minute)
				}
				require.Greater(t, seals, 50)
				time.Sleep(40 * time.Minute)
				err = open()
				require.ErrorIs(t, err, keyring.ErrStale)
				require.NotErrorIs(t, err, crypto.ErrDecrypt)
				require.ErrorContains(t, err, f.kms.URI())
				require.ErrorContains(t, err, "keyring: test: purpose encryption, key "+kr.Health().Roots[0].ID)
				require.ErrorIs(t, kr.Health().Err(), keyring.ErrStale)
				require.False(t, kr.Health().Purposes[0].Decrypts)
				t.Logf("%d of %d reads served during an outage of 23 h 25 min; after the grace: %v", opens, opens, err)
				log := f.log.String()
				require.Equal(t, 1, strings.Count(log, "KMS failed"))
				require.Equal(t, 2, strings.Count(log, "keys are stale"), "the end of each grace")

				f.kms.SetHook(nil)
				time.Sleep(2 * time.Minute)
				require.NoError(t, open())
				_, err = field.Encrypt(t.Context(), nil, crypto.Binding{})
				require.NoError(t, err)
				require.NoError(t, kr.Health().Err())
				require.Contains(t, f.log.String(), "keys are fresh again")
			})
		})
	}
}

// TestRefreshAfterFreeze freezes a process for two days: Refresh makes it whole
// at once.
func TestRefreshAfterFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.RefreshEvery = 5 * time.Minute
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, "")
		f.kms.SetHook(down)
		f.store.Fail(keyring.ErrUnavailable)
		time.Sleep(48 * time.Hour)
		require.ErrorIs(t, k.decrypt("", id), keyring.ErrStale)
		require.Error(t, kr.Refresh(t.Context()))
		f.store.Fail(nil)
		err := kr.Refresh(t.Context())
		require.ErrorIs(t, err, keyring.ErrUnavailable, "the KMS is still down")
		require.ErrorContains(t, err, f.kms.URI())
		require.ErrorIs(t, k.decrypt("", id), keyring.ErrStale)
		f.kms.SetHook(nil)
		require.NoError(t, kr.Refresh(t.Context()))
		require.NoError(t, k.decrypt("", id))
		require.Equal(t, id, k.mustEncrypt(t, ""))
	})
}

// rewrapWorld is a keyring with two keys per purpose, to be moved from one KMS
// to another.
func rewrapWorld(t *testing.T) (f *fixture, to *keyringtest.KMS, move keyring.Config, ids map[keyring.Purpose]keyring.KeyID) {
	f = newFixture()
	kr := f.create(t)
	ids = make(map[keyring.Purpose]keyring.KeyID)
	for _, p := range keyring.Purposes() {
		ids[p] = use(kr, p).mustEncrypt(t, "")
		rotate(t, kr, keyring.Target{Purpose: p}, keyring.RotateOptions{})
	}
	require.NoError(t, kr.Close())
	to = keyringtest.NewKMS()
	move = f.cfg
	move.KMS = []keyring.KMS{to}
	return f, to, move, ids
}

func openAll(t *testing.T, cfg keyring.Config, ids map[keyring.Purpose]keyring.KeyID) error {
	kr, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer kr.Close()
	var errs []error
	for p, id := range ids {
		errs = append(errs, use(kr, p).decrypt("", id))
	}
	return errors.Join(errs...)
}

func TestRewrap(t *testing.T) {
	f, to, move, ids := rewrapWorld(t)
	_, before := f.store.Snapshot()
	proofs := f.kms.Unwraps() // of Create
	require.ErrorIs(t, openAll(t, move, ids), keyring.ErrNoKMS)
	mover, err := keyring.Open(t.Context(), move)
	require.NoError(t, err)
	defer mover.Close()

	_, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{})
	require.ErrorIs(t, err, keyring.ErrNoKMS, "nobody can unwrap")

	report, err := mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}, DryRun: true})
	require.NoError(t, err)
	require.Len(t, report.Roots, 4)
	for _, r := range report.Roots {
		require.Equal(t, []string{to.URI()}, r.Added)
	}
	require.Equal(t, []int{0, 0, 0}, []int{f.kms.Unwraps() - proofs, to.Wraps(), to.Unwraps()}, "a dry run calls no KMS")

	report, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}})
	require.NoError(t, err)
	require.Equal(t, []int{4, 4, 4}, []int{f.kms.Unwraps() - proofs, to.Wraps(), to.Unwraps()}, "calls for 4 root versions and 8 keys")
	for _, r := range report.Roots {
		require.Equal(t, []string{to.URI()}, r.Added)
		require.Empty(t, r.Removed)
		require.Equal(t, []string{f.kms.URI(), to.URI()}, r.Wraps)
		require.NoError(t, r.Err)
	}
	require.NoError(t, openAll(t, f.cfg, ids), "the old KMS still opens")
	require.NoError(t, openAll(t, move, ids), "the new one too")

	// Once more changes nothing.
	calls := f.kms.Unwraps() + to.Wraps() + to.Unwraps()
	roots, _ := f.store.Snapshot()
	report, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Roots[0].Added)
	again, keys := f.store.Snapshot()
	require.Equal(t, roots, again)
	require.Equal(t, calls, f.kms.Unwraps()+to.Wraps()+to.Unwraps())

	// The old one goes only if the new one proves itself.
	for name, hook := range map[string]keyringtest.Hook{"down": down, "denies": deny, "lies": func(context.Context, string) ([]byte, error) { return make([]byte, 32), nil }} {
		to.SetHook(hook)
		report, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}, Remove: true})
		require.Error(t, err, name)
		require.ErrorContains(t, err, to.URI())
		require.Empty(t, report.Roots[0].Removed)
		require.Error(t, report.Roots[0].Err)
		again, _ = f.store.Snapshot()
		require.Equal(t, roots, again, name)
	}
	to.SetHook(nil)
	f.kms.SetHook(down)
	report, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{Remove: true})
	require.NoError(t, err, "the old one is not needed any more")
	for _, r := range report.Roots {
		require.Equal(t, []string{f.kms.URI()}, r.Removed)
		require.Equal(t, []string{to.URI()}, r.Wraps)
	}
	require.NoError(t, openAll(t, move, ids))
	f.kms.SetHook(nil)
	require.ErrorIs(t, openAll(t, f.cfg, ids), keyring.ErrNoKMS)
	require.Equal(t, before, keys, "the rows of keys are untouched")
	_, after := f.store.Snapshot()
	require.Equal(t, before, after, "the rows of keys are untouched")
}

// TestRewrapIsResumed cuts a run short at each of its writes and KMS calls.
func TestRewrapIsResumed(t *testing.T) {
	steps := 0
	for cut := 0; ; cut++ {
		f, to, move, ids := rewrapWorld(t)
		var n atomic.Int64
		step := func() error {
			if int(n.Add(1)) > cut {
				return fmt.Errorf("%w: cut", keyring.ErrUnavailable)
			}
			return nil
		}
		f.store.SetAround(func(ctx context.Context, operation string, do func() error) error {
			if operation == "update root" {
				if err := step(); err != nil {
					if cut%2 == 0 { // done, but the answer is lost
						do()
					}
					return err
				}
			}
			return do()
		})
		to.SetHook(func(context.Context, string) ([]byte, error) { return nil, step() })
		mover, err := keyring.Open(t.Context(), move)
		require.NoError(t, err)
		report, err := mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}, Remove: true})
		require.Len(t, report.Roots, 4, "every root is tried and reported")
		require.NoError(t, mover.Close())
		if err == nil {
			steps = cut
			break
		}
		f.store.SetAround(nil)
		to.SetHook(nil)
		both := f.cfg
		both.KMS = []keyring.KMS{f.kms, to}
		require.NoError(t, openAll(t, both, ids), "cut %d: every key can be had at any time", cut)
		mover, err = keyring.Open(t.Context(), move)
		require.NoError(t, err)
		_, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{f.kms}, Remove: true})
		require.NoError(t, err, "cut %d", cut)
		require.NoError(t, mover.Close())
		require.NoError(t, openAll(t, move, ids))
	}
	t.Logf("cut short after each of %d steps, and finished by another run", steps)
	require.Equal(t, 12, steps)
}

// TestRewrapRaces runs many at once, some that add and some that remove.
func TestRewrapRaces(t *testing.T) {
	f, to, move, ids := rewrapWorld(t)
	race(8, func(i int) {
		kr, err := keyring.Open(background, move)
		if err == nil {
			_, err = kr.Rewrap(background, keyring.RewrapOptions{From: []keyring.KMS{f.kms}, Remove: i%2 == 0})
			kr.Close()
		}
		require.NoError(t, err)
	})
	require.NoError(t, openAll(t, move, ids))
	roots, _ := f.store.Snapshot()
	for _, r := range roots {
		require.Len(t, r.Wraps, 1)
		require.Equal(t, to.URI(), r.Wraps[0].URI)
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, "")
		h := kr.Health()
		require.NoError(t, h.Err())
		require.Equal(t, "test", h.Keyring)
		require.False(t, h.Watching, "this store can not be watched")
		require.Len(t, h.Roots, 4)
		require.Equal(t, []string{f.kms.URI()}, h.Roots[0].Wraps)
		require.Equal(t, []keyring.KMSHealth{{URI: f.kms.URI(), Purposes: keyring.Purposes()}}, h.KMS)
		require.Empty(t, h.Refused)
		data, err := json.MarshalIndent(h, "", "\t")
		require.NoError(t, err)
		t.Logf("%s", data)
		require.Contains(t, string(data), h.Roots[0].ID)

		time.Sleep(time.Second)
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[0].Wrapped[7] ^= 1 })
		require.Error(t, kr.Refresh(t.Context()))
		h = kr.Health()
		require.NoError(t, h.Err(), "it still reads")
		require.Len(t, h.Refused, 1)
		require.Contains(t, h.Refused[0], id.String())
		require.Contains(t, h.RefreshError, id.String())

		f.store.Fail(errors.New("no route to host"))
		time.Sleep(61 * time.Minute)
		h = kr.Health()
		require.ErrorIs(t, h.Err(), keyring.ErrStale)
		require.Contains(t, h.RefreshError, "no route to host")
		require.GreaterOrEqual(t, h.Age, time.Hour)
		require.Equal(t, keyring.PurposeHealth{Purpose: keyring.Encryption, Decrypts: true}, h.Purposes[0])
		require.NoError(t, kr.Close())
		require.ErrorIs(t, kr.Health().Err(), keyring.ErrClosed)

		f.cfg.Store = keyring.NewMemoryStore()
		watched := f.create(t)
		synctest.Wait()
		require.True(t, watched.Health().Watching)
	})
}

// TestEvents checks that each change is told once, in the process that made it
// and in another one.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		one := f.create(t)
		use(one, keyring.Encryption).mustEncrypt(t, "")
		quiet := f.log
		require.Empty(t, quiet.String(), "nothing happened yet")
		f.log = &logBuffer{}
		f.cfg.Logger = newLogger(f.log)
		two := f.open(t)
		use(two, keyring.Encryption).mustEncrypt(t, "")
		require.Empty(t, f.log.String(), "what a process meets first is no change")

		id := rotate(t, one, encryption, keyring.RotateOptions{})
		time.Sleep(2 * time.Minute)
		require.NoError(t, keyring.SetState(t.Context(), one, encryption, id, keyring.KeySuspended))
		time.Sleep(2 * time.Minute)
		require.NoError(t, keyring.SetState(t.Context(), one, encryption, id, keyring.KeyEnabled))
		time.Sleep(12 * time.Minute)
		f.store.Fail(keyring.ErrUnavailable)
		time.Sleep(10 * time.Minute)
		f.store.Fail(nil)
		time.Sleep(2 * time.Minute)
		require.NoError(t, f.store.EraseScope(t.Context(), "test", ""))
		time.Sleep(2 * time.Minute)
		for name, log := range map[string]string{"one": quiet.String(), "two": f.log.String()} {
			var got []string
			for line := range strings.Lines(log) {
				_, message, _ := strings.Cut(line, "msg=\"sealfield: ")
				message, _, _ = strings.Cut(message, "\"")
				got = append(got, message)
			}
			require.Equal(t, []string{"key added", "key changed its state", "key changed its state", "key encrypts from now on",
				"refresh of keys failed", "refresh of keys works again", "scope erased"}, got, name)
			require.Contains(t, log, "key="+id.String())
		}
	})
}

// TestValuesUnderFiveKeys opens 100,000 values under 5 DEKs in a process that
// has just started.
func TestValuesUnderFiveKeys(t *testing.T) {
	store, kms := &faultyStore{Store: keyring.NewMemoryStore()}, keyringtest.NewKMS()
	kr := create(t, config(store, kms))
	var values [][]byte
	for version := range 5 {
		if version > 0 {
			_, err := kr.Rotate(t.Context(), encryption, now)
			require.NoError(t, err)
		}
		f := field(t, kr)
		for range 20_000 {
			ct, err := f.Encrypt(t.Context(), []byte("4111111111111111"), crypto.Binding{})
			require.NoError(t, err)
			values = append(values, ct)
		}
	}
	cold := field(t, open(t, config(store, kms)))
	calls, loads := kms.Unwraps(), store.loads.Load()
	for i := range values {
		_, err := cold.Decrypt(t.Context(), values[(i*7919)%len(values)], crypto.Binding{})
		require.NoError(t, err)
	}
	t.Logf("%d values under 5 DEKs: %d KMS call, %d store loads", len(values), kms.Unwraps()-calls, store.loads.Load()-loads)
	require.Equal(t, 1, kms.Unwraps()-calls)
	require.LessOrEqual(t, store.loads.Load()-loads, int64(2))
}

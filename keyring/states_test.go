package keyring_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// TestStoredStates walks a key of purpose Encryption and one of purpose Index
// through every stored state, in a process that is warm and in one that is not.
// There is always an older key that could serve, and must not.
func TestStoredStates(t *testing.T) {
	for _, c := range []struct {
		state            keyring.KeyState
		encrypt, decrypt error
		live             int   // keys that Match looks for
		match            error // or why it fails
	}{
		{keyring.KeyEnabled, nil, nil, 2, nil},
		{keyring.KeySuspended, keyring.ErrSuspended, keyring.ErrSuspended, 0, keyring.ErrSuspended},
		{keyring.KeyCompromised, keyring.ErrCompromised, nil, 2, nil},
		{keyring.KeyDestroyed, keyring.ErrErased, keyring.ErrErased, 1, nil},
		{"of a newer release", keyring.ErrUnavailable, keyring.ErrUnavailable, 0, keyring.ErrUnavailable},
	} {
		for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Index} {
			t.Run(fmt.Sprint(c.state, " ", purpose), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture()
					warm := f.create(t)
					target := keyring.Target{Purpose: purpose}
					old := use(warm, purpose).mustEncrypt(t, "")
					id := rotate(t, warm, target, keyring.RotateOptions{})
					time.Sleep(11 * minute)
					require.Equal(t, id, use(warm, purpose).mustEncrypt(t, ""))
					secrets := keyring.Secrets(warm)
					require.NoError(t, keyring.SetState(t.Context(), warm, target, id, c.state))
					require.NoError(t, warm.Refresh(t.Context()))

					for _, kr := range []*keyring.Keyring{warm, f.open(t)} {
						k := use(kr, purpose)
						got, err := k.encrypt("")
						active, idErr := k.ActiveID(t.Context(), "")
						if c.encrypt != nil {
							aboutKey(t, err, id, c.encrypt)
							aboutKey(t, idErr, id, c.encrypt)
						} else {
							require.NoError(t, err)
							require.NoError(t, idErr)
							require.Equal(t, id, got, "the older key must never encrypt again")
							require.Equal(t, id, active)
						}
						if err := k.decrypt("", id); c.decrypt != nil {
							aboutKey(t, err, id, c.decrypt)
						} else {
							require.NoError(t, err)
						}
						require.NoError(t, k.decrypt("", old), "older keys decrypt")
						live, err := k.Live(t.Context(), "")
						if c.match != nil {
							aboutKey(t, err, id, c.match)
						} else {
							require.NoError(t, err)
							require.Len(t, live, c.live)
						}
						infos, err := kr.Keys(t.Context(), target)
						require.NoError(t, err)
						require.Equal(t, keyring.Retired, infos[0].State)
						if c.state == keyring.KeyEnabled {
							require.Equal(t, keyring.Active, infos[1].State)
						} else {
							require.EqualValues(t, c.state, infos[1].State)
						}
					}
					if c.decrypt != nil {
						require.Equal(t, make([]byte, 32), secrets[1], "a key that may not be used is wiped")
					}
					require.NotEqual(t, make([]byte, 32), secrets[0])

					// And the way on: a new key, whatever the newest one's state.
					next := rotate(t, warm, target, keyring.RotateOptions{})
					time.Sleep(11 * minute)
					require.Equal(t, next, use(warm, purpose).mustEncrypt(t, ""))
				})
			})
		}
	}
}

// TestErrorsOfStates sees the same through crypto and token, whose callers must
// tell keys that may not be used from an outage.
func TestErrorsOfStates(t *testing.T) {
	f := newFixture()
	kr := f.create(t)
	x, err := token.NewIndex(kr, "f", token.IndexConfig{})
	require.NoError(t, err)
	_, err = x.Tag(t.Context(), nil, "")
	require.NoError(t, err)
	ct := seal(t, kr, "")
	id, err := crypto.KeyID(ct)
	require.NoError(t, err)
	infos, err := kr.Keys(t.Context(), keyring.Target{Purpose: keyring.Index})
	require.NoError(t, err)

	for _, c := range []struct {
		state keyring.KeyState
		want  error
	}{{keyring.KeySuspended, keyring.ErrSuspended}, {keyring.KeyEnabled, nil}, {keyring.KeyDestroyed, keyring.ErrErased}} {
		require.NoError(t, keyring.SetState(t.Context(), kr, encryption, id, c.state))
		require.NoError(t, keyring.SetState(t.Context(), kr, keyring.Target{Purpose: keyring.Index}, infos[0].ID, c.state))
		require.NoError(t, kr.Refresh(t.Context()))
		if c.want == nil {
			require.NoError(t, trySeal(kr, ""), "resumed")
			require.NoError(t, tryOpen(kr, ct, ""), "resumed")
			continue
		}
		err := tryOpen(kr, ct, "")
		aboutKey(t, err, id, c.want)
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		require.Equal(t, crypto.ErrDecrypt.Error(), err.Error(), "one public text")
		aboutKey(t, trySeal(kr, ""), id, c.want)
		_, err = x.Tag(t.Context(), nil, "")
		aboutKey(t, err, infos[0].ID, c.want)
		tags, err := x.Match(t.Context(), nil, "")
		if c.state == keyring.KeySuspended {
			aboutKey(t, err, infos[0].ID, c.want)
		} else {
			require.NoError(t, err)
			require.NotNil(t, tags)
			require.Empty(t, tags)
		}
	}
}

// TestFinalStates writes rows that go back from a final state, as somebody with
// the root key but an old view could.
func TestFinalStates(t *testing.T) {
	for _, final := range []keyring.KeyState{keyring.KeyCompromised, keyring.KeyDestroyed} {
		f := newFixture()
		admin := f.create(t)
		id := use(admin, keyring.Encryption).mustEncrypt(t, "")
		_, before := f.store.Snapshot()
		require.NoError(t, keyring.SetState(t.Context(), admin, encryption, id, final))
		warm := f.open(t)
		_, err := use(warm, keyring.Encryption).encrypt("")
		require.Error(t, err)

		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { // what was genuine once, with a newer revision
			(*keys)[0] = before[0]
			(*keys)[0].Revision = 7
		})
		aboutKey(t, warm.Refresh(t.Context()), id, keyring.ErrTampered)
		_, err = use(warm, keyring.Encryption).encrypt("")
		aboutKey(t, err, id, keyring.ErrTampered)
		if final == keyring.KeyDestroyed {
			aboutKey(t, use(warm, keyring.Encryption).decrypt("", id), id, keyring.ErrErased)
		}
		require.Contains(t, f.log.String(), "level=ERROR")
	}
}

// TestTombstone erases a scope: from the next load on nothing of it opens, in
// every purpose, and no key is made for it again.
func TestTombstone(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	warm := f.create(t)
	purposes := []keyring.Purpose{keyring.Encryption, keyring.Index}
	ids := map[keyring.Purpose]keyring.KeyID{}
	for _, p := range purposes {
		ids[p] = use(warm, p).mustEncrypt(t, "gone")
		use(warm, p).mustEncrypt(t, "here")
	}
	secrets := keyring.Secrets(warm)
	require.NoError(t, f.store.EraseScope(t.Context(), "test", "gone"))
	require.NoError(t, warm.Refresh(t.Context()))
	wiped := 0
	for _, s := range secrets {
		if string(s) == string(make([]byte, 32)) {
			wiped++
		}
	}
	require.Equal(t, 2, wiped)
	for _, kr := range []*keyring.Keyring{warm, f.open(t)} {
		for _, p := range purposes {
			k := use(kr, p)
			_, err := k.encrypt("gone")
			require.ErrorIs(t, err, keyring.ErrErased)
			aboutKey(t, k.decrypt("gone", ids[p]), ids[p], keyring.ErrErased)
			aboutKey(t, k.decrypt("gone", 0x80000001), 0x80000001, keyring.ErrErased)
			_, err = k.Live(t.Context(), "gone")
			require.ErrorIs(t, err, keyring.ErrErased)
			_, err = kr.Rotate(t.Context(), keyring.Target{Scope: "gone", Purpose: p}, keyring.RotateOptions{})
			require.ErrorIs(t, err, keyring.ErrErased)
			k.mustEncrypt(t, "here")
		}
	}
}

// TestClockGoesBack has the store's clock go back, as after a fail-over: a key
// that is retired in a process stays so, and nothing fails.
func TestClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		first := k.mustEncrypt(t, "")
		second := rotate(t, kr, encryption, keyring.RotateOptions{})
		time.Sleep(11 * minute)
		require.Equal(t, second, k.mustEncrypt(t, ""))

		f.store.SetSkew(-8 * minute)
		require.NoError(t, kr.Refresh(t.Context()))
		require.WithinDuration(t, time.Now().Add(-8*minute), keyring.Now(kr), time.Second, "the store's clock is the one that counts")
		require.Equal(t, second, k.mustEncrypt(t, ""), "retired is final")
		infos, err := kr.Keys(t.Context(), encryption)
		require.NoError(t, err)
		require.Equal(t, keyring.Retired, infos[0].State)
		require.Equal(t, keyring.Active, infos[1].State)
		require.NoError(t, k.decrypt("", first))
		third := rotate(t, kr, encryption, keyring.RotateOptions{})
		time.Sleep(9 * minute)
		require.Equal(t, second, k.mustEncrypt(t, ""), "pending keys wait for the store's clock")
		time.Sleep(2 * minute)
		require.Equal(t, third, k.mustEncrypt(t, ""))
	})
}

// TestOverlappingLoads lets a slow load that began early arrive after a quick
// one: the clock must not go back so far that a key just made is not active yet,
// and what the quick one saw must not get lost.
func TestOverlappingLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.Scoped = true
		kr, other := f.create(t), f.open(t)
		k := use(kr, keyring.Encryption)
		k.mustEncrypt(t, "slow")
		var held atomic.Bool
		f.store.SetAround(func(ctx context.Context, operation string, do func() error) error {
			err := do()
			if operation == "load" && held.CompareAndSwap(true, false) {
				time.Sleep(4 * time.Second) // the answer is long on its way
			}
			return err
		})
		held.Store(true)
		slow := make(chan error)
		go func() { slow <- kr.Refresh(background) }()
		time.Sleep(2 * time.Second)
		id := use(other, keyring.Encryption).mustEncrypt(t, "new")
		again := rotate(t, other, keyring.Target{Scope: "slow", Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
		require.NoError(t, k.decrypt("slow", again))
		require.NoError(t, <-slow)
		require.WithinDuration(t, time.Now(), keyring.Now(kr), time.Millisecond, "the quicker answer is the better clock")
		require.Equal(t, id, k.mustEncrypt(t, "new"))
		require.Equal(t, again, k.mustEncrypt(t, "slow"), "the older load must not hide the newer key")
		require.NoError(t, kr.Refresh(t.Context()))
		require.NotContains(t, f.log.String(), "level=ERROR", "and it is no alarm")
	})
}

// TestSearchNeverMissesAKey rotates an index key by an insert that takes long,
// with a reader that looked just before it and then loses its store.
func TestSearchNeverMissesAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.PropagationDelay = 5 * minute
		writer := f.create(t)
		w := use(writer, keyring.Index)
		w.mustEncrypt(t, "")
		lost := &faultyStore{Store: f.store}
		f.cfg.Store = lost
		reader := f.open(t)
		r := use(reader, keyring.Index)
		r.mustEncrypt(t, "")
		f.store.SetAround(func(_ context.Context, operation string, do func() error) error {
			if operation == "insert" {
				time.Sleep(4 * time.Second)
				require.NoError(t, reader.Refresh(background))
				lost.fail(errDown)
			}
			return do()
		})
		id := rotate(t, writer, keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
		served := 0
		for range 600 {
			time.Sleep(time.Second)
			live, err := r.Live(background, "")
			if err == nil {
				served++
				require.NotEqual(t, id, w.mustEncrypt(t, ""), "a search that does not know the key that writes")
				require.Len(t, live, 1)
			}
		}
		t.Logf("searched for %d s after the store was lost", served)
		require.Greater(t, served, 200)
		lost.heal()
		live, err := r.Live(background, "")
		require.NoError(t, err)
		require.Len(t, live, 2)
	})
}

// TestShortGrace has a grace that is shorter than the usual interval of
// refreshes: a healthy keyring must not go stale between two of them.
func TestShortGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.EncryptGrace = 30 * time.Second
		k := use(f.create(t), keyring.Encryption)
		for range 600 {
			time.Sleep(time.Second)
			k.mustEncrypt(t, "")
		}
	})
}

// TestShortDelays has a keyring whose times are shorter than anybody's should
// be: no busy loop, no panic.
func TestShortDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.cfg.PropagationDelay = 20 * time.Millisecond
		kr := f.create(t)
		k := use(kr, keyring.Index)
		k.mustEncrypt(t, "")
		id := rotate(t, kr, keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
		loads := f.store.Loads.Load()
		time.Sleep(time.Second)
		require.Equal(t, id, k.mustEncrypt(t, ""))
		require.InDelta(t, 100, f.store.Loads.Load()-loads, 20, "every 10 ms")
	})
}

func TestAlgorithmIsOfTheKey(t *testing.T) {
	f := newFixture()
	f.cfg.Algorithm = keyring.AES256GCM
	kr := f.create(t)
	seal(t, kr, "")
	_, err := use(kr, keyring.Index).encrypt("")
	require.NoError(t, err)
	f.cfg.Algorithm = keyring.XAES256GCM
	other := f.open(t)
	rotate(t, other, encryption, keyring.RotateOptions{Immediate: true})
	infos, err := other.Keys(t.Context(), encryption)
	require.NoError(t, err)
	require.Equal(t, keyring.AES256GCM, infos[0].Algorithm)
	require.Equal(t, keyring.XAES256GCM, infos[1].Algorithm)
	require.NotZero(t, infos[0].Root)
	infos, err = other.Keys(t.Context(), keyring.Target{Purpose: keyring.Index})
	require.NoError(t, err)
	require.Empty(t, infos[0].Algorithm)
}

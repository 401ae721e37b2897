package keyring_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// version returns the id of the key of that version, or why there is none.
func (k keys) version(scope string, version int, write bool) (keyring.KeyID, error) {
	p, err := k.Version(background, scope, version, write)
	if err != nil {
		return 0, err
	}
	return p.id, nil
}

// TestVersion pins a version through the life of its key: it goes on to be
// written with when it is retired, and not before its time.
func TestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		target := keyring.Target{Purpose: keyring.Token}
		k := use(kr, keyring.Token)
		_, err := k.version("", 1, false)
		aboutKey(t, err, 0, keyring.ErrUnknownKey, "reading makes no key")
		_, err = k.version("", 2, true)
		aboutKey(t, err, 0, keyring.ErrUnknownKey, "and writing makes the first only")
		_, err = k.version("", 0, true)
		aboutKey(t, err, 0, keyring.ErrUnknownKey)
		first, err := k.version("", 1, true)
		require.NoError(t, err)
		require.Equal(t, first, k.mustEncrypt(t, ""))
		other := use(f.open(t), keyring.Token)
		_, err = other.version("", 2, true)
		aboutKey(t, err, 0, keyring.ErrUnknownKey)

		second := rotate(t, kr, target, keyring.RotateOptions{})
		for range 2 {
			_, err = k.version("", 2, true)
			aboutKey(t, err, second, keyring.ErrUnavailable, "pending")
			id, err := k.version("", 2, false)
			require.NoError(t, err)
			require.Equal(t, second, id)
		}
		time.Sleep(11 * minute)
		for _, k := range []keys{k, other, use(f.open(t), keyring.Token)} {
			for range 2 { // the way through the store, and that through memory
				for _, write := range []bool{true, false} {
					id, err := k.version("", 1, write)
					require.NoError(t, err)
					require.Equal(t, first, id, "retired")
					id, err = k.version("", 2, write)
					require.NoError(t, err)
					require.Equal(t, second, id)
				}
			}
		}
	})
}

func TestVersionStates(t *testing.T) {
	for _, c := range []struct {
		state       keyring.KeyState
		write, read error
	}{
		{keyring.KeyEnabled, nil, nil},
		{keyring.KeySuspended, keyring.ErrSuspended, keyring.ErrSuspended},
		{keyring.KeyCompromised, keyring.ErrCompromised, nil},
		{keyring.KeyDestroyed, keyring.ErrErased, keyring.ErrErased},
		{"of a newer release", keyring.ErrUnavailable, keyring.ErrUnavailable},
	} {
		t.Run(fmt.Sprint(c.state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture()
				warm := f.create(t)
				target := keyring.Target{Purpose: keyring.Token}
				first := use(warm, keyring.Token).mustEncrypt(t, "")
				rotate(t, warm, target, keyring.RotateOptions{})
				time.Sleep(11 * minute)
				_, err := use(warm, keyring.Token).version("", 1, true)
				require.NoError(t, err)
				require.NoError(t, keyring.SetState(t.Context(), warm, target, first, c.state))
				require.NoError(t, warm.Refresh(t.Context()))
				for _, kr := range []*keyring.Keyring{warm, f.open(t)} {
					for range 2 {
						for write, want := range map[bool]error{true: c.write, false: c.read} {
							id, err := use(kr, keyring.Token).version("", 1, write)
							if want != nil {
								aboutKey(t, err, first, want)
								continue
							}
							require.NoError(t, err)
							require.Equal(t, first, id)
						}
					}
				}
			})
		})
	}
}

// TestVersionInDoubt has a key whose row was removed: it reads and does not
// write. And keys that are stale, of a wrong scope, of a closed keyring.
func TestVersionInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		k := use(kr, keyring.Token)
		first, err := k.version("", 1, true)
		require.NoError(t, err)
		_, err = k.version("tenant", 1, true)
		require.ErrorIs(t, err, keyring.ErrScope)
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { *keys = nil })
		time.Sleep(time.Second)
		require.ErrorIs(t, kr.Refresh(t.Context()), keyring.ErrTampered)
		_, err = k.version("", 1, true)
		aboutKey(t, err, first, keyring.ErrTampered)
		id, err := k.version("", 1, false)
		require.NoError(t, err)
		require.Equal(t, first, id)

		f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) { *roots = nil })
		time.Sleep(2 * time.Hour)
		_, err = k.version("", 1, true)
		require.ErrorIs(t, err, keyring.ErrStale)
		_, err = k.version("", 1, false)
		require.NoError(t, err)
		require.NoError(t, kr.Close())
		for _, write := range []bool{true, false} {
			_, err = k.version("", 1, write)
			require.ErrorIs(t, err, keyring.ErrClosed)
		}
	})
}

// TestVersionIsAskedForOnce floods a keyring with a version that does not exist.
func TestVersionIsAskedForOnce(t *testing.T) {
	f := newFixture()
	k := use(f.create(t), keyring.Token)
	k.mustEncrypt(t, "")
	loads := f.store.Loads.Load()
	for range 100 {
		_, err := k.version("", 7, true)
		aboutKey(t, err, 0, keyring.ErrUnknownKey)
	}
	require.Equal(t, loads+1, f.store.Loads.Load())
}

// TestVersionsRace makes the first key of a scope from many goroutines.
func TestVersionsRace(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped = true
	k := use(f.create(t), keyring.Token)
	ids := make([]keyring.KeyID, 16)
	race(len(ids), func(i int) { ids[i], _ = k.version("tenant", 1, true) })
	for _, id := range ids {
		require.True(t, id.Valid())
		require.Equal(t, ids[0], id)
	}
}

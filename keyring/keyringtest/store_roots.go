package keyringtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// This file is the part of TestStore about root keys that come and go, and
// about the keys that move from one to the next.

func nextRoot(after keyring.Root) keyring.Root {
	next := newRoot(after.Keyring, after.Purpose)
	next.Version, next.Settings = after.Version+1, after.Settings
	return next
}

func testInsertRoot(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	create(t, s, storeName+"-2")
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, k))
	before := load(t, s).Roots
	for name, change := range map[string]func(*keyring.Root){
		"the version that is":  func(r *keyring.Root) { r.Version = 1 },
		"a version left out":   func(r *keyring.Root) { r.Version = 3 },
		"version zero":         func(r *keyring.Root) { r.Version = 0 },
		"no such keyring":      func(r *keyring.Root) { r.Keyring = "other" },
		"no such purpose":      func(r *keyring.Root) { r.Purpose = "other" },
		"the id of a root":     func(r *keyring.Root) { r.ID = root.ID },
		"the id of a key":      func(r *keyring.Root) { r.ID = k.ID },
		"first of no keyring":  func(r *keyring.Root) { r.Keyring, r.Version = "other", 1 },
		"the id of its elders": func(r *keyring.Root) { r.ID = before[1].ID },
	} {
		bad := nextRoot(root)
		change(&bad)
		require.ErrorIs(t, s.InsertRoot(ctx, bad), keyring.ErrConflict, name)
	}
	require.ElementsMatch(t, before, load(t, s).Roots, "a refused InsertRoot left something")

	second := nextRoot(root)
	second.Revision = 7
	require.NoError(t, s.InsertRoot(ctx, second))
	second.Revision = 1
	require.Equal(t, second, rootOf(t, s, second.ID))
	root.State, root.Revision = keyring.RootClosed, 2
	require.Equal(t, root, rootOf(t, s, root.ID))
	require.Len(t, load(t, s).Roots, len(before)+1, "other purposes stay as they are")
	require.ErrorIs(t, s.InsertKey(ctx, newKey(root, "b")), keyring.ErrConflict, "the older root is closed")
	require.NoError(t, s.InsertKey(ctx, newKey(second, "b")))

	// The newest may be closed already, as by hand.
	second.State = keyring.RootClosed
	require.NoError(t, s.UpdateRoot(ctx, second))
	third := nextRoot(second)
	require.NoError(t, s.InsertRoot(ctx, third))
	require.Equal(t, third, rootOf(t, s, third.ID))
	require.NoError(t, s.InsertKey(ctx, newKey(third, "c")))
}

// testInsertRootRace adds roots from many goroutines while others insert keys:
// what is under a root when the next one was added is all that there will be.
func testInsertRootRace(t *testing.T, s keyring.Store) {
	const racers, rounds = 6, 5
	root := create(t, s, storeName)
	for round := range rounds {
		next := make([]keyring.Root, racers)
		var mu sync.Mutex
		var atInsert []keyring.Key
		var winners int
		errs := race(2*racers, func(i int) error {
			if i >= racers {
				return insertUntilClosed(t.Context(), s, root, fmt.Sprint(round, " ", i))
			}
			next[i] = nextRoot(root)
			switch err := s.InsertRoot(t.Context(), next[i]); {
			case errors.Is(err, keyring.ErrConflict):
				next[i] = keyring.Root{}
				return nil
			case err != nil:
				return err
			}
			keys, err := s.LoadUnder(t.Context(), root, 0, 1_000_000)
			mu.Lock()
			defer mu.Unlock()
			winners++
			atInsert = keys
			return err
		})
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, 1, winners, "roots were added")
		under, err := s.LoadUnder(t.Context(), root, 0, 1_000_000)
		require.NoError(t, err)
		require.Equal(t, atInsert, under, "a key came under a root after it was closed")
		root = next[slices.IndexFunc(next, func(r keyring.Root) bool { return r.Version > 0 })]
	}
}

// insertUntilClosed inserts keys of one scope after the other.
func insertUntilClosed(ctx context.Context, s keyring.Store, root keyring.Root, scope string) error {
	deadline := time.Now().Add(30 * time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		switch err := s.InsertKey(ctx, newKey(root, fmt.Sprint(scope, " ", i))); {
		case errors.Is(err, keyring.ErrConflict):
			return nil
		case err != nil:
			return err
		}
	}
	return errors.New("InsertKey never returned ErrConflict")
}

func testDestroyRoot(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, k))
	destroyed := func(r keyring.Root) keyring.Root {
		r = cloneRoot(r)
		r.State, r.Wraps = keyring.RootDestroyed, nil
		return r
	}
	require.ErrorIs(t, s.UpdateRoot(ctx, destroyed(root)), keyring.ErrConflict, "open")
	closed := root
	closed.State = keyring.RootClosed
	require.NoError(t, s.UpdateRoot(ctx, closed))
	root.Revision = 2
	require.ErrorIs(t, s.UpdateRoot(ctx, destroyed(root)), keyring.ErrConflict, "the newest")
	second := nextRoot(root)
	require.NoError(t, s.InsertRoot(ctx, second))
	root.Revision = 3
	require.ErrorIs(t, s.UpdateRoot(ctx, destroyed(root)), keyring.ErrConflict, "a key is under it")

	k.Root = second.ID
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}))
	require.NoError(t, s.UpdateRoot(ctx, destroyed(root)))
	stored := rootOf(t, s, root.ID)
	require.Equal(t, keyring.RootDestroyed, stored.State)
	require.Empty(t, stored.Wraps)
	require.EqualValues(t, 4, stored.Revision)
	root.Revision = 4
	require.ErrorIs(t, s.UpdateRoot(ctx, root), keyring.ErrConflict, "opened again")
	root.State = keyring.RootClosed
	require.ErrorIs(t, s.UpdateRoot(ctx, root), keyring.ErrConflict, "closed again")
	k.Root, k.Revision = root.ID, 2
	require.ErrorIs(t, s.UpdateKeys(ctx, []keyring.Key{k}), keyring.ErrConflict, "a key under a destroyed root")
	unknown := second
	unknown.State = "other"
	require.ErrorIs(t, s.UpdateRoot(ctx, unknown), keyring.ErrConflict)
	id := newKey(second, "b")
	id.ID = root.ID
	require.ErrorIs(t, s.InsertKey(ctx, id), keyring.ErrConflict, "the id of a destroyed root")
}

func testUpdateMany(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	var keys []keyring.Key
	var targets []keyring.Target
	for i := range 20 {
		k := newKey(root, fmt.Sprint(i))
		require.NoError(t, s.InsertKey(ctx, k))
		keys, targets = append(keys, k), append(targets, targetOf(k))
	}
	require.NoError(t, s.UpdateKeys(ctx, nil))
	second := nextRoot(root)
	require.NoError(t, s.InsertRoot(ctx, second))

	moved := slices.Clone(keys)
	for i := range moved {
		moved[i].Root, moved[i].Wrapped = second.ID, someBytes(65)
	}
	for name, change := range map[string]func(*keyring.Key){
		"older revision": func(k *keyring.Key) { k.Revision = 0 },
		"no such key":    func(k *keyring.Key) { k.Scope = "nobody" },
		"no such root":   func(k *keyring.Key) { k.Root = newID() },
		"another's row":  func(k *keyring.Key) { k.Scope, k.ID = "3", keys[3].ID },
	} {
		bad := slices.Clone(moved)
		change(&bad[13])
		require.ErrorIs(t, s.UpdateKeys(ctx, bad), keyring.ErrConflict, name)
		require.ElementsMatch(t, keys, load(t, s, targets...).Keys, "%s: a part was written", name)
	}
	require.NoError(t, s.UpdateKeys(ctx, moved))
	for i := range moved {
		moved[i].Revision = 2
	}
	require.ElementsMatch(t, moved, load(t, s, targets...).Keys)

	back := moved[0]
	back.Root = root.ID
	require.ErrorIs(t, s.UpdateKeys(ctx, []keyring.Key{back}), keyring.ErrConflict, "back under a closed root")
	third := nextRoot(second)
	require.NoError(t, s.InsertRoot(ctx, third))
	stays := moved[0]
	stays.State = keyring.KeySuspended
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{stays}), "a state may change under a closed root")
}

// testUpdateManyRace moves the same keys from many goroutines, in different
// orders and in different groups: each move is whole or not at all, and nobody
// waits for ever.
func testUpdateManyRace(t *testing.T, s keyring.Store) {
	const racers, n = 6, 30
	root := create(t, s, storeName)
	keys := make([]keyring.Key, n)
	targets := make([]keyring.Target, n)
	for i := range keys {
		keys[i] = newKey(root, fmt.Sprint(i))
		targets[i] = targetOf(keys[i])
		require.NoError(t, s.InsertKey(t.Context(), keys[i]))
	}
	for round := range 5 {
		marks := make([][]byte, racers)
		errs := race(racers, func(i int) error {
			mine := slices.Clone(keys)
			marks[i] = someBytes(65)
			for j := range mine {
				mine[j].Wrapped = marks[i]
			}
			if i%2 == 1 {
				slices.Reverse(mine)
			}
			return s.UpdateKeys(t.Context(), mine)
		})
		winner := onlyWinner(t, errs, keyring.ErrConflict)
		for i := range keys {
			keys[i].Wrapped, keys[i].Revision = marks[winner], int64(round+2)
		}
		require.ElementsMatch(t, keys, load(t, s, targets...).Keys)
	}
}

func testLoadUnder(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	other := create(t, s, storeName+"-2")
	require.NoError(t, s.InsertKey(ctx, newKey(other, "a")))
	var want []keyring.Key
	for i := range 25 {
		k := newKey(root, fmt.Sprint("scope ", i/2))
		k.Version = 1 + i%2
		require.NoError(t, s.InsertKey(ctx, k))
		want = append(want, k)
	}
	slices.SortFunc(want, func(a, b keyring.Key) int { return cmp.Compare(a.ID, b.ID) })
	var got []keyring.Key
	after := keyring.KeyID(0)
	for range 10 {
		page, err := s.LoadUnder(ctx, root, after, 7)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 7)
		if got = append(got, page...); len(page) > 0 {
			after = page[len(page)-1].ID
		}
	}
	require.Equal(t, want, got)
	for _, nobody := range []keyring.Root{nextRoot(root), {Keyring: storeName, Purpose: keyring.Index, ID: root.ID}, {Keyring: "other", Purpose: root.Purpose, ID: root.ID}} {
		page, err := s.LoadUnder(ctx, nobody, 0, 7)
		require.NoError(t, err)
		require.Empty(t, page)
	}
	spoil, err := s.LoadUnder(ctx, root, 0, 1)
	require.NoError(t, err)
	clear(spoil[0].Wrapped)
	again, err := s.LoadUnder(ctx, root, 0, 1)
	require.NoError(t, err)
	require.Equal(t, want[:1], again, "LoadUnder returned a slice of its own")
}

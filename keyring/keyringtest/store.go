package keyringtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestStore holds an implementation to the contract of keyring.Store, and of
// keyring.Watcher if it is one. open returns an empty Store at each call; what
// it needs to close goes into the Cleanup of its argument.
func TestStore(t *testing.T, open func(t testing.TB) keyring.Store) {
	for name, test := range map[string]func(*testing.T, keyring.Store){
		"Create and Load":                testCreateLoad,
		"Create is all or nothing":       testCreateAllOrNothing,
		"Create races":                   testCreateRace,
		"Load of no keyring":             testLoadNotFound,
		"Load of targets":                testLoadTargets,
		"Load keeps every field":         testLoadExact,
		"Load sees one moment":           testLoadOneMoment,
		"the store's clock":              testClock,
		"keyrings are apart":             testKeyringsApart,
		"UpdateRoot":                     testUpdateRoot,
		"UpdateRoot races":               testUpdateRootRace,
		"InsertKey refuses":              testInsertRefused,
		"InsertKey: ids are new":         testInsertIDs,
		"InsertKey races for a version":  testInsertRace,
		"InsertKey races for an id":      testInsertIDRace,
		"UpdateKeys":                     testUpdate,
		"UpdateKeys races":               testUpdateRace,
		"UpdateKeys: all or nothing":     testUpdateMany,
		"UpdateKeys of many races":       testUpdateManyRace,
		"InsertRoot":                     testInsertRoot,
		"InsertRoot races InsertKey":     testInsertRootRace,
		"UpdateRoot destroys":            testDestroyRoot,
		"LoadUnder":                      testLoadUnder,
		"EraseScope":                     testErase,
		"EraseScope races InsertKey":     testEraseRace,
		"slices belong to their callers": testSlices,
		"a cancelled context":            testCancelled,
		"Watch":                          testWatch,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const storeName = "conformance"

// newID returns a random id: two of a test are never the same in practice.
func newID() keyring.KeyID {
	var b [4]byte
	rand.Read(b[:])
	return keyring.KeyID(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])) | 0x80000000
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// micro returns a time with odd microseconds, as a Store must keep it.
func micro(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro() | 1).UTC() }

func newRoot(name string, p keyring.Purpose) keyring.Root {
	return keyring.Root{
		Keyring: name, Purpose: p, Version: 1, ID: newID(), State: keyring.RootOpen, CreatedAt: micro(time.Now()),
		Settings: keyring.Settings{
			Scoped: true, PropagationDelay: 10*time.Minute + time.Microsecond,
			EncryptGrace: 24*time.Hour + 2*time.Microsecond, DecryptGrace: 7*24*time.Hour + 3*time.Microsecond,
		},
		Wraps: []keyring.Wrap{{URI: "one:\"key\" 'é' \\x {}", Wrapped: someBytes(61)}, {URI: "two:key", Wrapped: someBytes(200)}},
		Check: someBytes(32), Revision: 1,
	}
}

// newKey returns a valid key of version 1 under root.
func newKey(root keyring.Root, scope string) keyring.Key {
	now := micro(time.Now())
	return keyring.Key{
		Keyring: root.Keyring, Scope: scope, Purpose: root.Purpose, Version: 1, ID: newID(), Algorithm: keyring.XAES256GCM,
		State: keyring.KeyEnabled, CreatedAt: now, ActivateAt: micro(now.Add(time.Hour)), Root: root.ID, Wrapped: someBytes(65), Revision: 1,
	}
}

// create adds a keyring with a root of each purpose and returns the one for
// encryption.
func create(t *testing.T, s keyring.Store, name string) keyring.Root {
	t.Helper()
	var roots []keyring.Root
	for _, p := range keyring.Purposes() {
		roots = append(roots, newRoot(name, p))
	}
	require.NoError(t, s.Create(t.Context(), roots))
	return roots[0]
}

func targetOf(k keyring.Key) keyring.Target {
	return keyring.Target{Scope: k.Scope, Purpose: k.Purpose}
}

func load(t *testing.T, s keyring.Store, targets ...keyring.Target) keyring.Loaded {
	t.Helper()
	l, err := s.Load(t.Context(), storeName, targets)
	require.NoError(t, err)
	return l
}

func testCreateLoad(t *testing.T, s keyring.Store) {
	var roots []keyring.Root
	for _, p := range keyring.Purposes() {
		roots = append(roots, newRoot(storeName, p))
	}
	roots[1].Settings = keyring.Settings{}
	require.NoError(t, s.Create(t.Context(), roots))
	for _, targets := range [][]keyring.Target{nil, {}, {{Scope: "nobody", Purpose: keyring.Encryption}}} {
		l, err := s.Load(t.Context(), storeName, targets)
		require.NoError(t, err)
		require.ElementsMatch(t, roots, l.Roots)
		require.Empty(t, l.Keys)
		require.Empty(t, l.Erased)
	}
}

func testCreateAllOrNothing(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	a, b := newRoot(storeName, keyring.Encryption), newRoot(storeName, keyring.Index)

	require.Error(t, s.Create(ctx, nil))
	samePurpose := b
	samePurpose.Purpose = a.Purpose
	require.Error(t, s.Create(ctx, []keyring.Root{a, samePurpose}))
	sameID := b
	sameID.ID = a.ID
	require.Error(t, s.Create(ctx, []keyring.Root{a, sameID}))
	otherKeyring := b
	otherKeyring.Keyring = storeName + "-2"
	require.Error(t, s.Create(ctx, []keyring.Root{a, otherKeyring}))
	for _, name := range []string{storeName, storeName + "-2"} {
		_, err := s.Load(ctx, name, nil)
		require.ErrorIs(t, err, keyring.ErrNotFound, "a refused Create left something")
	}

	require.NoError(t, s.Create(ctx, []keyring.Root{a}))
	require.ErrorIs(t, s.Create(ctx, []keyring.Root{a}), keyring.ErrExists)
	require.ErrorIs(t, s.Create(ctx, []keyring.Root{b}), keyring.ErrExists, "any root means that the keyring exists")
	require.ErrorIs(t, s.Create(ctx, []keyring.Root{b, newRoot(storeName, keyring.Masking)}), keyring.ErrExists)
	require.Equal(t, []keyring.Root{a}, load(t, s).Roots)
}

func testCreateRace(t *testing.T, s keyring.Store) {
	const racers = 16
	sets := make([][]keyring.Root, racers)
	errs := race(racers, func(i int) error {
		purposes := keyring.Purposes()
		// Every second one has a purpose that the others do not have.
		sets[i] = []keyring.Root{newRoot(storeName, purposes[i%2])}
		if i%2 == 0 {
			sets[i] = append(sets[i], newRoot(storeName, purposes[2]))
		}
		return s.Create(t.Context(), sets[i])
	})
	winner := onlyWinner(t, errs, keyring.ErrExists)
	require.ElementsMatch(t, sets[winner], load(t, s).Roots)
}

func testLoadNotFound(t *testing.T, s keyring.Store) {
	create(t, s, storeName)
	for _, name := range []string{"other", "conformanc", "conformance2", "CONFORMANCE", ""} {
		_, err := s.Load(t.Context(), name, nil)
		require.ErrorIs(t, err, keyring.ErrNotFound, name)
	}
	require.NoError(t, s.EraseScope(t.Context(), "other", "a"))
	_, err := s.Load(t.Context(), "other", []keyring.Target{{Scope: "a", Purpose: keyring.Index}})
	require.ErrorIs(t, err, keyring.ErrNotFound, "a tombstone makes no keyring")
}

func testLoadTargets(t *testing.T, s keyring.Store) {
	create(t, s, storeName)
	roots := make(map[keyring.Purpose]keyring.Root)
	for _, r := range load(t, s).Roots {
		roots[r.Purpose] = r
	}
	// Scopes that a careless implementation confuses.
	scopes := []string{"", "a", "A", "a ", "b", "%", "_", "a,b", "'", `"`, `\`, "{a}", "null", "NULL", "ä", "a\u0308", "\n", strings.Repeat("x", 200)}
	keys := make(map[keyring.Target]keyring.Key)
	for _, scope := range scopes {
		for _, p := range []keyring.Purpose{keyring.Encryption, keyring.Token} {
			k := newKey(roots[p], scope)
			require.NoError(t, s.InsertKey(t.Context(), k))
			keys[targetOf(k)] = k
		}
	}
	var all []keyring.Target
	var want []keyring.Key
	for target, k := range keys {
		require.Equal(t, []keyring.Key{k}, load(t, s, target).Keys)
		require.Equal(t, []keyring.Key{k}, load(t, s, target, target, keyring.Target{Scope: target.Scope, Purpose: keyring.Masking}).Keys, "asked for twice")
		all, want = append(all, target), append(want, k)
	}
	require.ElementsMatch(t, want, load(t, s, all...).Keys)
	// Of two targets, not the cross product.
	crossed := load(t, s, keyring.Target{Scope: "a", Purpose: keyring.Encryption}, keyring.Target{Scope: "b", Purpose: keyring.Token})
	require.Len(t, crossed.Keys, 2)
	require.Empty(t, load(t, s).Keys)
}

func testLoadExact(t *testing.T, s keyring.Store) {
	root := create(t, s, storeName)
	now := time.Now()
	for i, change := range []func(*keyring.Key){
		func(*keyring.Key) {},
		func(k *keyring.Key) { k.Algorithm = keyring.AES256GCM },
		func(k *keyring.Key) { k.Algorithm = "" },
		func(k *keyring.Key) { k.State = keyring.KeySuspended },
		func(k *keyring.Key) { k.State = keyring.KeyCompromised },
		func(k *keyring.Key) { k.State = keyring.KeyDestroyed },
		func(k *keyring.Key) { k.Wrapped = []byte{0, '\'', '\\', 0xff, 0x80, '"', 0} },
		func(k *keyring.Key) { k.Wrapped = someBytes(10000) },
		func(k *keyring.Key) { k.ID = 0x80000000 },
		func(k *keyring.Key) { k.ID = 0xffffffff },
		func(k *keyring.Key) { k.ActivateAt = k.CreatedAt },
		func(k *keyring.Key) { k.CreatedAt = time.UnixMicro(now.UnixMicro()/1e6*1e6 + 1).UTC() },
		func(k *keyring.Key) { k.CreatedAt = time.UnixMicro(now.UnixMicro()/1e6*1e6 + 999_999).UTC() },
		func(k *keyring.Key) { k.ActivateAt = time.Date(2038, 1, 19, 3, 14, 8, 1000, time.UTC) },
		func(k *keyring.Key) { k.ActivateAt = time.Date(2999, 12, 31, 23, 59, 59, 999_999_000, time.UTC) },
	} {
		k := newKey(root, fmt.Sprint("scope ", i))
		change(&k)
		require.NoError(t, s.InsertKey(t.Context(), k), "case %d", i)
		l := load(t, s, targetOf(k))
		require.Equal(t, []keyring.Key{k}, l.Keys, "case %d", i)
		require.Equal(t, time.UTC, l.Keys[0].CreatedAt.Location())
		require.Equal(t, time.UTC, l.Roots[0].CreatedAt.Location())
	}

	k := newKey(root, "another zone")
	k.CreatedAt = k.CreatedAt.In(time.FixedZone("zone", 5*3600+1800))
	require.NoError(t, s.InsertKey(t.Context(), k))
	k.CreatedAt = k.CreatedAt.UTC()
	require.Equal(t, []keyring.Key{k}, load(t, s, targetOf(k)).Keys)

	k = newKey(root, "revision")
	k.Revision = 7
	require.NoError(t, s.InsertKey(t.Context(), k))
	require.EqualValues(t, 1, load(t, s, targetOf(k)).Keys[0].Revision)

	for i, empty := range [][]byte{nil, {}} { // the same to a Store
		k := newKey(root, fmt.Sprint("empty ", i))
		k.Wrapped = empty
		require.NoError(t, s.InsertKey(t.Context(), k))
		require.Empty(t, load(t, s, targetOf(k)).Keys[0].Wrapped)
	}
	r := newRoot(storeName+"-2", keyring.Index)
	r.Wraps = nil
	require.NoError(t, s.Create(t.Context(), []keyring.Root{r}))
	l, err := s.Load(t.Context(), r.Keyring, nil)
	require.NoError(t, err)
	require.Empty(t, l.Roots[0].Wraps)
}

// testLoadOneMoment loads while a key and a tombstone are written, and checks
// that they are never seen in another order than they were written in.
func testLoadOneMoment(t *testing.T, s keyring.Store) {
	root := create(t, s, storeName)
	first := newKey(root, "a")
	require.NoError(t, s.InsertKey(t.Context(), first))
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for v := 1; v <= 30; v++ {
				k := first
				k.Wrapped, k.Revision = fmt.Append(nil, v), int64(v)
				if err := s.UpdateKeys(t.Context(), []keyring.Key{k}); err != nil {
					return err
				}
				if v == 15 {
					if err := s.EraseScope(t.Context(), storeName, "a"); err != nil {
						return err
					}
				}
			}
			return nil
		}()
	}()
	for {
		l := load(t, s, targetOf(first))
		revision := l.Keys[0].Revision
		if revision > 1 {
			require.Equal(t, fmt.Sprint(revision-1), string(l.Keys[0].Wrapped))
		}
		require.False(t, revision > 16 && !l.Erased["a"], "the revision %d without the tombstone that came before it", revision)
		require.False(t, revision < 16 && l.Erased["a"], "the tombstone before the revision %d that it came after", revision)
		select {
		case err := <-done:
			require.NoError(t, err)
			return
		default:
		}
	}
}

func testClock(t *testing.T, s keyring.Store) {
	create(t, s, storeName)
	before := load(t, s).Now
	time.Sleep(2 * time.Millisecond)
	after := load(t, s).Now
	require.True(t, after.After(before), "%v is not after %v", after, before)
	require.WithinDuration(t, time.Now(), after, 5*time.Minute, "test with a store whose clock is about right")
	require.Equal(t, time.UTC, after.Location())
	require.Equal(t, after, after.Truncate(time.Microsecond))
}

func testKeyringsApart(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	one := create(t, s, storeName)
	two := create(t, s, storeName+"-2")
	k1, k2 := newKey(one, "a"), newKey(two, "a")
	k2.ID = k1.ID // unique per keyring only
	require.NoError(t, s.InsertKey(ctx, k1))
	require.NoError(t, s.InsertKey(ctx, k2))
	require.Equal(t, []keyring.Key{k1}, load(t, s, targetOf(k1)).Keys)

	foreign := newKey(one, "b")
	foreign.Root = two.ID
	require.ErrorIs(t, s.InsertKey(ctx, foreign), keyring.ErrConflict)
	require.NoError(t, s.EraseScope(ctx, two.Keyring, "a"))
	require.Empty(t, load(t, s, targetOf(k1)).Erased)
}

func testInsertRefused(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	roots := load(t, s).Roots
	first := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, first))

	for name, change := range map[string]func(*keyring.Key){
		"unknown root":            func(k *keyring.Key) { k.Root = newID() },
		"root of another purpose": func(k *keyring.Key) { k.Purpose, k.Version = keyring.Masking, 1 },
		"no such keyring":         func(k *keyring.Key) { k.Keyring = "other" },
		"no such purpose":         func(k *keyring.Key) { k.Purpose = "other" },
		"version zero":            func(k *keyring.Key) { k.Version = 0 },
		"negative version":        func(k *keyring.Key) { k.Version = -1 },
		"the version that is":     func(k *keyring.Key) { k.Version = 1 },
		"a version left out":      func(k *keyring.Key) { k.Version = 3 },
		"first of a target is 2":  func(k *keyring.Key) { k.Scope = "b" },
		"made too early":          func(k *keyring.Key) { k.CreatedAt = k.CreatedAt.Add(-62 * time.Second) },
		"made too late":           func(k *keyring.Key) { k.CreatedAt = k.CreatedAt.Add(62 * time.Second) },
		"id of a key":             func(k *keyring.Key) { k.ID = first.ID },
		"id of its root":          func(k *keyring.Key) { k.ID = root.ID },
	} {
		k := newKey(root, "a")
		k.Version = 2
		change(&k)
		require.ErrorIs(t, s.InsertKey(ctx, k), keyring.ErrConflict, name)
		l := load(t, s, targetOf(k), targetOf(first))
		require.Equal(t, []keyring.Key{first}, l.Keys, name)
		require.Equal(t, roots, l.Roots, name)
	}
	for i, age := range []time.Duration{-50 * time.Second, 50 * time.Second} {
		k := newKey(root, "a")
		k.Version, k.CreatedAt = 2+i, k.CreatedAt.Add(age)
		require.NoError(t, s.InsertKey(ctx, k), "version %d, %v off", k.Version, age)
	}
	require.Len(t, load(t, s, targetOf(first)).Keys, 3)
}

func testInsertIDs(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, k))
	again := newKey(root, "b")
	again.ID = k.ID
	require.ErrorIs(t, s.InsertKey(ctx, again), keyring.ErrConflict)

	k.State, k.Wrapped = keyring.KeyDestroyed, someBytes(33)
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}))
	require.ErrorIs(t, s.InsertKey(ctx, again), keyring.ErrConflict, "the id of a destroyed key")
	for _, r := range load(t, s).Roots {
		again.ID = r.ID
		require.ErrorIs(t, s.InsertKey(ctx, again), keyring.ErrConflict, "the id of the root for %s", r.Purpose)
	}
	second := newKey(root, "a")
	second.Version = 2
	require.NoError(t, s.InsertKey(ctx, second), "a destroyed key counts as a version")
	again.ID = newID()
	require.NoError(t, s.InsertKey(ctx, again))
}

func testInsertRace(t *testing.T, s keyring.Store) {
	const racers, versions = 12, 5
	root := create(t, s, storeName)
	var winners []keyring.Key
	for v := 1; v <= versions; v++ {
		keys := make([]keyring.Key, racers)
		errs := race(racers, func(i int) error {
			keys[i] = newKey(root, "a")
			keys[i].Version = v
			return s.InsertKey(t.Context(), keys[i])
		})
		winners = append(winners, keys[onlyWinner(t, errs, keyring.ErrConflict)])
	}
	require.ElementsMatch(t, winners, load(t, s, targetOf(winners[0])).Keys)
}

func testInsertIDRace(t *testing.T, s keyring.Store) {
	const racers = 12
	root := create(t, s, storeName)
	id := newID()
	errs := race(racers, func(i int) error {
		k := newKey(root, fmt.Sprint(i))
		k.ID = id
		return s.InsertKey(t.Context(), k)
	})
	onlyWinner(t, errs, keyring.ErrConflict)
}

func testUpdateRoot(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	create(t, s, storeName+"-2")
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, k))
	before := load(t, s).Roots
	for name, change := range map[string]func(*keyring.Root){
		"no such id":      func(r *keyring.Root) { r.ID = newID() },
		"id of a key":     func(r *keyring.Root) { r.ID = k.ID },
		"no such keyring": func(r *keyring.Root) { r.Keyring = "other" },
		"another keyring": func(r *keyring.Root) { r.Keyring = storeName + "-2" },
		"older revision":  func(r *keyring.Root) { r.Revision = 0 },
		"newer revision":  func(r *keyring.Root) { r.Revision = 2 },
	} {
		bad := cloneRoot(root)
		bad.State = keyring.RootClosed
		change(&bad)
		require.ErrorIs(t, s.UpdateRoot(ctx, bad), keyring.ErrConflict, name)
	}
	require.ElementsMatch(t, before, load(t, s).Roots)

	// What is not Wraps and State stays as it is.
	given := newRoot(storeName, keyring.Masking)
	given.ID, given.Version, given.Settings = root.ID, 7, keyring.Settings{}
	given.Wraps = []keyring.Wrap{{URI: "three:key", Wrapped: someBytes(1)}, {URI: "missing", Wrapped: nil}}
	require.NoError(t, s.UpdateRoot(ctx, given))
	root.Wraps, root.Revision = given.Wraps, 2
	stored := rootOf(t, s, root.ID)
	require.Empty(t, stored.Wraps[1].Wrapped)
	stored.Wraps[1].Wrapped = nil
	require.Equal(t, root, stored)
	require.ErrorIs(t, s.UpdateRoot(ctx, given), keyring.ErrConflict, "the revision is used up")

	require.NoError(t, s.InsertKey(ctx, newKey(root, "b")), "an update does not close a root")
	root.State = keyring.RootClosed
	require.NoError(t, s.UpdateRoot(ctx, root))
	root.Revision = 3
	require.ErrorIs(t, s.InsertKey(ctx, newKey(root, "c")), keyring.ErrConflict, "closed")
	root.Wraps = root.Wraps[:1]
	require.NoError(t, s.UpdateRoot(ctx, root), "the wraps of a closed root change")
	root.Revision, root.State = 4, keyring.RootOpen
	require.ErrorIs(t, s.UpdateRoot(ctx, root), keyring.ErrConflict, "opened again")
	require.Equal(t, keyring.RootClosed, rootOf(t, s, root.ID).State)
	require.Equal(t, []keyring.Key{k}, load(t, s, targetOf(k)).Keys)
}

func testUpdateRootRace(t *testing.T, s keyring.Store) {
	const racers, rounds = 12, 5
	root := create(t, s, storeName)
	for range rounds {
		wraps := make([][]keyring.Wrap, racers)
		errs := race(racers, func(i int) error {
			mine := root
			mine.Wraps = []keyring.Wrap{{URI: "one:key", Wrapped: someBytes(61)}}
			wraps[i] = mine.Wraps
			return s.UpdateRoot(t.Context(), mine)
		})
		root.Wraps = wraps[onlyWinner(t, errs, keyring.ErrConflict)]
		root.Revision++
		require.Equal(t, root, rootOf(t, s, root.ID))
	}
}

func rootOf(t *testing.T, s keyring.Store, id keyring.KeyID) keyring.Root {
	t.Helper()
	for _, r := range load(t, s).Roots {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no root %s", id)
	return keyring.Root{}
}

func testUpdate(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	k, other := newKey(root, "a"), newKey(root, "b")
	require.NoError(t, s.InsertKey(ctx, k))
	require.NoError(t, s.InsertKey(ctx, other))

	for name, change := range map[string]func(*keyring.Key){
		"no such version":  func(k *keyring.Key) { k.Version = 2 },
		"no such scope":    func(k *keyring.Key) { k.Scope = "c" },
		"another purpose":  func(k *keyring.Key) { k.Purpose = keyring.Index },
		"no such keyring":  func(k *keyring.Key) { k.Keyring = "other" },
		"another id":       func(k *keyring.Key) { k.ID = newID() },
		"id of another":    func(k *keyring.Key) { k.ID = other.ID },
		"scope of another": func(k *keyring.Key) { k.Scope = "b" },
		"older revision":   func(k *keyring.Key) { k.Revision = 0 },
		"newer revision":   func(k *keyring.Key) { k.Revision = 2 },
	} {
		bad := k
		bad.State = keyring.KeySuspended
		change(&bad)
		require.ErrorIs(t, s.UpdateKeys(ctx, []keyring.Key{bad}), keyring.ErrConflict, name)
	}
	require.ElementsMatch(t, []keyring.Key{k, other}, load(t, s, targetOf(k), targetOf(other)).Keys)

	k.State, k.Algorithm, k.Wrapped = keyring.KeyCompromised, keyring.AES256GCM, someBytes(33)
	k.CreatedAt, k.ActivateAt = micro(k.CreatedAt.Add(-time.Hour)), micro(k.ActivateAt.Add(time.Hour))
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}))
	require.ErrorIs(t, s.UpdateKeys(ctx, []keyring.Key{k}), keyring.ErrConflict, "the revision is used up")
	k.Revision = 2
	require.ElementsMatch(t, []keyring.Key{k, other}, load(t, s, targetOf(k), targetOf(other)).Keys)
	require.NoError(t, s.EraseScope(ctx, storeName, "a"))
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}), "a tombstone does not keep keys from being destroyed")
}

func testUpdateRace(t *testing.T, s keyring.Store) {
	const racers, rounds = 12, 5
	root := create(t, s, storeName)
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(t.Context(), k))
	for range rounds {
		wrapped := make([][]byte, racers)
		errs := race(racers, func(i int) error {
			mine := k
			mine.Wrapped = someBytes(65)
			wrapped[i] = mine.Wrapped
			return s.UpdateKeys(t.Context(), []keyring.Key{mine})
		})
		k.Wrapped = wrapped[onlyWinner(t, errs, keyring.ErrConflict)]
		k.Revision++
		require.Equal(t, []keyring.Key{k}, load(t, s, targetOf(k)).Keys)
	}
}

func testErase(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := create(t, s, storeName)
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(ctx, k))
	for range 2 {
		require.NoError(t, s.EraseScope(ctx, storeName, "a"))
		l := load(t, s, targetOf(k), keyring.Target{Scope: "b", Purpose: keyring.Encryption})
		require.Equal(t, map[string]bool{"a": true}, l.Erased)
		require.Equal(t, []keyring.Key{k}, l.Keys, "the keys themselves are destroyed one by one")
	}
	require.Empty(t, load(t, s).Erased, "only scopes that were asked for")
	require.Empty(t, load(t, s, keyring.Target{Scope: "b", Purpose: keyring.Index}).Erased)

	for _, r := range load(t, s).Roots {
		next := newKey(r, "a")
		if r.Purpose == k.Purpose {
			next.Version = 2
		}
		require.ErrorIs(t, s.InsertKey(ctx, next), keyring.ErrErased, r.Purpose)
	}
	require.NoError(t, s.InsertKey(ctx, newKey(root, "b")))
	require.NoError(t, s.EraseScope(ctx, storeName, "never used"))
	require.ErrorIs(t, s.InsertKey(ctx, newKey(root, "never used")), keyring.ErrErased)
}

// testEraseRace inserts keys of a scope from many goroutines while it is
// erased: what is there when EraseScope returns is all that there will ever be.
func testEraseRace(t *testing.T, s keyring.Store) {
	const racers, rounds = 8, 10
	create(t, s, storeName)
	roots := load(t, s).Roots
	for round := range rounds {
		scope := fmt.Sprint("scope ", round)
		targets := make([]keyring.Target, len(roots))
		for i, r := range roots {
			targets[i] = keyring.Target{Scope: scope, Purpose: r.Purpose}
		}
		var atErase keyring.Loaded
		errs := race(racers+1, func(i int) error {
			if i == racers {
				time.Sleep(time.Duration(round) * time.Millisecond)
				if err := s.EraseScope(t.Context(), storeName, scope); err != nil {
					return err
				}
				var err error
				atErase, err = s.Load(t.Context(), storeName, targets)
				return err
			}
			return insertUntilRefused(t.Context(), s, roots[i%len(roots)], scope)
		})
		for i, err := range errs {
			require.NoError(t, err, "racer %d", i)
		}
		require.True(t, atErase.Erased[scope])
		require.ElementsMatch(t, atErase.Keys, load(t, s, targets...).Keys, "a key was inserted after EraseScope had returned")
	}
}

// insertUntilRefused inserts version after version, with others doing the
// same, until the scope is erased.
func insertUntilRefused(ctx context.Context, s keyring.Store, root keyring.Root, scope string) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		l, err := s.Load(ctx, root.Keyring, []keyring.Target{{Scope: scope, Purpose: root.Purpose}})
		if err != nil {
			return err
		}
		k := newKey(root, scope)
		k.Version = len(l.Keys) + 1
		switch err := s.InsertKey(ctx, k); {
		case errors.Is(err, keyring.ErrErased):
			return nil
		case err != nil && !errors.Is(err, keyring.ErrConflict):
			return err
		}
	}
	return errors.New("InsertKey never returned ErrErased")
}

func testSlices(t *testing.T, s keyring.Store) {
	ctx := t.Context()
	root := newRoot(storeName, keyring.Encryption)
	want := cloneRoot(root)
	require.NoError(t, s.Create(ctx, []keyring.Root{root}))
	spoilRoot(root)
	require.Equal(t, []keyring.Root{want}, load(t, s).Roots, "Create kept a slice")

	k := newKey(want, "a")
	wantKey := cloneKey(k)
	require.NoError(t, s.InsertKey(ctx, k))
	clear(k.Wrapped)
	require.Equal(t, []keyring.Key{wantKey}, load(t, s, targetOf(k)).Keys, "InsertKey kept a slice")

	k = cloneKey(wantKey)
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}))
	clear(k.Wrapped)
	wantKey.Revision = 2
	require.Equal(t, []keyring.Key{wantKey}, load(t, s, targetOf(k)).Keys, "UpdateKeys kept a slice")

	given := cloneRoot(want)
	require.NoError(t, s.UpdateRoot(ctx, given))
	spoilRoot(given)
	want.Revision = 2
	require.Equal(t, []keyring.Root{want}, load(t, s).Roots, "UpdateRoot kept a slice")

	l := load(t, s, targetOf(k))
	l.Keys[0].Wrapped[0] ^= 1
	_ = append(l.Keys[:0], keyring.Key{})
	spoilRoot(l.Roots[0])
	l.Roots[0].Version = 9
	l.Erased["a"] = true
	l = load(t, s, targetOf(k))
	require.Equal(t, []keyring.Key{wantKey}, l.Keys, "Load returned a slice of its own")
	require.Equal(t, []keyring.Root{want}, l.Roots, "Load returned a slice of its own")
	require.Empty(t, l.Erased, "Load returned a map of its own")
}

func cloneKey(k keyring.Key) keyring.Key {
	k.Wrapped = append([]byte(nil), k.Wrapped...)
	return k
}

func cloneRoot(r keyring.Root) keyring.Root {
	r.Check, r.Wraps = append([]byte(nil), r.Check...), append([]keyring.Wrap(nil), r.Wraps...)
	for i, w := range r.Wraps {
		r.Wraps[i].Wrapped = append([]byte(nil), w.Wrapped...)
	}
	return r
}

func spoilRoot(r keyring.Root) {
	clear(r.Check)
	clear(r.Wraps[0].Wrapped)
	r.Wraps[1] = keyring.Wrap{}
}

func testCancelled(t *testing.T, s keyring.Store) {
	root := create(t, s, storeName)
	k := newKey(root, "a")
	require.NoError(t, s.InsertKey(t.Context(), k))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		_, err := s.Load(ctx, storeName, nil)
		require.ErrorIs(t, err, ctx.Err())
		require.NotErrorIs(t, err, keyring.ErrNotFound)
		_, err = s.Load(ctx, "other", nil)
		require.ErrorIs(t, err, ctx.Err())
		require.NotErrorIs(t, err, keyring.ErrNotFound, "absence must not be reported because a read failed")
		require.ErrorIs(t, s.Create(ctx, []keyring.Root{newRoot("other", keyring.Index)}), ctx.Err())
		require.ErrorIs(t, s.UpdateRoot(ctx, root), ctx.Err())
		require.ErrorIs(t, s.InsertRoot(ctx, nextRoot(root)), ctx.Err())
		_, err = s.LoadUnder(ctx, root, 0, 1)
		require.ErrorIs(t, err, ctx.Err())
		require.ErrorIs(t, s.InsertKey(ctx, newKey(root, "b")), ctx.Err())
		require.ErrorIs(t, s.UpdateKeys(ctx, []keyring.Key{k}), ctx.Err())
		require.ErrorIs(t, s.EraseScope(ctx, storeName, "a"), ctx.Err())
	}
	l := load(t, s, targetOf(k), keyring.Target{Scope: "b", Purpose: k.Purpose})
	require.Equal(t, []keyring.Key{k}, l.Keys)
	require.Empty(t, l.Erased)
}

func testWatch(t *testing.T, s keyring.Store) {
	w, ok := s.(keyring.Watcher)
	if !ok {
		t.Log("no keyring.Watcher")
		return
	}
	root := create(t, s, storeName)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed := make(chan struct{}, 100)
	returned := make(chan error, 1)
	go func() { returned <- w.Watch(ctx, storeName, func() { changed <- struct{}{} }) }()
	await := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case err := <-returned:
			require.FailNow(t, "Watch returned", "%s: %v", what, err)
		case <-time.After(30 * time.Second):
			require.FailNow(t, "no notice", what)
		}
		for len(changed) > 0 {
			<-changed
		}
	}
	await("at the start")
	k := newKey(root, "a")
	for what, change := range map[string]func() error{
		"InsertKey":  func() error { return s.InsertKey(ctx, k) },
		"EraseScope": func() error { return s.EraseScope(ctx, storeName, "b") },
	} {
		require.NoError(t, change())
		await(what)
	}
	require.NoError(t, s.UpdateKeys(ctx, []keyring.Key{k}))
	await("UpdateKeys")
	cancel()
	select {
	case <-returned:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "Watch does not return when its context ends")
	}
}

// race runs f(0) to f(n-1) at once and returns their errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// onlyWinner returns the index of the one nil; the others must be loss.
func onlyWinner(t *testing.T, errs []error, loss error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "two winners: %d and %d", winner, i)
			winner = i
		} else {
			require.ErrorIs(t, err, loss)
		}
	}
	require.NotEqual(t, -1, winner, "no winner: %v", errs)
	return winner
}

// Package tokentest is for tests: a conformance suite for implementations of
// token.VaultStore. It uses testify and must not be imported by programs.
package tokentest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// TestVaultStore holds an implementation to the contract of token.VaultStore. open
// returns an empty store at each call; what it needs to close goes into the Cleanup
// of its argument.
func TestVaultStore(t *testing.T, open func(t testing.TB) token.VaultStore) {
	for name, test := range map[string]func(*testing.T, token.VaultStore){
		"Insert and Load":                      testInsertLoad,
		"Load keeps every field":               testLoadExact,
		"keyrings are apart":                   testKeyringsApart,
		"the store's clock":                    testClock,
		"Find":                                 testFind,
		"Insert refuses taken tags":            testInsertTaken,
		"Insert refuses known hashes":          testInsertKnown,
		"Insert takes tags of the expired":     testInsertExpired,
		"Insert races for a tag":               testInsertRace,
		"Insert races of batches":              testInsertBatchRace,
		"Insert races for overlapping tags":    testInsertOverlapRace,
		"Insert races for an expired tag":      testInsertExpiredRace,
		"Use":                                  testUse,
		"Use refuses":                          testUseRefused,
		"Use races":                            testUseRace,
		"Use races of batches":                 testUseBatchRace,
		"Revoke":                               testRevoke,
		"Revoke races Use":                     testRevokeRace,
		"Purge":                                testPurge,
		"Purge leaves others alone":            testPurgeOthers,
		"Purge races with everything":          testPurgeRace,
		"thousands at once":                    testMany,
		"slices belong to their callers":       testSlices,
		"a cancelled context":                  testCancelled,
		"what could be confused is kept apart": testOddNames,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const (
	storeName = "conformance"
	vaultName = "customers.pan"
)

func someBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func newTag() []byte { return someBytes(token.TagSize) }

// newRow returns the row of a token that lives for ever.
func newRow(tags ...[]byte) token.VaultRow {
	return token.VaultRow{
		Keyring: storeName, Vault: vaultName, Scope: "tenant", Hash: token.TokenHash(someBytes(32)), Sealed: someBytes(62), Tags: tags,
	}
}

func limited(uses int) token.VaultRow {
	r := newRow()
	r.Uses = uses
	return r
}

// micro returns a time with odd microseconds, as a store must keep it.
func micro(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro() | 1).UTC() }

func expired(tags ...[]byte) token.VaultRow {
	r := newRow(tags...)
	r.ExpiresAt = micro(time.Now().Add(-time.Hour))
	return r
}

// stored returns r as Load returns it after Insert.
func stored(r token.VaultRow) token.VaultRow {
	r.UsesLeft, r.Tags = r.Uses, nil
	return r
}

// found returns r as Find returns it for a tag.
func found(r token.VaultRow, tag []byte) token.VaultRow {
	r = stored(r)
	r.Tags = [][]byte{tag}
	return r
}

// ended returns r as Load returns it when it has ended.
func ended(r token.VaultRow, how token.Ending, usesLeft int) token.VaultRow {
	r = stored(r)
	r.Ended, r.Sealed, r.UsesLeft = how, nil, usesLeft
	return r
}

// same compares rows, of which some may hold an empty slice for nil.
func same(t *testing.T, want, got []token.VaultRow) {
	t.Helper()
	got = slices.Clone(got)
	for i := range got {
		if len(got[i].Sealed) == 0 {
			got[i].Sealed = nil
		}
		if len(got[i].Tags) == 0 {
			got[i].Tags = nil
		}
		if !got[i].ExpiresAt.IsZero() {
			require.Equal(t, time.UTC, got[i].ExpiresAt.Location())
		}
	}
	require.ElementsMatch(t, want, got)
}

func insert(t *testing.T, s token.VaultStore, rows ...token.VaultRow) {
	t.Helper()
	inserted, err := s.Insert(t.Context(), rows)
	require.NoError(t, err)
	require.Len(t, inserted, len(rows))
	require.NotContains(t, inserted, false)
}

func load(t *testing.T, s token.VaultStore, rows ...token.VaultRow) []token.VaultRow {
	t.Helper()
	l, err := s.Load(t.Context(), storeName, hashesOf(rows))
	require.NoError(t, err)
	return l.Rows
}

func find(t *testing.T, s token.VaultStore, tags ...[]byte) []token.VaultRow {
	t.Helper()
	l, err := s.Find(t.Context(), storeName, tags)
	require.NoError(t, err)
	return l.Rows
}

func hashesOf(rows []token.VaultRow) []token.TokenHash {
	hashes := make([]token.TokenHash, len(rows))
	for i, r := range rows {
		hashes[i] = r.Hash
	}
	return hashes
}

func testInsertLoad(t *testing.T, s token.VaultStore) {
	require.Empty(t, load(t, s))
	require.Empty(t, load(t, s, newRow()))
	a, b := newRow(), newRow(newTag(), newTag())
	insert(t, s)
	insert(t, s, a, b)
	same(t, []token.VaultRow{stored(a), stored(b)}, load(t, s, a, newRow(), b))
	same(t, []token.VaultRow{stored(b)}, load(t, s, b))
}

func testLoadExact(t *testing.T, s token.VaultStore) {
	now := time.Now()
	for i, change := range []func(*token.VaultRow){
		func(*token.VaultRow) {},
		func(r *token.VaultRow) { r.Scope = "" },
		func(r *token.VaultRow) { r.Uses = 1 },
		func(r *token.VaultRow) { r.Uses = 1<<31 - 1 },
		func(r *token.VaultRow) { r.Hash = token.TokenHash{} },
		func(r *token.VaultRow) { r.Sealed = []byte{0, '\'', '\\', 0xff, 0x80, '"', 0} },
		func(r *token.VaultRow) { r.Sealed = someBytes(1<<20 + 100) },
		func(r *token.VaultRow) { r.ExpiresAt = time.UnixMicro(now.UnixMicro()/1e6*1e6 + 1).UTC() },
		func(r *token.VaultRow) { r.ExpiresAt = time.UnixMicro(now.UnixMicro()/1e6*1e6 + 999_999).UTC() },
		func(r *token.VaultRow) { r.ExpiresAt = time.Date(2999, 12, 31, 23, 59, 59, 999_999_000, time.UTC) },
	} {
		r := newRow(newTag())
		change(&r)
		insert(t, s, r)
		same(t, []token.VaultRow{stored(r)}, load(t, s, r))
		if r.ExpiresAt.IsZero() || r.ExpiresAt.After(now.Add(time.Hour)) {
			same(t, []token.VaultRow{found(r, r.Tags[0])}, find(t, s, r.Tags[0]))
		}
		require.Less(t, i, 10)
	}
	r := newRow()
	r.ExpiresAt = micro(now.Add(time.Hour))
	other := r
	other.ExpiresAt = r.ExpiresAt.In(time.FixedZone("zone", 5*3600+1800))
	other.UsesLeft = 7 // of no account
	insert(t, s, other)
	same(t, []token.VaultRow{stored(r)}, load(t, s, r))
}

func testKeyringsApart(t *testing.T, s token.VaultStore) {
	tag := newTag()
	a, b := newRow(tag), newRow(tag)
	b.Keyring, b.Hash = storeName+"-2", a.Hash
	insert(t, s, a)
	insert(t, s, b)
	same(t, []token.VaultRow{stored(a)}, load(t, s, a))
	same(t, []token.VaultRow{found(a, tag)}, find(t, s, tag))
	for _, name := range []string{"", "conformanc", "CONFORMANCE", "other"} {
		l, err := s.Load(t.Context(), name, []token.TokenHash{a.Hash})
		require.NoError(t, err)
		require.Empty(t, l.Rows, name)
	}
	require.NoError(t, s.Revoke(t.Context(), b.Keyring, b.Hash))
	same(t, []token.VaultRow{stored(a)}, load(t, s, a))
	l, err := s.Load(t.Context(), b.Keyring, []token.TokenHash{b.Hash})
	require.NoError(t, err)
	same(t, []token.VaultRow{ended(b, token.EndedRevoked, 0)}, l.Rows)
}

func testClock(t *testing.T, s token.VaultStore) {
	var last time.Time
	for _, look := range []func() (token.VaultRows, error){
		func() (token.VaultRows, error) { return s.Load(t.Context(), storeName, nil) },
		func() (token.VaultRows, error) { return s.Find(t.Context(), storeName, nil) },
		func() (token.VaultRows, error) { return s.Load(t.Context(), storeName, []token.TokenHash{{}}) },
		func() (token.VaultRows, error) { return s.Find(t.Context(), storeName, [][]byte{newTag()}) },
	} {
		l, err := look()
		require.NoError(t, err)
		require.Empty(t, l.Rows)
		require.Equal(t, time.UTC, l.Now.Location())
		require.WithinDuration(t, time.Now(), l.Now, time.Minute)
		require.Zero(t, l.Now.Nanosecond()%1000)
		require.False(t, l.Now.Before(last))
		last = l.Now
	}
}

func testFind(t *testing.T, s token.VaultStore) {
	x, y, z, gone := newTag(), newTag(), newTag(), newTag()
	a, b := newRow(x, y), newRow(z)
	old := expired(gone)
	insert(t, s, a, b, old)
	same(t, []token.VaultRow{found(a, x)}, find(t, s, x))
	same(t, []token.VaultRow{found(a, y)}, find(t, s, y))
	same(t, []token.VaultRow{found(a, x), found(a, y), found(b, z)}, find(t, s, z, newTag(), y, gone, x))
	require.Empty(t, find(t, s, gone), "it has expired")
	require.Empty(t, find(t, s))
	same(t, []token.VaultRow{stored(old)}, load(t, s, old)) // Load returns it all the same
	l, err := s.Find(t.Context(), storeName, [][]byte{x})
	require.NoError(t, err)
	soon := newRow(newTag())
	soon.ExpiresAt = l.Now.Add(time.Hour)
	insert(t, s, soon)
	require.Len(t, find(t, s, soon.Tags[0]), 1)
}

func testInsertTaken(t *testing.T, s token.VaultStore) {
	x, y, z := newTag(), newTag(), newTag()
	a := newRow(x, y)
	insert(t, s, a)
	b, c, d := newRow(z, y), newRow(), newRow(newTag())
	inserted, err := s.Insert(t.Context(), []token.VaultRow{b, c, d})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, true}, inserted)
	same(t, []token.VaultRow{stored(c), stored(d)}, load(t, s, b, c, d))
	require.Empty(t, find(t, s, z), "the row that was left out has left a tag")
	insert(t, s, newRow(z))
	same(t, []token.VaultRow{found(a, x), found(a, y)}, find(t, s, x, y))
}

func testInsertKnown(t *testing.T, s token.VaultStore) {
	x, y := newTag(), newTag()
	a := newRow(x)
	insert(t, s, a)
	b := newRow(y)
	b.Hash = a.Hash
	c := newRow()
	_, err := s.Insert(t.Context(), []token.VaultRow{c, b})
	require.ErrorIs(t, err, keyring.ErrConflict)
	same(t, []token.VaultRow{stored(a)}, load(t, s, a, c))
	require.Empty(t, find(t, s, y))
	require.NoError(t, s.Revoke(t.Context(), storeName, a.Hash))
	_, err = s.Insert(t.Context(), []token.VaultRow{b})
	require.ErrorIs(t, err, keyring.ErrConflict, "the hash of a token that ended is not free")
	insert(t, s, newRow(y))
}

func testInsertExpired(t *testing.T, s token.VaultStore) {
	x, y, z := newTag(), newTag(), newTag()
	old := expired(x, y)
	insert(t, s, old)
	next := newRow(x, z)
	insert(t, s, next)
	same(t, []token.VaultRow{found(next, x), found(next, z)}, find(t, s, x, y, z))
	require.NoError(t, s.Revoke(t.Context(), storeName, old.Hash))
	same(t, []token.VaultRow{found(next, x), found(next, z)}, find(t, s, x, y, z)) // x is its own no more
	insert(t, s, newRow(y))
	lost := newRow(z, newTag())
	inserted, err := s.Insert(t.Context(), []token.VaultRow{lost})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, inserted)
}

func testInsertRace(t *testing.T, s token.VaultStore) {
	for range 5 {
		tag := newTag()
		rows := make([]token.VaultRow, 16)
		won := make([]bool, len(rows))
		errs := race(len(rows), func(i int) error {
			rows[i] = newRow(tag)
			inserted, err := s.Insert(t.Context(), rows[i:i+1])
			if err != nil {
				return err
			}
			won[i] = inserted[0]
			seen, err := s.Find(t.Context(), storeName, [][]byte{tag})
			if err == nil && len(seen.Rows) != 1 {
				err = fmt.Errorf("%d rows have the tag", len(seen.Rows))
			}
			return err
		})
		requireAll(t, errs)
		requireOne(t, won)
		same(t, []token.VaultRow{found(rows[slices.Index(won, true)], tag)}, find(t, s, tag))
		require.Len(t, load(t, s, rows...), 1)
	}
}

// Batches of the same tags in different orders: they must not wait for each other
// in a circle.
func testInsertBatchRace(t *testing.T, s token.VaultStore) {
	const racers, n = 8, 200
	tags := make([][]byte, n)
	for i := range tags {
		tags[i] = newTag()
	}
	var mu sync.Mutex
	winners := make(map[string]int)
	requireAll(t, race(racers, func(int) error {
		rows := make([]token.VaultRow, n)
		for i, tag := range shuffled(tags) {
			rows[i] = newRow(tag)
		}
		inserted, err := s.Insert(t.Context(), rows)
		mu.Lock()
		defer mu.Unlock()
		for i := range inserted {
			if inserted[i] {
				winners[string(rows[i].Tags[0])]++
			}
		}
		return err
	}))
	require.Len(t, winners, n)
	for _, times := range winners {
		require.Equal(t, 1, times)
	}
	require.Len(t, find(t, s, tags...), n)
}

// Rows that have some of their tags in common, as during a rotation: no two that
// share a tag are added, and what is not added leaves nothing.
func testInsertOverlapRace(t *testing.T, s token.VaultStore) {
	const racers, n = 6, 50
	old, next, last := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i := range n {
		old[i], next[i], last[i] = newTag(), newTag(), newTag()
	}
	all := make([][]token.VaultRow, racers)
	added := make([][]bool, racers)
	requireAll(t, race(racers, func(r int) (err error) {
		for i := range n {
			all[r] = append(all[r], newRow([][][]byte{{old[i], next[i]}, {next[i], last[i]}, {old[i], next[i], last[i]}}[r%3]...))
		}
		all[r] = shuffled(all[r])
		added[r], err = s.Insert(t.Context(), all[r])
		return err
	}))
	owners := make(map[string]token.TokenHash)
	for r := range racers {
		for i, row := range all[r] {
			if !added[r][i] {
				require.Empty(t, load(t, s, row))
				continue
			}
			for _, tag := range row.Tags {
				require.NotContains(t, owners, string(tag), "two rows have one tag")
				owners[string(tag)] = row.Hash
			}
		}
	}
	rows := find(t, s, slices.Concat(old, next, last)...)
	require.Len(t, rows, len(owners), "rows that were not added left tags")
	for _, row := range rows {
		require.Equal(t, owners[string(row.Tags[0])], row.Hash)
	}
	for i := range n {
		require.Contains(t, owners, string(next[i]), "all racers lost")
	}
}

func testInsertExpiredRace(t *testing.T, s token.VaultStore) {
	const racers, n = 8, 100
	tags := make([][]byte, n)
	rows := make([]token.VaultRow, n)
	for i := range tags {
		tags[i] = newTag()
		rows[i] = expired(tags[i])
	}
	insert(t, s, rows...)
	var mu sync.Mutex
	total := 0
	requireAll(t, race(racers, func(int) error {
		rows := make([]token.VaultRow, n)
		for i, tag := range shuffled(tags) {
			rows[i] = newRow(tag)
		}
		inserted, err := s.Insert(t.Context(), rows)
		mu.Lock()
		defer mu.Unlock()
		total += count(inserted)
		return err
	}))
	require.Equal(t, n, total)
	require.Len(t, find(t, s, tags...), n)
}

func testUse(t *testing.T, s token.VaultStore) {
	a, b := limited(1), limited(3)
	tag := newTag()
	b.Tags = [][]byte{tag}
	insert(t, s, a, b)
	use := func(rows ...token.VaultRow) []bool {
		t.Helper()
		used, err := s.Use(t.Context(), storeName, hashesOf(rows))
		require.NoError(t, err)
		return used
	}
	require.Empty(t, use())
	require.Equal(t, []bool{true}, use(b))
	left := stored(b)
	left.UsesLeft = 2
	same(t, []token.VaultRow{left}, load(t, s, b))
	require.Equal(t, []bool{false, true, true}, use(newRow(), a, b))
	require.Len(t, find(t, s, tag), 1)
	require.Equal(t, []bool{true, false}, use(b, a))
	same(t, []token.VaultRow{ended(a, token.EndedUsed, 0), ended(b, token.EndedUsed, 0)}, load(t, s, a, b))
	require.Equal(t, []bool{false, false}, use(a, b))
	require.Empty(t, find(t, s, tag))
	insert(t, s, newRow(tag))
}

func testUseRefused(t *testing.T, s token.VaultStore) {
	unlimited, old, revoked := newRow(), limited(1), limited(1)
	old.ExpiresAt = micro(time.Now().Add(-time.Minute))
	insert(t, s, unlimited, old, revoked)
	require.NoError(t, s.Revoke(t.Context(), storeName, revoked.Hash))
	used, err := s.Use(t.Context(), storeName, hashesOf([]token.VaultRow{unlimited, old, revoked, newRow()}))
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, false, false}, used)
	same(t, []token.VaultRow{stored(unlimited), stored(old), ended(revoked, token.EndedRevoked, 1)}, load(t, s, unlimited, old, revoked))
	used, err = s.Use(t.Context(), "other", []token.TokenHash{unlimited.Hash})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, used)
}

func testUseRace(t *testing.T, s token.VaultStore) {
	for _, uses := range []int{1, 5} {
		r := limited(uses)
		insert(t, s, r)
		won := make([]bool, 16)
		requireAll(t, race(len(won), func(i int) error {
			used, err := s.Use(t.Context(), storeName, []token.TokenHash{r.Hash})
			won[i] = err == nil && used[0]
			return err
		}))
		require.Equal(t, uses, count(won))
		same(t, []token.VaultRow{ended(r, token.EndedUsed, 0)}, load(t, s, r))
	}
}

func testUseBatchRace(t *testing.T, s token.VaultStore) {
	const racers, n = 8, 200
	rows := make([]token.VaultRow, n)
	for i := range rows {
		rows[i] = limited(2)
		rows[i].Tags = [][]byte{newTag(), newTag()}
	}
	insert(t, s, rows...)
	var mu sync.Mutex
	total := 0
	requireAll(t, race(racers, func(int) error {
		used, err := s.Use(t.Context(), storeName, hashesOf(shuffled(rows)))
		mu.Lock()
		defer mu.Unlock()
		total += count(used)
		return err
	}))
	require.Equal(t, 2*n, total)
	for _, r := range load(t, s, rows...) {
		require.Equal(t, token.EndedUsed, r.Ended)
	}
}

func testRevoke(t *testing.T, s token.VaultStore) {
	ctx := t.Context()
	x, y := newTag(), newTag()
	a, used, old := newRow(x, y), limited(1), expired()
	insert(t, s, a, used, old)
	_, err := s.Use(ctx, storeName, []token.TokenHash{used.Hash})
	require.NoError(t, err)
	for range 2 {
		for _, h := range []token.TokenHash{a.Hash, used.Hash, old.Hash, newRow().Hash} {
			require.NoError(t, s.Revoke(ctx, storeName, h))
		}
		same(t, []token.VaultRow{ended(a, token.EndedRevoked, 0), ended(used, token.EndedUsed, 0), ended(old, token.EndedRevoked, 0)}, load(t, s, a, used, old))
		require.Empty(t, find(t, s, x, y))
	}
	insert(t, s, newRow(x), newRow(y))
}

func testRevokeRace(t *testing.T, s token.VaultStore) {
	for range 10 {
		r := limited(8)
		insert(t, s, r)
		requireAll(t, race(16, func(i int) error {
			if i == 7 {
				return s.Revoke(t.Context(), storeName, r.Hash)
			}
			_, err := s.Use(t.Context(), storeName, []token.TokenHash{r.Hash})
			return err
		}))
		got := load(t, s, r)
		require.Len(t, got, 1)
		require.NotEmpty(t, got[0].Ended)
		require.Empty(t, got[0].Sealed)
		require.Equal(t, got[0].Ended == token.EndedUsed, got[0].UsesLeft == 0)
	}
}

func testPurge(t *testing.T, s token.VaultStore) {
	ctx := t.Context()
	x := newTag()
	alive, soon, revoked, used := newRow(newTag()), newRow(newTag()), newRow(), limited(1)
	soon.ExpiresAt = micro(time.Now().Add(time.Hour))
	hour, day := expired(x), expired()
	hour.Uses = 3
	day.ExpiresAt = micro(time.Now().Add(-24 * time.Hour))
	insert(t, s, alive, soon, revoked, used, hour, day)
	require.NoError(t, s.Revoke(ctx, storeName, revoked.Hash))
	_, err := s.Use(ctx, storeName, []token.TokenHash{used.Hash})
	require.NoError(t, err)

	purged, err := s.Purge(ctx, storeName, vaultName, 2*time.Hour)
	require.NoError(t, err)
	require.Equal(t, token.Purged{Erased: 2, Removed: 1}, purged)
	everything := []token.VaultRow{alive, soon, revoked, used, hour, day}
	living := []token.VaultRow{stored(alive), stored(soon)}
	same(t, append(living[:2:2], ended(revoked, token.EndedRevoked, 0), ended(used, token.EndedUsed, 0), ended(hour, token.EndedExpired, 3)), load(t, s, everything...))

	purged, err = s.Purge(ctx, storeName, vaultName, 30*time.Minute)
	require.NoError(t, err)
	require.Equal(t, token.Purged{Removed: 1}, purged, "an expired token ended at its time, not when it was erased")
	require.Len(t, load(t, s, everything...), 4)

	time.Sleep(2 * time.Millisecond)
	purged, err = s.Purge(ctx, storeName, vaultName, 0)
	require.NoError(t, err)
	require.Equal(t, token.Purged{Removed: 2}, purged)
	same(t, living, load(t, s, everything...))
	purged, err = s.Purge(ctx, storeName, vaultName, 0)
	require.NoError(t, err)
	require.Zero(t, purged)
	insert(t, s, newRow(x))
}

func testPurgeOthers(t *testing.T, s token.VaultStore) {
	otherVault, otherKeyring := expired(), expired()
	otherVault.Vault = vaultName + "2"
	otherKeyring.Keyring = "other"
	insert(t, s, otherVault)
	insert(t, s, otherKeyring)
	purged, err := s.Purge(t.Context(), storeName, vaultName, 0)
	require.NoError(t, err)
	require.Zero(t, purged)
	same(t, []token.VaultRow{stored(otherVault)}, load(t, s, otherVault))
	purged, err = s.Purge(t.Context(), "other", vaultName, 0)
	require.NoError(t, err)
	require.Equal(t, token.Purged{Erased: 1, Removed: 1}, purged)
}

// Purges beside each other and beside all that could wait for the same rows.
func testPurgeRace(t *testing.T, s token.VaultStore) {
	const n = 400
	ctx := t.Context()
	var tags [][]byte
	var olds []token.VaultRow
	for range n {
		x, y := newTag(), newTag()
		tags = append(tags, x, y)
		olds = append(olds, expired(x, y))
	}
	insert(t, s, olds...)
	var mu sync.Mutex
	var sum token.Purged
	requireAll(t, race(12, func(i int) error {
		switch i % 4 {
		case 0:
			p, err := s.Purge(ctx, storeName, vaultName, time.Minute)
			mu.Lock()
			defer mu.Unlock()
			sum.Erased += p.Erased
			sum.Removed += p.Removed
			return err
		case 1:
			var rows []token.VaultRow
			for _, tag := range shuffled(tags) {
				rows = append(rows, newRow(tag))
			}
			_, err := s.Insert(ctx, rows)
			return err
		case 2:
			for _, r := range shuffled(olds) {
				if err := s.Revoke(ctx, storeName, r.Hash); err != nil {
					return err
				}
			}
			return nil
		default:
			_, err := s.Use(ctx, storeName, hashesOf(shuffled(olds)))
			return err
		}
	}))
	_, err := s.Purge(ctx, storeName, vaultName, time.Minute)
	require.NoError(t, err)
	rows := find(t, s, tags...)
	require.Len(t, rows, len(tags), "the successors have all the tags")
	require.LessOrEqual(t, sum.Removed, sum.Erased, "what Revoke ended, ended just now")
}

func testMany(t *testing.T, s token.VaultStore) {
	rows := make([]token.VaultRow, 1000)
	var tags [][]byte
	for i := range rows {
		rows[i] = newRow(newTag(), newTag())
		tags = append(tags, rows[i].Tags...)
	}
	insert(t, s, rows...)
	require.Len(t, load(t, s, rows...), 1000)
	require.Len(t, find(t, s, tags...), 2000)
}

func testSlices(t *testing.T, s token.VaultStore) {
	tag := newTag()
	r := newRow(slices.Clone(tag))
	want := r
	want.Sealed = slices.Clone(r.Sealed)
	insert(t, s, r)
	clear(r.Sealed)
	clear(r.Tags[0])
	r.Tags[0] = nil
	for range 2 {
		rows := find(t, s, tag)
		same(t, []token.VaultRow{found(want, tag)}, rows)
		clear(rows[0].Sealed)
		clear(rows[0].Tags[0])
		rows = load(t, s, want)
		same(t, []token.VaultRow{stored(want)}, rows)
		clear(rows[0].Sealed)
	}
}

func testCancelled(t *testing.T, s token.VaultStore) {
	r := limited(1)
	insert(t, s, r)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		_, err := s.Load(ctx, storeName, []token.TokenHash{newRow().Hash})
		require.ErrorIs(t, err, ctx.Err(), "absence must not be reported because a read failed")
		_, err = s.Find(ctx, storeName, [][]byte{newTag()})
		require.ErrorIs(t, err, ctx.Err())
		_, err = s.Insert(ctx, []token.VaultRow{newRow()})
		require.ErrorIs(t, err, ctx.Err())
		_, err = s.Use(ctx, storeName, []token.TokenHash{r.Hash})
		require.ErrorIs(t, err, ctx.Err())
		require.ErrorIs(t, s.Revoke(ctx, storeName, r.Hash), ctx.Err())
		_, err = s.Purge(ctx, storeName, vaultName, 0)
		require.ErrorIs(t, err, ctx.Err())
	}
	same(t, []token.VaultRow{stored(r)}, load(t, s, r))
}

func testOddNames(t *testing.T, s token.VaultStore) {
	var rows []token.VaultRow
	for _, name := range []string{"a", "A", "a ", "%", "_", "'", `"`, `\`, "{a}", "null", "NULL", "ä", "a\u0308", "\n", strings.Repeat("x", 200)} {
		r := newRow(newTag())
		r.Scope, r.Vault = name, name
		insert(t, s, r)
		same(t, []token.VaultRow{stored(r)}, load(t, s, r))
		same(t, []token.VaultRow{found(r, r.Tags[0])}, find(t, s, r.Tags[0]))
		rows = append(rows, stored(r))
		p, err := s.Purge(t.Context(), storeName, name, 0)
		require.NoError(t, err)
		require.Zero(t, p)
	}
	same(t, rows, load(t, s, rows...))
}

func shuffled[T any](s []T) []T {
	s = slices.Clone(s)
	for i := range s {
		j := i + int(someBytes(1)[0])%(len(s)-i)
		s[i], s[j] = s[j], s[i]
	}
	return s
}

func count(all []bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func requireOne(t *testing.T, won []bool) {
	t.Helper()
	require.Equal(t, 1, count(won))
}

func requireAll(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		require.NoError(t, err, "racer %d", i)
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

package token_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// TestVaultAcrossRotation checks that a value has one token at every moment of
// rotations of the index key and of the encryption key.
func TestVaultAcrossRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kr := keyringtest.NewKeyring(t)
		v := newVault(t, kr, "customers.pan", token.VaultConfig{Convergent: true})
		made := make(map[string]token.Token)
		look := func(name string) {
			t.Helper()
			made[name] = makeToken(t, v, name, "")
			for value, tok := range made {
				require.Equal(t, tok, makeToken(t, v, value, ""), "%s, after %s", value, name)
				require.Equal(t, value, redeem(t, v, tok, ""))
				matched, err := v.Match(ctx, []byte(value), "")
				require.NoError(t, err)
				require.Equal(t, []token.Token{tok}, matched)
			}
		}
		look("first")
		for n := range 4 {
			for _, p := range []keyring.Purpose{keyring.Index, keyring.Encryption} {
				_, err := kr.Rotate(ctx, keyring.Target{Purpose: p}, keyring.RotateOptions{})
				require.NoError(t, err)
				look(fmt.Sprint(p, n, " pending"))
				time.Sleep(11 * time.Minute)
				look(fmt.Sprint(p, n, " active"))
			}
		}
		require.NoError(t, kr.Close())
	})
}

// pollStore is a keyring.Store that pushes nothing, so that processes learn of keys
// at different times.
type pollStore struct{ keyring.Store }

// TestVaultRotationRace has four processes, which poll the keys at different times,
// tokenize the same values at once, minute after minute of a chain of rotations:
// they never make two tokens for one value, and find all that were made before.
//
// The control makes rows with the tag under the writer's newest key only. That must
// give duplicates, or this test could not see any.
func TestVaultRotationRace(t *testing.T) {
	duplicates, mixed := rotationRace(t, false)
	require.Zero(t, duplicates)
	require.Positive(t, mixed, "at no time did two writers of a value know different keys")
	t.Logf("%d times two writers of one value knew different keys", mixed)
	duplicates, _ = rotationRace(t, true)
	require.Positive(t, duplicates, "the control shows no duplicate")
	t.Logf("the control, with a single tag per row, made %d duplicates", duplicates)
}

// rotationRace returns how many values got a second token, and how many were
// inserted by writers that knew different keys.
func rotationRace(t *testing.T, naive bool) (duplicates, mixed int) {
	const processes, minutes, perMinute = 4, 40, 10
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := &tagCounter{VaultStore: token.NewMemoryVaultStore(), naive: naive, counts: make(map[string]map[int]bool)}
		keys, kms := pollStore{keyring.NewMemoryStore()}, keyringtest.NewKMS()
		var krs []*keyring.Keyring
		var vaults []*token.Vault
		for range processes {
			kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
				c.Store, c.KMS, c.RefreshEvery = keys, []keyring.KMS{kms}, 5*time.Minute
			})
			krs = append(krs, kr)
			vaults = append(vaults, newVault(t, kr, "v", token.VaultConfig{Store: store, Convergent: true}))
			time.Sleep(time.Minute)
		}
		made := make(map[string]token.Token)
		var values [][]byte
		for minute := range minutes {
			if minute%13 == 3 {
				_, err := krs[minute%processes].Rotate(ctx, keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
				require.NoError(t, err)
			}
			for i := range perMinute {
				values = append(values, fmt.Appendf(nil, "value %d of minute %d", i, minute))
			}
			got := make([][]token.Token, processes)
			var wg sync.WaitGroup
			for p, v := range vaults {
				wg.Go(func() {
					var err error
					got[p], err = v.TokenizeAll(ctx, values, "")
					require.NoError(t, err)
				})
			}
			wg.Wait()
			for p := range got {
				for i, tok := range got[p] {
					value := string(values[i])
					if made[value] == "" {
						made[value] = tok
					}
					if made[value] != tok {
						duplicates++
					}
				}
			}
			time.Sleep(time.Minute)
		}
		for _, counts := range store.counts {
			if len(counts) > 1 {
				mixed++
			}
		}
		for _, kr := range krs {
			require.NoError(t, kr.Close())
		}
	})
	return duplicates, mixed
}

// tagCounter notes with how many tags the rows come that have a first tag in
// common, and lets rivals meet.
type tagCounter struct {
	token.VaultStore
	naive  bool
	mu     sync.Mutex
	counts map[string]map[int]bool
}

func (s *tagCounter) Insert(ctx context.Context, rows []token.VaultRow) ([]bool, error) {
	rows = slices.Clone(rows)
	s.mu.Lock()
	for i, r := range rows {
		if s.naive {
			rows[i].Tags = r.Tags[len(r.Tags)-1:]
		}
		first := string(r.Tags[0])
		if s.counts[first] == nil {
			s.counts[first] = make(map[int]bool)
		}
		s.counts[first][len(r.Tags)] = true
	}
	s.mu.Unlock()
	time.Sleep(time.Millisecond) // until all racers are here
	return s.VaultStore.Insert(ctx, rows)
}

// TestVaultIndexKeyStates: a suspended index key stops what would have to look under
// it; after a key is destroyed, those tokens are found that have a tag of a newer
// one.
func TestVaultIndexKeyStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kr := keyringtest.NewKeyring(t)
		v := newVault(t, kr, "v", token.VaultConfig{Convergent: true})
		target := keyring.Target{Purpose: keyring.Index}
		old := makeToken(t, v, "old", "")
		_, err := kr.Rotate(ctx, target, keyring.RotateOptions{})
		require.NoError(t, err)
		both := makeToken(t, v, "both", "")
		time.Sleep(11 * time.Minute)
		keys, err := kr.Keys(ctx, target)
		require.NoError(t, err)
		require.NoError(t, kr.Suspend(ctx, target, keys[0].ID))
		for _, value := range []string{"old", "both", "new"} {
			tok, err := v.Tokenize(ctx, []byte(value), "")
			require.ErrorIs(t, err, keyring.ErrSuspended)
			require.Empty(t, tok)
			found, err := v.Match(ctx, []byte(value), "")
			require.ErrorIs(t, err, keyring.ErrSuspended)
			require.Nil(t, found)
		}
		require.Equal(t, "old", redeem(t, v, old, ""))

		time.Sleep(time.Until(keys[0].DestroyableAt) + 2*time.Hour)
		err = kr.Destroy(ctx, target, keys[0].ID, keyring.DestroyOptions{By: "test", Count: func(context.Context, keyring.KeyInfo) (int64, error) { return 0, nil }})
		require.NoError(t, err)
		require.Equal(t, both, makeToken(t, v, "both", ""))
		require.NotEqual(t, old, makeToken(t, v, "old", ""), "nobody can find it")
		require.Equal(t, "old", redeem(t, v, old, ""))
		require.NoError(t, kr.Close())
	})
}

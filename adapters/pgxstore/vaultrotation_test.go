package pgxstore

import (
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// pollStore hides that a Store can push, so that keyrings learn of keys at
// different times.
type pollStore struct{ keyring.Store }

// TestVaultRotation has four keyrings, each like a process of its own, tokenize
// old and new values without a pause while the index key is rotated three times:
// all values have one token, and every one is found at every moment.
func TestVaultRotation(t *testing.T) {
	const rotations, delay = 3, 2 * time.Second
	config := parse(t, pgtest.Database(t))
	store := migratedVault(t, config, VaultConfig{MaxConns: 8})
	keys, kms := migrated(t, config, Config{}), keyringtest.NewKMS()
	var vaults []*token.Vault
	var krs []*keyring.Keyring
	for i := range 4 {
		kr, err := keyring.OpenOrCreate(t.Context(), keyring.Config{
			Name: "app", Store: pollStore{keys}, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler),
			PropagationDelay: delay, RefreshEvery: time.Duration(400+200*i) * time.Millisecond,
		})
		require.NoError(t, err)
		defer kr.Close()
		krs, vaults = append(krs, kr), append(vaults, newVault(t, kr, store, token.VaultConfig{Convergent: true}))
	}

	var known sync.Map // value to token
	var next, looks atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range 8 {
		v := vaults[g%len(vaults)]
		wg.Go(func() {
			for !stop.Load() {
				n := next.Add(mathrand.N[int64](2)) // often the value that another is at
				batch := [][]byte{fmt.Appendf(nil, "value %d", n)}
				for range 20 {
					batch = append(batch, fmt.Appendf(nil, "value %d", mathrand.N(n+1)))
				}
				tokens, err := v.TokenizeAll(t.Context(), batch, "")
				if errors.Is(err, keyring.ErrStale) {
					continue // it was held up for a second, and refuses rather than make another token
				}
				if !assert.NoError(t, err) {
					return
				}
				for i, tok := range tokens {
					if first, _ := known.LoadOrStore(string(batch[i]), tok); first != tok {
						assert.Fail(t, "a second token", "%s", batch[i])
					}
				}
				found, err := v.Match(t.Context(), batch[1], "")
				if !errors.Is(err, keyring.ErrStale) {
					assert.NoError(t, err)
					assert.Equal(t, tokens[1:2], found)
				}
				looks.Add(int64(len(batch)))
			}
		})
	}
	for i := range rotations {
		time.Sleep(delay / 4)
		_, err := krs[i].Rotate(t.Context(), keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
		require.NoError(t, err)
		time.Sleep(delay * 5 / 4)
	}
	stop.Store(true)
	wg.Wait()

	conn := connect(t, config)
	intact(t, conn)
	var tokens, least, most, values int
	require.NoError(t, conn.QueryRow(t.Context(), `
select count(*), min(tags), max(tags) from (select t.hash, count(*) as tags from sealfield.vault_tokens t join sealfield.vault_tags g using (keyring, hash) group by t.hash) x`).Scan(&tokens, &least, &most))
	known.Range(func(any, any) bool { values++; return true })
	require.Equal(t, values, tokens)
	require.Equal(t, 1, least)
	require.Equal(t, 1+rotations, most, "no token was made under the last key")

	// What VaultStore's doc counts: who needs the first key, and who the last.
	doc, err := os.ReadFile("vault.go")
	require.NoError(t, err)
	queries := regexp.MustCompile(`//\t(select count\(\*\) from sealfield.vault_tokens .*)`).FindAllSubmatch(doc, -1)
	require.Len(t, queries, 2)
	for i, p := range []keyring.Purpose{keyring.Encryption, keyring.Index} {
		infos, err := krs[0].Keys(t.Context(), keyring.Target{Purpose: p})
		require.NoError(t, err)
		var needFirst, needLast, only int
		require.NoError(t, conn.QueryRow(t.Context(), string(queries[i][1]), infos[0].ID.Bytes()).Scan(&needFirst))
		require.NoError(t, conn.QueryRow(t.Context(), string(queries[i][1]), infos[len(infos)-1].ID.Bytes()).Scan(&needLast))
		require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from sealfield.vault_tokens where cardinality(tags) = 1`).Scan(&only))
		if p == keyring.Encryption { // which was not rotated
			require.Equal(t, tokens, needFirst)
			continue
		}
		require.Positive(t, needFirst)
		require.Equal(t, only, needFirst, "those made before the first rotation")
		require.Zero(t, needLast)
	}
	t.Logf("%d rotations: %d values, %d times tokenized, one token each", rotations, values, looks.Load())
}

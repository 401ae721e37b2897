package pgxstore

import (
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/tokentest"
)

func TestVaultConformance(t *testing.T) {
	for name, mode := range execModes {
		t.Run(name, func(t *testing.T) {
			config := parse(t, pgtest.Database(t))
			config.DefaultQueryExecMode = mode
			tokentest.TestVaultStore(t, inSchemas(config, "s"))
		})
	}
}

// TestVaultConformanceUnderOddSettings runs the suite in schemas with awkward names,
// over sessions whose settings must not matter.
func TestVaultConformanceUnderOddSettings(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			config := parse(t, pgtest.Database(t))
			config.DefaultQueryExecMode = mode
			config.RuntimeParams["TimeZone"] = "Asia/Kathmandu"
			config.RuntimeParams["search_path"] = "hostile"
			config.RuntimeParams["IntervalStyle"] = "sql_standard"
			config.RuntimeParams["default_transaction_isolation"] = "serializable"
			hostile(t, config)
			tokentest.TestVaultStore(t, inSchemas(config, `Öd "keys"; drop schema public; --$$`))
		})
	}
}

// inSchemas returns what opens a store in a new schema each time.
func inSchemas(config *pgx.ConnConfig, name string) func(testing.TB) token.VaultStore {
	n := 0
	return func(t testing.TB) token.VaultStore {
		n++
		return migratedVault(t, config, VaultConfig{Schema: fmt.Sprint(name, n), MaxConns: 8})
	}
}

func openVault(t testing.TB, config *pgx.ConnConfig, cfg VaultConfig) *VaultStore {
	s, err := NewVaultStore(t.Context(), config, cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func migratedVault(t testing.TB, config *pgx.ConnConfig, cfg VaultConfig) *VaultStore {
	s := openVault(t, config, cfg)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// intact checks what holds at every moment: tags belong to tokens that live, and no
// row of a convergent vault is without.
func intact(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	execSQL(t, conn, `analyze sealfield.vault_tokens; analyze sealfield.vault_tags`) // or the joins below take a minute
	for what, sql := range map[string]string{
		"tags without a token": `select count(*) from sealfield.vault_tags g where not exists (select from sealfield.vault_tokens t where (t.keyring, t.hash) = (g.keyring, g.hash) and t.ended is null)`,
		"tokens without a tag": `select count(*) from sealfield.vault_tokens t where vault = 'convergent' and ended is null and expires_at is null and not exists (select from sealfield.vault_tags g where (t.keyring, t.hash) = (g.keyring, g.hash))`,
	} {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n))
		require.Zero(t, n, what)
	}
	// A connection that was cut is noticed by its server process a moment later.
	require.Eventually(t, func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%'`).Scan(&n)
		return err == nil && n == 0
	}, time.Minute, 10*time.Millisecond, "transactions left open")
}

func newVault(t testing.TB, kr *keyring.Keyring, store token.VaultStore, cfg token.VaultConfig) *token.Vault {
	cfg.Store, cfg.Prefix = store, "pan"
	name := "random"
	if cfg.Convergent {
		name = "convergent"
	}
	v, err := token.NewVault(kr, name, cfg)
	require.NoError(t, err)
	return v
}

func someValues(n int) [][]byte {
	values := make([][]byte, n)
	for i := range values {
		values[i] = fmt.Appendf(nil, "41111111%08d", i)
	}
	return values
}

// 64 goroutines tokenize the same 1,000 values, in orders of their own, on an empty
// table: one by one, and in batches of all sizes.
func TestVaultTokenizeRace(t *testing.T) {
	const goroutines = 64
	values := someValues(1000)
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprintf("batches %t", batches), func(t *testing.T) {
			config := parse(t, pgtest.Database(t))
			store := migratedVault(t, config, VaultConfig{MaxConns: 16})
			v := newVault(t, keyringtest.NewKeyring(t), store, token.VaultConfig{Convergent: true})
			got := make([]map[string]token.Token, goroutines)
			start := make(chan struct{})
			var wg sync.WaitGroup
			for g := range goroutines {
				got[g] = make(map[string]token.Token)
				wg.Go(func() {
					<-start
					order := slices.Clone(values)
					mathrand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
					for len(order) > 0 {
						n := 1
						if batches {
							n = 1 + mathrand.N(len(order))
						}
						tokens, err := v.TokenizeAll(t.Context(), order[:n], "")
						if !assert.NoError(t, err) {
							return
						}
						for i, tok := range tokens {
							got[g][string(order[i])] = tok
						}
						order = order[n:]
					}
				})
			}
			close(start)
			wg.Wait()
			for g := range goroutines {
				require.Len(t, got[g], len(values))
				require.Equal(t, got[0], got[g])
			}
			conn := connect(t, config)
			var tokens, tags int
			require.NoError(t, conn.QueryRow(t.Context(), `select (select count(*) from sealfield.vault_tokens), (select count(*) from sealfield.vault_tags)`).Scan(&tokens, &tags))
			require.Equal(t, len(values), tokens, "one token per value, and none that nobody got")
			require.Equal(t, len(values), tags)
			intact(t, conn)
		})
	}
}

func TestVaultSingleUse(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	store := migratedVault(t, config, VaultConfig{MaxConns: 16})
	v := newVault(t, keyringtest.NewKeyring(t), store, token.VaultConfig{Uses: 1})
	for range 50 {
		tok, err := v.Tokenize(t.Context(), []byte("4111111111111111"), "")
		require.NoError(t, err)
		errs := make([]error, 16)
		values := make([][]byte, 16)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { values[i], errs[i] = v.Detokenize(t.Context(), tok, "") })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				require.Equal(t, "4111111111111111", string(values[i]))
				continue
			}
			require.ErrorIs(t, err, token.ErrUsed)
			require.Nil(t, values[i])
		}
		require.Equal(t, 1, won)
	}
	conn := connect(t, config)
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from sealfield.vault_tokens where sealed is not null`).Scan(&left))
	require.Zero(t, left, "what was redeemed for the last time is erased")
	intact(t, conn)
}

package pgxstore

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/tokentest"
)

// TestConformanceBehindBouncer runs the suites behind pgbouncer in transaction
// pooling, over fewer sessions than connections.
func TestConformanceBehindBouncer(t *testing.T) {
	bouncer := pgtest.StartBouncer(t, pgtest.Database(t), pgtest.BouncerConfig{Conns: 3})
	config := parse(t, bouncer.DSN())
	n := 0
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	t.Run("Store", func(t *testing.T) {
		keyringtest.TestStore(t, func(t testing.TB) keyring.Store {
			n++
			return struct{ keyring.Store }{migrated(t, config, Config{Schema: fmt.Sprint("keys", n)})} // no Watcher
		})
	})
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	t.Run("VaultStore", func(t *testing.T) { tokentest.TestVaultStore(t, inSchemas(config, "vault")) })
}

// TestBouncer takes keyrings through their life behind pgbouncer in each exec
// mode. Each time that the session is between two transactions another client uses
// the unnamed statement in it, which is the worst that can happen.
func TestBouncer(t *testing.T) {
	for name, mode := range execModes {
		t.Run(name, func(t *testing.T) {
			bouncer := pgtest.StartBouncer(t, pgtest.Database(t), pgtest.BouncerConfig{})
			proxy := pgtest.StartProxy(t, bouncer.DSN())
			config := parse(t, proxy.DSN)
			config.DefaultQueryExecMode = mode
			other := connect(t, parse(t, bouncer.DSN()))
			var over atomic.Bool // and connections are being closed
			proxy.Idle = func() {
				if err := pgtest.Disturb(context.Background(), other); !over.Load() {
					assert.NoError(t, err)
				}
			}
			err := behindBouncer(t, config)
			over.Store(true)
			proxy.Stop()
			switch {
			case name == "cache_statement" && !bouncer.Prepares:
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				require.ErrorContains(t, err, "(SQLSTATE 42P05)", "prepared statement already exists")
			case name == "describe_exec":
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				require.ErrorContains(t, err, "(SQLSTATE 08P01)", "bind message supplies other parameters")
			default:
				require.NoError(t, err)
			}
		})
	}
}

// behindBouncer makes, rotates and shreds the keys of a scope through one store, opens
// what was encrypted through another, which polls, and keeps a token. It returns
// the first error.
func behindBouncer(t *testing.T, config *pgx.ConnConfig) error {
	ctx := t.Context()
	kms := keyringtest.NewKMS()
	var krs [2]*keyring.Keyring
	var fields [2]*crypto.Field
	for i := range krs {
		store := open(t, config, Config{})
		quick(store)
		if err := store.Migrate(ctx); err != nil {
			return err
		}
		var err error
		krs[i], err = keyring.OpenOrCreate(ctx, keyring.Config{Name: "app", Scoped: true, Store: store, KMS: []keyring.KMS{kms},
			PropagationDelay: 3 * time.Second, RefreshEvery: time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		t.Cleanup(func() { krs[i].Close() })
		if fields[i], err = crypto.NewField(krs[i], "customers.email", crypto.FieldConfig{}); err != nil {
			return err
		}
	}
	at := crypto.Binding{Scope: "acme"}
	for range 2 {
		sealed, err := fields[0].Encrypt(ctx, []byte("a@example.com"), at)
		if err != nil {
			return err
		}
		if _, err := fields[1].Decrypt(ctx, sealed, at); err != nil {
			return err
		}
		if _, err := krs[0].Rotate(ctx, keyring.Target{Scope: at.Scope, Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true}); err != nil {
			return err
		}
	}
	require.False(t, krs[0].Health().Watching, "LISTEN does not work")
	if _, err := krs[0].Shred(ctx, at.Scope, keyring.ShredOptions{By: "ann"}); err != nil {
		return err
	}
	require.Eventually(t, func() bool { // by polling
		_, err := fields[1].Encrypt(ctx, nil, at)
		return err != nil
	}, 20*time.Second, 10*time.Millisecond)
	for i := range krs {
		require.False(t, krs[i].Health().Watching)
	}

	vault := openVault(t, config, VaultConfig{})
	if err := vault.Migrate(ctx); err != nil {
		return err
	}
	v, err := token.NewVault(krs[0], "pans", token.VaultConfig{Store: vault, Prefix: "pan"})
	if err != nil {
		return err
	}
	tok, err := v.Tokenize(ctx, []byte("4111111111111111"), "zeta")
	if err != nil {
		return err
	}
	_, err = v.Detokenize(ctx, tok, "zeta")
	return err
}

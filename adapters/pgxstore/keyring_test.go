package pgxstore

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/keyring/localkms"
)

// An application with a pool of one connection, which is busy while cold keys
// are made and loaded: nothing waits for it.
func TestPoolOfOneDoesNotDeadlock(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	store := migrated(t, config, Config{})
	kms := keyringtest.NewKMS()
	openField := func(t *testing.T) *crypto.Field {
		kr, err := keyring.OpenOrCreate(t.Context(), keyring.Config{Name: "app", Scoped: true, Store: store, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(func() { kr.Close() })
		f, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		return f
	}
	warm := openField(t)

	poolConfig, err := pgxpool.ParseConfig(config.ConnString())
	require.NoError(t, err)
	poolConfig.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig)
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), `create table customers (email bytea)`)
	require.NoError(t, err)

	n := 0
	for _, coldKeyring := range []bool{false, true} {
		for _, write := range []bool{false, true} {
			for _, openRows := range []bool{false, true} {
				t.Run(fmt.Sprintf("cold keyring %v, write %v, open rows %v", coldKeyring, write, openRows), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					n++
					at := crypto.Binding{Scope: fmt.Sprint("tenant ", n)}
					var sealed []byte
					if !write {
						// By another process, so to speak: warm has the key, the others do not.
						sealed, err = warm.Encrypt(ctx, []byte("a@example.com"), at)
						require.NoError(t, err)
					}
					tx, err := pool.Begin(ctx)
					require.NoError(t, err)
					defer tx.Rollback(ctx)
					_, err = tx.Exec(ctx, `insert into customers values ($1)`, sealed)
					require.NoError(t, err)
					use := func() {
						f := warm
						if coldKeyring || !write {
							f = openField(t)
						}
						if write {
							_, err = f.Encrypt(ctx, []byte("a@example.com"), at)
							require.NoError(t, err)
						} else {
							plain, err := f.Decrypt(ctx, sealed, at)
							require.NoError(t, err)
							require.Equal(t, "a@example.com", string(plain))
						}
					}
					if !openRows {
						use()
						return
					}
					rows, err := tx.Query(ctx, `select from customers, generate_series(1, 1000)`)
					require.NoError(t, err)
					defer rows.Close()
					require.True(t, rows.Next())
					use()
					require.True(t, rows.Next())
				})
			}
		}
	}
	require.Equal(t, 8, n)
}

// TestManyProcessesRotate has 20 OS processes rotate at once, from one version,
// round after round: each round makes one key, whose id all of them get, and at
// any moment one key is active.
func TestManyProcessesRotate(t *testing.T) {
	const processes, rounds = 20, 50
	config := parse(t, pgtest.Database(t))
	store := migrated(t, config, Config{})
	keyFile := filepath.Join(t.TempDir(), "key")
	kms, err := localkms.Create(keyFile)
	require.NoError(t, err)
	kr, err := keyring.Create(t.Context(), keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer kr.Close()
	target := keyring.Target{Purpose: keyring.Encryption}
	first, err := kr.Rotate(t.Context(), target, keyring.RotateOptions{})
	require.NoError(t, err)

	children := make([]*rotator, processes)
	for i := range children {
		children[i] = startRotator(t, config, keyFile)
	}
	looks := watchActive(t, kr, target)
	ids := []keyring.KeyID{first}
	for round := range rounds {
		for _, c := range children {
			require.Equal(t, "ready", c.line(t)) // it has loaded the newest version
		}
		at := time.Now().Add(10 * time.Millisecond).UnixMicro()
		for _, c := range children {
			c.tell(t, at)
		}
		id := children[0].line(t)
		for _, c := range children[1:] {
			require.Equal(t, id, c.line(t), "all get the id of the one new key")
		}
		keys, err := kr.Keys(t.Context(), target)
		require.NoError(t, err)
		require.Len(t, keys, 2+round)
		require.Equal(t, id, keys[1+round].ID.String())
		ids = append(ids, keys[1+round].ID)
	}
	keys, err := kr.Keys(t.Context(), target)
	require.NoError(t, err)
	for i, k := range keys {
		require.Equal(t, i+1, k.Version)
		require.Equal(t, ids[i], k.ID)
	}
	t.Logf("%d processes, %d rounds: %d new versions; one active key at each of %d looks", processes, rounds, len(keys)-1, looks())
}

// watchActive looks at the keys again and again until the returned func is
// called, which returns how often it looked.
func watchActive(t *testing.T, kr *keyring.Keyring, target keyring.Target) func() int {
	stop, looks := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { looks <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			keys, err := kr.Keys(context.Background(), target)
			active := slices.DeleteFunc(keys, func(k keyring.KeyInfo) bool { return k.State != keyring.Active })
			if err != nil || len(active) != 1 {
				t.Errorf("%d active keys: %v", len(active), err)
				return
			}
		}
	}()
	return func() int { close(stop); return <-looks }
}

// rotator is a process that opens the keyring and then, again and again, says
// "ready", waits for a moment, rotates, and prints the new id.
type rotator struct {
	tell func(t *testing.T, at int64)
	line func(t *testing.T) string
}

func startRotator(t *testing.T, config *pgx.ConnConfig, keyFile string) *rotator {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGXSTORE_ROTATE="+config.ConnString(), "PGXSTORE_KEY="+keyFile)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewReader(out)
	return &rotator{
		tell: func(t *testing.T, at int64) {
			_, err := fmt.Fprintln(in, at)
			require.NoError(t, err)
		},
		line: func(t *testing.T) string {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			return strings.TrimSpace(line)
		},
	}
}

func rotateAtMoment(dsn string) error {
	ctx := context.Background()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	store, err := New(ctx, config, Config{})
	if err != nil {
		return err
	}
	defer store.Close()
	kms, err := localkms.Open(os.Getenv("PGXSTORE_KEY"))
	if err != nil {
		return err
	}
	// No notice: a process that is late must not learn of the new key before it
	// rotates, or it would rightly add another one.
	unwatched := struct{ keyring.Store }{store}
	kr, err := keyring.Open(ctx, keyring.Config{
		Name: "app", Store: unwatched, KMS: []keyring.KMS{kms}, RefreshEvery: 5 * time.Minute, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer kr.Close()
	target := keyring.Target{Purpose: keyring.Encryption}
	for {
		if _, err := kr.Keys(ctx, target); err != nil {
			return err
		}
		fmt.Println("ready")
		var at int64
		if _, err := fmt.Scan(&at); err != nil {
			return err
		}
		time.Sleep(time.Until(time.UnixMicro(at)))
		id, err := kr.Rotate(ctx, target, keyring.RotateOptions{Immediate: true})
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
}

// A rotation reaches another process's keyring by NOTIFY long before it polls.
func TestRotationIsPushed(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	store, other := migrated(t, config, Config{}), &countingStore{Store: open(t, config, Config{})}
	cfg := keyring.Config{
		Name: "app", Store: store, KMS: []keyring.KMS{keyringtest.NewKMS()},
		PropagationDelay: 24 * time.Hour, EncryptGrace: 24 * time.Hour, RefreshEvery: 12 * time.Hour,
	}
	one, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	defer one.Close()
	cfg.Store = other
	two, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer two.Close()
	loadsMoreThan := func(n int64) {
		require.Eventually(t, func() bool { return other.loads.Load() > n }, 20*time.Second, 5*time.Millisecond)
	}
	loadsMoreThan(1) // Open, and the first call of Watch
	for range 3 {
		before := other.loads.Load()
		_, err := one.Rotate(t.Context(), keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{})
		require.NoError(t, err)
		loadsMoreThan(before)
	}
}

type countingStore struct {
	*Store
	loads atomic.Int64
}

func (s *countingStore) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	s.loads.Add(1)
	return s.Store.Load(ctx, name, targets)
}

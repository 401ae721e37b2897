package pgxstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

const scopedChild = "PGXSTORE_SCOPES"

// openScoped opens the scoped keyring of these tests, in whatever process.
func openScoped(ctx context.Context, config *pgx.ConnConfig, keyFile string) (*keyring.Keyring, func(), error) {
	store, err := New(ctx, config, Config{})
	if err != nil {
		return nil, nil, err
	}
	kms, err := localkms.Open(keyFile)
	if err != nil {
		return nil, nil, err
	}
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}, Scoped: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return kr, func() { kr.Close(); store.Close() }, nil
}

// makeScopes is a process that encrypts in eight goroutines at once for each
// scope that it is told, and prints the ids of the keys that they used.
func makeScopes(dsn string) error {
	ctx := context.Background()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	kr, done, err := openScoped(ctx, config, os.Getenv("PGXSTORE_KEY"))
	if err != nil {
		return err
	}
	defer done()
	field, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		scope, moment, _ := strings.Cut(in.Text(), " ")
		at, err := time.Parse(time.RFC3339Nano, moment)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		var ids [8]keyring.KeyID
		var errs [8]error
		for i := range ids {
			wg.Go(func() {
				time.Sleep(time.Until(at))
				ct, err := field.Encrypt(ctx, []byte("x"), crypto.Binding{Scope: scope})
				if err == nil {
					ids[i], err = crypto.KeyID(ct)
				}
				errs[i] = err
			})
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
		fmt.Println(ids)
	}
	return nil
}

// TestManyProcessesMakeOneScope has 8 OS processes with 8 goroutines each make the
// same new scope at once.
func TestManyProcessesMakeOneScope(t *testing.T) {
	const processes, scopes = 8, 20
	config := parse(t, pgtest.Database(t))
	migrated(t, config, Config{})
	keyFile := filepath.Join(t.TempDir(), "key")
	_, err := localkms.Create(keyFile)
	require.NoError(t, err)
	kr, done, err := openScoped(t.Context(), config, keyFile)
	require.NoError(t, err)
	defer done()

	var in [processes]interface{ Write([]byte) (int, error) }
	var out [processes]*bufio.Reader
	line := func(i int) string {
		s, err := out[i].ReadString('\n')
		require.NoError(t, err)
		return strings.TrimSpace(s)
	}
	for i := range processes {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), scopedChild+"="+config.ConnString(), "PGXSTORE_KEY="+keyFile)
		cmd.Stderr = os.Stderr
		in[i], err = cmd.StdinPipe()
		require.NoError(t, err)
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		out[i] = bufio.NewReader(pipe)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	for i := range processes {
		require.Equal(t, "ready", line(i))
	}
	for n := range scopes {
		scope := fmt.Sprint("scope-", n)
		at := time.Now().Add(10 * time.Millisecond).Format(time.RFC3339Nano)
		for i := range processes {
			_, err := fmt.Fprintln(in[i], scope, at)
			require.NoError(t, err)
		}
		infos := func() []keyring.KeyInfo {
			infos, err := kr.Keys(t.Context(), keyring.Target{Scope: scope, Purpose: keyring.Encryption})
			require.NoError(t, err)
			return infos
		}
		var ids []string
		for i := range processes {
			ids = append(ids, strings.Fields(strings.Trim(line(i), "[]"))...)
		}
		require.Len(t, ids, 8*processes)
		keys := infos()
		require.Len(t, keys, 1, "one key")
		for _, id := range ids {
			require.Equal(t, keys[0].ID.String(), id)
		}
	}
}

// TestRootRotationUnderLoad rotates the root while scopes are made and shredded,
// over connections of their own: the locks hold what the statements promise.
func TestRootRotationUnderLoad(t *testing.T) {
	const rounds = 8
	config := parse(t, pgtest.Database(t))
	migrated(t, config, Config{})
	keyFile := filepath.Join(t.TempDir(), "key")
	_, err := localkms.Create(keyFile)
	require.NoError(t, err)
	var krs [6]*keyring.Keyring
	for i := range krs {
		var done func()
		krs[i], done, err = openScoped(t.Context(), config, keyFile)
		require.NoError(t, err)
		defer done()
	}
	seal := func(kr *keyring.Keyring, scope string) ([]byte, error) {
		f, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
		if err != nil {
			return nil, err
		}
		return f.Encrypt(t.Context(), []byte(scope), crypto.Binding{Scope: scope})
	}
	var errs [6]error
	var cts [6]map[string][]byte
	stop := make(chan struct{})
	var makers, rotators sync.WaitGroup
	for i := range 4 {
		cts[i] = make(map[string][]byte)
		makers.Go(func() {
			for n := 0; errs[i] == nil; n++ {
				select {
				case <-stop:
					return
				default:
				}
				scope := fmt.Sprint(i, "-", n)
				cts[i][scope], errs[i] = seal(krs[i], scope)
				if n%5 == 4 && errs[i] == nil {
					delete(cts[i], scope)
					_, errs[i] = krs[i].Shred(t.Context(), scope, keyring.ShredOptions{By: "test"})
				}
			}
		})
	}
	var last keyring.RootRotation
	for i := 4; i < 6; i++ {
		rotators.Go(func() {
			for n := 0; n < rounds && errs[i] == nil; n++ {
				var done keyring.RootRotation
				done, errs[i] = krs[i].RotateRoot(t.Context(), keyring.Encryption)
				for _, id := range done.Empty {
					if err := krs[i].DestroyRoot(t.Context(), id); err != nil {
						errs[i] = errors.Join(errs[i], err)
					}
				}
			}
		})
	}
	rotators.Wait()
	close(stop)
	makers.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	last, err = krs[0].RotateRoot(t.Context(), keyring.Encryption)
	require.NoError(t, err)

	conn := connect(t, config)
	var elsewhere, keys, roots, open int
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) filter (where root_id <> $1), count(*) from sealfield.keys where purpose = 'encryption'`, int64(last.Root)).Scan(&elsewhere, &keys))
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*), count(*) filter (where state = 'open') from sealfield.roots where purpose = 'encryption'`).Scan(&roots, &open))
	require.Zero(t, elsewhere, "keys under an older root")
	require.Equal(t, 1, open)
	require.Equal(t, last.Version, roots)
	fresh, done, err := openScoped(t.Context(), config, keyFile)
	require.NoError(t, err)
	defer done()
	f, err := crypto.NewField(fresh, "f", crypto.FieldConfig{})
	require.NoError(t, err)
	n := 0
	for _, scopes := range cts[:4] {
		for scope, ct := range scopes {
			plain, err := f.Decrypt(t.Context(), ct, crypto.Binding{Scope: scope})
			require.NoError(t, err)
			require.Equal(t, scope, string(plain))
			n++
		}
	}
	require.Positive(t, n)
	t.Logf("%d roots, %d keys, %d values opened", roots, keys, n)
}

// firstFree returns the id before n ones in a row that are none of the given ones.
func firstFree(n int64, used ...keyring.KeyID) int64 {
	first := int64(1) << 31
	for slices.ContainsFunc(used, func(id keyring.KeyID) bool { return int64(id) > first && int64(id) <= first+n }) {
		first += n
	}
	return first
}

// TestSweepStatements looks at the plans of the statements that RotateRoot and
// DestroyRoot run over many keys: none may read the table from end to end.
func TestSweepStatements(t *testing.T) {
	ctx := t.Context()
	s, root, conn := newStore(t)
	next := aRoot(root.Purpose)
	next.Version = 2
	require.NoError(t, s.InsertRoot(ctx, next))
	execSQL(t, conn, `insert into sealfield.scopes (keyring, scope) select 'app', n::text from generate_series(1, 50000) n`)
	execSQL(t, conn, `
insert into sealfield.keys (keyring, scope, purpose, version, key_id, algorithm, state, created_at, activate_at, root_id, wrapped, revision)
select 'app', n::text, 'encryption', 1, $2::bigint + n, '', 'enabled', now(), now(), $1, '\x01', 1 from generate_series(1, 50000) n`, int64(root.ID), firstFree(50000, root.ID, next.ID))
	execSQL(t, conn, `analyze sealfield.keys`)
	explain := func(sql string, args ...any) string {
		rows, err := conn.Query(ctx, `explain `+sql, args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	for what, plan := range map[string]string{
		"LoadUnder, all of one root": explain(s.queries.loadUnder, "app", "encryption", int64(root.ID), int64(2147483648+25000), 1000),
		"LoadUnder, none of one":     explain(s.queries.loadUnder, "app", "encryption", int64(next.ID), 0, 1000),
		"UpdateRoot":                 explain(s.queries.updateRoot, pgx.StrictNamedArgs{"wraps": "[]", "state": "destroyed", "keyring": "app", "id": int64(next.ID), "revision": int64(1)}),
	} {
		require.NotContains(t, plan, "Seq Scan on keys", what)
		require.Regexp(t, `Index (Only )?Scan using keys_keyring_\w+ on keys`, plan, what)
	}
}

// TestMovesWaitForOthers has another transaction open when keys are moved to the
// newest root, or a root is added, and commit while that waits: the cases in which a
// check by the statement's snapshot would be wrong.
func TestMovesWaitForOthers(t *testing.T) {
	const closeSecond = `update sealfield.roots set state = 'closed', revision = revision + 1 where version = 2;
insert into sealfield.roots select keyring, purpose, 3, 4294967295, 'open', now(), scoped, 0, 0, 0, wraps, check_value, 1 from sealfield.roots where version = 2`
	move := func(s *Store, k keyring.Key, second keyring.Root) error {
		k.Root = second.ID
		return s.UpdateKeys(context.Background(), []keyring.Key{k})
	}
	addRoot := func(s *Store, _ keyring.Key, second keyring.Root) error {
		third := aRoot(second.Purpose)
		third.Version = 3
		return s.InsertRoot(context.Background(), third)
	}
	for name, c := range map[string]struct {
		other  string
		commit bool
		call   func(s *Store, k keyring.Key, second keyring.Root) error
		want   error
	}{
		"move, newest root closed":              {closeSecond, true, move, keyring.ErrConflict},
		"move, newest root closed, rolled back": {closeSecond, false, move, nil},
		"move, key changed":                     {`update sealfield.keys set revision = revision + 1`, true, move, keyring.ErrConflict},
		"move, key changed, rolled back":        {`update sealfield.keys set revision = revision + 1`, false, move, nil},
		"add root, another did":                 {closeSecond, true, addRoot, keyring.ErrConflict},
		"add root, another rolled back":         {closeSecond, false, addRoot, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, first, conn := newStore(t)
			look := connect(t, conn.Config())
			key := aKey(first, "a", 1)
			require.NoError(t, s.InsertKey(t.Context(), key))
			second := aRoot(first.Purpose)
			second.Version = 2
			require.NoError(t, s.InsertRoot(t.Context(), second))
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			for statement := range strings.SplitSeq(c.other, ";") {
				_, err = tx.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			err = waiting(t, look, func() error { return c.call(s, key, second) }, func() {
				if c.commit {
					require.NoError(t, tx.Commit(t.Context()))
				} else {
					require.NoError(t, tx.Rollback(t.Context()))
				}
			})
			require.ErrorIs(t, err, c.want)
			var open int
			require.NoError(t, look.QueryRow(t.Context(), `select count(*) from sealfield.roots where purpose = 'encryption' and state = 'open'`).Scan(&open))
			require.Equal(t, 1, open)
		})
	}
}

// TestClosingWaitsForMoves has a key on its way to the newest root: that can not be
// closed, nor a newer one added, before the key is there.
func TestClosingWaitsForMoves(t *testing.T) {
	s, first, conn := newStore(t)
	look := connect(t, conn.Config())
	key := aKey(first, "a", 1)
	require.NoError(t, s.InsertKey(t.Context(), key))
	second := aRoot(first.Purpose)
	second.Version = 2
	require.NoError(t, s.InsertRoot(t.Context(), second))
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	key.Root = second.ID
	args := keyArgs(key)
	args["revision"] = key.Revision
	tag, err := tx.Exec(t.Context(), s.queries.updateKey, args)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	third := aRoot(first.Purpose)
	third.Version = 3
	require.NoError(t, waiting(t, look, func() error { return s.InsertRoot(t.Context(), third) }, func() {
		require.NoError(t, tx.Commit(t.Context()))
	}))
	keys, err := s.LoadUnder(t.Context(), second, 0, 10)
	require.NoError(t, err)
	require.Len(t, keys, 1, "InsertRoot returned when the key was there")
	second.State, second.Revision = keyring.RootDestroyed, 2
	require.ErrorIs(t, s.UpdateRoot(t.Context(), second), keyring.ErrConflict)
}

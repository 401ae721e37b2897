package pgxstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var execModes = map[string]pgx.QueryExecMode{
	"cache_statement": pgx.QueryExecModeCacheStatement,
	"cache_describe":  pgx.QueryExecModeCacheDescribe,
	"describe_exec":   pgx.QueryExecModeDescribeExec,
	"exec":            pgx.QueryExecModeExec,
	"simple_protocol": pgx.QueryExecModeSimpleProtocol,
}

func TestConformance(t *testing.T) {
	for name, mode := range execModes {
		t.Run(name, func(t *testing.T) {
			keyringtest.TestStore(t, func(t testing.TB) keyring.Store {
				config := parse(t, pgtest.Database(t))
				config.DefaultQueryExecMode = mode
				return migrated(t, config, Config{})
			})
		})
	}
}

// TestConformanceUnderOddSettings runs the suite in a schema with an awkward
// name, over sessions whose settings must not matter.
func TestConformanceUnderOddSettings(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			keyringtest.TestStore(t, func(t testing.TB) keyring.Store {
				config := parse(t, pgtest.Database(t))
				config.DefaultQueryExecMode = mode
				config.RuntimeParams["TimeZone"] = "Asia/Kathmandu"
				config.RuntimeParams["search_path"] = "hostile"
				config.RuntimeParams["IntervalStyle"] = "sql_standard"
				hostile(t, config)
				return migrated(t, config, Config{Schema: `Öd "keys"; drop schema public; --$$`})
			})
		})
	}
}

// hostile makes tables and functions that a query without a schema would meet.
func hostile(t testing.TB, config *pgx.ConnConfig) {
	conn := connect(t, config)
	_, err := conn.Exec(t.Context(), `
create schema hostile;
create table hostile.roots (x int); create table hostile.keys (x int); create table hostile.scopes (x int); create table hostile.key_ids (x int);
create table hostile.vault_tokens (x int); create table hostile.vault_tags (x int);
create function hostile.statement_timestamp() returns timestamptz language sql as $$ select timestamptz '2000-01-01' $$;
create function hostile.unnest(bytea[]) returns setof bytea language plpgsql as $$ begin raise 'hostile'; end $$;
create function hostile.clock_timestamp() returns timestamptz language sql as $$ select timestamptz '2000-01-01' $$;
create function hostile.pg_notify(text, text) returns void language plpgsql as $$ begin raise 'hostile'; end $$;
create function hostile.unnest(text[]) returns setof text language plpgsql as $$ begin raise 'hostile'; end $$;`)
	require.NoError(t, err)
}

func parse(t testing.TB, dsn string) *pgx.ConnConfig {
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	return config
}

func open(t testing.TB, config *pgx.ConnConfig, cfg Config) *Store {
	s, err := New(t.Context(), config, cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func migrated(t testing.TB, config *pgx.ConnConfig, cfg Config) *Store {
	s := open(t, config, cfg)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func connect(t testing.TB, config *pgx.ConnConfig) *pgx.Conn {
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func execSQL(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func randomID() keyring.KeyID {
	b := make([]byte, 3)
	rand.Read(b)
	return 0x80000000 | keyring.KeyID(b[0])<<16 | keyring.KeyID(b[1])<<8 | keyring.KeyID(b[2])
}

func aRoot(p keyring.Purpose) keyring.Root {
	return keyring.Root{
		Keyring: "app", Purpose: p, Version: 1, ID: randomID(), State: keyring.RootOpen, CreatedAt: time.Now(),
		Wraps: []keyring.Wrap{{URI: "test:kms", Wrapped: []byte("wrapped")}}, Check: bytes.Repeat([]byte{7}, 32),
	}
}

func aKey(root keyring.Root, scope string, version int) keyring.Key {
	now := time.Now()
	return keyring.Key{
		Keyring: root.Keyring, Scope: scope, Purpose: root.Purpose, Version: version, ID: randomID(), Algorithm: keyring.XAES256GCM,
		State: keyring.KeyEnabled, CreatedAt: now, ActivateAt: now, Root: root.ID, Wrapped: []byte("wrapped"), Revision: 1,
	}
}

// newStore returns a Store with the keyring app, its root for encryption, and
// a connection as superuser.
func newStore(t *testing.T) (*Store, keyring.Root, *pgx.Conn) {
	config := parse(t, pgtest.Database(t))
	s := migrated(t, config, Config{})
	root := aRoot(keyring.Encryption)
	require.NoError(t, s.Create(t.Context(), []keyring.Root{root, aRoot(keyring.Index)}))
	return s, root, connect(t, config)
}

// waiting returns the result of f once f waits for a lock of another session,
// which then calls release.
func waiting(t *testing.T, look *pgx.Conn, f func() error, release func()) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f() }()
	require.Eventually(t, func() bool {
		var n int
		err := look.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock' and application_name = 'sealfield'`).Scan(&n)
		return err == nil && n == 1
	}, 20*time.Second, 5*time.Millisecond, "the call does not wait for the other transaction")
	release()
	select {
	case err := <-result:
		return err
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the call does not go on")
		return nil
	}
}

// The cases in which a check by the statement's snapshot would be wrong: the
// other transaction is open when InsertKey begins, and commits while it waits.
func TestInsertKeyWaitsForOthers(t *testing.T) {
	for name, c := range map[string]struct {
		other  string
		commit bool
		want   error
	}{
		"scope erased":                {`insert into sealfield.scopes values ('app', 'a', now())`, true, keyring.ErrErased},
		"scope erased, rolled back":   {`insert into sealfield.scopes values ('app', 'a', now())`, false, nil},
		"used scope erased":           {`update sealfield.scopes set erased_at = now() where scope = 'used'`, true, keyring.ErrErased},
		"used scope, rolled back":     {`update sealfield.scopes set erased_at = now() where scope = 'used'`, false, nil},
		"root closed":                 {`update sealfield.roots set state = 'closed' where purpose = 'encryption'`, true, keyring.ErrConflict},
		"root closed, rolled back":    {`update sealfield.roots set state = 'closed' where purpose = 'encryption'`, false, nil},
		"id taken by a root":          {`insert into sealfield.key_ids values ('app', @id)`, true, keyring.ErrConflict},
		"id taken, rolled back":       {`insert into sealfield.key_ids values ('app', @id)`, false, nil},
		"root closed, newer one made": {closeAndReplace, true, keyring.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			s, root, conn := newStore(t)
			look := connect(t, conn.Config())
			require.NoError(t, s.InsertKey(t.Context(), aKey(root, "used", 1)))
			key := aKey(root, "a", 1)
			if strings.Contains(name, "used scope") {
				key = aKey(root, "used", 2)
			}
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			args := pgx.NamedArgs{"id": int64(key.ID)}
			for statement := range strings.SplitSeq(c.other, ";") {
				_, err = tx.Exec(t.Context(), statement, args)
				require.NoError(t, err)
			}
			err = waiting(t, look, func() error { return s.InsertKey(t.Context(), key) }, func() {
				if c.commit {
					require.NoError(t, tx.Commit(t.Context()))
				} else {
					require.NoError(t, tx.Rollback(t.Context()))
				}
			})
			require.ErrorIs(t, err, c.want)
			l, err := s.Load(t.Context(), "app", []keyring.Target{{Scope: key.Scope, Purpose: key.Purpose}})
			require.NoError(t, err)
			found := false
			for _, k := range l.Keys {
				found = found || k.ID == key.ID
			}
			require.Equal(t, c.want == nil, found)
		})
	}
}

const closeAndReplace = `update sealfield.roots set state = 'closed' where purpose = 'encryption';
insert into sealfield.roots select keyring, purpose, 2, 4294967295, 'open', now(), scoped, 0, 0, 0, wraps, check_value, 1 from sealfield.roots where purpose = 'encryption'`

// Two that create one keyring with different purposes: no constraint of the
// tables would stop the second.
func TestCreateWaitsForCreate(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	s := migrated(t, config, Config{})
	conn := connect(t, config)
	look := connect(t, config)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), lockSQL, "sealfield create sealfield app")
	require.NoError(t, err)
	args, err := newRootArgs(aRoot(keyring.Index))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.queries.insertRoot, args)
	require.NoError(t, err)
	err = waiting(t, look, func() error { return s.Create(t.Context(), []keyring.Root{aRoot(keyring.Encryption)}) }, func() {
		require.NoError(t, tx.Commit(t.Context()))
	})
	require.ErrorIs(t, err, keyring.ErrExists)
}

func TestEraseScopeWaitsForInsertKey(t *testing.T) {
	s, root, conn := newStore(t)
	look := connect(t, conn.Config())
	key := aKey(root, "a", 1)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.queries.insertKey, keyArgs(key))
	require.NoError(t, err)
	require.NoError(t, waiting(t, look, func() error { return s.EraseScope(t.Context(), "app", "a") }, func() {
		require.NoError(t, tx.Commit(t.Context()))
	}))
	l, err := s.Load(t.Context(), "app", []keyring.Target{{Scope: "a", Purpose: keyring.Encryption}})
	require.NoError(t, err)
	require.Len(t, l.Keys, 1)
	require.True(t, l.Erased["a"])
}

// While a key is being inserted its root can not be closed.
func TestClosingWaitsForInsertKey(t *testing.T) {
	s, root, conn := newStore(t)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.queries.insertKey, keyArgs(aKey(root, "a", 1)))
	require.NoError(t, err)
	other := connect(t, conn.Config())
	_, err = other.Exec(t.Context(), `set lock_timeout = '100ms'; update sealfield.roots set state = 'closed'`)
	require.ErrorContains(t, err, "55P03")
	require.NoError(t, tx.Commit(t.Context()))
	_, err = other.Exec(t.Context(), `update sealfield.roots set state = 'closed'`)
	require.NoError(t, err)
}

func TestRootsThatAreClosedOrOldTakeNoKeys(t *testing.T) {
	s, root, conn := newStore(t)
	require.NoError(t, s.InsertKey(t.Context(), aKey(root, "a", 1)))
	execSQL(t, conn, strings.ReplaceAll(closeAndReplace, "set state = 'closed'", "set state = 'open'"))
	require.ErrorIs(t, s.InsertKey(t.Context(), aKey(root, "a", 2)), keyring.ErrConflict, "a newer root")
	root.ID = 0xffffffff
	require.NoError(t, s.InsertKey(t.Context(), aKey(root, "a", 2)))
	execSQL(t, conn, `update sealfield.roots set state = 'closed'`)
	require.ErrorIs(t, s.InsertKey(t.Context(), aKey(root, "a", 3)), keyring.ErrConflict, "closed")
	require.ErrorIs(t, s.EraseScope(t.Context(), "app", "a"), nil)
	require.ErrorIs(t, s.InsertKey(t.Context(), aKey(root, "a", 3)), keyring.ErrErased, "erased comes first")
}

// A refused key leaves nothing behind, not even its scope.
func TestRefusedKeyLeavesNothing(t *testing.T) {
	s, root, conn := newStore(t)
	count := func() (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), `select (select count(*) from sealfield.keys) + (select count(*) from sealfield.scopes) + (select count(*) from sealfield.key_ids)`).Scan(&n))
		return n
	}
	before := count()
	for _, change := range []func(*keyring.Key){
		func(k *keyring.Key) { k.Version = 2 },
		func(k *keyring.Key) { k.Root++ },
		func(k *keyring.Key) { k.ID = k.Root },
		func(k *keyring.Key) { k.State = "odd" },
		func(k *keyring.Key) { k.ID = 5 },
		func(k *keyring.Key) { k.CreatedAt = time.Time{} },
	} {
		k := aKey(root, "a", 1)
		change(&k)
		require.ErrorIs(t, s.InsertKey(t.Context(), k), keyring.ErrConflict)
	}
	require.Equal(t, before, count())
}

// What the tables refuse, whoever writes to them.
func TestConstraints(t *testing.T) {
	s, root, conn := newStore(t)
	require.NoError(t, s.InsertKey(t.Context(), aKey(root, "a", 1)))
	copyKey := func(id string, more string) string {
		return `insert into sealfield.keys select keyring, scope, purpose, 9, ` + id + `, algorithm, state, created_at, activate_at, root_id, wrapped, revision from sealfield.keys` + more
	}
	for sql, code := range map[string]string{
		`delete from sealfield.roots where purpose = 'encryption'`:                                         "23503",
		`update sealfield.keys set root_id = (select key_id from sealfield.roots where purpose = 'index')`: "23503",
		copyKey("key_id", ""):                        "23505",
		copyKey("root_id", ""):                       "23505",
		copyKey("5", ""):                             "23514",
		`update sealfield.keys set key_id = root_id`: "23505",
		`update sealfield.roots set key_id = (select key_id from sealfield.keys) where purpose = 'index'`: "23505",
		`update sealfield.keys set state = 'odd'`:                                                         "23514",
		`update sealfield.keys set version = 0`:                                                           "23514",
		`update sealfield.roots set check_value = '\x00'`:                                                 "23514",
		`update sealfield.roots set purpose = 'x'`:                                                        "23514",
	} {
		_, err := conn.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, code, pgErr.Code, sql)
	}
	execSQL(t, conn, `delete from sealfield.keys`)
	var id int64
	require.NoError(t, conn.QueryRow(t.Context(), `select key_id from sealfield.key_ids except select key_id from sealfield.roots`).Scan(&id))
	k := aKey(root, "a", 1)
	k.ID = keyring.KeyID(id)
	require.ErrorIs(t, s.InsertKey(t.Context(), k), keyring.ErrConflict, "the id of a deleted row stays reserved")
}

func TestMigrate(t *testing.T) {
	ctx := t.Context()
	config := parse(t, pgtest.Database(t))
	s := open(t, config, Config{})
	_, err := s.Load(ctx, "app", nil)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, keyring.ErrNotFound)
	require.ErrorContains(t, err, "run Store.Migrate")
	for _, err := range []error{
		s.Create(ctx, []keyring.Root{aRoot(keyring.Index)}), s.InsertKey(ctx, aKey(aRoot(keyring.Index), "a", 1)),
		s.UpdateKeys(ctx, []keyring.Key{aKey(aRoot(keyring.Index), "a", 1)}), s.EraseScope(ctx, "app", "a"),
	} {
		require.ErrorContains(t, err, "run Store.Migrate")
	}

	errs := make(chan error)
	for range 8 {
		other := open(t, config, Config{})
		go func() { errs <- other.Migrate(ctx) }()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	require.NoError(t, s.Create(ctx, []keyring.Root{aRoot(keyring.Index)}))
	require.NoError(t, s.Migrate(ctx))
	_, err = s.Load(ctx, "app", nil)
	require.NoError(t, err, "migrating again keeps the rows")

	second := migrated(t, config, Config{Schema: "second"})
	_, err = second.Load(ctx, "app", nil)
	require.ErrorIs(t, err, keyring.ErrNotFound, "schemas are apart")
	require.NoError(t, second.Create(ctx, []keyring.Root{aRoot(keyring.Index)}))
}

// TestLeastPrivilege grants what the package doc says, and tries what each
// role can do.
func TestLeastPrivilege(t *testing.T) {
	ctx := t.Context()
	s, root, conn := newStore(t)
	existing := aKey(root, "old", 1)
	require.NoError(t, s.InsertKey(ctx, existing))
	reader, writer := "r"+strings.ToLower(rand.Text()), "w"+strings.ToLower(rand.Text())
	grants := documentedGrants(t, "doc.go")
	execSQL(t, conn, `create role `+reader+` login; create role `+writer+` login;`)
	t.Cleanup(func() {
		conn.Exec(context.Background(), `drop owned by `+reader+`, `+writer+`; drop role `+reader+`, `+writer)
	})
	as := func(role string) *Store {
		config := conn.Config().Copy()
		config.User = role
		return open(t, config, Config{})
	}
	_, err := as(reader).Load(ctx, "app", nil)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.ErrorIs(t, as(reader).Migrate(ctx), keyring.ErrDenied)

	execSQL(t, conn, strings.ReplaceAll(strings.Join(grants, "\n"), "to app;", "to "+writer+";"))
	execSQL(t, conn, strings.ReplaceAll(strings.Join(grants[:2], "\n"), "to app;", "to "+reader+";"))

	w := as(writer)
	require.NoError(t, w.Migrate(ctx), "nothing to do")
	key := aKey(root, "a", 1)
	require.NoError(t, w.InsertKey(ctx, key))
	require.NoError(t, w.UpdateKeys(ctx, []keyring.Key{key}))
	require.NoError(t, w.EraseScope(ctx, "app", "a"))
	require.ErrorIs(t, w.InsertKey(ctx, aKey(root, "a", 2)), keyring.ErrErased)
	require.ErrorIs(t, w.Create(ctx, []keyring.Root{{Keyring: "new", Purpose: keyring.Index, Version: 1, ID: randomID(), State: keyring.RootOpen, Check: make([]byte, 32)}}), keyring.ErrDenied)

	r := as(reader)
	l, err := r.Load(ctx, "app", []keyring.Target{{Scope: "old", Purpose: keyring.Encryption}})
	require.NoError(t, err)
	require.Len(t, l.Keys, 1)
	require.ErrorIs(t, r.InsertKey(ctx, aKey(root, "b", 1)), keyring.ErrDenied)
	require.ErrorIs(t, r.UpdateKeys(ctx, []keyring.Key{existing}), keyring.ErrDenied)
	require.ErrorIs(t, r.EraseScope(ctx, "app", "b"), keyring.ErrDenied)

	watchCtx, cancel := context.WithCancel(ctx)
	called := make(chan struct{}, 10)
	go func() { r.Watch(watchCtx, "app", func() { called <- struct{}{} }) }()
	<-called
	cancel()
}

// documentedGrants returns the GRANTs of the doc comment in a file.
func documentedGrants(t *testing.T, file string) []string {
	doc, err := os.ReadFile(file)
	require.NoError(t, err)
	var grants []string
	for line := range strings.Lines(string(doc)) {
		if rest, ok := strings.CutPrefix(line, "//\tgrant "); ok {
			grant, _, _ := strings.Cut(rest, " --")
			grants = append(grants, strings.Join(strings.Fields("grant "+grant), " "))
		}
	}
	require.Len(t, grants, map[string]int{"doc.go": 5, "vault.go": 4}[file])
	return grants
}

func TestErrors(t *testing.T) {
	ctx := t.Context()
	s, root, conn := newStore(t)

	t.Run("nobody listens", func(t *testing.T) {
		config := conn.Config().Copy()
		config.Port, config.Fallbacks, config.Password = 1, nil, "secret-password"
		_, err := New(ctx, config, Config{})
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "secret-password")
	})
	t.Run("no such role", func(t *testing.T) {
		config := conn.Config().Copy()
		config.User, config.Password = "nobody-of-that-name", "secret-password"
		_, err := New(ctx, config, Config{})
		require.ErrorIs(t, err, keyring.ErrDenied)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "secret-password")
	})
	t.Run("read-only after a failover", func(t *testing.T) {
		config := conn.Config().Copy()
		config.RuntimeParams["default_transaction_read_only"] = "on"
		ro := open(t, config, Config{})
		require.ErrorIs(t, ro.InsertKey(ctx, aKey(root, "a", 1)), keyring.ErrUnavailable)
		_, err := ro.Load(ctx, "app", nil)
		require.NoError(t, err)
	})
	t.Run("statement timeout", func(t *testing.T) {
		config := conn.Config().Copy()
		config.RuntimeParams["lock_timeout"] = "50ms"
		impatient := open(t, config, Config{})
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		defer tx.Rollback(ctx)
		_, err = tx.Exec(ctx, `update sealfield.roots set state = 'closed'`)
		require.NoError(t, err)
		require.ErrorIs(t, impatient.InsertKey(ctx, aKey(root, "a", 1)), keyring.ErrUnavailable)
	})
	t.Run("cancelled while it waits", func(t *testing.T) {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		defer tx.Rollback(ctx)
		_, err = tx.Exec(ctx, `update sealfield.roots set state = 'closed'`)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		err = s.InsertKey(short, aKey(root, "a", 1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
	})
	t.Run("the server ends the session", func(t *testing.T) {
		_, err := s.Load(ctx, "app", nil)
		require.NoError(t, err)
		execSQL(t, conn, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
		require.Eventually(t, func() bool {
			_, err := s.Load(ctx, "app", nil)
			if err != nil {
				require.ErrorIs(t, err, keyring.ErrUnavailable)
			}
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
	})
	t.Run("no text", func(t *testing.T) {
		for _, scope := range []string{"\xff", "a\x00b"} {
			require.ErrorIs(t, s.InsertKey(ctx, aKey(root, scope, 1)), keyring.ErrDenied)
			require.ErrorIs(t, s.EraseScope(ctx, "app", scope), keyring.ErrDenied)
			_, err := s.Load(ctx, "app", []keyring.Target{{Scope: scope, Purpose: keyring.Index}})
			require.ErrorIs(t, err, keyring.ErrDenied)
		}
	})
	t.Run("values stay out of the text", func(t *testing.T) {
		k := aKey(root, "marker-scope", 1)
		k.State, k.Wrapped = "marker-state", []byte("marker-wrapped")
		err := s.InsertKey(ctx, k)
		require.ErrorIs(t, err, keyring.ErrConflict)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "marker")
	})
	t.Run("closed", func(t *testing.T) {
		s := open(t, conn.Config(), Config{})
		s.Close()
		s.Close()
		_, err := s.Load(ctx, "app", nil)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.Error(t, s.Watch(ctx, "app", func() {}))
	})
	t.Run("bad arguments", func(t *testing.T) {
		_, err := New(ctx, nil, Config{})
		require.Error(t, err)
		_, err = New(ctx, conn.Config(), Config{Schema: strings.Repeat("x", 64)})
		require.Error(t, err)
	})
}

// The Store owns few connections, whatever is asked of it, and leaves the
// caller's configuration alone.
func TestConnections(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { t.Error("the application's handler was called") }
	s := migrated(t, config, Config{})
	require.Empty(t, config.RuntimeParams["application_name"])
	require.NoError(t, s.Create(t.Context(), []keyring.Root{aRoot(keyring.Encryption)}))
	look := connect(t, parse(t, config.ConnString()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed := make(chan struct{}, 1000)
	for range 10 {
		go s.Watch(ctx, "app", func() { changed <- struct{}{} })
	}
	for range 10 {
		<-changed
	}
	errs := make(chan error)
	most := 0
	for range 20 {
		go func() {
			_, err := s.Load(ctx, "app", nil)
			errs <- err
		}()
	}
	for range 20 {
		require.NoError(t, <-errs)
		var n int
		require.NoError(t, look.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'sealfield'`).Scan(&n))
		most = max(most, n)
	}
	require.LessOrEqual(t, most, 3)
}

// Two OS processes, from one version and on a barrier: exactly one new version
// each time.
func TestTwoProcesses(t *testing.T) {
	const rounds = 10
	s, root, conn := newStore(t)
	type child struct {
		in  io.Writer
		out *bytes.Buffer
		cmd *exec.Cmd
	}
	var children []child
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "PGXSTORE_CHILD="+conn.Config().ConnString(), fmt.Sprint("PGXSTORE_ROOT=", uint32(root.ID)))
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out := &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		require.NoError(t, cmd.Start())
		children = append(children, child{in, out, cmd})
	}
	start := time.Now().Add(2 * time.Second)
	for _, c := range children { // the barrier is a moment: each waits for it on its own
		fmt.Fprintln(c.in, start.UnixMicro(), rounds)
	}
	inserted := 0
	for _, c := range children {
		require.NoError(t, c.cmd.Wait())
		n, err := strconv.Atoi(strings.TrimSpace(c.out.String()))
		require.NoError(t, err)
		inserted += n
	}
	l, err := s.Load(t.Context(), "app", []keyring.Target{{Scope: "a", Purpose: keyring.Encryption}})
	require.NoError(t, err)
	require.Len(t, l.Keys, rounds)
	require.Equal(t, rounds, inserted, "each version was made by one process")
	for i, k := range l.Keys {
		require.Equal(t, i+1, k.Version)
	}
}

// TestMain turns the re-executed binary into one of the processes of a test.
func TestMain(m *testing.M) {
	for name, child := range map[string]func(dsn string) error{"PGXSTORE_CHILD": insertInRounds, "PGXSTORE_ROTATE": rotateAtMoment, scopedChild: makeScopes, "PGXSTORE_VAULT": tokenizeUntilKilled} {
		if dsn := os.Getenv(name); dsn != "" {
			if err := child(dsn); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// insertInRounds tries to insert version after version at agreed moments, and
// prints how many of them it won.
func insertInRounds(dsn string) error {
	ctx := context.Background()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	s, err := New(ctx, config, Config{})
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := strconv.ParseUint(os.Getenv("PGXSTORE_ROOT"), 10, 32)
	if err != nil {
		return err
	}
	root := keyring.Root{Keyring: "app", Purpose: keyring.Encryption, ID: keyring.KeyID(id)}
	var start int64
	var rounds, won int
	if _, err := fmt.Scan(&start, &rounds); err != nil {
		return err
	}
	for v := 1; v <= rounds; v++ {
		time.Sleep(time.Until(time.UnixMicro(start).Add(time.Duration(v) * 100 * time.Millisecond)))
		switch err := s.InsertKey(ctx, aKey(root, "a", v)); {
		case err == nil:
			won++
		case !strings.Contains(err.Error(), keyring.ErrConflict.Error()):
			return err
		}
	}
	fmt.Println(won)
	return nil
}

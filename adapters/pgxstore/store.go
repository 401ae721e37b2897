package pgxstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealfield/sealfield/keyring"
)

// Config says where in the database the rows are. The zero value is right for
// most.
type Config struct {
	// Schema is the schema of the tables, which hold nothing else. Any name
	// of 1 to 63 bytes will do; it is quoted. Defaults to "sealfield".
	Schema string
}

// Store is a keyring.Store and keyring.Watcher. Its methods are safe for
// concurrent use.
type Store struct {
	schema   string
	pool     func() *pgxpool.Pool // behind a func, so that nothing prints its password
	queries  queries
	listener *listener
}

var (
	_ keyring.Store   = (*Store)(nil)
	_ keyring.Watcher = (*Store)(nil)
)

const (
	defaultSchema = "sealfield"
	maxConns      = 2 // beside the one that listens
)

// New returns a Store on the database that connConfig names, once it has
// answered. connConfig must come from pgx.ParseConfig (or a pool's Config) and
// is copied. The tables are not looked for: see Migrate. The caller must Close
// the Store, after the keyrings that use it.
//
// The error wraps keyring.ErrUnavailable or keyring.ErrDenied if the database
// can not be used.
func New(ctx context.Context, connConfig *pgx.ConnConfig, cfg Config) (*Store, error) {
	schema := cmp.Or(cfg.Schema, defaultSchema)
	pool, err := newPool(ctx, connConfig, schema, maxConns)
	if err != nil {
		return nil, err
	}
	s := &Store{schema: schema, pool: hidden(pool), queries: newQueries(schema)}
	s.listener = newListener(copyConfig(connConfig), schema, s.notify)
	return s, nil
}

// hidden returns v behind a func, where no printer finds it.
func hidden[T any](v T) func() T { return func() T { return v } }

// newPool returns a pool of connections of our own, once the database has answered.
func newPool(ctx context.Context, connConfig *pgx.ConnConfig, schema string, maxConns int32) (*pgxpool.Pool, error) {
	if connConfig == nil {
		return nil, errors.New("pgxstore: new: no pgx.ConnConfig")
	}
	if len(schema) > 63 || !validText(schema) {
		return nil, errors.New("pgxstore: new: a schema's name has 1 to 63 bytes of UTF-8")
	}
	poolConfig, err := pgxpool.ParseConfig("sslmode=disable") // replaced below
	if err != nil {
		return nil, fmt.Errorf("pgxstore: new: %w", err)
	}
	poolConfig.ConnConfig = copyConfig(connConfig)
	poolConfig.MinConns, poolConfig.MinIdleConns, poolConfig.MaxConns = 0, 0, maxConns
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, failed("new", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, failed("new", err)
	}
	return pool, nil
}

func copyConfig(c *pgx.ConnConfig) *pgx.ConnConfig {
	c = c.Copy()
	c.OnNotification = nil // the listener reads notices itself
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "sealfield"
	}
	return c
}

// Close ends all calls of Watch, waits for the other calls, and closes the
// connections. Closing again does nothing.
func (s *Store) Close() {
	s.listener.close()
	s.pool().Close()
}

// Load implements keyring.Store.
func (s *Store) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	var l keyring.Loaded
	scopes, purposes := make([]string, len(targets)), make([]string, len(targets))
	for i, t := range targets {
		scopes[i], purposes[i] = t.Scope, string(t.Purpose)
	}
	if err := checkText("load", append(scopes, name)...); err != nil {
		return l, err
	}
	batch := &pgx.Batch{}
	batch.Queue(s.queries.now).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&l.Now)
		l.Now = l.Now.UTC()
		return err
	})
	batch.Queue(s.queries.loadRoots, name).Query(func(rows pgx.Rows) (err error) {
		l.Roots, err = pgx.CollectRows(rows, scanRoot)
		return err
	})
	batch.Queue(s.queries.loadKeys, name, scopes, purposes).Query(func(rows pgx.Rows) (err error) {
		l.Keys, err = pgx.CollectRows(rows, scanKey)
		return err
	})
	batch.Queue(s.queries.loadErased, name, scopes).Query(func(rows pgx.Rows) error {
		erased, err := pgx.CollectRows(rows, pgx.RowTo[string])
		l.Erased = make(map[string]bool, len(erased))
		for _, scope := range erased {
			l.Erased[scope] = true
		}
		return err
	})
	oneMoment := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool(), oneMoment, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return keyring.Loaded{}, failed("load", err)
	}
	if len(l.Roots) == 0 {
		return keyring.Loaded{}, fmt.Errorf("pgxstore: load: %w", keyring.ErrNotFound)
	}
	return l, nil
}

// Create implements keyring.Store.
func (s *Store) Create(ctx context.Context, roots []keyring.Root) error {
	if len(roots) == 0 {
		return conflict("create")
	}
	name := roots[0].Keyring
	batch := &pgx.Batch{}
	for _, r := range roots {
		if r.Keyring != name {
			return conflict("create")
		}
		args, err := newRootArgs(r)
		if err != nil {
			return err
		}
		batch.Queue(s.queries.insertRoot, args)
	}
	return failed("create", pgx.BeginTxFunc(ctx, s.pool(), readCommitted, func(tx pgx.Tx) error {
		// The lock comes first, in a statement of its own: only a later one
		// sees what another Create has committed meanwhile.
		if _, err := tx.Exec(ctx, lockSQL, "sealfield create "+s.schema+" "+name); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRow(ctx, s.queries.exists, name).Scan(&exists); err != nil {
			return err
		}
		if exists {
			return keyring.ErrExists
		}
		return tx.SendBatch(ctx, batch).Close()
	}))
}

// InsertRoot implements keyring.Store.
func (s *Store) InsertRoot(ctx context.Context, root keyring.Root) error {
	args, err := newRootArgs(root)
	if err != nil {
		return err
	}
	err = pgx.BeginTxFunc(ctx, s.pool(), readCommitted, func(tx pgx.Tx) error {
		// The newest root is closed before anything is looked at: that waits
		// for keys that are being put under it, and for others who add a root.
		tag, err := tx.Exec(ctx, s.queries.closeRoot, root.Keyring, string(root.Purpose), root.Version-1)
		if err != nil {
			return err
		}
		var next bool
		if err := tx.QueryRow(ctx, s.queries.nextRoot, root.Keyring, string(root.Purpose), root.Version).Scan(&next); err != nil {
			return err
		}
		if tag.RowsAffected() != 1 || !next {
			return keyring.ErrConflict
		}
		_, err = tx.Exec(ctx, s.queries.insertRoot, args)
		return err
	})
	if errors.Is(err, keyring.ErrConflict) {
		return conflict("insert root")
	}
	return failed("insert root", err)
}

// UpdateRoot implements keyring.Store.
func (s *Store) UpdateRoot(ctx context.Context, root keyring.Root) error {
	args, err := rootArgs("update root", root)
	if err != nil {
		return err
	}
	args["revision"] = root.Revision
	return s.writeOne(ctx, "update root", s.queries.updateRoot, args)
}

// InsertKey implements keyring.Store.
func (s *Store) InsertKey(ctx context.Context, key keyring.Key) error {
	if err := checkText("insert key", key.Keyring, key.Scope, string(key.Purpose), string(key.Algorithm), string(key.State)); err != nil {
		return err
	}
	err := s.writeOne(ctx, "insert key", s.queries.insertKey, keyArgs(key))
	if !errors.Is(err, keyring.ErrConflict) {
		return err
	}
	// Nothing was written. The reason is asked for afterwards because the
	// statement can not see a tombstone that was written since it began.
	var erased bool
	if err := s.pool().QueryRow(ctx, s.queries.erased, key.Keyring, key.Scope).Scan(&erased); err != nil {
		return failed("insert key", err)
	}
	if erased {
		return fmt.Errorf("pgxstore: insert key: %w", keyring.ErrErased)
	}
	return err
}

// UpdateKeys implements keyring.Store.
func (s *Store) UpdateKeys(ctx context.Context, keys []keyring.Key) error {
	batch := &pgx.Batch{}
	updated := 0
	// In one order for all callers, so that none waits for another's row
	// while it holds one that the other waits for.
	for _, k := range slices.SortedFunc(slices.Values(keys), func(a, b keyring.Key) int { return cmp.Compare(a.ID, b.ID) }) {
		if err := checkText("update keys", k.Keyring, k.Scope, string(k.Purpose), string(k.Algorithm), string(k.State)); err != nil {
			return err
		}
		args := keyArgs(k)
		args["revision"] = k.Revision
		batch.Queue(s.queries.updateKey, args).Exec(func(tag pgconn.CommandTag) error {
			updated += int(tag.RowsAffected())
			return nil
		})
	}
	err := pgx.BeginTxFunc(ctx, s.pool(), readCommitted, func(tx pgx.Tx) error {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if updated != len(keys) {
			return keyring.ErrConflict
		}
		return nil
	})
	if errors.Is(err, keyring.ErrConflict) {
		return conflict("update keys")
	}
	return failed("update keys", err)
}

// LoadUnder implements keyring.Store.
func (s *Store) LoadUnder(ctx context.Context, root keyring.Root, after keyring.KeyID, limit int) ([]keyring.Key, error) {
	if err := checkText("load under", root.Keyring, string(root.Purpose)); err != nil {
		return nil, err
	}
	rows, err := s.pool().Query(ctx, s.queries.loadUnder, root.Keyring, string(root.Purpose), int64(root.ID), int64(after), limit)
	if err != nil {
		return nil, failed("load under", err)
	}
	keys, err := pgx.CollectRows(rows, scanKey)
	return keys, failed("load under", err)
}

// EraseScope implements keyring.Store.
func (s *Store) EraseScope(ctx context.Context, name, scope string) error {
	if err := checkText("erase scope", name, scope); err != nil {
		return err
	}
	_, err := s.pool().Exec(ctx, s.queries.eraseScope, name, scope)
	return failed("erase scope", err)
}

// writeOne runs a statement that writes one row, or none when it is overtaken.
func (s *Store) writeOne(ctx context.Context, operation, sql string, args pgx.StrictNamedArgs) error {
	tag, err := s.pool().Exec(ctx, sql, args)
	if err != nil {
		return failed(operation, err)
	}
	if tag.RowsAffected() != 1 {
		return conflict(operation)
	}
	return nil
}

// notify sends a notice to the listener's channel.
func (s *Store) notify(ctx context.Context, payload string) error {
	_, err := s.pool().Exec(ctx, `select pg_catalog.pg_notify($1::text, $2::text)`, s.schema, payload)
	return err
}

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// lockSQL takes a lock by name until the end of the transaction.
const lockSQL = `select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1::text, 0))`

// inSchema puts the quoted schema into an SQL text.
func inSchema(schema, sql string) string {
	return strings.ReplaceAll(sql, "{schema}", pgx.Identifier{schema}.Sanitize())
}

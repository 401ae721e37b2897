package pgxstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealfield/sealfield/token"
)

// VaultConfig says where in the database the rows of vaults are. The zero value is
// right for most.
type VaultConfig struct {
	// Schema is that of Config, and with it the tables of Migrate. Defaults to
	// "sealfield".
	Schema string

	// MaxConns is the most connections that the store opens. Defaults to 4.
	MaxConns int
}

// VaultStore is a token.VaultStore with connections of its own. Its methods are safe
// for concurrent use.
//
// A service that redeems tokens whose uses are not limited needs the first two lines
// of the package's grants. Beside them,
//
//	grant insert on sealfield.vault_tokens, sealfield.vault_tags to app; -- makes tokens
//	grant update, delete on sealfield.vault_tags to app;                 -- that, and ends them
//	grant update (sealed, tags, uses_left, ended, ended_at) on sealfield.vault_tokens to app; -- Uses, Revoke
//	grant delete on sealfield.vault_tokens to app;                       -- Purge
//
// All tokens of a tenant go with "delete from sealfield.vault_tokens where keyring =
// ... and scope = ...", which takes their tags along. Of the key with the id $1 (its
// Bytes), these count the tokens that need it before it is destroyed, an encryption
// key to be opened, an index key to be found:
//
//	select count(*) from sealfield.vault_tokens where substring(sealed from 2 for 4) = $1
//	select count(*) from sealfield.vault_tokens where not exists (select from unnest(tags) g where substring(g from 2 for 4) <> $1) and tags <> '{}'
type VaultStore struct {
	schema  string
	pool    func() *pgxpool.Pool // behind a func, so that nothing prints its password
	queries vaultQueries
}

var _ token.VaultStore = (*VaultStore)(nil)

// NewVaultStore is New for the rows of vaults, which may be in another database
// than the keyring's: that is safer. The caller must Close the VaultStore.
func NewVaultStore(ctx context.Context, connConfig *pgx.ConnConfig, cfg VaultConfig) (*VaultStore, error) {
	schema := cmp.Or(cfg.Schema, defaultSchema)
	maxConns := cmp.Or(cfg.MaxConns, 4)
	if maxConns < 1 || maxConns > 1000 {
		return nil, fmt.Errorf("pgxstore: new vault store: VaultConfig.MaxConns of %d is out of range", maxConns)
	}
	pool, err := newPool(ctx, connConfig, schema, int32(maxConns))
	if err != nil {
		return nil, err
	}
	return &VaultStore{schema: schema, pool: hidden(pool), queries: newVaultQueries(schema)}, nil
}

// Migrate is Store.Migrate: it makes the tables of both.
func (s *VaultStore) Migrate(ctx context.Context) error { return migrate(ctx, s.pool(), s.schema) }

// Close waits for the calls and closes the connections. Closing again does
// nothing.
func (s *VaultStore) Close() { s.pool().Close() }

// Load implements token.VaultStore.
func (s *VaultStore) Load(ctx context.Context, keyring string, hashes []token.TokenHash) (token.VaultRows, error) {
	return s.read(ctx, "load tokens", s.queries.load, keyring, bytesOf(hashes), func(row pgx.CollectableRow) (token.VaultRow, error) {
		r, _, err := scanVaultRow(row)
		return r, err
	})
}

// Find implements token.VaultStore.
func (s *VaultStore) Find(ctx context.Context, keyring string, tags [][]byte) (token.VaultRows, error) {
	return s.read(ctx, "find tokens", s.queries.find, keyring, tags, func(row pgx.CollectableRow) (token.VaultRow, error) {
		r, tag, err := scanVaultRow(row)
		r.Tags = [][]byte{tag}
		return r, err
	})
}

func (s *VaultStore) read(ctx context.Context, operation, sql, keyring string, keys [][]byte, scan pgx.RowToFunc[token.VaultRow]) (token.VaultRows, error) {
	var found token.VaultRows
	if err := checkText(operation, keyring); err != nil {
		return found, err
	}
	batch := &pgx.Batch{} // one transaction, until its end
	batch.Queue(s.queries.byKey)
	batch.Queue(s.queries.now).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&found.Now)
		found.Now = found.Now.UTC()
		return err
	})
	if len(keys) > 0 {
		batch.Queue(sql, keyring, keys).Query(func(rows pgx.Rows) (err error) {
			found.Rows, err = pgx.CollectRows(rows, scan)
			return err
		})
	}
	if err := s.pool().SendBatch(ctx, batch).Close(); err != nil {
		return token.VaultRows{}, failed(operation, err)
	}
	return found, nil
}

// Insert implements token.VaultStore.
func (s *VaultStore) Insert(ctx context.Context, rows []token.VaultRow) ([]bool, error) {
	inserted := make([]bool, len(rows))
	if len(rows) == 0 {
		return inserted, nil
	}
	args, several, err := insertArgs(rows)
	if err != nil {
		return nil, err
	}
	var n int64
	err = s.write(ctx, "insert tokens", func(tx *pgx.Batch) {
		tx.Queue(s.queries.insert, args).Exec(count(&n))
		if several {
			tx.Queue(s.queries.dropClaims, args["keyring"], args["tags"], args["tag_hashes"])
		}
	})
	if err != nil {
		return nil, err
	}
	if n == int64(len(rows)) {
		for i := range inserted {
			inserted[i] = true
		}
		return inserted, nil
	}
	// Which they are is seldom of interest, and asked for only here: a row that
	// was added is there, however it may have ended since.
	hashes := make([]token.TokenHash, len(rows))
	for i, r := range rows {
		hashes[i] = r.Hash
	}
	return s.mark(ctx, "insert tokens", s.queries.present, rows[0].Keyring, hashes)
}

// count returns what stores the number of rows that a statement wrote.
func count(n *int64) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*n = tag.RowsAffected()
		return nil
	}
}

// write runs what queue queues as one transaction, in one round trip. It says the
// isolation level because the database may have another default, under which a race
// that is lost is an error.
func (s *VaultStore) write(ctx context.Context, operation string, queue func(tx *pgx.Batch)) error {
	batch := &pgx.Batch{}
	batch.Queue(`begin isolation level read committed`)
	batch.Queue(s.queries.byKey)
	queue(batch)
	batch.Queue(`commit`)
	return failed(operation, s.pool().SendBatch(ctx, batch).Close())
}

// Use implements token.VaultStore.
func (s *VaultStore) Use(ctx context.Context, keyring string, hashes []token.TokenHash) ([]bool, error) {
	if err := checkText("use tokens", keyring); err != nil {
		return nil, err
	}
	if len(hashes) == 0 {
		return nil, nil
	}
	return s.mark(ctx, "use tokens", s.queries.use, keyring, hashes)
}

// mark runs a statement that returns some of the hashes, and says which.
func (s *VaultStore) mark(ctx context.Context, operation, sql, keyring string, hashes []token.TokenHash) ([]bool, error) {
	marks := make([]bool, len(hashes))
	index := make(map[token.TokenHash]int, len(hashes))
	for i, h := range hashes {
		index[h] = i
	}
	err := s.write(ctx, operation, func(tx *pgx.Batch) {
		tx.Queue(sql, keyring, bytesOf(hashes)).Query(func(rows pgx.Rows) error {
			var hash []byte
			_, err := pgx.ForEachRow(rows, []any{&hash}, func() error {
				marks[index[token.TokenHash(hash)]] = true
				return nil
			})
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return marks, nil
}

// Revoke implements token.VaultStore.
func (s *VaultStore) Revoke(ctx context.Context, keyring string, hash token.TokenHash) error {
	if err := checkText("revoke token", keyring); err != nil {
		return err
	}
	return s.write(ctx, "revoke token", func(tx *pgx.Batch) { tx.Queue(s.queries.revoke, keyring, hash[:]) })
}

// Purge implements token.VaultStore. Each of its transactions is about at most
// purgeBatch rows; rows that another one holds are left for the next Purge.
func (s *VaultStore) Purge(ctx context.Context, keyring, vault string, keep time.Duration) (p token.Purged, err error) {
	if err := checkText("purge tokens", keyring, vault); err != nil {
		return p, err
	}
	if p.Erased, err = s.purge(ctx, s.queries.expire, keyring, vault); err != nil {
		return p, err
	}
	p.Removed, err = s.purge(ctx, s.queries.remove, keyring, vault, keep.Microseconds())
	return p, err
}

const purgeBatch = 1000 // the same number stands in the queries

func (s *VaultStore) purge(ctx context.Context, sql string, args ...any) (total int64, err error) {
	for {
		var n int64
		if err := s.write(ctx, "purge tokens", func(tx *pgx.Batch) { tx.Queue(sql, args...).Exec(count(&n)) }); err != nil {
			return total, err
		}
		total += n
		if n < purgeBatch {
			return total, nil
		}
	}
}

func bytesOf(hashes []token.TokenHash) [][]byte {
	all := make([][]byte, len(hashes))
	for i := range hashes {
		all[i] = hashes[i][:]
	}
	return all
}

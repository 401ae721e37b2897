package pgxstore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// migrations are applied in the order of their names, each once. A file that
// was released is never changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema and its tables to the newest version, in one
// transaction. It may be called again, and by several processes at once. If
// nothing is to be done it only reads, so that any role of the store may call
// it; otherwise the role must be allowed to create tables in the schema, and
// the schema itself where there is none.
func (s *Store) Migrate(ctx context.Context) error { return migrate(ctx, s.pool(), s.schema) }

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("pgxstore: migrate: %w", err)
	}
	return failed("migrate", pgx.BeginTxFunc(ctx, pool, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockSQL, "sealfield migrate "+schema); err != nil {
			return err
		}
		done, err := applied(ctx, tx, schema)
		if err != nil {
			return err
		}
		for i := done; i < len(files); i++ {
			if err := apply(ctx, tx, schema, files[i], i+1); err != nil {
				return err
			}
		}
		return nil
	}))
}

// applied returns the number of migrations that were applied, and makes the
// schema and the table that counts them if need be.
func applied(ctx context.Context, tx pgx.Tx, schema string) (int, error) {
	var exists, table bool
	err := tx.QueryRow(ctx, `
select exists (select from pg_catalog.pg_namespace where nspname = $1::text),
	exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1::text and c.relname = 'migrations')`, schema).Scan(&exists, &table)
	if err != nil {
		return 0, err
	}
	if !exists {
		if _, err := tx.Exec(ctx, inSchema(schema, `create schema {schema}`)); err != nil {
			return 0, err
		}
	}
	if !table {
		_, err := tx.Exec(ctx, inSchema(schema, `
create table {schema}.migrations (version bigint primary key, applied_at timestamptz not null default pg_catalog.clock_timestamp())`))
		return 0, err
	}
	var done int
	err = tx.QueryRow(ctx, inSchema(schema, `select coalesce(max(version), 0) from {schema}.migrations`)).Scan(&done)
	return done, err
}

func apply(ctx context.Context, tx pgx.Tx, schema, file string, version int) error {
	sql, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, inSchema(schema, string(sql))); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, inSchema(schema, `insert into {schema}.migrations (version) values ($1::bigint)`), version)
	return err
}

package pgxfield_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestPoolOfOne uses a table inside a transaction that holds the application's
// only connection, while its keys are cold and in the same database.
func TestPoolOfOne(t *testing.T) {
	type person struct {
		ID    int64  `db:"id"`
		Email string `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	}
	dsn := pgtest.Database(t)
	connConfig, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	store, err := pgxstore.New(t.Context(), connConfig, pgxstore.Config{})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	poolConfig, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	poolConfig.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), poolConfig)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "create table people (id bigint primary key, email bytea, email_idx bytea)")
	require.NoError(t, err)

	kms := keyringtest.NewKMS()
	table := func(t *testing.T) *pgxfield.Table[person] { // cold at each call
		kr, err := keyring.OpenOrCreate(t.Context(), keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}})
		require.NoError(t, err)
		t.Cleanup(func() { kr.Close() })
		return newTable[person](t, kr, "people", pgxfield.Config{RowKey: []string{"id"}})
	}
	const insert = "insert into people values (@id, @email, @email_idx)"
	uses := map[string]func(ctx context.Context, tx pgx.Tx, people *pgxfield.Table[person], id int64) error{
		"insert": func(ctx context.Context, tx pgx.Tx, people *pgxfield.Table[person], id int64) error {
			_, err := tx.Exec(ctx, insert, people.Args(&person{id, "a@example.com"}))
			return err
		},
		"batch": func(ctx context.Context, tx pgx.Tx, people *pgxfield.Table[person], id int64) error {
			b := &pgx.Batch{}
			b.Queue(insert, people.Args(&person{id, "a@example.com"}))
			return tx.SendBatch(ctx, b).Close()
		},
		"read": func(ctx context.Context, tx pgx.Tx, people *pgxfield.Table[person], _ int64) error {
			rows, err := tx.Query(ctx, "select * from people where id = 1")
			if err != nil {
				return err
			}
			_, err = pgx.CollectExactlyOneRow(rows, people.Row(ctx))
			return err
		},
		"search": func(ctx context.Context, tx pgx.Tx, people *pgxfield.Table[person], _ int64) error {
			tags, err := people.Match(ctx, "email", "A@example.com")
			if err != nil {
				return err
			}
			rows, err := tx.Query(ctx, "select * from people where email_idx = any($1) limit 1", tags)
			if err != nil {
				return err
			}
			_, err = pgx.CollectExactlyOneRow(rows, people.Row(ctx))
			return err
		},
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return uses["insert"](t.Context(), tx, table(t), 1) }))
	cases := 0
	for _, locked := range []bool{false, true} {
		for name, use := range uses {
			cases++
			t.Run(fmt.Sprintf("%s, locks held: %t", name, locked), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					if locked {
						if _, err := tx.Exec(ctx, "lock table people in access exclusive mode"); err != nil {
							return err
						}
					}
					return use(ctx, tx, table(t), int64(100+cases))
				}))
			})
		}
	}
	require.Equal(t, 8, cases)
}

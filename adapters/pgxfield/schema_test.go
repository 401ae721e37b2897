package pgxfield_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestSchemaChanges changes the table under a pool that has used it: one error at the
// most, and right again.
func TestSchemaChanges(t *testing.T) {
	ctx := t.Context()
	for _, mode := range modes {
		conn, table := newCustomers(t, keyringtest.NewKeyring(t))
		cfg, err := pgxpool.ParseConfig(conn.Config().ConnString())
		require.NoError(t, err)
		cfg.MaxConns = 1
		cfg.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(ctx, cfg)
		require.NoError(t, err)
		id := int64(0)
		use := func(sql string) error {
			id++
			if _, err := pool.Exec(ctx, insertCustomer, table.Args(ann(id))); err != nil {
				return err
			}
			rows, err := pool.Query(ctx, sql, id)
			if err != nil {
				return err
			}
			c, err := pgx.CollectExactlyOneRow(rows, table.Row(ctx))
			if err == nil {
				require.Equal(t, *ann(id), c)
			}
			return err
		}
		const all, some = "select * from customers where id = $1", "select id, email, ssn, born from customers where id = $1"
		again := func(sql string) {
			t.Helper()
			if err := use(sql); err != nil {
				require.NotContains(t, err.Error(), "Ann")
			}
			require.NoError(t, use(sql), "right again in %v", mode)
		}
		require.NoError(t, use(all))
		require.NoError(t, use(some))
		run(t, conn, "alter table customers alter id type int")
		again(all)
		again(some)
		run(t, conn, "alter table customers add extra text")
		_ = use(all)
		require.ErrorContains(t, use(all), "the result has a column extra, which pgxfield_test.customer has not")
		again(some)
		run(t, conn, "alter table customers drop extra")
		again(all)
		run(t, conn, "alter table customers rename to others")
		require.ErrorContains(t, use(all), "42P01")
		run(t, conn, "alter table others rename to customers")
		again(all)
		run(t, conn, "alter table customers drop constraint customers_ssn_sealed", "alter table customers alter ssn type text using null")
		_ = use(some)
		require.Error(t, use(some), "a sealed value can not be stored as text, or not be read from it")
		run(t, conn, "alter table customers alter ssn type bytea using null")
		run(t, conn, table.DDL()...)
		again(all)
		again(some)
		pool.Close()
	}
}

// Package clean has no findings.
package clean

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sealfield/sealfield/adapters/pgxfield"

	"example.com/shop/store"
)

// Insert writes a row through the library.
func Insert(ctx context.Context, pool *pgxpool.Pool, customers *pgxfield.Table[store.Customer], c store.Customer) error {
	slog.Info("insert", "id", c.ID)
	_, err := pool.Exec(ctx, "insert into customers (id, email, email_idx) values (@id, @email, @email_idx)", customers.Args(&c))
	return err
}

// Package clean has no findings.
package clean

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sealfield/sealfield/adapters/pgxfield"

	"example.com/shop/store"
)

// Use writes, searches and reads through the library.
func Use(ctx context.Context, pool *pgxpool.Pool, customers *pgxfield.Table[store.Customer], c store.Customer) error {
	slog.Info("insert", "id", c.ID, "args", customers.Args(&c))
	_, err := pool.Exec(ctx, "insert into customers (id, email, email_idx) values (@id, @email, @email_idx)", customers.Args(&c))
	if err != nil {
		return err
	}
	tags, err := customers.Match(ctx, "email", c.Email)
	if err != nil {
		return err
	}
	rows, err := pool.Query(ctx, "select * from customers where email_idx = any($1)", tags)
	if err != nil {
		return err
	}
	found, err := customers.Collect(ctx, rows)
	if err != nil {
		return fmt.Errorf("customer %d of %d: %w", c.ID, len(found), err)
	}
	_, err = pool.Exec(ctx, "update customers set id = @id, email = @email, email_idx = @email_idx where id = @old",
		customers.Args(&c, pgx.NamedArgs{"old": 42}))
	return err
}

package pgxfield_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A transaction takes the same calls as a pool or a connection. Read, change and
// write a row while it is locked.
func Example_transaction() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com")

	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select * from customers where id = $1 for update`, 1)
		if err != nil {
			return err
		}
		c, err := pgx.CollectExactlyOneRow(rows, customers.Row(ctx))
		if err != nil {
			return err
		}
		c.Email = "new." + c.Email
		_, err = tx.Exec(ctx, `update customers set email = @email, email_idx = @email_idx where id = @id`, customers.Args(&c))
		return err
	})
	check(err)
	rows, err := db.Query(ctx, `select * from customers`)
	check(err)
	c, err := pgx.CollectExactlyOneRow(rows, customers.Row(ctx))
	check(err)
	fmt.Println(c.Email)
	// Output: new.ann@example.com
}

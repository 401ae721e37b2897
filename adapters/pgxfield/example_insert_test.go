package pgxfield_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// A row is written by the names of its columns. What names a sealed column has to
// name its index columns as well.
func Example_insert() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()

	const insert = `insert into customers (id, email, email_idx, ssn, born)
		values (@id, @email, @email_idx, @ssn, @born)`
	ann := Customer{ID: 1, Email: "Ann@Example.com", Born: day} // SSN is NULL
	_, err := db.Exec(ctx, insert, customers.Args(&ann))
	check(err)

	// Several at once, in one round trip.
	batch := &pgx.Batch{}
	for _, c := range []Customer{{ID: 2, Email: "bob@example.com", Born: day}, {ID: 3, Email: "cid@example.com", Born: day}} {
		batch.Queue(insert, customers.Args(&c)) // copies c
	}
	check(db.SendBatch(ctx, batch).Close())

	// Without @email_idx nobody would find the row: refused before anything is sent.
	_, err = db.Exec(ctx, `insert into customers (id, email, born) values (@id, @email, @born)`, customers.Args(&ann))
	fmt.Println(err)
	// Plaintext, as another program may send it, is refused by the database.
	_, err = db.Exec(ctx, `insert into customers (id, email, email_idx, born) values (4, 'dan@example.com', '', '')`)
	fmt.Println(err)

	rows, err := db.Query(ctx, `select * from customers order by id`)
	check(err)
	all, err := customers.Collect(ctx, rows)
	check(err)
	for _, c := range all {
		fmt.Println(c.ID, c.Email, c.SSN == nil)
	}
	// Output:
	// rewrite query failed: pgxfield.Args(customers): @email and @email_idx have to stand in the same statement, or neither
	// ERROR: new row for relation "customers" violates check constraint "customers_born_sealed" (SQLSTATE 23514)
	// 1 Ann@Example.com true
	// 2 bob@example.com true
	// 3 cid@example.com true
}

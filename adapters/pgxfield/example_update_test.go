package pgxfield_test

import (
	"context"
	"fmt"
)

// Only what a statement names is sealed: to change one column, set it and the row
// key in a struct that is otherwise empty.
func Example_update() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com", "bob@example.com")

	change := Customer{ID: 2, Email: "bob@new.example"}
	tag, err := db.Exec(ctx, `update customers set email = @email, email_idx = @email_idx where id = @id`, customers.Args(&change))
	check(err)
	fmt.Println(tag.RowsAffected(), "row")

	// A value is bound to its row: without the key it is not sealed at all.
	_, err = db.Exec(ctx, `update customers set email = @email, email_idx = @email_idx where id = 2`,
		customers.Args(&Customer{Email: "bob@new.example"}))
	fmt.Println(err)

	rows, err := db.Query(ctx, `select * from customers where id = 2`)
	check(err)
	all, err := customers.Collect(ctx, rows)
	check(err)
	fmt.Println(all[0].Email, all[0].Born.Year())
	// Output:
	// 1 row
	// rewrite query failed: pgxfield.Args(customers): @email: row key column id is NULL or zero
	// bob@new.example 1969
}

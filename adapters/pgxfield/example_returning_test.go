package pgxfield_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// What a statement returns is read like the result of a query. Row needs the row
// key beside every sealed column; "returning *" has it.
func Example_returning() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com", "bob@example.com")

	rows, err := db.Query(ctx, `update customers set ssn = @ssn where id = @id returning *`,
		customers.Args(&Customer{ID: 1, SSN: ptr("078-05-1120")}))
	check(err)
	ann, err := pgx.CollectExactlyOneRow(rows, customers.Row(ctx))
	check(err)
	fmt.Println(ann.Email, *ann.SSN)

	rows, err = db.Query(ctx, `delete from customers returning email`)
	check(err)
	_, err = customers.Collect(ctx, rows)
	fmt.Println(err)
	// Output:
	// ann@example.com 078-05-1120
	// pgxfield: customers: the result has the sealed column email without id, which it is bound to
}

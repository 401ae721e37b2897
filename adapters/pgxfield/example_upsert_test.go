package pgxfield_test

import (
	"context"
	"fmt"
)

// The conflict target of an upsert has to be the row key: values are sealed for the
// key in the struct, and on a conflict of another column they would be put into a
// row with another key.
func Example_upsert() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com")

	for _, c := range []Customer{{ID: 1, Email: "ann@new.example", Born: day}, {ID: 2, Email: "bob@example.com", Born: day}} {
		_, err := db.Exec(ctx, `insert into customers (id, email, email_idx, ssn, born)
			values (@id, @email, @email_idx, @ssn, @born)
			on conflict (id) do update set email = excluded.email, email_idx = excluded.email_idx`, customers.Args(&c))
		check(err)
	}
	rows, err := db.Query(ctx, `select * from customers order by id`)
	check(err)
	for c, err := range customers.Each(ctx, rows) {
		check(err)
		fmt.Println(c.ID, c.Email)
	}
	// Output:
	// 1 ann@new.example
	// 2 bob@example.com
}

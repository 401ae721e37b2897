package pgxfield_test

import (
	"context"
	"fmt"
)

// A value that is bound to its row needs the row's key before the INSERT. Where
// that is serial or an identity, reserve keys: one round trip for any number.
func Example_serialKeys() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()

	list := []Customer{{Email: "ann@example.com", Born: day}, {Email: "bob@example.com", Born: day}}
	ids, err := customers.ReserveKeys(ctx, db, len(list))
	check(err)
	for i := range list {
		list[i].ID = ids[i]
		_, err = db.Exec(ctx, `insert into customers (id, email, email_idx, ssn, born)
			values (@id, @email, @email_idx, @ssn, @born)`, customers.Args(&list[i]))
		check(err)
	}
	rows, err := db.Query(ctx, `select * from customers order by id`)
	check(err)
	for c, err := range customers.Each(ctx, rows) {
		check(err)
		fmt.Println(c.ID, c.Email)
	}
	// Output:
	// 1 ann@example.com
	// 2 bob@example.com
}

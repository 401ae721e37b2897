package pgxfield_test

import (
	"context"
	"fmt"
)

// CopyFrom writes any number of rows by COPY, all or none of them. Each reads any
// number, a few at a time.
func Example_copy() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()

	n, err := customers.CopyFrom(ctx, db, func(yield func(*Customer, error) bool) {
		for i := range 10_000 {
			c := Customer{ID: int64(i + 1), Email: fmt.Sprintf("customer.%d@example.com", i+1), Born: day}
			if !yield(&c, nil) { // or nil and an error, which ends the COPY
				return
			}
		}
	})
	check(err)
	fmt.Println(n, "rows written")

	rows, err := db.Query(ctx, `select * from customers`)
	check(err)
	n = 0
	for c, err := range customers.Each(ctx, rows) {
		check(err)
		if c.Born.Equal(day) {
			n++
		}
	}
	fmt.Println(n, "rows read")
	// Output:
	// 10000 rows written
	// 10000 rows read
}

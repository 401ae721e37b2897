package pgxfield_test

import (
	"context"
	"fmt"
)

// The database orders by columns in the clear, such as the row key: pages go on
// after the last key. In the order of a sealed column there are none; read what is
// to be shown and sort that. (Search pages through what an index finds.)
func Example_paging() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com", "bob@example.com", "cid@example.com", "dan@example.com", "eve@example.com")

	last := int64(0)
	for page := 1; ; page++ {
		rows, err := db.Query(ctx, `select * from customers where id > $1 order by id limit 2`, last)
		check(err)
		some, err := customers.Collect(ctx, rows)
		check(err)
		if len(some) == 0 {
			break
		}
		for _, c := range some {
			fmt.Println(page, c.Email)
		}
		last = some[len(some)-1].ID
	}
	// Output:
	// 1 ann@example.com
	// 1 bob@example.com
	// 2 cid@example.com
	// 2 dan@example.com
	// 3 eve@example.com
}

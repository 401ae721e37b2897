package pgxfield_test

import (
	"context"
	"fmt"
)

// A value is looked for by the tags that it may have: one per key of the index. To
// look for any of several values, put the tags of all into one list.
func Example_search() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com", "bob@example.com", "cid@example.com")

	var tags [][]byte
	for _, email := range []string{"Ann@EXAMPLE.com", "cid@example.com", "nobody@example.com"} {
		some, err := customers.Match(ctx, "email", email)
		check(err)
		tags = append(tags, some...)
	}
	rows, err := db.Query(ctx, `select * from customers where email_idx = any($1) order by id`, tags)
	check(err)
	found, err := customers.Collect(ctx, rows)
	check(err)
	for _, c := range found {
		fmt.Println(c.ID, c.Email)
	}
	// Output:
	// 1 ann@example.com
	// 3 cid@example.com
}

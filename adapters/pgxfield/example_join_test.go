package pgxfield_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/adapters/pgxfield"
)

type Purchase struct {
	ID       int64  `db:"id"`
	Customer int64  `db:"customer"`
	Note     string `db:"note" seal:"encrypt"`
}

// A join of sealed tables gives the columns of each a prefix, its row key among
// them, and scans the row once per table.
func Example_join() {
	ctx := context.Background()
	db, customers := openExample(ctx)
	defer db.Close()
	db.insert(ctx, customers, "ann@example.com", "bob@example.com")
	purchases, err := pgxfield.NewTable[Purchase](db.keys, "purchases", pgxfield.Config{RowKey: []string{"id"}})
	check(err)
	db.mustExec(ctx, `create table purchases (id bigint primary key, customer bigint references customers, note bytea not null)`)
	db.mustExec(ctx, purchases.DDL()...)
	_, err = db.Exec(ctx, `insert into purchases values (@id, @customer, @note)`, purchases.Args(&Purchase{7, 1, "a gift"}))
	check(err)

	rows, err := db.Query(ctx, `select c.id as c_id, c.email as c_email, p.id as p_id, p.note as p_note
		from customers c left join purchases p on p.customer = c.id order by c.id`)
	check(err)
	type both struct {
		Customer
		Purchase
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b both, err error) {
		if b.Customer, err = customers.Scan(ctx, row, "c_"); err != nil {
			return b, err
		}
		b.Purchase, err = purchases.Scan(ctx, row, "p_") // zero where there is none
		return b, err
	})
	check(err)
	for _, b := range all {
		fmt.Printf("%s: %q\n", b.Email, b.Note)
	}
	// Output:
	// ann@example.com: "a gift"
	// bob@example.com: ""
}

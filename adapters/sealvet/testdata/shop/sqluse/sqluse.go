package sqluse

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"example.com/shop/store"
)

func use(ctx context.Context, db *sql.DB, tx *sql.Tx, stmt *sql.Stmt, c store.Customer, q store.Quiet) {
	db.ExecContext(ctx, "update customers set email = ?", c.Email)                          // want `^store.Customer.Email \(column email\) is an argument of sql.DB.ExecContext in the clear: use a sqlfield.Sealed$`
	tx.QueryRow("select id from customers where email = ?", c.Email)                        // want `sql.Tx.QueryRow`
	stmt.Exec(c.ID, c.Email)                                                                // want `sql.Stmt.Exec`
	db.Exec("update customers set email = @email", sql.Named("email", c.Email))             // want `store.Customer.Email`
	db.Exec("update customers set email = ?", sql.NullString{String: c.Email, Valid: true}) // want `store.Customer.Email`
	db.Exec("update customers set email = ?", sql.Null[string]{V: c.Email, Valid: true})    // want `store.Customer.Email`
	db.Prepare("update customers set email = '" + c.Email + "'")                            // want `store.Customer.Email \(column email\) stands in the clear in the SQL of sql.DB.Prepare`

	var b strings.Builder
	b.WriteString("update customers set email = '")
	b.WriteString(c.Email)
	db.Exec(b.String()) // want `^store.Customer.Email \(column email\) stands in the clear in the SQL of sql.DB.Exec: use a sqlfield.Sealed$`
	var b2 bytes.Buffer
	fmt.Fprintf(&b2, "update customers set email = '%s'", c.Email)
	db.Exec(b2.String()) // want `sql.DB.Exec`
	var b3 strings.Builder
	b3.WriteString("update customers set name = '" + c.Name + "'")
	db.Exec(b3.String())
	for _, args := range [][]any{{c.ID, c.Email}} {
		db.Exec("insert into customers (id, email) values (?, ?)", args...) // want `sql.DB.Exec`
	}
	for _, tag := range c.Tags {
		db.Exec("insert into tags values (?)", tag) // want `Customer.Tags`
	}
	for _, sql := range []string{"update customers set name = ''"} {
		db.Exec(sql, c.ID)
	}

	db.Exec("update customers set quiet = ?", q)
	db.Exec("update customers set name = ? where id = ?", c.Name, c.ID)
	db.QueryRow("select email from customers where id = ?", c.ID).Scan(&c.Email)
}

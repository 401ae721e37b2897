package sqluse

import (
	"context"
	"database/sql"

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

	db.Exec("update customers set quiet = ?", q)
	db.Exec("update customers set name = ? where id = ?", c.Name, c.ID)
	db.QueryRow("select email from customers where id = ?", c.ID).Scan(&c.Email)
}

// Package guide has the code of the analyzer's documentation.
package guide

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"
)

type Customer struct {
	ID    int64  `db:"id"`
	Email string `db:"email" seal:"encrypt,index=email_idx"`
}

func guide(ctx context.Context, pool *pgxpool.Pool, db *gorm.DB, sql string, c, in Customer) error {
	pool.Exec(ctx, sql, pgx.NamedArgs{"email": c.Email})             // want `^Customer.Email \(column email\) is written in the clear by pgx.NamedArgs: use pgxfield's Table.Args$`
	pool.Exec(ctx, "update customers set email = $1", c.Email)       // want `^Customer.Email \(column email\) is an argument of pgxpool.Pool.Exec in the clear: write with pgxfield's Table.Args, search with its Match$`
	pool.Exec(ctx, "update customers set email = '"+c.Email+"'")     // want `^Customer.Email \(column email\) stands in the clear in the SQL of pgxpool.Pool.Exec: `
	db.Model(&Customer{}).Updates(map[string]any{"email": in.Email}) // want `^Customer.Email \(column email\) is written in the clear by gorm.DB.Updates: use a sqlfield.Sealed$`
	slog.Info("new customer", "customer", c)                         // want `^Customer.Email \(column email\) is shown in the clear by slog.Info: leave it out, or give Customer a LogValue method$`
	//sealvet:ignore support staff may see this
	fmt.Println(c.Email)
	return fmt.Errorf("no such customer: %s", c.Email) // want `^Customer.Email \(column email\) is shown in the clear by fmt.Errorf: leave it out, or mask it$`
}

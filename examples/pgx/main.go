// Pgx keeps a table with an encrypted, searchable column in PostgreSQL. It
// expects DATABASE_URL, and a role that may create tables.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

type Customer struct {
	ID    int64  `db:"id"`
	Name  string `db:"name"`
	Email string `db:"email" seal:"encrypt,index=email_idx,norm=email"`
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	defer pool.Close()

	// The keyring: wrapped keys in PostgreSQL, over connections of its own.
	store, err := pgxstore.New(ctx, pool.Config().ConnConfig, pgxstore.Config{})
	check(err)
	defer store.Close()
	check(store.Migrate(ctx))
	kms, err := localkms.OpenOrCreate("app.key")
	check(err)
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}})
	check(err)
	defer kr.Close()

	// The table: CHECKs that refuse plaintext, values bound to their row.
	customers, err := pgxfield.NewTable[Customer](kr, "customers", pgxfield.Config{RowKey: []string{"id"}})
	check(err)
	_, err = pool.Exec(ctx, `create table customers (id bigint primary key, name text, email bytea, email_idx bytea)`)
	check(err)
	for _, statement := range customers.DDL() {
		_, err = pool.Exec(ctx, statement)
		check(err)
	}

	// Write, search, read.
	_, err = pool.Exec(ctx, `insert into customers values (@id, @name, @email, @email_idx)`,
		customers.Args(&Customer{ID: 1, Name: "Ann", Email: "Ann@Example.com"}))
	check(err)
	tags, err := customers.Match(ctx, "email", "ann@example.com")
	check(err)
	rows, err := pool.Query(ctx, `select * from customers where email_idx = any($1)`, tags)
	check(err)
	found, err := pgx.CollectRows(rows, customers.Row(ctx))
	check(err)
	fmt.Printf("%+v\n", found)

	// What others see.
	var size int
	var clear bool
	check(pool.QueryRow(ctx, `select octet_length(email), position('xample'::bytea in email) > 0 from customers`).Scan(&size, &clear))
	fmt.Printf("in the table: %d bytes, in clear: %t\n", size, clear)
	_, err = pool.Exec(ctx, `update customers set email = 'ann@example.com'`)
	fmt.Println("plaintext is refused:", err != nil)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

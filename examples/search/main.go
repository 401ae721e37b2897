// Search finds customers in one encrypted table: by e-mail address, by the
// beginning of the name, by any part of it, and by phone number in whatever format
// it is typed. It expects DATABASE_URL, and a role that may create tables.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/e164"
	"github.com/sealfield/sealfield/token/plan"
)

type Customer struct {
	ID      int64  `db:"id"`
	Country string `db:"country"`
	Email   string `db:"email" seal:"encrypt,index=email_idx,norm=email,unique=email_idx2"`
	Name    string `db:"name"  seal:"encrypt,index=name_begins,kind=prefix,norm=nfkc-fold,index=name_holds,kind=ngram,norm=nfkc-fold"`
	Phone   string `db:"phone" seal:"encrypt,index=phone_idx,norm=phone"`
}

const create = `create table customers (id bigint primary key, country text not null,
	email bytea not null, email_idx bytea, email_idx2 bytea,
	name bytea not null, name_begins bytea[] not null, name_holds bytea[] not null,
	phone bytea not null, phone_idx bytea not null)`

const insert = `insert into customers (id, country, email, email_idx, email_idx2, name, name_begins, name_holds, phone, phone_idx)
	values (@id, @country, @email, @email_idx, @email_idx2, @name, @name_begins, @name_holds, @phone, @phone_idx)`

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	defer pool.Close()
	store, err := pgxstore.New(ctx, pool.Config().ConnConfig, pgxstore.Config{})
	check(err)
	defer store.Close()
	check(store.Migrate(ctx))
	kms, err := localkms.OpenOrCreate("search.key")
	check(err)
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "search", Store: store, KMS: []keyring.KMS{kms}})
	check(err)
	defer kr.Close()

	// "phone" in the tags: numbers without a country code are German.
	phone, err := e164.New("DE")
	check(err)
	customers, err := pgxfield.NewTable[Customer](kr, "customers", pgxfield.Config{
		RowKey: []string{"id"}, Normalizers: map[string]token.Normalizer{"phone": phone}})
	check(err)
	for _, statement := range append([]string{create}, customers.DDL()...) {
		_, err = pool.Exec(ctx, statement)
		check(err)
	}
	check(customers.Verify(ctx, pool))
	for _, c := range []Customer{
		{1, "de", "Anna.Strasser@Example.com", "Anna Straßer", "030 / 123 456-78"},
		{2, "de", "annabel@example.com", "Annabel Lee", "+49 (0)40 765432"},
		{3, "us", "bo@example.com", "Bo Anand", "+1 555 010 9999"},
		{4, "fr", "jose@example.com", "José Müller-Strass", "+33 1 23 45 67 89"},
	} {
		_, err = pool.Exec(ctx, insert, customers.Args(&c))
		check(err)
	}

	// Exact: tags in a statement of your own.
	tags, err := customers.Match(ctx, "email", "anna.strasser@EXAMPLE.com")
	check(err)
	show(ctx, pool, customers, "e-mail", `select * from customers where email_idx = any($1) or email_idx2 = any($1)`, tags)
	for _, typed := range []string{"0049 30 12345678", "(030) 12345678", "+493012345678"} {
		tags, err = customers.Match(ctx, "phone", typed)
		check(err)
		show(ctx, pool, customers, "phone "+typed, `select * from customers where phone_idx = any($1)`, tags)
	}

	// A beginning: as typed, letter by letter.
	for _, typed := range []string{"ann", "ANNA S", "anna strasse"} {
		search(ctx, pool, customers, pgxfield.SearchQuery{Column: "name_begins", Value: typed, Limit: 10})
	}
	// Any part, and a condition in the clear.
	search(ctx, pool, customers, pgxfield.SearchQuery{Column: "name_holds", Value: "strass", OrderBy: []string{"country"}})
	search(ctx, pool, customers, pgxfield.SearchQuery{Column: "name_holds", Value: "strass", Where: "country <> @no", Args: pgx.NamedArgs{"no": "fr"}})

	// What does not work says so.
	_, err = customers.Match(ctx, "name_holds", "strass")
	fmt.Println("tags of a part of a name are lossy:", errors.Is(err, token.ErrLossy))
	_, err = customers.Match(ctx, "name_begins", "ann%")
	fmt.Println("there are no patterns:", errors.Is(err, token.ErrQuery))
	_, err = pool.Exec(ctx, insert, customers.Args(&Customer{5, "de", "ANNABEL@example.com", "Else", "030 1234567 ext. 5"}))
	fmt.Println("this is no phone number:", errors.Is(err, token.ErrValue))
	_, err = pool.Exec(ctx, insert, customers.Args(&Customer{5, "de", "ANNABEL@example.com", "Else", "030 1234567"}))
	fmt.Println("the e-mail address is taken:", err != nil)

	// An index on the country would give it away.
	_, err = plan.Plan(1_000_000, 200, 0.3)
	fmt.Println(err)
}

func show(ctx context.Context, pool *pgxpool.Pool, customers *pgxfield.Table[Customer], what, sql string, tags [][]byte) {
	rows, err := pool.Query(ctx, sql, tags)
	check(err)
	found, err := pgx.CollectRows(rows, customers.Row(ctx))
	check(err)
	for _, c := range found {
		fmt.Printf("%s: %s\n", what, c.Name)
	}
}

func search(ctx context.Context, pool *pgxpool.Pool, customers *pgxfield.Table[Customer], q pgxfield.SearchQuery) {
	fmt.Printf("%s %q:", q.Column, q.Value)
	for c, err := range customers.Search(ctx, pool, q) {
		check(err)
		fmt.Printf(" %s;", c.Name)
	}
	fmt.Println()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

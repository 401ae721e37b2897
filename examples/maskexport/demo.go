package main

import (
	"context"
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/brianvoe/gofakeit/v7"
	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
)

//go:embed schema.sql
var schema string

// Customer has the columns of shop.customers that a program needs to seal and open
// them. The rest is left to SQL.
type Customer struct {
	ID    int64      `db:"id"`
	Email string     `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	Born  *time.Time `db:"born"  seal:"encrypt,type=date"`
}

// customers is the table under one of the two keyrings.
func customers(kr *keyring.Keyring) (*pgxfield.Table[Customer], error) {
	return pgxfield.NewTable[Customer](kr, "shop.customers", pgxfield.Config{RowKey: []string{"id"}})
}

// demo makes the schema with n customers, all made up.
func demo(ctx context.Context, conn *pgx.Conn, kr *keyring.Keyring, n int) error {
	table, err := customers(kr)
	if err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	for _, sql := range append([]string{schema}, table.DDL()...) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	fake := gofakeit.NewFaker(rand.NewPCG(1, 2), true)
	var batch pgx.Batch
	for sku := range 50 {
		batch.Queue("insert into shop.products values ($1, $2, $3)", fmt.Sprintf("sku-%03d", sku), fake.ProductName(), fmt.Sprintf("%d.99", 1+fake.IntN(200)))
	}
	var orders int64
	for id := int64(1); id <= int64(n); id++ {
		first, last := fake.FirstName(), fake.LastName()
		name, address := first+" "+last, strings.ReplaceAll(fake.Address().Address, "\n", ", ")
		c := &Customer{ID: id, Email: fmt.Sprintf("%s.%s.%d@example.com", strings.ToLower(first), strings.ToLower(last), id)}
		if id%10 > 0 {
			born := fake.DateRange(time.Date(1940, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC))
			c.Born = &born
		}
		phone, pan, ip := fmt.Sprintf("+4930%08d", 10_000_000+id), fake.CreditCardNumber(&gofakeit.CreditCardOptions{Types: []string{"visa", "mastercard"}}), fake.IPv4Address()
		var by *int64
		if id > 10 {
			by = new(int64)
			*by = id / 10
		}
		batch.Queue(`insert into shop.customers (id, name, email, email_idx, born, phone, country, profile, referred_by)
			values (@id, @name, @email, @email_idx, @born, @phone, @country, @profile, @by)`, table.Args(c, pgx.NamedArgs{
			"name": name, "phone": phone, "country": fake.CountryAbr(), "by": by,
			"profile": map[string]any{"newsletter": c.Email, "theme": "dark", "hint": "mother is " + fake.LastName(), "devices": []any{map[string]any{"ip": ip}}},
		}))
		batch.Queue("insert into shop.cards values ($1, $2, $3, $4, $5) on conflict do nothing", id, id, pan, name, fake.FutureDate())
		for range id % 3 {
			orders++
			batch.Queue("insert into shop.orders values ($1, $2, $3, $4, $5)", orders, id, fake.PastDate(), address, ip)
			batch.Queue("insert into shop.items values ($1, 1, $2, $3)", orders, fmt.Sprintf("sku-%03d", fake.IntN(50)), 1+fake.IntN(5))
		}
		if id%5 == 0 {
			batch.Queue("insert into shop.tickets values ($1, $2, $3, $4, $5)", id, id, fake.PastDate(), c.Email,
				fmt.Sprintf("Called %s back at %s about card %s; wrote to %s, too.", first, phone, pan, c.Email))
		}
	}
	batch.Queue("insert into shop.log values (now(), 'started')")
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

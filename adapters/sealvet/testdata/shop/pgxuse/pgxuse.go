package pgxuse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/store"
)

// execer is an application's own interface over pgx.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func named(c store.Customer, m *store.Member, plain store.Plain) []any {
	args := pgx.NamedArgs{"id": c.ID}
	args["email"] = c.Email            // want `^store.Customer.Email \(column email\) is written in the clear by pgx.NamedArgs: use pgxfield's Table.Args$`
	args["ok"], args["pan"] = 1, c.PAN // want `Customer.PAN \(column pan\)`
	args["name"] = c.Name
	m2 := map[string]any{"id": c.ID}
	m2["email"] = c.Email
	_ = pgx.NamedArgs(m2) // want `store.Customer.Email`
	n := len(c.Email)
	return []any{
		args,
		pgx.NamedArgs{"id": c.ID, "email": c.Email}, // want `Customer.Email \(column email\)`
		pgx.StrictNamedArgs{
			"other": c.Email,                                   // want `by pgx.StrictNamedArgs`
			"ssn":   *c.SSN,                                    // want `Customer.SSN \(column ssn\)`
			"phone": m.Phone,                                   // want `Contact.Phone \(column phone\)`
			"born":  c.Born.Format(time.DateOnly),              // want `Customer.Born \(column born\)`
			"utc":   c.Born.UTC(),                              // want `Customer.Born`
			"lower": strings.ToLower(c.Email),                  // want `Customer.Email`
			"tag":   c.Tags[0],                                 // want `Customer.Tags`
			"list":  []string{"x", c.Email},                    // want `Customer.Email`
			"text":  pgtype.Text{String: c.Email, Valid: true}, // want `Customer.Email`
			"bytes": []byte(c.Email),                           // want `Customer.Email`
			"json":  c,                                         // want `Customer.Email`
			"year":  c.Born.Year(),
			"n":     n,
			"len":   len(c.Email),
			"seal":  seal(c.Email),
			"last":  c.PAN[len(c.PAN)-4:],
			"wax":   plain.Name,
			"left":  plain.Left,
		},
		map[string]any{"email": c.Email}, // a map of any use
	}
}

func filled(ctx context.Context, db execer, c store.Customer) {
	args := pgx.NamedArgs{"id": c.ID}
	args["email"] = c.Email // want `by pgx.NamedArgs`
	db.Exec(ctx, "update customers set email = @email where id = @id", args)
}

func seal(s string) []byte { return nil }

func structs(ctx context.Context, pool *pgxpool.Pool, c *store.Customer, plain store.Plain) {
	pool.Exec(ctx, "insert into customers (id, email) values (@id, @email)", pgx.StructArgs(c))  // want `^store.Customer.Email \(column email\) is written in the clear by pgx.StructArgs: use pgxfield's Table.Args$`
	pool.Exec(ctx, "update customers set born = @born where id = @id", pgx.StrictStructArgs(*c)) // want `Customer.Born \(column born\) is written in the clear by pgx.StrictStructArgs`
	pool.Exec(ctx, "delete from customers where id = @id", pgx.StructArgs(c))
	pool.Exec(ctx, "insert into plain (id, name) values (@id, @name)", pgx.StructArgs(plain))
	sql := "update customers set name = @name"
	sql += ", email = @email"
	pool.Exec(ctx, sql, pgx.StructArgs(c)) // want `store.Customer.Email`
	short := "update customers set name = @name"
	pool.Exec(ctx, short, pgx.StructArgs(c))
	args := pgx.StructArgs(store.Member{}) // want `Contact.Phone`
	pool.Exec(ctx, "delete from members where id = @id", args)
}

func positional(ctx context.Context, pool *pgxpool.Pool, conn *pgx.Conn, tx pgx.Tx, db execer, c *store.Customer) {
	pool.Exec(ctx, "insert into customers (id, email) values ($1, $2)", c.ID, c.Email) // want `^store.Customer.Email \(column email\) is an argument of pgxpool.Pool.Exec in the clear: write with pgxfield's Table.Args, search with its Match$`
	conn.Query(ctx, "select id from customers where email = $1", c.Email)              // want `Customer.Email \(column email\) is an argument of pgx.Conn.Query in the clear`
	tx.QueryRow(ctx, "select id from customers where ssn = $1", c.SSN)                 // want `Customer.SSN \(column ssn\) is an argument of pgx.Tx.QueryRow in the clear`
	db.Exec(ctx, "update customers set email = $1", c.Email)                           // want `Customer.Email \(column email\) is an argument of pgxuse.execer.Exec in the clear`
	db.Exec(ctx, "insert into events (payload) values ($1)", c)                        // want `Customer.Email`
	helper(ctx, "update customers set email = $1", c.Email)                            // want `is an argument of pgxuse.helper in the clear`
	var batch pgx.Batch
	batch.Queue("update customers set email = $1", c.Email) // want `pgx.Batch.Queue`

	var unnamed interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
	unnamed.Exec(ctx, "update customers set email = $1", (c.Email)) // want `is an argument of Exec in the clear`

	email := c.Email
	db.Exec(ctx, "update customers set email = $1", email) // want `Customer.Email`
	masked := c.Email
	masked = mask(masked)
	db.Exec(ctx, "update customers set masked = $1", masked)
	list := []any{c.ID}
	list = append(list, c.Email)
	db.Exec(ctx, "insert into customers (id, email) values ($1, $2)", list...)                 // want `Customer.Email`
	db.Exec(ctx, "insert into customers (id, email) values ($1, $2)", []any{c.ID, c.Email}...) // want `Customer.Email`

	db.Exec(ctx, "update customers set id = $1", list[0])
	conn.Exec(ctx, "update customers set email = @email", rewriter{*c})
	db.Exec(ctx, "update customers set emails = $1", append([]string{"x"}, c.Email)) // want `store.Customer.Email`
	var one, other = c.Email, c.Name
	db.Exec(ctx, "update customers set email = $1", one) // want `store.Customer.Email`
	db.Exec(ctx, "update customers set name = $1", other)
	deleted := map[string]any{"email": c.Email}
	delete(deleted, "email")
	_ = pgx.NamedArgs(deleted)
	var pair, rest = split(c.Email)
	db.Exec(ctx, "update customers set name = $1", pair, rest)
	db.Exec(ctx, "update customers set name = $1", store.Secret(c.Email).String())
	self := []any{c.Email}
	self = append(self, self...)
	db.Exec(ctx, "update customers set email = $1", self...) // want `store.Customer.Email`
	for _, email := range []string{c.Email} {
		db.Exec(ctx, "update customers set email = $1", email) // want `store.Customer.Email`
	}
	other, n := mask(c.Email), 1
	n -= len(c.Email)
	db.Exec(ctx, "update customers set name = $1, n = $2", other, n)
	fresh := append(list, c.Name)
	db.Exec(ctx, "update customers set name = $1", fresh[0])
	filled := c.Email
	scan(&filled, c.Name)
	db.Exec(ctx, "update customers set name = $1", filled)
	db.QueryRow(ctx, "select email from customers").Scan(&c.ID, &c.Email)
	db.Exec(ctx, "update customers set name = $1, n = $2 where id = $3", c.Name, len(c.Email), c.ID)
}

func helper(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, nil
}

func split(s string) (string, string) { return s, s }

func scan(dst *string, src string) {}

func whole(ctx context.Context, db execer, p store.Place) {
	db.Exec(ctx, "update places set address = $1", p.Address)     // want `store.Place.Address`
	db.Exec(ctx, "update places set city = $1", p.Address.City)   // want `store.Place.Address`
	db.Exec(ctx, "update places set city = $1", (p.Address).City) // want `store.Place.Address`
}

// rewriter makes arguments of a row itself.
type rewriter struct{ store.Customer }

func (rewriter) RewriteQuery(context.Context, *pgx.Conn, string, []any) (string, []any, error) {
	return "", nil, nil
}

func mask(s string) string { return "" }

func text(ctx context.Context, db execer, conn *pgx.Conn, c store.Customer) {
	db.Exec(ctx, "update customers set email = '"+c.Email+"'")                                          // want `^store.Customer.Email \(column email\) stands in the clear in the SQL of pgxuse.execer.Exec: write with`
	db.Query(ctx, fmt.Sprintf("select id from customers where email = '%s' or id = %d", c.Email, c.ID)) // want `Customer.Email`
	sql := "select id from customers where true"
	sql += " and email = '" + c.Email + "'"
	db.Query(ctx, sql) // want `Customer.Email`
	quoted := fmt.Sprintf("select id from customers where pan = '%s'", c.PAN)
	db.Query(ctx, quoted)                              // want `Customer.PAN`
	conn.Prepare(ctx, c.Email, "select '"+c.Email+"'") // want `Customer.Email \(column email\) stands in the clear in the SQL of pgx.Conn.Prepare`
	conn.PgConn().Exec(ctx, "select '"+c.Email+"'")    // want `pgconn.PgConn.Exec`
	db.Query(ctx, "select id from customers where name = '"+c.Name+"'")
}

func copies(ctx context.Context, conn *pgx.Conn, all []store.Customer) {
	table, columns := pgx.Identifier{"customers"}, []string{"id", "email"}
	conn.CopyFrom(ctx, table, columns, pgx.CopyFromSlice(len(all), func(i int) ([]any, error) {
		return []any{all[i].ID, all[i].Email}, nil // want `^store.Customer.Email \(column email\) is copied in the clear by pgx.CopyFromSlice: use pgxfield's Table.CopyFrom$`
	}))
	next := 0
	conn.CopyFrom(ctx, table, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(all) {
			return nil, nil
		}
		next++
		return []any{all[next-1].ID, all[next-1].Email}, nil // want `pgx.CopyFromFunc`
	}))
	var rows [][]any
	for _, c := range all {
		rows = append(rows, []any{c.ID, c.Email})
	}
	conn.CopyFrom(ctx, table, columns, pgx.CopyFromRows(rows)) // want `Customer.Email`
	conn.CopyFrom(ctx, table, columns, pgx.CopyFromSlice(len(all), func(i int) ([]any, error) {
		return []any{all[i].ID, seal(all[i].Email)}, nil
	}))
}

func numbers(ctx context.Context, db execer, n store.Numbers) {
	db.Exec(ctx, "update numbers set age = $1", strconv.Itoa(n.Age)) // want `store.Numbers.Age`
	db.Exec(ctx, "update numbers set age = "+strconv.Itoa(n.Age))    // want `store.Numbers.Age`
	db.Exec(ctx, "update numbers set age = $1", n.Age+1)             // not followed
	db.Exec(ctx, "update numbers set adult = $1", n.Age >= 18)
}

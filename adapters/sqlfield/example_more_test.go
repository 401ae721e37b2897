package sqlfield_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var note *sqlfield.Column[string]

type Note struct{}

func (Note) Column() *sqlfield.Column[string] { return note }

// Each tenant has keys of its own: Binding.Scope names it.
func ExampleSeal() {
	ctx := context.Background()
	kr := openExampleKeys(ctx, keyring.Config{Name: "app", Scoped: true})
	defer kr.Close()
	var err error
	note, err = sqlfield.NewColumn[string](kr, "orders.note", sqlfield.Config{RowBound: true})
	check(err)

	acme := crypto.Binding{Scope: "acme", Row: sqlfield.Row(1)}
	v := sqlfield.Of[Note]("fragile")
	_, err = v.Value()
	fmt.Println(err)

	check(sqlfield.Seal(ctx, acme, &v))
	text, err := v.OpenAt(ctx, acme)
	fmt.Println(text, err)

	_, err = v.OpenAt(ctx, crypto.Binding{Scope: "zeta", Row: sqlfield.Row(1)})
	fmt.Println(errors.Is(err, crypto.ErrDecrypt))
	fmt.Println(sqlfield.Seal(ctx, crypto.Binding{Scope: "acme", Row: sqlfield.Row(0)}, &v))
	// Output:
	// sqlfield: orders.note: value: the value is not sealed, and needs Seal: it is bound to its row
	// fragile <nil>
	// true
	// sqlfield: orders.note: seal: crypto: field orders.note: the row key is empty
}

// A large result is opened on several processors.
func ExampleEach() {
	ctx := context.Background()
	db, kr, done := openExample(ctx)
	defer done()
	check(setUp(kr))
	check(migrate(ctx, db))
	for i := range 3 {
		c := Customer{ID: int64(i + 1), Email: sqlfield.Of[Email](fmt.Sprintf("customer%d@example.com", i))}
		check(sqlfield.Seal(ctx, c.place(), &c.Email, &c.EmailIdx))
		_, err := db.ExecContext(ctx, `insert into customers values ($1, $2, $3)`, c.ID, c.Email, c.EmailIdx)
		check(err)
	}

	rows, err := db.QueryContext(ctx, `select email from customers order by id`)
	check(err)
	scan := func(c *Customer) error { return rows.Scan(&c.Email) }
	open := func(ctx context.Context, c *Customer) (string, error) { return c.Email.Open(ctx) }
	for address, err := range sqlfield.Each(ctx, rows, scan, open) {
		fmt.Println(address, err)
	}
	// Output:
	// customer0@example.com <nil>
	// customer1@example.com <nil>
	// customer2@example.com <nil>
}

// A large load is sealed on several processors, while the loop writes.
func ExampleSealEach() {
	ctx := context.Background()
	db, kr, done := openExample(ctx)
	defer done()
	check(setUp(kr))
	check(migrate(ctx, db))

	addresses := []string{"ann@example.com", "bob@example.com", "cho@example.com"}
	id := int64(0)
	customers := func(yield func(Customer) bool) {
		for _, a := range addresses {
			if id++; !yield(Customer{ID: id, Email: sqlfield.Of[Email](a)}) {
				return
			}
		}
	}
	seal := func(ctx context.Context, c *Customer) (Customer, error) {
		err := sqlfield.Seal(ctx, c.place(), &c.Email, &c.EmailIdx)
		return *c, err
	}
	tx, err := db.BeginTx(ctx, nil)
	check(err)
	defer tx.Rollback()
	for c, err := range sqlfield.SealEach(ctx, customers, seal) {
		check(err)
		_, err = tx.ExecContext(ctx, `insert into customers values ($1, $2, $3)`, c.ID, c.Email, c.EmailIdx)
		check(err)
	}
	check(tx.Commit())

	var n int
	check(db.QueryRowContext(ctx, `select count(*) from customers`).Scan(&n))
	fmt.Println(n, "customers")
	// Output: 3 customers
}

// In is for databases without arrays.
func ExampleIn() {
	where, args := sqlfield.In("email_idx", [][]byte{[]byte("tag under one key"), []byte("tag under another")})
	fmt.Println(where, len(args))
	// Output: email_idx in (?, ?) 2
}

// A table of SQLite has its CHECKs from the beginning.
func ExampleSealedCheck() {
	fmt.Printf("create table customers (id integer primary key, email blob check (%s))\n", sqlfield.SealedCheck(sqlfield.SQLite, "email"))
	// Output:
	// create table customers (id integer primary key, email blob check ("email" is null or (typeof("email") = 'blob' and substr("email", 1, 2) between x'0180' and x'01ff' and length("email") >= 33)))
}

// openExample returns a new database and a keyring.
func openExample(ctx context.Context) (*sql.DB, *keyring.Keyring, func()) {
	kr := openExampleKeys(ctx, keyring.Config{Name: "app"})
	dsn, drop := pgtest.ExampleDatabase()
	db, err := sql.Open("pgx", dsn)
	check(err)
	return db, kr, func() {
		db.Close()
		kr.Close()
		drop()
	}
}

func openExampleKeys(ctx context.Context, cfg keyring.Config) *keyring.Keyring {
	cfg.Store, cfg.KMS = keyring.NewMemoryStore(), []keyring.KMS{keyringtest.NewKMS()} // in programs: pgxstore, awskms
	kr, err := keyring.Create(ctx, cfg)
	check(err)
	return kr
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// TestMain skips the examples where there is no PostgreSQL.
func TestMain(m *testing.M) { pgtest.Main(m) }

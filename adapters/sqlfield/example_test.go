package sqlfield_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// The columns, which the program sets up when it starts.
var (
	email    *sqlfield.Column[string]
	emailIdx *sqlfield.Index[string]
	ssn      *sqlfield.Column[*string]
)

// The markers lead from the type of a value to its column.
type (
	Email    struct{}
	EmailIdx struct{}
	SSN      struct{}
)

func (Email) Column() *sqlfield.Column[string]  { return email }
func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
func (SSN) Column() *sqlfield.Column[*string]   { return ssn }

type Customer struct {
	ID       int64
	Email    sqlfield.Sealed[string, Email]
	EmailIdx sqlfield.Tag[string, EmailIdx]
	SSN      sqlfield.Sealed[*string, SSN]
}

// place is where the values of c are: in its row.
func (c *Customer) place() crypto.Binding { return crypto.Binding{Row: sqlfield.Row(c.ID)} }

func setUp(kr *keyring.Keyring) (err error) {
	if email, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{}); err != nil {
		return err
	}
	if emailIdx, err = email.NewIndex(token.IndexConfig{Normalizer: token.Email}); err != nil {
		return err
	}
	ssn, err = sqlfield.NewColumn[*string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
	return err
}

func migrate(ctx context.Context, db *sql.DB) error {
	statements, err := sqlfield.DDL("customers", []string{"email", "ssn"}, []string{"email_idx"})
	if err != nil {
		return err
	}
	create := `create table customers (id bigint primary key, email bytea not null, email_idx bytea not null, ssn bytea)`
	for _, s := range append([]string{create}, statements...) {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func Example() {
	ctx := context.Background()
	db, kr, done := openExample(ctx) // a database and a keyring
	defer done()
	check(setUp(kr))
	check(migrate(ctx, db))

	number := "078-05-1120"
	ann := Customer{ID: 1, Email: sqlfield.Of[Email]("ann@example.com"), SSN: sqlfield.Of[SSN](&number)}
	check(sqlfield.Seal(ctx, ann.place(), sqlfield.Fields(&ann)...))
	_, err := db.ExecContext(ctx, `insert into customers values ($1, $2, $3, $4)`, ann.ID, ann.Email, ann.EmailIdx, ann.SSN)
	check(err)

	tags, err := emailIdx.Match(ctx, "Ann@Example.com", "")
	check(err)
	var c Customer
	err = db.QueryRowContext(ctx, `select id, email, ssn from customers where email_idx = any($1)`, tags).Scan(&c.ID, &c.Email, &c.SSN)
	check(err)
	fmt.Println(c)

	address, err := c.Email.Open(ctx)
	check(err)
	p, err := c.SSN.OpenAt(ctx, c.place())
	check(err)
	fmt.Println(address, *p)

	_, err = c.SSN.OpenAt(ctx, crypto.Binding{Row: sqlfield.Row(2)})
	fmt.Println("in another row:", errors.Is(err, crypto.ErrDecrypt))

	_, err = db.ExecContext(ctx, `update customers set email = $1`, []byte("ann@example.com"))
	fmt.Println("plaintext:", err)
	// Output:
	// {1 sqlfield.Sealed(customers.email) sqlfield.Tag(customers.email) sqlfield.Sealed(customers.ssn)}
	// ann@example.com 078-05-1120
	// in another row: true
	// plaintext: ERROR: new row for relation "customers" violates check constraint "customers_email_sealed" (SQLSTATE 23514)
}

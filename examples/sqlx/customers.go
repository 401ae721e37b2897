// Package customers keeps customers through sqlx, with an e-mail address and a social
// security number that the database can not read.
package customers

import (
	"context"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

var (
	email    *sqlfield.Column[string]
	emailIdx *sqlfield.Index[string]
	ssn      *sqlfield.Column[*string]
)

// These stand for the columns in the types of their values.
type (
	Email    struct{}
	EmailIdx struct{}
	SSN      struct{}
)

func (Email) Column() *sqlfield.Column[string]  { return email }
func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
func (SSN) Column() *sqlfield.Column[*string]   { return ssn }

// SetUp makes the columns. It is called once, before anything else.
func SetUp(kr *keyring.Keyring) (err error) {
	if email, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{}); err != nil {
		return err
	}
	if emailIdx, err = email.NewIndex(token.IndexConfig{Normalizer: token.Email}); err != nil {
		return err
	}
	ssn, err = sqlfield.NewColumn[*string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
	return err
}

// Migrate creates the table, with the CHECKs that refuse plaintext. It may run again.
func Migrate(ctx context.Context, db sqlx.ExecerContext) error {
	checks, err := sqlfield.DDL("customers", []string{"email", "ssn"}, []string{"email_idx"})
	if err != nil {
		return err
	}
	for _, statement := range append([]string{`create table if not exists customers (id uuid primary key,
		tenant text not null, name text not null, email bytea not null, email_idx bytea not null, ssn bytea)`}, checks...) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Customer is a row. The program makes its ID, since SSN is bound to it.
type Customer struct {
	ID       uuid.UUID                      `db:"id"`
	Tenant   string                         `db:"tenant"`
	Name     string                         `db:"name"`
	Email    sqlfield.Sealed[string, Email] `db:"email"`
	EmailIdx sqlfield.Tag[string, EmailIdx] `db:"email_idx"`
	SSN      sqlfield.Sealed[*string, SSN]  `db:"ssn"`
}

// Place is where the values are sealed: under the tenant's keys, in this row.
func (c *Customer) Place() crypto.Binding {
	return crypto.Binding{Scope: c.Tenant, Row: sqlfield.Row(c.ID)}
}

// Insert seals customers and inserts them, in one statement.
func Insert(ctx context.Context, db sqlx.ExtContext, all []Customer) error {
	for i := range all {
		if err := sqlfield.Seal(ctx, all[i].Place(), sqlfield.Fields(&all[i])...); err != nil {
			return err
		}
	}
	_, err := sqlx.NamedExecContext(ctx, db, `insert into customers (id, tenant, name, email, email_idx, ssn)
		values (:id, :tenant, :name, :email, :email_idx, :ssn)`, all)
	return err
}

// ByEmail finds a tenant's customers, under all keys.
func ByEmail(ctx context.Context, db sqlx.QueryerContext, tenant, address string) (found []Customer, err error) {
	tags, err := emailIdx.Match(ctx, address, tenant)
	if err != nil {
		return nil, err
	}
	err = sqlx.SelectContext(ctx, db, &found, `select * from customers where tenant = $1 and email_idx = any($2)`, tenant, tags)
	return found, err
}

// SetEmail changes the e-mail address alone.
func SetEmail(ctx context.Context, db sqlx.ExtContext, c *Customer, address string) error {
	c.Email = sqlfield.Of[Email](address)
	if err := sqlfield.Seal(ctx, c.Place(), &c.Email, &c.EmailIdx); err != nil {
		return err
	}
	_, err := sqlx.NamedExecContext(ctx, db, `update customers set email = :email, email_idx = :email_idx where id = :id`, c)
	return err
}

// Package customers keeps customers through the code that sqlc generates, with an e-mail
// address and a social security number that the database can not read.
package customers

import (
	"context"
	_ "embed"

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

// Aliases for code that sqlc generates into other packages: it imports one package for
// a type.
type (
	EmailValue = sqlfield.Sealed[string, Email]
	EmailTag   = sqlfield.Tag[string, EmailIdx]
	SSNValue   = sqlfield.Sealed[*string, SSN]
)

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

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate

// Schema creates the table, with the CHECKs that refuse plaintext. It may run again.
//
//go:embed schema.sql
var Schema string

// Place is where the values are sealed: under the tenant's keys, in this row. The
// program makes the ID, since SSN is bound to it.
func (c *Customer) Place() crypto.Binding {
	return crypto.Binding{Scope: c.Tenant, Row: sqlfield.Row(c.ID)}
}

// Insert seals customers and inserts them, by COPY.
func Insert(ctx context.Context, db DBTX, all []Customer) error {
	rows := make([]CopyCustomersParams, len(all))
	for i := range all {
		if err := sqlfield.Seal(ctx, all[i].Place(), sqlfield.Fields(&all[i])...); err != nil {
			return err
		}
		rows[i] = CopyCustomersParams(all[i])
	}
	_, err := New(db).CopyCustomers(ctx, rows)
	return err
}

// ByEmail finds a tenant's customers, under all keys.
func ByEmail(ctx context.Context, db DBTX, tenant, address string) ([]Customer, error) {
	tags, err := emailIdx.Match(ctx, address, tenant)
	if err != nil {
		return nil, err
	}
	return New(db).FindByTags(ctx, FindByTagsParams{tenant, tags})
}

// SetEmail changes the e-mail address alone.
func SetEmail(ctx context.Context, db DBTX, c *Customer, address string) error {
	c.Email = sqlfield.Of[Email](address)
	if err := sqlfield.Seal(ctx, c.Place(), &c.Email, &c.EmailIdx); err != nil {
		return err
	}
	return New(db).UpdateEmail(ctx, UpdateEmailParams{ID: c.ID, Email: c.Email, EmailIdx: c.EmailIdx})
}

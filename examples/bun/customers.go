// Package customers keeps customers through bun, with an e-mail address and a social
// security number that the database can not read.
package customers

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

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
func Migrate(ctx context.Context, db bun.IDB) error {
	if _, err := db.NewCreateTable().Model((*Customer)(nil)).IfNotExists().Exec(ctx); err != nil {
		return err
	}
	checks, err := sqlfield.DDL("customers", []string{"email", "ssn"}, []string{"email_idx"})
	if err != nil {
		return err
	}
	for _, statement := range checks {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Customer is a row. The program makes its ID, since SSN is bound to it.
type Customer struct {
	bun.BaseModel `bun:"table:customers"`

	ID       uuid.UUID                      `bun:"id,pk,type:uuid"`
	Tenant   string                         `bun:"tenant,notnull"`
	Name     string                         `bun:"name,notnull"`
	Email    sqlfield.Sealed[string, Email] `bun:"email,type:bytea,notnull"`
	EmailIdx sqlfield.Tag[string, EmailIdx] `bun:"email_idx,type:bytea,notnull"`
	SSN      sqlfield.Sealed[*string, SSN]  `bun:"ssn,type:bytea"`
}

// Place is where the values are sealed: under the tenant's keys, in this row.
func (c *Customer) Place() crypto.Binding {
	return crypto.Binding{Scope: c.Tenant, Row: sqlfield.Row(c.ID)}
}

// BeforeAppendModel is called by bun for each row that it inserts or updates.
func (c *Customer) BeforeAppendModel(ctx context.Context, query bun.Query) error {
	switch query.(type) {
	case *bun.InsertQuery, *bun.UpdateQuery:
		return sqlfield.Seal(ctx, c.Place(), sqlfield.Fields(c)...)
	}
	return nil
}

// Insert inserts customers, in one statement.
func Insert(ctx context.Context, db bun.IDB, all []Customer) error {
	_, err := db.NewInsert().Model(&all).Exec(ctx)
	return err
}

// ByEmail finds a tenant's customers, under all keys.
func ByEmail(ctx context.Context, db bun.IDB, tenant, address string) (found []Customer, err error) {
	tags, err := emailIdx.Match(ctx, address, tenant)
	if err != nil {
		return nil, err
	}
	err = db.NewSelect().Model(&found).Where("tenant = ? and email_idx in (?)", tenant, bun.List(tags)).Scan(ctx)
	return found, err
}

// SetEmail changes the e-mail address alone.
func SetEmail(ctx context.Context, db bun.IDB, c *Customer, address string) error {
	c.Email = sqlfield.Of[Email](address)
	_, err := db.NewUpdate().Model(c).Column("email", "email_idx").WherePK().Exec(ctx)
	return err
}

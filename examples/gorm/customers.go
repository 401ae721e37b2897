// Package customers keeps a table with encrypted columns through GORM. Nothing but the
// types of the fields and one hook is special; what to take care of is in README.md.
package customers

import (
	"context"
	"errors"

	"gorm.io/gorm"

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

// Migrate creates the table, and the CHECKs that refuse plaintext. It may run again.
func Migrate(ctx context.Context, db *gorm.DB) error {
	db = db.WithContext(ctx)
	if err := db.AutoMigrate(&Customer{}); err != nil {
		return err
	}
	checks, err := sqlfield.DDL("customers", []string{"email", "ssn"}, []string{"email_idx"})
	if err != nil {
		return err
	}
	for _, statement := range checks {
		if err := db.Exec(statement).Error; err != nil {
			return err
		}
	}
	return nil
}

// Customer is a row. Each tenant has keys of its own, and an SSN opens in its own row
// only.
type Customer struct {
	ID       int64
	Tenant   string                         `gorm:"not null"`
	Name     string                         `gorm:"not null"`
	Email    sqlfield.Sealed[string, Email] `gorm:"type:bytea;not null"`
	EmailIdx sqlfield.Tag[string, EmailIdx] `gorm:"type:bytea;not null"`
	SSN      sqlfield.Sealed[*string, SSN]  `gorm:"type:bytea"`
}

// Place is where c's values are sealed, and open.
func (c *Customer) Place() crypto.Binding {
	return crypto.Binding{Scope: c.Tenant, Row: sqlfield.Row(c.ID)}
}

// BeforeCreate is GORM's hook before every INSERT. An SSN can not be sealed without the
// row's key, so the hook fetches the number that the INSERT would have chosen.
func (c *Customer) BeforeCreate(tx *gorm.DB) error {
	if c.ID == 0 {
		if err := tx.Raw("select nextval('customers_id_seq')").Scan(&c.ID).Error; err != nil {
			return err
		}
	}
	return c.BeforeUpdate(tx)
}

// BeforeUpdate is GORM's hook before every UPDATE: it seals.
func (c *Customer) BeforeUpdate(tx *gorm.DB) error {
	if written(tx, "email") != written(tx, "email_idx") {
		return errors.New("customers: email and email_idx are written together or not at all")
	}
	return sqlfield.Seal(tx.Statement.Context, c.Place(), sqlfield.Fields(c)...)
}

// written reports whether Select and Omit let a statement write the column.
func written(tx *gorm.DB, column string) bool {
	columns, only := tx.Statement.SelectAndOmitColumns(true, true)
	selected, named := columns[column]
	return selected || !named && !only
}

// ByEmail returns the customers of a tenant with that address, however it is written.
func ByEmail(ctx context.Context, db *gorm.DB, tenant, address string) (found []Customer, err error) {
	tags, err := emailIdx.Match(ctx, address, tenant)
	if err != nil {
		return nil, err
	}
	err = db.WithContext(ctx).Where("tenant = ? and email_idx in ?", tenant, tags).Order("id").Find(&found).Error
	return found, err
}

// SetEmail changes the e-mail address alone.
func SetEmail(ctx context.Context, db *gorm.DB, c *Customer, address string) error {
	c.Email = sqlfield.Of[Email](address)
	return db.WithContext(ctx).Select("Email", "EmailIdx").Updates(c).Error
}

// Package column has the sealed columns and the Go types of their values.
package column

import (
	"context"
	"errors"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

var (
	emails   *sqlfield.Column[string]
	emailIdx *sqlfield.Index[string]
	ssns     *sqlfield.Column[*string]
)

// These stand for the columns in the types of their values.
type (
	EmailColumn struct{}
	EmailIndex  struct{}
	SSNColumn   struct{}
)

func (EmailColumn) Column() *sqlfield.Column[string] { return emails }
func (EmailIndex) Index() *sqlfield.Index[string]    { return emailIdx }
func (SSNColumn) Column() *sqlfield.Column[*string]  { return ssns }

// Email, EmailTag and SSN embed, since ent can not generate code for types with
// parameters.
type (
	Email struct {
		sqlfield.Sealed[string, EmailColumn]
	}
	EmailTag struct {
		sqlfield.Tag[string, EmailIndex]
	}
	SSN struct {
		sqlfield.Sealed[*string, SSNColumn]
	}
)

// NewEmail returns an address to be sealed.
func NewEmail(address string) Email { return Email{sqlfield.Of[EmailColumn](address)} }

// NewSSN returns a number to be sealed.
func NewSSN(number string) SSN { return SSN{sqlfield.Of[SSNColumn](&number)} }

// EmailTags returns the tags that a tenant's rows with that address may have.
func EmailTags(ctx context.Context, tenant, address string) ([]EmailTag, error) {
	all, err := emailIdx.Match(ctx, address, tenant)
	tags := make([]EmailTag, len(all))
	for i := range all {
		err = errors.Join(err, tags[i].Scan(all[i]))
	}
	return tags, err
}

// SetUp makes the columns. It is called once, before anything else.
func SetUp(kr *keyring.Keyring) (err error) {
	if emails, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{}); err != nil {
		return err
	}
	if emailIdx, err = emails.NewIndex(token.IndexConfig{Normalizer: token.Email}); err != nil {
		return err
	}
	ssns, err = sqlfield.NewColumn[*string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
	return err
}

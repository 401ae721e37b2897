// Package customers keeps a table with encrypted columns through ent: the fields have
// Go types of package column, and a hook seals. What to take care of is in README.md.
package customers

//go:generate go run entgo.io/ent/cmd/ent@v0.14.5 generate --target ./gen ./schema

import (
	"context"
	"database/sql"
	"errors"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/examples/ent/column"
	"github.com/sealfield/sealfield/examples/ent/gen"
	"github.com/sealfield/sealfield/examples/ent/gen/customer"
	"github.com/sealfield/sealfield/examples/ent/gen/hook"
)

// Open returns a client whose hook seals. A client without the hook writes nothing
// in clear: it can not write.
func Open(db *sql.DB, options ...gen.Option) *gen.Client {
	client := gen.NewClient(append(options, gen.Driver(entsql.OpenDB(dialect.Postgres, db)))...)
	client.Customer.Use(seal)
	return client
}

func seal(next gen.Mutator) gen.Mutator {
	return hook.CustomerFunc(func(ctx context.Context, m *gen.CustomerMutation) (gen.Value, error) {
		if err := sealFields(ctx, m); err != nil {
			return nil, err
		}
		return next.Mutate(ctx, m)
	})
}

// sealFields seals what an INSERT or UPDATE sets.
func sealFields(ctx context.Context, m *gen.CustomerMutation) error {
	email, hasEmail := m.Email()
	tag, hasTag := m.EmailIdx()
	ssn, hasSSN := m.Ssn()
	var fields []sqlfield.Field
	if hasEmail {
		fields = append(fields, &email)
	}
	if hasEmail || hasTag {
		fields = append(fields, &tag)
	}
	if hasSSN {
		fields = append(fields, &ssn)
	}
	if fields == nil {
		return nil
	}
	at, err := placeOf(ctx, m)
	if err != nil {
		return err
	}
	if err := sqlfield.Seal(ctx, at, fields...); err != nil {
		return err
	}
	if hasEmail {
		m.SetEmail(email)
		m.SetEmailIdx(tag)
	}
	if hasSSN {
		m.SetSsn(ssn)
	}
	return nil
}

func placeOf(ctx context.Context, m *gen.CustomerMutation) (at crypto.Binding, err error) {
	id, one := m.ID()
	if !one {
		return at, errors.New("customers: sealed columns are updated one row at a time")
	}
	tenant, isNew := m.Tenant()
	if !isNew {
		tenant, err = m.OldTenant(ctx)
	}
	return crypto.Binding{Scope: tenant, Row: sqlfield.Row(id)}, err
}

// Place is where c's values are sealed, and open.
func Place(c *gen.Customer) crypto.Binding {
	return crypto.Binding{Scope: c.Tenant, Row: sqlfield.Row(c.ID)}
}

// ByEmail returns the customers of a tenant with that address, however it is written.
func ByEmail(ctx context.Context, client *gen.Client, tenant, address string) ([]*gen.Customer, error) {
	tags, err := column.EmailTags(ctx, tenant, address)
	if err != nil {
		return nil, err
	}
	return client.Customer.Query().Where(customer.Tenant(tenant), customer.EmailIdxIn(tags...)).Order(customer.ByID()).All(ctx)
}

package stdsql

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	customers "github.com/sealfield/sealfield/examples/sqlc"
	"github.com/sealfield/sealfield/internal/ormtest"
)

func TestCustomers(t *testing.T) {
	ctx := t.Context()
	kr := ormtest.NewKeyring(t)
	require.NoError(t, customers.SetUp(kr))
	db, _ := ormtest.Open(t)
	_, err := db.ExecContext(ctx, customers.Schema)
	require.NoError(t, err)
	number := "078-05-1120"
	insert := func(name, address string, number *string) {
		c := customers.Customer{ID: uuid.Must(uuid.NewV7()), Tenant: "acme", Name: name,
			Email: sqlfield.Of[customers.Email](address), SSN: sqlfield.Of[customers.SSN](number)}
		require.ErrorIs(t, New(db).InsertCustomer(ctx, InsertCustomerParams(c)), sqlfield.ErrNotSealed)
		require.NoError(t, sqlfield.Seal(ctx, c.Place(), sqlfield.Fields(&c)...))
		require.NoError(t, New(db).InsertCustomer(ctx, InsertCustomerParams(c)))
	}
	find := func(q *Queries, address string) []Customer {
		tags, err := customers.EmailIdx{}.Index().Match(ctx, address, "acme")
		require.NoError(t, err)
		found, err := q.FindByTags(ctx, FindByTagsParams{"acme", tags})
		require.NoError(t, err)
		return found
	}
	require.Empty(t, find(New(db), "ann@example.com"), "no tags yet")
	insert("Ann", "ann@example.com", &number)
	ormtest.Rotate(t, kr, "acme")
	insert("Di", "Ann@Example.com", nil)
	require.Len(t, find(New(db), "ann@example.com"), 2)
	for _, row := range find(New(db), "ann@example.com") {
		c := customers.Customer(row)
		require.Equal(t, c.Name == "Di", c.SSN.IsZero())
		got, err := c.SSN.OpenAt(ctx, c.Place())
		require.NoError(t, err)
		if c.Name == "Ann" {
			require.Equal(t, number, *got)
		}

		c.Email = sqlfield.Of[customers.Email]("new@example.com")
		require.NoError(t, sqlfield.Seal(ctx, c.Place(), &c.Email, &c.EmailIdx))
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		q := New(db).WithTx(tx)
		require.NoError(t, q.UpdateEmail(ctx, UpdateEmailParams{ID: c.ID, Email: c.Email, EmailIdx: c.EmailIdx}))
		require.Len(t, find(q, "new@example.com"), 1)
		require.NoError(t, tx.Rollback())
	}
	require.Empty(t, find(New(db), "new@example.com"))
	_, err = db.ExecContext(ctx, "update customers set email = $1", "plain@example.com")
	ormtest.Refused(t, err, "customers_email_sealed")
}

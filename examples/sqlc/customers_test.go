package customers

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/ormtest"
	"github.com/sealfield/sealfield/keyring"
)

func TestGuide(t *testing.T) { ormtest.Guide(t) }

// TestSchema holds the CHECKs of the migration to those of sqlfield.
func TestSchema(t *testing.T) {
	for _, check := range []string{
		"customers_email_sealed check (" + sqlfield.SealedCheck(sqlfield.PostgreSQL, "email") + ")",
		"customers_email_idx_tag check (" + sqlfield.TagCheck(sqlfield.PostgreSQL, "email_idx") + ")",
		"customers_ssn_sealed check (" + sqlfield.SealedCheck(sqlfield.PostgreSQL, "ssn") + ")",
	} {
		require.Contains(t, Schema, check)
	}
}

func setUp(t *testing.T) (*pgx.Conn, *keyring.Keyring, *ormtest.Log) {
	ctx := t.Context()
	kr := ormtest.NewKeyring(t)
	require.NoError(t, SetUp(kr))
	cfg, log := ormtest.Config(t)
	db, err := pgx.ConnectConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close(context.Background()) })
	for range 2 {
		_, err := db.Exec(ctx, Schema)
		require.NoError(t, err)
	}
	return db, kr, log
}

func newCustomer(tenant, name, address string, number *string) Customer {
	return Customer{ID: uuid.Must(uuid.NewV7()), Tenant: tenant, Name: name, Email: sqlfield.Of[Email](address), SSN: sqlfield.Of[SSN](number)}
}

// emails returns the names and addresses of the customers that are found.
func emails(t *testing.T, db DBTX, tenant, address string) map[string]string {
	found, err := ByEmail(t.Context(), db, tenant, address)
	require.NoError(t, err)
	all := map[string]string{}
	for _, c := range found {
		all[c.Name], err = c.Email.OpenAt(t.Context(), c.Place())
		require.NoError(t, err)
	}
	return all
}

func TestCustomers(t *testing.T) {
	ctx := t.Context()
	db, kr, _ := setUp(t)
	number := "078-05-1120"
	require.Empty(t, emails(t, db, "acme", "ann@example.com"), "no tags yet")
	all := []Customer{
		newCustomer("acme", "Ann", "Ann@example.com", &number),
		newCustomer("acme", "Bo", "bo@example.com", nil),
		newCustomer("zeta", "Cy", "ann@example.com", nil),
	}
	require.NoError(t, Insert(ctx, db, all), "a batch")
	require.Empty(t, emails(t, db, "acme", "nobody@example.com"))
	require.Equal(t, map[string]string{"Cy": "ann@example.com"}, emails(t, db, "zeta", "ann@example.com"))

	// The tag under the old key, and one under the new.
	ormtest.Rotate(t, kr, "acme")
	di := InsertCustomerParams(newCustomer("acme", "Di", "ann@EXAMPLE.com", nil))
	require.NoError(t, sqlfield.Seal(ctx, crypto.Binding{Scope: "acme", Row: sqlfield.Row(di.ID)}, sqlfield.Fields(&di)...))
	require.NoError(t, New(db).InsertCustomer(ctx, di))
	require.Equal(t, map[string]string{"Ann": "Ann@example.com", "Di": "ann@EXAMPLE.com"}, emails(t, db, "acme", "ann@example.com"))

	// Read, NULL, and the row.
	one := func(address string) Customer {
		found, err := ByEmail(ctx, db, "acme", address)
		require.NoError(t, err)
		return found[0]
	}
	ann, bo := one("ann@example.com"), one("bo@example.com")
	require.Equal(t, all[0], ann)
	got, err := ann.SSN.OpenAt(ctx, ann.Place())
	require.NoError(t, err)
	require.Equal(t, &number, got)
	require.True(t, bo.SSN.IsZero())
	got, err = bo.SSN.OpenAt(ctx, bo.Place())
	require.NoError(t, err)
	require.Nil(t, got)
	_, err = ann.SSN.OpenAt(ctx, bo.Place())
	require.ErrorIs(t, err, crypto.ErrDecrypt, "moved to another row")

	// Update one column, and in a transaction that is rolled back.
	require.NoError(t, SetEmail(ctx, db, &bo, "bob@example.com"))
	tx, err := db.Begin(ctx)
	require.NoError(t, err)
	changed := ann
	require.NoError(t, SetEmail(ctx, tx, &changed, "anna@example.com"))
	require.Len(t, emails(t, tx, "acme", "anna@example.com"), 1)
	require.NoError(t, tx.Rollback(ctx))
	require.Empty(t, emails(t, db, "acme", "anna@example.com"))
	require.Empty(t, emails(t, db, "acme", "bo@example.com"))
	require.Equal(t, map[string]string{"Bo": "bob@example.com"}, emails(t, db, "acme", "bob@example.com"))

	// Load, seal and save: it is under the new keys.
	require.NoError(t, sqlfield.Seal(ctx, ann.Place(), sqlfield.Fields(&ann)...))
	require.NotEqual(t, all[0].Email, ann.Email)
	require.NotEqual(t, all[0].EmailIdx, ann.EmailIdx)
	require.NoError(t, New(db).UpdateEmail(ctx, UpdateEmailParams{ID: ann.ID, Email: ann.Email, EmailIdx: ann.EmailIdx}))
	require.Len(t, emails(t, db, "acme", "ann@example.com"), 2)
}

// TestPlaintext has what would be written, and is not.
func TestPlaintext(t *testing.T) {
	ctx := t.Context()
	db, _, _ := setUp(t)
	all := []Customer{newCustomer("acme", "Ann", "ann@example.com", nil)}
	require.NoError(t, Insert(ctx, db, all))
	ann := all[0]

	// A parameter with a cast is plain bytes.
	err := New(db).UpdateGiven(ctx, UpdateGivenParams{ID: ann.ID, Email: []byte("plain@example.com")})
	ormtest.Refused(t, err, "customers_email_sealed")
	require.NoError(t, New(db).UpdateGiven(ctx, UpdateGivenParams{ID: ann.ID}))
	_, err = db.Exec(ctx, "update customers set email = $1, ssn = $2", "plain@example.com", "078-05-1120")
	ormtest.Refused(t, err, "customers_email_sealed")
	_, err = db.Exec(ctx, "update customers set ssn = $1", "078-05-1120")
	ormtest.Refused(t, err, "customers_ssn_sealed")
	_, err = db.Exec(ctx, "update customers set email_idx = $1", "ann@example.com")
	ormtest.Refused(t, err, "customers_email_idx_tag")
	_, err = db.CopyFrom(ctx, pgx.Identifier{"customers"}, []string{"id", "tenant", "name", "email", "email_idx"},
		pgx.CopyFromRows([][]any{{uuid.Must(uuid.NewV7()), "acme", "Bo", []byte("plain@example.com"), ann.EmailIdx}}))
	ormtest.Refused(t, err, "customers_email_sealed")

	// Values that nobody sealed, or not whole.
	changed := ann
	changed.Email = sqlfield.Of[Email]("anna@example.com")
	err = New(db).UpdateEmail(ctx, UpdateEmailParams{ID: ann.ID, Email: changed.Email, EmailIdx: ann.EmailIdx})
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	_, err = New(db).CopyCustomers(ctx, []CopyCustomersParams{CopyCustomersParams(changed)})
	require.ErrorContains(t, err, sqlfield.ErrNotSealed.Error())
	require.ErrorContains(t, sqlfield.Seal(ctx, ann.Place(), &changed.Email), "without the tag")
	require.ErrorContains(t, sqlfield.Seal(ctx, ann.Place(), &changed.EmailIdx), "without its value")
	changed.ID, changed.SSN = uuid.Nil, sqlfield.Of[SSN](new(string))
	require.ErrorContains(t, Insert(ctx, db, []Customer{changed}), "customers.ssn: seal")

	// A comparison with a value finds nothing.
	again := newCustomer("acme", "Ann", "ann@example.com", nil)
	_, err = New(db).CountByEmail(ctx, again.Email)
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	require.NoError(t, sqlfield.Seal(ctx, again.Place(), sqlfield.Fields(&again)...))
	n, err := New(db).CountByEmail(ctx, again.Email)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Len(t, emails(t, db, "acme", "ann@example.com"), 1)

	// What was never sealed is not read as if it was.
	require.ErrorIs(t, db.QueryRow(ctx, "select 'plain@example.com'::bytea").Scan(&changed.Email), crypto.ErrDecrypt)
}

// TestNothingShows has the log of pgx.
func TestNothingShows(t *testing.T) {
	ctx := t.Context()
	db, _, log := setUp(t)
	const address = "marker@example.com"
	number := "marker-078-05-1120"
	c := newCustomer("acme", "visible", address, &number)
	err := New(db).InsertCustomer(ctx, InsertCustomerParams(c))
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	require.False(t, ormtest.Shows(err.Error(), address), err)
	require.NoError(t, Insert(ctx, db, []Customer{c}))
	require.NoError(t, SetEmail(ctx, db, &c, "new-"+address))
	require.Len(t, emails(t, db, "acme", "new-"+address), 1)
	require.NoError(t, New(db).UpdateEmail(ctx, UpdateEmailParams{ID: c.ID, Email: c.Email, EmailIdx: c.EmailIdx}))
	all := log.Take()
	require.Contains(t, all, "acme")
	require.Contains(t, all, "sqlfield.Sealed(customers.email)")
	for _, marker := range []string{address, number} {
		require.False(t, ormtest.Shows(all, marker), all)
	}

	// The control: the same without Sealed.
	err = New(db).UpdateGiven(ctx, UpdateGivenParams{ID: c.ID, Email: []byte(address)})
	ormtest.Refused(t, err, "customers_email_sealed")
	require.True(t, ormtest.Shows(log.Take(), address))
}

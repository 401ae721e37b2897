package customers

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/ormtest"
	"github.com/sealfield/sealfield/keyring"
)

func TestGuide(t *testing.T) { ormtest.Guide(t) }

func setUp(t *testing.T) (*sqlx.DB, *keyring.Keyring, *ormtest.Log) {
	kr := ormtest.NewKeyring(t)
	require.NoError(t, SetUp(kr))
	pool, log := ormtest.Open(t)
	db := sqlx.NewDb(pool, "pgx")
	for range 2 {
		require.NoError(t, Migrate(t.Context(), db))
	}
	return db, kr, log
}

func newCustomer(tenant, name, address string, number *string) Customer {
	return Customer{ID: uuid.Must(uuid.NewV7()), Tenant: tenant, Name: name, Email: sqlfield.Of[Email](address), SSN: sqlfield.Of[SSN](number)}
}

// emails returns the names and addresses of the customers that are found.
func emails(t *testing.T, db sqlx.QueryerContext, tenant, address string) map[string]string {
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
	require.NoError(t, Insert(ctx, db, []Customer{newCustomer("acme", "Di", "ann@EXAMPLE.com", nil)}))
	require.Equal(t, map[string]string{"Ann": "Ann@example.com", "Di": "ann@EXAMPLE.com"}, emails(t, db, "acme", "ann@example.com"))
	tags, err := emailIdx.Match(ctx, "ann@example.com", "acme")
	require.NoError(t, err)
	query, args, err := sqlx.In("select name from customers where tenant = ? and email_idx in (?) order by name", "acme", tags)
	require.NoError(t, err)
	var names []string
	require.NoError(t, db.SelectContext(ctx, &names, db.Rebind(query), args...))
	require.Equal(t, []string{"Ann", "Di"}, names)

	// Read, NULL, and the row.
	var ann, bo Customer
	require.NoError(t, db.GetContext(ctx, &ann, "select * from customers where name = 'Ann'"))
	require.NoError(t, db.GetContext(ctx, &bo, "select * from customers where name = 'Bo' and ssn is null"))
	require.Equal(t, all[0], ann)
	got, err := ann.SSN.OpenAt(ctx, ann.Place())
	require.NoError(t, err)
	require.Equal(t, &number, got)
	got, err = bo.SSN.OpenAt(ctx, bo.Place())
	require.NoError(t, err)
	require.Nil(t, got)
	_, err = ann.SSN.OpenAt(ctx, bo.Place())
	require.ErrorIs(t, err, crypto.ErrDecrypt, "moved to another row")

	// Update one column, and in a transaction that is rolled back.
	require.NoError(t, SetEmail(ctx, db, &bo, "bob@example.com"))
	tx, err := db.BeginTxx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, SetEmail(ctx, tx, &ann, "anna@example.com"))
	require.Len(t, emails(t, tx, "acme", "anna@example.com"), 1)
	require.NoError(t, tx.Rollback())
	require.Empty(t, emails(t, db, "acme", "anna@example.com"))
	require.Empty(t, emails(t, db, "acme", "bo@example.com"))
	require.Equal(t, map[string]string{"Bo": "bob@example.com"}, emails(t, db, "acme", "bob@example.com"))

	// Load, seal and save: everything is under the new keys.
	before := all[0]
	require.NoError(t, sqlfield.Seal(ctx, all[0].Place(), sqlfield.Fields(&all[0])...))
	require.NotEqual(t, before.Email, all[0].Email)
	require.NotEqual(t, before.EmailIdx, all[0].EmailIdx)
	stmt, err := db.PrepareNamedContext(ctx, "update customers set email = :email, email_idx = :email_idx, ssn = :ssn where id = :id")
	require.NoError(t, err)
	_, err = stmt.ExecContext(ctx, all[0])
	require.NoError(t, err)
	require.Len(t, emails(t, db, "acme", "ann@example.com"), 2)
}

// TestPlaintext has what sqlx would write, and does not.
func TestPlaintext(t *testing.T) {
	ctx := t.Context()
	db, _, _ := setUp(t)
	all := []Customer{newCustomer("acme", "Ann", "ann@example.com", nil)}
	require.NoError(t, Insert(ctx, db, all))
	ann := all[0]

	const update = "update customers set email = :email where id = :id"
	_, err := db.NamedExecContext(ctx, update, map[string]any{"id": ann.ID, "email": "plain@example.com"})
	ormtest.Refused(t, err, "customers_email_sealed")
	_, err = db.NamedExecContext(ctx, update, []map[string]any{{"id": ann.ID, "email": []byte("plain@example.com")}})
	ormtest.Refused(t, err, "customers_email_sealed")
	_, err = db.NamedExecContext(ctx, update, struct {
		ID    uuid.UUID
		Email string
	}{ann.ID, "plain@example.com"})
	ormtest.Refused(t, err, "customers_email_sealed")
	_, err = db.ExecContext(ctx, "update customers set email = 'plain@example.com'")
	ormtest.Refused(t, err, "customers_email_sealed")
	_, err = db.ExecContext(ctx, "update customers set ssn = $1", "078-05-1120")
	ormtest.Refused(t, err, "customers_ssn_sealed")
	_, err = db.ExecContext(ctx, "update customers set email_idx = $1", "ann@example.com")
	ormtest.Refused(t, err, "customers_email_idx_tag")
	require.Panics(t, func() { db.MustExec("update customers set ssn = email_idx") }, "a tag is no value")

	// Values that nobody sealed, or not whole.
	changed := ann
	changed.Email = sqlfield.Of[Email]("anna@example.com")
	_, err = db.NamedExecContext(ctx, update, changed)
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	_, _, err = sqlx.In("update customers set email = ? where id in (?)", changed.Email, []uuid.UUID{ann.ID})
	require.ErrorIs(t, err, sqlfield.ErrNotSealed)
	require.ErrorContains(t, sqlfield.Seal(ctx, ann.Place(), &changed.Email), "without the tag")
	require.ErrorContains(t, sqlfield.Seal(ctx, ann.Place(), &changed.EmailIdx), "without its value")
	changed.ID, changed.SSN = uuid.Nil, sqlfield.Of[SSN](new(string))
	require.Error(t, Insert(ctx, db, []Customer{changed}), "SSN needs its row")

	// A comparison with a value finds nothing, and one with its tag does.
	for _, condition := range []string{"email = 'ann@example.com'", "email_idx = 'ann@example.com'"} {
		var n int
		require.NoError(t, db.GetContext(ctx, &n, "select count(*) from customers where "+condition))
		require.Zero(t, n, condition)
	}
	require.Len(t, emails(t, db, "acme", "ann@example.com"), 1)
	_, _, err = sqlx.In("email_idx in (?)", [][]byte{})
	require.Error(t, err, "sqlx.In has nothing for no tags; sqlfield.In has")
	condition, args := sqlfield.In("email_idx", nil)
	require.NoError(t, db.SelectContext(ctx, &[]Customer{}, "select * from customers where "+condition, args...))

	// Nobody sees that the tag is missing here. Ann is found under her old address
	// until all of the row is saved.
	changed = ann
	changed.Email = sqlfield.Of[Email]("anna@example.com")
	require.NoError(t, sqlfield.Seal(ctx, ann.Place(), sqlfield.Fields(&changed)...))
	_, err = db.NamedExecContext(ctx, update, changed)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Ann": "anna@example.com"}, emails(t, db, "acme", "ann@example.com"))
	_, err = db.NamedExecContext(ctx, "update customers set email = :email, email_idx = :email_idx where id = :id", changed)
	require.NoError(t, err)
	require.Empty(t, emails(t, db, "acme", "ann@example.com"))

	// What was never sealed is not read as if it was.
	require.ErrorIs(t, db.GetContext(ctx, &changed, "select id, 'plain@example.com'::bytea as email from customers"), crypto.ErrDecrypt)
}

// TestNothingShows has the log of the driver, and an error of sqlx that prints its
// argument.
func TestNothingShows(t *testing.T) {
	ctx := t.Context()
	db, _, log := setUp(t)
	const address = "marker@example.com"
	number := "marker-078-05-1120"
	c := newCustomer("acme", "visible", address, &number)
	_, err := db.NamedExecContext(ctx, "update customers set email = :email, ssn = :email_address", c)
	require.ErrorContains(t, err, "could not find name email_address in")
	require.False(t, ormtest.Shows(err.Error(), address), err)

	require.NoError(t, Insert(ctx, db, []Customer{c}))
	require.NoError(t, SetEmail(ctx, db, &c, "new-"+address))
	require.Len(t, emails(t, db, "acme", "new-"+address), 1)
	all := log.Take()
	require.Contains(t, all, "visible")
	for _, marker := range []string{address, number} {
		require.False(t, ormtest.Shows(all, marker), all)
	}

	// The control: the same without Sealed.
	type plain struct {
		Email string
		SSN   []byte
	}
	p := plain{address, []byte(number)}
	_, err = db.NamedExecContext(ctx, "update customers set email = :email, ssn = :email_address", p)
	require.True(t, ormtest.Shows(fmt.Sprint(err), address))
	_, err = db.NamedExecContext(ctx, "update customers set email = :email, ssn = :ssn", p)
	ormtest.Refused(t, err, "customers_email_sealed")
	all = log.Take()
	require.True(t, ormtest.Shows(all, address), all)
	require.True(t, ormtest.Shows(all, number), all)
}

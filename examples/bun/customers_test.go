package customers

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/extra/bundebug"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/ormtest"
	"github.com/sealfield/sealfield/keyring"
)

func TestGuide(t *testing.T) { ormtest.Guide(t) }

func setUp(t *testing.T) (*bun.DB, *keyring.Keyring, *ormtest.Log) {
	kr := ormtest.NewKeyring(t)
	require.NoError(t, SetUp(kr))
	pool, log := ormtest.Open(t)
	db := bun.NewDB(pool, pgdialect.New()).WithQueryHook(bundebug.NewQueryHook(bundebug.WithVerbose(true), bundebug.WithWriter(log)))
	for range 2 {
		require.NoError(t, Migrate(t.Context(), db))
	}
	return db, kr, log
}

func newCustomer(tenant, name, address string, number *string) Customer {
	return Customer{ID: uuid.Must(uuid.NewV7()), Tenant: tenant, Name: name, Email: sqlfield.Of[Email](address), SSN: sqlfield.Of[SSN](number)}
}

// emails returns the names and addresses of the customers that are found.
func emails(t *testing.T, db bun.IDB, tenant, address string) map[string]string {
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
	require.NoError(t, Insert(ctx, db, []Customer{newCustomer("acme", "Di", "ann@EXAMPLE.com", nil)}))
	require.Equal(t, map[string]string{"Ann": "Ann@example.com", "Di": "ann@EXAMPLE.com"}, emails(t, db, "acme", "ann@example.com"))

	// Read, NULL, and the row.
	var ann, bo Customer
	require.NoError(t, db.NewSelect().Model(&ann).Where("name = 'Ann'").Scan(ctx))
	require.NoError(t, db.NewSelect().Model(&bo).Where("name = 'Bo' and ssn is null").Scan(ctx))
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
	failed := errors.New("failed")
	require.ErrorIs(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		changed := ann
		require.NoError(t, SetEmail(ctx, tx, &changed, "anna@example.com"))
		require.Len(t, emails(t, tx, "acme", "anna@example.com"), 1)
		return failed
	}), failed)
	require.Empty(t, emails(t, db, "acme", "anna@example.com"))
	require.Empty(t, emails(t, db, "acme", "bo@example.com"))
	require.Equal(t, map[string]string{"Bo": "bob@example.com"}, emails(t, db, "acme", "bob@example.com"))

	// Load and save, in bulk: everything is under the new keys.
	both := []Customer{ann, bo}
	_, err = db.NewUpdate().Model(&both).Column("email", "email_idx", "ssn").Bulk().Exec(ctx)
	require.NoError(t, err)
	require.NotEqual(t, ann.Email, both[0].Email)
	require.NotEqual(t, ann.EmailIdx, both[0].EmailIdx)
	ann = Customer{ID: ann.ID}
	require.NoError(t, db.NewSelect().Model(&ann).WherePK().Scan(ctx))
	require.Equal(t, both[0], ann)
	require.Len(t, emails(t, db, "acme", "ann@example.com"), 2)

	// On conflict, what the hook sealed is what is set.
	ann.Email = sqlfield.Of[Email]("anna@example.com")
	_, err = db.NewInsert().Model(&ann).On("conflict (id) do update").Set("email = excluded.email, email_idx = excluded.email_idx").Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Ann": "anna@example.com"}, emails(t, db, "acme", "anna@example.com"))
}

// execer is any query of bun that writes.
type execer interface {
	Exec(ctx context.Context, dest ...any) (sql.Result, error)
}

// TestPlaintext has what bun would write, and does not.
func TestPlaintext(t *testing.T) {
	ctx := t.Context()
	db, _, _ := setUp(t)
	all := []Customer{newCustomer("acme", "Ann", "ann@example.com", nil)}
	require.NoError(t, Insert(ctx, db, all))
	ann := all[0]

	type plainCustomer struct {
		bun.BaseModel `bun:"table:customers"`
		ID            uuid.UUID `bun:"id,pk,type:uuid"`
		Email         string    `bun:"email"`
	}
	type packed struct {
		bun.BaseModel `bun:"table:customers"`
		ID            uuid.UUID                      `bun:"id,pk,type:uuid"`
		Email         sqlfield.Sealed[string, Email] `bun:"email,msgpack"`
	}
	update := func() *bun.UpdateQuery { return db.NewUpdate().Model(&ann).WherePK() }
	for what, query := range map[string]execer{
		"set":           db.NewUpdate().Model((*Customer)(nil)).Set("email = ?", "plain@example.com").Where("true"),
		"set bytes":     update().Set("email = ?", []byte("plain@example.com")),
		"value":         update().Column("email").Value("email", "?", "plain@example.com"),
		"map":           db.NewUpdate().Model(&map[string]any{"email": "plain@example.com"}).Table("customers").Where("true"),
		"another model": db.NewUpdate().Model(&plainCustomer{ID: ann.ID, Email: "plain@example.com"}).WherePK(),
		"msgpack":       db.NewUpdate().Model(&packed{ID: ann.ID, Email: sqlfield.Of[Email]("plain@example.com")}).WherePK(),
		"raw":           db.NewRaw("update customers set email = ?", "plain@example.com"),
	} {
		_, err := query.Exec(ctx)
		require.Error(t, err, what)
		ormtest.Refused(t, err, "customers_email_sealed")
	}
}

// TestNotWhole has values that are not sealed, not whole, or of another row.
func TestNotWhole(t *testing.T) {
	ctx := t.Context()
	db, _, _ := setUp(t)
	number := "078-05-1120"
	all := []Customer{newCustomer("acme", "Ann", "ann@example.com", &number), newCustomer("acme", "Bo", "bo@example.com", nil)}
	require.NoError(t, Insert(ctx, db, all))
	ann, bo := all[0], all[1]

	// The hook sees what is wrong.
	moved := bo
	moved.SSN = ann.SSN
	_, err := db.NewUpdate().Model(&moved).WherePK().Exec(ctx)
	require.ErrorIs(t, err, crypto.ErrDecrypt, "another row's")
	require.ErrorContains(t, Insert(ctx, db, []Customer{{Tenant: "acme", SSN: sqlfield.Of[SSN](&number)}}), "customers.ssn: seal")

	// What no hook sees is not sealed. Bun writes the error into the statement.
	pending := sqlfield.Of[Email]("anna@example.com")
	for what, query := range map[string]execer{
		"set":    db.NewUpdate().Model((*Customer)(nil)).Set("email = ?", pending).Where("true"),
		"values": db.NewUpdate().With("v", db.NewValues(&[]Customer{{ID: ann.ID, Email: pending}})).Model((*Customer)(nil)).TableExpr("v").Set("email = v.email").Where("customer.id = v.id"),
		"map":    db.NewUpdate().Model(&map[string]any{"email": pending}).Table("customers").Where("true"),
	} {
		_, err := query.Exec(ctx)
		require.ErrorContains(t, err, "SQLSTATE 42601", what)
	}

	// Searching for a value, rather than for its tags, finds nothing.
	for _, value := range []any{"ann@example.com", []byte("ann@example.com")} {
		n, err := db.NewSelect().Model((*Customer)(nil)).Where("email = ?", value).WhereOr("email_idx = ?", value).Count(ctx)
		require.NoError(t, err)
		require.Zero(t, n)
	}
	_, err = db.NewSelect().Model((*Customer)(nil)).Where("email = ?", pending).Count(ctx)
	require.ErrorContains(t, err, "SQLSTATE 42601")

	// Nobody sees that the tag is missing here. Ann is found under her old address
	// until the row is saved whole.
	ann.Email = sqlfield.Of[Email]("anna@example.com")
	_, err = db.NewUpdate().Model(&ann).Column("email").WherePK().Exec(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Ann": "anna@example.com"}, emails(t, db, "acme", "ann@example.com"))
	require.NoError(t, db.NewSelect().Model(&ann).WherePK().Scan(ctx))
	_, err = db.NewUpdate().Model(&ann).WherePK().Exec(ctx)
	require.NoError(t, err)
	require.Empty(t, emails(t, db, "acme", "ann@example.com"))
	require.Len(t, emails(t, db, "acme", "anna@example.com"), 1)

	// What was never sealed is not read as if it was.
	require.ErrorIs(t, db.NewSelect().ColumnExpr("?::bytea as email", "plain@example.com").Model(&ann).WherePK().Scan(ctx), crypto.ErrDecrypt)
}

// TestNothingShows has the logs of bundebug and of the driver.
func TestNothingShows(t *testing.T) {
	ctx := t.Context()
	db, _, log := setUp(t)
	const address = "marker@example.com"
	number := "marker-078-05-1120"
	c := newCustomer("acme", "visible", address, &number)
	require.NoError(t, Insert(ctx, db, []Customer{c}))
	require.NoError(t, SetEmail(ctx, db, &c, "new-"+address))
	require.Len(t, emails(t, db, "acme", "new-"+address), 1)
	_, err := db.NewUpdate().Model((*Customer)(nil)).Set("email = ?", sqlfield.Of[Email](address)).Where("true").Exec(ctx)
	require.Error(t, err)
	all := log.Take()
	require.Contains(t, all, "[bun]")
	require.Contains(t, all, "visible")
	for _, marker := range []string{address, number} {
		require.False(t, ormtest.Shows(all, marker), all)
	}

	// The control: the same without Sealed.
	type plain struct {
		bun.BaseModel `bun:"table:customers"`
		ID            uuid.UUID `bun:"id,pk,type:uuid"`
		Email         string    `bun:"email"`
		SSN           []byte    `bun:"ssn"`
	}
	_, err = db.NewUpdate().Model(&plain{ID: c.ID, Email: address, SSN: []byte(number)}).WherePK().Exec(ctx)
	ormtest.Refused(t, err, "customers_email_sealed")
	all = log.Take()
	require.True(t, ormtest.Shows(all, address), all)
	require.True(t, ormtest.Shows(all, number), all)
}

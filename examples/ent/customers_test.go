package customers

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	builder "entgo.io/ent/dialect/sql"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/examples/ent/column"
	"github.com/sealfield/sealfield/examples/ent/gen"
	"github.com/sealfield/sealfield/examples/ent/gen/customer"
	"github.com/sealfield/sealfield/examples/ent/gen/migrate"
	"github.com/sealfield/sealfield/examples/ent/schema"
	"github.com/sealfield/sealfield/internal/ormtest"
	"github.com/sealfield/sealfield/keyring"
)

func TestGuide(t *testing.T) { ormtest.Guide(t) }

// TestGenerated holds what "go generate" wrote to the schema, and to sqlfield's CHECKs.
func TestGenerated(t *testing.T) {
	var columns []string
	for _, f := range (schema.Customer{}).Fields() {
		columns = append(columns, f.Descriptor().Name)
	}
	require.Equal(t, columns, customer.Columns)
	for _, a := range (schema.Customer{}).Annotations() {
		require.Equal(t, a.(*entsql.Annotation).Checks, migrate.CustomersTable.Annotation.Checks)
	}
}

// setUp returns an empty table, by ent and without it, and what ent and the driver log:
// every statement with its arguments.
func setUp(t *testing.T) (*gen.Client, *sql.DB, *keyring.Keyring, *ormtest.Log) {
	kr := ormtest.NewKeyring(t)
	require.NoError(t, column.SetUp(kr))
	db, log := ormtest.Open(t)
	client := Open(db, logTo(log)...)
	for range 2 {
		require.NoError(t, client.Schema.Create(t.Context()))
	}
	return client, db, kr, log
}

func logTo(log *ormtest.Log) []gen.Option {
	return []gen.Option{gen.Debug(), gen.Log(func(all ...any) { fmt.Fprintln(log, append([]any{"ent:"}, all...)...) })}
}

func create(client *gen.Client, tenant, name, address string) *gen.CustomerCreate {
	return client.Customer.Create().SetTenant(tenant).SetName(name).SetEmail(column.NewEmail(address))
}

// names returns the names of the customers that are found by an address, and requires
// that theirs opens.
func names(t *testing.T, client *gen.Client, tenant, address string) (all []string) {
	found, err := ByEmail(t.Context(), client, tenant, address)
	require.NoError(t, err)
	for _, c := range found {
		got, err := c.Email.OpenAt(t.Context(), Place(c))
		require.NoError(t, err)
		require.True(t, strings.EqualFold(address, got))
		all = append(all, c.Name)
	}
	return all
}

// same requires that the row is what it was.
func same(t *testing.T, client *gen.Client, want *gen.Customer) {
	t.Helper()
	got, err := client.Customer.Get(t.Context(), want.ID)
	require.NoError(t, err)
	require.Equal(t, want.Name, got.Name)
	require.Equal(t, want.Email, got.Email)
	require.Equal(t, want.EmailIdx, got.EmailIdx)
	require.Equal(t, want.Ssn, got.Ssn)
}

func TestCustomers(t *testing.T) {
	client, _, _, _ := setUp(t)
	ctx := t.Context()
	const number = "078-05-1120"
	ann, err := create(client, "acme", "Ann", "Ann@Example.com").SetSsn(column.NewSSN(number)).Save(ctx)
	require.NoError(t, err)
	same(t, client, ann)
	batch, err := client.Customer.CreateBulk(
		create(client, "acme", "Bo", "team@example.com"), create(client, "acme", "Cem", "team@example.com"), create(client, "zeta", "Ann of zeta", "ann@example.com")).Save(ctx)
	require.NoError(t, err)

	require.Equal(t, []string{"Ann"}, names(t, client, "acme", "ann@EXAMPLE.com"))
	require.Equal(t, []string{"Bo", "Cem"}, names(t, client, "acme", "team@example.com"))
	require.Equal(t, []string{"Ann of zeta"}, names(t, client, "zeta", "ann@example.com"))
	require.Empty(t, names(t, client, "new tenant", "ann@example.com"))

	got, err := ann.Ssn.OpenAt(ctx, Place(ann))
	require.NoError(t, err)
	require.Equal(t, number, *got)
	bo := batch[0]
	require.True(t, bo.Ssn.IsZero())
	got, err = bo.Ssn.OpenAt(ctx, Place(bo))
	require.NoError(t, err)
	require.Nil(t, got)
	n, err := client.Customer.Query().Where(customer.SsnIsNil()).Count(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, n)

	// Updates: one column, of a row that was read or not; to NULL; in the clear.
	ann, err = ann.Update().SetEmail(column.NewEmail("ann@new.example")).Save(ctx)
	require.NoError(t, err)
	same(t, client, ann)
	require.Empty(t, names(t, client, "acme", "ann@example.com"))
	require.Equal(t, []string{"Ann"}, names(t, client, "acme", "ann@new.example"))
	bo, err = client.Customer.UpdateOneID(bo.ID).SetEmail(column.NewEmail("bo@example.com")).SetSsn(column.NewSSN(number)).Save(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"Bo"}, names(t, client, "acme", "bo@example.com"))
	got, err = bo.Ssn.OpenAt(ctx, Place(bo))
	require.NoError(t, err)
	require.Equal(t, number, *got)
	for _, clear := range []*gen.CustomerUpdateOne{ann.Update().ClearSsn(), bo.Update().SetSsn(column.SSN{})} {
		c, err := clear.Save(ctx)
		require.NoError(t, err)
		require.True(t, c.Ssn.IsZero())
	}
	n, err = client.Customer.Update().SetName("all").Save(ctx)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	n, err = client.Customer.Query().Where(customer.SsnIsNil(), customer.Name("all")).Count(ctx)
	require.NoError(t, err)
	require.Equal(t, 4, n)
}

func TestTransaction(t *testing.T) {
	client, _, _, _ := setUp(t)
	ctx := t.Context()
	ann := create(client, "acme", "Ann", "ann@example.com").SaveX(ctx)
	tx, err := client.Tx(ctx)
	require.NoError(t, err)
	require.NoError(t, create(tx.Client(), "acme", "Bo", "bo@example.com").Exec(ctx))
	require.NoError(t, tx.Customer.UpdateOneID(ann.ID).SetEmail(column.NewEmail("ann@new.example")).Exec(ctx))
	require.Equal(t, []string{"Ann"}, names(t, tx.Client(), "acme", "ann@new.example"))
	require.NoError(t, tx.Rollback())
	require.Equal(t, []string{"Ann"}, names(t, client, "acme", "ann@example.com"))
	require.Empty(t, names(t, client, "acme", "bo@example.com"))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, create(client, "new tenant", "Cem", "cem@example.com").Exec(cancelled), context.Canceled)
}

// TestRotation searches under two keys, and moves a row to the new ones by setting what
// it has.
func TestRotation(t *testing.T) {
	client, _, kr, _ := setUp(t)
	ctx := t.Context()
	ann := create(client, "acme", "Ann", "ann@example.com").SaveX(ctx)
	ormtest.Rotate(t, kr, "acme")
	bo := create(client, "acme", "Bo", "ann@example.com").SaveX(ctx)
	require.NotEqual(t, ann.EmailIdx, bo.EmailIdx)
	require.Equal(t, []string{"Ann", "Bo"}, names(t, client, "acme", "ann@example.com"))

	moved, err := ann.Update().SetEmail(ann.Email).Save(ctx)
	require.NoError(t, err)
	require.NotEqual(t, ann.Email, moved.Email)
	require.Equal(t, bo.EmailIdx, moved.EmailIdx)
	require.Equal(t, []string{"Ann", "Bo"}, names(t, client, "acme", "ann@example.com"))
}

// TestMoved moves values to another row and another tenant.
func TestMoved(t *testing.T) {
	client, db, _, _ := setUp(t)
	ctx := t.Context()
	ann := create(client, "acme", "Ann", "ann@example.com").SetSsn(column.NewSSN("078-05-1120")).SaveX(ctx)
	bo := create(client, "acme", "Bo", "bo@example.com").SaveX(ctx)
	require.ErrorIs(t, bo.Update().SetSsn(ann.Ssn).Exec(ctx), crypto.ErrDecrypt)
	other := create(client, "zeta", "Bo", "bo@example.com").SaveX(ctx)
	require.ErrorIs(t, other.Update().SetEmail(bo.Email).Exec(ctx), crypto.ErrDecrypt)
	same(t, client, bo)

	_, err := db.Exec("update customers set ssn = $1 where id = $2", ann.Ssn, bo.ID)
	require.NoError(t, err, "the database can not know")
	bo = client.Customer.GetX(ctx, bo.ID)
	_, err = bo.Ssn.OpenAt(ctx, Place(bo))
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

// TestPlaintext has the ways around the types and the hook. PostgreSQL, sqlfield or the
// hook refuses them, and nothing changes.
func TestPlaintext(t *testing.T) {
	client, db, _, _ := setUp(t)
	ctx := t.Context()
	ann := create(client, "acme", "Ann", "ann@example.com").SaveX(ctx)
	bo := create(client, "acme", "Bo", "bo@example.com").SaveX(ctx)
	long := strings.Repeat("plain ", 20)

	const sealed, tag = "customers_email_sealed", "customers_email_idx_tag"
	for _, refused := range []struct {
		set   string
		value any
		check string
	}{
		{"email", "bo@example.com", sealed},
		{"email", []byte(long), sealed},
		{"email_idx", "bo@example.com", tag},
		{"ssn", long, "customers_ssn_sealed"},
	} {
		_, err := db.Exec("update customers set "+refused.set+" = $1", refused.value)
		ormtest.Refused(t, err, refused.check)
		query, args := builder.Dialect(dialect.Postgres).Update("customers").Set(refused.set, refused.value).Query()
		ormtest.Refused(t, builder.OpenDB(dialect.Postgres, db).Exec(ctx, query, args, new(sql.Result)), refused.check)
	}

	// Without the hook, and after it.
	bare := gen.NewClient(gen.Driver(builder.OpenDB(dialect.Postgres, db)))
	require.ErrorIs(t, create(bare, "acme", "Cem", long).SetEmailIdx(ann.EmailIdx).Exec(ctx), sqlfield.ErrNotSealed)
	require.ErrorIs(t, bare.Customer.UpdateOneID(ann.ID).SetEmail(column.NewEmail(long)).Exec(ctx), sqlfield.ErrNotSealed)
	require.ErrorIs(t, bare.Customer.Update().SetSsn(column.NewSSN(long)).Exec(ctx), sqlfield.ErrNotSealed)
	late := func(set func(gen.Mutation) error) *gen.CustomerUpdateOne {
		client := Open(db)
		client.Customer.Use(func(next gen.Mutator) gen.Mutator {
			return gen.MutateFunc(func(ctx context.Context, m gen.Mutation) (gen.Value, error) {
				if err := set(m); err != nil {
					return nil, err
				}
				return next.Mutate(ctx, m)
			})
		})
		return client.Customer.UpdateOneID(ann.ID).SetName("Cem")
	}
	require.ErrorIs(t, late(func(m gen.Mutation) error { return m.SetField("email", column.NewEmail(long)) }).Exec(ctx), sqlfield.ErrNotSealed)
	for _, plain := range []any{long, []byte(long)} {
		require.ErrorContains(t, late(func(m gen.Mutation) error { return m.SetField("email", plain) }).Exec(ctx), "unexpected type")
	}

	// A value and its tag, and which row it is.
	for _, update := range []*gen.CustomerUpdateOne{ann.Update().SetEmailIdx(bo.EmailIdx), ann.Update().SetEmailIdx(column.EmailTag{})} {
		require.ErrorContains(t, update.Exec(ctx), "without its value")
	}
	require.NoError(t, ann.Update().SetEmail(ann.Email).SetEmailIdx(bo.EmailIdx).Exec(ctx))
	same(t, client, ann) // the tag was made anew
	require.ErrorContains(t, client.Customer.Update().SetEmail(column.NewEmail("cem@example.com")).Exec(ctx), "one row at a time")
	require.ErrorContains(t, client.Customer.Update().SetSsn(column.NewSSN("078-05-1120")).Exec(ctx), "one row at a time")
	err := client.Customer.CreateBulk(create(client, "acme", "Cem", "cem@example.com"), create(client, "", "Dee", "dee@example.com")).Exec(ctx)
	require.ErrorContains(t, err, "scope", "all or nothing")

	same(t, client, ann)
	same(t, client, bo)
	require.Equal(t, 2, client.Customer.Query().CountX(ctx))
}

// TestPredicates compares sealed columns: that is an error, or finds nothing.
func TestPredicates(t *testing.T) {
	client, _, _, _ := setUp(t)
	ctx := t.Context()
	ann := create(client, "acme", "Ann", "ann@example.com").SetSsn(column.NewSSN("078-05-1120")).SaveX(ctx)
	address := column.NewEmail("ann@example.com")
	for what, where := range map[string]func(*builder.Selector){
		"equal": customer.EmailEQ(address), "equal too": customer.Email(address), "not": customer.Not(customer.EmailEQ(address)),
		"unequal": customer.EmailNEQ(address), "in": customer.EmailIn(address, address), "less": customer.EmailLT(address), "bound": customer.Ssn(column.NewSSN("078-05-1120")),
	} {
		_, err := client.Customer.Query().Where(where).All(ctx)
		require.ErrorIs(t, err, sqlfield.ErrNotSealed, what)
		_, err = client.Customer.Delete().Where(where).Exec(ctx)
		require.ErrorIs(t, err, sqlfield.ErrNotSealed, what)
	}
	// Nothing refuses a comparison with plaintext, which has to be written by hand.
	for _, plain := range []any{"ann@example.com", []byte("ann@example.com")} {
		require.Zero(t, client.Customer.Query().Where(builder.FieldEQ("email", plain)).CountX(ctx))
	}
	// The very same ciphertext is equal.
	require.Equal(t, 1, client.Customer.Query().Where(customer.Email(ann.Email)).CountX(ctx))
	again := create(client, "acme", "Ann", "ann@example.com").SaveX(ctx)
	require.Equal(t, again.ID, client.Customer.Query().Where(customer.Email(again.Email)).OnlyIDX(ctx))
}

// TestLogs has ent and the driver log all statements with their arguments.
func TestLogs(t *testing.T) {
	client, _, _, logged := setUp(t)
	ctx := t.Context()
	const marker, inClear = "marker-4711@example.com", "marker-in-clear-0815"
	var c *gen.Customer
	steps := []struct {
		name string
		do   func() error
	}{
		{"create", func() (err error) {
			c, err = create(client, "acme", inClear, marker).SetSsn(column.NewSSN(marker)).Save(ctx)
			return err
		}},
		{"bulk", func() error {
			return client.Customer.CreateBulk(create(client, "acme", inClear, marker), create(client, "acme", inClear, marker)).Exec(ctx)
		}},
		{"find", func() error {
			tags, err := column.EmailTags(ctx, "acme", marker)
			if err != nil {
				return err
			}
			return client.Customer.Query().Where(customer.Name(inClear), customer.EmailIdxIn(tags...)).Select("id").Scan(ctx, &[]struct{ ID string }{})
		}},
		{"update", func() error { return c.Update().SetName(inClear).SetEmail(column.NewEmail(marker)).Exec(ctx) }},
		{"refused", func() error {
			_, err := client.Customer.Query().Where(customer.Name(inClear), customer.Email(column.NewEmail(marker))).All(ctx)
			return err
		}},
		{"print", func() error {
			mutation := client.Customer.Create().SetName(inClear).SetEmail(column.NewEmail(marker)).Mutation()
			fmt.Fprintf(logged, "ent: %v %+v %s %+v\n", c, *c, c, mutation)
			return nil
		}},
	}
	for _, step := range steps {
		logged.Take()
		err := step.do()
		if step.name == "refused" {
			require.ErrorIs(t, err, sqlfield.ErrNotSealed)
		} else {
			require.NoError(t, err, step.name)
		}
		text := logged.Take()
		require.Contains(t, text, "ent: ", step.name)
		require.True(t, ormtest.Shows(text, inClear), "%s: the control", step.name)
		require.False(t, ormtest.Shows(text, marker), "%s: %s", step.name, text)
	}
	require.Zero(t, client.Customer.Query().Where(customer.Name(marker)).CountX(ctx))
	require.True(t, ormtest.Shows(logged.Take(), marker), "the marker can be found")
}

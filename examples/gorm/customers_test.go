package customers

import (
	"context"
	"errors"
	"log"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/ormtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func TestGuide(t *testing.T) { ormtest.Guide(t) }

// setUp returns an empty table, and what GORM and the driver log: every statement with
// its arguments.
func setUp(t *testing.T) (*gorm.DB, *keyring.Keyring, *ormtest.Log) {
	kr := ormtest.NewKeyring(t)
	require.NoError(t, SetUp(kr))
	pool, logged := ormtest.Open(t)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{
		Logger: logger.New(log.New(logged, "gorm: ", 0), logger.Config{LogLevel: logger.Info}),
	})
	require.NoError(t, err)
	db = db.WithContext(t.Context())
	for range 2 {
		require.NoError(t, Migrate(t.Context(), db))
	}
	return db, kr, logged
}

func newCustomer(tenant, name, address string, number *string) Customer {
	return Customer{Tenant: tenant, Name: name, Email: sqlfield.Of[Email](address), SSN: sqlfield.Of[SSN](number)}
}

// names returns the names of the customers that are found by an address, and requires
// that theirs opens.
func names(t *testing.T, db *gorm.DB, tenant, address string) (all []string) {
	found, err := ByEmail(t.Context(), db, tenant, address)
	require.NoError(t, err)
	for _, c := range found {
		got, err := c.Email.OpenAt(t.Context(), c.Place())
		require.NoError(t, err)
		require.True(t, strings.EqualFold(address, got))
		all = append(all, c.Name)
	}
	return all
}

func reload(t *testing.T, db *gorm.DB, id int64) (c Customer) {
	require.NoError(t, db.First(&c, id).Error)
	return c
}

func TestCustomers(t *testing.T) {
	db, _, _ := setUp(t)
	ctx := t.Context()
	number := "078-05-1120"
	ann := newCustomer("acme", "Ann", "Ann@Example.com", &number)
	require.NoError(t, db.Create(&ann).Error)
	require.NotZero(t, ann.ID)
	batch := []*Customer{}
	for _, name := range []string{"Bo", "Cem", "Dee"} {
		c := newCustomer("acme", name, "team@example.com", nil)
		batch = append(batch, &c)
	}
	require.NoError(t, db.CreateInBatches(batch, 2).Error)
	other := newCustomer("zeta", "Ann of zeta", "ann@example.com", nil)
	require.NoError(t, gorm.G[Customer](db).Create(ctx, &other))

	require.Equal(t, []string{"Ann"}, names(t, db, "acme", "ann@EXAMPLE.com"))
	require.Equal(t, []string{"Bo", "Cem", "Dee"}, names(t, db, "acme", "team@example.com"))
	require.Equal(t, []string{"Ann of zeta"}, names(t, db, "zeta", "ann@example.com"))
	require.Empty(t, names(t, db, "new tenant", "ann@example.com"))

	read := reload(t, db, ann.ID)
	require.Equal(t, ann, read)
	got, err := read.SSN.OpenAt(ctx, read.Place())
	require.NoError(t, err)
	require.Equal(t, number, *got)
	read = reload(t, db, other.ID)
	require.True(t, read.SSN.IsZero())
	got, err = read.SSN.OpenAt(ctx, read.Place())
	require.NoError(t, err)
	require.Nil(t, got)
	var nulls int64
	require.NoError(t, db.Model(&Customer{}).Where("ssn is null").Count(&nulls).Error)
	require.EqualValues(t, 4, nulls)

	// Updates: one column, all, to NULL, insert or update.
	require.NoError(t, SetEmail(ctx, db, &ann, "ann@new.example"))
	require.Empty(t, names(t, db, "acme", "ann@example.com"))
	require.Equal(t, []string{"Ann"}, names(t, db, "acme", "ann@new.example"))
	ann.SSN, ann.Name = sqlfield.Of[SSN](nil), "Ann B."
	require.NoError(t, db.Save(&ann).Error)
	require.Equal(t, ann, reload(t, db, ann.ID))
	require.True(t, ann.SSN.IsZero())
	ann.Email, ann.SSN = sqlfield.Of[Email]("ann@third.example"), sqlfield.Of[SSN](&number)
	require.NoError(t, db.Updates(&ann).Error)
	require.Equal(t, ann, reload(t, db, ann.ID))
	ann.Email = sqlfield.Of[Email]("ann@fourth.example")
	require.NoError(t, db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&ann).Error)
	require.Equal(t, ann, reload(t, db, ann.ID))
	require.Equal(t, []string{"Ann B."}, names(t, db, "acme", "ann@fourth.example"))
	require.NoError(t, db.Model(&ann).Update("name", "Ann").Error, "columns in the clear")

	// A column by hand, with tag and value of the index and Seal.
	tag, err := emailIdx.Tag(ctx, "ann@fifth.example", ann.Tenant)
	require.NoError(t, err)
	value, unused := sqlfield.Of[Email]("ann@fifth.example"), sqlfield.Tag[string, EmailIdx]{}
	require.NoError(t, sqlfield.Seal(ctx, ann.Place(), &value, &unused))
	require.NoError(t, db.Model(&Customer{}).Where("id = ?", ann.ID).Updates(map[string]any{"email": value, "email_idx": tag}).Error)
	require.Equal(t, []string{"Ann"}, names(t, db, "acme", "ann@fifth.example"))

	// Nobody notices that the tag is missing.
	value = sqlfield.Of[Email]("ann@sixth.example")
	require.NoError(t, sqlfield.Seal(ctx, ann.Place(), &value, &unused))
	require.NoError(t, db.Model(&Customer{}).Where("id = ?", ann.ID).Update("email", value).Error)
	require.Empty(t, names(t, db, "acme", "ann@sixth.example"))
}

// letter has a column that needs no hook.
type letter struct {
	ID   int64
	Text sqlfield.Sealed[string, Text] `gorm:"type:bytea"`
}

type Text struct{}

var text *sqlfield.Column[string]

func (Text) Column() *sqlfield.Column[string] { return text }

func TestWithoutHook(t *testing.T) {
	db, _, _ := setUp(t)
	var err error
	text, err = sqlfield.NewColumn[string](keyringtest.NewKeyring(t), "letters.text", sqlfield.Config{})
	require.NoError(t, err)
	require.NoError(t, db.AutoMigrate(&letter{}))
	for _, v := range []letter{{Text: sqlfield.Of[Text]("Dear Bo")}, {}} {
		require.NoError(t, db.Create(&v).Error)
	}
	require.NoError(t, db.Model(&letter{}).Where("id = 1").Update("text", sqlfield.Of[Text]("Dear Cem")).Error)
	var read []letter
	require.NoError(t, db.Order("id").Find(&read).Error)
	require.Len(t, read, 2)
	got, err := read[0].Text.Open(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Dear Cem", got)
	require.True(t, read[1].Text.IsZero())
	require.NoError(t, db.Where(&letter{Text: sqlfield.Of[Text]("Dear Cem")}).Find(&read).Error)
	require.Empty(t, read, "each time it is sealed to other bytes")
}

func TestTransaction(t *testing.T) {
	db, _, _ := setUp(t)
	ann := newCustomer("acme", "Ann", "ann@example.com", nil)
	require.NoError(t, db.Create(&ann).Error)
	stop := errors.New("stop")
	require.ErrorIs(t, db.Transaction(func(tx *gorm.DB) error {
		bo := newCustomer("acme", "Bo", "bo@example.com", nil)
		require.NoError(t, tx.Create(&bo).Error)
		require.NoError(t, SetEmail(t.Context(), tx, &ann, "ann@new.example"))
		require.Equal(t, []string{"Ann"}, names(t, tx, "acme", "ann@new.example"))
		return stop
	}), stop)
	require.Equal(t, []string{"Ann"}, names(t, db, "acme", "ann@example.com"))
	require.Empty(t, names(t, db, "acme", "bo@example.com"))

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cem := newCustomer("new tenant", "Cem", "cem@example.com", nil)
	require.ErrorIs(t, db.WithContext(cancelled).Create(&cem).Error, context.Canceled)
}

// TestRotation searches under two keys, and moves a row to the new ones by saving it.
func TestRotation(t *testing.T) {
	db, kr, _ := setUp(t)
	ann := newCustomer("acme", "Ann", "ann@example.com", nil)
	require.NoError(t, db.Create(&ann).Error)
	ormtest.Rotate(t, kr, "acme")
	bo := newCustomer("acme", "Bo", "ann@example.com", nil)
	require.NoError(t, db.Create(&bo).Error)
	require.NotEqual(t, ann.EmailIdx, bo.EmailIdx)
	require.Equal(t, []string{"Ann", "Bo"}, names(t, db, "acme", "ann@example.com"))

	saved := reload(t, db, ann.ID)
	require.NoError(t, db.Save(&saved).Error)
	saved = reload(t, db, ann.ID)
	require.NotEqual(t, ann.Email, saved.Email)
	require.Equal(t, bo.EmailIdx, saved.EmailIdx)
	require.Equal(t, []string{"Ann", "Bo"}, names(t, db, "acme", "ann@example.com"))
}

// TestMoved moves values to another row and another tenant.
func TestMoved(t *testing.T) {
	db, _, _ := setUp(t)
	number := "078-05-1120"
	ann, bo := newCustomer("acme", "Ann", "ann@example.com", &number), newCustomer("acme", "Bo", "bo@example.com", nil)
	require.NoError(t, db.Create([]*Customer{&ann, &bo}).Error)
	moved := bo
	moved.SSN = ann.SSN
	require.ErrorIs(t, db.Save(&moved).Error, crypto.ErrDecrypt)
	moved = bo
	moved.Tenant = "zeta"
	require.ErrorIs(t, db.Save(&moved).Error, crypto.ErrDecrypt)

	require.NoError(t, db.Exec("update customers set ssn = ? where id = ?", ann.SSN, bo.ID).Error, "the database can not know")
	bo = reload(t, db, bo.ID)
	_, err := bo.SSN.OpenAt(t.Context(), bo.Place())
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

// serialized has the address as a string that GORM's serializer "seal" seals: as good
// as an encrypting serializer can be.
type serialized struct {
	ID       int64
	Tenant   string
	Name     string
	Email    string                         `gorm:"serializer:seal"`
	EmailIdx sqlfield.Tag[string, EmailIdx] `gorm:"type:bytea"`
}

func (serialized) TableName() string { return "customers" }

type sealing struct{}

func (sealing) Scan(ctx context.Context, f *schema.Field, dst reflect.Value, dbValue any) error {
	var v sqlfield.Sealed[string, Email]
	if err := v.Scan(dbValue); err != nil {
		return err
	}
	text, err := v.OpenAt(ctx, crypto.Binding{Scope: "acme"})
	if err != nil {
		return err
	}
	return f.Set(ctx, dst, text)
}

func (sealing) Value(ctx context.Context, _ *schema.Field, _ reflect.Value, value any) (any, error) {
	v := sqlfield.Of[Email](value.(string))
	if err := sqlfield.Seal(ctx, crypto.Binding{Scope: "acme"}, &v, &sqlfield.Tag[string, EmailIdx]{}); err != nil {
		return nil, err
	}
	return v.Value()
}

// printed makes JSON of a value that is not to be printed.
type printed struct {
	ID       int64
	Tenant   string
	Name     string
	Email    sqlfield.Sealed[string, Email] `gorm:"type:bytea;serializer:json"`
	EmailIdx sqlfield.Tag[string, EmailIdx] `gorm:"type:bytea"`
}

func (printed) TableName() string { return "customers" }

// TestPlaintext has the ways around the types and the hooks. PostgreSQL or sqlfield
// refuses them, and nothing changes.
func TestPlaintext(t *testing.T) {
	db, _, _ := setUp(t)
	ctx := t.Context()
	ann := newCustomer("acme", "Ann", "ann@example.com", nil)
	require.NoError(t, db.Create(&ann).Error)
	loaded := func() *Customer { c := reload(t, db, ann.ID); return &c }
	long := strings.Repeat("plain ", 20)
	all := db.Session(&gorm.Session{AllowGlobalUpdate: true})
	plain := map[string]any{"email": long}

	schema.RegisterSerializer("seal", sealing{})
	require.NoError(t, db.Updates(&serialized{ID: ann.ID, Email: "ann@example.com"}).Error, "it seals structs")
	var read serialized
	require.NoError(t, db.First(&read).Error)
	require.Equal(t, "ann@example.com", read.Email)
	ann = *loaded()

	const sealed, tag = "customers_email_sealed", "customers_email_idx_tag"
	row, err := emailIdx.Tag(ctx, "bo@example.com", "acme")
	require.NoError(t, err)
	insert := map[string]any{"tenant": "acme", "name": "Bo", "email": long, "email_idx": row}
	for what, refused := range map[string]struct {
		err   error
		check string
	}{
		"map":             {db.Model(loaded()).Updates(plain).Error, sealed},
		"maps":            {all.Model(&Customer{}).UpdateColumns(plain).Error, sealed},
		"column":          {db.Model(loaded()).Update("email", "ann@example.com").Error, sealed},
		"column, no hook": {db.Model(loaded()).UpdateColumn("email", []byte(long)).Error, sealed},
		"tag":             {db.Model(loaded()).Update("email_idx", "ann@example.com").Error, tag},
		"table":           {all.Table("customers").Updates(plain).Error, sealed},
		"insert":          {db.Model(&Customer{}).Create(insert).Error, sealed},
		"inserts":         {db.Table("customers").Create([]map[string]any{insert, insert}).Error, sealed},
		"expression":      {db.Model(loaded()).Update("email", gorm.Expr("?::bytea", long)).Error, sealed},
		"Exec":            {db.Exec("update customers set email = ?", "ann@example.com").Error, sealed},
		"Raw":             {db.Raw("update customers set email = @email returning id", plain).Scan(new(int64)).Error, sealed},
		"upsert":          {db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(plain)}).Create(loaded()).Error, sealed},
		"serializer":      {db.Model(&serialized{ID: ann.ID}).Update("email", long).Error, sealed},
		"JSON serializer": {db.Updates(&printed{ID: ann.ID, Email: sqlfield.Of[Email](long)}).Error, sealed},
	} {
		t.Run(what, func(t *testing.T) { ormtest.Refused(t, refused.err, refused.check) })
	}

	insert["email"] = sqlfield.Of[Email](long)
	for what, refused := range map[string]struct{ err, want error }{
		"map":          {db.Model(loaded()).Updates(map[string]any{"email": sqlfield.Of[Email](long)}).Error, sqlfield.ErrNotSealed},
		"struct":       {db.Model(loaded()).Updates(&Customer{Email: sqlfield.Of[Email](long)}).Error, sqlfield.ErrNotSealed},
		"Assign":       {db.Where("id = ?", ann.ID).Assign(Customer{Email: sqlfield.Of[Email](long)}).FirstOrCreate(&Customer{}).Error, sqlfield.ErrNotSealed},
		"UpdateColumn": {db.Model(loaded()).UpdateColumn("email", sqlfield.Of[Email](long)).Error, sqlfield.ErrNotSealed},
		"SkipHooks":    {db.Session(&gorm.Session{SkipHooks: true}).Create(new(newCustomer("acme", "Bo", long, nil))).Error, sqlfield.ErrNotSealed},
		"Exec":         {db.Exec("update customers set email = ?", sqlfield.Of[Email](long)).Error, sqlfield.ErrNotSealed},
		"insert":       {db.Model(&Customer{}).Create(insert).Error, sqlfield.ErrNotSealed},

		// GORM needs a pointer to call the hooks of.
		"no pointer":     {db.Create(newCustomer("acme", "Bo", long, nil)).Error, gorm.ErrInvalidValue},
		"generic column": {errorOf(gorm.G[Customer](db).Where("true").Update(ctx, "email", long)), gorm.ErrInvalidValue},
		"generic struct": {errorOf(gorm.G[Customer](db).Where("true").Updates(ctx, *loaded())), gorm.ErrInvalidValue},
	} {
		t.Run("Of in "+what, func(t *testing.T) { require.ErrorIs(t, refused.err, refused.want) })
	}

	// A value without its tag.
	for what, tx := range map[string]*gorm.DB{"Select": db.Select("Email"), "Select tag": db.Select("email_idx"), "Omit": db.Omit("EmailIdx")} {
		c := loaded()
		c.Email = sqlfield.Of[Email]("bo@example.com")
		tx = tx.Session(&gorm.Session{})
		require.ErrorContains(t, tx.Updates(c).Error, "email and email_idx", what)
		require.ErrorContains(t, tx.Create(new(newCustomer("acme", "Bo", "bo@example.com", nil))).Error, "email and email_idx", what)
	}

	require.Equal(t, ann, *loaded())
	var rows int64
	require.NoError(t, db.Model(&Customer{}).Count(&rows).Error)
	require.EqualValues(t, 1, rows)
	require.Equal(t, []string{"Ann"}, names(t, db, "acme", "ann@example.com"))
}

func errorOf(_ int, err error) error { return err }

// TestConditions compares sealed columns: that is an error, or finds nothing.
func TestConditions(t *testing.T) {
	db, _, _ := setUp(t)
	number := "078-05-1120"
	ann := newCustomer("acme", "Ann", "ann@example.com", &number)
	require.NoError(t, db.Create(&ann).Error)
	find := func(tx *gorm.DB) ([]Customer, error) {
		var found []Customer
		err := tx.Find(&found).Error
		return found, err
	}
	for what, tx := range map[string]*gorm.DB{
		"struct":   db.Where(&Customer{Email: sqlfield.Of[Email]("ann@example.com")}),
		"bound":    db.Where(&Customer{SSN: sqlfield.Of[SSN](&number)}),
		"map":      db.Where(map[string]any{"email": sqlfield.Of[Email]("ann@example.com")}),
		"argument": db.Where("email = ?", sqlfield.Of[Email]("ann@example.com")),
		"not":      db.Not(&Customer{Email: sqlfield.Of[Email]("ann@example.com")}),
	} {
		tx = tx.Session(&gorm.Session{})
		_, err := find(tx)
		require.ErrorIs(t, err, sqlfield.ErrNotSealed, what)
		require.ErrorIs(t, tx.Delete(&Customer{}).Error, sqlfield.ErrNotSealed, what)
		require.ErrorIs(t, tx.FirstOrCreate(&Customer{}).Error, sqlfield.ErrNotSealed, what)
	}

	// Nothing refuses a comparison with plaintext.
	for what, tx := range map[string]*gorm.DB{
		"argument": db.Where("email = ?", "ann@example.com"),
		"bytes":    db.Where("email = ?", []byte("ann@example.com")),
		"map":      db.Where(map[string]any{"email": "ann@example.com"}),
	} {
		found, err := find(tx)
		require.NoError(t, err, what)
		require.Empty(t, found, what)
	}
	// The very same ciphertext is equal.
	found, err := find(db.Where(&Customer{Email: ann.Email}))
	require.NoError(t, err)
	require.Equal(t, []Customer{ann}, found)
	again := newCustomer("acme", "Ann", "ann@example.com", nil)
	require.NoError(t, sqlfield.Seal(t.Context(), crypto.Binding{Scope: "acme", Row: sqlfield.Row(1)}, sqlfield.Fields(&again)...))
	found, err = find(db.Where(&Customer{Email: again.Email}))
	require.NoError(t, err)
	require.Empty(t, found)
}

// TestLogs has GORM and the driver log all statements with their arguments.
func TestLogs(t *testing.T) {
	db, _, logged := setUp(t)
	const marker, inClear = "marker-4711@example.com", "marker-in-clear-0815"
	number := marker
	c := newCustomer("acme", inClear, marker, &number)
	more := []Customer{newCustomer("acme", inClear, marker, &number), newCustomer("acme", inClear, marker, &number)}
	logged.Take()
	steps := map[string]func() error{
		"create": func() error { return db.Create(&c).Error },
		"batch":  func() error { return db.Create(&more).Error },
		"find": func() error {
			_, err := ByEmail(t.Context(), db.Where("name = ?", inClear), "acme", marker)
			return err
		},
		"update": func() error { c.Email = sqlfield.Of[Email](marker); return db.Save(&c).Error },
		"refused": func() error {
			return db.Where(&Customer{Name: inClear, Email: sqlfield.Of[Email](marker)}).Find(&more).Error
		},
		"skipped": func() error {
			return db.Model(&Customer{Name: inClear}).Where("name = ?", inClear).UpdateColumn("ssn", sqlfield.Of[SSN](&number)).Error
		},
		"raw": func() error { return db.Exec("update customers set name = ?, email = ?", inClear, c.Email).Error },
	}
	for _, step := range []string{"create", "batch", "find", "update", "refused", "skipped", "raw"} {
		err := steps[step]()
		if step == "refused" || step == "skipped" {
			require.ErrorIs(t, err, sqlfield.ErrNotSealed, step)
		} else {
			require.NoError(t, err, step)
		}
		text := logged.Take()
		require.Contains(t, text, "gorm: ", step)
		require.True(t, ormtest.Shows(text, inClear), "%s: the control", step)
		require.False(t, ormtest.Shows(text, marker), "%s: %s", step, text)
	}
	var parameterized ormtest.Log
	require.NoError(t, db.Session(&gorm.Session{
		Logger: logger.New(log.New(&parameterized, "", 0), logger.Config{LogLevel: logger.Info, ParameterizedQueries: true}),
	}).Exec("select ?::text", marker).Error)
	line := parameterized.Take()
	require.Contains(t, line, "select $1")
	require.NotContains(t, line, marker)
	require.NoError(t, db.Exec("select ?::text", marker).Error)
	require.True(t, ormtest.Shows(logged.Take(), marker), "the marker can be found")
}

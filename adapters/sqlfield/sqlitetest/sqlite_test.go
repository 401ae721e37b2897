package sqlitetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

var (
	email    *sqlfield.Column[string]
	emailIdx *sqlfield.Index[string]
	ssn      *sqlfield.Column[*string]
	visits   *sqlfield.Column[int]
	note     *sqlfield.Column[string]
)

type (
	Email    struct{}
	EmailIdx struct{}
	SSN      struct{}
	Visits   struct{}
	Note     struct{}
)

func (Email) Column() *sqlfield.Column[string]  { return email }
func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
func (SSN) Column() *sqlfield.Column[*string]   { return ssn }
func (Visits) Column() *sqlfield.Column[int]    { return visits }
func (Note) Column() *sqlfield.Column[string]   { return note }

type customer struct {
	ID       int64
	Email    sqlfield.Sealed[string, Email]
	EmailIdx sqlfield.Tag[string, EmailIdx]
	SSN      sqlfield.Sealed[*string, SSN]
	Visits   sqlfield.Sealed[int, Visits]
	Note     sqlfield.Sealed[string, Note]
}

func (c *customer) place() crypto.Binding {
	return crypto.Binding{Row: crypto.Row(fmt.Sprint(c.ID))}
}

// keys is the keyring of openDatabase.
var keys *keyring.Keyring

func openDatabase(t *testing.T) (*sql.DB, context.Context) {
	kr := keyringtest.NewKeyring(t)
	keys = kr
	var err error
	email, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{})
	require.NoError(t, err)
	emailIdx, err = email.NewIndex(token.IndexConfig{Normalizer: token.Email})
	require.NoError(t, err)
	ssn, err = sqlfield.NewColumn[*string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
	require.NoError(t, err)
	visits, err = sqlfield.NewColumn[int](kr, "customers.visits", sqlfield.Config{})
	require.NoError(t, err)
	note, err = sqlfield.NewColumn[string](kr, "customers.note", sqlfield.Config{Text: true})
	require.NoError(t, err)
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = db.Exec(fmt.Sprintf(`create table customers (id integer primary key,
		email blob not null check (%s), email_idx blob not null check (%s), ssn blob check (%s), visits blob check (%s), note text check (%s))`,
		sqlfield.SealedCheck(sqlfield.SQLite, "email"), sqlfield.TagCheck(sqlfield.SQLite, "email_idx"),
		sqlfield.SealedCheck(sqlfield.SQLite, "ssn"), sqlfield.SealedCheck(sqlfield.SQLite, "visits"), sqlfield.TextCheck(sqlfield.SQLite, "note")))
	require.NoError(t, err)
	return db, t.Context()
}

const insert = "insert into customers (id, email, email_idx, ssn, visits, note) values (?, ?, ?, ?, ?, ?)"

func TestRoundTrip(t *testing.T) {
	db, ctx := openDatabase(t)
	secret := "078-05-1120"
	in := customer{ID: 1, Email: sqlfield.Of[Email]("Ann@example.com"), SSN: sqlfield.Of[SSN](&secret), Visits: sqlfield.Of[Visits](7), Note: sqlfield.Of[Note]("")}
	require.NoError(t, sqlfield.Seal(ctx, in.place(), sqlfield.Fields(&in)...))
	_, err := db.Exec(insert, in.ID, in.Email, in.EmailIdx, in.SSN, in.Visits, in.Note)
	require.NoError(t, err)

	tags, err := emailIdx.Match(ctx, "ann@EXAMPLE.com", "")
	require.NoError(t, err)
	require.Len(t, tags, 1)
	var out customer
	err = db.QueryRow("select * from customers where email_idx in (?)", tags[0]).Scan(&out.ID, &out.Email, &out.EmailIdx, &out.SSN, &out.Visits, &out.Note)
	require.NoError(t, err)
	require.Equal(t, in, out)

	got, err := out.Email.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, "Ann@example.com", got)
	number, err := out.SSN.OpenAt(ctx, out.place())
	require.NoError(t, err)
	require.Equal(t, secret, *number)
	n, err := out.Visits.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, 7, n)
	text, err := out.Note.Open(ctx)
	require.NoError(t, err)
	require.Empty(t, text)

	out.ID = 2
	_, err = out.SSN.OpenAt(ctx, out.place())
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.ErrorIs(t, sqlfield.Seal(ctx, out.place(), &out.SSN), crypto.ErrDecrypt)
}

func TestNull(t *testing.T) {
	db, ctx := openDatabase(t)
	in := customer{ID: 1, Email: sqlfield.Of[Email]("ann@example.com"), SSN: sqlfield.Of[SSN](nil)}
	require.NoError(t, sqlfield.Seal(ctx, in.place(), sqlfield.Fields(&in)...))
	_, err := db.Exec(insert, in.ID, in.Email, in.EmailIdx, in.SSN, in.Visits, in.Note)
	require.NoError(t, err)
	out := customer{Visits: sqlfield.Of[Visits](1)}
	err = db.QueryRow("select * from customers where ssn is null and visits is null and note is null").Scan(&out.ID, &out.Email, &out.EmailIdx, &out.SSN, &out.Visits, &out.Note)
	require.NoError(t, err)
	require.True(t, out.SSN.IsZero())
	number, err := out.SSN.OpenAt(ctx, out.place())
	require.NoError(t, err)
	require.Nil(t, number)
	_, err = out.Visits.Open(ctx)
	require.ErrorIs(t, err, sqlfield.ErrNull)
	require.EqualError(t, err, "sqlfield: customers.visits: open: it is NULL")
}

// TestPlaintext proves that SQLite refuses what is not sealed.
func TestPlaintext(t *testing.T) {
	db, ctx := openDatabase(t)
	in := customer{ID: 1, Email: sqlfield.Of[Email]("ann@example.com"), SSN: sqlfield.Of[SSN](new(string)), Visits: sqlfield.Of[Visits](7), Note: sqlfield.Of[Note]("hi")}
	require.NoError(t, sqlfield.Seal(ctx, in.place(), sqlfield.Fields(&in)...))
	sealed := []any{in.ID, in.Email, in.EmailIdx, in.SSN, in.Visits, in.Note}
	for column := 1; column < len(sealed); column++ {
		for _, plain := range []any{"ann@example.com", []byte("ann@example.com"), []byte("ann.smith@example.com"), 7, strings.Repeat("long ", 20), []byte(strings.Repeat("\x01long ", 20)), 1.5, "sf1.", "sf1.AYYY", "sf1.AYYY" + strings.Repeat("!", 60), "sf1.AYYY" + strings.Repeat("A", 60) + "\x00ann"} {
			args := append([]any{}, sealed...)
			args[column] = plain
			_, err := db.Exec(insert, args...)
			require.ErrorContains(t, err, "CHECK constraint failed", "column %d takes %v", column, plain)
		}
	}
	_, err := db.Exec(insert, sealed...)
	require.NoError(t, err)
}

// TestSearch finds rows by several tags, in a transaction, with a prepared statement.
func TestSearch(t *testing.T) {
	db, ctx := openDatabase(t)
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	statement, err := tx.PrepareContext(ctx, insert)
	require.NoError(t, err)
	var tags [][]byte
	for i := range 3 {
		in := customer{ID: int64(i + 1), Email: sqlfield.Of[Email](fmt.Sprintf("customer%d@example.com", i))}
		require.NoError(t, sqlfield.Seal(ctx, in.place(), sqlfield.Fields(&in)...))
		_, err := statement.ExecContext(ctx, in.ID, in.Email, in.EmailIdx, in.SSN, in.Visits, in.Note)
		require.NoError(t, err)
		if i > 0 {
			found, err := emailIdx.Match(ctx, fmt.Sprintf("CUSTOMER%d@example.com", i), "")
			require.NoError(t, err)
			tags = append(tags, found...)
		}
	}
	require.NoError(t, tx.Commit())
	for n := range len(tags) + 1 {
		where, args := sqlfield.In("email_idx", tags[:n])
		rows, err := db.QueryContext(ctx, "select id, email from customers where "+where+" order by id", args...)
		require.NoError(t, err)
		var got []string
		for address, err := range sqlfield.Each(ctx, rows,
			func(c *customer) error { return rows.Scan(&c.ID, &c.Email) },
			func(ctx context.Context, c *customer) (string, error) { return c.Email.Open(ctx) }) {
			require.NoError(t, err)
			got = append(got, address)
		}
		require.Equal(t, []string{"customer1@example.com", "customer2@example.com"}[:n], append([]string{}, got...))
	}
}

// TestUnmarshal reads rows from text: what would be plaintext is refused.
func TestUnmarshal(t *testing.T) {
	for _, text := range []string{`{"Email": "ann@example.com"}`, `{"Email": ""}`, `{"EmailIdx": "AYABAg"}`, `{"Email": 1}`, `{"Email": {"sealed": "x"}}`, `{"Email": ["x"]}`} {
		var c customer
		require.Error(t, json.Unmarshal([]byte(text), &c), text)
		require.True(t, c.Email.IsZero() && c.EmailIdx.IsZero())
	}
	var c customer
	require.NoError(t, json.Unmarshal([]byte(`{"ID": 1, "Email": null}`), &c))
	require.True(t, c.Email.IsZero())
}

// Sqlite shows what Sealfield does where there is no server: customers in encrypted
// columns of an SQLite database, through database/sql, the keys in files. Every claim
// that it prints it has checked; one that does not hold ends it with an error.
//
// The database and the keys are in a folder that it removes at the end.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/token"
)

// The sealed columns, and the types that stand for them.
var (
	email    *sqlfield.Column[string]
	emailIdx *sqlfield.Index[string]
	ssn      *sqlfield.Column[string]
)

type (
	Email    struct{}
	EmailIdx struct{}
	SSN      struct{}
)

func (Email) Column() *sqlfield.Column[string]  { return email }
func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
func (SSN) Column() *sqlfield.Column[string]    { return ssn }

// Customer is a row of the table customers. The SSN is bound to its row, the e-mail can
// be searched.
type Customer struct {
	ID       int64
	Email    sqlfield.Sealed[string, Email]
	EmailIdx sqlfield.Tag[string, EmailIdx]
	SSN      sqlfield.Sealed[string, SSN]
}

func (c *Customer) place() crypto.Binding { return crypto.Binding{Row: sqlfield.Row(c.ID)} }

func setUp(kr *keyring.Keyring) (err error) {
	if email, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{}); err != nil {
		return err
	}
	if emailIdx, err = email.NewIndex(token.IndexConfig{Normalizer: token.Email}); err != nil {
		return err
	}
	ssn, err = sqlfield.NewColumn[string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
	return err
}

const customerCount = 10_000

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nsqlite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "sealfield-sqlite-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{dir: dir}
	defer d.close()
	begun := time.Now()
	for i, s := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Make a keyring: a key file (0600) wraps the root keys, another file keeps wrapped keys only", d.makeKeyring},
		{"Create the table, with CHECKs that make SQLite refuse plaintext", d.createTable},
		{"Write 10,000 made-up customers, encrypted", d.write},
		{"One row, as any program sees it and as this one reads it", d.look},
		{"Find a customer by e-mail", d.find},
		{"Swap two customers' SSNs in the database", d.swap},
		{"Write plaintext past the library", d.writePlaintext},
		{"Rotate the key and seal a thousand rows anew", d.rotate},
	} {
		fmt.Printf("\n%d. %s\n", i+1, s.title)
		start := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		fmt.Printf("   (%v)\n", time.Since(start).Round(100*time.Microsecond))
	}
	fmt.Printf("\nEverything above was checked. %v in all.\n", time.Since(begun).Round(time.Millisecond))
	return nil
}

type demo struct {
	dir string
	db  *sql.DB
	kr  *keyring.Keyring
}

func (d *demo) close() {
	if d.kr != nil {
		d.kr.Close()
	}
	if d.db != nil {
		d.db.Close()
	}
}

func (d *demo) makeKeyring(ctx context.Context) error {
	kms, err := localkms.Create(filepath.Join(d.dir, "app.key"))
	if err != nil {
		return err
	}
	store := keyring.NewFileStore(filepath.Join(d.dir, "app.keyring"))
	if d.kr, err = keyring.Create(ctx, keyring.Config{Name: "sqlite", Store: store, KMS: []keyring.KMS{kms}}); err != nil {
		return err
	}
	return setUp(d.kr)
}

func (d *demo) createTable(ctx context.Context) (err error) {
	if d.db, err = sql.Open("sqlite", filepath.Join(d.dir, "app.db")); err != nil {
		return err
	}
	d.db.SetMaxOpenConns(1)
	_, err = d.db.ExecContext(ctx, fmt.Sprintf(`create table customers (id integer primary key,
		email blob not null check (%s), email_idx blob not null check (%s), ssn blob not null check (%s));
		create index customers_email_idx on customers (email_idx)`, sqlfield.SealedCheck(sqlfield.SQLite, "email"),
		sqlfield.TagCheck(sqlfield.SQLite, "email_idx"), sqlfield.SealedCheck(sqlfield.SQLite, "ssn")))
	return err
}

func address(id int64) string { return fmt.Sprintf("customer%d@example.com", id) }
func number(id int64) string  { return fmt.Sprintf("%03d-%02d-%04d", id/100%1000, id%90+10, id%10_000) }

// save seals the customers and runs the statement for each, in one transaction.
func (d *demo) save(ctx context.Context, statement string, count int64) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	prepared, err := tx.PrepareContext(ctx, statement)
	if err != nil {
		return err
	}
	for id := range count {
		c := Customer{ID: id + 1, Email: sqlfield.Of[Email](address(id + 1)), SSN: sqlfield.Of[SSN](number(id + 1))}
		if err := sqlfield.Seal(ctx, c.place(), sqlfield.Fields(&c)...); err != nil {
			return err
		}
		if _, err := prepared.ExecContext(ctx, c.Email, c.EmailIdx, c.SSN, c.ID); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (d *demo) write(ctx context.Context) error {
	return d.save(ctx, "insert into customers (email, email_idx, ssn, id) values (?, ?, ?, ?)", customerCount)
}

// read returns a row and its opened values.
func (d *demo) read(ctx context.Context, where string, args ...any) (c Customer, address, number string, err error) {
	row := d.db.QueryRowContext(ctx, "select id, email, ssn from customers where "+where, args...)
	if err = row.Scan(&c.ID, &c.Email, &c.SSN); err != nil {
		return
	}
	if address, err = c.Email.Open(ctx); err != nil {
		return
	}
	number, err = c.SSN.OpenAt(ctx, c.place())
	return
}

func (d *demo) look(ctx context.Context) error {
	const id = 42
	var raw []byte
	if err := d.db.QueryRowContext(ctx, "select email from customers where id = ?", id).Scan(&raw); err != nil {
		return err
	}
	fmt.Printf("   any program:  id %d, email x'%x...'\n", id, raw[:24])
	if strings.Contains(string(raw), "customer42") {
		return errors.New("the column holds plaintext")
	}
	_, a, n, err := d.read(ctx, "id = ?", id)
	if err != nil {
		return err
	}
	fmt.Printf("   this program: id %d, %s, SSN %s\n", id, a, n)
	if a != address(id) || n != number(id) {
		return errors.New("the row is not what was written")
	}
	return nil
}

func (d *demo) find(ctx context.Context) error {
	const typed = "  CUSTOMER4711@Example.com"
	tags, err := emailIdx.Match(ctx, typed, "")
	if err != nil {
		return err
	}
	where, args := sqlfield.In("email_idx", tags)
	c, a, _, err := d.read(ctx, where, args...)
	if err != nil {
		return err
	}
	if c.ID != 4711 {
		return fmt.Errorf("found customer %d", c.ID)
	}
	fmt.Printf("   %q is customer %d, %s: one row through the index on email_idx\n", typed, c.ID, a)
	return nil
}

func (d *demo) swap(ctx context.Context) error {
	const swap = "update customers set ssn = o.ssn from (select id, ssn from customers where id in (1, 2)) o where customers.id = 3 - o.id"
	if _, err := d.db.ExecContext(ctx, swap); err != nil {
		return err
	}
	for id := range 2 {
		_, _, _, err := d.read(ctx, "id = ?", id+1)
		if !errors.Is(err, crypto.ErrDecrypt) {
			return fmt.Errorf("customer %d was not refused: %v", id+1, err)
		}
		fmt.Printf("   customer %d: %v\n", id+1, err)
	}
	if _, err := d.db.ExecContext(ctx, swap); err != nil {
		return err
	}
	for id := range 2 {
		if _, _, _, err := d.read(ctx, "id = ?", id+1); err != nil {
			return err
		}
	}
	fmt.Println("   swapped back: both open again")
	return nil
}

func (d *demo) writePlaintext(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "update customers set ssn = '123-45-6789' where id = 1")
	if err == nil || !strings.Contains(err.Error(), "CHECK constraint failed") {
		return fmt.Errorf("SQLite did not refuse it: %v", err)
	}
	fmt.Println("   SQLite: CHECK constraint failed")
	return nil
}

func (d *demo) rotate(ctx context.Context) error {
	id, err := d.kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	if err != nil {
		return err
	}
	const again = 1000
	if err := d.save(ctx, "update customers set email = ?, email_idx = ?, ssn = ? where id = ?", again); err != nil {
		return err
	}
	fmt.Println("   rows per key, by plain SQL: select lower(hex(substr(email, 2, 4))), count(*) from customers group by 1")
	rows, err := d.db.QueryContext(ctx, "select lower(hex(substr(email, 2, 4))), count(*) from customers group by 1 order by 2 desc")
	if err != nil {
		return err
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return err
		}
		fmt.Printf("     %s  %5d\n", key, n)
		counts[key] = n
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(counts) != 2 || counts[id.String()] != again {
		return errors.New("these are not the rows per key that the rotation should have left")
	}
	return d.readAll(ctx)
}

func (d *demo) readAll(ctx context.Context) error {
	rows, err := d.db.QueryContext(ctx, "select id, email, ssn from customers order by id")
	if err != nil {
		return err
	}
	defer rows.Close()
	read := 0
	for ; rows.Next(); read++ {
		var c Customer
		if err := rows.Scan(&c.ID, &c.Email, &c.SSN); err != nil {
			return err
		}
		a, err := c.Email.Open(ctx)
		if err != nil {
			return err
		}
		n, err := c.SSN.OpenAt(ctx, c.place())
		if err != nil {
			return err
		}
		if a != address(c.ID) || n != number(c.ID) {
			return fmt.Errorf("customer %d is not what was written", c.ID)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if read != customerCount {
		return fmt.Errorf("%d rows were read", read)
	}
	fmt.Printf("   all %d rows read back, under both keys\n", read)
	return nil
}

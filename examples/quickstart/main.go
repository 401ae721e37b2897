// Quickstart shows on a real PostgreSQL what Sealfield does: 10,000 made-up
// customers in encrypted columns, searched, swapped, rotated. Every claim that
// it prints it has checked; one that does not hold ends it with an error.
//
// It uses the database of DATABASE_URL, in a schema of its own that it drops at
// the end, also when it is interrupted.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/brianvoe/gofakeit/v7"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

const customerCount = 10_000

// Customer is a row of the table customers. The id and the plan are in the
// clear, the rest is sealed, and the e-mail can be searched.
type Customer struct {
	ID    int64     `db:"id"`
	Name  string    `db:"name"  seal:"encrypt"`
	Email string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	SSN   *string   `db:"ssn"   seal:"encrypt"` // one in ten has none
	Born  time.Time `db:"born"  seal:"encrypt,type=date"`
	Plan  string    `db:"plan"`
}

const (
	createTable = `create table customers (
	id bigint primary key, name bytea not null, email bytea not null, email_idx bytea not null,
	ssn bytea, born bytea not null, plan text not null)`
	insertCustomer = `insert into customers (id, name, email, email_idx, ssn, born, plan)
	values (@id, @name, @email, @email_idx, @ssn, @born, @plan)`
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nquickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return errors.New("DATABASE_URL is not set; \"make demo\" starts a throw-away PostgreSQL and sets it")
	}
	d := &demo{url: url, begun: time.Now()}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	for _, s := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Make a keyring: a key file (0600) wraps the root keys, PostgreSQL keeps wrapped keys only", d.makeKeyring},
		{"Create the table, and CHECKs that make PostgreSQL refuse plaintext", d.createTable},
		{"Write 10,000 made-up customers, encrypted", d.write},
		{"One row, as psql sees it and as the program reads it", d.look},
		{"Find a customer by e-mail", d.find},
		{"Swap two customers' SSNs in the database", d.swap},
		{"Write plaintext past the library", d.writePlaintext},
		{"Rotate the key and seal a thousand rows anew", d.rotate},
	} {
		d.step++
		fmt.Printf("\n%d. %s\n", d.step, s.title)
		start := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("step %d: %w", d.step, err)
		}
		fmt.Printf("   (%v)\n", time.Since(start).Round(100*time.Microsecond))
	}
	fmt.Printf("\nEverything above was checked. %v in all.\n", time.Since(d.begun).Round(time.Millisecond))
	return nil
}

type demo struct {
	url    string
	schema string
	dir    string // of the key file
	step   int
	begun  time.Time

	app   *pgx.Conn // the program's connection
	psql  *pgx.Conn // a second one that knows nothing of Sealfield
	store *pgxstore.Store
	kr    *keyring.Keyring

	customers *pgxfield.Table[Customer]
	written   []Customer
}

func (d *demo) makeKeyring(ctx context.Context) (err error) {
	d.schema = "sealfield_quickstart_" + hex.EncodeToString(random(4))
	if d.dir, err = os.MkdirTemp("", "sealfield-quickstart-"); err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(d.url)
	if err != nil {
		return err
	}
	cfg.RuntimeParams["search_path"] = d.schema
	if d.app, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return err
	}
	if d.psql, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		return err
	}
	if _, err = d.app.Exec(ctx, "create schema "+d.schema); err != nil {
		return err
	}
	if d.store, err = pgxstore.New(ctx, cfg, pgxstore.Config{Schema: d.schema}); err != nil {
		return err
	}
	if err := d.store.Migrate(ctx); err != nil {
		return err
	}
	kms, err := localkms.Create(d.dir + "/app.key")
	if err != nil {
		return err
	}
	d.kr, err = keyring.Create(ctx, keyring.Config{Name: "quickstart", Store: d.store, KMS: []keyring.KMS{kms}})
	return err
}

func (d *demo) createTable(ctx context.Context) (err error) {
	if _, err = d.app.Exec(ctx, createTable); err != nil {
		return err
	}
	d.customers, err = pgxfield.NewTable[Customer](d.kr, d.schema+".customers", pgxfield.Config{RowKey: []string{"id"}, Name: "customers"})
	if err != nil {
		return err
	}
	for _, statement := range d.customers.DDL() {
		if _, err := d.app.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := d.customers.Verify(ctx, d.app); err != nil {
		return err
	}
	fmt.Println("   Verify: columns, CHECKs and indexes are in place")
	return nil
}

func (d *demo) write(ctx context.Context) error {
	fake := gofakeit.New(20260101) // the same customers each time
	plans := []string{"free", "basic", "pro"}
	for id := range int64(customerCount) {
		first, last := fake.FirstName(), fake.LastName()
		c := Customer{ID: id + 1, Name: first + " " + last, Email: fmt.Sprintf("%s.%s%d@%s", first, last, id, fake.DomainName()),
			Born: fake.DateRange(date(1930), date(2008)).Truncate(24 * time.Hour), Plan: plans[id%3]}
		if id%10 != 9 {
			ssn := fake.SSN()
			c.SSN = &ssn
		}
		d.written = append(d.written, c)
	}
	p := newProgress("written", len(d.written))
	defer p.end()
	return d.inBatches(ctx, d.written, insertCustomer, p)
}

// inBatches runs the statement for each row, 500 rows per round trip.
func (d *demo) inBatches(ctx context.Context, rows []Customer, statement string, p *progress) error {
	for len(rows) > 0 {
		n := min(500, len(rows))
		batch := &pgx.Batch{}
		for i := range rows[:n] {
			batch.Queue(statement, d.customers.Args(&rows[i]))
		}
		if err := d.app.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		p.add(n)
		rows = rows[n:]
	}
	return nil
}

func (d *demo) look(ctx context.Context) error {
	want := d.written[41]
	var email, ssn []byte
	if err := d.psql.QueryRow(ctx, "select email, ssn from customers where id = $1", want.ID).Scan(&email, &ssn); err != nil {
		return err
	}
	fmt.Printf("   psql:    id %d, email \\x%x...\n", want.ID, email[:24])
	if bytes.Contains(email, []byte(want.Email)) || bytes.Contains(ssn, []byte(*want.SSN)) {
		return errors.New("the columns hold plaintext")
	}
	got, err := d.read(ctx, want.ID)
	if err != nil {
		return err
	}
	fmt.Printf("   program: id %d, %s, %s, SSN %s, born %s\n", got.ID, got.Name, got.Email, *got.SSN, got.Born.Format(time.DateOnly))
	if got.Name != want.Name || got.Email != want.Email || *got.SSN != *want.SSN || !got.Born.Equal(want.Born) || got.Plan != want.Plan {
		return errors.New("the row is not what was written")
	}
	return nil
}

func (d *demo) read(ctx context.Context, id int64) (Customer, error) {
	rows, err := d.app.Query(ctx, "select * from customers where id = $1", id)
	if err != nil {
		return Customer{}, err
	}
	return pgx.CollectExactlyOneRow(rows, d.customers.Row(ctx))
}

func (d *demo) find(ctx context.Context) error {
	want := d.written[4711]
	typed := "  " + string(bytes.ToUpper([]byte(want.Email)))
	tags, err := d.customers.Match(ctx, "email", typed)
	if err != nil {
		return err
	}
	rows, err := d.app.Query(ctx, "select * from customers where email_idx = any($1)", tags)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, d.customers.Row(ctx))
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].ID != want.ID {
		return fmt.Errorf("found %d rows", len(found))
	}
	fmt.Printf("   %q is customer %d, %s: one row through the index on email_idx\n", typed, found[0].ID, found[0].Name)
	return nil
}

const swapSSNs = `update customers a set ssn = b.ssn from customers b
	where (a.id, b.id) in (($1, $2), ($2, $1))`

func (d *demo) swap(ctx context.Context) error {
	a, b := d.written[0].ID, d.written[1].ID
	if _, err := d.psql.Exec(ctx, swapSSNs, a, b); err != nil {
		return err
	}
	for _, id := range []int64{a, b} {
		_, err := d.read(ctx, id)
		if !errors.Is(err, crypto.ErrDecrypt) {
			return fmt.Errorf("customer %d was not refused: %v", id, err)
		}
		fmt.Printf("   customer %d: %v\n", id, err)
	}
	if _, err := d.psql.Exec(ctx, swapSSNs, a, b); err != nil {
		return err
	}
	for _, id := range []int64{a, b} {
		if _, err := d.read(ctx, id); err != nil {
			return err
		}
	}
	fmt.Println("   swapped back: both open again")
	return nil
}

func (d *demo) writePlaintext(ctx context.Context) error {
	_, err := d.psql.Exec(ctx, "update customers set ssn = '123-45-6789' where id = 1")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "23514" {
		return fmt.Errorf("PostgreSQL did not refuse it: %v", err)
	}
	fmt.Printf("   PostgreSQL: %s\n", refused.Message)
	return nil
}

func (d *demo) rotate(ctx context.Context) error {
	id, err := d.kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	if err != nil {
		return err
	}
	const again = 1000
	p := newProgress("sealed anew", again)
	err = d.inBatches(ctx, d.written[:again], "update customers set name=@name, email=@email, email_idx=@email_idx, ssn=@ssn, born=@born where id=@id", p)
	p.end()
	if err != nil {
		return err
	}
	fmt.Println("   rows per key, by plain SQL: select encode(substring(email from 2 for 4), 'hex'), count(*) from customers group by 1")
	rows, err := d.psql.Query(ctx, "select encode(substring(email from 2 for 4), 'hex'), count(*) from customers group by 1 order by 2 desc")
	if err != nil {
		return err
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Key   string
		Count int
	}])
	if err != nil {
		return err
	}
	for _, c := range counts {
		fmt.Printf("     %s  %5d\n", c.Key, c.Count)
	}
	if len(counts) != 2 || counts[0].Count != customerCount-again || counts[1].Count != again || counts[1].Key != id.String() {
		return errors.New("these are not the rows per key that the rotation should have left")
	}
	all, err := d.app.Query(ctx, "select * from customers order by id")
	if err != nil {
		return err
	}
	read, err := pgx.CollectRows(all, d.customers.Row(ctx))
	if err != nil {
		return err
	}
	for i, c := range read {
		if c.Email != d.written[i].Email || c.Name != d.written[i].Name {
			return fmt.Errorf("customer %d is not what was written", c.ID)
		}
	}
	fmt.Printf("   all %d rows read back, under both keys\n", len(read))
	return nil
}

// cleanUp drops the schema and the key file. It does not use the context of
// the run, which may have been cancelled.
func (d *demo) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if d.kr != nil {
		d.kr.Close()
	}
	if d.store != nil {
		d.store.Close()
	}
	var failed error
	for _, c := range []*pgx.Conn{d.app, d.psql} {
		if c != nil {
			c.Close(ctx)
		}
	}
	if d.app != nil {
		failed = d.dropSchema(ctx)
	}
	if d.dir != "" {
		failed = errors.Join(failed, os.RemoveAll(d.dir))
	}
	return failed
}

// dropSchema uses a connection of its own: an interrupt may have broken the
// others.
func (d *demo) dropSchema(ctx context.Context) error {
	c, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "set client_min_messages = warning; drop schema if exists "+d.schema+" cascade")
	return err
}

func date(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// progress prints how far a long step is: in place on a terminal, else at the
// end only.
type progress struct {
	what        string
	done, total int
	terminal    bool
}

func newProgress(what string, total int) *progress {
	info, err := os.Stdout.Stat()
	return &progress{what: what, total: total, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) add(n int) {
	p.done += n
	if p.terminal {
		fmt.Printf("\r   %d of %d %s", p.done, p.total, p.what)
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Print("\r")
	}
	fmt.Printf("   %d of %d %s\n", p.done, p.total, p.what)
}

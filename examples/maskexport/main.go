// Maskexport copies a live database, masked, into a folder that psql restores: what
// a policy says becomes of each column, proven before a row is read, and checked
// afterwards. See README.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/adapters/pgxmask"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/mask/maskyaml"
)

var errUsage = errors.New(`usage: maskexport demo|plan|run|resume|verify [flags]

  demo    make the schema shop, with made-up customers
  plan    prove that the policy fits the database; -report, -lock
  run     copy the database into the folder -out
  resume  go on with a run that did not finish
  verify  compare a finished copy with the database once more`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "maskexport:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	dsn, policy, out string
	report, lock     string
	keys, testKeys   string
	where            string
	customers        int
	workers          int
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.dsn, "dsn", os.Getenv("DATABASE_URL"), "the database to copy")
	flags.StringVar(&o.policy, "policy", "policy.yaml", "what becomes of each column")
	flags.StringVar(&o.out, "out", "copy", "the folder of the copy")
	flags.StringVar(&o.report, "report", "", "plan: write a report for reviewers to this file, in HTML")
	flags.StringVar(&o.lock, "lock", "", "plan: hold the plan against the lock in this file, or write it if it is not there")
	flags.StringVar(&o.keys, "keys", "production.key", "the key-encryption key of the source")
	flags.StringVar(&o.testKeys, "test-keys", "test", "the keyring of the copy: NAME.key and NAME.keys")
	flags.StringVar(&o.where, "customers-where", "", "copy only these customers, a condition in SQL, and all that belongs to them")
	flags.IntVar(&o.customers, "customers", 1000, "demo: how many to make")
	flags.IntVar(&o.workers, "workers", 0, "how many chunks are copied at the same time")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	j, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer j.close(ctx)
	config := pgxmask.RunConfig{Source: j.conn.Config(), Dir: o.out, Format: pgxmask.SQL, Workers: o.workers, Progress: progress}
	switch args[0] {
	case "demo":
		return demo(ctx, j.conn, j.production, o.customers)
	case "plan":
		return j.plan(ctx, out)
	case "run", "resume", "verify":
		plan, err := j.newPlan(ctx)
		if err != nil {
			return err
		}
		do := map[string]func(context.Context, pgxmask.RunConfig) (*pgxmask.Result, error){"run": plan.Run, "resume": plan.Resume, "verify": plan.Verify}[args[0]]
		result, err := do(ctx, config)
		if err != nil {
			return err
		}
		v := result.Verification
		fmt.Fprintf(out, "%d rows of %d tables, as of %s\n", result.Rows, result.Tables, result.Snapshot)
		fmt.Fprintf(out, "verified: %d originals are nowhere in the copy, %d rows were masked again, %d references hold\n", v.Originals, v.Sampled, v.References)
		return nil
	}
	return errUsage
}

// job has what every command needs.
type job struct {
	options
	conn       *pgx.Conn
	store      *pgxstore.Store
	production *keyring.Keyring
	test       *keyring.Keyring
}

// open opens the database and the keyrings. The one of the source keeps its wrapped keys
// in the source; that of the copy is in files, which whoever uses the copy is given.
func open(ctx context.Context, o options) (_ *job, err error) {
	j := &job{options: o}
	defer func() {
		if err != nil {
			j.close(ctx)
		}
	}()
	if j.conn, err = pgx.Connect(ctx, o.dsn); err != nil {
		return nil, err
	}
	if j.store, err = pgxstore.New(ctx, j.conn.Config(), pgxstore.Config{}); err != nil {
		return nil, err
	}
	if err = j.store.Migrate(ctx); err != nil {
		return nil, err
	}
	if j.production, err = openKeyring(ctx, "shop", j.store, o.keys); err != nil {
		return nil, err
	}
	j.test, err = openKeyring(ctx, "shop-test", keyring.NewFileStore(o.testKeys+".keys"), o.testKeys+".key")
	return j, err
}

func openKeyring(ctx context.Context, name string, store keyring.Store, key string) (*keyring.Keyring, error) {
	kms, err := localkms.OpenOrCreate(key)
	if err != nil {
		return nil, err
	}
	return keyring.OpenOrCreate(ctx, keyring.Config{Name: name, Store: store, KMS: []keyring.KMS{kms}})
}

func (j *job) close(ctx context.Context) {
	for _, kr := range []*keyring.Keyring{j.test, j.production} {
		if kr != nil {
			kr.Close()
		}
	}
	if j.store != nil {
		j.store.Close()
	}
	if j.conn != nil {
		j.conn.Close(context.WithoutCancel(ctx))
	}
}

func (j *job) newPlan(ctx context.Context) (*pgxmask.Plan, error) {
	text, err := os.ReadFile(j.policy)
	if err != nil {
		return nil, err
	}
	policy, err := maskyaml.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", j.policy, err)
	}
	source, err := customers(j.production)
	if err != nil {
		return nil, err
	}
	target, err := customers(j.test)
	if err != nil {
		return nil, err
	}
	config := pgxmask.Config{
		Policy: policy, Keyring: j.production, Schemas: []string{"shop"},
		Sealed: map[string]pgxmask.Sealed{"shop.customers": {Source: source, Copy: target}},
	}
	if j.where != "" {
		config.Subset = map[string]string{"shop.customers": j.where}
	}
	return pgxmask.NewPlan(ctx, j.conn, config)
}

// plan writes what a reviewer wants to see, and what CI compares.
func (j *job) plan(ctx context.Context, out io.Writer) error {
	plan, err := j.newPlan(ctx)
	if err != nil {
		return err
	}
	for _, w := range plan.Warnings() {
		fmt.Fprintln(out, "warning:", w)
	}
	if j.report != "" {
		var html bytes.Buffer
		if err := plan.WriteHTML(&html); err != nil {
			return err
		}
		if err := os.WriteFile(j.report, html.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if j.lock != "" {
		return j.checkLock(plan, out)
	}
	fmt.Fprintln(out, "the policy fits the database")
	return nil
}

func (j *job) checkLock(plan *pgxmask.Plan, out io.Writer) error {
	lock, err := os.ReadFile(j.lock)
	if errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(out, "the policy fits the database; wrote", j.lock)
		return os.WriteFile(j.lock, plan.Lock(), 0o644)
	}
	if err != nil {
		return err
	}
	changes, err := plan.Changes(lock)
	if err != nil {
		return err
	}
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if len(changes) > 0 {
		return fmt.Errorf("%s: %d changes since it was written: review them, then remove it", j.lock, len(changes))
	}
	fmt.Fprintln(out, "the policy fits the database, and nothing has changed")
	return nil
}

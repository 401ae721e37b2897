package pgxfield_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// account has an index of every way to rotate: a unique one, one of several tags,
// a lossy one, and a token.
type account struct {
	ID    int64  `db:"id"`
	Email string `db:"email" seal:"encrypt,index=email_idx,norm=email,unique=email_idx2"`
	Name  string `db:"name" seal:"encrypt,index=name_pre,kind=prefix,index=name8,bits=8"`
	Tax   string `db:"tax" seal:"token=siv"`
}

const (
	createAccounts = `create table accounts (id bigint primary key, email bytea not null, email_idx bytea, email_idx2 bytea, name bytea not null, name_pre bytea[] not null, name8 bytea not null, tax bytea not null)`
	insertAccount  = `insert into accounts (id, email, email_idx, email_idx2, name, name_pre, name8, tax) values (@id, @email, @email_idx, @email_idx2, @name, @name_pre, @name8, @tax)`
)

// fleet is several processes, as far as keys go, on one table: each has a keyring
// of its own, which learns of new keys in its own time.
type fleet struct {
	pool   *pgxpool.Pool
	kr     []*keyring.Keyring
	tables []*pgxfield.Table[account]
}

func newFleet(t testing.TB, n int, delay time.Duration) *fleet {
	f := &fleet{}
	var err error
	f.pool, err = pgxpool.New(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	t.Cleanup(f.pool.Close)
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	for range n {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
			c.Store, c.KMS, c.PropagationDelay, c.EncryptGrace, c.DecryptGrace = store, []keyring.KMS{kms}, delay, 2*delay, time.Hour
		})
		f.kr = append(f.kr, kr)
		f.tables = append(f.tables, newTable[account](t, kr, "accounts", byID))
	}
	for _, sql := range append([]string{createAccounts}, f.tables[0].DDL()...) {
		_, err := f.pool.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	require.NoError(t, f.tables[0].Verify(t.Context(), f.pool))
	return f
}

func makeAccount(id int64) *account {
	return &account{id, fmt.Sprintf("user.%d@example.com", id), fmt.Sprintf("name %05d", id), fmt.Sprintf("tax %d", id)}
}

// insert writes an account by one of the processes, and reports whether its
// e-mail address was there already.
func (f *fleet) insert(ctx context.Context, process int, a *account) (duplicate bool, err error) {
	_, err = f.pool.Exec(ctx, insertAccount, f.tables[process].Args(a))
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "23505" {
		if !strings.Contains(pg.ConstraintName, "email_idx") {
			return false, err
		}
		return true, nil
	}
	return false, err
}

// find looks an account up by everything that it can be found by.
func (f *fleet) find(ctx context.Context, process int, id int64) error {
	table, want := f.tables[process], makeAccount(id)
	for _, c := range []struct{ column, value, predicate string }{
		{"email", want.Email, "email_idx = any($1) or email_idx2 = any($1)"}, {"name_pre", want.Name[:8], "name_pre && $1"}, {"tax", want.Tax, "tax = any($1)"},
	} {
		tags, err := table.Match(ctx, c.column, c.value)
		if err != nil {
			return err
		}
		rows, err := f.pool.Query(ctx, "select * from accounts where ("+c.predicate+") and id = $2", tags, id)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, table.Row(ctx))
		if err != nil {
			return err
		}
		if len(found) != 1 || found[0] != *want {
			return fmt.Errorf("account %d is found %d times by %s", id, len(found), c.column)
		}
	}
	for _, c := range []struct{ column, value string }{{"email", want.Email}, {"name8", want.Name}} {
		n := 0
		for a, err := range table.Search(ctx, f.pool, pgxfield.SearchQuery{Column: c.column, Value: c.value}) {
			if err != nil {
				return err
			}
			if a == *want {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("account %d is found %d times by a search of %s", id, n, c.column)
		}
	}
	return nil
}

// rotate takes all columns through a rotation, step by step.
func (f *fleet) rotate(t testing.TB) {
	ctx, table := t.Context(), f.tables[0]
	scalar := func(sql string) (n int64) {
		require.NoError(t, f.pool.QueryRow(ctx, sql).Scan(&n), sql)
		return n
	}
	columns := []string{"email", "name_pre", "name8", "tax"}
	rotation := func(column string, state pgxfield.RotationState) pgxfield.Rotation {
		r, err := table.Rotation(ctx, column)
		require.NoError(t, err)
		require.Equal(t, state, r.State, column)
		return r
	}
	for _, column := range columns {
		rotation(column, pgxfield.Steady)
	}
	for _, p := range []keyring.Purpose{keyring.Index, keyring.Token} {
		_, err := f.kr[0].Rotate(ctx, keyring.Target{Purpose: p}, keyring.RotateOptions{})
		require.NoError(t, err)
	}
	var until time.Time
	for _, column := range columns {
		until = rotation(column, pgxfield.Waiting).Until
	}
	time.Sleep(time.Until(until) + 1500*time.Millisecond) // the keyrings' clocks tick once a second
	for _, column := range columns {
		r := rotation(column, pgxfield.Rewriting)
		first := scalar(r.Remaining)
		total := scalar("select count(*) from accounts") // after it: rows are being added
		require.LessOrEqual(t, first, total)
		rewritten := 0
		for scalar(r.Remaining) > 0 {
			n := 0
			err := pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
				rows, err := tx.Query(ctx, r.Rewrite, 50)
				if err != nil {
					return err
				}
				page, err := pgx.CollectRows(rows, table.Row(ctx))
				if err != nil {
					return err
				}
				for i := range page {
					if _, err := tx.Exec(ctx, r.Update, table.Args(&page[i])); err != nil {
						return err
					}
				}
				n = len(page)
				return nil
			})
			if !isDeadlock(err) {
				require.NoError(t, err)
				rewritten += n
			}
		}
		t.Logf("%-8s %4d rows of %d were under %v, %d rewritten", column, first, total, r.Old, rewritten)
		for _, sql := range append(r.Fence, r.Fence...) {
			_, err := f.pool.Exec(ctx, sql)
			require.NoError(t, err, sql)
		}
		require.Zero(t, scalar(r.Remaining))
	}
	require.NoError(t, table.Verify(ctx, f.pool))

	r, siv := rotation("email", pgxfield.Rewriting), rotation("tax", pgxfield.Rewriting)
	for target, id := range map[keyring.Target]keyring.KeyID{{Purpose: keyring.Index}: r.Old[0], {Purpose: keyring.Token}: siv.Old[0]} {
		_, err := f.kr[0].MarkCompromised(ctx, target, id)
		require.NoError(t, err)
		destroy := func() error {
			return f.kr[0].Destroy(ctx, target, id, keyring.DestroyOptions{By: "test", Count: func(context.Context, keyring.KeyInfo) (n int64, err error) {
				for _, column := range columns {
					if r, err := table.Rotation(ctx, column); err != nil || r.Old == nil {
						return 0, err
					} else if left := scalar(r.Remaining); left > 0 {
						return left, nil
					}
				}
				return 0, nil
			}})
		}
		err = destroy()
		for errors.Is(err, keyring.ErrInUse) {
			time.Sleep(200 * time.Millisecond)
			err = destroy()
		}
		require.NoError(t, err)
	}
	for _, column := range columns {
		rotation(column, pgxfield.Steady)
	}
	for _, rotation := range []pgxfield.Rotation{r, siv} {
		for _, sql := range rotation.Unfence {
			_, err := f.pool.Exec(ctx, sql)
			require.NoError(t, err)
		}
	}
}

// isDeadlock reports whether the database has ended a transaction that has to be
// repeated: a duplicate waits for the row that is rewritten, which waits for the
// duplicate's new tag.
func isDeadlock(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "40P01"
}

// TestIndexRotation rotates index and token keys twice, while other processes write,
// look up and try duplicates without a pause: every row is found at every moment,
// and no duplicate gets in.
func TestIndexRotation(t *testing.T) {
	f := newFleet(t, 4, 6*time.Second) // a search refuses keys of half that age, and so a process that stands still as long
	var last atomic.Int64              // accounts 1 to last are there
	for id := range int64(300) {
		duplicate, err := f.insert(t.Context(), int(id)%4, makeAccount(id+1))
		require.NoError(t, err)
		require.False(t, duplicate)
		last.Store(id + 1)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var inserts, lookups, duplicates atomic.Int64
	work := func(f func(rnd *rand.Rand) error) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for ctx.Err() == nil {
				if err := f(rnd); err != nil && ctx.Err() == nil && !isDeadlock(err) {
					t.Error(err)
					stop()
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	work(func(rnd *rand.Rand) error {
		id := last.Load() + 1
		duplicate, err := f.insert(ctx, rnd.IntN(4), makeAccount(id))
		if duplicate {
			return fmt.Errorf("account %d is no duplicate", id)
		}
		if err == nil {
			inserts.Add(1)
			last.Store(id)
		}
		time.Sleep(10 * time.Millisecond)
		return err
	})
	for range 2 {
		work(func(rnd *rand.Rand) error {
			lookups.Add(1)
			return f.find(ctx, rnd.IntN(4), 1+rnd.Int64N(last.Load()))
		})
		work(func(rnd *rand.Rand) error {
			double := makeAccount(1 + rnd.Int64N(last.Load()))
			double.ID = 1_000_000 + rnd.Int64N(1_000_000)
			double.Email = strings.ToUpper(double.Email)
			duplicate, err := f.insert(ctx, rnd.IntN(4), double)
			if err == nil && !duplicate {
				err = fmt.Errorf("a duplicate of %s got in", double.Email)
			}
			duplicates.Add(1)
			return err
		})
	}
	for range 2 {
		f.rotate(t)
	}
	stop()
	wg.Wait()
	for id := range last.Load() {
		require.NoError(t, f.find(t.Context(), int(id)%4, id+1))
	}
	t.Logf("%d inserts, %d lookups of 5 kinds, %d duplicates refused, through 2 rotations", inserts.Load(), lookups.Load(), duplicates.Load())
}

// TestRotationLateWriter has a transaction that knew only the old key commit when
// all other rows are written anew. The fence waits for it and tells of it, or
// refuses it.
func TestRotationLateWriter(t *testing.T) {
	ctx := t.Context()
	f := newFleet(t, 1, 2*time.Second)
	table := f.tables[0]
	sealed := func(id int64) []any { // what a process would write now, to be sent later
		_, values, err := table.Args(makeAccount(id)).RewriteQuery(ctx, nil, insertAccount, nil)
		require.NoError(t, err)
		return values
	}
	positional, _, err := table.Args(makeAccount(1)).RewriteQuery(ctx, nil, insertAccount, nil)
	require.NoError(t, err)
	early, late := sealed(1), sealed(2)
	_, err = f.kr[0].Rotate(ctx, indexTarget, keyring.RotateOptions{})
	require.NoError(t, err)
	time.Sleep(2100 * time.Millisecond)
	r, err := table.Rotation(ctx, "email")
	require.NoError(t, err)
	require.Equal(t, pgxfield.Rewriting, r.State)

	tx, err := f.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, positional, early...)
	require.NoError(t, err)
	var n int
	require.NoError(t, f.pool.QueryRow(ctx, r.Remaining).Scan(&n))
	require.Zero(t, n, "the transaction's row is not to be seen yet")
	fenced := make(chan error, 1)
	go func() {
		_, err := f.pool.Exec(ctx, r.Fence[0])
		fenced <- err
	}()
	select {
	case err := <-fenced:
		t.Fatal("the fence did not wait: ", err)
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-fenced)
	_, err = f.pool.Exec(ctx, r.Fence[1])
	require.ErrorContains(t, err, "violated by some row")
	_, err = f.pool.Exec(ctx, positional, late...)
	require.ErrorContains(t, err, "violates check constraint")

	rows, err := f.pool.Query(ctx, r.Rewrite, 10)
	require.NoError(t, err)
	page, err := pgx.CollectRows(rows, table.Row(ctx))
	require.NoError(t, err)
	require.Equal(t, []account{*makeAccount(1)}, page)
	_, err = f.pool.Exec(ctx, r.Update, table.Args(&page[0]))
	require.NoError(t, err)
	_, err = f.pool.Exec(ctx, r.Fence[1])
	require.NoError(t, err)
}

// TestRotationOfScopes keeps the tenants' rotations apart.
func TestRotationOfScopes(t *testing.T) {
	type row struct {
		ID     int64   `db:"id"`
		Tenant string  `db:"tenant"`
		Mail   *string `db:"mail" seal:"encrypt,index=mail_idx,unique=mail_idx2"`
		Name   string  `db:"name" seal:"encrypt,index=name_idx,index=name_tri,kind=ngram"`
	}
	ctx := t.Context()
	conn := connect(t)
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped, c.PropagationDelay = true, time.Second })
	table := newTable[row](t, kr, "t", pgxfield.Config{RowKey: []string{"id"}, Scope: "tenant", Compound: []pgxfield.CompoundIndex{{Column: "pair", Unique: "pair2", Of: parts("mail", "name")}}})
	run(t, conn, "create table t (id bigint primary key, tenant text not null, mail bytea, mail_idx bytea, mail_idx2 bytea, name bytea not null, name_idx bytea not null, name_tri bytea[] not null, pair bytea, pair2 bytea)")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	for i := range 40 {
		r := row{int64(i + 1), fmt.Sprint("tenant-", i%2), ptr(fmt.Sprint("mail ", i/2)), fmt.Sprint("name ", i)}
		if i%10 > 7 {
			r.Mail = nil
		}
		_, err := conn.Exec(ctx, "insert into t (id, tenant, mail, mail_idx, mail_idx2, name, name_idx, name_tri, pair, pair2) values (@id, @tenant, @mail, @mail_idx, @mail_idx2, @name, @name_idx, @name_tri, @pair, @pair2)", table.Args(&r))
		require.NoError(t, err)
	}
	_, err := kr.Rotate(ctx, keyring.Target{Scope: "tenant-1", Purpose: keyring.Index}, keyring.RotateOptions{})
	require.NoError(t, err)
	time.Sleep(1100 * time.Millisecond)
	for _, column := range []string{"mail", "name_idx", "name_tri", "pair"} {
		r, err := table.In("tenant-0").Rotation(ctx, column)
		require.NoError(t, err)
		require.Equal(t, pgxfield.Rotation{State: pgxfield.Steady, New: r.New}, r)
		r, err = table.In("tenant-1").Rotation(ctx, column)
		require.NoError(t, err)
		require.Equal(t, pgxfield.Rewriting, r.State)
		rows, err := query(t, conn, table.Row(ctx), r.Rewrite, 100)
		require.NoError(t, err)
		for i := range rows {
			require.Equal(t, "tenant-1", rows[i].Tenant)
			_, err := conn.Exec(ctx, r.Update, table.Args(&rows[i]))
			require.NoError(t, err)
		}
		require.Equal(t, map[string]int{"mail": 16, "name_idx": 4, "name_tri": 0, "pair": 0}[column], len(rows), "%s: those with NULL are left for the next column", column)
		run(t, conn, r.Fence...)
	}
	r, err := table.In("tenant-2").Rotation(ctx, "mail")
	require.NoError(t, err)
	require.Equal(t, pgxfield.Rotation{State: pgxfield.Steady}, r, "no key yet")
}

// TestVerifyUnique breaks what makes a unique index.
func TestVerifyUnique(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	table := newTable[account](t, keyringtest.NewKeyring(t), "accounts", byID)
	require.Equal(t, strings.Split("id email email_idx email_idx2 name name_pre name8 tax", " "), table.Columns())
	run(t, conn, createAccounts)
	run(t, conn, table.DDL()...)
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	for _, c := range []struct{ change, want string }{
		{"alter table accounts drop email_idx2", ".email_idx2: there is no such column: it holds the index tags of email"},
		{"alter table accounts alter email_idx set not null", ".email_idx: it has to take NULL"},
		{"drop index accounts_email_idx2_key; create index on accounts (email_idx2)", ".email_idx2: there is no valid unique index"},
		{"drop index accounts_email_idx_key; create unique index on accounts (email_idx, id)", ".email_idx: there is no valid unique index"},
		{"alter table accounts drop constraint accounts_email_idx2_tag", `.email_idx2: there is no CHECK (substring(email_idx2 from 1 for 2) >= '\x0180'::bytea and substring(email_idx2 from 1 for 2) <= '\x01ff'::bytea and octet_length(email_idx2) = 21)`},
	} {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, c.change)
		require.NoError(t, err)
		err = table.Verify(ctx, tx)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "\n", "one thing is wrong")
		require.NoError(t, tx.Rollback(ctx))
	}
	_, err := conn.Exec(ctx, "update accounts set email = @email, email_idx = @email_idx", table.Args(makeAccount(1)))
	require.ErrorContains(t, err, "@email and @email_idx2 have to stand")
}

func TestRotationRefuses(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	table := newTable[account](t, kr, "accounts", byID)
	for column, want := range map[string]string{"id": "it has no index", "nope": "it has no index", "name": "several indexes"} {
		_, err := table.Rotation(ctx, column)
		require.ErrorContains(t, err, want)
	}
	_, err := newTable[account](t, kr, "accounts", pgxfield.Config{}).Rotation(ctx, "email")
	require.ErrorContains(t, err, "needs Config.RowKey")
	_, err = table.In("x").Rotation(ctx, "email")
	require.ErrorIs(t, err, keyring.ErrScope)
}

var indexTarget = keyring.Target{Purpose: keyring.Index}

package pgxfield_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

const selectCustomers = `select * from customers`

// bouncerUses are the ways to use a table, each of which writes or reads the
// customer id.
var bouncerUses = []struct {
	name string
	do   func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error
}{
	{"Args", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(id)))
		return err
	}},
	{"Row", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		return one(id)(collect(conn.Query(ctx, insertCustomer+" returning *", table.Args(ann(id))))(table.Row(ctx)))
	}},
	{"transaction", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, insertCustomer, table.Args(ann(id))); err != nil {
				return err
			}
			return one(id)(collect(tx.Query(ctx, selectCustomers+" where id = $1", id))(table.Row(ctx)))
		})
	}},
	{"Batch", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		var batch pgx.Batch
		batch.Queue(insertCustomer, table.Args(ann(id)))
		batch.Queue(selectCustomers+" where id = $1", id).Query(func(rows pgx.Rows) error {
			return one(id)(collect(rows, nil)(table.Row(ctx)))
		})
		return conn.SendBatch(ctx, &batch).Close()
	}},
	{"CopyFrom", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"customers"}, table.Columns(), copySource(ctx, table, []customer{*ann(id)}))
		return err
	}},
	{"Match", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		tags, err := table.Match(ctx, "email", "ann@example.com")
		if err != nil {
			return err
		}
		return one(1)(collect(conn.Query(ctx, selectCustomers+" where email_idx = any($1) order by id limit 1", tags))(table.Row(ctx)))
	}},
	{"Search", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		for c, err := range table.Search(ctx, conn, pgxfield.SearchQuery{Column: "email", Value: "ann@example.com", Limit: 1}) {
			return one(1)([]customer{c}, err)
		}
		return errors.New("nothing was found")
	}},
	{"Verify", func(ctx context.Context, conn *pgx.Conn, table *pgxfield.Table[customer], id int64) error {
		return table.Verify(ctx, conn)
	}},
}

// collect reads all rows of a Query.
func collect(rows pgx.Rows, err error) func(pgx.RowToFunc[customer]) ([]customer, error) {
	return func(f pgx.RowToFunc[customer]) ([]customer, error) {
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, f)
	}
}

// one checks that the rows are the customer id alone.
func one(id int64) func([]customer, error) error {
	return func(all []customer, err error) error {
		if err != nil {
			return err
		}
		if len(all) != 1 || all[0].ID != id || all[0].Email != ann(id).Email || *all[0].SSN != *ann(id).SSN || !all[0].Born.Equal(ann(id).Born) {
			return errors.New("got other rows")
		}
		return nil
	}
}

// TestBouncer uses a table in every way and exec mode behind pgbouncer in
// transaction pooling. Each time that the session is between two transactions
// another client does the same in it, and something else: the worst that can
// happen.
func TestBouncer(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	direct, table := newCustomers(t, kr)
	_, err := direct.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	id := int64(1)
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			bouncer := pgtest.StartBouncer(t, direct.Config().ConnString(), pgtest.BouncerConfig{})
			proxy := pgtest.StartProxy(t, bouncer.DSN())
			client, other := connectTo(t, proxy.DSN, mode), connectTo(t, bouncer.DSN(), mode)
			third := connectTo(t, bouncer.DSN(), pgx.QueryExecModeExec)
			for _, use := range bouncerUses {
				var disturbed []error
				proxy.Idle = func() {
					disturbed = append(disturbed, use.do(ctx, other, table, id+1000))
					id++
					disturbed = append(disturbed, pgtest.Disturb(ctx, third))
				}
				id++
				err := use.do(ctx, client, table, id)
				proxy.Idle = nil
				require.NotEmpty(t, disturbed)
				for _, e := range disturbed {
					err = errors.Join(err, e)
				}
				switch {
				case mode == pgx.QueryExecModeCacheStatement && !bouncer.Prepares:
					require.ErrorContains(t, err, "(SQLSTATE 42P05)", "%s: prepared statement already exists", use.name)
				case mode == pgx.QueryExecModeDescribeExec && !slices.Contains([]string{"transaction", "Batch", "CopyFrom"}, use.name):
					require.ErrorContains(t, err, "(SQLSTATE 08P01)", "%s: bind message supplies other parameters", use.name)
				default:
					require.NoError(t, err, use.name)
				}
			}
		})
	}
}

// TestBouncerDescribeExec shows why that mode must not be used: a row goes to
// the statement that somebody else has prepared.
func TestBouncerDescribeExec(t *testing.T) {
	ctx := t.Context()
	direct, table := newCustomers(t, keyringtest.NewKeyring(t))
	run(t, direct, "create table elsewhere (like customers including all)")
	bouncer := pgtest.StartBouncer(t, direct.Config().ConnString(), pgtest.BouncerConfig{})
	proxy := pgtest.StartProxy(t, bouncer.DSN())
	client, other := connectTo(t, proxy.DSN, pgx.QueryExecModeDescribeExec), connectTo(t, bouncer.DSN(), pgx.QueryExecModeExec)
	id := int64(100)
	proxy.Idle = func() {
		id++
		_, err := other.Exec(ctx, "insert into elsewhere (id, email, email_idx, ssn, born) values (@id, @email, @email_idx, @ssn, @born)", table.Args(ann(id)))
		assert.NoError(t, err)
	}
	tag, err := client.Exec(ctx, insertCustomer, table.Args(ann(1)))
	proxy.Idle = nil
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	for name, want := range map[string]int{"customers": 0, "elsewhere": 1} {
		var n int
		require.NoError(t, direct.QueryRow(ctx, fmt.Sprintf("select count(*) from %s where id = 1", name)).Scan(&n))
		require.Equal(t, want, n, name)
	}
}

// TestBouncerConcurrentUse has more clients than sessions.
func TestBouncerConcurrentUse(t *testing.T) {
	ctx := t.Context()
	direct, table := newCustomers(t, keyringtest.NewKeyring(t))
	_, err := direct.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	bouncer := pgtest.StartBouncer(t, direct.Config().ConnString(), pgtest.BouncerConfig{Conns: 3})
	const clients, rounds = 4, 5
	var wg sync.WaitGroup
	for m, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for c := range clients {
			conn := connectTo(t, bouncer.DSN(), mode)
			wg.Go(func() {
				for i := range rounds {
					for u, use := range bouncerUses {
						if err := use.do(ctx, conn, table, int64(2+u+100*(i+rounds*(c+clients*m)))); err != nil {
							t.Errorf("%s: %s: %v", mode, use.name, err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	var n int
	require.NoError(t, direct.QueryRow(ctx, "select count(*) from customers").Scan(&n))
	require.Equal(t, 1+3*clients*rounds*5, n)
}

func connectTo(t testing.TB, dsn string, mode pgx.QueryExecMode) *pgx.Conn {
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

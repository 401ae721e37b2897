package pgxfield_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func poolOf(t testing.TB, conn *pgx.Conn) *pgxpool.Pool {
	cfg, err := pgxpool.ParseConfig(conn.Config().ConnString())
	require.NoError(t, err)
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// TestCopyFrom copies every type, into a table whose name needs quotes in a schema
// that does, by every kind of Copier and in every exec mode.
func TestCopyFrom(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	const quoted = `"s c"."every""thing"`
	table := newTable[everything](t, keyringtest.NewKeyring(t), `s c.every"thing`, byID)
	run(t, conn, `create schema "s c"`, createSQL(quoted, table.Columns()))
	run(t, conn, table.DDL()...)
	want := map[int64]everything{}
	var id int64
	next := func() (some []everything) {
		for range 300 {
			id++
			row := full(id)
			if id%2 == 0 {
				row = empty(id)
			}
			want[id] = row
			some = append(some, row)
		}
		return some
	}
	for _, mode := range modes {
		n, err := table.CopyFrom(ctx, reconnect(t, conn, mode), sequence(next()))
		require.NoError(t, err, mode)
		require.EqualValues(t, 300, n)
	}
	n, err := table.CopyFrom(ctx, poolOf(t, conn), sequence(next()))
	require.NoError(t, err)
	require.EqualValues(t, 300, n)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = table.CopyFrom(ctx, tx, sequence(next()))
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	n, err = table.CopyFrom(ctx, conn, sequence[everything](nil))
	require.NoError(t, err)
	require.Zero(t, n)

	all, err := table.Collect(ctx, mustQuery(t, conn, "select * from "+quoted))
	require.NoError(t, err)
	require.Len(t, all, len(want))
	for _, row := range all {
		require.Equal(t, want[row.ID], row.utc())
	}
	tags, err := table.Match(ctx, "text", "Grüße, 世界")
	require.NoError(t, err)
	all, err = table.Collect(ctx, mustQuery(t, conn, "select id, text from "+quoted+" where text_idx = any($1)", tags))
	require.NoError(t, err)
	require.Len(t, all, len(want)/2)
}

// TestCopyFromFinds holds that what was copied is found by all of its indexes and
// is of its tenant.
func TestCopyFromFinds(t *testing.T) {
	ctx := t.Context()
	conn, table, items := itemTable(t, 1000)
	for _, i := range []int{0, 499, 999} {
		want := items[i]
		in := table.In(want.Tenant)
		tags, err := in.Match(ctx, "name", want.Name)
		require.NoError(t, err)
		got, err := in.Collect(ctx, mustQuery(t, conn, "select * from items where name_idx = any($1) or name_idx2 = any($1)", tags))
		require.NoError(t, err)
		require.Equal(t, []item{want}, got)
		found := collectSearch(t, in, conn, pgxfield.SearchQuery{Column: "city", Value: want.City, Limit: 3})
		require.NotEmpty(t, found)
	}
	var tenants, keys int
	require.NoError(t, conn.QueryRow(ctx, "select count(distinct tenant), count(distinct substring(name from 2 for 4)) from items").Scan(&tenants, &keys))
	require.Equal(t, tenants, keys)
}

// TestCopyFromRefuses holds that an error writes nothing, names the row and the
// column, shows no value and leaves the connection usable.
func TestCopyFromRefuses(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 3)
	before := runtime.NumGoroutine()
	const marker = "m4rker"
	mine := errors.New("mine " + marker)
	with := func(change func(*item)) *item {
		it := makeItem(100)
		it.Note = ptr(marker)
		change(&it)
		return &it
	}
	for _, c := range []struct {
		name string
		row  *item
		err  error
		want string
	}{
		{"the iterator's error", nil, mine, mine.Error()},
		{"nil", nil, nil, "row %d is nil"},
		{"no row key", with(func(it *item) { it.ID = 0 }), nil, "row %d: column name: row key column id is NULL or zero"},
		{"no scope", with(func(it *item) { it.Tenant = "" }), nil, "row %d: column name: scope column tenant is NULL or zero"},
		{"no text", with(func(it *item) { it.Name = marker + "\xff" }), nil, "row %d: column name: the value is no UTF-8 text without zero bytes"},
		{"no token", with(func(it *item) { it.PAN = marker }), nil, "row %d: column pan: "},
		{"refused by the server", with(func(it *item) { it.ID = 1 }), nil, "duplicate key value"},
	} {
		for _, at := range []int{0, 1, 255, 256, 3000} {
			n, err := table.CopyFrom(ctx, conn, func(yield func(*item, error) bool) {
				for i := range 4000 {
					it := makeItem(i + 1000)
					ok := true
					if i == at {
						ok = yield(c.row, c.err)
					} else {
						ok = yield(&it, nil)
					}
					if !ok {
						return
					}
				}
			})
			require.Zero(t, n)
			require.ErrorContains(t, err, "pgxfield: items: copy: ", c.name)
			want := c.want
			if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, at+1)
			}
			require.ErrorContains(t, err, want, "%s at %d", c.name, at)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			} else {
				require.NotContains(t, err.Error(), marker)
			}
			var left int
			require.NoError(t, conn.QueryRow(ctx, "select count(*) from items").Scan(&left), "the connection is free")
			require.Equal(t, 3, left, "nothing was written")
		}
	}
	requireNoGoroutines(t, before)
}

// TestCopyFromClear holds that a value in the clear that does not fit its column is
// not shown either, although pgx would.
func TestCopyFromClear(t *testing.T) {
	type thing struct {
		ID   int64  `db:"id"`
		Size int64  `db:"size"`
		Name string `db:"name" seal:"encrypt"`
	}
	ctx := t.Context()
	conn := connect(t)
	run(t, conn, "create table things (id bigint primary key, size int, name bytea)")
	table := newTable[thing](t, keyringtest.NewKeyring(t), "things", byID)
	_, err := table.CopyFrom(ctx, conn, sequence([]thing{{1, 1, "a"}, {2, math.MaxInt64 - 12345, "b"}}))
	require.EqualError(t, err, "pgxfield: things: copy: row 2: a value does not fit the type of its column")
	run(t, conn, "alter table things alter name type text using ''")
	_, err = table.CopyFrom(ctx, reconnect(t, conn, pgx.QueryExecModeCacheStatement), sequence([]thing{{1, 1, "a"}}))
	require.Error(t, err, "a sealed value does not fit into text")
}

// TestCopyFromContext ends ctx in the middle, also while a key is waited for.
func TestCopyFromContext(t *testing.T) {
	conn, table, _ := itemTable(t, 1)
	for _, at := range []int{0, 1, 300, 2999} {
		other := reconnect(t, conn, pgx.QueryExecModeCacheStatement)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := table.CopyFrom(ctx, other, func(yield func(*item, error) bool) {
			for i := range 3000 {
				if i == at {
					cancel()
				}
				it := makeItem(i + 1000)
				if !yield(&it, nil) {
					return
				}
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		cancel()
	}
	kms, store := keyringtest.NewKMS(), keyring.NewMemoryStore()
	coldKeyring(t, store, kms, scoped)
	cold := newTable[item](t, coldKeyring(t, store, kms, scoped), "items", itemConfig)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kms.SetHook(func(waiting context.Context, _ string) ([]byte, error) {
		cancel()
		<-waiting.Done()
		return nil, waiting.Err()
	})
	_, err := cold.CopyFrom(ctx, reconnect(t, conn, pgx.QueryExecModeCacheStatement), sequence(makeItems(10)))
	require.ErrorIs(t, err, context.Canceled)
	kms.SetHook(nil)

	var left int
	require.NoError(t, conn.QueryRow(t.Context(), "select count(*) from items").Scan(&left))
	require.Equal(t, 1, left)
}

// TestCopyFromLosesConnection kills the backend under a COPY.
func TestCopyFromLosesConnection(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 1)
	for name, kill := range map[string]func(other *pgx.Conn){
		"closed": func(other *pgx.Conn) { other.PgConn().Conn().Close() },
		"terminated": func(other *pgx.Conn) {
			_, err := conn.Exec(ctx, "select pg_terminate_backend($1)", int32(other.PgConn().PID()))
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := reconnect(t, conn, pgx.QueryExecModeCacheStatement)
			before := runtime.NumGoroutine()
			ended := false
			n, err := table.CopyFrom(ctx, other, func(yield func(*item, error) bool) {
				for i := 0; ; i++ { // never ends by itself
					if i == 2000 {
						kill(other)
					}
					it := makeItem(i + 1000)
					if !yield(&it, nil) {
						ended = true
						return
					}
				}
			})
			require.ErrorContains(t, err, "pgxfield: items: copy: ")
			require.Zero(t, n)
			require.True(t, ended)
			var left int
			require.NoError(t, conn.QueryRow(ctx, "select count(*) from items").Scan(&left))
			require.Equal(t, 1, left)
			requireNoGoroutines(t, before)
		})
	}
}

// TestCopyFromPanic panics in the iterator, and in the code that writes a value.
func TestCopyFromPanic(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 1)
	before := runtime.NumGoroutine()
	for _, at := range []int{0, 10, 1000} {
		require.PanicsWithValue(t, "iterator", func() {
			table.CopyFrom(ctx, conn, func(yield func(*item, error) bool) {
				for i := range 3000 {
					if i == at {
						panic("iterator")
					}
					it := makeItem(i + 1000)
					if !yield(&it, nil) {
						return
					}
				}
			})
		})
		exited := make(chan struct{})
		go func() {
			defer close(exited)
			table.CopyFrom(ctx, conn, func(yield func(*item, error) bool) {
				it := makeItem(1000)
				yield(&it, nil)
				runtime.Goexit()
			})
		}()
		<-exited
		var left int
		require.NoError(t, conn.QueryRow(ctx, "select count(*) from items").Scan(&left), "the connection is free")
		require.Equal(t, 1, left)
	}
	requireNoGoroutines(t, before)
	type thing struct {
		ID   int64   `db:"id"`
		Name valuing `db:"name" seal:"encrypt,type=text"`
	}
	run(t, conn, "create table things (id bigint primary key, name bytea)")
	things := newTable[thing](t, keyringtest.NewKeyring(t), "things", byID)
	all := make([]thing, 2000)
	for i := range all {
		all[i] = thing{int64(i + 1), "fine"}
	}
	_, err := things.CopyFrom(ctx, conn, sequence(all)) // the new keyring's goroutines start with its first key
	require.NoError(t, err)
	run(t, conn, "truncate things")
	before = runtime.NumGoroutine()
	all[1500].Name = "panic"
	require.PanicsWithValue(t, "valuing", func() { things.CopyFrom(ctx, conn, sequence(all)) })
	all[1500].Name = "fine"
	n, err := things.CopyFrom(ctx, conn, sequence(all))
	require.NoError(t, err)
	require.EqualValues(t, 2000, n)
	requireNoGoroutines(t, before)
}

// lazy is a Copier that does not read all rows.
type lazy struct{}

func (lazy) CopyFrom(_ context.Context, _ pgx.Identifier, _ []string, source pgx.CopyFromSource) (int64, error) {
	source.Next()
	return 1, nil
}

func TestCopyFromChecksTheCopier(t *testing.T) {
	table := newTable[item](t, keyringtest.NewKeyring(t, scoped), "items", itemConfig)
	_, err := table.CopyFrom(t.Context(), lazy{}, sequence(makeItems(10)))
	require.EqualError(t, err, "pgxfield: items: copy: not all rows were read")
}

// TestReserveKeys holds that keys are those of the column's sequence.
func TestReserveKeys(t *testing.T) {
	type single struct {
		ID   int64  `db:"id"`
		Name string `db:"name" seal:"encrypt"`
	}
	type double struct {
		Tenant int64  `db:"tenant"`
		ID     int32  `db:"id"`
		Name   string `db:"name" seal:"encrypt"`
	}
	ctx := t.Context()
	conn, kr := connect(t), keyringtest.NewKeyring(t)
	composite := pgxfield.Config{RowKey: []string{"tenant", "id"}}
	run(t, conn, `create schema "S"`,
		`create table serial (id bigserial primary key, name bytea)`,
		`create table "S"."by te""n" (id bigint generated always as identity (start 100 increment 10 cache 5) primary key, name bytea)`,
		`create table down (id bigint generated by default as identity (increment -3) primary key, name bytea)`,
		`create table composite (tenant bigint, id serial, name bytea, primary key (tenant, id))`,
		`create table two (tenant bigserial, id serial, name bytea, primary key (tenant, id))`,
		`create sequence loose`, `create table unowned (id bigint default nextval('loose') primary key, name bytea)`,
		`create table plain (id bigint primary key, name bytea)`)
	for _, mode := range modes {
		conn := reconnect(t, conn, mode)
		reserve := func(t interface {
			ReserveKeys(context.Context, pgxfield.DB, int) ([]int64, error)
		}, n int) []int64 {
			keys, err := t.ReserveKeys(ctx, conn, n)
			if err != nil {
				return nil
			}
			return keys
		}
		serial := newTable[single](t, kr, "serial", byID)
		first := reserve(serial, 3)
		require.Equal(t, []int64{first[0], first[0] + 1, first[0] + 2}, first)
		require.Equal(t, []int64{first[0] + 3}, reserve(serial, 1))
		require.Equal(t, []int64{}, reserve(serial, 0))
		ten := newTable[single](t, kr, `S.by te"n`, byID)
		keys := reserve(ten, 3)
		require.Len(t, keys, 3)
		require.Equal(t, []int64{keys[0], keys[0] + 10, keys[0] + 20}, keys)
		_, err := conn.Exec(ctx, `insert into "S"."by te""n" (id, name) overriding system value values (@id, @name)`, ten.Args(&single{keys[1], "x"}))
		require.NoError(t, err)
		_, err = ten.CopyFrom(ctx, conn, sequence([]single{{keys[0], "y"}, {keys[2], "z"}}))
		require.NoError(t, err)
		keys = reserve(newTable[single](t, kr, "down", byID), 2)
		require.Equal(t, keys[0]-3, keys[1])
		keys = reserve(newTable[double](t, kr, "composite", composite), 2)
		require.Equal(t, keys[0]+1, keys[1])

		const none = "no column of the row key, or more than one, has a sequence of its own"
		for name, cfg := range map[string]pgxfield.Config{"two": composite, "unowned": byID, "plain": byID} {
			if name == "two" {
				_, err = newTable[double](t, kr, name, cfg).ReserveKeys(ctx, conn, 1)
			} else {
				_, err = newTable[single](t, kr, name, cfg).ReserveKeys(ctx, conn, 1)
			}
			require.EqualError(t, err, "pgxfield: "+name+": reserve keys: "+none, mode)
		}
		_, err = newTable[single](t, kr, "nowhere", byID).ReserveKeys(ctx, conn, 1)
		pg, ok := errors.AsType[*pgconn.PgError](err)
		require.True(t, ok)
		require.Equal(t, "42P01", pg.Code)
		_, err = newTable[single](t, kr, "serial", pgxfield.Config{}).ReserveKeys(ctx, conn, 1)
		require.ErrorContains(t, err, "the table needs Config.RowKey")
		_, err = serial.ReserveKeys(ctx, conn, -1)
		require.ErrorContains(t, err, "negative")
	}
}

// valuing panics when a certain value is written.
type valuing string

func (v valuing) Value() (driver.Value, error) {
	if v == "panic" {
		panic("valuing")
	}
	return string(v), nil
}

func (v *valuing) Scan(any) error { return nil }

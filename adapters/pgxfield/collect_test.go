package pgxfield_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// item has what streams have to carry: NULLs, a token with its key, and a tenant.
type item struct {
	Tenant string  `db:"tenant"`
	ID     int64   `db:"id"`
	Name   string  `db:"name" seal:"encrypt,index=name_idx,unique=name_idx2"`
	Note   *string `db:"note" seal:"encrypt"`
	Blob   []byte  `db:"blob" seal:"encrypt,norow"`
	PAN    string  `db:"pan" seal:"token=pan,key=pan_key"`
	City   string  `db:"city" seal:"encrypt,index=city_pre,kind=prefix"`
	Free   *string `db:"free"`
}

const createItems = `create table items (tenant text, id bigint primary key, name bytea not null, name_idx bytea, name_idx2 bytea,
	note bytea, blob bytea, pan text, pan_key bytea, city bytea, city_pre bytea[], free text)`

var itemConfig = pgxfield.Config{RowKey: []string{"tenant", "id"}, Scope: "tenant"}

func makeItem(i int) item {
	it := item{fmt.Sprintf("tenant-%d", i%5), int64(i + 1), fmt.Sprintf("name %d", i), nil, nil, "4111111111111111", fmt.Sprintf("City %d", i%100), nil}
	if i%2 == 0 {
		it.Note, it.Free = ptr(fmt.Sprint("note ", i)), ptr("free")
	}
	if i%3 == 0 {
		it.Blob = []byte(strings.Repeat("x", i%2000))
	}
	return it
}

func makeItems(n int) []item {
	all := make([]item, n)
	for i := range all {
		all[i] = makeItem(i)
	}
	return all
}

// itemTable returns a table of n items, which were copied into it, and the keyring.
func itemTable(t testing.TB, n int) (*pgx.Conn, *pgxfield.Table[item], []item) {
	conn := connect(t)
	table := newTable[item](t, keyringtest.NewKeyring(t, scoped), "items", itemConfig)
	run(t, conn, createItems)
	run(t, conn, table.DDL()...)
	items := makeItems(n)
	copied, err := table.CopyFrom(t.Context(), conn, sequence(items))
	require.NoError(t, err)
	require.EqualValues(t, n, copied)
	return conn, table, items
}

func scoped(c *keyring.Config) { c.Scoped = true }

// sequence yields pointers to one T, which changes.
func sequence[T any](all []T) func(yield func(*T, error) bool) {
	return func(yield func(*T, error) bool) {
		var row T
		for i := range all {
			row = all[i]
			if !yield(&row, nil) {
				return
			}
			row = *new(T)
		}
	}
}

// requireNoGoroutines fails if more goroutines are left than there were.
func requireNoGoroutines(t testing.TB, before int) {
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before, "goroutines")
}

func each(table *pgxfield.Table[item], ctx context.Context, rows pgx.Rows) (all []item, err error) {
	for it, e := range table.Each(ctx, rows) {
		if err = e; err == nil {
			all = append(all, it)
		}
	}
	return all, err
}

// TestCollectEach holds that Collect and Each return what was written, in order,
// for results of all sizes around those of chunks, in every exec mode.
func TestCollectEach(t *testing.T) {
	ctx := t.Context()
	conn, table, items := itemTable(t, 2000)
	before := runtime.NumGoroutine()
	for _, mode := range modes {
		for _, n := range []int{0, 1, 31, 32, 33, 95, 96, 97, 700, 2000} {
			query := func() pgx.Rows {
				rows, err := conn.Query(ctx, "select * from items order by id limit $1", mode, n)
				require.NoError(t, err)
				return rows
			}
			all, err := table.Collect(ctx, query())
			require.NoError(t, err)
			require.NotNil(t, all)
			require.Equal(t, items[:n], append([]item{}, all...), "%v %d", mode, n)
			streamed, err := each(table, ctx, query())
			require.NoError(t, err)
			require.Equal(t, all, append([]item{}, streamed...), "%v %d", mode, n)
		}
	}
	require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)), "the connection is free")
	requireNoGoroutines(t, before)

	rows, err := conn.Query(ctx, "select id from items order by id")
	require.NoError(t, err)
	all, err := table.Collect(ctx, rows)
	require.NoError(t, err)
	require.Len(t, all, 2000)
	require.Equal(t, item{ID: 2000}, all[1999], "nothing to be opened")

	_, err = table.Collect(ctx, nil)
	require.EqualError(t, err, "pgxfield: items: there are no rows")
	rows, _ = conn.Query(ctx, "select * from nowhere")
	_, err = table.Collect(ctx, rows)
	require.ErrorContains(t, err, `pgxfield: items: ERROR: relation "nowhere" does not exist`)
	all, err = table.In("tenant-1").Collect(ctx, mustQuery(t, conn, "select * from items where tenant = 'tenant-1'"))
	require.NoError(t, err)
	require.Len(t, all, 400)
	_, err = table.In("tenant-1").Collect(ctx, mustQuery(t, conn, "select * from items"))
	require.ErrorContains(t, err, "the row's tenant is another scope than that of the table")
}

func mustQuery(t testing.TB, conn pgxfield.DB, sql string, args ...any) pgx.Rows {
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	return rows
}

// TestEachKeepsThePlaceOfErrors alters one row, and holds that all before it are
// returned, and then one error and nothing else.
func TestEachKeepsThePlaceOfErrors(t *testing.T) {
	ctx := t.Context()
	conn, table, items := itemTable(t, 1500)
	before := runtime.NumGoroutine()
	for _, c := range []struct{ set, want string }{
		{"note = name", "column note (row key tenant, id): " + crypto.ErrDecrypt.Error()},
		{"name = name || '\\x00'", "column name (row key tenant, id): " + crypto.ErrDecrypt.Error()},
		{"pan_key = '\\xffffffff'", "column pan: " + crypto.ErrDecrypt.Error()},
		{"tenant = null", "scope column tenant is NULL or zero"},
		{"tenant = 'nobody'", crypto.ErrDecrypt.Error()},
	} {
		for _, bad := range []int{0, 1, 31, 32, 500, 1499} {
			tx, err := conn.Begin(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, "update items set "+c.set+" where id = $1", bad+1)
			require.NoError(t, err)
			set := map[string]string{"tenant = null": "coalesce(tenant, '') as tenant"}[c.set]
			if set == "" {
				set = "tenant"
			}
			sql := "select " + set + ", id, name, note, blob, pan, pan_key, city, free from items order by id"
			var got []item
			var errs []error
			for it, err := range table.Each(ctx, mustQuery(t, tx, sql)) {
				if err != nil {
					errs = append(errs, err)
					require.Equal(t, item{}, it)
					continue
				}
				require.Empty(t, errs)
				got = append(got, it)
			}
			require.Len(t, errs, 1)
			require.ErrorContains(t, errs[0], "pgxfield: items: ")
			require.ErrorContains(t, errs[0], c.want, c.set)
			require.Equal(t, items[:bad], append([]item{}, got...), c.set)
			_, err = table.Collect(ctx, mustQuery(t, tx, sql))
			require.EqualError(t, err, errs[0].Error())
			require.NoError(t, tx.Rollback(ctx), "the result is closed")
		}
	}
	requireNoGoroutines(t, before)
}

// TestEachClear holds the same of values in the clear that do not fit, and that
// they are not shown.
func TestEachClear(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 300)
	for _, c := range []struct{ sql, want string }{
		{"select case when id = 200 then 0.5 else id::numeric end as id from items order by items.id", "column id: the value does not fit Go type int64"},
		{"select case when id = 200 then null else id end as id from items order by items.id", "column id: it is NULL, which Go type int64 can not hold"},
	} {
		got := 0
		var failed error
		for it, err := range table.Each(ctx, mustQuery(t, conn, c.sql, pgx.QueryExecModeSimpleProtocol)) {
			if failed = err; err == nil {
				got++
				require.EqualValues(t, got, it.ID)
			}
		}
		require.Equal(t, 199, got)
		require.EqualError(t, failed, "pgxfield: items: "+c.want)
	}
}

// TestEachBreak leaves loops early, by break, panic and an end of the goroutine.
func TestEachBreak(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 2000)
	before := runtime.NumGoroutine()
	const sql = "select * from items order by id"
	for range 20 {
		n, stop := 0, rand.IntN(2000)
		for _, err := range table.Each(ctx, mustQuery(t, conn, sql)) {
			require.NoError(t, err)
			if n++; n > stop {
				break
			}
		}
		require.Equal(t, stop+1, n)
		require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)), "the connection is free")

		require.PanicsWithValue(t, "body", func() {
			n := 0
			for range table.Each(ctx, mustQuery(t, conn, sql)) {
				if n++; n > stop {
					panic("body")
				}
			}
		})
		require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)))

		exited := make(chan struct{})
		rows := mustQuery(t, conn, sql)
		go func() {
			defer close(exited)
			for range table.Each(ctx, rows) {
				runtime.Goexit()
			}
		}()
		<-exited
		require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)))
	}
	requireNoGoroutines(t, before)

	seq := table.Each(ctx, mustQuery(t, conn, sql))
	for _, err := range seq {
		require.NoError(t, err)
		break
	}
	for _, err := range seq {
		require.ErrorContains(t, err, "read by another loop")
	}
}

// TestEachContext cancels the context of Each, and that of the query, in the
// middle.
func TestEachContext(t *testing.T) {
	conn, table, _ := itemTable(t, 2000)
	before := runtime.NumGoroutine()
	for _, at := range []int{1, 5, 40, 1000, 1999, 2000} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		var failed error
		for _, err := range table.Each(ctx, mustQuery(t, conn, "select * from items order by id")) {
			if failed = err; err != nil {
				break
			}
			if n++; n == at {
				cancel()
			}
		}
		cancel()
		require.Equal(t, at, n, "no row after the end of ctx")
		if at < 2000 {
			require.ErrorIs(t, failed, context.Canceled)
		} else {
			require.NoError(t, failed, "all were there")
		}
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := table.Collect(done, mustQuery(t, conn, "select * from items"))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, conn.QueryRow(t.Context(), "select 1").Scan(new(int)))
	requireNoGoroutines(t, before)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := conn.Query(ctx, "select tenant, i.id, name, note, pan, pan_key, city from items i, generate_series(1, 1000)")
	require.NoError(t, err)
	n := 0
	for _, err = range table.Each(t.Context(), rows) {
		if n++; n == 100 {
			cancel()
		}
	}
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, n, 2_000_000)
}

// TestEachLosesConnection ends the connection under a stream, from both sides.
func TestEachLosesConnection(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 1000)
	const sql = "select tenant, i.id, name, note, pan, pan_key, city from items i, generate_series(1, 10000)"
	for name, kill := range map[string]func(t *testing.T, conn *pgx.Conn){
		"closed": func(t *testing.T, other *pgx.Conn) { other.PgConn().Conn().Close() },
		"terminated": func(t *testing.T, other *pgx.Conn) {
			var ok bool
			require.NoError(t, conn.QueryRow(ctx, "select pg_terminate_backend($1)", int32(other.PgConn().PID())).Scan(&ok))
			require.True(t, ok)
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := reconnect(t, conn, pgx.QueryExecModeCacheStatement)
			before := runtime.NumGoroutine()
			rows, err := other.Query(ctx, sql)
			require.NoError(t, err)
			n := 0
			for _, err = range table.Each(ctx, rows) {
				if n++; n == 300 {
					kill(t, other)
				}
			}
			require.ErrorContains(t, err, "pgxfield: items: ")
			require.Greater(t, n, 300)
			require.Less(t, n, 10_000_000)
			requireNoGoroutines(t, before)
		})
	}
}

// fussy panics when it reads a certain value.
type fussy string

func (f fussy) Value() (driver.Value, error) { return string(f), nil }

func (f *fussy) Scan(v any) error {
	s, _ := v.(string)
	switch {
	case strings.HasPrefix(s, "panic"):
		panic("fussy")
	case strings.HasPrefix(s, "exit"):
		runtime.Goexit()
	}
	*f = fussy(s)
	return nil
}

// TestEachPanic holds that a panic in the code that reads a value is the caller's,
// whichever goroutine it was in.
func TestEachPanic(t *testing.T) {
	ctx := t.Context()
	type written struct {
		ID   int64  `db:"id"`
		Name string `db:"name" seal:"encrypt"`
	}
	type read struct {
		ID   int64 `db:"id"`
		Name fussy `db:"name" seal:"encrypt,type=text"`
	}
	conn, kr := connect(t), keyringtest.NewKeyring(t)
	run(t, conn, "create table things (id bigint primary key, name bytea)")
	all := make([]written, 1000)
	for i := range all {
		all[i] = written{int64(i + 1), "fine"}
	}
	all[2].Name, all[600].Name, all[700].Name = "panic early", "panic late", "exit"
	_, err := newTable[written](t, kr, "things", byID).CopyFrom(ctx, conn, sequence(all))
	require.NoError(t, err)
	table := newTable[read](t, kr, "things", byID)
	before := runtime.NumGoroutine()
	for _, from := range []int{0, 100} {
		require.PanicsWithValue(t, "fussy", func() {
			table.Collect(ctx, mustQuery(t, conn, "select * from things where id > $1 order by id", from))
		})
		require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)))
	}
	exited := make(chan struct{})
	rows := mustQuery(t, conn, "select * from things where id > 650 order by id")
	go func() {
		defer close(exited)
		table.Collect(ctx, rows)
		t.Error("Collect returned")
	}()
	<-exited
	require.NoError(t, conn.QueryRow(ctx, "select 1").Scan(new(int)))
	requireNoGoroutines(t, before)
}

// countingStore counts the targets that are loaded.
type countingStore struct {
	keyring.Store
	loads, targets int
}

func (s *countingStore) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	if len(targets) > 0 {
		s.loads++
		s.targets += len(targets)
	}
	return s.Store.Load(ctx, name, targets)
}

// coldKeyring returns a keyring that has no key in memory, if store has it.
func coldKeyring(t testing.TB, store keyring.Store, kms *keyringtest.KMS, change func(*keyring.Config)) *keyring.Keyring {
	cfg := keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}, Logger: slog.New(slog.DiscardHandler)}
	change(&cfg)
	kr, err := keyring.OpenOrCreate(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

// TestKeyLoads reads 100,000 rows under 5 keys: of 5 tenants, and of 5 versions.
func TestKeyLoads(t *testing.T) {
	type person struct {
		Tenant string `db:"tenant"`
		ID     int64  `db:"id"`
		Name   string `db:"name" seal:"encrypt"`
	}
	n := 100_000
	if raceEnabled {
		n = 10_000
	}
	for _, c := range []struct {
		name    string
		scope   string
		keyring func(*keyring.Config)
		targets int
	}{
		{"tenants", "tenant", func(c *keyring.Config) { c.Scoped = true }, 5},
		{"versions", "", func(c *keyring.Config) {}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			conn, kms, memory := connect(t), keyringtest.NewKMS(), keyring.NewMemoryStore()
			run(t, conn, "create table persons (tenant text, id bigint primary key, name bytea)")
			writer := coldKeyring(t, memory, kms, c.keyring)
			cfg := pgxfield.Config{RowKey: []string{"id"}, Scope: c.scope}
			for version := range 5 {
				if c.scope == "" && version > 0 {
					_, err := writer.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
					require.NoError(t, err)
				}
				_, err := newTable[person](t, writer, "persons", cfg).CopyFrom(ctx, conn, func(yield func(*person, error) bool) {
					for i := range n / 5 {
						p := person{fmt.Sprint("t", version), int64(version*n + i + 1), "Ann"}
						if !yield(&p, nil) {
							return
						}
					}
				})
				require.NoError(t, err)
			}
			var ids int
			require.NoError(t, conn.QueryRow(ctx, "select count(distinct substring(name from 2 for 4)) from persons").Scan(&ids))
			require.Equal(t, 5, ids)
			for _, order := range []string{"id", "random()"} { // one key after the other, and all at once
				for name, read := range map[string]func(*pgxfield.Table[person], pgx.Rows) int{
					"collect": func(table *pgxfield.Table[person], rows pgx.Rows) int {
						all, err := table.Collect(ctx, rows)
						require.NoError(t, err)
						return len(all)
					},
					"each": func(table *pgxfield.Table[person], rows pgx.Rows) (n int) {
						for _, err := range table.Each(ctx, rows) {
							require.NoError(t, err)
							n++
						}
						return n
					},
				} {
					store, unwraps := &countingStore{Store: memory}, kms.Unwraps()
					table := newTable[person](t, coldKeyring(t, store, kms, c.keyring), "persons", cfg)
					require.Equal(t, n, read(table, mustQuery(t, conn, "select * from persons order by "+order)))
					require.Equal(t, c.targets, store.targets, "%s by %s", name, order)
					require.Equal(t, 1, kms.Unwraps()-unwraps, "calls of the KMS")
					t.Logf("%s by %s: %d rows, %d keys of %d targets in %d loads, %d KMS call", name, order, n, ids, store.targets, store.loads, kms.Unwraps()-unwraps)
				}
			}
		})
	}
}

// TestStreamMemory holds that reading a result needs the same memory whatever its
// size. What is in use is looked at after a collection of garbage, in the middle
// of the loop.
func TestStreamMemory(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := itemTable(t, 1000)
	most := func(n int) (inUse uint64) {
		rows, err := conn.Query(ctx, "select tenant, i.id, name, note, blob, pan, pan_key, city from items i, generate_series(1, $1)", n/1000)
		require.NoError(t, err)
		count := 0
		var m runtime.MemStats
		for _, err := range table.Each(ctx, rows) {
			require.NoError(t, err)
			if count++; count%(n/10) == n/20 {
				runtime.GC()
				runtime.ReadMemStats(&m)
				inUse = max(inUse, m.HeapAlloc)
			}
		}
		require.Equal(t, n, count)
		return inUse
	}
	large := 1_000_000
	if raceEnabled {
		large = 100_000
	}
	most(10_000)
	few, many := most(10_000), most(large)
	t.Logf("in use while 10,000 rows are read: %d KiB; while %d are read: %d KiB", few>>10, large, many>>10)
	require.Less(t, many, few+2<<20)
}

// TestEachFromPool holds that a pool has its connection back after the loop.
func TestEachFromPool(t *testing.T) {
	conn, table, items := itemTable(t, 500)
	pool := poolOf(t, conn)
	for range 3 {
		rows, err := pool.Query(t.Context(), "select * from items order by id")
		require.NoError(t, err)
		all, err := each(table, t.Context(), rows)
		require.NoError(t, err)
		require.Equal(t, items, all)
		require.Zero(t, pool.Stat().AcquiredConns())
	}
}

// TestEachOnce runs a loop over the same rows again: it must not look like no rows.
func TestEachOnce(t *testing.T) {
	ctx := t.Context()
	conn, table := newCustomers(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCustomer, table.Args(ann(1)))
	require.NoError(t, err)
	rows, err := conn.Query(ctx, "select * from customers")
	require.NoError(t, err)
	each := table.Each(ctx, rows)
	for _, err := range each {
		require.NoError(t, err)
	}
	n := 0
	for c, err := range each {
		n++
		require.EqualError(t, err, "pgxfield: customers: the rows have been read by another loop")
		require.Zero(t, c)
	}
	require.Equal(t, 1, n)
}

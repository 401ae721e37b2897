package pgxfield_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// benchRow has 6 columns, 4 of them sealed and one of these indexed.
type benchRow struct {
	ID      int64     `db:"id"`
	Email   string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	Phone   *string   `db:"phone" seal:"encrypt"`
	Born    time.Time `db:"born" seal:"encrypt,type=date"`
	Note    string    `db:"note" seal:"encrypt"`
	Created time.Time `db:"created"`
}

// floorRow is what benchRow is in the database.
type floorRow struct {
	ID       int64
	Email    []byte
	EmailIdx []byte
	Phone    []byte
	Born     []byte
	Note     []byte
	Created  time.Time
}

// clearRow is what it would be without encryption.
type clearRow struct {
	ID      int64
	Email   string
	Phone   *string
	Born    time.Time
	Note    string
	Created time.Time
}

// The floor reads without reflection.
func scanFloor(row pgx.CollectableRow) (r floorRow, err error) {
	err = row.Scan(&r.ID, &r.Email, &r.EmailIdx, &r.Phone, &r.Born, &r.Note, &r.Created)
	return r, err
}

func scanClear(row pgx.CollectableRow) (r clearRow, err error) {
	err = row.Scan(&r.ID, &r.Email, &r.Phone, &r.Born, &r.Note, &r.Created)
	return r, err
}

// random returns what passes for a sealed value of n bytes.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	b[0], b[1] = 1, b[1]|0x80
	return b
}

// BenchmarkTable copies rows, reads them into structs, and inserts them in batches
// of 1,000, in rounds that interleave the sealed table, its floor (the same rows as
// random bytea of the sealed sizes, with the same CHECKs and index, by plain pgx)
// and the same rows in the clear. It reports the median ratios of the times, floor
// by sealed, of wall time: 0.9 means nine tenths of the floor's speed. Set
// SEALFIELD_BENCH_ROWS to 200000 for the size that the goals are for.
func BenchmarkTable(b *testing.B) {
	const rounds = 9
	n := benchRows(b)
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(b))
	require.NoError(b, err)
	defer conn.Close(context.Background())
	table := newTable[benchRow](b, keyringtest.NewKeyring(b), "sealed", byID)
	run(b, conn,
		"create table sealed (id bigint primary key, email bytea not null, email_idx bytea not null, phone bytea, born bytea not null, note bytea not null, created timestamptz not null)",
		"create table clear (id bigint primary key, email text not null, phone text, born date not null, note text not null, created timestamptz not null)",
		"create index on clear (email)")
	run(b, conn, table.DDL()...)
	run(b, conn, "create table floor (like sealed including all)")

	sealed, floor, clear := make([]benchRow, n), make([]floorRow, n), make([]clearRow, n)
	created := time.Now().Truncate(time.Microsecond)
	for i := range n {
		id, phone := int64(i+1), fmt.Sprintf("+49 30 %09d", i)
		row := benchRow{id, fmt.Sprintf("customer.%09d@example.com", i), &phone, created.AddDate(0, 0, -i%20000), rand.Text() + rand.Text(), created}
		sealed[i] = row
		clear[i] = clearRow(row)
		floor[i] = floorRow{id, random(45 + len(row.Email)), random(21), random(45 + len(phone)), random(45 + 4), random(45 + len(row.Note)), created}
	}

	insertSealed := func() {
		batches(b, conn, "sealed", n, func(batch *pgx.Batch, i int) {
			batch.Queue("insert into sealed (id, email, email_idx, phone, born, note, created) values (@id, @email, @email_idx, @phone, @born, @note, @created)", table.Args(&sealed[i]))
		})
	}
	insertFloor := func() {
		batches(b, conn, "floor", n, func(batch *pgx.Batch, i int) {
			r := &floor[i]
			batch.Queue("insert into floor (id, email, email_idx, phone, born, note, created) values ($1, $2, $3, $4, $5, $6, $7)", r.ID, r.Email, r.EmailIdx, r.Phone, r.Born, r.Note, r.Created)
		})
	}
	insertClear := func() {
		batches(b, conn, "clear", n, func(batch *pgx.Batch, i int) {
			r := &clear[i]
			batch.Queue("insert into clear (id, email, phone, born, note, created) values ($1, $2, $3, $4, $5, $6)", r.ID, r.Email, r.Phone, r.Born, r.Note, r.Created)
		})
	}
	copySealed := func() {
		run(b, conn, "truncate sealed")
		copied, err := table.CopyFrom(ctx, conn, pointers(sealed))
		require.NoError(b, err)
		require.EqualValues(b, n, copied)
	}
	copyPlain := func(name string, columns []string, values func(i int) ([]any, error)) func() {
		return func() {
			run(b, conn, "truncate "+name)
			copied, err := conn.CopyFrom(ctx, pgx.Identifier{name}, columns, pgx.CopyFromSlice(n, values))
			require.NoError(b, err)
			require.EqualValues(b, n, copied)
		}
	}
	copyFloor := copyPlain("floor", []string{"id", "email", "email_idx", "phone", "born", "note", "created"}, func(i int) ([]any, error) {
		r := &floor[i]
		return []any{r.ID, r.Email, r.EmailIdx, r.Phone, r.Born, r.Note, r.Created}, nil
	})
	copyClear := copyPlain("clear", []string{"id", "email", "phone", "born", "note", "created"}, func(i int) ([]any, error) {
		r := &clear[i]
		return []any{r.ID, r.Email, r.Phone, r.Born, r.Note, r.Created}, nil
	})
	selectFloor := func() { selectAll(b, conn, "floor", n, scanFloor) }
	selectClear := func() { selectAll(b, conn, "clear", n, scanClear) }
	cases := []struct {
		name string
		goal float64
		work [3]func() // sealed, floor, clear
	}{
		{"copy", 0.85, [3]func(){copySealed, copyFloor, copyClear}},
		{"select", 0.75, [3]func(){func() {
			rows, err := conn.Query(ctx, "select * from sealed")
			require.NoError(b, err)
			all, err := table.Collect(ctx, rows)
			require.NoError(b, err)
			require.Len(b, all, n)
		}, selectFloor, selectClear}},
		{"select-row", 0.75, [3]func(){func() { selectAll(b, conn, "sealed", n, table.Row(ctx)) }, selectFloor, selectClear}},
		{"batch-insert", 0.90, [3]func(){insertSealed, insertFloor, insertClear}},
	}
	for range b.N {
		for _, c := range cases {
			seconds := measure(rounds, c.work[:]...)
			toFloor, toClear := ratios(seconds[1], seconds[0]), ratios(seconds[2], seconds[0])
			b.Logf("%-12s %d rows: %.2f of the floor (%.2f to %.2f; goal %.2f), %.2f of clear rows; %.0f rows/s",
				c.name, n, toFloor[rounds/2], toFloor[0], toFloor[rounds-1], c.goal, toClear[rounds/2], float64(n)/slices.Min(seconds[0]))
			b.ReportMetric(toFloor[rounds/2], strings.ReplaceAll(c.name, "-", "_")+"/floor")
		}
	}
}

// measure runs all works in turn, and then again, and returns the seconds that each
// took in each round but for a first one, which warms up.
func measure(rounds int, works ...func()) [][]float64 {
	seconds := make([][]float64, len(works))
	for round := range rounds + 1 {
		for i, work := range works {
			start := time.Now()
			work()
			if round > 0 {
				seconds[i] = append(seconds[i], time.Since(start).Seconds())
			}
		}
	}
	return seconds
}

// ratios returns a/b of each round in ascending order.
func ratios(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	slices.Sort(all)
	return all
}

func pointers[T any](all []T) func(func(*T, error) bool) {
	return func(yield func(*T, error) bool) {
		for i := range all {
			if !yield(&all[i], nil) {
				return
			}
		}
	}
}

// BenchmarkLookup finds single rows among five times SEALFIELD_BENCH_ROWS, by the
// index tag of an address and by the address itself in a table in the clear, each
// with the btree index of its column, into a struct. PostgreSQL plans "= any($1)"
// anew for every array unless plan_cache_mode says not to: both are shown.
func BenchmarkLookup(b *testing.B) {
	const rounds, lookups = 9, 2000
	n := 5 * benchRows(b)
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, pgtest.Database(b))
	require.NoError(b, err)
	defer conn.Close(context.Background())
	type row struct {
		ID    int64  `db:"id"`
		Email string `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	}
	table := newTable[row](b, keyringtest.NewKeyring(b), "sealed", byID)
	run(b, conn, "create table sealed (id bigint primary key, email bytea not null, email_idx bytea not null)",
		"create table clear (id bigint primary key, email text not null)")
	email := func(i int) string { return fmt.Sprintf("customer.%09d@example.com", i) }
	_, err = table.CopyFrom(ctx, conn, func(yield func(*row, error) bool) {
		for i := range n {
			if !yield(&row{int64(i + 1), email(i)}, nil) {
				return
			}
		}
	})
	require.NoError(b, err)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"clear"}, []string{"id", "email"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{int64(i + 1), email(i)}, nil
	}))
	require.NoError(b, err)
	run(b, conn, table.DDL()...)
	run(b, conn, "create index on clear (email)", "vacuum analyze sealed", "vacuum analyze clear")
	id := 0
	next := func() int { id = (id + 7919) % n; return id }
	generic, err := pgx.ConnectConfig(ctx, conn.Config())
	require.NoError(b, err)
	defer generic.Close(context.Background())
	run(b, generic, "set plan_cache_mode = force_generic_plan")
	const whole, once = "select id, email from sealed where email_idx = any($1)", "select id, email from sealed where email_idx = any(array(select unnest($1::bytea[])))"
	bySealed := func(conn *pgx.Conn, sql string) {
		for range lookups {
			i := next()
			tags, err := table.Match(ctx, "email", email(i))
			require.NoError(b, err)
			rows, err := conn.Query(ctx, sql, tags)
			require.NoError(b, err)
			r, err := pgx.CollectExactlyOneRow(rows, table.Row(ctx))
			require.NoError(b, err)
			require.Equal(b, int64(i+1), r.ID)
		}
	}
	byClear := func() {
		for range lookups {
			i := next()
			rows, err := conn.Query(ctx, "select id, email from clear where email = $1", email(i))
			require.NoError(b, err)
			r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
			require.NoError(b, err)
			require.Equal(b, int64(i+1), r.ID)
		}
	}
	for range b.N {
		seconds := measure(rounds, func() { bySealed(conn, once) }, func() { bySealed(generic, whole) }, func() { bySealed(conn, whole) }, byClear)
		for i, mode := range []string{"any(array(select unnest($1)))", "any($1), force_generic_plan", "any($1)"} {
			times := ratios(seconds[i], seconds[3])
			b.Logf("lookup by tag among %d rows, %s: %.2f times one by clear text (%.2f to %.2f; goal 1.30); %.0f us",
				n, mode, times[rounds/2], times[0], times[rounds-1], slices.Min(seconds[i])/lookups*1e6)
			b.ReportMetric(times[rounds/2], []string{"once", "generic", "auto"}[i]+"/clear")
		}
	}
}

func benchRows(b *testing.B) int {
	s := os.Getenv("SEALFIELD_BENCH_ROWS")
	if s == "" {
		return 10_000
	}
	n, err := strconv.Atoi(s)
	require.NoError(b, err)
	return n
}

func batches(b *testing.B, conn *pgx.Conn, name string, n int, queue func(*pgx.Batch, int)) {
	run(b, conn, "truncate "+name)
	for i := 0; i < n; i += 1000 {
		var batch pgx.Batch
		for j := i; j < min(i+1000, n); j++ {
			queue(&batch, j)
		}
		require.NoError(b, conn.SendBatch(b.Context(), &batch).Close())
	}
}

func selectAll[T any](b *testing.B, conn *pgx.Conn, name string, n int, f pgx.RowToFunc[T]) {
	rows, err := conn.Query(b.Context(), "select * from "+name)
	require.NoError(b, err)
	all, err := pgx.CollectRows(rows, f)
	require.NoError(b, err)
	require.Len(b, all, n)
}

// BenchmarkArgs is the work of sealing one row, without the database.
func BenchmarkArgs(b *testing.B) {
	ctx := b.Context()
	table := newTable[benchRow](b, keyringtest.NewKeyring(b), "sealed", pgxfield.Config{RowKey: []string{"id"}})
	phone := "+49 30 123456789"
	row := benchRow{1, "customer.000000001@example.com", &phone, time.Now(), rand.Text() + rand.Text(), time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := table.Args(&row).RewriteQuery(ctx, nil, "values (@id, @email, @email_idx, @phone, @born, @note, @created)", nil); err != nil {
			b.Fatal(err)
		}
	}
}

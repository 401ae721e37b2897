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

// BenchmarkTable inserts rows in batches of 1,000 and reads them into structs, in
// rounds that interleave the sealed table, its floor (the same rows as random
// bytea of the sealed sizes, with the same CHECKs and index, by plain pgx) and
// the same rows in the clear. It reports the median ratios of the times, floor
// by sealed, of wall time: 0.9 means nine tenths of the floor's speed. Set
// SEALFIELD_BENCH_ROWS to 200000 for the size that the goals are for.
func BenchmarkTable(b *testing.B) {
	const rounds = 9
	n := 10_000
	if s := os.Getenv("SEALFIELD_BENCH_ROWS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		require.NoError(b, err)
	}
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
	cases := []struct {
		name string
		goal float64
		work [3]func() // sealed, floor, clear
	}{
		{"batch-insert", 0.90, [3]func(){insertSealed, insertFloor, insertClear}},
		{"select", 0.75, [3]func(){
			func() { selectAll(b, conn, "sealed", n, table.Row(ctx)) },
			func() { selectAll(b, conn, "floor", n, scanFloor) },
			func() { selectAll(b, conn, "clear", n, scanClear) },
		}},
	}
	for range b.N {
		for _, c := range cases {
			var seconds [3][]float64
			for range rounds + 1 { // the first one warms up
				for i, work := range c.work {
					start := time.Now()
					work()
					seconds[i] = append(seconds[i], time.Since(start).Seconds())
				}
			}
			ratios := func(over int) (all []float64) {
				for round := 1; round <= rounds; round++ {
					all = append(all, seconds[over][round]/seconds[0][round])
				}
				slices.Sort(all)
				return all
			}
			toFloor, toClear := ratios(1), ratios(2)
			b.Logf("%-12s %d rows: %.2f of the floor (%.2f to %.2f; goal %.2f), %.2f of clear rows; %.0f rows/s",
				c.name, n, toFloor[rounds/2], toFloor[0], toFloor[rounds-1], c.goal, toClear[rounds/2], float64(n)/slices.Min(seconds[0]))
			b.ReportMetric(toFloor[rounds/2], strings.ReplaceAll(c.name, "-", "_")+"/floor")
		}
	}
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

package sqlfield_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
)

// TestEach reads results of several sizes whole, leaves loops early, and meets errors
// of all kinds on the way.
func TestEach(t *testing.T) {
	ctx := t.Context()
	db := connect(t)
	use[string](t, newKeyring(t), "t.v", sqlfield.Config{})
	run(t, db, "create table t (id bigint primary key, v bytea)")
	const most = 2000
	tx, err := db.Begin()
	require.NoError(t, err)
	for i := range most {
		_, err := tx.Exec("insert into t values ($1, $2)", i, sqlfield.Of[mark[string]](fmt.Sprint("v", i)))
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())

	type row struct {
		id int
		v  sealed[string]
	}
	errScan, errOpen := errors.New("scan"), errors.New("open")
	read := func(ctx context.Context, query string, scanFails, openFails, leave int) (n int, failed error) {
		rows, err := db.Query(query)
		require.NoError(t, err)
		for s, err := range sqlfield.Each(ctx, rows,
			func(r *row) error {
				if err := rows.Scan(&r.id, &r.v); err != nil || r.id != scanFails {
					return err
				}
				return errScan
			},
			func(ctx context.Context, r *row) (string, error) {
				if r.id == openFails {
					return "", errOpen
				}
				return r.v.Open(ctx)
			}) {
			require.NoError(t, failed, "an error is the end")
			if failed = err; err != nil {
				require.Empty(t, s)
				continue
			}
			require.Equal(t, fmt.Sprint("v", n), s, "in order")
			if n++; n == leave {
				break
			}
		}
		requireClosed(t, rows)
		return n, failed
	}
	all := func(n int) string { return fmt.Sprintf("select * from t where id < %d order by id", n) }
	for _, size := range []int{0, 1, 31, 32, 33, 32 + 256, 32 + 257, most} {
		n, err := read(ctx, all(size), -1, -1, -1)
		require.NoError(t, err)
		require.Equal(t, size, n)
	}
	for _, at := range []int{0, 5, 31, 32, 500, most - 1} {
		n, err := read(ctx, all(most), at, -1, -1)
		require.ErrorIs(t, err, errScan)
		require.Equal(t, at, n, "what comes before an error is read")
		n, err = read(ctx, all(most), -1, at, -1)
		require.ErrorIs(t, err, errOpen)
		require.Equal(t, at, n)
		n, err = read(ctx, all(most), -1, -1, at+1)
		require.NoError(t, err)
		require.Equal(t, at+1, n)
	}
	n, err := read(ctx, "select id, case when id < 700 then v else (1/(id-id))::text::bytea end from t order by id", -1, -1, -1)
	require.ErrorContains(t, err, "division by zero")
	require.LessOrEqual(t, n, 700)
	n, err = read(ctx, "select id, case when id < 700 then v else overlay(v placing '\\xff00' from 30) end from t order by id", -1, -1, -1)
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.Equal(t, 700, n)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	n, err = read(cancelled, all(most), -1, -1, -1)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)

	for _, at := range []int{0, 100, most - 2} { // while row at is opened
		ctx, cancel := context.WithCancel(ctx)
		rows, err := db.Query(all(most))
		require.NoError(t, err)
		n, failed := 0, error(nil)
		for _, err := range sqlfield.Each(ctx, rows, func(r *row) error { return rows.Scan(&r.id, &r.v) }, func(_ context.Context, r *row) (int, error) {
			if r.id == at {
				cancel()
			}
			return 0, nil
		}) {
			if failed = err; err == nil {
				n++
			}
		}
		require.ErrorIs(t, failed, context.Canceled)
		require.LessOrEqual(t, n, at+1)
		requireClosed(t, rows)
	}

	for _, at := range []int{0, 100} { // in the loop's goroutine, and in another
		rows, err := db.Query(all(most))
		require.NoError(t, err)
		require.PanicsWithValue(t, "open", func() {
			for range sqlfield.Each(ctx, rows, func(r *row) error { return rows.Scan(&r.id, &r.v) }, func(_ context.Context, r *row) (int, error) {
				if r.id == at {
					panic("open")
				}
				return 0, nil
			}) {
			}
		})
		requireClosed(t, rows)
	}
}

func requireClosed(t *testing.T, rows *sql.Rows) {
	t.Helper()
	_, err := rows.Columns()
	require.Error(t, err)
}

// TestSealEach seals loads of several sizes, leaves loops early, and meets errors of all
// kinds on the way.
func TestSealEach(t *testing.T) {
	ctx := t.Context()
	use[string](t, newKeyring(t), "t.v", sqlfield.Config{})
	const most = 2000
	errSeal := errors.New("seal")
	// load seals the numbers below size, and counts those that were taken.
	load := func(ctx context.Context, size, sealFails, leave int) (n, taken int, failed error) {
		numbers := func(yield func(int) bool) {
			for i := range size {
				taken++
				if !yield(i) {
					return
				}
			}
		}
		for s, err := range sqlfield.SealEach(ctx, numbers, func(ctx context.Context, i *int) (v sealed[string], err error) {
			if *i == sealFails {
				return v, errSeal
			}
			v = sqlfield.Of[mark[string]](fmt.Sprint("v", *i))
			err = sqlfield.Seal(ctx, crypto.Binding{}, &v)
			return v, err
		}) {
			require.NoError(t, failed, "an error is the end")
			if failed = err; err != nil {
				require.True(t, s.IsZero())
				continue
			}
			var read sealed[string]
			bytes, err := s.Value()
			require.NoError(t, err)
			require.NoError(t, read.Scan(bytes), "it is sealed")
			plain, err := read.Open(ctx)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("v", n), plain, "in order")
			if n++; n == leave {
				break
			}
		}
		return n, taken, failed
	}
	for _, size := range []int{0, 1, 31, 32, 33, 32 + 256, 32 + 257, most} {
		n, taken, err := load(ctx, size, -1, -1)
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.Equal(t, size, taken)
	}
	for _, at := range []int{0, 5, 31, 32, 500, most - 1} {
		n, _, err := load(ctx, most, at, -1)
		require.ErrorIs(t, err, errSeal)
		require.Equal(t, at, n, "what comes before an error is sealed")
		n, taken, err := load(ctx, 100*most, -1, at+1)
		require.NoError(t, err)
		require.Equal(t, at+1, n)
		require.LessOrEqual(t, taken, at+1+17*256, "memory is bounded")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	n, _, err := load(cancelled, most, -1, -1)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)

	for _, at := range []int{0, 100} { // in the loop's goroutine, and in another
		stopped := false
		require.PanicsWithValue(t, "seal", func() {
			for range sqlfield.SealEach(ctx, func(yield func(int) bool) {
				defer func() { stopped = true }()
				for i := 0; yield(i); i++ {
				}
			}, func(_ context.Context, i *int) (int, error) {
				if *i == at {
					panic("seal")
				}
				return 0, nil
			}) {
			}
		})
		require.True(t, stopped, "the source is closed")
	}
	require.PanicsWithValue(t, "rows", func() {
		for range sqlfield.SealEach(ctx, func(func(int) bool) { panic("rows") }, func(context.Context, *int) (int, error) { return 0, nil }) {
		}
	})
}

// TestEachInSealEach copies a table, with a loop that is the source of another, in loops
// that end early, by a panic and by runtime.Goexit, too. The rows are closed each time.
func TestEachInSealEach(t *testing.T) {
	ctx := t.Context()
	db := connect(t)
	use[string](t, newKeyring(t), "t.v", sqlfield.Config{})
	run(t, db, "create table t (id int, v bytea)", "create table copy (id int, v bytea)")
	const most = 3000
	v := sealIt(t, crypto.Binding{}, "v")
	_, err := db.Exec("insert into t select i, $1 from generate_series(1, $2) i", v, most)
	require.NoError(t, err)

	type row struct {
		id int
		v  sealed[string]
	}
	// each gives the rows of t, with other values.
	var rows *sql.Rows
	each := func(yield func(row) bool) {
		var err error
		rows, err = db.Query("select id, v from t order by id")
		require.NoError(t, err)
		for r, err := range sqlfield.Each(ctx, rows, func(r *row) error { return rows.Scan(&r.id, &r.v) }, func(ctx context.Context, r *row) (row, error) {
			text, err := r.v.Open(ctx)
			return row{r.id, sqlfield.Of[mark[string]](fmt.Sprint(text, r.id))}, err
		}) {
			require.NoError(t, err)
			if !yield(r) {
				return
			}
		}
	}
	seal := func(ctx context.Context, r *row) (row, error) {
		err := sqlfield.Seal(ctx, crypto.Binding{}, &r.v)
		return *r, err
	}
	for _, stop := range []int{1, 40, 1000, most} {
		tx, err := db.Begin()
		require.NoError(t, err)
		n := 0
		for r, err := range sqlfield.SealEach(ctx, each, seal) {
			require.NoError(t, err)
			_, err := tx.Exec("insert into copy values ($1, $2)", r.id, r.v)
			require.NoError(t, err)
			if n++; n == stop {
				break
			}
		}
		requireClosed(t, rows)
		require.NoError(t, tx.Commit())
		var read sealed[string]
		require.NoError(t, db.QueryRow("delete from copy where id = $1 returning v", stop).Scan(&read))
		text, err := read.Open(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("v", stop), text)

		require.PanicsWithValue(t, "loop", func() {
			n := 0
			for range sqlfield.SealEach(ctx, each, seal) {
				if n++; n == stop {
					panic("loop")
				}
			}
		})
		requireClosed(t, rows)
		var all sync.WaitGroup
		returned := false
		all.Go(func() {
			for range sqlfield.SealEach(ctx, each, func(ctx context.Context, r *row) (row, error) {
				if r.id == stop {
					runtime.Goexit()
				}
				return seal(ctx, r)
			}) {
			}
			returned = true
		})
		all.Wait()
		require.False(t, returned, "rows are missing")
		requireClosed(t, rows)
	}
}

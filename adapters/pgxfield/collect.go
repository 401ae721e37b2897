package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Collect reads all rows of a result into a new slice, which is not nil, and
// closes rows. It is pgx.CollectRows with Row, but for three things: the values
// of a large result are opened on several processors, the keys of all scopes
// (Config.Scope) among some hundred rows are loaded together, and ctx, once it
// is done, ends it.
func (t *Table[T]) Collect(ctx context.Context, rows pgx.Rows) ([]T, error) {
	all := []T{}
	err := t.readAll(ctx, rows, func(some []T) error {
		all = append(all, some...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Each returns the rows of a result one by one, in order, and closes rows when
// the loop ends, however it does. It opens them as Collect does and reads ahead,
// for each processor (16 at most) 256 rows or about 128 KiB of sealed values: a
// result may have any number of rows.
//
//	rows, err := pool.Query(ctx, `select * from customers`)
//	for c, err := range customers.Each(ctx, rows) {
//
// The first error comes after all rows before it, with a zero T, and is the end.
// The rows belong to the loop: nothing else may use them, nor, as always in pgx,
// their connection. It can run once; a second loop gives an error. A loop that is left early waits until the
// rest of the result has been read and thrown away; if that may be long, cancel
// the context that Query was given.
func (t *Table[T]) Each(ctx context.Context, rows pgx.Rows) iter.Seq2[T, error] {
	used := false
	return func(yield func(T, error) bool) {
		if used {
			var zero T
			yield(zero, fmt.Errorf("pgxfield: %s: the rows have been read by another loop", t.table.title()))
			return
		}
		used = true
		err := t.readAll(ctx, rows, func(some []T) error {
			for i := range some {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !yield(some[i], nil) {
					return errBreak
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errBreak) {
			var zero T
			yield(zero, err)
		}
	}
}

// errBreak says that a loop was left.
var errBreak = errors.New("break")

// readAll calls use with the opened rows, some at a time, until it fails.
func (t *Table[T]) readAll(ctx context.Context, rows pgx.Rows, use func([]T) error) error {
	err := errors.New("there are no rows")
	if rows != nil {
		err = newStream(t, rows).run(ctx, use)
	}
	if err != nil {
		return fmt.Errorf("pgxfield: %s: %w", t.table.title(), err)
	}
	return nil
}

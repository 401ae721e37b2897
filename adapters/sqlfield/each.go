package sqlfield

import (
	"context"
	"database/sql"
	"iter"
	"runtime"
	"slices"

	"github.com/sealfield/sealfield/internal/job"
)

// Each reads the rows of a large result one by one, in order, and opens them on several
// processors. Scan scans the current row into an R, as with Rows.Scan; open makes a T of
// it, which is what the loop gets:
//
//	rows, err := db.QueryContext(ctx, "select id, email from customers")
//	for c, err := range sqlfield.Each(ctx, rows, scan, open) {
//
// Each closes rows when the loop ends, however it does. It reads ahead, 256 rows for
// each processor (16 at most). Only the loop's goroutine calls scan; several call open at
// the same time, each with a row of its own. As later rows are read before a row is
// opened, an R has no sql.RawBytes in it. The first error comes after all rows before
// it, with a zero T, and is the end. The loop can run once.
func Each[R, T any](ctx context.Context, rows *sql.Rows, scan func(row *R) error, open func(ctx context.Context, row *R) (T, error)) iter.Seq2[T, error] {
	return inOrder(ctx, open, func() (source[R], func()) {
		next := func(row *R) (bool, error) {
			if !rows.Next() {
				return false, rows.Err()
			}
			return true, scan(row)
		}
		return next, func() { rows.Close() }
	})
}

// SealEach seals the rows of a large load on several processors while the loop writes
// those before. Seal makes of a row what the loop gets, in the order of rows, and calls
// Seal:
//
//	for args, err := range sqlfield.SealEach(ctx, slices.Values(customers), sealCustomer) {
//
// It reads ahead as Each does, always on the loop's goroutine: rows may have given more
// than a loop that ends early got. Several goroutines call seal at the same time, each
// with a copy of a row of its own. The first error comes after all rows before it, with
// a zero T, and is the end. The loop can run as often as one over rows.
func SealEach[R, T any](ctx context.Context, rows iter.Seq[R], seal func(ctx context.Context, row *R) (T, error)) iter.Seq2[T, error] {
	return inOrder(ctx, seal, func() (source[R], func()) {
		pull, stop := iter.Pull(rows)
		next := func(row *R) (ok bool, err error) {
			*row, ok = pull()
			return ok, nil
		}
		return next, stop
	})
}

// source puts the next row into its argument and reports whether there was one.
type source[R any] func(row *R) (bool, error)

// inOrder returns what work makes of the rows of a source, which begin opens for a loop
// and its second result closes.
func inOrder[R, T any](ctx context.Context, work func(context.Context, *R) (T, error), begin func() (source[R], func())) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		read, closeSource := begin()
		s := stream[R, T]{ctx: ctx, read: read, work: work, size: firstChunk}
		defer func() {
			cancel()
			s.wait()
			closeSource()
		}()
		for {
			c := s.next()
			if c == nil {
				return
			}
			for i := range c.results {
				if !yield(c.results[i], nil) {
					return
				}
			}
			if c.err != nil {
				var zero T
				yield(zero, c.err)
				return
			}
		}
	}
}

const (
	firstChunk = 32  // rows; a source with no more starts no goroutine
	mostChunk  = 256 // rows
)

// stream is a loop. Rows are read in chunks; but for the first, each is worked on by a
// goroutine of its own.
type stream[R, T any] struct {
	ctx   context.Context
	read  source[R]
	work  func(context.Context, *R) (T, error)
	size  int            // rows of the next chunk
	queue []*chunk[R, T] // those in flight, in order
	ended bool           // whether there are no more rows to be read
}

type chunk[R, T any] struct {
	rows    []R
	results []T
	err     error // what comes after results
	job.Job
}

// next returns the next chunk, done, or nil.
func (s *stream[R, T]) next() *chunk[R, T] {
	most := min(runtime.GOMAXPROCS(0), 16) + 1
	for !s.ended && len(s.queue) < most && (len(s.queue) == 0 || !s.queue[0].IsDone()) {
		s.begin()
	}
	if len(s.queue) == 0 {
		return nil
	}
	c := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	c.Wait()
	return c
}

// begin reads a chunk and has it worked on.
func (s *stream[R, T]) begin() {
	c := &chunk[R, T]{rows: make([]R, 0, s.size)}
	for len(c.rows) < s.size && !s.ended {
		c.rows = append(c.rows, *new(R))
		last := len(c.rows) - 1
		var ok bool
		if ok, c.err = s.read(&c.rows[last]); !ok || c.err != nil {
			s.ended, c.rows = true, c.rows[:last]
		}
	}
	work := func() { c.workAll(s.ctx, s.work) }
	c.Begin()
	s.queue = append(s.queue, c)
	if s.size == firstChunk {
		c.Run(work)
	} else {
		go c.Run(work)
	}
	s.size = mostChunk
}

// workAll does the work of the rows of c, or of those before the first that fails.
func (c *chunk[R, T]) workAll(ctx context.Context, work func(context.Context, *R) (T, error)) {
	c.results = make([]T, 0, len(c.rows))
	for i := range c.rows {
		err := ctx.Err()
		if err == nil {
			var v T
			if v, err = work(ctx, &c.rows[i]); err == nil {
				c.results = append(c.results, v)
				continue
			}
		}
		c.err = err
		return
	}
}

// wait returns when no goroutine is left.
func (s *stream[R, T]) wait() {
	for _, c := range s.queue {
		<-c.Done()
	}
}

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
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		s := stream[R, T]{ctx: ctx, rows: rows, scan: scan, open: open, size: firstChunk}
		defer s.end(cancel)
		for {
			c := s.next()
			if c == nil {
				return
			}
			for i := range c.opened {
				if !yield(c.opened[i], nil) {
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
	firstChunk = 32  // rows; a result with no more starts no goroutine
	mostChunk  = 256 // rows
)

// stream is a loop of Each. Rows are read in chunks; but for the first, each is opened by
// a goroutine of its own.
type stream[R, T any] struct {
	ctx   context.Context
	rows  *sql.Rows
	scan  func(*R) error
	open  func(context.Context, *R) (T, error)
	size  int            // rows of the next chunk
	queue []*chunk[R, T] // those in flight, in order
	ended bool           // whether there are no more rows to be read
}

type chunk[R, T any] struct {
	rows   []R
	opened []T
	err    error // what comes after opened
	job.Job
}

// next returns the next chunk, opened, or nil.
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

// begin reads a chunk and has it opened.
func (s *stream[R, T]) begin() {
	c := &chunk[R, T]{rows: make([]R, 0, s.size)}
	for len(c.rows) < s.size && !s.ended {
		if !s.rows.Next() {
			s.ended, c.err = true, s.rows.Err()
			break
		}
		c.rows = append(c.rows, *new(R))
		if c.err = s.scan(&c.rows[len(c.rows)-1]); c.err != nil {
			s.ended, c.rows = true, c.rows[:len(c.rows)-1]
		}
	}
	work := func() { c.openAll(s.ctx, s.open) }
	c.Begin()
	s.queue = append(s.queue, c)
	if s.size == firstChunk {
		c.Run(work)
	} else {
		go c.Run(work)
	}
	s.size = mostChunk
}

// openAll opens the rows of c, or those before the first that does not open.
func (c *chunk[R, T]) openAll(ctx context.Context, open func(context.Context, *R) (T, error)) {
	c.opened = make([]T, 0, len(c.rows))
	for i := range c.rows {
		err := ctx.Err()
		if err == nil {
			var v T
			if v, err = open(ctx, &c.rows[i]); err == nil {
				c.opened = append(c.opened, v)
				continue
			}
		}
		c.err = err
		return
	}
}

// end leaves nothing behind: no goroutine and no open result.
func (s *stream[R, T]) end(cancel func()) {
	cancel()
	for _, c := range s.queue {
		<-c.Done()
	}
	s.rows.Close()
}

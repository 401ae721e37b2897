package pgxfield

import (
	"context"
	"runtime"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/internal/job"
)

// A stream reads a result in chunks. The caller's goroutine reads the rows from
// the connection and uses them once they are open: nothing else ever touches the
// result or runs the caller's code. In between, each chunk is opened by a goroutine
// of its own.
type stream[T any] struct {
	table  *Table[T]
	rows   pgx.Rows
	reader *reader[T]
	plan   *readPlan // nil before the first row
	scopes scopeSet
	size   int         // rows of the next chunk
	most   int         // chunks in flight
	queue  []*chunk[T] // those in flight, in order
	free   []*chunk[T]
	ended  bool // whether there are no more rows to be read
}

const (
	firstChunk = 32      // rows; a result with no more starts no goroutine
	mostChunk  = 256     // rows
	chunkBytes = 1 << 17 // of values, after which a chunk is full
)

// chunk is some rows of a result, one after the other.
type chunk[T any] struct {
	rows []T
	raw  []byte // the values to be opened
	ends []int  // where in raw each of them ends; negative if it is NULL
	err  error  // what comes after rows
	job.Job
}

func newStream[T any](t *Table[T], rows pgx.Rows) *stream[T] {
	return &stream[T]{table: t, rows: rows, size: firstChunk, most: inFlight(), reader: t.readers.Get().(*reader[T])}
}

// inFlight is how many chunks are worked on or wait for it.
func inFlight() int { return min(runtime.GOMAXPROCS(0), 16) + 1 }

func (s *stream[T]) run(ctx context.Context, use func([]T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.end(cancel)
	for !s.ended || len(s.queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(s.queue) == 0 || !s.ended && len(s.queue) < s.most && !s.queue[0].IsDone() {
			s.begin(ctx)
			continue
		}
		c := s.queue[0]
		c.Wait()
		s.queue = slices.Delete(s.queue, 0, 1)
		if err := use(c.rows); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		c.reset()
		s.free = append(s.free, c)
	}
	return s.rows.Err()
}

// end leaves nothing behind: no goroutine, no open result and no plaintext.
func (s *stream[T]) end(cancel func()) {
	cancel()
	for _, c := range s.queue {
		<-c.Done()
	}
	s.rows.Close()
	s.reader.release(s.table.readers)
}

// begin reads a chunk and has it opened.
func (s *stream[T]) begin(ctx context.Context) {
	c := &chunk[T]{}
	if n := len(s.free); n > 0 {
		c, s.free = s.free[n-1], s.free[:n-1]
	}
	first := s.plan == nil
	s.fill(c)
	if s.plan != nil {
		preloadRows(ctx, s.table, &s.scopes, c.rows, s.plan.purposes())
	}
	c.Begin()
	s.queue = append(s.queue, c)
	open := func() { c.open(ctx, s.table, s.plan) }
	if first {
		c.Run(open)
	} else {
		go c.Run(open)
	}
}

func (s *stream[T]) fill(c *chunk[T]) {
	for len(c.rows) < s.size && len(c.raw) < chunkBytes && !s.ended {
		if !s.rows.Next() {
			s.ended = true
		} else if c.err = s.add(c); c.err != nil {
			s.ended = true
		}
	}
	s.size = min(2*s.size, mostChunk)
}

// add adds the current row to c.
func (s *stream[T]) add(c *chunk[T]) (err error) {
	if s.plan == nil {
		if s.plan, err = s.reader.planFor(s.rows.FieldDescriptions(), ""); err != nil {
			return err
		}
	}
	if err := s.plan.scanClear(s.rows); err != nil {
		return err
	}
	c.rows = append(c.rows, s.reader.row)
	s.reader.row = *new(T)
	values := s.rows.RawValues()
	for _, i := range s.plan.raw {
		c.raw = append(c.raw, values[i]...)
		end := len(c.raw)
		if values[i] == nil {
			end = -1
		}
		c.ends = append(c.ends, end)
	}
	return nil
}

// open opens the rows of c, or those before the first that does not open.
func (c *chunk[T]) open(ctx context.Context, t *Table[T], plan *readPlan) {
	if len(c.rows) == 0 || len(plan.sealed) == 0 {
		return
	}
	r := t.readers.Get().(*reader[T])
	defer r.release(t.readers)
	own, err := r.planFor(plan.fields, "")
	if err != nil {
		c.rows, c.err = c.rows[:0], err
		return
	}
	o := opener{table: t.table, ctx: ctx, row: r.value, scope: t.scope, scratch: getScratch()}
	defer o.scratch.release()
	values, ends, start := make([][]byte, len(own.fields)), c.ends, 0
	for i := range c.rows {
		for n, position := range own.raw {
			values[position] = nil
			if end := ends[n]; end >= 0 {
				values[position] = c.raw[start:end:end]
				start = end
			}
		}
		ends = ends[len(own.raw):]
		r.row = c.rows[i]
		if err := o.openRow(own, values); err != nil {
			c.rows, c.err = c.rows[:i], err
			return
		}
		c.rows[i] = r.row
	}
}

// reset makes c empty, without plaintext.
func (c *chunk[T]) reset() {
	clear(c.rows[:cap(c.rows)])
	c.rows, c.raw, c.ends = c.rows[:0], c.raw[:0], c.ends[:0]
	if cap(c.raw) > 2*chunkBytes {
		c.raw = nil
	}
}

package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/internal/job"
	"github.com/sealfield/sealfield/keyring"
)

// Copier is the part of *pgx.Conn, pgx.Tx and *pgxpool.Pool that CopyFrom needs.
type Copier interface {
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error)
}

// CopyFrom writes rows to the table by COPY, in order, and returns how many. It
// is the fastest way to write many:
//
//	n, err := customers.CopyFrom(ctx, pool, func(yield func(*Customer, error) bool) {
//		for i := range list {
//			if !yield(&list[i], nil) {
//				return
//			}
//		}
//	})
//
// Every column of Columns is written, with index and key columns; a nil pointer,
// slice or map as NULL. The row key has to be in each row: see ReserveKeys.
//
// The iterator runs in the caller's goroutine, while db's connection is busy with the
// COPY: it can not use that itself. Each row is copied before the
// iterator goes on, as Args copies it, so that it may use one T for all; rows are
// sealed on several processors, and for each of these (16 at most) 256 rows, or
// about 128 KiB, are read ahead of the database.
//
// An error of the iterator, a nil row, or a value that can not be sealed ends the
// COPY, and so does ctx; nothing is written then, and a transaction that db is has
// failed. The iterator's error is returned, and the database is not told its text.
// Errors of values name the row by its number, from 1, and the column.
func (t *Table[T]) CopyFrom(ctx context.Context, db Copier, rows iter.Seq2[*T, error]) (int64, error) {
	n, err := t.copyFrom(ctx, db, rows)
	if err != nil {
		return 0, fmt.Errorf("pgxfield: %s: copy: %w", t.table.title(), err)
	}
	return n, nil
}

func (t *Table[T]) copyFrom(ctx context.Context, db Copier, rows iter.Seq2[*T, error]) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newCopySource(ctx, t)
	var copying job.Job
	copying.Begin()
	go copying.Run(func() { n, err = db.CopyFrom(ctx, t.table.name, t.Columns(), s) })
	func() {
		defer s.end(&copying)
		s.stopped = errStopped // unless feed returns
		s.stopped = s.feed(rows, &copying)
	}()
	copying.Wait()
	if s.failed != nil {
		s.failed.Wait()
	}
	switch {
	case s.stopped != nil:
		return 0, s.stopped
	case s.err != nil:
		return 0, s.err
	case err != nil:
		return 0, s.hide(err)
	case !s.read:
		return 0, errors.New("not all rows were read")
	}
	return n, nil
}

// errStopped is all that the database is told of why a COPY ends.
var errStopped = errors.New("stopped by the client")

// copySource takes rows from an iterator, has them sealed, and is read by pgx in
// a goroutine of pgx's.
type copySource[T any] struct {
	table    *Table[T]
	ctx      context.Context
	columns  []argument
	purposes []keyring.Purpose
	scopes   scopeSet
	n        int64             // rows that were taken
	chunks   chan *rowChunk[T] // in order
	free     chan *rowChunk[T]
	stopped  error // why there are no more chunks; nil if these were all

	// What follows belongs to pgx's goroutine.
	current  *rowChunk[T]
	position int // in current
	read     bool
	err      error
	failed   *job.Job // that did not return
}

// rowChunk is some rows, one after the other.
type rowChunk[T any] struct {
	first  int64 // the number of the first one
	rows   []T
	bytes  int // that they hold, about
	out    []byte
	boxes  []sealedBytes
	values []any // of all columns of all rows
	err    error
	job.Job
}

// sealedBytes is a bytea that fits into an interface without being copied.
type sealedBytes struct{ b []byte }

// BytesValue implements pgtype.BytesValuer.
func (s *sealedBytes) BytesValue() ([]byte, error) { return s.b, nil }

func newCopySource[T any](ctx context.Context, t *Table[T]) *copySource[T] {
	s := &copySource[T]{table: t, ctx: ctx, chunks: make(chan *rowChunk[T], inFlight()), free: make(chan *rowChunk[T], inFlight()+2)}
	for _, column := range t.Columns() {
		a := t.table.names[column]
		s.columns = append(s.columns, a)
		if a.sealed != nil && !slices.Contains(s.purposes, a.purpose()) {
			s.purposes = append(s.purposes, a.purpose())
		}
	}
	return s
}

// purpose returns the purpose of the keys that a's values are made with.
func (a *argument) purpose() keyring.Purpose {
	if a.index != nil {
		return keyring.Index
	}
	return a.sealed.purpose()
}

// feed takes rows until there are no more, or nobody wants them.
func (s *copySource[T]) feed(rows iter.Seq2[*T, error], copying *job.Job) error {
	c := s.empty()
	for row, err := range rows {
		s.n++
		switch {
		case err != nil:
			return err
		case row == nil:
			return fmt.Errorf("row %d is nil", s.n)
		case s.ctx.Err() != nil:
			return s.ctx.Err()
		case copying.IsDone():
			return nil
		}
		c.add(s.table.table, row)
		if len(c.rows) == mostChunk || c.bytes >= chunkBytes {
			s.send(c, copying)
			c = s.empty()
		}
	}
	s.send(c, copying)
	return nil
}

func (s *copySource[T]) empty() *rowChunk[T] {
	select {
	case c := <-s.free:
		return c
	default:
		return &rowChunk[T]{}
	}
}

// add adds a copy of row.
func (c *rowChunk[T]) add(t *table, row *T) {
	c.rows = append(c.rows, *row)
	v := reflect.ValueOf(&c.rows[len(c.rows)-1]).Elem()
	t.detach(v)
	c.bytes += t.bytesOf(v)
}

// bytesOf returns about how many bytes the row's texts and byte slices hold.
func (t *table) bytesOf(row reflect.Value) (n int) {
	for _, f := range t.fields {
		v := f.in(row)
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if k := v.Kind(); k == reflect.String || k == reflect.Slice {
			n += v.Len()
		}
	}
	return n
}

// send has c sealed and gives it to pgx.
func (s *copySource[T]) send(c *rowChunk[T], copying *job.Job) {
	if len(c.rows) == 0 {
		return
	}
	c.first = s.n - int64(len(c.rows)) + 1
	preloadRows(s.ctx, s.table, &s.scopes, c.rows, s.purposes)
	c.Begin()
	go c.Run(func() { c.seal(s) })
	select {
	case s.chunks <- c:
	case <-copying.Done(): // which nobody reads any more
		<-c.Done()
	}
}

// seal makes the values of the rows.
func (c *rowChunk[T]) seal(s *copySource[T]) {
	if c.boxes == nil {
		c.boxes = make([]sealedBytes, 0, len(c.rows)*len(s.columns))
	}
	w := writer{table: s.table.table, ctx: s.ctx, scope: s.table.scope, scratch: getScratch(), out: c.out[:0], boxes: c.boxes[:0]}
	defer w.scratch.release()
	c.values = c.values[:0]
	for i := range c.rows {
		w.begin(reflect.ValueOf(&c.rows[i]).Elem())
		for _, a := range s.columns {
			v, err := w.value(a, nil)
			if err != nil {
				c.err = fmt.Errorf("row %d: column %s: %w", c.first+int64(i), a.name, err)
				return
			}
			c.values = append(c.values, v)
		}
	}
	c.out, c.boxes = w.out, w.boxes
}

// reset makes c empty, without plaintext.
func (c *rowChunk[T]) reset() {
	clear(c.rows)
	clear(c.values)
	c.rows, c.bytes, c.err = c.rows[:0], 0, nil
	if cap(c.out) > 8*chunkBytes {
		c.out = nil
	}
}

// end makes the COPY end after what was sent, and waits for it.
func (s *copySource[T]) end(copying *job.Job) {
	close(s.chunks)
	<-copying.Done()
	for c := range s.chunks {
		<-c.Done()
	}
}

// Next implements pgx.CopyFromSource.
func (s *copySource[T]) Next() bool {
	if s.current != nil {
		if s.position++; s.position < len(s.current.rows) {
			return true
		}
		s.current.reset()
		s.free <- s.current
		s.current = nil
	}
	select {
	case c, ok := <-s.chunks:
		if !ok {
			s.read = true
			return false
		}
		<-c.Done()
		if c.err != nil || c.Failed() {
			s.err, s.failed = c.err, &c.Job
			return false
		}
		s.current, s.position = c, 0
		return true
	case <-s.ctx.Done():
		s.err = s.ctx.Err()
		return false
	}
}

// Values implements pgx.CopyFromSource.
func (s *copySource[T]) Values() ([]any, error) {
	n := len(s.columns)
	return s.current.values[s.position*n : (s.position+1)*n], nil
}

// Err implements pgx.CopyFromSource.
func (s *copySource[T]) Err() error {
	if s.err != nil || s.failed != nil || s.read && s.stopped != nil {
		return errStopped
	}
	return nil
}

// unableToEncode is what stands in pgx's errors about an argument, before its value.
const unableToEncode = "unable to encode"

// hide returns err, unless it is pgx's complaint about a value in the clear, which
// quotes it: pgx ends the COPY with that text, and the server gives it back.
func (s *copySource[T]) hide(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && strings.Contains(pg.Message, unableToEncode) && s.current != nil {
		return fmt.Errorf("row %d: a value does not fit the type of its column", s.current.first+int64(s.position))
	}
	return err
}

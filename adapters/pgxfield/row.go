package pgxfield

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sealfield/sealfield/crypto"
)

// Row returns the function that turns a row of any query's result into a T, for
// pgx.CollectRows, pgx.CollectOneRow and the like:
//
//	rows, err := pool.Query(ctx, `select * from customers where id = $1`, 42)
//	c, err := pgx.CollectExactlyOneRow(rows, customers.Row(ctx))
//
// Columns are found by name. Index and key columns are skipped, columns that the result
// does not have leave their field zero; a column that the struct does not have,
// or that is there twice, is an error, and so is a sealed column whose type is
// not bytea (text or integer for tokens), or which is bound to its row while the
// row key is not in the result, or a token whose key column is not (select * and
// returning * have them).
//
// A value that does not open, because it was moved, altered or is not sealed at
// all, is an error that is crypto.ErrDecrypt; a keyring that can not tell gives
// another one. Errors name table and column, never a value. NULL becomes a nil
// pointer, slice or map, or an invalid pgtype value; other fields refuse it.
//
// ctx is that of loading keys. The function is safe for concurrent use.
func (t *Table[T]) Row(ctx context.Context) pgx.RowToFunc[T] {
	return func(row pgx.CollectableRow) (T, error) { return t.Scan(ctx, row, "") }
}

// Scan turns those columns of a row whose names begin with prefix into a T, as
// Row does with all of them: a join of sealed tables gives each a prefix.
//
//	rows, err := pool.Query(ctx, `select c.id as c_id, c.email as c_email, o.id as o_id, o.note as o_note
//		from customers c join orders o on o.customer = c.id`)
//	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (both, error) {
//		c, err := customers.Scan(ctx, row, "c_")
//		if err != nil {
//			return both{}, err
//		}
//		o, err := orders.Scan(ctx, row, "o_")
//		return both{c, o}, err
//	})
//
// What Row refuses Scan refuses among these columns: a sealed one that is bound
// needs its row key under the same prefix. No prefix may be the beginning of
// another one. A row of an outer join that has no partner in a table with
// Config.RowKey, so that all of its columns are NULL, gives the zero T.
func (t *Table[T]) Scan(ctx context.Context, row pgx.CollectableRow, prefix string) (T, error) {
	r := t.readers.Get().(*reader[T])
	defer r.release(t.readers)
	if err := r.read(ctx, row, prefix, t.scope); err != nil {
		var zero T
		return zero, fmt.Errorf("pgxfield: %s: %w", t.table.title(), err)
	}
	return r.row, nil
}

// reader reads rows into a T of its own, to which the plans it keeps point: those
// for the results it saw last.
type reader[T any] struct {
	table *table
	row   T
	value reflect.Value // row
	plans []*readPlan
}

const maxPlans = 8 // per reader, of which there are about as many as processors

func newReader[T any](t *table) *reader[T] {
	r := &reader[T]{table: t}
	r.value = reflect.ValueOf(&r.row).Elem()
	return r
}

// release gives r back without plaintext.
func (r *reader[T]) release(to *sync.Pool) {
	r.row = *new(T)
	to.Put(r)
}

// readPlan says what becomes of each column of a result.
type readPlan struct {
	prefix   string
	fields   []pgconn.FieldDescription
	clear    []any // for Scan: where the columns in the clear go; nil elsewhere
	any      bool  // whether clear has any
	sealed   []sealedTarget
	raw      []int // the positions of what opening needs
	optional []int // the positions of all columns, if all may be NULL
}

type sealedTarget struct {
	*sealed
	position int // in the result
	result   pgconn.FieldDescription
	key      int  // the position of its key id, or -1
	keyText  bool // whether that is in text form
	field    any  // the address of the field
}

// plan refuses what can not be read from a result with these columns.
func (s *sealedTarget) plan(fields []pgconn.FieldDescription, prefix string) error {
	s.key = -1
	if s.token != nil {
		return s.planToken(fields, prefix)
	}
	if s.result.DataTypeOID != pgtype.ByteaOID {
		return fmt.Errorf("column %s of the result is no bytea", s.result.Name)
	}
	return nil
}

func (r *reader[T]) read(ctx context.Context, row pgx.CollectableRow, prefix, scope string) error {
	p, err := r.planFor(row.FieldDescriptions(), prefix)
	if err != nil {
		return err
	}
	values := row.RawValues()
	if p.optional != nil && !slices.ContainsFunc(p.optional, func(i int) bool { return values[i] != nil }) {
		return nil
	}
	if err := p.scanClear(row); err != nil {
		return err
	}
	if len(p.sealed) == 0 {
		return nil
	}
	o := opener{table: r.table, ctx: ctx, row: r.value, scope: scope, scratch: getScratch()}
	defer o.scratch.release()
	return o.openRow(p, values)
}

// scanClear reads the columns in the clear. pgx's errors can quote the value.
func (p *readPlan) scanClear(row pgx.CollectableRow) error {
	if !p.any {
		return nil
	}
	err := row.Scan(p.clear...)
	failed, ok := errors.AsType[pgx.ScanArgError](err)
	if !ok {
		return err
	}
	typ := reflect.TypeOf(p.clear[failed.ColumnIndex]).Elem()
	if strings.HasPrefix(failed.Err.Error(), "cannot scan NULL") {
		return fmt.Errorf("column %s: it is NULL, which Go type %s can not hold", failed.FieldName, typ)
	}
	return &scanError{failed.FieldName, typ, failed.Err}
}

// scanError does not print what it wraps.
type scanError struct {
	column string
	typ    reflect.Type
	err    error
}

func (e *scanError) Error() string {
	return fmt.Sprintf("column %s: the value does not fit Go type %s", e.column, e.typ)
}

func (e *scanError) Unwrap() error { return e.err }

// planFor returns the plan for the columns of a result that have the prefix.
func (r *reader[T]) planFor(fields []pgconn.FieldDescription, prefix string) (*readPlan, error) {
	for _, p := range r.plans {
		if p.prefix == prefix && sameColumns(p.fields, fields) {
			return p, nil
		}
	}
	p, err := r.table.newPlan(slices.Clone(fields), prefix, r.value) // pgx reuses the slice
	if err != nil {
		return nil, err
	}
	if len(r.plans) == maxPlans {
		r.plans = slices.Delete(r.plans, 0, 1)
	}
	r.plans = append(r.plans, p)
	return p, nil
}

func sameColumns(a, b []pgconn.FieldDescription) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a, b := &a[i], &b[i]; a.Name != b.Name || a.DataTypeOID != b.DataTypeOID || a.Format != b.Format {
			return false
		}
	}
	return true
}

// newPlan plans the reading of a result with these columns into row.
func (t *table) newPlan(fields []pgconn.FieldDescription, prefix string, row reflect.Value) (*readPlan, error) {
	p := &readPlan{prefix: prefix, fields: fields, clear: make([]any, len(fields))}
	seen := make(map[string]bool, len(fields))
	var all []int
	for i, fd := range fields {
		column, ok := strings.CutPrefix(fd.Name, prefix)
		if !ok {
			continue
		}
		if seen[column] {
			return nil, fmt.Errorf("the result has the column %s twice", fd.Name)
		}
		seen[column] = true
		all = append(all, i)
		a, ok := t.names[column]
		switch {
		case !ok:
			return nil, fmt.Errorf("the result has a column %s, which %s has not", fd.Name, row.Type())
		case a.index != nil || a.keyID:
			continue
		}
		field := a.field.in(row).Addr().Interface()
		if a.sealed == nil {
			p.clear[i], p.any = field, true
			continue
		}
		target := sealedTarget{sealed: a.sealed, position: i, result: fd, field: field}
		if err := target.plan(fields, prefix); err != nil {
			return nil, err
		}
		p.sealed = append(p.sealed, target)
		if p.raw = append(p.raw, i); target.key >= 0 {
			p.raw = append(p.raw, target.key)
		}
	}
	if len(seen) == 0 && prefix != "" {
		return nil, fmt.Errorf("the result has no column whose name begins with %s", prefix)
	}
	for _, target := range p.sealed {
		for _, k := range t.placeOf(target.sealed) {
			if !seen[k.column] {
				return nil, fmt.Errorf("the result has the sealed column %s without %s, which it is bound to", target.result.Name, prefix+k.column)
			}
		}
	}
	if prefix != "" && len(t.key) > 0 && !slices.ContainsFunc(t.key, func(k keyColumn) bool { return !seen[k.column] }) {
		p.optional = all
	}
	return p, nil
}

// placeOf returns the columns that say where s belongs.
func (t *table) placeOf(s *sealed) []keyColumn {
	var all []keyColumn
	if s.bound {
		all = append(all, t.key...)
	}
	if t.scopeOf != nil {
		all = append(all, *t.scopeOf)
	}
	return all
}

// keyNames names the row key columns in an error about s.
func (t *table) keyNames(s *sealed) string {
	if !s.bound {
		return ""
	}
	names := make([]string, len(t.key))
	for i, k := range t.key {
		names[i] = k.column
	}
	return fmt.Sprintf(" (row key %s)", strings.Join(names, ", "))
}

// opener opens the sealed values of a row, and of another one after openRow.
type opener struct {
	*table
	*scratch
	ctx   context.Context
	row   reflect.Value // whose fields in the clear have been read
	scope string
	place struct {
		crypto.Binding
		known, row bool // whether Scope and Row are set
	}
}

// openRow opens the values of a result that the plan p is for.
func (o *opener) openRow(p *readPlan, values [][]byte) error {
	o.place.known, o.place.row = false, false
	for i := range p.sealed {
		target := &p.sealed[i]
		if err := o.open(target, values); err != nil {
			return fmt.Errorf("column %s%s: %w", target.result.Name, o.keyNames(target.sealed), err)
		}
	}
	return nil
}

func (o *opener) open(target *sealedTarget, values [][]byte) (err error) {
	value := values[target.position]
	if value == nil {
		return target.codec.SetNull(o.types, target.field)
	}
	at, err := o.binding(target.sealed)
	if err != nil {
		return err
	}
	if target.token != nil {
		return o.openToken(target, values, at.Scope)
	}
	if target.result.Format == pgx.TextFormatCode {
		if value, err = o.decodeHex(value); err != nil {
			return err
		}
	}
	plain, err := target.crypto.AppendDecrypt(o.ctx, o.plain[:0], value, at)
	if err != nil {
		return err
	}
	o.plain = plain
	return target.codec.Decode(o.types, plain, target.field)
}

// decodeHex decodes the text form of a bytea.
func (o *scratch) decodeHex(text []byte) ([]byte, error) {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return nil, errors.New("the value is no bytea in hex: is bytea_output set to escape?")
	}
	var err error
	if o.bytea, err = hex.AppendDecode(o.bytea[:0], text[2:]); err != nil {
		return nil, errors.New("the value is no bytea in hex")
	}
	return o.bytea, nil
}

func (o *opener) binding(s *sealed) (at crypto.Binding, err error) {
	p := &o.place
	if !p.known {
		if p.Scope, err = o.scopeFor(o.scope, o.row); err != nil {
			return at, err
		}
		p.known = true
	}
	if s.bound && !p.row {
		if o.rowKey, err = o.appendRow(o.rowKey[:0], o.row); err != nil {
			return at, err
		}
		p.Row, p.row = o.rowKey, true
	}
	at = p.Binding
	if !s.bound {
		at.Row = nil
	}
	return at, nil
}

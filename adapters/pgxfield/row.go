package pgxfield

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

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
	return func(row pgx.CollectableRow) (T, error) {
		r := t.readers.Get().(*reader[T])
		defer func() {
			r.row = *new(T)
			t.readers.Put(r)
		}()
		if err := r.read(ctx, row, t.scope); err != nil {
			var zero T
			return zero, fmt.Errorf("pgxfield: %s: %w", t.title(), err)
		}
		return r.row, nil
	}
}

// reader reads rows into a T of its own. It keeps the plan for the result it
// saw last, which points into that T.
type reader[T any] struct {
	*table
	row    T
	value  reflect.Value // row
	fields []pgconn.FieldDescription
	plan   *readPlan
}

// readPlan says what becomes of each column of a result.
type readPlan struct {
	clear  []any // for Scan: where the columns in the clear go; nil elsewhere
	any    bool  // whether clear has any
	sealed []sealedTarget
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
func (s *sealedTarget) plan(fields []pgconn.FieldDescription) error {
	s.key = -1
	if s.token != nil {
		return s.planToken(fields)
	}
	if s.result.DataTypeOID != pgtype.ByteaOID {
		return fmt.Errorf("column %s of the result is no bytea", s.result.Name)
	}
	return nil
}

func newReader[T any](t *table) *reader[T] {
	r := &reader[T]{table: t}
	r.value = reflect.ValueOf(&r.row).Elem()
	return r
}

func (r *reader[T]) read(ctx context.Context, row pgx.CollectableRow, scope string) error {
	if fields := row.FieldDescriptions(); r.plan == nil || !slices.EqualFunc(fields, r.fields, sameColumn) {
		r.plan = nil
		plan, err := r.newPlan(fields, r.value)
		if err != nil {
			return err
		}
		r.plan, r.fields = plan, slices.Clone(fields) // pgx reuses the slice
	}
	if r.plan.any {
		if err := row.Scan(r.plan.clear...); err != nil {
			return err
		}
	}
	if len(r.plan.sealed) == 0 {
		return nil
	}
	o := opener{table: r.table, ctx: ctx, row: r.value, scope: scope, scratch: getScratch()}
	defer o.scratch.release()
	values := row.RawValues()
	for i := range r.plan.sealed {
		target := &r.plan.sealed[i]
		if err := o.open(target, values); err != nil {
			return fmt.Errorf("column %s%s: %w", target.column, r.keyNames(target.sealed), err)
		}
	}
	return nil
}

func sameColumn(a, b pgconn.FieldDescription) bool {
	return a.Name == b.Name && a.DataTypeOID == b.DataTypeOID && a.Format == b.Format
}

// newPlan plans the reading of a result with these columns into row.
func (t *table) newPlan(fields []pgconn.FieldDescription, row reflect.Value) (*readPlan, error) {
	p := &readPlan{clear: make([]any, len(fields))}
	seen := make(map[string]bool, len(fields))
	for i, fd := range fields {
		if seen[fd.Name] {
			return nil, fmt.Errorf("the result has the column %s twice", fd.Name)
		}
		seen[fd.Name] = true
		a, ok := t.names[fd.Name]
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
		if err := target.plan(fields); err != nil {
			return nil, err
		}
		p.sealed = append(p.sealed, target)
	}
	for _, target := range p.sealed {
		for _, k := range t.placeOf(target.sealed) {
			if !seen[k.column] {
				return nil, fmt.Errorf("the result has the sealed column %s without %s, which it is bound to", target.column, k.column)
			}
		}
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

// opener opens the sealed values of one row.
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

func (o *opener) open(target *sealedTarget, values [][]byte) (err error) {
	value := values[target.position]
	if value == nil {
		return target.codec.setNull(o.types, target.field)
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
	return target.codec.decode(o.types, plain, target.field)
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

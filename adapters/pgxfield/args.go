package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/token"
)

// Args returns the arguments of a statement that names them @column, to be given
// to Exec, Query, QueryRow or Batch.Queue as the only argument:
//
//	pool.Exec(ctx, `update customers set email = @email, email_idx = @email_idx where id = @id`, customers.Args(&c))
//
// The names are the columns of the struct, in the clear or sealed, their index
// and key columns, and those in more, which are passed on as they are; a name in more
// must not be a column's. Only what the statement names is sealed. A statement
// that names a sealed column without all of its index columns, or the reverse,
// is refused, since it would leave the row to be found under its old value; so
// is one with a token and without its key column. What stands after "set" in an
// UPDATE of the table, an upsert or a MERGE is held to the same by itself: an index
// column in the WHERE does not write it. A SET in a function, or of a view on the table,
// is not seen.
//
// The row is copied before Args returns, with what its pointers, slices and maps
// hold, but no deeper: what those hold in turn has to stay as it is until the
// statement was sent. All errors, a nil row too, come from the statement. Nothing
// prints the values: fmt, slog, encoding/json and pgx's tracers see the name of
// the table. But what is in the clear is encoded by pgx itself, whose error quotes a
// value that does not fit its column: keep such errors out of logs. The result may be used any number of times, and seals anew each time.
func (t *Table[T]) Args(row *T, more ...pgx.NamedArgs) pgx.QueryRewriter {
	a := args{text: t.table.argsText}
	if row == nil {
		a.rewrite = func(context.Context, *pgx.Conn, string) (string, []any, error) {
			return "", nil, errors.New("the row is nil")
		}
		return a
	}
	copied := *row
	value := reflect.ValueOf(&copied).Elem()
	t.table.detach(value)
	own, err := t.table.merge(more)
	plan, scope := t.table, t.scope
	a.rewrite = func(ctx context.Context, conn *pgx.Conn, sql string) (string, []any, error) {
		if err != nil {
			return "", nil, err
		}
		return plan.rewrite(ctx, conn, sql, value, own, scope)
	}
	return a
}

// args hides the row in a func, where no printer finds it.
type args struct {
	text    string
	rewrite func(ctx context.Context, conn *pgx.Conn, sql string) (string, []any, error)
}

// RewriteQuery implements pgx.QueryRewriter.
func (a args) RewriteQuery(ctx context.Context, conn *pgx.Conn, sql string, more []any) (string, []any, error) {
	if len(more) > 0 {
		return "", nil, &argsError{a.text, errPositional}
	}
	sql, values, err := a.rewrite(ctx, conn, sql)
	if err != nil {
		return "", nil, &argsError{a.text, err}
	}
	return sql, values, nil
}

// argsError is an error of Args, which holds no value.
type argsError struct {
	text string
	err  error
}

func (e *argsError) Error() string { return e.text + ": " + e.err.Error() }
func (e *argsError) Unwrap() error { return e.err }

func (a args) String() string               { return a.text }
func (a args) GoString() string             { return a.text }
func (a args) Format(f fmt.State, _ rune)   { f.Write([]byte(a.text)) }
func (a args) LogValue() slog.Value         { return slog.StringValue(a.text) }
func (a args) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// merge returns one copy of the caller's own arguments.
func (t *table) merge(more []pgx.NamedArgs) (pgx.NamedArgs, error) {
	if len(more) == 0 {
		return nil, nil
	}
	all := maps.Clone(more[0])
	for _, m := range more[1:] {
		for name, v := range m {
			if _, ok := all[name]; ok {
				return nil, fmt.Errorf("argument @%s is given twice", name)
			}
			all[name] = v
		}
	}
	for name := range all {
		if _, ok := t.names[name]; ok {
			return nil, fmt.Errorf("argument @%s has the name of a column", name)
		}
	}
	return all, nil
}

// detach replaces what the pointers, slices and maps of row hold by copies.
func (t *table) detach(row reflect.Value) {
	for _, f := range t.fields {
		switch f.typ.Kind() {
		case reflect.Pointer:
			if v := f.in(row); !v.IsNil() {
				p := reflect.New(f.typ.Elem())
				p.Elem().Set(v.Elem())
				v.Set(p)
			}
		case reflect.Slice:
			if v := f.in(row); !v.IsNil() {
				s := reflect.MakeSlice(f.typ, v.Len(), v.Len())
				reflect.Copy(s, v)
				v.Set(s)
			}
		case reflect.Map:
			if v := f.in(row); !v.IsNil() {
				m := reflect.MakeMapWithSize(f.typ, v.Len())
				for _, key := range v.MapKeys() {
					m.SetMapIndex(key, v.MapIndex(key))
				}
				v.Set(m)
			}
		}
	}
}

// rewrite returns sql with its @names numbered, and their values.
func (t *table) rewrite(ctx context.Context, conn *pgx.Conn, sql string, row reflect.Value, own pgx.NamedArgs, scope string) (string, []any, error) {
	if err := checkConn(conn); err != nil {
		return "", nil, err
	}
	st, err := t.statement(sql)
	if err != nil {
		return "", nil, err
	}
	w := writer{table: t, ctx: ctx, row: row, scope: scope, scratch: getScratch(), out: make([]byte, 0, st.size)}
	defer w.scratch.release()
	values := make([]any, len(st.args))
	for i, a := range st.args {
		if values[i], err = w.value(a, own); err != nil {
			return "", nil, fmt.Errorf("@%s: %w", a.name, err)
		}
	}
	if len(w.out) > sealform.MostBytes {
		return "", nil, &sealform.SizeError{What: "the sealed values of the statement", Bytes: len(w.out), Most: sealform.MostBytes}
	}
	return st.sql, values, nil
}

// checkConn refuses a connection whose strings numberNames would misread.
func checkConn(conn *pgx.Conn) error {
	if conn != nil && conn.PgConn().ParameterStatus("standard_conforming_strings") == "off" {
		return errors.New("the connection has standard_conforming_strings off")
	}
	return nil
}

// statement returns sql as parsed for the table.
func (t *table) statement(sql string) (*statement, error) {
	if st := t.cache.get(sql); st != nil {
		return st, nil
	}
	numbered, names, err := numberNames(sql)
	if err != nil {
		return nil, err
	}
	st := &statement{sql: numbered, args: make([]argument, len(names))}
	for i, name := range names {
		a, ok := t.names[name]
		if !ok {
			a.name = name
		}
		st.args[i] = a
		if a.sealed != nil {
			st.size += 128
		}
	}
	if err := t.whole(names, "@", "statement"); err != nil {
		return nil, err
	}
	for _, names := range assignments(sql, t.name[len(t.name)-1]) {
		if err := t.whole(names, "", "set"); err != nil {
			return nil, err
		}
	}
	t.cache.put(sql, st)
	return st, nil
}

// whole refuses names, each of which has that sign before it there, if they are
// some of the columns that are written together, and not all.
func (t *table) whole(names []string, sign, there string) error {
	both := func(column, with string) error {
		if slices.Contains(names, column) == slices.Contains(names, with) {
			return nil
		}
		return fmt.Errorf("%[1]s%[2]s and %[1]s%[3]s have to stand in the same %[4]s, or neither", sign, column, with, there)
	}
	for _, s := range t.sealed {
		for _, column := range s.companions() {
			if err := both(s.column, column); err != nil {
				return err
			}
		}
	}
	for _, x := range t.compound() {
		for _, column := range x.tagColumns() {
			for _, s := range x.of {
				if err := both(s.column, column); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// writer seals the values of one row.
type writer struct {
	*table
	*scratch
	ctx     context.Context
	row     reflect.Value
	scope   string
	place   crypto.Binding
	scoped  bool
	rowDone bool
	out     []byte        // the sealed values, one after the other
	boxes   []sealedBytes // in what they are returned, or nil for as they are
	tokens  []madeToken
	pairs   map[*indexed][2][]byte
}

// value returns the value of a: nil for NULL.
func (w *writer) value(a argument, own pgx.NamedArgs) (any, error) {
	if a.sealed == nil {
		if a.field != nil {
			return a.field.in(w.row).Interface(), nil
		}
		v, ok := own[a.name]
		if !ok {
			return nil, errors.New("there is no such column or argument")
		}
		return v, nil
	}
	plain, null, err := a.plain(w.scratch, w.row)
	if err != nil {
		return nil, err
	}
	if token.IsToken(plain) {
		return nil, token.ErrIsToken // a vault's, which has a column of its own
	}
	at, err := w.binding(a.sealed)
	if err != nil {
		return nil, err
	}
	if null {
		return nil, nil
	}
	if err := a.checkSize(len(plain)); err != nil {
		return nil, err
	}
	if err := w.refuseSealed(w.ctx, a.sealed, plain, at.Scope); err != nil {
		return nil, err
	}
	start := len(w.out)
	var out []byte
	switch {
	case a.index != nil && a.index.array():
		return a.index.token.Tags(w.ctx, plain, at.Scope)
	case a.index != nil && a.index.unique != "":
		return w.pairTag(a, plain, at.Scope)
	case a.index != nil:
		out, err = a.index.token.AppendTag(w.ctx, w.out, plain, at.Scope)
	case a.sealed.token != nil:
		return w.tokenValue(a, plain, at.Scope)
	default:
		out, err = a.sealed.crypto.AppendEncrypt(w.ctx, w.out, plain, at)
	}
	if err != nil {
		return nil, err
	}
	w.out = out
	return w.box(out[start:len(out):len(out)]), nil
}

// box returns b as an argument.
func (w *writer) box(b []byte) any {
	if w.boxes == nil {
		return b
	}
	w.boxes = append(w.boxes, sealedBytes{b})
	return &w.boxes[len(w.boxes)-1]
}

// begin makes row the one that is sealed.
func (w *writer) begin(row reflect.Value) {
	w.row, w.scoped, w.rowDone = row, false, false
	w.tokens = w.tokens[:0]
	clear(w.pairs)
}

// pairTag returns the tag of one column of a unique index, nil for NULL. Both are of
// one moment: between two, a key could come and another one go.
func (w *writer) pairTag(a argument, plain []byte, scope string) (any, error) {
	pair, ok := w.pairs[a.index]
	if !ok {
		var err error
		if pair, err = a.index.token.TagPair(w.ctx, plain, scope); err != nil {
			return nil, err
		}
		if w.pairs == nil {
			w.pairs = make(map[*indexed][2][]byte)
		}
		w.pairs[a.index] = pair
	}
	tag := pair[0]
	if a.even {
		tag = pair[1]
	}
	if tag == nil {
		return nil, nil
	}
	return tag, nil
}

// plain returns what is sealed, or what is indexed, or null. It lives in s.
func (a *argument) plain(s *scratch, row reflect.Value) (plain []byte, null bool, err error) {
	if a.index != nil {
		return a.index.plain(s, row)
	}
	s.plain, null, err = a.sealed.codec.Encode(s.types, s.plain[:0], a.sealed.in(row).Addr().Interface())
	return s.plain, null, err
}

// binding returns the place of s in the row.
func (w *writer) binding(s *sealed) (at crypto.Binding, err error) {
	if !w.scoped {
		if w.place.Scope, err = w.scopeFor(w.scope, w.row); err != nil {
			return at, err
		}
		w.scoped = true
	}
	if s.bound && !w.rowDone {
		if w.rowKey, err = w.appendRow(w.rowKey[:0], w.row); err != nil {
			return at, err
		}
		w.place.Row, w.rowDone = w.rowKey, true
	}
	at = w.place
	if !s.bound {
		at.Row = nil
	}
	return at, nil
}

package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/token"
)

// SearchQuery says which rows Search looks for. fmt, slog and encoding/json see the
// name of the column, and none of the values.
type SearchQuery struct {
	// Column is the sealed column, or, if that has several indexes, the index
	// column. Required.
	Column string

	// Value is what is looked for, as for Match: the whole value, or the
	// beginning, the end or a part of it, as the index's kind has it. For a
	// compound index it is a []any of its values. Required.
	Value any

	// Where is a condition in SQL that rows have to fulfil besides, such as
	// "country = @country and deleted_at is null", over columns in the clear.
	// It becomes part of the statement: never put input into it, put it into
	// Args. Empty means none.
	Where string
	Args  pgx.NamedArgs

	// OrderBy are columns in the clear by which rows are ordered before the row
	// key: integers, strings, uuids, bytes or time.Time that are not NULL.
	// Empty orders by the row key alone.
	OrderBy []string

	// Desc turns the whole order around.
	Desc bool

	// After has the values of OrderBy and of the row key in the last row of
	// the page before, in this order. Empty means the first page.
	After []any

	// Limit is the most rows that are returned. Zero means all.
	Limit int
}

func (q SearchQuery) text() string { return "pgxfield.SearchQuery(" + q.Column + ")" }

func (q SearchQuery) String() string               { return q.text() }
func (q SearchQuery) GoString() string             { return q.text() }
func (q SearchQuery) Format(f fmt.State, _ rune)   { f.Write([]byte(q.text())) }
func (q SearchQuery) LogValue() slog.Value         { return slog.StringValue(q.text()) }
func (q SearchQuery) MarshalText() ([]byte, error) { return []byte(q.text()), nil }

// Search finds rows by an index of any kind, lossy ones included, and returns
// them opened, in order:
//
//	for c, err := range customers.Search(ctx, pool, pgxfield.SearchQuery{Column: "name", Value: "ann", Limit: 20}) {
//
// It writes the SELECT itself, fetches the rows that have the tags, opens them,
// and keeps those whose value is what was looked for; where some are dropped it
// fetches more, so that Limit and After count rows that match and nothing else.
// Columns are those of the struct. The table needs Config.RowKey.
//
// Rows are fetched in batches, and none is open while the loop's body runs; which
// rows are found is as of the batch: a row that is inserted meanwhile may be
// missed, no other is, and none comes twice. For one state of the table use a
// transaction of isolation level repeatable read.
//
// It ends with the first error, which comes with a zero T: of the database, of a
// row that does not open, of a keyring in doubt about one of the keys.
func (t *Table[T]) Search(ctx context.Context, db DB, q SearchQuery) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := t.search(ctx, db, q, func(row *T) bool { return yield(*row, nil) }); err != nil {
			var zero T
			yield(zero, fmt.Errorf("pgxfield: %s: search: %w", t.table.label(q.Column), err))
		}
	}
}

func (t *Table[T]) search(ctx context.Context, db DB, q SearchQuery, yield func(*T) bool) error {
	s, err := t.table.newSearch(ctx, q, t.scope)
	if err != nil || len(s.query.Sets) == 0 {
		return err
	}
	for left := q.Limit; ; {
		n := s.nextBatch(left)
		rows, err := db.Query(ctx, s.sql(), s.args(n))
		if err != nil {
			return hideArgument(err)
		}
		found, err := t.Collect(ctx, rows)
		if err != nil {
			return hideArgument(err)
		}
		for i := range found {
			if holds, err := s.holds(reflect.ValueOf(&found[i]).Elem()); err != nil {
				return err
			} else if !holds {
				continue
			}
			if !yield(&found[i]) {
				return nil
			}
			if q.Limit > 0 {
				if left--; left == 0 {
					return nil
				}
			}
		}
		if len(found) < n {
			return nil
		}
		s.goOnAfter(reflect.ValueOf(&found[n-1]).Elem())
	}
}

// hideArgument returns err without the argument that pgx, or PostgreSQL in a data
// exception, quotes.
func hideArgument(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, "22") {
		return redactPgError(pg)
	}
	if strings.Contains(err.Error(), unableToEncode) {
		return errors.New("a value of Args or After does not fit the type of its column")
	}
	return err
}

// search is a SearchQuery on its way through the batches.
type search struct {
	*table
	SearchQuery
	index  *indexed
	query  *token.Query
	order  []keyColumn
	values pgx.NamedArgs // of the arguments, but for the limit
	batch  int           // rows of the last batch
}

const (
	firstBatch = 64   // rows, at least, if some may be dropped
	mostBatch  = 4096 // rows
)

func (t *table) newSearch(ctx context.Context, q SearchQuery, scope string) (*search, error) {
	x, err := t.indexOf(q.Column)
	if err != nil {
		return nil, err
	}
	values := []any{q.Value}
	if len(x.of) > 1 {
		values, _ = q.Value.([]any)
	}
	sc := getScratch()
	defer sc.release()
	plain, err := encodeValues(sc, x.of, values)
	if err != nil {
		return nil, err
	}
	s := &search{table: t, SearchQuery: q, index: x}
	if s.order, err = t.searchOrder(q.OrderBy); err != nil {
		return nil, err
	}
	switch {
	case len(q.After) > 0 && len(q.After) != len(s.order):
		return nil, fmt.Errorf("query.After has %d values, and rows are ordered by %d columns", len(q.After), len(s.order))
	case q.Limit < 0:
		return nil, errors.New("query.Limit is negative")
	}
	if s.query, err = x.token.Query(derive.Access{}, ctx, plain, scope); err != nil {
		return nil, err
	}
	return s, s.setValues()
}

var errNoRowKey = errors.New("the table needs Config.RowKey")

// searchOrder returns the columns of OrderBy and of the row key.
func (t *table) searchOrder(orderBy []string) ([]keyColumn, error) {
	if len(t.key) == 0 {
		return nil, errNoRowKey
	}
	var order []keyColumn
	for _, column := range orderBy {
		a := t.names[column]
		if a.field == nil || a.sealed != nil {
			return nil, fmt.Errorf("query.OrderBy: there is no column %s in the clear", column)
		}
		k, err := newKeyColumn(a.field)
		switch {
		case a.field.typ == reflect.TypeFor[time.Time]():
			k = keyColumn{field: a.field}
		case err != nil || a.field.typ.Kind() == reflect.Pointer || sealform.ValidFlag(reflect.Zero(a.field.typ)).IsValid():
			return nil, fmt.Errorf("query.OrderBy: column %s is of Go type %s: it takes an integer, a string, a uuid, bytes or time.Time, not NULL", column, a.field.typ)
		}
		order = append(order, k)
	}
	for _, k := range t.key {
		if !slices.Contains(orderBy, k.column) {
			order = append(order, k)
		}
	}
	return order, nil
}

const (
	ownPrefix = "sealfield_" // of arguments of the package's own
	limitName = ownPrefix + "limit"
)

func afterName(i int) string { return fmt.Sprintf("%safter%d", ownPrefix, i) }
func tagsName(i int) string  { return fmt.Sprintf("%stags%d", ownPrefix, i) }

// setValues fills in all arguments but the limit.
func (s *search) setValues() error {
	s.values = make(pgx.NamedArgs)
	for name, v := range s.Args {
		if strings.HasPrefix(name, ownPrefix) {
			return fmt.Errorf("argument @%s has a name that is reserved", name)
		}
		s.values[name] = v
	}
	for i, v := range s.After {
		s.values[afterName(i)] = v
	}
	if s.eachAlone() {
		s.values[tagsName(0)] = slices.Concat(s.query.Sets...)
		return nil
	}
	for i, set := range s.query.Sets {
		s.values[tagsName(i)] = set
	}
	return nil
}

// goOnAfter makes the next batch begin after row.
func (s *search) goOnAfter(row reflect.Value) {
	s.After = make([]any, len(s.order))
	for i, k := range s.order {
		s.After[i] = k.in(row).Interface()
		s.values[afterName(i)] = s.After[i]
	}
}

// eachAlone reports whether one tag is enough to find a row.
func (s *search) eachAlone() bool {
	return !slices.ContainsFunc(s.query.Sets, func(set [][]byte) bool { return len(set) > 1 })
}

// sql returns the SELECT of a batch. What the index finds is a materialized WITH,
// for otherwise the planner may read the whole table in the order of the row key,
// in the hope to meet enough rows soon.
//
// The rows after the last one are those of which it is not false that they come
// later: a NULL in the order, which the struct's types rule out, has to become an
// error, and not a row that is passed over.
func (s *search) sql() string {
	order, names := make([]string, len(s.order)), make([]string, len(s.order))
	for i, k := range s.order {
		order[i], names[i] = quote(k.column), "@"+afterName(i)
	}
	// Order and comparison are of PostgreSQL's own operators, whatever others
	// search_path or the column's type has.
	direction, later := " using operator(pg_catalog.<)", "operator(pg_catalog.>)"
	if s.Desc {
		direction, later = " using operator(pg_catalog.>)", "operator(pg_catalog.<)"
	}
	list := s.readColumns()
	var b strings.Builder
	fmt.Fprintf(&b, "with found as materialized (select %s from %s where (%s)", list, s.name.Sanitize(), s.condition())
	if s.Where != "" {
		fmt.Fprintf(&b, " and (%s\n)", s.Where) // a comment ends with its line
	}
	if len(s.After) > 0 {
		fmt.Fprintf(&b, " and ((%s) %s (%s)) is not false", strings.Join(order, ", "), later, strings.Join(names, ", "))
	}
	fmt.Fprintf(&b, ") select %s from found order by %s limit @%s", list, strings.Join(order, direction+", ")+direction, limitName)
	return b.String()
}

// readColumns returns the list of the columns that Row needs.
func (t *table) readColumns() string {
	var all []string
	for _, f := range t.fields {
		all = append(all, quote(f.column))
		if f.sealed != nil && f.sealed.token != nil && f.sealed.token.key != "" {
			all = append(all, quote(f.sealed.token.key))
		}
	}
	return strings.Join(all, ", ")
}

// args returns the arguments of a batch of n rows, which print as little as those
// of Args.
func (s *search) args(n int) pgx.QueryRewriter {
	values := maps.Clone(s.values)
	values[limitName] = n
	return args{text: "pgxfield.Search(" + s.title() + ")", rewrite: func(_ context.Context, conn *pgx.Conn, sql string) (string, []any, error) {
		if err := checkConn(conn); err != nil {
			return "", nil, err
		}
		numbered, names, err := numberNames(sql)
		if err != nil {
			return "", nil, err
		}
		list := make([]any, len(names))
		for i, name := range names {
			v, ok := values[name]
			if !ok {
				return "", nil, fmt.Errorf("@%s: there is no such argument", name)
			}
			list[i] = v
		}
		return numbered, list, nil
	}}
}

// condition is what the index columns have to fulfil.
func (s *search) condition() string {
	format := "%s operator(pg_catalog.@>) @%s"
	switch {
	case !s.index.array():
		format = "%s operator(pg_catalog.=) any (@%s)"
	case s.eachAlone():
		format = "%s operator(pg_catalog.&&) @%s"
	}
	sets := len(s.query.Sets)
	if s.eachAlone() {
		sets = 1
	}
	var all []string
	for _, column := range s.index.tagColumns() {
		for i := range sets {
			all = append(all, fmt.Sprintf(format, quote(column), tagsName(i)))
		}
	}
	return strings.Join(all, " or ")
}

// nextBatch returns how many rows to fetch if left are wanted, or all if that is
// 0. Where some are dropped, batches grow until they are large.
func (s *search) nextBatch(left int) int {
	switch {
	case left == 0:
		s.batch = mostBatch
	case !s.query.Lossy:
		s.batch = min(left, mostBatch)
	default:
		s.batch = min(max(2*s.batch, 2*left, firstBatch), mostBatch)
	}
	return s.batch
}

func (s *search) holds(row reflect.Value) (bool, error) {
	if !s.query.Lossy {
		return true, nil
	}
	scratch := getScratch()
	defer scratch.release()
	plain, null, err := s.index.plain(scratch, row)
	if err != nil || null {
		return false, err
	}
	return s.query.Holds(plain)
}

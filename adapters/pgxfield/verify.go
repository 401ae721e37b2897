package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// DB is the part of *pgx.Conn, pgx.Tx and *pgxpool.Pool that Verify needs.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Verify compares the struct with the database's catalogue and returns one error
// that lists all that is wrong or missing, or nil. Call it when the program
// starts. It holds that
//
//   - each column of the struct is there, and each index column,
//   - sealed, index and key columns are bytea, or bytea[] where rows have several
//     tags, and columns of tokens text, varchar or integers that are wide enough,
//   - a sealed column that may be NULL has a field that can hold it,
//   - row key and scope columns have a type whose text the database keeps as it is
//     (integer, text, varchar, uuid, bytea) and that is the field's,
//   - the CHECKs of DDL are there under whatever name, and validated,
//   - each index column, and each column with token=siv, is the first of a valid
//     btree or hash index, or has a GIN index where it is an array, or is all of a
//     unique index with unique=.
//
// It reads the catalogue only, no row, and needs no right on the table.
func (t *Table[T]) Verify(ctx context.Context, db DB) error {
	c, err := t.readCatalogue(ctx, db)
	if err != nil {
		return fmt.Errorf("pgxfield: %s: verify: %w", t.title(), err)
	}
	if len(c.columns) == 0 {
		return fmt.Errorf("pgxfield: %s: verify: there is no such table", t.title())
	}
	v := verifier{table: t.table, catalogue: c}
	for _, f := range t.fields {
		v.field(f)
	}
	for _, x := range t.compound() {
		v.index(x)
	}
	for _, k := range t.key {
		v.key(k, "row key")
	}
	if t.scopeOf != nil {
		v.key(*t.scopeOf, "scope")
	}
	return errors.Join(v.wrong...)
}

// catalogue is what the database knows of the table, by column.
type catalogue struct {
	columns map[string]catalogueColumn
	checks  map[string][]catalogueCheck
	indexes map[string][]catalogueIndex
}

type catalogueColumn struct {
	Name    string
	Quoted  string // as the catalogue's own SQL spells it
	Type    string // of a domain, that under it
	NotNull bool
}

type catalogueCheck struct {
	Column     string
	Validated  bool
	Definition string
}

type catalogueIndex struct {
	Column, Method string
	Unique         bool // by this column alone
}

const (
	selectColumns = `select a.attname::text, quote_ident(a.attname),
		coalesce(b.typname, t.typname)::text, a.attnotnull or t.typnotnull
		from pg_catalog.pg_attribute a
		join pg_catalog.pg_type t on t.oid = a.atttypid
		left join pg_catalog.pg_type b on b.oid = t.typbasetype
		where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped`
	selectChecks = `select a.attname::text, c.convalidated, pg_catalog.pg_get_constraintdef(c.oid)
		from pg_catalog.pg_constraint c
		join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
		where c.conrelid = pg_catalog.to_regclass($1) and c.contype = 'c'`
	selectIndexes = `select a.attname::text, m.amname::text, i.indisunique and i.indnkeyatts = 1
		from pg_catalog.pg_index i
		join pg_catalog.pg_class k on k.oid = i.indexrelid
		join pg_catalog.pg_am m on m.oid = k.relam
		join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
		where i.indrelid = pg_catalog.to_regclass($1) and i.indisvalid and i.indpred is null
		and m.amname in ('btree', 'hash', 'gin')`
)

func (t *table) readCatalogue(ctx context.Context, db DB) (catalogue, error) {
	c := catalogue{map[string]catalogueColumn{}, map[string][]catalogueCheck{}, map[string][]catalogueIndex{}}
	columns, err := collect(ctx, db, selectColumns, t.name, pgx.RowToStructByPos[catalogueColumn])
	if err != nil {
		return c, err
	}
	checks, err := collect(ctx, db, selectChecks, t.name, pgx.RowToStructByPos[catalogueCheck])
	if err != nil {
		return c, err
	}
	indexes, err := collect(ctx, db, selectIndexes, t.name, pgx.RowToStructByPos[catalogueIndex])
	if err != nil {
		return c, err
	}
	for _, column := range columns {
		c.columns[column.Name] = column
	}
	for _, check := range checks {
		c.checks[check.Column] = append(c.checks[check.Column], check)
	}
	for _, index := range indexes {
		c.indexes[index.Column] = append(c.indexes[index.Column], index)
	}
	return c, nil
}

func collect[E any](ctx context.Context, db DB, sql string, table pgx.Identifier, f pgx.RowToFunc[E]) ([]E, error) {
	rows, err := db.Query(ctx, sql, table.Sanitize())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, f)
}

// verifier collects what is wrong.
type verifier struct {
	*table
	catalogue
	wrong []error
}

func (v *verifier) report(column, format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Errorf("pgxfield: %s: %s", v.label(column), fmt.Sprintf(format, args...)))
}

func (v *verifier) field(f *field) {
	c, ok := v.columns[f.column]
	switch {
	case !ok:
		v.report(f.column, "there is no such column")
	case f.sealed == nil:
		return
	case f.sealed.token != nil:
		v.token(c, f.sealed)
	case c.Type != "bytea":
		v.report(f.column, "a sealed column has to be bytea, it is %s", c.Type)
	default:
		v.nullable(c, f.sealed)
		v.check(c, fmt.Sprintf(sealedDefinition, c.Quoted, f.sealed.leastSize()), sealedCheck(c.Quoted, f.sealed.leastSize()))
		if f.sealed.siv != nil {
			v.indexed(f.column, "btree or hash", func(i catalogueIndex) bool { return i.Method != "gin" })
		}
	}
	if f.sealed != nil {
		for _, x := range f.sealed.indexes {
			v.index(x)
		}
	}
}

// nullable reports a column whose NULL could be stored and not be read.
func (v *verifier) nullable(c catalogueColumn, s *sealed) {
	if c.NotNull {
		return
	}
	if s.codec.setNull(pgtype.NewMap(), reflect.New(s.typ).Interface()) != nil {
		v.report(s.column, "it can be NULL, which Go type %s can not hold: set it not null, or use a pointer", s.typ)
	}
}

// token holds a column of tokens and that of their key ids against the catalogue.
func (v *verifier) token(c catalogueColumn, s *sealed) {
	types, cast := []string{"text", "varchar"}, ""
	if s.token.integer {
		types = s.token.integerTypes()
	}
	if !slices.Contains(types, c.Type) {
		v.report(s.column, "a column of these tokens has to be %s, it is %s", strings.Join(types, " or "), c.Type)
		return
	}
	v.nullable(c, s)
	if c.Type == "varchar" {
		cast = "::text"
	}
	definition := fmt.Sprintf("CHECK %s%s ~ '%s'::text", c.Quoted, cast, strings.ReplaceAll(s.token.pattern, "'", "''"))
	if s.token.integer {
		definition = fmt.Sprintf("CHECK %[1]s >= '%[2]d'::bigint AND %[1]s <= '%[3]d'::bigint", c.Quoted, s.token.lo, s.token.hi)
	}
	if expression := s.tokenCheck(c.Quoted); expression != "" {
		v.check(c, definition, expression)
	}
	if s.token.key == "" {
		return
	}
	switch k, ok := v.columns[s.token.key]; {
	case !ok:
		v.report(s.token.key, "there is no such column: it holds the key ids of %s", s.column)
	case k.Type != "bytea":
		v.report(s.token.key, "a column of key ids has to be bytea, it is %s", k.Type)
	default:
		v.check(k, fmt.Sprintf(keyDefinition, c.Quoted, k.Quoted), keyCheck(c.Quoted, k.Quoted))
	}
}

func (v *verifier) index(x *indexed) {
	want, method := "bytea", "btree or hash"
	fits := func(i catalogueIndex) bool { return i.Method != "gin" }
	switch {
	case x.array():
		want, method = "_bytea", "GIN"
		fits = func(i catalogueIndex) bool { return i.Method == "gin" }
	case x.unique != "":
		method = "unique"
		fits = func(i catalogueIndex) bool { return i.Unique }
	}
	for _, column := range x.tagColumns() {
		c, ok := v.columns[column]
		switch {
		case !ok:
			v.report(column, "there is no such column: it holds the index tags of %s", x.columns())
		case c.Type != want:
			v.report(column, "an index column has to be %s, it is %s", typeText(want), typeText(c.Type))
		case c.NotNull && x.unique != "":
			v.report(column, "it has to take NULL: each row has a tag in one of the two columns only, when no rotation is under way")
		default:
			v.check(c, x.definition(c.Quoted), x.check(c.Quoted))
			v.indexed(column, method, fits)
		}
	}
}

// columns names what is indexed.
func (x *indexed) columns() string {
	names := make([]string, len(x.of))
	for i, s := range x.of {
		names[i] = s.column
	}
	return strings.Join(names, ", ")
}

// typeText spells the name of a type in pg_type as SQL does.
func typeText(name string) string {
	if element, ok := strings.CutPrefix(name, "_"); ok {
		return element + "[]"
	}
	return name
}

// indexed reports a column without an index of the database that fits.
func (v *verifier) indexed(column, method string, fits func(catalogueIndex) bool) {
	if !slices.ContainsFunc(v.catalogue.indexes[column], fits) {
		v.report(column, "there is no valid %s index on it", method)
	}
}

// What pg_get_constraintdef writes for the CHECKs of DDL, but for parentheses,
// whose number depends on how often the table was dumped and restored.
const keyDefinition = `CHECK %[1]s IS NULL = %[2]s IS NULL AND octet_length%[2]s = 4 AND %[2]s >= '\x80000000'::bytea`

const sealedDefinition = `CHECK SUBSTRING%[1]s FROM 1 FOR 2 >= '\x0180'::bytea AND SUBSTRING%[1]s FROM 1 FOR 2 <= '\x01ff'::bytea AND octet_length%[1]s >= %[2]d`

func (x *indexed) definition(column string) string {
	if x.array() {
		return fmt.Sprintf(`CHECK '\x0180'::bytea <= ALL %[1]s AND '\x0200'::bytea > ALL %[1]s AND array_position%[1]s, NULL::bytea IS NULL`, column)
	}
	return fmt.Sprintf("CHECK octet_length%s = %d", column, x.token.Size())
}

func (v *verifier) check(c catalogueColumn, definition, expression string) {
	want := plainDefinition(definition)
	found := false
	for _, check := range v.checks[c.Name] {
		got, _ := strings.CutSuffix(check.Definition, " NOT VALID")
		if plainDefinition(got) != want {
			continue
		}
		if check.Validated {
			return
		}
		found = true
	}
	if found {
		v.report(c.Name, "the CHECK is there, but not validated")
	} else {
		v.report(c.Name, "there is no CHECK (%s) on it", expression)
	}
}

// plainDefinition returns a definition without parentheses and with bytea in hex,
// whatever the connection's bytea_output.
func plainDefinition(s string) string {
	return strings.NewReplacer("(", "", ")", "", `'\001\200'`, `'\x0180'`, `'\001\377'`, `'\x01ff'`, `'\002\000'`, `'\x0200'`, `'\200\000\000\000'`, `'\x80000000'`).Replace(s)
}

// keyTypes are the types of the catalogue that a key field's class stands for.
var keyTypes = map[string][]string{
	"int8":  {"int2", "int4", "int8"},
	"text":  {"text", "varchar"},
	"uuid":  {"uuid"},
	"bytea": {"bytea"},
}

func (v *verifier) key(k keyColumn, role string) {
	c, ok := v.columns[k.column]
	if !ok {
		return // reported as a field
	}
	for _, t := range keyTypes[k.class] {
		if c.Type == t {
			return
		}
	}
	v.report(k.column, "a %s of Go type %s has to be %s, it is %s: the text that values are bound to could change", role, k.typ, strings.Join(keyTypes[k.class], " or "), c.Type)
}

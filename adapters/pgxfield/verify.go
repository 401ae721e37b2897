package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/internal/pgsql"
	"github.com/sealfield/sealfield/internal/sealform"
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
//   - the CHECKs of DDL are there under whatever name, validated, and made of
//     PostgreSQL's own functions and operators,
//   - each index column, and each column with token=siv, is the first of a valid
//     btree or hash index, or has a GIN index where it is an array, or is all of a
//     unique index with unique=; so in each table that inherits from it,
//   - custom types named with type= are there and are what the field's Go type says,
//   - a name without a schema means one table only: not a temporary one, and none
//     that hides another one later in search_path.
//
// Of a view, materialized or not, it looks for CHECKs and indexes where the column
// comes from, through any number of views; indexes of a materialized view are its
// own. Where a column is an expression or comes out of a union, Verify says that it
// can not see its CHECK. Those of a foreign table are not enforced, and it says so, of
// a foreign partition, too.
//
// It reads the catalogue only, no row, and needs no right on the table. What is in
// search_path can not mislead it.
func (t *Table[T]) Verify(ctx context.Context, db DB) error {
	v := verifier{table: t.table, ctx: ctx, db: db, relations: map[uint32]*relation{}}
	if err := v.verify(); err != nil {
		return fmt.Errorf("pgxfield: %s: verify: %w", t.table.title(), err)
	}
	return errors.Join(v.wrong...)
}

// verifier collects what is wrong.
type verifier struct {
	*table
	ctx       context.Context
	db        DB
	relation  *relation
	relations map[uint32]*relation // all that were read
	wrong     []error
}

func (v *verifier) verify() error {
	found, err := collect(v.ctx, v.db, relationByName, v.name.Sanitize(), scanRelation)
	switch {
	case err != nil:
		return err
	case len(found) == 0 || !strings.Contains("rpvmf", found[0].Kind):
		return errors.New("there is no such table")
	}
	v.relation = found[0]
	if err := v.read(v.relation); err != nil {
		return err
	}
	if err := v.schema(); err != nil {
		return err
	}
	for _, f := range v.fields {
		if err := v.field(f); err != nil {
			return err
		}
	}
	for _, x := range v.compound() {
		if err := v.index(x); err != nil {
			return err
		}
	}
	for _, k := range v.key {
		v.keyColumn(k, "row key")
	}
	if v.scopeOf != nil {
		v.keyColumn(*v.scopeOf, "scope")
	}
	return nil
}

func (v *verifier) read(r *relation) error {
	v.relations[r.OID] = r
	if err := readRelation(v.ctx, v.db, r); err != nil {
		return err
	}
	foreign, err := collect(v.ctx, v.db, selectForeign, fmt.Sprint(r.OID), scanRelation)
	for _, f := range foreign {
		v.report("", "its rows can be in the foreign table %s, whose CHECKs nobody enforces: verify the table where it is", f)
	}
	return err
}

// schema reports a name that stands for another table than it seems to.
func (v *verifier) schema() error {
	if v.relation.Kind == "f" {
		v.report("", "it is a foreign table, whose CHECKs nobody enforces: verify the table where it is")
	}
	if len(v.name) == 2 {
		return nil
	}
	all, err := collect(v.ctx, v.db, selectNamesakes, v.name[0], scanRelation)
	if err != nil {
		return err
	}
	if strings.HasPrefix(v.relation.Schema, "pg_temp") {
		v.report("", "the name stands for a temporary table: name the schema")
	} else if len(all) > 1 {
		schemas := make([]string, len(all))
		for i, r := range all {
			schemas[i] = r.Schema
		}
		slices.Sort(schemas)
		v.report("", "there are tables of this name in several schemas of search_path (%s): name one", strings.Join(schemas, ", "))
	}
	return nil
}

// report adds an error about a column, or about the table.
func (v *verifier) report(column, format string, args ...any) {
	label, where := v.title(), ""
	if column != "" {
		label = v.label(column)
	}
	if len(v.name) == 1 {
		where = fmt.Sprintf(" (in schema %s)", v.relation.Schema)
	}
	v.wrong = append(v.wrong, fmt.Errorf("pgxfield: %s: %s%s", label, fmt.Sprintf(format, args...), where))
}

// origin is where a column of the struct is stored.
type origin struct {
	catalogueColumn
	column  string    // of the struct
	table   *relation // nil if a view does not say
	indexed *relation // whose indexes are those of the column: table, or a materialized view
}

// origin follows a column through views.
func (v *verifier) origin(column string) (o origin, ok bool, err error) {
	r := v.relation
	c, ok := r.columns[column]
	if !ok {
		return o, false, nil
	}
	o.column, o.catalogueColumn = column, c
	for r.isView() {
		if r.Kind == "m" && o.indexed == nil {
			o.indexed = r
		}
		oid, number := r.source(c)
		if oid == 0 {
			return o, true, nil
		}
		next := v.relations[oid]
		if next == nil {
			found, err := collect(v.ctx, v.db, relationByOID, fmt.Sprint(oid), scanRelation)
			if err != nil || len(found) == 0 {
				return o, true, err
			}
			next = found[0]
			if err := v.read(next); err != nil {
				return o, true, err
			}
		}
		r, ok = next, false
		for _, inner := range r.columns {
			if inner.Number == number {
				c, ok = inner, true
			}
		}
		if !ok {
			return o, true, nil
		}
	}
	if o.indexed == nil {
		o.indexed = r
	}
	o.catalogueColumn, o.table = c, r
	return o, true, nil
}

func (v *verifier) field(f *field) error {
	c, ok, err := v.origin(f.column)
	s := f.sealed
	switch {
	case err != nil:
		return err
	case !ok:
		v.report(f.column, "there is no such column")
	case s == nil:
		return nil
	case s.token != nil:
		err = v.token(c, s)
	case c.Type != "bytea":
		v.report(f.column, "a sealed column has to be bytea, it is %s", c.Type)
	default:
		v.nullable(c, s)
		v.check(c, fmt.Sprintf(sealedDefinition, c.Quoted, ">=", s.leastSize()), pgsql.SealedCheck(c.Quoted, s.leastSize()))
		if s.siv != nil {
			v.indexed(c, "btree or hash", func(i catalogueIndex) bool { return i.Method != "gin" })
		}
	}
	if s == nil || err != nil {
		return err
	}
	if s.pg.Custom != nil {
		if err := v.customType(s); err != nil {
			return err
		}
	}
	for _, x := range s.indexes {
		if err := v.index(x); err != nil {
			return err
		}
	}
	return nil
}

// nullable reports a column whose NULL could be stored and not be read.
func (v *verifier) nullable(c origin, s *sealed) {
	if c.NotNull {
		return
	}
	if s.codec.SetNull(sealform.NewMap(), reflect.New(s.typ).Interface()) != nil {
		v.report(s.column, "it can be NULL, which Go type %s can not hold: set it not null, or use a pointer", s.typ)
	}
}

// token holds a column of tokens and that of their key ids against the catalogue.
func (v *verifier) token(c origin, s *sealed) error {
	types, cast := []string{"text", "varchar"}, ""
	if s.token.integer {
		types = s.token.integerTypes()
	}
	if !slices.Contains(types, c.Type) {
		v.report(s.column, "a column of these tokens has to be %s, it is %s", strings.Join(types, " or "), c.Type)
		return nil
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
		return nil
	}
	switch k, ok, err := v.origin(s.token.key); {
	case err != nil:
		return err
	case !ok:
		v.report(s.token.key, "there is no such column: it holds the key ids of %s", s.column)
	case k.Type != "bytea":
		v.report(s.token.key, "a column of key ids has to be bytea, it is %s", k.Type)
	default:
		v.check(k, fmt.Sprintf(keyDefinition, c.Quoted, k.Quoted), keyCheck(c.Quoted, k.Quoted))
	}
	return nil
}

func (v *verifier) index(x *indexed) error {
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
		c, ok, err := v.origin(column)
		switch {
		case err != nil:
			return err
		case !ok:
			v.report(column, "there is no such column: it holds the index tags of %s", x.columns())
		case c.Type != want:
			v.report(column, "an index column has to be %s, it is %s", typeText(want), typeText(c.Type))
		case c.NotNull && x.unique != "":
			v.report(column, "it has to take NULL: each row has a tag in one of the two columns only, when no rotation is under way")
		default:
			v.check(c, x.definition(c.Quoted), x.check(c.Quoted))
			v.indexed(c, method, fits)
			if x.unique != "" && c.table != nil && len(c.table.children) > 0 {
				v.report(column, "no index keeps it unique beyond one table, and others inherit from %s", c.table)
			}
		}
	}
	return nil
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
func (v *verifier) indexed(c origin, method string, fits func(catalogueIndex) bool) {
	if c.indexed == nil {
		return // reported by check
	}
	column := c.Name
	if c.indexed != c.table {
		column = c.column
	}
	var missing func(r *relation)
	missing = func(r *relation) {
		switch {
		case r.Kind == "f":
		case slices.ContainsFunc(r.indexes[column], fits):
		case r == v.relation:
			v.report(c.column, "there is no valid %s index on it", method)
		default:
			v.report(c.column, "there is no valid %s index on it in %s", method, r)
		}
		for _, child := range r.children {
			missing(child)
		}
	}
	missing(c.indexed)
}

// What pg_get_constraintdef writes for the CHECKs of DDL, but for parentheses,
// whose number depends on how often the table was dumped and restored.
const keyDefinition = `CHECK %[1]s IS NULL = %[2]s IS NULL AND octet_length%[2]s = 4 AND %[2]s >= '\x80000000'::bytea`

const sealedDefinition = `CHECK SUBSTRING%[1]s FROM 1 FOR 2 >= '\x0180'::bytea AND SUBSTRING%[1]s FROM 1 FOR 2 <= '\x01ff'::bytea AND octet_length%[1]s %[2]s %[3]d`

func (x *indexed) definition(column string) string {
	if x.array() {
		return fmt.Sprintf(`CHECK '\x0180'::bytea <= ALL %[1]s AND '\x0200'::bytea > ALL %[1]s AND array_position%[1]s, NULL::bytea IS NULL`, column)
	}
	return fmt.Sprintf(sealedDefinition, column, "=", x.token.Size())
}

func (v *verifier) check(c origin, definition, expression string) {
	if c.table == nil {
		v.report(c.column, "the view does not say which column of a table it is: its CHECK can not be seen")
		return
	}
	want := plainDefinition(definition)
	on := "it"
	if c.table != v.relation {
		on = c.table.String() + "." + c.Quoted
	}
	found := ""
	for _, check := range c.table.checks[c.Name] {
		got, _ := strings.CutSuffix(check.Definition, " NOT VALID")
		switch {
		case plainDefinition(got) != want:
		case !check.Own:
			found = fmt.Sprintf("the CHECK on %s is made of functions or operators that are not PostgreSQL's own", on)
		case check.Validated:
			return
		default:
			found = "the CHECK is there, but not validated"
		}
	}
	if found == "" {
		found = fmt.Sprintf("there is no CHECK (%s) on %s", readable(expression), on)
	}
	v.report(c.column, "%s", found)
}

// readable spells an expression of DDL without its qualified names.
func readable(expression string) string {
	return strings.ReplaceAll(qualified.ReplaceAllString(expression, "$1"), "pg_catalog.", "")
}

var qualified = regexp.MustCompile(`operator\(pg_catalog\.([^)]+)\)`)

// keyTypes are the types of the catalogue that a key field's class stands for.
var keyTypes = map[string][]string{
	"int8":  {"int2", "int4", "int8"},
	"text":  {"text", "varchar"},
	"uuid":  {"uuid"},
	"bytea": {"bytea"},
}

func (v *verifier) keyColumn(k keyColumn, role string) {
	c, ok := v.relation.columns[k.column]
	if !ok {
		return // reported as a field
	}
	for _, t := range keyTypes[k.Class] {
		if c.Type == t {
			return
		}
	}
	v.report(k.column, "a %s of Go type %s has to be %s, it is %s: the text that values are bound to could change", role, k.typ, strings.Join(keyTypes[k.Class], " or "), c.Type)
}

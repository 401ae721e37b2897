package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// Config is what the struct's tags can not say of a table. The zero value binds
// no value to its row.
type Config struct {
	// RowKey names the columns that identify a row and never change, such as
	// the primary key. Every sealed column is then bound to its row: a value
	// that was copied from another row does not open. The columns belong to
	// fields of the struct that are not sealed and hold integers, strings,
	// uuids or bytes. A serial key has to be known before the INSERT; select
	// nextval for it. Empty binds values to their column only.
	RowKey []string

	// Name is the table's name as it stands in the keys of its columns. Set it
	// to the old name before you rename a table: values stay readable only as
	// long as it stays the same. Defaults to the name given to NewTable.
	Name string

	// Scope names the column that holds the scope (the tenant) of each row,
	// for a keyring with Scoped set: a string, integer or uuid that is not
	// sealed. Empty leaves the scope to Table.In.
	Scope string
}

// Table seals and opens the rows of one database table, which are values of the
// struct T. It is safe for concurrent use and costs no more than a pointer to
// pass around; make one per table when the program starts.
type Table[T any] struct {
	*table
	scope   string
	readers *sync.Pool // of *reader[T]
}

// table is what Tables of one struct share.
type table struct {
	name    pgx.Identifier
	fields  []*field
	sealed  []*sealed
	key     []keyColumn
	scopeOf *keyColumn // nil if the scope is chosen by In
	names   map[string]argument
	cache   statementCache

	argsText string // what prints of Args
}

// field is a field of the struct and a column of the table.
type field struct {
	column string
	index  int // in the struct
	typ    reflect.Type
	sealed *sealed // nil if the column is in the clear
}

// sealed is what makes a column a sealed one.
type sealed struct {
	*field
	pg      pgType
	codec   codec
	bound   bool
	crypto  *crypto.Field // nil for tokens
	token   *tokenized    // nil for ciphertexts
	indexes []*indexed
}

// name returns the logical name, which stands in the keys.
func (s *sealed) name() string {
	if s.token != nil {
		return s.token.format.Name()
	}
	return s.crypto.Name()
}

// indexed is an index column.
type indexed struct {
	of     *sealed
	column string
	norm   token.Normalizer
	token  *token.Index
}

// NewTable returns the Table for rows of the struct T in the given database
// table, "customers" or "schema.customers". The names of table and columns are
// taken as they are in the catalogue: not folded to lower case, and quoted
// wherever the package writes SQL.
//
// Every exported field of T needs a db tag with the name of its column, or
// db:"-" to be left alone. A field with a seal tag is sealed (see the package
// documentation). All mistakes in tags, types and cfg are found here.
func NewTable[T any](kr *keyring.Keyring, table string, cfg Config) (*Table[T], error) {
	t, err := newTable(kr, reflect.TypeFor[T](), table, cfg)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: table %s: %w", table, err)
	}
	readers := &sync.Pool{New: func() any { return newReader[T](t) }}
	return &Table[T]{table: t, readers: readers}, nil
}

func newTable(kr *keyring.Keyring, typ reflect.Type, name string, cfg Config) (*table, error) {
	if kr == nil {
		return nil, errors.New("NewTable needs a keyring")
	}
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is no struct", typ)
	}
	t := &table{name: strings.Split(name, "."), names: make(map[string]argument), argsText: "pgxfield.Args(" + name + ")"}
	if len(t.name) > 2 || slices.Contains(t.name, "") || strings.ContainsRune(name, 0) {
		return nil, errors.New(`the name has to be "table" or "schema.table"`)
	}
	if cfg.Name == "" {
		cfg.Name = name
	}
	for i := range typ.NumField() {
		if err := t.addField(kr, typ.Field(i), cfg); err != nil {
			return nil, fmt.Errorf("field %s: %w", typ.Field(i).Name, err)
		}
	}
	if len(t.sealed) == 0 {
		return nil, fmt.Errorf("%s has no field with a seal tag", typ)
	}
	for _, column := range cfg.RowKey {
		if slices.ContainsFunc(t.key, func(k keyColumn) bool { return k.column == column }) {
			return nil, fmt.Errorf("config.RowKey: column %s is repeated", column)
		}
		k, err := t.keyColumn(column)
		if err != nil {
			return nil, fmt.Errorf("config.RowKey: %w", err)
		}
		t.key = append(t.key, k)
	}
	if cfg.Scope != "" {
		k, err := t.keyColumn(cfg.Scope)
		if err != nil {
			return nil, fmt.Errorf("config.Scope: %w", err)
		}
		t.scopeOf = &k
	}
	return t, nil
}

func (t *table) keyColumn(column string) (keyColumn, error) {
	f := t.names[column].field
	switch {
	case f == nil:
		return keyColumn{}, fmt.Errorf("no field has the column %s", column)
	case f.sealed != nil:
		return keyColumn{}, fmt.Errorf("column %s is sealed itself", column)
	}
	k, err := newKeyColumn(f)
	if err != nil {
		return k, fmt.Errorf("column %s: %w", column, err)
	}
	return k, nil
}

func (t *table) addField(kr *keyring.Keyring, sf reflect.StructField, cfg Config) error {
	column, hasColumn := sf.Tag.Lookup("db")
	column, _, _ = strings.Cut(column, ",")
	sealTag, isSealed := sf.Tag.Lookup("seal")
	switch {
	case isSealed && (!sf.IsExported() || column == "-"):
		return errors.New("it has a seal tag, but is not stored")
	case column == "-":
		return nil
	case sf.Anonymous:
		return errors.New(`an embedded struct is not supported; tag it db:"-" to leave it out`)
	case !sf.IsExported():
		return nil
	case !hasColumn || column == "":
		return errors.New(`it needs a db tag with its column, or db:"-"`)
	}
	f := &field{column: column, index: sf.Index[0], typ: sf.Type}
	if err := t.addName(argument{name: column, field: f}); err != nil {
		return err
	}
	t.fields = append(t.fields, f)
	if !isSealed {
		return nil
	}
	if f.typ == reflect.TypeFor[token.Token]() || f.typ == reflect.TypeFor[*token.Token]() {
		return errors.New("a vault's token is no value to seal: leave it in the clear")
	}
	parsed, err := parseTag(sealTag)
	if err != nil {
		return fmt.Errorf("seal tag: %w", err)
	}
	return t.seal(kr, f, parsed, cfg)
}

func (t *table) addName(a argument) error {
	if _, ok := t.names[a.name]; ok {
		return fmt.Errorf("column %s is there already", a.name)
	}
	if strings.ContainsRune(a.name, 0) {
		return errors.New("a column's name has no zero bytes")
	}
	t.names[a.name] = a
	return nil
}

// seal makes f a sealed field.
func (t *table) seal(kr *keyring.Keyring, f *field, parsed tag, cfg Config) (err error) {
	s := &sealed{field: f, bound: len(cfg.RowKey) > 0 && !parsed.noRow && parsed.token == nil}
	f.sealed = s
	typeName := parsed.typ
	if typeName == "" {
		if typeName = defaultType(f.typ); typeName == "" {
			return fmt.Errorf("the Go type %s has no PostgreSQL type of its own: name one with type=", f.typ)
		}
	}
	if s.pg, err = typeNamed(typeName); err != nil {
		return err
	}
	if s.codec, err = newCodec(f.typ, s.pg); err != nil {
		return err
	}
	if parsed.name == "" {
		parsed.name = f.column
	}
	logical := cfg.Name + "." + parsed.name
	for _, other := range t.sealed {
		if other.name() == logical {
			return fmt.Errorf("name %s is there already", parsed.name)
		}
	}
	if parsed.token != nil {
		err = t.tokenize(kr, s, logical, parsed.token)
	} else {
		s.crypto, err = crypto.NewField(kr, logical, crypto.FieldConfig{RowBound: s.bound, Type: s.pg.class})
	}
	if err != nil {
		return err
	}
	for _, it := range parsed.indexes {
		if err := t.addIndex(kr, s, logical, it); err != nil {
			return fmt.Errorf("index=%s: %w", it.column, err)
		}
	}
	t.names[f.column] = argument{name: f.column, field: f, sealed: s}
	t.sealed = append(t.sealed, s)
	return nil
}

func (t *table) addIndex(kr *keyring.Keyring, s *sealed, logical string, it indexTag) (err error) {
	if it.norm == "" {
		it.norm = "identity"
	}
	x := &indexed{of: s, column: it.column, norm: normalizers[it.norm]}
	switch {
	case noIndex[strings.TrimSuffix(s.pg.class, "[]")]:
		return fmt.Errorf("equal values of type %s can have different bytes, so it can not be searched", s.pg.class)
	case it.norm != "identity" && s.pg.class != "text":
		return fmt.Errorf("norm=%s is for text, and the type is %s", it.norm, s.pg.class)
	case slices.ContainsFunc(s.indexes, func(o *indexed) bool { return o.norm == x.norm }):
		return fmt.Errorf("column %s has an index with norm=%s already", s.column, it.norm)
	}
	if x.token, err = token.NewIndex(kr, logical, token.IndexConfig{Normalizer: x.norm}); err != nil {
		return err
	}
	s.indexes = append(s.indexes, x)
	return t.addName(argument{name: x.column, sealed: s, index: x})
}

// In returns the Table for the rows of one scope (one tenant) of a scoped
// keyring. It makes no key and can not fail; a wrong scope is an error of the
// calls on the Table that it returns.
func (t *Table[T]) In(scope string) *Table[T] {
	scoped := *t
	scoped.scope = scope
	return &scoped
}

// Columns returns the names of all columns in a new slice: those of the struct
// in its order, each sealed one followed by those that belong to it. They are
// not quoted.
func (t *Table[T]) Columns() []string {
	var all []string
	for _, f := range t.fields {
		all = append(all, f.column)
		if f.sealed != nil {
			all = append(all, f.sealed.companions()...)
		}
	}
	return all
}

// companions returns the columns that are written whenever s is: that of the key
// id, and the index columns.
func (s *sealed) companions() (all []string) {
	if s.token != nil && s.token.key != "" {
		all = append(all, s.token.key)
	}
	for _, x := range s.indexes {
		all = append(all, x.column)
	}
	return all
}

// Match returns the index tags of the value v under every key that may have
// been used, for a search with
//
//	where email_idx = any($1)
//
// The column is the sealed one, or, if that has several indexes, the index
// column. v is of the field's type, a pointer to it, or another Go type that
// can be stored in the column; it is encoded like the field. The slice is the
// caller's, and not nil even where it is empty, before the first value was
// stored. NULL has no tags: searching for it is an error.
//
// A keyring in doubt about one key gives an error, never fewer tags. With
// Config.Scope, choose the scope by In.
func (t *Table[T]) Match(ctx context.Context, column string, v any) ([][]byte, error) {
	tags, err := t.match(ctx, column, v, t.scope)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: %s: match: %w", t.label(column), err)
	}
	return tags, nil
}

func (t *table) match(ctx context.Context, column string, v any, scope string) ([][]byte, error) {
	x, err := t.indexOf(column)
	if err != nil {
		return nil, err
	}
	s := getScratch()
	defer s.release()
	if err := x.of.encodeSearched(s, v); err != nil {
		return nil, err
	}
	return x.token.Match(ctx, s.plain, scope)
}

// encodeSearched puts the sealed form of a value that is searched for, which may
// be of another Go type than the field, into sc.plain.
func (s *sealed) encodeSearched(sc *scratch, v any) (err error) {
	if v == nil {
		return errNullMatch
	}
	c := s.codec
	typ := reflect.TypeOf(v)
	if typ.Kind() == reflect.Pointer && s.typ != typ {
		typ = typ.Elem()
		if reflect.ValueOf(v).IsNil() {
			return errNullMatch
		}
		v = reflect.ValueOf(v).Elem().Interface()
	}
	if typ != s.typ {
		if c, err = newCodec(typ, s.pg); err != nil {
			return err
		}
	}
	field := reflect.New(typ)
	field.Elem().Set(reflect.ValueOf(v))
	var null bool
	sc.plain, null, err = c.encode(sc.types, sc.plain[:0], field.Interface())
	if err == nil && null {
		err = errNullMatch
	}
	return err
}

var errNullMatch = errors.New("NULL has no index tags: search with \"is null\"")

func (t *table) indexOf(column string) (*indexed, error) {
	a := t.names[column]
	switch {
	case a.index != nil:
		return a.index, nil
	case a.sealed == nil || len(a.sealed.indexes) == 0:
		return nil, errors.New("it has no index")
	case len(a.sealed.indexes) > 1:
		return nil, errors.New("it has several indexes: name one of the index columns")
	}
	return a.sealed.indexes[0], nil
}

// label names a column in an error.
func (t *table) label(column string) string {
	return t.title() + "." + column
}

func (t *table) title() string { return strings.Join(t.name, ".") }

// scopeFor returns the scope of a row.
func (t *table) scopeFor(chosen string, row reflect.Value) (string, error) {
	if t.scopeOf == nil {
		return chosen, nil
	}
	text, ok := t.scopeOf.appendText(nil, row)
	switch {
	case !ok:
		return "", fmt.Errorf("scope column %s is NULL or zero", t.scopeOf.column)
	case chosen != "" && chosen != string(text):
		return "", fmt.Errorf("the row's %s is another scope than that of the table", t.scopeOf.column)
	}
	return string(text), nil
}

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
	"github.com/sealfield/sealfield/internal/pgsql"
	"github.com/sealfield/sealfield/internal/sealform"
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
	// uuids or bytes. A serial key has to be known before the INSERT: see
	// Table.ReserveKeys. Empty binds values to their column only.
	RowKey []string

	// Name is the table's name as it stands in the keys of its columns. Set it
	// to the old name before you rename a table: values stay readable only as
	// long as it stays the same. Defaults to the name given to NewTable.
	Name string

	// Scope names the column that holds the scope (the tenant) of each row,
	// for a keyring with Scoped set: a string, integer or uuid that is not
	// sealed. Empty leaves the scope to Table.In.
	Scope string

	// Normalizers are more values of norm= in tags, such as "phone" for one
	// that package token/e164 made. They stand for the same normalizer for
	// ever, in every program that uses the table.
	Normalizers map[string]token.Normalizer

	// Compound are indexes over several sealed columns at once.
	Compound []CompoundIndex
}

// CompoundIndex is an index over several sealed columns at once, for a search that
// knows the values of all: a name together with a date of birth. Where one of them
// is NULL, so is the tag. See token.Compound.
type CompoundIndex struct {
	// Column holds the tags. A statement that writes one of the columns has to
	// write all of them together with this one.
	Column string

	// Name is the logical name that stands in the key, as for columns. Defaults
	// to Column. It has no point in it.
	Name string

	// Of are the sealed columns, at least two, in the order of the values
	// given to Match.
	Of []CompoundPart

	// Bits is as in token.IndexConfig.
	Bits int

	// Unique is as unique= in tags.
	Unique string
}

// CompoundPart is a column of a CompoundIndex.
type CompoundPart struct {
	Column string
	Norm   string // as norm= in tags; defaults to identity
}

// Table seals and opens the rows of one database table, which are values of the
// struct T. It is safe for concurrent use and costs no more than a pointer to
// pass around; make one per table when the program starts.
type Table[T any] struct {
	table   *table // not embedded: each T would have a wrapper of each of its methods
	scope   string
	readers *sync.Pool // of *reader[T]
}

// table is what Tables of one struct share.
type table struct {
	keyring *keyring.Keyring
	name    pgx.Identifier
	fields  []*field
	sealed  []*sealed
	key     []keyColumn
	scopeOf *keyColumn // nil if the scope is chosen by In
	indexes []*indexed // those of fields, then those of Config.Compound
	names   map[string]argument
	cache   statementCache

	argsText string // what prints of Args
}

// field is a field of the struct and a column of the table.
type field struct {
	column string
	index  []int // in the struct and those that are embedded in it
	typ    reflect.Type
	sealed *sealed // nil if the column is in the clear
}

// in returns the field of a row.
func (f *field) in(row reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return row.Field(f.index[0])
	}
	return row.FieldByIndex(f.index)
}

// sealed is what makes a column a sealed one.
type sealed struct {
	*field
	pg      sealform.Type
	codec   sealform.Codec
	bound   bool
	raw     bool                 // takes values that are sealed already
	crypto  cipher               // nil for format-preserving tokens
	siv     *token.Deterministic // what crypto is of a column with token=siv, else nil
	token   *tokenized           // nil for all others
	indexes []*indexed
}

// name returns the logical name, which stands in the keys.
func (s *sealed) name() string {
	if s.token != nil {
		return s.token.format.Name()
	}
	return s.crypto.Name()
}

// cipher is a *crypto.Field, or what takes its place.
type cipher interface {
	Name() string
	AppendEncrypt(ctx context.Context, dst, plaintext []byte, at crypto.Binding) ([]byte, error)
	AppendDecrypt(ctx context.Context, dst, ciphertext []byte, at crypto.Binding) ([]byte, error)
}

// sivCipher is the cipher of columns with token=siv.
type sivCipher struct{ *token.Deterministic }

func (c sivCipher) AppendEncrypt(ctx context.Context, dst, plaintext []byte, at crypto.Binding) ([]byte, error) {
	return c.AppendTokenize(ctx, dst, plaintext, nil, at.Scope)
}

func (c sivCipher) AppendDecrypt(ctx context.Context, dst, ciphertext []byte, at crypto.Binding) ([]byte, error) {
	return c.AppendDetokenize(ctx, dst, ciphertext, nil, at.Scope)
}

// NewTable returns the Table for rows of the struct T in the given database
// table, "customers" or "schema.customers", or in a view (see Verify). The names
// of table and columns are taken as they are in the catalogue: not folded to lower
// case, and quoted wherever the package writes SQL. A name with a dot in it stands
// in quotes, `app."odd.name"`. One of more than 63 bytes, which PostgreSQL would cut
// off, is refused. Without a schema it is search_path that says which table is
// meant, to those who may set it: name the schema where that matters.
//
// Every exported field of T needs a db tag with the name of its column, or
// db:"-" to be left alone. A field with a seal tag is sealed (see the package
// documentation). The fields of an embedded struct count as fields of T, as in
// pgx.RowToStructByName; no field hides another one, so that two with one column
// are refused, and so is an embedded pointer. A struct that is embedded in the rows
// of several tables is sealed under the names of each.
//
// All mistakes in tags, types and cfg are found here.
func NewTable[T any](kr *keyring.Keyring, table string, cfg Config) (*Table[T], error) {
	t, err := newTable(kr, reflect.TypeFor[T](), table, cfg)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: table %s: %w", table, err)
	}
	return tableOf[T](t), nil
}

func tableOf[T any](t *table) *Table[T] {
	return &Table[T]{table: t, readers: &sync.Pool{New: func() any { return newReader[T](t) }}}
}

func newTable(kr *keyring.Keyring, typ reflect.Type, name string, cfg Config) (*table, error) {
	if kr == nil {
		return nil, errors.New("NewTable needs a keyring")
	}
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is no struct", typ)
	}
	identifier, err := pgsql.ParseName(name)
	if err != nil {
		return nil, err
	}
	t := &table{keyring: kr, name: identifier, names: make(map[string]argument), argsText: "pgxfield.Args(" + name + ")"}
	if cfg.Name == "" {
		cfg.Name = name
	}
	if err := t.addFields(kr, typ, nil, cfg); err != nil {
		return nil, err
	}
	if len(t.sealed) == 0 {
		return nil, fmt.Errorf("%s has no field with a seal tag", typ)
	}
	for _, c := range cfg.Compound {
		if err := t.addCompound(kr, c, cfg); err != nil {
			return nil, fmt.Errorf("config.Compound: %s: %w", c.Column, err)
		}
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

// addFields adds the fields of typ, which stands at the path index of the row.
func (t *table) addFields(kr *keyring.Keyring, typ reflect.Type, index []int, cfg Config) error {
	for i := range typ.NumField() {
		sf := typ.Field(i)
		sf.Index = append(slices.Clone(index), i)
		if err := t.addField(kr, sf, cfg); err != nil {
			return fmt.Errorf("field %s: %w", sf.Name, err)
		}
	}
	return nil
}

func (t *table) addEmbedded(kr *keyring.Keyring, sf reflect.StructField, cfg Config) error {
	before := len(t.fields)
	if err := t.addFields(kr, sf.Type, sf.Index, cfg); err != nil {
		return err
	}
	if len(t.fields) == before {
		return errors.New(`the embedded struct has no column; tag it db:"-" to leave it out`)
	}
	return nil
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
	case sf.Anonymous && sf.Type.Kind() == reflect.Struct && !hasColumn && !isSealed:
		return t.addEmbedded(kr, sf, cfg)
	case sf.Anonymous:
		return errors.New(`only a struct can be embedded, no pointer, and without tags: its fields are the columns; tag it db:"-" to leave it out`)
	case !sf.IsExported():
		return nil
	case !hasColumn || column == "":
		return errors.New(`it needs a db tag with its column, or db:"-"`)
	}
	f := &field{column: column, index: sf.Index, typ: sf.Type}
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
	if err := pgsql.CheckIdentifier(a.name); err != nil {
		return fmt.Errorf("column %s: %w", a.name, err)
	}
	t.names[a.name] = a
	return nil
}

// seal makes f a sealed field.
func (t *table) seal(kr *keyring.Keyring, f *field, parsed tag, cfg Config) (err error) {
	s := &sealed{field: f, bound: len(cfg.RowKey) > 0 && !parsed.noRow && !parsed.siv && parsed.token == nil}
	s.raw = parsed.raw
	f.sealed = s
	typeName := parsed.typ
	if typeName == "" {
		if typeName = sealform.Default(f.typ); typeName == "" {
			return fmt.Errorf("the Go type %s has no PostgreSQL type of its own: name one with type=", f.typ)
		}
	}
	if s.pg, err = sealform.Named(typeName); err != nil {
		return err
	}
	if s.codec, err = sealform.New(f.typ, s.pg); err != nil {
		return err
	}
	if parsed.name == "" {
		parsed.name = f.column
	}
	logical, err := logicalName(cfg.Name, parsed.name)
	if err != nil {
		return err
	}
	for _, other := range t.sealed {
		if other.name() == logical {
			return fmt.Errorf("name %s is there already", parsed.name)
		}
	}
	switch {
	case parsed.token != nil:
		err = t.tokenize(kr, s, logical, parsed.token)
	case parsed.siv:
		err = s.setSIV(kr, logical, parsed.force)
	default:
		s.crypto, err = crypto.NewField(kr, logical, crypto.FieldConfig{RowBound: s.bound, Type: s.pg.Class})
	}
	if err != nil {
		return err
	}
	for _, it := range parsed.indexes {
		if err := t.addIndex(kr, s, logical, it, cfg); err != nil {
			return fmt.Errorf("index=%s: %w", it.column, err)
		}
	}
	t.names[f.column] = argument{name: f.column, field: f, sealed: s}
	t.sealed = append(t.sealed, s)
	return nil
}

// logicalName joins the names of a table and of a column, which has no point, or "a" with
// "b.c" and "a.b" with "c" would share their keys.
func logicalName(table, column string) (string, error) {
	if strings.Contains(column, ".") {
		return "", fmt.Errorf("the logical name %q has a point in it, which ends that of the table: give one without", column)
	}
	return table + "." + column, nil
}

func (s *sealed) setSIV(kr *keyring.Keyring, logical string, force bool) (err error) {
	if err := s.comparable(force); err != nil {
		return err
	}
	if s.siv, err = token.NewDeterministic(kr, logical, token.DeterministicConfig{Type: s.pg.Class}); err != nil {
		return err
	}
	s.crypto = sivCipher{s.siv}
	return nil
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
// in its order, each sealed one followed by those that belong to it, and at last
// those of Config.Compound. They are not quoted.
func (t *Table[T]) Columns() []string { return t.table.columns() }

func (t *table) columns() []string {
	var all []string
	for _, f := range t.fields {
		all = append(all, f.column)
		if f.sealed != nil {
			all = append(all, f.sealed.companions()...)
		}
	}
	for _, x := range t.compound() {
		all = append(all, x.tagColumns()...)
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
		all = append(all, x.tagColumns()...)
	}
	return all
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

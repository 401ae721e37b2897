package pgxmask

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// catalogue is what the database knows of the selected schemas.
type catalogue struct {
	database     string
	largeObjects bool
	schemas      []schema
	relations    []*relation // by name
	byOID        map[uint32]*relation
	types        map[uint32]*pgType
	foreignKeys  []*constraint
	texts        []schemaText // by table
	calls        []call
	mappings     []mapping
	policyRoles  []policyRole
	sizes        bool // read those of relations, which waits for who alters one
}

type schema struct {
	OID   uint32
	Name  string
	Usage bool
}

// relation is what has columns: a table, a view and the like.
type relation struct {
	OID            uint32
	Schema         string
	Name           string
	Kind           string // pg_class.relkind
	IsPartition    bool
	Select         bool // the right to read it
	Hidden         bool // row-level security is active for the reader
	Tuples         float64
	Pages          int32 // that Tuples is about
	Size           int64 // of the main fork, in bytes
	TotalSize      int64 // with TOAST
	Extension      string
	Parents        []uint32 // that it inherits from, or is a partition of
	Children       int64    // that inherit from it, or are its partitions, in any schema
	Bound          string   // of a partition
	Strategy       string   // pg_partitioned_table.partstrat, or empty
	HasDefault     bool     // there is a partition for all that belongs to no other
	PartitionKey   []int16  // 0 for an expression
	PartitionExprs []int16  // the columns of expressions

	children   []*relation
	columns    []*attribute
	checks     []*constraint
	exclusions []*constraint
	indexes    []*index
}

func (r *relation) title() string { return tableName(r.Schema, r.Name) }

// partitionColumns are those on which it depends where a row belongs.
func (r *relation) partitionColumns() []int16 {
	key := slices.DeleteFunc(slices.Clone(r.PartitionKey), func(n int16) bool { return n == 0 })
	return append(key, r.PartitionExprs...)
}

// complete reports whether the partitions take every row whatever its key: a default
// one, or hash partitions of which none is missing.
func (r *relation) complete() bool {
	if r.HasDefault {
		return true
	}
	share := 0.0
	for _, child := range r.children {
		var modulus, remainder int
		if _, err := fmt.Sscanf(child.Bound, "FOR VALUES WITH (modulus %d, remainder %d)", &modulus, &remainder); err == nil {
			share += 1 / float64(modulus)
		}
	}
	return math.Abs(share-1) < 1e-9
}

func (r *relation) column(number int16) *attribute {
	for _, a := range r.columns {
		if a.Number == number {
			return a
		}
	}
	return nil
}

// attribute returns the column of that name, which is there.
func (r *relation) attribute(name string) *attribute {
	i := slices.IndexFunc(r.columns, func(a *attribute) bool { return a.Name == name })
	return r.columns[i]
}

// attribute is a column.
type attribute struct {
	Relation      uint32
	Number        int16
	Name          string
	Type          uint32
	Modifier      int32
	TypeText      string // as format_type has it
	NotNull       bool
	Generated     string  // pg_attribute.attgenerated
	Identity      string  // pg_attribute.attidentity
	Deterministic bool    // values are equal only if their text is
	Uses          []int16 // the columns of its default or generation expression

	base     *pgType // under all domains
	modifier int32   // of base
	domains  []*pgType
}

func (a *attribute) neverNull() bool {
	return a.NotNull || slices.ContainsFunc(a.domains, func(t *pgType) bool { return t.NotNull })
}

type pgType struct {
	OID      uint32
	Schema   string
	Name     string
	Kind     string // pg_type.typtype
	Category string
	Base     uint32 // of a domain
	Modifier int32
	NotNull  bool
	Element  uint32

	checks []*constraint // of a domain
}

// constraint is a CHECK, a foreign key or an exclusion constraint, such as a key WITHOUT
// OVERLAPS is, too.
type constraint struct {
	OID           uint32
	Name          string
	Kind          string // pg_constraint.contype
	Relation      uint32
	Domain        uint32
	Target        uint32
	Columns       []int16
	TargetColumns []int16
	Match         string // pg_constraint.confmatchtype
	Validated     bool
	Inherited     bool // it is that of a parent
	Period        bool // the last columns are not equal, but within each other
	Operators     []string
	Definition    string
}

// index is one that is unique or of an exclusion constraint.
type index struct {
	OID              uint32
	Relation         uint32
	Name             string
	Primary          bool
	Unique           bool
	Exclusion        bool
	Valid            bool    // false for one of a partitioned table that a partition lacks
	Columns          []int16 // of its key, 0 for an expression
	ExprColumns      []int16
	PredicateColumns []int16
	Predicate        string
	Parts            []string // each column of the key, as SQL
	NullsNotDistinct bool
	Inherited        bool // it is that of the root
	Constraint       bool // it is that of a constraint
	Folds            bool // its collation makes equal what is written differently
	Foreign          bool // its operators are nobody knows whose
	Definition       string
}

func (x *index) title() string {
	switch {
	case x.Primary:
		return "primary key " + quotePart(x.Name)
	case x.Constraint:
		return "unique constraint " + quotePart(x.Name)
	}
	return "unique index " + quotePart(x.Name)
}

// call is a function that a constraint, or a generated column of a relation, calls.
type call struct {
	Constraint bool
	OID        uint32
	Function   string
	Owner      string
}

// policyRole is a role that a row-level policy names.
type policyRole struct{ Schema, Table, Policy, Role string }

// mapping is a user mapping whose options the role can see.
type mapping struct{ User, Server string }

// schemaText is a piece of the schema.
type schemaText struct {
	Kind   string
	Schema string
	Table  string // or empty
	Column string // or empty
	Object string // or empty
	Text   string
	Prose  bool // all of it may be values, and not only its literals
}

// title names it: "default public.t.c", "check public.t positive", "enum public.mood".
func (t schemaText) title() string {
	switch {
	case strings.HasPrefix(t.Object, t.Kind+" "): // it has its schema
		return t.Object
	case t.Table == "" && t.Object == "":
		return t.Kind + " " + quotePart(t.Schema)
	case t.Table == "":
		return t.Kind + " " + tableName(t.Schema, t.Object)
	}
	where := tableName(t.Schema, t.Table)
	if t.Column != "" {
		where += "." + quotePart(t.Column)
	}
	if t.Object != "" {
		where += " " + quotePart(t.Object)
	}
	return t.Kind + " " + where
}

// querier is the part of a transaction that reads the catalogue.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readCatalogue reads what there is in the named schemas, or in all.
func readCatalogue(ctx context.Context, tx querier, names []string) (*catalogue, error) {
	c, err := readRelations(ctx, tx, names, true)
	if err != nil {
		return nil, err
	}
	if c.calls, err = collect[call](ctx, tx, selectCalls); err != nil {
		return nil, err
	}
	if c.policyRoles, err = collect[policyRole](ctx, tx, selectPolicyRoles); err != nil {
		return nil, err
	}
	if c.mappings, err = collect[mapping](ctx, tx, selectMappings); err != nil {
		return nil, err
	}
	// A copy has the text of all schemas.
	all, err := collect[schema](ctx, tx, selectSchemas, nil)
	if err != nil {
		return nil, err
	}
	c.texts, err = collect[schemaText](ctx, tx, selectTexts, schemaNames(all))
	return c, err
}

// readRelations reads the relations of the named schemas, or of all, and what belongs
// to them, and whether there are large objects.
func readRelations(ctx context.Context, tx querier, names []string, sizes bool) (c *catalogue, err error) {
	c = &catalogue{byOID: map[uint32]*relation{}, types: map[uint32]*pgType{}, sizes: sizes}
	if err := tx.QueryRow(ctx, selectDatabase).Scan(&c.database, &c.largeObjects); err != nil {
		return nil, err
	}
	if c.schemas, err = collect[schema](ctx, tx, selectSchemas, names); err != nil {
		return nil, err
	}
	for _, read := range []func(context.Context, querier, []string) error{
		c.readTypes, c.readRelations, c.readAttributes, c.readConstraints, c.readIndexes,
	} {
		if err := read(ctx, tx, schemaNames(c.schemas)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func schemaNames(schemas []schema) []string {
	names := make([]string, len(schemas))
	for i := range schemas {
		names[i] = schemas[i].Name
	}
	return names
}

func (c *catalogue) readTypes(ctx context.Context, tx querier, _ []string) error {
	types, err := collect[pgType](ctx, tx, selectTypes)
	for i := range types {
		c.types[types[i].OID] = &types[i]
	}
	return err
}

func (c *catalogue) readRelations(ctx context.Context, tx querier, names []string) error {
	relations, err := collect[relation](ctx, tx, selectRelations, names, c.sizes)
	for i := range relations {
		r := &relations[i]
		c.relations = append(c.relations, r)
		c.byOID[r.OID] = r
	}
	for _, r := range c.relations {
		for _, parent := range r.Parents {
			if p := c.byOID[parent]; p != nil {
				p.children = append(p.children, r)
			}
		}
	}
	return err
}

func (c *catalogue) readAttributes(ctx context.Context, tx querier, names []string) error {
	attributes, err := collect[attribute](ctx, tx, selectAttributes, names)
	if err != nil {
		return err
	}
	for i := range attributes {
		a := &attributes[i]
		if err := c.resolve(a); err != nil {
			return err
		}
		r := c.byOID[a.Relation]
		r.columns = append(r.columns, a)
	}
	return nil
}

// resolve finds the type under the domains of a column.
func (c *catalogue) resolve(a *attribute) error {
	a.modifier = a.Modifier
	for oid := a.Type; ; {
		t := c.types[oid]
		switch {
		case t == nil:
			return fmt.Errorf("type %d is not in the catalogue", oid)
		case t.Kind != "d":
			a.base = t
			return nil
		}
		a.domains = append(a.domains, t)
		a.modifier, oid = t.Modifier, t.Base
	}
}

func (c *catalogue) readConstraints(ctx context.Context, tx querier, names []string) error {
	constraints, err := collect[constraint](ctx, tx, selectConstraints, names)
	for i := range constraints {
		k := &constraints[i]
		r := c.byOID[k.Relation]
		switch {
		case k.Domain != 0:
			t := c.types[k.Domain]
			t.checks = append(t.checks, k)
		case k.Inherited:
		case k.Kind == "f":
			c.foreignKeys = append(c.foreignKeys, k)
		case k.Kind == "c":
			r.checks = append(r.checks, k)
		default:
			r.exclusions = append(r.exclusions, k)
		}
	}
	return err
}

func (c *catalogue) readIndexes(ctx context.Context, tx querier, names []string) error {
	indexes, err := collect[index](ctx, tx, selectIndexes, names)
	for i := range indexes {
		if x := &indexes[i]; !x.Inherited {
			r := c.byOID[x.Relation]
			r.indexes = append(r.indexes, x)
		}
	}
	return err
}

// collect reads rows into structs, whose exported fields are the columns.
func collect[E any](ctx context.Context, tx querier, sql string, args ...any) ([]E, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[E])
}

// minTuple is the least size in bytes of a row in a page of a heap: its header, which
// is a multiple of 8 long, and the pointer to it.
const minTuple = 24 + 4

// pageSize is that of PostgreSQL, in bytes. Few builds have another one; for them
// the numbers of pages, which are estimates everywhere, are off by a factor.
const pageSize = 8192

// rows estimates as PostgreSQL's planner does: by the density at the last ANALYZE. If
// there was none it is the most that fits the pages.
func (r *relation) rows() float64 {
	pages := float64(r.pages())
	if r.Pages > 0 && r.Tuples >= 0 {
		return r.Tuples / float64(r.Pages) * pages
	}
	return pages * (pageSize / minTuple)
}

func (r *relation) pages() int64 { return r.Size / pageSize }

// leaves returns the tables that hold the rows: itself, or its partitions, and theirs.
func (r *relation) leaves() []*relation {
	if r.Kind != "p" {
		return []*relation{r}
	}
	var all []*relation
	for _, child := range r.children {
		all = append(all, child.leaves()...)
	}
	return all
}

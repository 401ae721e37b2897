package pgxmask

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// session makes the text of values and definitions the same whatever the settings of the
// role and database are, and lets nobody's schema come before pg_catalog.
const session = `set local search_path = pg_catalog, pg_temp;
set local row_security = on;
set local datestyle = 'ISO, MDY';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local bytea_output = 'hex';
set local extra_float_digits = 1;
set local xmlbinary = 'base64';
set local quote_all_identifiers = off;
set local lc_monetary = 'C'`

// catalogue is what the database knows of the selected schemas.
type catalogue struct {
	database  string
	schemas   []schema
	relations []*relation // by name
	byOID     map[uint32]*relation
	types     map[uint32]*pgType
}

type schema struct {
	Name  string
	Usage bool
}

// relation is what has columns: a table, a view and the like.
type relation struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        string // pg_class.relkind
	IsPartition bool
	Select      bool // the right to read it
	Hidden      bool // row-level security is active for the reader
	Tuples      float64
	Pages       int32 // that Tuples is about
	Bytes       int64 // of the main fork
	Extension   string
	Parents     []uint32 // that it inherits from, or is a partition of

	children []*relation
	columns  []*attribute
}

func (r *relation) title() string { return tableName(r.Schema, r.Name) }

// attribute is a column.
type attribute struct {
	Relation  uint32
	Number    int16
	Name      string
	Type      uint32
	Modifier  int32
	TypeText  string // as format_type has it
	NotNull   bool
	Generated string // pg_attribute.attgenerated
	Width     int32  // the average of values, or 0

	base        *pgType // under all domains
	modifier    int32   // of base
	domains     []*pgType
	domainNever bool // a domain of it is NOT NULL
}

func (a *attribute) neverNull() bool { return a.NotNull || a.domainNever }

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
}

const (
	selectSchemas = `select n.nspname::text, pg_catalog.has_schema_privilege(n.oid, 'usage')
		from pg_catalog.pg_namespace n
		where case when $1::text[] is null then n.nspname !~ '^pg_' and n.nspname <> 'information_schema' else n.nspname = any($1) end
		order by n.nspname collate "C"`
	selectRelations = `select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition,
		pg_catalog.has_table_privilege(c.oid, 'select'), pg_catalog.row_security_active(c.oid),
		c.reltuples::float8, c.relpages, case when c.relkind in ('r', 'm') then pg_catalog.pg_relation_size(c.oid) else 0 end,
		coalesce((select e.extname::text from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
			where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
			and d.refclassid = 'pg_catalog.pg_extension'::regclass limit 1), ''),
		array(select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = c.oid order by i.inhseqno)
		from pg_catalog.pg_class c
		join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = any($1) and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
		order by n.nspname collate "C", c.relname collate "C"`
	selectAttributes = `select a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod,
		pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text,
		0::int4
		from pg_catalog.pg_attribute a
		join pg_catalog.pg_class c on c.oid = a.attrelid
		join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = any($1) and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
		and a.attnum > 0 and not a.attisdropped
		order by a.attrelid, a.attnum`
	selectTypes = `select t.oid, n.nspname::text, t.typname::text, t.typtype::text, t.typcategory::text,
		t.typbasetype, t.typtypmod, t.typnotnull, t.typelem
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace`
)

// readCatalogue reads what there is in the named schemas, or in all.
func readCatalogue(ctx context.Context, tx pgx.Tx, schemas []string) (*catalogue, error) {
	c := &catalogue{byOID: map[uint32]*relation{}, types: map[uint32]*pgType{}}
	if err := tx.QueryRow(ctx, `select pg_catalog.current_database()::text`).Scan(&c.database); err != nil {
		return nil, err
	}
	var err error
	if c.schemas, err = collect(ctx, tx, selectSchemas, pgx.RowToStructByPos[schema], schemas); err != nil {
		return nil, err
	}
	names := make([]string, len(c.schemas))
	for i, s := range c.schemas {
		names[i] = s.Name
	}
	types, err := collect(ctx, tx, selectTypes, pgx.RowToAddrOfStructByPos[pgType])
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		c.types[t.OID] = t
	}
	if c.relations, err = collect(ctx, tx, selectRelations, pgx.RowToAddrOfStructByPos[relation], names); err != nil {
		return nil, err
	}
	for _, r := range c.relations {
		c.byOID[r.OID] = r
	}
	for _, r := range c.relations {
		for _, parent := range r.Parents {
			if p := c.byOID[parent]; p != nil {
				p.children = append(p.children, r)
			}
		}
	}
	attributes, err := collect(ctx, tx, selectAttributes, pgx.RowToAddrOfStructByPos[attribute], names)
	if err != nil {
		return nil, err
	}
	for _, a := range attributes {
		if err := c.resolve(a); err != nil {
			return nil, err
		}
		r := c.byOID[a.Relation]
		r.columns = append(r.columns, a)
	}
	return c, nil
}

// resolve finds the type under the domains of a column.
func (c *catalogue) resolve(a *attribute) error {
	a.modifier = a.Modifier
	oid := a.Type
	for {
		t := c.types[oid]
		switch {
		case t == nil:
			return fmt.Errorf("type %d is not in the catalogue", oid)
		case t.Kind != "d":
			a.base = t
			return nil
		}
		a.domains = append(a.domains, t)
		a.domainNever = a.domainNever || t.NotNull
		a.modifier, oid = t.Modifier, t.Base
	}
}

func collect[E any](ctx context.Context, tx pgx.Tx, sql string, f pgx.RowToFunc[E], args ...any) ([]E, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, f)
}

// minTuple is the least size in bytes of a row in a page of a heap: its header, which
// is a multiple of 8 long, and the pointer to it.
const minTuple = 24 + 4

const pageSize = 8192 // of all builds but rare ones; a chunk by ctid uses pages, not bytes

// rows estimates as PostgreSQL's planner does: by the density at the last ANALYZE. If
// there was none it is the most that fits the pages.
func (r *relation) rows() float64 {
	pages := float64(r.pages())
	if r.Pages > 0 && r.Tuples >= 0 {
		return r.Tuples / float64(r.Pages) * pages
	}
	return pages * (pageSize / minTuple)
}

func (r *relation) pages() int64 { return r.Bytes / pageSize }

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

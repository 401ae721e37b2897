package pgxmask

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrSchema says that the schema is no longer the one of the plan, or of the run that is
// resumed.
var ErrSchema = errors.New("the schema has changed")

// storage is what has the rows of a table: itself, or a leaf of its partitions.
type storage struct {
	Name     string `json:"name"` // quoted
	Filenode uint32 `json:"filenode,omitempty"`
	Pages    int64  `json:"pages,omitempty"` // 0: it has no ctid ranges, or one chunk is enough
	Step     int64  `json:"step,omitempty"`  // pages of a chunk
	// Columns are the numbers of the columns: one that was dropped and made again has
	// other values under the same name.
	Columns string `json:"columns,omitempty"`
}

// chunk is a part of a table that is copied as one. Its rows depend on the snapshot and
// the range only, so that it can be copied again with the same bytes.
type chunk struct {
	table    int // of Plan.tables
	n        int // counts the chunks of the table
	storage  *storage
	from, to int64 // pages; to is 0 for the end, however far that is by then
	weight   int64 // pages, for the progress
}

func (c *chunk) key() chunkKey { return chunkKey{c.table, c.n} }

// stepLimits are the least and most pages (of 8 KiB) of a chunk, 8 MiB and 256 MiB. In
// between it is the wantChunks-th part of the table. What is lost when a run is killed is at
// most that for every worker.
var stepLimits = [2]int64{1 << 10, 32 << 10}

const wantChunks = 256

// tidScan is the first server_version_num that finds a ctid range without reading the
// table up to there.
const tidScan = 140000

// locate finds the relations of a table, after their lock is taken: the chunks follow
// from them. One has no file number if that its rows are as they were does not show
// that their text is: the text of regclass and the like is a name of the catalogue.
func locate(ctx context.Context, conn *pgx.Conn, t *table) ([]storage, error) {
	const stored = " from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''"
	const heap = `
		select quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind = 'r' and a.amname = 'heap',
			coalesce(pg_relation_filenode(c.oid), 0), coalesce(pg_relation_size(c.oid) / current_setting('block_size')::bigint, 0),
			array_to_string(array(select a.attnum` + stored + ` order by 1), ' '),
			exists(select` + stored + ` and exists(select from pg_type t left join pg_type d on d.oid = t.typbasetype
				left join pg_type e on e.oid in (t.typelem, d.typelem)
				where t.oid = a.atttypid and array[t.typname, d.typname, e.typname] && '{regproc,regprocedure,regoper,regoperator,regclass,regtype,regrole,regnamespace,regconfig,regdictionary,regcollation,aclitem}'))
		from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_am a on a.oid = c.relam
		where c.oid in (%s) order by 1`
	one := "select $1::regclass::oid"
	if t.kind == 'p' {
		one = "select relid from pg_partition_tree($1::regclass) where isleaf and level > 0"
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(heap, one), t.ident())
	if err != nil {
		return nil, err
	}
	ranges := versionOf(conn) >= tidScan
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r storage, err error) {
		var heap, named bool
		if err = row.Scan(&r.Name, &heap, &r.Filenode, &r.Pages, &r.Columns, &named); err != nil {
			return r, err
		}
		if !heap || named {
			r.Filenode = 0
		}
		if !heap || !ranges {
			r.Pages = 0
		}
		r.Step = min(max(stepLimits[0], r.Pages/wantChunks), stepLimits[1])
		return r, nil
	})
}

// chunksOf divides the relations of a table.
func chunksOf(table int, parts []storage) (chunks []*chunk) {
	for i := range parts {
		r := &parts[i]
		for from := int64(0); from == 0 || from < r.Pages; from += r.Step {
			c := &chunk{table: table, n: len(chunks), storage: r, from: from, to: from + r.Step, weight: r.Step}
			if c.to >= r.Pages { // the last one takes what was added since, too
				c.to, c.weight = 0, max(1, r.Pages-from)
			}
			chunks = append(chunks, c)
		}
	}
	return chunks
}

// conditions are what the rows of the chunk fulfil. Of a restricted table these are
// the given ones, a literal.
func (c *chunk) conditions(rows string) (conditions []string) {
	if rows != "" {
		return []string{"ctid = any(" + rows + "::tid[])"}
	}
	if c.from > 0 {
		conditions = append(conditions, fmt.Sprintf("ctid >= '(%d,0)'::tid", c.from))
	}
	if c.to > 0 {
		conditions = append(conditions, fmt.Sprintf("ctid < '(%d,0)'::tid", c.to))
	}
	return conditions
}

func and(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " where " + strings.Join(conditions, " and ")
}

// sql is the COPY of the chunk. Its rows come in the order in which they are stored;
// the scan of a range has that anyway, and a list of rows may lead to another plan.
// Columns that are not wanted are NULL.
func (c *chunk) sql(t *table, rows string, wanted func(column int) bool) string {
	columns := make([]string, len(t.columns))
	for i := range t.columns {
		if columns[i] = "null"; wanted == nil || wanted(i) {
			columns[i] = ident(t.columns[i].name)
		}
	}
	order := ""
	if rows != "" {
		order = " order by ctid"
	}
	return "copy (select " + strings.Join(columns, ", ") + " from only " + c.storage.Name + and(c.conditions(rows)) + order + ") to stdout"
}

func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

func (t *table) ident() string { return ident(t.schema, t.name) }

// checkSchema compares what the plan's proofs are about, the tables' locks being held, with
// what there is now.
func (p *Plan) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	c, err := readRelations(ctx, conn, p.selected, false)
	if err != nil {
		return failed("read the catalogue", err)
	}
	now := c.structure(p.skipped)
	for _, name := range slices.Sorted(maps.Keys(merged(p.structure, now))) {
		before, was := p.structure[name]
		after, is := now[name]
		what := "is otherwise than in the plan"
		switch {
		case !was:
			what = "is not in the plan"
		case !is:
			what = "is in the plan, and gone"
		case before == after:
			continue
		}
		return fmt.Errorf("pgxmask: %s %s: %w", name, what, ErrSchema)
	}
	return nil
}

// structure returns definitions by name: of all relations but partitions, which come and go,
// and of the columns and constraints of those that are not left out. A large object is
// one thing more.
func (c *catalogue) structure(left []skipped) map[string]string {
	out := map[string]bool{}
	for _, s := range left {
		out[s.table] = true
	}
	all := map[string]string{}
	if c.largeObjects {
		all["a large object"] = ""
	}
	for _, r := range c.relations {
		switch name := r.title(); {
		case r.IsPartition:
		case out[name]:
			all[name] = r.Kind
		default:
			all[name] = fmt.Sprint(r.Kind, len(r.Parents), r.Kind == "r" && r.Children > 0)
			r.structure(func(object, definition string) { all[name+object] += definition + "\n" })
		}
	}
	for _, k := range c.foreignKeys {
		if r := c.byOID[k.Relation]; r != nil && !r.IsPartition && !out[r.title()] {
			all[r.title()+" ("+k.Name+")"] += k.Definition + "\n"
		}
	}
	return all
}

// structure calls add for the columns, unique indexes and constraints.
func (r *relation) structure(add func(object, definition string)) {
	for _, a := range r.columns {
		add("."+quotePart(a.Name), fmt.Sprintf("%s %t %s", a.TypeText, a.neverNull(), a.Generated))
		for _, d := range a.domains {
			for _, k := range d.checks {
				add("."+quotePart(a.Name), k.Definition)
			}
		}
	}
	for _, x := range r.indexes {
		add(" ("+x.Name+")", x.Definition)
	}
	for _, k := range slices.Concat(r.checks, r.exclusions) {
		add(" ("+k.Name+")", k.Definition)
	}
}

// fingerprint is the digest of all that decides what the output is, besides the rows: tables,
// columns, rules, and the check value of the keys.
func (p *Plan) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", p.check, p.digest)
	for _, t := range p.tables {
		fmt.Fprintf(h, "%q %q %q %q %t\n", t.schema, t.name, t.subject, t.where, t.restricted)
		for _, c := range t.columns {
			rule := c.sealed.typ + " "
			if c.rule != nil {
				rule += c.rule.String()
			}
			fmt.Fprintf(h, " %q %q %q\n", c.name, c.typ, rule)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

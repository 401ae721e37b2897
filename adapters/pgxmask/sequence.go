package pgxmask

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// sequence is one of the source.
type sequence struct {
	Name, Literal       string // quoted as a name, and that as a text
	Increment, Min, Max int64
	Columns             []string // schema, table and column, of each that it feeds

	last   int64
	called bool
}

const selectSequences = `
	select q.name, quote_literal(q.name), s.seqincrement, s.seqmin, s.seqmax,
		array(select unnest(array[tn.nspname, t.relname, a.attname]::text[])
			from pg_depend d left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
			join pg_attribute a on (a.attrelid, a.attnum) in ((d.refobjid, d.refobjsubid), (f.adrelid, f.adnum))
			join pg_class t on t.oid = a.attrelid join pg_namespace tn on tn.oid = t.relnamespace
			where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
			or d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
			order by a.attrelid, a.attnum)
	from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
	cross join lateral (select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name) q
	where n.nspname !~ '^pg_' and c.relpersistence <> 't' order by 1`

// sequences returns statements that set all sequences, once the rows are there: to where
// they are, or beyond the masked values of the columns that they feed, of which the next
// ones might be some.
func (j *job) sequences(ctx context.Context) ([]string, error) {
	rows, err := j.holder.Query(ctx, selectSequences)
	if err != nil {
		return nil, failed("read the sequences", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s sequence, err error) {
		return s, row.Scan(&s.Name, &s.Literal, &s.Increment, &s.Min, &s.Max, &s.Columns)
	})
	if err != nil {
		return nil, failed("read the sequences", err)
	}
	statements := make([]string, len(all))
	for i, s := range all {
		if err := j.holder.QueryRow(ctx, "select last_value, is_called from "+s.Name).Scan(&s.last, &s.called); err != nil {
			return nil, failed("read sequence "+s.Name, err)
		}
		statements[i] = s.statement(j.plan)
	}
	return statements, nil
}

func (s *sequence) statement(p *Plan) string {
	most, further, nearer, end := "max", "greatest", "least", s.Max
	if s.Increment < 0 {
		most, further, nearer, end = "min", "least", "greatest", s.Min
	}
	var keys []string
	for at := 0; at < len(s.Columns); at += 3 {
		if t, c := p.column(s.Columns[at : at+3]); c != nil && c.rule != nil && integerTypes[c.oid] {
			keys = append(keys, fmt.Sprintf("(select %s(%s) from %s)", most, ident(c.name), t.ident()))
		}
	}
	if keys == nil {
		return fmt.Sprintf("select pg_catalog.setval(%s, %d, %t);", s.Literal, s.last, s.called)
	}
	return fmt.Sprintf("select pg_catalog.setval(%s, %s(%s(%d, k), %d), k is not null or %t) from %[3]s(%[7]s) as k;",
		s.Literal, nearer, further, s.last, end, s.called, strings.Join(keys, ", "))
}

var integerTypes = set(pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID)

// column finds one by its schema, table and name.
func (p *Plan) column(name []string) (*table, *column) {
	if i := p.find(tableName(name[0], name[1])); i >= 0 {
		return p.tables[i], p.tables[i].column(name[2])
	}
	return nil, nil
}

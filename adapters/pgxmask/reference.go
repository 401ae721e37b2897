package pgxmask

import (
	"context"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// reference is a foreign key whose rows may have lost what they refer to: one with a
// masked column, or of a subset.
type reference struct {
	name          string
	child, parent *table
	childTable    int
	parentTable   int
	childColumns  []int
	parentColumns []int
	there         *filter
	missing       atomic.Int64
}

// references reads the foreign keys between tables of the plan.
func (j *job) references(ctx context.Context) ([]*reference, error) {
	if j.config.Target != nil && j.header.Made {
		return nil, nil // PostgreSQL has checked them
	}
	rows, err := j.holder.Query(ctx, `
		select c.conname, cn.nspname, cc.relname, pn.nspname, pc.relname,
			array(select a.attname::text from unnest(c.conkey) with ordinality k(n, i) join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by i),
			array(select a.attname::text from unnest(c.confkey) with ordinality k(n, i) join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by i)
		from pg_constraint c
		join pg_class cc on cc.oid = c.conrelid join pg_namespace cn on cn.oid = cc.relnamespace
		join pg_class pc on pc.oid = c.confrelid join pg_namespace pn on pn.oid = pc.relnamespace
		where c.contype = 'f' and c.convalidated and c.conparentid = 0 order by 1, 2, 3`)
	if err != nil {
		return nil, failed("read the foreign keys", err)
	}
	var keys []*reference
	var name, childSchema, child, parentSchema, parent string
	var childColumns, parentColumns []string
	_, err = pgx.ForEachRow(rows, []any{&name, &childSchema, &child, &parentSchema, &parent, &childColumns, &parentColumns}, func() error {
		k := &reference{name: name, childTable: j.plan.find(childSchema, child), parentTable: j.plan.find(parentSchema, parent)}
		if k.childTable < 0 || k.parentTable < 0 {
			return nil
		}
		k.child, k.parent = j.plan.tables[k.childTable], j.plan.tables[k.parentTable]
		var masked1, masked2, ok1, ok2 bool
		k.childColumns, masked1, ok1 = k.child.indexes(childColumns)
		k.parentColumns, masked2, ok2 = k.parent.indexes(parentColumns)
		if ok1 && ok2 && (masked1 || masked2 || k.child.where != "" || k.parent.where != "") {
			k.there = newFilter(max(k.parent.rows, 1000))
			keys = append(keys, k)
		}
		return nil
	})
	return keys, failed("read the foreign keys", err)
}

func (p *Plan) find(schema, name string) int {
	return slices.IndexFunc(p.tables, func(t *table) bool { return t.schema == schema && t.name == name })
}

// indexes returns where the columns are, and whether one is masked. A generated column is
// not there.
func (t *table) indexes(names []string) (at []int, masked, ok bool) {
	for _, name := range names {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			return nil, false, false
		}
		masked = masked || t.columns[i].rule != nil
		at = append(at, i)
	}
	return at, masked, true
}

// hash is that of the key's values in a row; it reports false if one is NULL, for then the
// row refers to nothing.
func (k *reference) hash(columns []int, values [][]byte) (uint64, bool) {
	var h maphash.Hash
	h.SetSeed(k.there.seed)
	for _, i := range columns {
		if values[i] == nil {
			return 0, false
		}
		writeValue(&h, values[i])
	}
	return h.Sum64(), true
}

// add notes a row that can be referred to.
func (k *reference) add(table int, values [][]byte) {
	if table != k.parentTable || values == nil {
		return
	}
	if h, ok := k.hash(k.parentColumns, values); ok {
		k.there.addHash(h)
	}
}

// check looks for what a row refers to. One in about 100,000 that are missing is not
// noticed.
func (k *reference) check(table int, values [][]byte) {
	if table != k.childTable || values == nil {
		return
	}
	if h, ok := k.hash(k.childColumns, values); ok {
		if found, chosen := k.there.hasHash(h); chosen && !found {
			k.missing.Add(1)
		}
	}
}

package pgxmask

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// referenceCheck looks whether rows have lost what they refer to.
type referenceCheck struct {
	*reference
	child, parent               int // of Plan.tables
	childColumns, parentColumns []int
	there                       *filter
	missing                     atomic.Int64
}

// references returns the references between tables of the plan that may have been
// broken: those with a masked column, and those of a subset. What PostgreSQL has checked
// itself is not among them.
func (j *job) references() (checks []*referenceCheck) {
	for i := range j.plan.references {
		r := &j.plan.references[i]
		k := &referenceCheck{reference: r, child: j.plan.find(r.table), parent: j.plan.find(r.to)}
		if k.child < 0 || k.parent < 0 || r.accepted != "" || j.header.Made && r.name != "" {
			continue
		}
		child, parent := j.plan.tables[k.child], j.plan.tables[k.parent]
		var masked1, masked2, ok1, ok2 bool
		k.childColumns, masked1, ok1 = child.indexes(r.columns)
		k.parentColumns, masked2, ok2 = parent.indexes(r.targetColumns)
		if ok1 && ok2 && (masked1 || masked2 || child.restricted || parent.restricted) {
			if n := len(r.columns) - 1; r.period { // which a row of the target need not have
				k.childColumns, k.parentColumns = k.childColumns[:n], k.parentColumns[:n]
			}
			k.there = newFilter(max(parent.rows, 1000))
			checks = append(checks, k)
		}
	}
	return checks
}

func (p *Plan) find(title string) int {
	return slices.IndexFunc(p.tables, func(t *table) bool { return t.title() == title })
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
func (k *referenceCheck) hash(columns []int, values [][]byte) (uint64, bool) {
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
func (k *referenceCheck) add(table int, values [][]byte) {
	if table != k.parent {
		return
	}
	if h, ok := k.hash(k.parentColumns, values); ok {
		k.there.addHash(h)
	}
}

// check looks for what a row refers to. One in some 100,000 that are missing is not
// noticed.
func (k *referenceCheck) check(table int, values [][]byte) {
	if table != k.child {
		return
	}
	if h, ok := k.hash(k.childColumns, values); ok {
		if found, chosen := k.there.hasHash(h); chosen && !found {
			k.missing.Add(1)
		}
	}
}

package pgxmask

import (
	"slices"
	"strings"
)

// order sorts the tables so that each comes after those that it refers to, and else by
// name. Tables that refer to each other in a circle are cycles, and stand together.
func (p *planner) order() {
	o := &orderer{targets: map[*table][]*table{}, seen: map[*table]int{}, low: map[*table]int{}}
	byName := map[string]*table{}
	for _, t := range p.plan.tables {
		byName[t.title()] = t
	}
	for _, r := range p.plan.references {
		from, to := byName[r.table], byName[r.to]
		if from != nil && to != nil && from != to {
			o.targets[from] = append(o.targets[from], to)
		}
	}
	slices.SortFunc(p.plan.tables, func(a, b *table) int { return strings.Compare(a.title(), b.title()) })
	for _, t := range p.plan.tables {
		if o.seen[t] == 0 {
			o.visit(t)
		}
	}
	p.plan.tables, p.plan.cycles = o.sorted, o.cycles
}

// orderer is Tarjan's algorithm for strongly connected components, which come out in
// the order that is wanted.
type orderer struct {
	targets   map[*table][]*table
	seen, low map[*table]int
	stack     []*table
	sorted    []*table
	cycles    [][]string
}

func (o *orderer) visit(t *table) {
	o.seen[t] = len(o.seen) + 1
	o.low[t] = o.seen[t]
	o.stack = append(o.stack, t)
	for _, target := range o.targets[t] {
		if o.seen[target] == 0 {
			o.visit(target)
			o.low[t] = min(o.low[t], o.low[target])
		} else if slices.Contains(o.stack, target) {
			o.low[t] = min(o.low[t], o.seen[target])
		}
	}
	if o.low[t] < o.seen[t] {
		return
	}
	at := slices.Index(o.stack, t)
	group := o.stack[at:]
	o.stack = o.stack[:at:at]
	slices.SortFunc(group, func(a, b *table) int { return strings.Compare(a.title(), b.title()) })
	o.sorted = append(o.sorted, group...)
	if len(group) > 1 {
		var names []string
		for _, t := range group {
			names = append(names, t.title())
		}
		o.cycles = append(o.cycles, names)
	}
}

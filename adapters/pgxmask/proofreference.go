package pgxmask

import (
	"fmt"
	"slices"
	"strings"
)

// proveReferences shows that what refers to each other still does.
func (p *planner) proveReferences() {
	byRelation := map[*relation]*table{}
	for _, t := range p.plan.tables {
		byRelation[t.relation] = t
		for _, l := range t.relation.leaves() {
			byRelation[l] = t
		}
	}
	for _, k := range p.foreignKeys {
		from := byRelation[p.byOID[k.Relation]]
		if from == nil {
			continue // it is left out
		}
		p.proveForeignKey(k, from, byRelation[p.byOID[k.Target]])
	}
	for _, v := range p.cfg.References {
		p.proveVirtual(v)
	}
}

func (p *planner) proveForeignKey(k *constraint, from, to *table) {
	r := reference{name: k.Name, table: from.title(), columns: columnNames(p.byOID[k.Relation], k.Columns), period: k.Period}
	target := p.byOID[k.Target]
	f := from.finding(ForeignKey, "", k.Name, "", "")
	if len(r.columns) == 1 {
		f.Column, f.Line = r.columns[0], from.masks.Line(r.columns[0])
	}
	if target != nil {
		r.target, r.targetColumns = target.title(), columnNames(target, k.TargetColumns)
	}
	if to != nil {
		r.to = to.title()
	}
	var how string
	switch {
	case nulled(from, r.columns, k.Match == "f"):
		how = "it refers to nothing: NULL everywhere"
	case p.byOID[k.Relation] != from.relation && p.moves(from):
		f.Reason = "it is of a partition alone, and rows may come to it from others: the partition key is masked"
	case to == nil:
		f.Reason, f.Suggestion = "it refers to a table that is left out", "copy that one, too, or mask the column by null"
	case target != to.relation:
		f.Reason = "it refers to a partition alone"
	default:
		how, f.Reason, f.Suggestion = p.joins(from, to, r.columns, r.targetColumns, k.Match == "f")
	}
	if f.Reason != "" {
		r.accepted = p.report(f)
	} else {
		p.proven(from, "foreign key "+quotePart(k.Name), how)
	}
	if !k.Validated && r.accepted == "" {
		r.accepted = "it is NOT VALID, and nothing is known of the rows that are there"
	}
	p.plan.references = append(p.plan.references, r)
}

func columnNames(r *relation, numbers []int16) (all []string) {
	for _, n := range numbers {
		if a := r.column(n); a != nil {
			all = append(all, a.Name)
		}
	}
	return all
}

// nulled reports whether columns are NULL everywhere: one of them, or all.
func nulled(t *table, columns []string, all bool) bool {
	isNull := func(name string) bool {
		c := t.column(name)
		return c != nil && c.rule != nil && ruleName(c.rule) == "null"
	}
	if all {
		return !slices.ContainsFunc(columns, func(n string) bool { return !isNull(n) })
	}
	return slices.ContainsFunc(columns, isNull)
}

// proveVirtual is for Config.References.
func (p *planner) proveVirtual(v Reference) {
	title := fmt.Sprintf("%s (%s) to %s (%s)", v.Table, strings.Join(v.Columns, ", "), v.Target, strings.Join(v.TargetColumns, ", "))
	f := &Finding{Kind: Unused, Table: v.Table, Reason: "Config.References: "}
	from, to := p.planned(v.Table), p.planned(v.Target)
	switch {
	case from == nil:
		f.Reason += v.Table + " is not copied"
	case to == nil:
		f.Reason += v.Target + " is not copied"
	case len(v.Columns) == 0 || len(v.Columns) != len(v.TargetColumns):
		f.Reason += "there have to be as many columns as target columns, and at least one"
	default:
		for _, side := range []struct {
			t       *table
			columns []string
		}{{from, v.Columns}, {to, v.TargetColumns}} {
			for _, name := range side.columns {
				if side.t.column(name) == nil {
					f.Table, f.Column = side.t.title(), name
					f.Reason += "there is no such column"
					p.add(f)
					return
				}
			}
		}
		r := reference{table: from.title(), target: to.title(), to: to.title(), columns: v.Columns, targetColumns: v.TargetColumns}
		how, reason, suggestion := p.joins(from, to, v.Columns, v.TargetColumns, false)
		switch {
		case nulled(from, v.Columns, false):
			how, reason = "it refers to nothing: NULL everywhere", ""
			fallthrough
		case reason == "":
			p.proven(from, "reference "+title, how)
		default:
			r.accepted = p.report(from.finding(ForeignKey, v.Columns[0], title, reason, suggestion))
		}
		p.plan.references = append(p.plan.references, r)
		return
	}
	p.add(f)
}

// planned returns the table of that name of the policy, or nil.
func (p *planner) planned(name string) *table {
	name, _ = canonicalName(name)
	for _, t := range p.plan.tables {
		if t.title() == name {
			return t
		}
	}
	return nil
}

// joins says why equal keys on the two sides stay equal, or the reason why they may not.
func (p *planner) joins(from, to *table, columns, targets []string, full bool) (how, reason, suggestion string) {
	var hows []string
	for i := range columns {
		a, b := from.relation.attribute(columns[i]), to.relation.attribute(targets[i])
		x, y := p.part(from, from.relation, a.Number), p.part(to, to.relation, b.Number)
		pair := quotePart(a.Name) + " and " + to.title() + "." + quotePart(b.Name)
		switch {
		case x.unknown != "":
			return "", x.unknown, ""
		case y.unknown != "":
			return "", y.unknown, ""
		case x.rule == nil && y.rule == nil:
			continue
		case x.rule == nil:
			return "", fmt.Sprintf("it is kept, and %s.%s is masked by %s", to.title(), quotePart(b.Name), y.rule), "give both the same rule"
		case y.rule == nil:
			return "", fmt.Sprintf("%s is masked by %s, and %s.%s is kept", quotePart(a.Name), x.rule, to.title(), quotePart(b.Name)), "give both the same rule"
		case x.rule.String() != y.rule.String():
			return "", fmt.Sprintf("%s is masked by %s, and %s.%s by %s", quotePart(a.Name), x.rule, to.title(), quotePart(b.Name), y.rule), "give both the same rule, in the same words"
		case !x.rule.Properties().Deterministic:
			return "", fmt.Sprintf("rule %s makes different results of equal values in other rows", x.rule), "take one that depends on the value alone"
		case full && len(columns) > 1 && x.rule.Properties().Nullable:
			return "", fmt.Sprintf("rule %s can make NULL, and MATCH FULL takes no key of which a part is NULL", x.rule), "say fallback=error"
		case !a.Deterministic || !b.Deterministic:
			return "", "in the collation of " + pair + " equal values may be written differently", ""
		case (x.fold || y.fold) && !x.rule.Properties().Fold:
			return "", "case does not count between " + pair + ", and does in rule " + x.rule.String(), "take case=fold, if the rule has it"
		case !sameText(a, b):
			return "", fmt.Sprintf("%s are %s and %s, in which equal values may be written differently", pair, a.TypeText, b.TypeText), "give both the same type"
		}
		hows = append(hows, pair+" have the same rule "+x.rule.String())
	}
	if len(hows) == 0 {
		return "neither end is masked", "", ""
	}
	return strings.Join(hows, "; "), "", ""
}

// sameText reports whether equal values of the two columns are written alike.
func sameText(a, b *attribute) bool {
	x, y := strings.TrimPrefix(a.base.Name, "_"), strings.TrimPrefix(b.base.Name, "_") // arrays are as their elements
	switch {
	case x == "numeric" || y == "numeric": // 1.0 and 1.00
		return x == y && a.modifier == b.modifier && a.modifier >= 0
	case x == "bpchar" || y == "bpchar": // padded with spaces
		return x == y && a.modifier == b.modifier
	case x == y:
		return x != "float4" && x != "float8" // 0 and -0
	}
	for _, family := range [][]string{{"int2", "int4", "int8"}, {"text", "varchar"}} {
		if slices.Contains(family, x) && slices.Contains(family, y) {
			return true
		}
	}
	return false
}

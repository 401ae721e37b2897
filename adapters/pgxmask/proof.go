package pgxmask

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/mask"
)

// maxCollision is the probability of two equal results up to which a rule that is not
// bijective may stand on a unique column.
const maxCollision = 1e-9

// minRows is how many rows a table is taken to have at least: it may grow until the run.
const minRows = 1000

// prove shows from the rules' properties that what the database demands of a table
// holds in its copy. CHECKs are left for the trial.
func (p *planner) prove(t *table) {
	for i := range t.columns {
		if c := &t.columns[i]; c.rule != nil {
			p.proveColumn(t, c)
		}
	}
	p.proveSubject(t)
	p.proveCalls(t)
	p.provePartitions(t, t.relation)
	p.proveIndexes(t, t.relation)
	for _, l := range t.relation.leaves() {
		if l != t.relation {
			p.proveIndexes(t, l)
		}
	}
}

// finding is one about a column with a rule.
func (t *table) finding(kind Kind, column, object, reason, suggestion string) *Finding {
	return &Finding{Kind: kind, Table: t.title(), Column: column, Object: object, Line: t.masks.Line(column), Reason: reason, Suggestion: suggestion}
}

func (p *planner) proveColumn(t *table, c *column) {
	a := t.relation.attribute(c.name)
	props := c.rule.Properties()
	typeName, what := p.typeName(a), "the column is "+c.typ
	if c.sealed.typ != "" {
		typeName, what = c.sealed.typ, "what is sealed is "+c.sealed.typ
	}
	if !holds(props.Types, typeName) {
		p.add(t.finding(Type, c.name, "", fmt.Sprintf("rule %s makes %s, and %s", c.rule, strings.Join(props.Types, ", "), what), rulesFor(a, typeName)))
		return
	}
	_, limited := lengthLimit(a)
	if reason := tooLong(c.rule, a); reason != "" {
		p.report(t.finding(Length, c.name, "", reason, "take a shorter rule, or one that keeps the length"))
	} else if slices.Contains(unboundedRules, ruleName(c.rule)) {
		p.warn(t, c.name, fmt.Sprintf("rule %s may lead beyond the ends of %s for values that are near them", c.rule, c.typ))
	} else if limited {
		p.proven(t, quotePart(c.name)+" "+c.typ, "no result is longer")
	}
	switch {
	case !c.notNull:
	case props.Nullable:
		p.report(t.finding(NotNull, c.name, "", fmt.Sprintf("rule %s can make NULL, and the column is NOT NULL", c.rule), "say fallback=error, if the rule has a fallback"))
	default:
		p.proven(t, quotePart(c.name)+" not null", "the rule makes no NULL")
	}
}

// rulesFor suggests rules for a type.
func rulesFor(a *attribute, typeName string) string {
	rules := map[string]string{"S": "email, name, shape or token", "N": "int, noise, round or bucket", "D": "date or date-round", "I": "ip", "A": "array"}[a.base.Category]
	switch {
	case typeName == anotherType || typeName == "oid":
		rules = ""
	case strings.HasPrefix(typeName, "json"):
		rules = "json"
	case strings.HasPrefix(typeName, "macaddr"):
		rules = "mac"
	case typeName == "uuid" || typeName == "hstore":
		rules = typeName
	}
	if rules == "" {
		return "take null, keep it with a reason, or leave the table out"
	}
	return "take " + rules
}

const anotherType = "another" // which no rule names

// typeName returns the name of a column's type as rules have it, or what no rule has.
func (p *planner) typeName(a *attribute) string {
	t, array := a.base, ""
	if t.Category == "A" && t.Element != 0 {
		t, array = p.types[t.Element], "[]"
	}
	// Anybody can name a type text.
	extension := t.Kind == "b" && (t.Name == "citext" || t.Name == "hstore")
	if t.Schema != "pg_catalog" && !extension {
		return anotherType
	}
	return t.Name + array
}

func holds(types []string, name string) bool {
	return slices.Contains(types, name) || slices.Contains(types, "any")
}

func ruleName(r *mask.Rule) string {
	name, _, _ := strings.Cut(r.String(), ",")
	return name
}

// unboundedRules are the rules whose results may be beyond the ends of a numeric type.
var unboundedRules = []string{"noise", "bucket", "round"}

// lengthLimit returns the most characters of a value, or digits before the point.
func lengthLimit(a *attribute) (n int, ok bool) {
	const header = 4 // of a type modifier
	if a.modifier < header {
		return 0, false
	}
	switch a.base.Name {
	case "varchar", "bpchar", "_varchar", "_bpchar":
		return int(a.modifier - header), true
	case "numeric", "_numeric":
		precision, scale := int(a.modifier-header)>>16&0xffff, int(a.modifier-header)&0x7ff
		if scale >= 1<<10 {
			scale -= 1 << 11
		}
		return max(0, precision-scale), true
	}
	return 0, false
}

// tooLong says why results may not fit the column.
func tooLong(rule *mask.Rule, a *attribute) string {
	n, ok := lengthLimit(a)
	p := rule.Properties()
	numeric := strings.HasSuffix(a.base.Name, "numeric")
	switch {
	case !ok, ruleName(rule) == "null", numeric && slices.Contains(unboundedRules, ruleName(rule)):
		return ""
	case a.base.Category == "A":
		return fmt.Sprintf("there is no bound for the length of elements, and %s takes %d", a.TypeText, n)
	case p.MaxLen > n:
		return fmt.Sprintf("results have up to %d characters, and %s takes %d", p.MaxLen, a.TypeText, n)
	case p.MaxLen == 0 && !p.SameLength:
		return fmt.Sprintf("there is no bound for the length of results, and %s takes %d", a.TypeText, n)
	case p.Fallback == "redact" && n < len("***"):
		return fmt.Sprintf("*** is longer than %s takes", a.TypeText)
	}
	return ""
}

// proveSubject looks at rows whose subject is nobody.
func (p *planner) proveSubject(t *table) {
	subject := t.column(t.subject)
	if subject == nil || subject.notNull {
		return
	}
	for _, c := range t.columns {
		if c.rule != nil && c.rule.Properties().Subject && ruleName(c.rule) != "null" {
			p.report(t.finding(NotNull, t.subject, "", "it is the subject and can be NULL, and rule "+c.rule.String()+" of "+quotePart(c.name)+" refuses such rows", "take a subject that is NOT NULL"))
			return
		}
	}
}

// part is a column of a key.
type part struct {
	name    string
	rule    *mask.Rule // nil if it is kept
	fold    bool       // compared without regard to case
	null    bool       // can be NULL
	unknown string     // why nothing is known of it, or empty
}

// part says what becomes of a column of the table or of a partition of it.
func (p *planner) part(t *table, r *relation, number int16) part {
	a := r.column(number)
	if a == nil {
		return part{unknown: "it uses whole rows or system columns"}
	}
	x := part{name: a.Name, fold: strings.TrimPrefix(a.base.Name, "_") == "citext" || !a.Deterministic, null: !a.neverNull()}
	if a.Generated != "" {
		if !p.allKept(t, r, a.Uses) {
			x.unknown = quotePart(a.Name) + " is generated from masked columns"
		}
		return x
	}
	c := t.column(a.Name)
	switch {
	case c == nil:
	case len(c.sealed.of) == 1: // tags are equal where values are, which may be but for case
		x.rule, x.fold = t.column(c.sealed.of[0]).rule, true
	case len(c.sealed.of) > 1:
		if slices.ContainsFunc(c.sealed.of, func(name string) bool { return t.column(name).rule != nil }) {
			x.unknown = quotePart(a.Name) + " has tags of several columns"
		}
	default:
		x.rule = c.rule
	}
	return x
}

func (p *planner) allKept(t *table, r *relation, numbers []int16) bool {
	return !slices.ContainsFunc(numbers, func(n int16) bool {
		x := p.part(t, r, n)
		return x.rule != nil || x.unknown != ""
	})
}

// proveIndexes is about the unique and exclusion constraints of a table or a partition.
func (p *planner) proveIndexes(t *table, r *relation) {
	moves := r != t.relation && p.moves(t)
	var good, bad []*index
	reasons := map[*index]*Finding{}
	for _, x := range r.indexes {
		f, how := p.uniqueness(t, r, x)
		if x.Exclusion {
			f, how = p.exclusion(t, r, x)
		}
		switch {
		case moves && how != "":
			f = t.finding(x.kind(), "", x.Name, "it is of a partition alone, and rows may come to it from others: the partition key is masked", "")
			fallthrough
		case f != nil:
			f.Object = x.Name
			reasons[x] = f
			bad = append(bad, x)
		default:
			p.proven(t, x.title(), how)
			good = append(good, x)
		}
	}
	for _, x := range bad {
		if i := slices.IndexFunc(good, func(y *index) bool { return !moves && y.implies(x, r) }); i >= 0 {
			p.proven(t, x.title(), "it has all columns of "+good[i].title())
			continue
		}
		p.report(reasons[x])
	}
}

func (x *index) kind() Kind {
	if x.Exclusion {
		return Exclusion
	}
	return Unique
}

// implies reports whether x holds where y does: y is unique by some of x's columns.
func (y *index) implies(x *index, r *relation) bool {
	if !y.Valid || !y.Unique || !x.Unique || len(y.PredicateColumns) > 0 || y.Predicate != "" || len(y.ExprColumns) > 0 {
		return false
	}
	for _, n := range y.Columns {
		a := r.column(n)
		if n == 0 || !slices.Contains(x.Columns, n) || x.NullsNotDistinct && (a == nil || !a.neverNull()) {
			return false
		}
	}
	return true
}

// uniqueness says why a unique index holds in the copy, or what is wrong.
func (p *planner) uniqueness(t *table, r *relation, x *index) (f *Finding, how string) {
	fail := func(column, reason, suggestion string) (*Finding, string) {
		return t.finding(Unique, column, x.Name, reason, suggestion), ""
	}
	if reason := p.otherRows(t, r, x); reason != "" {
		return fail("", reason, "")
	}
	var hows []string
	for i, number := range x.Columns {
		k := p.keyPart(t, r, x, i, number)
		switch {
		case k.unknown != "":
			return fail("", k.unknown, "")
		case k.rule == nil:
			continue
		case ruleName(k.rule) == "null" && !x.NullsNotDistinct:
			return nil, quotePart(k.name) + " is NULL everywhere, which no UNIQUE compares"
		}
		reason, suggestion, how := injective(k, x, max(t.rows, minRows))
		if reason != "" {
			return fail(k.name, reason, suggestion)
		}
		if k.rule.Properties().Fallback == "shape" {
			p.warn(t, k.name, fmt.Sprintf("values that rule %s can not parse become others of their shape, of which two may be equal: with fallback=error, or null, %s is sure", k.rule, x.title()))
		}
		hows = append(hows, quotePart(k.name)+": "+how)
	}
	if len(hows) == 0 {
		return nil, "no column of it is masked"
	}
	return nil, strings.Join(hows, "; ")
}

// otherRows says why an index may be about other rows in the copy.
func (p *planner) otherRows(t *table, r *relation, x *index) string {
	if x.Predicate == "" || p.allKept(t, r, x.PredicateColumns) {
		return ""
	}
	if len(x.PredicateColumns) == 1 {
		k := p.part(t, r, x.PredicateColumns[0])
		if k.unknown == "" && !k.rule.Properties().Nullable && isIdentifier(strings.TrimSuffix(strings.TrimPrefix(x.Predicate, "("), " IS NOT NULL)"), k.name) {
			return ""
		}
	}
	return "its predicate uses masked columns, and so may choose other rows"
}

var caseFunction = regexp.MustCompile(`^(lower|upper)\((.+?)(::text)?\)$`)

// keyPart is a column of an index, or the one whose lower or upper case is indexed.
func (p *planner) keyPart(t *table, r *relation, x *index, i int, number int16) part {
	if number != 0 {
		k := p.part(t, r, number)
		k.fold = k.fold || x.Folds
		if k.rule != nil && x.Foreign {
			k.unknown = "it is by operators of its own"
		}
		return k
	}
	if p.allKept(t, r, x.ExprColumns) {
		return part{}
	}
	if m := caseFunction.FindStringSubmatch(x.Parts[i]); m != nil {
		for _, n := range x.ExprColumns {
			if k := p.part(t, r, n); k.unknown == "" && !x.Foreign && isIdentifier(m[2], k.name) {
				k.fold = true
				return k
			}
		}
	}
	return part{unknown: "it is by an expression of masked columns"}
}

// injective says why different values of a column of a key stay different among so
// many rows, or the reason why they may not.
func injective(k part, x *index, rows float64) (reason, suggestion, how string) {
	p := k.rule.Properties()
	bound := p.Collisions(rows)
	switch {
	case p.Fallback == "redact":
		return fmt.Sprintf("all values that rule %s can not parse become ***", k.rule), "say fallback=error or fallback=null", ""
	case p.Nullable && x.NullsNotDistinct:
		return fmt.Sprintf("rule %s can make NULL of several, which are not distinct here", k.rule), "say fallback=error", ""
	case p.Fold && !k.fold:
		return fmt.Sprintf("rule %s makes values equal that differ in case", k.rule), "say case=exact", ""
	case k.fold && !oneCase(p.Alphabet):
		return fmt.Sprintf("case does not count here, and results of rule %s may differ in nothing else", k.rule), "take a rule with results in small letters, such as email or token", ""
	case p.Bijective:
		return "", "", "different " + p.Domain + " stay different (" + k.rule.String() + " is bijective)"
	case bound >= maxCollision:
		return fmt.Sprintf("rule %s may make two of about %.0f values equal, with a probability of up to %.2g; the limit is %.0e", k.rule, rows, bound, maxCollision), "take a bijective or a longer rule", ""
	}
	return "", "", fmt.Sprintf("two of about %.0f different values become equal with a probability of at most %.2g (%s, of %s)", rows, bound, k.rule, p.Domain)
}

// oneCase reports whether no letter of the alphabet is there in both cases.
func oneCase(alphabet string) bool {
	re, err := regexp.Compile("^" + alphabet + "$")
	if err != nil || alphabet == "" {
		return false
	}
	for c := 'a'; c <= 'z'; c++ {
		if re.MatchString(string(c)) && re.MatchString(strings.ToUpper(string(c))) {
			return false
		}
	}
	return true
}

// exclusion says why an exclusion constraint holds: no two rows get nearer to each other.
func (p *planner) exclusion(t *table, r *relation, x *index) (f *Finding, how string) {
	f = t.finding(Exclusion, "", x.Name, "", "")
	if f.Reason = p.otherRows(t, r, x); f.Reason != "" {
		return f, ""
	}
	var operators []string
	for _, k := range r.exclusions {
		if k.Name == x.Name {
			operators = k.Operators
		}
	}
	var hows []string
	for i, number := range x.Columns {
		k := p.keyPart(t, r, x, i, number)
		switch {
		case k.unknown != "":
			f.Reason = k.unknown
			return f, ""
		case k.rule == nil:
			continue
		case i >= len(operators) || operators[i] != "=":
			f.Column, f.Reason = k.name, "it is masked, and compared by more than ="
			return f, ""
		}
		reason, suggestion, how := injective(k, x, max(t.rows, minRows))
		if reason != "" {
			f.Column, f.Reason, f.Suggestion = k.name, reason, suggestion
			return f, ""
		}
		hows = append(hows, quotePart(k.name)+": "+how)
	}
	if len(hows) == 0 {
		return nil, "no column of it is masked"
	}
	return nil, strings.Join(hows, "; ")
}

// moves reports whether rows may belong to other partitions than before.
func (p *planner) moves(t *table) bool {
	var any func(r *relation) bool
	any = func(r *relation) bool {
		return r.Kind == "p" && (!p.allKept(t, r, r.partitionColumns()) || slices.ContainsFunc(r.children, any))
	}
	return any(t.relation)
}

// provePartitions shows that each row has a partition.
func (p *planner) provePartitions(t *table, r *relation) {
	if r.Kind != "p" {
		return
	}
	switch {
	case p.allKept(t, r, r.partitionColumns()):
		p.proven(t, "partitions of "+r.title(), "the partition key is not masked")
	case r.complete():
		p.proven(t, "partitions of "+r.title(), "they take every row, whatever its key becomes")
	default:
		p.report(&Finding{Kind: Partition, Table: t.title(), Object: r.title(), Line: t.masks.Line(""), Reason: "the partition key is masked, and there may be no partition for a row", Suggestion: "keep the key, or add a default partition"})
	}
	for _, child := range r.children {
		p.provePartitions(t, child)
	}
}

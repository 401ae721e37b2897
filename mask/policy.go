package mask

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/secret"
	"github.com/sealfield/sealfield/internal/tree"
	"github.com/sealfield/sealfield/keyring"
)

// Policy says for every column of some tables what becomes of it:
//
//	{
//	  "version": 1,
//	  "epoch": "2026-q4",
//	  "check": "60a2d4ef61d3c8be",
//	  "tables": {
//	    "public.customers": {
//	      "subject": "id",
//	      "columns": {
//	        "id":    {"keep": "a number without meaning"},
//	        "email": "email,domain=customer.email",
//	        "card":  {"rule": "pan", "domain": "card", "keep": "last4"},
//	        "born":  "date"
//	      }
//	    },
//	    "public.audit": {"skip": "of no use in tests"}
//	  }
//	}
//
// The epoch is that of Config; check, if it is there, has to be the Check of the
// keys. subject names the column whose value is the Row's Subject. Every column has a
// rule, or a reason to be kept. What is unknown, missing or there twice is an error.
type Policy struct {
	Epoch, Check string

	tables map[string]*tableSpec
}

type tableSpec struct {
	line    int
	skip    string
	subject string
	columns map[string]columnSpec
}

type columnSpec struct {
	line int
	keep string
	rule *spec
}

// policyVersion is that of the form of a policy.
const policyVersion = "1"

// ParsePolicy reads a policy in JSON. All mistakes are found, also those in rules; the
// error joins one *SpecError for each. Package maskyaml reads the same in YAML.
func ParsePolicy(data []byte) (*Policy, error) {
	n, err := tree.ParseJSON(data)
	if err != nil {
		return nil, treeError(err)
	}
	return PolicyOf(n)
}

// PolicyOf reads a policy that was parsed already. It is for package maskyaml: other
// modules can not make a node.
func PolicyOf(n *tree.Node) (*Policy, error) {
	if n == nil {
		return nil, &SpecError{Reason: "there is no policy"}
	}
	r := &policyReader{policy: &Policy{tables: map[string]*tableSpec{}}}
	r.read(n)
	if len(r.errs) == 0 {
		// The rules are compiled here to find mistakes, without keys yet.
		dry := &Masker{keys: &epochKeys{secret.New(make([]byte, 32)), func(int64) bool { return false }}}
		_, errs := r.policy.compile(dry)
		r.errs = errs
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.policy, nil
}

// policyReader collects mistakes.
type policyReader struct {
	policy *Policy
	errs   []error
}

func (r *policyReader) fail(line int, field, reason, suggestion string) {
	r.errs = append(r.errs, &SpecError{line, field, reason, suggestion})
}

// object checks that n is an object with no fields but those.
func (r *policyReader) object(n *tree.Node, field string, allowed ...string) bool {
	if n.Kind != tree.Object {
		r.fail(n.Line, field, "is "+n.Kind.String()+", not an object", "")
		return false
	}
	for _, f := range n.Fields {
		if !slices.Contains(allowed, f.Name) {
			r.fail(f.Line, join(field, f.Name), "unknown field", suggest(f.Name, allowed))
		}
	}
	return true
}

// text returns a field that is a string, if it is there.
func (r *policyReader) text(n *tree.Node, field, name string) string {
	v := n.Get(name)
	switch {
	case v == nil:
		return ""
	case v.Kind != tree.String || v.Text == "":
		r.fail(v.Line, join(field, name), "has to be a string that is not empty", "")
	}
	return v.Text
}

func (r *policyReader) read(n *tree.Node) {
	if !r.object(n, "", "version", "epoch", "check", "tables") {
		return
	}
	switch v := n.Get("version"); {
	case v == nil:
		r.fail(n.Line, "version", "is missing", "write 1")
	case v.Text != policyVersion:
		r.fail(v.Line, "version", "is not known here", "write 1")
	}
	r.policy.Epoch, r.policy.Check = r.text(n, "", "epoch"), r.text(n, "", "check")
	tables := n.Get("tables")
	if tables == nil || tables.Kind != tree.Object || len(tables.Fields) == 0 {
		r.fail(n.Line, "tables", "has to be an object with one or more tables", "")
		return
	}
	for _, f := range tables.Fields {
		r.policy.tables[f.Name] = r.table(f.Value, join("tables", f.Name))
	}
}

func (r *policyReader) table(n *tree.Node, field string) *tableSpec {
	t := &tableSpec{line: n.Line, columns: map[string]columnSpec{}}
	if !r.object(n, field, "skip", "subject", "columns") {
		return t
	}
	t.skip, t.subject = r.text(n, field, "skip"), r.text(n, field, "subject")
	columns := n.Get("columns")
	switch {
	case t.skip != "" && len(n.Fields) > 1:
		r.fail(n.Line, field, "is skipped and has other fields", "")
	case t.skip != "":
	case columns == nil || columns.Kind != tree.Object || len(columns.Fields) == 0:
		r.fail(n.Line, join(field, "columns"), "has to be an object with every column", `or say why the table is left out: {"skip": "..."}`)
	default:
		for _, f := range columns.Fields {
			t.columns[f.Name] = r.column(f.Value, join(field, "columns."+f.Name))
		}
		if _, ok := t.columns[t.subject]; t.subject != "" && !ok {
			r.fail(n.Get("subject").Line, join(field, "subject"), fmt.Sprintf("there is no column %q", t.subject), suggest(t.subject, slices.Sorted(maps.Keys(t.columns))))
		}
	}
	return t
}

func (r *policyReader) column(n *tree.Node, field string) columnSpec {
	c := columnSpec{line: n.Line}
	if n.Kind == tree.String && (n.Text == "keep" || strings.HasPrefix(n.Text, "keep,")) {
		r.fail(n.Line, field, "keep needs a reason", `write {"keep": "why"}`)
		return c
	}
	// A rule has a parameter keep, too.
	if n.Kind == tree.Object && n.Get("rule") == nil && n.Get("keep") != nil {
		r.object(n, field, "keep")
		c.keep = r.text(n, field, "keep")
		return c
	}
	var err *SpecError
	if c.rule, err = specOf(n, field); err != nil {
		r.errs = append(r.errs, err)
	}
	return c
}

// Table is a compiled table of a policy. It is safe for concurrent use.
type Table struct {
	name    string
	spec    *tableSpec
	rules   map[string]*Rule // nil for a column that is kept
	columns []string
}

// Compile returns the tables of the policy by name, with the keys of a keyring; scope
// is empty unless the keyring is scoped. If the policy has a check value that is not
// that of the keys, it fails with ErrCheck.
func (p *Policy) Compile(ctx context.Context, kr *keyring.Keyring, scope string) (map[string]*Table, error) {
	m, err := New(ctx, kr, Config{Scope: scope, Epoch: p.Epoch, Check: p.Check})
	if err != nil {
		return nil, err
	}
	tables, errs := p.compile(m)
	return tables, errors.Join(errs...)
}

func (p *Policy) compile(m *Masker) (tables map[string]*Table, errs []error) {
	tables = map[string]*Table{}
	for _, name := range slices.Sorted(maps.Keys(p.tables)) {
		spec := p.tables[name]
		t := &Table{name: name, spec: spec, rules: map[string]*Rule{}, columns: slices.Sorted(maps.Keys(spec.columns))}
		for _, column := range t.columns {
			c := spec.columns[column]
			t.rules[column] = nil
			if c.rule == nil {
				continue
			}
			r, err := m.compile(c.rule, new(atomic.Uint64))
			switch {
			case err != nil:
				errs = append(errs, err)
			case r.props.Subject && spec.subject == "":
				errs = append(errs, c.rule.fail("", "rule "+c.rule.name+" needs the table's subject", `write "subject": the column that names whom a row is about`))
			}
			t.rules[column] = r
		}
		tables[name] = t
	}
	return tables, errs
}

// Name returns the name of the table.
func (t *Table) Name() string { return t.name }

// Skip returns why the table is left out, or "" if it is not.
func (t *Table) Skip() string { return t.spec.skip }

// Subject returns the column that is the subject, or "".
func (t *Table) Subject() string { return t.spec.subject }

// Line returns the line of the policy on which the column stands, or the table itself
// if the policy does not name such a column.
func (t *Table) Line(column string) int {
	if c, ok := t.spec.columns[column]; ok {
		return c.line
	}
	return t.spec.line
}

// Columns returns the names of the columns in alphabetical order. The slice must not be
// changed.
func (t *Table) Columns() []string { return t.columns }

// Rule returns the rule of a column. It is nil if the column is kept, and keep is why.
// It reports false if the policy does not name the column: then it must not be copied.
func (t *Table) Rule(column string) (rule *Rule, keep string, ok bool) {
	rule, ok = t.rules[column]
	return rule, t.spec.columns[column].keep, ok
}

// Check returns an error if the policy does not name one of these columns, or names one
// that is not among them. It joins one *SpecError for each.
func (t *Table) Check(columns []string) error {
	var errs []error
	for _, c := range columns {
		if _, ok := t.rules[c]; !ok {
			errs = append(errs, &SpecError{t.spec.line, "tables." + t.name + ".columns." + c, "the policy does not name this column", `give it a rule, or {"keep": "why"}`})
		}
	}
	for _, c := range t.columns {
		if !slices.Contains(columns, c) {
			errs = append(errs, &SpecError{t.spec.columns[c].line, "tables." + t.name + ".columns." + c, "there is no such column", suggest(c, columns)})
		}
	}
	return errors.Join(errs...)
}

// Rows masks rows of a table. It is of one goroutine.
type Rows struct{ get func() *rows } // behind a func, where no printer finds the values

type rows struct {
	rules   []*Rule
	subject int // or -1
	late    []int
	row     Row
	own     bool
	out     [][]byte
	room    [][]byte

	// of MaskAll
	batch      *batch
	rows       [batchSize]Row
	all, rooms [][][]byte
}

// Rows returns what masks rows of these columns, in this order. It fails where Check
// does, and for a table that is skipped.
func (t *Table) Rows(columns []string) (*Rows, error) {
	if t.spec.skip != "" {
		return nil, fmt.Errorf("mask: table %s is skipped", t.name)
	}
	if err := t.Check(columns); err != nil {
		return nil, err
	}
	r := &rows{subject: slices.Index(columns, t.spec.subject), out: make([][]byte, len(columns)), room: make([][]byte, len(columns))}
	for i, c := range columns {
		rule := t.rules[c]
		r.rules = append(r.rules, rule)
		if rule != nil && rule.readsOwn {
			r.late = append(r.late, i)
			r.own = true
		}
	}
	return &Rows{func() *rows { return r }}, nil
}

// Mask returns the masked row, in a slice that is good until the next call. A nil value
// is NULL. The values of columns that are kept are those of the row itself.
func (r *Rows) Mask(row [][]byte) ([][]byte, error) { return r.get().mask(row) }

func (r *rows) mask(row [][]byte) ([][]byte, error) {
	if len(row) != len(r.rules) {
		return nil, fmt.Errorf("mask: the row has %d values, not %d", len(row), len(r.rules))
	}
	r.row.Reset()
	if r.subject >= 0 {
		r.row.Subject = row[r.subject]
	}
	for i, rule := range r.rules {
		if rule == nil {
			r.out[i] = row[i]
		} else if !rule.readsOwn {
			if err := r.value(i, row[i]); err != nil {
				return nil, err
			}
			if r.own {
				r.row.Own(row[i], r.out[i])
			}
		}
	}
	for _, i := range r.late {
		if err := r.value(i, row[i]); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

func (r *rows) value(i int, value []byte) error {
	out, err := r.rules[i].Append(r.room[i][:0], value, &r.row)
	if err != nil {
		return err
	}
	if out != nil {
		r.room[i] = out
	}
	r.out[i] = out
	return nil
}

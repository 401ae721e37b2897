package pgxmask

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/mask"
)

// DB is the part of *pgx.Conn and *pgxpool.Pool that NewPlan needs.
type DB interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Config says what is exported and under which keys.
type Config struct {
	// Policy names the tables and says what becomes of each of their columns.
	// Tables are named schema.table, without folding of case; a name with a
	// dot or a double quote is in double quotes as in SQL: public."a.b".
	// Required.
	Policy *mask.Policy

	// Keyring has the Masking keys. Required.
	Keyring *keyring.Keyring

	// Scope is the tenant whose Masking keys are used, for a keyring with Scoped
	// set; else it is empty.
	Scope string

	// Schemas are those whose tables the policy has to name, all of them. If
	// it is empty they are all of the database but PostgreSQL's own.
	Schemas []string
}

// Plan is what NewPlan has proven can be copied: run it, or read its report. It does
// not change and is safe for concurrent use.
type Plan struct {
	database string
	policy   *mask.Policy
	check    string   // mask.Masker.Check of the keys
	tables   []*table // an order in which they can be loaded: references go to earlier ones where there is no cycle
	skipped  []skip   // by name
}

// skip is a relation that is left out.
type skip struct{ table, kind, reason string }

// table is a table of the copy. Those that are skipped are not among them.
type table struct {
	schema, name string
	kind         byte     // pg_class.relkind: r, or p of which the leaves are copied
	columns      []column // by attnum; generated columns are not copied and not here
	leaves       []leaf   // of kind p, by name: the tables that hold its rows, which are read one by one
	rows         float64  // an estimate, at least 0
	pages        int64    // of the file, for chunks by ctid; of kind p the sum of its leaves
	bytes        int64    // an estimate of its size in text
	subject      string   // the column of mask.Row.Subject, or empty
	where        string   // a condition in SQL that rows of a subset fulfil, or empty
	masks        *mask.Table
}

// leaf is a partition that has no partitions itself. Its columns have the names of the
// root's, but may be in another order.
type leaf struct {
	schema, name string
	pages        int64
}

// column is a column of a table that is copied.
type column struct {
	name    string
	typ     string     // as format_type has it
	oid     uint32     // of the type; of its base type for a domain
	notNull bool       // of the column or its domain
	rule    *mask.Rule // nil if the column is kept
	keep    string     // why it is kept
}

// NewPlan compares the policy with the catalogue of a database. If every column of every
// table of the schemas is masked, kept with a reason, or its table skipped, and nothing
// that the database holds of them can break, it returns the plan. Otherwise the
// error joins one *Finding for each thing that is wrong, all at once. None holds a value.
func NewPlan(ctx context.Context, db DB, cfg Config) (*Plan, error) {
	switch {
	case cfg.Policy == nil:
		return nil, errors.New("pgxmask: a plan needs a policy")
	case cfg.Keyring == nil:
		return nil, errors.New("pgxmask: a plan needs a keyring")
	}
	masker, err := mask.New(ctx, cfg.Keyring, mask.Config{Scope: cfg.Scope, Epoch: cfg.Policy.Epoch, Check: cfg.Policy.Check})
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	masks, err := cfg.Policy.Compile(ctx, cfg.Keyring, cfg.Scope)
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("pgxmask: plan: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(ctx, session); err != nil {
		return nil, fmt.Errorf("pgxmask: plan: %w", err)
	}
	c, err := readCatalogue(ctx, tx, cfg.Schemas)
	if err != nil {
		return nil, fmt.Errorf("pgxmask: plan: %w", err)
	}
	p := &planner{cfg: cfg, catalogue: c, plan: &Plan{database: c.database, policy: cfg.Policy, check: masker.Check()}}
	p.schemas()
	p.match(masks)
	if err := p.findings.err(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// planner makes a plan.
type planner struct {
	cfg Config
	*catalogue
	plan *Plan
	findings
}

// schemas looks for those that are named, and may not be read.
func (p *planner) schemas() {
	for _, name := range p.cfg.Schemas {
		if !slices.ContainsFunc(p.catalogue.schemas, func(s schema) bool { return s.Name == name }) {
			p.add(&Finding{Kind: Unknown, Object: name, Reason: "there is no schema " + quotePart(name)})
		}
	}
	for _, s := range p.catalogue.schemas {
		if !s.Usage {
			p.add(&Finding{Kind: Rights, Object: s.Name, Reason: "no right to use schema " + quotePart(s.Name), Suggestion: "grant usage on it, or leave it out of Config.Schemas"})
		}
	}
}

// match gives every relation its table of the policy.
func (p *planner) match(masks map[string]*mask.Table) {
	byName := map[string]*mask.Table{}
	for _, text := range slices.Sorted(maps.Keys(masks)) {
		name, ok := canonicalName(text)
		switch {
		case !ok:
			p.add(&Finding{Kind: Unknown, Table: text, Reason: "is no name of a schema and a table", Suggestion: "write public.customers"})
		case byName[name] != nil:
			p.add(&Finding{Kind: Unknown, Table: text, Reason: "the policy names it twice"})
		default:
			byName[name] = masks[text]
		}
	}
	for _, r := range p.relations {
		m := byName[r.title()]
		delete(byName, r.title())
		p.relation(r, m)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p.add(&Finding{Kind: Unknown, Table: name, Reason: "the policy names it, and there is no such table"})
	}
}

func (p *planner) relation(r *relation, m *mask.Table) {
	switch {
	case m == nil && r.IsPartition:
		return // its root is named
	case m == nil:
		p.add(&Finding{Kind: Unknown, Table: r.title(), Reason: "the policy does not name this table"})
	case m.Skip() != "":
		p.plan.skipped = append(p.plan.skipped, skip{r.title(), r.Kind, m.Skip()})
	case r.Kind != "r" && r.Kind != "p":
		p.add(&Finding{Kind: Unsupported, Table: r.title(), Reason: "is no table", Suggestion: `leave it out: {"skip": "why"}`})
	default:
		p.table(r, m)
	}
}

func (p *planner) table(r *relation, m *mask.Table) {
	t := &table{schema: r.Schema, name: r.Name, kind: r.Kind[0], subject: m.Subject(), masks: m}
	var names []string
	for _, a := range r.columns {
		if a.Generated != "" {
			continue
		}
		names = append(names, a.Name)
		rule, keep, _ := m.Rule(a.Name)
		t.columns = append(t.columns, column{a.Name, a.TypeText, a.base.OID, a.neverNull(), rule, keep})
	}
	if err := m.Check(names); err != nil {
		p.columns(r, err)
	}
	for _, l := range r.leaves() {
		t.rows += l.rows()
		t.pages += l.pages()
		t.bytes += l.TotalSize
		if r.Kind == "p" {
			t.leaves = append(t.leaves, leaf{l.Schema, l.Name, l.pages()})
		}
	}
	p.plan.tables = append(p.plan.tables, t)
}

// columns makes findings of what mask.Table.Check says.
func (p *planner) columns(r *relation, err error) {
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		s, _ := errors.AsType[*mask.SpecError](e)
		p.add(&Finding{Kind: Unknown, Table: r.title(), Line: s.Line, Reason: s.Reason, Suggestion: s.Suggestion})
	}
}

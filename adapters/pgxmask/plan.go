package pgxmask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	// it is empty they are all of the database but PostgreSQL's own. Of the others
	// no row is copied; but Format SQL and a Target have what pg_dump writes of them.
	Schemas []string

	// References are foreign keys that hold, but are not in the catalogue: their
	// two ends have to be masked alike, too.
	References []Reference

	// Subset names tables, as in a policy, and for each the condition in SQL of the
	// rows that the copy begins with, over the table's columns and such tables and
	// functions as are named with their schemas. All that refers to these rows comes
	// along, and what refers to that; and all that rows need to refer to, but not what
	// refers to that in turn. Tables that refer only to such as are needed have
	// the rows whose targets are there. A table that no reference leads to from
	// those named is copied whole; name it with "false" to have none of its rows.
	//
	// The condition is part of a statement: never put input into it. The role needs
	// TEMPORARY on the database.
	Subset map[string]string

	// Sealed are the tables of which pgxfield seals columns, named as in a policy.
	// In the policy the rule of a sealed column is for the values that it holds. They
	// are opened under the keys of the source, masked, or kept, and sealed under those
	// of the copy, in one go; index tags and key ids are made anew and not in the
	// policy. Nothing that the source's keys are needed for is in the copy. Sealing is
	// random: the bytes of sealed columns differ from run to run.
	Sealed map[string]Sealed

	// Accept has the findings that are known and do no harm.
	Accept []Accepted
}

// Reference says that the columns of a table refer to those of another one, or of the
// same, in this order. Tables are named as in a policy.
type Reference struct {
	Table         string
	Columns       []string
	Target        string
	TargetColumns []string
}

// Accepted says why a finding does no harm. It is for findings of the kinds NotNull,
// Length, Unique, Exclusion, Check, ForeignKey, Partition, LargeObjects and SchemaText
// only. One that nothing was found for is a finding itself.
type Accepted struct {
	Kind   Kind
	Table  string // as in the finding
	Object string // the finding's Object, or its Column if it has none
	Reason string // required
}

// Plan is what NewPlan has proven can be copied: run it, or read its report. It does
// not change and is safe for concurrent use.
type Plan struct {
	database   string
	otherKeys  []map[string]*mask.Table // the rules under keys of which nothing is masked, for Verify
	check      string                   // mask.Masker.Check of the keys
	digest     string                   // of the policy, in hex
	selected   []string                 // Config.Schemas
	schemas    []string                 // by name
	structure  map[string]string        // of the catalogue
	tables     []*table                 // an order in which they can be loaded: references go to earlier ones where there is no cycle
	references []reference
	cycles     [][]string // tables that refer to each other
	skipped    []skipped  // by name
	proofs     []proof    // by table
	accepted   []accepted
	texts      []schemaText
	warnings   []Warning
}

// table is a table of the copy. Those that are skipped are not among them.
type table struct {
	schema, name string
	kind         byte     // pg_class.relkind: r, or p of which the leaves are copied
	columns      []column // by attnum; generated columns are not copied and not here
	generated    []column // these are computed again by the target
	leaves       []leaf   // of kind p, by name: the tables that hold its rows, which are read one by one
	rows         float64  // an estimate, at least 0
	pages        int64    // of the file, for chunks by ctid; of kind p the sum of its leaves
	bytes        int64    // an estimate of its size in text
	subject      string   // the column of mask.Row.Subject, or empty
	where        string   // Config.Subset's condition, or empty
	restricted   bool     // only some of its rows are copied
	masks        *mask.Table
	sealed       *Sealed // nil for most

	sampled  int // rows that were read for the trial of CHECKs
	relation *relation
}

func (t *table) title() string { return tableName(t.schema, t.name) }

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
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
	sealed  sealed
}

// reference is a foreign key, or one of Config.References.
type reference struct {
	name                   string // of the constraint, or empty
	table, target          string
	to                     string // the table of the plan that has the target's rows, of which that may be a partition
	columns, targetColumns []string
	period                 bool   // what the last columns have in common is not a value
	accepted               string // why it need not hold, or empty if it does
}

// skipped is a relation that is left out.
type skipped struct{ table, kind, reason string }

// proof says why something of a table still holds in the copy.
type proof struct{ table, object, how string }

type accepted struct {
	finding *Finding
	reason  string
}

// NewPlan compares the policy with the catalogue of a database. If every column of every
// table of the schemas is masked, kept with a reason, or its table skipped, and nothing
// that the database demands of them can break, it returns the plan. Otherwise the
// error joins one *Finding for each thing that is wrong. None holds a value.
//
// No row is read until the catalogue and the policy fit: first all findings are of
// these alone. Then at most 1,000 rows of each table are read and masked, to have
// PostgreSQL try CHECKs on them in a temporary table, to look for their values in the
// text of the schema, and for kept columns with what looks like personal data. Nothing
// is written but the temporary table, in a transaction that is rolled back.
//
// The role needs USAGE on the schemas, SELECT on the tables, and TEMPORARY on the database
// if there are CHECKs to try.
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
	// What the sample does to rules, which count, is no part of the run.
	trial, err := cfg.Policy.Compile(ctx, cfg.Keyring, cfg.Scope)
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	p := &planner{cfg: cfg, plan: &Plan{check: masker.Check(), digest: policyDigest(cfg.Policy, masks)}}
	if p.plan.otherKeys, err = otherKeys(ctx, cfg, masks); err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	if err := p.run(ctx, db, masks, trial); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// manyKeys is under how many other keys a text has to be there to be a leak. Where a document
// has one of 100 values of a domain, it is under one by chance one time in 100.
const manyKeys = 3

// otherKeys returns the rules under other keys, if there is one that keeps a part of a value.
func otherKeys(ctx context.Context, cfg Config, masks map[string]*mask.Table) (all []map[string]*mask.Table, err error) {
	if !slices.ContainsFunc(slices.Collect(maps.Values(masks)), func(m *mask.Table) bool {
		return slices.ContainsFunc(m.Columns(), func(c string) bool {
			rule, _, _ := m.Rule(c)
			return rule != nil && composed(rule)
		})
	}) {
		return nil, nil
	}
	other := *cfg.Policy
	other.Check = ""
	for n := range manyKeys {
		other.Epoch = fmt.Sprintf("%s, but not used: %d", cfg.Policy.Epoch, n)
		tables, err := other.Compile(ctx, cfg.Keyring, cfg.Scope)
		if err != nil {
			return nil, err
		}
		all = append(all, tables)
	}
	return all, nil
}

// planner makes a plan.
type planner struct {
	cfg Config
	*catalogue
	plan     *Plan
	findings findings
	used     []bool // of cfg.Accept
	noTrial  string // why CHECKs can not be tried, or empty
}

func (p *planner) run(ctx context.Context, db DB, masks, trial map[string]*mask.Table) error {
	tx, err := p.begin(ctx, db)
	if err != nil {
		return fmt.Errorf("pgxmask: plan: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if p.catalogue, err = readCatalogue(ctx, tx, p.cfg.Schemas); err != nil {
		return fmt.Errorf("pgxmask: plan: read the catalogue: %w", err)
	}
	p.plan.database, p.plan.texts = p.catalogue.database, p.catalogue.texts
	p.used = make([]bool, len(p.cfg.Accept))
	p.checkSchemas()
	p.match(masks)
	p.plan.selected, p.plan.structure = slices.Clone(p.cfg.Schemas), p.catalogue.structure(p.plan.skipped)
	for _, t := range p.plan.tables {
		p.prove(t)
	}
	p.proveReferences()
	p.checkLargeObjects()
	p.checkMappings()
	p.checkPolicyRoles()
	p.checkSealed()
	p.order()
	if err := p.checkSubset(ctx, tx); err != nil {
		return err
	}
	if len(p.findings) > 0 {
		return p.findings.err()
	}
	if err := p.trySamples(ctx, tx, trial); err != nil {
		return fmt.Errorf("pgxmask: plan: %w", err)
	}
	p.checkAccepted()
	slices.SortStableFunc(p.plan.warnings, func(a, b Warning) int {
		return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Column, b.Column))
	})
	return p.findings.err()
}

// begin starts the transaction, and finds out whether it may have a temporary table.
func (p *planner) begin(ctx context.Context, db DB) (pgx.Tx, error) {
	for _, mode := range []pgx.TxAccessMode{"", pgx.ReadWrite} {
		tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: mode})
		if err != nil {
			return nil, err
		}
		var standby, readOnly, temporary bool
		if _, err = tx.Exec(ctx, session); err == nil {
			err = tx.QueryRow(ctx, selectTransaction).Scan(&standby, &readOnly, &temporary)
		}
		switch {
		case err != nil:
			tx.Rollback(context.WithoutCancel(ctx))
			return nil, err
		case standby:
			p.noTrial = "the database is a standby, which takes no temporary table"
		case readOnly:
			tx.Rollback(context.WithoutCancel(ctx)) // that is only the role's default
			continue
		case !temporary:
			p.noTrial = "there is no right to create temporary tables"
		}
		return tx, nil
	}
	return nil, errors.New("transactions are read-only")
}

// add reports what can not be accepted.
func (p *planner) add(f *Finding) { p.findings = append(p.findings, f) }

// acceptable are the kinds of which somebody may know better.
var acceptable = []Kind{NotNull, Length, Unique, Exclusion, Check, ForeignKey, Partition, LargeObjects, SchemaText}

// report adds a finding unless it is accepted, and then returns why.
func (p *planner) report(f *Finding) (reason string) {
	for i, a := range p.cfg.Accept {
		table, ok := canonicalName(a.Table)
		if !ok {
			table = a.Table
		}
		if a.Kind == f.Kind && table == f.Table && a.Object == cmp.Or(f.Object, f.Column) && a.Reason != "" {
			p.used[i] = true
			p.plan.accepted = append(p.plan.accepted, accepted{f, a.Reason})
			return a.Reason
		}
	}
	p.add(f)
	return ""
}

func (p *planner) proven(t *table, object, how string) {
	p.plan.proofs = append(p.plan.proofs, proof{t.title(), object, how})
}

func (p *planner) warn(t *table, column, reason string) {
	p.plan.warnings = append(p.plan.warnings, Warning{t.title(), column, reason})
}

// checkAccepted reports what was accepted in vain.
func (p *planner) checkAccepted() {
	for i, a := range p.cfg.Accept {
		f := &Finding{Kind: Unused, Table: a.Table, Object: a.Object}
		switch {
		case !slices.Contains(acceptable, a.Kind):
			f.Reason = fmt.Sprintf("a finding of kind %q can not be accepted", a.Kind)
		case a.Reason == "":
			f.Reason = "it is accepted without a reason"
		case !p.used[i]:
			f.Reason, f.Suggestion = fmt.Sprintf("Config.Accept has a finding of kind %q that there is none of", a.Kind), "leave it out"
		default:
			continue
		}
		p.add(f)
	}
}

// checkSchemas looks for those that are named, and may not be read.
func (p *planner) checkSchemas() {
	for _, name := range p.cfg.Schemas {
		if !slices.ContainsFunc(p.catalogue.schemas, func(s schema) bool { return s.Name == name }) {
			p.add(&Finding{Kind: Unknown, Object: name, Reason: "there is no schema " + quotePart(name)})
		}
	}
	for _, s := range p.catalogue.schemas {
		p.plan.schemas = append(p.plan.schemas, s.Name)
		if !s.Usage {
			p.add(&Finding{Kind: Rights, Object: s.Name, Reason: "there is no right to use schema " + quotePart(s.Name), Suggestion: "grant usage on it, or leave it out by Config.Schemas"})
		}
	}
}

// match gives every relation its table of the policy.
func (p *planner) match(masks map[string]*mask.Table) {
	byName := map[string]*mask.Table{}
	for _, text := range slices.Sorted(maps.Keys(masks)) {
		m := masks[text]
		name, ok := canonicalName(text)
		switch {
		case !ok:
			p.add(&Finding{Kind: Unknown, Table: text, Line: m.Line(""), Reason: "it is no name of a schema and a table", Suggestion: "write public.customers"})
		case byName[name] != nil:
			p.add(&Finding{Kind: Unknown, Table: name, Line: m.Line(""), Reason: "the policy names it twice"})
		default:
			byName[name] = m
		}
	}
	for _, r := range p.relations {
		p.matchRelation(r, byName[r.title()])
		delete(byName, r.title())
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p.add(&Finding{Kind: Unknown, Table: name, Line: byName[name].Line(""), Reason: "the policy names it, and there is no such table in the selected schemas"})
	}
}

var relationKinds = map[string]string{"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}

func (p *planner) matchRelation(r *relation, m *mask.Table) {
	f := &Finding{Kind: Unsupported, Table: r.title()}
	if m != nil {
		f.Line = m.Line("")
	}
	switch {
	case r.IsPartition:
		root := p.root(r)
		switch {
		case root == nil:
			f.Reason, f.Suggestion = "it is a partition of a table in a schema that is not selected", "add the schema to Config.Schemas"
		case m != nil:
			f.Kind, f.Reason, f.Suggestion = Unknown, "it is a partition", "name "+root.title()+" alone: what is said of it is for all its partitions"
		default:
			return
		}
	case m == nil:
		f.Kind, f.Reason, f.Suggestion = Unknown, "the policy does not name this "+relationKinds[r.Kind], `give it columns, or leave it out: {"skip": "why"}`
		if r.Kind != "r" && r.Kind != "p" {
			f.Suggestion = `leave it out: {"skip": "why"}`
		}
		if r.Extension != "" {
			f.Reason += ", which is of extension " + quotePart(r.Extension)
		}
	case m.Skip() != "":
		p.plan.skipped = append(p.plan.skipped, skipped{r.title(), relationKinds[r.Kind], m.Skip()})
		for _, x := range r.indexes {
			if r.Kind == "m" && x.Unique {
				p.plan.warnings = append(p.plan.warnings, Warning{r.title(), "", fmt.Sprintf("it is a materialized view, which a copy fills from masked rows, and of these nothing is known for its unique index %s", quotePart(x.Name))})
			}
		}
		return
	case r.Kind != "r" && r.Kind != "p":
		f.Reason, f.Suggestion = "it is a "+relationKinds[r.Kind]+", of which no rows are copied", `leave it out: {"skip": "why"}`
	case r.Kind == "r" && (len(r.Parents) > 0 || r.Children > 0):
		f.Reason, f.Suggestion = "it inherits columns and rows, or others inherit its", `leave it out: {"skip": "why"}`
	default:
		p.addTable(r, m)
		return
	}
	p.add(f)
}

// root returns the table of which r is a partition in the end, or nil if it is not known.
func (p *planner) root(r *relation) *relation {
	for r != nil && r.IsPartition {
		if len(r.Parents) == 0 {
			return nil
		}
		r = p.byOID[r.Parents[0]]
	}
	return r
}

func (p *planner) addTable(r *relation, m *mask.Table) {
	t := &table{schema: r.Schema, name: r.Name, kind: r.Kind[0], subject: m.Subject(), masks: m, relation: r}
	var names []string
	sealing := p.sealing(r, m)
	if sealing != nil {
		s, _ := p.sealedOf(r.title())
		t.sealed = &s
	}
	for _, a := range r.columns {
		if a.Generated != "" {
			t.generated = append(t.generated, column{name: a.Name, typ: a.TypeText, oid: a.base.OID, notNull: a.neverNull()})
			if _, _, ok := m.Rule(a.Name); ok {
				p.add(&Finding{Kind: Unknown, Table: r.title(), Column: a.Name, Line: m.Line(a.Name), Reason: "it is a generated column, which the copy computes again", Suggestion: "leave it out of the policy"})
				names = append(names, a.Name)
			}
			continue
		}
		if len(sealing[a.Name].of) == 0 {
			names = append(names, a.Name)
		}
		rule, keep, _ := m.Rule(a.Name)
		t.columns = append(t.columns, column{a.Name, a.TypeText, a.base.OID, a.neverNull(), rule, keep, sealing[a.Name]})
	}
	p.checkColumns(r, m, names)
	p.checkRights(r)
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

// checkColumns looks for columns of which the policy says nothing, and for those that
// are not there.
func (p *planner) checkColumns(r *relation, m *mask.Table, names []string) {
	for _, name := range names {
		if _, _, ok := m.Rule(name); !ok {
			p.add(&Finding{Kind: Unknown, Table: r.title(), Column: name, Line: m.Line(""), Reason: "the policy does not name this column", Suggestion: `give it a rule, or {"keep": "why"}`})
		}
	}
	for _, name := range m.Columns() {
		if !slices.Contains(names, name) {
			p.add(&Finding{Kind: Unknown, Table: r.title(), Column: name, Line: m.Line(name), Reason: "the policy names it, and there is no such column"})
		}
	}
}

// checkRights looks at a table and all its partitions.
func (p *planner) checkRights(r *relation) {
	f := func(kind Kind, reason, suggestion string) {
		p.add(&Finding{Kind: kind, Table: r.title(), Reason: reason, Suggestion: suggestion})
	}
	if !r.Select {
		f(Rights, "there is no right to read it", "grant select on it")
	}
	if r.Hidden {
		f(Rights, "row-level security would hide rows", "use a role with BYPASSRLS, or its owner")
	}
	if r.Kind != "r" && r.Kind != "p" {
		f(Unsupported, "it is a partition that is a "+relationKinds[r.Kind]+", of which no rows are copied", "leave the whole table out")
	}
	if int(r.Children) != len(r.children) {
		f(Unsupported, "it has partitions in a schema that is not selected", "add the schema to Config.Schemas")
	}
	for _, child := range r.children {
		p.checkRights(child)
	}
}

// checkLargeObjects stops where there are any: they are in no table.
func (p *planner) checkLargeObjects() {
	if !p.largeObjects {
		return
	}
	f := &Finding{Kind: LargeObjects, Reason: "it has large objects, which are not copied"}
	const oid = 26
	for _, t := range p.plan.tables {
		for _, c := range t.columns {
			if c.oid == oid {
				f.Reason += ", and " + t.title() + "." + quotePart(c.name) + " may refer to them"
			}
		}
	}
	p.report(f)
}

// checkMappings stops where the schema would have the password of another server.
func (p *planner) checkMappings() {
	for _, m := range p.mappings {
		p.report(m.finding())
	}
}

func (m mapping) finding() *Finding {
	return &Finding{
		Kind: SchemaText, Object: "user mapping of " + quotePart(m.User) + " for " + quotePart(m.Server),
		Reason: "it has options, of which one may be a password, and pg_dump writes them", Suggestion: "drop it, or run as a role that can not see them",
	}
}

// checkPolicyRoles warns of roles, which pg_dump does not write.
func (p *planner) checkPolicyRoles() {
	for _, r := range p.policyRoles {
		p.plan.warnings = append(p.plan.warnings, Warning{tableName(r.Schema, r.Table), "", fmt.Sprintf("its policy %s is for role %s, without which the copy can not be restored", quotePart(r.Policy), quotePart(r.Role))})
	}
}

// Warnings returns what somebody should look at before the run, by table: columns that
// are kept and look like personal data, and values that rules can not parse.
func (p *Plan) Warnings() []Warning { return slices.Clone(p.warnings) }

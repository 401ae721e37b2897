package pgxmask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/mask"
)

// sampleRows and sampleBytes are how much of a table is read at most for its sample.
const (
	sampleRows  = 1000
	sampleBytes = 8 << 20
	fetchRows   = 50 // at a time, as a row may be large
)

// sample is some rows of a table in PostgreSQL's text form; nil is NULL. Nobody prints
// it.
type sample struct {
	columns      []string
	rows, masked [][][]byte
}

// trySamples reads, masks and tries some rows of every table.
func (p *planner) trySamples(ctx context.Context, tx pgx.Tx, masks map[string]*mask.Table) error {
	search := newTextSearch(p.plan.texts)
	for _, t := range p.plan.tables {
		s, err := readSample(ctx, tx, t)
		if err != nil {
			return fmt.Errorf("sample of %s: %w", t.title(), withoutValues(err))
		}
		t.sampled = len(s.rows)
		p.discoverSealed(t, s)
		if err := t.openSample(ctx, s.rows); err != nil {
			return fmt.Errorf("sample of %s: %w", t.title(), err)
		}
		if err := p.checkKeys(ctx, t, s); err != nil {
			return fmt.Errorf("sample of %s: %w", t.title(), err)
		}
		p.discover(t, s)
		p.searchTexts(t, s, search)
		if p.maskSample(t, s, masks[t.masks.Name()]) {
			if err := t.sealSample(ctx, s.masked); err != nil {
				return fmt.Errorf("sample of %s: %w", t.title(), err)
			}
			if err := p.tryChecks(ctx, tx, t, s); err != nil {
				return fmt.Errorf("trial of %s: %w", t.title(), withoutValues(err))
			}
		}
	}
	return nil
}

// withoutValues returns an error of PostgreSQL without its message, which may hold a
// value.
func withoutValues(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Errorf("PostgreSQL refuses with SQLSTATE %s", e.Code)
	}
	return err
}

// readSample reads some rows of a table, or of its partitions: of a large one from pages
// here and there.
func readSample(ctx context.Context, tx pgx.Tx, t *table) (*sample, error) {
	if percent := 100 * 2 * sampleRows / t.rows; percent < 10 {
		s, err := readRows(ctx, tx, t, fmt.Sprintf(" tablesample system (%f) repeatable (0)", percent))
		if err != nil || len(s.rows) > 0 {
			return s, err
		}
	}
	return readRows(ctx, tx, t, "")
}

func readRows(ctx context.Context, tx pgx.Tx, t *table, tablesample string) (*sample, error) {
	s := &sample{}
	var list []string
	for _, c := range t.columns {
		s.columns = append(s.columns, c.name)
		list = append(list, pgx.Identifier{c.name}.Sanitize())
	}
	only := "only "
	if t.kind == 'p' {
		only = ""
	}
	conn := tx.Conn().PgConn()
	const cursor = "sealfield_sample"
	sql := fmt.Sprintf("declare %s no scroll cursor for select %s from %s%s%s limit %d", cursor, strings.Join(list, ", "), only, pgx.Identifier{t.schema, t.name}.Sanitize(), tablesample, sampleRows)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return nil, err
	}
	for size := 0; size < sampleBytes; {
		results, err := conn.Exec(ctx, fmt.Sprintf("fetch %d from %s", fetchRows, cursor)).ReadAll()
		if err != nil {
			return nil, err
		}
		rows := results[0].Rows
		s.rows = append(s.rows, rows...)
		for _, row := range rows {
			for _, v := range row {
				size += len(v)
			}
		}
		if len(rows) < fetchRows {
			break
		}
	}
	_, err := conn.Exec(ctx, "close "+cursor).ReadAll()
	return s, err
}

// maskSample masks the rows. It reports whether that worked and there is something to
// try.
func (p *planner) maskSample(t *table, s *sample, m *mask.Table) bool {
	masker, err := t.masker(m)
	if err != nil || len(s.rows) == 0 || !slices.ContainsFunc(t.columns, func(c column) bool { return c.rule != nil }) {
		return false
	}
	for _, row := range s.rows {
		out, err := masker.mask(row)
		if err != nil {
			p.refused(t, s, m)
			return false
		}
		masked := make([][]byte, len(out))
		for i, v := range out {
			if v != nil {
				masked[i] = append([]byte{}, v...)
			}
		}
		s.masked = append(s.masked, masked)
	}
	for i, name := range s.columns {
		rule, _, _ := m.Rule(name)
		if rule == nil || rule.Fallbacks() == 0 {
			continue
		}
		values := 0
		for _, row := range s.rows {
			if len(row[i]) > 0 {
				values++
			}
		}
		p.fallbacks(t, name, rule, values)
	}
	return true
}

// refused reports the columns whose rules refuse a row.
func (p *planner) refused(t *table, s *sample, m *mask.Table) {
	for _, row := range s.rows {
		t.unpad(row)
	}
	subject := slices.Index(s.columns, t.subject)
	for i, name := range s.columns {
		rule, _, _ := m.Rule(name)
		if rule == nil {
			continue
		}
		n := 0
		var cause error
		for _, row := range s.rows {
			var r mask.Row
			if subject >= 0 {
				r.Subject = row[subject]
			}
			if _, err := rule.Append(nil, row[i], &r); err != nil {
				n++
				cause = err
			}
		}
		switch {
		case n == 0:
		case errors.Is(cause, mask.ErrSubject):
			p.add(t.finding(Values, name, "", fmt.Sprintf("%d of %d sampled rows have no subject, which rule %s needs", n, len(s.rows), rule), "take another subject"))
		default:
			p.add(t.finding(Values, name, "", fmt.Sprintf("rule %s refuses %d of %d sampled values", rule, n, len(s.rows)), "take another fallback, or another rule"))
		}
	}
}

// fallbacks warns of values that a rule can not parse. On a unique column they can make
// more equal than was proven.
func (p *planner) fallbacks(t *table, name string, rule *mask.Rule, values int) {
	fallback := rule.Properties().Fallback
	reason := fmt.Sprintf("rule %s can not parse %d of %d sampled values: fallback=%s", rule, min(rule.Fallbacks(), uint64(values)), values, fallback)
	a := t.relation.attribute(name)
	for _, x := range t.relation.indexes {
		if fallback == "shape" && x.Unique && (slices.Contains(x.Columns, a.Number) || slices.Contains(x.ExprColumns, a.Number)) {
			p.report(t.finding(Unique, name, x.Name, reason+", by which two may become equal", "correct them, say fallback=null, or take another rule"))
			return
		}
	}
	p.warn(t, name, reason)
}

// toTry is a CHECK of a table or a domain that is about masked values.
type toTry struct {
	*constraint
	column string // of a domain
	title  string
}

// checksOf returns the CHECKs to try, and notes the others.
func (p *planner) checksOf(t *table, r *relation) (all []toTry) {
	for _, k := range r.checks {
		title := "check " + quotePart(k.Name)
		switch {
		case p.allKept(t, r, k.Columns):
			p.proven(t, title, "no column of it is masked")
		case !k.Validated:
			p.proven(t, title, "it is NOT VALID: nothing is known of the rows that are there")
		default:
			all = append(all, toTry{k, "", title})
		}
	}
	for _, c := range t.columns {
		if c.rule == nil {
			continue
		}
		for _, d := range t.relation.attribute(c.name).domains {
			for _, k := range d.checks {
				if k.Validated {
					all = append(all, toTry{k, c.name, "check " + quotePart(k.Name) + " of domain " + tableName(d.Schema, d.Name) + " of " + quotePart(c.name)})
				}
			}
		}
	}
	return all
}

// proveCalls reports functions that a trial would call. Whoever owns one could have
// anything done with the rights of the role that makes the plan.
func (p *planner) proveCalls(t *table) {
	for _, c := range p.calls {
		what := ""
		switch {
		case !c.Constraint && c.OID == t.relation.OID:
			what = "a generated column"
		case c.Constraint && slices.ContainsFunc(t.relation.checks, func(k *constraint) bool { return k.OID == c.OID }):
			what = "a CHECK"
		case c.Constraint && p.ofDomain(c.OID) && slices.ContainsFunc(t.relation.columns, func(a *attribute) bool { return p.mayCheck(a.Type, c.OID) }):
			what = "a CHECK of a domain"
		default:
			continue
		}
		p.report(t.finding(Check, "", c.Function, fmt.Sprintf("%s calls this function, which would run with the rights of the role that makes the plan, and is of role %s", what, quotePart(c.Owner)), "make the plan with a role without other rights, and accept it"))
	}
}

func (p *planner) ofDomain(check uint32) bool {
	for _, t := range p.types {
		if slices.ContainsFunc(t.checks, func(k *constraint) bool { return k.OID == check }) {
			return true
		}
	}
	return false
}

// mayCheck reports whether a CHECK of a domain may be about values of a type: it is
// the domain, or has values of it inside.
func (p *planner) mayCheck(oid, check uint32) bool {
	t := p.types[oid]
	if t == nil {
		return false
	}
	if slices.ContainsFunc(t.checks, func(k *constraint) bool { return k.OID == check }) {
		return true
	}
	switch t.Kind {
	case "d":
		return p.mayCheck(t.Base, check)
	case "b":
		return t.Category == "A" && p.mayCheck(t.Element, check)
	}
	return t.Kind != "e" // a composite or a range has what is not looked at
}

// tryChecks has PostgreSQL take masked rows as the copy will.
func (p *planner) tryChecks(ctx context.Context, tx pgx.Tx, t *table, s *sample) error {
	r := t.relation
	tries := p.checksOf(t, r)
	for _, l := range r.leaves() {
		if l != r {
			tries = append(tries, p.leafChecks(t, l)...)
		}
	}
	if reason := p.noTrial; reason != "" {
		for _, k := range tries {
			p.report(t.finding(Check, k.column, k.Name, "it can not be tried: "+reason, ""))
		}
		return nil
	}
	trial := &trial{planner: p, tx: tx, table: t, sample: s}
	defer trial.end(ctx)
	if err := trial.run(ctx); err != nil {
		return err
	}
	for _, k := range tries {
		if !slices.Contains(trial.failed, k.Name) {
			p.proven(t, k.title, fmt.Sprintf("tried by PostgreSQL on %d masked rows", len(s.masked)))
		}
	}
	return nil
}

// leafChecks reports the CHECKs that a partition has alone: the sample is of all rows.
func (p *planner) leafChecks(t *table, l *relation) []toTry {
	for _, k := range l.checks {
		if k.Validated && (!p.allKept(t, l, k.Columns) || p.moves(t)) {
			p.report(t.finding(Check, "", k.Name, "it is of partition "+l.title()+" alone, and not tried", "add it to all partitions"))
		}
	}
	return nil
}

// trial is a temporary table that takes the masked sample of a table.
type trial struct {
	*planner
	tx     pgx.Tx
	table  *table
	sample *sample
	failed []string // constraints
}

const trialName = "pg_temp.sealfield_trial"

func (x *trial) run(ctx context.Context) error {
	create := fmt.Sprintf("create temporary table sealfield_trial (like %s including constraints including generated)", pgx.Identifier{x.table.schema, x.table.name}.Sanitize())
	if _, err := x.tx.Exec(ctx, "savepoint sealfield_trial; "+create); err != nil {
		return err
	}
	drop := func(k string) error {
		_, err := x.tx.Exec(ctx, "alter table "+trialName+" drop constraint "+pgx.Identifier{k}.Sanitize())
		return err
	}
	for _, k := range x.table.relation.checks {
		if !k.Validated {
			if err := drop(k.Name); err != nil {
				return err
			}
		}
	}
	for {
		failure, err := x.copy(ctx, x.sample.columns, x.sample.masked)
		switch {
		case err != nil:
			return err
		case failure == nil:
			return nil
		case failure.Code == checkViolation && failure.DataTypeName == "" && failure.ConstraintName != "":
			x.fail("", Check, failure.ConstraintName, fmt.Sprintf("it fails for masked rows, of which %d were tried", len(x.sample.masked)))
			if err := drop(failure.ConstraintName); err != nil {
				return err
			}
		default:
			return x.columns(ctx, failure)
		}
	}
}

func (x *trial) fail(column string, kind Kind, object, reason string) {
	x.failed = append(x.failed, object)
	x.report(x.table.finding(kind, column, object, reason, ""))
}

const (
	checkViolation = "23514"
	tooLongForType = "22001"
)

// columns finds out which column it is that PostgreSQL does not take.
func (x *trial) columns(ctx context.Context, failure *pgconn.PgError) error {
	found := false
	for i, c := range x.table.columns {
		if c.rule == nil {
			continue
		}
		name := pgx.Identifier{c.name}.Sanitize()
		if _, err := x.tx.Exec(ctx, fmt.Sprintf("drop table %s; create temporary table sealfield_trial (%s %s)", trialName, name, c.typ)); err != nil {
			return err
		}
		values := make([][][]byte, len(x.sample.masked))
		for j, row := range x.sample.masked {
			values[j] = row[i : i+1]
		}
		one, err := x.copy(ctx, []string{c.name}, values)
		switch {
		case err != nil:
			return err
		case one == nil:
			continue
		case one.Code == checkViolation:
			x.fail(c.name, Check, one.ConstraintName, "it fails for results of rule "+c.rule.String())
		case one.Code == tooLongForType:
			x.fail(c.name, Length, "", fmt.Sprintf("results of rule %s are too long for %s", c.rule, c.typ))
		default:
			x.fail(c.name, Values, "", fmt.Sprintf("%s does not take results of rule %s: SQLSTATE %s", c.typ, c.rule, one.Code))
		}
		found = true
	}
	if !found {
		x.fail("", Check, failure.ConstraintName, "PostgreSQL does not take masked rows: SQLSTATE "+failure.Code)
	}
	return nil
}

// copy loads rows, and undoes it. It returns the failure if they are not taken.
func (x *trial) copy(ctx context.Context, columns []string, rows [][][]byte) (*pgconn.PgError, error) {
	if _, err := x.tx.Exec(ctx, "savepoint sealfield_copy"); err != nil {
		return nil, err
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pgx.Identifier{c}.Sanitize()
	}
	_, err := x.tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(trialText(rows)), fmt.Sprintf("copy %s (%s) from stdin", trialName, strings.Join(list, ", ")))
	failure, ok := errors.AsType[*pgconn.PgError](err)
	if err != nil && !ok {
		return nil, err
	}
	_, err = x.tx.Exec(ctx, "rollback to savepoint sealfield_copy; release savepoint sealfield_copy")
	return failure, err
}

func (x *trial) end(ctx context.Context) {
	x.tx.Exec(ctx, "rollback to savepoint sealfield_trial; release savepoint sealfield_trial")
}

// trialText writes rows in the text format of COPY.
func trialText(rows [][][]byte) []byte {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	var b bytes.Buffer
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			if v == nil {
				b.WriteString(`\N`)
			} else {
				escape.WriteString(&b, string(v))
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

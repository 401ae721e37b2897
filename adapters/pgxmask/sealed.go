package pgxmask

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/mask"
)

// Sealed says under which keys the sealed columns of a table are, and will be in the
// copy. Both tables have the same sealed columns.
type Sealed struct {
	Source, Copy SealedTable
}

// SealedTable is a *pgxfield.Table of any struct. Columns that it does not know are left
// alone.
type SealedTable interface {
	Sealed() []pgxfield.SealedColumn
	TextRows(columns []string) (*pgxfield.TextRows, error)
}

// sealed is what a column has to do with sealing.
type sealed struct {
	typ  string   // of the values that are sealed, else empty
	of   []string // the sealed columns of which it has the tags or key ids
	made bool     // it is made anew for every row
}

// sealing returns what the columns of a table have to do with sealing, by name.
func (p *planner) sealing(r *relation, m *mask.Table) map[string]sealed {
	s, ok := p.sealedOf(r.title())
	if !ok {
		return nil
	}
	wrong := func(column, reason, suggestion string) {
		p.add(&Finding{Kind: Sealing, Table: r.title(), Column: column, Line: m.Line(column), Reason: reason, Suggestion: suggestion})
	}
	if s.Source == nil || s.Copy == nil {
		wrong("", "Config.Sealed needs a Source and a Copy", "")
		return nil
	}
	if !reflect.DeepEqual(s.Source.Sealed(), s.Copy.Sealed()) {
		wrong("", "Source and Copy of Config.Sealed have other sealed columns", "take the same struct for both")
		return nil
	}
	var names []string
	for _, a := range r.columns {
		if a.Generated == "" {
			names = append(names, a.Name)
		}
	}
	for _, t := range []SealedTable{s.Source, s.Copy} {
		if _, err := t.TextRows(names); err != nil {
			wrong("", err.Error(), "")
			return nil
		}
	}
	all := map[string]sealed{}
	for _, c := range s.Source.Sealed() {
		if !slices.Contains(names, c.Column) {
			wrong(c.Column, "Config.Sealed has this column, and the table has not", "")
		}
		all[c.Column] = sealed{typ: c.Type, made: true}
		for _, with := range c.With {
			all[with] = sealed{of: append(all[with].of, c.Column), made: true}
			if _, _, ok := m.Rule(with); ok {
				wrong(with, "it is made anew together with "+quotePart(c.Column), "leave it out of the policy")
			}
		}
	}
	return all
}

// sealedOf finds a table in Config.Sealed.
func (p *planner) sealedOf(title string) (Sealed, bool) {
	for text, s := range p.cfg.Sealed {
		if name, ok := canonicalName(text); ok && name == title {
			return s, true
		}
	}
	return Sealed{}, false
}

// checkSealed looks for tables of Config.Sealed that are not copied.
func (p *planner) checkSealed() {
	for text := range p.cfg.Sealed {
		if name, ok := canonicalName(text); !ok || p.plan.find(name) < 0 {
			p.add(&Finding{Kind: Unused, Table: text, Reason: "Config.Sealed has it, and no such table is copied"})
		}
	}
}

// isSealed reports whether all values look as pgxfield seals them.
func isSealed(values []string) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool {
		return len(v) < len(`\x`)+2*33 || v[:4] != `\x01` || v[4] < '8'
	})
}

// masker masks whole rows of a table, whose sealed values are open. It is of one
// goroutine.
type masker struct {
	table    *table
	rows     *mask.Rows
	at       []int // the columns that the rules know, or nil for all
	known    [][]byte
	complete [][]byte
}

// masker returns what masks rows by m, which are the table's rules or a copy of them.
func (t *table) masker(m *mask.Table) (x *masker, err error) {
	x = &masker{table: t}
	names := t.names()
	if t.sealed != nil {
		var known []string
		for i, c := range t.columns {
			if len(c.sealed.of) == 0 {
				x.at, known = append(x.at, i), append(known, c.name)
			}
		}
		names = known
		x.known, x.complete = make([][]byte, len(known)), make([][]byte, len(t.columns))
	}
	x.rows, err = m.Rows(names)
	return x, err
}

// mask returns the masked row, in a slice that is good until the next call. Of row it
// takes the padding.
func (x *masker) mask(row [][]byte) ([][]byte, error) {
	x.table.unpad(row)
	if x.at == nil {
		return x.rows.Mask(row)
	}
	for i, at := range x.at {
		x.known[i] = row[at]
	}
	masked, err := x.rows.Mask(x.known)
	if err != nil {
		return nil, err
	}
	clear(x.complete)
	for i, at := range x.at {
		x.complete[at] = masked[i]
	}
	return x.complete, nil
}

// unpad takes the spaces from values of char(n) that will be masked: they mean nothing to
// PostgreSQL, and something to a rule.
func (t *table) unpad(row [][]byte) {
	for i := range t.columns {
		if c := &t.columns[i]; c.rule == nil || c.oid != pgtype.BPCharOID {
			continue
		}
		for n := len(row[i]); n > 0 && row[i][n-1] == ' '; n-- {
			row[i] = row[i][:n-1]
		}
	}
}

// pad gives masked values of char(n) the spaces with which they will be read from the copy:
// as a part of the row key they are what others are sealed with.
func (t *table) pad(row [][]byte) {
	for i := range t.columns {
		if c := &t.columns[i]; c.rule != nil && c.oid == pgtype.BPCharOID && row[i] != nil {
			n, _ := lengthLimit(t.relation.attribute(c.name))
			row[i] = append(bytes.Clone(row[i]), bytes.Repeat([]byte(" "), max(0, n-utf8.RuneCount(row[i])))...)
		}
	}
}

// sealer opens rows of the source and seals rows of the copy. It is of one goroutine.
type sealer struct {
	source, copy *pgxfield.TextRows
}

// sealer returns nil for a table without sealed columns.
func (t *table) sealer() (*sealer, error) {
	if t.sealed == nil {
		return nil, nil
	}
	source, err := t.sealed.Source.TextRows(t.names())
	if err != nil {
		return nil, err
	}
	target, err := t.sealed.Copy.TextRows(t.names())
	if err != nil {
		return nil, err
	}
	return &sealer{source, target}, nil
}

// openSample opens sampled rows.
func (t *table) openSample(ctx context.Context, rows [][][]byte) error {
	s, err := t.sealer()
	if s == nil || err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.source.Open(ctx, row); err != nil {
			return err
		}
		keep(row)
	}
	return nil
}

// checkKeys reports a copy whose keys are those of the source: sampled rows that are sealed
// for the one open with the other. What can not be sealed is for the trial.
func (p *planner) checkKeys(ctx context.Context, t *table, s *sample) error {
	x, err := t.sealer()
	if x == nil || err != nil {
		return err
	}
	const rows = 20
	for _, row := range s.rows[:min(rows, len(s.rows))] {
		probe := slices.Clone(row)
		if x.copy.Seal(ctx, probe) != nil || x.source.Open(ctx, probe) != nil {
			continue
		}
		sealed, equal := 0, 0
		for i, c := range t.columns {
			if c.sealed.typ != "" && row[i] != nil {
				sealed++
				if bytes.Equal(row[i], probe[i]) {
					equal++
				}
			}
		}
		if sealed > 0 && sealed == equal { // a token without its key id opens under any key, to another value
			p.add(t.finding(Sealing, "", "", "what the Copy of Config.Sealed seals opens under the keys of the Source", "make a keyring for the copy"))
			return nil
		}
	}
	return nil
}

// sealSample seals masked rows of a sample.
func (t *table) sealSample(ctx context.Context, rows [][][]byte) error {
	s, err := t.sealer()
	if s == nil || err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.copy.Seal(ctx, row); err != nil {
			return err
		}
		keep(row)
	}
	return nil
}

// keep replaces values by copies. An empty one stays empty, and NULL stays NULL.
func keep(row [][]byte) {
	for i := range row {
		row[i] = bytes.Clone(row[i])
	}
}

// opening returns what calls row with the values of the copy opened, and fails by fail.
func (t *table) opening(ctx context.Context, row func(int64, [][]byte), by func(*sealer) *pgxfield.TextRows, fail func(error)) func(int64, [][]byte) {
	s, err := t.sealer()
	switch {
	case err != nil:
		fail(err)
		return func(int64, [][]byte) {}
	case s == nil:
		return row
	}
	return func(n int64, values [][]byte) {
		if n >= 0 {
			if err := by(s).Open(ctx, values); err != nil {
				fail(fmt.Errorf("row %d: %w", n+1, err))
				return
			}
		}
		row(n, values)
	}
}

func bySource(s *sealer) *pgxfield.TextRows { return s.source }

func byCopy(s *sealer) *pgxfield.TextRows { return s.copy }

package pgxmask

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sealfield/sealfield/mask"
)

// What Verify finds.
const (
	// Values of a masked column of the source that are in the output.
	Leak Kind = "leak"
	// Rows of the output that are not what the rules make of those of the source.
	Remask Kind = "re-masked sample"
	// Values that should have stayed different, or equal, and did not.
	Distinct Kind = "distinct"
)

// ErrVerify says that Verify found something, which is in Result.Verification: the
// output has no finished marker.
var ErrVerify = errors.New("the output failed its verification")

// Verification is what was compared, and what was found. It holds no values.
type Verification struct {
	// Findings are what is wrong.
	Findings []*Finding
	// Columns are those that are masked.
	Columns []ColumnCheck
	// Originals is how many different values of masked columns were looked for
	// everywhere in the output, and OneIn is 1 if these were all; else they are a
	// random choice of one in so many, which a filter of 64 MiB has room for.
	Originals int64
	OneIn     int
	// Sampled is how many rows were masked a second time, read back from the output
	// and compared.
	Sampled int64
	// References is how many foreign keys, and references of the Config, were checked:
	// those with masked columns, and those of a subset. The others are as they were,
	// or PostgreSQL has checked them in a Target.
	References int
	// Changed is how many chunks were left out of the sample, since their rows in the
	// source are no longer those that were copied.
	Changed int
}

// ColumnCheck is a masked column.
type ColumnCheck struct {
	Table, Column string
	// Everywhere is whether its values were looked for everywhere, raw, with
	// escapes of JSON or percent encoding, reversed, in base64 and hex. If not, Reason
	// says why.
	Everywhere bool
	Reason     string
	// Values are those that are not NULL. Same of them have a letter or a digit, and
	// stayed as they were.
	Values, Same int64
	// Distinct and DistinctMasked count different values before and after. They are
	// exact up to 8,192; beyond it they are estimates, good to some percent.
	Distinct, DistinctMasked float64
}

// Verify checks an output that is finished against the source once more: that
// its bytes are those of the manifest, that they are those that a Run would write now,
// and all that Run checks. Chunks with rows that changed since are not compared, and the
// former values of these not looked for; of tables with sealed columns, which are sealed
// with random bytes, a sample is compared. Of a Target all rows are compared, but only
// the columns whose types have one text for a value: text, varchar, uuid, date, integers.
// Of config, Format, Compression and Dir or Target are those of Run. It changes nothing
// in the output.
func (p *Plan) Verify(ctx context.Context, config RunConfig) (_ *Result, err error) {
	config.SkipVerify = false
	if err := config.check(); err != nil {
		return nil, err
	}
	j := newJob(p, config)
	if j.sink, err = j.newSink(ctx); err != nil {
		return nil, err
	}
	defer j.sink.close()
	s, err := j.sink.load(ctx)
	if err != nil {
		return nil, err
	}
	if s.finished == nil {
		return nil, fmt.Errorf("pgxmask: %w", ErrUnfinished)
	}
	if j.holder, err = dial(ctx, config.Source); err != nil {
		return nil, err
	}
	defer disconnect(j.holder)
	if err := j.export(ctx); err != nil {
		return nil, err
	}
	if err := sameJob(s.header, j.header); err != nil {
		return nil, err
	}
	if err := j.keep(ctx, s, true); err != nil {
		return nil, err
	}
	r := &Result{Finished: *s.finished, Kept: j.kept}
	list := j.list()
	if slices.Contains(list, nil) {
		return nil, fmt.Errorf("pgxmask: %w", ErrDamaged)
	}
	files, err := j.sink.digests(ctx)
	if err != nil {
		return nil, err
	}
	if digest(j.header, list, files) != s.finished.Digest {
		return nil, fmt.Errorf("pgxmask: %w", ErrDamaged)
	}
	j.verifier = newVerifier(j)
	if err := j.copy(ctx); err != nil {
		return nil, err
	}
	r.Verification, err = j.verify(ctx)
	return r, err
}

// verifier gathers, while rows are copied, what the output is compared with.
type verifier struct {
	job    *job
	filter *filter
	seed   maphash.Seed
	tables []*tableCheck

	mu        sync.Mutex
	different []*Finding // chunks
}

// differs notes a chunk that is not what becomes of its rows.
func (v *verifier) differs(c *chunk) {
	f := &Finding{Kind: Remask, Table: v.tables[c.table].table.String(), Reason: fmt.Sprintf("chunk %d of the output has other bytes than the rules make of the source's rows", c.n+1)}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.different = append(v.different, f)
}

type tableCheck struct {
	table   *table
	columns []columnCheck

	mu      sync.Mutex
	left    int                      // chunks that were not read yet
	samples map[int]map[int64]uint64 // by chunk and row: the hash of the masked values
	sum     uint64                   // of steadyHash of all rows, whose order a Target does not keep
	changed bool                     // and so sum is of other rows than the output's
}

// look is how the values of a column of the output are searched for originals.
type look uint8

const (
	lookNowhere    look = iota
	lookWhole           // whether a whole value is one
	lookEverywhere      // in all forms, at every place
)

type columnCheck struct {
	masked        bool
	original      bool // whether the values are looked for
	apart         bool // different values have to stay different, but for their case with fold
	fold          bool
	look          look // how those of the output are searched
	reason        string
	values, same  int64
	told          int64 // values that have a letter or a digit
	before, after *distinct
}

// fixedTypes hold no original, and steadyTypes have one text for a value.
var (
	fixedTypes = set(pgtype.BoolOID, pgtype.DateOID, pgtype.TimeOID, pgtype.TimetzOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.IntervalOID)

	steadyTypes = set(pgtype.TextOID, pgtype.VarcharOID, pgtype.DateOID, pgtype.UUIDOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID)
)

func set(oids ...uint32) map[uint32]bool {
	m := map[uint32]bool{}
	for _, oid := range oids {
		m[oid] = true
	}
	return m
}

// byChance are rules whose values are somewhere by chance: of few words that many share,
// or numbers.
var byChance = strings.Fields("given surname city region postcode country date date-round noise bucket round age int")

// permuted are rules whose results are, by chance, values of others: every card number may
// be somebody's.
var permuted = strings.Fields("given surname name street city region postcode country address phone pan ssn nino iban mac ip int format shape date date-round noise bucket round age")

// composed reports whether a rule keeps a part of what is around the values that it masks:
// text, and those with rules inside, whose text is a JSON object.
func composed(r *mask.Rule) bool { return ruleName(r) == "text" || strings.HasPrefix(r.String(), "{") }

// sameByRule are rules that leave values as they are, where they fit.
var sameByRule = strings.Fields("date-round noise bucket round age partial constant")

func newVerifier(j *job) *verifier {
	v := &verifier{job: j, seed: maphash.MakeSeed()}
	originals := 0.0
	for i, t := range j.plan.tables {
		c := &tableCheck{table: t, columns: make([]columnCheck, len(t.columns)), samples: map[int]map[int64]uint64{}}
		rows := max(t.rows, float64(pagesOf(j.header.Tables[i]))*rowsPerPage, 1000)
		for k := range t.columns {
			col, check := &t.columns[k], &c.columns[k]
			if !fixedTypes[col.oid] {
				check.look = lookEverywhere
			}
			if col.rule == nil {
				continue
			}
			check.masked, check.before, check.after = true, newDistinct(), newDistinct()
			name, props := ruleName(col.rule), col.rule.Properties()
			check.fold = !props.Bijective
			check.apart = props.Bijective || props.Deterministic && props.Keyed && props.Collisions(rows) < 1e-9
			switch {
			case slices.Contains(permuted, name):
				check.look = lookNowhere
			case !composed(col.rule):
				check.look = min(check.look, lookWhole)
			}
			switch {
			case slices.Contains(byChance, name):
				check.reason = "values of rule " + name + " are in other columns by chance"
			default:
				check.original = true
				originals += rows
			}
		}
		v.tables = append(v.tables, c)
	}
	for _, c := range j.chunks {
		v.tables[c.table].left++
	}
	v.filter = newFilter(originals)
	return v
}

// rowsPerPage is a guess at the rows of a table that was never analyzed.
const rowsPerPage = 50

func pagesOf(h tableHeader) (pages int64) {
	for _, s := range h.Storage {
		pages += s.Pages
	}
	return pages
}

// verify reads the output back.
func (j *job) verify(ctx context.Context) (*Verification, error) {
	v := j.verifier
	fmt.Fprintln(j.config.Progress, "reading the output back")
	r := &Verification{Originals: v.filter.added.Load(), OneIn: int(v.filter.oneIn)}
	for _, t := range v.tables {
		for i := range t.columns {
			if t.columns[i].masked {
				r.Columns = append(r.Columns, t.column(i, &r.Findings))
			}
		}
	}
	r.Findings = append(r.Findings, v.different...)
	for _, changed := range j.changed {
		if changed {
			r.Changed++
		}
	}
	keys := j.references()
	r.References = len(keys)
	s := &search{v: v, keys: keys, candidates: map[candidate]*places{}}
	if err := j.sink.read(ctx, s.opened(ctx)); err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		s.second = true
		if err := j.sink.read(ctx, s.opened(ctx)); err != nil {
			return nil, err
		}
	}
	if s.failure != nil {
		return nil, s.failure
	}
	if err := s.texts(ctx); err != nil {
		return nil, err
	}
	r.Sampled = s.sampled
	if s.different > 0 {
		for _, name := range sortedKeys(s.differentIn) {
			r.Findings = append(r.Findings, &Finding{Kind: Remask, Table: name, Reason: "rows of the output are not what the rules make of the source's, the first in " + s.differentIn[name]})
		}
	}
	for _, k := range keys {
		if n := k.missing.Load(); n > 0 {
			r.Findings = append(r.Findings, &Finding{Kind: ForeignKey, Table: k.table, Object: k.name, Reason: fmt.Sprintf("%d rows refer to none of %s", n, k.target)})
		}
	}
	if err := s.confirm(ctx, r); err != nil {
		return nil, err
	}
	if len(r.Findings) > 0 {
		return r, fmt.Errorf("pgxmask: %w: %w", ErrVerify, findings(r.Findings).err())
	}
	return r, nil
}

// column sums up a masked column.
func (t *tableCheck) column(i int, found *[]*Finding) ColumnCheck {
	c, col := &t.columns[i], &t.table.columns[i]
	r := ColumnCheck{
		Table: t.table.String(), Column: col.name, Everywhere: c.original, Reason: c.reason,
		Values: c.values, Same: c.same, Distinct: c.before.count(), DistinctMasked: c.after.count(),
	}
	add := func(kind Kind, reason string) {
		*found = append(*found, &Finding{Kind: kind, Table: r.Table, Column: r.Column, Reason: reason})
	}
	props, name := col.rule.Properties(), ruleName(col.rule)
	// A permutation of n values leaves one in place on average.
	expected := float64(c.told) / 2
	if props.Bijective {
		expected = math.Min(expected, 10+4*float64(c.told)/math.Exp2(props.Hidden))
	}
	if float64(c.same) > max(expected, 10) && !slices.Contains(sameByRule, name) {
		add(Leak, fmt.Sprintf("%d of %d values are what they were", c.same, c.told))
	}
	// The shape of a value that does not fit may be a result of one that does.
	if c.apart && col.rule.Fallbacks() == 0 && c.after.conflicts > 0 {
		add(Distinct, "different values have become equal")
	}
	if props.Deterministic && c.before.conflicts > 0 {
		add(Distinct, "equal values have become different")
	}
	return r
}

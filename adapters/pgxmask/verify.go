package pgxmask

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
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
	// Values are those that are not NULL. Same of them stayed as they were.
	Values, Same int64
	// Distinct and DistinctMasked count different values before and after. They are
	// exact up to 8,192; beyond it they are estimates, good to some percent.
	Distinct, DistinctMasked float64
}

// Verify checks an output that is finished against the source once more: that
// its bytes are those of the manifest, and all that Run checks. Rows that changed since
// are not compared; their former values are not looked for.
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
}

type tableCheck struct {
	table   *table
	columns []columnCheck

	mu      sync.Mutex
	samples map[int]map[int64]uint64 // by chunk and row: the hash of the masked values
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

// composed are rules that keep a part of what is around the values that they mask.
var composed = []string{"text", `{"rule":"json"`, `{"rule":"array"`, `{"rule":"hstore"`}

// sameByRule are rules that leave values as they are, where they fit.
var sameByRule = strings.Fields("date-round noise bucket round age partial constant")

func newVerifier(j *job) *verifier {
	v := &verifier{job: j, seed: maphash.MakeSeed()}
	originals := 0.0
	for i, t := range j.plan.tables {
		c := &tableCheck{table: t, columns: make([]columnCheck, len(t.columns)), samples: map[int]map[int64]uint64{}}
		rows := max(t.rows, float64(pagesOf(j.header.Tables[i]))*10, 1000)
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
			case !slices.Contains(composed, name):
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
	v.filter = newFilter(originals)
	return v
}

func pagesOf(h tableHeader) (pages int64) {
	for _, s := range h.Storage {
		pages += s.Pages
	}
	return pages
}

// chunk returns the observer of a chunk.
func (v *verifier) chunk(c *chunk, fresh bool) (*chunkCheck, error) {
	t := v.tables[c.table]
	again, err := t.table.masks.Rows(t.table.names())
	if err != nil {
		return nil, err
	}
	o := &chunkCheck{v: v, check: t, chunk: c, again: again, fresh: fresh, every: 1, values: make([][]byte, len(t.columns)), columns: make([]columnCheck, len(t.columns)), samples: map[int64]uint64{}}
	for i := range t.columns {
		if t.columns[i].masked {
			o.columns[i].before, o.columns[i].after = newDistinct(), newDistinct()
		}
	}
	return o, nil
}

// chunkCheck observes the rows of a chunk; its counts join those of the table at the end.
type chunkCheck struct {
	v       *verifier
	check   *tableCheck
	chunk   *chunk
	fresh   bool // the rows are those that the output has
	columns []columnCheck
	view    view
	room    []byte

	again   *mask.Rows
	values  [][]byte
	every   uint64
	samples map[int64]uint64
}

// maxSamples is how many rows of a chunk are masked again.
const maxSamples = 128

func (o *chunkCheck) observe(n int64, row *maskedRow) error {
	for i := range o.columns {
		c := &o.columns[i]
		if c.before == nil || row.values[i] == nil {
			continue
		}
		value, masked := row.values[i], row.masked[i]
		c.values++
		if bytes.Equal(value, masked) && masked != nil {
			c.same++
		}
		if o.check.columns[i].original {
			if norm := o.view.original(value); norm != nil {
				o.v.filter.add(norm)
			}
		}
		if masked != nil && len(value) > 0 {
			before, after := maphash.Bytes(o.v.seed, value), maphash.Bytes(o.v.seed, masked)
			c.before.add(before, after)
			if o.check.columns[i].fold {
				o.room = appendFolded(o.room[:0], value)
				before = maphash.Bytes(o.v.seed, o.room)
			}
			c.after.add(after, before)
		}
	}
	if o.fresh && maphash.Comparable(o.v.seed, [2]int64{int64(o.chunk.n), n})%o.every == 0 {
		return o.sample(n, row)
	}
	return nil
}

// appendFolded appends a text with ASCII's capitals as small letters.
func appendFolded(dst, text []byte) []byte {
	for _, b := range text {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		dst = append(dst, b)
	}
	return dst
}

// sample masks a row again and keeps the hash of what the output has to have.
func (o *chunkCheck) sample(n int64, row *maskedRow) error {
	for i, field := range row.fields {
		o.values[i] = nil
		if o.columns[i].before != nil || o.check.table.columns[i].name == o.check.table.subject {
			o.values[i], _ = decodeText(nil, bytes.Clone(field))
		}
	}
	masked, err := o.again.Mask(o.values)
	if err != nil {
		return fmt.Errorf("pgxmask: table %s: %w", o.check.table, err)
	}
	o.samples[n] = o.v.rowHash(o.check.table, masked)
	if len(o.samples) > maxSamples {
		o.every *= 2
		for n := range o.samples {
			if maphash.Comparable(o.v.seed, [2]int64{int64(o.chunk.n), n})%o.every != 0 {
				delete(o.samples, n)
			}
		}
	}
	return nil
}

// rowHash is that of the masked values of a row. In a Target it is of those whose text
// is always the same.
func (v *verifier) rowHash(t *table, values [][]byte) uint64 {
	var h maphash.Hash
	h.SetSeed(v.seed)
	for i := range t.columns {
		if t.columns[i].rule == nil || v.job.config.Target != nil && !steadyTypes[t.columns[i].oid] {
			continue
		}
		value := values[i]
		if v.job.config.Format == JSONL {
			value = appendJSON(nil, t.columns[i].oid, value)
		}
		writeValue(&h, value)
	}
	return h.Sum64()
}

// writeValue writes a value so that where it ends is seen, and NULL.
func writeValue(h *maphash.Hash, value []byte) {
	n := uint64(len(value)) + 1
	if value == nil {
		n = 0
	}
	var size [8]byte
	for i := range size {
		size[i] = byte(n >> (8 * i))
	}
	h.Write(size[:])
	h.Write(value)
}

func (o *chunkCheck) close() {
	o.check.mu.Lock()
	defer o.check.mu.Unlock()
	for i := range o.columns {
		from, to := &o.columns[i], &o.check.columns[i]
		if from.before == nil {
			continue
		}
		to.values += from.values
		to.same += from.same
		to.before.merge(from.before)
		to.after.merge(from.after)
	}
	if o.fresh {
		o.check.samples[o.chunk.n] = o.samples
	}
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
	for _, changed := range j.changed {
		if changed {
			r.Changed++
		}
	}
	keys := j.references()
	r.References = len(keys)
	s := &search{v: v, keys: keys, candidates: map[candidate]*places{}}
	if err := j.sink.read(ctx, s.reader); err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		s.second = true
		if err := j.sink.read(ctx, s.reader); err != nil {
			return nil, err
		}
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
	expected := float64(c.values) / 2
	if props.Bijective {
		expected = math.Min(expected, 10+4*float64(c.values)/math.Exp2(props.Hidden))
	}
	if float64(c.same) > max(expected, 10) && !slices.Contains(sameByRule, name) {
		add(Leak, fmt.Sprintf("%d of %d values are what they were", c.same, c.values))
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

// distinct counts different hashes, and notices one that comes with two others. It
// keeps those that end in so many zero bits, more as there are too many (Gibbons, Distinct
// Sampling for Highly-Accurate Answers, VLDB 2001).
type distinct struct {
	level     int
	seen      map[uint64]uint64
	conflicts int64
}

const maxDistinct = 8192

func newDistinct() *distinct { return &distinct{seen: map[uint64]uint64{}} }

func (d *distinct) add(h, other uint64) {
	if h&(1<<d.level-1) != 0 {
		return
	}
	old, ok := d.seen[h]
	if ok {
		if old != other {
			d.conflicts++
		}
		return
	}
	d.seen[h] = other
	for len(d.seen) > maxDistinct {
		d.raise(d.level + 1)
	}
}

func (d *distinct) raise(level int) {
	d.level = level
	for h := range d.seen {
		if h&(1<<level-1) != 0 {
			delete(d.seen, h)
		}
	}
}

func (d *distinct) merge(from *distinct) {
	if from.level > d.level {
		d.raise(from.level)
	}
	d.conflicts += from.conflicts
	for h, other := range from.seen {
		d.add(h, other)
	}
}

func (d *distinct) count() float64 { return math.Ldexp(float64(len(d.seen)), d.level) }

// candidate is a text that the filter has, and where it stands.
type candidate struct {
	norm   string
	table  int // or -1: in the schema
	column int
	form   form
}

type places struct {
	count     int64
	first     string
	rows      []rowID // of a masked column: those to be compared with the source
	confirmed bool
	of        string // the column that has it
}

type rowID struct {
	chunk int
	row   int64
}

// maxCandidates is how many different ones there can be, of about 100 bytes.
const maxCandidates = 1 << 18

// search reads an output.
type search struct {
	v      *verifier
	keys   []*referenceCheck
	second bool // of the foreign keys, after all that they refer to was read

	mu          sync.Mutex
	candidates  map[candidate]*places
	overflow    bool
	sampled     int64
	different   int64
	differentIn map[string]string
}

// reader returns what takes the rows of a part of the output: a chunk, or the whole of a
// table in a Target, of which chunk is -1.
func (s *search) reader(table, chunk int, place string) func(row int64, values [][]byte) {
	t := s.v.tables[table]
	scan := &scanner{filter: s.v.filter}
	var samples map[int64]uint64
	wanted := map[uint64]bool{}
	if chunk >= 0 {
		samples = t.samples[chunk]
	} else if !s.second {
		for _, c := range t.samples {
			for _, h := range c {
				wanted[h] = true
			}
		}
		s.mu.Lock()
		s.sampled += int64(len(wanted))
		s.mu.Unlock()
	}
	return func(row int64, values [][]byte) {
		switch {
		case row < 0: // the end of a table
			if len(wanted) > 0 {
				s.differs(t.table, place)
			}
			return
		case s.second:
			for _, k := range s.keys {
				k.check(table, values)
			}
			return
		}
		for _, k := range s.keys {
			k.add(table, values)
		}
		if want, ok := samples[row]; ok {
			s.mu.Lock()
			s.sampled++
			s.mu.Unlock()
			if s.v.rowHash(t.table, values) != want {
				s.differs(t.table, fmt.Sprintf("row %d of %s", row+1, place))
			}
		} else if len(wanted) > 0 {
			delete(wanted, s.v.rowHash(t.table, values))
		}
		for i := range t.columns {
			if t.columns[i].look != lookNowhere && len(values[i]) >= minOriginal {
				scan.find(values[i], t.columns[i].look, func(norm []byte, f form) {
					id := rowID{chunk, row}
					if chunk < 0 { // rows of a Target have no place in the source
						id = rowID{-1, -1}
					}
					s.hit(candidate{string(norm), table, i, f}, fmt.Sprintf("row %d of %s", row+1, place), id)
				})
			}
		}
	}
}

func (s *search) differs(t *table, place string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.differentIn == nil {
		s.differentIn = map[string]string{}
	}
	s.different++
	if s.differentIn[t.String()] == "" {
		s.differentIn[t.String()] = place
	}
}

func (s *search) hit(c candidate, place string, id rowID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.candidates[c]
	if p == nil {
		if len(s.candidates) >= maxCandidates {
			s.overflow = true
			return
		}
		p = &places{first: place}
		s.candidates[c] = p
	}
	p.count++
	if c.table >= 0 && s.v.tables[c.table].columns[c.column].masked && len(p.rows) < maxSamples && !slices.Contains(p.rows, id) {
		p.rows = append(p.rows, id)
	}
}

// texts looks at the schema.
func (s *search) texts(ctx context.Context) error {
	files, err := s.v.job.sink.texts(ctx)
	if err != nil {
		return err
	}
	scan := &scanner{filter: s.v.filter}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for n, text := range bytes.Split(files[name], []byte("\n")) {
			scan.scan(text, func(norm []byte, f form) {
				s.hit(candidate{string(norm), -1, 0, f}, fmt.Sprintf("line %d of %s", n+1, name), rowID{})
			})
		}
	}
	return nil
}

// confirm reads the source once more if there are candidates: the filter takes a few
// texts for originals that are none, and what a masked column of the output has is only a
// leak if the source has it in the same row and column, too.
func (s *search) confirm(ctx context.Context, r *Verification) error {
	if s.overflow {
		r.Findings = append(r.Findings, &Finding{Kind: Leak, Reason: fmt.Sprintf("more than %d different texts may be values of masked columns: a whole column may be unmasked", maxCandidates)})
	}
	if len(s.candidates) == 0 {
		return nil
	}
	byNorm := map[string][]*places{}
	byRow := map[int]map[rowID][]candidate{}
	for c, p := range s.candidates {
		byNorm[c.norm] = append(byNorm[c.norm], p)
		for _, id := range p.rows {
			if byRow[c.table] == nil {
				byRow[c.table] = map[rowID][]candidate{}
			}
			byRow[c.table][id] = append(byRow[c.table][id], c)
		}
	}
	there := map[candidate]bool{}
	var mu sync.Mutex
	err := s.v.job.parallel(ctx, s.v.job.chunks, func(ctx context.Context) (func(*pgx.Conn, *chunk) error, func(), error) {
		return func(conn *pgx.Conn, c *chunk) error {
			check := s.v.tables[c.table]
			o := &confirmation{check: check, chunk: c, byNorm: byNorm, byRow: byRow[c.table], scan: scanner{filter: s.v.filter}, mu: &mu, there: there}
			_, err := conn.PgConn().CopyTo(ctx, &textReader{table: check.table, row: o.row}, c.sql(check.table, check.isMasked))
			return failed("read "+check.table.String()+" again", err)
		}, func() {}, nil
	})
	if err != nil {
		return err
	}
	type where struct {
		table, column int
		form          form
		of            string
	}
	sums := map[where]*places{}
	for c, p := range s.candidates {
		if p.of == "" {
			continue
		}
		if c.table >= 0 && s.v.tables[c.table].columns[c.column].masked && !there[c] {
			continue
		}
		w := where{c.table, c.column, c.form, p.of}
		if sums[w] == nil {
			sums[w] = &places{first: p.first}
		}
		sums[w].count += p.count
		sums[w].first = min(sums[w].first, p.first)
	}
	for _, w := range slices.SortedFunc(maps.Keys(sums), func(a, b where) int {
		return cmp.Or(a.table-b.table, a.column-b.column, int(a.form)-int(b.form), strings.Compare(a.of, b.of))
	}) {
		f := &Finding{Kind: Leak, Object: w.of}
		if w.table < 0 {
			f.Object = "schema"
		} else {
			f.Table, f.Column = s.v.tables[w.table].table.String(), s.v.tables[w.table].table.columns[w.column].name
		}
		f.Reason = fmt.Sprintf("has values of %s, which is masked, %s: %d times, such as in %s", w.of, w.form, sums[w].count, sums[w].first)
		r.Findings = append(r.Findings, f)
	}
	return nil
}

// isMasked reports whether a column is.
func (t *tableCheck) isMasked(i int) bool { return t.columns[i].masked }

// confirmation looks at the source's rows for confirm.
type confirmation struct {
	check  *tableCheck
	chunk  *chunk
	byNorm map[string][]*places
	byRow  map[rowID][]candidate
	view   view
	scan   scanner
	mu     *sync.Mutex
	there  map[candidate]bool
}

func (o *confirmation) row(n int64, values [][]byte) {
	for i := range o.check.columns {
		if !o.check.columns[i].original || values[i] == nil {
			continue
		}
		norm := o.view.original(values[i])
		if found := o.byNorm[string(norm)]; found != nil {
			o.mu.Lock()
			for _, p := range found {
				if name := o.check.table.title() + "." + quotePart(o.check.table.columns[i].name); p.of == "" || name < p.of {
					p.of = name
				}
			}
			o.mu.Unlock()
		}
	}
	for _, id := range []rowID{{o.chunk.n, n}, {-1, -1}} {
		for _, c := range o.byRow[id] {
			o.scan.find(values[c.column], o.check.columns[c.column].look, func(norm []byte, f form) {
				if string(norm) == c.norm && f == c.form {
					o.mu.Lock()
					o.there[c] = true
					o.mu.Unlock()
				}
			})
		}
	}
}

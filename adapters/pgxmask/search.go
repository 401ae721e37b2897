package pgxmask

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/crypto"
)

// candidate is a text that the filter has, and where it stands.
type candidate struct {
	norm   string
	table  int // or -1: in the schema
	column int
	form   form
}

type places struct {
	count  int64
	first  string
	values []uint64 // of a masked column: the hashes of those that it is in
	of     string   // the column that has it
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
	failure     error // of opening the copy
}

// opened returns reader for rows whose sealed values are opened, under the copy's keys.
func (s *search) opened(ctx context.Context) func(table, chunk int, place string) func(int64, [][]byte) {
	return func(table, chunk int, place string) func(int64, [][]byte) {
		t := s.v.tables[table].table
		return t.opening(ctx, s.reader(table, chunk, place), byCopy, func(err error) {
			if errors.Is(err, crypto.ErrDecrypt) {
				s.differs(t, place)
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failure = cmp.Or(s.failure, err)
		})
	}
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
	padded := chunk < 0 || t.table.sealed != nil // in other files values of char(n) have no spaces
	sum := uint64(0)
	return func(row int64, values [][]byte) {
		if row < 0 { // the end of a table
			if len(wanted) > 0 || !s.second && !t.changed && t.table.sealed == nil && sum != t.sum {
				s.differs(t.table, place)
			}
			return
		}
		if padded {
			t.table.unpad(values)
		}
		if s.second {
			for _, k := range s.keys {
				k.check(table, values)
			}
			return
		}
		for _, k := range s.keys {
			k.add(table, values)
		}
		if chunk < 0 {
			sum += s.v.steadyHash(t.table, values)
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
					s.hit(candidate{string(norm), table, i, f}, fmt.Sprintf("row %d of %s", row+1, place), values[i])
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

func (s *search) hit(c candidate, place string, value []byte) {
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
	if c.table >= 0 && s.v.tables[c.table].columns[c.column].masked && len(p.values) < maxSamples {
		p.values = append(p.values, s.v.normHash(value))
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
				s.hit(candidate{string(norm), -1, 0, f}, fmt.Sprintf("line %d of %s", n+1, name), nil)
			})
		}
	}
	return nil
}

// normHash is the hash of a value that PostgreSQL may have spaced otherwise.
func (v *verifier) normHash(value []byte) uint64 {
	var view view
	view.read(value)
	return maphash.Bytes(v.seed, view.norm)
}

// confirm reads the source once more if there are candidates: the filter takes a few
// texts for originals that are none, and what a masked column of the output has is no
// leak if none of the values that were masked to that have it, too, or if it is not there
// under other keys: then a rule inside has made it.
func (s *search) confirm(ctx context.Context, r *Verification) error {
	if s.overflow {
		r.Findings = append(r.Findings, &Finding{Kind: Leak, Reason: fmt.Sprintf("more than %d different texts may be values of masked columns: a whole column may be unmasked", maxCandidates)})
	}
	if len(s.candidates) == 0 {
		return nil
	}
	byNorm := map[string][]*places{}
	byValue := map[valueKey][]candidate{}
	composed := map[int]bool{} // tables
	for c, p := range s.candidates {
		byNorm[c.norm] = append(byNorm[c.norm], p)
		for _, h := range p.values {
			composed[c.table] = true
			key := valueKey{c.table, c.column, h}
			byValue[key] = append(byValue[key], c)
		}
	}
	there := map[candidate]bool{} // and false if a value has become that, and has it not
	var mu sync.Mutex
	err := s.v.job.parallel(ctx, s.v.job.chunks, func(ctx context.Context) (func(*pgx.Conn, *chunk) error, func(), error) {
		return func(conn *pgx.Conn, c *chunk) error {
			check := s.v.tables[c.table]
			o := &confirmation{v: s.v, check: check, table: c.table, byNorm: byNorm, byValue: byValue, scan: scanner{filter: s.v.filter}, mu: &mu, there: there}
			if composed[c.table] {
				var err error
				if o.masks, err = check.table.masker(check.table.masks); err != nil {
					return err
				}
				for _, tables := range s.v.job.plan.otherKeys {
					x, err := check.table.masker(tables[check.table.masks.Name()])
					if err != nil {
						return err
					}
					o.others = append(o.others, x)
				}
			}
			rows, err := s.v.job.rowsOf(ctx, c)
			if err != nil {
				return err
			}
			row := check.table.opening(ctx, o.row, bySource, func(err error) { o.err = cmp.Or(o.err, err) })
			_, err = conn.PgConn().CopyTo(ctx, &textReader{table: check.table, row: row}, c.sql(check.table, rows, check.isRead))
			return errors.Join(failed("read "+check.table.String()+" again", err), o.err)
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
		if found, known := there[c]; known && !found {
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
		f := &Finding{Kind: Leak}
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

// isRead reports whether a column is one that masking needs.
func (t *tableCheck) isRead(i int) bool {
	return t.columns[i].masked || t.table.columns[i].name == t.table.subject || t.table.sealed != nil
}

type valueKey struct {
	table, column int
	hash          uint64 // of the masked value
}

// confirmation looks at the source's rows for confirm.
type confirmation struct {
	v       *verifier
	check   *tableCheck
	table   int
	byNorm  map[string][]*places
	byValue map[valueKey][]candidate
	masks   *masker   // nil if no masked column has candidates
	others  []*masker // under other keys
	view    view
	scan    scanner
	err     error

	mu    *sync.Mutex
	there map[candidate]bool
}

func (o *confirmation) row(_ int64, values [][]byte) {
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
	if o.masks == nil || o.err != nil {
		return
	}
	masked, err := o.masks.mask(values)
	if err != nil {
		o.err = fmt.Errorf("pgxmask: table %s: %w", o.check.table, err)
		return
	}
	for i := range o.check.columns {
		if !o.check.columns[i].masked || o.check.columns[i].look == lookNowhere || masked[i] == nil {
			continue
		}
		candidates := o.byValue[valueKey{o.table, i, o.v.normHash(masked[i])}]
		if candidates == nil {
			continue
		}
		found := o.find(i, values[i])
		for _, x := range o.others {
			others, err := x.mask(values)
			if err != nil {
				o.err = fmt.Errorf("pgxmask: table %s: %w", o.check.table, err)
				return
			}
			again := o.find(i, others[i])
			maps.DeleteFunc(found, func(c candidate, _ bool) bool { return !again[c] })
		}
		o.mu.Lock()
		for _, c := range candidates {
			o.there[c] = o.there[c] || found[c]
		}
		o.mu.Unlock()
	}
}

// find returns what a value of a column has.
func (o *confirmation) find(column int, value []byte) map[candidate]bool {
	all := map[candidate]bool{}
	o.scan.find(value, o.check.columns[column].look, func(norm []byte, f form) {
		all[candidate{string(norm), o.table, column, f}] = true
	})
	return all
}

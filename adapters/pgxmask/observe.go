package pgxmask

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"unicode"
)

// chunk returns the observer of a chunk.
func (v *verifier) chunk(c *chunk, fresh bool) (*chunkCheck, error) {
	t := v.tables[c.table]
	again, err := t.table.masker(t.table.masks)
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

	sum uint64 // of steadyHash, for a Target

	again   *masker
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
		if bytes.ContainsFunc(value, isTold) {
			c.told++
			if bytes.Equal(value, masked) {
				c.same++
			}
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
	if o.v.job.config.Target != nil && o.check.table.sealed == nil {
		o.sum += o.steadyHash(row)
	}
	if o.fresh && maphash.Comparable(o.v.seed, [2]int64{int64(o.chunk.n), n})%o.every == 0 {
		return o.sample(n, row)
	}
	return nil
}

// steadyHash is that of the row as it goes out.
func (o *chunkCheck) steadyHash(row *maskedRow) uint64 {
	o.room = o.room[:0]
	for i := range o.values {
		switch c := &o.check.table.columns[i]; {
		case !steadyTypes[c.oid]:
		case c.rule == nil:
			o.values[i], o.room = decodeText(o.room, row.fields[i])
		default:
			o.values[i] = row.masked[i]
		}
	}
	return o.v.steadyHash(o.check.table, o.values)
}

// isTold reports whether a rune says something: an empty text, or a dash, has nothing
// to hide.
func isTold(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || r == unicode.ReplacementChar
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
		if o.check.table.sealed != nil {
			o.values[i] = bytes.Clone(row.values[i])
		} else if o.columns[i].before != nil || o.check.table.columns[i].name == o.check.table.subject {
			o.values[i], _ = decodeText(nil, bytes.Clone(field))
		}
	}
	masked, err := o.again.mask(o.values)
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

// steadyHash is that of the values of a row whose text is always the same.
func (v *verifier) steadyHash(t *table, values [][]byte) uint64 {
	var h maphash.Hash
	h.SetSeed(v.seed)
	for i := range t.columns {
		if steadyTypes[t.columns[i].oid] {
			writeValue(&h, values[i])
		}
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
		to.told += from.told
		to.before.merge(from.before)
		to.after.merge(from.after)
	}
	o.check.sum += o.sum
	if o.fresh {
		o.check.samples[o.chunk.n] = o.samples
	} else {
		o.check.changed = true
	}
	if o.check.left--; o.check.left > 0 {
		return
	}
	for i := range o.check.columns {
		if c := &o.check.columns[i]; c.masked {
			c.before.end()
			c.after.end()
		}
	}
}

// distinct counts different hashes, and notices one that comes with two others. It
// keeps those that end in so many zero bits, more as there are too many (Gibbons, Distinct
// Sampling for Highly-Accurate Answers, VLDB 2001).
type distinct struct {
	level     int
	seen      map[uint64]uint64 // nil when all is counted
	total     float64
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

// end frees what is needed no more.
func (d *distinct) end() { d.total, d.seen = d.count(), nil }

func (d *distinct) count() float64 {
	if d.seen == nil {
		return d.total
	}
	return math.Ldexp(float64(len(d.seen)), d.level)
}

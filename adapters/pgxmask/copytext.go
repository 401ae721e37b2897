package pgxmask

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/jackc/pgx/v5/pgtype"
)

// In COPY's text format a row is a line, its values are separated by tabs, \N is NULL,
// and a backslash escapes what would be mistaken for these. So a value is found without
// looking inside it, and only the values of masked columns are unescaped.
const (
	separator = '\t'
	endOfRow  = '\n'
	null      = `\N`
)

var errColumns = errors.New("the row has another number of columns than the plan")

// escapes has the letter that follows the backslash, for the bytes that are escaped.
var escapes = [256]byte{'\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v'}

// unescaped are the bytes that an escape's letter stands for; others stand for
// themselves.
var unescaped = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
	}
	for b, letter := range escapes {
		if letter != 0 {
			table[letter] = byte(b)
		}
	}
	return table
}()

// decodeText returns the value of a field, nil if it is NULL. It is part of field, or of
// room, which it extends.
func decodeText(room, field []byte) (value, _ []byte) {
	i := bytes.IndexByte(field, '\\')
	if i < 0 {
		return field[:len(field):len(field)], room
	}
	if string(field) == null {
		return nil, room
	}
	start := len(room)
	for i >= 0 && i+1 < len(field) {
		room = append(append(room, field[:i]...), unescaped[field[i+1]])
		field = field[i+2:]
		i = bytes.IndexByte(field, '\\')
	}
	room = append(room, field...)
	return room[start:len(room):len(room)], room
}

// appendText appends a value as a field of COPY text.
func appendText(dst, value []byte) []byte {
	if value == nil {
		return append(dst, null...)
	}
	if isPlain(value) {
		return append(dst, value...)
	}
	start := 0
	for i, b := range value {
		if letter := escapes[b]; letter != 0 {
			dst = append(append(dst, value[start:i]...), '\\', letter)
			start = i + 1
		}
	}
	return append(dst, value[start:]...)
}

// isPlain reports whether no byte of value is escaped: none is a backslash or less than a
// space. It looks at words, the last of which overlaps the one before.
func isPlain(value []byte) bool {
	n := len(value)
	if n < 8 {
		for _, b := range value {
			if b == '\\' || b < ' ' {
				return false
			}
		}
		return true
	}
	wrong := uint64(0)
	for i := 0; i < n; i += 8 {
		w := binary.LittleEndian.Uint64(value[min(i, n-8):])
		wrong |= less(w, ' ') | less(w^'\\'*eachByte, 1)
	}
	return wrong == 0
}

// The bytes of a word.
const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// less tells whether a byte of the word is less than n, which is at most 128: not 0, if so.
// Subtracting n sets the high bit, which it had not, of the first such byte, as none
// before borrows from it. It may set it in those after.
func less(w uint64, n uint64) uint64 { return (w - n*eachByte) &^ w & highBits }

// zeros returns the high bits of the bytes that are zero: the others have one themselves, or
// in their sum with 127, which is not carried on.
func zeros(w uint64) uint64 { return ^((w&^highBits + ^uint64(highBits)) | w) & highBits }

// splitText splits a line, without its end, into the fields of a row, and tells whether
// there is a backslash.
func splitText(fields [][]byte, line []byte) (escaped bool, _ error) {
	last := len(fields) - 1
	if last < 0 { // a table without columns
		if len(line) > 0 {
			return false, errColumns
		}
		return false, nil
	}
	start, i, backslashes := 0, 0, uint64(0)
	for at := 0; at < len(line); at += 8 {
		w := wordAt(line, at)
		backslashes |= less(w^'\\'*eachByte, 1)
		for tabs := zeros(w ^ separator*eachByte); tabs != 0; tabs &= tabs - 1 {
			if i == last {
				return false, errColumns
			}
			end := at + bits.TrailingZeros64(tabs)/8
			fields[i] = line[start:end:end]
			start = end + 1
			i++
		}
	}
	if i < last {
		return false, errColumns
	}
	fields[last] = line[start:len(line):len(line)]
	return backslashes != 0, nil
}

// wordAt returns eight bytes, with zeros after the end of v.
func wordAt(v []byte, at int) uint64 {
	if len(v)-at >= 8 {
		return binary.LittleEndian.Uint64(v[at:])
	}
	var w [8]byte
	copy(w[:], v[at:])
	return binary.LittleEndian.Uint64(w[:])
}

// maskedRow is a row on its way. Its slices are good until the next batch.
type maskedRow struct {
	fields [][]byte // as PostgreSQL sent them
	values [][]byte // decoded, and opened, of columns that are masked or the subject; of sealed tables all
	masked [][]byte // of columns that are masked
	out    [][]byte // masked, and sealed
}

// stays reports whether the field of a column goes out as it came.
func (c *column) stays() bool { return c.rule == nil && !c.sealed.made }

// stream masks COPY text: what PostgreSQL sends is written to it, in pieces of any size,
// and goes on to w in the format of the output. A few rows are masked together, which
// takes less time. It is of one goroutine.
type stream struct {
	table  *table
	ctx    context.Context
	masks  *masker
	seal   *sealer // nil for a table without sealed columns
	encode encoder
	w      io.Writer
	seen   observer // or nil

	needed []int  // columns that are decoded
	padded bool   // some are of char(n)
	lines  []byte // of the batch, and part of the next
	ends   []int  // of lines
	batch  []maskedRow
	values [][][]byte // of batch
	sealed [][]byte
	room   []byte // for values with escapes
	out    []byte
	rows   int64
	bytes  int64 // of out so far
	report func(rows, bytes int64)
}

// observer looks at every row of a chunk, and is closed if all went well.
type observer interface {
	observe(n int64, row *maskedRow) error
	close()
}

// pieceSize is how many bytes are written at a time: file systems take whole pages in less
// time than parts of them.
const pieceSize = 256 << 10

// batchRows is how many rows are gathered before they are masked, or fewer that have
// batchBytes. Sealed rows are opened in memory that is good for one.
const (
	batchRows  = 32
	batchBytes = 64 << 10
)

func newStream(ctx context.Context, t *table, encode encoder, w io.Writer) (*stream, error) {
	masks, err := t.masker(t.masks)
	if err != nil {
		return nil, err
	}
	seal, err := t.sealer()
	if err != nil {
		return nil, err
	}
	n := batchRows
	if seal != nil {
		n = 1
	}
	s := &stream{ctx: ctx, table: t, masks: masks, seal: seal, encode: encode, w: w, batch: make([]maskedRow, n), out: make([]byte, 0, pieceSize+batchBytes), report: func(int64, int64) {}}
	for i := range t.columns {
		if c := &t.columns[i]; c.rule != nil || c.name == t.subject || seal != nil {
			s.needed = append(s.needed, i)
			s.padded = s.padded || c.oid == pgtype.BPCharOID
		}
	}
	for i := range s.batch {
		row := &s.batch[i]
		row.fields, row.values = make([][]byte, len(t.columns)), make([][]byte, len(t.columns))
		s.values = append(s.values, row.values)
	}
	return s, nil
}

// names returns the names of the columns in their order.
func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i := range t.columns {
		names[i] = t.columns[i].name
	}
	return names
}

func (s *stream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, endOfRow)
		if end < 0 {
			s.lines = append(s.lines, p...)
			break
		}
		s.ends = append(s.ends, len(s.lines)+end)
		s.lines = append(s.lines, p[:end+1]...)
		p = p[end+1:]
		if len(s.ends) == len(s.batch) || len(s.lines) >= batchBytes {
			if err := s.pass(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// pass masks the rows that are gathered, and encodes those before the first one with an
// error.
func (s *stream) pass() error {
	s.room = s.room[:0]
	start, n := 0, 0
	var wrong error
	for _, end := range s.ends {
		if wrong = s.read(&s.batch[n], s.lines[start:end]); wrong != nil {
			break
		}
		start = end + 1
		n++
	}
	masked, err := s.mask(s.values[:n])
	if err != nil {
		wrong = err // of an earlier row
	}
	for i := range masked {
		s.batch[i].masked = masked[i]
		if err := s.write(&s.batch[i]); err != nil {
			return err
		}
	}
	if wrong != nil {
		return s.failed(wrong)
	}
	s.lines, s.ends = append(s.lines[:0], s.lines[start:]...), s.ends[:0]
	return nil
}

// read splits a line, and decodes and opens what is needed of it.
func (s *stream) read(row *maskedRow, line []byte) error {
	escaped, err := splitText(row.fields, line)
	if err != nil {
		return err
	}
	for _, i := range s.needed {
		if escaped {
			row.values[i], s.room = decodeText(s.room, row.fields[i])
		} else { // and so not NULL
			row.values[i] = row.fields[i]
		}
	}
	if s.seal != nil {
		return s.seal.source.Open(s.ctx, row.values)
	}
	return nil
}

// mask returns the rows before the one that the error is about.
func (s *stream) mask(rows [][][]byte) (masked [][][]byte, err error) {
	if s.seal == nil {
		if s.padded {
			for _, row := range rows {
				s.table.unpad(row)
			}
		}
		return s.masks.rows.MaskAll(rows)
	}
	for _, row := range rows {
		one, err := s.masks.mask(row)
		if err != nil {
			return masked, err
		}
		masked = append(masked, one)
	}
	return masked, nil
}

// write shows a row to the observer, seals it, and encodes it.
func (s *stream) write(row *maskedRow) error {
	if s.seen != nil {
		if err := s.seen.observe(s.rows, row); err != nil {
			return err
		}
	}
	row.out = row.masked
	if s.seal != nil {
		s.sealed = append(s.sealed[:0], row.masked...)
		s.table.pad(s.sealed)
		if err := s.seal.copy.Seal(s.ctx, s.sealed); err != nil {
			return s.failed(err)
		}
		row.out = s.sealed
	}
	s.out = s.encode(s.out, s.table, row)
	s.rows++
	if whole := len(s.out) / pieceSize * pieceSize; whole > 0 {
		return s.flush(whole)
	}
	return nil
}

// failed names the table; errors of rules name the rule and hold no value.
func (s *stream) failed(err error) error {
	return fmt.Errorf("pgxmask: table %s, row %d of the chunk: %w", s.table, s.rows+1, err)
}

// flush writes the first n bytes of what is gathered.
func (s *stream) flush(n int) error {
	written, err := s.w.Write(s.out[:n])
	s.bytes += int64(written)
	s.report(s.rows, s.bytes)
	s.out = append(s.out[:0], s.out[n:]...)
	return err
}

// close writes the rest. COPY ends every row, so part of one is an error.
func (s *stream) close() error {
	if err := s.pass(); err != nil {
		return err
	}
	if len(s.lines) > 0 {
		return s.failed(io.ErrUnexpectedEOF)
	}
	return s.flush(len(s.out))
}

func (t *table) String() string { return t.title() }

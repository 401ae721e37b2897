package pgxmask

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgtype"
)

// read calls row for every row of a file of this format, with its values, nil for NULL, in
// slices that are good until it returns. It returns the number of rows.
func (f Format) read(r io.Reader, t *table, row func(int64, [][]byte)) (int64, error) {
	switch f {
	case CSV:
		return readCSV(bufio.NewReaderSize(r, readBuffer), t, row)
	case JSONL:
		return readJSON(bufio.NewReaderSize(r, readBuffer), t, row)
	}
	w := &textReader{table: t, row: row}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, readBuffer)); err != nil {
		return w.rows, err
	}
	if len(w.partial) > 0 {
		return w.rows, io.ErrUnexpectedEOF
	}
	return w.rows, nil
}

// textReader reads the COPY text that is written to it.
type textReader struct {
	table   *table
	row     func(int64, [][]byte)
	rows    int64
	fields  [][]byte
	room    []byte
	partial []byte
}

func (r *textReader) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, endOfRow)
		if end < 0 {
			r.partial = append(r.partial, p...)
			return n, nil
		}
		line := p[:end]
		if len(r.partial) > 0 {
			r.partial = append(r.partial, line...)
			line = r.partial
		}
		if r.fields == nil {
			r.fields = make([][]byte, len(r.table.columns))
		}
		if _, err := splitText(r.fields, line); err != nil {
			return 0, err
		}
		r.room = r.room[:0]
		for i, field := range r.fields {
			r.fields[i], r.room = decodeText(r.room, field)
		}
		r.row(r.rows, r.fields)
		r.rows++
		r.partial, p = r.partial[:0], p[end+1:]
	}
}

// readCSV reads what encodeCSV wrote. encoding/csv does not tell NULL from "".
func readCSV(r *bufio.Reader, t *table, row func(int64, [][]byte)) (rows int64, err error) {
	values := make([][]byte, len(t.columns))
	var room []byte
	ends := make([]int, len(t.columns))
	for {
		room = room[:0]
		for i := range values {
			var quoted bool
			var end byte
			start := len(room)
			if room, quoted, end, err = readField(r, room); err != nil {
				if err == io.EOF && i == 0 && len(room) == start {
					return rows, nil
				}
				return rows, fmt.Errorf("row %d: %w", rows+1, io.ErrUnexpectedEOF)
			}
			if (end == endOfRow) != (i == len(values)-1) {
				return rows, fmt.Errorf("row %d: %w", rows+1, errColumns)
			}
			ends[i] = len(room)
			values[i] = nil
			if quoted || len(room) > start {
				values[i] = []byte{}
			}
		}
		start := 0
		for i := range values {
			if values[i] != nil {
				values[i] = room[start:ends[i]]
			}
			start = ends[i]
		}
		row(rows, values)
		rows++
	}
}

// readField appends a field and returns the byte that ended it.
func readField(r *bufio.Reader, dst []byte) (_ []byte, quoted bool, end byte, err error) {
	inside := false
	for {
		b, err := r.ReadByte()
		if err != nil {
			return dst, quoted, 0, err
		}
		switch {
		case b == '"' && inside:
			if next, err := r.Peek(1); err == nil && next[0] == '"' {
				r.Discard(1)
				dst = append(dst, b)
			} else {
				inside = false
			}
		case b == '"':
			quoted, inside = true, true
		case !inside && (b == ',' || b == endOfRow):
			return dst, quoted, b, nil
		default:
			dst = append(dst, b)
		}
	}
}

func readJSON(r *bufio.Reader, t *table, row func(int64, [][]byte)) (rows int64, err error) {
	d := json.NewDecoder(r)
	values := make([][]byte, len(t.columns))
	for {
		var object map[string]json.RawMessage
		if err := d.Decode(&object); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return rows, fmt.Errorf("row %d: %w", rows+1, ErrDamaged)
		}
		if len(object) != len(values) {
			return rows, fmt.Errorf("row %d: %w", rows+1, errColumns)
		}
		for i := range values {
			raw, ok := object[t.columns[i].name]
			if !ok {
				return rows, fmt.Errorf("row %d: %w", rows+1, errColumns)
			}
			values[i] = valueOfJSON(raw, t.columns[i].oid)
		}
		row(rows, values)
		rows++
	}
}

// valueOfJSON is the inverse of appendJSON, but for the spaces in json.
func valueOfJSON(raw []byte, oid uint32) []byte {
	isJSON := oid == pgtype.JSONOID || oid == pgtype.JSONBOID
	switch {
	case string(raw) == "null":
		return nil
	case oid == pgtype.BoolOID && string(raw) == "true":
		return []byte("t")
	case oid == pgtype.BoolOID && string(raw) == "false":
		return []byte("f")
	case raw[0] == '"' && !isJSON:
		var text string
		if json.Unmarshal(raw, &text) == nil {
			return []byte(text)
		}
	}
	return raw
}

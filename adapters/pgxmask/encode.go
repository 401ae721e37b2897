package pgxmask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// Format is the form of the rows in an output.
type Format string

const (
	// CopyText is COPY's text format, the default.
	CopyText Format = "copy"
	// CSV is COPY's CSV format with its defaults, without a header: NULL is an
	// empty field, an empty text is "".
	CSV Format = "csv"
	// JSONL is a JSON object in a line for every row: numbers, true and false,
	// null, json and jsonb as they are, all else as a string of PostgreSQL's text form.
	// NaN and infinities are strings.
	JSONL Format = "jsonl"
	// SQL is CopyText with the schema, by pg_dump, and a script that restores both:
	// run psql -X -f restore.sql in the folder of the output, in an empty database. It
	// needs the program zstd or gzip if the files are compressed. Sequences go on as in
	// the source, but those of masked integer columns after the greatest value: a rule
	// such as int,hi=1000000000 leaves room for the next ones.
	SQL Format = "sql"
)

// encoder appends a row. Columns that are kept are in row.fields, the others in row.out.
type encoder func(dst []byte, t *table, row *maskedRow) []byte

func (f Format) encoder() (encoder, error) {
	switch f {
	case CopyText, SQL:
		return encodeText, nil
	case CSV:
		return encodeCSV, nil
	case JSONL:
		return encodeJSON, nil
	}
	return nil, fmt.Errorf("pgxmask: unknown format %q", f)
}

// extension is that of the files.
func (f Format) extension() string {
	if f == SQL {
		return string(CopyText)
	}
	return string(f)
}

func encodeText(dst []byte, t *table, row *maskedRow) []byte {
	for i := range t.columns {
		if i > 0 {
			dst = append(dst, separator)
		}
		if t.columns[i].stays() {
			dst = append(dst, row.fields[i]...)
		} else {
			dst = appendText(dst, row.out[i])
		}
	}
	return append(dst, endOfRow)
}

// value returns the value that goes out, nil for NULL.
func (row *maskedRow) value(t *table, i int) []byte {
	if !t.columns[i].stays() {
		return row.out[i]
	}
	value, _ := decodeText(nil, row.fields[i])
	return value
}

func encodeCSV(dst []byte, t *table, row *maskedRow) []byte {
	for i := range t.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		value := row.value(t, i)
		if value == nil {
			continue
		}
		// PostgreSQL reads a line that is only \. as the end of the data.
		if len(value) > 0 && !bytes.ContainsAny(value, "\",\r\n") && string(value) != `\.` {
			dst = append(dst, value...)
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, bytes.ReplaceAll(value, []byte(`"`), []byte(`""`))...)
		dst = append(dst, '"')
	}
	return append(dst, endOfRow)
}

func encodeJSON(dst []byte, t *table, row *maskedRow) []byte {
	dst = append(dst, '{')
	for i := range t.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, []byte(t.columns[i].name)), ':')
		dst = appendJSON(dst, t.columns[i].oid, row.value(t, i))
	}
	return append(dst, '}', endOfRow)
}

func appendJSON(dst []byte, oid uint32, value []byte) []byte {
	if value == nil {
		return append(dst, "null"...)
	}
	switch oid {
	case pgtype.BoolOID:
		switch string(value) {
		case "t":
			return append(dst, "true"...)
		case "f":
			return append(dst, "false"...)
		}
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.OIDOID:
		if json.Valid(value) {
			return append(dst, value...)
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		compact := bytes.NewBuffer(dst)
		if json.Compact(compact, value) == nil {
			return compact.Bytes()
		}
	}
	return appendJSONString(dst, value)
}

// appendJSONString appends a JSON string (RFC 8259, section 7). PostgreSQL sends UTF-8;
// bytes that are not become U+FFFD.
func appendJSONString(dst, value []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for len(value) > 0 {
		switch b := value[0]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, `\n`...)
		case b == '\r':
			dst = append(dst, `\r`...)
		case b == '\t':
			dst = append(dst, `\t`...)
		case b < 0x20 || b == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		case b < utf8.RuneSelf:
			dst = append(dst, b)
		default:
			r, n := utf8.DecodeRune(value)
			dst = utf8.AppendRune(dst, r)
			value = value[n:]
			continue
		}
		value = value[1:]
	}
	return append(dst, '"')
}

package sealform

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// AppendText appends the text of a value whose sealed form is given.
func (p Type) AppendText(m *Map, dst, form []byte) ([]byte, error) {
	if p.Custom != nil {
		return append(dst, form...), nil
	}
	switch p.Class {
	case "text", "json":
		return append(dst, form...), nil
	case "jsonb":
		return append(dst, JSONText(form, p.Class)...), nil
	case "int8":
		if len(form) != 8 {
			return dst, ErrForm
		}
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(form)), 10), nil
	case "bytea":
		return hex.AppendEncode(append(dst, `\x`...), form), nil
	}
	return p.convert(m, dst, form, pgtype.BinaryFormatCode, pgtype.TextFormatCode)
}

// AppendForm appends the sealed form of a value whose text is given. It refuses what
// a Codec refuses.
func (p Type) AppendForm(m *Map, dst, text []byte) ([]byte, error) {
	out, err := p.appendForm(m, dst, text)
	if err == nil {
		err = p.checkNarrow(out[len(dst):])
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (p Type) appendForm(m *Map, dst, text []byte) ([]byte, error) {
	if !validText(text) { // pgx would replace some of it
		return dst, errText
	}
	if p.Custom != nil {
		return append(dst, text...), nil
	}
	switch p.Class {
	case "text":
		return append(dst, text...), nil
	case "json":
		return append(dst, text...), formOfJSON(text)
	case "jsonb":
		form := append(dst, 1)
		form = append(form, text...)
		return form, formOfJSONB(form[len(dst):])
	case "int8":
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return dst, valueError("the value is no integer of 64 bits")
		}
		return binary.BigEndian.AppendUint64(dst, uint64(n)), nil
	case "bytea":
		b, ok := bytes.CutPrefix(text, []byte(`\x`))
		out, err := hex.AppendDecode(dst, b)
		if !ok || err != nil {
			return dst, valueError("the value is no bytea in hex")
		}
		return out, nil
	}
	return p.convert(m, dst, text, pgtype.TextFormatCode, pgtype.BinaryFormatCode)
}

// convert appends a value in another format. Elements of JSON pass as they are: a
// number that went through a float would come out as another one.
func (p Type) convert(m *Map, dst, src []byte, from, to int16) ([]byte, error) {
	if dst == nil {
		dst = []byte{} // pgx means NULL by nil
	}
	var value any
	var err error
	t, ok := m.TypeForOID(p.OID)
	switch {
	case strings.HasPrefix(p.Class, "json"):
		value = &pgtype.Array[json.RawMessage]{}
		err = m.Scan(p.OID, from, src, value)
	case strings.Contains(p.Class, "range"):
		value = rangeValue(p.Class)
		err = m.Scan(p.OID, from, src, value)
	case strings.HasSuffix(p.Class, "[]"): // DecodeValue would lose its dimensions
		value = &pgtype.Array[any]{}
		err = m.Scan(p.OID, from, src, value)
	case ok:
		value, err = t.Codec.DecodeValue(m.Map, p.OID, from, src)
	default:
		err = ErrForm
	}
	if err == nil {
		var out []byte
		if out, err = m.Encode(p.OID, to, value, dst); err == nil && out != nil {
			return out, nil
		}
	}
	return dst, refusal(err, "the value does not fit type "+p.Name())
}

// rangeValue returns what values of a class of ranges are scanned into: pgx's own
// choice could not be encoded again.
func rangeValue(class string) any {
	switch {
	case strings.HasPrefix(class, "int4"):
		return newRange[pgtype.Int4](class)
	case strings.HasPrefix(class, "int8"):
		return newRange[pgtype.Int8](class)
	case strings.HasPrefix(class, "num"):
		return newRange[pgtype.Numeric](class)
	case strings.HasPrefix(class, "date"):
		return newRange[pgtype.Date](class)
	case strings.HasPrefix(class, "tstz"):
		return newRange[pgtype.Timestamptz](class)
	}
	return newRange[pgtype.Timestamp](class)
}

func newRange[E any](class string) any {
	switch {
	case strings.HasSuffix(class, "multirange[]"):
		return &pgtype.Array[pgtype.Multirange[pgtype.Range[E]]]{}
	case strings.HasSuffix(class, "multirange"):
		return &pgtype.Multirange[pgtype.Range[E]]{}
	case strings.HasSuffix(class, "[]"):
		return &pgtype.Array[pgtype.Range[E]]{}
	}
	return &pgtype.Range[E]{}
}

package sealform

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// AppendText appends the text of a value whose sealed form is given.
func (p Type) AppendText(m *pgtype.Map, dst, form []byte) ([]byte, error) {
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

// AppendForm appends the sealed form of a value whose text is given.
func (p Type) AppendForm(m *pgtype.Map, dst, text []byte) ([]byte, error) {
	if s := string(text); p.Custom != nil || p.Class == "text" {
		return appendText(dst, &s)
	}
	switch p.Class {
	case "json", "jsonb":
		if !json.Valid(text) {
			return dst, errors.New("the value is no JSON")
		}
		if p.Class == "jsonb" {
			dst = append(dst, 1)
		}
		return append(dst, text...), nil
	case "int8":
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return dst, errors.New("the value is no integer of 64 bits")
		}
		return binary.BigEndian.AppendUint64(dst, uint64(n)), nil
	case "bytea":
		b, ok := bytes.CutPrefix(text, []byte(`\x`))
		out, err := hex.AppendDecode(dst, b)
		if !ok || err != nil {
			return dst, errors.New("the value is no bytea in hex")
		}
		return out, nil
	}
	return p.convert(m, dst, text, pgtype.TextFormatCode, pgtype.BinaryFormatCode)
}

// convert appends a value in another format. Elements of JSON pass as they are: a
// number that went through a float would come out as another one.
func (p Type) convert(m *pgtype.Map, dst, src []byte, from, to int16) ([]byte, error) {
	var value any
	var err error
	t, ok := m.TypeForOID(p.OID)
	switch {
	case strings.HasPrefix(p.Class, "json"):
		value = &pgtype.Array[json.RawMessage]{}
		err = m.Scan(p.OID, from, src, value)
	case strings.HasSuffix(p.Class, "[]"): // DecodeValue would lose its dimensions
		value = &pgtype.Array[any]{}
		err = m.Scan(p.OID, from, src, value)
	case ok:
		value, err = t.Codec.DecodeValue(m, p.OID, from, src)
	default:
		err = ErrForm
	}
	if err == nil {
		var out []byte
		if out, err = m.Encode(p.OID, to, value, dst); err == nil && out != nil {
			return out, nil
		}
	}
	return dst, fmt.Errorf("the value does not fit type %s", p.Name()) // pgx's error may quote it
}

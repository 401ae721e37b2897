package pgxfield

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// tokenized is what makes a sealed column one of format-preserving tokens. The
// column is text, or an integer whose decimal form is the token.
type tokenized struct {
	format  *token.FormatPreserving
	key     string // the column of the key id, "" if a version is pinned
	integer bool
	lo, hi  int64  // of integers
	pattern string // of texts, "" if separators may be anywhere
}

// tokenize makes s, whose codec is there, a column of tokens.
func (t *table) tokenize(kr *keyring.Keyring, s *sealed, logical string, tag *tokenTag) (err error) {
	s.token = &tokenized{key: tag.key, integer: s.pg.Class == "int8"}
	if s.pg.Class != "text" && !s.token.integer {
		return fmt.Errorf("a token stands in a column of text or of integers, and the type is %s", s.pg.Class)
	}
	if s.token.format, err = token.NewFormatPreserving(kr, logical, tag.FormatPreservingConfig); err != nil {
		return err
	}
	format, err := fpe.Parse(tag.Format)
	if err != nil {
		return err
	}
	if tag.Separators == token.RejectSeparators {
		s.token.pattern = format.Regexp()
	}
	if s.token.integer {
		var ok bool
		if s.token.lo, s.token.hi, ok = format.Decimal(); !ok {
			return fmt.Errorf("tokens of format %s are not all decimal integers without leading zeros: they need a column of text", tag.Format)
		}
	}
	if tag.key == "" {
		return nil
	}
	return t.addName(argument{name: tag.key, sealed: s, keyID: true})
}

// madeToken is a token of one row, and its key. Both are from one call, lest a
// rotation come between them.
type madeToken struct {
	of    *sealed
	value any
	id    keyring.KeyID
}

// tokenValue returns the token of plain, or its key id as a is the column of that.
func (w *writer) tokenValue(a argument, plain []byte, scope string) (any, error) {
	i := slices.IndexFunc(w.tokens, func(m madeToken) bool { return m.of == a.sealed })
	if i < 0 {
		value, id, err := a.sealed.token.make(w.ctx, w.scratch, plain, scope)
		if err != nil {
			return nil, err
		}
		i = len(w.tokens)
		w.tokens = append(w.tokens, madeToken{a.sealed, value, id})
	}
	if a.keyID {
		return w.tokens[i].id.Bytes(), nil
	}
	return w.tokens[i].value, nil
}

// make returns the token of a sealed form, as the column takes it.
func (t *tokenized) make(ctx context.Context, s *scratch, plain []byte, scope string) (any, keyring.KeyID, error) {
	text, err := t.text(s, plain)
	if err != nil {
		return nil, 0, err
	}
	text, id, err := t.format.AppendTokenize(ctx, text[:0], text, scope)
	if err != nil {
		return nil, 0, err
	}
	s.text = text
	value, err := t.value(string(text))
	return value, id, err
}

// text returns the value that has the sealed form plain: plain itself, or the
// decimal form of an integer, in the memory of s.
func (t *tokenized) text(s *scratch, plain []byte) ([]byte, error) {
	if !t.integer {
		s.text = append(s.text[:0], plain...)
		return s.text, nil
	}
	n := int64(binary.BigEndian.Uint64(plain))
	if n < t.lo || n > t.hi {
		return nil, fmt.Errorf("%w: a number outside %d..%d", token.ErrFormat, t.lo, t.hi)
	}
	s.text = strconv.AppendInt(s.text[:0], n, 10)
	return s.text, nil
}

// value returns a token as an argument of a statement.
func (t *tokenized) value(text string) (any, error) {
	if !t.integer {
		return text, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// planToken finds the key column of a token.
func (s *sealedTarget) planToken(fields []pgconn.FieldDescription, prefix string) error {
	types := []uint32{pgtype.TextOID, pgtype.VarcharOID}
	if s.token.integer {
		types = []uint32{pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID}
	}
	if !slices.Contains(types, s.result.DataTypeOID) {
		return fmt.Errorf("column %s of the result is not of the type of its tokens", s.result.Name)
	}
	if s.token.key == "" {
		return nil
	}
	s.key = slices.IndexFunc(fields, func(fd pgconn.FieldDescription) bool { return fd.Name == prefix+s.token.key })
	switch {
	case s.key < 0:
		return fmt.Errorf("the result has the tokens of %s without %s, which says what key they are under", s.result.Name, prefix+s.token.key)
	case fields[s.key].DataTypeOID != pgtype.ByteaOID:
		return fmt.Errorf("column %s of the result is no bytea", prefix+s.token.key)
	}
	s.keyText = fields[s.key].Format == pgx.TextFormatCode
	return nil
}

func (o *opener) openToken(target *sealedTarget, values [][]byte, scope string) error {
	id, err := o.keyID(target, values)
	if err != nil {
		return err
	}
	o.bytea, err = target.tokenText(o.bytea[:0], values[target.position])
	if err != nil {
		return err
	}
	plain, err := target.token.format.AppendDetokenize(o.ctx, o.plain[:0], o.bytea, id, scope)
	if err != nil {
		return err
	}
	o.plain = plain
	if target.token.integer {
		n, err := strconv.ParseInt(string(plain), 10, 64)
		if err != nil { // not that, which quotes the value
			return &crypto.DecryptError{Field: target.name(), KeyID: id, Err: sealform.ErrRange}
		}
		o.plain = binary.BigEndian.AppendUint64(plain[:0], uint64(n))
	}
	return target.codec.Decode(o.types, o.plain, target.field)
}

// keyID returns the id in the key column, or zero if a version is pinned. A NULL,
// or what is no id, refuses the token like a ciphertext without one.
func (o *opener) keyID(target *sealedTarget, values [][]byte) (id keyring.KeyID, err error) {
	if target.key < 0 {
		return 0, nil
	}
	value := values[target.key]
	if target.keyText && value != nil {
		if value, err = o.decodeHex(value); err != nil {
			return 0, err
		}
	}
	return target.token.keyID(target.name(), value)
}

// keyID returns the id that a column holds.
func (t *tokenized) keyID(field string, value []byte) (id keyring.KeyID, err error) {
	if len(value) == 4 {
		id = keyring.KeyID(binary.BigEndian.Uint32(value))
	}
	if !id.Valid() {
		return 0, &crypto.DecryptError{Field: field, Err: fmt.Errorf("column %s holds no key id", t.key)}
	}
	return id, nil
}

// tokenText appends the token that a column of the result holds.
func (s *sealedTarget) tokenText(dst, value []byte) ([]byte, error) {
	if !s.token.integer || s.result.Format == pgx.TextFormatCode {
		return append(dst, value...), nil
	}
	switch len(value) {
	case 2:
		return strconv.AppendInt(dst, int64(int16(binary.BigEndian.Uint16(value))), 10), nil
	case 4:
		return strconv.AppendInt(dst, int64(int32(binary.BigEndian.Uint32(value))), 10), nil
	case 8:
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(value)), 10), nil
	}
	return nil, sealform.ErrForm
}

// Tokens returns the tokens that rows with the value v may have in a column of
// tokens whose version is pinned, for a search with
//
//	where pan = any($1)
//
// which is a []string, or []int64 if the column holds integers: of one token, or
// of none before the version's key was made. v is as for Match. A column with
// key= is searched by an index=, since equal tokens under different keys are
// different values.
func (t *Table[T]) Tokens(ctx context.Context, column string, v any) (any, error) {
	tokens, err := t.table.tokens(ctx, column, v, t.scope)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: %s: tokens: %w", t.table.label(column), err)
	}
	return tokens, nil
}

func (t *table) tokens(ctx context.Context, column string, v any, scope string) (any, error) {
	s := t.names[column].sealed
	switch {
	case s == nil || s.column != column || s.token == nil:
		return nil, errors.New("it is no column of tokens")
	case s.token.key != "":
		return nil, fmt.Errorf("its rows are under different keys (%s): give it an index= and use Match", s.token.key)
	}
	sc := getScratch()
	defer sc.release()
	if err := s.encodeSearched(sc, v); err != nil {
		return nil, err
	}
	text, err := s.token.text(sc, sc.plain)
	if err != nil {
		return nil, err
	}
	found, _, err := s.token.format.Match(ctx, text, scope)
	if err != nil {
		return nil, err
	}
	if !s.token.integer {
		return found, nil
	}
	integers := make([]int64, len(found))
	for i, f := range found {
		if integers[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return nil, err
		}
	}
	return integers, nil
}

// tokenCheck holds for tokens of the column, of the given type, and for values
// too; it is empty where nothing would.
func (s *sealed) tokenCheck(column string) string {
	switch {
	case s.token.integer:
		return fmt.Sprintf("%[1]s operator(pg_catalog.>=) '%[2]d'::bigint and %[1]s operator(pg_catalog.<=) '%[3]d'::bigint", column, s.token.lo, s.token.hi)
	case s.token.pattern != "":
		return fmt.Sprintf("%s operator(pg_catalog.~) '%s'", column, strings.ReplaceAll(s.token.pattern, "'", "''"))
	}
	return ""
}

// keyCheck holds for a token with a key id, and for NULL with NULL.
func keyCheck(column, key string) string {
	return fmt.Sprintf(`(%[1]s is null) operator(pg_catalog.=) (%[2]s is null) and pg_catalog.octet_length(%[2]s) operator(pg_catalog.=) 4 and %[2]s operator(pg_catalog.>=) '\x80000000'::pg_catalog.bytea`, column, key)
}

// integerTypes are those of the catalogue that hold the integers.
func (t *tokenized) integerTypes() []string {
	all := []string{"int8"}
	if t.lo >= math.MinInt32 && t.hi <= math.MaxInt32 {
		all = append(all, "int4")
	}
	if t.lo >= math.MinInt16 && t.hi <= math.MaxInt16 {
		all = append(all, "int2")
	}
	return all
}

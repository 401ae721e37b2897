package pgxfield

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// TextRows opens and seals rows whose values are text, as COPY and psql have them,
// for programs that copy tables from one keyring to another: open a row with the
// TextRows of one Table, change what has to change, and seal it with those of
// another. It is of one goroutine, and nothing prints what it holds.
type TextRows struct {
	hidden func() *textRows // a func, where no printer finds it
}

type textRows struct {
	*table
	scope   string
	columns []string
	targets []textTarget
	tags    []textTag
	place   []textKey // the row key
	scopeAt *textKey  // nil if the scope is that of In
	form    []byte
	rowKey  []byte
	opened  []byte // the values of the row that was opened last; not nil, or an empty value would be NULL
	made    []byte // and of the one that was sealed
}

// textTarget is a sealed column.
type textTarget struct {
	*sealed
	at, key int // positions of the value and of its key id, or -1
}

// textTag is an index column.
type textTag struct {
	*indexed
	at, unique int   // positions of the columns, or -1
	of         []int // indexes of targets
}

// textKey is a column of the row key, or of the scope.
type textKey struct {
	keyColumn
	at int
}

// TextRows returns what opens and seals rows of these columns, in this order.
// Columns that the Table does not know are left alone. If a sealed column is
// among them, all that belong to it have to be: the row key, the scope's column,
// the index columns and that of the key id.
func (t *Table[T]) TextRows(columns []string) (*TextRows, error) {
	r, err := t.table.textRows(columns, t.scope)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: %s: %w", t.table.title(), err)
	}
	return &TextRows{func() *textRows { return r }}, nil
}

func (t *table) textRows(columns []string, scope string) (*textRows, error) {
	r := &textRows{table: t, scope: scope, columns: slices.Clone(columns), opened: make([]byte, 0, 512)}
	var missing []error
	find := func(name, of string) int {
		at := slices.Index(columns, name)
		if at < 0 {
			missing = append(missing, fmt.Errorf("column %s is missing beside %s", name, of))
		} else if slices.Contains(columns[at+1:], name) {
			missing = append(missing, fmt.Errorf("column %s is there twice", name))
		}
		return at
	}
	for _, s := range t.sealed {
		if !slices.Contains(columns, s.column) {
			continue
		}
		target := textTarget{sealed: s, at: find(s.column, s.column), key: -1}
		if s.token != nil && s.token.key != "" {
			target.key = find(s.token.key, s.column)
		}
		r.targets = append(r.targets, target)
		for _, k := range t.placeOf(s) {
			find(k.column, s.column)
		}
	}
	for _, k := range t.key {
		r.place = append(r.place, textKey{k, slices.Index(columns, k.column)})
	}
	if t.scopeOf != nil {
		r.scopeAt = &textKey{*t.scopeOf, slices.Index(columns, t.scopeOf.column)}
	}
	for _, x := range t.indexes {
		tag := textTag{indexed: x, unique: -1}
		for _, s := range x.of {
			tag.of = append(tag.of, slices.IndexFunc(r.targets, func(target textTarget) bool { return target.sealed == s }))
		}
		switch {
		case !slices.Contains(tag.of, -1):
			tag.at = find(x.column, x.columns())
			if x.unique != "" {
				tag.unique = find(x.unique, x.columns())
			}
			r.tags = append(r.tags, tag)
		case slices.ContainsFunc(x.tagColumns(), func(c string) bool { return slices.Contains(columns, c) }):
			missing = append(missing, fmt.Errorf("column %s is there without all of %s", x.column, x.columns()))
		}
	}
	return r, errors.Join(missing...)
}

// SealedColumn is a column of a Table that is sealed.
type SealedColumn struct {
	Column string
	// Type is that of the values, by its name in pg_type or with [] for an array:
	// int8 for all integers, text for varchar and the like, and a custom type's own.
	Type string
	// With are the columns that are written together with this one: that of its key
	// ids and the index columns, those of compound indexes included.
	With []string
}

// Sealed returns the sealed columns in a new slice, in the order of Columns.
func (t *Table[T]) Sealed() []SealedColumn { return t.table.sealedColumns() }

func (t *table) sealedColumns() []SealedColumn {
	all := make([]SealedColumn, len(t.sealed))
	for i, s := range t.sealed {
		all[i] = SealedColumn{s.column, s.pg.Name(), s.companions()}
		for _, x := range t.compound() {
			if slices.Contains(x.of, s) {
				all[i].With = append(all[i].With, x.tagColumns()...)
			}
		}
	}
	return all
}

// Open replaces the sealed values of a row by what they hold, as text of the type
// that was sealed, and index tags and key ids by nil, which is NULL. The values
// are good until the next Open. A value that does not open is an error as for
// Row; then the row has to be thrown away.
func (r *TextRows) Open(ctx context.Context, row [][]byte) error {
	if err := r.hidden().open(ctx, row); err != nil {
		return fmt.Errorf("pgxfield: %s: %w", r.hidden().title(), err)
	}
	return nil
}

// Seal replaces the values of the sealed columns, which are text of the type to
// seal, by sealed ones, and fills index columns and those of key ids. The values are
// good until the next Seal. It refuses what Args refuses; then the row has to be
// thrown away, since it holds plaintext.
func (r *TextRows) Seal(ctx context.Context, row [][]byte) error {
	if err := r.hidden().seal(ctx, row); err != nil {
		return fmt.Errorf("pgxfield: %s: %w", r.hidden().title(), err)
	}
	return nil
}

func (r *textRows) start(row [][]byte) (crypto.Binding, error) {
	at := crypto.Binding{Scope: r.scope}
	if len(row) != len(r.columns) {
		return at, fmt.Errorf("the row has %d values for %d columns", len(row), len(r.columns))
	}
	if r.scopeAt != nil && len(r.targets) > 0 {
		text, err := r.scopeAt.text(row)
		switch {
		case err != nil:
			return at, fmt.Errorf("scope %w", err)
		case r.scope != "" && r.scope != string(text):
			return at, fmt.Errorf("the row's %s is another scope than that of the table", r.scopeAt.column)
		}
		at.Scope = string(text)
	}
	if !slices.ContainsFunc(r.targets, func(t textTarget) bool { return t.bound }) {
		return at, nil
	}
	r.rowKey = binary.BigEndian.AppendUint32(r.rowKey[:0], uint32(len(r.place)))
	for i := range r.place {
		text, err := r.place[i].text(row)
		if err != nil {
			return at, fmt.Errorf("row key %w", err)
		}
		r.rowKey = append(binary.BigEndian.AppendUint32(r.rowKey, uint32(len(text))), text...)
	}
	at.Row = r.rowKey
	return at, nil
}

// text returns the text of a key, as keyColumn.appendText has it.
func (k *textKey) text(row [][]byte) ([]byte, error) {
	text := row[k.at]
	if k.Class == "bytea" && text != nil {
		var ok bool
		if text, ok = bytes.CutPrefix(text, []byte(`\x`)); !ok {
			return nil, fmt.Errorf("column %s is no bytea in hex", k.column)
		}
	}
	zero := k.Class == "int8" && string(text) == "0" || k.Class == "uuid" && len(bytes.Trim(text, "0-")) == 0
	if len(text) == 0 || zero {
		return nil, fmt.Errorf("column %s is NULL or zero", k.column)
	}
	return text, nil
}

// from returns what b holds from start on.
func from(b []byte, start int) []byte { return b[start:len(b):len(b)] }

func (r *textRows) open(ctx context.Context, row [][]byte) error {
	r.opened = r.opened[:0]
	at, err := r.start(row)
	if err != nil {
		return err
	}
	sc := getScratch()
	defer sc.release()
	for i := range r.targets {
		target := &r.targets[i]
		if row[target.at] == nil {
			continue
		}
		if row[target.at], err = r.openValue(ctx, sc, target, row, at); err != nil {
			return fmt.Errorf("column %s%s: %w", target.column, r.keyNames(target.sealed), err)
		}
	}
	for i := range r.targets {
		if key := r.targets[i].key; key >= 0 {
			row[key] = nil
		}
	}
	for i := range r.tags {
		row[r.tags[i].at] = nil
		if r.tags[i].unique >= 0 {
			row[r.tags[i].unique] = nil
		}
	}
	return nil
}

// openValue returns the text of a value, in the memory of r.
func (r *textRows) openValue(ctx context.Context, sc *scratch, target *textTarget, row [][]byte, at crypto.Binding) (text []byte, err error) {
	start := len(r.opened)
	if target.token != nil {
		var id keyring.KeyID
		if target.key >= 0 {
			if id, err = sc.textKeyID(target, row[target.key]); err != nil {
				return nil, err
			}
		}
		out, err := target.token.format.AppendDetokenize(ctx, r.opened, row[target.at], id, at.Scope)
		if err != nil {
			return nil, err
		}
		r.opened = out
		return from(r.opened, start), nil
	}
	ciphertext, err := sc.decodeHex(row[target.at])
	if err != nil {
		return nil, err
	}
	if !target.bound {
		at.Row = nil
	}
	plain, err := target.crypto.AppendDecrypt(ctx, sc.plain[:0], ciphertext, at)
	if err != nil {
		return nil, err
	}
	sc.plain = plain
	if r.opened, err = target.pg.AppendText(sc.types, r.opened, sc.plain); err != nil {
		return nil, err
	}
	return from(r.opened, start), nil
}

// textKeyID is keyID for a key column in text form.
func (s *scratch) textKeyID(target *textTarget, value []byte) (id keyring.KeyID, err error) {
	if value != nil {
		if value, err = s.decodeHex(value); err != nil {
			return 0, err
		}
	}
	return target.token.keyID(target.name(), value)
}

func (r *textRows) seal(ctx context.Context, row [][]byte) error {
	at, err := r.start(row)
	if err != nil {
		return err
	}
	sc := getScratch()
	defer sc.release()
	forms := make([][]byte, len(r.targets))
	r.form, r.made = r.form[:0], r.made[:0]
	defer func() { clear(r.form[:cap(r.form)]) }()
	for i := range r.targets {
		target := &r.targets[i]
		if target.key >= 0 {
			row[target.key] = nil
		}
		if row[target.at] == nil {
			continue
		}
		if err := r.sealValue(ctx, sc, target, row, at, &forms[i]); err != nil {
			return fmt.Errorf("column %s%s: %w", target.column, r.keyNames(target.sealed), err)
		}
	}
	for i := range r.tags {
		if err := r.sealTags(ctx, &r.tags[i], row, forms, at.Scope); err != nil {
			return fmt.Errorf("column %s: %w", r.tags[i].column, err)
		}
	}
	return nil
}

// sealValue replaces a value, and sets *form to the form in which it was sealed.
func (r *textRows) sealValue(ctx context.Context, sc *scratch, target *textTarget, row [][]byte, at crypto.Binding, form *[]byte) (err error) {
	start := len(r.form)
	if r.form, err = target.pg.AppendForm(sc.types, r.form, row[target.at]); err != nil {
		return err
	}
	*form = from(r.form, start)
	if token.IsToken(*form) {
		return token.ErrIsToken
	}
	if err := (&argument{sealed: target.sealed}).checkSize(len(*form)); err != nil {
		return err
	}
	if err := r.refuseSealed(ctx, target.sealed, *form, at.Scope); err != nil {
		return err
	}
	first := len(r.made)
	if target.token != nil {
		text, err := target.token.text(sc, *form)
		if err != nil {
			return err
		}
		out, id, err := target.token.format.AppendTokenize(ctx, r.made, text, at.Scope)
		if err != nil {
			return err
		}
		r.made = out
		row[target.at] = from(r.made, first)
		if target.key >= 0 {
			row[target.key] = r.hex(id.Bytes())
		}
		return nil
	}
	if !target.bound {
		at.Row = nil
	}
	if sc.bytea, err = target.crypto.AppendEncrypt(ctx, sc.bytea[:0], *form, at); err != nil {
		return err
	}
	row[target.at] = r.hex(sc.bytea)
	return nil
}

// hex returns the text form of a bytea.
func (r *textRows) hex(b []byte) []byte {
	start := len(r.made)
	r.made = hex.AppendEncode(append(r.made, `\x`...), b)
	return from(r.made, start)
}

func (r *textRows) sealTags(ctx context.Context, tag *textTag, row, forms [][]byte, scope string) error {
	row[tag.at] = nil
	if tag.unique >= 0 {
		row[tag.unique] = nil
	}
	parts := make([][]byte, len(tag.of))
	for i, of := range tag.of {
		if row[r.targets[of].at] == nil {
			return nil
		}
		parts[i] = forms[of]
	}
	plain := parts[0]
	if len(parts) > 1 {
		plain = token.Values(parts...)
	}
	switch {
	case tag.array():
		tags, err := tag.token.Tags(ctx, plain, scope)
		if err != nil {
			return err
		}
		start := len(r.made)
		r.made = appendByteaArray(r.made, tags)
		row[tag.at] = from(r.made, start)
	case tag.unique >= 0:
		pair, err := tag.token.TagPair(ctx, plain, scope)
		if err != nil {
			return err
		}
		for i, at := range [...]int{tag.at, tag.unique} {
			if pair[i] != nil {
				row[at] = r.hex(pair[i])
			}
		}
	default:
		one, err := tag.token.Tag(ctx, plain, scope)
		if err != nil {
			return err
		}
		row[tag.at] = r.hex(one)
	}
	return nil
}

// appendByteaArray appends the text form of a bytea[].
func appendByteaArray(dst []byte, values [][]byte) []byte {
	dst = append(dst, '{')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(hex.AppendEncode(append(dst, `"\\x`...), v), '"')
	}
	return append(dst, '}')
}

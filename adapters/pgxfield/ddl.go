package pgxfield

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/token"
)

// DDL returns the statements that make the database refuse plaintext in sealed
// columns, to be executed one by one by the owner of the table: for each sealed
// and each index column a CHECK that only sealed values (only tags, NULL aside)
// pass, and for each index column a btree index, a unique one with unique=, or a
// GIN index where it is an array: it has to be bytea[] for indexes of kinds
// prefix, suffix and ngram. The table and its columns have to exist.
//
// Format-preserving tokens look like the values that they stand for, and no CHECK
// can tell them apart. The one on such a column refuses what is not of the
// format; the one on its key column refuses a token without a key id, and so
// plaintext that is written by something that does not know of key ids.
//
// Running the statements again changes nothing. The CHECKs are added "not valid"
// and validated after that, which locks out no writer for long; creating an
// index does, so on a large table create it "concurrently" beforehand, under the
// name given here or any other.
//
// A CHECK catches accidents: raw SQL, another program, a typo. It is no proof
// against somebody who writes what looks sealed; opening the value is.
func (t *Table[T]) DDL() []string { return t.table.ddl() }

func (t *table) ddl() []string {
	var all []string
	for _, s := range t.sealed {
		if s.token != nil {
			all = append(all, t.tokenDDL(s)...)
		} else {
			all = append(all, t.addCheck(s.column, "sealed", sealedCheck(quote(s.column), s.leastSize()))...)
		}
		if s.siv != nil {
			all = append(all, t.createIndex(s.column, "index", ""))
		}
		for _, x := range s.indexes {
			all = append(all, t.indexDDL(x)...)
		}
	}
	for _, x := range t.compound() {
		all = append(all, t.indexDDL(x)...)
	}
	return all
}

// tokenDDL returns the statements for a column of tokens.
func (t *table) tokenDDL(s *sealed) (all []string) {
	if expression := s.tokenCheck(quote(s.column)); expression != "" {
		all = t.addCheck(s.column, "format", expression)
	}
	if s.token.key != "" {
		all = append(all, t.addCheck(s.token.key, "keyid", keyCheck(quote(s.column), quote(s.token.key)))...)
	}
	return all
}

func (t *table) indexDDL(x *indexed) (all []string) {
	what, using := "index", ""
	switch {
	case x.array():
		using = "using gin "
	case x.unique != "":
		what = "unique index"
	}
	for _, column := range x.tagColumns() {
		all = append(all, t.addCheck(column, "tag", x.check(quote(column)))...)
		all = append(all, t.createIndex(column, what, using))
	}
	return all
}

func (t *table) createIndex(column, what, using string) string {
	return fmt.Sprintf("create %s if not exists %s on %s %s(%s)", what, quote(t.objectName(column, "key")), t.name.Sanitize(), using, quote(column))
}

// addCheck returns the statements that add a CHECK, unless it is there.
func (t *table) addCheck(column, suffix, expression string) []string {
	name := quote(t.objectName(column, suffix))
	add := fmt.Sprintf("alter table %s add constraint %s check (%s) not valid", t.name.Sanitize(), name, expression)
	mark := "$ddl$"
	for i := 0; strings.Contains(add, mark); i++ {
		mark = fmt.Sprintf("$ddl%d$", i)
	}
	return []string{
		fmt.Sprintf("do %[1]s begin %[2]s; exception when duplicate_object then null; end %[1]s", mark, add),
		fmt.Sprintf("alter table %s validate constraint %s", t.name.Sanitize(), name),
	}
}

// sealedCheck holds for what crypto.Field and token.Deterministic write: 0x01, a
// key id whose high bit is set, and at least so many bytes.
func sealedCheck(column string, least int) string {
	return fmt.Sprintf(`substring(%[1]s from 1 for 2) operator(pg_catalog.>=) '\x0180'::pg_catalog.bytea and substring(%[1]s from 1 for 2) operator(pg_catalog.<=) '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length(%[1]s) operator(pg_catalog.>=) %d`, column, least)
}

// leastSize is the size of a sealed value that is empty.
func (s *sealed) leastSize() int {
	if s.siv != nil {
		return token.DeterministicOverhead
	}
	return 33 // AES-256-GCM
}

// check holds for what token.Index writes.
func (x *indexed) check(column string) string {
	if x.array() {
		return fmt.Sprintf(`'\x0180'::pg_catalog.bytea operator(pg_catalog.<=) all (%[1]s) and '\x0200'::pg_catalog.bytea operator(pg_catalog.>) all (%[1]s) and pg_catalog.array_position(%[1]s, null::pg_catalog.bytea) is null`, column)
	}
	return fmt.Sprintf("pg_catalog.octet_length(%s) operator(pg_catalog.=) %d", column, x.token.Size())
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// objectName names what belongs to a column. PostgreSQL would cut off a name of
// more than 63 bytes, and so take two for one.
func (t *table) objectName(column, suffix string) string {
	const most = 63
	name := fmt.Sprintf("%s_%s_%s", t.name[len(t.name)-1], column, suffix)
	if len(name) <= most {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	cut := name[:most-9]
	for !utf8.ValidString(cut) && len(cut) > most-13 {
		cut = cut[:len(cut)-1]
	}
	return fmt.Sprintf("%s_%08x", cut, h.Sum32())
}

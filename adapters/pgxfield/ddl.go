package pgxfield

import (
	"fmt"

	"github.com/sealfield/sealfield/internal/pgsql"
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
// name given here or any other. Two programs that create one at the same time can make
// one of them fail with SQLSTATE 23505: run it again. An index of the same name on
// another table makes the statement do nothing, without an error: call Verify, which
// then misses the index.
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
			all = append(all, pgsql.AddCheck(t.name, s.column, "sealed", pgsql.SealedCheck(quote(s.column), s.leastSize()))...)
		}
		if s.siv != nil {
			all = append(all, pgsql.CreateIndex(t.name, s.column, "index", ""))
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
		all = pgsql.AddCheck(t.name, s.column, "format", expression)
	}
	if s.token.key != "" {
		all = append(all, pgsql.AddCheck(t.name, s.token.key, "keyid", keyCheck(quote(s.column), quote(s.token.key)))...)
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
		all = append(all, pgsql.AddCheck(t.name, column, "tag", x.check(quote(column)))...)
		all = append(all, pgsql.CreateIndex(t.name, column, what, using))
	}
	return all
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
	return pgsql.TagCheck(column, x.token.Size())
}

func quote(name string) string { return pgsql.Quote(name) }

// Package pgsql holds what several adapters say in SQL: names, and the statements
// that make PostgreSQL refuse plaintext in sealed columns.
package pgsql

import (
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Quote quotes a name.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// CreateIndex returns the statement that creates an index on a column, unless it is
// there. What is "index" or "unique index", using "" or "using METHOD ".
func CreateIndex(table pgx.Identifier, column, what, using string) string {
	return fmt.Sprintf("create %s if not exists %s on %s %s(%s)", what, Quote(ObjectName(table, column, "key")), table.Sanitize(), using, Quote(column))
}

// AddCheck returns the statements that add a CHECK on a column, unless it is there.
func AddCheck(table pgx.Identifier, column, suffix, expression string) []string {
	name := Quote(ObjectName(table, column, suffix))
	add := fmt.Sprintf("alter table %s add constraint %s check (%s) not valid", table.Sanitize(), name, expression)
	mark := "$ddl$"
	for i := 0; strings.Contains(add, mark); i++ {
		mark = fmt.Sprintf("$ddl%d$", i)
	}
	return []string{
		fmt.Sprintf("do %[1]s begin %[2]s; exception when duplicate_object then null; end %[1]s", mark, add),
		fmt.Sprintf("alter table %s validate constraint %s", table.Sanitize(), name),
	}
}

// SealedCheck holds for what crypto.Field and token.Deterministic write: 0x01, a
// key id whose high bit is set, and at least so many bytes.
func SealedCheck(column string, least int) string { return check(column, ">=", least) }

// TagCheck holds for what token.Index writes: the same in exactly so many bytes.
func TagCheck(column string, size int) string { return check(column, "=", size) }

func check(column, compare string, size int) string {
	return fmt.Sprintf(`substring(%[1]s from 1 for 2) operator(pg_catalog.>=) '\x0180'::pg_catalog.bytea and substring(%[1]s from 1 for 2) operator(pg_catalog.<=) '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length(%[1]s) operator(pg_catalog.%[2]s) %[3]d`, column, compare, size)
}

// ObjectName names what belongs to a column. PostgreSQL would cut off a name of
// more than 63 bytes, and so take two for one.
func ObjectName(table pgx.Identifier, column, suffix string) string {
	name := fmt.Sprintf("%s_%s_%s", table[len(table)-1], column, suffix)
	if len(name) <= maxName {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	cut := name[:maxName-9]
	for !utf8.ValidString(cut) && len(cut) > maxName-13 {
		cut = cut[:len(cut)-1]
	}
	return fmt.Sprintf("%s_%08x", cut, h.Sum32())
}

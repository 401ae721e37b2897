package sqlfield

import (
	"fmt"

	"github.com/sealfield/sealfield/internal/pgsql"
	"github.com/sealfield/sealfield/token"
)

// Dialect is a database's SQL.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota
	SQLite
)

// SealedCheck returns the expression of a CHECK that makes the database refuse
// plaintext in a sealed column, NULL aside, for CREATE TABLE, migrations, and the tags
// or annotations of other libraries. The column's name is quoted.
//
// A CHECK catches accidents: raw SQL, another program, a map of columns. It is no
// proof against somebody who writes what looks sealed; opening the value is.
func SealedCheck(d Dialect, column string) string {
	c := pgsql.Quote(column)
	if d == SQLite {
		return blobCheck(c, ">=", leastSize)
	}
	return pgsql.SealedCheck(c, leastSize)
}

// blobCheck holds in SQLite for NULL, and for 0x01 and a key id, in so many bytes.
func blobCheck(column, compare string, size int) string {
	return fmt.Sprintf("%[1]s is null or (typeof(%[1]s) = 'blob' and substr(%[1]s, 1, 2) between x'0180' and x'01ff' and length(%[1]s) %[2]s %[3]d)", column, compare, size)
}

// TextCheck is SealedCheck for a column with Config.Text.
func TextCheck(d Dialect, column string) string {
	const least = 4 + (leastSize*8+5)/6 // base64 without padding
	c := pgsql.Quote(column)
	if d == SQLite {
		return fmt.Sprintf("%[1]s is null or (typeof(%[1]s) = 'text' and %[1]s glob 'sf1.A[YZa-f]*' and length(%[1]s) >= %[2]d and substr(%[1]s, 5) not glob '*[^0-9A-Za-z_-]*' and instr(%[1]s, char(0)) = 0)", c, least)
	}
	return fmt.Sprintf(`%[1]s operator(pg_catalog.~) '^sf1[.]A[YZa-f][0-9A-Za-z_-]*$' and pg_catalog.octet_length(%[1]s) operator(pg_catalog.>=) %[2]d`, c, least)
}

// TagCheck is SealedCheck for the column of an index.
func TagCheck(d Dialect, column string) string {
	c := pgsql.Quote(column)
	if d == SQLite {
		return blobCheck(c, "=", token.TagSize)
	}
	return pgsql.TagCheck(c, token.TagSize)
}

// DDL returns the statements that add the CHECKs to the sealed columns of a table of
// PostgreSQL that exists, and to the columns of tags, and create the indexes of these,
// to be executed one by one by the owner of the table. The CHECKs are added "not
// valid" and then validated. Running the statements again changes nothing. The table is
// "customers" or "schema.customers"; a name with a dot in it stands in double quotes.
func DDL(table string, sealed, tags []string) ([]string, error) {
	name, err := pgsql.ParseName(table)
	if err != nil {
		return nil, fmt.Errorf("sqlfield: table %s: %w", table, err)
	}
	var all []string
	for _, c := range sealed {
		all = append(all, pgsql.AddCheck(name, c, "sealed", SealedCheck(PostgreSQL, c))...)
	}
	for _, c := range tags {
		all = append(all, pgsql.AddCheck(name, c, "tag", TagCheck(PostgreSQL, c))...)
		all = append(all, pgsql.CreateIndex(name, c, "index", ""))
	}
	return all, nil
}

package pgxfield_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestVerify breaks one thing after the other.
func TestVerify(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	table := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	verify := func(want ...string) {
		t.Helper()
		for _, mode := range modes {
			err := table.Verify(ctx, reconnect(t, conn, mode))
			if len(want) == 0 {
				require.NoError(t, err)
				continue
			}
			require.Error(t, err)
			got := strings.Split(err.Error(), "\n")
			require.Len(t, got, len(want), err)
			for i := range want {
				require.Contains(t, got[i], "pgxfield: customers"+want[i])
			}
		}
	}
	verify(": verify: there is no such table")

	run(t, conn, createCustomers)
	verify(
		".email: there is no CHECK (substring(email from 1 for 2) >=", ".email_idx: there is no CHECK (substring(email_idx from 1 for 2) >=",
		".email_idx: there is no valid btree or hash index", ".ssn: there is no CHECK", ".born: there is no CHECK")
	run(t, conn, table.DDL()...)
	verify()
	run(t, conn, table.DDL()...)
	verify()

	for _, c := range []struct {
		change string
		want   []string
		back   string
	}{
		{"alter table customers rename ssn to snn", []string{".ssn: there is no such column"}, "alter table customers rename snn to ssn"},
		{"alter table customers rename email_idx to idx", []string{".email_idx: there is no such column: it holds the index tags of email"}, "alter table customers rename idx to email_idx"},
		{"alter table customers rename id to uid", []string{".id: there is no such column"}, "alter table customers rename uid to id"},
		{"alter table customers alter id type int using id", nil, "alter table customers alter id type bigint"},
		{"alter table customers alter id type text", []string{".id: a row key of Go type int64 has to be int2 or int4 or int8, it is text"}, "alter table customers alter id type bigint using id::bigint"},
		{"alter table customers alter email drop not null", []string{".email: it can be NULL, which Go type string can not hold"}, "alter table customers alter email set not null"},
		{"alter table customers alter ssn set not null", nil, "alter table customers alter ssn drop not null"},
		{"drop index customers_email_idx_key", []string{".email_idx: there is no valid btree or hash index"}, "create unique index on customers (email_idx, id)"},
		{"alter table customers drop constraint customers_ssn_sealed, add constraint customers_ssn_sealed check (ssn is not null)", []string{".ssn: there is no CHECK"},
			"alter table customers drop constraint customers_ssn_sealed; " + table.DDL()[5] + ";" + table.DDL()[6]},
		{"alter table customers drop constraint customers_ssn_sealed; " + strings.ReplaceAll(table.DDL()[5], "customers_ssn_sealed", "any_name"), []string{".ssn: the CHECK is there, but not validated"}, "alter table customers validate constraint any_name"},
		{"alter table customers drop constraint customers_email_idx_tag, add check (octet_length(email_idx) = 21), add check (substring(email_idx from 1 for 2) >= '\\x0180' and substring(email_idx from 1 for 2) <= '\\x01ff' and octet_length(email_idx) = 21 or true)", []string{".email_idx: there is no CHECK"},
			"alter table customers add check (substring(email_idx from 1 for 2) >= '\\x0180' and substring(email_idx from 1 for 2) <= '\\x01ff' and octet_length(email_idx) = 21)"},
		{"alter table customers drop constraint customers_born_sealed, add check (substring(ssn from 1 for 2) between '\\x0180' and '\\x01ff' and octet_length(born) >= 33)", []string{".born: there is no CHECK"},
			// The same, as it comes back from a dump.
			"alter table customers add check (substring(born from 1 for 2) >= '\\x0180' and substring(born from 1 for 2) <= '\\x01ff' and octet_length(born) >= 33)"},
	} {
		run(t, conn, c.change)
		verify(c.want...)
		run(t, conn, c.back)
		verify()
	}
	run(t, conn, "drop table customers", strings.ReplaceAll(createCustomers, "bytea", "text"))
	verify(".email: a sealed column has to be bytea, it is text", ".email_idx: an index column has to be bytea, it is text", ".ssn: a sealed", ".born: a sealed")
}

// TestNames uses names that need quotes, qualification and cutting.
func TestNames(t *testing.T) {
	ctx := t.Context()
	type row struct {
		ID string `db:"Key"`
		A  string `db:"we\"i rd" seal:"encrypt,index=größe_(x)"`
		B  string `db:"a_very_long_name_of_a_column_that_postgresql_only_just_takes_xx" seal:"encrypt"`
		C  string `db:"$ddl$" seal:"encrypt"`
	}
	conn := connect(t)
	const name = `Sche"ma.a_very_long_name_of_a_table_that_postgresql_only_just_takes_xxx`
	table := newTable[row](t, keyringtest.NewKeyring(t), name, pgxfield.Config{RowKey: []string{"Key"}})
	run(t, conn, `create schema "Sche""ma"`, `create table "Sche""ma".a_very_long_name_of_a_table_that_postgresql_only_just_takes_xxx
		("Key" varchar(9) primary key, "we""i rd" bytea not null, "größe_(x)" bytea, a_very_long_name_of_a_column_that_postgresql_only_just_takes_xx bytea not null, "$ddl$" bytea not null)`)
	require.Error(t, table.Verify(ctx, conn))
	run(t, conn, table.DDL()...)
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	var n int
	require.NoError(t, conn.QueryRow(ctx, "select count(*) from pg_constraint where contype = 'c' and conrelid <> 0 and connamespace <> 'information_schema'::regnamespace").Scan(&n))
	require.Equal(t, 4, n)
}

// TestVerifyForeignPartitions has partitions and heirs that are foreign tables.
func TestVerifyForeignPartitions(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	table := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	run(t, conn, "create foreign data wrapper nowhere", "create server elsewhere foreign data wrapper nowhere",
		strings.Replace(createCustomers, "primary key", "", 1)+" partition by range (id)",
		"create table near partition of customers for values from (0) to (1000)",
		"create table far partition of customers for values from (1000) to (2000) partition by range (id)")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	run(t, conn, "create foreign table farther partition of far for values from (1000) to (1500) server elsewhere")
	require.ErrorContains(t, table.Verify(ctx, conn), `pgxfield: customers: its rows can be in the foreign table "public"."farther", whose CHECKs nobody enforces`)
	run(t, conn, "drop foreign table farther")
	require.NoError(t, table.Verify(ctx, conn))

	run(t, conn, "drop table customers", createCustomers)
	run(t, conn, table.DDL()...)
	run(t, conn, "create foreign table heir () inherits (customers) server elsewhere")
	require.ErrorContains(t, table.Verify(ctx, conn), `the foreign table "public"."heir"`)
	run(t, conn, "create view seen as select * from customers")
	require.ErrorContains(t, newTable[customer](t, keyringtest.NewKeyring(t), "seen", byID).Verify(ctx, conn), `the foreign table "public"."heir"`)
}

// TestVerifyTakenIndexName has an index of DDL's name on another table, for which
// "create index if not exists" does nothing.
func TestVerifyTakenIndexName(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	table := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	run(t, conn, createCustomers, "create table other (x int)", "create index customers_email_idx_key on other (x)")
	run(t, conn, table.DDL()...)
	require.ErrorContains(t, table.Verify(ctx, conn), "pgxfield: customers.email_idx: there is no valid btree or hash index on it")
	run(t, conn, "drop index customers_email_idx_key", "create index customers_email_idx_key on customers (ssn)")
	run(t, conn, table.DDL()...)
	require.ErrorContains(t, table.Verify(ctx, conn), "pgxfield: customers.email_idx: there is no valid btree or hash index on it", "nor on another column")
	run(t, conn, "drop index customers_email_idx_key")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
}

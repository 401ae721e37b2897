package pgxfield_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

const insertPerson = `insert into persons (id, country, joined, name, name_pre, name_suf, name_tri, city, city6, city8, city10, email, email_idx, iban, member, person_idx)
	values (@id, @country, @joined, @name, @name_pre, @name_suf, @name_tri, @city, @city6, @city8, @city10, @email, @email_idx, @iban, @member, @person_idx)`

// TestKindsRoundTrip writes and reads a row with every kind of index, in all of
// pgx's modes.
func TestKindsRoundTrip(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table, _ := newPersons(t, kr, 0)
	require.Equal(t, strings.Split("id country joined name name_pre name_suf name_tri city city6 city8 city10 email email_idx iban member person_idx", " "), table.Columns())
	for i, mode := range modes {
		p := person{ID: int64(i + 1), Country: "de", Name: "Ann Lee", City: "Bonn", Email: ptr("Ann@Example.com"), IBAN: "DE89370400440532013000", Member: true}
		db := reconnect(t, conn, mode)
		_, err := db.Exec(ctx, insertPerson, table.Args(&p))
		require.NoError(t, err)
		got, err := query(t, db, table.Row(ctx), "select * from persons where id = $1", p.ID)
		require.NoError(t, err)
		require.Equal(t, []person{p}, got)
		for _, c := range []struct {
			column, predicate string
			values            []any
		}{
			{"name_pre", "name_pre && $1", []any{"ANN"}}, {"name_suf", "name_suf && $1", []any{"n lee"}}, {"email", "email_idx = any($1)", []any{"ann@example.com"}},
			{"iban", "iban = any($1)", []any{p.IBAN}}, {"person_idx", "person_idx = any($1)", []any{"ann  lee", "ANN@example.com", true}},
		} {
			tags, err := table.Match(ctx, c.column, c.values...)
			require.NoError(t, err)
			found, err := query(t, db, table.Row(ctx), "select * from persons where "+c.predicate, tags)
			require.NoError(t, err)
			require.Len(t, found, i+1, "%s in %v", c.column, mode)
		}
	}

	// NULL in one part is NULL in the compound's tag.
	_, err := conn.Exec(ctx, insertPerson, table.Args(&person{ID: 9, Name: "Bo", City: "", IBAN: ""}))
	require.NoError(t, err)
	var null bool
	var sizes [5]int
	require.NoError(t, conn.QueryRow(ctx, `select person_idx is null and email is null and email_idx is null, cardinality(name_pre), cardinality(name_suf), octet_length(city6), octet_length(city10), octet_length(iban)
		from persons where id = 9`).Scan(&null, &sizes[0], &sizes[1], &sizes[2], &sizes[3], &sizes[4]))
	require.True(t, null)
	require.Equal(t, [5]int{0, 1, 6, 7, 21}, sizes)

	// A siv column is a value of Tink's AES-SIV, and of no other field.
	d, err := token.NewDeterministic(kr, "persons.iban", token.DeterministicConfig{Type: "text"})
	require.NoError(t, err)
	h, err := d.TinkKeyset(ctx, "", insecuresecretdataaccess.Token{})
	require.NoError(t, err)
	oracle, err := daead.New(h)
	require.NoError(t, err)
	var stored []byte
	require.NoError(t, conn.QueryRow(ctx, "select iban from persons where id = 1").Scan(&stored))
	value, err := oracle.DecryptDeterministically(stored, nil)
	require.NoError(t, err)
	require.Equal(t, "DE89370400440532013000", string(value))
	run(t, conn, "update persons set iban = iban || '\\x00' where id = 1")
	_, err = query(t, conn, table.Row(ctx), "select * from persons where id = 1")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	run(t, conn, "update persons set iban = (select iban from persons where id = 9) where id = 1")
	got, err := query(t, conn, table.Row(ctx), "select id, iban from persons where id = 1")
	require.NoError(t, err, "a token is not bound to its row")
	require.Empty(t, got[0].IBAN)
}

// TestKindsTogether holds that no index is left behind by a statement.
func TestKindsTogether(t *testing.T) {
	conn, table, _ := newPersons(t, keyringtest.NewKeyring(t), 1)
	args := table.Args(&person{ID: 1, Name: "Ann", City: "Bonn", Email: ptr("a@b"), IBAN: "x"})
	for _, c := range []struct{ sql, want string }{
		{"update persons set name = @name, name_pre = @name_pre, name_suf = @name_suf where id = @id", "@name and @name_tri have to stand"},
		{"update persons set name = @name, name_pre = @name_pre, name_suf = @name_suf, name_tri = @name_tri where id = @id", "@name and @person_idx have to stand"},
		{"update persons set member = @member where id = @id", "@member and @person_idx have to stand"},
		{"update persons set person_idx = @person_idx where id = @id", "@name and @person_idx have to stand"},
	} {
		_, err := conn.Exec(t.Context(), c.sql, args)
		require.ErrorContains(t, err, c.want)
	}
	for _, sql := range []string{
		"update persons set iban = @iban where id = @id",
		"update persons set city = @city, city6 = @city6, city8 = @city8, city10 = @city10 where id = @id",
		"update persons set name = @name, name_pre = @name_pre, name_suf = @name_suf, name_tri = @name_tri, email = @email, email_idx = @email_idx, member = @member, person_idx = @person_idx where id = @id",
	} {
		tag, err := conn.Exec(t.Context(), sql, args)
		require.NoError(t, err)
		require.EqualValues(t, 1, tag.RowsAffected())
	}
}

// TestKindsRefusePlaintext holds the CHECKs of arrays, short tags and tokens to
// their word.
func TestKindsRefusePlaintext(t *testing.T) {
	conn, _, _ := newPersons(t, keyringtest.NewKeyring(t), 2)
	for _, set := range []string{
		"name_pre = array['plain'::bytea]", "name_pre = name_pre || 'plain'::bytea", "name_pre = name_pre || null::bytea", "name_tri = array['']::bytea[]",
		`name_suf = array['\x017f'::bytea]`, `name_suf = array['\x0200'::bytea]`, "city6 = city8 || city8", "city10 = city6", "city6 = 'Berlin'", "city10 = 'Hamburg'", "person_idx = 'ann.smith@example.com'", "iban = 'DE89370400440532013000'", "iban = substring(iban from 1 for 20)", "person_idx = city6",
	} {
		_, err := conn.Exec(t.Context(), "update persons set "+set)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg, set)
		require.Equal(t, "23514", pg.Code, "check_violation: %s", set)
	}
	_, err := conn.Exec(t.Context(), "update persons set name_pre = array[name_pre, name_pre]")
	require.Error(t, err, "an array of arrays")
	run(t, conn, "update persons set name_pre = '{}', name_suf = name_pre")
}

// TestVerifyKinds breaks what belongs to the kinds.
func TestVerifyKinds(t *testing.T) {
	ctx := t.Context()
	conn, table, _ := newPersons(t, keyringtest.NewKeyring(t), 0)
	for _, bytea := range []string{"hex", "escape"} {
		run(t, conn, "set bytea_output = "+bytea)
		for _, c := range []struct{ change, want string }{
			{"alter table persons drop name_pre", ".name_pre: there is no such column: it holds the index tags of name"},
			{"alter table persons drop person_idx", ".person_idx: there is no such column: it holds the index tags of name, email, member"},
			{"alter table persons drop constraint persons_name_pre_tag", `.name_pre: there is no CHECK ('\x0180'::bytea <= all (name_pre)`},
			{"alter table persons drop constraint persons_city6_tag", "<= '\\x01ff'::bytea and octet_length(city6) = 6)"},
			{"alter table persons drop constraint persons_city10_tag, add check (octet_length(city10) = 7)", "<= '\\x01ff'::bytea and octet_length(city10) = 7)"},
			{"alter table persons drop constraint persons_iban_sealed", "octet_length(iban) >= 21) on it"},
			{"drop index persons_name_tri_key; create index on persons (name_tri)", ".name_tri: there is no valid GIN index"},
			{"drop index persons_iban_key", ".iban: there is no valid btree or hash index"},
			{"drop index persons_person_idx_key", ".person_idx: there is no valid btree or hash index"},
			{"alter table persons drop name_pre, add name_pre bytea", ".name_pre: an index column has to be bytea[], it is bytea"},
			{"alter table persons drop person_idx, add person_idx bytea[]", ".person_idx: an index column has to be bytea, it is bytea[]"},
			{"alter table persons drop name_pre, add name_pre text[]", ".name_pre: an index column has to be bytea[], it is text[]"},
		} {
			tx, err := conn.Begin(ctx)
			require.NoError(t, err)
			_, err = conn.Exec(ctx, c.change)
			require.NoError(t, err)
			err = table.Verify(ctx, tx)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n", "one thing is wrong")
			require.NoError(t, tx.Rollback(ctx))
		}
		require.NoError(t, table.Verify(ctx, conn))
	}
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
}

// TestScopedSearch keeps tenants apart.
func TestScopedSearch(t *testing.T) {
	type row struct {
		ID     int64  `db:"id"`
		Tenant string `db:"tenant"`
		Name   string `db:"name" seal:"encrypt,index=name_idx,bits=1"`
		Tax    int32  `db:"tax" seal:"token=siv"`
	}
	ctx := t.Context()
	conn := connect(t)
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	table := newTable[row](t, kr, "t", pgxfield.Config{RowKey: []string{"id"}, Scope: "tenant"})
	run(t, conn, "create table t (id bigint primary key, tenant text not null, name bytea not null, name_idx bytea not null, tax bytea not null)")
	run(t, conn, table.DDL()...)
	for i := range 40 {
		r := row{int64(i + 1), fmt.Sprint("tenant-", i%2), fmt.Sprint("name ", i%4), int32(i % 4)}
		_, err := conn.Exec(ctx, "insert into t (id, tenant, name, name_idx, tax) values (@id, @tenant, @name, @name_idx, @tax)", table.Args(&r))
		require.NoError(t, err)
	}
	require.Len(t, collectSearch(t, table.In("tenant-0"), conn, pgxfield.SearchQuery{Column: "name", Value: "name 2"}), 10)
	require.Empty(t, collectSearch(t, table.In("tenant-1"), conn, pgxfield.SearchQuery{Column: "name", Value: "name 2"}))
	require.Empty(t, collectSearch(t, table.In("tenant-2"), conn, pgxfield.SearchQuery{Column: "name", Value: "name 2"}))
	for _, err := range table.Search(ctx, conn, pgxfield.SearchQuery{Column: "name", Value: "name 2"}) {
		require.ErrorContains(t, err, "scope")
	}
	tokens, err := table.In("tenant-1").Match(ctx, "tax", 3)
	require.NoError(t, err)
	found, err := query(t, conn, table.Row(ctx), "select * from t where tax = any($1)", tokens)
	require.NoError(t, err)
	require.Len(t, found, 10)
}

// TestSearchWithTokens finds rows that hold format-preserving tokens, too.
func TestSearchWithTokens(t *testing.T) {
	type row struct {
		ID  int64  `db:"id"`
		PAN string `db:"pan" seal:"token=pan,key=pan_key,index=pan_end,kind=suffix,norm=digits,min=4,max=4"`
	}
	ctx := t.Context()
	conn := connect(t)
	table := newTable[row](t, keyringtest.NewKeyring(t), "t", byID)
	run(t, conn, "create table t (id bigint primary key, pan text not null, pan_key bytea not null, pan_end bytea[] not null)")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	rows := []row{{1, "4111111111111111"}, {2, "5555555555554444"}, {3, "4012888888881881"}}
	copyRows(t, conn, table, "t", rows)
	require.Equal(t, rows[1:2], collectSearch(t, table, conn, pgxfield.SearchQuery{Column: "pan", Value: "4444"}))
	require.Equal(t, rows[2:], collectSearch(t, table, conn, pgxfield.SearchQuery{Column: "pan", Value: "8881881"}))
}

// TestSearchPrintsNothing looks for what is searched in all that pgx logs.
func TestSearchPrintsNothing(t *testing.T) {
	var log collector
	conn := connect(t, func(c *pgx.ConnConfig) {
		c.Tracer = &tracelog.TraceLog{Logger: &log, LogLevel: tracelog.LogLevelTrace}
	})
	table := newTable[person](t, keyringtest.NewKeyring(t), "persons", personConfig)
	run(t, conn, createPersons)
	persons := makePersons(3)
	persons[0].Name = marker
	copyRows(t, conn, table, "persons", persons)
	run(t, conn, table.DDL()...)
	log.Reset()
	require.Len(t, collectSearch(t, table, conn, pgxfield.SearchQuery{Column: "name_tri", Value: marker, Where: "country <> @x", Args: pgx.NamedArgs{"x": marker}}), 1)
	require.Contains(t, log.String(), "pgxfield.Search(persons)")
	require.NotContains(t, strings.ToUpper(log.String()), marker)
	_, err := conn.Exec(t.Context(), "select @x::text", pgx.NamedArgs{"x": marker})
	require.NoError(t, err)
	require.True(t, bytes.Contains(log.Bytes(), []byte(marker)), "the control")
}

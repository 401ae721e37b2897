package pgxfield_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// textOf returns all rows of a table as COPY would have them.
func textOf(t testing.TB, conn *pgx.Conn, sql string) (all [][][]byte) {
	rows, err := conn.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	for rows.Next() {
		var row [][]byte
		for _, v := range rows.RawValues() {
			row = append(row, bytes.Clone(v))
		}
		all = append(all, row)
	}
	require.NoError(t, rows.Err())
	return all
}

// copyText writes rows by COPY in text format.
func copyText(t testing.TB, conn *pgx.Conn, name string, columns []string, rows [][][]byte) {
	var text strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				text.WriteByte('\t')
			}
			if v == nil {
				text.WriteString(`\N`)
			} else {
				text.WriteString(escape.Replace(string(v)))
			}
		}
		text.WriteByte('\n')
	}
	_, err := conn.PgConn().CopyFrom(t.Context(), io.Reader(strings.NewReader(text.String())), fmt.Sprintf("copy %s (%s) from stdin", name, quoted(columns)))
	require.NoError(t, err)
}

func quoted(columns []string) string {
	var all []string
	for _, c := range columns {
		all = append(all, pgx.Identifier{c}.Sanitize())
	}
	return strings.Join(all, ", ")
}

func textRows[T any](t testing.TB, table *pgxfield.Table[T], columns []string) *pgxfield.TextRows {
	r, err := table.TextRows(columns)
	require.NoError(t, err)
	return r
}

// copied takes all rows of a table under one keyring to one under another.
func copied[T any](t testing.TB, conn *pgx.Conn, from, to *pgxfield.Table[T], source, target string, change func(columns []string, row [][]byte)) {
	columns := from.Columns()
	rows := textOf(t, conn, "select "+quoted(columns)+" from "+source)
	open, seal := textRows(t, from, columns), textRows(t, to, columns)
	for _, row := range rows {
		require.NoError(t, open.Open(t.Context(), row))
		change(columns, row)
		require.NoError(t, seal.Seal(t.Context(), row))
		for i := range row {
			row[i] = bytes.Clone(row[i])
		}
	}
	copyText(t, conn, target, columns, rows)
}

// TestTextRows copies rows of every type to another keyring: PostgreSQL takes the
// text of each value as one of its type, and what arrives is what was there.
func TestTextRows(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	from := newTable[everything](t, keyringtest.NewKeyring(t), "everything", byID)
	to := newTable[everything](t, keyringtest.NewKeyring(t), "copy", byID)
	run(t, conn, createSQL("everything", from.Columns()), createSQL("copy", to.Columns()))
	run(t, conn, to.DDL()...)
	want := map[int64]everything{1: full(1), 2: empty(2), 3: full(3)}
	for _, row := range want {
		_, err := conn.Exec(ctx, insertSQL("everything", from.Columns()), from.Args(&row))
		require.NoError(t, err)
	}
	types := map[string]string{"int2s": "int2[]", "dates": "date[]", "address_p": "json", "date": "date", "numeric_s": "numeric", "interval": "interval",
		"uuid": "uuid", "json": "jsonb", "texts": "text[]", "grid": "int4[]", "times": "timestamptz[]", "jsons": "jsonb[]", "blobs": "bytea[]", "time": "timestamptz", "float4": "float4", "addr": "inet", "bools": "bool[]", "bool": "bool", "bytes": "bytea"}
	copied(t, conn, from, to, "everything", "copy", func(columns []string, row [][]byte) {
		for i, c := range columns {
			if typ, ok := types[c]; ok && row[i] != nil {
				var same bool
				require.NoError(t, conn.QueryRow(ctx, "select cast($1::text as "+typ+") is not null", string(row[i])).Scan(&same), "%s: %s", c, row[i])
			}
			require.False(t, c == "text_idx" && row[i] != nil)
		}
	})
	rows, err := query(t, conn, to.Row(ctx), "select * from copy")
	require.NoError(t, err)
	require.Len(t, rows, len(want))
	for _, row := range rows {
		require.Equal(t, want[row.ID], row.utc())
	}
	tags, err := to.Match(ctx, "text", "Grüße, 世界")
	require.NoError(t, err)
	rows, err = query(t, conn, to.Row(ctx), "select * from copy where text_idx = any($1)", tags)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	_, err = query(t, conn, from.Row(ctx), "select * from copy")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "nothing of the source's keys is in the copy")
}

// TestTextRowsOfAllKinds copies tokens, unique and compound indexes and arrays of
// tags, and changes values and row keys on the way.
func TestTextRowsOfAllKinds(t *testing.T) {
	ctx := t.Context()
	conn, from := newCards(t, keyringtest.NewKeyring(t))
	to := newTable[card](t, keyringtest.NewKeyring(t), "cards2", byID)
	run(t, conn, strings.Replace(createCards, "cards", "cards2", 1))
	run(t, conn, to.DDL()...)
	for id := range int64(5) {
		c := visa(id + 1)
		if id == 4 {
			c.Number, c.Passport = nil, nil
		}
		_, err := conn.Exec(ctx, insertCard, from.Args(c))
		require.NoError(t, err)
	}
	copied(t, conn, from, to, "cards", "cards2", func(columns []string, row [][]byte) {
		require.Equal(t, "4111111111111111", string(row[slices.Index(columns, "pan")]))
		row[0] = append(row[0], '0')
		row[slices.Index(columns, "note")] = []byte("changed")
	})
	rows, err := query(t, conn, to.Row(ctx), "select * from cards2 order by id")
	require.NoError(t, err)
	require.Len(t, rows, 5)
	for i, got := range rows {
		want := visa(int64(i+1) * 10)
		if want.Note = "changed"; i == 4 {
			want.Number, want.Passport = nil, nil
		}
		require.Equal(t, *want, got)
	}
	tags, err := to.Match(ctx, "pan", "4111111111111111")
	require.NoError(t, err)
	rows, err = query(t, conn, to.Row(ctx), "select * from cards2 where pan_idx = any($1)", tags)
	require.NoError(t, err)
	require.Len(t, rows, 5)

	kr := keyringtest.NewKeyring(t)
	conn, persons, _ := newPersons(t, kr, 50)
	cfg := personConfig
	cfg.Name = "persons2"
	persons2 := newTable[person](t, keyringtest.NewKeyring(t), "persons2", cfg)
	run(t, conn, strings.Replace(createPersons, "persons", "persons2", 1))
	run(t, conn, persons2.DDL()...)
	copied(t, conn, persons, persons2, "persons", "persons2", func([]string, [][]byte) {})
	want, err := query(t, conn, persons.Row(ctx), "select * from persons order by id")
	require.NoError(t, err)
	got, err := query(t, conn, persons2.Row(ctx), "select * from persons2 order by id")
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, c := range []struct {
		column, predicate string
		values            []any
	}{
		{"name_pre", "name_pre && $1", []any{want[7].Name[:3]}}, {"iban", "iban = any($1)", []any{want[7].IBAN}},
	} {
		tags, err := persons2.Match(ctx, c.column, c.values...)
		require.NoError(t, err)
		rows, err := query(t, conn, persons2.Row(ctx), "select * from persons2 where "+c.predicate, tags)
		require.NoError(t, err)
		require.Contains(t, rows, want[7])
	}

	type account2 = account
	a, b := newTable[account](t, kr, "accounts", byID), newTable[account2](t, keyringtest.NewKeyring(t), "accounts2", byID)
	run(t, conn, createAccounts, strings.Replace(createAccounts, "accounts", "accounts2", 1))
	run(t, conn, b.DDL()...)
	for id := range int64(3) {
		_, err := conn.Exec(ctx, insertAccount, a.Args(makeAccount(id+1)))
		require.NoError(t, err)
	}
	copied(t, conn, a, b, "accounts", "accounts2", func([]string, [][]byte) {})
	require.NoError(t, b.Verify(ctx, conn))
	_, err = conn.Exec(ctx, strings.Replace(insertAccount, "accounts", "accounts2", 1), b.Args(&account{9, "USER.1@example.com", "x", "y"}))
	require.ErrorContains(t, err, "duplicate key")
}

// TestTextRowsOfCustomTypes copies what is sealed as text.
func TestTextRowsOfCustomTypes(t *testing.T) {
	type row struct {
		ID    int64    `db:"id"`
		Mood  *string  `db:"mood" seal:"encrypt,type=mood"`
		Moods []string `db:"moods" seal:"encrypt,type=mood[]"`
	}
	conn := connect(t)
	from, to := newTable[row](t, keyringtest.NewKeyring(t), "a", byID), newTable[row](t, keyringtest.NewKeyring(t), "b", byID)
	run(t, conn, "create type mood as enum ('sad', 'it''s \"ok\"')", "create table a (id bigint primary key, mood bytea, moods bytea)", "create table b (like a)")
	want := row{1, ptr(`it's "ok"`), []string{"sad", `it's "ok"`}}
	_, err := conn.Exec(t.Context(), "insert into a (id, mood, moods) values (@id, @mood, @moods)", from.Args(&want))
	require.NoError(t, err)
	copied(t, conn, from, to, "a", "b", func(columns []string, row [][]byte) {
		var label string
		require.NoError(t, conn.QueryRow(t.Context(), "select ($1::mood[])[2]::text", string(row[2])).Scan(&label))
		require.Equal(t, *want.Mood, label)
	})
	rows, err := query(t, conn, to.Row(t.Context()), "select * from b")
	require.NoError(t, err)
	require.Equal(t, []row{want}, rows)
	require.Equal(t, "mood[]", to.Sealed()[1].Type)
}

// TestTextRowsOfTenants copies one tenant's rows to another name.
func TestTextRowsOfTenants(t *testing.T) {
	type note struct {
		ID     int64  `db:"id"`
		Tenant string `db:"tenant"`
		Text   string `db:"text" seal:"encrypt,index=text_idx"`
	}
	scoped := func(c *keyring.Config) { c.Scoped = true }
	cfg := pgxfield.Config{RowKey: []string{"id"}, Scope: "tenant"}
	conn := connect(t)
	from, to := newTable[note](t, keyringtest.NewKeyring(t, scoped), "a", cfg), newTable[note](t, keyringtest.NewKeyring(t, scoped), "b", cfg)
	for _, name := range []string{"a", "b"} {
		run(t, conn, "create table "+name+" (id bigint primary key, tenant text not null, text bytea not null, text_idx bytea not null)")
	}
	_, err := conn.Exec(t.Context(), "insert into a (id, tenant, text, text_idx) values (@id, @tenant, @text, @text_idx)", from.Args(&note{1, "acme", "secret"}))
	require.NoError(t, err)
	copied(t, conn, from, to, "a", "b", func(_ []string, row [][]byte) { row[1] = []byte("test") })
	rows, err := query(t, conn, to.In("test").Row(t.Context()), "select * from b")
	require.NoError(t, err)
	require.Equal(t, []note{{1, "test", "secret"}}, rows)

	r := textRows(t, from.In("other"), from.Columns())
	row := textOf(t, conn, "select * from a")[0]
	require.ErrorContains(t, r.Open(t.Context(), row), "another scope")
	row[1] = nil
	require.ErrorContains(t, textRows(t, from, from.Columns()).Open(t.Context(), row), "scope column tenant is NULL or zero")
}

func TestSealed(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	require.Equal(t, []pgxfield.SealedColumn{
		{"pan", "text", []string{"pan_key", "pan_idx"}}, {"number", "int8", nil}, {"iban", "text", nil}, {"phone", "text", []string{"phone_key"}},
		{"ssn", "text", []string{"ssn_idx"}}, {"no", "int8", nil}, {"passport", "text", nil}, {"zip", "text", nil}, {"note", "text", nil},
	}, newTable[card](t, kr, "cards", byID).Sealed())
	for _, s := range newTable[person](t, kr, "persons", personConfig).Sealed() {
		if s.Column == "email" {
			require.Equal(t, []string{"email_idx", "person_idx"}, s.With)
		}
	}
}

func TestTextRowsRefuses(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table := newCards(t, kr)
	for _, c := range []struct {
		columns string
		want    string
	}{
		{"pan,pan_idx,id", "column pan_key is missing beside pan"},
		{"pan,pan_key,id", "column pan_idx is missing beside pan"},
		{"note", "column id is missing beside note"},
		{"pan_idx", "column pan_idx is there without all of pan"},
		{"note,id,note", "column note is there twice"},
		{"note,id,id", "column id is there twice"},
	} {
		_, err := table.TextRows(strings.Split(c.columns, ","))
		require.ErrorContains(t, err, c.want)
	}
	r := textRows(t, table, []string{"id", "other"}) // nothing sealed
	require.NoError(t, r.Seal(ctx, [][]byte{nil, nil}))
	require.ErrorContains(t, r.Seal(ctx, [][]byte{nil}), "the row has 1 values for 2 columns")

	_, err := conn.Exec(ctx, insertCard, table.Args(visa(1)))
	require.NoError(t, err)
	const secret = "0123456789secret"
	columns := table.Columns()
	r = textRows(t, table, columns)
	opened := func() [][]byte {
		row := textOf(t, conn, "select "+quoted(columns)+" from cards")[0]
		require.NoError(t, r.Open(ctx, row))
		return row
	}
	for _, c := range []struct{ column, value, want string }{
		{"id", "", "row key column id is NULL or zero"}, {"id", "0", "row key column id is NULL or zero"},
		{"pan", secret, "column pan: "}, {"no", secret, "column no: the value is no integer"}, {"no", "0", "column no: "},
		{"zip", secret, "column zip: "}, {"note", "\xff" + secret, "column note (row key id): the value is no UTF-8"}, {"note", "\x00" + secret, "no UTF-8"},
	} {
		row := opened()
		row[slices.Index(columns, c.column)] = []byte(c.value)
		err := r.Seal(ctx, row)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), secret)
	}
	row := textOf(t, conn, "select "+quoted(columns)+" from cards")[0]
	note := row[slices.Index(columns, "note")]
	binary := newTable[struct {
		ID   int64  `db:"id"`
		Note []byte `db:"note" seal:"encrypt"`
	}](t, kr, "cards", byID)
	require.ErrorIs(t, textRows(t, binary, []string{"id", "note"}).Seal(ctx, [][]byte{[]byte("1"), note}), pgxfield.ErrSealed)
	for _, c := range []struct{ column, value string }{
		{"id", "2"}, {"note", `\x00` + strings.Repeat("ab", 40)}, {"note", `\x`}, {"pan_key", `\x8000000000`}, {"pan_key", `\x80000001`},
	} {
		row := textOf(t, conn, "select "+quoted(columns)+" from cards")[0]
		row[slices.Index(columns, c.column)] = []byte(c.value)
		require.ErrorIs(t, r.Open(ctx, row), crypto.ErrDecrypt, c)
	}
	row = textOf(t, conn, "select "+quoted(columns)+" from cards")[0]
	row[slices.Index(columns, "note")] = []byte(secret)
	err = r.Open(ctx, row)
	require.ErrorContains(t, err, "column note (row key id): the value is no bytea in hex")
	require.NotContains(t, err.Error(), secret)
}

package pgxfield_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// Keyed and contact are embedded in the rows of several tables.
type Keyed struct {
	ID int64 `db:"id"`
}

type contact struct {
	Mail  string   `db:"mail" seal:"encrypt,index=mail_idx,norm=email"`
	Phone *string  `db:"phone" seal:"encrypt"`
	Tags  []string `db:"tags"`
	stamps
}

type stamps struct {
	Seen time.Time `db:"seen" seal:"encrypt,type=date"`
}

type member struct {
	Keyed
	Name string `db:"name" seal:"encrypt"`
	contact
}

type supplier struct {
	contact
	Keyed
}

// TestEmbedded writes and reads two tables whose rows share embedded structs, and
// holds that they share no key.
func TestEmbedded(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	members, suppliers := newTable[member](t, kr, "members", byID), newTable[supplier](t, kr, "suppliers", byID)
	require.Equal(t, []string{"id", "name", "mail", "mail_idx", "phone", "tags", "seen"}, members.Columns())
	require.Equal(t, []string{"mail", "mail_idx", "phone", "tags", "seen", "id"}, suppliers.Columns())
	run(t, conn, "create table members (id bigint primary key, name bytea not null, mail bytea not null, mail_idx bytea not null, phone bytea, tags text[], seen bytea not null)",
		"create table suppliers (id bigint primary key, mail bytea not null, mail_idx bytea not null, phone bytea, tags text[], seen bytea not null)")
	run(t, conn, append(members.DDL(), suppliers.DDL()...)...)
	require.NoError(t, members.Verify(ctx, conn))
	require.NoError(t, suppliers.Verify(ctx, conn))

	shared := contact{"Ann@Example.com", ptr("1"), []string{"x", "y"}, stamps{time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)}}
	m, s := member{Keyed{1}, "Ann", shared}, supplier{shared, Keyed{1}}
	for i, mode := range modes {
		m.ID, s.ID = int64(i+1), int64(i+1)
		args := members.Args(&m)
		m.Tags[0] = "changed"
		_, err := conn.Exec(ctx, insertSQL("members", members.Columns()), mode, args)
		require.NoError(t, err)
		m.Tags[0] = "x"
		_, err = conn.Exec(ctx, insertSQL("suppliers", suppliers.Columns()), mode, suppliers.Args(&s))
		require.NoError(t, err)
		all, err := query(t, conn, members.Row(ctx), "select * from members where id = $1", mode, m.ID)
		require.NoError(t, err)
		require.Equal(t, []member{m}, all)
		tags, err := suppliers.Match(ctx, "mail", "ann@example.com")
		require.NoError(t, err)
		others, err := query(t, conn, suppliers.Row(ctx), "select * from suppliers where mail_idx = any($1) and id = $2", mode, tags, s.ID)
		require.NoError(t, err)
		require.Equal(t, []supplier{s}, others)
	}
	found := 0
	for got, err := range members.Search(ctx, conn, pgxfield.SearchQuery{Column: "mail", Value: "ann@example.com"}) {
		require.NoError(t, err)
		require.Equal(t, "Ann", got.Name)
		found++
	}
	require.Equal(t, len(modes), found)

	_, err := query(t, conn, members.Row(ctx), "select * from suppliers")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "the name of the table is in the key")

	// The control: by pgx itself the embedded fields are columns, too.
	type plain struct {
		Keyed
		Tags []string `db:"tags"`
	}
	rows, err := conn.Query(ctx, "select id, tags from members order by id limit 1")
	require.NoError(t, err)
	one, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[plain])
	require.NoError(t, err)
	require.Equal(t, plain{Keyed{1}, []string{"x", "y"}}, one)
}

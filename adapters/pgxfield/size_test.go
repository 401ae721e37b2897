package pgxfield_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestSizes writes values that just fit into a btree, or do not, to the database
// itself, and asks about larger ones than a test should make.
func TestSizes(t *testing.T) {
	type row struct {
		ID   int64   `db:"id"`
		S    *string `db:"s" seal:"token=siv"`
		V    *string `db:"v" seal:"encrypt,index=v_idx"`
		Card *string `db:"card" seal:"token=pan,version=1"`
	}
	ctx := t.Context()
	conn := connect(t)
	table := newTable[row](t, keyringtest.NewKeyring(t), "t", byID)
	run(t, conn, "create table t (id bigint primary key, s bytea, v bytea, v_idx bytea, card text)", "create table raw (b bytea)", "create index on raw (b)")
	run(t, conn, table.DDL()...)
	most := 2704 - 12 - 21
	for _, mode := range modes {
		_, err := conn.Exec(ctx, "insert into t (id, s) values (@id, @s)", mode, table.Args(&row{ID: int64(mode) + 1, S: ptr(strings.Repeat("x", most))}))
		require.NoError(t, err)
	}
	_, err := conn.Exec(ctx, "insert into t (id, s) values (@id, @s)", table.Args(&row{ID: 99, S: ptr(strings.Repeat("x", most+1))}))
	require.ErrorIs(t, err, pgxfield.ErrValue)
	require.ErrorContains(t, err, "pgxfield.Args(t): @s: the sealed value, which token=siv keeps in an index, would be of 2693 bytes, and the most are 2692")
	_, err = table.CopyFrom(ctx, conn, func(yield func(*row, error) bool) { yield(&row{ID: 99, S: ptr(strings.Repeat("x", most+1))}, nil) })
	require.ErrorIs(t, err, pgxfield.ErrValue)
	require.ErrorContains(t, err, "row 1: column s: ")
	rows, err := table.TextRows([]string{"id", "s"})
	require.NoError(t, err)
	require.ErrorIs(t, rows.Seal(ctx, [][]byte{[]byte("1"), []byte(strings.Repeat("x", most+1))}), pgxfield.ErrValue)

	// The control: PostgreSQL refuses one more byte of what can not be compressed.
	run(t, conn, "create function noise(n int) returns bytea language sql as $$ select substring(string_agg(sha256(i::text::bytea), '') from 1 for n) from generate_series(1, n) i $$")
	run(t, conn, "insert into raw select noise(2692)")
	_, err = conn.Exec(ctx, "insert into raw select noise(2693)")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "54000", pg.Code)

	const half = 1<<29 - 1<<10
	for column, most := range map[string]int{"s": most, "v": half - 45} {
		require.NoError(t, pgxfield.CheckSize(table, column, most))
		err := pgxfield.CheckSize(table, column, most+1)
		require.ErrorIs(t, err, pgxfield.ErrValue)
		require.ErrorContains(t, err, "the most are "+fmt.Sprint(map[string]int{"s": 2692, "v": half}[column]))
	}
	require.NoError(t, pgxfield.CheckSize(table, "v_idx", 1<<40), "a tag is short")
	require.NoError(t, pgxfield.CheckSize(table, "card", 1<<40), "the format says so itself")
	require.Less(t, 2*half+1<<10, 1<<30-1, "PostgreSQL's limit of a message and of a value")
}

package pgxmask

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// connect returns a connection to a fresh database, in which statements have run.
func connect(t testing.TB, statements ...string) *pgx.Conn {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	run(t, conn, statements...)
	return conn
}

func run(t testing.TB, conn *pgx.Conn, statements ...string) {
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
}

// policy parses tables, which are the inside of a JSON object.
func policy(t testing.TB, tables string) *mask.Policy {
	p, err := mask.ParsePolicy([]byte(`{"version": 1, "epoch": "test", "tables": {` + tables + "\n}}"))
	require.NoError(t, err)
	return p
}

func newPlan(t testing.TB, conn *pgx.Conn, kr *keyring.Keyring, tables string) (*Plan, error) {
	return NewPlan(t.Context(), conn, Config{Policy: policy(t, tables), Keyring: kr})
}

func TestPlan(t *testing.T) {
	conn := connect(t,
		`create table customers (id int primary key, email text not null, born date, upper text generated always as (upper(email)) stored)`,
		`create table audit (line text)`,
		`insert into customers select i, i || '@example.com' from generate_series(1, 1000) i`,
		`analyze`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `
		"public.customers": {"subject": "id", "columns": {"id": {"keep": "a number"}, "email": "email", "born": "date"}},
		"public.audit": {"skip": "of no use"}`)
	require.NoError(t, err)
	require.Len(t, p.tables, 1)
	c := p.tables[0]
	require.Equal(t, "customers", c.name)
	require.Equal(t, float64(1000), c.rows)
	require.Equal(t, "id", c.subject)
	require.Len(t, c.columns, 3)
	require.Equal(t, "a number", c.columns[0].keep)
	require.True(t, c.columns[1].notNull)
	require.Equal(t, "email", c.columns[1].rule.String())
	require.Equal(t, "date", c.columns[2].typ)
}

// TestModes makes the same plan in all ways in which pgx sends a statement.
func TestModes(t *testing.T) {
	conn := connect(t, read(t, "shop.sql"))
	kr := keyringtest.NewKeyring(t)
	var want string
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		cfg := conn.Config().Copy()
		cfg.DefaultQueryExecMode = mode
		other, err := pgx.ConnectConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { other.Close(context.Background()) })
		p, err := NewPlan(t.Context(), other, shopConfig(t, kr))
		require.NoError(t, err, mode)
		var b strings.Builder
		require.NoError(t, p.WriteMarkdown(&b))
		if want == "" {
			want = b.String()
		}
		require.Equal(t, want, b.String(), mode)
	}
}

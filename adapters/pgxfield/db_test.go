package pgxfield_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
)

// modes are all the ways in which pgx sends a statement.
var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// connect returns a connection to a fresh database.
func connect(t testing.TB, change ...func(*pgx.ConnConfig)) *pgx.Conn {
	cfg, err := pgx.ParseConfig(pgtest.Database(t))
	require.NoError(t, err)
	for _, f := range change {
		f(cfg)
	}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func newTable[T any](t testing.TB, kr *keyring.Keyring, name string, cfg pgxfield.Config) *pgxfield.Table[T] {
	table, err := pgxfield.NewTable[T](kr, name, cfg)
	require.NoError(t, err)
	return table
}

// run executes statements one by one.
func run(t testing.TB, conn *pgx.Conn, statements ...string) {
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
}

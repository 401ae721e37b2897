package pgxfield_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestPlaintextOfOthers sends plaintext past the library, which the CHECK refuses,
// and looks for it in the server's log: under the usual settings it is there, and
// only both settings that the package's documentation names keep it out.
func TestPlaintextOfOthers(t *testing.T) {
	ctx := t.Context()
	server := startServer(t, binaries(t), nil)
	conn := connectTo(t, server.DSN(), pgx.QueryExecModeCacheStatement)
	table := newTable[customer](t, keyringtest.NewKeyring(t), "customers", byID)
	run(t, conn, createCustomers)
	run(t, conn, table.DDL()...)
	for i, c := range []struct {
		settings []string
		logged   bool
	}{
		{nil, true},
		{[]string{"set log_min_error_statement = panic"}, true}, // in the detail: Failing row contains ...
		{[]string{"set log_error_verbosity = terse"}, true},     // in the statement
		{[]string{"set log_min_error_statement = panic", "set log_error_verbosity = terse"}, false},
	} {
		run(t, conn, "reset all")
		run(t, conn, c.settings...)
		secret := marker + strings.Repeat("x", i+1)
		before, err := server.Log()
		require.NoError(t, err)
		_, err = conn.Exec(ctx, "insert into customers (id, email, email_idx, born) values (1, '"+secret+"', '', '')")
		require.ErrorContains(t, err, "(SQLSTATE 23514)")
		_, err = conn.Exec(ctx, "insert into customers (id, email, email_idx, born) values (1, $1, '', '')", []byte(secret))
		require.ErrorContains(t, err, "(SQLSTATE 23514)")
		all, err := server.Log()
		require.NoError(t, err)
		log := string(all[len(before):])
		require.Equal(t, 2, strings.Count(log, "violates check constraint"), "%q", log)
		found := strings.Contains(log, secret) || strings.Contains(log, hex.EncodeToString([]byte(secret)))
		require.Equal(t, c.logged, found, "%v: %q", c.settings, log)
	}
}

package pgxmask

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestTransactionTimeout has a server that ends long transactions, which an export is.
func TestTransactionTimeout(t *testing.T) {
	conn, p := newCustomers(t, 10)
	var known bool
	require.NoError(t, conn.QueryRow(t.Context(), "select current_setting('transaction_timeout', true) is not null").Scan(&known))
	config := RunConfig{Source: conn.Config()}
	if config.Source.RuntimeParams = map[string]string{}; known {
		config.Source.RuntimeParams["transaction_timeout"] = "100ms"
	}
	session, err := dial(t.Context(), config.Source)
	require.NoError(t, err)
	defer disconnect(session)
	require.NoError(t, begin(t.Context(), session, ""))
	_, err = session.Exec(t.Context(), "select pg_sleep(0.3)")
	require.NoError(t, err)
	config.Dir = t.TempDir()
	_, err = p.Run(t.Context(), config)
	require.NoError(t, err)
}

// TestIdleSession has a target that ends sessions which wait, as the one with the manifest
// does while rows are copied.
func TestIdleSession(t *testing.T) {
	conn, p := newCustomers(t, 10)
	copied := connect(t)
	for _, s := range []string{"idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout"} {
		run(t, copied, "alter database "+ident(copied.Config().Database)+" set "+s+" = '1h'")
	}
	j := newJob(p, RunConfig{Source: conn.Config(), Target: copied.Config()})
	s, err := newTarget(t.Context(), j)
	require.NoError(t, err)
	defer s.close()
	w, err := s.worker(t.Context())
	require.NoError(t, err)
	defer w.close()
	for _, session := range []*pgx.Conn{s.(*target).conn, w.(*targetWorker).conn} {
		var idle, inTransaction, statement string
		require.NoError(t, session.QueryRow(t.Context(), "select current_setting('idle_session_timeout'), current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout')").Scan(&idle, &inTransaction, &statement))
		require.Equal(t, []string{"0", "0", "0"}, []string{idle, inTransaction, statement})
	}
}

// TestTargetEncoding copies names that are no ASCII into a database that is not UTF-8.
func TestTargetEncoding(t *testing.T) {
	const table = `create table "Käufer" ("Straße" text)`
	utf8 := connect(t, table, `insert into "Käufer" values ('Öder Weg 1')`)
	p, err := newPlan(t, utf8, keyringtest.NewKeyring(t), `"public.Käufer": {"columns": {"Straße": "token"}}`)
	require.NoError(t, err)
	config := utf8.Config().Copy()
	config.Database = "latin1_" + utf8.Config().Database
	config.RuntimeParams["client_encoding"] = "UTF8"
	run(t, utf8, "create database "+ident(config.Database)+" encoding 'LATIN1' locale 'C' template template0")
	latin1, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	run(t, latin1, table)
	require.NoError(t, latin1.Close(t.Context()))
	delete(config.RuntimeParams, "client_encoding") // as the server likes
	_, err = p.Run(t.Context(), RunConfig{Source: utf8.Config(), Target: config})
	require.NoError(t, err)
	_, err = p.Verify(t.Context(), RunConfig{Source: utf8.Config(), Target: config})
	require.NoError(t, err)
	run(t, utf8, "drop database "+ident(config.Database))
}

// TestEnvironment has pg_dump go where the program goes, and not with less security.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"PGSSLMODE", "PGSERVICE", "PGHOSTADDR", "PGHOST"} {
		t.Setenv(name, "")
	}
	get := func(config *pgx.ConnConfig, name string) (values []string) {
		for _, e := range environment(config) {
			if len(e) > len(name) && e[:len(name)+1] == name+"=" {
				values = append(values, e[len(name)+1:])
			}
		}
		return values
	}
	last := func(config *pgx.ConnConfig, name string) string {
		all := get(config, name)
		if len(all) == 0 {
			return ""
		}
		return all[len(all)-1]
	}
	for dsn, want := range map[string]string{
		"host=a.example user=u":                             "",
		"host=a.example user=u sslmode=disable":             "disable",
		"postgres://u@a.example/db?sslmode=require":         "require",
		"postgres://u@a.example/db?sslmode=prefer":          "prefer",
		"host=a.example user=u sslmode='require' dbname=db": "require",
	} {
		config, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		require.Equal(t, want, last(config, "PGSSLMODE"), dsn)
		require.Equal(t, "a.example", last(config, "PGHOST"), dsn)
		config.TLSConfig, config.Fallbacks = &tls.Config{ServerName: "a.example"}, nil
		require.Equal(t, "require", last(config, "PGSSLMODE"), "%s with TLSConfig", dsn)
		t.Setenv("PGSSLMODE", "verify-full")
		require.NotContains(t, []string{"disable", "prefer", "allow"}, last(config, "PGSSLMODE"))
		t.Setenv("PGSSLMODE", "")
	}
	config, err := pgx.ParseConfig("host=a.example user=u sslmode=disable")
	require.NoError(t, err)
	t.Setenv("PGSERVICE", "elsewhere")
	t.Setenv("PGHOSTADDR", "192.0.2.1")
	require.False(t, slices.ContainsFunc(environment(config), func(e string) bool {
		return e == "PGSERVICE=elsewhere" || e == "PGHOSTADDR=192.0.2.1"
	}))
}

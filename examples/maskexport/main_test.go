package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
)

// TestMaskexport does what the README says, and looks at what psql restores.
func TestMaskexport(t *testing.T) {
	ctx := t.Context()
	dsn, policy := pgtest.Database(t), "policy.yaml"
	text, err := os.ReadFile(policy)
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile(policy, text, 0o600))
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(ctx, append(args, "-dsn", dsn), &out, io.Discard)
		return out.String(), err
	}
	ok := func(want string, args ...string) {
		out, err := do(args...)
		require.NoError(t, err)
		require.Contains(t, out, want)
	}
	ok("", "demo", "-customers", "300")
	ok("wrote policy.lock", "plan", "-report", "plan.html", "-lock", "policy.lock")
	ok("nothing has changed", "plan", "-lock", "policy.lock")
	html, err := os.ReadFile("plan.html")
	require.NoError(t, err)
	require.Contains(t, string(html), "email_idx")
	ok("verified: ", "run", "-out", "copy")
	ok("verified: ", "verify", "-out", "copy")
	_, err = do("run", "-out", "copy")
	require.Error(t, err, "there is a copy")
	ok("verified: ", "run", "-out", "part", "-customers-where", "id = 300")

	var all strings.Builder
	require.NoError(t, filepath.WalkDir("copy", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, err := os.ReadFile(path)
			all.Write(data)
			return err
		}
		return err
	}))
	source := connect(t, dsn)
	for _, sql := range []string{"select name from shop.customers where id = 7", "select phone from shop.customers where id = 7", "select pan from shop.cards where id = 7", "select contact from shop.tickets where id = 5"} {
		var original string
		require.NoError(t, source.QueryRow(ctx, sql).Scan(&original))
		require.NotContains(t, all.String(), original)
	}

	target := pgtest.Database(t)
	bin, err := pgtest.Binaries()
	require.NoError(t, err)
	psql := exec.Command(filepath.Join(bin, "psql"), "-X", "-q", "-d", target, "-f", "restore.sql")
	psql.Dir = "copy"
	out, err := psql.CombinedOutput()
	require.NoError(t, err, string(out))

	// Whoever has the test keyring reads the copy, and searches it.
	kr, err := openKeyring(ctx, "shop-test", keyring.NewFileStore("test.keys"), "test.key")
	require.NoError(t, err)
	defer kr.Close()
	table, err := customers(kr)
	require.NoError(t, err)
	copied := connect(t, target)
	require.NoError(t, table.Verify(ctx, copied))
	rows, err := copied.Query(ctx, "select id, email, email_idx, born from shop.customers")
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, table.Row(ctx))
	require.NoError(t, err)
	require.Len(t, found, 300)
	for c, err := range table.Search(ctx, copied, pgxfield.SearchQuery{Column: "email", Value: strings.ToUpper(found[0].Email)}) {
		require.NoError(t, err)
		require.Equal(t, found[0].ID, c.ID)
	}
	var joined int
	require.NoError(t, copied.QueryRow(ctx, `select count(*) from shop.tickets t join shop.customers c on c.id = t.customer_id
		join shop.cards d on d.customer_id = c.id where t.contact = c.profile->>'newsletter' and t.note like '%' || d.pan || '%' || t.contact || '%'`).Scan(&joined))
	require.Equal(t, 60, joined, "values stay equal in columns, JSON and text")

	// A new column stops the next run, and CI.
	_, err = source.Exec(ctx, "alter table shop.customers add column nickname text")
	require.NoError(t, err)
	_, err = do("run", "-out", "later")
	require.ErrorContains(t, err, "shop.customers.nickname")
	require.NoDirExists(t, "later")
}

// TestResume goes on with a run that was interrupted.
func TestResume(t *testing.T) {
	dsn := pgtest.Database(t)
	policy, err := filepath.Abs("policy.yaml")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	do := func(ctx context.Context, args ...string) error {
		return run(ctx, append(args, "-dsn", dsn, "-policy", policy), io.Discard, io.Discard)
	}
	require.NoError(t, do(t.Context(), "demo", "-customers", "300"))
	require.NoError(t, do(t.Context(), "run"))
	require.NoError(t, os.Remove("copy/finished.json"))
	require.NoError(t, do(t.Context(), "resume"))
	require.FileExists(t, "copy/finished.json")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.True(t, errors.Is(do(canceled, "run", "-out", "other"), context.Canceled))
	require.NoFileExists(t, "other/finished.json")
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

package pgxmask

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestHiddenText has text that pg_dump writes and that is of no table, or of a schema that
// is not selected: whoever reads the report has to see it.
func TestHiddenText(t *testing.T) {
	conn := connect(t, `create table t (id int, e text)`, `create statistics s on id, (e = 'in statistics') from t`,
		`comment on statistics s is 'on statistics'`, `create rule r as on delete to t do instead nothing`, `comment on rule r on t is 'on a rule'`,
		`create schema other`, `create function other.f() returns text language sql as $$ select 'in another schema' $$`, `comment on schema other is 'on another schema'`,
		`create table other.t (a text default 'in a default')`, `create collation other.c (locale = 'C')`, `comment on collation other.c is 'on a collation'`,
		`create foreign data wrapper w options (o 'of a wrapper')`, `create server v foreign data wrapper w options (o 'of a server')`, `comment on server v is 'on a server'`,
		`create aggregate agg(text) (sfunc = textcat, stype = text, initcond = 'in an aggregate')`, `create table p (k text) partition by list ((k || 'in a partition key'))`,
		`create text search dictionary d (template = simple, stopwords = 'english', accept = 'false')`)
	p, err := NewPlan(t.Context(), conn, Config{Policy: policy(t, columns(`"e": "shape"`)+`, "public.p": {"skip": "empty"}`), Keyring: keyringtest.NewKeyring(t), Schemas: []string{"public"}})
	require.NoError(t, err)
	var report bytes.Buffer
	require.NoError(t, p.WriteMarkdown(&report))
	for _, text := range []string{"in statistics", "on statistics", "on a rule", "in another schema", "on another schema", "in a default", "on a collation", "of a wrapper", "of a server", "on a server",
		"in an aggregate", "in a partition key", "stopwords = 'english'"} {
		require.Contains(t, report.String(), text)
	}
	target, err := pgx.ParseConfig(pgtest.Database(t))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Target: target})
	require.NoError(t, err)
}

// TestUserMapping has the password of another server, which pg_dump writes.
func TestUserMapping(t *testing.T) {
	conn := connect(t, `create table t (id int, e text)`, `create foreign data wrapper w`, `create server v foreign data wrapper w`,
		`create user mapping for public server v options (password '`+secret+`')`)
	_, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"e": "shape"`))
	require.EqualError(t, err, `pgxmask: the database (user mapping of public for v): it has options, of which one may be a password, and pg_dump writes them; drop it, or run as a role that can not see them`)
	cfg := Config{Policy: policy(t, columns(`"e": "shape"`)), Keyring: keyringtest.NewKeyring(t)}
	accept(SchemaText, "", "user mapping of public for v")(&cfg)
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)
	var report bytes.Buffer
	require.NoError(t, p.WriteMarkdown(&report))
	require.NotContains(t, report.String(), secret)
}

// TestUserMappingOfRun has one that the role which makes the plan does not see, and the one
// that runs pg_dump does.
func TestUserMappingOfRun(t *testing.T) {
	conn := connect(t, `create table t (id int, e text)`, `create foreign data wrapper w`, `create server v foreign data wrapper w`,
		`create user mapping for public server v options (password '`+secret+`')`, `create role sealfield_planner`)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), `reset role; drop owned by sealfield_planner; drop role sealfield_planner`)
		require.NoError(t, err)
	})
	cfg := Config{Policy: policy(t, columns(`"e": "shape"`)), Keyring: keyringtest.NewKeyring(t)}
	accept(SchemaText, "", "user mapping of public for v")(&cfg)
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir(), Format: SQL})
	require.NoError(t, err, "somebody has accepted it")

	run(t, conn, `grant select on t to sealfield_planner`, `set role sealfield_planner`)
	p, err = newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"e": "shape"`))
	require.NoError(t, err)
	config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Format: SQL}
	_, err = p.Run(t.Context(), config)
	require.ErrorContains(t, err, "user mapping of public for v")
	_, err = os.Stat(filepath.Join(config.Dir, beforeName))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err, "no schema, no password")
}

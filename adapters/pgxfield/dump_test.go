package pgxfield_test

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/adapters/pgxstore"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// carried has a sealed column, index columns, a token and its key column.
type carried struct {
	ID    int64   `db:"id"`
	Email string  `db:"email" seal:"encrypt,index=email_idx,norm=email,index=email_pre,kind=prefix,norm=email"`
	Note  *string `db:"note" seal:"encrypt"`
	PAN   string  `db:"pan" seal:"token=pan,key=pan_key,index=pan_idx"`
}

const createCarried = `create table carried (id bigint primary key, email bytea not null, email_idx bytea not null, email_pre bytea[] not null, note bytea, pan text not null, pan_key bytea not null, pan_idx bytea not null)`

func carriedRows() []carried {
	return []carried{{1, "Ann@Example.com", ptr("a note"), "4111111111111111"}, {2, "bob@example.com", nil, "5500005555555559"}, {3, "cy@example.com", ptr(""), "4012888888881881"}}
}

// migration is a database with sealed rows, and their keys in it, on a server of
// the oldest PostgreSQL that is installed, and an empty server of the newest.
type migration struct {
	from, to         pgtest.Version
	fromDSN, toDSN   string
	kms              keyring.KMS
	conn, subscriber *pgx.Conn
}

func newMigration(t *testing.T, has ...string) *migration {
	binaries(t)
	versions, err := pgtest.Versions()
	require.NoError(t, err)
	m := &migration{to: versions[len(versions)-1], kms: keyringtest.NewKMS()}
	for _, v := range versions {
		complete := m.from.Major == 0
		for _, program := range has {
			_, ok := v.Has(program)
			complete = complete && ok
		}
		if complete {
			m.from = v
		}
	}
	if m.from.Major == 0 {
		t.Skipf("SKIPPED: no installed PostgreSQL has %v", has)
	}
	t.Logf("from PostgreSQL %d to %d", m.from.Major, m.to.Major)
	logical := map[string]string{"wal_level": "logical"}
	m.fromDSN = startServer(t, m.from.Binaries, logical).DSN()
	m.toDSN = startServer(t, m.to.Binaries, logical).DSN()
	m.conn = connectTo(t, m.fromDSN, pgx.QueryExecModeCacheDescribe)
	m.subscriber = connectTo(t, m.toDSN, pgx.QueryExecModeCacheDescribe)
	table := m.table(t, m.fromDSN, keyring.Create)
	run(t, m.conn, createCarried)
	run(t, m.conn, table.DDL()...)
	copyRows(t, m.conn, table, "carried", carriedRows())
	return m
}

type openKeyring = func(context.Context, keyring.Config) (*keyring.Keyring, error)

// table returns the table with the keys that are in the database dsn.
func (m *migration) table(t *testing.T, dsn string, open openKeyring) *pgxfield.Table[carried] {
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	store, err := pgxstore.New(t.Context(), cfg, pgxstore.Config{})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	require.NoError(t, store.Migrate(t.Context()))
	kr, err := open(t.Context(), keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{m.kms}})
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return newTable[carried](t, kr, "carried", byID)
}

// check reads, searches and verifies what arrived in another database, with the
// keys that arrived there too, and shows that the CHECKs did.
func (m *migration) check(t *testing.T, dsn string, want []carried) {
	ctx := t.Context()
	conn := connectTo(t, dsn, pgx.QueryExecModeCacheDescribe)
	table := m.table(t, dsn, keyring.Open)
	require.NoError(t, table.Verify(ctx, conn))
	all, err := query(t, conn, table.Row(ctx), "select * from carried order by id")
	require.NoError(t, err)
	require.Equal(t, want, all)
	for column, value := range map[string]string{"email_idx": "ANN@example.com", "pan": "4111111111111111"} {
		index := map[string]string{"email_idx": "email_idx", "pan": "pan_idx"}[column]
		tags, err := table.Match(ctx, column, value)
		require.NoError(t, err)
		found, err := query(t, conn, table.Row(ctx), fmt.Sprintf("select * from carried where %s = any($1)", index), tags)
		require.NoError(t, err)
		require.Equal(t, want[:1], found, column)
	}
	require.Equal(t, want[1:2], collectSearch(t, table, conn, pgxfield.SearchQuery{Column: "email_pre", Value: "bob@"}))
	_, err = conn.Exec(ctx, "update carried set note = $1 where id = 1", []byte(marker))
	require.ErrorContains(t, err, "(SQLSTATE 23514)")
	copyRows(t, conn, table, "carried", []carried{{100, "new@example.com", nil, "4111111111111111"}})
}

// TestDump carries a database by pg_dump in both formats, to the newest version.
func TestDump(t *testing.T) {
	m := newMigration(t, "pg_dump", "pg_restore", "psql")
	for format, restore := range map[string][]string{
		"plain":  {"psql", "-q", "-v", "ON_ERROR_STOP=1", "-f"},
		"custom": {"pg_restore", "--exit-on-error"},
	} {
		t.Run(format, func(t *testing.T) {
			run(t, m.subscriber, "create database restored_"+format)
			u, err := url.Parse(m.toDSN)
			require.NoError(t, err)
			u.Path = "/restored_" + format
			file := filepath.Join(t.TempDir(), "dump")
			program, _ := m.from.Has("pg_dump")
			out, err := exec.Command(program, "-d", m.fromDSN, "--format", format, "--file", file).CombinedOutput()
			require.NoError(t, err, string(out))
			program, _ = m.from.Has(restore[0])
			out, err = exec.Command(program, append(append([]string{"-d", u.String()}, restore[1:]...), file)...).CombinedOutput()
			require.NoError(t, err, string(out))
			m.check(t, u.String(), carriedRows())
		})
	}
}

// TestLogicalReplication carries rows, and the keys, to a subscriber of the newest
// version: those that are there before, and those that come and change meanwhile.
func TestLogicalReplication(t *testing.T) {
	ctx := t.Context()
	m := newMigration(t)
	target := newTable[carried](t, keyringtest.NewKeyring(t), "carried", byID) // DDL needs no key
	run(t, m.subscriber, createCarried)
	run(t, m.subscriber, target.DDL()...)
	cfg, err := pgx.ParseConfig(m.toDSN)
	require.NoError(t, err)
	store, err := pgxstore.New(ctx, cfg, pgxstore.Config{})
	require.NoError(t, err)
	defer store.Close()
	require.NoError(t, store.Migrate(ctx))
	run(t, m.subscriber, "truncate sealfield.migrations") // it arrives as well
	run(t, m.conn, "create publication everything for all tables")
	run(t, m.subscriber, fmt.Sprintf("create subscription everything connection '%s' publication everything", m.fromDSN))

	table := m.table(t, m.fromDSN, keyring.Open)
	want := append(carriedRows(), carried{4, "dee@example.com", ptr("later"), "4111111111111111"})
	want[3].PAN = "4222222222222"
	copyRows(t, m.conn, table, "carried", want[3:])
	want[1].Note = ptr("changed")
	_, err = m.conn.Exec(ctx, "update carried set note = @note where id = @id", table.Args(&want[1]))
	require.NoError(t, err)
	var lsn string
	require.NoError(t, m.conn.QueryRow(ctx, "select pg_current_wal_lsn()").Scan(&lsn))
	require.Eventually(t, func() bool {
		var behind, syncing int
		err := m.conn.QueryRow(ctx, "select count(*) from pg_replication_slots where slot_name = 'everything' and confirmed_flush_lsn >= $1::text::pg_lsn", lsn).Scan(&behind)
		require.NoError(t, err)
		require.NoError(t, m.subscriber.QueryRow(ctx, "select count(*) from pg_subscription_rel where srsubstate <> 'r'").Scan(&syncing))
		return behind == 1 && syncing == 0
	}, time.Minute, 20*time.Millisecond)
	run(t, m.subscriber, "drop subscription everything")
	m.check(t, m.toDSN, want)
}

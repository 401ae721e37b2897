package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database returns the connection string of a new, empty database, which is
// dropped at the end of the test. It is on the server that SEALFIELD_PG_DSN
// names or, when that is empty, on a throw-away one that all tests of this
// process share. Where PostgreSQL is not installed the test is skipped, unless
// SEALFIELD_REQUIRE_PG is set.
func Database(t testing.TB) string {
	t.Helper()
	s, err := server()
	if errors.Is(err, ErrNoBinaries) && os.Getenv(EnvRequire) == "" {
		t.Skipf("SKIPPED without PostgreSQL: %v. Set %s to use a running server.", err, EnvDSN)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := "sealfield_test_" + strings.ToLower(rand.Text())
	if err := execute(s.dsn, "create database "+name+" template template0"); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(s.dsn, "drop database if exists "+name+" with (force)"); err != nil {
			t.Errorf("pgtest: drop the database: %v", err)
		}
	})
	return withDatabase(s.dsn, name)
}

// server returns the server for this process. Nobody stops one that is started
// here: its guard does when the process ends.
var server = sync.OnceValues(func() (*Server, error) {
	if dsn := os.Getenv(EnvDSN); dsn != "" {
		return &Server{dsn: dsn}, nil
	}
	return Start(context.Background())
})

func execute(dsn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// withDatabase returns dsn, a URL or a list of key=value, with another database.
func withDatabase(dsn, name string) string {
	if u, err := url.Parse(dsn); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + name
		return u.String()
	}
	return dsn + " dbname=" + name
}

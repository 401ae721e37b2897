package pgtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestMain turns the re-executed binary into a process that starts a cluster,
// says where, and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	s, err := server()
	if err != nil {
		panic(err)
	}
	fmt.Println(s.DSN())
	select {}
}

func TestDatabase(t *testing.T) {
	dsn := Database(t)
	require.NotEqual(t, dsn, Database(t))
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var tables int
	require.NoError(t, conn.QueryRow(t.Context(), "select count(*) from information_schema.tables where table_schema = 'public'").Scan(&tables))
	require.Zero(t, tables)
}

func TestDatabaseIsDropped(t *testing.T) {
	var dsn string
	t.Run("inner", func(t *testing.T) { dsn = Database(t) })
	_, err := pgx.Connect(t.Context(), dsn)
	require.ErrorContains(t, err, "3D000")
}

func TestStartStop(t *testing.T) {
	needBinaries(t)
	s, err := Start(t.Context())
	require.NoError(t, err)
	defer s.Stop()
	var dir string
	conn, err := pgx.Connect(t.Context(), s.DSN())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), "show unix_socket_directories").Scan(&dir))
	require.DirExists(t, dir)
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop())
	require.NoDirExists(t, dir)
	require.Error(t, conn.Ping(t.Context()))
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	needBinaries(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1", EnvDSN+"=")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	dsn := strings.TrimSpace(line)

	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var dir string
	require.NoError(t, conn.QueryRow(t.Context(), "show unix_socket_directories").Scan(&dir))
	require.DirExists(t, dir)

	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 30*time.Second, 50*time.Millisecond)
	_, err = pgx.Connect(t.Context(), dsn)
	require.Error(t, err)
}

func TestWithDatabase(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p%40@h:1/a?sslmode=disable": "postgres://u:p%40@h:1/b?sslmode=disable",
		"postgresql://h":  "postgresql://h/b",
		"host=h dbname=a": "host=h dbname=a dbname=b",
	} {
		require.Equal(t, want, withDatabase(in, "b"))
		cfg, err := pgx.ParseConfig(withDatabase(in, "b"))
		require.NoError(t, err)
		require.Equal(t, "b", cfg.Database)
	}
}

func TestNewestFirst(t *testing.T) {
	require.Equal(t, []string{"/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9.6/bin"},
		newestFirst([]string{"/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/17/bin"}))
}

func TestVersions(t *testing.T) {
	needBinaries(t)
	versions, err := Versions()
	require.NoError(t, err)
	usual, err := Binaries()
	require.NoError(t, err)
	found := false
	for i, v := range versions {
		require.Greater(t, v.Major, 9)
		if i > 0 {
			require.Less(t, versions[i-1].Major, v.Major)
		}
		_, ok := v.Has("initdb")
		require.True(t, ok)
		_, ok = v.Has("no such program")
		require.False(t, ok)
		found = found || v.Binaries == usual
	}
	require.True(t, found)
}

func TestSettingsAndLog(t *testing.T) {
	needBinaries(t)
	s, err := StartWith(t.Context(), Config{Settings: map[string]string{"wal_level": "logical"}})
	require.NoError(t, err)
	defer s.Stop()
	conn, err := pgx.Connect(t.Context(), s.DSN())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var level string
	require.NoError(t, conn.QueryRow(t.Context(), "show wal_level").Scan(&level))
	require.Equal(t, "logical", level)
	_, err = conn.Exec(t.Context(), "do $$ begin raise log 'a line of the log'; end $$")
	require.NoError(t, err)
	require.NoError(t, s.Stop())
	log, err := s.Log()
	require.NoError(t, err)
	require.Contains(t, string(log), "a line of the log")

	_, err = StartWith(t.Context(), Config{Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, "no_such_setting")
}

// TestBouncer shows that two clients share one session, and that a transaction
// has it to itself.
func TestBouncer(t *testing.T) {
	b := StartBouncer(t, Database(t), BouncerConfig{})
	require.Regexp(t, `^\d+\.\d+`, b.Version)
	var pids [2]int
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		conns[i], err = pgx.Connect(t.Context(), b.DSN())
		require.NoError(t, err)
		defer conns[i].Close(t.Context())
		require.NoError(t, conns[i].QueryRow(t.Context(), "select pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pids[i]))
	}
	require.Equal(t, pids[0], pids[1])
	tx, err := conns[0].Begin(t.Context())
	require.NoError(t, err)
	waited := make(chan error, 1)
	go func() { waited <- conns[1].Ping(t.Context()) }()
	select {
	case err := <-waited:
		require.Fail(t, "the other client did not wait", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-waited)
	require.NoError(t, b.Stop())
	require.Error(t, conns[0].Ping(t.Context()))
}

func TestBouncerINI(t *testing.T) {
	target, err := pgx.ParseConfig("postgres://u:a%27b@h.example:1/d?sslmode=disable")
	require.NoError(t, err)
	require.Contains(t, BouncerConfig{}.ini("2", target, false), "\n* = host='h.example' port=1 user='u' password='a''b'\n")
	require.NotContains(t, BouncerConfig{}.ini("2", target, false), "max_prepared_statements")
	require.Contains(t, BouncerConfig{Conns: 3}.ini("2", target, true), "default_pool_size = 3\n")
}

func needBinaries(t *testing.T) {
	if _, err := Binaries(); err != nil && os.Getenv(EnvRequire) == "" {
		t.Skip("SKIPPED: ", err)
	}
}

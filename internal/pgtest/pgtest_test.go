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

func needBinaries(t *testing.T) {
	if _, err := Binaries(); err != nil && os.Getenv(EnvRequire) == "" {
		t.Skip("SKIPPED: ", err)
	}
}

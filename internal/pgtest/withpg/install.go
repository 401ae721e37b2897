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
	root := os.Getuid() == 0
	if !root && os.Getenv("INSTALL") != "1" {
		return missing(fmt.Sprintf("sudo sh -c 'mkdir -p %s && (test -e %[2]s || echo create_main_cluster=false >%[2]s) && apt-get update && apt-get install -y postgresql'", filepath.Dir(conf), conf))
	}
	fmt.Fprintln(os.Stderr, "withpg: installing Debian's postgresql, without a cluster")
	for _, command := range []string{
		"mkdir -p " + filepath.Dir(conf),
		"test -e " + conf + " || echo create_main_cluster=false >" + conf,
		"apt-get update -q",
		"DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold postgresql",
	} {
		args := []string{"sh", "-c", command}
		if !root {
			args = append([]string{"sudo"}, args...)
		}
		if err := execute(args...); err != nil {
			return err
		}
	}
	return nil
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

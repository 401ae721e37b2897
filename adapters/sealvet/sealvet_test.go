package sealvet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis/analysistest"
)

// TestMain downloads what the programs in testdata import: analysistest itself
// does not.
func TestMain(m *testing.M) {
	cmd := exec.Command("go", "list", "-deps", "-test", "./...")
	cmd.Dir, cmd.Env = "testdata/shop", append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go list in testdata/shop: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// run analyzes packages of testdata under flags, given as name, value, ...
func run(t *testing.T, packages []string, flags ...string) {
	a := newAnalyzer()
	for i := 0; i < len(flags); i += 2 {
		require.NoError(t, a.Flags.Set(flags[i], flags[i+1]))
	}
	dir, err := filepath.Abs("testdata/shop")
	require.NoError(t, err)
	analysistest.Run(t, dir, a, packages...)
}

func TestFindings(t *testing.T) {
	run(t, []string{"./guide", "./store", "./pgxuse", "./sqluse", "./gormuse", "./otherorms", "./logs", "./ignored"})
}

func TestFlags(t *testing.T) {
	run(t, []string{"./strict"}, "strict", "true", "tests", "true")
	run(t, []string{"./loggers"}, "slogfield", "true", "loggers", "go.uber.org/zap,example.com/shop/loggers/zap")
}

// TestTypedColumns runs in GOPATH mode, where package sqlfield can be another one.
func TestTypedColumns(t *testing.T) {
	dir, err := filepath.Abs("testdata/gopath")
	require.NoError(t, err)
	analysistest.Run(t, dir, newAnalyzer(), "typed")
}

// TestCommand runs the command as users do, by go vet and by itself, over
// packages of a module that imports pgx and Sealfield.
func TestCommand(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "sealvet")
	out, err := exec.Command("go", "build", "-o", bin, "./cmd/sealvet").CombinedOutput()
	require.NoError(t, err, "%s", out)

	const (
		pgx  = `(?m)pgxuse\.go:\d+:\d+: store\.Customer\.Email \(column email\) is written in the clear by pgx\.NamedArgs: use pgxfield's Table\.Args$`
		slog = `slogged\.go:\d+:\d+: store\.Customer\.Email \(column email\) is shown in the clear by slog\.Info: `
	)
	for _, c := range []struct {
		args    []string
		finding string // a regexp, "" for none
	}{
		{[]string{"go", "vet", "-vettool=" + bin, "./pgxuse"}, pgx},
		{[]string{"go", "vet", "-vettool=" + bin, "./clean", "./store"}, ""},
		{[]string{"go", "vet", "-vettool=" + bin, "./slogged"}, slog},
		{[]string{"go", "vet", "-vettool=" + bin, "-slogfield", "./slogged"}, ""},
		{[]string{bin, "./pgxuse"}, pgx},
		{[]string{bin, "./clean"}, ""},
		{[]string{bin, "-slogfield", "./slogged"}, ""},
	} {
		cmd := exec.Command(c.args[0], c.args[1:]...)
		cmd.Dir, cmd.Env = "testdata/shop", append(os.Environ(), "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if c.finding == "" {
			require.NoError(t, err, "%v: %s", c.args, out)
			require.Empty(t, string(out), c.args)
			continue
		}
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%v: %v", c.args, err)
		require.Positive(t, exit.ExitCode())
		require.Regexp(t, c.finding, string(out))
	}
}

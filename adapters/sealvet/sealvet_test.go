package sealvet

import (
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
	cmd := exec.Command("go", "mod", "download")
	cmd.Dir, cmd.Env = "testdata", append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		println("go mod download in testdata:", err.Error())
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
	dir, err := filepath.Abs("testdata")
	require.NoError(t, err)
	analysistest.Run(t, dir, a, packages...)
}

func TestFindings(t *testing.T) {
	run(t, []string{"./store", "./pgxuse", "./sqluse", "./gormuse", "./otherorms", "./logs", "./ignored", "./clean"})
}

func TestFlags(t *testing.T) {
	run(t, []string{"./strict"}, "strict", "true", "tests", "true")
	run(t, []string{"./loggers"}, "slog", "false", "loggers", "go.uber.org/zap,example.com/shop/loggers/zap")
}

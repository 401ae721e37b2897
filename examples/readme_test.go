// Package examples holds runnable programs, one per folder.
package examples

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
)

// TestReadme holds the README's programs to the files that the Examples run, and
// the outputs to what these compare with.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)<!-- (\\S+) -->\n```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 2)
	for _, b := range blocks {
		program, err := os.ReadFile("../" + b[1])
		require.NoError(t, err)
		require.Equal(t, string(program), b[2], "%s is not what the README shows", b[1])
	}
	outputs := regexp.MustCompile("(?s)<!-- output of (\\S+) -->\n```\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, outputs, 2)
	for _, o := range outputs {
		example, err := os.ReadFile("../" + o[1] + "/main_test.go")
		require.NoError(t, err)
		_, want, _ := strings.Cut(string(example), "// Output:\n")
		want = strings.TrimSuffix(strings.ReplaceAll(want, "\t// ", ""), "}\n")
		require.Equal(t, want, o[2], o[1])
	}
}

// TestQuickstart runs the demo as "make demo" does, whole and interrupted, and
// looks at what it leaves.
func TestQuickstart(t *testing.T) {
	dsn := pgtest.Database(t)
	program := t.TempDir() + "/quickstart"
	out, err := exec.Command("go", "build", "-o", program, "./quickstart").CombinedOutput()
	require.NoError(t, err, "%s", out)

	run := func(interruptAt string) (string, error) {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn, "TMPDIR="+t.TempDir())
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		var all strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := stdout.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				break
			}
			if interruptAt != "" && strings.Contains(all.String(), interruptAt) {
				require.NoError(t, cmd.Process.Signal(os.Interrupt))
				interruptAt = ""
			}
		}
		return all.String(), cmd.Wait()
	}
	left := func() int {
		conn, err := pgx.Connect(t.Context(), dsn)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "select count(*) from pg_namespace where nspname like 'sealfield%'").Scan(&n))
		return n
	}

	text, err := run("")
	require.NoError(t, err, text)
	require.Contains(t, text, "all 10000 rows read back, under both keys")
	require.Contains(t, text, "Everything above was checked.")
	require.Zero(t, left(), "schemas left behind")

	text, err = run("3. ") // the step that writes the rows
	require.Error(t, err, text)
	require.NotContains(t, text, "Everything above was checked.")
	require.Zero(t, left(), "schemas left behind after an interrupt")
}

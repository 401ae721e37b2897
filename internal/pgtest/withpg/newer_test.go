package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLink(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	write("native/lib/a.so.1", "library")
	write("native/pg-symlinks.json", `[{"source": "native/lib/a.so.1", "target": "native/lib/a.so"}]`)
	require.NoError(t, link(dir))
	require.NoError(t, link(dir), "again")
	content, err := os.ReadFile(filepath.Join(dir, "native/lib/a.so"))
	require.NoError(t, err)
	require.Equal(t, "library", string(content))

	for _, elsewhere := range []string{
		`[{"source": "native/lib/a.so.1", "target": "native/bin/postgres"}]`,
		`[{"source": "../x", "target": "../y"}]`,
		`[{"source": "/etc/passwd", "target": "native/lib/b.so"}]`,
	} {
		write("native/pg-symlinks.json", elsewhere)
		require.Error(t, link(dir), elsewhere)
	}
}

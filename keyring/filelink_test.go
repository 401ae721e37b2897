//go:build unix

package keyring_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestLinkedStoreFile writes by a file's own name and by a symbolic link to it
// at once: no key is lost, and the link stays one.
func TestLinkedStoreFile(t *testing.T) {
	dir, kms := t.TempDir(), keyringtest.NewKMS()
	path, link := filepath.Join(dir, "keys"), filepath.Join(t.TempDir(), "link")
	cfg := config(keyring.NewFileStore(path), kms)
	cfg.Scoped = true
	krs := []*keyring.Keyring{create(t, cfg)}
	require.NoError(t, os.Symlink(path, link))
	cfg.Store = keyring.NewFileStore(link)
	krs = append(krs, open(t, cfg))
	errs := make([]error, 40)
	race(len(errs), func(i int) { errs[i] = trySeal(krs[i%2], string(rune('a'+i))) })
	for i, err := range errs {
		require.NoError(t, err)
		infos, err := krs[(i+1)%2].Keys(t.Context(), keyring.Target{Scope: string(rune('a' + i)), Purpose: keyring.Encryption})
		require.NoError(t, err)
		require.Len(t, infos, 1)
	}
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink)
}

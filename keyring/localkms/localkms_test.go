package localkms_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/keyring/localkms"
)

func TestConformance(t *testing.T) {
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		k, err := localkms.Create(filepath.Join(t.TempDir(), "key"))
		require.NoError(t, err)
		return k
	})
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	_, err := localkms.Open(path)
	require.ErrorIs(t, err, fs.ErrNotExist)

	k, err := localkms.Create(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, `^sealfield-local-key-1 [0-9a-f]{16} [A-Za-z0-9_-]{43}\n$`, string(content))

	_, err = localkms.Create(path)
	require.ErrorIs(t, err, fs.ErrExist)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, after, "never overwritten")
	for _, open := range []func(string) (*localkms.KMS, error){localkms.Open, localkms.OpenOrCreate} {
		again, err := open(path)
		require.NoError(t, err)
		require.Equal(t, k.URI(), again.URI())
		wrapped, err := k.Wrap(t.Context(), make([]byte, 32), nil)
		require.NoError(t, err)
		_, err = again.Unwrap(t.Context(), wrapped, nil)
		require.NoError(t, err)
	}
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	_, err = localkms.Open(link)
	require.NoError(t, err, "secrets are often mounted as links")
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "temporary files")
}

// TestBrokenKeyFile spoils the file in every byte. No error shows its content,
// and nothing is ever made in its place.
func TestBrokenKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	_, err := localkms.Create(path)
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	key := strings.Fields(string(good))[2]
	refused := func(content []byte, what string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, content, 0o600))
		for _, open := range []func(string) (*localkms.KMS, error){localkms.Open, localkms.OpenOrCreate, localkms.Create} {
			_, err := open(path)
			require.Error(t, err, what)
			for n := 0; n+8 <= len(key); n++ {
				require.NotContains(t, err.Error(), key[n:n+8])
			}
		}
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, after))
	}
	for n := range good {
		refused(good[:n], fmt.Sprintf("cut to %d", n))
		bad := bytes.Clone(good)
		bad[n] ^= 1
		refused(bad, fmt.Sprintf("byte %d changed", n))
	}
	refused(append(bytes.Clone(good), '\n'), "one more line end")
	refused(append(bytes.Clone(good), good...), "twice")
	refused(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), "other line ends")
	require.NoError(t, os.WriteFile(path, good, 0o600))
	for _, mode := range []os.FileMode{0o604, 0o640, 0o602, 0o644, 0o620} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := localkms.Open(path)
		require.ErrorContains(t, err, fmt.Sprintf("%04o", mode))
		_, err = localkms.OpenOrCreate(path)
		require.Error(t, err)
	}
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = localkms.Open(path)
	require.NoError(t, err)
	_, err = localkms.Open(t.TempDir())
	require.ErrorContains(t, err, "no regular file")
}

func TestKeyIsNotPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	k, err := localkms.Create(path)
	require.NoError(t, err)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(strings.Fields(string(content))[2])
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{k, *k, struct{ K any }{k}, []any{k}} {
			text := fmt.Sprintf(verb, v)
			require.NotContains(t, text, string(raw))
			require.NotContains(t, text, hex.EncodeToString(raw[:8]))
			require.NotContains(t, text, strings.Trim(fmt.Sprint(raw[:8]), "[]"))
		}
	}
}

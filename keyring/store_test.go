package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/keyring/localkms"
)

func TestMemoryStore(t *testing.T) {
	keyringtest.TestStore(t, func(testing.TB) keyring.Store { return keyring.NewMemoryStore() })
}

func TestFileStore(t *testing.T) {
	keyringtest.TestStore(t, func(t testing.TB) keyring.Store { return keyring.NewFileStore(filepath.Join(t.TempDir(), "keys")) })
}

func TestKeyringtestKMS(t *testing.T) {
	keyringtest.TestKMS(t, func(testing.TB) keyring.KMS { return keyringtest.NewKMS() })
}

// TestBrokenStoreFile cuts and spoils the file in many ways. None is "no keyring".
func TestBrokenStoreFile(t *testing.T) {
	ctx, kms := t.Context(), keyringtest.NewKMS()
	path := filepath.Join(t.TempDir(), "keys")
	cfg := config(keyring.NewFileStore(path), kms)
	kr := create(t, cfg)
	ct := seal(t, kr, "")
	kr.Close()
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())

	refused := func(content []byte, want error, what string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, content, 0o600))
		for _, open := range []func(context.Context, keyring.Config) (*keyring.Keyring, error){keyring.Open, keyring.OpenOrCreate, keyring.Create} {
			_, err := open(ctx, cfg)
			require.ErrorIs(t, err, want, what)
			require.NotErrorIs(t, err, keyring.ErrNotFound)
			require.ErrorContains(t, err, path)
		}
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, after), "the file was changed")
	}
	step := max(1, len(good)/200)
	for n := 0; n < len(good)-1; n += step {
		refused(good[:n], keyring.ErrTampered, fmt.Sprintf("cut to %d bytes", n))
	}
	refused(append(bytes.Clone(good), '{'), keyring.ErrTampered, "more at the end")
	refused(bytes.Replace(good, []byte(`"Version": 1`), []byte(`"Version": 2`), 1), keyring.ErrTampered, "another version")
	refused([]byte("{}"), keyring.ErrTampered, "something else")
	refused([]byte("null"), keyring.ErrTampered, "null")
	for _, mode := range []os.FileMode{0o604, 0o640, 0o602, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		refused(good, keyring.ErrDenied, mode.String())
	}
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, good, 0o600))
	require.NoError(t, tryOpen(open(t, cfg), ct, ""))

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = keyring.Open(ctx, cfg)
	require.ErrorIs(t, err, keyring.ErrDenied)
}

// The tests below run this test binary again as processes of their own.
func init() {
	for role, f := range map[string]func(){"insert": insertForever, "create key file": createKeyFile, "fips": fips} {
		children[role] = func() int { f(); return 0 }
	}
}

func process(t *testing.T, what string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	// Should the role be lost, the process runs no test rather than all of them.
	cmd := exec.Command(self, append([]string{"-test.run=^$"}, args...)...)
	cmd.Env = append(os.Environ(), "SEALFIELD_TEST_CHILD="+what)
	return cmd
}

// insertForever adds key after key to the file store of its arguments, and
// prints each that is in.
func insertForever() {
	ctx := context.Background()
	kms, err := localkms.Open(os.Args[3])
	check(err)
	cfg := config(keyring.NewFileStore(os.Args[2]), kms)
	cfg.Scoped = true
	kr, err := keyring.Open(ctx, cfg)
	check(err)
	for i := 0; ; i++ {
		scope := fmt.Sprintf("%s-%d", os.Args[4], i)
		check(trySeal(kr, scope))
		fmt.Println(scope)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKilledWriters kills processes that write to one file store in the middle,
// and looks for each key that they had reported.
func TestKilledWriters(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	keys, key := filepath.Join(dir, "keys"), filepath.Join(dir, "key")
	kms, err := localkms.Create(key)
	require.NoError(t, err)
	cfg := config(keyring.NewFileStore(keys), kms)
	cfg.Scoped = true
	kr := create(t, cfg)
	var reported []string
	for round := range 5 {
		var outs [2]bytes.Buffer
		var cmds [2]*exec.Cmd
		for i := range cmds {
			cmds[i] = process(t, "insert", keys, key, fmt.Sprintf("%d-%d", round, i))
			cmds[i].Stdout, cmds[i].Stderr = &outs[i], os.Stderr
			require.NoError(t, cmds[i].Start())
		}
		time.Sleep(time.Duration(150+37*round) * time.Millisecond)
		for i, c := range cmds {
			require.NoError(t, c.Process.Kill())
			c.Wait()
			for line := range bytes.Lines(outs[i].Bytes()) {
				if line[len(line)-1] == '\n' {
					reported = append(reported, string(line[:len(line)-1]))
				}
			}
		}
	}
	require.NotEmpty(t, reported)
	for _, scope := range reported {
		infos, err := kr.Keys(ctx, keyring.Target{Scope: scope, Purpose: keyring.Encryption})
		require.NoError(t, err)
		require.Len(t, infos, 1, scope)
	}
	require.NoError(t, trySeal(kr, "after"), "the lock of a killed process is free")
	data, err := os.ReadFile(keys)
	require.NoError(t, err)
	require.True(t, json.Valid(data))
	t.Logf("10 processes killed, %d keys reported and found", len(reported))
}

func createKeyFile() {
	kms, err := localkms.OpenOrCreate(os.Args[2])
	check(err)
	fmt.Print(kms.URI())
}

func TestKeyFileRace(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "key")
		var outs [4]bytes.Buffer
		var cmds [4]*exec.Cmd
		for i := range cmds {
			cmds[i] = process(t, "create key file", path)
			cmds[i].Stdout, cmds[i].Stderr = &outs[i], os.Stderr
			require.NoError(t, cmds[i].Start())
		}
		for i := range cmds {
			require.NoError(t, cmds[i].Wait())
			require.NotEmpty(t, outs[i].String())
			require.Equal(t, outs[0].String(), outs[i].String(), "all use the one key")
		}
	}
}

// fips does a bit of everything.
func fips() {
	ctx := context.Background()
	for _, a := range []keyring.Algorithm{keyring.XAES256GCM, keyring.AES256GCM} {
		cfg := config(keyring.NewMemoryStore(), keyringtest.NewKMS())
		cfg.Algorithm = a
		kr, err := keyring.Create(ctx, cfg)
		check(err)
		check(trySeal(kr, ""))
		check(everything(kr))
		reader, err := keyring.Open(ctx, cfg)
		check(err)
		check(everything(reader))
	}
	fmt.Print("done")
}

func TestFIPSOnly(t *testing.T) {
	cmd := process(t, "fips")
	cmd.Env = append(cmd.Env, "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "done", string(out))
}

func TestUnwritableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("as root every folder can be written: a path below a file stands in for it")
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg := config(keyring.NewFileStore(filepath.Join(file, "keys")), keyringtest.NewKMS())
	_, err := keyring.Create(t.Context(), cfg)
	require.Error(t, err)
	require.True(t, errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrDenied), err)
}

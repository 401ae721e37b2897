//go:build unix

package keyring_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

func init() {
	children["killed"] = func() int { killed(); return 0 }
}

// suicidal is a Store that kills its process at a given write, before or after
// the write is done.
type suicidal struct {
	keyring.Store
	left  *int
	after bool
}

func (s suicidal) write(do func() error) error {
	*s.left--
	if *s.left == 0 && !s.after {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	err := do()
	if *s.left == 0 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return err
}

func (s suicidal) InsertRoot(ctx context.Context, r keyring.Root) error {
	return s.write(func() error { return s.Store.InsertRoot(ctx, r) })
}

func (s suicidal) InsertKey(ctx context.Context, k keyring.Key) error {
	return s.write(func() error { return s.Store.InsertKey(ctx, k) })
}

func (s suicidal) UpdateKeys(ctx context.Context, keys []keyring.Key) error {
	return s.write(func() error { return s.Store.UpdateKeys(ctx, keys) })
}

func (s suicidal) EraseScope(ctx context.Context, name, scope string) error {
	return s.write(func() error { return s.Store.EraseScope(ctx, name, scope) })
}

// shortLived is a keyring whose keys may rotate every few hundred milliseconds.
func shortLived(store keyring.Store, key string) keyring.Config {
	kms, err := localkms.Open(key)
	check(err)
	return keyring.Config{Name: "test", Store: store, KMS: []keyring.KMS{kms}, Scoped: true,
		PropagationDelay: 200 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

// killed does what its arguments say until it kills itself, or prints "done".
func killed() {
	ctx := context.Background()
	left, err := strconv.Atoi(os.Args[5])
	check(err)
	cfg := shortLived(suicidal{keyring.NewFileStore(os.Args[2]), &left, os.Args[6] == "true"}, os.Args[3])
	switch os.Args[4] {
	case "RotateRoot":
		kr, err := keyring.Open(ctx, cfg)
		check(err)
		_, err = kr.RotateRoot(ctx, keyring.Encryption)
		check(err)
	case "Shred":
		kr, err := keyring.Open(ctx, cfg)
		check(err)
		_, err = kr.Shred(ctx, "a", byAnn)
		check(err)
	case "RotateEvery":
		cfg.RotateEvery = 400 * time.Millisecond
		kr, err := keyring.Open(ctx, cfg)
		check(err)
		for left > -1 {
			check(trySeal(kr, "a"))
			time.Sleep(10 * time.Millisecond)
		}
	}
	fmt.Print("done")
}

// TestKilled kills a process at each write of an operation: the next process
// reads everything, goes on, and ends where an undisturbed one would.
func TestKilled(t *testing.T) {
	finish := map[string]func(t *testing.T, kr *keyring.Keyring, cts map[string][]byte){
		"RotateRoot": func(t *testing.T, kr *keyring.Keyring, cts map[string][]byte) {
			for scope, ct := range cts {
				require.NoError(t, tryOpen(kr, ct, scope))
			}
			done, err := kr.RotateRoot(t.Context(), keyring.Encryption)
			require.NoError(t, err)
			require.LessOrEqual(t, done.Version, 4, "the killed one, and one for each call of this")
			for _, id := range done.Empty {
				require.NoError(t, kr.DestroyRoot(t.Context(), id))
			}
		},
		"Shred": func(t *testing.T, kr *keyring.Keyring, cts map[string][]byte) {
			_, err := kr.Shred(t.Context(), "a", byAnn)
			require.NoError(t, err)
			require.ErrorIs(t, tryOpen(kr, cts["a"], "a"), keyring.ErrErased)
			require.NoError(t, tryOpen(kr, cts["b"], "b"))
			infos, err := kr.Keys(t.Context(), keyring.Target{Scope: "a", Purpose: keyring.Encryption})
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.Equal(t, keyring.Destroyed, infos[0].State)
		},
		"RotateEvery": func(t *testing.T, kr *keyring.Keyring, cts map[string][]byte) {
			require.NoError(t, tryOpen(kr, cts["a"], "a"))
			require.NoError(t, trySeal(kr, "a"))
			_, err := kr.Rotate(t.Context(), keyring.Target{Scope: "a", Purpose: keyring.Encryption}, keyring.RotateOptions{})
			require.NoError(t, err)
			infos, err := kr.Keys(t.Context(), keyring.Target{Scope: "a", Purpose: keyring.Encryption})
			require.NoError(t, err)
			for i, info := range infos {
				require.Equal(t, i+1, info.Version)
			}
		},
	}
	for operation, finish := range finish {
		t.Run(operation, func(t *testing.T) {
			kills := 0
			for at := 1; ; at++ {
				survived := false
				for _, after := range []bool{false, true} {
					dir := t.TempDir()
					key, path := filepath.Join(dir, "key"), filepath.Join(dir, "keys")
					_, err := localkms.Create(key)
					require.NoError(t, err)
					store := keyring.NewFileStore(path)
					kr := create(t, shortLived(store, key))
					cts := map[string][]byte{"a": seal(t, kr, "a"), "b": seal(t, kr, "b")}
					out, err := process(t, "killed", path, key, operation, strconv.Itoa(at), strconv.FormatBool(after)).CombinedOutput()
					if survived = err == nil; survived {
						require.Equal(t, "done", string(out))
					} else {
						require.ErrorContains(t, err, "killed", "%s", out)
						kills++
					}
					require.NoError(t, kr.Refresh(t.Context()))
					finish(t, kr, cts)
					next := open(t, shortLived(store, key))
					finish(t, next, cts)
				}
				if survived || at == 3 && operation == "RotateEvery" {
					break
				}
			}
			require.GreaterOrEqual(t, kills, 4)
			t.Logf("%d processes killed", kills)
		})
	}
}

// Package keyringtest is for tests: conformance suites for implementations of
// keyring.KMS and keyring.Store, and a KMS in memory that counts its calls and
// can be told to fail. It uses testify and must not be imported by programs.
package keyringtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
)

// KMS is a KMS in memory with a random key. Its methods are safe for
// concurrent use.
type KMS struct {
	uri     string
	key     *kmsaead.Key
	wraps   atomic.Int64
	unwraps atomic.Int64
	hook    atomic.Pointer[Hook]
}

// Hook is called before each operation ("wrap" or "unwrap"), and may block
// until ctx ends, or until later. An error becomes the answer; a non-nil
// replacement becomes the answer instead of the right one.
type Hook func(ctx context.Context, operation string) (replacement []byte, err error)

// NewKMS returns a KMS with a new random key.
func NewKMS() *KMS {
	key, id := make([]byte, kmsaead.KeySize), make([]byte, 8)
	rand.Read(key)
	rand.Read(id)
	k, err := kmsaead.New(key)
	if err != nil {
		panic(err)
	}
	return &KMS{uri: "memory:" + hex.EncodeToString(id), key: k}
}

// SetHook installs a hook; nil removes it.
func (k *KMS) SetHook(h Hook) {
	if h == nil {
		k.hook.Store(nil)
	} else {
		k.hook.Store(&h)
	}
}

// Wraps returns the number of calls of Wrap so far, failed ones included.
func (k *KMS) Wraps() int { return int(k.wraps.Load()) }

// Unwraps returns the number of calls of Unwrap so far, failed ones included.
func (k *KMS) Unwraps() int { return int(k.unwraps.Load()) }

// URI implements keyring.KMS.
func (k *KMS) URI() string { return k.uri }

// Wrap implements keyring.KMS.
func (k *KMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.wraps.Add(1)
	return k.answer(ctx, "wrap", func() ([]byte, error) { return k.key.Wrap(key, ec.Encode()), nil })
}

// Unwrap implements keyring.KMS.
func (k *KMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.unwraps.Add(1)
	return k.answer(ctx, "unwrap", func() ([]byte, error) {
		key, err := k.key.Unwrap(wrapped, ec.Encode())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", keyring.ErrDenied, err)
		}
		return key, nil
	})
}

func (k *KMS) answer(ctx context.Context, operation string, right func() ([]byte, error)) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if h := k.hook.Load(); h != nil {
		if replacement, err := (*h)(ctx, operation); err != nil || replacement != nil {
			return replacement, err
		}
	}
	return right()
}

// TestKMS holds an implementation to the contract of keyring.KMS. open returns
// a KMS with a key of its own at each call, another key each time.
func TestKMS(t *testing.T, open func(t testing.TB) keyring.KMS) {
	ctx := t.Context()
	key := make([]byte, 32)
	rand.Read(key)
	ec := keyring.EncryptionContext{"sealfield": "conformance", "purpose": "encryption", "key_id": "80000001"}

	t.Run("round trip", func(t *testing.T) {
		k := open(t)
		given := append([]byte(nil), key...)
		wrapped, err := k.Wrap(ctx, given, ec)
		require.NoError(t, err)
		require.Equal(t, key, given, "Wrap must not change the key")
		require.NotContains(t, string(wrapped), string(key))
		for range 2 {
			got, err := k.Unwrap(ctx, wrapped, ec)
			require.NoError(t, err)
			require.Equal(t, key, got)
			clear(got) // the caller owns it
		}
		again, err := k.Wrap(ctx, key, ec)
		require.NoError(t, err)
		require.NotEqual(t, wrapped, again, "wrapping must be randomized")
	})
	t.Run("URI", func(t *testing.T) {
		a, b := open(t), open(t)
		require.NotEmpty(t, a.URI())
		require.Equal(t, a.URI(), a.URI())
		require.NotEqual(t, a.URI(), b.URI(), "the URI must name the key")
	})
	t.Run("another context is refused", func(t *testing.T) {
		k := open(t)
		wrapped, err := k.Wrap(ctx, key, ec)
		require.NoError(t, err)
		for name, other := range map[string]keyring.EncryptionContext{
			"none":    nil,
			"missing": {"sealfield": "conformance", "purpose": "encryption"},
			"more":    {"sealfield": "conformance", "purpose": "encryption", "key_id": "80000001", "x": "y"},
			"changed": {"sealfield": "conformance", "purpose": "masking", "key_id": "80000001"},
			"moved":   {"sealfield": "encryption", "purpose": "conformance", "key_id": "80000001"},
		} {
			_, err := k.Unwrap(ctx, wrapped, other)
			require.ErrorIs(t, err, keyring.ErrDenied, name)
		}
	})
	t.Run("another key is refused", func(t *testing.T) {
		wrapped, err := open(t).Wrap(ctx, key, ec)
		require.NoError(t, err)
		_, err = open(t).Unwrap(ctx, wrapped, ec)
		require.ErrorIs(t, err, keyring.ErrDenied)
	})
	t.Run("altered bytes are refused", func(t *testing.T) {
		k := open(t)
		wrapped, err := k.Wrap(ctx, key, ec)
		require.NoError(t, err)
		for i := range wrapped {
			bad := append([]byte(nil), wrapped...)
			bad[i] ^= 1
			// A byte may have two spellings, as a version number in text.
			if got, err := k.Unwrap(ctx, bad, ec); err == nil {
				require.Equal(t, key, got, "flip in byte %d", i)
			}
			_, err = k.Unwrap(ctx, wrapped[:i], ec)
			require.Error(t, err, "cut to %d bytes", i)
		}
		_, err = k.Unwrap(ctx, append(wrapped, 0), ec)
		require.Error(t, err)
	})
	t.Run("concurrent use", func(t *testing.T) {
		k := open(t)
		errs := make(chan error)
		for range 8 {
			go func() {
				wrapped, err := k.Wrap(ctx, key, ec)
				if err == nil {
					_, err = k.Unwrap(ctx, wrapped, ec)
				}
				errs <- err
			}()
		}
		for range 8 {
			require.NoError(t, <-errs)
		}
	})
}

// NewKeyring returns a keyring named "test" with a memory store and a KMS of its
// own, closed at the end of the test. change may edit the Config before.
func NewKeyring(t testing.TB, change ...func(*keyring.Config)) *keyring.Keyring {
	cfg := keyring.Config{Name: "test", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{NewKMS()}}
	for _, f := range change {
		f(&cfg)
	}
	kr, err := keyring.OpenOrCreate(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

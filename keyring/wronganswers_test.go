package keyring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// liar is a KMS that alters its right answers to Unwrap, and knows all of them.
type liar struct {
	*keyringtest.KMS
	mu    sync.Mutex
	alter func(right []byte) []byte
	gave  map[string][]byte // root keys, by "keyring purpose"
}

func (k *liar) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	time.Sleep(time.Millisecond) // so that one failure is older than the next load
	right, err := k.KMS.Unwrap(ctx, wrapped, ec)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.gave[ec["sealfield"]+" "+ec["purpose"]] = bytes.Clone(right)
		if k.alter != nil {
			right = k.alter(right)
		}
	}
	return right, err
}

func (k *liar) lie(alter func(right []byte) []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.alter = alter
}

// TestWrongAnswersOfAllKinds gives a process each kind of wrong root key, when it
// has none and when it has the right one: none is taken, and none stays.
func TestWrongAnswersOfAllKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kms := &liar{KMS: f.kms, gave: make(map[string][]byte)}
		f.cfg.KMS = []keyring.KMS{kms}
		f.cfg.Name = "other"
		require.NoError(t, f.create(t).Close())
		f.cfg.Name = "test"
		creator := f.create(t) // proves its wraps, so that kms has seen all root keys
		id := use(creator, keyring.Encryption).mustEncrypt(t, "")
		require.Len(t, kms.gave, 8)
		require.NoError(t, creator.Close())
		answer := func(b []byte) func([]byte) []byte { return func([]byte) []byte { return bytes.Clone(b) } }
		garbage := make([]byte, 32)
		rand.Read(garbage)
		lies := map[string]func(right []byte) []byte{
			"nothing":                   answer(nil),
			"empty":                     answer([]byte{}),
			"zeros":                     answer(make([]byte, 32)),
			"garbage":                   answer(garbage),
			"a byte":                    func(right []byte) []byte { return right[:1] },
			"short":                     func(right []byte) []byte { return right[:31] },
			"long":                      func(right []byte) []byte { return append(right, 0) },
			"twice":                     func(right []byte) []byte { return append(right, right...) },
			"10 MB":                     func(right []byte) []byte { return append(right, make([]byte, 10<<20)...) },
			"reversed":                  func(right []byte) []byte { return reversed(right) },
			"of another purpose":        answer(kms.gave["test index"]),
			"of another keyring":        answer(kms.gave["other encryption"]),
			"its hex, as some KMSs may": func(right []byte) []byte { return fmt.Appendf(nil, "%x", right) },
		}
		for b := range 32 {
			bit := 8*b + b%8
			lies[fmt.Sprint("bit ", bit)] = func(right []byte) []byte { right[bit/8] ^= 1 << (bit % 8); return right }
		}
		for name, lie := range lies {
			kr := f.open(t)
			cold := use(kr, keyring.Encryption)
			kms.lie(lie)
			for range 3 {
				err := cold.decrypt("", id)
				require.ErrorIs(t, err, keyring.ErrTampered, name)
				for _, text := range []string{"keyring: test", "purpose encryption", kr.Health().Roots[0].ID, f.kms.URI()} {
					require.ErrorContains(t, err, text, name)
				}
				_, err = cold.encrypt("")
				require.ErrorIs(t, err, keyring.ErrTampered, name)
				_, err = cold.Live(t.Context(), "")
				require.ErrorIs(t, err, keyring.ErrTampered, name)
			}
			for _, r := range kr.Health().Roots {
				require.False(t, r.Unwrapped, name)
			}
			require.Empty(t, keyring.Secrets(kr), name)
			kms.lie(nil)
			require.NoError(t, cold.decrypt("", id), name)
			require.Equal(t, id, cold.mustEncrypt(t, ""), name)

			// The root key is in memory, and asked for again at half of a grace.
			kms.lie(lie)
			asked := kms.Unwraps()
			time.Sleep(35 * minute)
			require.Greater(t, kms.Unwraps(), asked)
			require.NotEmpty(t, kr.Health().Roots[0].Error, name)
			require.NoError(t, cold.decrypt("", id), name)
			next, err := kr.Rotate(t.Context(), encryption, keyring.RotateOptions{Immediate: true}) // under the key that it holds
			require.NoError(t, err, name)
			kms.lie(nil)
			honest := f.open(t)
			require.NoError(t, use(honest, keyring.Encryption).decrypt("", next), name)
			id = next
			require.NoError(t, honest.Close())
			require.NoError(t, kr.Close())
		}
		_, rows := f.store.Snapshot()
		require.Len(t, rows, 1+len(lies), "one key, and one for each rotation")
		t.Logf("%d kinds of wrong answers", len(lies))
	})
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return r
}

package keyring_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// brokenWraps are KMSs that answer Wrap with something that is not the key
// wrapped. Each would be found out only when the key is needed.
var brokenWraps = map[string]func(k *keyringtest.KMS, key []byte, ec keyring.EncryptionContext) []byte{
	"garbage": func(*keyringtest.KMS, []byte, keyring.EncryptionContext) []byte { return bytes.Repeat([]byte{7}, 60) },
	"flipped": func(k *keyringtest.KMS, key []byte, ec keyring.EncryptionContext) []byte {
		wrapped, _ := k.Wrap(background, key, ec)
		wrapped[30] ^= 1
		return wrapped
	},
	"cut": func(k *keyringtest.KMS, key []byte, ec keyring.EncryptionContext) []byte {
		wrapped, _ := k.Wrap(background, key, ec)
		return wrapped[:len(wrapped)-1]
	},
	"another key": func(k *keyringtest.KMS, _ []byte, ec keyring.EncryptionContext) []byte {
		wrapped, _ := k.Wrap(background, make([]byte, 32), ec)
		return wrapped
	},
	"another context": func(k *keyringtest.KMS, key []byte, _ keyring.EncryptionContext) []byte {
		wrapped, _ := k.Wrap(background, key, nil)
		return wrapped
	},
	"by another KMS": func(_ *keyringtest.KMS, key []byte, ec keyring.EncryptionContext) []byte {
		wrapped, _ := keyringtest.NewKMS().Wrap(background, key, ec)
		return wrapped
	},
}

// brokenKMS is out of order as wrap says, once it is broken.
type brokenKMS struct {
	*keyringtest.KMS
	broken bool
	wrap   func(k *keyringtest.KMS, key []byte, ec keyring.EncryptionContext) []byte
}

func (k *brokenKMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if k.broken {
		return k.wrap(k.KMS, key, ec), nil
	}
	return k.KMS.Wrap(ctx, key, ec)
}

// TestWrapsAreProven has one of two KMSs wrap root keys wrongly, which the other
// would hide until it is gone: neither Create nor RotateRoot nor Rewrap takes
// such a wrap.
func TestWrapsAreProven(t *testing.T) {
	for name, wrap := range brokenWraps {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			second := &brokenKMS{f.addKMS(), true, wrap}
			f.cfg.KMS[1] = second
			for _, missingAllowed := range []bool{false, true} {
				f.cfg.AllowMissingWraps = missingAllowed
				_, err := keyring.Create(t.Context(), f.cfg)
				require.Error(t, err)
				require.NotErrorIs(t, err, keyring.ErrUnavailable, "a broken KMS is not out of reach")
				require.ErrorContains(t, err, second.URI())
				require.ErrorContains(t, err, "does not give back what it wrapped")
				_, err = keyring.Open(t.Context(), f.cfg)
				require.ErrorIs(t, err, keyring.ErrNotFound)
			}
			f.cfg.AllowMissingWraps = false
			second.broken = false
			kr := f.create(t)
			id := use(kr, keyring.Encryption).mustEncrypt(t, "")
			second.broken = true
			roots, keys := f.store.Snapshot()
			_, err := kr.RotateRoot(t.Context(), keyring.Encryption)
			require.ErrorContains(t, err, "does not give back what it wrapped")
			after, keysAfter := f.store.Snapshot()
			require.Equal(t, roots, after)
			require.Equal(t, keys, keysAfter)
			require.Equal(t, id, use(kr, keyring.Encryption).mustEncrypt(t, ""))
		})
	}
}

// TestProofNeedsAnAnswer has a KMS that wraps and then is out of reach: its wrap
// counts as missing.
func TestProofNeedsAnAnswer(t *testing.T) {
	f := newFixture()
	second := f.addKMS()
	second.SetHook(func(_ context.Context, operation string) ([]byte, error) {
		if operation == "unwrap" {
			return nil, keyring.ErrUnavailable
		}
		return nil, nil
	})
	_, err := keyring.Create(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.ErrorContains(t, err, second.URI())
	f.cfg.AllowMissingWraps = true
	kr := f.create(t)
	require.Equal(t, 4, missing(kr))
	for _, r := range kr.Health().Roots {
		require.Equal(t, []string{second.URI()}, r.Missing)
	}
}

package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// TestKMSErrorsNameEverything lets a KMS fail in each way in the course of each
// operation that asks it. What an operator reads names the keyring, a root key
// and the KMS, and holds no key.
func TestKMSErrorsNameEverything(t *testing.T) {
	faults := map[string]keyringtest.Hook{
		"down": down, "denied": deny,
		"untyped": func(context.Context, string) ([]byte, error) { return nil, errors.New("HTTP status 500") },
		"silent":  func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		"empty":   func(context.Context, string) ([]byte, error) { return []byte{}, nil },
		"lies":    func(context.Context, string) ([]byte, error) { return make([]byte, 48), nil },
	}
	errorsSeen, operations := 0, 0
	for fault, hook := range faults {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture()
			f.cfg.EncryptGrace, f.cfg.DecryptGrace = 10*minute, 20*minute
			var mu sync.Mutex
			var roots []byte
			f.cfg.KMS = []keyring.KMS{&spyKMS{f.kms, func(key []byte) {
				mu.Lock()
				defer mu.Unlock()
				roots = append(roots, key...)
			}}}
			creator := f.create(t)
			ct := seal(t, creator, "")
			secrets := [][]byte{bytes.Clone(roots[:32]), keyring.Secrets(creator)[0]}
			root := creator.Health().Roots[0].ID

			to := keyringtest.NewKMS()
			both := f.cfg
			both.KMS = append(both.KMS, to)
			mover, err := keyring.Open(t.Context(), both)
			require.NoError(t, err)
			defer mover.Close()
			fresh := func() *keyring.Keyring { return f.open(t) }
			stale := f.open(t)
			require.NoError(t, tryOpen(stale, ct, ""))
			f.kms.SetHook(hook)
			to.SetHook(hook)

			other := f.cfg
			other.Name = "other"
			ops := map[string]func() error{
				"Create":        func() error { _, err := keyring.Create(t.Context(), other); return err },
				"Field.Encrypt": func() error { return trySeal(fresh(), "") },
				"Field.Decrypt": func() error { return tryOpen(fresh(), ct, "") },
				"Index.Tag": func() error {
					x, err := token.NewIndex(fresh(), "f", token.IndexConfig{})
					require.NoError(t, err)
					_, err = x.Tag(t.Context(), []byte("v"), "")
					return err
				},
				"Keys":       func() error { _, err := fresh().Keys(t.Context(), encryption); return err },
				"Rotate":     func() error { _, err := fresh().Rotate(t.Context(), encryption, now); return err },
				"RotateRoot": func() error { _, err := fresh().RotateRoot(t.Context(), keyring.Encryption); return err },
				"Rewrap":     func() error { _, err := mover.Rewrap(t.Context(), keyring.RewrapOptions{}); return err },
				"Preload":    func() error { return fresh().Preload(t.Context(), keyring.Encryption, "") },
				"Suspend": func() error {
					id, err := crypto.KeyID(ct)
					require.NoError(t, err)
					return fresh().Suspend(t.Context(), encryption, id)
				},
				"Refresh after the grace": func() error {
					time.Sleep(21 * minute)
					return stale.Refresh(t.Context())
				},
				"Decrypt after the grace": func() error {
					if stale.Health().Purposes[0].Decrypts {
						time.Sleep(21 * minute)
					}
					err := tryOpen(stale, ct, "")
					require.ErrorIs(t, err, keyring.ErrStale)
					return err
				},
				"Encrypt after the grace": func() error {
					if stale.Health().Purposes[0].Encrypts {
						time.Sleep(11 * minute)
					}
					err := trySeal(stale, "")
					require.ErrorIs(t, err, keyring.ErrStale)
					return err
				},
			}
			operations = len(ops)
			texts := map[string]string{}
			for name, op := range ops {
				err := op()
				require.Error(t, err, "%s, %s", fault, name)
				require.NotErrorIs(t, err, crypto.ErrDecrypt, "%s, %s", fault, name)
				require.True(t, errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrDenied) ||
					errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrStale), "%s, %s: %v", fault, name, err)
				text := err.Error()
				require.True(t, strings.Contains(text, f.kms.URI()) || strings.Contains(text, to.URI()), "%s, %s: no URI: %s", fault, name, text)
				if name == "Create" {
					require.Regexp(t, `keyring: other: purpose encryption, key [89a-f][0-9a-f]{7}: root key: KMS `, text)
				} else {
					require.Contains(t, text, "keyring: test: ", "%s, %s", fault, name)
					require.Regexp(t, `purpose (encryption|index)`, text)
				}
				switch name {
				case "Create", "Index.Tag", "RotateRoot": // of another root key
					require.Regexp(t, `[89a-f][0-9a-f]{7}: root key: KMS `, text)
				default:
					require.Contains(t, text, root, "%s, %s", fault, name)
				}
				texts[name] = text + fmt.Sprintf("%+v %#v %q", err, err, err)
				errorsSeen++
			}
			for line := range strings.Lines(f.log.String()) {
				if strings.Contains(line, "KMS failed") {
					require.Regexp(t, `keyring=(test|other) kms=memory:[0-9a-f]{16} purpose=\w+ key=[0-9a-f]{8} error=`, line)
				}
			}
			texts["log"] = f.log.String()
			texts["health"] = fmt.Sprintf("%+v %+v", stale.Health(), mover.Health())
			for name, text := range texts {
				for _, secret := range secrets {
					for _, form := range leaktest.Forms(secret) {
						require.NotContains(t, text, form, "%s, %s", fault, name)
					}
				}
			}
		})
	}
	t.Logf("%d errors of %d operations and %d faults", errorsSeen, operations, len(faults))
}

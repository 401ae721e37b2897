package keyring_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestHealingOneByOne has two KMSs that missed the Create, of which one comes
// back: its wraps do not wait for the other's.
func TestHealingOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		gone, back := f.addKMS(), f.addKMS()
		f.cfg.AllowMissingWraps = true
		gone.SetHook(down)
		back.SetHook(down)
		kr := f.create(t)
		require.Equal(t, 8, missing(kr))
		back.SetHook(nil)
		for range 600 {
			if missing(kr) < 8 {
				break
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, 4, missing(kr), "all in one round")
		for _, r := range kr.Health().Roots {
			require.Equal(t, []string{gone.URI()}, r.Missing)
		}
		gone.SetHook(nil)
		time.Sleep(11 * minute)
		require.Zero(t, missing(kr))
		require.Equal(t, 8, strings.Count(f.log.String(), "missing wrap added"))
	})
}

// TestHealingIsToldOnce has a process that may not wrap, and one whose other KMS
// is down, try for a day: each root is told of once, and once more when it is
// healed.
func TestHealingIsToldOnce(t *testing.T) {
	for name, breakIt := range map[string]func(f *fixture, second *keyringtest.KMS){
		"may not wrap": func(f *fixture, second *keyringtest.KMS) {
			n := 0
			second.SetHook(func(ctx context.Context, operation string) ([]byte, error) {
				if n++; operation == "wrap" { // as AWS's request ids, the text differs each time
					return nil, fmt.Errorf("request %d: %w", n, keyring.ErrDenied)
				}
				return nil, nil
			})
		},
		"can not unwrap": func(f *fixture, second *keyringtest.KMS) {
			f.kms.SetHook(down)
			second.SetHook(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture()
				second := f.addKMS()
				f.cfg.AllowMissingWraps = true
				second.SetHook(down)
				require.NoError(t, f.create(t).Close())
				f.log = &logBuffer{}
				f.cfg.Logger = newLogger(f.log)
				kr := f.open(t)
				breakIt(f, second)
				time.Sleep(23 * time.Hour)
				require.Equal(t, 4, missing(kr))
				require.Equal(t, 4, strings.Count(f.log.String(), "missing wrap not added"))
				require.Less(t, second.Wraps(), 23*6*5)
				f.kms.SetHook(nil)
				second.SetHook(nil)
				time.Sleep(11 * minute)
				require.Zero(t, missing(kr))
				require.Equal(t, 4, strings.Count(f.log.String(), "missing wrap added"))
				require.Equal(t, 4, strings.Count(f.log.String(), "missing wrap not added"))
			})
		})
	}
}

// TestHealingByPurpose has a KMS whose policy lets this process wrap the keys of
// one purpose only: that one is healed.
func TestHealingByPurpose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		second := &purposeKMS{f.addKMS()}
		f.cfg.KMS[1] = second
		f.cfg.AllowMissingWraps = true
		second.SetHook(down)
		kr := f.create(t)
		second.SetHook(nil)
		time.Sleep(11 * minute)
		for _, r := range kr.Health().Roots {
			require.Equal(t, r.Purpose == keyring.Masking, len(r.Missing) == 0, r.Purpose)
		}
	})
}

// purposeKMS wraps keys for masking only.
type purposeKMS struct{ *keyringtest.KMS }

func (k *purposeKMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	wrapped, err := k.KMS.Wrap(ctx, key, ec)
	if err == nil && ec["purpose"] != string(keyring.Masking) {
		return nil, keyring.ErrDenied
	}
	return wrapped, err
}

package crypto_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestFieldsUnderRotation has two processes' worth of keyrings write and read
// each other's values, of several fields and scopes, while keys rotate and at
// last one of them is closed: nothing is refused, and nothing is mixed up.
func TestFieldsUnderRotation(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, _ *keyring.Keyring, overhead int) {
		store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
		algorithm := map[int]keyring.Algorithm{45: keyring.XAES256GCM, 33: keyring.AES256GCM}[overhead]
		var krs []*keyring.Keyring
		for range 2 {
			krs = append(krs, keyringtest.NewKeyring(t, func(c *keyring.Config) {
				c.Store, c.KMS, c.Scoped, c.Algorithm = store, []keyring.KMS{kms}, true, algorithm
			}))
		}
		type value struct {
			field, scope int
			ct           []byte
		}
		fields := make([][]*crypto.Field, 2)
		for i, kr := range krs {
			for n := range 3 {
				fields[i] = append(fields[i], newField(t, kr, fmt.Sprint("f", n), crypto.FieldConfig{FreshSalt: n == 2}))
			}
		}
		at := func(v value) crypto.Binding {
			return crypto.Binding{Scope: fmt.Sprint("s", v.scope), Row: crypto.Row(fmt.Sprint(v.field, v.scope))}
		}
		values := make(chan value, 1000)
		errs := make(chan error, 100)
		var written, read atomic.Int64
		var writers, readers sync.WaitGroup
		stop := make(chan struct{})
		for i := range 4 {
			writers.Go(func() {
				for n := 0; ; n++ {
					v := value{field: n % 3, scope: n / 3 % 4}
					var err error
					if v.ct, err = fields[i%2][v.field].Encrypt(context.Background(), fmt.Append(nil, v.field, v.scope), at(v)); err != nil {
						errs <- err
						return
					}
					select {
					case values <- v:
						written.Add(1)
					case <-stop:
						return
					}
				}
			})
			readers.Go(func() {
				for v := range values {
					pt, err := fields[i%2][v.field].Decrypt(context.Background(), v.ct, at(v))
					if err == nil && string(pt) != fmt.Sprint(v.field, v.scope) {
						err = errors.New("another value")
					}
					if err != nil {
						errs <- err
						return
					}
					read.Add(1)
				}
			})
		}
		for n := range 12 {
			_, err := krs[n%2].Rotate(t.Context(), keyring.Target{Scope: fmt.Sprint("s", n%4), Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
			require.NoError(t, err)
			// The other one may meet the new key at once and fetches it.
			more := written.Load() + 1
			require.Eventually(t, func() bool { return written.Load() > more || len(errs) > 0 }, 10*time.Second, 100*time.Microsecond)
		}
		close(stop)
		writers.Wait()
		close(values)
		readers.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, written.Load(), read.Load())
		require.Positive(t, read.Load())
		t.Logf("%d values", read.Load())
	})
}

// TestCloseUnderUse closes a keyring under readers and writers: they see
// ErrClosed and nothing else, and what had begun ends well.
func TestCloseUnderUse(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, _ int) {
		f := newField(t, kr, "f", crypto.FieldConfig{})
		ct, err := f.Encrypt(t.Context(), []byte("v"), crypto.Binding{})
		require.NoError(t, err)
		var wg sync.WaitGroup
		var done atomic.Int64
		errs := make(chan error, 16)
		for i := range 16 {
			wg.Go(func() {
				for {
					var pt []byte
					var err error
					if i%2 == 0 {
						_, err = f.Encrypt(context.Background(), []byte("v"), crypto.Binding{})
					} else if pt, err = f.Decrypt(context.Background(), ct, crypto.Binding{}); err == nil && string(pt) != "v" {
						err = errors.New("another value")
					}
					if err != nil {
						errs <- err
						return
					}
					done.Add(1)
				}
			})
		}
		for done.Load() < 2000 {
		}
		require.NoError(t, kr.Close())
		wg.Wait()
		close(errs)
		for err := range errs {
			require.ErrorIs(t, err, keyring.ErrClosed)
			require.NotErrorIs(t, err, crypto.ErrDecrypt)
		}
	})
}

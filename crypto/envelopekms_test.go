package crypto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// The ways in which a KMS fails to give the right answer.
var faults = map[string]keyringtest.Hook{
	"down": func(context.Context, string) ([]byte, error) {
		return nil, fmt.Errorf("%w: connection refused", keyring.ErrUnavailable)
	},
	"denies": func(context.Context, string) ([]byte, error) {
		return nil, fmt.Errorf("%w: by policy", keyring.ErrDenied)
	},
	"broken":  func(context.Context, string) ([]byte, error) { return nil, errors.New("no such host") },
	"mangles": func(context.Context, string) ([]byte, error) { return nil, keyring.ErrTampered },
	"silent":  func(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
	"deaf":    func(context.Context, string) ([]byte, error) { time.Sleep(time.Hour); return nil, nil },
	"empty":   func(context.Context, string) ([]byte, error) { return []byte{}, nil },
	"short":   func(context.Context, string) ([]byte, error) { return make([]byte, 31), nil },
	"long":    func(context.Context, string) ([]byte, error) { return make([]byte, 33), nil },
	"huge":    func(context.Context, string) ([]byte, error) { return make([]byte, 1<<20), nil },
	"zero":    func(context.Context, string) ([]byte, error) { return make([]byte, 32), nil },
	"foreign": func(context.Context, string) ([]byte, error) { return random(32), nil },
}

// What they come to when there is no other KMS to ask.
var (
	unavailable = []string{"down", "broken", "silent", "deaf"}
	foreign     = []string{"empty", "short", "long", "huge", "zero", "foreign"}
)

// TestEnvelopeEncryptFaults lets a KMS fail at encryption: a data key inside its
// limits serves on, and outside of them there is a typed error and no output. With
// two KMSs, both have to wrap.
func TestEnvelopeEncryptFaults(t *testing.T) {
	want := map[string]error{"denies": keyring.ErrDenied, "mangles": keyring.ErrTampered}
	for _, name := range unavailable {
		want[name] = keyring.ErrUnavailable
	}
	for _, name := range []string{"empty", "short", "huge", "zero", "foreign", "identity"} {
		want[name] = keyring.ErrTampered // no wrapped key has 32 bytes or less, or a megabyte
	}
	ends := map[string]func(e *crypto.Envelope){ // of the first data key
		"count": func(e *crypto.Envelope) { seal(t, e, "v", orders) },
		"age":   func(*crypto.Envelope) { time.Sleep(5 * time.Minute); synctest.Wait() },
	}
	for name, target := range want {
		for i := range 2 * len(ends) {
			faulty, end := i%2, ends[[]string{"count", "age"}[i/2]]
			synctest.Test(t, func(t *testing.T) {
				fakes, kms := keks(2)
				if name == "identity" {
					kms[faulty] = identity{kms[faulty]}
				}
				e := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 3})
				if name != "identity" {
					first := seal(t, e, "v", orders)
					fakes[faulty].SetHook(faults[name])
					require.Equal(t, headerOf(first, 1), headerOf(seal(t, e, "v", orders), 1))
					end(e)
				}
				for range 2 {
					begin := time.Now()
					m, err := e.Encrypt(t.Context(), []byte("v"), orders)
					require.Nil(t, m)
					require.ErrorIs(t, err, target, name)
					require.ErrorContains(t, err, "crypto: encrypt with envelope shop: KMS "+kms[faulty].URI()+": ")
					require.NotErrorIs(t, err, crypto.ErrDecrypt)
					require.LessOrEqual(t, time.Since(begin), 5*time.Second)
					var stream bytes.Buffer
					w, err := e.NewWriter(t.Context(), &stream, orders)
					require.Nil(t, w)
					require.ErrorIs(t, err, target, name)
					require.Zero(t, stream.Len())
				}
				if name != "identity" {
					fakes[faulty].SetHook(nil)
					seal(t, e, "v", orders)
				}
				time.Sleep(2 * time.Hour) // lets the deaf one end
			})
		}
	}
}

// identity is a KMS that does not encrypt.
type identity struct{ keyring.KMS }

func (identity) Wrap(_ context.Context, key []byte, _ keyring.EncryptionContext) ([]byte, error) {
	return append([]byte("wrapped:"), key...), nil
}

// TestEnvelopeDecryptFaults lets one KMS, or the first of two, fail at decryption.
func TestEnvelopeDecryptFaults(t *testing.T) {
	want := map[string]error{"denies": keyring.ErrDenied, "mangles": keyring.ErrTampered}
	for _, name := range unavailable {
		want[name] = keyring.ErrUnavailable
	}
	for _, name := range foreign {
		want[name] = crypto.ErrDecrypt
	}
	require.Len(t, want, len(faults))
	for name, target := range want {
		synctest.Test(t, func(t *testing.T) {
			fakes, kms := keks(2)
			writer := newEnvelope(t, kms, crypto.EnvelopeConfig{})
			m, s := seal(t, writer, "v", orders), stream(t, writer, nil)
			fakes[0].SetHook(faults[name])

			alone := newEnvelope(t, kms[:1], crypto.EnvelopeConfig{})
			begin := time.Now()
			got, err := alone.Decrypt(t.Context(), m, orders)
			require.LessOrEqual(t, time.Since(begin), 5*time.Second)
			require.Nil(t, got)
			require.ErrorIs(t, err, target, name)
			if target == crypto.ErrDecrypt {
				refused(t, got, err, name)
			} else {
				require.NotErrorIs(t, err, crypto.ErrDecrypt, name)
				require.ErrorContains(t, err, fmt.Sprintf("crypto: decrypt with envelope shop: data key %x: KMS %s: ", m[13:29], kms[0].URI()))
			}
			_, err = alone.NewReader(t.Context(), bytes.NewReader(s), orders)
			require.ErrorIs(t, err, target, name)

			both := newEnvelope(t, kms, crypto.EnvelopeConfig{})
			opens(t, both, "v", m, orders)
			time.Sleep(time.Hour)

			fakes[0].SetHook(nil)
			opens(t, alone, "v", m, orders)
			time.Sleep(time.Hour)
		})
	}
}

// TestEnvelopeVerdict has two KMSs disagree on a message that neither opens. As
// long as one that did not answer might have opened it, it is not refused.
func TestEnvelopeVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakes, kms := keks(2)
		m := seal(t, newEnvelope(t, kms, crypto.EnvelopeConfig{}), "v", orders)
		reader := newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: -1})
		class := map[string]string{"denies": "denied", "mangles": "tampered"}
		for _, name := range unavailable {
			class[name] = "unavailable"
		}
		for _, name := range foreign {
			class[name] = "foreign"
		}
		for a, one := range faults {
			for b, two := range faults {
				fakes[0].SetHook(one)
				fakes[1].SetHook(two)
				got, err := reader.Decrypt(t.Context(), m, orders)
				require.Nil(t, got)
				verdict := class[a] + " " + class[b]
				has := func(s string) bool { return strings.Contains(verdict, s) }
				silent := has("unavailable") || has("tampered")
				require.Equal(t, has("foreign") && !silent, errors.Is(err, crypto.ErrDecrypt), "%s, %s: %v", a, b, err)
				require.Equal(t, has("unavailable"), errors.Is(err, keyring.ErrUnavailable), "%s, %s: %v", a, b, err)
				if silent || !has("foreign") {
					require.Equal(t, has("denied"), errors.Is(err, keyring.ErrDenied), "%s, %s: %v", a, b, err)
				}
				time.Sleep(2 * time.Hour)
			}
		}
		// The context is the only thing that is wrong, and a KMS is down.
		fakes[0].SetHook(nil)
		fakes[1].SetHook(faults["down"])
		other := keyring.EncryptionContext{"queue": "other"}
		_, err := reader.Decrypt(t.Context(), m, other)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		fakes[1].SetHook(nil)
		got, err := reader.Decrypt(t.Context(), m, other)
		refused(t, got, err)
	})
}

// TestEnvelopeOnlyOwnKMSs gives a reader messages of KMSs that are not its own:
// nobody is asked, whatever the URIs in a message say.
func TestEnvelopeOnlyOwnKMSs(t *testing.T) {
	fakes, kms := keks(3)
	m := seal(t, newEnvelope(t, kms[:2], crypto.EnvelopeConfig{}), "v", orders)
	got, err := newEnvelope(t, kms[2:], crypto.EnvelopeConfig{}).Decrypt(t.Context(), m, orders)
	refused(t, got, err)
	var why *crypto.DecryptError
	require.ErrorAs(t, err, &why)
	require.Equal(t, "shop", why.Field)
	require.ErrorContains(t, why.Err, "none of the envelope's KMSs")
	// The third KMS under the URI of the first: it is asked, and refuses.
	_, err = newEnvelope(t, []keyring.KMS{renamed{kms[2], kms[0].URI()}}, crypto.EnvelopeConfig{}).Decrypt(t.Context(), m, orders)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.Equal(t, []int{0, 0, 1}, []int{fakes[0].Unwraps(), fakes[1].Unwraps(), fakes[2].Unwraps()})
}

// TestEnvelopeKMSOrder lets the first KMS be out of reach for a while.
func TestEnvelopeKMSOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		fakes, kms := keks(2)
		m := seal(t, newEnvelope(t, kms, crypto.EnvelopeConfig{}), "v", orders)
		e := newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		step := func(first, second int) {
			t.Helper()
			opens(t, e, "v", m, orders)
			require.Equal(t, []int{first, second}, []int{fakes[0].Unwraps(), fakes[1].Unwraps()})
		}
		step(1, 0)
		fakes[0].SetHook(faults["silent"])
		step(2, 1)
		for i := range 5 {
			step(2, 2+i)
		}
		time.Sleep(30 * time.Second)
		step(3, 7)
		step(3, 8)
		fakes[0].SetHook(nil)
		time.Sleep(30 * time.Second)
		step(4, 8)
		step(5, 8)
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN msg=\"sealfield: KMS failed\" envelope=shop kms="+kms[0].URI()))
		require.Equal(t, 1, strings.Count(log.String(), "level=INFO msg=\"sealfield: KMS works again\""))
		fakes[0].SetHook(faults["denies"])
		step(6, 9)
		step(7, 10)
		require.Equal(t, 2, strings.Count(log.String(), "\n"), "who refuses is not out of reach")
	})
}

// TestEnvelopeForgedLeader lets a caller with a forged message be the one who
// begins the call that others share: they get their plaintext.
func TestEnvelopeForgedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakes, kms := keks(1)
		m := seal(t, newEnvelope(t, kms, crypto.EnvelopeConfig{}), "v", orders)
		reader := newEnvelope(t, kms, crypto.EnvelopeConfig{})
		release := make(chan struct{})
		fakes[0].SetHook(func(context.Context, string) ([]byte, error) { <-release; return nil, nil })
		forged := bytes.Clone(m)
		forged[len(m)-28-1-1] ^= 1 // the commitment
		results := make(chan error, 100)
		decrypt := func(m []byte, ec keyring.EncryptionContext) {
			got, err := reader.Decrypt(context.Background(), m, ec)
			if err == nil && string(got) != "v" {
				err = errors.New("another plaintext")
			}
			results <- err
		}
		go decrypt(forged, orders)
		synctest.Wait()
		for range 10 {
			go decrypt(m, orders)
		}
		go decrypt(m, keyring.EncryptionContext{"queue": "other"})
		synctest.Wait()
		require.Equal(t, 1, fakes[0].Unwraps())
		close(release)
		bad := 0
		for range 12 {
			if err := <-results; err != nil {
				require.ErrorIs(t, err, crypto.ErrDecrypt)
				bad++
			}
		}
		require.Equal(t, 2, bad)
		require.Equal(t, 1, fakes[0].Unwraps())
	})
}

// TestEnvelopeCallersLeave cancels callers that share a call of the KMS, the one
// who began it among them; the message of one that left is overwritten. The others
// are not disturbed.
func TestEnvelopeCallersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakes, kms := keks(1)
		m := seal(t, newEnvelope(t, kms, crypto.EnvelopeConfig{}), "v", orders)
		for name, use := range map[string]func(ctx context.Context, e *crypto.Envelope, m []byte) error{
			"encrypt": func(ctx context.Context, e *crypto.Envelope, _ []byte) error {
				_, err := e.Encrypt(ctx, []byte("v"), orders)
				return err
			},
			"decrypt": func(ctx context.Context, e *crypto.Envelope, m []byte) error {
				_, err := e.Decrypt(ctx, m, orders)
				return err
			},
		} {
			before := fakes[0].Wraps() + fakes[0].Unwraps()
			e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
			release := make(chan struct{})
			fakes[0].SetHook(func(ctx context.Context, _ string) ([]byte, error) {
				select {
				case <-release:
					return nil, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			left, stayed := make(chan error, 10), make(chan error, 10)
			own := bytes.Clone(m)
			go func() {
				err := use(ctx, e, own)
				clear(own)
				left <- err
			}()
			synctest.Wait()
			for range 5 {
				go func() { left <- use(ctx, e, bytes.Clone(m)) }()
				go func() { stayed <- use(t.Context(), e, bytes.Clone(m)) }()
			}
			synctest.Wait()
			cause := errors.New("the caller has had enough")
			cancel(cause)
			for range 6 {
				err := <-left
				require.ErrorIs(t, err, cause, name)
				require.ErrorIs(t, err, keyring.ErrUnavailable, name)
				require.NotErrorIs(t, err, crypto.ErrDecrypt, name)
			}
			require.ErrorIs(t, use(ctx, e, m), cause, "before it begins")
			close(release)
			for range 5 {
				require.NoError(t, <-stayed, name)
			}
			require.Equal(t, before+1, fakes[0].Wraps()+fakes[0].Unwraps(), name)
			require.NoError(t, use(ctx, e, m), "a warm key needs no KMS, and so no context")
			fakes[0].SetHook(nil)
		}
	})
}

package tinkkms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/keyring/tinkkms"
)

var ec = keyring.EncryptionContext{"sealfield": "shop", "purpose": "encryption", "key_id": "80000001"}

// newAEAD returns Tink's AES-256-GCM under a new keyset.
func newAEAD(t testing.TB) tink.AEAD {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	a, err := aead.New(handle)
	require.NoError(t, err)
	return a
}

// fake is an AEAD whose calls are what a test makes of them.
type fake struct {
	call func(ctx context.Context, in, associatedData []byte) ([]byte, error)
}

func (f fake) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return f.call(ctx, plaintext, associatedData)
}

func (f fake) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return f.call(ctx, ciphertext, associatedData)
}

func answering(answer []byte, err error) fake {
	return fake{func(context.Context, []byte, []byte) ([]byte, error) { return answer, err }}
}

func newKMS(t testing.TB, a tink.AEADWithContext, classify func(error) error) *tinkkms.KMS {
	k, err := tinkkms.New("fake://key", a, tinkkms.Config{Classify: classify})
	require.NoError(t, err)
	return k
}

// both calls Wrap and Unwrap and returns their errors.
func both(ctx context.Context, k *tinkkms.KMS, key []byte) map[string]error {
	_, wrap := k.Wrap(ctx, key, ec)
	_, unwrap := k.Unwrap(ctx, key, ec)
	return map[string]error{"wrap": wrap, "unwrap": unwrap}
}

func TestConformance(t *testing.T) {
	var keys atomic.Int64
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		uri := fmt.Sprintf("keyset://%d", keys.Add(1))
		k, err := tinkkms.New(uri, tinkkms.IgnoreContext(newAEAD(t)), tinkkms.Config{})
		require.NoError(t, err)
		require.Equal(t, uri, k.URI())
		require.Equal(t, uri, fmt.Sprint(k))
		return k
	})
}

func TestNew(t *testing.T) {
	_, err := tinkkms.New("", answering(nil, nil), tinkkms.Config{})
	require.Error(t, err)
	_, err = tinkkms.New("fake://key", nil, tinkkms.Config{})
	require.Error(t, err)
}

// TestTinkReads proves that the associated data is the encoded context and that
// nothing is added to what the AEAD wrote.
func TestTinkReads(t *testing.T) {
	a := newAEAD(t)
	k := newKMS(t, tinkkms.IgnoreContext(a), nil)
	key := bytes.Repeat([]byte{7}, 32)
	wrapped, err := k.Wrap(t.Context(), key, ec)
	require.NoError(t, err)
	opened, err := a.Decrypt(wrapped, ec.Encode())
	require.NoError(t, err)
	require.Equal(t, key, opened)
	wrapped, err = a.Encrypt(key, ec.Encode())
	require.NoError(t, err)
	opened, err = k.Unwrap(t.Context(), wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, key, opened)
}

func TestErrors(t *testing.T) {
	plain := errors.New("no reason given")
	busy := errors.New("busy")
	classify := func(err error) error {
		switch {
		case errors.Is(err, busy):
			return fmt.Errorf("%w: too many requests", keyring.ErrUnavailable)
		case errors.Is(err, syscall.EPERM):
			return keyring.ErrDenied
		case errors.Is(err, os.ErrInvalid):
			return errors.New("a class that the keyring does not know")
		}
		return nil
	}
	for name, c := range map[string]struct {
		err      error
		classify func(error) error
		want     error
		text     string // after "tinkkms: wrap: "
	}{
		"canceled":             {fmt.Errorf("call: %w", context.Canceled), nil, keyring.ErrUnavailable, "unavailable: call: context canceled"},
		"deadline":             {context.DeadlineExceeded, nil, keyring.ErrUnavailable, "unavailable: context deadline exceeded"},
		"I/O timeout":          {os.ErrDeadlineExceeded, nil, keyring.ErrUnavailable, "unavailable: i/o timeout"},
		"EOF":                  {io.EOF, nil, keyring.ErrUnavailable, "unavailable: EOF"},
		"unexpected EOF":       {fmt.Errorf("body: %w", io.ErrUnexpectedEOF), nil, keyring.ErrUnavailable, "unavailable: body: unexpected EOF"},
		"closed pipe":          {io.ErrClosedPipe, nil, keyring.ErrUnavailable, "unavailable: io: read/write on closed pipe"},
		"closed connection":    {net.ErrClosed, nil, keyring.ErrUnavailable, "unavailable: use of closed network connection"},
		"DNS":                  {&net.DNSError{Err: "no such host", Name: "kms.example"}, nil, keyring.ErrUnavailable, "unavailable: lookup kms.example: no such host"},
		"refused connection":   {&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, nil, keyring.ErrUnavailable, "unavailable: dial tcp: connection refused"},
		"HTTP":                 {&url.Error{Op: "Put", URL: "https://kms.example", Err: plain}, nil, keyring.ErrUnavailable, `unavailable: Put "https://kms.example": no reason given`},
		"reset":                {fmt.Errorf("read: %w", syscall.ECONNRESET), nil, keyring.ErrUnavailable, "unavailable: read: connection reset by peer"},
		"opaque":               {plain, nil, keyring.ErrDenied, "denied: no reason given"},
		"not classified":       {plain, classify, keyring.ErrDenied, "denied: no reason given"},
		"classified":           {busy, classify, keyring.ErrUnavailable, "unavailable: too many requests: busy"},
		"classified wrongly":   {os.ErrInvalid, classify, keyring.ErrDenied, "denied: invalid argument"},
		"no answer goes first": {&net.OpError{Op: "dial", Err: syscall.EPERM}, classify, keyring.ErrUnavailable, "unavailable: dial: operation not permitted"},
		"typed: denied":        {fmt.Errorf("%w: by policy", keyring.ErrDenied), classify, keyring.ErrDenied, "denied: by policy"},
		"typed: unavailable":   {fmt.Errorf("%w: for now", keyring.ErrUnavailable), classify, keyring.ErrUnavailable, "unavailable: for now"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKMS(t, answering([]byte("with an error nothing is an answer"), c.err), c.classify)
			for operation, err := range both(t.Context(), k, make([]byte, 32)) {
				require.EqualError(t, err, "tinkkms: "+operation+": "+c.text)
				require.ErrorIs(t, err, c.err)
				other := map[error]error{keyring.ErrDenied: keyring.ErrUnavailable, keyring.ErrUnavailable: keyring.ErrDenied}[c.want]
				require.ErrorIs(t, err, c.want)
				require.NotErrorIs(t, err, other)
			}
		})
	}
}

func TestHostileAnswers(t *testing.T) {
	for name, answer := range map[string][]byte{"nil": nil, "empty": {}} {
		k := newKMS(t, answering(answer, nil), nil)
		for operation, err := range both(t.Context(), k, make([]byte, 32)) {
			require.ErrorIs(t, err, keyring.ErrTampered, "%s %s", operation, name)
		}
	}
	for name, answer := range map[string][]byte{"short": make([]byte, 31), "long": make([]byte, 33), "another key": make([]byte, 32)} {
		a := tinkkms.IgnoreContext(newAEAD(t))
		store := keyring.NewMemoryStore()
		cfg := keyring.Config{Name: "shop", Store: store, KMS: []keyring.KMS{newKMS(t, a, nil)}}
		kr, err := keyring.Create(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, kr.Close())
		cfg.KMS = []keyring.KMS{newKMS(t, answering(answer, nil), nil)} // the same URI
		kr, err = keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		_, err = kr.Rotate(t.Context(), keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{})
		require.ErrorIs(t, err, keyring.ErrTampered, name)
		require.NoError(t, kr.Close())
	}
}

// TestKeyIsNotShared proves that an AEAD which keeps or changes what it is
// given reaches neither the caller's key nor its wrapped key.
func TestKeyIsNotShared(t *testing.T) {
	var kept []byte
	k := newKMS(t, fake{func(_ context.Context, in, _ []byte) ([]byte, error) {
		kept = in
		answer := bytes.Clone(in)
		clear(in)
		return answer, nil
	}}, nil)
	given := bytes.Repeat([]byte{7}, 32)
	_, err := k.Wrap(t.Context(), given, ec)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{7}, 32), given)
	copy(kept, "later")
	require.Equal(t, bytes.Repeat([]byte{7}, 32), given)
	_, err = k.Unwrap(t.Context(), given, ec)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{7}, 32), given)
}

// TestErrorsHoldNoSecret looks for the key in the errors of Tink's own AEAD, in
// that for a refused key and in that for an AEAD which returns key and error.
func TestErrorsHoldNoSecret(t *testing.T) {
	key := []byte("an AES-256 key of 32 bytes, here")
	require.Len(t, key, 32)
	a := tinkkms.IgnoreContext(newAEAD(t))
	k := newKMS(t, a, nil)
	wrapped, err := k.Wrap(t.Context(), key, ec)
	require.NoError(t, err)
	_, refused := k.Unwrap(t.Context(), wrapped, nil)
	require.ErrorIs(t, refused, keyring.ErrDenied)

	answer := bytes.Clone(key)
	got, both := newKMS(t, answering(answer, errors.New("late")), nil).Unwrap(t.Context(), wrapped, ec)
	require.Error(t, both)
	require.Nil(t, got)
	require.Equal(t, make([]byte, 32), answer, "wiped")

	for _, shown := range []any{refused, both, k} {
		text := strings.ToLower(fmt.Sprintf("%v %+v %#v", shown, shown, shown))
		for _, form := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), fmt.Sprint(key)} {
			require.NotContains(t, text, strings.ToLower(form))
		}
	}
}

// TestHanging proves that a keyring ends its wait for an AEAD that hangs, be it
// one that stops when its context does or one that knows no context.
func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		for name, a := range map[string]tink.AEADWithContext{
			"stops": fake{func(ctx context.Context, _, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}},
			"does not stop": fake{func(context.Context, []byte, []byte) ([]byte, error) {
				<-release
				return nil, errors.New("too late")
			}},
		} {
			_, err := keyring.Create(t.Context(), keyring.Config{
				Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{newKMS(t, a, nil)},
			})
			require.ErrorIs(t, err, keyring.ErrUnavailable, name)
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
		}
	})
}

func TestIgnoreContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := newKMS(t, tinkkms.IgnoreContext(newAEAD(t)), nil)
	wrapped, err := k.Wrap(ctx, make([]byte, 32), ec)
	require.NoError(t, err)
	cancel()
	for _, err := range both(ctx, k, wrapped) {
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorIs(t, err, context.Canceled)
	}
}

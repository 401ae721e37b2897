// Package tinkkms makes a keyring.KMS of any Tink AEAD that sits in a KMS:
// Google Cloud KMS, HashiCorp Vault's transit engine and others, through the
// clients that Tink has for them.
//
//	aead, err := gcpkms.GetAEADWithContext(ctx, uri) // tink-go-gcpkms
//	kms, err := tinkkms.New(uri, aead, tinkkms.Config{Classify: classify})
//
// The associated data is EncryptionContext.Encode(), so the AEAD must
// authenticate associated data. One that does not is not noticed here.
//
// Tink's AEADs return errors of no particular type. Those that say by
// themselves that there was no answer are keyring.ErrUnavailable: the end of a
// context, a net.Error, a connection that broke. What the others mean only
// their client library knows, and Config.Classify is where to say it. The
// examples for Google Cloud KMS and Vault have one each.
package tinkkms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/keyring"
)

// Config says how to read the errors of an AEAD.
type Config struct {
	// Classify returns keyring.ErrUnavailable, keyring.ErrDenied or an error
	// that wraps one of them, for an error of the AEAD that does not say by
	// itself that there was no answer. Any other result counts as nil: not
	// known. The text of what it returns goes before that of the AEAD's
	// error and must hold no secret. It must be safe for concurrent use.
	//
	// What stays unknown is ErrDenied. An AEAD refuses without a reason when
	// the wrapped key, the context or the key does not fit, and no retry
	// mends that. Of the two mistakes it is also the one that is seen: a
	// keyring with AllowMissingWraps goes on without a KMS that is
	// unavailable, and stops at one that refuses. Both count alike for the
	// order of the KMSs and for the graces. Defaults to nil: nothing is known.
	Classify func(err error) error
}

// KMS is a keyring.KMS that asks an AEAD. It is safe for concurrent use if the
// AEAD is.
type KMS struct {
	uri      string
	aead     tink.AEADWithContext
	classify func(error) error
}

var _ keyring.KMS = (*KMS)(nil)

// New returns a KMS. The uri names the key in the KMS, is stored beside what it
// wrapped and must not change, nor hold a credential; Tink's own key URIs will
// do. It fails if either is missing. The KMS does not close the AEAD's client.
func New(uri string, aead tink.AEADWithContext, cfg Config) (*KMS, error) {
	if uri == "" || aead == nil {
		return nil, errors.New("tinkkms: a KMS needs a URI and an AEAD")
	}
	if cfg.Classify == nil {
		cfg.Classify = func(error) error { return nil }
	}
	return &KMS{uri, aead, cfg.Classify}, nil
}

// URI returns the URI given to New.
func (k *KMS) URI() string { return k.uri }

// String returns the URI.
func (k *KMS) String() string { return k.uri }

// Wrap implements keyring.KMS. The AEAD is given a copy of key, which is not
// wiped: a client may still be sending it when ctx has ended the call.
func (k *KMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	wrapped, err := k.aead.EncryptWithContext(ctx, bytes.Clone(key), ec.Encode())
	if err = k.check(wrapped, err); err != nil {
		return nil, fmt.Errorf("tinkkms: wrap: %w", err)
	}
	return wrapped, nil
}

// Unwrap implements keyring.KMS. An answer that is no key because it is empty
// is keyring.ErrTampered, as is any other wrong key in the keyring.
func (k *KMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	key, err := k.aead.DecryptWithContext(ctx, bytes.Clone(wrapped), ec.Encode())
	if err = k.check(key, err); err != nil {
		clear(key)
		return nil, fmt.Errorf("tinkkms: unwrap: %w", err)
	}
	return key, nil
}

func (k *KMS) check(answer []byte, err error) error {
	switch {
	case err != nil:
		return k.typed(err)
	case len(answer) == 0:
		return fmt.Errorf("%w: the answer is empty", keyring.ErrTampered)
	}
	return nil
}

func (k *KMS) typed(err error) error {
	if isTyped(err) {
		return err
	}
	class := keyring.ErrUnavailable
	if !noAnswer(err) {
		if class = k.classify(err); !isTyped(class) {
			class = keyring.ErrDenied
		}
	}
	return fmt.Errorf("%w: %w", class, err)
}

func isTyped(err error) bool {
	return errors.Is(err, keyring.ErrUnavailable) || errors.Is(err, keyring.ErrDenied)
}

// noAnswer reports whether err says that no answer came, or not all of it.
func noAnswer(err error) bool {
	for _, end := range []error{context.Canceled, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		if errors.Is(err, end) {
			return true
		}
	}
	// context.DeadlineExceeded, os.ErrDeadlineExceeded, *url.Error and
	// syscall.Errno are among these.
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// IgnoreContext returns an AEADWithContext for an AEAD whose calls can not be
// stopped, such as that of Tink's client for Vault or of a keyset.Handle. Its
// calls fail if ctx has ended before they begin, and else run to their end; the
// keyring does not wait for them longer than its Timeout. Give the client a
// limit of its own.
func IgnoreContext(aead tink.AEAD) tink.AEADWithContext { return ignoreContext{aead} }

type ignoreContext struct{ tink.AEAD }

func (a ignoreContext) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a.Encrypt(plaintext, associatedData)
}

func (a ignoreContext) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return a.Decrypt(ciphertext, associatedData)
}

package crypto

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealfield/sealfield/internal/flight"
	"github.com/sealfield/sealfield/keyring"
)

// purpose stands in the KMS's encryption context of data keys. It is none of the
// purposes of a keyring, so no root key passes for a data key, nor the reverse.
const purpose = "envelope"

// envelopeKMS is a KMS and how its last call went.
type envelopeKMS struct {
	keyring.KMS
	failed atomic.Int64 // when, in Unix nanoseconds; 0 if it did not
}

// A KMS that gave no answer is asked after the others for that long.
const pause = 30 * time.Second

// unwrapping names a call: which KMS, and all that it is asked.
type unwrapping struct{ uri, tail string }

// kmsContext returns what the KMS binds a data key to. What a message is bound
// to, HKDF binds: so one data key serves messages of many contexts, at one call.
func (e *Envelope) kmsContext(id []byte) keyring.EncryptionContext {
	return keyring.EncryptionContext{"sealfield": e.name, "purpose": purpose, "key_id": hex.EncodeToString(id)}
}

// makeDataKey returns a new data key, wrapped by every KMS.
func (e *Envelope) makeDataKey(ctx context.Context) (*dataKey, error) {
	id, key := make([]byte, keyIDSize), make([]byte, dataKeySize)
	rand.Read(id)
	rand.Read(key)
	wraps, errs := make([]wrap, len(e.kms)), make([]error, len(e.kms))
	var wg sync.WaitGroup
	for i, k := range e.kms {
		wg.Go(func() {
			wraps[i].uri = k.URI()
			wraps[i].wrapped, errs[i] = e.wrapWith(ctx, k, key, id)
		})
	}
	wg.Wait()
	if err := join(errs); err != nil {
		clear(key)
		return nil, err
	}
	k, err := newDataKey(e.name, encodeTail(id, wraps), key)
	if err == nil {
		k.maxMessages, k.maxBytes = e.cfg.MaxMessages, e.cfg.MaxBytes
	}
	return k, err
}

func (e *Envelope) wrapWith(ctx context.Context, k *envelopeKMS, key, id []byte) ([]byte, error) {
	own := bytes.Clone(key) // a KMS may still be sending it when the time is up
	wrapped, err := flight.Within(ctx, e.cfg.Timeout, func(ctx context.Context) ([]byte, error) {
		defer clear(own)
		return k.Wrap(ctx, own, e.kmsContext(id))
	})
	if err == nil && (len(wrapped) <= dataKeySize || len(wrapped) > maxWrapped || bytes.Contains(wrapped, key)) {
		err = fmt.Errorf("%w: the KMS returned something that is no wrapped key", keyring.ErrTampered)
	}
	return wrapped, e.note(ctx, k, err)
}

// unwrap asks the KMSs in turn for the data key of a header, until one gives
// the key that the commitment proves. If none does, the error says whether that
// is the message's fault: it is ErrDecrypt if a KMS gave another key, and none
// failed that might have given the right one.
func (e *Envelope) unwrap(ctx context.Context, h header, context []byte) (*dataKey, []byte, error) {
	h = h.clone() // the calls may go on when the caller has left
	var errs []error
	asked, foreign, silent := false, false, false
	for _, k := range e.inOrder() {
		wrapped := h.wrappedBy(k.URI())
		if wrapped == nil {
			continue
		}
		asked = true
		candidate, err := e.unwrapWith(ctx, k, h, wrapped, context)
		var key []byte
		if err == nil {
			key, err = candidate.prove(h, context)
		}
		switch {
		case err == nil:
			return candidate, key, nil
		case errors.Is(err, errForeign):
			foreign = true
		case errors.Is(err, errWiped):
			return nil, nil, err
		case ctx.Err() != nil:
			return nil, nil, err
		default:
			errs = append(errs, err)
			silent = silent || !errors.Is(err, keyring.ErrDenied)
		}
	}
	switch {
	case !asked:
		return nil, nil, &DecryptError{Field: e.name, Err: errNotForUs}
	case foreign && !silent:
		return nil, nil, &DecryptError{Field: e.name, Err: errForeign}
	}
	return nil, nil, fmt.Errorf("data key %x: %w", h.keyID(), join(errs))
}

// errNotForUs is the reason for ErrDecrypt if nobody can be asked.
var errNotForUs = errors.New("none of the envelope's KMSs has wrapped the data key")

// unwrapWith returns the data key that a KMS gives for a header, shared with
// all who ask the same at the time. It is not proven: the caller that leads may
// have a forged message, and so keeps the key only if its own message proves it.
func (e *Envelope) unwrapWith(ctx context.Context, k *envelopeKMS, h header, wrapped, messageContext []byte) (*dataKey, error) {
	call := unwrapping{k.URI(), string(h.tail)}
	candidate, _, err := e.unwraps.Do(ctx, call, func() (*dataKey, error) {
		if known := e.cache.get(h.tail); known != nil {
			return known, nil
		}
		asked, alone := time.Now(), context.WithoutCancel(ctx)
		key, err := flight.Within(alone, e.cfg.Timeout, func(ctx context.Context) ([]byte, error) {
			return k.Unwrap(ctx, wrapped, e.kmsContext(h.keyID()))
		})
		if err = e.note(alone, k, err); err != nil {
			clear(key)
			return nil, err
		}
		if len(key) != dataKeySize {
			clear(key)
			return nil, errForeign
		}
		candidate, err := newDataKey(e.name, call.tail, key)
		if err == nil {
			_, err = candidate.prove(h, messageContext)
		}
		switch {
		case err == nil:
			return e.cache.put(candidate, asked), nil
		case errors.Is(err, errForeign):
			return candidate, nil
		}
		return nil, err
	})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", keyring.ErrUnavailable, cause)
	}
	return candidate, err
}

// inOrder returns the KMSs with those at the end that gave no answer a short
// while ago.
func (e *Envelope) inOrder() []*envelopeKMS {
	now := time.Now().UnixNano()
	var first, last []*envelopeKMS
	for _, k := range e.kms {
		if failed := k.failed.Load(); failed != 0 && now-failed < int64(pause) {
			last = append(last, k)
		} else {
			first = append(first, k)
		}
	}
	return append(first, last...)
}

// note makes every failure of a KMS a typed one, and keeps and tells whether
// it gives answers. A refusal is an answer.
func (e *Envelope) note(ctx context.Context, k *envelopeKMS, err error) error {
	if err != nil {
		err = fmt.Errorf("KMS %s: %w", k.URI(), typed(err))
	}
	switch {
	case err == nil || errors.Is(err, keyring.ErrDenied):
		if k.failed.Swap(0) != 0 {
			e.cfg.Logger.Info("sealfield: KMS works again", "envelope", e.name, "kms", k.URI())
		}
	case ctx.Err() == nil:
		if k.failed.Swap(time.Now().UnixNano()) == 0 {
			e.cfg.Logger.Warn("sealfield: KMS failed", "envelope", e.name, "kms", k.URI(), "error", err)
		}
	}
	return err
}

func typed(err error) error {
	for _, known := range []error{keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrTampered, keyring.ErrClosed} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", keyring.ErrUnavailable, err)
}

// join returns one error of all that are not nil, in one line.
func join(errs []error) (all error) {
	for _, err := range errs {
		switch {
		case all == nil:
			all = err
		case err != nil:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

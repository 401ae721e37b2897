package keyring

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// This file is how a keyring uses its KMSs: whom it asks, in which order, and
// what becomes of those that fail.

// A KMS that failed is asked after the others for a while, which doubles with
// each failure.
const (
	minPause = 30 * time.Second
	maxPause = 10 * time.Minute
)

// kek is a KMS of the Config and how its last call went.
type kek struct {
	KMS
	*outcome
}

// outcome is how the last call of a KMS went. KMSs of one URI share it.
type outcome struct {
	mu       sync.Mutex
	failed   error // nil if the last call succeeded, or there was none
	failures int   // in a row
	failedAt time.Duration

	running atomic.Int64 // calls, those included that nobody waits for any more
}

// newKEKs returns the KMSs of each purpose. Those of one URI stay apart, for
// they may be clients with different rights, but what was seen of one counts for
// the others.
func newKEKs(cfg *Config) map[Purpose][]*kek {
	known := make(map[string]*outcome)
	keks := make(map[Purpose][]*kek)
	for _, p := range Purposes() {
		for _, k := range cfg.kms(p) {
			if known[k.URI()] == nil {
				known[k.URI()] = &outcome{}
			}
			keks[p] = append(keks[p], &kek{k, known[k.URI()]})
		}
	}
	return keks
}

// paused reports whether k failed a short while ago.
func (k *kek) paused(now time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed != nil && now-k.failedAt < min(maxPause, minPause<<min(k.failures-1, 10))
}

// refusedSince reports whether k's last call ended since then, with an answer that
// another root might not get.
func (k *kek) refusedSince(then time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed != nil && k.failedAt >= then && !errors.Is(k.failed, ErrUnavailable)
}

// inOrder returns keks with those at the end that failed a short while ago.
func (kr *Keyring) inOrder(keks []*kek) []*kek {
	var first, last []*kek
	for _, k := range keks {
		if k.paused(kr.mono()) {
			last = append(last, k)
		} else {
			first = append(first, k)
		}
	}
	return append(first, last...)
}

// note keeps how a call about the root r went, and tells of a change.
func (kr *Keyring) note(k *kek, r *Root, err error) {
	k.mu.Lock()
	before := k.failed
	if k.failed = err; err == nil {
		k.failures = 0
	} else {
		k.failures, k.failedAt = k.failures+1, kr.mono()
	}
	k.mu.Unlock()
	switch {
	case err != nil && before == nil:
		kr.log.Warn("sealfield: KMS failed", "keyring", kr.name, "kms", k.URI(), "purpose", r.Purpose, "key", r.ID.String(), "error", err)
	case err == nil && before != nil:
		kr.log.Info("sealfield: KMS works again", "keyring", kr.name, "kms", k.URI())
	}
}

// unwrapSecret asks the KMSs in order until one gives the secret that the row's
// check value proves. The caller wipes it.
func (kr *Keyring) unwrapSecret(ctx context.Context, keks []*kek, r *Root) (secret []byte, by *kek, err error) {
	var failed error
	for _, k := range kr.inOrder(keks) {
		// The first wrap only: there are no others, unless somebody edits the
		// row to have k called as often as he likes.
		i := slices.IndexFunc(r.Wraps, func(w Wrap) bool { return w.URI == k.URI() })
		if i < 0 || len(r.Wraps[i].Wrapped) == 0 {
			continue
		}
		secret, err := kr.unwrapWith(ctx, k, r.Wraps[i].Wrapped, r)
		if err == nil {
			return secret, k, nil
		}
		failed = join(failed, fmt.Errorf("KMS %s: %w", k.URI(), err))
	}
	if failed == nil {
		failed = fmt.Errorf("%w: it is wrapped by %s and the Config names %s", ErrNoKMS, wrappedBy(r.Wraps), kekURIs(keks))
	}
	return nil, nil, rootError(r, failed)
}

// maxRunning is the number of calls of a KMS from which on it is given its pause.
// It is reached only if calls do not end when their contexts do.
const maxRunning = 100

var errRunning = fmt.Errorf("%w: %d earlier calls have not ended", ErrUnavailable, maxRunning)

// ask calls k within the time limit. What comes later than that is wiped.
func (kr *Keyring) ask(ctx context.Context, k *kek, f func(context.Context) ([]byte, error)) ([]byte, error) {
	if k.running.Load() >= maxRunning && k.paused(kr.mono()) {
		return nil, errRunning
	}
	k.running.Add(1)
	return bounded(ctx, kr.timeout, func(ctx context.Context) ([]byte, error) {
		defer k.running.Add(-1)
		answer, err := f(ctx)
		if ctx.Err() != nil {
			clear(answer)
			return nil, cmp.Or(err, context.Cause(ctx))
		}
		return answer, err
	})
}

func (kr *Keyring) unwrapWith(ctx context.Context, k *kek, wrapped []byte, r *Root) ([]byte, error) {
	secret, err := kr.ask(ctx, k, func(ctx context.Context) ([]byte, error) {
		return k.Unwrap(ctx, slices.Clone(wrapped), encryptionContext(r))
	})
	if err == nil {
		err = checkRoot(secret, r)
	}
	if err != nil {
		clear(secret)
		secret, err = nil, kmsError(err)
	}
	if ctx.Err() == nil && err != errRunning {
		kr.note(k, r, err)
	}
	return secret, err
}

// wrapWith returns secret as k wraps it, once k has given it back: of a wrap that
// is wrong nobody would know until the other KMSs are gone.
func (kr *Keyring) wrapWith(ctx context.Context, k *kek, secret []byte, r *Root) ([]byte, error) {
	wrapped, err := kr.ask(ctx, k, func(ctx context.Context) ([]byte, error) {
		own := slices.Clone(secret)
		defer clear(own)
		return k.Wrap(ctx, own, encryptionContext(r))
	})
	if err == nil && (len(wrapped) <= keySize || bytes.Contains(wrapped, secret)) {
		err = fmt.Errorf("%w: the KMS returned something that is no wrapped key", ErrTampered)
	}
	if err != nil {
		err = kmsError(err)
	}
	if ctx.Err() == nil && err != errRunning {
		kr.note(k, r, err)
	}
	if err != nil {
		return nil, fmt.Errorf("KMS %s: %w", k.URI(), err)
	}
	if err := kr.prove(ctx, k, wrapped, r); err != nil {
		return nil, err
	}
	return wrapped, nil
}

// prove has k unwrap what it is said to have wrapped of the root r, which r's
// check value proves.
func (kr *Keyring) prove(ctx context.Context, k *kek, wrapped []byte, r *Root) error {
	secret, err := kr.unwrapWith(ctx, k, wrapped, r)
	clear(secret)
	if err != nil {
		return fmt.Errorf("KMS %s does not give back what it wrapped: %w", k.URI(), err)
	}
	return nil
}

// wrapByAll wraps secret by every KMS of the purpose. One that is out of reach
// is an error, or, if the Config allows it, a missing wrap; one that refuses is
// always an error.
func (kr *Keyring) wrapByAll(ctx context.Context, secret []byte, r *Root) error {
	var missing error
	done := 0
	for _, k := range kr.keks[r.Purpose] {
		wrapped, err := kr.wrapWith(ctx, k, secret, r)
		switch {
		case err == nil:
			done++
		case kr.allowMissing && errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			missing = join(missing, err)
		default:
			return rootError(r, err)
		}
		r.Wraps = append(r.Wraps, Wrap{k.URI(), wrapped})
	}
	if done == 0 {
		return rootError(r, cmp.Or(missing, ErrNoKMS))
	}
	if missing != nil {
		kr.log.Warn("sealfield: root key lacks a wrap", "keyring", kr.name, "purpose", r.Purpose, "key", r.ID.String(), "error", missing)
	}
	return nil
}

// kmsError makes every failure of a KMS a typed one.
func kmsError(err error) error {
	for _, known := range []error{ErrUnavailable, ErrDenied, ErrTampered, ErrClosed} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func uris(wraps []Wrap) []string {
	all := make([]string, len(wraps))
	for i, w := range wraps {
		all[i] = w.URI
	}
	return all
}

func kekURIs(keks []*kek) []string {
	all := make([]string, len(keks))
	for i, k := range keks {
		all[i] = k.URI()
	}
	return all
}

func join(a, b error) error {
	if a == nil {
		return b
	}
	return fmt.Errorf("%w; %w", a, b)
}

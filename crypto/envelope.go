package crypto

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealfield/sealfield/internal/flight"
	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// Envelope encrypts messages that carry their own key, for queues, files and
// services that share no key store. It is safe for concurrent use.
//
// A message is encrypted with AES-256-GCM (NIST SP 800-38D) under a key that HKDF
// derives from a data key. The data key is in the message, wrapped by every KMS
// of the Envelope, and any one of them opens it. With n bytes of plaintext a
// message has n + 89 bytes, and for each KMS 8 more than its URI and the wrapped
// key have: with AWS KMS about n + 370.
//
// Every call is given an encryption context: pairs that say what the message is
// and for whom, such as queue and tenant. It is not in the message and no KMS sees
// it; Decrypt must be given the same again, in which no text is empty. The KMS is
// given the pairs sealfield (the Envelope's name), purpose ("envelope") and key_id
// (of the data key: random, 32 hex digits, also in the message), for its
// policies and its log. Writers need the right to wrap, readers that to unwrap.
//
// A message commits to data key, header and context: nobody can make one that
// opens as two different things.
//
// # What an attacker can do
//
// Who controls the queue can drop, repeat and reorder messages (a number in the
// context shows that), and can make readers call their KMSs for messages that are
// then refused. He learns the length of each message, the URIs and ids of its
// keys, which messages share a data key and which of these share a context. He
// can not make a reader call a KMS that it was not configured with.
//
// Who controls one of the KMSs, or may unwrap with it, reads every message and
// forges any: an Envelope is as safe as its weakest KMS. Who may only wrap forges.
// So a message proves no more than that its writer had such a right; and a context
// is no wall between those who have it, but a name is, where the KMS's policy
// looks at sealfield. Even a KMS can not make one reader see another plaintext
// than the next, and one that lies or fails does not stop readers from opening
// with another.
type Envelope struct {
	name string
	kms  []*envelopeKMS
	cfg  EnvelopeConfig

	current atomic.Pointer[dataKey] // that seals
	making  flight.Group[struct{}, *dataKey]
	unwraps flight.Group[unwrapping, *dataKey]
	cache   *keyCache // of those that open

	mu     sync.Mutex // guards closed, after which no data key is stored
	closed bool
}

// EnvelopeConfig is how an Envelope differs from the usual one. The zero value
// is the right one for most.
type EnvelopeConfig struct {
	// MaxMessages is how many messages and streams a data key is used for. 1
	// makes a data key for each, and so one call of every KMS. At most, and
	// that is the limit of AES-GCM with random nonces, 2^32. Defaults to 2^20.
	MaxMessages int64

	// MaxBytes is how many bytes of plaintext a data key is used for. A
	// message that is larger gets a data key of its own. A stream that has
	// begun goes on to its end. At most 2^40. Defaults to 2^36 (64 GiB).
	MaxBytes int64

	// MaxAge is how long a data key is used to encrypt. It is also how long
	// encryption goes on without a KMS. At least 1 second. Defaults to 5
	// minutes.
	MaxAge time.Duration

	// CacheEntries and CacheBytes bound the data keys that are kept to
	// decrypt, by number and by about the memory that they take; the one
	// that was not used for longest goes first. With negative CacheEntries
	// none is kept, and each call of Decrypt and NewReader calls a KMS. Default
	// to 1000 and 2^24 (16 MiB).
	CacheEntries int
	CacheBytes   int64

	// CacheAge is how long a data key is kept to decrypt, not counting time
	// in which the machine is suspended, as for MaxAge. When the right to
	// unwrap is withdrawn at the KMS, a process that uses it reads on for so
	// long. Defaults to 5 minutes.
	CacheAge time.Duration

	// Timeout bounds each call to a KMS, whether or not it respects its
	// context. Defaults to 5 seconds.
	Timeout time.Duration

	// Logger is told when a KMS fails to answer, at level Warn, and when it
	// answers again, at Info. Defaults to slog.Default().
	Logger *slog.Logger
}

const (
	mostMessages = 1 << 32
	mostBytes    = 1 << 40

	mostPlaintext = 1<<36 - 32 // bytes, the limit of GCM
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// NewEnvelope returns the envelope of that name, which matches
// [a-z0-9][a-z0-9._-]{0,62}. Messages open in Envelopes of the same name and no
// other. The name is given to the KMSs, so that a policy there can tell who may use
// it; like a Field's it can not be changed later.
//
// It takes 1 to 16 KMSs. Every message is wrapped by all of them, and encryption
// fails while one does not answer; a reader needs only one, and asks them in the
// given order, one that gave no answer in the last 30 seconds after the others.
// NewEnvelope makes no call. Close the Envelope to wipe its keys.
func NewEnvelope(name string, kms []keyring.KMS, cfg EnvelopeConfig) (*Envelope, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("crypto: NewEnvelope: name %q does not match %s", name, validName)
	}
	e := &Envelope{name: name, cfg: cfg}
	if err := e.addKMSs(kms); err != nil {
		return nil, fmt.Errorf("crypto: NewEnvelope %s: %w", name, err)
	}
	if err := e.cfg.complete(); err != nil {
		return nil, fmt.Errorf("crypto: NewEnvelope %s: %w", name, err)
	}
	e.cache = newKeyCache(e.cfg.CacheEntries, e.cfg.CacheBytes, e.cfg.CacheAge)
	return e, nil
}

func (e *Envelope) addKMSs(kms []keyring.KMS) error {
	if len(kms) == 0 || len(kms) > maxWraps {
		return fmt.Errorf("there are %d KMSs, and must be 1 to %d", len(kms), maxWraps)
	}
	seen := make(map[string]bool)
	for _, k := range kms {
		switch {
		case k == nil:
			return errors.New("a KMS is nil")
		case k.URI() == "" || len(k.URI()) > maxURI:
			return fmt.Errorf("a KMS's URI has %d bytes, and must have 1 to %d", len(k.URI()), maxURI)
		case seen[k.URI()]:
			return fmt.Errorf("KMS %s is named twice", k.URI())
		}
		seen[k.URI()] = true
		e.kms = append(e.kms, &envelopeKMS{KMS: k})
	}
	return nil
}

func (c *EnvelopeConfig) complete() error {
	for _, n := range []struct {
		field        string
		value        *int64
		preset, most int64
	}{
		{"MaxMessages", &c.MaxMessages, 1 << 20, mostMessages},
		{"MaxBytes", &c.MaxBytes, 1 << 36, mostBytes},
		{"CacheBytes", &c.CacheBytes, 1 << 24, mostBytes},
		{"MaxAge", (*int64)(&c.MaxAge), int64(5 * time.Minute), 1<<63 - 1},
		{"CacheAge", (*int64)(&c.CacheAge), int64(5 * time.Minute), 1<<63 - 1},
		{"Timeout", (*int64)(&c.Timeout), int64(5 * time.Second), 1<<63 - 1},
	} {
		if *n.value == 0 {
			*n.value = n.preset
		}
		if *n.value < 0 || *n.value > n.most {
			return fmt.Errorf("EnvelopeConfig.%s of %d is not between 0 and %d", n.field, *n.value, n.most)
		}
	}
	if c.MaxAge < time.Second {
		return fmt.Errorf("EnvelopeConfig.MaxAge of %v is less than a second", c.MaxAge)
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 1000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// Name returns the envelope's name.
func (e *Envelope) Name() string { return e.name }

// Encrypt returns the message of plaintext for an encryption context, in a new
// slice. It calls the KMSs if there is no data key or its limits are reached, and
// then fails without output if one of them does not wrap (keyring.ErrUnavailable,
// keyring.ErrDenied, or keyring.ErrTampered for an answer that is no wrapped key).
// A context without pairs, or with an empty text, is an error. A context other than
// the last 8 that were used costs some microseconds more, here and in Decrypt.
func (e *Envelope) Encrypt(ctx context.Context, plaintext []byte, ec keyring.EncryptionContext) ([]byte, error) {
	n := int64(len(plaintext))
	if n > mostPlaintext {
		return nil, e.failed("encrypt", errors.New("the plaintext is too large for one message, use a stream"))
	}
	if k := e.current.Load(); k != nil {
		if s := k.find(ec); s != nil && k.reserve(n) {
			return s.message(plaintext), nil
		}
	}
	if err := checkContext(ec); err != nil {
		return nil, e.failed("encrypt", err)
	}
	for {
		k, err := e.sealingKey(ctx, n)
		if err != nil {
			return nil, e.failed("encrypt", err)
		}
		s, err := k.sealer(ec)
		switch {
		case errors.Is(err, errWiped):
			continue
		case k.once:
			k.wipe()
		}
		if err != nil {
			return nil, e.failed("encrypt", err)
		}
		return s.message(plaintext), nil
	}
}

func (s *session) message(plaintext []byte) []byte {
	dst := make([]byte, 0, len(s.prefix)+len(plaintext)+xaes.Overhead)
	return s.Seal(append(dst, s.prefix...), plaintext, nil)
}

// Decrypt returns the plaintext of a message in a new slice, which is never nil.
// It calls a KMS unless the data key is in the cache; many callers that need the
// same one share a call, and none is disturbed when another's ctx ends.
//
// A message that was not made by an Envelope of this name, for one of its KMSs and
// exactly this context, is refused with ErrDecrypt. An error that is
// keyring.ErrUnavailable says that a KMS gave no answer (keyring.ErrTampered: none
// that makes sense), and the message may be good. One that is keyring.ErrDenied says that all KMSs that were asked refused. That
// can be the process's lack of rights as well as the message's wrapped key, which
// most KMSs do not tell apart: put the message aside rather than try again.
func (e *Envelope) Decrypt(ctx context.Context, message []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if err := checkContext(ec); err != nil {
		return nil, e.failed("decrypt", err)
	}
	h, sealed, ok := parseMessage(message)
	if !ok || h.kind != kindMessage || len(sealed) < xaes.Overhead {
		return nil, &DecryptError{Field: e.name}
	}
	s, err := e.opener(ctx, h, ec)
	if err != nil {
		return nil, e.failed("decrypt", err)
	}
	out, err := s.Open(make([]byte, 0, len(sealed)-xaes.Overhead), sealed, nil)
	if err != nil {
		return nil, &DecryptError{Field: e.name}
	}
	return out, nil
}

// opener returns the session of a message whose commitment is right.
func (e *Envelope) opener(ctx context.Context, h header, ec keyring.EncryptionContext) (*session, error) {
	if k := e.cache.get(h.tail); k != nil {
		if s := k.find(ec); s != nil {
			if subtle.ConstantTimeCompare(s.commitment, h.commitment) != 1 {
				return nil, &DecryptError{Field: e.name, Err: errForeign}
			}
			return s, nil
		}
	}
	context := ec.Encode()
	k, key, err := e.provenKey(ctx, h, context)
	if err != nil {
		return nil, err
	}
	s, err := opener(h, ec, key)
	if err == nil && len(context) <= maxContext {
		e.cache.keep(k, s)
	}
	return s, err
}

// provenKey returns the data key of a header, and the key that it gives for the
// context, if the commitment is right.
func (e *Envelope) provenKey(ctx context.Context, h header, context []byte) (*dataKey, []byte, error) {
	for {
		if err := e.usable(ctx); err != nil {
			return nil, nil, err
		}
		k := e.cache.get(h.tail)
		var key []byte
		var err error
		if k != nil {
			key, err = k.prove(h, context)
		} else {
			k, key, err = e.unwrap(ctx, h, context)
		}
		switch {
		case errors.Is(err, errWiped):
			continue
		case errors.Is(err, errForeign):
			err = &DecryptError{Field: e.name, Err: errForeign}
		}
		return k, key, err
	}
}

// sealingKey returns a data key with room for a message of n bytes, which it has
// counted.
func (e *Envelope) sealingKey(ctx context.Context, n int64) (*dataKey, error) {
	for {
		if err := e.usable(ctx); err != nil {
			return nil, err
		}
		if n > e.cfg.MaxBytes || e.cfg.MaxMessages == 1 {
			k, err := e.makeDataKey(ctx)
			if err == nil {
				k.once = true
			}
			return k, err
		}
		k := e.current.Load()
		if k != nil && k.reserve(n) {
			return k, nil
		}
		_, _, err := e.making.Do(ctx, struct{}{}, func() (*dataKey, error) { return nil, e.replace(context.WithoutCancel(ctx), k) })
		if err != nil {
			return nil, typed(err)
		}
	}
}

// replace makes the data key that comes after old, if nobody has yet.
func (e *Envelope) replace(ctx context.Context, old *dataKey) error {
	if k := e.current.Load(); k != old {
		return nil
	}
	k, err := e.makeDataKey(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		k.wipe()
		return errClosed
	}
	if old := e.current.Swap(k); old != nil {
		old.wipe()
	}
	k.expire(e.cfg.MaxAge, func() { e.current.CompareAndSwap(k, nil) })
	return nil
}

// Close wipes the data keys, as far as Go allows. Calls that come later fail with
// keyring.ErrClosed; streams that have begun go on.
func (e *Envelope) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if k := e.current.Swap(nil); k != nil {
		k.wipe()
	}
	e.cache.close()
	return nil
}

func (e *Envelope) usable(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return errClosed
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", keyring.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

var errClosed error = closedError{}

// closedError is keyring.ErrClosed in other words.
type closedError struct{}

func (closedError) Error() string        { return "the envelope is closed" }
func (closedError) Is(target error) bool { return target == keyring.ErrClosed }

// failed names the envelope in an error, unless it is the one public text.
func (e *Envelope) failed(what string, err error) error {
	if refused, ok := err.(*DecryptError); ok {
		return refused
	}
	return fmt.Errorf("crypto: %s with envelope %s: %w", what, e.name, err)
}

func checkContext(ec keyring.EncryptionContext) error {
	if len(ec) == 0 {
		return errors.New("the encryption context is empty")
	}
	for k, v := range ec {
		if k == "" || v == "" {
			return errors.New("the encryption context holds an empty text")
		}
	}
	return nil
}

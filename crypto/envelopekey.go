package crypto

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/secret"
	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// dataKey is a data key in memory: not itself, but what HKDF extracts from it.
type dataKey struct {
	name string // of the Envelope
	tail string // of the headers that it stands in

	mu  sync.RWMutex // guards prk and timer
	prk secret.Bytes // empty after wipe
	end *time.Timer  // of its age

	// The sessions of the contexts that were used last, in a ring. Printers
	// do not look into an atomic.Pointer.
	sessions [maxSessions]atomic.Pointer[session]
	next     atomic.Uint32

	// Of one that seals.
	messages, bytes       atomic.Int64
	maxMessages, maxBytes int64
	once                  bool // made for one message
}

// session is AES-256-GCM for the messages of one data key and context.
//
// HKDF and the set-up of AES cost ten times what 64 bytes cost, so messages that
// share both share the message key, and each draws a nonce at random. A message
// key is used by no other process (its data key was drawn here) and by no more
// messages than its data key: with the default of 2^20 messages two of its 96-bit
// nonces are equal with a probability below 2^-57, with the most that can be
// configured, 2^32, below 2^-32, the limit of NIST SP 800-38D 8.3.
type session struct {
	context    []string // key, value, key, value, ...; ascending keys
	commitment []byte
	prefix     []byte // header and commitment; of one that seals
	xaes.Sealer
	xaes.Opener
}

const (
	maxSessions = 8
	maxContext  = 4096 // bytes of an encoded context that is kept
	sessionCost = 2048 // bytes of memory, without the context
	dataKeyCost = 1024 // without the tail
)

// errWiped says that a data key was wiped between its look-up and its use: the
// look-up has to be repeated.
var errWiped = errors.New("the data key was wiped")

// errForeign is the reason for ErrDecrypt if the commitment is not that of the
// data key.
var errForeign = errors.New("the data key, the encryption context or the header is not the one the message was made with")

// newDataKey takes a data key of dataKeySize bytes and wipes it.
func newDataKey(name, tail string, key []byte) (*dataKey, error) {
	defer clear(key)
	prk, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		return nil, err
	}
	return &dataKey{name: name, tail: tail, prk: secret.New(prk)}, nil
}

// expire wipes k after that time, and calls gone before.
func (k *dataKey) expire(after time.Duration, gone func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.prk.Expose() != nil {
		k.end = time.AfterFunc(after, func() { gone(); k.wipe() })
	}
}

// wipe makes derive fail from now on. What has a session goes on with it.
func (k *dataKey) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.prk.Wipe()
	if k.end != nil {
		k.end.Stop()
	}
	for i := range k.sessions {
		k.sessions[i].Store(nil)
	}
}

// derive returns the message key (or the main key of a stream) and the
// commitment for a context. The commitment is a second block of HKDF's output: to
// find two data keys, headers or contexts for one commitment is to find a
// collision of HMAC-SHA256, and it says nothing about the first block.
func (k *dataKey) derive(kind byte, context []byte) (key, commitment []byte, err error) {
	info := pae.Encode([]byte("sealfield/v1/envelope"), []byte(k.name), encodeHeader(kind, k.tail), context)
	k.mu.RLock()
	defer k.mu.RUnlock()
	prk := k.prk.Expose()
	if prk == nil {
		return nil, nil, errWiped
	}
	out, err := hkdf.Expand(sha256.New, prk, string(info), xaes.KeySize+commitmentSize)
	if err != nil {
		return nil, nil, err
	}
	return out[:xaes.KeySize], out[xaes.KeySize:], nil
}

// prove returns the key for a context if the header's commitment is right.
func (k *dataKey) prove(h header, context []byte) (key []byte, err error) {
	key, commitment, err := k.derive(h.kind, context)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment, h.commitment) != 1 {
		clear(key)
		return nil, errForeign
	}
	return key, nil
}

// reserve counts a message of n bytes, if the limits leave room for it. Of the
// callers that come at the same time no more get true than the limits allow. One
// for whom there is no room has used up the key for others, too, unless there
// would be none in any key.
func (k *dataKey) reserve(n int64) bool {
	return n <= k.maxBytes && k.messages.Add(1) <= k.maxMessages && k.bytes.Add(n) <= k.maxBytes
}

// sealer returns the session that seals for a context.
func (k *dataKey) sealer(ec keyring.EncryptionContext) (*session, error) {
	if s := k.find(ec); s != nil {
		return s, nil
	}
	context := ec.Encode()
	key, commitment, err := k.derive(kindMessage, context)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	s := &session{context: flatten(ec), prefix: append(encodeHeader(kindMessage, k.tail), commitment...)}
	if s.Sealer, err = xaes.NewSealer(key); err != nil {
		return nil, err
	}
	if len(context) <= maxContext {
		k.keep(s)
	}
	return s, nil
}

// opener returns the session that opens with the key that prove gave, and wipes
// the key.
func opener(h header, ec keyring.EncryptionContext, key []byte) (*session, error) {
	defer clear(key)
	o, err := xaes.NewOpener(key)
	return &session{context: flatten(ec), commitment: slices.Clone(h.commitment), Opener: o}, err
}

// find returns the session of exactly that context, or nil.
func (k *dataKey) find(ec keyring.EncryptionContext) *session {
	for i := range k.sessions {
		if s := k.sessions[i].Load(); s != nil && s.of(ec) {
			return s
		}
	}
	return nil
}

// keep puts s in the place of the oldest session, which it returns.
func (k *dataKey) keep(s *session) *session {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.prk.Expose() == nil {
		return nil
	}
	return k.sessions[k.next.Add(1)%maxSessions].Swap(s)
}

// of reports whether the session's context is ec.
func (s *session) of(ec keyring.EncryptionContext) bool {
	if len(s.context) != 2*len(ec) {
		return false
	}
	for i := 0; i < len(s.context); i += 2 {
		if v, ok := ec[s.context[i]]; !ok || v != s.context[i+1] {
			return false
		}
	}
	return true
}

// cost returns the memory that a session takes, in bytes; of nil, none.
func (s *session) cost() int64 {
	if s == nil {
		return 0
	}
	n := int64(sessionCost)
	for _, text := range s.context {
		n += int64(len(text)) + 16
	}
	return n
}

func flatten(ec keyring.EncryptionContext) []string {
	pairs := make([]string, 0, 2*len(ec))
	for _, k := range slices.Sorted(maps.Keys(ec)) {
		pairs = append(pairs, k, ec[k])
	}
	return pairs
}

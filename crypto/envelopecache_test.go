package crypto

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func newTestEnvelope(t testing.TB, cfg EnvelopeConfig) (*Envelope, *keyringtest.KMS) {
	kms := keyringtest.NewKMS()
	cfg.Logger = slog.New(slog.DiscardHandler)
	e, err := NewEnvelope("shop", []keyring.KMS{kms}, cfg)
	require.NoError(t, err)
	return e, kms
}

// held returns the secrets of all data keys that the Envelope holds: the bytes
// themselves, not copies.
func held(e *Envelope) (all [][]byte) {
	expose := func(k *dataKey) {
		k.mu.RLock()
		defer k.mu.RUnlock()
		all = append(all, k.prk.Expose())
	}
	if k := e.current.Load(); k != nil {
		expose(k)
	}
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	for _, el := range e.cache.entries {
		expose(el.Value.(*cached).key)
	}
	return all
}

// TestEnvelopeWipes looks at the bytes of data keys after all the ways in which
// they end.
func TestEnvelopeWipes(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, e *Envelope){
		"close": func(t *testing.T, e *Envelope) { require.NoError(t, e.Close()) },
		"age": func(t *testing.T, e *Envelope) {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		},
		"use": func(t *testing.T, e *Envelope) {
			for range 3 { // of which the last needs the second data key
				m, err := e.Encrypt(t.Context(), nil, keyring.EncryptionContext{"a": "b"})
				require.NoError(t, err)
				_, err = e.Decrypt(t.Context(), m, keyring.EncryptionContext{"a": "b"})
				require.NoError(t, err)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, _ := newTestEnvelope(t, EnvelopeConfig{CacheEntries: 1, MaxMessages: 3})
			m, err := e.Encrypt(t.Context(), nil, keyring.EncryptionContext{"a": "b"})
			require.NoError(t, err)
			_, err = e.Decrypt(t.Context(), m, keyring.EncryptionContext{"a": "b"})
			require.NoError(t, err)
			secrets := held(e)
			require.Len(t, secrets, 2, name)
			k := e.current.Load()
			for _, s := range secrets {
				require.NotEqual(t, make([]byte, 32), s, name)
			}
			end(t, e)
			for _, s := range secrets {
				require.Equal(t, make([]byte, 32), s, name)
			}
			require.Nil(t, k.find(keyring.EncryptionContext{"a": "b"}), name)
			_, _, err = k.derive(kindMessage, nil)
			require.Equal(t, errWiped, err, name)
			if name != "use" {
				require.Empty(t, held(e), name)
			}
			require.NoError(t, e.Close())
		})
	}
}

// TestEnvelopeCacheBytes fills a cache with data keys and sessions. Its count of
// bytes stays within the bound and is that of what it holds.
func TestEnvelopeCacheBytes(t *testing.T) {
	const bound = 60_000
	writer, kms := newTestEnvelope(t, EnvelopeConfig{MaxMessages: 20})
	reader, err := NewEnvelope("shop", []keyring.KMS{kms}, EnvelopeConfig{CacheBytes: bound})
	require.NoError(t, err)
	check := func() {
		t.Helper()
		var sum int64
		for tail, el := range reader.cache.entries {
			entry := el.Value.(*cached)
			n := dataKeyCost + int64(len(tail))
			for i := range entry.key.sessions {
				n += entry.key.sessions[i].Load().cost()
			}
			require.Equal(t, n, entry.cost)
			sum += n
		}
		require.Equal(t, sum, reader.cache.bytes)
		require.LessOrEqual(t, sum, int64(bound))
		require.Equal(t, reader.cache.order.Len(), len(reader.cache.entries))
	}
	var most int64
	for i := range 200 {
		ec := keyring.EncryptionContext{"n": strings.Repeat("x", i%13*i)}
		if i%13*i == 0 {
			ec["n"] = "-"
		}
		m, err := writer.Encrypt(t.Context(), fmt.Append(nil, i), ec)
		require.NoError(t, err)
		for range 2 {
			got, err := reader.Decrypt(t.Context(), m, ec)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(got))
		}
		check()
		most = max(most, reader.cache.bytes)
	}
	require.Greater(t, most, int64(bound/2))
	require.Equal(t, 10, kms.Unwraps(), "messages of one data key that follow each other need one call")
	require.NoError(t, reader.Close())
	check()
	require.Zero(t, reader.cache.bytes)
	require.NoError(t, writer.Close())

	// A bound that not even one data key fits in keeps none, and all opens.
	e, kms := newTestEnvelope(t, EnvelopeConfig{CacheBytes: 100})
	m, err := e.Encrypt(t.Context(), []byte("v"), keyring.EncryptionContext{"a": "b"})
	require.NoError(t, err)
	for range 2 {
		_, err = e.Decrypt(t.Context(), m, keyring.EncryptionContext{"a": "b"})
		require.NoError(t, err)
	}
	require.Equal(t, 2, kms.Unwraps())
	require.NoError(t, e.Close())
}

// TestSessionRing uses more contexts than a data key keeps.
func TestSessionRing(t *testing.T) {
	k, err := newDataKey("shop", encodeTail(make([]byte, keyIDSize), []wrap{{"a", make([]byte, 33)}}), make([]byte, dataKeySize))
	require.NoError(t, err)
	ec := func(i int) keyring.EncryptionContext { return keyring.EncryptionContext{"n": fmt.Sprint(i)} }
	var commitments [][]byte
	for i := range 3 * maxSessions {
		s, err := k.sealer(ec(i))
		require.NoError(t, err)
		require.Same(t, s, k.find(ec(i)))
		again, err := k.sealer(ec(i))
		require.NoError(t, err)
		require.Same(t, s, again)
		commitments = append(commitments, s.prefix[len(s.prefix)-commitmentSize:])
		if i >= maxSessions {
			require.Nil(t, k.find(ec(i-maxSessions)))
		}
	}
	for i, a := range commitments {
		for _, b := range commitments[:i] {
			require.False(t, bytes.Equal(a, b))
		}
		s, err := k.sealer(ec(i))
		require.NoError(t, err)
		require.Equal(t, a, s.prefix[len(s.prefix)-commitmentSize:], "the same again")
	}
	large := keyring.EncryptionContext{"n": strings.Repeat("x", maxContext)}
	_, err = k.sealer(large)
	require.NoError(t, err)
	require.Nil(t, k.find(large), "large contexts are not kept")
}

// TestReserve has two goroutines take the last place of many data keys, each at
// the same moment.
func TestReserve(t *testing.T) {
	const n = 5_000
	for _, limit := range [][2]int64{{1, 1 << 40}, {1 << 32, 7}} {
		keys, there := make([]dataKey, n), make([]atomic.Int32, n)
		for i := range keys {
			keys[i].maxMessages, keys[i].maxBytes = limit[0], limit[1]
		}
		var granted atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for i := range keys {
					there[i].Add(1)
					for spin := 0; there[i].Load() < 2; spin++ {
						if spin > 1000 {
							runtime.Gosched()
						}
					}
					if keys[i].reserve(7) {
						granted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, n, granted.Load())
	}
}

// TestEnvelopeLateCallers are late: they found no data key, and when they come to
// ask for it somebody else has.
func TestEnvelopeLateCallers(t *testing.T) {
	e, kms := newTestEnvelope(t, EnvelopeConfig{})
	ec := keyring.EncryptionContext{"a": "b"}
	m, err := e.Encrypt(t.Context(), []byte("v"), ec)
	require.NoError(t, err)
	require.NoError(t, e.replace(t.Context(), nil))
	require.Equal(t, 1, kms.Wraps())
	_, err = e.Decrypt(t.Context(), m, ec)
	require.NoError(t, err)
	h, _, ok := parseMessage(m)
	require.True(t, ok)
	_, _, err = e.unwrap(t.Context(), h, ec.Encode())
	require.NoError(t, err)
	require.Equal(t, 1, kms.Unwraps())
	require.NoError(t, e.Close())

	// The Envelope is closed while the KMS works on a data key: it is not kept.
	for _, operation := range []string{"wrap", "unwrap"} {
		e, err := NewEnvelope("shop", []keyring.KMS{kms}, EnvelopeConfig{})
		require.NoError(t, err)
		kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, e.Close() })
		if operation == "wrap" {
			_, err = e.Encrypt(t.Context(), []byte("v"), ec)
		} else {
			_, err = e.Decrypt(t.Context(), m, ec)
		}
		require.ErrorIs(t, err, keyring.ErrClosed)
		require.Empty(t, held(e), operation)
		kms.SetHook(nil)
	}
}

// TestEnvelopeKnownAnswers forges messages for a KMS that gives a known answer
// where there is none, such as an empty one.
func TestEnvelopeKnownAnswers(t *testing.T) {
	e, kms := newTestEnvelope(t, EnvelopeConfig{})
	ec := keyring.EncryptionContext{"a": "b"}
	tail := encodeTail(make([]byte, keyIDSize), []wrap{{kms.URI(), make([]byte, 60)}})
	for _, n := range []int{0, 1, 31, 32, 33} {
		answer := make([]byte, n)
		k, err := newDataKey("shop", tail, bytes.Clone(answer))
		require.NoError(t, err)
		s, err := k.sealer(ec)
		require.NoError(t, err)
		kms.SetHook(func(context.Context, string) ([]byte, error) { return answer, nil })
		_, err = e.Decrypt(t.Context(), s.message([]byte("forged")), ec)
		if n == dataKeySize { // nobody can tell it from a data key
			require.NoError(t, err, "the control")
		} else {
			require.ErrorIs(t, err, ErrDecrypt, n)
		}
	}
	require.NoError(t, e.Close())
}

// FuzzEnvelopeHeader holds the parser to its promises: what it accepts is what
// encodeTail writes, a stream's header is read to its last byte and no further,
// and nothing is read that is larger than the largest header.
func FuzzEnvelopeHeader(f *testing.F) {
	id := bytes.Repeat([]byte{7}, keyIDSize)
	one := string(encodeHeader(kindMessage, encodeTail(id, []wrap{{"a", make([]byte, 33)}})))
	two := string(encodeHeader(kindStream, encodeTail(id, []wrap{{"b", make([]byte, 40)}, {"a", make([]byte, 33)}})))
	rest := string(make([]byte, commitmentSize+28))
	for _, seed := range []string{
		"", magic, one, one + rest, two + rest,
		strings.Replace(two, "\x00\x00\x00\x01b", "\x00\x00\x00\x01a", 1) + rest,   // a URI twice
		strings.Replace(two, "\x00\x00\x00\x01a", "\x00\x00\x00\x01c", 1) + rest,   // in another order
		strings.Replace(one, "\x00\x00\x00\x01a", "\x00\x00\x00\x00", 1) + rest,    // an empty URI
		strings.Replace(one, "\x00\x00\x00\x21", "\x00\x00\x00\x20", 1) + rest,     // a wrapped key of 32 bytes
		strings.Replace(one, "\x00\x00\x00\x21", "\x00\x00\x10\x01", 1) + rest,     // of 4097
		strings.Replace(one, "\x00\x00\x00\x21", "\xff\xff\xff\xff", 1) + rest,     // of 4 GiB
		strings.Replace(one, "\x00\x00\x00\x03", "\x00\x00\x00\x01", 1) + rest,     // no wrap
		strings.Replace(one, "\x00\x00\x00\x03", "\x00\x00\x00\x04", 1) + rest,     // half of one
		strings.Replace(one, "\x00\x00\x00\x03", "\xff\xff\xff\xff", 1) + rest,     // too many
		strings.Replace(one, "\x00\x00\x00\x10", "\x00\x00\x00\x0f\x00", 1) + rest, // a key id of 15 bytes
		"\xf5sf2" + one[4:] + rest, "\xf5sf1\x03" + one[5:] + rest, "\x01" + one + rest,
	} {
		f.Add([]byte(seed))
	}
	envelope, _ := newTestEnvelope(f, EnvelopeConfig{})
	const most = partsAt + 4 + keyIDSize + maxWraps*(8+maxURI+maxWrapped)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, ok := parseMessage(b)
		r := bytes.NewReader(b)
		read, good, err := readHeader(r)
		require.Equal(t, ok, good)
		require.LessOrEqual(t, len(b)-r.Len(), most+commitmentSize)
		if !ok {
			if err == nil { // not only too short
				_, _, longer := parseMessage(append(bytes.Clone(b), make([]byte, most)...))
				require.False(t, longer, "it is bad whatever follows")
			}
		} else {
			require.NoError(t, err)
			require.Equal(t, h, read)
			require.Equal(t, len(body), r.Len())
			var wraps []wrap
			for i, part := range parts(h.tail) {
				if i%2 == 1 {
					wraps = append(wraps, wrap{uri: string(part)})
				} else if i > 0 {
					wraps[i/2-1].wrapped = part
				}
			}
			require.NotEmpty(t, wraps)
			for _, w := range wraps {
				require.Equal(t, w.wrapped, h.wrappedBy(w.uri))
			}
			again := encodeHeader(h.kind, encodeTail(h.keyID(), wraps))
			require.Equal(t, b, bytes.Join([][]byte{again, h.commitment, body}, nil))
		}
		given := bytes.Clone(b)
		_, err = envelope.Decrypt(t.Context(), b, keyring.EncryptionContext{"a": "b"})
		require.ErrorIs(t, err, ErrDecrypt)
		require.Equal(t, given, b)
	})
}

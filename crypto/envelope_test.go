package crypto_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var orders = keyring.EncryptionContext{"queue": "orders", "tenant": "7"}

// keks returns n KMSs, as themselves and as an Envelope takes them.
func keks(n int) (fakes []*keyringtest.KMS, kms []keyring.KMS) {
	for range n {
		k := keyringtest.NewKMS()
		fakes, kms = append(fakes, k), append(kms, k)
	}
	return fakes, kms
}

func newEnvelope(t testing.TB, kms []keyring.KMS, cfg crypto.EnvelopeConfig) *crypto.Envelope {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := crypto.NewEnvelope("shop", kms, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

func seal(t testing.TB, e *crypto.Envelope, plaintext string, ec keyring.EncryptionContext) []byte {
	t.Helper()
	m, err := e.Encrypt(t.Context(), []byte(plaintext), ec)
	require.NoError(t, err)
	return m
}

func opens(t testing.TB, e *crypto.Envelope, want string, m []byte, ec keyring.EncryptionContext) {
	t.Helper()
	got, err := e.Decrypt(t.Context(), m, ec)
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Equal(t, want, string(got))
}

// refused requires the one public text, and nothing that says that trying again
// may help.
func refused(t testing.TB, got []byte, err error, what ...any) {
	t.Helper()
	require.Nil(t, got)
	require.ErrorIs(t, err, crypto.ErrDecrypt, what...)
	require.EqualError(t, err, crypto.ErrDecrypt.Error())
	require.NotErrorIs(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, keyring.ErrDenied)
}

// headerOf returns a message's header: what its messages have in common that
// share a data key.
func headerOf(m []byte, plaintext int) string { return string(m[:len(m)-plaintext-28-32]) }

func TestEnvelopeRoundTrip(t *testing.T) {
	for _, n := range []int{1, 2, 16} {
		_, kms := keks(n)
		e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
		for _, size := range []int{0, 1, 16, 64, 1 << 16, 1<<20 + 1} {
			plaintext := random(size)
			given := bytes.Clone(plaintext)
			m, err := e.Encrypt(t.Context(), plaintext, orders)
			require.NoError(t, err)
			require.Equal(t, given, plaintext)
			require.Len(t, m, size+89+n*(8+len(kms[0].URI())+60))
			sent := bytes.Clone(m)
			opens(t, e, string(plaintext), m, maps.Clone(orders))
			require.Equal(t, sent, m, "the message was changed")
		}
		m, err := e.Encrypt(t.Context(), nil, orders)
		require.NoError(t, err)
		opens(t, e, "", m, orders)
		// Any one of the KMSs opens, in an Envelope that has it alone.
		for _, k := range kms {
			opens(t, newEnvelope(t, []keyring.KMS{k}, crypto.EnvelopeConfig{}), "", m, orders)
		}
	}
}

func TestNewEnvelopeRefuses(t *testing.T) {
	_, kms := keks(17)
	one := kms[:1]
	long := renamed{one[0], string(make([]byte, 1025))}
	for _, c := range []struct {
		name string
		kms  []keyring.KMS
		cfg  crypto.EnvelopeConfig
		text string
	}{
		{"", one, crypto.EnvelopeConfig{}, "does not match"},
		{"Shop", one, crypto.EnvelopeConfig{}, "does not match"},
		{"shop", nil, crypto.EnvelopeConfig{}, "0 KMSs"},
		{"shop", kms, crypto.EnvelopeConfig{}, "17 KMSs"},
		{"shop", []keyring.KMS{nil}, crypto.EnvelopeConfig{}, "is nil"},
		{"shop", []keyring.KMS{one[0], one[0]}, crypto.EnvelopeConfig{}, "named twice"},
		{"shop", []keyring.KMS{renamed{one[0], ""}}, crypto.EnvelopeConfig{}, "has 0 bytes"},
		{"shop", []keyring.KMS{long}, crypto.EnvelopeConfig{}, "has 1025 bytes"},
		{"shop", one, crypto.EnvelopeConfig{MaxMessages: 1<<32 + 1}, "MaxMessages"},
		{"shop", one, crypto.EnvelopeConfig{MaxMessages: -1}, "MaxMessages"},
		{"shop", one, crypto.EnvelopeConfig{MaxBytes: 1<<40 + 1}, "MaxBytes"},
		{"shop", one, crypto.EnvelopeConfig{MaxAge: time.Millisecond}, "MaxAge"},
		{"shop", one, crypto.EnvelopeConfig{CacheBytes: -1}, "CacheBytes"},
		{"shop", one, crypto.EnvelopeConfig{CacheAge: -1}, "CacheAge"},
		{"shop", one, crypto.EnvelopeConfig{Timeout: -1}, "Timeout"},
	} {
		_, err := crypto.NewEnvelope(c.name, c.kms, c.cfg)
		require.ErrorContains(t, err, c.text)
	}
}

// renamed is a KMS under another URI.
type renamed struct {
	keyring.KMS
	uri string
}

func (k renamed) URI() string { return k.uri }

// TestEnvelopeContext opens messages with every context but their own, with a
// warm cache and without any. The KMS is asked for each data key once.
func TestEnvelopeContext(t *testing.T) {
	fakes, kms := keks(1)
	writer, warm, cold := newEnvelope(t, kms, crypto.EnvelopeConfig{}), newEnvelope(t, kms, crypto.EnvelopeConfig{}), newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: -1})
	contexts := []keyring.EncryptionContext{
		{"queue": "orders", "tenant": "7"},
		{"queue": "orders"},
		{"tenant": "7"},
		{"queue": "orders", "tenant": "7", "x": "y"},
		{"queue": "orders", "tenant": "8"},
		{"queue": "7", "tenant": "orders"},
		{"queue": "orders", "tenan": "t7"},
		{"orders": "queue", "7": "tenant"},
		{"queue": "orders", "TENANT": "7"},
		{"queue": "orders\x00", "tenant": "7"},
		{"queue": "orders", "tenant": "7 "},
		{"queue": "orders\x00\x00\x00\x06tenant\x00\x00\x00\x017"},
	}
	for i := range 20 { // more than a data key keeps in memory
		contexts = append(contexts, keyring.EncryptionContext{"n": fmt.Sprint(i)})
	}
	messages := make([][]byte, len(contexts))
	for i, ec := range contexts {
		messages[i] = seal(t, writer, "v", ec)
		require.Equal(t, headerOf(messages[0], 1), headerOf(messages[i], 1), "they share the data key")
	}
	for i, m := range messages {
		for j, ec := range contexts {
			for _, e := range []*crypto.Envelope{warm, cold} {
				if i == j {
					opens(t, e, "v", m, ec)
				} else {
					got, err := e.Decrypt(t.Context(), m, ec)
					refused(t, got, err, "%v for %v", ec, contexts[i])
				}
			}
		}
	}
	require.Equal(t, 1, fakes[0].Wraps())
	require.Equal(t, 1+len(contexts)*len(contexts), fakes[0].Unwraps())

	for name, ec := range map[string]keyring.EncryptionContext{
		"nil": nil, "empty": {}, "an empty value": {"queue": "orders", "tenant": ""}, "an empty key": {"": "orders"},
	} {
		_, err := writer.Encrypt(t.Context(), []byte("v"), ec)
		require.ErrorContains(t, err, "empty", name)
		got, err := warm.Decrypt(t.Context(), messages[0], ec)
		require.Nil(t, got)
		require.ErrorContains(t, err, "empty", name)
		require.NotErrorIs(t, err, crypto.ErrDecrypt, "it is the caller's mistake")
		_, err = writer.NewWriter(t.Context(), nil, ec)
		require.ErrorContains(t, err, "empty", name)
		_, err = writer.NewReader(t.Context(), nil, ec)
		require.ErrorContains(t, err, "empty", name)
	}
}

// TestEnvelopeName has two envelopes with the same KMS.
func TestEnvelopeName(t *testing.T) {
	_, kms := keks(1)
	shop := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	require.Equal(t, "shop", shop.Name())
	mail, err := crypto.NewEnvelope("mail", kms, crypto.EnvelopeConfig{})
	require.NoError(t, err)
	_, err = mail.Decrypt(t.Context(), seal(t, shop, "v", orders), orders)
	require.ErrorIs(t, err, keyring.ErrDenied, "the KMS looks at the name")
	lenient, err := crypto.NewEnvelope("mail", []keyring.KMS{deaf{kms[0]}}, crypto.EnvelopeConfig{})
	require.NoError(t, err)
	m, err := newEnvelope(t, []keyring.KMS{deaf{kms[0]}}, crypto.EnvelopeConfig{}).Encrypt(t.Context(), []byte("v"), orders)
	require.NoError(t, err)
	got, err := lenient.Decrypt(t.Context(), m, orders)
	refused(t, got, err, "and HKDF, if the KMS does not")
}

// deaf is a KMS that ignores the encryption context.
type deaf struct{ keyring.KMS }

func (k deaf) Wrap(ctx context.Context, key []byte, _ keyring.EncryptionContext) ([]byte, error) {
	return k.KMS.Wrap(ctx, key, nil)
}

func (k deaf) Unwrap(ctx context.Context, wrapped []byte, _ keyring.EncryptionContext) ([]byte, error) {
	return k.KMS.Unwrap(ctx, wrapped, nil)
}

// TestEnvelopeKMSContext pins what KMSs see, and that no root key of a keyring
// opens as a data key, nor the reverse.
func TestEnvelopeKMSContext(t *testing.T) {
	_, kms := keks(1)
	spy := &spyKMS{KMS: kms[0]}
	e := newEnvelope(t, []keyring.KMS{spy}, crypto.EnvelopeConfig{})
	m := seal(t, e, "v", orders)
	opens(t, e, "v", m, orders)
	require.Len(t, spy.contexts, 2)
	require.Equal(t, spy.contexts[0], spy.contexts[1])
	ec := spy.contexts[0]
	require.Len(t, ec, 3)
	require.Equal(t, "shop", ec["sealfield"])
	require.Equal(t, "envelope", ec["purpose"])
	require.Equal(t, fmt.Sprintf("%x", m[13:29]), ec["key_id"])
	require.NotContains(t, keyring.Purposes(), keyring.Purpose(ec["purpose"]))
}

type spyKMS struct {
	keyring.KMS
	contexts []keyring.EncryptionContext
}

func (k *spyKMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.contexts = append(k.contexts, ec)
	return k.KMS.Wrap(ctx, key, ec)
}

func (k *spyKMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.contexts = append(k.contexts, ec)
	return k.KMS.Unwrap(ctx, wrapped, ec)
}

// TestEnvelopeMalformed flips every bit of a message, cuts it at every length and
// extends it, for readers of one KMS and of both, with a cache and without.
func TestEnvelopeMalformed(t *testing.T) {
	_, kms := keks(2)
	m := seal(t, newEnvelope(t, kms, crypto.EnvelopeConfig{}), "plaintext", orders)
	for name, e := range map[string]*crypto.Envelope{
		"cold":      newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: -1}),
		"cold, one": newEnvelope(t, kms[:1], crypto.EnvelopeConfig{CacheEntries: -1}),
		"warm":      newEnvelope(t, kms, crypto.EnvelopeConfig{}),
	} {
		t.Run(name, func(t *testing.T) {
			opens(t, e, "plaintext", m, orders)
			tried, denied := 0, 0
			try := func(bad []byte, what string, n int) {
				t.Helper()
				tried++
				given := bytes.Clone(bad)
				got, err := e.Decrypt(t.Context(), bad, orders)
				require.Equal(t, given, bad)
				require.Nil(t, got)
				require.Error(t, err, "%s %d", what, n)
				// A KMS that is asked for an altered key refuses, and does
				// not say why; if the other one is asked as well, it tells.
				if denied++; err.Error() == crypto.ErrDecrypt.Error() {
					denied--
					require.ErrorIs(t, err, crypto.ErrDecrypt)
				} else {
					require.ErrorIs(t, err, keyring.ErrDenied, "%s %d", what, n)
					require.NotErrorIs(t, err, crypto.ErrDecrypt)
					require.NotErrorIs(t, err, keyring.ErrUnavailable)
				}
			}
			for bit := range len(m) * 8 {
				bad := bytes.Clone(m)
				bad[bit/8] ^= 1 << (bit % 8)
				try(bad, "flip of bit", bit)
			}
			whole := denied
			for n := range m {
				try(m[:n], "cut to", n)
				try(m[n+1:], "cut at the front by", n+1)
				try(append(bytes.Clone(m[:n]), m[n+1:]...), "without byte", n)
				try(append(bytes.Clone(m), random(n+1)...), "extended by", n+1)
			}
			try(nil, "nil", 0)
			if e := 8 * 16; name != "cold, one" {
				require.LessOrEqual(t, whole, e, "the flips of the key id, which both refuse")
			}
			t.Logf("%d altered messages refused, %d of them by the KMS", tried, denied)
		})
	}
}

// TestEnvelopeSwaps puts the parts of messages together that do not belong
// together: headers, wraps, commitments and bodies of messages that differ in
// data key, context or KMSs.
func TestEnvelopeSwaps(t *testing.T) {
	_, kms := keks(2)
	other := keyring.EncryptionContext{"queue": "orders", "tenant": "8"}
	type part struct{ head, commitment, body []byte }
	split := func(m []byte) part {
		n := len(m) - 28 - 1 - 32
		return part{m[:n], m[n : n+32], m[n+32:]}
	}
	var all []part
	var own [][]byte
	for range 2 {
		e := newEnvelope(t, kms, crypto.EnvelopeConfig{}) // another data key
		for _, ec := range []keyring.EncryptionContext{orders, other} {
			m := seal(t, e, "v", ec)
			all = append(all, split(m))
			if len(ec) > 0 && ec["tenant"] == "7" {
				own = append(own, m)
			}
		}
	}
	warm, cold := newEnvelope(t, kms, crypto.EnvelopeConfig{}), newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: -1})
	for _, m := range own {
		opens(t, warm, "v", m, orders)
		opens(t, cold, "v", m, orders)
	}
	tried := 0
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				m := bytes.Join([][]byte{a.head, b.commitment, c.body}, nil)
				if bytes.Equal(m, own[0]) || bytes.Equal(m, own[1]) {
					continue
				}
				for _, e := range []*crypto.Envelope{warm, cold} {
					tried++
					got, err := e.Decrypt(t.Context(), m, orders)
					refused(t, got, err)
				}
			}
		}
	}

	// The two wraps of one message, and a wrap from another message.
	m, n := own[0], own[1]
	uri := len(kms[0].URI())
	first, second := 33+uri+4, 33+uri+4+60+4+uri+4
	for _, swap := range [][2][]byte{
		{m[second : second+60], m[first : first+60]},
		{n[first : first+60], m[second : second+60]},
		{m[first : first+60], n[second : second+60]},
		{n[first : first+60], n[second : second+60]},
	} {
		bad := bytes.Clone(m)
		copy(bad[first:], swap[0])
		copy(bad[second:], swap[1])
		for _, e := range []*crypto.Envelope{warm, cold} {
			tried++
			got, err := e.Decrypt(t.Context(), bad, orders)
			require.Nil(t, got)
			if bytes.Equal(swap[0], m[first:first+60]) || bytes.Equal(swap[1], m[second:second+60]) {
				refused(t, got, err, "one KMS gave the data key")
			} else {
				require.ErrorIs(t, err, keyring.ErrDenied, "the key id is not that of the wraps")
			}
		}
	}
	// The order of the wraps, and one twice: the header has one spelling.
	entry := 4 + uri + 4 + 60
	one, two := m[29:29+entry], m[29+entry:29+2*entry]
	for _, pair := range [][2][]byte{{two, one}, {one, one}, {two, two}} {
		got, err := cold.Decrypt(t.Context(), bytes.Join([][]byte{m[:29], pair[0], pair[1], m[29+2*entry:]}, nil), orders)
		refused(t, got, err)
		tried++
	}
	t.Logf("%d messages of swapped parts refused", tried)
}

// TestEnvelopeLimits counts the KMS calls of a writer and a reader.
func TestEnvelopeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakes, kms := keks(2)
		check := func(e *crypto.Envelope, wraps, unwraps int) {
			t.Helper()
			for _, k := range fakes {
				require.Equal(t, wraps, k.Wraps())
			}
			require.Equal(t, []int{unwraps, 0}, []int{fakes[0].Unwraps(), fakes[1].Unwraps()})
		}
		count := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 10})
		for i := range 30 {
			opens(t, count, "v", seal(t, count, "v", orders), orders)
			check(count, 1+i/10, 1+i/10)
		}

		bytes := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxBytes: 10})
		seal(t, bytes, "12345678", orders)
		seal(t, bytes, "90", orders)
		check(bytes, 4, 3)
		large := seal(t, bytes, "more than ten", orders)
		check(bytes, 5, 3)
		require.NotEqual(t, headerOf(large, 13), headerOf(seal(t, bytes, "1", orders), 1))
		check(bytes, 6, 3)
		seal(t, bytes, "more than ten", orders)
		check(bytes, 7, 3)
		seal(t, bytes, "", orders) // the one before the large one is still good
		check(bytes, 7, 3)

		single := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 1})
		for range 3 {
			seal(t, single, "v", orders)
		}
		check(single, 10, 3)

		age := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxAge: time.Minute, CacheAge: time.Hour})
		m := seal(t, age, "v", orders)
		time.Sleep(time.Minute - 1)
		require.Equal(t, headerOf(m, 1), headerOf(seal(t, age, "v", orders), 1))
		check(age, 11, 3)
		opens(t, age, "v", m, orders)
		check(age, 11, 4)
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		require.NotEqual(t, headerOf(m, 1), headerOf(seal(t, age, "v", orders), 1))
		check(age, 12, 4)
		time.Sleep(time.Hour - 2)
		opens(t, age, "v", m, orders)
		check(age, 12, 4)
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		opens(t, age, "v", m, orders)
		check(age, 12, 5)
	})
}

// TestEnvelopeLimitsUnderRace has 16 goroutines share data keys with small limits.
func TestEnvelopeLimitsUnderRace(t *testing.T) {
	const goroutines, each = 16, 200
	for _, c := range []struct {
		cfg   crypto.EnvelopeConfig
		limit int // messages per data key
	}{
		{crypto.EnvelopeConfig{MaxMessages: 37}, 37},
		{crypto.EnvelopeConfig{MaxBytes: 100}, 20}, // of 5 bytes
	} {
		fakes, kms := keks(1)
		e := newEnvelope(t, kms, c.cfg)
		messages := make([][][]byte, goroutines)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					m, err := e.Encrypt(context.Background(), []byte("12345"), keyring.EncryptionContext{"n": fmt.Sprint(i % 3)})
					if err == nil {
						messages[g] = append(messages[g], m)
					}
				}
			})
		}
		wg.Wait()
		used := map[string]int{}
		for _, list := range messages {
			require.Len(t, list, each)
			for i, m := range list {
				used[headerOf(m, 5)]++
				opens(t, e, "12345", m, keyring.EncryptionContext{"n": fmt.Sprint(i % 3)})
			}
		}
		for _, n := range used {
			require.LessOrEqual(t, n, c.limit)
		}
		require.Equal(t, len(used), fakes[0].Wraps(), "no data key is made in vain")
		require.GreaterOrEqual(t, len(used), goroutines*each/c.limit)
		t.Logf("%d messages under %d data keys", goroutines*each, len(used))
	}
}

// TestEnvelopeColdStart lets 1,000 goroutines meet the same data key, in messages
// of their own contexts, and 1,000 need one to encrypt.
func TestEnvelopeColdStart(t *testing.T) {
	fakes, kms := keks(2)
	writer, reader := newEnvelope(t, kms, crypto.EnvelopeConfig{}), newEnvelope(t, kms, crypto.EnvelopeConfig{})
	const n = 1000
	messages, errs := make([][]byte, n), make(chan error, 2*n)
	ec := func(i int) keyring.EncryptionContext { return keyring.EncryptionContext{"n": fmt.Sprint(i)} }
	each := func(f func(i int) error) {
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range n {
			wg.Go(func() {
				<-start
				if err := f(i); err != nil {
					errs <- err
				}
			})
		}
		close(start)
		wg.Wait()
	}
	each(func(i int) (err error) {
		messages[i], err = writer.Encrypt(context.Background(), fmt.Append(nil, i), ec(i))
		return err
	})
	each(func(i int) error {
		got, err := reader.Decrypt(context.Background(), messages[i], ec(i))
		if err == nil && string(got) != fmt.Sprint(i) {
			err = fmt.Errorf("another message: %q", got)
		}
		return err
	})
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, []int{1, 1, 1, 0}, []int{fakes[0].Wraps(), fakes[1].Wraps(), fakes[0].Unwraps(), fakes[1].Unwraps()})
}

// TestEnvelopeCacheEntries lets data keys push each other out.
func TestEnvelopeCacheEntries(t *testing.T) {
	fakes, kms := keks(1)
	writer := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 1})
	reader := newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: 2})
	a, b, c := seal(t, writer, "a", orders), seal(t, writer, "b", orders), seal(t, writer, "c", orders)
	for i, step := range []struct {
		m       []byte
		want    string
		unwraps int
	}{{a, "a", 1}, {b, "b", 2}, {a, "a", 2}, {c, "c", 3}, {a, "a", 3}, {b, "b", 4}, {a, "a", 4}, {c, "c", 5}} {
		opens(t, reader, step.want, step.m, orders)
		require.Equal(t, step.unwraps, fakes[0].Unwraps(), "step %d", i)
	}
	// A refused message is not kept.
	bad := bytes.Clone(b)
	bad[len(bad)-30] ^= 1 // its commitment
	for range 3 {
		got, err := reader.Decrypt(t.Context(), bad, orders)
		refused(t, got, err)
	}
	require.Equal(t, 8, fakes[0].Unwraps())
	opens(t, reader, "a", a, orders)
	opens(t, reader, "c", c, orders)
	require.Equal(t, 8, fakes[0].Unwraps())
}

// TestEnvelopeUnderUse writes and reads with small limits and a small cache while
// keys come and go, and closes at last.
func TestEnvelopeUnderUse(t *testing.T) {
	_, kms := keks(2)
	writer := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 50})
	reader := newEnvelope(t, kms, crypto.EnvelopeConfig{CacheEntries: 2, CacheBytes: 20_000})
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for g := range 8 {
		wg.Go(func() {
			var old [][]byte
			ec := keyring.EncryptionContext{"g": fmt.Sprint(g)}
			for {
				m, err := writer.Encrypt(context.Background(), []byte("v"), ec)
				if err == nil {
					old = append(old, m)
					_, err = reader.Decrypt(context.Background(), m, ec)
				}
				if err == nil {
					_, err = reader.Decrypt(context.Background(), old[len(old)/2], ec)
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
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, reader.Close())
	wg.Wait()
	close(errs)
	for err := range errs {
		require.ErrorIs(t, err, keyring.ErrClosed)
		require.NotErrorIs(t, err, keyring.ErrUnavailable)
		require.EqualError(t, err, "crypto: decrypt with envelope shop: the envelope is closed")
	}
}

func TestEnvelopeClose(t *testing.T) {
	fakes, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	m := seal(t, e, "v", orders)
	opens(t, e, "v", m, orders)
	var stream bytes.Buffer
	w, err := e.NewWriter(t.Context(), &stream, orders)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err = e.Encrypt(t.Context(), []byte("v"), orders)
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, err = e.Decrypt(t.Context(), m, orders)
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, err = e.NewWriter(t.Context(), &bytes.Buffer{}, orders)
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.NoError(t, w.Close(), "a stream that has begun goes on")
	_, err = e.NewReader(t.Context(), &stream, orders)
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.Equal(t, []int{1, 1}, []int{fakes[0].Wraps(), fakes[0].Unwraps()})

	// Closed while a data key is made, or unwrapped.
	for name, use := range map[string]func(e *crypto.Envelope) error{
		"encrypt": func(e *crypto.Envelope) error {
			_, err := e.Encrypt(t.Context(), []byte("v"), orders)
			return err
		},
		"decrypt": func(e *crypto.Envelope) error { _, err := e.Decrypt(t.Context(), m, orders); return err },
	} {
		e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
		fakes[0].SetHook(func(context.Context, string) ([]byte, error) { e.Close(); return nil, nil })
		require.ErrorIs(t, use(e), keyring.ErrClosed, name)
		fakes[0].SetHook(nil)
	}
}

// TestEnvelopeFIPSOnly runs tests of messages in a process of its own in FIPS-only
// mode, and one that finds streams to be refused there.
func TestEnvelopeFIPSOnly(t *testing.T) {
	if os.Getenv("GODEBUG") == "fips140=only" {
		_, kms := keks(1)
		e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
		var out bytes.Buffer
		_, err := e.NewWriter(t.Context(), &out, orders)
		require.ErrorContains(t, err, "FIPS")
		require.Zero(t, out.Len())
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.v", "-test.run", "^TestEnvelope(RoundTrip|Context|Malformed|Swaps|LimitsUnderRace|FIPSOnly)$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, 6, bytes.Count(out, []byte("\n--- PASS: ")))
}

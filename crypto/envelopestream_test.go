package crypto_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
)

const (
	segment = 64 << 10
	first   = segment - 40 - 16 // bytes of plaintext in the first segment
	later   = segment - 16      // and in those that follow
)

// stream returns a stream of plaintext.
func stream(t testing.TB, e *crypto.Envelope, plaintext []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := e.NewWriter(t.Context(), &out, orders)
	require.NoError(t, err)
	n, err := w.Write(plaintext)
	require.NoError(t, err)
	require.Equal(t, len(plaintext), n)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// read reads a stream to its end, or its error.
func read(t testing.TB, e *crypto.Envelope, s []byte) ([]byte, error) {
	r, err := e.NewReader(t.Context(), bytes.NewReader(s), orders)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestStreamRoundTrip(t *testing.T) {
	fakes, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	head := len(seal(t, e, "", orders)) - 28
	for _, size := range []int{0, 1, first - 1, first, first + 1, first + later - 1, first + later, first + later + 1, 1 << 20} {
		plaintext := random(size)
		whole := stream(t, e, plaintext)
		segments := 1
		if size > first {
			segments += (size - first + later - 1) / later
		}
		require.Len(t, whole, head+size+40+16*segments)
		got, err := read(t, e, whole)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got))

		// In pieces, to and from slow ends.
		var out bytes.Buffer
		w, err := e.NewWriter(t.Context(), &out, orders)
		require.NoError(t, err)
		for left := plaintext; len(left) > 0; {
			n := min(len(left), 1+len(left)%9973)
			_, err := w.Write(left[:n])
			require.NoError(t, err)
			left = left[n:]
		}
		require.NoError(t, w.Close())
		for _, slow := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader, iotest.OneByteReader} {
			r, err := e.NewReader(t.Context(), slow(bytes.NewReader(out.Bytes())), orders)
			require.NoError(t, err)
			require.NoError(t, iotest.TestReader(r, plaintext))
			n, err := r.Read(make([]byte, 10))
			require.Zero(t, n)
			require.Equal(t, io.EOF, err)
		}
	}
	require.Equal(t, []int{1, 1}, []int{fakes[0].Wraps(), fakes[0].Unwraps()}, "streams and messages share data keys")
}

// cut requires that a stream is refused, and what was read of it before to be
// genuine.
func cut(t testing.TB, e *crypto.Envelope, s, plaintext []byte, what ...any) error {
	t.Helper()
	got, err := read(t, e, s)
	require.ErrorIs(t, err, crypto.ErrDecrypt, what...)
	require.EqualError(t, err, crypto.ErrDecrypt.Error())
	require.True(t, bytes.HasPrefix(plaintext, got), what...)
	return err
}

// TestStreamTruncated cuts a stream at every length.
func TestStreamTruncated(t *testing.T) {
	_, kms := keks(2)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	short, plaintext := stream(t, e, []byte("plaintext")), []byte("plaintext")
	for n := range short {
		require.ErrorIs(t, cut(t, e, short[:n], plaintext, n), io.ErrUnexpectedEOF, n)
	}
	plaintext = random(first + 2*later + 100)
	long := stream(t, e, plaintext)
	head := len(long) - 3*segment - 116
	for i := range 3 {
		for _, d := range []int{-17, -16, -1, 0, 1, 16, 17} {
			n := head + (i+1)*segment + d
			require.ErrorIs(t, cut(t, e, long[:n], plaintext, n), io.ErrUnexpectedEOF, n)
		}
	}
	for n := len(long) - 150; n < len(long); n++ {
		require.ErrorIs(t, cut(t, e, long[:n], plaintext, n), io.ErrUnexpectedEOF, n)
	}
	got, err := read(t, e, long)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))
}

// TestStreamAltered flips every bit of a short stream, and reorders, repeats,
// drops, appends and mixes the segments of long ones.
func TestStreamAltered(t *testing.T) {
	_, kms := keks(2)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	short := stream(t, e, []byte("plaintext"))
	denied := 0
	for bit := range len(short) * 8 {
		bad := bytes.Clone(short)
		bad[bit/8] ^= 1 << (bit % 8)
		got, err := read(t, e, bad)
		require.Empty(t, got)
		if errors.Is(err, keyring.ErrDenied) {
			denied++
			continue
		}
		require.EqualError(t, err, crypto.ErrDecrypt.Error(), "flip of bit %d", bit)
	}
	require.LessOrEqual(t, denied, 8*16, "the flips of the key id")

	plaintext := random(first + 2*later + 100)
	a, b := stream(t, e, plaintext), stream(t, e, plaintext)
	head := len(a) - 3*segment - 116
	parts := func(s []byte) [][]byte {
		return [][]byte{s[:head+40], s[head+40 : head+segment], s[head+segment : head+2*segment], s[head+2*segment : head+3*segment], s[head+3*segment:]}
	}
	p, q := parts(a), parts(b)
	require.Len(t, p[4], 116)
	for name, list := range map[string][][]byte{
		"two swapped":            {p[0], p[1], p[3], p[2], p[4]},
		"one repeated":           {p[0], p[1], p[2], p[2], p[3], p[4]},
		"one left out":           {p[0], p[1], p[3], p[4]},
		"the first left out":     {p[0], p[2], p[3], p[4]},
		"the last left out":      {p[0], p[1], p[2], p[3]},
		"the last repeated":      {p[0], p[1], p[2], p[3], p[4], p[4]},
		"the last in the middle": {p[0], p[1], p[4], p[2], p[3], p[4]},
		"a byte appended":        {a, {0}},
		"a segment appended":     {a, make([]byte, segment)},
		"itself appended":        {a, a},
		"one of another stream":  {p[0], p[1], q[2], p[3], p[4]},
		"the end of another":     {p[0], p[1], p[2], p[3], q[4]},
		"the head of another":    {q[0], p[1], p[2], p[3], p[4]},
	} {
		cut(t, e, bytes.Join(list, nil), plaintext, name)
	}
	for i := range 200 {
		bad := bytes.Clone(a)
		bad[head+i*(len(a)-head)/200] ^= 0x40
		cut(t, e, bad, plaintext, i)
	}
	got, err := read(t, e, a)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))
}

// TestStreamHeader puts streams and messages in each other's place, and opens
// with another context and by other means.
func TestStreamHeader(t *testing.T) {
	_, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	s, m := stream(t, e, []byte("plaintext")), seal(t, e, "plaintext", orders)
	got, err := e.Decrypt(t.Context(), s, orders)
	refused(t, got, err)
	require.ErrorIs(t, cut(t, e, m, nil), crypto.ErrDecrypt)
	for _, pair := range [][2][]byte{{s, m}, {m, s}} {
		bad := bytes.Clone(pair[0])
		bad[4] = pair[1][4] // the kind
		got, err = e.Decrypt(t.Context(), bad, orders)
		refused(t, got, err)
		cut(t, e, bad, nil)
	}
	for _, ec := range []keyring.EncryptionContext{{"queue": "orders"}, {"queue": "orders", "tenant": "8"}} {
		_, err := e.NewReader(t.Context(), bytes.NewReader(s), ec)
		refused(t, nil, err)
	}
	// Nothing is read beyond the header that is refused.
	r := bytes.NewReader(append([]byte("this is no stream"), make([]byte, 1000)...))
	_, err = e.NewReader(t.Context(), r, orders)
	refused(t, nil, err)
	require.Equal(t, 1017-9, r.Len())
}

var errBroken = errors.New("the pipe is broken")

// TestStreamReaderFails reads from a source that fails, and goes on to read
// after that, and after a refused segment.
func TestStreamReaderFails(t *testing.T) {
	_, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	plaintext := random(first + later + 100)
	s := stream(t, e, plaintext)
	for _, n := range []int{0, 3, 20, len(s) - 2*segment - 116 - 20, len(s) - 2*segment - 116 + 20, len(s) - segment - 100, len(s) - 1} {
		r, err := e.NewReader(t.Context(), io.MultiReader(bytes.NewReader(s[:n]), iotest.ErrReader(errBroken)), orders)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			_, again := r.Read(make([]byte, 10))
			require.Equal(t, err, again)
		}
		require.Equal(t, errBroken, err, "cut to %d", n)
		require.True(t, bytes.HasPrefix(plaintext, got))
	}
	bad := bytes.Clone(s)
	bad[len(bad)-1] ^= 1
	r, err := e.NewReader(t.Context(), bytes.NewReader(bad), orders)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	for range 3 {
		n, err := r.Read(make([]byte, 10))
		require.Zero(t, n)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "and never io.EOF")
	}
}

// shaky is a writer that fails once it has taken n bytes, that once only.
type shaky struct {
	bytes.Buffer
	n      int
	failed bool
}

func (w *shaky) Write(p []byte) (int, error) {
	if !w.failed && w.Len()+len(p) > w.n {
		w.failed = true
		return 0, errBroken
	}
	return w.Buffer.Write(p)
}

// TestStreamWriterFails shows that what was not closed well is refused.
func TestStreamWriterFails(t *testing.T) {
	_, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	plaintext := random(3 * segment)

	_, err := e.NewWriter(t.Context(), &shaky{n: 10}, orders)
	require.ErrorIs(t, err, errBroken)

	// The third segment fails to be written, and the writer is closed anyway.
	out := &shaky{n: 2*segment + 1000}
	w, err := e.NewWriter(t.Context(), out, orders)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.ErrorIs(t, err, errBroken)
	_, err = w.Write(plaintext)
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, w.Close(), errBroken)
	require.ErrorIs(t, w.Close(), errBroken)
	require.ErrorIs(t, cut(t, e, out.Bytes(), plaintext), io.ErrUnexpectedEOF)

	// Close fails to write the end.
	out = &shaky{n: 1000}
	w, err = e.NewWriter(t.Context(), out, orders)
	require.NoError(t, err)
	_, err = w.Write(plaintext[:2000])
	require.NoError(t, err)
	require.ErrorIs(t, w.Close(), errBroken)
	require.ErrorIs(t, w.Close(), errBroken)
	require.ErrorIs(t, cut(t, e, out.Bytes(), nil), io.ErrUnexpectedEOF)

	// Not closed.
	out = &shaky{n: 1 << 30}
	w, err = e.NewWriter(t.Context(), out, orders)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.NoError(t, err)
	require.ErrorIs(t, cut(t, e, out.Bytes(), plaintext), io.ErrUnexpectedEOF)

	// Given up by its context, with a deferred Close.
	ctx, cancel := context.WithCancelCause(t.Context())
	out = &shaky{n: 1 << 30}
	w, err = e.NewWriter(ctx, out, orders)
	require.NoError(t, err)
	_, err = w.Write(plaintext[:100])
	require.NoError(t, err)
	cancel(errBroken)
	_, err = w.Write(plaintext[:100])
	require.ErrorIs(t, err, errBroken)
	require.ErrorIs(t, w.Close(), errBroken)
	require.ErrorIs(t, cut(t, e, out.Bytes(), plaintext), io.ErrUnexpectedEOF)

	// Written after Close.
	out = &shaky{n: 1 << 30}
	w, err = e.NewWriter(t.Context(), out, orders)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	n := out.Len()
	_, err = w.Write(plaintext)
	require.ErrorContains(t, err, "after Close")
	require.NoError(t, w.Close())
	require.Equal(t, n, out.Len())
}

// TestStreamLimits counts the bytes of streams.
func TestStreamLimits(t *testing.T) {
	fakes, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxBytes: 1000})
	one := stream(t, e, make([]byte, 600))
	two := stream(t, e, make([]byte, 10_000)) // begins within the limit
	require.Equal(t, 1, fakes[0].Wraps())
	head := len(one) - 600 - 16 - 40
	require.Equal(t, one[:head+1], two[:head+1])
	require.NotEqual(t, one[head+1:head+33], two[head+1:head+33], "the salts of Tink's headers")
	seal(t, e, "v", orders)
	require.Equal(t, 2, fakes[0].Wraps())
	single := newEnvelope(t, kms, crypto.EnvelopeConfig{MaxMessages: 1})
	stream(t, single, nil)
	stream(t, single, nil)
	require.Equal(t, 4, fakes[0].Wraps())
}

// TestStreamMemory passes 64 MiB through a writer and a reader, which together
// allocate less than 1 MiB: none of it depends on the length.
func TestStreamMemory(t *testing.T) {
	_, kms := keks(1)
	e := newEnvelope(t, kms, crypto.EnvelopeConfig{})
	chunk := make([]byte, 32<<10)
	rand.Read(chunk)
	allocated := func(chunks int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pr, pw := io.Pipe()
		errs := make(chan error, 1)
		go func() {
			w, err := e.NewWriter(context.Background(), pw, orders)
			for range chunks {
				if err == nil {
					_, err = w.Write(chunk)
				}
			}
			if err == nil {
				err = w.Close()
			}
			pw.CloseWithError(err)
			errs <- err
		}()
		r, err := e.NewReader(t.Context(), pr, orders)
		require.NoError(t, err)
		buf := make([]byte, 32<<10)
		total := 0
		for err == nil {
			var n int
			n, err = r.Read(buf)
			total += n
		}
		require.Equal(t, io.EOF, err)
		require.NoError(t, <-errs)
		require.Equal(t, chunks*len(chunk), total)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1)
	small, large := allocated(64), allocated(2048)
	t.Logf("2 MiB: %d bytes allocated, 64 MiB: %d", small, large)
	require.Less(t, large, uint64(1<<20))
}

package crypto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// segmentSize is the length of a stream's segments in bytes, tags included.
const segmentSize = 64 << 10

// newStream returns Tink's streaming AEAD. It derives a key for each stream, from
// a salt of 32 bytes, so streams may share the main key, which it does not keep.
func newStream(mainKey []byte) (*subtle.AESGCMHKDF, error) {
	defer clear(mainKey)
	return subtle.NewAESGCMHKDF(mainKey, "SHA256", xaes.KeySize, segmentSize, 0)
}

// NewWriter returns a writer that encrypts to w, for values too large to be held
// in memory: it takes about 130 KiB, whatever is written. A stream is a message's
// header and commitment and then what Tink's AES256_GCM_HKDF writes in segments of
// 64 KiB: 40 bytes, and 16 for each segment.
//
// A stream is complete when Close has returned nil. What was written without that
// is refused by readers as truncated. So Close says "this is all": call it after
// the last Write has succeeded and do not defer it, or what broke off half-way is
// made to look whole. To give a stream up, just leave it, or end ctx, which makes
// Write and Close fail. After a failed Write, Close fails, too. It does not close w;
// called again it returns the same.
//
// A stream counts as one message for MaxMessages, and its bytes for MaxBytes. The
// writer is not safe for concurrent use. Under GODEBUG=fips140=only Tink has no
// streams, and NewWriter and NewReader fail.
func (e *Envelope) NewWriter(ctx context.Context, w io.Writer, ec keyring.EncryptionContext) (io.WriteCloser, error) {
	if err := checkContext(ec); err != nil {
		return nil, e.failed("write a stream", err)
	}
	for {
		k, err := e.sealingKey(ctx, 0)
		if err != nil {
			return nil, e.failed("write a stream", err)
		}
		out, err := k.newWriter(ctx, w, ec)
		switch {
		case errors.Is(err, errWiped):
			continue
		case k.once:
			k.wipe()
		}
		if err != nil {
			return nil, e.failed("write a stream", err)
		}
		return out, nil
	}
}

func (k *dataKey) newWriter(ctx context.Context, w io.Writer, ec keyring.EncryptionContext) (*writer, error) {
	key, commitment, err := k.derive(kindStream, ec.Encode())
	if err != nil {
		return nil, err
	}
	stream, err := newStream(key)
	if err != nil {
		return nil, err
	}
	head := bytes.NewBuffer(append(encodeHeader(kindStream, k.tail), commitment...))
	sink := &sink{head}
	out, err := stream.NewEncryptingWriter(sink, nil)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return nil, err
	}
	sink.Writer = w
	return &writer{ctx: ctx, key: k, write: out.Write, close: out.Close}, nil
}

// sink lets Tink write its header to memory and the rest elsewhere.
type sink struct{ io.Writer }

// writer keeps Tink's writer, which holds plaintext, behind funcs, out of reach
// of printers. After a failure it writes nothing more.
type writer struct {
	ctx    context.Context
	key    *dataKey
	write  func([]byte) (int, error)
	close  func() error
	err    error
	closed bool
}

var errWriteAfterClose = errors.New("crypto: write to a stream after Close")

func (w *writer) Write(p []byte) (n int, err error) {
	if w.closed {
		return 0, errWriteAfterClose
	}
	if err := w.check(); err != nil {
		return 0, err
	}
	n, w.err = w.write(p)
	w.key.bytes.Add(int64(n))
	return n, w.err
}

func (w *writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if err := w.check(); err != nil {
		return err
	}
	w.err = w.close()
	return w.err
}

// check returns why the stream can not go on.
func (w *writer) check() error {
	if w.err == nil && w.ctx.Err() != nil {
		w.err = fmt.Errorf("crypto: write a stream: %w", context.Cause(w.ctx))
	}
	return w.err
}

// NewReader returns a reader of a stream's plaintext. It reads the header and
// calls a KMS unless the data key is in the cache; ctx is for that, and it fails
// as Decrypt does. It takes about 130 KiB. An error of r is returned as it is.
//
// Reads give authenticated segments only, and io.EOF after the last one. Whatever
// was altered, moved, repeated, left out or appended ends the stream with an error
// that is ErrDecrypt, for ever. If it is found where r ends, as when the stream was
// cut off or never closed, the error is io.ErrUnexpectedEOF, too. So what was read
// is genuine but perhaps not all: act on it after io.EOF, or be ready to undo it.
//
// The stream is the rest of r: it is read to its end. The reader is not safe for
// concurrent use.
func (e *Envelope) NewReader(ctx context.Context, r io.Reader, ec keyring.EncryptionContext) (io.Reader, error) {
	if err := checkContext(ec); err != nil {
		return nil, e.failed("read a stream", err)
	}
	in := &reader{envelope: e.name, r: r}
	h, ok, err := readHeader(in.source())
	if err != nil {
		return nil, in.refused()
	}
	if !ok || h.kind != kindStream {
		return nil, &DecryptError{Field: e.name}
	}
	_, key, err := e.provenKey(ctx, h, ec.Encode())
	if err != nil {
		return nil, e.failed("read a stream", err)
	}
	stream, err := newStream(key)
	if err != nil {
		return nil, e.failed("read a stream", err)
	}
	// Tink's header begins with its length. What else Tink may say of it is
	// not the stream's fault.
	head := make([]byte, stream.HeaderLength())
	if _, err := io.ReadFull(in.source(), head); err != nil {
		return nil, in.refused()
	}
	if int(head[0]) != len(head) {
		return nil, &DecryptError{Field: e.name}
	}
	plain, err := stream.NewDecryptingReader(io.MultiReader(bytes.NewReader(head), in.source()), nil)
	if err != nil {
		return nil, e.failed("read a stream", err)
	}
	in.read = plain.Read
	return in, nil
}

// reader keeps Tink's reader, which holds plaintext, behind a func, out of reach
// of printers. Tink's would say io.EOF when it is read again after its last
// segment was refused; this one fails for ever.
type reader struct {
	envelope string
	r        io.Reader
	ended    bool  // r has
	failed   error // r has, otherwise
	read     func([]byte) (int, error)
	err      error
}

func (r *reader) Read(p []byte) (n int, err error) {
	for r.err == nil && n == 0 && len(p) > 0 {
		if n, r.err = r.read(p); r.err != nil && r.err != io.EOF {
			r.err = r.refused()
			return 0, r.err
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// refused returns why the stream ends here.
func (r *reader) refused() error {
	switch {
	case r.failed != nil:
		return r.failed
	case r.ended:
		return &DecryptError{Field: r.envelope, Err: io.ErrUnexpectedEOF}
	}
	return &DecryptError{Field: r.envelope}
}

// source returns r.r; what becomes of it is kept.
func (r *reader) source() io.Reader { return source{r} }

type source struct{ *reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	switch err {
	case nil:
	case io.EOF:
		s.ended = true
	default:
		s.failed = err
	}
	return n, err
}

//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
)

func newEnvelope() *crypto.Envelope {
	kms := memoryKMS{must(kmsaead.New(random(kmsaead.KeySize)))}
	return must(crypto.NewEnvelope("bench", []keyring.KMS{kms}, crypto.EnvelopeConfig{}))
}

// contexts returns n encryption contexts.
func contexts(n int) []keyring.EncryptionContext {
	all := make([]keyring.EncryptionContext, n)
	for i := range all {
		all[i] = keyring.EncryptionContext{"queue": "orders", "tenant": fmt.Sprintf("%08d", i)}
	}
	return all
}

// inTurn does f with one number below m after the other.
func inTurn(m int, f func(i int)) func() work {
	return func() work {
		next := 0
		return func(n int) {
			for range n {
				f(next)
				if next++; next == m {
					next = 0
				}
			}
		}
	}
}

// envelopes compares messages with a field's values.
func envelopes() []table {
	field := newField(newKeyring(keyring.XAES256GCM), false)
	at := crypto.Binding{Row: crypto.Row("12345678")}
	plaintext, value := random(64), must(field.Encrypt(ctx, random(64), at))
	encrypt := func(contexts []keyring.EncryptionContext) func() work {
		e := newEnvelope()
		return inTurn(len(contexts), func(i int) { must(e.Encrypt(ctx, plaintext, contexts[i])) })
	}
	decrypt := func(contexts []keyring.EncryptionContext) func() work {
		e := newEnvelope()
		messages := make([][]byte, len(contexts))
		for i, ec := range contexts {
			messages[i] = must(e.Encrypt(ctx, plaintext, ec))
		}
		return inTurn(len(contexts), func(i int) { must(e.Decrypt(ctx, messages[i], contexts[i])) })
	}
	return []table{
		{"Message of 64 B, into a fresh slice", 1, []benchmark{
			{"floor: Field.Encrypt", "", inTurn(1, func(int) { must(field.Encrypt(ctx, plaintext, at)) })},
			{"Envelope.Encrypt", "<= 1.5, 1 alloc", encrypt(contexts(1))},
			{"Envelope.Encrypt, 8 contexts in turn", "", encrypt(contexts(8))},
			{"Envelope.Encrypt, always another context", "", encrypt(contexts(1000))},
		}},
		{"Open a message of 64 B, into a fresh slice", 1, []benchmark{
			{"floor: Field.Decrypt", "", inTurn(1, func(int) { must(field.Decrypt(ctx, value, at)) })},
			{"Envelope.Decrypt", "", decrypt(contexts(1))},
			{"Envelope.Decrypt, 8 contexts in turn", "", decrypt(contexts(8))},
			{"Envelope.Decrypt, always another context", "", decrypt(contexts(1000))},
		}},
	}
}

// streams compares streams of 1 MiB with Tink's own, in segments of the same size.
func streams() []table {
	e, ec, data := newEnvelope(), contexts(1)[0], random(1<<20)
	var t tink.StreamingAEAD = must(subtle.NewAESGCMHKDF(random(32), "SHA256", 32, 64<<10, 0))
	write := func(w io.WriteCloser) {
		must(w.Write(data))
		check(w.Close())
	}
	read := func(r io.Reader) {
		if n := must(io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 32<<10))); n != int64(len(data)) {
			check(errors.New("a stream came out short"))
		}
	}
	var theirs, ours bytes.Buffer
	write(must(t.NewEncryptingWriter(&theirs, nil)))
	write(must(e.NewWriter(ctx, &ours, ec)))
	return []table{
		{"Write a stream of 1 MiB", 1, []benchmark{
			{"floor: Tink AES256_GCM_HKDF, 64 KiB segments", "", inTurn(1, func(int) { write(must(t.NewEncryptingWriter(io.Discard, nil))) })},
			{"Envelope.NewWriter", "<= 1.25", inTurn(1, func(int) { write(must(e.NewWriter(ctx, io.Discard, ec))) })},
		}},
		{"Read a stream of 1 MiB", 1, []benchmark{
			{"floor: Tink AES256_GCM_HKDF, 64 KiB segments", "", inTurn(1, func(int) { read(must(t.NewDecryptingReader(bytes.NewReader(theirs.Bytes()), nil))) })},
			{"Envelope.NewReader", "<= 1.25", inTurn(1, func(int) { read(must(e.NewReader(ctx, bytes.NewReader(ours.Bytes()), ec))) })},
		}},
	}
}

// gigabyte passes 1 GiB through a stream, in a process of its own, and prints
// what memory its Go runtime took.
func gigabyte() {
	self := must(os.Executable())
	for _, name := range []string{"tink", "envelope"} {
		c := exec.Command(self, "-gigabyte", name)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		check(c.Run())
	}
}

// passGigabyte writes and reads at the same time.
func passGigabyte(name string) {
	const size = 1 << 30
	e, ec := newEnvelope(), contexts(1)[0]
	t := must(subtle.NewAESGCMHKDF(random(32), "SHA256", 32, 64<<10, 0))
	pr, pw := io.Pipe()
	begin := cpuTime()
	go func() {
		var w io.WriteCloser
		if name == "tink" {
			w = must(t.NewEncryptingWriter(pw, nil))
		} else {
			w = must(e.NewWriter(ctx, pw, ec))
		}
		chunk := random(32 << 10)
		for range size / len(chunk) {
			must(w.Write(chunk))
		}
		check(w.Close())
		check(pw.Close())
	}()
	var r io.Reader
	if name == "tink" {
		r = must(t.NewDecryptingReader(pr, nil))
	} else {
		r = must(e.NewReader(ctx, pr, ec))
	}
	n := must(io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 32<<10)))
	if n != size {
		check(errors.New("a stream came out short"))
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m) // Sys never shrinks
	fmt.Printf("1 GiB written and read through %-9s %5.2f s of CPU, %.1f MiB taken from the system (goal < 32)\n", name+":", (cpuTime() - begin).Seconds(), float64(m.Sys)/(1<<20))
}

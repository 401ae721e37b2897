// Rotation shows what an operator sees of a keyring that a fleet shares: a
// rotation, an outage of the KMS that is survived until the grace ends, and a
// move from one KMS to another. Every claim that it prints it has checked.
//
// It needs no cloud and no database: two key files play the KMSs, a file keeps
// the wrapped keys, and the fleet is three keyrings in this process, with delays
// and graces of seconds where a real one has minutes and hours. All of it is in
// a folder that is removed at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

const (
	propagationDelay = 2 * time.Second
	encryptGrace     = 3 * time.Second
	decryptGrace     = 6 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "\nrotation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "sealfield-rotation-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f := &fleet{dir: dir, out: &lines{w: out}}
	defer f.stop()
	for i, s := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Create a keyring and start three processes", f.start},
		{"Rotate: the new key is known first, and used by all a moment later", f.rotate},
		{"The KMS goes down: warm processes work on until their graces end", f.outage},
		{"It comes back: nobody has to be restarted", f.recover},
		{"Move to another KMS: root keys are wrapped anew, nothing else changes", f.move},
	} {
		f.say("\n%d. %s", i+1, s.title)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	f.say("\nEverything above was checked.")
	return nil
}

// fleet is what the steps share.
type fleet struct {
	dir       string
	out       *lines
	oldKMS    *plug
	newKMS    *plug
	processes []*process
	written   [][]byte // by each process under each key
}

// process stands for a program with a keyring and a field.
type process struct {
	name  string
	kr    *keyring.Keyring
	email *crypto.Field
}

// plug is a KMS that can be unplugged.
type plug struct {
	keyring.KMS
	pulled  atomic.Bool
	unwraps atomic.Int64
}

func (p *plug) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if p.pulled.Load() {
		return nil, fmt.Errorf("%w: connection refused", keyring.ErrUnavailable)
	}
	return p.KMS.Wrap(ctx, key, ec)
}

func (p *plug) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if p.pulled.Load() {
		return nil, fmt.Errorf("%w: connection refused", keyring.ErrUnavailable)
	}
	p.unwraps.Add(1)
	return p.KMS.Unwrap(ctx, wrapped, ec)
}

// config is what every process of the fleet is configured with.
func (f *fleet) config(process string, kms ...keyring.KMS) keyring.Config {
	return keyring.Config{
		Name: "shop", Store: keyring.NewFileStore(f.dir + "/shop.keys"), KMS: kms,
		PropagationDelay: propagationDelay, EncryptGrace: encryptGrace, DecryptGrace: decryptGrace,
		RefreshEvery: 500 * time.Millisecond, Logger: f.logger(process),
	}
}

func (f *fleet) open(ctx context.Context, name string, kms ...keyring.KMS) (*process, error) {
	kr, err := keyring.Open(ctx, f.config(name, kms...))
	if err != nil {
		return nil, err
	}
	email, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	return &process{name, kr, email}, err
}

func (f *fleet) start(ctx context.Context) error {
	for i, p := range []**plug{&f.oldKMS, &f.newKMS} {
		kms, err := localkms.Create(fmt.Sprintf("%s/kms-%d.key", f.dir, i+1))
		if err != nil {
			return err
		}
		*p = &plug{KMS: kms}
	}
	operator, err := keyring.Create(ctx, f.config("operator", f.oldKMS))
	if err != nil {
		return err
	}
	defer operator.Close()
	proofs := f.oldKMS.unwraps.Load() // each wrap was unwrapped once
	for _, name := range []string{"web-1", "web-2", "worker"} {
		p, err := f.open(ctx, name, f.oldKMS)
		if err != nil {
			return err
		}
		f.processes = append(f.processes, p)
	}
	if err := f.write(ctx); err != nil {
		return err
	}
	f.say("   three processes write and read: %d calls of the KMS in all", f.oldKMS.unwraps.Load()-proofs)
	return f.showHealth(ctx)
}

func (f *fleet) rotate(ctx context.Context) error {
	target := keyring.Target{Purpose: keyring.Encryption}
	id, err := f.processes[0].kr.Rotate(ctx, target, keyring.RotateOptions{})
	if err != nil {
		return err
	}
	keys, err := f.processes[0].kr.Keys(ctx, target)
	if err != nil {
		return err
	}
	for _, k := range keys {
		f.say("   version %d  key %v  %s", k.Version, k.ID, k.State)
	}
	start := time.Now()
	for {
		under, all, err := f.activeKeys(ctx, id)
		if err != nil {
			return err
		}
		f.say("   after %3.1f s: %s", time.Since(start).Seconds(), under)
		if err := f.write(ctx); err != nil { // and everybody reads it
			return err
		}
		if all {
			break
		}
		if time.Since(start) > 2*propagationDelay {
			return errors.New("the new key does not encrypt")
		}
		if err := sleep(ctx, propagationDelay/4); err != nil {
			return err
		}
	}
	stale, err := f.stale(ctx)
	if err != nil {
		return err
	}
	f.say("   every process read every value at each of these moments; %d of %d values are stale, and still open", stale, len(f.written))
	return nil
}

func (f *fleet) outage(ctx context.Context) error {
	f.oldKMS.pulled.Store(true)
	if err := f.write(ctx); err != nil {
		return fmt.Errorf("a warm process: %w", err)
	}
	f.say("   warm processes write and read")
	late, err := f.open(ctx, "late", f.oldKMS)
	if err != nil {
		return err
	}
	defer late.kr.Close()
	_, err = late.email.Encrypt(ctx, []byte("x"), crypto.Binding{})
	if !errors.Is(err, keyring.ErrUnavailable) {
		return fmt.Errorf("a cold process was not refused: %v", err)
	}
	f.say("   a process that starts now can not:\n     %v", err)

	start := time.Now()
	for _, grace := range []struct {
		what string
		most time.Duration
		ends func() error // what is refused then
	}{
		{"EncryptGrace", encryptGrace, func() error { return f.write(ctx) }},
		{"DecryptGrace", decryptGrace, func() error { return f.readAll(ctx) }},
	} {
		for err = nil; err == nil; err = grace.ends() {
			if time.Since(start) > grace.most+time.Second {
				return fmt.Errorf("%s does not end", grace.what)
			}
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
		if !errors.Is(err, keyring.ErrStale) {
			return err
		}
		f.say("   %s has ended after %3.1f s:\n     %v", grace.what, time.Since(start).Seconds(), err)
		if grace.what == "EncryptGrace" {
			if err := f.readAll(ctx); err != nil {
				return err
			}
			f.say("   all values still open")
		}
	}
	return f.showHealth(ctx)
}

func (f *fleet) recover(ctx context.Context) error {
	f.oldKMS.pulled.Store(false)
	start := time.Now()
	for {
		err := f.write(ctx)
		if err == nil {
			break
		}
		if time.Since(start) > encryptGrace {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	f.say("   all processes write and read again")
	return f.showHealth(ctx)
}

func (f *fleet) move(ctx context.Context) error {
	before := slices.Clone(f.written)
	f.say("   a. Rewrap, with the new KMS in the Config and the old one in From")
	if err := f.rewrap(ctx, keyring.RewrapOptions{From: []keyring.KMS{f.oldKMS}}); err != nil {
		return err
	}
	f.say("   b. restart one process after the other with the new KMS")
	for i, p := range f.processes {
		p.kr.Close()
		moved, err := f.open(ctx, p.name, f.newKMS)
		if err != nil {
			return err
		}
		f.processes[i] = moved
		if err := f.write(ctx); err != nil {
			return err
		}
	}
	f.say("      every process read every value all the while")
	f.say("   c. Rewrap again, with Remove")
	if err := f.rewrap(ctx, keyring.RewrapOptions{Remove: true}); err != nil {
		return err
	}
	f.say("   d. the old KMS is switched off")
	f.oldKMS.pulled.Store(true)
	fresh, err := f.open(ctx, "fresh", f.newKMS)
	if err != nil {
		return err
	}
	f.processes = append(f.processes, fresh)
	f.written = before
	if err := f.readAll(ctx); err != nil {
		return err
	}
	f.say("      a process that starts now reads all %d values from before the move", len(before))
	return f.showHealth(ctx)
}

func (f *fleet) rewrap(ctx context.Context, opts keyring.RewrapOptions) error {
	operator, err := keyring.Open(ctx, f.config("operator", f.newKMS))
	if err != nil {
		return err
	}
	defer operator.Close()
	report, err := operator.Rewrap(ctx, opts)
	for _, r := range report.Roots {
		f.say("      root key %v  %-10s  +%d -%d  wrapped by %s", r.ID, r.Purpose, len(r.Added), len(r.Removed), f.names(r.Wraps))
	}
	return err
}

// write has each process encrypt a value, and all of them read all.
func (f *fleet) write(ctx context.Context) error {
	for _, p := range f.processes {
		ciphertext, err := p.email.Encrypt(ctx, []byte("ann@example.com"), crypto.Binding{})
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		f.written = append(f.written, ciphertext)
	}
	return f.readAll(ctx)
}

func (f *fleet) readAll(ctx context.Context) error {
	for _, p := range f.processes {
		for _, ciphertext := range f.written {
			plaintext, err := p.email.Decrypt(ctx, ciphertext, crypto.Binding{})
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if string(plaintext) != "ann@example.com" {
				return errors.New("that is not what was written")
			}
		}
	}
	return nil
}

// activeKeys says which key each process encrypts with, and whether all use id.
func (f *fleet) activeKeys(ctx context.Context, id keyring.KeyID) (text string, all bool, err error) {
	all = true
	for _, p := range f.processes {
		ciphertext, err := p.email.Encrypt(ctx, nil, crypto.Binding{})
		if err != nil {
			return "", false, err
		}
		used, err := crypto.KeyID(ciphertext)
		if err != nil {
			return "", false, err
		}
		text += fmt.Sprintf("  %s %v", p.name, used)
		all = all && used == id
	}
	return text, all, nil
}

func (f *fleet) stale(ctx context.Context) (n int, err error) {
	for _, ciphertext := range f.written {
		stale, err := f.processes[0].email.Stale(ctx, ciphertext, "")
		if err != nil {
			return 0, err
		}
		if stale {
			n++
		}
	}
	return n, nil
}

// showHealth prints what a probe of web-1 would see.
func (f *fleet) showHealth(ctx context.Context) error {
	h := f.processes[0].kr.Health()
	ready := "ready"
	if err := h.Err(); err != nil {
		ready = "not ready: " + err.Error()
	}
	f.say("   Health of web-1: %s", ready)
	for _, k := range h.KMS {
		state := "works"
		if k.Error != "" {
			state = fmt.Sprintf("failed %d times: %s", k.Failures, k.Error)
		}
		f.say("     KMS %s %s", f.names([]string{k.URI}), state)
	}
	for _, r := range h.Roots {
		if r.Unwrapped {
			f.say("     root key %v of %s is in memory, confirmed %3.1f s ago, wrapped by %s", r.ID, r.Purpose, r.Age.Seconds(), f.names(r.Wraps))
		}
	}
	return ctx.Err()
}

// names writes URIs shorter.
func (f *fleet) names(uris []string) string {
	text := strings.Join(uris, " and ")
	text = strings.ReplaceAll(text, f.oldKMS.URI(), "KMS-1")
	return strings.ReplaceAll(text, f.newKMS.URI(), "KMS-2")
}

func (f *fleet) stop() {
	for _, p := range f.processes {
		p.kr.Close()
	}
}

func (f *fleet) say(format string, args ...any) { fmt.Fprintf(f.out, format+"\n", args...) }

// logger writes what a keyring logs between what the steps say.
func (f *fleet) logger(process string) *slog.Logger {
	h := slog.NewTextHandler(&lines{w: f.out, prefix: "   > "}, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
	return slog.New(h).With("process", process)
}

// lines lets many goroutines write lines.
type lines struct {
	mu     sync.Mutex
	w      io.Writer
	prefix string
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.w.Write(append([]byte(l.prefix), line...))
	return len(line), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

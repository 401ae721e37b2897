package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var background = context.Background()

// children are what the test binary does instead of testing, by role.
var children = map[string]func() int{}

// TestMain runs the children of tests that need processes of their own. Without
// it such a child would run all tests, and start children without end.
func TestMain(m *testing.M) {
	if role := os.Getenv("SEALFIELD_TEST_CHILD"); role != "" {
		os.Exit(children[role]())
	}
	os.Exit(m.Run())
}

// probe is what the tests derive from DEKs.
type probe struct {
	id  keyring.KeyID
	key string
}

// keys uses a keyring as a field or an index would.
type keys struct{ *keyring.Derivation[probe] }

func use(kr *keyring.Keyring, p keyring.Purpose) keys {
	return keys{keyring.NewDerivation(derive.Access{}, kr, p, "probe", func(m *keyring.Material, p *probe) error {
		key, err := m.Derive("PROBE", "probe", 32)
		*p = probe{m.ID(), string(key)}
		return err
	})}
}

// encrypt returns the id of the key that would encrypt.
func (k keys) encrypt(scope string) (keyring.KeyID, error) {
	p, err := k.Active(background, scope)
	if err != nil {
		return 0, err
	}
	return p.id, nil
}

func (k keys) decrypt(scope string, id keyring.KeyID) error {
	p, err := k.ByID(background, scope, id)
	if err == nil && p.id != id {
		err = errors.New("another key")
	}
	return err
}

func (k keys) mustEncrypt(t testing.TB, scope string) keyring.KeyID {
	t.Helper()
	id, err := k.encrypt(scope)
	require.NoError(t, err)
	return id
}

// fixture is a keyring with a store and a KMS that tests can break.
type fixture struct {
	store *keyring.TableStore
	kms   *keyringtest.KMS
	log   *logBuffer
	cfg   keyring.Config
}

func newFixture() *fixture {
	f := &fixture{store: &keyring.TableStore{}, kms: keyringtest.NewKMS(), log: &logBuffer{}}
	f.cfg = keyring.Config{Name: "test", Store: f.store, KMS: []keyring.KMS{f.kms},
		Logger: newLogger(f.log)}
	return f
}

func newLogger(b *logBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (f *fixture) create(t testing.TB) *keyring.Keyring {
	t.Helper()
	kr, err := keyring.Create(t.Context(), f.cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

func (f *fixture) open(t testing.TB) *keyring.Keyring {
	t.Helper()
	kr, err := keyring.Open(t.Context(), f.cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

// logBuffer collects a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// race runs f(0) to f(n-1) at once and waits for all.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// aboutKey requires that err is a *KeyError about the key and is target.
func aboutKey(t testing.TB, err error, id keyring.KeyID, target error, msg ...any) {
	t.Helper()
	require.ErrorIs(t, err, target, msg...)
	var about *keyring.KeyError
	require.ErrorAs(t, err, &about, msg...)
	require.Equal(t, id, about.ID, msg...)
	require.Equal(t, "test", about.Keyring, msg...)
}

func rotate(t testing.TB, kr *keyring.Keyring, target keyring.Target, opts keyring.RotateOptions) keyring.KeyID {
	t.Helper()
	id, err := kr.Rotate(background, target, opts)
	require.NoError(t, err)
	return id
}

const minute = time.Minute

package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

var (
	encryption = keyring.Target{Purpose: keyring.Encryption}
	now        = keyring.RotateOptions{Immediate: true}
	quiet      = slog.New(slog.NewTextHandler(io.Discard, nil))
)

func config(store keyring.Store, kms ...keyring.KMS) keyring.Config {
	return keyring.Config{Name: "test", Store: store, KMS: kms, Logger: quiet}
}

func open(t testing.TB, cfg keyring.Config) *keyring.Keyring {
	t.Helper()
	kr, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

func create(t testing.TB, cfg keyring.Config) *keyring.Keyring {
	t.Helper()
	kr, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

func field(t testing.TB, kr *keyring.Keyring) *crypto.Field {
	t.Helper()
	f, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	require.NoError(t, err)
	return f
}

func seal(t testing.TB, kr *keyring.Keyring, scope string) []byte {
	t.Helper()
	ct, err := field(t, kr).Encrypt(t.Context(), []byte("value"), crypto.Binding{Scope: scope})
	require.NoError(t, err)
	return ct
}

func trySeal(kr *keyring.Keyring, scope string) error {
	f, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	if err == nil {
		_, err = f.Encrypt(context.Background(), []byte("value"), crypto.Binding{Scope: scope})
	}
	return err
}

func tryOpen(kr *keyring.Keyring, ct []byte, scope string) error {
	f, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	if err != nil {
		return err
	}
	pt, err := f.Decrypt(context.Background(), ct, crypto.Binding{Scope: scope})
	if err == nil && string(pt) != "value" {
		return fmt.Errorf("wrong plaintext")
	}
	return err
}

// everything seals and opens a value, tags it and finds it.
func everything(kr *keyring.Keyring) error {
	ctx := context.Background()
	f, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
	if err != nil {
		return err
	}
	ct, err := f.Encrypt(ctx, []byte("value"), crypto.Binding{})
	if err != nil {
		return err
	}
	if err := tryOpen(kr, ct, ""); err != nil {
		return err
	}
	x, err := token.NewIndex(kr, "f", token.IndexConfig{Normalizer: token.Email})
	if err != nil {
		return err
	}
	if _, err := x.Tag(ctx, []byte("v"), ""); err != nil {
		return err
	}
	_, err = x.Match(ctx, []byte("v"), "")
	return err
}

// faultyStore counts the calls of a Store and can be told to fail.
type faultyStore struct {
	keyring.Store
	loads, inserts atomic.Int64
	err            atomic.Pointer[error]
	afterInsert    atomic.Pointer[error] // fails once the row is in
}

func (s *faultyStore) fail(err error) { s.err.Store(&err) }
func (s *faultyStore) heal()          { s.err.Store(nil) }

func (s *faultyStore) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	s.loads.Add(1)
	if err := s.err.Load(); err != nil {
		return keyring.Loaded{}, *err
	}
	return s.Store.Load(ctx, name, targets)
}

func (s *faultyStore) InsertKey(ctx context.Context, k keyring.Key) error {
	s.inserts.Add(1)
	if err := s.err.Load(); err != nil {
		return *err
	}
	err := s.Store.InsertKey(ctx, k)
	if after := s.afterInsert.Swap(nil); err == nil && after != nil {
		return *after
	}
	return err
}

var errDown = fmt.Errorf("connection refused: %w", keyring.ErrUnavailable)

func TestLifecycle(t *testing.T) {
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	ctx := t.Context()
	_, err := keyring.Open(ctx, config(store, kms))
	require.ErrorIs(t, err, keyring.ErrNotFound)
	require.Zero(t, kms.Wraps(), "Open must never make a keyring")

	kr := create(t, config(store, kms))
	require.Equal(t, 4, kms.Wraps(), "one root per purpose")
	_, err = keyring.Create(ctx, config(store, kms))
	require.ErrorIs(t, err, keyring.ErrExists)
	require.Equal(t, 4, kms.Wraps())
	ct := seal(t, kr, "")
	require.Equal(t, 4, kms.Unwraps(), "each wrap is proven, and then the creator has the roots")

	again := open(t, config(store, kms))
	require.Equal(t, 4, kms.Unwraps(), "Open asks no KMS")
	require.NoError(t, tryOpen(again, ct, ""))
	require.Equal(t, 5, kms.Unwraps())

	require.NoError(t, kr.Close())
	require.NoError(t, kr.Close())
	require.ErrorIs(t, trySeal(kr, ""), keyring.ErrClosed)
	require.ErrorIs(t, tryOpen(kr, ct, ""), keyring.ErrClosed)
	require.NotErrorIs(t, tryOpen(kr, ct, ""), crypto.ErrDecrypt)
	_, err = kr.Keys(ctx, encryption)
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, err = kr.Rotate(ctx, encryption, now)
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.ErrorIs(t, kr.Refresh(ctx), keyring.ErrClosed)
	require.NoError(t, tryOpen(again, ct, ""), "closing one keyring is nothing to another")
}

func TestOpenOrCreateRace(t *testing.T) {
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	var wg sync.WaitGroup
	cts := make([][]byte, 16)
	krs := make([]*keyring.Keyring, 16)
	errs := make([]error, 16)
	for i := range cts {
		wg.Go(func() { krs[i], errs[i] = keyring.OpenOrCreate(t.Context(), config(store, kms)) })
	}
	wg.Wait()
	for i, kr := range krs {
		require.NoError(t, errs[i])
		t.Cleanup(func() { kr.Close() })
		cts[i] = seal(t, kr, "")
	}
	for _, kr := range krs {
		for _, ct := range cts {
			require.NoError(t, tryOpen(kr, ct, ""))
		}
	}
}

func TestScopes(t *testing.T) {
	cfg := config(keyring.NewMemoryStore(), keyringtest.NewKMS())
	cfg.Scoped = true
	kr := create(t, cfg)
	ct := seal(t, kr, "a")
	require.NoError(t, tryOpen(kr, ct, "a"))
	require.ErrorIs(t, tryOpen(kr, ct, "b"), crypto.ErrDecrypt)
	require.ErrorIs(t, tryOpen(kr, ct, ""), keyring.ErrScope)
	require.ErrorIs(t, trySeal(kr, ""), keyring.ErrScope)
	infos, err := kr.Keys(t.Context(), keyring.Target{Scope: "b", Purpose: keyring.Encryption})
	require.NoError(t, err)
	require.Empty(t, infos, "Decrypt must not make keys")
}

// TestStatesByTime follows a rotation on the store's clock, in the process that
// rotates and in one that only polls, whatever the host's own clock says.
func TestStatesByTime(t *testing.T) {
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			store, kms := &keyring.TableStore{Skew: skew}, keyringtest.NewKMS()
			one, err := keyring.Create(ctx, config(store, kms))
			require.NoError(t, err)
			defer one.Close()
			two, err := keyring.Open(ctx, config(store, kms))
			require.NoError(t, err)
			defer two.Close()
			states := func(want ...keyring.State) {
				t.Helper()
				for _, kr := range []*keyring.Keyring{one, two} {
					infos, err := kr.Keys(ctx, encryption)
					require.NoError(t, err)
					require.Len(t, infos, len(want))
					for i, info := range infos {
						require.Equal(t, want[i], info.State, "version %d", info.Version)
						require.Equal(t, i+1, info.Version)
					}
				}
			}
			first := seal(t, one, "")
			require.Equal(t, first[:5], seal(t, two, "")[:5])
			states(keyring.Active)

			id, err := one.Rotate(ctx, encryption, keyring.RotateOptions{})
			require.NoError(t, err)
			states(keyring.Active, keyring.Pending)
			for _, kr := range []*keyring.Keyring{one, two} {
				require.Equal(t, first[:5], seal(t, kr, "")[:5], "a pending key must not encrypt")
			}
			time.Sleep(10*time.Minute - 2*time.Second)
			for _, kr := range []*keyring.Keyring{one, two} {
				require.Equal(t, first[:5], seal(t, kr, "")[:5], "early")
			}
			time.Sleep(4 * time.Second)
			states(keyring.Retired, keyring.Active)
			for _, kr := range []*keyring.Keyring{one, two} {
				ct := seal(t, kr, "")
				got, err := crypto.KeyID(ct)
				require.NoError(t, err)
				require.Equal(t, id, got)
				require.NoError(t, tryOpen(kr, first, ""), "retired keys decrypt")
			}
		})
	}
}

func TestRotateRace(t *testing.T) {
	ctx := t.Context()
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	krs := []*keyring.Keyring{create(t, config(store, kms)), open(t, config(store, kms))}
	for _, kr := range krs {
		seal(t, kr, "")
	}
	var wg sync.WaitGroup
	start := make(chan struct{})
	ids, errs := make([]keyring.KeyID, 2), make([]error, 2)
	for i, kr := range krs {
		wg.Go(func() { <-start; ids[i], errs[i] = kr.Rotate(ctx, encryption, now) })
	}
	close(start)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	infos, err := krs[0].Keys(ctx, encryption)
	require.NoError(t, err)
	if ids[0] == ids[1] {
		require.Len(t, infos, 2)
	} else {
		require.Len(t, infos, 3, "they did not race: one saw the other's key first")
	}
	for n := range 3 { // one after the other: a new key each
		_, err := krs[0].Rotate(ctx, encryption, now)
		require.NoError(t, err)
		after, err := krs[0].Keys(ctx, encryption)
		require.NoError(t, err)
		require.Len(t, after, len(infos)+n+1)
	}
}

// TestRotateFromOneVersion holds the first insert of two racing calls back until
// both have looked, so that they race for certain.
func TestRotateFromOneVersion(t *testing.T) {
	ctx := t.Context()
	kms := keyringtest.NewKMS()
	store := &barrierStore{Store: keyring.NewMemoryStore()}
	krs := []*keyring.Keyring{create(t, config(store, kms)), open(t, config(store, kms)), open(t, config(store, kms))}
	for _, kr := range krs {
		seal(t, kr, "")
	}
	store.wait.Add(len(krs))
	store.armed.Store(int64(len(krs)))
	var wg sync.WaitGroup
	ids, errs := make([]keyring.KeyID, len(krs)), make([]error, len(krs))
	for i, kr := range krs {
		wg.Go(func() { ids[i], errs[i] = kr.Rotate(ctx, encryption, keyring.RotateOptions{}) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, id := range ids {
		require.Equal(t, ids[0], id, "losers get the winner's id")
	}
	infos, err := krs[0].Keys(ctx, encryption)
	require.NoError(t, err)
	require.Len(t, infos, 2)
}

// barrierStore lets inserts go on only when as many as it is armed for have come.
type barrierStore struct {
	keyring.Store
	armed atomic.Int64
	wait  sync.WaitGroup
}

func (s *barrierStore) InsertKey(ctx context.Context, k keyring.Key) error {
	if s.armed.Add(-1) >= 0 {
		s.wait.Done()
		s.wait.Wait()
	}
	return s.Store.InsertKey(ctx, k)
}

func TestRotateWhoseOutcomeIsUnknown(t *testing.T) {
	ctx := t.Context()
	store := &faultyStore{Store: keyring.NewMemoryStore()}
	kr := create(t, config(store, keyringtest.NewKMS()))
	seal(t, kr, "")
	store.afterInsert.Store(&errDown)
	id, err := kr.Rotate(ctx, encryption, now)
	require.NoError(t, err)
	infos, err := kr.Keys(ctx, encryption)
	require.NoError(t, err)
	require.Len(t, infos, 2)
	require.Equal(t, id, infos[1].ID)
}

func TestColdStart(t *testing.T) {
	store, kms := &faultyStore{Store: keyring.NewMemoryStore()}, keyringtest.NewKMS()
	ct := seal(t, create(t, config(store, kms)), "")
	kr := open(t, config(store, kms))
	loads, unwraps := store.loads.Load(), kms.Unwraps()
	f := field(t, kr)
	var wg sync.WaitGroup
	var failed atomic.Int64
	start := make(chan struct{})
	for i := range 1000 {
		wg.Go(func() {
			<-start
			var err error
			if i%2 == 0 {
				_, err = f.Encrypt(t.Context(), nil, crypto.Binding{})
			} else {
				_, err = f.Decrypt(t.Context(), ct, crypto.Binding{})
			}
			if err != nil {
				failed.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	require.Zero(t, failed.Load())
	require.Equal(t, 1, kms.Unwraps()-unwraps, "KMS calls")
	require.LessOrEqual(t, store.loads.Load()-loads, int64(2), "store loads")
	t.Logf("1,000 goroutines, cold: %d KMS call, %d store loads", kms.Unwraps()-unwraps, store.loads.Load()-loads)
}

func TestFirstKeyRace(t *testing.T) {
	cfg := config(keyring.NewMemoryStore(), keyringtest.NewKMS())
	cfg.Scoped = true
	krs := []*keyring.Keyring{create(t, cfg), open(t, cfg)}
	var wg sync.WaitGroup
	cts := make([][]byte, 200)
	for i := range cts {
		wg.Go(func() {
			f, err := crypto.NewField(krs[i%2], "f", crypto.FieldConfig{})
			if err == nil {
				cts[i], _ = f.Encrypt(t.Context(), []byte("value"), crypto.Binding{Scope: "new"})
			}
		})
	}
	wg.Wait()
	for _, ct := range cts {
		require.NotNil(t, ct)
		require.Equal(t, cts[0][:5], ct[:5], "one key")
		require.NoError(t, tryOpen(krs[0], ct, "new"))
	}
}

// TestForgedKeyIDs floods a process with values under keys that do not exist.
func TestForgedKeyIDs(t *testing.T) {
	store, kms := &faultyStore{Store: keyring.NewMemoryStore()}, keyringtest.NewKMS()
	kr := create(t, config(store, kms))
	good := seal(t, kr, "")
	loads, unwraps := store.loads.Load(), kms.Unwraps()
	begin := time.Now()
	unknown, unavailable := 0, 0
	for i := range 100_000 {
		forged := append([]byte(nil), good...)
		forged[1], forged[2], forged[3], forged[4] = 0x80|byte(i>>24), byte(i>>16), byte(i>>8), byte(i)
		if string(forged[:5]) == string(good[:5]) {
			continue
		}
		err := tryOpen(kr, forged, "")
		var about *keyring.KeyError
		require.ErrorAs(t, err, &about)
		switch {
		case errors.Is(err, keyring.ErrUnknownKey):
			require.ErrorIs(t, err, crypto.ErrDecrypt)
			unknown++
		case errors.Is(err, keyring.ErrUnavailable):
			require.NotErrorIs(t, err, crypto.ErrDecrypt, "an id that was not looked for is not unknown")
			unavailable++
		default:
			t.Fatal(err)
		}
	}
	limit := 20 + 10*time.Since(begin).Seconds() + 1
	require.LessOrEqual(t, float64(store.loads.Load()-loads), limit)
	require.Equal(t, unwraps, kms.Unwraps())
	require.NoError(t, tryOpen(kr, good, ""), "good values are not disturbed")
	t.Logf("100,000 forged ids: %d store loads, 0 KMS calls, %d unknown, %d not looked for", store.loads.Load()-loads, unknown, unavailable)
}

func TestNewKeyIsFetchedOnce(t *testing.T) {
	store, kms := &faultyStore{Store: keyring.NewMemoryStore()}, keyringtest.NewKMS()
	one := create(t, config(store, kms))
	seal(t, one, "")
	two := open(t, config(store, kms))
	seal(t, two, "")
	_, err := one.Rotate(t.Context(), encryption, now)
	require.NoError(t, err)
	ct := seal(t, one, "")
	loads := store.loads.Load()
	for range 10 {
		require.NoError(t, tryOpen(two, ct, ""), "a key that is not in memory is fetched")
	}
	require.LessOrEqual(t, store.loads.Load()-loads, int64(1))
}

// TestStoreOutage checks the graces, and that a failed read never makes a key.
func TestStoreOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := &faultyStore{Store: keyring.NewMemoryStore()}
		kr, err := keyring.Create(ctx, config(store, keyringtest.NewKMS()))
		require.NoError(t, err)
		defer kr.Close()
		x, err := token.NewIndex(kr, "f", token.IndexConfig{})
		require.NoError(t, err)
		ct := seal(t, kr, "")
		_, err = x.Tag(ctx, []byte("v"), "")
		require.NoError(t, err)
		inserts := store.inserts.Load()

		store.fail(errDown)
		_, err = keyring.Open(ctx, config(store, keyringtest.NewKMS()))
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.NotErrorIs(t, err, keyring.ErrNotFound)
		_, err = keyring.OpenOrCreate(ctx, config(store, keyringtest.NewKMS()))
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorIs(t, kr.Refresh(ctx), keyring.ErrUnavailable)
		_, err = kr.Rotate(ctx, encryption, now)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		_, err = kr.Keys(ctx, encryption)
		require.ErrorIs(t, err, keyring.ErrUnavailable)

		time.Sleep(59 * time.Minute)
		require.NoError(t, trySeal(kr, ""), "within EncryptGrace")
		_, err = x.Match(ctx, []byte("v"), "")
		require.ErrorIs(t, err, keyring.ErrUnavailable, "a search could miss rows after PropagationDelay")
		time.Sleep(3 * time.Minute)
		require.ErrorIs(t, trySeal(kr, ""), keyring.ErrStale)
		require.NotErrorIs(t, tryOpen(kr, ct, ""), keyring.ErrStale)
		time.Sleep(22 * time.Hour)
		require.NoError(t, tryOpen(kr, ct, ""), "within DecryptGrace")
		time.Sleep(2 * time.Hour)
		err = tryOpen(kr, ct, "")
		require.ErrorIs(t, err, keyring.ErrStale)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)

		store.heal()
		time.Sleep(time.Minute)
		require.NoError(t, tryOpen(kr, ct, ""))
		require.NoError(t, trySeal(kr, ""))
		require.Equal(t, inserts+0, store.inserts.Load(), "no key was made during the outage")
		tags, err := x.Match(ctx, []byte("v"), "")
		require.NoError(t, err)
		require.Len(t, tags, 1)
	})
}

func TestHostileKMS(t *testing.T) {
	ctx := t.Context()
	for name, answer := range map[string][]byte{
		"empty": {}, "short": make([]byte, 31), "long": make([]byte, 33), "another key": make([]byte, 32),
	} {
		t.Run("unwrap "+name, func(t *testing.T) {
			store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
			ct := seal(t, create(t, config(store, kms)), "")
			kr := open(t, config(store, kms))
			kms.SetHook(func(context.Context, string) ([]byte, error) { return append([]byte{}, answer...), nil })
			for _, err := range []error{trySeal(kr, ""), tryOpen(kr, ct, "")} {
				require.ErrorIs(t, err, keyring.ErrTampered)
				require.ErrorContains(t, errors.Unwrap(err), "")
				var about *keyring.KeyError
				require.ErrorAs(t, err, &about)
			}
			kms.SetHook(nil)
			require.NoError(t, tryOpen(kr, ct, ""), "a wrong answer is not remembered")
		})
	}
	t.Run("wrap returns the key itself", func(t *testing.T) {
		kms := &echoKMS{keyringtest.NewKMS()}
		_, err := keyring.Create(ctx, config(keyring.NewMemoryStore(), kms))
		require.ErrorIs(t, err, keyring.ErrTampered)
	})
	t.Run("denied", func(t *testing.T) {
		store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
		ct := seal(t, create(t, config(store, kms)), "")
		kr := open(t, config(store, kms))
		kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrDenied })
		err := tryOpen(kr, ct, "")
		require.ErrorIs(t, err, keyring.ErrDenied)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)
		require.ErrorContains(t, err, kms.URI())
		kms.SetHook(nil)
		require.NoError(t, tryOpen(kr, ct, ""))
	})
	t.Run("another KMS", func(t *testing.T) {
		store := keyring.NewMemoryStore()
		ct := seal(t, create(t, config(store, keyringtest.NewKMS())), "")
		err := tryOpen(open(t, config(store, keyringtest.NewKMS())), ct, "")
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorIs(t, err, keyring.ErrNoKMS)
	})
}

type echoKMS struct{ *keyringtest.KMS }

func (*echoKMS) Wrap(_ context.Context, key []byte, _ keyring.EncryptionContext) ([]byte, error) {
	return append([]byte("wrapped:"), key...), nil
}

func TestSilentKMS(t *testing.T) {
	store, kms, second := keyring.NewMemoryStore(), keyringtest.NewKMS(), keyringtest.NewKMS()
	ct := seal(t, create(t, config(store, kms, second)), "")
	warm := open(t, config(store, kms))
	require.NoError(t, tryOpen(warm, ct, ""))
	release := make(chan struct{})
	kms.SetHook(func(context.Context, string) ([]byte, error) { <-release; return nil, errors.New("late") }) // ignores ctx
	defer close(release)

	cfg := config(store, kms)
	cfg.Timeout = 50 * time.Millisecond
	cold := open(t, cfg)
	begin := time.Now()
	err := tryOpen(cold, ct, "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
	require.Less(t, time.Since(begin), 5*time.Second, "it hung")
	require.NoError(t, tryOpen(warm, ct, ""), "a warm key needs no KMS")

	// With a second KMS the first may be silent.
	cfg.KMS = []keyring.KMS{kms, second}
	require.NoError(t, tryOpen(open(t, cfg), ct, ""))

	// A caller that gives up does not disturb the others.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := field(t, open(t, cfg))
	_, err = f.Decrypt(ctx, ct, crypto.Binding{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
	_, err = f.Decrypt(t.Context(), ct, crypto.Binding{})
	require.NoError(t, err)
}

func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		kr, err := keyring.Create(t.Context(), config(keyring.NewMemoryStore(), keyringtest.NewKMS()))
		require.NoError(t, err)
		seal(t, kr, "")
		require.NoError(t, kr.Close())
	}
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// TestReadersAreNotDisturbed reads and writes while keys rotate, refresh and at
// last close, for the race detector.
func TestReadersAreNotDisturbed(t *testing.T) {
	cfg := config(keyring.NewMemoryStore(), keyringtest.NewKMS())
	cfg.Scoped = true
	kr := create(t, cfg)
	f := field(t, kr)
	var stop atomic.Bool
	var wg sync.WaitGroup
	var done atomic.Int64
	errs := make(chan error, 8)
	for i := range 8 {
		wg.Go(func() {
			at := crypto.Binding{Scope: fmt.Sprint("s", i%3)}
			for !stop.Load() {
				ct, err := f.Encrypt(context.Background(), []byte("v"), at)
				if err == nil {
					_, err = f.Decrypt(context.Background(), ct, at)
				}
				if err != nil {
					if !errors.Is(err, keyring.ErrClosed) {
						errs <- err
					}
					return
				}
				done.Add(1)
			}
		})
	}
	for range 20 {
		for s := range 3 {
			_, err := kr.Rotate(t.Context(), keyring.Target{Scope: fmt.Sprint("s", s), Purpose: keyring.Encryption}, now)
			require.NoError(t, err)
		}
		require.NoError(t, kr.Refresh(t.Context()))
	}
	for done.Load() == 0 && len(errs) == 0 {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, kr.Close())
	stop.Store(true)
	wg.Wait()
	require.Empty(t, errs)
}

package keyring_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func TestCreateAndOpen(t *testing.T) {
	f := newFixture()
	_, err := keyring.Open(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrNotFound)
	roots, _ := f.store.Snapshot()
	require.Empty(t, roots, "Open must not make anything")

	kr := f.create(t)
	require.Equal(t, "test", kr.Name())
	require.False(t, kr.Scoped())
	require.Equal(t, []int{4, 4}, []int{f.kms.Wraps(), f.kms.Unwraps()}, "one root per purpose, each proven")
	_, err = keyring.Create(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrExists)
	other := f.cfg
	other.Scoped = true
	_, err = keyring.Create(t.Context(), other)
	require.ErrorIs(t, err, keyring.ErrExists, "other settings or not")
	require.Equal(t, 4, f.kms.Wraps(), "a keyring that exists costs no call to wrap")

	id := use(kr, keyring.Encryption).mustEncrypt(t, "")
	require.Equal(t, 4, f.kms.Unwraps(), "who made the roots has them")
	second := f.open(t)
	require.Equal(t, 4, f.kms.Unwraps(), "Open calls no KMS")
	require.NoError(t, use(second, keyring.Encryption).decrypt("", id))
	require.Equal(t, 5, f.kms.Unwraps())
	require.Equal(t, "keyring test", fmt.Sprint(kr))
}

func TestCreateNeedsEveryKMS(t *testing.T) {
	f := newFixture()
	second := keyringtest.NewKMS()
	f.cfg.KMS = append(f.cfg.KMS, second)
	second.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrDenied })
	_, err := keyring.Create(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrDenied)
	_, err = keyring.Open(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrNotFound, "a failed Create leaves nothing")
	for name, answer := range map[string][]byte{"empty": {}, "short": make([]byte, 32)} {
		second.SetHook(func(context.Context, string) ([]byte, error) { return answer, nil })
		_, err = keyring.Create(t.Context(), f.cfg)
		require.ErrorIs(t, err, keyring.ErrTampered, name)
	}

	// Any one of them opens.
	second.SetHook(nil)
	id := use(f.create(t), keyring.Encryption).mustEncrypt(t, "")
	for i, k := range []*keyringtest.KMS{f.kms, second} {
		k.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrUnavailable })
		require.NoError(t, use(f.open(t), keyring.Encryption).decrypt("", id), "without KMS %d", i)
		k.SetHook(nil)
	}
	alone := f.cfg
	alone.KMS = []keyring.KMS{keyringtest.NewKMS()}
	kr, err := keyring.Open(t.Context(), alone)
	require.NoError(t, err)
	defer kr.Close()
	err = use(kr, keyring.Encryption).decrypt("", id)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.ErrorIs(t, err, keyring.ErrNoKMS)
	for _, k := range append(f.cfg.KMS, alone.KMS...) {
		require.ErrorContains(t, err, k.URI())
	}
}

func TestOpenOrCreateMakesOneKeyring(t *testing.T) {
	for name, store := range map[string]keyring.Store{
		"memory": keyring.NewMemoryStore(), "file": keyring.NewFileStore(t.TempDir() + "/keys"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := keyring.Config{Name: "test", Store: store, KMS: []keyring.KMS{keyringtest.NewKMS()}}
			ids, errs := make([]keyring.KeyID, 32), make([]error, 32)
			race(32, func(i int) {
				kr, err := keyring.OpenOrCreate(t.Context(), cfg)
				if err == nil {
					defer kr.Close()
					ids[i], err = use(kr, keyring.Encryption).encrypt("")
				}
				errs[i] = err
			})
			for i := range errs {
				require.NoError(t, errs[i])
				require.Equal(t, ids[0], ids[i])
			}
			l, err := store.Load(t.Context(), "test", nil)
			require.NoError(t, err)
			require.Len(t, l.Roots, 4)
		})
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		f := newFixture()
		kr := f.create(t)
		k := use(kr, keyring.Encryption)
		id := k.mustEncrypt(t, "")
		_, err := kr.Rotate(t.Context(), encryption, keyring.RotateOptions{})
		require.NoError(t, err)
		secrets := keyring.Secrets(kr)
		require.Len(t, secrets, 2)
		for _, s := range secrets {
			require.Len(t, s, 32)
			require.NotEqual(t, make([]byte, 32), s)
		}
		require.NoError(t, kr.Close())
		require.NoError(t, kr.Close())
		for _, s := range secrets {
			require.Equal(t, make([]byte, 32), s, "Close wipes")
		}
		loads := f.store.Loads.Load()
		for name, call := range map[string]func() error{
			"Active":   func() error { _, err := k.encrypt(""); return err },
			"ByID":     func() error { return k.decrypt("", id) },
			"Live":     func() error { _, err := k.Live(t.Context(), ""); return err },
			"Each":     func() error { return k.Each(t.Context(), "", func(*keyring.Material) error { return nil }) },
			"ActiveID": func() error { _, err := k.ActiveID(t.Context(), ""); return err },
			"Keys":     func() error { _, err := kr.Keys(t.Context(), encryption); return err },
			"Rotate":   func() error { _, err := kr.Rotate(t.Context(), encryption, keyring.RotateOptions{}); return err },
			"Refresh":  func() error { return kr.Refresh(t.Context()) },
		} {
			require.ErrorIs(t, call(), keyring.ErrClosed, name)
		}
		time.Sleep(time.Hour)
		require.Equal(t, loads, f.store.Loads.Load(), "nothing goes on after Close")
	})
}

// TestCloseEndsCalls closes a keyring while calls hang in the store and the KMS.
func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		kr := f.create(t)
		id := use(kr, keyring.Encryption).mustEncrypt(t, "")
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		for name, breakIt := range map[string]func(){
			"store": func() {
				f.store.SetAround(func(ctx context.Context, _ string, _ func() error) error { return hang(ctx) })
			},
			"KMS": func() { f.kms.SetHook(func(ctx context.Context, _ string) ([]byte, error) { return nil, hang(ctx) }) },
		} {
			other := f.open(t)
			k := use(other, keyring.Encryption)
			breakIt()
			errs := make(chan error, 3)
			go func() { errs <- k.decrypt("", id) }()
			go func() { _, err := k.encrypt(""); errs <- err }()
			go func() { _, err := other.Keys(background, encryption); errs <- err }()
			synctest.Wait()
			begun := time.Now()
			require.NoError(t, other.Close())
			for range 3 {
				require.ErrorIs(t, <-errs, keyring.ErrClosed, name)
			}
			require.Zero(t, time.Since(begun), name)
			f.kms.SetHook(nil)
			f.store.SetAround(nil)
		}
	})
}

func TestConfigRefused(t *testing.T) {
	k := keyringtest.NewKMS()
	for name, change := range map[string]func(*keyring.Config){
		"Config.Name":                         func(c *keyring.Config) { c.Name = "" },
		`Config.Name "A"`:                     func(c *keyring.Config) { c.Name = "A" },
		`Config.Name ".a"`:                    func(c *keyring.Config) { c.Name = ".a" },
		`Config.Name "a/b"`:                   func(c *keyring.Config) { c.Name = "a/b" },
		`Config.Name "a\n"`:                   func(c *keyring.Config) { c.Name = "a\n" },
		"Config.Name \"aaaa":                  func(c *keyring.Config) { c.Name = strings.Repeat("a", 64) },
		"Config.Store is required":            func(c *keyring.Config) { c.Store = nil },
		"at least one KMS":                    func(c *keyring.Config) { c.KMS = nil },
		"holds nil":                           func(c *keyring.Config) { c.KMS = []keyring.KMS{k, nil} },
		"twice":                               func(c *keyring.Config) { c.KMS = []keyring.KMS{k, k} },
		"without a URI":                       func(c *keyring.Config) { c.KMS = []keyring.KMS{&keyringtest.KMS{}} },
		"Config.Algorithm":                    func(c *keyring.Config) { c.Algorithm = "AES-128-GCM" },
		"Config.PropagationDelay of -1":       func(c *keyring.Config) { c.PropagationDelay = -1 },
		"Config.PropagationDelay of 1ns":      func(c *keyring.Config) { c.PropagationDelay = 1 },
		"Config.EncryptGrace":                 func(c *keyring.Config) { c.EncryptGrace = time.Hour + 1 },
		"Config.DecryptGrace":                 func(c *keyring.Config) { c.DecryptGrace = -time.Hour },
		"Config.RefreshEvery of -":            func(c *keyring.Config) { c.RefreshEvery = -minute },
		"Config.Timeout":                      func(c *keyring.Config) { c.Timeout = -minute },
		"Config.RefreshEvery of 5m0.000001s":  func(c *keyring.Config) { c.RefreshEvery = 5*minute + time.Microsecond },
		"Config.RefreshEvery of 1m0s is more": func(c *keyring.Config) { c.RefreshEvery, c.PropagationDelay = minute, minute },
	} {
		f := newFixture()
		change(&f.cfg)
		for what, open := range map[string]func(context.Context, keyring.Config) (*keyring.Keyring, error){
			"Create": keyring.Create, "OpenOrCreate": keyring.OpenOrCreate,
		} {
			kr, err := open(t.Context(), f.cfg)
			require.ErrorContains(t, err, name, what)
			require.Nil(t, kr)
		}
		roots, _ := f.store.Snapshot()
		require.Empty(t, roots, name)
		require.Zero(t, f.kms.Wraps(), name)
	}
	f := newFixture()
	f.cfg.Name, f.cfg.RefreshEvery = strings.Repeat("a", 63), 5*minute
	f.create(t)
}

func TestOpenRefusesAnotherConfig(t *testing.T) {
	f := newFixture()
	f.cfg.Scoped, f.cfg.PropagationDelay, f.cfg.EncryptGrace, f.cfg.DecryptGrace = true, 20*minute, 2*time.Hour, 3*time.Hour
	f.create(t)
	for field, change := range map[string]func(*keyring.Config){
		"Config.Scoped is false, the keyring was created with true":              func(c *keyring.Config) { c.Scoped = false },
		"Config.PropagationDelay is 10m0s, the keyring was created with 20m0s":   func(c *keyring.Config) { c.PropagationDelay = 10 * minute },
		"Config.EncryptGrace is 1h0m0s, the keyring was created with 2h0m0s":     func(c *keyring.Config) { c.EncryptGrace = time.Hour },
		"Config.DecryptGrace is 24h0m0s, the keyring was created with 3h0m0s":    func(c *keyring.Config) { c.DecryptGrace = 24 * time.Hour },
		"Config.RefreshEvery of 11m0s is more than half of the PropagationDelay": func(c *keyring.Config) { c.RefreshEvery = 11 * minute },
	} {
		cfg := f.cfg
		cfg.PropagationDelay, cfg.EncryptGrace, cfg.DecryptGrace = 0, 0, 0
		change(&cfg)
		for _, open := range []func(context.Context, keyring.Config) (*keyring.Keyring, error){keyring.Open, keyring.OpenOrCreate} {
			_, err := open(t.Context(), cfg)
			require.ErrorContains(t, err, field)
		}
	}
	cfg := f.cfg
	cfg.PropagationDelay, cfg.EncryptGrace, cfg.DecryptGrace, cfg.RefreshEvery = 0, 0, 0, 10*minute
	kr, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err, "zero agrees with what is stored")
	require.True(t, kr.Scoped())
	require.NoError(t, kr.Close())
}

// TestSettingsEditedInTheStore edits what Open believes at first.
func TestSettingsEditedInTheStore(t *testing.T) {
	for name, edit := range map[string]func(*keyring.Settings){
		"PropagationDelay": func(s *keyring.Settings) { s.PropagationDelay = 2 * minute },
		"EncryptGrace":     func(s *keyring.Settings) { s.EncryptGrace = 1000 * time.Hour },
		"DecryptGrace":     func(s *keyring.Settings) { s.DecryptGrace = 1000 * time.Hour },
		"Scoped":           func(s *keyring.Settings) { s.Scoped = true },
	} {
		f := newFixture()
		warm := f.create(t)
		id := use(warm, keyring.Encryption).mustEncrypt(t, "")
		editRoots := func(n int) {
			f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) {
				for i := range (*roots)[:n] {
					edit(&(*roots)[i].Settings)
				}
			})
		}
		editRoots(1)
		cfg := f.cfg
		cfg.Scoped = name == "Scoped"
		_, err := keyring.Open(t.Context(), cfg)
		require.Error(t, err, name)
		var about *keyring.KeyError
		if name != "Scoped" {
			require.ErrorIs(t, err, keyring.ErrTampered, name)
			require.ErrorAs(t, err, &about)
		}

		f.store.Edit(func(roots *[]keyring.Root, _ *[]keyring.Key) {
			for i := range *roots {
				(*roots)[i].Settings = (*roots)[0].Settings
			}
		})
		kr, err := keyring.Open(t.Context(), cfg)
		require.NoError(t, err, "consistent settings are proven at the first use")
		defer kr.Close()
		scope := ""
		if cfg.Scoped {
			scope = "t"
		}
		k := use(kr, keyring.Encryption)
		_, err = k.encrypt(scope)
		require.ErrorIs(t, err, keyring.ErrTampered, name)
		require.ErrorAs(t, err, &about)
		if !cfg.Scoped {
			require.ErrorIs(t, k.decrypt(scope, id), keyring.ErrTampered, name)
		}
		_, rows := f.store.Snapshot()
		require.Len(t, rows, 1, "and no key is made")

		require.ErrorIs(t, warm.Refresh(t.Context()), keyring.ErrTampered, name)
		require.NoError(t, use(warm, keyring.Encryption).decrypt("", id))
	}
}

func TestScopesRefused(t *testing.T) {
	f := newFixture()
	unscoped := f.create(t)
	f.cfg.Name, f.cfg.Scoped = "scoped", true
	scoped := f.create(t)
	for _, c := range []struct {
		kr    *keyring.Keyring
		scope string
	}{
		{unscoped, "t"}, {unscoped, "\x00"}, {scoped, ""}, {scoped, "\xff"}, {scoped, "a\x00b"}, {scoped, "\xed\xa0\x80"},
	} {
		k := use(c.kr, keyring.Encryption)
		target := keyring.Target{Scope: c.scope, Purpose: keyring.Encryption}
		_, err := k.encrypt(c.scope)
		require.ErrorIs(t, err, keyring.ErrScope, "%q", c.scope)
		require.ErrorIs(t, k.decrypt(c.scope, 0x80000001), keyring.ErrScope, "%q", c.scope)
		_, err = k.Live(t.Context(), c.scope)
		require.ErrorIs(t, err, keyring.ErrScope, "%q", c.scope)
		_, err = c.kr.Rotate(t.Context(), target, keyring.RotateOptions{})
		require.ErrorIs(t, err, keyring.ErrScope, "%q", c.scope)
		_, err = c.kr.Keys(t.Context(), target)
		require.ErrorIs(t, err, keyring.ErrScope, "%q", c.scope)
	}
	_, err := scoped.Rotate(t.Context(), keyring.Target{Scope: "t", Purpose: "signing"}, keyring.RotateOptions{})
	require.ErrorContains(t, err, `no such purpose: "signing"`)
	_, rows := f.store.Snapshot()
	require.Empty(t, rows)

	for _, scope := range []string{"t", " t", "T", "\ufffd", strings.Repeat("x", 300), "'; drop table"} {
		use(scoped, keyring.Encryption).mustEncrypt(t, scope)
	}
	_, rows = f.store.Snapshot()
	require.Len(t, rows, 6)
}

// TestStoreWithoutTime has a store that tells no time: an error, never a
// keyring that loads nothing.
func TestStoreWithoutTime(t *testing.T) {
	f := newFixture()
	f.create(t)
	var broken atomic.Bool
	change := func(l *keyring.Loaded) {
		if broken.Load() {
			l.Now = time.Time{}
		}
	}
	f.store.Change.Store(&change)
	kr := f.open(t)
	broken.Store(true)
	require.ErrorIs(t, kr.Refresh(t.Context()), keyring.ErrUnavailable)
	_, err := use(kr, keyring.Encryption).encrypt("")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	_, err = keyring.Open(t.Context(), f.cfg)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
}

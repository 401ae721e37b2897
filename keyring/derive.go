package keyring

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/internal/secret"
)

// maxCache bounds what the keys derived from a keyring's DEKs may cache, in
// bytes.
const maxCache = 64 << 20

// Material is a DEK as seen by the packages of this module that derive keys
// from it, and holds all that they derived. It outlives snapshots, so that a
// refresh costs no derivation and no cache.
type Material struct {
	kr  *Keyring
	key Key // the row, for its names

	derived atomic.Pointer[[]any] // by slot of the Derivation

	mu     sync.Mutex // guards what follows
	secret secret.Bytes
	cached int64
	closed bool
}

// errGone says that the material was wiped between its lookup and its use:
// the lookup has to be repeated.
var errGone = errors.New("keyring: key evicted")

// ID returns the id of the DEK.
func (m *Material) ID() KeyID { return m.key.ID }

// Version returns the version of the DEK, 1 for the first of its target.
func (m *Material) Version() int { return m.key.Version }

// Algorithm returns the algorithm of an Encryption key, else "".
func (m *Material) Algorithm() Algorithm { return m.key.Algorithm }

// Derive returns HKDF-SHA256(DEK, no salt, pae("sealfield/v1", algorithm,
// keyring, scope, name, detail...)) of the given length in bytes. The caller
// owns it and wipes it. It may be called from a Derivation's build only.
func (m *Material) Derive(algorithm, name string, length int, detail ...string) ([]byte, error) {
	info := append([]string{"sealfield/v1", algorithm, m.key.Keyring, m.key.Scope, name}, detail...)
	return hkdf.Key(sha256.New, m.secret.Expose(), nil, string(pae.Encode(info...)), length)
}

// Reserve asks for n bytes of the keyring's cache budget, or gives back -n. What
// is not given back goes with the DEK. It is safe for concurrent use.
func (m *Material) Reserve(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	if m.kr.cached.Add(n) > maxCache {
		m.kr.cached.Add(-n)
		return false
	}
	m.cached += n
	return true
}

// close wipes the DEK. Keys that were derived from it and are in use go on to
// work; the garbage collector takes them.
func (m *Material) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.secret.Wipe()
		m.derived.Store(nil)
		m.kr.cached.Add(-m.cached)
	}
}

// Derivation is how the packages crypto, token and mask turn a keyring's DEKs
// into keys of their own. Only this module can make one. It is safe for
// concurrent use.
type Derivation[T any] struct {
	kr      *Keyring
	purpose Purpose
	stale   *atomic.Uint32         // the keyring's, of the purpose
	only    *atomic.Pointer[entry] // of a keyring that is not scoped, else nil
	short   *shortcuts[T]
	slot    int
	build   func(*Material, *T) error
}

// NewDerivation returns the derivation with that label; two with one label
// must have equal T and build. build fills a zero T, which may not be copied
// afterwards; it runs at most once per DEK in memory.
func NewDerivation[T any](_ derive.Access, kr *Keyring, purpose Purpose, label string, build func(*Material, *T) error) *Derivation[T] {
	d := &Derivation[T]{kr: kr, purpose: purpose, stale: &kr.staleness[purpose.index()], build: build}
	d.slot, d.short = slotOf[T](kr, string(purpose)+"\x00"+label)
	if !kr.settings.Scoped {
		d.only = &kr.only[purpose.index()]
	}
	return d
}

// entry is Keyring.entry with the first steps done.
func (d *Derivation[T]) entry(scope string) *entry {
	switch {
	case d.only == nil:
		return d.kr.scopes[d.purpose.index()].get(scope)
	case scope == "":
		return d.only.Load()
	}
	return nil
}

// shortcut returns what was derived from the scope's active key, if that can be
// said without a look at its snapshot.
func (d *Derivation[T]) shortcut(scope string) *derived[T] {
	if v := d.short.get(scope); v != nil && d.kr.clock.Load() < v.until.Load() {
		return v
	}
	return nil
}

// Active returns what was derived from the key that encrypts now. The first
// call of a scope makes its first key.
func (d *Derivation[T]) Active(ctx context.Context, scope string) (*T, error) {
	if d.stale.Load() == fresh {
		if v := d.shortcut(scope); v != nil {
			return &v.value, nil
		}
		if e := d.entry(scope); e != nil {
			s := e.keys.Load()
			if s.active != nil && d.kr.clock.Load() < s.until {
				if v := d.load(e, s, s.active.material); v != nil {
					return v, nil
				}
			}
		}
	}
	return d.retry(func() (*dek, error) { return d.kr.activeKey(ctx, Target{scope, d.purpose}) })
}

// ByID returns what was derived from the key with that id, or an error that
// wraps a *KeyError if there is none or it may not be used.
func (d *Derivation[T]) ByID(ctx context.Context, scope string, id KeyID) (*T, error) {
	if d.stale.Load() < decryptStale {
		if v := d.shortcut(scope); v != nil && v.id == id {
			return &v.value, nil
		}
		if e := d.entry(scope); e != nil {
			s := e.keys.Load()
			if k := s.find(id); k != nil && k.material != nil && s.erased == nil {
				if v := d.load(e, s, k.material); v != nil {
					return v, nil
				}
			}
		}
	}
	return d.retry(func() (*dek, error) { return d.kr.keyByID(ctx, Target{scope, d.purpose}, id) })
}

// Version returns what was derived from the key of that version, whatever newer
// ones there are, for values that do not say which key they are under. With
// write, a key that is pending, compromised or in doubt is refused as well, and
// the first key of a scope is made; a retired one is not refused.
func (d *Derivation[T]) Version(ctx context.Context, scope string, version int, write bool) (*T, error) {
	if e := d.entry(scope); e != nil && d.stale.Load() < staleLimit(write) {
		s := e.keys.Load()
		if k := s.version(version); k != nil && k.material != nil && s.erased == nil && (!write || s.unwritable(k, d.kr.clock.Load()) == nil) {
			if v := d.load(e, s, k.material); v != nil {
				return v, nil
			}
		}
	}
	return d.retry(func() (*dek, error) { return d.kr.keyByVersion(ctx, Target{scope, d.purpose}, version, write) })
}

// Live returns what was derived from each key that is not destroyed, pending
// ones included, by ascending version; none if the scope has no key. If one of
// them may not be used, or the keys are so old that another process could use one
// that is not among them, and can not be refreshed, it fails.
func (d *Derivation[T]) Live(ctx context.Context, scope string) ([]*T, error) {
	for {
		keys, err := d.kr.liveKeys(ctx, Target{scope, d.purpose})
		if err != nil {
			return nil, err
		}
		all := make([]*T, len(keys))
		for i, k := range keys {
			if all[i], err = d.derive(k.material); err != nil {
				break
			}
		}
		if !errors.Is(err, errGone) {
			return all, err
		}
	}
}

// Each calls f with each key that Live is about.
func (d *Derivation[T]) Each(ctx context.Context, scope string, f func(*Material) error) error {
	keys, err := d.kr.liveKeys(ctx, Target{scope, d.purpose})
	for _, k := range keys {
		if err == nil {
			err = k.material.locked(f)
		}
	}
	return err
}

func (m *Material) locked(f func(*Material) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("%w: %w", ErrUnavailable, errGone)
	}
	return f(m)
}

// ActiveID returns the id of the key that Active would use, zero if the scope
// has none yet, and makes none.
func (d *Derivation[T]) ActiveID(ctx context.Context, scope string) (KeyID, error) {
	return d.kr.activeID(ctx, Target{scope, d.purpose})
}

func (d *Derivation[T]) retry(lookup func() (*dek, error)) (*T, error) {
	for {
		k, err := lookup()
		if err != nil {
			return nil, err
		}
		v, err := d.derive(k.material)
		if !errors.Is(err, errGone) {
			return v, err
		}
	}
}

// load returns what was derived already, or nil, and sees to it that the
// scope's active key is found by a shortcut the next time.
func (d *Derivation[T]) load(e *entry, s *snapshot, m *Material) *T {
	v := d.derived(m)
	if v == nil {
		return nil
	}
	if s.active != nil && s.active.material == m {
		shorten(e, m, v)
	}
	return &v.value
}

func (d *Derivation[T]) derived(m *Material) *derived[T] {
	if slots := m.derived.Load(); slots != nil && d.slot < len(*slots) {
		v, _ := (*slots)[d.slot].(*derived[T])
		return v
	}
	return nil
}

func (d *Derivation[T]) derive(m *Material) (*T, error) {
	if v := d.derived(m); v != nil {
		return &v.value, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errGone
	}
	if v := d.derived(m); v != nil {
		return &v.value, nil
	}
	v := &derived[T]{id: m.key.ID, hash: maphash.String(scopeSeed, m.key.Scope), scope: m.key.Scope, table: d.short}
	if err := d.build(m, &v.value); err != nil {
		return nil, err
	}
	var slots []any
	if old := m.derived.Load(); old != nil {
		slots = append(slots, *old...)
	}
	for len(slots) <= d.slot {
		slots = append(slots, nil)
	}
	slots[d.slot] = v
	m.derived.Store(&slots)
	return &v.value, nil
}

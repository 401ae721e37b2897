package keyring

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// TableStore is the memory store with doors for tests: a clock that may differ
// from the process's, hooks, counters, and rows that can be edited. It can not
// be watched.
type TableStore struct {
	Skew time.Duration // of its clock; set before use

	// Around is called for each operation with its name, and calls do, or
	// not. Change is given what Load returns.
	Around atomic.Pointer[func(ctx context.Context, operation string, do func() error) error]
	Change atomic.Pointer[func(*Loaded)]

	Loads, Inserts atomic.Int64

	mu    sync.Mutex
	table table
}

// SetSkew changes Skew in use.
func (s *TableStore) SetSkew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Skew = d
}

// SetAround installs a hook; nil removes it.
func (s *TableStore) SetAround(f func(ctx context.Context, operation string, do func() error) error) {
	if f == nil {
		s.Around.Store(nil)
	} else {
		s.Around.Store(&f)
	}
}

// Fail makes every operation fail with err; nil ends that.
func (s *TableStore) Fail(err error) {
	if err == nil {
		s.SetAround(nil)
	} else {
		s.SetAround(func(context.Context, string, func() error) error { return err })
	}
}

// Edit gives f the rows themselves.
func (s *TableStore) Edit(f func(roots *[]Root, keys *[]Key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.table.Roots, &s.table.Keys)
}

// Snapshot returns a copy of all rows, and Restore puts it back.
func (s *TableStore) Snapshot() (roots []Root, keys []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.table.Roots {
		roots = append(roots, cloneRoot(r))
	}
	for _, k := range s.table.Keys {
		keys = append(keys, cloneKey(k))
	}
	return roots, keys
}

func (s *TableStore) Restore(roots []Root, keys []Key) {
	s.Edit(func(r *[]Root, k *[]Key) {
		*r, *k = nil, nil
		for _, row := range roots {
			*r = append(*r, cloneRoot(row))
		}
		for _, row := range keys {
			*k = append(*k, cloneKey(row))
		}
	})
}

func (s *TableStore) do(ctx context.Context, operation string, f func(t *table, now time.Time) error) error {
	do := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(&s.table, time.Now().Add(s.Skew))
	}
	if around := s.Around.Load(); around != nil {
		return (*around)(ctx, operation, do)
	}
	return do()
}

func (s *TableStore) Load(ctx context.Context, keyring string, targets []Target) (l Loaded, err error) {
	s.Loads.Add(1)
	err = s.do(ctx, "load", func(t *table, now time.Time) (err error) {
		l, err = t.load(keyring, targets, now)
		return err
	})
	if change := s.Change.Load(); change != nil && err == nil {
		(*change)(&l)
	}
	return l, err
}

func (s *TableStore) Create(ctx context.Context, roots []Root) error {
	return s.do(ctx, "create", func(t *table, _ time.Time) error { return t.create(roots) })
}

func (s *TableStore) InsertRoot(ctx context.Context, root Root) error {
	return s.do(ctx, "insert root", func(t *table, _ time.Time) error { return t.insertRoot(root) })
}

func (s *TableStore) UpdateRoot(ctx context.Context, root Root) error {
	return s.do(ctx, "update root", func(t *table, _ time.Time) error { return t.updateRoot(root) })
}

func (s *TableStore) InsertKey(ctx context.Context, key Key) error {
	s.Inserts.Add(1)
	return s.do(ctx, "insert", func(t *table, now time.Time) error { return t.insert(key, now) })
}

func (s *TableStore) UpdateKeys(ctx context.Context, keys []Key) error {
	return s.do(ctx, "update", func(t *table, _ time.Time) error { return t.update(keys) })
}

func (s *TableStore) LoadUnder(ctx context.Context, root Root, after KeyID, limit int) (keys []Key, err error) {
	err = s.do(ctx, "load under", func(t *table, _ time.Time) error {
		keys = t.under(root, after, limit)
		return nil
	})
	return keys, err
}

func (s *TableStore) EraseScope(ctx context.Context, keyring, scope string) error {
	return s.do(ctx, "erase", func(t *table, _ time.Time) error { t.erase(keyring, scope); return nil })
}

// SetState writes a key's row anew in another state, as an administrator's
// process does it.
func SetState(ctx context.Context, kr *Keyring, t Target, id KeyID, state KeyState) error {
	loaded, err := kr.store.Load(ctx, kr.name, []Target{t})
	if err != nil {
		return err
	}
	row := loaded.Keys[slices.IndexFunc(loaded.Keys, func(k Key) bool { return k.ID == id })]
	rk, err := kr.rootKey(ctx, row.Root, kr.mono())
	if err != nil {
		return err
	}
	dek, err := rk.unwrap(&row)
	if err != nil {
		return err
	}
	if row.State = state; state == KeyDestroyed {
		dek = kr.newTombstone("a test")
	}
	rk.wrapNext(&row, dek)
	return kr.store.UpdateKeys(ctx, []Key{row})
}

// Forge writes row, wrapped by the root of another purpose, with a DEK of the
// forger's choice: what a process that holds only that root could do.
func Forge(ctx context.Context, kr *Keyring, row Key, by Purpose, dek []byte) (Key, error) {
	r, _ := kr.roots.newest(by)
	rk, err := kr.rootKey(ctx, r.row.ID, kr.mono())
	if err != nil {
		return Key{}, err
	}
	rk.wrap(&row, dek)
	return row, nil
}

// Secrets returns the DEKs in memory: the bytes themselves, not copies.
func Secrets(kr *Keyring) (secrets [][]byte) {
	for _, e := range kr.entries() {
		for _, k := range e.keys.Load().keys {
			if k.material != nil {
				k.material.mu.Lock()
				secrets = append(secrets, k.material.secret.Expose())
				k.material.mu.Unlock()
			}
		}
	}
	return secrets
}

// DEK returns a copy of a DEK, unwrapped from the store.
func DEK(ctx context.Context, kr *Keyring, row Key) ([]byte, error) {
	rk, err := kr.rootKey(ctx, row.Root, kr.mono())
	if err != nil {
		return nil, err
	}
	return rk.unwrap(&row)
}

// Evict does what the coming of another scope does to this keyring's scopes.
func Evict(kr *Keyring, p Purpose) {
	m := &kr.scopes[p.index()]
	m.mu.Lock()
	var e *entry
	if m.n > 0 {
		e = m.evict()
	}
	m.mu.Unlock()
	if e != nil {
		e.close()
	}
}

// LimitScopes makes n the number of scopes that kr keeps in memory, per purpose. It
// must be called before kr is used.
func LimitScopes(kr *Keyring, n int) { kr.scopeLimit = n }

// MergeAfterEviction merges a load into an entry that is evicted, and its keys
// wiped, at each moment at which that can happen: before the merge takes the
// entry's lock, and before it publishes it. It panics if the entry comes back.
func MergeAfterEviction(ctx context.Context, kr *Keyring, t Target) {
	loaded, err := kr.store.Load(ctx, kr.name, []Target{t})
	if err != nil {
		panic(err)
	}
	first := kr.entry(t.Purpose, t.Scope)
	kr.drop(first)
	if _, ok := kr.update(ctx, first, loaded.Keys, false, kr.mono()); ok {
		panic("a closed entry was changed")
	}
	if _, err := kr.loadOne(ctx, t); err != nil {
		panic(err)
	}
	second := kr.entry(t.Purpose, t.Scope)
	if _, ok := kr.update(ctx, second, loaded.Keys, false, kr.mono()); !ok {
		panic("not changed")
	}
	kr.drop(second)
	if kr.keep(second) != nil || kr.entry(t.Purpose, t.Scope) != nil {
		panic("an entry came back")
	}
}

// Now returns the keyring's lower bound of the store's clock.
func Now(kr *Keyring) time.Time { return kr.now() }

// Cached returns the bytes reserved for caches.
func Cached(kr *Keyring) int64 { return kr.cached.Load() }

// UnknownIDs returns how many unknown key ids are remembered.
func UnknownIDs(kr *Keyring) (n int) {
	for _, e := range kr.entries() {
		e.unknown.mu.Lock()
		n += len(e.unknown.since)
		e.unknown.mu.Unlock()
	}
	return n
}

// The bytes that are authenticated with a DEK and with a root, for vectors.
func KeyAAD(k Key) []byte { return keyAAD(&k) }

func RootInfo(label string, r Root, more ...string) string { return rootInfo(label, &r, more...) }

// NewRows makes the row of a root and of a key under it from given secrets.
func NewRows(r Root, k Key, root, dek []byte) (Root, Key, error) {
	var err error
	if r.Check, err = rootCheck(root, &r); err != nil {
		return r, k, err
	}
	rk, err := newRootKey(bytes.Clone(root), &r)
	if err != nil {
		return r, k, err
	}
	rk.wrap(&k, bytes.Clone(dek))
	return r, k, nil
}

// ErasedAt returns when kr last wrote the tombstone of scope.
func ErasedAt(kr *Keyring, scope string) time.Duration { return kr.erasures.last(scope) }

// InsertMany makes the first key of many scopes, without what that costs.
func InsertMany(ctx context.Context, kr *Keyring, p Purpose, scopes []string) error {
	store := kr.store.(*TableStore)
	for _, scope := range scopes {
		k, err := kr.newKey(ctx, Target{scope, p}, 1, 0)
		if err != nil {
			return err
		}
		store.Edit(func(_ *[]Root, keys *[]Key) { *keys = append(*keys, k) })
	}
	return nil
}

package keyring

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// NewMemoryStore returns a Store that lives and dies with the process. It is
// meant for tests: what was encrypted under its keys is lost with it.
func NewMemoryStore() Store { return &memoryStore{} }

type memoryStore struct {
	mu       sync.Mutex
	table    table
	watchers map[chan struct{}]string // to the keyring's name
}

// Watch implements Watcher.
func (s *memoryStore) Watch(ctx context.Context, keyring string, changed func()) error {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	if s.watchers == nil {
		s.watchers = make(map[chan struct{}]string)
	}
	s.watchers[c] = keyring
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, c)
		s.mu.Unlock()
	}()
	for {
		changed()
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write runs f on the table and tells the watchers of the keyring.
func (s *memoryStore) write(ctx context.Context, keyring string, f func(*table) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f(&s.table); err != nil {
		return err
	}
	for c, name := range s.watchers {
		if name == keyring {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func (s *memoryStore) Load(ctx context.Context, keyring string, targets []Target) (Loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Loaded{}, err
	}
	return s.table.load(keyring, targets, time.Now())
}

func (s *memoryStore) Create(ctx context.Context, roots []Root) error {
	if len(roots) == 0 {
		return ErrConflict
	}
	return s.write(ctx, roots[0].Keyring, func(t *table) error { return t.create(roots) })
}

func (s *memoryStore) InsertRoot(ctx context.Context, root Root) error {
	return s.write(ctx, root.Keyring, func(t *table) error { return t.insertRoot(root) })
}

func (s *memoryStore) UpdateRoot(ctx context.Context, root Root) error {
	return s.write(ctx, root.Keyring, func(t *table) error { return t.updateRoot(root) })
}

func (s *memoryStore) InsertKey(ctx context.Context, key Key) error {
	return s.write(ctx, key.Keyring, func(t *table) error { return t.insert(key, time.Now()) })
}

func (s *memoryStore) UpdateKeys(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	return s.write(ctx, keys[0].Keyring, func(t *table) error { return t.update(keys) })
}

func (s *memoryStore) LoadUnder(ctx context.Context, root Root, after KeyID, limit int) ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.under(root, after, limit), ctx.Err()
}

func (s *memoryStore) EraseScope(ctx context.Context, keyring, scope string) error {
	return s.write(ctx, keyring, func(t *table) error { t.erase(keyring, scope); return nil })
}

// table is the state of a Store and the rules of its contract, without locks,
// clock or I/O. Its fields are exported for encoding/json.
type table struct {
	Roots  []Root
	Keys   []Key
	Erased []erasedScope
}

type erasedScope struct{ Keyring, Scope string }

func (t *table) load(keyring string, targets []Target, now time.Time) (Loaded, error) {
	l := Loaded{Now: wholeMicros(now), Erased: make(map[string]bool)}
	for _, r := range t.Roots {
		if r.Keyring == keyring {
			l.Roots = append(l.Roots, cloneRoot(r))
		}
	}
	if len(l.Roots) == 0 {
		return Loaded{}, ErrNotFound
	}
	wanted := make(map[Target]bool)
	for _, target := range targets {
		wanted[target] = true
		if slices.Contains(t.Erased, erasedScope{keyring, target.Scope}) {
			l.Erased[target.Scope] = true
		}
	}
	for _, k := range t.Keys {
		if k.Keyring == keyring && wanted[Target{k.Scope, k.Purpose}] {
			l.Keys = append(l.Keys, cloneKey(k))
		}
	}
	return l, nil
}

func (t *table) create(roots []Root) error {
	if slices.ContainsFunc(t.Roots, func(r Root) bool { return r.Keyring == roots[0].Keyring }) {
		return ErrExists
	}
	ids, purposes := make(map[KeyID]bool), make(map[Purpose]bool)
	for _, r := range roots {
		if r.Keyring != roots[0].Keyring || ids[r.ID] || purposes[r.Purpose] {
			return ErrConflict
		}
		ids[r.ID], purposes[r.Purpose] = true, true
	}
	for _, r := range roots {
		r = cloneRoot(r)
		r.Revision = 1
		t.Roots = append(t.Roots, r)
	}
	return nil
}

// newest returns the root of the highest version of a purpose, or a zero Root.
func (t *table) newest(keyring string, p Purpose) (newest Root) {
	for _, r := range t.Roots {
		if r.Keyring == keyring && r.Purpose == p && r.Version > newest.Version {
			newest = r
		}
	}
	return newest
}

// taken reports whether a root or a key of the keyring has that id.
func (t *table) taken(keyring string, id KeyID) bool {
	return slices.ContainsFunc(t.Roots, func(r Root) bool { return r.Keyring == keyring && r.ID == id }) ||
		slices.ContainsFunc(t.Keys, func(k Key) bool { return k.Keyring == keyring && k.ID == id })
}

func (t *table) insertRoot(root Root) error {
	newest := t.newest(root.Keyring, root.Purpose)
	if newest.Version == 0 || root.Version != newest.Version+1 || t.taken(root.Keyring, root.ID) {
		return ErrConflict
	}
	for i := range t.Roots {
		if r := &t.Roots[i]; r.Keyring == root.Keyring && r.ID == newest.ID {
			r.State, r.Revision = RootClosed, r.Revision+1
		}
	}
	root = cloneRoot(root)
	root.Revision = 1
	t.Roots = append(t.Roots, root)
	return nil
}

func (t *table) updateRoot(root Root) error {
	i := slices.IndexFunc(t.Roots, func(r Root) bool { return r.Keyring == root.Keyring && r.ID == root.ID })
	if i < 0 {
		return ErrConflict
	}
	r := t.Roots[i]
	order := []RootState{RootOpen, RootClosed, RootDestroyed}
	if r.Revision != root.Revision || slices.Index(order, root.State) < slices.Index(order, r.State) {
		return ErrConflict
	}
	if root.State == RootDestroyed && r.State != RootDestroyed && (r.State == RootOpen || t.newest(r.Keyring, r.Purpose).ID == r.ID || len(t.under(r, 0, 1)) > 0) {
		return ErrConflict
	}
	r.Wraps, r.State, r.Revision = root.Wraps, root.State, r.Revision+1
	t.Roots[i] = cloneRoot(r)
	return nil
}

func (t *table) insert(key Key, now time.Time) error {
	if slices.Contains(t.Erased, erasedScope{key.Keyring, key.Scope}) {
		return ErrErased
	}
	highest := 0
	for _, k := range t.Keys {
		if k.Keyring == key.Keyring && k.Scope == key.Scope && k.Purpose == key.Purpose {
			highest = max(highest, k.Version)
		}
	}
	newest := t.newest(key.Keyring, key.Purpose)
	if newest.ID != key.Root || newest.State != RootOpen || key.Version != highest+1 || t.taken(key.Keyring, key.ID) || now.Sub(key.CreatedAt).Abs() > time.Minute {
		return ErrConflict
	}
	key = cloneKey(key)
	key.Revision = 1
	t.Keys = append(t.Keys, key)
	return nil
}

func (t *table) update(keys []Key) error {
	places := make(map[int]Key)
	for _, key := range keys {
		i := slices.IndexFunc(t.Keys, func(k Key) bool {
			return k.Keyring == key.Keyring && k.Scope == key.Scope && k.Purpose == key.Purpose && k.Version == key.Version
		})
		if i < 0 || t.Keys[i].Revision != key.Revision || t.Keys[i].ID != key.ID {
			return ErrConflict
		}
		newest := t.newest(key.Keyring, key.Purpose)
		if t.Keys[i].Root != key.Root && (newest.ID != key.Root || newest.State != RootOpen) {
			return ErrConflict
		}
		key.Revision++
		places[i] = cloneKey(key)
	}
	if len(places) < len(keys) {
		return ErrConflict // the same row twice
	}
	for i, k := range places {
		t.Keys[i] = k
	}
	return nil
}

func (t *table) under(root Root, after KeyID, limit int) (keys []Key) {
	for _, k := range t.Keys {
		if k.Keyring == root.Keyring && k.Purpose == root.Purpose && k.Root == root.ID && k.ID > after {
			keys = append(keys, cloneKey(k))
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.ID, b.ID) })
	return keys[:min(len(keys), limit)]
}

func (t *table) erase(keyring, scope string) {
	if e := (erasedScope{keyring, scope}); !slices.Contains(t.Erased, e) {
		t.Erased = append(t.Erased, e)
	}
}

func cloneKey(k Key) Key {
	k.Wrapped = bytes.Clone(k.Wrapped)
	k.CreatedAt, k.ActivateAt = wholeMicros(k.CreatedAt), wholeMicros(k.ActivateAt)
	return k
}

func cloneRoot(r Root) Root {
	r.Check, r.Wraps = bytes.Clone(r.Check), slices.Clone(r.Wraps)
	for i := range r.Wraps {
		r.Wraps[i].Wrapped = bytes.Clone(r.Wraps[i].Wrapped)
	}
	r.CreatedAt = wholeMicros(r.CreatedAt)
	return r
}

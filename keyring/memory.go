package keyring

import (
	"bytes"
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

func (s *memoryStore) UpdateRoot(ctx context.Context, root Root) error {
	return s.write(ctx, root.Keyring, func(t *table) error { return t.updateRoot(root) })
}

func (s *memoryStore) InsertKey(ctx context.Context, key Key) error {
	return s.write(ctx, key.Keyring, func(t *table) error { return t.insert(key, time.Now()) })
}

func (s *memoryStore) UpdateKey(ctx context.Context, key Key) error {
	return s.write(ctx, key.Keyring, func(t *table) error { return t.update(key) })
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

func (t *table) updateRoot(root Root) error {
	for i, r := range t.Roots {
		if r.Keyring == root.Keyring && r.ID == root.ID {
			if r.Revision != root.Revision || r.State == RootClosed && root.State != RootClosed {
				return ErrConflict
			}
			r.Wraps, r.State, r.Revision = root.Wraps, root.State, r.Revision+1
			t.Roots[i] = cloneRoot(r)
			return nil
		}
	}
	return ErrConflict
}

func (t *table) insert(key Key, now time.Time) error {
	if slices.Contains(t.Erased, erasedScope{key.Keyring, key.Scope}) {
		return ErrErased
	}
	var newest Root
	for _, r := range t.Roots {
		if r.Keyring == key.Keyring {
			if r.ID == key.ID {
				return ErrConflict
			}
			if r.Purpose == key.Purpose && r.Version > newest.Version {
				newest = r
			}
		}
	}
	highest := 0
	for _, k := range t.Keys {
		if k.Keyring == key.Keyring {
			if k.ID == key.ID {
				return ErrConflict
			}
			if k.Scope == key.Scope && k.Purpose == key.Purpose {
				highest = max(highest, k.Version)
			}
		}
	}
	if newest.ID != key.Root || newest.State != RootOpen || key.Version != highest+1 || now.Sub(key.CreatedAt).Abs() > time.Minute {
		return ErrConflict
	}
	key = cloneKey(key)
	key.Revision = 1
	t.Keys = append(t.Keys, key)
	return nil
}

func (t *table) update(key Key) error {
	for i, k := range t.Keys {
		if k.Keyring == key.Keyring && k.Scope == key.Scope && k.Purpose == key.Purpose && k.Version == key.Version {
			if k.Revision != key.Revision || k.ID != key.ID {
				return ErrConflict
			}
			t.Keys[i] = cloneKey(key)
			t.Keys[i].Revision++
			return nil
		}
	}
	return ErrConflict
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

package keyring

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
)

// This file is the shortcut of the hot path. The keys of thousands of scopes are
// not in the CPU's caches, and each pointer from the scope to what was derived
// (entry, snapshot, DEK, material, slot) is a wait for memory that costs as much
// as an encryption. So what was derived from a scope's active key is found by one
// look into a table, and says itself how long it may be used.

// derived is a value of a Derivation, in one object with what the shortcut needs.
type derived[T any] struct {
	// until is the time on the store's clock up to which this is of its
	// scope's active key and the snapshot has nothing else to say; zero
	// before it was put into the table, and ended when it may not be used
	// that way any more.
	until atomic.Int64
	used  atomic.Bool // since the eviction hand last passed
	id    KeyID
	hash  uint64
	scope string
	table *shortcuts[T]
	value T
}

const ended = math.MinInt64

// shortcuts finds the derived values of active keys by scope. get takes no lock
// and allocates nothing. It is a cache: what does not find a place is found
// the longer way.
type shortcuts[T any] struct {
	only  atomic.Pointer[derived[T]] // of a keyring that is not scoped
	slots atomic.Pointer[[]atomic.Pointer[derived[T]]]
	mu    sync.Mutex
	n     int // slots in use
}

const minShortcuts = 16

func (s *shortcuts[T]) get(scope string) *derived[T] {
	if scope == "" {
		return s.only.Load()
	}
	slots := s.slots.Load()
	if slots == nil {
		return nil
	}
	h := maphash.String(scopeSeed, scope)
	i := h & uint64(len(*slots)-1)
	for _, i := range [2]uint64{i, i ^ 1} {
		if d := (*slots)[i].Load(); d != nil && d.hash == h && d.scope == scope {
			if !d.used.Load() {
				d.used.Store(true)
			}
			return d
		}
	}
	return nil
}

// put makes get find d for its scope.
func (s *shortcuts[T]) put(d *derived[T]) {
	if d.scope == "" {
		s.only.Store(d)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var slots []atomic.Pointer[derived[T]]
	if p := s.slots.Load(); p != nil {
		slots = *p
	}
	if 4*(s.n+1) > len(slots) && len(slots) < 4*maxScopes {
		slots = s.grow(slots)
	}
	s.place(slots, d)
}

// place stores d in one of its two slots: that of its scope, else an empty one,
// else the first.
func (s *shortcuts[T]) place(slots []atomic.Pointer[derived[T]], d *derived[T]) {
	i := d.hash & uint64(len(slots)-1)
	pair := [2]*atomic.Pointer[derived[T]]{&slots[i], &slots[i^1]}
	for _, slot := range pair {
		if old := slot.Load(); old != nil && old.scope == d.scope {
			slot.Store(d)
			return
		}
	}
	for _, slot := range pair {
		if slot.Load() == nil {
			slot.Store(d)
			s.n++
			return
		}
	}
	pair[0].Store(d)
}

func (s *shortcuts[T]) grow(old []atomic.Pointer[derived[T]]) []atomic.Pointer[derived[T]] {
	slots := make([]atomic.Pointer[derived[T]], max(minShortcuts, 2*len(old)))
	s.n = 0
	for i := range old {
		if d := old[i].Load(); d != nil {
			s.place(slots, d)
		}
	}
	s.slots.Store(&slots)
	return slots
}

func (s *shortcuts[T]) remove(d *derived[T]) {
	if d.scope == "" {
		s.only.CompareAndSwap(d, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := *s.slots.Load()
	i := d.hash & uint64(len(slots)-1)
	for _, i := range [2]uint64{i, i ^ 1} {
		if slots[i].Load() == d {
			slots[i].Store(nil)
			s.n--
		}
	}
}

// shortcut is a derived value in a table, of whatever type.
type shortcut interface {
	end()
	recentlyUsed() bool // since the last call
}

func (d *derived[T]) end() {
	d.until.Store(ended)
	d.table.remove(d)
}

func (d *derived[T]) recentlyUsed() bool { return d.used.Swap(false) }

// shorten puts what was derived from the entry's active key into its table.
func shorten[T any](e *entry, m *Material, d *derived[T]) {
	e.shortMu.Lock()
	defer e.shortMu.Unlock()
	s := e.keys.Load()
	if e.shortClosed || s.active == nil || s.active.material != m {
		return
	}
	if was := d.until.Swap(s.until); was == 0 || was == ended {
		e.short = append(e.short, d)
	}
	d.table.put(d)
}

// endShortcuts ends all that were made from older snapshots. It is called after
// the entry's snapshot was replaced: what shorten puts into a table later is of
// the new one.
func (e *entry) endShortcuts() {
	e.shortMu.Lock()
	defer e.shortMu.Unlock()
	for _, d := range e.short {
		d.end()
	}
	e.short = nil
}

// serves reports whether the shortcuts that were made from s are good for next.
func (s *snapshot) serves(next *snapshot) bool {
	return s.active != nil && next.active != nil && s.active.material == next.active.material && s.until == next.until
}

// wasUsed reports whether the entry was used since the last call.
func (e *entry) wasUsed() bool {
	used := e.used.Swap(false)
	e.shortMu.Lock()
	defer e.shortMu.Unlock()
	for _, d := range e.short {
		used = d.recentlyUsed() || used
	}
	return used
}

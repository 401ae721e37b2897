package keyring

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxScopes bounds the scopes per purpose that a process keeps in memory.
const maxScopes = 100_000

// scopeMap maps scopes to their keys. get takes no lock and allocates nothing;
// writers are serialised.
//
// A bucket is a singly linked list. A node's key, entry and next never change
// once it can be reached, so a reader that has loaded a head may walk on
// whatever happens: it sees the list as it was. Removal and growth link new
// nodes instead of changing old ones.
type scopeMap struct {
	table atomic.Pointer[[]chain]
	mu    sync.Mutex
	n     int
	hand  int // the next bucket in which to look for an entry to evict
}

type chain = atomic.Pointer[node]

type node struct {
	hash  uint64
	entry *entry
	next  *node
}

var scopeSeed = maphash.MakeSeed()

func (m *scopeMap) get(scope string) *entry {
	table := m.table.Load()
	if table == nil {
		return nil
	}
	h := maphash.String(scopeSeed, scope)
	for n := (*table)[h&uint64(len(*table)-1)].Load(); n != nil; n = n.next {
		if n.hash == h && n.entry.target.Scope == scope {
			if !n.entry.used.Load() {
				n.entry.used.Store(true)
			}
			return n.entry
		}
	}
	return nil
}

// add returns the entry of e's scope: the one that is there, or else e; but nil
// if e was there and is gone, for its keys are wiped or will be, or if it is
// outdated. It returns a second entry if that had to go to make room.
func (m *scopeMap) add(e *entry, limit int, x *erasures) (kept, evicted *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.gone {
		return nil, nil
	}
	if old := m.get(e.target.Scope); old != nil {
		return old, nil
	}
	if e.outdated(x) {
		return nil, nil
	}
	if m.n >= limit {
		evicted = m.evict()
	}
	m.grow()
	h := maphash.String(scopeSeed, e.target.Scope)
	m.push(*m.table.Load(), &node{hash: h, entry: e})
	m.n++
	return e, evicted
}

// outdated reports whether what e rests on may be older than a tombstone that
// this process wrote. Shred notes the time, and then merges the tombstone into
// the scope's entry, under the lock of add: either it finds e, or add finds the
// time, also if the entry with the tombstone was evicted meanwhile.
func (e *entry) outdated(x *erasures) bool {
	s := e.keys.Load()
	return s.erased == nil && s.asOf < x.last(e.target.Scope)
}

// erasures are the scopes that this process has erased, and when. The zero value
// is ready.
type erasures struct {
	mu     sync.Mutex
	at     map[string]time.Duration
	latest time.Duration // of those that are not in at any more
}

const maxErasures = 10_000

func (x *erasures) add(scope string, now time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.at) >= maxErasures {
		x.at, x.latest = nil, now
	}
	if x.at == nil {
		x.at = make(map[string]time.Duration)
	}
	x.at[scope] = max(now, x.at[scope])
}

// last returns when scope was erased last, or a later time.
func (x *erasures) last(scope string) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return max(x.latest, x.at[scope])
}

func (m *scopeMap) push(table []chain, n *node) {
	b := &table[n.hash&uint64(len(table)-1)]
	n.next = b.Load()
	b.Store(n)
}

// grow doubles the table when it has as many entries as buckets.
func (m *scopeMap) grow() {
	old := m.table.Load()
	if old != nil && m.n < len(*old) {
		return
	}
	size := 16
	if old != nil {
		size = 2 * len(*old)
	}
	table := make([]chain, size)
	m.each(func(n *node) { m.push(table, &node{hash: n.hash, entry: n.entry}) })
	m.table.Store(&table)
}

// evict removes an entry that has not been used since the hand last passed.
func (m *scopeMap) evict() *entry {
	table := *m.table.Load()
	for {
		m.hand = (m.hand + 1) & (len(table) - 1)
		for n := table[m.hand].Load(); n != nil; n = n.next {
			if !n.entry.wasUsed() {
				m.unlink(&table[m.hand], n.entry)
				return n.entry
			}
		}
	}
}

func (m *scopeMap) remove(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.gone = true
	if m.get(e.target.Scope) == e {
		table := *m.table.Load()
		m.unlink(&table[maphash.String(scopeSeed, e.target.Scope)&uint64(len(table)-1)], e)
	}
}

func (m *scopeMap) unlink(b *chain, e *entry) {
	e.gone = true
	var list *node
	for n := b.Load(); n != nil; n = n.next {
		if n.entry != e {
			list = &node{n.hash, n.entry, list}
		}
	}
	b.Store(list)
	m.n--
}

func (m *scopeMap) each(f func(*node)) {
	if table := m.table.Load(); table != nil {
		for i := range *table {
			for n := (*table)[i].Load(); n != nil; n = n.next {
				f(n)
			}
		}
	}
}

func (m *scopeMap) entries() []*entry {
	var all []*entry
	m.each(func(n *node) { all = append(all, n.entry) })
	return all
}

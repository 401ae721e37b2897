package crypto

import (
	"container/list"
	"sync"
	"time"
)

// keyCache keeps data keys whose commitment was proven, by the whole of what the
// KMSs were asked: a header that differs in one bit is another entry.
type keyCache struct {
	maxEntries int
	maxBytes   int64
	age        time.Duration

	mu      sync.Mutex
	entries map[string]*list.Element // by tail
	order   list.List                // of *cached, the last used in front
	bytes   int64
	closed  bool
}

type cached struct {
	key  *dataKey
	cost int64
}

func newKeyCache(entries int, bytes int64, age time.Duration) *keyCache {
	return &keyCache{maxEntries: entries, maxBytes: bytes, age: age, entries: make(map[string]*list.Element)}
}

func (c *keyCache) get(tail []byte) *dataKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[string(tail)]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).key
}

// put keeps k, which was asked for at that time, and returns the one to use,
// which is another if there was one.
func (c *keyCache) put(k *dataKey, asked time.Time) *dataKey {
	left := c.age - time.Since(asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := &cached{k, dataKeyCost + int64(len(k.tail))}
	switch e := c.entries[k.tail]; {
	case e != nil:
		k.wipe()
		return e.Value.(*cached).key
	case c.closed:
		k.wipe()
		return k
	case c.maxEntries <= 0 || left <= 0 || entry.cost > c.maxBytes:
		return k // which is used, but not kept
	}
	c.entries[k.tail] = c.order.PushFront(entry)
	c.bytes += entry.cost
	k.expire(left, func() { c.drop(k) })
	c.shrink()
	return k
}

// keep lets a data key of the cache keep a session.
func (c *keyCache) keep(k *dataKey, s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[k.tail]
	if e == nil || e.Value.(*cached).key != k {
		return
	}
	if entry := e.Value.(*cached); entry.cost+s.cost() <= c.maxBytes {
		n := s.cost() - k.keep(s).cost()
		entry.cost += n
		c.bytes += n
		c.shrink()
	}
}

func (c *keyCache) shrink() {
	for len(c.entries) > c.maxEntries || c.bytes > c.maxBytes {
		c.remove(c.order.Back()).wipe()
	}
}

func (c *keyCache) remove(e *list.Element) *dataKey {
	entry := c.order.Remove(e).(*cached)
	delete(c.entries, entry.key.tail)
	c.bytes -= entry.cost
	return entry.key
}

// drop removes a data key, which the caller wipes.
func (c *keyCache) drop(k *dataKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k.tail]; e != nil && e.Value.(*cached).key == k {
		c.remove(e)
	}
}

func (c *keyCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for len(c.entries) > 0 {
		c.remove(c.order.Back()).wipe()
	}
}

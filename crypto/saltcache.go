package crypto

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/xaes"
)

// saltCache keeps the derived keys of salts that other processes and earlier
// epochs have written. Only a salt under which a tag has verified gets in, so
// that forged values can not push out good ones. get takes no lock.
//
// A salt may be in any of the ways slots of its bucket. The table doubles so that
// at most a quarter of it is in use, and few buckets overflow; when one does, or
// the keyring's cache budget is spent, a new salt takes the place of an old.
type saltCache struct {
	reserve func(bytes int64) bool
	slots   atomic.Pointer[[]slot]
	mu      sync.Mutex // serialises put, and guards used
	used    int        // slots
}

type slot = atomic.Pointer[salted]

type salted struct {
	salt [xaes.SaltSize]byte
	xaes.Opener
}

const (
	// saltedCost is what one entry takes, in bytes: about 1.3 KiB for the
	// key schedule and GHASH table, and its share of the slots.
	saltedCost   = 1536
	ways         = 4
	minSaltSlots = 2 * ways
)

// bucket returns the slots for a salt. Salts are random, so their bytes serve as
// hash.
func bucket(slots []slot, salt *[xaes.SaltSize]byte) []slot {
	i := int(binary.LittleEndian.Uint32(salt[:])) & (len(slots)/ways - 1) * ways
	return slots[i : i+ways]
}

func (c *saltCache) get(salt *[xaes.SaltSize]byte) *salted {
	table := c.slots.Load()
	if table == nil {
		return nil
	}
	b := bucket(*table, salt)
	for i := range b {
		if s := b[i].Load(); s != nil && sameSalt(&s.salt, salt) {
			return s
		}
	}
	return nil
}

func (c *saltCache) put(s *salted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.get(&s.salt) != nil {
		return
	}
	var table []slot
	if t := c.slots.Load(); t != nil {
		table = *t
	}
	more := c.reserve(saltedCost)
	if more && ways*(c.used+1) > len(table) {
		table = c.grow(table)
	}
	if more && place(table, s) {
		c.used++
		return
	}
	if more {
		c.reserve(-saltedCost)
	}
	if len(table) > 0 {
		// Which one goes is random, as the salt is. An empty slot stays
		// empty: there is no budget for it.
		if victim := &bucket(table, &s.salt)[s.salt[4]%ways]; victim.Load() != nil {
			victim.Store(s)
		}
	}
}

// place puts s into an empty slot, if its bucket has one.
func place(slots []slot, s *salted) bool {
	b := bucket(slots, &s.salt)
	for i := range b {
		if b[i].CompareAndSwap(nil, s) {
			return true
		}
	}
	return false
}

// grow publishes a table of twice the size, without the few entries that find
// their bucket full.
func (c *saltCache) grow(old []slot) []slot {
	slots := make([]slot, max(minSaltSlots, 2*len(old)))
	for i := range old {
		if s := old[i].Load(); s != nil && !place(slots, s) {
			c.used--
			c.reserve(-saltedCost)
		}
	}
	c.slots.Store(&slots)
	return slots
}

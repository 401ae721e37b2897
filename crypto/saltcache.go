package crypto

import (
	"crypto/cipher"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sealfield/sealfield/internal/xaes"
)

// saltCache keeps the derived keys of salts that other processes and earlier
// epochs have written. Only a salt under which a tag has verified gets in, so
// that forged values can not push out good ones. get takes no lock.
//
// A salt may be in either of two neighbouring slots. The table doubles while
// the keyring's cache budget lasts; then a new salt takes the place of an old.
type saltCache struct {
	reserve func(bytes int64) bool
	slots   atomic.Pointer[[]slot]
	mu      sync.Mutex // serialises put
}

type slot = atomic.Pointer[salted]

type salted struct {
	salt [xaes.SaltSize]byte
	aead cipher.AEAD
}

const (
	// saltedCost is what one entry takes, in bytes: about 1.3 KiB for the
	// key schedule and GHASH table, and its share of the slots.
	saltedCost   = 1536
	minSaltSlots = 8
	maxSaltSlots = 1 << 20 // far more than the budget fills
)

// home returns the first of the two slots of a salt; the other is home ^ 1.
// Salts are random, so their bytes serve as hash.
func home(salt *[xaes.SaltSize]byte, slots []slot) int {
	return int(binary.LittleEndian.Uint32(salt[:])) & (len(slots) - 1)
}

func (c *saltCache) get(salt *[xaes.SaltSize]byte) *salted {
	table := c.slots.Load()
	if table == nil {
		return nil
	}
	i := home(salt, *table)
	if s := (*table)[i].Load(); s != nil && s.salt == *salt {
		return s
	}
	if s := (*table)[i^1].Load(); s != nil && s.salt == *salt {
		return s
	}
	return nil
}

func (c *saltCache) put(s *salted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.get(&s.salt) != nil {
		return
	}
	table := c.slots.Load()
	if table == nil {
		table = new([]slot)
		*table = make([]slot, minSaltSlots)
		c.slots.Store(table)
	}
	if len(*table) < maxSaltSlots && c.reserve(saltedCost) {
		for !place(*table, s) && len(*table) < maxSaltSlots {
			table = c.grow(*table)
		}
		if c.get(&s.salt) == s {
			return
		}
		c.reserve(-saltedCost)
	}
	// Replace. Which of the two goes is random, as the salt is; an empty slot
	// stays empty, for there is no budget for it.
	if i := home(&s.salt, *table) ^ int(s.salt[4]&1); (*table)[i].Load() != nil {
		(*table)[i].Store(s)
	}
}

func place(slots []slot, s *salted) bool {
	i := home(&s.salt, slots)
	return slots[i].CompareAndSwap(nil, s) || slots[i^1].CompareAndSwap(nil, s)
}

// grow publishes a table of twice the size. The few entries for which three
// want one pair of slots are dropped.
func (c *saltCache) grow(old []slot) *[]slot {
	slots := make([]slot, 2*len(old))
	for i := range old {
		if s := old[i].Load(); s != nil && !place(slots, s) {
			c.reserve(-saltedCost)
		}
	}
	c.slots.Store(&slots)
	return &slots
}

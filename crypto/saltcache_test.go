package crypto

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

// budget is a cache budget of n entries.
type budget struct{ left, worst int64 }

func (b *budget) reserve(n int64) bool {
	if b.left < n {
		return false
	}
	b.left -= n
	b.worst = min(b.worst, b.left)
	return true
}

func newSalted() *salted {
	s := &salted{}
	rand.Read(s.salt[:])
	return s
}

func TestSaltCacheKeepsWhatItHasRoomFor(t *testing.T) {
	for _, n := range []int{1, 10, 1000, 20_000} {
		b := &budget{left: 1 << 40}
		c := &saltCache{reserve: b.reserve}
		var all []*salted
		for range n {
			s := newSalted()
			require.Nil(t, c.get(&s.salt))
			c.put(s)
			c.put(s) // again
			all = append(all, s)
		}
		kept := 0
		for _, s := range all {
			if got := c.get(&s.salt); got != nil {
				require.Same(t, s, got)
				kept++
			}
		}
		require.GreaterOrEqual(t, kept, n*97/100, "of %d", n)
		require.Equal(t, int64(kept)*saltedCost, 1<<40-b.left, "the budget is what is in use")
		require.LessOrEqual(t, len(*c.slots.Load()), max(minSaltSlots, 8*n), "the table stays in proportion")
	}
}

func TestSaltCacheKeepsToItsBudget(t *testing.T) {
	const n = 100
	b := &budget{left: n * saltedCost}
	c := &saltCache{reserve: b.reserve}
	var last []*salted
	for range 100 * n {
		s := newSalted()
		c.put(s)
		last = append(last, s)
	}
	require.GreaterOrEqual(t, b.worst, int64(0))
	in, recent := 0, 0
	for i := range *c.slots.Load() {
		if (*c.slots.Load())[i].Load() != nil {
			in++
		}
	}
	require.LessOrEqual(t, in, n)
	for _, s := range last[len(last)-10*n:] {
		if c.get(&s.salt) != nil {
			recent++
		}
	}
	require.Positive(t, recent, "new salts take the place of old ones")

	none := &saltCache{reserve: func(int64) bool { return false }}
	none.put(newSalted())
	require.Nil(t, none.slots.Load())
}

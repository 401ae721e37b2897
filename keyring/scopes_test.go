package keyring

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var never erasures

func newEntry(scope string) *entry {
	e := &entry{target: Target{Scope: scope, Purpose: Encryption}}
	e.keys.Store(newSnapshot(nil, nil, 0, time.Time{}, 0))
	return e
}

// TestScopeMap runs random operations on a scopeMap and on a Go map.
func TestScopeMap(t *testing.T) {
	for _, limit := range []int{1, 2, 16, 17, 100, 1 << 20} {
		var m scopeMap
		require.Nil(t, m.get("none"))
		m.remove(newEntry("none"))
		want := make(map[string]*entry)
		evictions := 0
		for range 20_000 {
			scope := fmt.Sprint(rand.N(300))
			switch e := newEntry(scope); rand.N(3) {
			case 0:
				kept, evicted := m.add(e, limit, &never)
				if old := want[scope]; old != nil {
					require.Same(t, old, kept, "an entry that is there stays")
					require.Nil(t, evicted)
					break
				}
				require.Same(t, e, kept)
				if evicted != nil {
					evictions++
					require.Same(t, want[evicted.target.Scope], evicted)
					delete(want, evicted.target.Scope)
				}
				want[scope] = e
			case 1:
				m.remove(e) // another entry of that scope: nothing happens
				if old := want[scope]; old != nil {
					m.remove(old)
					m.remove(old)
					delete(want, scope)
				}
			default:
				require.Same(t, want[scope], m.get(scope))
			}
			require.Equal(t, len(want), m.n)
			require.LessOrEqual(t, m.n, limit)
		}
		require.Len(t, m.entries(), len(want))
		for _, e := range m.entries() {
			require.Same(t, want[e.target.Scope], e)
		}
		require.Equal(t, limit < 200, evictions > 0)
	}
}

// TestScopeMapEvictsUnused checks that what is in use stays.
func TestScopeMapEvictsUnused(t *testing.T) {
	var m scopeMap
	const limit = 64
	m.add(newEntry("hot"), limit, &never)
	for i := range 10_000 {
		require.NotNil(t, m.get("hot"))
		m.add(newEntry(fmt.Sprint(i)), limit, &never)
	}
	require.Equal(t, limit, m.n)
}

// TestScopeMapReaders reads without a lock while others add, grow, evict and
// remove. A reader finds a scope's own entry or none, and always finds those
// that nobody touches.
func TestScopeMapReaders(t *testing.T) {
	var m scopeMap
	var steady []string
	for i := range 50 {
		scope := fmt.Sprint("steady ", i)
		steady = append(steady, scope)
		m.add(newEntry(scope), 1<<20, &never)
	}
	var stop atomic.Bool
	var wrong, reads atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if e := m.get(steady[i%len(steady)]); e == nil || e.target.Scope != steady[i%len(steady)] {
					wrong.Add(1)
				}
				scope := fmt.Sprint(i % 1000)
				if e := m.get(scope); e != nil && e.target.Scope != scope {
					wrong.Add(1)
				}
				reads.Add(2)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 20_000 {
				e := newEntry(fmt.Sprint(rand.N(1000)))
				kept, evicted := m.add(e, 1<<20, &never)
				if rand.N(2) == 0 {
					m.remove(kept)
				}
				if evicted != nil {
					wrong.Add(1)
				}
			}
		})
	}
	for reads.Load() < 100_000 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	require.Zero(t, wrong.Load())
	for _, scope := range steady {
		require.NotNil(t, m.get(scope))
	}
	t.Logf("%d reads", reads.Load())
}

// TestErasures checks that what is not kept any more counts as erased just now.
func TestErasures(t *testing.T) {
	var x erasures
	require.Zero(t, x.last("a"))
	x.add("a", 7)
	x.add("a", 5)
	require.EqualValues(t, 7, x.last("a"))
	require.Zero(t, x.last("b"))
	for i := range maxErasures {
		x.add(fmt.Sprint(i), time.Duration(10+i))
	}
	require.LessOrEqual(t, len(x.at), maxErasures)
	for _, scope := range []string{"a", "b", "3"} {
		require.GreaterOrEqual(t, x.last(scope), time.Duration(13))
	}
	require.EqualValues(t, 10+maxErasures-1, x.last(fmt.Sprint(maxErasures-1)))
}

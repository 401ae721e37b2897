package keyring

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newDerived(table *shortcuts[string], scope string, version int) *derived[string] {
	return &derived[string]{id: KeyID(version), hash: maphash.String(scopeSeed, scope), scope: scope, table: table, value: fmt.Sprint(scope, version)}
}

// TestShortcuts runs random operations on a table and on a Go map: what is found
// is what was put in last, and little is not found.
func TestShortcuts(t *testing.T) {
	for _, scopes := range []int{1, 5, 100, 5000} {
		var s shortcuts[string]
		require.Nil(t, s.get("none"))
		want := make(map[string]*derived[string])
		for i := range 20 * scopes {
			scope := fmt.Sprint(rand.N(scopes))
			if d := want[scope]; d != nil && i%3 == 0 {
				d.end()
				delete(want, scope)
			} else {
				want[scope] = newDerived(&s, scope, i)
				s.put(want[scope])
			}
			if d := s.get(scope); d != nil {
				require.Same(t, want[scope], d)
			}
		}
		missed := 0
		for i := range scopes {
			switch d := s.get(fmt.Sprint(i)); {
			case d != nil:
				require.Same(t, want[fmt.Sprint(i)], d)
			case want[fmt.Sprint(i)] != nil:
				missed++
			}
		}
		require.LessOrEqual(t, missed, max(0, min(scopes-2, scopes/10+2)), "a pair of slots has room for two, and more seldom meet")
		used := 0
		for i := range *s.slots.Load() {
			if (*s.slots.Load())[i].Load() != nil {
				used++
			}
		}
		require.Equal(t, used, s.n)
		require.LessOrEqual(t, len(*s.slots.Load()), max(minShortcuts, 8*scopes))
	}
}

// TestShortcutsReaders reads while others put and end: a reader finds its own
// scope's value or none, and never one that had ended before it looked.
func TestShortcutsReaders(t *testing.T) {
	const scopes = 64
	e := make([]*entry, scopes)
	var s shortcuts[string]
	kr := &Keyring{}
	for i := range e {
		e[i] = newEntry(fmt.Sprint(i))
	}
	var stop atomic.Bool
	var wrong, found atomic.Int64
	var oldest [scopes]atomic.Int64 // the version before which all have ended
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := 0; !stop.Load(); n++ {
				i := n % scopes
				least := oldest[i].Load()
				d := s.get(fmt.Sprint(i))
				if d == nil || d.until.Load() < 1 {
					continue
				}
				found.Add(1)
				if d.scope != fmt.Sprint(i) || int64(d.id) < least {
					wrong.Add(1)
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for version := range 4000 {
				i := 2*rand.N(scopes/2) + w // each scope has one writer
				m := &Material{kr: kr}
				k := &dek{row: Key{Scope: fmt.Sprint(i), Version: version}, material: m, authentic: true}
				e[i].keys.Store(&snapshot{keys: []*dek{k}, active: k, until: int64(version + 1)})
				e[i].endShortcuts()
				oldest[i].Store(int64(version))
				d := newDerived(&s, fmt.Sprint(i), version)
				shorten(e[i], m, d)
				shorten(e[i], &Material{}, newDerived(&s, fmt.Sprint(i), -1)) // of another key
			}
		})
	}
	writers.Wait()
	for found.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	readers.Wait()
	require.Zero(t, wrong.Load())
	for i := range e {
		require.LessOrEqual(t, len(e[i].short), 1)
		e[i].close()
		require.Nil(t, s.get(fmt.Sprint(i)), "a closed entry has no shortcuts")
		shorten(e[i], e[i].keys.Load().active.material, newDerived(&s, fmt.Sprint(i), 9999))
		require.Nil(t, s.get(fmt.Sprint(i)))
	}
	require.Zero(t, s.n)
}

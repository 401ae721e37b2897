package crypto

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/xaes"
)

func newFieldKey(t testing.TB, b *budget) *fieldKey {
	k := &fieldKey{prefix: [prefixSize]byte{1, 0x80, 0, 0, 1}, salts: saltCache{reserve: b.reserve}}
	var err error
	k.kdf, err = xaes.New(bytes.Repeat([]byte{7}, xaes.KeySize))
	require.NoError(t, err)
	require.NoError(t, k.begin(&k.first))
	k.epoch.Store(&k.first)
	return k
}

func saltOf(ct []byte) string { return string(ct[prefixSize : prefixSize+xaes.SaltSize]) }

// TestEpochEnds brings an epoch to its end and reads on from both sides of it.
func TestEpochEnds(t *testing.T) {
	k := newFieldKey(t, &budget{left: 1 << 20})
	seal := func(n int, fresh bool) []byte {
		ct, err := k.seal(nil, make([]byte, n), nil, fresh)
		require.NoError(t, err)
		_, ok := k.open(nil, ct, nil)
		require.True(t, ok)
		return ct
	}
	first := seal(1, false)
	require.Equal(t, saltOf(first), saltOf(seal(1, false)), "one salt per epoch")
	fresh := seal(1, true)
	require.NotEqual(t, saltOf(first), saltOf(fresh))
	require.NotEqual(t, saltOf(fresh), saltOf(seal(1, true)), "FreshSalt draws one for each")
	require.Equal(t, saltOf(first), saltOf(seal(1, false)), "and leaves the epoch")

	k.epoch.Load().used.Store(epochUnits - 1)
	large := seal(2*unitSize, false)
	require.Equal(t, saltOf(first), saltOf(large))
	require.GreaterOrEqual(t, k.epoch.Load().used.Load(), int64(epochUnits+2), "large values count at once")
	next := seal(1, false)
	require.NotEqual(t, saltOf(first), saltOf(next))
	require.Less(t, k.epoch.Load().used.Load(), int64(2*sampling))
	require.Equal(t, saltOf(next), saltOf(seal(1, false)))
	for _, ct := range [][]byte{first, fresh, large, next} {
		_, ok := k.open(nil, ct, nil)
		require.True(t, ok, "older epochs stay readable")
	}
}

// TestSmallValuesAreCounted checks that sampling counts about right.
func TestSmallValuesAreCounted(t *testing.T) {
	k := newFieldKey(t, &budget{})
	const n = 1 << 16
	dst := make([]byte, 0, 100)
	for range n {
		_, err := k.seal(dst, nil, nil, false)
		require.NoError(t, err)
	}
	require.InEpsilon(t, n, k.epoch.Load().used.Load(), 0.25)
}

// TestEpochRace ends an epoch under many writers: all they write can be read, and
// the salts are few.
func TestEpochRace(t *testing.T) {
	k := newFieldKey(t, &budget{left: 1 << 30})
	const writers, each = 8, 500
	cts := make([][][]byte, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				if n%100 == 50 {
					k.epoch.Load().used.Store(epochUnits)
				}
				ct, err := k.seal(nil, []byte{byte(i)}, []byte("row"), false)
				if err == nil {
					cts[i] = append(cts[i], ct)
				}
			}
		})
	}
	wg.Wait()
	salts := map[string]bool{}
	for i := range cts {
		require.Len(t, cts[i], each)
		for _, ct := range cts[i] {
			salts[saltOf(ct)] = true
			pt, ok := k.open(nil, ct, []byte("row"))
			require.True(t, ok)
			require.Equal(t, []byte{byte(i)}, pt)
		}
	}
	require.LessOrEqual(t, len(salts), 1+5*writers*writers)
	t.Logf("%d values by %d writers in %d epochs", writers*each, writers, len(salts))
}

// TestForgedSaltsAreNotKept opens values that do not verify under many salts:
// the cache stays as it was.
func TestForgedSaltsAreNotKept(t *testing.T) {
	b := &budget{left: 1 << 30}
	k := newFieldKey(t, b)
	other := newFieldKey(t, &budget{}) // the same key in another process
	good, err := other.seal(nil, []byte("v"), []byte("row"), false)
	require.NoError(t, err)
	before := b.left
	for i := range 10_000 {
		bad := bytes.Clone(good)
		bad[prefixSize+i%xaes.SaltSize] ^= byte(1 + i/xaes.SaltSize%255)
		_, ok := k.open(nil, bad, []byte("row"))
		require.False(t, ok)
	}
	_, ok := k.open(nil, good, []byte("another row"))
	require.False(t, ok)
	require.Equal(t, before, b.left)
	require.Nil(t, k.salts.slots.Load())
	for range 3 {
		_, ok = k.open(nil, good, []byte("row"))
		require.True(t, ok)
	}
	require.Equal(t, before-saltedCost, b.left, "one salt, kept once")
}

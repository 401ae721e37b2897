package keyring_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
)

// TestPollsAreSpread starts 50 processes at once, as a deployment does: they look
// at the store at every interval, but not together.
func TestPollsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture()
		f.create(t).Close()
		begun := time.Now()
		var mu sync.Mutex
		var all []time.Duration
		for range 50 {
			g := *f
			var last time.Time
			polls := &faultyStore{Store: f.store}
			g.cfg.Store = &lookedAt{polls, func() {
				mu.Lock()
				defer mu.Unlock()
				now := time.Now()
				if !last.IsZero() && now.Sub(last) > time.Second { // Open looks twice
					all = append(all, now.Sub(last))
				}
				last = now
			}}
			g.open(t)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, time.Hour, time.Since(begun))
		require.InDelta(t, 50*60, len(all), 50)
		distinct := make(map[time.Duration]bool)
		for _, d := range all {
			require.GreaterOrEqual(t, d, 54*time.Second)
			require.LessOrEqual(t, d, 66*time.Second)
			distinct[d.Round(time.Second)] = true
		}
		require.Greater(t, len(distinct), 10)
	})
}

// lookedAt tells of each Load.
type lookedAt struct {
	*faultyStore
	tell func()
}

func (s *lookedAt) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	s.tell()
	return s.faultyStore.Load(ctx, name, targets)
}

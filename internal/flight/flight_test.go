package flight_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/flight"
)

func TestOneRunPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[string, int]
		var runs, joined atomic.Int64
		release := make(chan struct{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				v, j, err := g.Do(context.Background(), "a", func() (int, error) { runs.Add(1); <-release; return 7, nil })
				if j {
					joined.Add(1)
				}
				if v != 7 || err != nil {
					t.Error(v, err)
				}
			})
		}
		synctest.Wait()
		v, j, err := g.Do(context.Background(), "b", func() (int, error) { return 8, errors.New("x") })
		require.Equal(t, 8, v)
		require.False(t, j, "other keys do not wait")
		require.EqualError(t, err, "x")
		close(release)
		wg.Wait()
		require.EqualValues(t, 1, runs.Load())
		require.EqualValues(t, 99, joined.Load())
		_, j, err = g.Do(context.Background(), "a", func() (int, error) { return 0, nil })
		require.NoError(t, err)
		require.False(t, j, "a run that is over is not joined")
	})
}

func TestCallersLeaveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flight.Group[int, int]
		release := make(chan struct{})
		ctx, cancel := context.WithCancelCause(context.Background())
		gone := make(chan error)
		go func() {
			_, _, err := g.Do(ctx, 1, func() (int, error) { <-release; return 1, nil })
			gone <- err
		}()
		synctest.Wait()
		cause := errors.New("the caller left")
		cancel(cause)
		require.ErrorIs(t, <-gone, cause)
		stays := make(chan int)
		go func() {
			v, joined, _ := g.Do(context.Background(), 1, func() (int, error) { return 2, nil })
			if !joined {
				v = -1
			}
			stays <- v
		}()
		synctest.Wait()
		close(release)
		require.Equal(t, 1, <-stays, "the run went on without the one who began it")
	})
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		v, err := flight.Within(ctx, time.Second, func(context.Context) (int, error) { return 7, nil })
		require.NoError(t, err)
		require.Equal(t, 7, v)
		failed := errors.New("failed")
		_, err = flight.Within(ctx, time.Second, func(context.Context) (int, error) { return 0, failed })
		require.Equal(t, failed, err)

		deaf := func(context.Context) (int, error) { time.Sleep(time.Hour); return 1, nil }
		begin := time.Now()
		_, err = flight.Within(ctx, time.Second, deaf)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin), "it does not wait for what does not listen")

		cause := errors.New("the caller left")
		cancelled, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Millisecond, func() { cancel(cause) })
		_, err = flight.Within(cancelled, time.Second, deaf)
		require.ErrorIs(t, err, cause)
		_, err = flight.Within(cancelled, time.Second, func(ctx context.Context) (int, error) { return 0, ctx.Err() })
		require.ErrorIs(t, err, cause)
		time.Sleep(2 * time.Hour) // lets the deaf ones end
	})
}

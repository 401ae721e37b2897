// Package flight lets many callers share one piece of slow work, and leave it.
package flight

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Group runs at most one function per key at a time. The zero value is ready.
// It is safe for concurrent use.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

type call[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// Do runs fn for key, or joins the run that is under way, and returns its
// result. joined says that the run had begun before this call, so that what
// it read may be older than the call. fn runs in a goroutine of its own and is
// not cancelled when ctx ends: only this caller leaves, with ctx's error.
func (g *Group[K, V]) Do(ctx context.Context, key K, fn func() (V, error)) (value V, joined bool, err error) {
	g.mu.Lock()
	c, joined := g.calls[key]
	if !joined {
		c = &call[V]{done: make(chan struct{})}
		if g.calls == nil {
			g.calls = make(map[K]*call[V])
		}
		g.calls[key] = c
		go g.run(key, c, fn)
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.value, joined, c.err
	case <-ctx.Done():
		return value, joined, context.Cause(ctx)
	}
}

func (g *Group[K, V]) run(key K, c *call[V], fn func() (V, error)) {
	defer func() {
		g.mu.Lock()
		delete(g.calls, key)
		g.mu.Unlock()
		close(c.done)
	}()
	c.value, c.err = fn()
}

// Within runs fn with a time limit, and stops waiting for it at that limit, or
// when ctx ends, even if fn does not respect its context.
func Within[T any](ctx context.Context, limit time.Duration, fn func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	c := make(chan result, 1)
	go func() {
		v, err := fn(limited)
		c <- result{v, err}
	}()
	select {
	case r := <-c:
		if r.err != nil && ctx.Err() != nil {
			r.err = fmt.Errorf("%w: %w", context.Cause(ctx), r.err)
		}
		return r.value, r.err
	case <-limited.Done():
		select { // both, perhaps
		case r := <-c:
			return r.value, r.err
		default:
			var zero T
			return zero, context.Cause(limited)
		}
	}
}

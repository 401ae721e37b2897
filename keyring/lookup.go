package keyring

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sealfield/sealfield/internal/derive"
)

// This file is the slow path: everything that the hot path of Derivation could
// not answer from memory.

// loaded returns a target's entry, from memory or else from the store. If the
// target has no key the entry is empty, or nil. fresh says that all is in it that
// was in the store before the call.
func (kr *Keyring) loaded(ctx context.Context, t Target) (e *entry, fresh bool, err error) {
	if err := kr.check(t); err != nil {
		return nil, false, err
	}
	if e := kr.entry(t.Purpose, t.Scope); e != nil {
		return e, false, nil
	}
	if err := kr.outage(t); err != nil {
		return nil, false, err
	}
	var found bool
	e, joined, err := kr.colds.Do(ctx, t, func() (*entry, error) {
		// Look again: of many callers the last may come here when the load
		// of the first is done.
		if e := kr.entry(t.Purpose, t.Scope); e != nil {
			found = true
			return e, nil
		}
		return kr.loadOne(kr.ctx, t)
	})
	switch {
	case err != nil:
		return nil, false, err
	case e == nil && joined:
		// That load may have been too early to see the first key.
		e, err = kr.loadOne(ctx, t)
		return e, true, err
	}
	return e, !joined && !found, nil
}

// outage returns why no key of t that is not in memory can be had now, or nil.
func (kr *Keyring) outage(t Target) error {
	if err := kr.roots.outage(t.Purpose, kr.mono()); err != nil {
		return &KeyError{kr.name, t.Scope, t.Purpose, 0, err}
	}
	return nil
}

func (kr *Keyring) activeKey(ctx context.Context, t Target) (*dek, error) {
	for try := 0; ; try++ {
		e, loaded, err := kr.loaded(ctx, t)
		if err != nil {
			return nil, err
		}
		if kr.staleness[t.Purpose.index()].Load() >= encryptStale {
			return nil, kr.staleError(t)
		}
		if e != nil {
			s := kr.current(e, kr.now())
			switch {
			case s.active != nil:
				return s.active, nil
			case s.refused != nil && !loaded && try == 0 && (s.mayRecover() || errors.Is(s.refused, ErrUnavailable)):
				if _, err := kr.loadOne(ctx, t); err != nil {
					return nil, err
				}
				continue
			case s.refused != nil:
				return nil, s.refused
			}
		}
		if try == 2 {
			return nil, &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: the first key did not appear", ErrUnavailable)}
		}
		if err := kr.makeFirstKey(ctx, t); err != nil {
			return nil, err
		}
	}
}

// activeID returns the id of the active key, or zero if there is no key yet.
func (kr *Keyring) activeID(ctx context.Context, t Target) (KeyID, error) {
	e, _, err := kr.loaded(ctx, t)
	if err != nil || e == nil {
		return 0, err
	}
	if kr.staleness[t.Purpose.index()].Load() >= encryptStale {
		return 0, kr.staleError(t)
	}
	s := kr.current(e, kr.now())
	if s.active == nil {
		return 0, s.refused
	}
	return s.active.row.ID, nil
}

// Knows reports whether one of the target's keys, in any state, has that id, as far
// as this process knows. With load the target's keys are loaded if none are in
// memory; an id that is not among them is not looked for in the store.
func (kr *Keyring) Knows(ctx context.Context, _ derive.Access, t Target, id KeyID, load bool) (bool, error) {
	if err := kr.check(t); err != nil {
		return false, err
	}
	e := kr.entry(t.Purpose, t.Scope)
	if e == nil && load {
		var err error
		if e, _, err = kr.loaded(ctx, t); err != nil {
			return false, err
		}
	}
	return e != nil && e.keys.Load().find(id) != nil, nil
}

func (kr *Keyring) keyByID(ctx context.Context, t Target, id KeyID) (*dek, error) {
	e, fetched, err := kr.loaded(ctx, t)
	if err != nil {
		return nil, err
	}
	if kr.staleness[t.Purpose.index()].Load() >= decryptStale {
		return nil, kr.staleError(t)
	}
	unknown := &KeyError{kr.name, t.Scope, t.Purpose, id, ErrUnknownKey}
	for {
		if e != nil {
			s := e.keys.Load()
			k := s.find(id)
			switch {
			case s.erased != nil:
				return nil, &KeyError{kr.name, t.Scope, t.Purpose, id, ErrErased}
			case k != nil && k.material != nil:
				return k, nil
			case k != nil && (!k.retry || fetched):
				return nil, k.err
			}
		}
		if fetched || !id.Valid() {
			return nil, unknown
		}
		if err := e.mayFetch(id, kr.mono()); err != nil {
			return nil, &KeyError{kr.name, t.Scope, t.Purpose, id, err}
		}
		if e, err = kr.loadOne(ctx, t); err != nil {
			return nil, err
		}
		if e != nil && e.keys.Load().find(id) == nil {
			e.markUnknown(id, kr.mono())
		}
		fetched = true
	}
}

func (kr *Keyring) keyByVersion(ctx context.Context, t Target, version int, write bool) (*dek, error) {
	e, fetched, err := kr.loaded(ctx, t)
	if err == nil && write && version == 1 && (e == nil || len(e.keys.Load().keys) == 0) {
		if _, err = kr.activeKey(ctx, t); err == nil {
			e, fetched, err = kr.loaded(ctx, t)
		}
	}
	if err != nil {
		return nil, err
	}
	if kr.staleness[t.Purpose.index()].Load() >= staleLimit(write) {
		return nil, kr.staleError(t)
	}
	unknown := &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: version %d", ErrUnknownKey, version)}
	for {
		if e != nil {
			s := e.keys.Load()
			k := s.version(version)
			switch {
			case s.erased != nil:
				return nil, s.erased
			case k != nil && k.material != nil && write:
				return k, s.unwritable(k, kr.now().UnixNano())
			case k != nil && k.material != nil:
				return k, nil
			case k != nil && (!k.retry || fetched):
				return nil, k.err
			}
		}
		if fetched {
			return nil, unknown
		}
		asked := KeyID(version) // no key's id, which are all larger
		if err := e.mayFetch(asked, kr.mono()); err != nil {
			return nil, &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: version %d", err, version)}
		}
		if e, err = kr.loadOne(ctx, t); err != nil {
			return nil, err
		}
		if e != nil && e.keys.Load().version(version) == nil {
			e.markUnknown(asked, kr.mono())
		}
		fetched = true
	}
}

// staleLimit is the staleness that ends reading, or writing.
func staleLimit(write bool) uint32 {
	if write {
		return encryptStale
	}
	return decryptStale
}

func (kr *Keyring) liveKeys(ctx context.Context, t Target) ([]*dek, error) {
	e, fetched, err := kr.loaded(ctx, t)
	if err != nil {
		return nil, err
	}
	if e != nil && !fetched {
		// A first key encrypts at once, so that there was none says nothing.
		if s := e.keys.Load(); len(s.keys) == 0 || s.mayRecover() || kr.mono()-s.asOf > kr.searchAge() {
			if e, err = kr.loadOne(ctx, t); err != nil {
				return nil, err
			}
		}
	}
	if kr.staleness[t.Purpose.index()].Load() >= decryptStale {
		return nil, kr.staleError(t)
	}
	if e == nil {
		return nil, nil
	}
	s := e.keys.Load()
	switch {
	case s.erased != nil:
		return nil, s.erased
	case kr.mono()-s.asOf > kr.searchAge():
		return nil, kr.staleError(t)
	}
	var live []*dek
	for _, k := range s.keys {
		switch {
		case k.material != nil:
			live = append(live, k)
		case k.authentic && k.row.State == KeyDestroyed:
		default:
			return nil, k.err
		}
	}
	return live, nil
}

// searchAge is how old the keys may be under which rows are looked for. A key
// that they do not hold became visible later than they, but up to a minute after
// its CreatedAt, from which its PropagationDelay counts (see Store.InsertKey).
func (kr *Keyring) searchAge() time.Duration {
	d := kr.settings.PropagationDelay
	return d - min(time.Minute, d/2)
}

// staleError says what has been out of reach for longest.
func (kr *Keyring) staleError(t Target) error {
	if kr.isClosed() {
		return fmt.Errorf("keyring: %s: purpose %s: %w", kr.name, t.Purpose, ErrClosed)
	}
	now := kr.mono()
	kr.mu.Lock()
	since, cause := kr.refreshed, kr.refusal
	kr.mu.Unlock()
	id, what := KeyID(0), "the store was last read"
	for _, r := range kr.roots.all() {
		if r.row.Purpose == t.Purpose && r.key != nil && r.proven < since {
			since, id, cause, what = r.proven, r.row.ID, errors.Unwrap(r.failed), "root key: a KMS last gave it"
		}
	}
	err := fmt.Errorf("%w: %s %v ago", ErrStale, what, (now - since).Round(time.Second))
	if cause != nil { // as text: an ErrDenied from half an age ago is no answer
		err = fmt.Errorf("%w (%v)", err, cause)
	}
	return &KeyError{kr.name, t.Scope, t.Purpose, id, err}
}

// The store is asked for unknown key ids at most at this rate per target, and
// once per id within unknownFor: forged values must not become a flood.
const (
	unknownRate  = 10 // per second
	unknownBurst = 20
	unknownFor   = 30 * time.Second
	unknownKept  = 1024 // ids
)

type unknownIDs struct {
	mu    sync.Mutex
	since map[KeyID]time.Duration
	bucket
}

// bucket limits how often something happens. The zero value is full.
type bucket struct {
	missing float64 // tokens
	filled  time.Duration
}

// take takes a token, of which there are at most burst and rate more per second.
func (b *bucket) take(now time.Duration, rate, burst float64) bool {
	b.missing = max(0, b.missing-(now-b.filled).Seconds()*rate)
	b.filled = now
	if b.missing+1 > burst {
		return false
	}
	b.missing++
	return true
}

// mayFetch says whether the store may be asked for id now. The answer
// ErrUnknownKey comes from an earlier look; ErrUnavailable is no answer.
func (e *entry) mayFetch(id KeyID, now time.Duration) error {
	u := &e.unknown
	u.mu.Lock()
	defer u.mu.Unlock()
	if since, ok := u.since[id]; ok && now-since < unknownFor {
		return ErrUnknownKey
	}
	if !u.take(now, unknownRate, unknownBurst) {
		return fmt.Errorf("%w: too many unknown key ids", ErrUnavailable)
	}
	return nil
}

func (e *entry) markUnknown(id KeyID, now time.Duration) {
	u := &e.unknown
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.since) >= unknownKept || u.since == nil {
		u.since = make(map[KeyID]time.Duration)
	}
	u.since[id] = now
}

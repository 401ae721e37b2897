package keyring

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sealfield/sealfield/internal/flight"
)

// roots are the root keys that a process knows.
type roots struct {
	mu      sync.Mutex
	byID    map[KeyID]root
	unwraps flight.Group[KeyID, *rootKey]
}

type root struct {
	row    Root
	key    *rootKey      // nil until it was unwrapped
	proven time.Duration // when a KMS was last asked for it and gave it
	seen   time.Duration // when the row was last accepted

	failed   error         // of the last attempt to unwrap it
	failedAt time.Duration // when that ended
	failures int           // in a row
}

// A root that could not be unwrapped coldTries times in a row is tried once per
// coldPause: a process that starts without the right to it, or in an outage, and
// is asked to serve, must not flood the KMS that others need.
const (
	coldTries = 20
	coldPause = time.Second
)

func (r *root) failing(now time.Duration) bool {
	return r.key == nil && r.failures >= coldTries && now-r.failedAt < coldPause
}

// outage returns why no key of the purpose can be had now, without a look at the
// store, if that is certain: each root that was needed is failing.
func (rs *roots) outage(p Purpose, now time.Duration) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var failed error
	for _, r := range rs.byID {
		switch {
		case r.row.Purpose != p || r.row.State == RootDestroyed || r.key == nil && r.failed == nil:
		case !r.failing(now):
			return nil
		default:
			failed = r.failed
		}
	}
	return failed
}

func (rs *roots) get(id KeyID) (root, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r, ok := rs.byID[id]
	return r, ok
}

// all returns the roots by purpose and version.
func (rs *roots) all() []root {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.SortedFunc(maps.Values(rs.byID), func(a, b root) int {
		return cmp.Or(cmp.Compare(a.row.Purpose.index(), b.row.Purpose.index()), cmp.Compare(a.row.Version, b.row.Version))
	})
}

// keep keeps the outcome of an attempt to unwrap a root: the key and when the
// attempt began, or the failure and when it ended.
func (rs *roots) keep(id KeyID, key *rootKey, failed error, at time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r, ok := rs.byID[id]
	switch {
	case !ok:
		return
	case failed != nil:
		r.failed, r.failedAt, r.failures = failed, at, r.failures+1
	default:
		r.key, r.failed, r.failures, r.proven = key, nil, 0, max(r.proven, at)
	}
	rs.byID[id] = r
}

// forget wipes a root's key: it is unwrapped again when it is used again.
func (rs *roots) forget(id KeyID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r, ok := rs.byID[id]; ok {
		r.key = nil
		rs.byID[id] = r
	}
}

// proven returns, per purpose, since when at least one of the roots in use was
// not confirmed by a KMS; the distant future if none is in use.
func (rs *roots) proven() (since [4]time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := range since {
		since[i] = math.MaxInt64
	}
	for _, r := range rs.byID {
		if i := r.row.Purpose.index(); r.key != nil {
			since[i] = min(since[i], r.proven)
		}
	}
	return since
}

// newest returns the root of the highest version.
func (rs *roots) newest(p Purpose) (root, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var best root
	for _, r := range rs.byID {
		if r.row.Purpose == p && r.row.Version > best.row.Version {
			best = r
		}
	}
	return best, best.row.Version > 0
}

func (rs *roots) wipe() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	clear(rs.byID)
}

// mergeRoots takes over what a load that began at asOf has seen. A root that
// was unwrapped keeps its proven fields whatever the store says later.
func (kr *Keyring) mergeRoots(rows []Root, asOf time.Duration) error {
	rs := &kr.roots
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byID == nil {
		rs.byID = make(map[KeyID]root)
	}
	var refused error
	present := make(map[KeyID]bool)
	for _, row := range rows {
		present[row.ID] = true
		old, known := rs.byID[row.ID]
		back := known && (row.Revision < old.row.Revision || old.row.State == RootDestroyed && row.State != RootDestroyed)
		switch {
		case row.Keyring != kr.name, row.Settings != kr.settings, known && old.key != nil && !sameRoot(&row, &old.row),
			back && old.seen < asOf:
			refused = also(refused, rootError(&row, ErrTampered))
		case !back:
			old.row, old.seen = row, kr.mono()
			rs.byID[row.ID] = old
		}
	}
	for id, r := range rs.byID {
		if !present[id] && r.seen < asOf {
			refused = also(refused, rootError(&r.row, ErrVanished))
			if r.key == nil { // it may never have been genuine: say it once
				delete(rs.byID, id)
			}
		}
	}
	return refused
}

// overtake reports whether a load that began at asOf knows a root that was destroyed
// since then: the keys that it shows under that one have been moved.
func (rs *roots) overtake(rows []Root, asOf time.Duration) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.ContainsFunc(rows, func(row Root) bool {
		known := rs.byID[row.ID]
		return known.row.State == RootDestroyed && row.State != RootDestroyed && known.seen >= asOf
	})
}

func sameRoot(a, b *Root) bool {
	return a.Keyring == b.Keyring && a.Purpose == b.Purpose && a.Version == b.Version && a.ID == b.ID &&
		a.CreatedAt.Equal(b.CreatedAt) && a.Settings == b.Settings && bytes.Equal(a.Check, b.Check)
}

// rootKey returns the wrapping key of a root, unwrapping it at most once. An
// attempt that failed after since is not repeated, so that a load of many keys
// waits only once for a KMS that hangs; nor is one of a root that is failing. It
// does not depend on ctx once it has begun.
func (kr *Keyring) rootKey(ctx context.Context, id KeyID, since time.Duration) (*rootKey, error) {
	r, ok := kr.roots.get(id)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: its root key %s is not in the store", ErrTampered, id)
	case r.key != nil:
		return r.key, nil
	case r.row.State == RootDestroyed:
		return nil, rootError(&r.row, fmt.Errorf("%w: it is destroyed", ErrTampered))
	case r.failed != nil && r.failedAt > since, r.failing(kr.mono()):
		return nil, r.failed
	}
	key, _, err := kr.roots.unwraps.Do(ctx, id, func() (*rootKey, error) {
		if r, ok := kr.roots.get(id); ok && r.key != nil {
			return r.key, nil
		}
		return kr.unwrapRoot(&r.row)
	})
	return key, err
}

// unwrapRoot asks the KMSs for the root r and keeps the outcome. A failure does
// not make a key useless that was unwrapped before: that is for the graces.
func (kr *Keyring) unwrapRoot(r *Root) (*rootKey, error) {
	asOf := kr.mono()
	secret, _, err := kr.unwrapSecret(kr.ctx, kr.keks[r.Purpose], r)
	if err != nil {
		kr.roots.keep(r.ID, nil, err, kr.mono())
		return nil, err
	}
	defer clear(secret)
	key, err := newRootKey(secret, r)
	if err != nil {
		return nil, err
	}
	kr.roots.keep(r.ID, key, nil, asOf)
	kr.updateClock()
	return key, nil
}

// madeRoot is a root key that this process has made.
type madeRoot struct {
	row Root
	key *rootKey
	at  time.Duration // when the KMSs were asked to wrap it
}

// newRoot makes a root key and has it wrapped by every KMS of the purpose.
func (kr *Keyring) newRoot(ctx context.Context, p Purpose, version int, id KeyID, createdAt time.Time) (madeRoot, error) {
	made := madeRoot{at: kr.mono(), row: Root{Keyring: kr.name, Purpose: p, Version: version, ID: id, State: RootOpen,
		CreatedAt: wholeMicros(createdAt), Settings: kr.settings, Revision: 1}}
	secret := newSecret()
	defer clear(secret)
	var err error
	if made.row.Check, err = rootCheck(secret, &made.row); err != nil {
		return made, err
	}
	if err := kr.wrapByAll(ctx, secret, &made.row); err != nil {
		return made, err
	}
	made.key, err = newRootKey(secret, &made.row)
	return made, err
}

// add takes over a root that the store has taken.
func (rs *roots) add(r madeRoot, seen time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byID == nil {
		rs.byID = make(map[KeyID]root)
	}
	rs.byID[r.row.ID] = root{row: r.row, key: r.key, proven: r.at, seen: seen}
}

func rootError(r *Root, err error) error {
	return &KeyError{Keyring: r.Keyring, Purpose: r.Purpose, ID: r.ID, Err: fmt.Errorf("root key: %w", err)}
}

package keyring

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealfield/sealfield/internal/secret"
)

const loadBatch = 1000 // targets per Store.Load of a refresh

// loadStore reads the store, takes over its clock and merges the roots. The
// returned error may come with what was loaded: then it is about single roots.
func (kr *Keyring) loadStore(ctx context.Context, targets []Target) (Loaded, error) {
	asOf := kr.mono()
	loaded, err := bounded(ctx, kr.timeout, func(ctx context.Context) (Loaded, error) {
		return kr.store.Load(ctx, kr.name, targets)
	})
	if err != nil {
		return Loaded{}, storeError(err)
	}
	kr.setClock(loaded.Now)
	return loaded, kr.mergeRoots(loaded.Roots, asOf)
}

// load reads the targets' keys from the store and merges them into memory.
func (kr *Keyring) load(ctx context.Context, targets []Target) error {
	asOf := kr.mono()
	loaded, err := kr.loadStore(ctx, targets)
	if loaded.Now.IsZero() {
		return err
	}
	if err != nil {
		kr.alarm(err)
	}
	rows := make(map[Target][]Key)
	for _, k := range loaded.Keys {
		t := Target{k.Scope, k.Purpose}
		rows[t] = append(rows[t], k)
	}
	failed := err
	for _, t := range targets {
		if err := kr.merge(ctx, t, rows[t], loaded.Erased[t.Scope], asOf); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// loadOne loads one target, together with everybody else who wants it now, and
// returns its entry, or nil if it has no key. It sees all that was in the store
// before the call.
func (kr *Keyring) loadOne(ctx context.Context, t Target) (*entry, error) {
	var e *entry
	joined, err := true, error(nil)
	for try := 0; joined && try < 2; try++ {
		e, joined, err = kr.loads.Do(ctx, t, func() (*entry, error) {
			err := kr.load(kr.ctx, []Target{t})
			e := kr.entry(t.Purpose, t.Scope)
			if kr.staleness.Load() == closed {
				err = fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
			}
			if e != nil {
				// What is wrong with single keys is said when they are used.
				var bad *KeyError
				if errors.As(err, &bad) {
					err = nil
				}
			}
			return e, err
		})
	}
	return e, err
}

// merge takes over what a load that began at asOf has seen of a target. It
// never makes things worse than they are in memory: a row that is edited,
// rolled back or gone leaves the key in memory readable and in doubt. The
// error tells of such rows; a target of which no key could be had for want of
// a KMS is not kept at all.
//
// Loads may overlap and arrive in any order. Absence or age in this load
// counts against a key only if the load began after the key was last seen.
func (kr *Keyring) merge(ctx context.Context, t Target, rows []Key, erased bool, asOf time.Duration) error {
	e := kr.entry(t.Purpose, t.Scope)
	if e == nil {
		if len(rows) == 0 && !erased && t.Purpose != Encryption {
			return nil // the absence of a key is not remembered
		}
		e = &entry{target: t}
		e.keys.Store(newSnapshot(nil, nil, 0, time.Time{}))
	}
	failed := kr.update(ctx, e, rows, erased, asOf)
	if len(rows) > 0 && len(e.keys.Load().keys) == 0 {
		return failed
	}
	if kr.keep(e) != e {
		e.close()
		return kr.merge(ctx, t, rows, erased, asOf)
	}
	if kr.staleness.Load() == closed {
		kr.drop(e)
	}
	return failed
}

// update is merge for an entry that is there.
func (kr *Keyring) update(ctx context.Context, e *entry, rows []Key, erased bool, asOf time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, old := e.target, e.keys.Load()
	var keys []*dek
	var failed error
	outage := len(rows) > 0
	for _, row := range rows {
		k := kr.accept(ctx, old.find(row.ID), row, asOf)
		outage = outage && k.retry
		failed = errors.Join(failed, kr.report(old.find(row.ID), k))
		keys = append(keys, k)
	}
	for _, k := range old.keys {
		if slices.ContainsFunc(rows, func(r Key) bool { return r.ID == k.row.ID }) || !k.authentic {
			continue
		}
		gone := *k
		if k.seen < asOf {
			gone.doubt = keyError(&k.row, fmt.Errorf("%w: the row is gone", ErrTampered))
		}
		failed = errors.Join(failed, kr.report(k, &gone))
		keys = append(keys, &gone)
	}
	if outage && len(old.keys) == 0 {
		return failed
	}
	tombstone := old.erased
	if erased {
		tombstone = &KeyError{Keyring: kr.name, Scope: t.Scope, Purpose: t.Purpose, Err: ErrErased}
		for _, k := range keys {
			k.forget()
		}
	}
	e.keys.Store(newSnapshot(keys, tombstone, max(asOf, old.asOf), kr.now()))
	return failed
}

// accept decides what a row of the store means for the key that is in memory,
// old, if there is one.
func (kr *Keyring) accept(ctx context.Context, old *dek, row Key, asOf time.Duration) *dek {
	if old == nil || !old.authentic {
		return kr.open(ctx, row)
	}
	kept := *old
	switch {
	case sameKey(&row, &old.row):
		kept.doubt, kept.seen = nil, kr.mono()
		return &kept
	case row.Revision <= old.row.Revision:
		if old.seen < asOf {
			kept.doubt = keyError(&row, fmt.Errorf("%w: the row was edited or rolled back", ErrTampered))
		}
		return &kept
	}
	next := kr.open(ctx, row)
	switch {
	case next.retry:
		return &kept
	case !next.authentic, old.final() && next.row.State != old.row.State && next.row.State != KeyDestroyed, !next.continues(old):
		next.forget()
		kept.doubt = keyError(&row, fmt.Errorf("%w: the row was edited", ErrTampered))
		return &kept
	}
	if old.material != nil && next.material != nil {
		next.forget()
		next.material = old.material
	} else {
		old.forget()
	}
	return next
}

// final reports whether k is in a state that it may leave for Destroyed only.
func (k *dek) final() bool { return k.row.State == KeyCompromised || k.row.State == KeyDestroyed }

// continues reports whether k is the same key as old, as far as can be seen.
func (k *dek) continues(old *dek) bool {
	return k.row.Version == old.row.Version && k.row.Algorithm == old.row.Algorithm &&
		(k.material == nil || old.material == nil || k.material.equal(old.material))
}

func (k *dek) forget() {
	if k.material != nil {
		k.material.close()
	}
}

func (m *Material) equal(other *Material) bool {
	m.mu.Lock()
	a := slices.Clone(m.secret.Expose())
	m.mu.Unlock()
	defer clear(a)
	other.mu.Lock()
	defer other.mu.Unlock()
	return subtle.ConstantTimeCompare(a, other.secret.Expose()) == 1
}

func sameKey(a, b *Key) bool {
	return a.Keyring == b.Keyring && a.Scope == b.Scope && a.Purpose == b.Purpose && a.Version == b.Version && a.ID == b.ID &&
		a.Algorithm == b.Algorithm && a.State == b.State && a.CreatedAt.Equal(b.CreatedAt) && a.ActivateAt.Equal(b.ActivateAt) &&
		a.Root == b.Root && a.Revision == b.Revision && bytes.Equal(a.Wrapped, b.Wrapped)
}

// open proves and unwraps one row.
func (kr *Keyring) open(ctx context.Context, row Key) *dek {
	refused := &dek{row: row}
	rk, err := kr.rootKey(ctx, row.Root)
	if err != nil {
		refused.err, refused.retry = keyError(&row, err), !errors.Is(err, ErrTampered)
		return refused
	}
	if row.Keyring != kr.name || !row.ID.Valid() {
		refused.err = keyError(&row, ErrTampered)
		return refused
	}
	bytes, err := rk.unwrap(&row)
	if err != nil {
		refused.err = keyError(&row, err)
		return refused
	}
	k := &dek{row: row, authentic: true, seen: kr.mono()}
	switch {
	case row.State == KeyDestroyed:
		k.err = keyError(&row, ErrErased)
	case row.State == KeySuspended:
		k.err = keyError(&row, ErrSuspended)
	case row.State != KeyEnabled && row.State != KeyCompromised,
		row.Purpose == Encryption && row.Algorithm != XAES256GCM && row.Algorithm != AES256GCM:
		k.err = keyError(&row, fmt.Errorf("%w: state %q or algorithm %q is of a newer release", ErrUnavailable, row.State, row.Algorithm))
	default:
		k.material = &Material{kr: kr, key: row, secret: secret.New(bytes)}
		return k
	}
	clear(bytes)
	return k
}

// report returns what is wrong with k, and raises an alarm if that is news.
func (kr *Keyring) report(old, k *dek) error {
	bad := k.doubt
	if !k.authentic {
		bad = k.err
	}
	if bad != nil && (old == nil || old.authentic && old.doubt == nil) {
		kr.alarm(bad)
	}
	return bad
}

func (kr *Keyring) alarm(err error) {
	kr.log.Error("sealfield: key refused", "keyring", kr.name, "error", err)
}

// Refresh reads the store now: new keys, changed states, tombstones. Afterwards
// this process knows everything that was in the store before the call. The
// keyring does it by itself at every RefreshEvery; call it when the process
// wakes from a freeze. It returns an error if the store was out of reach, or if
// rows of it were refused, which then names them; keys that were in memory
// stay usable for reading either way.
func (kr *Keyring) Refresh(ctx context.Context) error {
	if kr.staleness.Load() == closed {
		return fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	}
	joined, err := true, error(nil)
	for try := 0; joined && try < 2; try++ {
		_, joined, err = kr.refreshes.Do(ctx, struct{}{}, func() (struct{}, error) { return struct{}{}, kr.refreshAll() })
	}
	if err != nil {
		return fmt.Errorf("keyring: refresh %s: %w", kr.name, err)
	}
	return nil
}

func (kr *Keyring) refreshAll() error {
	asOf := kr.mono()
	var targets []Target
	for _, e := range kr.entries() {
		targets = append(targets, e.target)
	}
	var refused error
	for first := true; first || len(targets) > 0; first = false {
		n := min(len(targets), loadBatch)
		err := kr.load(kr.ctx, targets[:n])
		var bad *KeyError
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		refused = errors.Join(refused, err)
		targets = targets[n:]
	}
	kr.mu.Lock()
	kr.refreshed = max(kr.refreshed, asOf)
	kr.mu.Unlock()
	kr.updateClock()
	return refused
}

// close wipes the entry's keys.
func (e *entry) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.keys.Load().keys {
		k.forget()
	}
}

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

const loadBatch = 1000 // targets per Store.Load of a refresh or a Preload

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
	if loaded.Now.IsZero() {
		return Loaded{}, fmt.Errorf("%w: the store did not tell its time", ErrUnavailable)
	}
	kr.setClock(loaded.Now, asOf)
	return loaded, kr.mergeRoots(loaded.Roots, asOf)
}

// load reads the targets' keys from the store and merges them into memory. It
// returns an entry for each target, nil for one without a key; it may be evicted by
// now. roots tells of root keys that were refused, of whatever purpose; err of the
// rest.
func (kr *Keyring) load(ctx context.Context, targets []Target) (entries []*entry, roots, err error) {
	asOf := kr.mono()
	loaded, roots := kr.loadStore(ctx, targets)
	switch {
	case loaded.Now.IsZero():
		return nil, nil, roots
	case kr.roots.overtake(loaded.Roots, asOf):
		return kr.load(ctx, targets)
	}
	rows := make(map[Target][]Key)
	for _, k := range loaded.Keys {
		t := Target{k.Scope, k.Purpose}
		rows[t] = append(rows[t], k)
	}
	entries = make([]*entry, len(targets))
	var refused refusals
	for i, t := range targets {
		e, failed := kr.merge(ctx, t, rows[t], loaded.Erased[t.Scope], asOf)
		if failed == errOutdated {
			again, _, err := kr.load(ctx, []Target{t})
			if again == nil {
				return nil, roots, err
			}
			e, failed = again[0], err
		}
		entries[i] = e
		refused.add(failed)
	}
	return entries, roots, refused.err()
}

// errOutdated says that the scope that a load was about was erased since it began,
// or may have been.
var errOutdated = errors.New("keyring: load again")

// joinLoad loads one target, together with everybody else who wants it now, and
// returns its entry, empty or nil if it has no key. What is wrong with single keys is
// said when they are used. joined says that the load had begun before the call.
func (kr *Keyring) joinLoad(ctx context.Context, t Target) (e *entry, joined bool, err error) {
	return kr.loads.Do(ctx, t, func() (*entry, error) {
		entries, _, err := kr.load(kr.ctx, []Target{t}) // a root that matters is missed by its keys
		switch {
		case kr.isClosed():
			return nil, fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
		case entries == nil || entries[0] == nil:
			return nil, err
		case isKeyError(err):
			err = nil
		}
		return entries[0], err
	})
}

// loadOne is joinLoad that sees all that was in the store before the call.
func (kr *Keyring) loadOne(ctx context.Context, t Target) (*entry, error) {
	e, joined, err := kr.joinLoad(ctx, t)
	if joined && err == nil {
		e, _, err = kr.joinLoad(ctx, t) // this one has begun since
	}
	return e, err
}

func isKeyError(err error) bool {
	_, ok := errors.AsType[*KeyError](err)
	return ok
}

// merge takes over what a load that began at asOf has seen of a target. It
// never makes things worse than they are in memory: a row that is edited,
// rolled back or gone leaves the key in memory readable and in doubt. The
// error tells of such rows; a target of which no key could be had for want of
// a KMS is not kept at all. The entry is returned because it may be evicted before
// anybody finds it.
//
// Loads may overlap and arrive in any order. Absence or age in this load
// counts against a key only if the load began after the key was last seen.
func (kr *Keyring) merge(ctx context.Context, t Target, rows []Key, erased bool, asOf time.Duration) (*entry, error) {
	e := kr.entry(t.Purpose, t.Scope)
	if e == nil {
		e = &entry{target: t}
		e.keys.Store(newSnapshot(nil, nil, 0, time.Time{}, 0))
	}
	failed, ok := kr.update(ctx, e, rows, erased, asOf)
	if !ok { // it was evicted or dropped meanwhile
		return kr.merge(ctx, t, rows, erased, asOf)
	}
	if len(rows) > 0 && len(e.keys.Load().keys) == 0 {
		kr.drop(e) // it may be an entry that says that there is no key
		return nil, failed
	}
	if kept := kr.keep(e); kept != e {
		e.close()
		if kept == nil && kr.settings.Scoped && e.outdated(&kr.erasures) {
			return nil, errOutdated
		}
		return kr.merge(ctx, t, rows, erased, asOf)
	}
	if kr.isClosed() {
		kr.drop(e)
	}
	return e, failed
}

// update is merge for an entry that is there. It is not ok if the entry is
// closed: then nothing was changed.
func (kr *Keyring) update(ctx context.Context, e *entry, rows []Key, erased bool, asOf time.Duration) (failed error, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, false
	}
	old := e.keys.Load()
	var keys []*dek
	outage := len(rows) > 0
	missed := make(map[KeyID]bool) // root keys: one that fails is named once, not for each of its keys
	for _, row := range rows {
		k, unseen := kr.accept(ctx, old.find(row.ID), row, asOf)
		outage = outage && k.retry
		bad := kr.report(old.find(row.ID), k)
		if k.retry && missed[row.Root] {
			bad = nil
		}
		missed[row.Root] = missed[row.Root] || k.retry
		failed = also(failed, also(unseen, bad))
		keys = append(keys, k)
	}
	for _, k := range old.keys {
		if slices.ContainsFunc(rows, func(r Key) bool { return r.ID == k.row.ID }) || !k.authentic {
			continue
		}
		gone := *k
		if k.seen < asOf {
			gone.doubt = keyError(&k.row, ErrVanished)
		}
		failed = also(failed, kr.report(k, &gone))
		keys = append(keys, &gone)
	}
	if outage && len(old.keys) == 0 && !erased {
		return failed, true
	}
	kr.replace(e, keys, erased, asOf)
	return failed, true
}

// replace makes keys what is known of e's target, and wipes what is not kept. A
// tombstone that was seen once stays. The caller holds e.mu.
func (kr *Keyring) replace(e *entry, keys []*dek, erased bool, asOf time.Duration) {
	old := e.keys.Load()
	tombstone := old.erased
	if erased {
		tombstone = &KeyError{Keyring: kr.name, Scope: e.target.Scope, Purpose: e.target.Purpose, Err: ErrErased}
	}
	kept := keys
	if tombstone != nil {
		kept = withoutMaterial(keys)
	}
	next := newSnapshot(kept, tombstone, max(asOf, old.asOf), kr.now(), old.reached)
	e.keys.Store(next)
	if !old.serves(next) {
		e.endShortcuts()
	}
	kr.tell(e.target, old, next)
	// Wipe only now: who finds a key wiped looks again, and must find
	// another snapshot then.
	for _, k := range slices.Concat(old.keys, keys) {
		if !slices.ContainsFunc(kept, func(kept *dek) bool { return kept.material == k.material }) {
			k.forget()
		}
	}
}

// withoutMaterial returns the keys of a scope that has a tombstone.
func withoutMaterial(keys []*dek) []*dek {
	erased := make([]*dek, len(keys))
	for i, k := range keys {
		e := *k
		if e.material != nil {
			e.material, e.err = nil, keyError(&k.row, ErrErased)
		}
		erased[i] = &e
	}
	return erased
}

// accept decides what a row of the store means for the key that is in memory,
// old, if there is one. unseen tells of a row that could not be judged, so that
// old was kept as it is.
func (kr *Keyring) accept(ctx context.Context, old *dek, row Key, asOf time.Duration) (k *dek, unseen error) {
	if old == nil || !old.authentic {
		return kr.open(ctx, row, asOf), nil
	}
	kept := *old
	switch {
	case sameKey(&row, &old.row):
		kept.doubt, kept.seen = nil, kr.mono()
		return &kept, nil
	case row.Revision <= old.row.Revision:
		if old.seen < asOf {
			kept.doubt = keyError(&row, fmt.Errorf("%w: the row was edited or rolled back", ErrTampered))
		}
		return &kept, nil
	}
	next := kr.open(ctx, row, asOf)
	switch {
	case next.retry && errors.Is(next.err, ErrUnavailable):
		return &kept, next.err
	case next.retry:
		kept.doubt = keyError(&row, fmt.Errorf("%w: the row was edited, or the KMS refuses its root key: %w", ErrTampered, next.err))
		return &kept, nil
	case !next.authentic, old.final() && next.row.State != old.row.State && next.row.State != KeyDestroyed, !next.continues(old):
		next.forget()
		kept.doubt = keyError(&row, fmt.Errorf("%w: the row was edited", ErrTampered))
		return &kept, nil
	}
	if old.material != nil && next.material != nil {
		next.forget()
		next.material = old.material
	}
	return next, nil
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

// open proves and unwraps one row, for a load that began at asOf.
func (kr *Keyring) open(ctx context.Context, row Key, asOf time.Duration) *dek {
	refused := &dek{row: row}
	switch r, known := kr.roots.get(row.Root); {
	case row.Keyring != kr.name || !row.ID.Valid():
		refused.err = keyError(&row, ErrTampered)
		return refused
	case !known || r.row.Purpose != row.Purpose:
		refused.err = keyError(&row, fmt.Errorf("%w: the store has no root key %s of this purpose", ErrTampered, row.Root))
		return refused
	}
	rk, err := kr.rootKey(ctx, row.Root, asOf)
	if err != nil {
		// Even a wrong answer: the next one of the KMS may be right.
		refused.err, refused.retry = keyError(&row, err), true
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
		k.destroyedAt, k.destroyedBy, _ = parseTombstone(bytes)
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
	if bad != nil && !k.retry && (old == nil || old.authentic && old.doubt == nil) {
		kr.alarm(bad)
	}
	return bad
}

// Refresh reads the store now: new keys, changed states, tombstones. Afterwards
// this process knows everything that was in the store before the call. It also
// asks the KMS again for root keys that are due (see Config.EncryptGrace). The
// keyring does both by itself; call it when the process wakes from a freeze. It
// returns an error if the store or the KMS was out of reach, or if rows of the
// store were refused, the first 20 of which it then names; keys that were in memory
// stay usable for reading either way, until the graces end.
func (kr *Keyring) Refresh(ctx context.Context) error {
	return errors.Join(kr.refreshStore(ctx), kr.renewRoots(ctx))
}

func (kr *Keyring) refreshStore(ctx context.Context) error {
	if kr.isClosed() {
		return fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	}
	joined, err := true, error(nil)
	for try := 0; joined && err == nil && try < 2; try++ {
		_, joined, err = kr.refreshes.Do(ctx, struct{}{}, func() (struct{}, error) {
			err := kr.refreshAll()
			kr.mu.Lock()
			kr.refusal = err
			kr.mu.Unlock()
			return struct{}{}, err
		})
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
	var refused refusals
	for first := true; first || len(targets) > 0; first = false {
		n := min(len(targets), loadBatch)
		_, roots, err := kr.load(kr.ctx, targets[:n])
		if err != nil && !isKeyError(err) {
			return err
		}
		if first && roots != nil {
			kr.alarm(roots)
			refused.add(roots)
		}
		refused.add(err)
		for _, t := range targets[:n] {
			if e := kr.entry(t.Purpose, t.Scope); e != nil {
				kr.current(e, kr.now())
			}
		}
		targets = targets[n:]
	}
	kr.alarmMore()
	kr.mu.Lock()
	kr.refreshed = max(kr.refreshed, asOf)
	kr.mu.Unlock()
	kr.updateClock()
	return refused.err()
}

// close wipes the entry's keys.
func (e *entry) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.shortMu.Lock()
	e.shortClosed = true
	e.shortMu.Unlock()
	e.endShortcuts()
	for _, k := range e.keys.Load().keys {
		k.forget()
	}
}

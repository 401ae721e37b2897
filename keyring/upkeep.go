package keyring

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// This file is what a keyring does about root keys in the background.

// renewAfter is the age at which the KMS is asked again for a root key: early
// enough to try many times before a grace ends.
func (s Settings) renewAfter() time.Duration { return min(s.EncryptGrace, s.DecryptGrace) / 2 }

func (kr *Keyring) upkeep() {
	every := min(kr.refreshEvery, kr.settings.renewAfter()/4)
	told := make(map[KeyID]bool)
	for {
		select {
		case <-kr.ctx.Done():
			return
		case <-time.After(jitter(every)):
		}
		_ = kr.renewRoots(kr.ctx) // kept with the root, and told by note
		if kr.allowMissing {
			kr.heal(told)
		}
		if kr.rotateEvery > 0 {
			kr.rotateDue()
		}
	}
}

// rotateBatch bounds the keys that are rotated in one round of upkeep: scopes that
// were made on one day shall not all be rotated in one minute.
const rotateBatch = 100

// rotateDue rotates the keys for encryption that will have been active for
// rotateEvery when the next one is. Of processes that find the same, one wins.
func (kr *Keyring) rotateDue() {
	age := kr.rotateEvery - kr.settings.PropagationDelay
	done := 0
	for _, e := range kr.entries() {
		if e.target.Purpose != Encryption {
			continue
		}
		s, now := kr.current(e, kr.now()), kr.now()
		if s.active == nil || s.active != s.newest() || now.Sub(s.active.row.ActivateAt) < age {
			continue
		}
		_, err := kr.addVersion(kr.ctx, e.target, s.active.row.Version, kr.settings.PropagationDelay)
		switch {
		case kr.ctx.Err() != nil:
			return
		case errors.Is(err, ErrErased): // since the last refresh
			continue
		case err != nil: // one for all: what keeps this key keeps the others, too
			if kr.rotateFailed == nil {
				kr.log.Warn("sealfield: rotation by age failed", "keyring", kr.name, "error", err)
			}
			kr.rotateFailed = err
			return
		}
		kr.rotateFailed = nil
		if done++; done == rotateBatch {
			return
		}
	}
}

// renewRoots asks the KMS again for each root key in use that is due, all at
// once, and forgets those that are in use no more.
func (kr *Keyring) renewRoots(ctx context.Context) error {
	var wg sync.WaitGroup
	roots := kr.roots.all()
	errs := make([]error, len(roots))
	used := kr.usedRoots(roots)
	for i, r := range roots {
		switch {
		case r.key == nil:
		case !used[r.row.ID]:
			kr.roots.forget(r.row.ID)
		case kr.mono()-r.proven >= kr.settings.renewAfter():
			wg.Go(func() {
				_, _, errs[i] = kr.roots.unwraps.Do(ctx, r.row.ID, func() (*rootKey, error) { return kr.unwrapRoot(&r.row) })
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// usedRoots returns those of all roots that wrap a key in memory, or are the newest
// of their purpose and will wrap the next one. A destroyed root is not among them,
// though a key that vanished from the store may have been under it: no KMS can
// confirm it any more, and its purpose must not go stale for that.
func (kr *Keyring) usedRoots(all []root) map[KeyID]bool {
	used := make(map[KeyID]bool)
	for i, r := range all { // by purpose and ascending version
		if i == len(all)-1 || all[i+1].row.Purpose != r.row.Purpose {
			used[r.row.ID] = true
		}
	}
	if slices.ContainsFunc(all, func(r root) bool { return r.key != nil && !used[r.row.ID] }) {
		for _, e := range kr.entries() {
			for _, k := range e.keys.Load().keys {
				used[k.row.Root] = true
			}
		}
	}
	for _, r := range all {
		if r.row.State == RootDestroyed {
			delete(used, r.row.ID)
		}
	}
	return used
}

// heal adds the wraps that are missing in the store, by the KMSs of the Config
// that are not known to be out of reach. Of a root that can not be healed it
// tells once, and remembers it in told.
func (kr *Keyring) heal(told map[KeyID]bool) {
	begun := kr.mono()
	for _, r := range kr.roots.all() {
		log := kr.log.With("keyring", kr.name, "purpose", r.row.Purpose, "key", r.row.ID.String())
		switch by, err := kr.healRoot(r.row, begun); {
		case by != nil:
			log.Info("sealfield: missing wrap added", "kms", by.URI())
			delete(told, r.row.ID)
		case err != nil && !told[r.row.ID] && !errors.Is(err, ErrConflict) && kr.ctx.Err() == nil:
			log.Warn("sealfield: missing wrap not added", "error", err)
			told[r.row.ID] = true
		}
	}
}

// healRoot adds one wrap that r misses, by the first KMS that can: one that can
// not does not keep it from the others, of which the next round adds the next.
// A KMS that refused another root of this round may serve this one.
func (kr *Keyring) healRoot(r Root, begun time.Duration) (by *kek, failed error) {
	for _, k := range kr.keks[r.Purpose] {
		isMissing := slices.ContainsFunc(r.Wraps, func(w Wrap) bool { return w.URI == k.URI() && len(w.Wrapped) == 0 })
		if !isMissing || k.paused(kr.mono()) && !k.refusedSince(begun) {
			continue
		}
		next, err := kr.rewrap(kr.ctx, r, kr.keks[r.Purpose], []*kek{k}, nil)
		if err == nil {
			err = kr.updateRoot(kr.ctx, next)
		}
		if err == nil {
			return k, nil
		}
		failed = join(failed, err)
	}
	return nil, failed
}

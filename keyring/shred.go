package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ShredOptions says who shreds a scope.
type ShredOptions struct {
	// By goes into the tombstones of the keys: a person, a ticket. 1 to 200
	// bytes of UTF-8. Required.
	By string
}

// ShredReport is what Shred erased, and what it could not.
type ShredReport struct {
	Scope string
	At    time.Time // when the last key was destroyed, by the store's clock, within twice Config.Timeout; a backup from before has it
	Keys  []KeyInfo // all keys of the scope, of every purpose, destroyed

	// Roots are the root keys under which the keys were, or may have been before
	// a RotateRoot, by purpose, destroyed ones included. Who may use one of them
	// and has a copy of the store from before At can bring the keys back: this is
	// the horizon of the erasure. It is reached when the last such copy is gone,
	// or when every KMS denies each of these root keys, whose ids are in the
	// encryption context. RotateRoot first moves what is not erased from there.
	Roots map[Purpose][]KeyID

	// Remains says what no keyring can erase.
	Remains []string
}

// remains is what Shred says of every scope.
var remains = []string{
	"backups and replicas of the store from before: until the last is gone, or every KMS denies the root keys in Roots",
	"keysets exported with TinkKeyset: whoever has one goes on to read",
	"tags, tokens and masked copies of the same values under other scopes, other keyrings and other masking keys",
	"plaintext that left Sealfield: logs, caches, exports, replicas of applications",
	"ciphertexts: they stay, unreadable, until their rows are deleted",
}

// Shred erases all keys of a scope, of every purpose, for ever: the right to be
// forgotten for a tenant or a data subject. It first writes a tombstone for the
// scope, which every insert of a key checks, and then destroys the keys one by
// one. When it returns without an error, every call of this process that starts
// from then on fails with ErrErased, and so does an Encrypt under way that would
// make the scope's first key. Other processes follow at their next refresh,
// within RefreshEvery; those cut off from the store within DecryptGrace.
//
// The tombstone takes effect also if the rest fails: for want of the store, of ctx,
// or of a root key that this process can not use. Calling it again finishes, and a scope that
// is erased stays so. A keyring that is not scoped has nothing to shred: see
// Destroy.
//
// The report says what is not erased.
func (kr *Keyring) Shred(ctx context.Context, scope string, opts ShredOptions) (ShredReport, error) {
	report := ShredReport{Scope: scope, Roots: make(map[Purpose][]KeyID), Remains: append([]string(nil), remains...)}
	switch {
	case !kr.settings.Scoped:
		return report, fmt.Errorf("keyring: shred %s: %w: the keyring is not scoped", kr.name, ErrScope)
	case !validBy(opts.By):
		return report, fmt.Errorf("keyring: shred %s: ShredOptions.By must be 1 to 200 bytes of UTF-8", kr.name)
	}
	var targets []Target
	for _, p := range purposes {
		targets = append(targets, Target{scope, p})
	}
	if err := kr.check(targets[0]); err != nil {
		return report, err
	}
	if err := kr.write(ctx, func(ctx context.Context) error { return kr.store.EraseScope(ctx, kr.name, scope) }); err != nil {
		return report, fmt.Errorf("keyring: shred %s: scope %q: %w", kr.name, scope, err)
	}
	kr.erase(targets)
	var failed error
	for _, t := range targets {
		failed = errors.Join(failed, kr.destroyAll(ctx, t, opts.By, &report))
	}
	if failed != nil {
		return report, fmt.Errorf("keyring: shred %s: scope %q has its tombstone, but: %w", kr.name, scope, failed)
	}
	return report, nil
}

// erase takes over the tombstone of a scope that is in the store now, whatever
// becomes of the loads that follow.
func (kr *Keyring) erase(targets []Target) {
	kr.erasures.add(targets[0].Scope, kr.mono()) // first, see outdated
	for _, t := range targets {
		e := kr.entry(t.Purpose, t.Scope)
		if e == nil {
			continue
		}
		e.mu.Lock()
		if s := e.keys.Load(); !e.closed {
			kr.replace(e, s.keys, true, s.asOf)
		}
		e.mu.Unlock()
	}
}

// destroyAll destroys the keys of a target whose scope has a tombstone. A key that
// is refused, or whose root key can not be had, keeps no other one.
func (kr *Keyring) destroyAll(ctx context.Context, t Target, by string, report *ShredReport) error {
	for range maxTries {
		e, err := kr.loadOne(ctx, t)
		if err != nil || e == nil {
			return kr.about(t, 0, err)
		}
		var rows []Key
		var infos []KeyInfo
		var refused error
		s := e.keys.Load()
		for _, k := range s.keys {
			switch err := k.bad(); {
			case err != nil:
				refused = errors.Join(refused, err)
				continue
			case k.row.State == KeyDestroyed:
				infos = append(infos, kr.info(s, k))
				continue
			}
			row, err := kr.inState(ctx, k.row, KeyDestroyed, by)
			if err != nil {
				refused = errors.Join(refused, keyError(&k.row, err))
				continue
			}
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			report.add(t.Purpose, infos, kr.roots.all())
			return refused
		}
		if err := kr.updateKeys(ctx, rows); err != nil && !errors.Is(err, ErrConflict) {
			return &KeyError{kr.name, t.Scope, t.Purpose, 0, err}
		}
	}
	return &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)}
}

// add reports the keys of one purpose. A key has been under no root that is newer
// than its own, but perhaps under any older one.
func (r *ShredReport) add(p Purpose, keys []KeyInfo, roots []root) {
	newest := 0
	for _, k := range keys {
		r.Keys = append(r.Keys, k)
		if k.DestroyedAt.After(r.At) {
			r.At = k.DestroyedAt
		}
		for _, known := range roots {
			if known.row.ID == k.Root {
				newest = max(newest, known.row.Version)
			}
		}
	}
	for _, known := range roots {
		if known.row.Purpose == p && known.row.Version <= newest {
			r.Roots[p] = append(r.Roots[p], known.row.ID)
		}
	}
}

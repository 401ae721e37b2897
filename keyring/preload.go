package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Preload loads the keys of many scopes, 1000 of them per query of the store, and
// unwraps what is not in memory yet: what follows then waits for nobody. It makes
// no keys, and a scope that has none is no error. It is for jobs that know their
// scopes; all others are loaded when they are first used.
//
// A process keeps at most 100,000 scopes per purpose; those that were not used
// for longest make room. The error joins what is wrong with single keys (each a
// *KeyError; the first few if they are many); the others are loaded all the same,
// unless the KMS of a root key is out of reach, where it stops.
func (kr *Keyring) Preload(ctx context.Context, p Purpose, scopes ...string) error {
	var targets []Target
	seen := make(map[string]bool)
	for _, scope := range scopes {
		t := Target{scope, p}
		if err := kr.check(t); err != nil {
			return err
		}
		if !seen[scope] && kr.entry(p, scope) == nil {
			targets = append(targets, t)
		}
		seen[scope] = true
	}
	var refused refusals
	for batch := range slices.Chunk(targets, loadBatch) {
		_, _, err := kr.load(ctx, batch) // a root that matters is missed by its keys
		switch {
		case kr.isClosed():
			return fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
		case err != nil && !isKeyError(err):
			return fmt.Errorf("keyring: preload %s: %w", kr.name, err)
		}
		refused.add(err)
		if errors.Is(err, ErrUnavailable) {
			break // the KMS, which every other batch would wait for again
		}
	}
	if err := refused.err(); err != nil {
		return fmt.Errorf("keyring: preload %s: %w", kr.name, err)
	}
	return nil
}

// Missing returns those of the ids that no key of the target has in the store, in
// their order and without repetitions. Given the ids that a column holds
// (select distinct substring(c from 2 for 4)), it is the list of what a store that
// was restored from an old backup has lost: values under these ids can not be
// read until their keys are back. Ids of destroyed keys are not missing.
func (kr *Keyring) Missing(ctx context.Context, t Target, ids []KeyID) ([]KeyID, error) {
	if err := kr.check(t); err != nil {
		return nil, err
	}
	loaded, err := kr.loadStore(ctx, []Target{t})
	if err != nil && !isKeyError(err) {
		return nil, fmt.Errorf("keyring: %s: %w", kr.name, err)
	}
	var missing []KeyID
	for _, id := range ids {
		found := slices.ContainsFunc(loaded.Keys, func(k Key) bool { return k.ID == id })
		if !found && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

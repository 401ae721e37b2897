package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RotateOptions says how to rotate. The zero value is the right one.
type RotateOptions struct {
	// Immediate makes the new key encrypt at once rather than after the
	// PropagationDelay. Other processes meet values under a key that they
	// have not loaded yet, and must fetch it first. It is refused for
	// purposes Index and Token, where they would miss rows instead.
	Immediate bool
}

// Rotate adds a key to the target. It encrypts once the PropagationDelay is
// over; older keys go on to decrypt. Rotate returns the new key's id. Of calls
// that race, in any number of processes, one makes the key and all return its
// id: Rotate adds to the newest key that this process knows, and if there is a
// newer one in the store by then, that one is the result.
func (kr *Keyring) Rotate(ctx context.Context, t Target, opts RotateOptions) (KeyID, error) {
	if opts.Immediate && (t.Purpose == Index || t.Purpose == Token) {
		return 0, fmt.Errorf("keyring: %s: keys of purpose %s can not be rotated at once: processes that have not loaded the new key would miss rows", kr.name, t.Purpose)
	}
	e, _, err := kr.loaded(ctx, t)
	if err != nil {
		return 0, err
	}
	from := 0
	if e != nil {
		if newest := e.keys.Load().newest(); newest != nil {
			from = newest.row.Version
		}
	}
	delay := kr.settings.PropagationDelay
	if opts.Immediate || from == 0 {
		delay = 0
	}
	return kr.addVersion(ctx, t, from, delay)
}

func (kr *Keyring) makeFirstKey(ctx context.Context, t Target) error {
	_, _, err := kr.firstKeys.Do(ctx, t, func() (struct{}, error) {
		_, err := kr.addVersion(kr.ctx, t, 0, 0)
		return struct{}{}, err
	})
	return err
}

// addVersion adds the version after from, or finds that somebody else did, and
// returns the id of the newest key.
func (kr *Keyring) addVersion(ctx context.Context, t Target, from int, delay time.Duration) (KeyID, error) {
	var inserted KeyID
	for range 10 {
		e, err := kr.loadOne(ctx, t)
		if err != nil {
			return 0, err
		}
		if e != nil {
			s := e.keys.Load()
			if s.erased != nil {
				return 0, s.erased
			}
			if s.find(inserted) != nil {
				return inserted, nil
			}
			if newest := s.newest(); newest != nil {
				if !newest.authentic {
					return 0, newest.err
				}
				if newest.row.Version > from {
					return newest.row.ID, nil
				}
			}
		}
		row, err := kr.newKey(ctx, t, from+1, delay)
		if err != nil {
			return 0, err
		}
		inserted = row.ID
		_, err = bounded(ctx, kr.timeout, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, kr.store.InsertKey(ctx, row)
		})
		if err != nil {
			err = storeError(err)
		}
		if errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			// Whether the row was written is not known: look again, once.
			if e, again := kr.loadOne(ctx, t); again == nil && e != nil && e.keys.Load().find(row.ID) != nil {
				return row.ID, nil
			}
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			return 0, &KeyError{kr.name, t.Scope, t.Purpose, 0, err}
		}
	}
	if e := kr.entry(t.Purpose, t.Scope); e != nil {
		if newest := e.keys.Load().newest(); newest != nil && newest.doubt != nil {
			return 0, newest.doubt // it is gone, and the store would use its version again
		}
	}
	return 0, &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)}
}

// newKey makes the row of a new key under the newest root.
func (kr *Keyring) newKey(ctx context.Context, t Target, version int, delay time.Duration) (Key, error) {
	r, ok := kr.roots.newest(t.Purpose)
	if !ok {
		return Key{}, &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: the purpose has no root key", ErrTampered)}
	}
	rk, err := kr.rootKey(ctx, r.row.ID, kr.mono())
	if err != nil {
		return Key{}, err
	}
	now := wholeMicros(kr.now())
	row := Key{Keyring: kr.name, Scope: t.Scope, Purpose: t.Purpose, Version: version, ID: newKeyID(),
		State: KeyEnabled, CreatedAt: now, ActivateAt: now.Add(delay), Revision: 1}
	if t.Purpose == Encryption {
		row.Algorithm = kr.algorithm
	}
	secret := newSecret()
	defer clear(secret)
	rk.wrap(&row, secret)
	return row, nil
}

// Keys reads the target's keys from the store and describes them by ascending
// version. If one of them fails authentication, it says which.
func (kr *Keyring) Keys(ctx context.Context, t Target) ([]KeyInfo, error) {
	if err := kr.check(t); err != nil {
		return nil, err
	}
	e, err := kr.loadOne(ctx, t)
	if err != nil || e == nil {
		return nil, err
	}
	now := kr.now()
	s := kr.current(e, now)
	var infos []KeyInfo
	for _, k := range s.keys {
		switch {
		case k.doubt != nil:
			return nil, k.doubt
		case !k.authentic:
			return nil, k.err
		}
		infos = append(infos, KeyInfo{ID: k.row.ID, Scope: k.row.Scope, Purpose: k.row.Purpose, Version: k.row.Version,
			State: s.state(k, now), Algorithm: k.row.Algorithm, CreatedAt: k.row.CreatedAt, ActivateAt: k.row.ActivateAt, Root: k.row.Root})
	}
	return infos, nil
}

package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxTries is how often a change that others overtake is tried again.
const maxTries = 10

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
	if opts.Immediate && t.Purpose.delayed() {
		return 0, fmt.Errorf("keyring: %s: keys of purpose %s can not be rotated at once: processes that have not loaded the new key would miss rows", kr.name, t.Purpose)
	}
	if err := kr.check(t); err != nil {
		return 0, err
	}
	e, _, err := kr.loaded(ctx, t)
	if err != nil {
		return 0, kr.about(t, 0, err)
	}
	from := 0
	if e != nil {
		s := e.keys.Load()
		if s.erased != nil {
			return 0, s.erased
		}
		if newest := s.newest(); newest != nil {
			from = newest.row.Version
		}
	}
	delay := kr.settings.PropagationDelay
	if opts.Immediate || from == 0 {
		delay = 0
	}
	return kr.addVersion(ctx, t, from, delay)
}

// makeFirstKey makes the first key of a target.
func (kr *Keyring) makeFirstKey(ctx context.Context, t Target) error {
	if err := kr.outage(t); err != nil {
		return err
	}
	_, _, err := kr.firstKeys.Do(ctx, t, func() (struct{}, error) {
		_, err := kr.addVersion(kr.ctx, t, 0, 0)
		return struct{}{}, err
	})
	return err
}

// mayAddScope limits the first keys per minute: scopes that nobody has seen before
// may come from outside.
func (kr *Keyring) mayAddScope() bool {
	kr.mu.Lock()
	defer kr.mu.Unlock()
	return kr.newScopes.take(kr.mono(), float64(kr.scopeRate)/60, float64(kr.scopeRate))
}

// addVersion adds the version after from, or finds that somebody else did, and
// returns the id of the newest key.
func (kr *Keyring) addVersion(ctx context.Context, t Target, from int, delay time.Duration) (KeyID, error) {
	var inserted KeyID
	for range maxTries {
		e, err := kr.loadOne(ctx, t)
		if err != nil {
			return 0, kr.about(t, 0, err)
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
		if from == 0 && inserted == 0 && kr.settings.Scoped && !kr.mayAddScope() {
			return 0, &KeyError{kr.name, t.Scope, t.Purpose, 0, fmt.Errorf("%w: more than %d new scopes in a minute", ErrUnavailable, kr.scopeRate)}
		}
		row, err := kr.newKey(ctx, t, from+1, delay)
		if err != nil {
			return 0, err
		}
		inserted = row.ID
		err = kr.write(ctx, func(ctx context.Context) error { return kr.store.InsertKey(ctx, row) })
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
// version. If some fail authentication, or can not be proven for want of the KMS, the
// error names them, and the others are returned with it.
func (kr *Keyring) Keys(ctx context.Context, t Target) ([]KeyInfo, error) {
	if err := kr.check(t); err != nil {
		return nil, err
	}
	e, err := kr.loadOne(ctx, t)
	if err != nil || e == nil {
		return nil, kr.about(t, 0, err)
	}
	s := kr.current(e, kr.now())
	var infos []KeyInfo
	var refused error
	for _, k := range s.keys {
		if err := k.bad(); err != nil {
			refused = also(refused, err)
			continue
		}
		infos = append(infos, kr.info(s, k))
	}
	return infos, refused
}

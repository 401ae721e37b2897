package keyring

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sealfield/sealfield/internal/pae"
)

// This file is the changes of a key's stored state. Each is one conditional
// write of a row that is wrapped anew, so that the state is authenticated.

// Suspend stops all use of a key until Resume: neither encrypts nor decrypts, and
// Match of an index fails rather than miss rows. If it is the newest active key
// nothing encrypts for the target meanwhile. Other processes follow at their next
// refresh. Suspending it again does nothing; a key that is compromised can not
// be suspended.
func (kr *Keyring) Suspend(ctx context.Context, t Target, id KeyID) error {
	return kr.changeState(ctx, t, id, "", func(_ *snapshot, k *dek) (KeyState, error) {
		if k.row.State == KeyCompromised {
			return "", ErrCompromised
		}
		return KeySuspended, nil
	})
}

// Resume takes a suspended key into use again. It does nothing to a key that is
// not suspended.
func (kr *Keyring) Resume(ctx context.Context, t Target, id KeyID) error {
	return kr.changeState(ctx, t, id, "", func(_ *snapshot, k *dek) (KeyState, error) {
		if k.row.State == KeySuspended {
			return KeyEnabled, nil
		}
		return k.row.State, nil
	})
}

// MarkCompromised ends a key's use for encryption for ever; it goes on to decrypt
// until it is destroyed. Unless a newer key has taken its place, it first adds
// one. It returns the id of the newest key.
//
// The new key is active at once. For purposes Index and Token, whose keys must be
// known everywhere before the first use, it is so after the PropagationDelay:
// until then writing fails with ErrCompromised. Who can wait instead rotates
// first, and marks the key when the new one is active.
func (kr *Keyring) MarkCompromised(ctx context.Context, t Target, id KeyID) (KeyID, error) {
	for range maxTries {
		e, k, err := kr.lookup(ctx, t, id)
		if err == nil && k.row.State == KeyDestroyed {
			err = k.err
		}
		if err != nil {
			return 0, err
		}
		s := kr.current(e, kr.now())
		newest := s.newest()
		waits := t.Purpose.delayed() && newest != k && newest.row.State == KeyEnabled
		if waits || !s.inactiveSince(k, kr.now()).IsZero() {
			return newest.row.ID, kr.changeState(ctx, t, id, "", func(*snapshot, *dek) (KeyState, error) { return KeyCompromised, nil })
		}
		// Perhaps more than once: of a race it returns the winner's, which may be
		// pending.
		if _, err := kr.Rotate(ctx, t, RotateOptions{Immediate: !t.Purpose.delayed()}); err != nil {
			return 0, err
		}
	}
	return 0, &KeyError{kr.name, t.Scope, t.Purpose, id, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)}
}

// delayed reports whether a new key must be known to every process before it
// is used.
func (p Purpose) delayed() bool { return p == Index || p == Token }

// DestroyOptions says who destroys a key, and how to know that no value needs
// it. Both are required.
type DestroyOptions struct {
	// By goes into the tombstone, in clear for who may read keys: a person,
	// a ticket. 1 to 200 bytes of UTF-8.
	By string

	// Count returns how many values are still stored under the key, backups
	// apart. Of a column c, select count(*) where substring(c from 2 for 4) is
	// the id's Bytes. It is called once, when nothing else is in the way; an
	// error, or any number but zero, keeps the key.
	Count func(ctx context.Context, key KeyInfo) (int64, error)
}

// InUseError says why a key may not be destroyed yet. It is an ErrInUse.
type InUseError struct {
	Reason string
	Until  time.Time // when that ends by itself, by the store's clock; zero if it does not
	Values int64     // what Count found
}

func (e *InUseError) Error() string        { return ErrInUse.Error() + ": " + e.Reason }
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// Destroy erases a key for ever, and leaves a tombstone that says when and by
// whom (see KeyInfo). What was encrypted under it is lost, except to who has a
// copy of the store from before and may use the root key (see RotateRoot).
//
// It is the second of two steps, and refuses with an *InUseError that says what
// is missing. The key must be suspended, so that whoever still needs it has met
// ErrSuspended while there is a way back, or compromised. It must have been
// inactive for EncryptGrace plus PropagationDelay on the store's clock (see
// KeyInfo.DestroyableAt), so that no process, even one that is cut off, can
// still encrypt under it. And opts.Count must find no value.
//
// Destroying it again does nothing.
func (kr *Keyring) Destroy(ctx context.Context, t Target, id KeyID, opts DestroyOptions) error {
	switch {
	case !validBy(opts.By):
		return fmt.Errorf("keyring: %s: DestroyOptions.By must be 1 to 200 bytes of UTF-8", kr.name)
	case opts.Count == nil:
		return fmt.Errorf("keyring: %s: DestroyOptions.Count is required", kr.name)
	}
	counted := false
	return kr.changeState(ctx, t, id, opts.By, func(s *snapshot, k *dek) (KeyState, error) {
		if k.row.State == KeyDestroyed {
			return KeyDestroyed, nil
		}
		info := kr.info(s, k)
		if err := destroyable(info, kr.now()); err != nil || counted {
			return KeyDestroyed, err
		}
		n, err := opts.Count(ctx, info)
		switch {
		case err != nil:
			return "", fmt.Errorf("count of its values: %w", err)
		case n != 0:
			return "", &InUseError{Reason: fmt.Sprintf("%d values are under it", n), Values: n}
		}
		counted = true
		return KeyDestroyed, nil
	})
}

func validBy(by string) bool { return by != "" && len(by) <= 200 && utf8.ValidString(by) }

func destroyable(k KeyInfo, now time.Time) error {
	switch {
	case k.State != Suspended && k.State != Compromised:
		return &InUseError{Reason: fmt.Sprintf("it is %s, suspend it first", k.State)}
	case k.DestroyableAt.IsZero():
		return &InUseError{Reason: "no newer key is active"}
	case now.Before(k.DestroyableAt):
		return &InUseError{Reason: "it has not been inactive for long enough, which ends at " + k.DestroyableAt.Format(time.RFC3339), Until: k.DestroyableAt}
	}
	return nil
}

// lookup reads the target from the store and returns the key, which is authentic.
func (kr *Keyring) lookup(ctx context.Context, t Target, id KeyID) (*entry, *dek, error) {
	if err := kr.check(t); err != nil {
		return nil, nil, err
	}
	e, err := kr.loadOne(ctx, t)
	if err != nil {
		return nil, nil, kr.about(t, id, err)
	}
	if e != nil {
		k := e.keys.Load().find(id)
		switch {
		case k == nil:
		case k.authentic && errors.Is(k.err, ErrUnavailable): // of a newer release, which may mean more by it
			return e, k, k.err
		default:
			return e, k, k.bad()
		}
	}
	return nil, nil, &KeyError{kr.name, t.Scope, t.Purpose, id, ErrUnknownKey}
}

// bad is a *KeyError if the store's row of k is not authentic, or could not be
// proven to be.
func (k *dek) bad() error {
	if !k.authentic {
		return k.err
	}
	return k.doubt
}

// changeState gives a key the state that next chooses, again if others change
// the row meanwhile. by goes into the tombstone of a key that it destroys.
func (kr *Keyring) changeState(ctx context.Context, t Target, id KeyID, by string, next func(*snapshot, *dek) (KeyState, error)) error {
	for range maxTries {
		e, k, err := kr.lookup(ctx, t, id)
		if err != nil {
			return err
		}
		state, err := next(kr.current(e, kr.now()), k)
		switch {
		case err != nil:
			return keyError(&k.row, err)
		case state == k.row.State:
			return nil
		case k.row.State == KeyDestroyed:
			return keyError(&k.row, ErrErased)
		}
		row, err := kr.inState(ctx, k.row, state, by)
		if err == nil {
			err = kr.updateKeys(ctx, []Key{row})
		}
		switch {
		case errors.Is(err, ErrConflict):
		case err != nil:
			return keyError(&k.row, err)
		default:
			_, err = kr.loadOne(ctx, t)
			return kr.about(t, id, err)
		}
	}
	return &KeyError{kr.name, t.Scope, t.Purpose, id, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)}
}

// inState returns the row in another state, under the root that it is under.
func (kr *Keyring) inState(ctx context.Context, row Key, state KeyState, by string) (Key, error) {
	rk, err := kr.rootKey(ctx, row.Root, kr.mono())
	if err != nil {
		return row, err
	}
	dek, err := rk.unwrap(&row)
	if err != nil {
		return row, err
	}
	defer clear(dek)
	row.State = state
	if state == KeyDestroyed {
		rk.wrapNext(&row, kr.newTombstone(by))
	} else {
		rk.wrapNext(&row, dek)
	}
	return row, nil
}

// newTombstone returns what a key that is destroyed now wraps in place of the
// DEK.
func (kr *Keyring) newTombstone(by string) []byte { return pae.Encode(microseconds(kr.now()), by) }

func parseTombstone(b []byte) (at time.Time, by string, ok bool) {
	parts, ok := pae.Decode(b)
	if !ok || len(parts) != 2 {
		return at, by, false
	}
	us, err := strconv.ParseInt(parts[0], 10, 64)
	return time.UnixMicro(us).UTC(), parts[1], err == nil
}

// info describes k as a part of s. Its root has been unwrapped.
func (kr *Keyring) info(s *snapshot, k *dek) KeyInfo {
	i := KeyInfo{ID: k.row.ID, Scope: k.row.Scope, Purpose: k.row.Purpose, Version: k.row.Version,
		State: s.state(k, kr.now()), Algorithm: k.row.Algorithm, CreatedAt: k.row.CreatedAt, ActivateAt: k.row.ActivateAt, Root: k.row.Root,
		DestroyedAt: k.destroyedAt, DestroyedBy: k.destroyedBy}
	if since := s.inactiveSince(k, kr.now()); !since.IsZero() && k.row.State != KeyDestroyed {
		i.DestroyableAt = since.Add(kr.settings.EncryptGrace + kr.settings.PropagationDelay)
	}
	return i
}

// inactiveSince returns when a newer key became the one to use, or zero. One that
// vanished from the store does not count: others may not know it.
func (s *snapshot) inactiveSince(k *dek, now time.Time) (since time.Time) {
	for _, other := range s.keys {
		if other.bad() == nil && other.row.Version > k.row.Version && !s.pending(other, now) && (since.IsZero() || other.row.ActivateAt.Before(since)) {
			since = other.row.ActivateAt
		}
	}
	return since
}

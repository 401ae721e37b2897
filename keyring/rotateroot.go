package keyring

import (
	"context"
	"errors"
	"fmt"
)

// RootRotation is what RotateRoot did.
type RootRotation struct {
	Purpose Purpose
	Root    KeyID // the newest root key
	Version int
	Added   bool // by this call; not if it finished a rotation that was cut short
	Moved   int  // keys that this call has wrapped under the newest root key

	// Empty are the older root keys that wrap no key any more. DestroyRoot
	// takes them.
	Empty []KeyID
}

// sweepBatch is how many keys RotateRoot moves by one write.
const sweepBatch = 1000

// RotateRoot adds a root key to the purpose and wraps every key of the purpose,
// of every scope and in every state, under it. No key changes: values, tags and
// tokens stay as they are. The older root keys are closed, so that nothing is
// wrapped under them any more; once every key has left one, DestroyRoot ends it.
//
// It is the remedy when somebody may have kept an older state of the store, or
// a root key: rotate, destroy the older root keys, and deny the KMS's users what
// was wrapped for those (their ids are in the encryption context).
//
// The new root is there before the first key moves, and each batch of keys is
// one conditional write: a rotation that was cut short, even by a kill, has lost
// nothing, and the next call, of any process, finishes it. That call then adds no
// further root key. Calls may race. Keys that fail authentication, or whose root
// key does or is denied by the KMS, stay where they are; the error names the first
// 20 of them, with the report of all that was done.
//
// It needs the right to Wrap by every KMS of the purpose (see
// Config.AllowMissingWraps), to Unwrap, and to insert and change roots and keys
// in the store. It costs a Wrap and an Unwrap for each KMS, and an Unwrap per older
// root key.
func (kr *Keyring) RotateRoot(ctx context.Context, p Purpose) (RootRotation, error) {
	done := RootRotation{Purpose: p}
	if err := kr.checkPurpose(p); err != nil {
		return done, err
	}
	err := kr.rotateRoot(ctx, &done)
	if err != nil {
		err = fmt.Errorf("keyring: rotate root %s: purpose %s: %w", kr.name, p, err)
	}
	return done, err
}

func (kr *Keyring) rotateRoot(ctx context.Context, done *RootRotation) error {
	if _, err := kr.loadStore(ctx, nil); err != nil {
		return err
	}
	newest, ok := kr.roots.newest(done.Purpose)
	if !ok {
		return fmt.Errorf("%w: the purpose has no root key", ErrTampered)
	}
	// What another rotation has left comes first: if there was any, this call is
	// the end of that one. Keys that can not be moved are no reason to stay.
	found, refused, err := kr.sweepAll(ctx, newest.row, done)
	if err != nil || found {
		return errors.Join(refused, err)
	}
	if done.Added, err = kr.addRoot(ctx, newest.row); err != nil {
		return err
	}
	newest, _ = kr.roots.newest(done.Purpose)
	_, refused, err = kr.sweepAll(ctx, newest.row, done)
	return errors.Join(refused, err)
}

// sweepAll moves the keys under all roots that are older than newest. found says
// that there were keys that could be moved.
func (kr *Keyring) sweepAll(ctx context.Context, newest Root, done *RootRotation) (found bool, refused, err error) {
	done.Root, done.Version, done.Empty = newest.ID, newest.Version, nil
	for _, r := range kr.olderRoots(newest) {
		any, left, err := kr.sweep(ctx, r, done)
		found, refused = found || any, also(refused, left)
		if err != nil {
			return found, refused, err
		}
		if left == nil {
			done.Empty = append(done.Empty, r.ID)
		}
	}
	return found, refused, nil
}

// olderRoots returns the roots of newest's purpose that may have keys and shall
// not.
func (kr *Keyring) olderRoots(newest Root) (older []Root) {
	for _, r := range kr.roots.all() {
		if r.row.Purpose == newest.Purpose && r.row.Version < newest.Version && r.row.State != RootDestroyed {
			older = append(older, r.row)
		}
	}
	return older
}

func (kr *Keyring) anyUnder(ctx context.Context, roots []Root) (bool, error) {
	for _, r := range roots {
		keys, err := kr.loadUnder(ctx, r, 0, 1)
		if err != nil || len(keys) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

func (kr *Keyring) loadUnder(ctx context.Context, r Root, after KeyID, limit int) ([]Key, error) {
	keys, err := bounded(ctx, kr.timeout, func(ctx context.Context) ([]Key, error) { return kr.store.LoadUnder(ctx, r, after, limit) })
	if err != nil {
		return nil, storeError(err)
	}
	return keys, nil
}

// addRoot adds the root after newest, or finds that another process did.
func (kr *Keyring) addRoot(ctx context.Context, newest Root) (added bool, err error) {
	for range maxTries {
		made, err := kr.newRoot(ctx, newest.Purpose, newest.Version+1, newKeyID(), kr.now())
		if err != nil {
			return false, err
		}
		written := kr.write(ctx, func(ctx context.Context) error { return kr.store.InsertRoot(ctx, made.row) })
		if written == nil {
			kr.roots.add(made, kr.mono())
		}
		if _, err := kr.loadStore(ctx, nil); err != nil {
			return written == nil, errors.Join(written, err)
		}
		last, _ := kr.roots.newest(newest.Purpose)
		switch {
		case last.row.Version > newest.Version: // also if the outcome of the write was not known
			return last.row.ID == made.row.ID, nil
		case !errors.Is(written, ErrConflict):
			return false, written
		}
	}
	return false, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)
}

// sweep moves the keys under r to the newest root, batch by batch. found says that
// there were any, refused tells of those that it left because they are not
// authentic, or of a root key that is not, or that the KMS refuses.
//
// A batch moves as a whole or not at all, so where others keep changing keys it
// gets smaller, until it is one key, and grows again.
func (kr *Keyring) sweep(ctx context.Context, r Root, done *RootRotation) (found bool, refused, err error) {
	var after KeyID
	batch := sweepBatch
	for conflicts := 0; conflicts < 2*maxTries; {
		keys, err := kr.loadUnder(ctx, r, after, batch)
		if err != nil || len(keys) == 0 {
			return found, refused, err
		}
		moved, bad, err := kr.rewrapKeys(ctx, r, keys)
		switch {
		case errors.Is(err, ErrDenied) || errors.Is(err, ErrTampered): // of r, or of the newest: nothing can leave r
			return found, also(refused, err), nil
		case err != nil:
			return found, refused, err
		}
		found = found || len(moved) > 0
		err = kr.updateKeys(ctx, moved)
		switch {
		case errors.Is(err, ErrConflict): // a key changed, or the newest root is another one by now
			conflicts++
			batch = max(1, batch/2)
			if _, err := kr.loadStore(ctx, nil); err != nil {
				return found, refused, err
			}
		case err != nil:
			return found, refused, err
		default:
			conflicts, batch = 0, min(sweepBatch, 2*batch)
			refused = also(refused, bad)
			done.Moved += len(moved)
			after = keys[len(keys)-1].ID
		}
	}
	return found, refused, fmt.Errorf("%w: %w", ErrUnavailable, ErrConflict)
}

// rewrapKeys returns the rows of keys, which are under r, as they are under the
// newest root. refused tells of those that are not authentic.
func (kr *Keyring) rewrapKeys(ctx context.Context, r Root, keys []Key) (moved []Key, refused, err error) {
	newest, _ := kr.roots.newest(r.Purpose)
	from, err := kr.rootKey(ctx, r.ID, kr.mono())
	if err != nil {
		return nil, nil, err
	}
	to, err := kr.rootKey(ctx, newest.row.ID, kr.mono())
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		dek, err := from.unwrap(&k)
		if err != nil {
			refused = also(refused, keyError(&k, err))
			continue
		}
		to.wrapNext(&k, dek)
		clear(dek)
		moved = append(moved, k)
	}
	return moved, refused, nil
}

func (kr *Keyring) updateKeys(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	return kr.write(ctx, func(ctx context.Context) error { return kr.store.UpdateKeys(ctx, keys) })
}

// DestroyRoot wipes what the KMSs have wrapped of a root key, for ever. The row
// stays, without wraps, and the id stays reserved. It fails with ErrInUse unless
// the root key is closed and no key is under it: see RotateRoot. Destroying it
// again does nothing. It needs the right to change roots in the store and calls
// no KMS.
//
// A copy of the store that was made before still holds the wraps. What ends
// them there is the KMS: deny its users the root's key_id, or destroy the KEK.
func (kr *Keyring) DestroyRoot(ctx context.Context, id KeyID) error {
	if kr.isClosed() {
		return fmt.Errorf("keyring: %s: %w", kr.name, ErrClosed)
	}
	for range maxTries {
		if _, err := kr.loadStore(ctx, nil); err != nil {
			return &KeyError{Keyring: kr.name, ID: id, Err: fmt.Errorf("root key: %w", err)}
		}
		r, ok := kr.roots.get(id)
		switch {
		case !ok:
			return &KeyError{Keyring: kr.name, ID: id, Err: fmt.Errorf("root key: %w", ErrUnknownKey)}
		case r.row.State == RootDestroyed:
			return nil
		case r.row.State == RootOpen:
			return rootError(&r.row, fmt.Errorf("%w: it is open", ErrInUse))
		}
		if any, err := kr.anyUnder(ctx, []Root{r.row}); err != nil {
			return rootError(&r.row, err)
		} else if any {
			return rootError(&r.row, fmt.Errorf("%w: keys are under it", ErrInUse))
		}
		row := r.row
		row.State, row.Wraps = RootDestroyed, nil
		if err := kr.updateRoot(ctx, row); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return &KeyError{Keyring: kr.name, ID: id, Err: fmt.Errorf("root key: %w: %w", ErrUnavailable, ErrConflict)}
}

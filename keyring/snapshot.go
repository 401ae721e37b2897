package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// entry holds what a process knows of one target's keys.
type entry struct {
	target Target
	keys   atomic.Pointer[snapshot] // never nil
	used   atomic.Bool              // since the eviction hand last passed
	gone   bool                     // evicted or dropped for good; guarded by the lock of where it was

	mu     sync.Mutex // serialises merge, and guards closed
	closed bool       // its keys are wiped

	shortMu     sync.Mutex // guards what follows; nothing waits while it is held
	short       []shortcut // into this entry, that have not ended
	shortClosed bool

	unknown unknownIDs
}

// snapshot is the state of a target's keys at one moment. It is immutable.
type snapshot struct {
	keys   []*dek // by ascending version
	active *dek   // what Encrypt uses; nil if refused says why, or there is none
	// refused is why there is no active key although there are keys.
	refused error
	// until is the time on the store's clock, in Unix nanoseconds, from which
	// on another key is the active one.
	until int64
	// reached is the highest version that was ever the one to use: a clock
	// that goes back does not bring back a retired key.
	reached int
	erased  error         // a *KeyError if the scope has a tombstone
	asOf    time.Duration // when the load began that the snapshot rests on
}

// dek is one version of a data-encryption key. It is immutable but for what
// its material caches.
type dek struct {
	row      Key
	material *Material // nil exactly if err is not nil
	err      error     // a *KeyError: why the key can not be used at all

	// authentic says that row is proven genuine. If it is not, err is
	// ErrTampered, or what kept the root from being unwrapped (retry).
	authentic bool
	retry     bool

	// doubt is a *KeyError if the key in memory is good but the store now
	// has another row for it, or none: it decrypts but never encrypts.
	doubt error

	seen time.Duration // when the row was last accepted; see merge

	destroyedAt time.Time // of a destroyed key
	destroyedBy string
}

// find returns the key with that id, or nil.
func (s *snapshot) find(id KeyID) *dek {
	for i := len(s.keys) - 1; i >= 0; i-- {
		if s.keys[i].row.ID == id {
			return s.keys[i]
		}
	}
	return nil
}

// version returns the key of that version, or nil; one that is not authentic only
// if there is no other.
func (s *snapshot) version(n int) *dek {
	var found *dek
	for _, k := range s.keys {
		if k.row.Version == n && (found == nil || k.authentic) {
			found = k
		}
	}
	return found
}

// unwritable says why k, which can be read with, may not be written with although
// its version was asked for, at a time in Unix nanoseconds.
func (s *snapshot) unwritable(k *dek, now int64) error {
	switch {
	case k.doubt != nil:
		return k.doubt
	case k.row.State == KeyCompromised:
		return keyError(&k.row, ErrCompromised)
	case k.row.ActivateAt.UnixNano() > now && k.row.Version > s.reached:
		return keyError(&k.row, fmt.Errorf("%w: the key is not active yet", ErrUnavailable))
	}
	return nil
}

func (s *snapshot) newest() *dek {
	if len(s.keys) == 0 {
		return nil
	}
	return s.keys[len(s.keys)-1]
}

// newSnapshot chooses the active key at the time now: the highest version whose
// activation time has come, whatever its state. Retired is final, so a key that
// is suspended, compromised, gone or in doubt is not replaced by an older one.
func newSnapshot(keys []*dek, erased error, asOf time.Duration, now time.Time, reached int) *snapshot {
	slices.SortFunc(keys, func(a, b *dek) int { return cmp.Compare(a.row.Version, b.row.Version) })
	s := &snapshot{keys: keys, erased: erased, asOf: asOf, until: math.MaxInt64, reached: reached}
	var candidate *dek
	for _, k := range keys {
		switch {
		case s.pending(k, now):
			s.until = min(s.until, k.row.ActivateAt.UnixNano())
		default:
			candidate = k
		}
	}
	if candidate != nil && candidate.authentic {
		s.reached = max(s.reached, candidate.row.Version)
	}
	if s.refused = s.refusal(candidate); s.refused == nil {
		s.active = candidate
	}
	return s
}

func (s *snapshot) pending(k *dek, now time.Time) bool {
	return k.row.ActivateAt.After(now) && k.row.Version > s.reached
}

// mayRecover reports whether another look at the store, or rather at the KMS,
// could change what is known of a key.
func (s *snapshot) mayRecover() bool {
	return slices.ContainsFunc(s.keys, func(k *dek) bool { return k.retry })
}

// refusal says why candidate may not encrypt. A row that is not authentic
// proves nothing, its times included: such a key of a version above the
// candidate's could be the one to use.
func (s *snapshot) refusal(candidate *dek) error {
	if s.erased != nil {
		return s.erased
	}
	for i := len(s.keys) - 1; i >= 0; i-- {
		k := s.keys[i]
		switch {
		case k.doubt != nil:
			return k.doubt
		case !k.authentic:
			return k.err
		case k != candidate:
			continue // pending
		case k.row.State == KeyCompromised:
			return keyError(&k.row, ErrCompromised)
		case k.err != nil:
			return k.err
		}
		return s.hidden(k)
	}
	if candidate == nil && len(s.keys) > 0 {
		return keyError(&s.keys[0].row, fmt.Errorf("%w: no key is active yet", ErrUnavailable))
	}
	return nil
}

// hidden returns an error if a row that is not authentic must be of a higher
// version than candidate, whatever it says: versions have no gaps, so no more of
// them can be lower than are missing there.
func (s *snapshot) hidden(candidate *dek) error {
	missing := candidate.row.Version - 1
	var err error
	for _, k := range s.keys {
		switch {
		case !k.authentic:
			missing--
			err = k.err
		case k.row.Version < candidate.row.Version:
			missing--
		}
	}
	if missing < 0 {
		return err
	}
	return nil
}

// at returns the snapshot as it is at the time now.
func (s *snapshot) at(now time.Time) *snapshot {
	if now.UnixNano() < s.until {
		return s
	}
	return newSnapshot(slices.Clone(s.keys), s.erased, s.asOf, now, s.reached)
}

// state returns the public state of k at the time now.
func (s *snapshot) state(k *dek, now time.Time) State {
	switch {
	case k.row.State != KeyEnabled:
		return State(k.row.State)
	case s.pending(k, now):
		return Pending
	}
	for _, other := range s.keys {
		if other.row.Version > k.row.Version && !s.pending(other, now) {
			return Retired
		}
	}
	return Active
}

// current replaces the entry's snapshot if time has moved its active key.
func (kr *Keyring) current(e *entry, now time.Time) *snapshot {
	old := e.keys.Load()
	s := old.at(now)
	if s != old && e.keys.CompareAndSwap(old, s) {
		e.endShortcuts()
		kr.tell(e.target, old, s)
	}
	return s
}

// tell logs what changed from one snapshot of a target to the next. The first
// keys that a process meets are no change.
func (kr *Keyring) tell(t Target, old, s *snapshot) {
	if len(old.keys) == 0 && s.erased == old.erased {
		return
	}
	log := kr.log.With("keyring", kr.name, "purpose", t.Purpose, "scope", t.Scope)
	for _, k := range s.keys {
		id, was := k.row.ID.String(), old.find(k.row.ID)
		switch {
		case !k.authentic:
		case was == nil:
			log.Info("sealfield: key added", "key", id, "version", k.row.Version, "activates", k.row.ActivateAt)
		case was.authentic && was.row.State != k.row.State:
			log.Info("sealfield: key changed its state", "key", id, "version", k.row.Version, "state", k.row.State)
		}
	}
	if s.active != nil && (old.active == nil || old.active.row.ID != s.active.row.ID) {
		log.Info("sealfield: key encrypts from now on", "key", s.active.row.ID.String(), "version", s.active.row.Version)
	}
	if s.erased != nil && old.erased == nil {
		log.Info("sealfield: scope erased")
	}
}

func keyError(k *Key, err error) error {
	return &KeyError{Keyring: k.Keyring, Scope: k.Scope, Purpose: k.Purpose, ID: k.ID, Err: err}
}

// about makes err, of a store perhaps, one that names what was to be done.
func (kr *Keyring) about(t Target, id KeyID, err error) error {
	if err == nil || isKeyError(err) || errors.Is(err, ErrClosed) {
		return err
	}
	return &KeyError{kr.name, t.Scope, t.Purpose, id, err}
}

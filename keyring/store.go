package keyring

import (
	"context"
	"time"
)

// Settings are the properties that belong to a keyring rather than to a
// process. They are stored with every root key and authenticated by it.
type Settings struct {
	Scoped           bool
	PropagationDelay time.Duration // whole microseconds, like every duration here
	EncryptGrace     time.Duration
	DecryptGrace     time.Duration
}

// RootState says whether keys may still be wrapped by a root key.
type RootState string

// The states of a root key, in the order in which it goes through them. A closed
// root still unwraps; a destroyed one has no wraps, and no key is under it.
const (
	RootOpen      RootState = "open"
	RootClosed    RootState = "closed"
	RootDestroyed RootState = "destroyed"
)

// Root is the row of one version of a root key. It holds no secret in clear.
type Root struct {
	Keyring   string
	Purpose   Purpose
	Version   int
	ID        KeyID
	State     RootState
	CreatedAt time.Time // whole microseconds, UTC, like every time here
	Settings  Settings
	Wraps     []Wrap
	Check     []byte // 32 bytes: proves the unwrapped key and this row's fields
	Revision  int64  // 1 at first; one more at each Update
}

// Wrap is a root key as one KMS has wrapped it. Wrapped is empty if the KMS
// was out of reach, and still has to wrap it (see Config.AllowMissingWraps).
type Wrap struct {
	URI     string
	Wrapped []byte
}

// KeyState is the stored part of a key's State: pending, active and retired
// follow from time and are all stored as KeyEnabled.
type KeyState string

// The stored states of a key.
const (
	KeyEnabled     KeyState = "enabled"
	KeySuspended   KeyState = "suspended"
	KeyCompromised KeyState = "compromised"
	KeyDestroyed   KeyState = "destroyed"
)

// Key is the row of one version of a data-encryption key (DEK). It holds no
// secret in clear. Every field is authenticated by Wrapped: with Revision 1 for
// InsertKey, with the one that the store will give it for UpdateKeys.
type Key struct {
	Keyring    string
	Scope      string
	Purpose    Purpose
	Version    int
	ID         KeyID
	Algorithm  Algorithm
	State      KeyState
	CreatedAt  time.Time
	ActivateAt time.Time
	Root       KeyID
	Wrapped    []byte
	Revision   int64 // 1 at first; one more at each Update
}

// Loaded is what Store.Load saw.
type Loaded struct {
	Now    time.Time       // the store's clock
	Roots  []Root          // every root of the keyring, of every purpose
	Keys   []Key           // every key of the targets that were asked for
	Erased map[string]bool // the scopes among them that have a tombstone
}

// Store keeps the rows of any number of keyrings. It needs no secrecy: who
// reads it learns scopes, counts and times; who writes it can withhold keys
// and roll rows back, but can not forge, move or alter one. Implementations
// must be safe for concurrent use by many goroutines and processes, and must
// keep every row exactly, times to the microsecond. Slices that are passed in
// stay the caller's; what is returned is the caller's to keep.
//
// A failure is an error that wraps ErrUnavailable (trying again may help) or
// ErrDenied, unless stated otherwise. A Store never reports absence because a
// read failed. keyringtest.TestStore holds an implementation to all of this.
type Store interface {
	// Load returns the roots of a keyring and the keys of the given targets
	// (none is allowed), all from one moment. ErrNotFound if the keyring has
	// no root.
	Load(ctx context.Context, keyring string, targets []Target) (Loaded, error)

	// Create adds a keyring by its first roots, all of one keyring and
	// with different purposes, or nothing. ErrExists if the keyring has
	// any root.
	Create(ctx context.Context, roots []Root) error

	// InsertRoot adds the next root of a purpose and closes the one before
	// it (whose revision grows by one), or does neither. In one atomic step it
	// checks that root.Version is the highest version of its keyring and
	// purpose plus one, and not 1, and that the id is new in the keyring, and
	// returns ErrConflict otherwise. Revision is stored as 1. When it returns
	// no key is inserted, or moved, under the older root any more.
	InsertRoot(ctx context.Context, root Root) error

	// UpdateRoot gives the root of root's keyring and id root's Wraps and State,
	// and nothing else of it, if its revision is root.Revision, and stores
	// Revision+1; otherwise ErrConflict. It is ErrConflict, too, if the State
	// would go back (open, closed, destroyed), and if it would become
	// destroyed while the root is the newest of its purpose, is open, or is
	// the Root of any key.
	UpdateRoot(ctx context.Context, root Root) error

	// InsertKey adds a key. In one atomic step it checks that
	//   - key.Root is the newest root of the purpose, and open,
	//   - key.Version is the highest version of its target plus one, or 1,
	//   - the scope has no tombstone (otherwise ErrErased),
	//   - the id is new in the keyring, destroyed keys and roots included,
	//   - CreatedAt is within a minute of the store's clock,
	// and returns ErrConflict if one of them does not hold. Revision is
	// stored as 1.
	InsertKey(ctx context.Context, key Key) error

	// UpdateKeys replaces, for each of keys, the row with its keyring, scope,
	// purpose and version, and stores Revision+1: all of them, or none and
	// ErrConflict if for any of them the stored revision is not key.Revision,
	// the id is not key.ID, or key.Root is neither what it was nor the newest
	// root of the purpose, and open.
	UpdateKeys(ctx context.Context, keys []Key) error

	// LoadUnder returns keys whose Root is root.ID, of any scope: those with
	// the lowest ids above after, by ascending id, at most limit.
	LoadUnder(ctx context.Context, root Root, after KeyID, limit int) ([]Key, error)

	// EraseScope writes the tombstone of a scope, for all purposes. From
	// its return on no InsertKey for the scope succeeds. Writing it again
	// changes nothing.
	EraseScope(ctx context.Context, keyring, scope string) error
}

// Watcher is a Store that can push changes. The keyring polls as well, so a
// lost notice costs time, not correctness.
type Watcher interface {
	// Watch calls changed after each change to the keyring's rows, by any
	// process, until ctx ends, and returns then. It may call it more often
	// than that, and calls it once when it starts to see changes and after
	// each gap. If changes can not be watched here it returns at once with
	// an error; the keyring goes on polling.
	Watch(ctx context.Context, keyring string, changed func()) error
}

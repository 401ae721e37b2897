package keyring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sealfield/sealfield/internal/pae"
)

// Purpose separates keys by what they are for, so that a service can be given
// the right to search or to mask without the right to decrypt. Every purpose
// of a keyring has a root key of its own.
type Purpose string

// The purposes. There are no others.
const (
	Encryption Purpose = "encryption" // crypto.Field
	Index      Purpose = "index"      // token.Index
	Token      Purpose = "token"      // reversible tokens
	Masking    Purpose = "masking"    // masked copies
)

// Purposes returns all purposes in a fixed order, in a new slice.
func Purposes() []Purpose { return slices.Clone(purposes[:]) }

var purposes = [4]Purpose{Encryption, Index, Token, Masking}

func (p Purpose) valid() bool {
	return p == Encryption || p == Index || p == Token || p == Masking
}

// Algorithm names what a key of purpose Encryption encrypts with. It is fixed
// when the key is made and authenticated with it.
type Algorithm string

// The algorithms for keys of purpose Encryption.
const (
	// XAES256GCM is XAES-256-GCM (C2SP), 45 bytes of overhead, good for
	// 2^45 values per field key. The default.
	XAES256GCM Algorithm = "XAES-256-GCM"
	// AES256GCM is AES-256-GCM (NIST SP 800-38D), 33 bytes of overhead. A
	// random 96-bit nonce limits it to 2^32 values per field key, which
	// nobody counts: rotate well before.
	AES256GCM Algorithm = "AES-256-GCM"
)

// KeyID identifies a key within its keyring. It is random, never zero, and has
// its high bit set, so that no ASCII text after a 0x01 byte looks encrypted.
type KeyID uint32

const minKeyID KeyID = 0x80000000

// String returns the id as 8 lower-case hex digits, the form used in logs, KMS
// contexts and key file names.
func (id KeyID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// Bytes returns the id as 4 bytes big endian, the form used in ciphertexts.
func (id KeyID) Bytes() []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

// Valid reports whether the id lies in the range that Sealfield hands out.
func (id KeyID) Valid() bool { return id >= minKeyID }

// Target names the keys of one scope and purpose. Scope is the opaque id of a
// tenant or data subject (never personal data); it is empty for a keyring that
// is not scoped.
type Target struct {
	Scope   string
	Purpose Purpose
}

// State is what a key may be used for, after NIST SP 800-57 part 1.
type State string

// The states of a key. Pending, Active and Retired follow from time alone;
// the others are stored.
const (
	Pending     State = "pending"     // decrypts, will encrypt from ActivateAt on
	Active      State = "active"      // encrypts and decrypts
	Retired     State = "retired"     // a newer key is active: decrypts only, for ever (but see token.FormatPreservingConfig.Version)
	Suspended   State = "suspended"   // neither, until resumed
	Compromised State = "compromised" // decrypts, never encrypts again
	Destroyed   State = "destroyed"   // a tombstone: the key material is gone
)

// KeyInfo describes one key and holds no secret.
type KeyInfo struct {
	ID         KeyID
	Scope      string
	Purpose    Purpose
	Version    int       // 1 for the first key of a target, one more for each later one
	State      State     // at the time of the call, by the store's clock
	Algorithm  Algorithm // empty unless Purpose is Encryption
	CreatedAt  time.Time
	ActivateAt time.Time
	Root       KeyID // the root key that wraps it

	// DestroyableAt is when the key has been inactive for long enough, by
	// the store's clock: see Keyring.Destroy. Zero if no newer key is active
	// yet, or the key is destroyed.
	DestroyableAt time.Time

	// DestroyedAt and DestroyedBy are the tombstone's, of a destroyed key.
	DestroyedAt time.Time
	DestroyedBy string
}

// EncryptionContext is the associated data of a wrapped key, as KMSs know it:
// pairs of text that are authenticated, logged by the KMS, and must be the same
// again for Unwrap. Sealfield's has the pairs sealfield (the name of the keyring
// or envelope), purpose and key_id (8 or 32 hex digits). It never holds a scope.
type EncryptionContext map[string]string

// Encode returns the pairs as the associated data of a KMS that takes bytes:
// the keys in ascending order, each followed by its value, in one unambiguous
// encoding (uint32 count, then uint32 length and bytes of each, big endian).
func (ec EncryptionContext) Encode() []byte {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(ec)) {
		parts = append(parts, k, ec[k])
	}
	return pae.Encode(parts...)
}

// KMS is a key-encryption key (KEK) that never leaves its service.
// Implementations must be safe for concurrent use. They should respect ctx:
// the keyring stops waiting when its own time limit is over, but can not stop
// the call.
type KMS interface {
	// URI names the key, not only its service, and is stored beside what it
	// wrapped. It is a label: Unwrap uses the configured key, whatever a
	// stored URI says.
	URI() string
	// Wrap encrypts key (32 bytes) under ec. It must not keep or change key.
	Wrap(ctx context.Context, key []byte, ec EncryptionContext) ([]byte, error)
	// Unwrap returns a new slice that the caller owns and may wipe. It fails
	// with an error that wraps ErrDenied when the KMS refuses the caller or
	// the context, and ErrUnavailable when trying again may help.
	Unwrap(ctx context.Context, wrapped []byte, ec EncryptionContext) ([]byte, error)
}

// The errors of this package. All are found with errors.Is.
var (
	// ErrNotFound says that there is no keyring of that name in the store.
	ErrNotFound = errors.New("no such keyring")
	// ErrExists says that the keyring is there already.
	ErrExists = errors.New("the keyring exists already")
	// ErrUnknownKey says that the store has no such key for this scope and
	// purpose: a foreign or altered value, or a store that lost a key.
	ErrUnknownKey = errors.New("unknown key")
	// ErrSuspended says that the key may not be used until it is resumed.
	ErrSuspended = errors.New("the key is suspended")
	// ErrCompromised says that the key decrypts, but may not encrypt.
	ErrCompromised = errors.New("the key is compromised")
	// ErrErased says that the key, or all of its scope, was destroyed.
	ErrErased = errors.New("the key is erased")
	// ErrInUse says that a key may not be destroyed yet. Destroy's error is
	// an *InUseError that says why.
	ErrInUse = errors.New("the key is in use")
	// ErrTampered says that a row of the store is not what Sealfield wrote:
	// edited, moved, rolled back, or made by somebody else.
	ErrTampered = errors.New("the stored key fails authentication")
	// ErrVanished says that a key or root key which this process knows is not
	// in the store any more, and left no tombstone: somebody deleted it, or
	// restored an older backup. It is an ErrTampered.
	ErrVanished = fmt.Errorf("%w: the row is gone", ErrTampered)
	// ErrUnavailable says that the store or the KMS gave no answer. Trying
	// again may help.
	ErrUnavailable = errors.New("unavailable")
	// ErrDenied says that the store or the KMS refused the caller.
	ErrDenied = errors.New("denied")
	// ErrNoKMS says that none of the KMSs that the Config names has wrapped
	// the root key. It is an ErrUnavailable: Rewrap can mend it.
	ErrNoKMS = fmt.Errorf("%w: no KMS for it", ErrUnavailable)
	// ErrStale says that the store, or the KMS, has been out of reach for
	// longer than the keyring's EncryptGrace or DecryptGrace.
	ErrStale = errors.New("the keys are stale")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the keyring is closed")
	// ErrScope says that a scoped keyring was used without a scope, or an
	// unscoped one with a scope.
	ErrScope = errors.New("wrong scope")
	// ErrConflict is for a Store: the row to be written was overtaken by
	// another writer, or its preconditions do not hold. Keyring methods
	// look again and never return it.
	ErrConflict = errors.New("overtaken by another writer")
)

// KeyError says which key an error is about. Err is ErrUnknownKey,
// ErrSuspended, ErrCompromised, ErrErased or ErrTampered, or says why the key
// could not be had (ErrUnavailable, ErrDenied); perhaps wrapped. ID is zero when
// the error is about all keys of a scope.
type KeyError struct {
	Keyring string
	Scope   string
	Purpose Purpose
	ID      KeyID
	Err     error
}

func (e *KeyError) Error() string {
	text := "keyring: " + e.Keyring
	if e.Purpose != "" {
		text += ": purpose " + string(e.Purpose)
	}
	if e.Scope != "" {
		text += fmt.Sprintf(", scope %q", e.Scope)
	}
	if e.ID != 0 {
		text += ", key " + e.ID.String()
	}
	if root, ok := e.Err.(*KeyError); ok { // the same keyring and purpose
		return text + " under " + root.ID.String() + ": " + root.Err.Error()
	}
	return text + ": " + e.Err.Error()
}

func (e *KeyError) Unwrap() error { return e.Err }

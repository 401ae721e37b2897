package token

import (
	"context"
	"time"
)

// Ending is how a token ended. There is no way back from any of them.
type Ending string

// The endings. A token that has expired is EndedExpired only once a Purge has
// found it.
const (
	EndedRevoked Ending = "revoked"
	EndedUsed    Ending = "used"
	EndedExpired Ending = "expired"
)

// VaultRow is the row of one token. It holds neither the token nor the value.
type VaultRow struct {
	Keyring string
	Vault   string // the name of the Vault
	Scope   string
	Hash    TokenHash

	// Sealed is the encrypted value. It is never empty while the token lives,
	// and always afterwards.
	Sealed []byte

	ExpiresAt time.Time // on the store's clock, whole microseconds, UTC; zero: never
	Uses      int       // how often the token may be redeemed, zero: any number of times; below 2^31
	UsesLeft  int       // of Uses; set by Insert
	Ended     Ending    // empty while the token lives
	Tags      [][]byte  // keyed hashes of the value, of TagSize bytes; see Insert and Find
}

// VaultRows is what Load and Find saw.
type VaultRows struct {
	Now  time.Time // the store's clock
	Rows []VaultRow
}

// Purged says what a Purge did.
type Purged struct {
	Erased  int64 // tokens that had expired and whose values were erased
	Removed int64 // rows of tokens that had ended long enough ago
}

// VaultStore keeps the rows of Vaults of any number of keyrings. It needs no
// secrecy beyond what the documentation of Vault says that a reader learns, and
// every row proves itself to the Vault. Implementations must be safe for
// concurrent use by many goroutines and processes and keep every field exactly.
// Slices that are passed in stay the caller's; what is returned is the caller's
// to keep. A Vault passes at most 1,000 rows or hashes at once, or as many tags for each
// of the keys.
//
// A token lives from Insert until it ended, and while the store's clock is before
// its ExpiresAt. A tag is taken while a live token has it.
//
// A failure is an error that wraps keyring.ErrUnavailable (trying again may help)
// or keyring.ErrDenied, unless stated otherwise. A store never reports absence
// because a read failed. tokentest.TestVaultStore holds an implementation to all
// of this.
type VaultStore interface {
	// Load returns the rows with these hashes, living or not, in any order and
	// without their Tags; what is not there is left out. No hash at all is
	// allowed.
	Load(ctx context.Context, keyring string, hashes []TokenHash) (VaultRows, error)

	// Find returns, for each of the tags that is taken, the row of the token
	// that has it, with this tag as the only one in Tags. A token with two
	// of the tags comes twice.
	Find(ctx context.Context, keyring string, tags [][]byte) (VaultRows, error)

	// Insert adds, in one atomic step, those rows of which no tag is taken,
	// each with all its Tags and with UsesLeft as Uses, and of the other rows
	// nothing. It reports which it added, in the order of rows. The hashes of
	// the rows and all their tags differ from each other; all are of one
	// keyring, none has Ended set. If a hash is there already, nothing is
	// added and the error is keyring.ErrConflict.
	//
	// A tag that another call is about to take is waited for, so that Find
	// sees who took it as soon as Insert returns.
	Insert(ctx context.Context, rows []VaultRow) (inserted []bool, err error)

	// Use takes one of the UsesLeft of each token that lives and has one left,
	// in one atomic step, and reports of which it could, in the order of hashes,
	// which differ from each other. A token that has none left then has
	// ended: it is EndedUsed, its Sealed is erased and its tags are free.
	Use(ctx context.Context, keyring string, hashes []TokenHash) (used []bool, err error)

	// Revoke makes a token EndedRevoked, erases its Sealed and frees its tags. A
	// token that ended earlier, or is not there, stays as it is.
	Revoke(ctx context.Context, keyring string, hash TokenHash) error

	// Purge makes the tokens of a vault EndedExpired whose time is over, erases
	// their Sealed and frees their tags, and then removes the rows of tokens
	// that ended longer than keep ago; one that expired ended at its ExpiresAt.
	// It is not atomic: what it did before an error stays done.
	Purge(ctx context.Context, keyring, vault string, keep time.Duration) (Purged, error)
}

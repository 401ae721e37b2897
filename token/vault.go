package token

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
)

// Vault swaps values for random tokens that mean nothing outside of it. What a
// token stands for is a row of a VaultStore: the value, encrypted by a
// crypto.Field that is bound to the token, its expiry and its number of uses. It
// is safe for concurrent use and keeps nothing of tokens or values in memory.
//
// Nothing is ever returned in place of a value that can not be had: every failure
// is an error, and each has its own (see the variables). Errors name the vault and
// perhaps the key, never a token or a value. A token is no password: guard
// Detokenize, for whoever may call it and has a token has the value.
//
// The store works in transactions of its own. If the application's transaction is
// rolled back after Tokenize, the token stays: of a convergent vault to be given
// out again, else as a row that nobody can open any more.
//
// Who reads the store learns how many tokens there are, of which vault and scope,
// when each was made, expires and has ended, how often it may be used, and how long
// its value is. It has no token, only the SHA-256 of each, by which somebody who
// also sees tokens elsewhere finds their rows. In a convergent vault equal tokens are
// equal values, wherever tokens are seen, and who may tokenize can find out whether a
// value has a token by the rows that appear. Who has the index keys as well can test
// all values of a small domain there, and who has all keys opens every one. A random
// vault's values nobody opens without the tokens.
//
// Who writes the store can delete tokens and end them. Rows that were swapped,
// moved, prolonged or given more uses are ErrTampered, and so is the tag of one value
// at the row of another. What ended has no value left. Nothing prevents that a copy
// of a row, kept from before the token ended, is put back (it does not outlive the
// token's expiry), that a use of a token with several is given back, or that a value
// whose tag was deleted gets a second token.
//
// A Vault is not for values that are read in every query: each call asks the store,
// where a crypto.Field beside an Index computes. Nor is the convergent kind for
// values of which there are few (sex, country): the tokens' frequencies tell them.
type Vault struct {
	name  string
	cfg   VaultConfig
	kr    *keyring.Keyring
	field *crypto.Field
	keys  *keyring.Derivation[vaultTagKey] // nil unless convergent
}

// VaultConfig says what the tokens of a vault are like. Prefix and Normalizer are
// for ever; the rest may change and holds for tokens made from then on.
type VaultConfig struct {
	// Store keeps the rows. Required.
	Store VaultStore

	// Prefix begins every token and names its kind, such as "pan": 2 to 10
	// lower-case letters. Required.
	Prefix string

	// Convergent gives equal values of one scope the same token for as long as
	// it lives, whoever asks, across rotations of the keys. It tells who sees
	// two tokens whether their values are equal. Without it every call makes
	// a new token, and the value is encrypted under a key made from the token
	// as well: the whole table and all of the keyring's keys open nothing
	// without the token.
	Convergent bool

	// Normalizer, in a convergent vault, decides which values are equal. What
	// Detokenize returns is the spelling that was tokenized first. Defaults
	// to Identity.
	Normalizer Normalizer

	// TTL is how long a token lives, in whole microseconds on the store's
	// clock. The token of a value that has one already keeps its time. Zero
	// means for ever.
	TTL time.Duration

	// Uses is how often a token can be redeemed; with the last time its value
	// is erased. Zero means any number of times. Not for convergent vaults,
	// in which one caller would use up another's token.
	Uses int
}

// MaxVaultValue is the size in bytes of the largest value that a Vault takes.
const MaxVaultValue = 1 << 20

// Why a token can not be redeemed or revoked. See also ErrNotToken and ErrChecksum.
var (
	// ErrKind says that the token is of another kind: another vault's.
	ErrKind = errors.New("the token is of another kind")
	// ErrScope says that the token belongs to another scope.
	ErrScope = errors.New("the token belongs to another scope")
	// ErrUnknown says that the vault has no such token: it is made up, or was
	// purged.
	ErrUnknown = errors.New("unknown token")
	// ErrRevoked says that Revoke ended the token.
	ErrRevoked = errors.New("the token is revoked")
	// ErrExpired says that the token's time is over.
	ErrExpired = errors.New("the token has expired")
	// ErrUsed says that the token was redeemed as often as it may be.
	ErrUsed = errors.New("the token is used up")
	// ErrTampered says that the token's row is not what the Vault wrote:
	// edited, or moved from another place.
	ErrTampered = errors.New("the token's row fails authentication")
	// ErrValueSize says that a value is larger than MaxVaultValue.
	ErrValueSize = errors.New("the value is too large")
)

const vaultType = "vault/1" // the type class of the Field

// NewVault returns the vault of that name. The name is logical, such as
// "customers.pan", and part of the keys: a vault of another name knows none of its
// tokens. Names that begin with "sealfield/" are reserved. Values are encrypted
// under the keyring's Encryption keys, found again by its Index keys.
func NewVault(kr *keyring.Keyring, name string, cfg VaultConfig) (*Vault, error) {
	switch {
	case kr == nil:
		return nil, errors.New("token: NewVault needs a keyring")
	case name == "":
		return nil, errors.New("token: NewVault needs a name")
	case strings.HasPrefix(name, "sealfield/"):
		return nil, fmt.Errorf("token: vault name %q is reserved", name)
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("token: vault %s: %w", name, err)
	}
	field, err := crypto.NewField(kr, name, crypto.FieldConfig{RowBound: true, Type: vaultType})
	if err != nil {
		return nil, fmt.Errorf("token: vault %s: %w", name, err)
	}
	v := &Vault{name: name, cfg: cfg, kr: kr, field: field}
	if cfg.Convergent {
		label := string(pae.Encode("vault", name, cfg.Normalizer.ID(), cfg.Prefix))
		v.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Index, label, v.newTagKey)
	}
	return v, nil
}

func (c *VaultConfig) check() error {
	switch {
	case c.Store == nil:
		return errors.New("VaultConfig.Store is required")
	case !validPrefix(c.Prefix):
		return fmt.Errorf("VaultConfig.Prefix %q is not 2 to 10 lower-case letters", c.Prefix)
	case c.Normalizer != nil && !c.Convergent:
		return errors.New("VaultConfig.Normalizer is for convergent vaults")
	case c.TTL < 0 || c.TTL%time.Microsecond != 0:
		return fmt.Errorf("VaultConfig.TTL of %v is no positive number of whole microseconds", c.TTL)
	case c.Uses < 0 || c.Uses > math.MaxInt32:
		return fmt.Errorf("VaultConfig.Uses of %d is out of range", c.Uses)
	case c.Uses > 0 && c.Convergent:
		return errors.New("VaultConfig.Uses is not for convergent vaults: one caller would use up another's token")
	case c.Normalizer == nil:
		c.Normalizer = Identity
	}
	return nil
}

// Name returns the vault's name.
func (v *Vault) Name() string { return v.name }

// Revoke ends a token for good and erases its value, which can not be brought back,
// by nobody: revoke a token only if its value may be lost. A value that is
// tokenized again gets another token. Revoking a token that ended already changes
// nothing and is no error.
func (v *Vault) Revoke(ctx context.Context, token Token, scope string) error {
	if err := v.revoke(ctx, token, scope); err != nil {
		return fmt.Errorf("token: vault %s: %w", v.name, err)
	}
	return nil
}

func (v *Vault) revoke(ctx context.Context, token Token, scope string) error {
	if err := v.checkScope(scope); err != nil {
		return err
	}
	if _, err := v.parse(token); err != nil {
		return err
	}
	rows, _, err := v.load(ctx, []TokenHash{token.hash()})
	if err != nil {
		return err
	}
	row := rows[token.hash()]
	if row == nil {
		return ErrUnknown
	}
	if err := v.owns(row, scope); err != nil {
		return err
	}
	return v.cfg.Store.Revoke(ctx, v.kr.Name(), row.Hash)
}

// Purge erases the values of tokens of this vault that have expired, of every
// scope, and removes the rows of tokens that ended, expired, revoked or used up,
// longer than keep ago. Until then their errors say how they ended; afterwards they
// are ErrUnknown. Nothing is purged by itself: call it now and then, in as many
// processes as you like. It needs no key.
func (v *Vault) Purge(ctx context.Context, keep time.Duration) (Purged, error) {
	if keep < 0 {
		return Purged{}, fmt.Errorf("token: vault %s: purge: keep is negative", v.name)
	}
	p, err := v.cfg.Store.Purge(ctx, v.kr.Name(), v.name, keep)
	if err != nil {
		return p, fmt.Errorf("token: vault %s: purge: %w", v.name, err)
	}
	return p, nil
}

func (v *Vault) checkScope(scope string) error {
	if (scope != "") != v.kr.Scoped() {
		return fmt.Errorf("%w: keyring %s has Scoped %t", keyring.ErrScope, v.kr.Name(), v.kr.Scoped())
	}
	return nil
}

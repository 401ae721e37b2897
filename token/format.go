package token

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
)

// FormatPreserving replaces values by tokens that look like values, of the same
// length and format, and brings them back for who has the key:
//
//	cards, err := token.NewFormatPreserving(kr, "payments.pan", token.FormatPreservingConfig{Format: "pan"})
//	tok, id, err := cards.Tokenize(ctx, []byte("4111111111111111"), "")  // 1845108117441111, say
//	pan, err := cards.Detokenize(ctx, tok, id, "")
//
// It is for columns, files and systems that take nothing but the format. Where
// there is room, encrypt with crypto.Field, which also authenticates; for card
// numbers that are to leave the scope of PCI DSS, use a vault of random tokens:
// these are cryptographic ones, as sensitive as who can get at the key.
//
// The cipher is FF1 (NIST SP 800-38G) with AES-256, over everything in a value
// that the format does not keep, in one domain; the tweak is what it keeps. See
// package ff1 for what that means, and for patents. Deterministic: equal values
// have equal tokens under one key, name and scope, so that tokens can be joined
// and be unique, and whoever reads them learns which values are equal and how
// often each occurs, their lengths and all that is kept. Who can have values
// tokenized can test guesses. There is no authentication: another token of the
// same format, or one under another key, becomes another value and no error.
// Tokens are valid values: one can be the card or telephone number of somebody
// else, and nothing tells a column of tokens from one of values.
//
// So a token has no room for the id of its key either. Either store the id that
// Tokenize returns in a column beside the token and hand it to Detokenize, or
// pin FormatPreservingConfig.Version; there is no third way, and a reader never
// tries keys. To move from one key to the next, with ids: Rotate the keyring's
// Token purpose, then read, detokenize, tokenize and update each row whose id is
// Stale; both columns change in one statement. With a pinned version: Rotate,
// make a second FormatPreserving with the next Version, write its tokens into
// a second column beside the first, switch readers and writers to it, and
// drop the first. Tokens under different keys can be equal and mean different
// values, so a unique index belongs on token and key id together.
//
// It is safe for concurrent use.
type FormatPreserving struct {
	name    string
	format  *fpe.Format
	opts    fpe.Options
	version int
	keys    *keyring.Derivation[formatKey]
}

// FormatPreservingConfig says what the values look like. Only Format is needed.
// Whoever reads tokens needs the Format, as it is spelled, and the name that they
// were made with, for both are part of the key: with others, tokens become other
// values, without an error. So they do if Separators changes between keep and
// drop and the value has any; values without separators have the same tokens
// whatever Separators and Permute are set to.
type FormatPreservingConfig struct {
	// Format is one of these, or a notation:
	//
	//	pan        card number of 13 to 19 digits; the last four stay; passes Luhn's check
	//	pan-bin6   the same, but the first six digits stay
	//	ssn        US social security number that can have been issued, nine digits
	//	phone      E.164, such as +4915112345678; the country calling code stays
	//	iban       capital letters and digits; country and the class of each character stay, check digits are right
	//	uuid       36 lower-case characters of a UUID (RFC 9562); the version stays
	//	int:LO..HI     decimal integers of that range, the ends included
	//	date:LO..HI    dates of that range, such as 2006-01-02
	//
	// The notation describes values of printable ASCII from left to right:
	//
	//	[A-Z0-9]{8}     eight characters of the class, enciphered; {6-10} is six to ten
	//	[0-9|A-Z]{8}    the same, but digits become digits and letters letters
	//	<[0-9]{4}>      four characters of the class, kept
	//	(001-899!666)   a number of that width and range, without 666, enciphered
	//	(luhn)          the check digit of a value of digits, here or elsewhere in it
	//	(mod97)         the check digits of an IBAN
	//	(cc)            a country calling code, kept
	//	ID-             other characters stand for themselves, special ones after \
	//
	// so that pan is [1-9][0-9]{7-13}(luhn)<[0-9]{4}>. One count may be
	// variable. Values that do not fit are refused (ErrFormat), also for a
	// wrong check digit.
	//
	// There have to be a million values of each length at least, which
	// NIST SP 800-38G Revision 1 (second public draft) requires of FF1, because
	// smaller domains were attacked: else NewFormatPreserving fails with
	// ff1.ErrDomain. A card number whose first six and last four digits both
	// stay has 100,000: use a vault, or package mask for test data.
	Format string

	// Separators says what becomes of spaces and - . / ( ) where the format
	// has none. Defaults to RejectSeparators.
	Separators Separators

	// Permute accepts formats with 100 to 999,999 values, such as a date of
	// birth, if they keep nothing. Such values are not enciphered with FF1, and
	// not by any standard: each is looked up in a table of all of them that
	// was shuffled with a key, of 8 bytes per value and key in memory. The
	// table itself gives nothing away. But so few values are soon known from
	// how often each occurs, or by having all of them tokenized.
	Permute bool

	// Version, if not 0, pins the version of the key: every token is made
	// under it, and read under it if no key id is given, whatever is rotated.
	// With another number, the tokens that are there become other values, without
	// an error: to move, do as is said at FormatPreserving.
	// Version 1 is made when it is first needed, later ones by Rotate. A
	// compromised or suspended version makes no tokens. Keyring.Destroy
	// counts from the rotation and not from the last token: before it, suspend
	// the version and wait for the keyring's EncryptGrace. With a scoped
	// keyring, versions are those of each scope: there, storing ids is
	// easier to live with. 0 makes tokens under the active key.
	Version int
}

// Separators says what becomes of spaces and of - . / ( ) in a value.
type Separators int

// The kinds of Separators. All but the first leave them where they are, in the
// token too.
const (
	// RejectSeparators refuses values that have them.
	RejectSeparators Separators = iota
	// KeepSeparators makes them part of the tweak: one number in two
	// spellings has two tokens that have nothing in common.
	KeepSeparators
	// DropSeparators leaves them out of what is enciphered: one number in
	// two spellings has one token, in two spellings.
	DropSeparators
)

// ErrFormat says that a value, or a token, is not of the format. The error says
// where and does not hold it.
var ErrFormat = fpe.ErrFormat

// formatKey is the cipher under one DEK.
type formatKey struct {
	id     keyring.KeyID
	cipher *fpe.Cipher
}

// NewFormatPreserving returns the FormatPreserving of that name, which is logical,
// such as "payments.pan", and part of the key together with the format: equal
// values under different names have different tokens. Names that begin with
// "sealfield/" are reserved. The keyring's Token purpose gives the keys.
func NewFormatPreserving(kr *keyring.Keyring, name string, cfg FormatPreservingConfig) (*FormatPreserving, error) {
	switch {
	case kr == nil:
		return nil, errors.New("token: NewFormatPreserving needs a keyring")
	case name == "":
		return nil, errors.New("token: NewFormatPreserving needs a name")
	case strings.HasPrefix(name, "sealfield/"):
		return nil, fmt.Errorf("token: name %q is reserved", name)
	case cfg.Version < 0:
		return nil, fmt.Errorf("token: version %d of a key", cfg.Version)
	}
	f := &FormatPreserving{name: name, version: cfg.Version, opts: fpe.Options{Separators: fpe.Separators(cfg.Separators), Permute: cfg.Permute}}
	var err error
	if f.format, err = fpe.Parse(cfg.Format); err == nil {
		err = f.format.Allows(f.opts)
	}
	if err == nil && cfg.Permute && (f.format.Keeps() || cfg.Separators == KeepSeparators) {
		err = fmt.Errorf("format %q keeps parts of a value, so that each of them would need a table: it can not be permuted", f.format)
	}
	if err != nil {
		return nil, fmt.Errorf("token: format-preserving %s: %w", name, err)
	}
	label := string(pae.Encode("format", name, f.format.String(), fmt.Sprint(f.opts)))
	f.keys = keyring.NewDerivation(derive.Access{}, kr, keyring.Token, label, f.newKey)
	return f, nil
}

// Name returns the name.
func (f *FormatPreserving) Name() string { return f.name }

func (f *FormatPreserving) newKey(m *keyring.Material, k *formatKey) error {
	keys := fpe.Keys{Reserve: m.Reserve}
	var err error
	if keys.FF1, err = m.Derive("AES-256-FF1", f.name, 32, "format", f.format.String()); err != nil {
		return err
	}
	defer clear(keys.FF1)
	if f.opts.Permute {
		if keys.Permute, err = m.Derive("HMAC-SHA256", f.name, 32, "permute/1", f.format.String()); err != nil {
			return err
		}
		defer clear(keys.Permute)
	}
	k.id = m.ID()
	k.cipher, err = fpe.New(f.format, f.opts, keys)
	return err
}

// Tokenize returns the token of value in a new slice, and the id of the key that
// made it, which Detokenize needs. The token of NULL is NULL, which is the
// caller's to keep so; an empty value is of no format. scope is empty unless the
// keyring is scoped; its first call makes the scope's key.
//
// It fails with ErrFormat if value is not of the format, or if the keyring can
// not give a key that may be used now (see the errors of package keyring).
func (f *FormatPreserving) Tokenize(ctx context.Context, value []byte, scope string) ([]byte, keyring.KeyID, error) {
	return f.AppendTokenize(ctx, make([]byte, 0, len(value)), value, scope)
}

// AppendTokenize appends the token to dst and returns the extended slice, or nil
// and an error. It allocates nothing if dst has room for it, which is len(value)
// bytes, or as many as the longest number of an int format. dst may share memory
// with value.
func (f *FormatPreserving) AppendTokenize(ctx context.Context, dst, value []byte, scope string) ([]byte, keyring.KeyID, error) {
	k, err := f.writer(ctx, scope)
	if err == nil {
		dst, err = k.cipher.Append(dst, value, false)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("token: format-preserving %s: %w", f.name, err)
	}
	return dst, k.id, nil
}

func (f *FormatPreserving) writer(ctx context.Context, scope string) (*formatKey, error) {
	if f.version > 0 {
		return f.keys.Version(ctx, scope, f.version, true)
	}
	return f.keys.Active(ctx, scope)
}

// Detokenize returns the value of a token in a new slice. id is what Tokenize
// returned with the token, or zero for the pinned version.
//
// A token that is not of the format, or whose key is unknown or may not be used,
// is refused with an error that is crypto.ErrDecrypt and a *crypto.DecryptError,
// as crypto.Field refuses a ciphertext. ErrUnavailable, ErrDenied, ErrStale and
// ErrClosed of package keyring are not: they say nothing about the token. A token
// of the format that was made by nobody, or under another key, name or scope
// than is said here, has a value like any other.
func (f *FormatPreserving) Detokenize(ctx context.Context, token []byte, id keyring.KeyID, scope string) ([]byte, error) {
	return f.AppendDetokenize(ctx, make([]byte, 0, len(token)), token, id, scope)
}

// AppendDetokenize is to Detokenize what AppendTokenize is to Tokenize.
func (f *FormatPreserving) AppendDetokenize(ctx context.Context, dst, token []byte, id keyring.KeyID, scope string) ([]byte, error) {
	k, err := f.reader(ctx, id, scope)
	if err != nil {
		return nil, f.refuse(id, err)
	}
	if dst, err = k.cipher.Append(dst, token, true); err != nil {
		return nil, f.refuse(k.id, err)
	}
	return dst, nil
}

var errNoKeyID = errors.New("the token has no key id, and no version is pinned")

func (f *FormatPreserving) reader(ctx context.Context, id keyring.KeyID, scope string) (*formatKey, error) {
	switch {
	case id != 0:
		return f.keys.ByID(ctx, scope, id)
	case f.version > 0:
		return f.keys.Version(ctx, scope, f.version, false)
	}
	return nil, errNoKeyID
}

// refuse makes what is wrong with a token or its key a crypto.ErrDecrypt, unless
// the keyring said that it can not tell.
func (f *FormatPreserving) refuse(id keyring.KeyID, err error) error {
	var about *keyring.KeyError
	if errors.As(err, &about) {
		id = about.ID
	} else if !errors.Is(err, ErrFormat) && !errors.Is(err, errNoKeyID) {
		return fmt.Errorf("token: format-preserving %s: %w", f.name, err)
	}
	for _, unclear := range []error{keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrStale} {
		if errors.Is(err, unclear) {
			return fmt.Errorf("token: format-preserving %s: %w", f.name, err)
		}
	}
	return &crypto.DecryptError{Field: f.name, KeyID: id, Err: err}
}

// Match returns the tokens that rows with this value may have, and the id of the
// key of each: one under every key that is not destroyed, or only that of the
// pinned version. A row has the value if it has a token and an id of one place,
// so with $1 the tokens and $2 the Bytes of the ids:
//
//	where (pan, pan_key) in (select * from unnest($1::text[], $2::bytea[]))
//
// Without any key the slices are empty and not nil. It never returns fewer than
// there could be, and fails where Index.Match does. An Index on the value is the
// simpler way to search.
func (f *FormatPreserving) Match(ctx context.Context, value []byte, scope string) (tokens []string, ids []keyring.KeyID, err error) {
	keys, err := f.live(ctx, scope)
	tokens, ids = make([]string, len(keys)), make([]keyring.KeyID, len(keys))
	var token []byte
	for i, k := range keys {
		if err == nil {
			token, err = k.cipher.Append(token[:0], value, false)
			tokens[i], ids[i] = string(token), k.id
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("token: format-preserving %s: %w", f.name, err)
	}
	return tokens, ids, nil
}

func (f *FormatPreserving) live(ctx context.Context, scope string) ([]*formatKey, error) {
	if f.version == 0 {
		return f.keys.Live(ctx, scope)
	}
	k, err := f.keys.Version(ctx, scope, f.version, false)
	if errors.Is(err, keyring.ErrUnknownKey) {
		if all, liveErr := f.keys.Live(ctx, scope); liveErr == nil && len(all) == 0 {
			return nil, nil
		}
	}
	return []*formatKey{k}, err
}

// Stale reports whether id is not the key that Tokenize would use now, so that
// tokenizing the value again would bring the row up to date.
func (f *FormatPreserving) Stale(ctx context.Context, id keyring.KeyID, scope string) (bool, error) {
	var current keyring.KeyID
	var err error
	if f.version > 0 {
		var k *formatKey
		if k, err = f.keys.Version(ctx, scope, f.version, false); err == nil {
			current = k.id
		}
	} else {
		current, err = f.keys.ActiveID(ctx, scope)
	}
	if err != nil {
		return false, fmt.Errorf("token: format-preserving %s: %w", f.name, err)
	}
	return id != current, nil
}

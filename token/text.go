package token

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Token is the text of a Vault's token: a prefix that names its kind, an
// underscore, 128 random bits and a checksum, such as
//
//	pan_bbbcbdbfbgbhbjbkblbmbnbpbqbrbsbtrrdhbcbg
//
// It is 43 to 51 bytes of lower-case letters and one underscore, matches TokenPattern,
// and has no digit: nothing that looks for card numbers takes it for one. The
// letters after the underscore are the 16 consonants bcdfghjklmnpqrst, four bits
// each, so that no word forms and nothing is lost where case is. Another case is
// another text, and refused.
//
// A struct field of this type takes no value by accident: the compiler refuses
// a string variable, and database drivers, through Value and Scan, whatever is no
// token.
type Token string

// TokenPattern is the regular expression of a Token, for RE2, PostgreSQL and PCRE, to
// be anchored where it stands for the whole text:
//
//	check (card ~ '^pan_[b-df-hj-np-t]{40}$')
const TokenPattern = `[a-z]{2,10}_[b-df-hj-np-t]{40}`

// TokenHash is the SHA-256 of a Token's text, which stands for it in a
// VaultStore. In SQL: sha256('pan_...'::bytea).
type TokenHash [sha256.Size]byte

// What is wrong with the text of a token. No error of this package holds it.
var (
	// ErrNotToken says that a text does not have the form of a token.
	ErrNotToken = errors.New("it is no token")
	// ErrChecksum says that a text has the form of a token, but is mistyped,
	// cut or made up.
	ErrChecksum = errors.New("the token's checksum is wrong")
	// ErrIsToken says that a token was given for a value.
	ErrIsToken = errors.New("the value is a token")
)

const (
	bodySize = 16 // random bytes

	minPrefix, maxPrefix = 2, 10              // letters
	letters              = 2 * (bodySize + 4) // after the underscore

	alphabet = "bcdfghjklmnpqrst"
)

// body is the random part of a token.
type body [bodySize]byte

// newToken returns the token with that prefix and body.
func newToken(prefix string, b *body) Token {
	text := appendLetters(append(make([]byte, 0, len(prefix)+1+letters), prefix+"_"...), b[:])
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text))
	return Token(appendLetters(text, sum))
}

func appendLetters(dst, src []byte) []byte {
	for _, c := range src {
		dst = append(dst, alphabet[c>>4], alphabet[c&15])
	}
	return dst
}

// parse returns the parts of a token whose form and checksum are right.
func parse[T ~string | ~[]byte](text T) (prefix string, b body, err error) {
	at := len(text) - letters - 1
	if at < minPrefix || at > maxPrefix || text[at] != '_' || !validPrefix(text[:at]) {
		return "", b, ErrNotToken
	}
	var tail [letters]byte
	for i := range tail {
		nibble := strings.IndexByte(alphabet, text[at+1+i])
		if nibble < 0 {
			return "", b, ErrNotToken
		}
		tail[i] = "0123456789abcdef"[nibble]
	}
	var bytes [letters / 2]byte
	hex.Decode(bytes[:], tail[:])
	if crc32.ChecksumIEEE([]byte(text[:len(text)-8])) != binary.BigEndian.Uint32(bytes[bodySize:]) {
		return "", b, ErrChecksum
	}
	return string(text[:at]), body(bytes[:bodySize]), nil
}

func validPrefix[T ~string | ~[]byte](prefix T) bool {
	for i := range len(prefix) {
		if prefix[i] < 'a' || prefix[i] > 'z' {
			return false
		}
	}
	return minPrefix <= len(prefix) && len(prefix) <= maxPrefix
}

// IsToken reports whether text is a Token of whatever kind: its form and checksum
// are right. Random text passes with a probability below 2^-32, no number, UUID or
// hex at all. It says nothing of whether some vault knows the token.
func IsToken[T ~string | ~[]byte](text T) bool {
	_, _, err := parse(text)
	return err == nil
}

func (t Token) hash() TokenHash { return sha256.Sum256([]byte(t)) }

// Value implements driver.Valuer. What is no token is refused, the empty Token
// too: use *Token where the column may be NULL.
func (t Token) Value() (driver.Value, error) {
	if _, _, err := parse(t); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return string(t), nil
}

// Scan implements sql.Scanner. What is no token is refused.
func (t *Token) Scan(src any) error {
	var text Token
	switch src := src.(type) {
	case string:
		text = Token(src)
	case []byte:
		text = Token(src)
	default:
		return fmt.Errorf("token: %w but a %T", ErrNotToken, src)
	}
	if _, _, err := parse(text); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	*t = text
	return nil
}

// GoString is what %#v prints, and with it pgx in its errors: the kind only.
func (t Token) GoString() string {
	prefix, _, err := parse(t)
	if err != nil {
		return "token.Token(invalid)"
	}
	return "token.Token(" + prefix + "_...)"
}

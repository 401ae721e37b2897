package token

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Normalizer brings the spellings of a value that ought to be found together
// into one form. It is applied alike to what is written and to what is looked
// for, and its ID is part of the index key: a changed rule needs a new ID, under
// which no old tag matches by accident. It must be safe for concurrent use.
type Normalizer interface {
	// ID names the rule and its version, such as "email/1".
	ID() string
	// Append appends the normalized form of value to dst. It does not change or
	// keep value. Its errors do not contain it.
	Append(dst, value []byte) ([]byte, error)
}

// The normalizers of this package.
var (
	// Identity, "identity/1", leaves every byte as it is.
	Identity Normalizer = &rule{"identity/1", func(dst, value []byte) ([]byte, error) { return append(dst, value...), nil }}

	// Email, "email/1", is for e-mail addresses typed by people: valid UTF-8
	// is brought to Unicode NFC, white space at both ends (Unicode's) is
	// dropped, and every letter is lower-cased by Unicode's simple mapping, in
	// the local part too, which every provider of note treats so. Dots and
	// "+tags" stay: they differ between providers. It does not check that the
	// value is an address. Invalid UTF-8 is an error.
	Email Normalizer = &rule{"email/1", appendEmail}

	// NFKCFold, "nfkc-fold/1", is for names and other text that people type in
	// any case and width: what Unicode calls a compatibility caseless match.
	// Full case folding (so that STRASSE finds Straße), compatibility
	// decomposition (full-width letters, ligatures), Unicode NFKC; runs of
	// white space (Unicode's) become one space, those at the ends none.
	// Accents stay, and the dotted and dotless i of Turkish are four letters.
	// Invalid UTF-8 is an error.
	NFKCFold Normalizer = &rule{"nfkc-fold/1", appendFold}

	// Digits, "digits/1", keeps the ASCII digits and drops the ASCII
	// characters that people put between them: space, tab, - . / ( ) and a
	// leading +. Everything else, other scripts' digits included, is an
	// error, for dropping it would make different values equal; so is a value
	// that has characters but no digit.
	Digits Normalizer = &rule{"digits/1", appendDigits}
)

// ErrValue says that a value is not of the kind that its normalizer is for.
var ErrValue = errors.New("the value can not be normalized")

type rule struct {
	id     string
	append func(dst, value []byte) ([]byte, error)
}

func (r *rule) ID() string                               { return r.id }
func (r *rule) Append(dst, value []byte) ([]byte, error) { return r.append(dst, value) }
func (r *rule) String() string                           { return r.id }

func appendEmail(dst, value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return nil, fmt.Errorf("token: email/1: %w: it is no valid UTF-8", ErrValue)
	}
	// Lower-casing can take a string out of NFC, hence once more at the end.
	return norm.NFC.Append(dst, bytes.ToLower(bytes.TrimSpace(norm.NFC.Bytes(value)))...), nil
}

func appendFold(dst, value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return nil, fmt.Errorf("token: nfkc-fold/1: %w: it is no valid UTF-8", ErrValue)
	}
	// NFKC of D146 of the Unicode standard, section 3.13.
	fold := cases.Fold()
	folded := norm.NFKC.Bytes(fold.Bytes(norm.NFKD.Bytes(fold.Bytes(norm.NFD.Bytes(value)))))
	start := len(dst)
	for word := range bytes.FieldsSeq(folded) {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, word...)
	}
	return dst, nil
}

func appendDigits(dst, value []byte) ([]byte, error) {
	start := len(dst)
	for i, c := range value {
		switch {
		case '0' <= c && c <= '9':
			dst = append(dst, c)
		case c == '+' && len(dst) == start && bytes.IndexByte(value, '+') == i:
		case bytes.IndexByte([]byte(" \t-./()"), c) >= 0:
		default:
			return nil, fmt.Errorf("token: digits/1: %w: it holds something else than digits", ErrValue)
		}
	}
	if len(dst) == start && len(value) > 0 {
		return nil, fmt.Errorf("token: digits/1: %w: it holds no digit", ErrValue)
	}
	return dst, nil
}

// Package e164 finds phone numbers in whatever format they were typed: a
// token.Normalizer that brings them to E.164, such as +493012345678.
//
//	german, err := e164.New("DE")
//	byPhone, err := token.NewIndex(kr, "customers.phone", token.IndexConfig{Normalizer: german})
//	// 030 / 123 456-78, +49 (0)30 12345678, 0049 30 12345678: one tag
//
// Nothing registers itself: a Normalizer is passed to token.NewIndex, or to
// pgxfield's Config.Normalizers, by whoever made it. Both who writes and who
// searches need the same region.
//
// The numbering plans are those of libphonenumber, through its port
// github.com/nyaruka/phonenumbers; hence a module of its own. A newer release of
// the library can know a plan that has changed since and read a national number
// in another way; a number that begins with + and a country code is read alike
// for as long as that country keeps its trunk prefix. Search for a sample of
// stored numbers before you raise its version.
//
// What the tags show is said in package token. Phone numbers are nearly unique,
// so tags tell little to who has no key; who has the key of the index can try
// all numbers of a country in minutes.
package e164

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/sealfield/sealfield/token"
)

// International is the region of New for numbers that have to begin with + and
// a country code.
const International = "ZZ"

// New returns the normalizer "e164/1:REGION". region is where a number without a
// country code is dialled from, as two upper-case letters of ISO 3166, or
// International.
//
// A number is made of ASCII, full-width or Arabic digits, and at most one + in
// front. Spaces, dashes, dots, slashes, brackets, tildes and invisible format
// characters between them are dropped. All else is refused with token.ErrValue,
// rather than guessed at: letters (vanity numbers, extensions), numbers that are
// too short or too long for their country, and those that can be dialled only
// within a town. Whether a number is in use is not checked. An empty value
// stays empty.
func New(region string) (token.Normalizer, error) {
	if region != International && !phonenumbers.GetSupportedRegions()[region] {
		return nil, fmt.Errorf("e164: no region %q: it has to be two upper-case letters of ISO 3166, or %q", region, International)
	}
	return &normalizer{region}, nil
}

type normalizer struct{ region string }

func (n *normalizer) ID() string     { return "e164/1:" + n.region }
func (n *normalizer) String() string { return n.ID() }

func (n *normalizer) Append(dst, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return dst, nil
	}
	refused := func(why string) error { return fmt.Errorf("%s: %w: %s", n.ID(), token.ErrValue, why) }
	if len(value) > maxTyped {
		return nil, refused("it is too long for a phone number")
	}
	typed, ok := dialled(value)
	if !ok {
		return nil, refused("it holds something else than a phone number")
	}
	number, err := phonenumbers.Parse(typed, n.region)
	if err != nil {
		return nil, refused("it can not be read as a phone number")
	}
	if phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE {
		return nil, refused("its length is not that of a phone number of its country")
	}
	// What is no number can begin with trunk prefixes that are dropped one at
	// a time, and would be another one each time it is normalized.
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	if again, err := phonenumbers.Parse(e164, n.region); err != nil || phonenumbers.Format(again, phonenumbers.E164) != e164 {
		return nil, refused("it can not be read as a phone number")
	}
	return append(dst, e164...), nil
}

// maxTyped is the longest value that is looked at, in bytes: libphonenumber's
// limit.
const maxTyped = 250

// dialled returns the digits of a number as they were typed, with a + in front
// if there was one.
func dialled(value []byte) (string, bool) {
	var b strings.Builder
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		value = value[size:]
		digit, isDigit := digitOf(r)
		switch {
		case isDigit:
			b.WriteByte('0' + digit)
		case (r == '+' || r == '\uff0b') && b.Len() == 0:
			b.WriteByte('+')
		case strings.ContainsRune("./()[]~\u2212\uff0e\uff0f\uff08\uff09\uff5e", r), unicode.IsSpace(r), unicode.In(r, unicode.Pd, unicode.Cf):
		default: // also invalid UTF-8
			return "", false
		}
	}
	return b.String(), strings.Trim(b.String(), "+") != ""
}

// digitOf returns the value of an ASCII, Arabic-Indic, extended Arabic-Indic or
// full-width digit.
func digitOf(r rune) (byte, bool) {
	for _, zero := range []rune{'0', '\u0660', '\u06f0', '\uff10'} {
		if r >= zero && r <= zero+9 {
			return byte(r - zero), true
		}
	}
	return 0, false
}

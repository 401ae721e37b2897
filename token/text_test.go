package token_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/token"
)

// The token of SPEC.md: body 000102...0f.
const specToken token.Token = "pan_bbbcbdbfbgbhbjbkblbmbnbpbqbrbsbtrrdhbcbg"

var wholePattern = regexp.MustCompile("^" + token.TokenPattern + "$")

// check returns what Scan, and with it every reader, says of a text.
func check(text string) error {
	var t token.Token
	return t.Scan(text)
}

func TestTokenText(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{string(specToken), nil},
		{"", token.ErrNotToken},
		{strings.ToUpper(string(specToken)), token.ErrNotToken},
		{"Pan" + string(specToken)[3:], token.ErrNotToken},
		{string(specToken) + "\n", token.ErrNotToken},
		{" " + string(specToken), token.ErrNotToken},
		{string(specToken)[1:], token.ErrChecksum}, // the prefix is part of it
		{string(specToken)[2:], token.ErrNotToken}, // one letter
		{"eml" + string(specToken)[3:], token.ErrChecksum},
		{string(specToken)[:43], token.ErrNotToken},
		{strings.Replace(string(specToken), "_", "-", 1), token.ErrNotToken},
		{strings.Replace(string(specToken), "b", "\u0431", 1), token.ErrNotToken},
		{string(specToken) + "b", token.ErrNotToken},
		{"abcdefghijk" + string(specToken)[3:], token.ErrNotToken}, // 11 letters
		{"pan1" + string(specToken)[3:], token.ErrNotToken},
		{strings.Repeat("\xff", 44), token.ErrNotToken},
		{"4111111111111111", token.ErrNotToken},
	} {
		err := check(c.text)
		require.ErrorIs(t, err, c.want, "%q", c.text)
		require.Equal(t, c.want == nil, token.IsToken(c.text), "%q", c.text)
		require.Equal(t, c.want == nil, token.IsToken([]byte(c.text)), "%q", c.text)
		_, err = token.Token(c.text).Value()
		require.ErrorIs(t, err, c.want, "%q", c.text)
		if c.want == nil {
			require.Regexp(t, wholePattern, c.text)
		}
		if err != nil && c.text != "" {
			require.NotContains(t, err.Error(), c.text)
		}
	}
}

// TestTypos checks that a token with one wrong letter, or with two that changed
// places, is never another token.
func TestTypos(t *testing.T) {
	for _, text := range someTokens(20) {
		for i := range text {
			for c := byte('a'); c <= 'z'; c++ {
				if typo := text[:i] + string(c) + text[i+1:]; typo != text {
					require.Error(t, check(typo), "%s", typo)
				}
			}
			for j := i + 1; j < min(i+3, len(text)); j++ {
				swapped := []byte(text)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				if string(swapped) != text {
					require.Error(t, check(string(swapped)), "%s", swapped)
				}
			}
			require.ErrorIs(t, check(text[:i]+text[i+1:]), notTokenOrChecksum(len(text)-1, text, i))
		}
	}
}

// notTokenOrChecksum: a letter that is missing in the prefix leaves the form right.
func notTokenOrChecksum(_ int, text string, i int) error {
	if at := strings.IndexByte(text, '_'); i < at && at > 2 {
		return token.ErrChecksum
	}
	return token.ErrNotToken
}

func someTokens(n int) []string {
	all := make([]string, n)
	for i := range all {
		var b [16]byte
		rand.Read(b[:])
		all[i] = string(token.NewToken([]string{"pan", "eml", "ab", "abcdefghij"}[i%4], b))
	}
	return all
}

// TestTokenLooksLikeNothingElse: card numbers, UUIDs, hex and base64 are no tokens,
// and in a token there is no digit for a scanner to find a card number.
func TestTokenLooksLikeNothingElse(t *testing.T) {
	for range 2000 {
		var b [33]byte
		rand.Read(b[:])
		for _, text := range []string{
			hex.EncodeToString(b[:22]), base64.StdEncoding.EncodeToString(b[:]), base64.RawURLEncoding.EncodeToString(b[:]),
			fmt.Sprintf("%016d", b[:2]), fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16]),
			"sf1." + base64.RawURLEncoding.EncodeToString(b[:]), rand.Text(),
		} {
			require.False(t, token.IsToken(text), text)
		}
	}
	for _, text := range someTokens(2000) {
		require.Equal(t, -1, strings.IndexAny(text, "0123456789aeiou"[:10]))
		require.Equal(t, strings.ToLower(text), text)
		require.Regexp(t, wholePattern, text)
		require.NotRegexp(t, "[aeiou]", text[strings.IndexByte(text, '_'):])
	}
}

func TestTokenColumn(t *testing.T) {
	v, err := specToken.Value()
	require.NoError(t, err)
	require.Equal(t, string(specToken), v)
	var got token.Token
	require.NoError(t, got.Scan([]byte(specToken)))
	require.Equal(t, specToken, got)
	for _, src := range []any{nil, 42, "4111111111111111", []byte("x"), ""} {
		require.ErrorIs(t, got.Scan(src), token.ErrNotToken)
		require.Equal(t, specToken, got, "a failed Scan leaves the target alone")
	}
	require.Equal(t, "token.Token(pan_...)", fmt.Sprintf("%#v", specToken))
	require.NotContains(t, fmt.Sprintf("%#v", struct{ T token.Token }{"4111111111111111"}), "4111")
}

func FuzzTokenText(f *testing.F) {
	for _, s := range someTokens(4) {
		f.Add(s)
	}
	for _, s := range []string{string(specToken), "", "pan_", "_", strings.Repeat("b", 44), "4111111111111111", "ab_" + strings.Repeat("b", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !token.IsToken(text) {
			return
		}
		require.Regexp(t, wholePattern, text)
		prefix, body := token.Parts(token.Token(text))
		require.Equal(t, text, string(token.NewToken(prefix, body)), "one spelling")
	})
}

package dict_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/sealfield/sealfield/internal/dict"
)

// TestFrozen pins the files: version 1 stays as it is.
func TestFrozen(t *testing.T) {
	for name, sum := range map[string]string{
		"ar": "4a3e6ff745817c72d97267df0bc016e97758f09b5105df80e4e4fbbc3df8aed4",
		"de": "2392accc18d0551049bfc36ca97f9aef4d72897310af444a9a554fb0e9178f81",
		"el": "2e9dc4b7d4bd0b5089d568fd2d51bbfa37d948d3800a257e9c768684826676da",
		"en": "7ce608c0826bd5528b1fee48e120c47ff2929ff72589d650dc5f2ed26bf1086a",
		"es": "672f3aa2a2190ad2b65daeeb0483d146ba16c8ed95e8dc8b86c442533892502f",
		"fr": "bb80dbe33dd6c1d10fe9b5c60592ef1e5583f63882bd8905c5e5e8549993c326",
		"he": "9a2eb93c4d2ba00af065eefcb23aeade47b4d4b8db59c0dbb8f97b7129a87d0d",
		"hi": "7c58e93f263314406ce19618a9c78ee27bd6392f7bd282db29a809157215a150",
		"ko": "3d1cafc3736c1c0a21dee29cc7a30030ad41bde95722bf48cff5a04a48b7042e",
		"uk": "a2abc6ecf151075d4e3ecb8479c784fe4ee988b6d1d752ba621a6b6986d9bf2b",
		"zh": "ea7c374a9600c8dd1f2dd6faf8f4d206a07e53e3c8221130796f9f5ec0433f82",
	} {
		data, err := os.ReadFile("v1/" + name + ".txt")
		require.NoError(t, err)
		got := sha256.Sum256(data)
		require.Equal(t, sum, hex.EncodeToString(got[:]), "a frozen list was changed: make another version")
		require.True(t, norm.NFC.IsNormal(data), name)
	}
}

func TestLocales(t *testing.T) {
	for _, name := range dict.Names() {
		l := dict.Get(name)
		require.NotNil(t, l, name)
		for what, list := range map[string][]string{"given": l.Given, "surnames": l.Surnames, "streets": l.Streets} {
			require.GreaterOrEqual(t, len(list), 20, "%s %s", name, what)
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(list))), len(list), "%s %s: no entry twice", name, what)
			script := ""
			for _, word := range list {
				require.NotEmpty(t, word)
				require.LessOrEqual(t, len([]rune(word)), 24)
				require.NotContains(t, word, "{")
				if script == "" {
					script = dict.ScriptOf([]byte(word))
				}
				require.Equal(t, script, dict.ScriptOf([]byte(word)), "%s: %s", name, word)
			}
		}
		require.GreaterOrEqual(t, len(l.Places), 20)
		for _, p := range l.Places {
			require.Regexp(t, `^[A-Z0-9#@ ]{4,8}$`, p.Postcode)
			require.Regexp(t, `^[A-Z]{2}$`, p.Country)
			require.NotEmpty(t, p.Region)
			require.True(t, unicode.IsLetter([]rune(p.City)[0]))
		}
	}
	require.Nil(t, dict.Get("xx"))
}

func TestScriptOf(t *testing.T) {
	for value, locale := range map[string]string{
		"Ann": "en", "Ünal": "en", "Γιώργος": "el", "Ольга": "uk", "محمد": "ar", "\u202eמשה": "he", "राम": "hi", "王伟": "zh", "김": "ko", "": "en", "123": "en", "🙂": "en", "\xff": "en", "ไทย": "en", "1. Ольга": "uk", "🙂王": "zh",
	} {
		require.Equal(t, locale, dict.ScriptOf([]byte(value)), value)
	}
}

package ff1_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/token/ff1"
)

// FuzzRoundTrip takes any alphabet and value: what is accepted comes back, in
// the alphabet and with as many characters, and what is refused is refused for
// its reason.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []struct {
		alphabet, value string
		tweak           string
	}{
		{digits, "4000001234567899", "card"},
		{digits, "12345", ""},
		{digits, "-1234567", ""},
		{base36, "0123456789abcdefghi", "\x00"},
		{"01", strings.Repeat("01", 40), ""},
		{"αβγδεζηθικλμνξοπρσςτυφχψω", "αλφαβητο", "ελ"},
		{"aé\U0001f0a1", "aé\U0001f0a1aaaaaaaaaaé", ""},
		{"0\ufffd", strings.Repeat("0\ufffd", 12), ""},
		{"0\ufffd", strings.Repeat("0", 24) + "\xff", ""},
		{"0120", "012012", ""},
		{"0", "0000000", ""},
		{"01\xff", "010101", ""},
		{digits, strings.Repeat("9", 300), strings.Repeat("t", 33)},
	} {
		f.Add([]byte("0123456789abcdef"), seed.alphabet, seed.value, []byte(seed.tweak))
	}
	f.Fuzz(func(t *testing.T, key []byte, alphabet, value string, tweak []byte) {
		a, err := ff1.NewAlphabet(alphabet)
		require.Equal(t, validAlphabet(alphabet), err == nil)
		if err != nil {
			return
		}
		c, err := ff1.New(key, a.Len())
		if err != nil {
			return
		}
		ct, err := c.EncryptString(a, value, tweak)
		outside := strings.IndexFunc(value, func(r rune) bool { return !strings.ContainsRune(alphabet, r) })
		n := utf8.RuneCountInString(value)
		var position *ff1.NumeralError
		switch {
		case utf8.ValidString(value) && outside < 0 && n >= c.MinLen() && n <= ff1.MaxLen && len(tweak) <= ff1.MaxTweakLen:
			require.NoError(t, err)
		case errors.As(err, &position):
			require.True(t, outside >= 0 || !utf8.ValidString(value))
			if outside >= 0 {
				require.LessOrEqual(t, position.Position, outside)
			}
			return
		default:
			require.True(t, errors.Is(err, ff1.ErrDomain) || errors.Is(err, ff1.ErrTooLong), "%v", err)
			return
		}
		require.Equal(t, n, utf8.RuneCountInString(ct))
		for _, r := range ct {
			require.True(t, strings.ContainsRune(alphabet, r))
		}
		pt, err := c.DecryptString(a, ct, tweak)
		require.NoError(t, err)
		require.Equal(t, value, pt)
		out, err := c.AppendEncrypt([]byte("x"), a, []byte(value), tweak)
		require.NoError(t, err)
		require.Equal(t, "x"+ct, string(out))
	})
}

func validAlphabet(s string) bool {
	seen := map[rune]bool{}
	for _, r := range s {
		if seen[r] {
			return false
		}
		seen[r] = true
	}
	return utf8.ValidString(s) && len(seen) >= 2 && len(seen) <= ff1.MaxRadix
}

// FuzzReference compares numerals, text and integers with the reference.
func FuzzReference(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), uint32(10), []byte("\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("tweak"))
	f.Add([]byte("0123456789abcdef01234567"), uint32(65536), []byte("\xff\xff\xff\xff"), []byte(nil))
	f.Add([]byte("0123456789abcdef0123456789abcdef"), uint32(65535), []byte("\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\xfe"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, key []byte, radix uint32, data, tweak []byte) {
		c, err := ff1.New(key, int(radix))
		if err != nil || len(data)/2 < c.MinLen() || len(data) > 600 || len(tweak) > ff1.MaxTweakLen {
			return
		}
		x := make([]uint16, len(data)/2)
		for i := range x {
			x[i] = uint16((uint32(data[2*i])<<8 | uint32(data[2*i+1])) % radix)
		}
		r := newReference(t, key, int(radix))
		encrypted, decrypted := r.encrypt(x, tweak), r.decrypt(x, tweak)
		got, err := c.Encrypt(nil, x, tweak)
		require.NoError(t, err)
		require.Equal(t, encrypted, got)
		got, err = c.Decrypt(nil, x, tweak)
		require.NoError(t, err)
		require.Equal(t, decrypted, got)
		requireForms(t, r, c, x, encrypted, decrypted, tweak, "")
	})
}

package fpe_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
)

// FuzzNotation reads any notation; one that is accepted makes a cipher, whose
// values are those of its regular expression.
func FuzzNotation(f *testing.F) {
	for _, s := range []string{"pan", "iban", "uuid", "+(cc)[0-9]{6-14}", "(001-899!666)(01-99)(0001-9999)", `\[[!\-~]{6}\]<[A-C|0-9]{2-3}>`, "int:-5..5000000",
		"date:1900-01-01..2099-12-31", "<[1-9]>[0-9]{6-12}(luhn)", "[0-9|a-z", "(", "[0-9]{", "<[", `\`, "[|]", "[0--]{6}", "int:-100000..0", "[0-9]{6}(cc)", "[1-9][0-9]{6-18}"} {
		f.Add(s, "4111111111111111")
	}
	f.Fuzz(func(t *testing.T, notation, value string) {
		format, err := fpe.Parse(notation)
		if err != nil {
			return
		}
		again, err := fpe.Parse(format.String())
		require.NoError(t, err)
		require.Equal(t, format, again)
		pattern, err := regexp.Compile(format.Regexp())
		require.NoError(t, err)
		for _, o := range []fpe.Options{{}, {Permute: true}, {Separators: fpe.Keep}, {Separators: fpe.Drop}} {
			c, err := fpe.New(format, o, testKeys("test"))
			if err != nil {
				continue
			}
			token, err := c.Append(nil, []byte(value), false)
			if err != nil {
				require.ErrorIs(t, err, fpe.ErrFormat)
				continue
			}
			back, err := c.Append(nil, token, true)
			require.NoError(t, err)
			require.Equal(t, value, string(back))
			if !strings.HasPrefix(format.String(), "int:") {
				require.Equal(t, len(value), len(token), "%q", token)
			}
			if _, hi, ok := format.Decimal(); ok && o.Separators == fpe.Reject {
				n, err := strconv.ParseInt(string(token), 10, 64)
				require.True(t, err == nil && strconv.FormatInt(n, 10) == string(token) || len(token) > 18 && hi == 999_999_999_999_999_999, "%q", token)
			}
			if o.Separators == fpe.Reject {
				require.Regexp(t, pattern, value)
				require.Regexp(t, pattern, string(token))
			}
		}
	})
}

// FuzzValues gives any text to every named format.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"4111111111111111", "4111-1111-1111-1111", "123456789", "+4915112345678", "GB82WEST12345698765432", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "-7", "2024-02-29", "", "\x00", "４111"} {
		f.Add([]byte(s))
	}
	var ciphers []*fpe.Cipher
	for _, name := range []string{"pan", "pan-bin6", "ssn", "phone", "iban", "uuid", "int:-5..5000000", "date:0001-01-01..9999-12-31"} {
		ciphers = append(ciphers, newCipher(f, name, fpe.Options{}))
	}
	ciphers = append(ciphers, newCipher(f, "pan", fpe.Options{Separators: fpe.Keep}), newCipher(f, "ssn", fpe.Options{Separators: fpe.Drop}))
	f.Fuzz(func(t *testing.T, value []byte) {
		before := bytes.Clone(value)
		for _, c := range ciphers {
			token, err := c.Append(nil, value, false)
			require.Equal(t, before, value)
			if err != nil {
				require.ErrorIs(t, err, fpe.ErrFormat)
				continue
			}
			back, err := c.Append(nil, token, true)
			require.NoError(t, err)
			require.Equal(t, value, back)
		}
	})
}

package fpe_test

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
)

func testKeys(seed string) fpe.Keys {
	one, two := sha256.Sum256([]byte("ff1 "+seed)), sha256.Sum256([]byte("permute "+seed))
	return fpe.Keys{FF1: one[:], Permute: two[:], Reserve: func(int64) bool { return true }}
}

func newCipher(t testing.TB, notation string, o fpe.Options) *fpe.Cipher {
	f, err := fpe.Parse(notation)
	require.NoError(t, err)
	c, err := fpe.New(f, o, testKeys("test"))
	require.NoError(t, err)
	return c
}

func crypt(t testing.TB, c *fpe.Cipher, value string, decrypt bool) string {
	t.Helper()
	out, err := c.Append(nil, []byte(value), decrypt)
	require.NoError(t, err, value)
	return string(out)
}

// TestValues has values of every kind of format: they come back, and become
// other values of the same format that are of the same length and keep what is
// to be kept. kept is a pattern of the token.
func TestValues(t *testing.T) {
	for _, c := range []struct{ format, value, kept string }{
		{"pan", "4111111111111111", `^[1-9]\d{11}1111$`},
		{"pan", "4222222222222", `^[1-9]\d{8}2222$`},
		{"pan", "378282246310005", `^[1-9]\d{10}0005$`},
		{"pan", "6304000000000000000", `^[1-9]\d{14}0000$`},
		{"pan-bin6", "4111111111111111", `^411111\d{10}$`},
		{"pan-bin6", "4222222222222", `^422222\d{7}$`},
		{"ssn", "123456789", `^(?:00[1-9]|0[1-9]\d|[1-8]\d\d)(?:0[1-9]|[1-9]\d)\d{4}$`},
		{"ssn", "001010001", `^\d{9}$`},
		{"ssn", "899999999", `^\d{9}$`},
		{"ssn", "667010001", `^\d{9}$`},
		{"phone", "+15551234567", `^\+1\d{10}$`},
		{"phone", "+4915112345678", `^\+49\d{11}$`},
		{"phone", "+358401234567", `^\+358\d{9}$`},
		{"phone", "+29012345678", `^\+290\d{8}$`},
		{"phone", "+123456789012345", `^\+1\d{14}$`},
		{"tel:(cc)-[0-9]{6}", "tel:49-123456", `^tel:49-\d{6}$`},
		{"[0-9]{6}(cc)", "12345649", `^\d{6}49$`},
		{"[0-9]{6}(cc)", "1234561", `^\d{6}1$`},
		{"iban", "GB82WEST12345698765432", `^GB\d\d[A-Z]{4}\d{14}$`},
		{"iban", "DE89370400440532013000", `^DE\d{20}$`},
		{"iban", "FR1420041010050500013M02606", `^FR\d{19}[A-Z]\d{5}$`},
		{"iban", "NO9386011117947", `^NO\d{13}$`},
		{"iban", "MT84MALT011000012345MTLCAST001S", `^MT\d\d[A-Z]{4}\d{12}[A-Z]{7}\d{3}[A-Z]$`},
		{"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", `^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{"uuid", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{"int:0..999999", "0", `^(0|[1-9]\d{0,5})$`},
		{"int:1..2147483647", "2147483647", `^[1-9]\d{0,9}$`},
		{"int:-1000000..1000000", "-7", `^(0|-?[1-9]\d{0,6})$`},
		{"int:-9223372036854775808..9223372036854775807", "-9223372036854775808", `^-?\d+$`},
		{"date:0001-01-01..9999-12-31", "2024-02-29", `^\d{4}-\d\d-\d\d$`},
		{"date:0001-01-01..9999-12-31", "0001-01-01", `^\d{4}-\d\d-\d\d$`},
		{"[A-Z]{2}[0-9]{7}", "AB0000000", `^[A-Z]{2}\d{7}$`},
		{"[0-9]{6-19}", "000000", `^\d{6}$`},
		{"[0-9]{6-19}", "9999999999999999999", `^\d{19}$`},
		{"[0-9|A-Z|a-z]{8-40}", "aB3dE6gH", `^[a-z][A-Z]\d[a-z][A-Z]\d[a-z][A-Z]$`},
		{"ID-[0-9a-f]{10}", "ID-00ff00ff00", `^ID-[0-9a-f]{10}$`},
		{`\[[\!-~]{6}\]<[A-C|0-9]{2-3}>`, "[abc~-!]A1", `^\[.{6}\]A1$`},
		{"[01]{40}", strings.Repeat("01", 20), `^[01]{40}$`},
		{"[01]{200}", strings.Repeat("01", 100), `^[01]{200}$`},
		{"(1000-9999)(00-98!50!51)[a-z]", "100052z", `^[1-9]\d{3}\d{2}[a-z]$`},
		{"[A-Z]{100}[0-9]{100}", strings.Repeat("QR", 50) + strings.Repeat("75", 50), `^[A-Z]{100}\d{100}$`},
		{"<[0-9]{3}>[0-9]{7}(luhn)<[0-9]>", "999123456769", `^999\d{8}9$`},
	} {
		t.Run(c.format+" "+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			f, err := fpe.Parse(c.format)
			require.NoError(t, err)
			cipher, pattern := newCipher(t, c.format, fpe.Options{}), regexp.MustCompile(f.Regexp())
			require.Regexp(t, pattern, c.value)
			token := crypt(t, cipher, c.value, false)
			require.Regexp(t, pattern, token)
			require.Regexp(t, c.kept, token)
			require.NotEqual(t, c.value, token)
			require.Equal(t, c.value, crypt(t, cipher, token, true))
			crypt(t, cipher, token, false) // a token is a value
			if strings.HasPrefix(c.format, "pan") {
				require.True(t, luhn(token), token)
				require.True(t, luhn(c.value), c.value)
			}
			if c.format == "iban" {
				require.True(t, mod97(token), token)
			}
		})
	}
}

// luhn is the check the other way round: the sum, not the digit.
func luhn(s string) bool {
	sum, double := 0, false
	for i := len(s) - 1; i >= 0; i-- {
		d := int(s[i] - '0')
		if double {
			d *= 2
		}
		sum += d/10 + d%10
		double = !double
	}
	return sum%10 == 0
}

// mod97 is the check of an IBAN as ISO 13616 has it, with one large number.
func mod97(s string) bool {
	var digits strings.Builder
	for _, c := range s[4:] + s[:4] {
		n, err := strconv.ParseInt(string(c), 36, 64)
		if err != nil {
			return false
		}
		fmt.Fprint(&digits, n)
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	return n.Mod(n, big.NewInt(97)).Int64() == 1
}

// TestNoValues has texts that are not of the format: each is an error that says
// where, and shows nothing.
func TestNoValues(t *testing.T) {
	for format, values := range map[string][]string{
		"pan": {"", "4", "411111111111", "41111111111111111111", "4111111111111112", "0111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111",
			"411111111111111x", "x111111111111111", "４111111111111111", "411111111111111\n", " 4111111111111111", "+411111111111111", "-411111111111111", "41111111\x0011111111"},
		"ssn":                         {"666010001", "000010001", "900010001", "123000001", "123450000", "12345678", "1234567890", "123-45-6789", "12345678a", "+23456789"},
		"phone":                       {"15551234567", "+05551234567", "+1555", "+1234567890123456", "+49", "+", "", "+1 5551234567", "+a5551234567", "++1555123456", "+35812345"},
		"iban":                        {"GB83WEST12345698765432", "gb82WEST12345698765432", "GB82west12345698765432", "GB82", "GB82WEST", "1282WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "GB8AWEST12345698765432", "DE89370400440532013001"},
		"uuid":                        {"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-c765-00a0c91e6bf6", "f81d4fae7dec11d0a76500a0c91e6bf6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}"},
		"int:0..999999":               {"", "-1", "1000000", "01", "+1", "1.0", "1e3", " 1", "0x1", "-0", "1_0", "99999999999999999999999"},
		"date:0001-01-01..9999-12-31": {"2023-02-29", "2023-13-01", "2023-00-10", "0000-01-01", "2023-1-01", "10000-01-01", "2023/01/01", "2023-01-01T00:00:00Z", "", "2023-01-32"},
		"date:1000-01-01..9999-12-31": {"0999-12-31"},
		"[A-Z]{2}[0-9]{7}":            {"ab1234567", "AB123456", "AB12345678", "A11234567"},
		"ID-[0-9a-f]{10}":             {"id-00ff00ff00", "ID_00ff00ff00"},
		"[0-9]{6}(cc)":                {"123456", "1234562", "12345621", "12345611", "1234560"},
		"[0-9]{6-19}":                 {"12345", "12345678901234567890", strings.Repeat("1", 2000)},
	} {
		c := newCipher(t, format, fpe.Options{})
		for _, v := range values {
			for _, decrypt := range []bool{false, true} {
				out, err := c.Append([]byte("dst"), []byte(v), decrypt)
				require.ErrorIs(t, err, fpe.ErrFormat, "%s %q", format, v)
				require.Nil(t, out)
				if len(v) > 5 {
					require.NotContains(t, err.Error(), v[1:5], "%q", v)
				}
			}
		}
	}
	for value, text := range map[string]string{
		"411x111111111111":   "the value does not fit the format: a character outside its class at byte 3",
		"4111111111111112":   "the value does not fit the format: a wrong check digit at byte 11",
		"411111111111111111": "the value does not fit the format: a wrong check digit at byte 13",
		"4":                  "the value does not fit the format: too short or too long",
	} {
		_, err := newCipher(t, "pan", fpe.Options{}).Append(nil, []byte(value), false)
		require.EqualError(t, err, text)
	}
	_, err := newCipher(t, "pan", fpe.Options{Separators: fpe.Drop}).Append(nil, []byte("41-11 1x11 1111 1111"), false)
	require.EqualError(t, err, "the value does not fit the format: a character outside its class at byte 7")
}

// TestCallingCodes has codes of one, two and three digits in every zone.
func TestCallingCodes(t *testing.T) {
	c := newCipher(t, "phone", fpe.Options{})
	for _, code := range []string{"1", "7", "20", "211", "218", "27", "290", "30", "351", "39", "380", "40", "420", "49", "501", "51", "58", "599", "60", "66", "673", "692", "81", "850", "86", "886", "90", "95", "961", "98", "998"} {
		others := map[byte]bool{}
		for i := range 10 {
			token := crypt(t, c, fmt.Sprintf("+%s55512%d", code, i), false)
			require.True(t, strings.HasPrefix(token, "+"+code), token)
			others[token[1+len(code)]] = true
		}
		require.Greater(t, len(others), 1, "the digit after %s changes", code)
	}
}

// TestSeparators has one number in three spellings.
func TestSeparators(t *testing.T) {
	spellings := []string{"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", " 41.11/(1111)1111-1111 "}
	plain := crypt(t, newCipher(t, "pan", fpe.Options{}), spellings[0], false)
	digits := func(s string) string { return strings.Map(func(r rune) rune { return onlyDigit(r) }, s) }
	for _, sep := range []fpe.Separators{fpe.Keep, fpe.Drop} {
		c, seen := newCipher(t, "pan", fpe.Options{Separators: sep}), map[string]bool{}
		require.Equal(t, plain, crypt(t, c, spellings[0], false), "a value without separators has one token")
		for _, s := range spellings {
			token := crypt(t, c, s, false)
			require.Equal(t, s, crypt(t, c, token, true))
			require.Equal(t, strings.Map(noDigit, s), strings.Map(noDigit, token), "each stays at its place")
			seen[digits(token)] = true
			in := []byte(s)
			out, err := c.Append(in[:0], in, false)
			require.NoError(t, err)
			require.Equal(t, token, string(out), "in place")
		}
		if sep == fpe.Drop {
			require.Len(t, seen, 1)
		} else {
			require.Len(t, seen, len(spellings))
		}
	}
	c := newCipher(t, "pan", fpe.Options{Separators: fpe.Keep})
	for _, s := range []string{"4111_1111_1111_1111", "4111\t1111 1111 1111", "4111 1111 1111 111a", "- - - -", "4111\u00a01111111111111"} {
		_, err := c.Append(nil, []byte(s), false)
		require.ErrorIs(t, err, fpe.ErrFormat)
	}
}

func onlyDigit(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}

func noDigit(r rune) rune {
	if r >= '0' && r <= '9' {
		return '0'
	}
	return r
}

// TestTweak checks that what is kept makes the rest another permutation: also
// places, and the class of each character.
func TestTweak(t *testing.T) {
	for _, c := range []struct {
		format string
		values []string
		from   int
	}{
		{"[0-9]{8}<[0-9]{2}>", []string{"1234567800", "1234567801", "1234567810"}, 0},
		{"<[A-Z]{2}>[0-9]{8}", []string{"AA12345678", "AB12345678", "BA12345678"}, 2},
		{"+(cc)[0-9]{6-14}", []string{"+112345678", "+712345678"}, 2},
	} {
		cipher, seen := newCipher(t, c.format, fpe.Options{}), map[string]bool{}
		for _, v := range c.values {
			seen[crypt(t, cipher, v, false)[c.from:c.from+8]] = true
		}
		require.Len(t, seen, len(c.values), c.format)
	}
	// Two shapes with one domain: A1111111 and 1A111111 are the same number in it.
	c := newCipher(t, "[0-9|A-Z]{8}", fpe.Options{})
	one, two := crypt(t, c, "A0000000", false), crypt(t, c, "0A000000", false)
	require.NotEqual(t, strings.Map(onlyDigit, one), strings.Map(onlyDigit, two))
}

// TestConcurrent uses one cipher of each kind from 16 goroutines.
func TestConcurrent(t *testing.T) {
	type pair struct {
		c            *fpe.Cipher
		value, token string
	}
	var pairs []pair
	for _, p := range [][2]string{{"pan", "4111111111111111"}, {"ssn", "123456789"}, {"iban", "GB82WEST12345698765432"}, {"iban", "DE89370400440532013000"},
		{"int:0..99999999", "7"}, {"[0-9]{2-4}", "1234"}, {"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}} {
		o := fpe.Options{Permute: p[0] == "[0-9]{2-4}"}
		pairs = append(pairs, pair{newCipher(t, p[0], o), p[1], crypt(t, newCipher(t, p[0], o), p[1], false)})
	}
	var wrong atomic.Int64
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			var dst []byte
			for i := range 2000 {
				p := pairs[(g+i)%len(pairs)]
				var err error
				if dst, err = p.c.Append(dst[:0], []byte(p.value), false); err != nil || string(dst) != p.token {
					wrong.Add(1)
				}
				if dst, err = p.c.Append(dst[:0], dst, true); err != nil || string(dst) != p.value {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	for _, p := range [][2]string{{"pan", "4111111111111111"}, {"ssn", "123456789"}, {"iban", "GB82WEST12345698765432"}, {"iban", "DE89370400440532013000"}, {"phone", "+4915112345678"},
		{"int:0..99999999", "7"}, {"date:0001-01-01..9999-12-31", "2024-02-29"}, {"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}} {
		c, value, dst := newCipher(t, p[0], fpe.Options{}), []byte(p[1]), make([]byte, 0, 64)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			dst, _ = c.Append(dst[:0], value, false)
			dst, _ = c.Append(dst[:0], dst, true)
		}), p[0])
		require.Equal(t, value, dst)
	}
}

func TestPrinting(t *testing.T) {
	keys := fpe.Keys{FF1: []byte("\xde\xad\xbe\xef\xca\xfe\xba\xbesecret secret secret ...")[:32], Permute: []byte("\xde\xad\xbe\xef\xca\xfe\xba\xbesecret secret secret ...")[:32]}
	f, err := fpe.Parse("[0-9]{3-9}")
	require.NoError(t, err)
	c, err := fpe.New(f, fpe.Options{Permute: true}, keys)
	require.NoError(t, err)
	crypt(t, c, "123", false)
	crypt(t, c, "123456789", false)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, struct{ C *fpe.Cipher }{c})
		for _, secret := range []string{"deadbeef", "de, 0xad", "0xde", "222 173", "efbeadde", "secret", "736563726574", "123456789"} {
			require.NotContains(t, text, secret, verb)
		}
	}
}

package mask_test

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

// TestFormats holds results against the patterns that CHECK constraints have.
func TestFormats(t *testing.T) {
	for _, c := range []struct{ rule, value, want string }{
		{"email", "ann@example.com", `^[0-9a-z]{16}@[0-9a-z]{8}\.example$`},
		{"email,at=keep", "Ann@Mail.Example.COM", `^[0-9a-z]{16}@Mail\.Example\.COM$`},
		{"email,at=map,to=test.invalid", "ann@example.com", `^[0-9a-z]{16}@test\.invalid$`},
		{"phone", "+12125550100", `^\+1[2-9]\d{2}[2-9]\d{6}$`},
		{"phone", "+1 (212) 555-0100", `^\+1 \([2-9]\d{2}\) [2-9]\d{2}-\d{4}$`},
		{"phone", "+49 151 12345678", `^\+49 1\d\d \d{8}$`},
		{"phone", "+35312345", `^\+3531\d{4}$`},
		{"phone", "02079460000", `^02\d{9}$`},
		{"phone", "0044 20 7946 0000", `^004\d \d{2} \d{4} \d{4}$`},
		{"phone,cc=1", "(212) 555-0100", `^\([2-9]\d{2}\) [2-9]\d{2}-\d{4}$`},
		{"phone,cc=1", "1-212-555-0100", `^1-[2-9]\d{2}-[2-9]\d{2}-\d{4}$`},
		{"pan", "4111-1111-1111-1111", `^4111-11\d\d-\d{4}-\d{4}$`},
		{"pan,keep=last4", "4111 1111 1111 1111", `^4\d{3} \d{4} \d{4} 1111$`},
		{"pan,keep=first", "4111111111111111", `^4\d{15}$`},
		{"pan,keep=both", "4111 1111 1111 1111", `^4111 11\d\d \d{4} 1111$`},
		{"ssn", "123-45-6789", `^\d{3}-\d\d-\d{4}$`},
		{"nino", "AB 12 34 56 C", `^[A-Z]{2} \d\d \d\d \d\d [A-D]$`},
		{"nino", "ab123456c", `^[a-z]{2}\d{6}[a-d]$`},
		{"iban", "GB82 WEST 1234 5698 7654 32", `^GB\d\d [A-Z]{4} \d{4} \d{4} \d{4} \d\d$`},
		{"iban", "de89370400440532013000", `^de\d{20}$`},
		{"uuid", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", `^[0-9A-F]{8}-[0-9A-F]{4}-1[0-9A-F]{3}-A[0-9A-F]{3}-[0-9A-F]{12}$`},
		{"mac", "08:00:2b:01:02:03", `^08:00:2b:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}$`},
		{"mac", "0800.2B01.0203", `^0800\.2B[0-9A-F]{2}\.[0-9A-F]{4}$`},
		{"ip,keep=16", "192.0.2.17", `^192\.0\.\d+\.\d+$`},
		{"ip,keep6=32", "2001:db8::1", `^2001:db8:[0-9a-f:]+$`},
		{"ip", "10.1.0.0/16", `^\d+\.\d+\.0\.0/16$`},
		{"ip", "::ffff:192.0.2.17", `^::ffff:\d+\.\d+\.\d+\.\d+$`},
		{"date", "2024-02-29 23:59:59.999999+05:30", `^\d{4}-\d\d-\d\d 23:59:59\.999999\+05:30$`},
		{"date-round", "2024-02-29T23:59:59Z", `^2024-01-01T00:00:00Z$`},
		{"date-round,to=month", "2024-02-29 23:59:59.5-08", `^2024-02-01 00:00:00-08$`},
		{"bucket,size=10", "-101.5", `^-110$`},
		{"bucket,size=10", "109.99", `^100$`},
		{"round,to=1000", "1500", `^2000$`},
		{"round,to=1000", "-1500", `^-2000$`},
		{"round,to=1000", "1499.99", `^1000$`},
		{"age", "89", `^89$`},
		{"age", "117", `^90$`},
		{"noise,percent=10", "100.00", `^(9|10)\d\.\d\d$|^110\.00$`},
		{"noise", "0.00", `^0\.01$`},
	} {
		got := apply(t, newRule(t, fixed(), c.rule), c.value)
		require.Regexp(t, c.want, got, "%s of %q", c.rule, c.value)
	}
}

// TestFallbacks has values that do not fit: the fallback is what the rule says, and
// counted.
func TestFallbacks(t *testing.T) {
	for _, c := range []struct{ rule, value, want string }{
		{"pan", "4111 1111 1111 1112", `^\d{4} \d{4} \d{4} \d{4}$`},
		{"pan,fallback=redact", "4111 1111 1111 1112", `^\*\*\*$`},
		{"email", "none", `^[a-z]{4}$`},
		{"phone", "+1 911 555 0100", `^\+\d \d{3} \d{3} \d{4}$`},
		{"phone", "call me", `^[a-z]{4} [a-z]{2}$`},
		{"nino", "BG123456A", `^[A-Z]{2}\d{6}[A-Z]$`},
		{"nino", "aB123456A", `^[a-z][A-Z]\d{6}[A-Z]$`},
		{"iban", "GB83WEST12345698765432", `^[A-Z]{2}\d\d[A-Z]{4}\d{14}$`},
		{"date,fallback=error", "0000-00-00", ""},
		{"email,fallback=error", "none", ""},
		{"date", "0000-00-00", "NULL"}, {"date", "infinity", "NULL"}, {"date", "0044-03-15 BC", "NULL"}, {"date", "2024-02-30", "NULL"}, {"date", "2024-02-29 25:61", "NULL"},
		{"noise", "NaN", "NULL"}, {"age", "-1", "NULL"}, {"age", "151", "NULL"}, {"int", "0", "NULL"}, {"uuid", "x", "NULL"}, {"ip", "fe80::1%eth0", "NULL"}, {"ip", "10.0.0.0/33", "NULL"},
		{"mac", "0:0:0:0:0:0", "NULL"},
	} {
		r := newRule(t, fixed(), c.rule)
		out, err := r.Append(nil, []byte(c.value), &mask.Row{Subject: []byte("42")})
		require.EqualValues(t, 1, r.Fallbacks(), "%s of %q", c.rule, c.value)
		switch c.want {
		case "":
			require.ErrorIs(t, err, mask.ErrValue)
			require.EqualError(t, err, "mask: rule "+c.rule+": the value does not fit the rule")
			require.Nil(t, out)
		case "NULL":
			require.NoError(t, err)
			require.Nil(t, out)
			require.True(t, r.Properties().Nullable)
		default:
			require.NoError(t, err)
			require.Regexp(t, c.want, string(out))
			require.NotEqual(t, c.value, string(out))
		}
	}
	_, err := fixed().Rule("uuid,fallback=shape")
	require.NoError(t, err, "a UUID may be in a text column")
	_, err = fixed().Rule("noise,fallback=shape")
	require.EqualError(t, err, "mask: fallback: shape makes text, which is none of the rule's types; use null or error")
}

// TestCheckDigits has many values of which each result has right check digits.
func TestCheckDigits(t *testing.T) {
	for _, rule := range []string{"pan", "pan,keep=last4", "pan,keep=first"} {
		r := newRule(t, fixed(), rule)
		for i := range 20_000 {
			value := luhnComplete(fmt.Sprintf("4%0*d", 11+i%7, i*7919))
			out := apply(t, r, value)
			require.True(t, luhn(out), "%s of %s is %s", rule, value, out)
		}
		require.Zero(t, r.Fallbacks())
	}
	iban := newRule(t, fixed(), "iban")
	for i := range 20_000 {
		value := ibanComplete([]string{"GB", "DE", "FR", "NO"}[i%4], fmt.Sprintf("%s%014d", []string{"WEST", "3704", "2004", ""}[i%4], i*7919))
		require.True(t, mod97(apply(t, iban, value)), value)
	}
	require.Zero(t, iban.Fallbacks())
	nino, unused := newRule(t, fixed(), "nino"), regexp.MustCompile(`^(BG|GB|KN|NK|NT|TN|ZZ)`)
	ssn, never := newRule(t, fixed(), "ssn"), regexp.MustCompile(`^(000|666|9)|^...00|0000$`)
	for i := range 20_000 {
		require.NotRegexp(t, unused, apply(t, nino, fmt.Sprintf("AB%06dC", i)))
		require.NotRegexp(t, never, apply(t, ssn, fmt.Sprintf("%03d%02d%04d", 1+i%600, 1+i%99, 1+i%9999)))
	}
}

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

func luhnComplete(s string) string {
	for d := range 10 {
		if v := s + strconv.Itoa(d); luhn(v) {
			return v
		}
	}
	panic(s)
}

// bothComplete puts the right digit between first and last.
func bothComplete(first, last string) string {
	for d := range 10 {
		if v := first + strconv.Itoa(d) + last; luhn(v) {
			return v
		}
	}
	panic(first)
}

// remainder is that of ISO 7064 MOD 97-10, with one large number.
func remainder(s string) int64 {
	var digits strings.Builder
	for _, c := range s {
		n, err := strconv.ParseInt(string(c), 36, 64)
		if err != nil {
			return -1
		}
		fmt.Fprint(&digits, n)
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	return n.Mod(n, big.NewInt(97)).Int64()
}

func mod97(s string) bool { return remainder(s[4:]+s[:4]) == 1 }

func ibanComplete(country, bban string) string {
	return fmt.Sprintf("%s%02d%s", country, 98-remainder(bban+country+"00"), bban)
}

// TestJoins has spellings that join: the digits of the results are equal.
func TestJoins(t *testing.T) {
	digits := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, s)
	}
	for rule, spellings := range map[string][]string{
		"pan":  {"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"},
		"ssn":  {"123456789", "123-45-6789"},
		"nino": {"AB123456C", "ab 12 34 56 c"},
		"iban": {"GB82WEST12345698765432", "gb82 west 1234 5698 7654 32"},
	} {
		r := newRule(t, fixed(), rule)
		for _, s := range spellings[1:] {
			require.Equal(t, digits(apply(t, r, spellings[0])), digits(apply(t, r, s)), "%s of %s", rule, s)
		}
	}
	german := newRule(t, fixed(), "phone,cc=49")
	national, whole := apply(t, german, "0151 1234567"), apply(t, german, "+49 151 1234567")
	require.Equal(t, "+49"+digits(national)[1:], "+"+digits(whole))
	require.Equal(t, whole, apply(t, newRule(t, fixed(), "phone"), "+49 151 1234567"), "cc= says how to read, not how to mask")
	american := newRule(t, fixed(), "phone,cc=1")
	require.Equal(t, "1"+digits(apply(t, american, "(212) 555-0100")), digits(apply(t, american, "+12125550100")))
	require.Equal(t, apply(t, newRule(t, fixed(), "uuid"), "f81d4fae7dec11d0a76500a0c91e6bf6"),
		strings.ToLower(strings.ReplaceAll(apply(t, newRule(t, fixed(), "uuid"), "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), "-", "")))

	email := newRule(t, fixed(), "email")
	one, other := apply(t, email, "ann@example.com"), apply(t, email, "bob@example.com")
	require.Equal(t, one[16:], other[16:], "the domains join")
	require.Equal(t, one, apply(t, email, "ann@Example.COM"))
	require.NotEqual(t, one, apply(t, email, "Ann@example.com"))
	folded := newRule(t, fixed(), "email,case=fold")
	require.Equal(t, one, apply(t, folded, "ANN@Example.COM"))
}

// TestAddressesMove has as many addresses stay what they are as by chance: the bits that
// are not kept flip independently of each other.
func TestAddressesMove(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for keep, most := range map[int]int{0: 0, 8: 1, 16: 5, 24: 150} { // of 20000: 78 are expected for 24
		r := newRule(t, fixed(), fmt.Sprint("ip,keep=", keep))
		same, bytes := 0, [4]int{}
		for range 20000 {
			n := rnd.Uint32()
			ip := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			out := netip.MustParseAddr(apply(t, r, ip.String()))
			if out == ip {
				same++
			}
			for i := range bytes {
				if out.As4()[i] == ip.As4()[i] {
					bytes[i]++
				}
			}
		}
		require.LessOrEqual(t, same, most, "keep=%d", keep)
		for i := range bytes {
			if i > 0 && i >= keep/8 { // of first bytes there are too few
				require.InDelta(t, 78, bytes[i], 60, "byte %d", i)
			}
		}
	}
}

// TestPrefixes checks that results share as long a prefix as their addresses.
func TestPrefixes(t *testing.T) {
	common := func(a, b string) int {
		x, y := netip.MustParseAddr(a).As16(), netip.MustParseAddr(b).As16()
		for i := range 128 {
			if (x[i/8]^y[i/8])>>(7-i%8)&1 != 0 {
				return i
			}
		}
		return 128
	}
	r := newRule(t, fixed(), "ip")
	for i := range 128 {
		a, b := [16]byte{0x20, 1, 0xd, 0xb8, 15: 7}, [16]byte{0x20, 1, 0xd, 0xb8, 15: 7}
		b[i/8] ^= 0x80 >> (i % 8)
		require.Equal(t, i, common(apply(t, r, netip.AddrFrom16(a).String()), apply(t, r, netip.AddrFrom16(b).String())))
	}
	for i := range 32 {
		a, b := [4]byte{192, 0, 2, 17}, [4]byte{192, 0, 2, 17}
		b[i/8] ^= 0x80 >> (i % 8)
		require.Equal(t, 96+i, common("::ffff:"+apply(t, r, netip.AddrFrom4(a).String()), "::ffff:"+apply(t, r, netip.AddrFrom4(b).String())))
	}
}

// TestDates shifts dates of subjects: intervals stay, subjects differ, no shift is
// zero or too large.
func TestDates(t *testing.T) {
	parse := func(s string) time.Time {
		day, err := time.Parse(time.DateOnly, s)
		require.NoError(t, err)
		return day
	}
	first, second := parse("1999-12-31"), parse("2024-02-29")
	for _, c := range []struct {
		rule string
		most int
		unit int
	}{{"date", 365, 1}, {"date,days=7,weeks=yes", 7, 7}, {"date,days=2", 2, 1}} {
		r, shifts := newRule(t, fixed(), c.rule), map[int]int{}
		for i := range 2000 {
			row := &mask.Row{Subject: []byte(strconv.Itoa(i))}
			a, err := r.Append(nil, []byte("1999-12-31"), row)
			require.NoError(t, err)
			b, err := r.Append(nil, []byte("2024-02-29 10:00:00"), row)
			require.NoError(t, err)
			require.Equal(t, second.Sub(first), parse(string(b[:10])).Sub(parse(string(a))))
			shift := int(parse(string(a)).Sub(first).Hours() / 24)
			require.NotZero(t, shift)
			require.Zero(t, shift%c.unit)
			require.LessOrEqual(t, max(shift, -shift), c.most)
			shifts[shift]++
		}
		require.Greater(t, len(shifts), min(600, 2*c.most/c.unit-1), c.rule)
	}
	r := newRule(t, fixed(), "date")
	for _, row := range []*mask.Row{nil, {}} {
		_, err := r.Append(nil, []byte("2024-02-29"), row)
		require.ErrorIs(t, err, mask.ErrSubject)
	}
	overflow := 0
	for i := range 100 {
		out, err := r.Append(nil, []byte("9999-12-31"), &mask.Row{Subject: []byte(strconv.Itoa(i))})
		require.NoError(t, err)
		if out == nil {
			overflow++
		}
	}
	require.EqualValues(t, overflow, r.Fallbacks())
	require.Greater(t, overflow, 20)
}

func TestNoise(t *testing.T) {
	r := newRule(t, fixed(), "noise,percent=20")
	for _, value := range []int64{1, 2, 5, 99, 1000, 123456, 999999999999999999} {
		for _, sign := range []int64{1, -1} {
			out, err := strconv.ParseInt(apply(t, r, strconv.FormatInt(sign*value, 10)), 10, 64)
			require.NoError(t, err)
			require.NotEqual(t, sign*value, out)
			require.GreaterOrEqual(t, sign*out, int64(0), "the sign stays")
			require.LessOrEqual(t, max(sign*out-value, value-sign*out), max(1, value/5))
		}
	}
}

// TestDistinct is what UNIQUE needs: a million values, a million results, and no
// result of another epoch equal but by chance. Under the race detector, fewer.
func TestDistinct(t *testing.T) {
	n := 1_000_000
	if raceEnabled || testing.Short() {
		n = 50_000
	}
	t.Logf("%d values for each rule", n)
	m, other := fixed(), mask.Fixed(make([]byte, 32))
	for _, c := range []struct {
		rule  string
		value func(dst []byte, i int) []byte
	}{
		{"pan", func(dst []byte, i int) []byte { return append(dst, luhnComplete(fmt.Sprintf("411111%09d", i))...) }},
		{"pan,keep=last4", func(dst []byte, i int) []byte { return append(dst, luhnComplete(fmt.Sprintf("4%014d", i))...) }},
		{"pan,keep=first", func(dst []byte, i int) []byte { return append(dst, luhnComplete(fmt.Sprintf("4%014d", i))...) }},
		{"pan,keep=both", func(dst []byte, i int) []byte {
			return append(dst, bothComplete(fmt.Sprintf("411111%08d", i), "1111")...)
		}},
		{"ssn", func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, "%03d%02d%04d", 1+i/9999/99, 1+i/9999%99, 1+i%9999)
		}},
		{"nino", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "AB%06dC", i) }},
		{"iban", func(dst []byte, i int) []byte { return append(dst, ibanComplete("NO", fmt.Sprintf("%011d", i))...) }},
		{"phone", func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, "+1%d%d%04d", 212+i/500_000, 512+i/10_000%50, i%10_000)
		}},
		{"phone", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "+49151%07d", i) }},
		{"uuid", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "00000000-0000-4000-8000-%012x", i) }},
		{"mac", func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, "08:00:2b:%02x:%02x:%02x", i>>16, i>>8&255, i&255)
		}},
		{"ip", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "10.%d.%d.%d", i>>16, i>>8&255, i&255) }},
		{"int", func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i)+1, 10) }},
		{"int,lo=0,hi=999999", func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i), 10) }},
		{"format,as=[A-Z]{2}[0-9]{7}", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "AB%07d", i) }},
		// Not bijective, but the bound is below 1e-12.
		{"email", func(dst []byte, i int) []byte { return fmt.Appendf(dst, "user%d@example.com", i) }},
		{"token", func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i), 10) }},
	} {
		r, r2 := newRule(t, m, c.rule), newRule(t, other, c.rule)
		seen, equal := make(map[string]struct{}, n), 0
		var value, out, out2 []byte
		for i := range n {
			var err error
			value = c.value(value[:0], i)
			if out, err = r.Append(out[:0], value, nil); err != nil || out == nil {
				t.Fatal(c.rule, string(value), err)
			}
			seen[string(out)] = struct{}{}
			if i%10 == 0 {
				if out2, err = r2.Append(out2[:0], value, nil); err != nil {
					t.Fatal(err)
				}
				if string(out) == string(out2) {
					equal++
				}
			}
		}
		require.Len(t, seen, n, c.rule)
		require.Zero(t, r.Fallbacks(), c.rule)
		p := r.Properties()
		require.True(t, p.Bijective || p.Collisions(1e6) < 1e-12, c.rule)
		// Equal by chance: as often as one of the results is hit.
		require.LessOrEqual(t, equal, 3+int(float64(n/10)/1e6*4), c.rule)
		t.Logf("%s: %d distinct; equal in another epoch: %d of %d", c.rule, len(seen), equal, n/10)
	}
}

// TestBijection has all values of two small domains.
func TestBijection(t *testing.T) {
	r := newRule(t, fixed(), "int,lo=0,hi=9999")
	seen := map[string]bool{}
	for i := range 10_000 {
		seen[apply(t, r, strconv.Itoa(i))] = true
	}
	require.Len(t, seen, 10_000)
	cards := newRule(t, fixed(), "pan,keep=both")
	for n, digits := range map[int]int{100: 2, 1000: 3, 10_000: 4} {
		seen = map[string]bool{}
		for i := range n {
			out := apply(t, cards, bothComplete(fmt.Sprintf("411111%0*d", digits, i), "1111"))
			require.True(t, luhn(out))
			seen[out] = true
		}
		require.Len(t, seen, n)
	}
	require.Zero(t, cards.Fallbacks())
	phones := newRule(t, fixed(), "phone")
	seen = map[string]bool{}
	for i := range 10_000 {
		seen[apply(t, phones, fmt.Sprintf("+3531%04d", i))] = true
	}
	require.Len(t, seen, 10_000)
	require.Zero(t, phones.Fallbacks())
}

func TestFormatErrors(t *testing.T) {
	for text, want := range map[string]string{
		"email,at=map":          "mask: to: at=map and to= belong together; write at=map,to=example.com",
		"email,to=example.com":  "mask: to: at=map and to= belong together; write at=map,to=example.com",
		"email,at=map,to=a..b":  "mask: to: is no domain",
		"email,at=hsh":          `mask: at: "hsh" is none of hash, keep, map; did you mean "hash"?`,
		"pan,keep=bni6":         `mask: keep: "bni6" is none of bin6, last4, first, both; did you mean "bin6"?`,
		"phone,cc=+49":          "mask: cc: is no country calling code; write its digits, without +",
		"date,days=0":           `mask: days: "0" is no number from 1 to 36500`,
		"date,days=6,weeks=yes": "mask: days: is less than a week",
		"bucket":                "mask: size: is missing; the width of a class, 2 or more",
		"round,to=1":            `mask: to: "1" is no number from 2 to 1000000000000000`,
		"format":                `mask: as: format "": there is no format of that name`,
		"format,as=[0-9]{3}":    `mask: as: format "[0-9]{3}": the domain is smaller than 1,000,000 values: it leaves as few as 1000; use token.Vault, or package mask for test data; make the domain larger, or write small=permute: tables instead of FF1`,
		"int,lo=5,hi=5":         `mask: format "int:5..5": it has to be int:LO..HI, or date:LO..HI with dates like 2006-01-02`,
		"int,lo=x":              `mask: lo: "x" is no number from -9223372036854775808 to 9223372036854775807`,
		"format,as=<[A-Z]>[0-9]{3},small=permute": "mask: small: a format that keeps something would need a table for each thing that is kept; encipher all of it",
	} {
		_, err := fixed().Rule(text)
		require.EqualError(t, err, want)
	}
}

// TestGolden has results that testdata/golden.py wrote, a program of its own. No
// test writes them.
func TestGolden(t *testing.T) {
	lines := goldenLines(t)
	require.Greater(t, len(lines), 40)
	m := fixed()
	require.Equal(t, lines[0][1], m.Check())
	for _, l := range lines[1:] {
		rule, value, want := l[0], l[1], l[2]
		got := apply(t, newRule(t, m, rule), value)
		require.Equal(t, want, got, "%s of %q (%s)", rule, value, hex.EncodeToString([]byte(value)))
	}
}

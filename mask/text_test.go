package mask_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

// TestTextSpellings has what people and programs write for a card number, a phone
// number and an address.
func TestTextSpellings(t *testing.T) {
	m := fixed()
	r := newRule(t, m, "text")
	card, mail := apply(t, newRule(t, m, "pan"), "4111111111111111"), apply(t, newRule(t, m, "email"), "ann@example.com")
	digits := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, s)
	}
	for _, format := range []string{
		"%s\u00a0%s\u00a0%s\u00a0%s", "%s\u202f%s\u202f%s\u202f%s", "%s–%s–%s–%s", "%s\u2011%s\u2011%s\u2011%s", "%s - %s - %s - %s", "%s\t%s\t%s\t%s", "%s %s\n%s %s", "%s\r\n%s\r\n%s\r\n%s",
		"%s\u200b%s\u200b%s\u200b%s", "%s\u00ad%s\u00ad%s\u00ad%s", "\u202b%s %s %s %s\u202c", "\ufeff%s%s%s%s", "PAN%s%s%s%s", "%s%s%s%sexp12/27", "_%s%s%s%s_", "2024-02-29 %s%s%s%s", "é%s%s%s%sé",
	} {
		for zero := range map[rune]bool{'0': true, '０': true, '٠': true, '۰': true, '०': true, '𝟎': true} {
			group := func(s string) string {
				return strings.Map(func(r rune) rune { return r - '0' + zero }, s)
			}
			value := fmt.Sprintf(format, group("4111"), group("1111"), group("1111"), group("1111"))
			out := apply(t, r, value)
			require.Contains(t, digits(out), card, "%q is %q", value, out)
		}
	}
	require.Equal(t, card, apply(t, r, "4\ufe0f\u20e31\ufe0f\u20e31\ufe0f\u20e31\ufe0f\u20e3111111111111"), "keycaps")
	require.NotContains(t, apply(t, r, "4111_1111_1111_1111"), "1111")
	require.NotContains(t, apply(t, r, "call tel5551234567now"), "5551234567")
	require.NotContains(t, apply(t, r, strings.Repeat("4111111111111111", 5)), "4111111111111111")
	require.NotContains(t, apply(t, r, "de89370400440532013000"), "370400440532013000")

	for value, want := range map[string]string{
		"ann@example.com": "M", "ann%40example.com": "M", "ann&#64;example.com": "M", "ann&commat;example.com": "M", "ann＠example.com": "M", "ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ": "M",
		"'ann@example.com'": "'M'", "“ann@example.com”": "“M”", "ann@exam\u200bple.com": "M", "ann@exam-\nple.com": "M", "?to=ann%40example.com&x=1": "?to=M&x=1", "4111111111111111 ann@example.com": "C M",
	} {
		require.Equal(t, strings.NewReplacer("M", mail, "C", card).Replace(want), apply(t, r, value), value)
	}
	// A number that could go on with the beginning of an address is not left for it.
	out := apply(t, r, "4111111111111111 1ann@example.com")
	require.True(t, strings.HasPrefix(out, card+" "), out)
	require.NotContains(t, out, "example.com")
	require.NotContains(t, apply(t, r, "+15551234567ann@example.com"), "example.com")
	// What the rule email refuses is not left.
	for _, local := range []string{strings.Repeat("reply-token", 7), "ann.smith", "+15551234567ann"} {
		for _, host := range []string{"example..com", "my_host.example.com", "-example.com", "localhost", strings.Repeat("a", 300) + ".com"} {
			out := apply(t, r, "from "+local+"@"+host+".")
			require.True(t, strings.HasPrefix(out, "from "))
			require.NotContains(t, out, local)
			require.NotContains(t, out, host)
		}
	}
	// Addresses are no phone numbers, and what is no date is a number.
	require.Equal(t, apply(t, newRule(t, m, "ip"), "192.168.100.200"), apply(t, r, "192.168.100.200"))
	for _, date := range []string{"1987-05-12", "12.05.1987", "05/12/1987", "31/12/1987"} {
		require.Equal(t, "born "+date, apply(t, r, "born "+date))
	}
	for _, number := range []string{"99.99.9999", "45.67.8901", "1234-56-78", "12.11.4567"} {
		require.NotEqual(t, number, apply(t, r, number))
	}
}

// TestDecimalDigits: digits come in tens, so that their place says their value.
func TestDecimalDigits(t *testing.T) {
	for _, x := range unicode.Nd.R16 {
		require.True(t, x.Stride == 1 && (x.Hi-x.Lo+1)%10 == 0, "%x", x.Lo)
	}
	for _, x := range unicode.Nd.R32 {
		require.True(t, x.Stride == 1 && (x.Hi-x.Lo+1)%10 == 0, "%x", x.Lo)
	}
}

// TestOwnSpellings has a row's own values as people write them in a note.
func TestOwnSpellings(t *testing.T) {
	r := newRule(t, fixed(), "text")
	for _, c := range []struct {
		value, masked string
		texts         map[string]string
	}{
		{"Smith, Ann", "Jones, Eve", map[string]string{"Ann Smith called": "Eve Jones called", "SMITH": "Jones", "ann_smith": "Eve_Jones", "smith87": "Jones87", "Blacksmith": "Blacksmith", "Smithson": "Smithson"}},
		{"José O'Neil", "Tom Gray", map[string]string{
			"José O’Neil": "Tom Gray", "Jose\u0301 O'Neil": "Tom Gray", "JOSE ONEIL": "Tom Gray", "jose\n o'neil": "Tom Gray", "O`Neil": "Gray", "J\u200bosé": "Tom", "Jo\u00adsé": "Tom", "Jo-\nsé": "Tom", "Ｊｏｓé": "Tom",
		}},
		{"Jose", "Tom", map[string]string{"José": "Tom", "Jose\u0301!": "Tom!"}},
		{"Groß", "Klein", map[string]string{"GROẞ": "Klein", "GROSS": "Klein", "gross.": "Klein.", "großartig": "großartig"}},
		{"Anne-Marie", "Eva-Lena", map[string]string{"Anne-\nMarie": "EvaLena", "Anne Marie": "Eva-Lena", "Marie": "Lena"}},
		{"Maria del Carmen Garcia Lopez", "Eva", map[string]string{"Carmen Lopez": "Eva Eva"}},
		{"Heinz Mueller", "", map[string]string{"Heinz Mueller": "", "Heinz": "***"}},
		{"王伟", "李娜", map[string]string{"患者王伟，男": "患者李娜，男", "王 伟": "李娜"}},
		{"山田 太郎", "佐藤 花子", map[string]string{"山田太郎さん": "佐藤 花子さん", "山田さん": "佐藤さん"}},
		{"김철수", "박영희", map[string]string{"\u1100\u1175\u11b7\u110e\u1165\u11af\u1109\u116e": "박영희"}},
		{"Isa", "Ida", map[string]string{"this is a test, Isa": "this is a test, Ida"}},
		{"+12125550100", "+13334445555", map[string]string{"at +1 (212) 555-0100 or 1.212.555.0100": "at +13334445555 or +13334445555"}},
		{"123456", "654321", map[string]string{"MRN123456": "MRN654321", "MRN １２３-４５６": "MRN 654321", "1234567": "no"}},
		{"1987-05-12", "1988-01-30", map[string]string{
			"born 1987-05-12": "born 1988-01-30", "born 12.05.1987, 05/12/1987 or 12-05-1987": "born 30.01.1988, 01/30/1988 or 30.01.1988", "5/12/1987": "1/30/1988", "12.5.1987": "30.1.1988", "1987-05-13": "1987-05-13",
		}},
		{"1987-05-12T00:00:00Z", "1988-01-30T00:00:00Z", map[string]string{"1987-05-12": "1988-01-30"}},
		{"1987-05-12", "", map[string]string{"12.05.1987": "***"}},
		// What is recognised is not cut.
		{"Ann Smith", "Eve Jones", map[string]string{"ann.smith@example.com": "no", "ann smith@example.com": "no", "ann@example.com": "no", "Ann@": "Eve@"}},
		{"212", "999", map[string]string{"+1 212-555-0100": "no", "212-555-0100": "no", "212 of them": "999 of them"}},
	} {
		for text, want := range c.texts {
			var row mask.Row
			row.Own([]byte(c.value), []byte(c.masked))
			out, err := r.Append(nil, []byte(text), &row)
			require.NoError(t, err)
			if want != "no" {
				require.Equal(t, want, string(out), "%q in %q", c.value, text)
				continue
			}
			for _, part := range []string{"example.com", "smith", "555", "0100", "1234567"} {
				require.NotContains(t, string(out), part, "%q in %q", c.value, text)
			}
			require.NotContains(t, strings.ToLower(string(out)), "eve jones")
		}
	}
}

// TestTextIsLinear gives text what would take hours if the time were quadratic: no
// time is measured.
func TestTextIsLinear(t *testing.T) {
	r := newRule(t, fixed(), "text")
	n := 1 << 20
	if raceEnabled {
		n >>= 3
	}
	for _, unit := range []string{"a ", "a.", "ann.", "1 ", "AB12 ", "1.2.3.", "(", "a@", "é", "-\na", "+1.", "(1-", "1_"} {
		value := []byte(strings.Repeat(unit, n/len(unit)))
		var row mask.Row
		row.Own(append(value[:n/2:n/2], "b"...), []byte("x"))
		row.Own(value[:n/2-1], []byte("x"))
		row.Own([]byte("ann"), []byte("eve"))
		_, err := r.Append(nil, value, &row)
		require.NoError(t, err)
	}
}

package mask_test

import "strings"

// allRules are the rules of the tests that are about all of them.
var allRules = []string{
	"redact", "partial,first=2,last=2", "pan-display", "constant,value=x", "shape", "token", "token,len=8,prefix=c_", "hash", "hash,len=64",
}

// parseable has values that rules can parse which can not parse all.
var parseable = map[string][]string{}

// shows are the rules that show values.
var shows = map[string]bool{}

// allocates are the rules that may allocate.
var allocates = map[string]bool{}

var hostileText = []string{
	"Jonathan", "x", "7", "-", " ", "\t\n", "\x00", "'; drop table customers; --", "NULL", "null", "n/a", "👩‍👩‍👧", "🙂", "مرحبا", "\u202eabc\u202c", "e\u0301\u0327\u0315",
	"a\u0300\u0301\u0302\u0303\u0304\u0305", "\xff\xfe", "\xc3\x28", "abc\xff", "\ufeffabc", "٣٤٥", "４１１１", "山田太郎", "\u200b", "\u00a0", "ẞ", "İ", "ﬁ",
	strings.Repeat("a", 64<<10), strings.Repeat("🙂", 16<<10), strings.Repeat("9", 64<<10), strings.Repeat("\xff", 64<<10),
}

var hostile = append([]string{
	"", "0", "00", "-0", "+", "@", "a@", "@b", "a@b@c", "a@b", "a b@c.d", "\"a b\"@example.com", "a@-", "a@b..c", "é@ü.example",
	"0000-00-00", "0001-01-01", "9999-12-31", "10000-01-01", "2023-02-29", "infinity", "-infinity", "0044-03-15 BC", "2024-02-29 25:61", "2024-02-29T12:00:00+99",
	"4111111111111112", "4111 1111 1111 1112", "411111111111111", "0000000000000000", "4111111111111111", "-4111111111111111",
	"GB83WEST12345698765432", "gb82west12345698765432", "GB82", "DE00", "000-00-0000", "666-12-3456", "900-12-3456", "123456789012345678901234567890",
	"+", "+0", "+49", "+1", "+1 911 555 0100", "+999999999999999", "+1234567890123456", "tel:+15551234567", "+1 (212) 555-0100 ext. 5", "00000000", "0",
	"BG123456A", "QQ123456C", "AB123456E", "00000000-0000-0000-0000-000000000000", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}", "f81d4fae-7dec-11d0-a765-00a0c91e6bfg",
	"1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "::", "::1", ":::", "1::2::3", "fe80::1%eth0", "10.0.0.0/8", "10.0.0.0/33", "::ffff:1.2.3.4", "0.0.0.0", "255.255.255.255",
	"00:00:00:00:00:00", "0:0:0:0:0:0", "gg:00:00:00:00:00", "1e308", "NaN", "1e-9", ".5", "5.", "-", "--5", "1,000", "99999999999999999999", "-9223372036854775808", "0.00000000000000000001",
	"{", "}", "[]", "{}", "[[[[", `"`, `{"a":`, `{"a":1}`, `{1,2}`, `{"a"`, `{a,b`, `{NULL}`, `"a"=>"b"`, `"a"=>`, `a=>b, c=>NULL`, "true", `"\ud800"`, `{"\u0061":"\ud83d"}`,
}, hostileText...)

package mask_test

import "strings"

// allRules are the rules of the tests that are about all of them.
var allRules = []string{
	"redact", "partial,first=2,last=2", "pan-display", "constant,value=x", "shape", "token", "token,len=8,prefix=c_", "hash", "hash,len=64",
	"email", "email,at=keep", "email,at=map,to=test.example,case=fold", "phone", "phone,cc=49", "phone,cc=1", "phone,cc=39", "pan", "pan,keep=last4", "pan,keep=first", "pan,keep=both",
	"ssn", "nino", "iban", "format,as=[A-Z]{2}[0-9]{7}", "format,as=[0-9]{3-5},small=permute", "format,as=<[A-Z]{2}>[0-9|A-Z]{8},separators=drop",
	"given", "surname", "name", "name,by=subject", "street", "city", "region", "postcode", "country", "address", "address,by=value,locale=zh", "name,locale=de",
	"uuid", "ip", "ip,keep=16,keep6=48", "mac", "int", "int,lo=0,hi=99", "int,lo=-9223372036854775808,hi=9223372036854775807",
	"text", arrayRule, jsonRule, hstoreRule,
	"date", "date,days=30,weeks=yes", "date-round", "date-round,to=month", "noise", "noise,percent=100", "bucket,size=10", "round,to=1000", "age",
}

const (
	arrayRule  = `{"rule":"array","of":"email"}`
	jsonRule   = `{"rule":"json","paths":{"$.email":"email","$.phones[*]":"phone","$.n":"noise","$.*.card":"pan"}}`
	hstoreRule = `{"rule":"hstore","paths":{"email":"email"},"else":"redact"}`
)

// nameOf returns the name of a rule.
func nameOf(text string) string {
	if _, after, ok := strings.Cut(text, `{"rule":"`); ok {
		text, _, _ = strings.Cut(after, `"`)
	}
	name, _, _ := strings.Cut(text, ",")
	return name
}

// parseable has values that rules can parse which can not parse all.
var parseable = map[string][]string{
	"email":         {"ann@example.com", "Ann.O'Neil+tag@Mail.Example.COM", "a@b", "é@ü.example", strings.Repeat("a", 64) + "@" + strings.Repeat("a.", 126) + "com"},
	"phone":         {"+12125550100", "+1 (212) 555-0199", "+4915112345678", "+49 151 123 456 78", "+442079460000", "+39 06 6982 1234", "+123456789012345"[:12], "01511234567", "0049 151 1234567", "02079460000"},
	"pan":           {"4111111111111111", "4111 1111 1111 1111", "378282246310005", "4222222222222", "6304000000000000000"},
	"pan,keep=both": {"4111111111111111", "4111 1111 1111 1111", "378282246310005", "6304000000000000000"},
	"ssn":           {"123-45-6789", "001010001", "899 99 9999"},
	"nino":          {"AB123456C", "ab 12 34 56 c", "TW000000A"},
	"iban":          {"GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "de89370400440532013000", "NO9386011117947"},
	"uuid":          {"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000000", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}", "f81d4fae7dec11d0a76500a0c91e6bf6"},
	"ip":            {"192.0.2.17", "0.0.0.0", "255.255.255.255", "10.1.0.0/16", "10.1.2.3/16", "2001:db8::1", "::", "2001:db8::/32", "::ffff:192.0.2.17"},
	"mac":           {"08:00:2b:01:02:03", "08-00-2B-01-02-03", "08002b010203", "0800.2b01.0203", "08:00:2b:01:02:03:04:05"},
	"int":           {"1", "7", "99"},
	"date":          {"2024-02-29", "1970-01-01", "2024-02-29 23:59:59.999999+05:30", "2024-02-29T12:00:00Z", "2024-02-29 12:00"},
	"date-round":    {"2024-02-29", "1970-01-01", "2024-02-29 23:59:59.999999+05:30", "2024-02-29T12:00:00Z", "0001-01-01"},
	"noise":         {"1", "100", "-100", "0", "0.00", "12345.67", "-0.01", "999999999999999999"},
	"bucket":        {"1", "100", "-101", "12345.67", "-0.01"},
	"round":         {"1", "499", "500", "-500", "12345.67", "-0.01"},
	"array":         {`{ann@example.com,"bob@example.com",NULL}`, `{}`, `{{a@b,c@d},{e@f,g@h}}`},
	"json":          {`{"email":"ann@example.com"}`, `[]`, `{"phones":["+12125550100"],"x":[1,{"card":"4111111111111111"}],"n":1.5}`, `"x"`, `7`, "null", "true"},
	"hstore":        {`"email"=>"ann@example.com", "x"=>NULL, "y"=>"z"`},
	"age":           {"0", "42", "89", "90", "117"},

	"format,as=[A-Z]{2}[0-9]{7}": {"AB1234567"}, "format,as=[0-9]{3-5},small=permute": {"123", "12345"}, "format,as=<[A-Z]{2}>[0-9|A-Z]{8},separators=drop": {"AB-1234-CDEF"},
	"phone,cc=49": {"0151 1234567", "+49 151 1234567", "+1 212 555 0100"}, "phone,cc=1": {"(212) 555-0100", "1-212-555-0100", "+12125550100"}, "phone,cc=39": {"06 6982 1234", "+39 06 6982 1234"},
	"int,lo=-9223372036854775808,hi=9223372036854775807": {"0", "-9223372036854775808", "9223372036854775807"},
}

// shows are the rules that show values.
var shows = map[string]bool{"bucket": true, "round": true, "age": true, "date-round": true, "text": true, "array": true, "json": true, "hstore": true}

// allocates are the rules that may allocate.
var allocates = map[string]bool{"text": true, "array": true, "json": true, "hstore": true}

func isIPv6(value string) bool { return strings.Count(value, ":") > 1 }

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

// benchRules are rules and values for the benchmark.
var benchRules = [][2]string{
	{"name", "Ann Smith"}, {"surname", "Smith"}, {"name", "Γιώργος Παπαδόπουλος"}, {"address", "1 Main Street, Springfield"},
	{"email", "ann.longname@example.com"}, {"email,at=keep", "ann.longname@example.com"}, {"phone", "+12125550100"}, {"phone", "+4915112345678"}, {"phone", "02079460000"},
	{"date", "2024-02-29"}, {"date", "2024-02-29 23:59:59.999999+05:30"}, {"pan", "4111111111111111"}, {"pan,keep=first", "4111111111111111"}, {"ssn", "123-45-6789"}, {"iban", "DE89370400440532013000"},
	{"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}, {"int", "4711"}, {"ip", "192.0.2.17"}, {"mac", "08:00:2b:01:02:03"}, {"token", "customer-4711"}, {"hash", "customer-4711"}, {"noise", "1234.56"}, {"shape", "a note of thirty characters ..."},
}

package mask_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

// substitute replaces e:V by what the rule email makes of V, and so on.
func substitute(t *testing.T, m *mask.Masker, want string) string {
	for rule, mark := range map[string]string{"email": "<e:", "phone": "<p:", "pan": "<c:", "ssn": "<s:", "iban": "<i:", "ip": "<a:"} {
		for {
			before, after, ok := strings.Cut(want, mark)
			if !ok {
				break
			}
			value, rest, _ := strings.Cut(after, ">")
			want = before + apply(t, newRule(t, m, rule), value) + rest
		}
	}
	return want
}

func TestJSON(t *testing.T) {
	m := fixed()
	const rule = `{"rule":"json","paths":{"$.email":"email","$.phones[*]":"phone","$.deep":"redact","$.deep.card":"pan","$.*.ssn":"ssn","$.\"e-mail\"":"email","$.n":"bucket,size=10"},"else":%q}`
	for _, c := range []struct{ rest, value, want string }{
		{"keep", `{"email":"ann@example.com"}`, `{"email":"<e:ann@example.com>"}`},
		{"keep", " {\n \"email\" : \"ann@example.com\" , \"x\" : 1.50 }\n", " {\n \"email\" : \"<e:ann@example.com>\" , \"x\" : 1.50 }\n"},
		{"keep", `{"\u0065mail":"ann@ex\u0061mple.com"}`, `{"\u0065mail":"<e:ann@example.com>"}`},
		{"keep", `{"phones":["+12125550100",["+12125550101"],null,{}]}`, `{"phones":["<p:+12125550100>",["<p:+12125550101>"],null,{}]}`},
		{"keep", `{"deep":{"a":"x","b":[1,"y",true],"card":"4111111111111111"}}`, `{"deep":{"a":"***","b":["***","***","***"],"card":"<c:4111111111111111>"}}`},
		{"keep", `{"deep":{"card":4111111111111111}}`, `{"deep":{"card":<c:4111111111111111>}}`},
		{"keep", `{"a":{"ssn":"123-45-6789"},"b":{"ssn":"123-45-6789","x":"y"}}`, `{"a":{"ssn":"<s:123-45-6789>"},"b":{"ssn":"<s:123-45-6789>","x":"y"}}`},
		{"keep", `{"e-mail":"ann@example.com","n":17,"m":17}`, `{"e-mail":"<e:ann@example.com>","n":10,"m":17}`},
		{"null", `{"email":"ann@example.com","x":"y","n":17,"l":[1,2],"b":true}`, `{"email":"<e:ann@example.com>","x":null,"n":10,"l":[null,null],"b":null}`},
		{"redact", `{"x":"y","z":5,"empty":"","hiv":true,"dead":false}`, `{"x":"***","z":"***","empty":"","hiv":"***","dead":"***"}`},
		{"shape", `{"hiv":true,"dead":false,"n":null,"deep":false}`, `{"hiv":true,"dead":false,"n":null,"deep":"***"}`},
		{"null", `"x"`, `null`}, {"redact", `[[[]]]`, `[[[]]]`}, {"keep", `"<&>"`, `"<&>"`},
		{"keep", `{"email":"ann@example.com","email":"bob@example.com"}`, `{"email":"<e:ann@example.com>","email":"<e:bob@example.com>"}`},
	} {
		text := strings.Replace(rule, "%q", `"`+c.rest+`"`, 1)
		r := newRule(t, m, text)
		got := apply(t, r, c.value)
		require.Equal(t, substitute(t, m, c.want), got, c.value)
		require.True(t, json.Valid([]byte(got)))
		require.Equal(t, got, apply(t, newRule(t, m, r.String()), c.value), "the rule's text is the rule")
	}
	r := newRule(t, m, strings.Replace(rule, "%q", `"shape"`, 1))
	require.Regexp(t, `^\{"x":"[a-z]{3}","y":("\d\d"|\d\d)\}$`, apply(t, r, `{"x":"abc","y":42}`))
	for _, bad := range []string{"{", "{'a':1}", `{"a":1}x`, "\x00"} {
		before := r.Fallbacks()
		out, err := r.Append(nil, []byte(bad), nil)
		require.NoError(t, err)
		require.Nil(t, out)
		require.Equal(t, before+1, r.Fallbacks())
	}
	before := r.Fallbacks()
	apply(t, r, `{"email":"none","phones":["x","+12125550100"]}`)
	require.Equal(t, before+2, r.Fallbacks(), "parts that do not fit are counted")
	require.JSONEq(t, `{"n":null}`, apply(t, newRule(t, m, `{"rule":"json","paths":{"n":"noise"}}`), `{"n":"x"}`), "an inner NULL")
}

func TestInnerErrors(t *testing.T) {
	m := fixed()
	r := newRule(t, m, `{"rule":"json","paths":{"email":"email,fallback=error"}}`)
	_, err := r.Append(nil, []byte(`{"email":"none"}`), nil)
	require.ErrorIs(t, err, mask.ErrValue, "an inner error is an error of the whole")
	r = newRule(t, m, `{"rule":"array","of":"date"}`)
	require.True(t, r.Properties().Subject)
	_, err = r.Append(nil, []byte(`{2024-02-29}`), nil)
	require.ErrorIs(t, err, mask.ErrSubject)
	for text, want := range map[string]string{
		`{"rule":"json"}`:                                   "mask: line 1: paths: are missing; name what is to be masked",
		`{"rule":"array"}`:                                  "mask: line 1: of: is missing; the rule of the elements",
		`{"rule":"array","of":"emial"}`:                     `mask: line 1: of: there is no rule "emial"; did you mean "email"?`,
		`{"rule":"email","of":"email"}`:                     "mask: line 1: rule email has no rules inside",
		`{"rule":"json","paths":{"$.a..b":"email"}}`:        `mask: line 1: paths: "$.a..b" is no path; write $.contact.email, $.phones[*] or $."e-mail"`,
		`{"rule":"json","paths":{"a b":"email"}}`:           `mask: line 1: paths: "a b" is no path; write $.contact.email, $.phones[*] or $."e-mail"`,
		`{"rule":"json","paths":{"a":"email","$.a":"pan"}}`: `mask: line 1: paths: "$.a" is there twice`,
		`{"rule":"json","paths":{"a":"email"},"else":"x"}`:  `mask: line 1: else: "x" is none of null, redact, shape, keep; there are: null, redact, shape, keep`,
		"{\"rule\":\"json\",\n\"paths\":{\"a\":\"email\",\n\"b\":{\"rule\":\"pan\",\n\"kepe\":\"x\"}}}": `mask: line 4: paths.b.kepe: rule pan has no such parameter; did you mean "keep"?`,
		`{"rule":"json","paths":{"a":"email,fallback=error"},"fallback":"null"}`:                        `mask: line 1: fallback: "null" is none of error; there are: error`,
		`{"rule":"json","paths":{"a":"email"},"domain":"d"}`:                                            `mask: line 1: domain: is for else=shape and fallback=shape; write domain= in the rules of the paths`,
		`{"rule":"hstore","paths":{"a":"email"},"else":"keep","domain":"d"}`:                            `mask: line 1: domain: is for else=shape and fallback=shape; write domain= in the rules of the paths`,
		`{"rule":"json","paths":{"a":"email"},"fallback":"shape","domain":"sealfield/x"}`:               `mask: line 1: domain: domains that begin with sealfield/ are reserved`,
		`{"rule":"hstore","paths":{"a":"email"},"else":"shape","domain":""}`:                            `mask: line 1: domain: a domain has 1 to 255 bytes`,
		`{"paths":{}}`:                  "mask: line 1: rule: is missing",
		`{"rule":"array","of":[1]}`:     "mask: line 1: of: a rule is a string or an object, not a list",
		`{"rule":"email","at":{}}`:      "mask: line 1: at: is an object",
		`{"rule":"email","at":null}`:    "mask: line 1: at: is a number, true, false or null",
		`{"rule":`:                      "mask: line 1: the text ends too early",
		`{"rule":"email","rule":"pan"}`: `mask: line 1: "rule" is there twice`,
	} {
		_, err := m.Rule(text)
		require.EqualError(t, err, want, text)
	}
}

// TestShapeDomain has the domain of what no path names, and of what is no JSON or
// hstore.
func TestShapeDomain(t *testing.T) {
	m := fixed()
	shape := newRule(t, m, "shape,domain=d")
	for text, values := range map[string][2]string{
		`{"rule":"json","paths":{"a":"email"},"domain":"d","else":"shape"}`:       {`{"x":"secret"}`, `{"x":"<shaped>"}`},
		`{"rule":"json","paths":{"a":"email"},"domain":"d","fallback":"shape"}`:   {`secret`, `<shaped>`},
		`{"rule":"hstore","paths":{"a":"email"},"domain":"d","else":"shape"}`:     {`"x"=>"secret"`, `"x"=>"<shaped>"`},
		`{"rule":"hstore","paths":{"a":"email"},"domain":"d","fallback":"shape"}`: {`secret`, `<shaped>`},
	} {
		want := strings.Replace(values[1], "<shaped>", apply(t, shape, "secret"), 1)
		require.Equal(t, want, apply(t, newRule(t, m, text), values[0]), text)
	}
}

func TestArray(t *testing.T) {
	m := fixed()
	r := newRule(t, m, arrayRule)
	for value, want := range map[string]string{
		`{}`: `{}`, `{NULL,null}`: `{NULL,NULL}`, `{ann@example.com}`: `{<e:ann@example.com>}`, `{"ann@example.com",NULL,bob@example.com}`: `{<e:ann@example.com>,NULL,<e:bob@example.com>}`,
		`{{ann@example.com},{bob@example.com}}`: `{{<e:ann@example.com>},{<e:bob@example.com>}}`, `{""}`: `{""}`, `{ann\@example.com}`: `{<e:ann@example.com>}`,
	} {
		require.Equal(t, substitute(t, m, want), apply(t, r, value))
	}
	require.Equal(t, `{"a, \"b\" \\ {c}","NULL"}`, apply(t, newRule(t, m, `{"rule":"array","of":{"rule":"constant","value":"a, \"b\" \\ {c}"}}`), `{x}`)[:len(`{"a, \"b\" \\ {c}"`)]+`,"NULL"}`)
	require.Equal(t, `{"NULL"}`, apply(t, newRule(t, m, `{"rule":"array","of":"constant,value=NULL"}`), `{x}`))
	for _, bad := range []string{"", "{", "}", "{a", `{"a`, `{a"b}`, "{a}x", "x{a}", "{,}", "{a,}", "{a,,b}", "[0:1]={a,b}", "{{{{{{{{a}}}}}}}}", `{\`, `{"\`, "{{a}b}"} {
		if bad == "" {
			continue
		}
		before := r.Fallbacks()
		out, err := r.Append(nil, []byte(bad), nil)
		require.NoError(t, err)
		require.Nil(t, out, bad)
		require.Greater(t, r.Fallbacks(), before, bad)
	}
	p := newRule(t, m, `{"rule":"array","of":"pan"}`).Properties()
	require.True(t, p.Bijective)
	require.Contains(t, p.Types, "text[]")
	require.False(t, newRule(t, m, `{"rule":"array","of":"uuid"}`).Properties().Bijective, "its fallback is NULL")
}

func TestHstore(t *testing.T) {
	m := fixed()
	r := newRule(t, m, `{"rule":"hstore","paths":{"email":"email"},"else":"redact"}`)
	for value, want := range map[string]string{
		`"email"=>"ann@example.com"`:                      `"email"=>"<e:ann@example.com>"`,
		`"a"=>NULL, "email"=>"ann@example.com", "b"=>"x"`: `"a"=>NULL, "email"=>"<e:ann@example.com>", "b"=>"***"`,
		`"a \"b\\"=>""`:                                   `"a \"b\\"=>""`,
	} {
		require.Equal(t, substitute(t, m, want), apply(t, r, value))
	}
	for _, bad := range []string{`"a"`, `"a"=>`, `a=>b`, `"a"=>"b",`, `"a"=>"b", `, `"a"=>"b`, `"a=>`, `"a"=>"b" "c"=>"d"`, `"a"=>x`, `"a"=>"\`} {
		before := r.Fallbacks()
		out, err := r.Append(nil, []byte(bad), nil)
		require.NoError(t, err)
		require.Nil(t, out, bad)
		require.Equal(t, before+1, r.Fallbacks(), bad)
	}
}

// TestText has what is found in free text, and what is not.
func TestText(t *testing.T) {
	m := fixed()
	r := newRule(t, m, "text")
	for value, want := range map[string]string{
		"Write to ann@example.com.":                               "Write to <e:ann@example.com>.",
		"<ann@example.com>, (bob@example.com)":                    "<<e:ann@example.com>>, (<e:bob@example.com>)",
		"call +1 (212) 555-0100, or +49 151 12345678!":            "call <p:+1 (212) 555-0100>, or <p:+49 151 12345678>!",
		"Tel.: (212) 555-0100":                                    "Tel.: <p:(212) 555-0100>",
		"card 4111 1111 1111 1111 12/27":                          "card <c:4111 1111 1111 1111> 12/27",
		"4111111111111111,378282246310005":                        "<c:4111111111111111>,<c:378282246310005>",
		"ssn 123-45-6789 on 2024-02-29, 29.02.2024 or 02/29/2024": "ssn <s:123-45-6789> on 2024-02-29, 29.02.2024 or 02/29/2024",
		"IBAN GB82 WEST 1234 5698 7654 32 thanks":                 "IBAN <i:GB82 WEST 1234 5698 7654 32> thanks",
		"IBAN:DE89370400440532013000.":                            "IBAN:<i:DE89370400440532013000>.",
		"from 192.0.2.17 at 10:45, order 123456, version 1.2.3":   "from <a:192.0.2.17> at 10:45, order 123456, version 1.2.3",
		"nothing here, @home or x+y, 3 @ 5":                       "nothing here, @home or x+y, 3 @ 5",
		"é@ü.example":                                             "<e:é@ü.example>",
		"电话+4915112345678。":                                       "电话<p:+4915112345678>。",
	} {
		require.Equal(t, substitute(t, m, want), apply(t, r, value), value)
	}
	// A number that nothing recognises is not left.
	out := apply(t, r, "ref 99999999999999999999 and 4111111111111112")
	require.Regexp(t, `^ref \d{20} and \d{16}$`, out)
	require.NotContains(t, out, "99999999999999999999")
	require.NotContains(t, out, "4111111111111112")
	// Domains are those of the columns.
	r = newRule(t, m, "text,email=customer.email,at=keep")
	require.Equal(t, apply(t, newRule(t, m, "email,domain=customer.email,at=keep"), "ann@example.com"), apply(t, r, "ann@example.com"))
	require.Zero(t, r.Fallbacks())
}

// TestOwn has the row's own values in free text.
func TestOwn(t *testing.T) {
	r := newRule(t, fixed(), "text")
	row := &mask.Row{}
	row.Own([]byte("Ann Smith"), []byte("Eve Jones"))
	row.Own([]byte("Flat 12, 7 Mill Lane"), []byte("1 High Road"))
	row.Own([]byte("王伟"), []byte("李娜"))
	row.Own([]byte("王小明"), []byte("李小龙"))
	row.Own([]byte("Jo"), []byte("Al"))
	row.Own([]byte("C-4711"), []byte("C-0815"))
	row.Own([]byte("gone away"), nil)
	row.Own([]byte("Rosa Maria Lopez"), []byte("Eva Blanc"))
	for value, want := range map[string]string{
		"Ann Smith called. ANN was angry; smith's flat": "Eve Jones called. Eve was angry; Jones's flat",
		"Anna Smithson, Joanne, McSmith":                "Anna Smithson, Joanne, McSmith",
		"lives at Flat 12, 7 Mill Lane.":                "lives at 1 High Road.",
		"今天王小明来了":                                       "今天李小龙来了",
		"Jo called":                                     "Jo called",
		"see C-4711, not C-47110 or AC-4711":            "see C-0815, not C-47110 or AC-4711",
		"gone":                                          "***",
		"Maria, or Lopez":                               "Eva, or Blanc",
	} {
		out, err := r.Append(nil, []byte(value), row)
		require.NoError(t, err)
		require.Equal(t, want, string(out))
	}
	row.Reset()
	out, err := r.Append(nil, []byte("Ann Smith"), row)
	require.NoError(t, err)
	require.Equal(t, "Ann Smith", string(out))
}

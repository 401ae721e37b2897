package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

// TestPathsMeet has paths with * beside exact names: each value is masked by the
// longest path that names it, in whatever mixture.
func TestPathsMeet(t *testing.T) {
	m := fixed()
	for _, c := range []struct{ paths, value, want string }{
		{`"$.*.ssn":"redact","$.b.x":"null"`, `{"b":{"ssn":"123-45-6789","x":"y"},"a":{"ssn":"123-45-6789"}}`, `{"b":{"ssn":"***","x":null},"a":{"ssn":"***"}}`},
		{`"$.*":"redact","$.a.b":"null"`, `{"a":{"c":"secret","b":"a@b.c"},"q":{"c":"secret"}}`, `{"a":{"c":"***","b":null},"q":{"c":"***"}}`},
		{`"$.a":"null","$.*.b":"redact"`, `{"a":{"b":"x","c":"y"},"q":{"b":"x","c":"kept"}}`, `{"a":{"b":"***","c":null},"q":{"b":"***","c":"kept"}}`},
		{`"$.*.*.s":"redact","$.a.*.x":"null","$.a.b.y":"null"`, `{"a":{"b":{"s":"x","x":"x","y":"x"},"c":{"s":"x","x":"x","y":"kept"}}}`, `{"a":{"b":{"s":"***","x":null,"y":null},"c":{"s":"***","x":null,"y":"kept"}}}`},
		{`"$[*].s":"redact","$.a.b":"null"`, `[{"s":"x","t":"kept"}]`, `[{"s":"***","t":"kept"}]`},
	} {
		r := newRule(t, m, `{"rule":"json","paths":{`+c.paths+`},"else":"keep"}`)
		out, err := r.Append(nil, []byte(c.value), nil)
		require.NoError(t, err)
		require.Equal(t, c.want, string(out), c.paths)
	}
	// Many mixed paths stay cheap to compile, and too long ones are refused.
	var paths []string
	for i := range 12 {
		step := strings.Repeat(".a", i) + ".*" + strings.Repeat(".b", 12-i)
		paths = append(paths, `"$`+step+`":"redact"`)
	}
	newRule(t, m, `{"rule":"json","paths":{`+strings.Join(paths, ",")+`}}`)
	// So are those that would be millions of nodes.
	paths = nil
	for i := range 16 {
		for _, name := range []string{".a", ".b"} {
			paths = append(paths, `"$`+strings.Repeat(".*", i)+name+strings.Repeat(".*", 15-i)+`":"redact"`)
		}
	}
	_, err := m.Rule(`{"rule":"json","paths":{` + strings.Join(paths, ",") + `}}`)
	require.ErrorContains(t, err, "mix * and names at too many places")
	_, err = m.Rule(`{"rule":"json","paths":{"$` + strings.Repeat(".a", 17) + `":"redact"}}`)
	require.ErrorContains(t, err, "more than 16 steps")
}

// TestHstorePathsAreKeys: a path that can name no key masks nothing, and so is an error.
func TestHstorePathsAreKeys(t *testing.T) {
	m := fixed()
	for _, path := range []string{`a.b`, `$`, `$.contact.email`, `a[*]`} {
		_, err := m.Rule(`{"rule":"hstore","paths":{"` + path + `":"email"},"else":"keep"}`)
		require.ErrorContains(t, err, "names no key of an hstore", path)
	}
	r := newRule(t, m, `{"rule":"hstore","paths":{"$.\"a.b\"":"redact"},"else":"keep"}`)
	out, err := r.Append(nil, []byte(`"a.b"=>"ann@example.com", "c"=>"d"`), nil)
	require.NoError(t, err)
	require.Equal(t, `"a.b"=>"***", "c"=>"d"`, string(out))
}

// TestPathsPromiseNoUnique: parts can become equal in a fallback.
func TestPathsPromiseNoUnique(t *testing.T) {
	m := fixed()
	for text, format := range map[string]string{
		`{"rule":"json","paths":{"$.c":"pan"},"else":"keep"}`: `{"c":"%c"}`,
		`{"rule":"hstore","paths":{"c":"pan"},"else":"keep"}`: `"c"=>"%c"`,
	} {
		r := newRule(t, m, text)
		seen := map[string]bool{}
		for c := 'a'; c <= 'z'; c++ {
			out, err := r.Append(nil, fmt.Appendf(nil, format, c), nil)
			require.NoError(t, err)
			seen[string(out)] = true
		}
		require.Less(t, len(seen), 26, "the control: some are equal")
		p := r.Properties()
		require.False(t, p.Bijective || p.Reversible, text)
		require.Zero(t, p.Hidden)
		require.EqualValues(t, 1, p.Collisions(26))
	}
}

// TestNetworksAndHosts masks every host of networks of all small sizes, beside the
// networks themselves: all results differ.
func TestNetworksAndHosts(t *testing.T) {
	for _, text := range []string{"ip", "ip,keep=16", "ip,keep=28", "ip,domain=other"} {
		r := newRule(t, fixed(), text)
		require.Zero(t, r.Properties().Hidden)
		for _, third := range []int{0, 2, 7, 99, 255} {
			for prefix := 24; prefix <= 32; prefix++ {
				seen := map[string]string{}
				for host := range 256 {
					value := fmt.Sprintf("10.1.%d.%d/%d", third, host, prefix)
					out, err := r.Append(nil, []byte(value), nil)
					require.NoError(t, err)
					require.Empty(t, seen[string(out)], "%s: %s and %s are %s", text, seen[string(out)], value, out)
					seen[string(out)] = value
				}
			}
		}
	}
	r := newRule(t, fixed(), "ip")
	seen := map[string]bool{}
	for host := range 1 << 12 {
		out, err := r.Append(nil, fmt.Appendf(nil, "2001:db8::%x/116", host), nil)
		require.NoError(t, err)
		seen[string(out)] = true
	}
	require.Len(t, seen, 1<<12)
}

// TestTextWithoutSpaces finds numbers and the row's own values between letters of
// scripts that put no spaces between words.
func TestTextWithoutSpaces(t *testing.T) {
	r := newRule(t, fixed(), "text")
	for _, value := range []string{"电话13800138000谢谢", "電話は13800138000です", "전화13800138000번", "โทร13800138000ครับ"} {
		for _, own := range []bool{true, false} {
			var row mask.Row
			if own {
				row.Own([]byte("13800138000"), []byte("15900000001"))
			}
			out, err := r.Append(nil, []byte(value), &row)
			require.NoError(t, err)
			require.NotContains(t, string(out), "13800138000")
			if own {
				require.Equal(t, strings.Replace(value, "13800138000", "15900000001", 1), string(out))
			}
		}
	}
	for _, value := range []string{"卡号4111111111111111", "カードは4111111111111111です", "邮箱ann@example.com谢谢"} {
		out, err := r.Append(nil, []byte(value), nil)
		require.NoError(t, err)
		require.NotContains(t, string(out), "4111111111111111")
		require.NotContains(t, string(out), "ann@example.com")
	}
}

// TestTextIsNotNull: a row's own value that is masked as an empty text.
func TestTextIsNotNull(t *testing.T) {
	r := newRule(t, fixed(), "text")
	require.False(t, r.Properties().Nullable)
	var row mask.Row
	row.Own([]byte("Ann Smith"), []byte{})
	out, err := r.Append(nil, []byte("Ann Smith"), &row)
	require.NoError(t, err)
	require.NotNil(t, out)
	require.Empty(t, out)
}

// TestStatedIsUsed: what a rule would pass over is an error.
func TestStatedIsUsed(t *testing.T) {
	m := fixed()
	for text, want := range map[string]string{
		`{"rule":"json","of":"pan","paths":{"$.c":"pan"}}`:  "is for arrays",
		`{"rule":"hstore","of":"pan","paths":{"c":"pan"}}`:  "is for arrays",
		`{"rule":"array","of":"pan","paths":{"$.c":"pan"}}`: "an array has none",
		"uuid,fallback=keep": "is none of",
	} {
		_, err := m.Rule(text)
		require.ErrorContains(t, err, want, text)
	}
	require.Equal(t, []string{"text", "varchar"}, newRule(t, m, "date-round,fallback=shape").Properties().Types, "1987-45-99 becomes no date")
	_, err := mask.PolicyOf(nil)
	require.ErrorContains(t, err, "there is no policy")
}

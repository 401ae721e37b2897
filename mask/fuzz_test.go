package mask_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

var fuzzOnly = flag.String("rule", "", "the name of the only rule that FuzzEach takes")

// moreRules are variants that only fuzzing takes.
var moreRules = []string{
	`{"rule":"json","paths":{"$.email":"email","a.b":"pan","*.c":"ssn","x[*]":"iban"},"else":"shape"}`,
	`{"rule":"json","paths":{"$.n":"noise","$.d":"date","$.*":"phone"},"else":"keep"}`,
	`{"rule":"hstore","paths":{"email":"email","x":"null"},"else":"shape"}`,
	`{"rule":"hstore","paths":{"*":"pan"},"else":"keep"}`,
	`{"rule":"array","of":"int"}`, `{"rule":"array","of":"shape"}`, `{"rule":"array","of":{"rule":"json","paths":{"email":"email"}}}`,
	"text,at=keep,cc=44", "null", "date-round,to=month", "phone,fallback=redact", "pan,fallback=null", "uuid,fallback=error",
	"format,as=date:1900-01-01..2099-12-31,small=permute",
}

// strictRule is a rule of a name and, if it can be unable to parse a value, the same with an
// error for its fallback.
type strictRule struct {
	name         string
	rule, strict *mask.Rule
}

// FuzzEach gives a value, another, and words of the row to one rule at a time, with
// -rule to a variant of that one. The value is untouched, the result the same again, valid
// UTF-8 as the value is. What the rule can not parse is counted and does not come back; what it
// makes of other values of its domain is of the domain, and different.
func FuzzEach(f *testing.F) {
	var rules []strictRule
	for _, text := range slices.Concat(allRules, moreRules) {
		if *fuzzOnly != "" && nameOf(text) != *fuzzOnly {
			continue
		}
		r := strictRule{name: nameOf(text), rule: newRule(f, fixed(), text)}
		if r.rule.Properties().Fallback != "" && text[0] != '{' && !strings.Contains(text, "fallback") {
			r.strict = newRule(f, fixed(), text+",fallback=error")
		}
		rules = append(rules, r)
		for _, value := range slices.Concat(parseable[text], parseable[nameOf(text)], hostile) {
			if len(value) < 200 {
				f.Add(byte(len(rules)-1), []byte(value), []byte("other"))
			}
		}
	}
	require.NotEmpty(f, rules)
	f.Fuzz(func(t *testing.T, variant byte, value, other []byte) {
		r := rules[int(variant)%len(rules)]
		out, counted, err := fuzzOne(t, r.rule, value, other)
		if err != nil || out == nil {
			return
		}
		if utf8.Valid(value) && utf8.Valid(other) || !shows[r.name] && !strings.Contains(r.rule.String(), "at=keep") {
			require.True(t, utf8.Valid(out), "%s of %q: %q", r.rule, value, out)
		}
		if r.name == "json" && counted == 0 && len(value) > 0 {
			require.True(t, json.Valid(out), "%s of %q: %q", r.rule, value, out)
		}
		if r.strict == nil {
			return
		}
		same, counted2, err := fuzzOne(t, r.strict, value, other)
		require.Equal(t, counted, counted2)
		require.Equal(t, counted > 0, err != nil, "%s of %q", r.rule, value)
		switch {
		case counted > 0 && len(value) > 0 && string(value) != "***":
			require.NotEqual(t, string(value), string(out), "%s", r.rule)
		case counted == 0:
			require.Equal(t, string(same), string(out))
			requireDomain(t, r.strict, value, other, out)
		}
	})
}

// fuzzOne masks a value twice and returns the result and how often the rule could not parse.
func fuzzOne(t *testing.T, r *mask.Rule, value, own []byte) (out []byte, counted uint64, err error) {
	row := mask.Row{Subject: []byte("42")}
	row.Own(own, []byte("masked"))
	before, count := bytes.Clone(value), r.Fallbacks()
	out, err = r.Append([]byte("dst"), value, &row)
	counted = r.Fallbacks() - count
	require.Equal(t, before, value)
	again, err2 := r.Append(nil, value, &row)
	require.Equal(t, err, err2)
	require.Equal(t, 2*counted, r.Fallbacks()-count)
	if err != nil {
		require.ErrorIs(t, err, mask.ErrValue)
		require.Positive(t, counted)
		require.NotContains(t, err.Error(), "dst")
		return nil, counted, err
	}
	if out == nil {
		require.Nil(t, again)
		require.True(t, r.Properties().Nullable || value == nil, "%s of %q", r, value)
		return nil, counted, nil
	}
	require.Equal(t, "dst", string(out[:3]))
	require.Equal(t, string(out[3:]), string(again))
	return out[3:], counted, nil
}

// notation is what two ways to write one value may differ in.
var notation = regexp.MustCompile(`[ ./():{}+-]`)

// requireDomain shows for a bijective rule that the result is a value of the domain, and
// that two others become equal only if they are one value in two notations.
func requireDomain(t *testing.T, r *mask.Rule, value, other, out []byte) {
	if !r.Properties().Bijective || len(value) == 0 {
		return
	}
	second, counted, err := fuzzOne(t, r, out, nil)
	require.NoError(t, err, "%s: %q of %q is not of the domain", r, out, value)
	require.Zero(t, counted)
	if string(value) != string(out) {
		require.NotEqual(t, string(out), string(second), "%s of %q and %q", r, value, out)
	}
	third, counted, _ := fuzzOne(t, r, other, nil)
	if counted == 0 && string(third) == string(out) {
		canonical := func(v []byte) string { return strings.ToLower(notation.ReplaceAllString(string(v), "")) }
		require.Equal(t, canonical(value), canonical(other), "%s: both %q", r, out)
	}
}

// FuzzRows reads any text as a policy. One that is accepted is compiled, and masks rows: what
// is kept comes back, NULL stays NULL, and a row has as many values.
func FuzzRows(f *testing.F) {
	f.Add([]byte(goodPolicy), []byte("ann@example.com"))
	for _, rule := range slices.Concat(allRules, moreRules) {
		text := rule
		if rule[0] != '{' {
			text = `"` + rule + `"`
		}
		f.Add([]byte(`{"version":1,"epoch":"e","tables":{"t":{"subject":"id","columns":{"id":{"keep":"key"},"c":`+text+`}}}}`), []byte("4111111111111111"))
	}
	kr := keyringtest.NewKeyring(f)
	f.Fuzz(func(t *testing.T, text, value []byte) {
		p, err := mask.ParsePolicy(text)
		if err != nil {
			specErr, ok := errors.AsType[*mask.SpecError](err)
			require.True(t, ok, err)
			require.LessOrEqual(t, specErr.Line, 1+bytes.Count(text, []byte("\n")))
			return
		}
		tables, err := p.Compile(t.Context(), kr, "")
		if err != nil {
			return
		}
		for _, table := range tables {
			rows, err := table.Rows(table.Columns())
			if err != nil {
				continue
			}
			row := slices.Repeat([][]byte{value}, len(table.Columns()))
			masked, err := rows.Mask(row)
			if err != nil {
				continue
			}
			require.Len(t, masked, len(row))
			for i, column := range table.Columns() {
				if rule, _, _ := table.Rule(column); rule == nil || value == nil {
					require.Equal(t, value, masked[i])
				}
			}
		}
	})
}

// FuzzRules gives any value to every rule: no panic, the value untouched, a result
// that is the same again, of the length that was promised and not the value.
func FuzzRules(f *testing.F) {
	for _, v := range hostile {
		if len(v) < 200 {
			f.Add([]byte(v))
		}
	}
	for _, values := range parseable {
		for _, v := range values {
			f.Add([]byte(v))
		}
	}
	f.Add([]byte("0@************ee"))
	var rules []*mask.Rule
	for _, text := range allRules {
		rules = append(rules, newRule(f, fixed(), text))
	}
	row := &mask.Row{Subject: []byte("42")}
	f.Fuzz(func(t *testing.T, value []byte) {
		before := bytes.Clone(value)
		for _, r := range rules {
			p := r.Properties()
			fallbacks := r.Fallbacks()
			out, err := r.Append([]byte("dst"), value, row)
			require.NoError(t, err)
			require.Equal(t, before, value)
			if out == nil {
				require.True(t, p.Nullable || value == nil, "%s of %q", r, value)
				continue
			}
			require.True(t, bytes.HasPrefix(out, []byte("dst")))
			out = out[3:]
			again, err := r.Append(nil, value, row)
			require.NoError(t, err)
			require.Equal(t, string(out), string(again))
			if fallen := r.Fallbacks() != fallbacks; !fallen && p.MaxLen > 0 {
				require.LessOrEqual(t, len([]rune(string(out))), p.MaxLen, "%s of %q", r, value)
			}
			if !p.Bijective && len(value) > 8 && !mayReturn(r.String(), string(value)) {
				require.NotEqual(t, string(value), string(out), "%s", r)
			}
		}
	})
}

// FuzzRule compiles any text. A rule that is accepted is compiled again from its
// own text, and masks.
func FuzzRule(f *testing.F) {
	for _, text := range allRules {
		f.Add(text)
	}
	for _, text := range []string{"", ",", "=", "token,", "token,=", "format,as=[", "int,lo=9,hi=1", "date,days=-1", "email,at=map,to=..", "constant,value=\x00", "phone,cc=0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := fixed()
		r, err := m.Rule(text)
		if err != nil {
			require.IsType(t, &mask.SpecError{}, err)
			return
		}
		again := newRule(t, m, r.String())
		require.Equal(t, r.String(), again.String())
		for _, value := range []string{"x", "123456789", "4111111111111111"} {
			one, err := r.Append(nil, []byte(value), &mask.Row{Subject: []byte("42")})
			other, err2 := again.Append(nil, []byte(value), &mask.Row{Subject: []byte("42")})
			require.Equal(t, err, err2)
			require.Equal(t, one, other)
		}
	})
}

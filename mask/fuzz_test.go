package mask_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/mask"
)

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

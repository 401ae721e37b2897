package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/dict"
	"github.com/sealfield/sealfield/mask"
)

func TestNames(t *testing.T) {
	for _, c := range []struct{ rule, value, want string }{
		{"given", "Ann", `^[A-Z][a-z]+$`},
		{"name", "Ann Smith", `^[A-Z][a-z]+ [A-Z][A-Za-z]+$`},
		{"name", "Smith, Ann", `^[A-Z][A-Za-z]+, [A-Z][a-z]+$`},
		{"name", "ANN SMITH", `^[A-Z]+ [A-Z]+$`},
		{"surname,locale=de", "Smith", `^\p{Lu}\p{Ll}+$`},
		{"name", "Γιώργος Παπαδόπουλος", `^\p{Greek}+ \p{Greek}+$`},
		{"name", "Ольга Шевченко", `^[\p{Cyrillic}’]+ [\p{Cyrillic}’]+$`},
		{"name", "ОЛЬГА ШЕВЧЕНКО", `^[\p{Lu}’]+ [\p{Lu}’]+$`},
		{"name", "محمد علي", `^\p{Arabic}+ \p{Arabic}+$`},
		{"name", "משה כהן", `^\p{Hebrew}+ \p{Hebrew}+$`},
		{"name", "राम शर्मा", `^\p{Devanagari}+ \p{Devanagari}+$`},
		{"name", "王伟", `^\p{Han}{2,4}$`},
		{"name", "김민준", `^\p{Hangul}{3}$`},
		{"name,locale=en", "王伟", `^[A-Z][a-z]+ [A-Z][A-Za-z]+$`},
		{"address", "x", `^\d+ [A-Z][A-Za-z ]+, [A-Z][a-z]+, [A-Z0-9 ]+$`},
		{"address,locale=de", "x", `^[\p{L} ]+ \d+, \d{4,5} \p{L}+$`},
		{"address,locale=zh", "x", `^\p{Han}+$|^\p{Han}+\d+号$`},
		{"country", "x", `^(GB|US)$`},
	} {
		require.Regexp(t, c.want, apply(t, newRule(t, fixed(), c.rule), c.value), "%s of %s", c.rule, c.value)
	}
}

// TestRecord checks that columns of one subject agree: with each other, and with the
// places of the dictionary.
func TestRecord(t *testing.T) {
	m := fixed()
	for _, locale := range dict.Names() {
		l, cities := dict.Get(locale), map[string]bool{}
		rules := map[string]*mask.Rule{}
		for _, name := range []string{"given", "surname", "name", "street", "city", "region", "postcode", "country", "address"} {
			rules[name] = newRule(t, m, name+",by=subject,locale="+locale)
		}
		for i := range 100 {
			got := map[string]string{}
			for name, r := range rules {
				out, err := r.Append(nil, []byte("x"), &mask.Row{Subject: fmt.Append(nil, i)})
				require.NoError(t, err)
				got[name] = string(out)
			}
			found := false
			for _, p := range l.Places {
				fits := len(p.Postcode) == len(got["postcode"])
				for i := range p.Postcode {
					fits = fits && (strings.IndexByte("#@", p.Postcode[i]) >= 0 || p.Postcode[i] == got["postcode"][i])
				}
				found = found || fits && p.City == got["city"] && p.Region == got["region"] && p.Country == got["country"]
			}
			require.True(t, found, "%v", got)
			require.Contains(t, got["name"], got["given"])
			require.Contains(t, got["name"], got["surname"])
			require.Contains(t, got["address"], got["street"])
			require.Contains(t, got["address"], got["city"])
			if strings.Contains(l.AddressTemplate, "{p}") {
				require.Contains(t, got["address"], got["postcode"])
			}
			cities[got["city"]] = true
		}
		require.Greater(t, len(cities), 10, locale)
	}
	// A name by value is the same for all subjects, one by subject for all values.
	for rule, same := range map[string]bool{"name": false, "name,by=subject": true} {
		r := newRule(t, m, rule)
		one, other := apply(t, r, "Ann Smith"), apply(t, r, "Bob Jones")
		require.Equal(t, same, one == other, rule)
	}
	require.Equal(t, apply(t, newRule(t, m, "given,domain=person"), "Ann"), apply(t, newRule(t, m, "given"), "Ann"))
	_, err := newRule(t, m, "city").Append(nil, []byte("x"), nil)
	require.ErrorIs(t, err, mask.ErrSubject)
}

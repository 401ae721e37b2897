package mask_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// TestExplain has every rule say what it is, and some what they have to say.
func TestExplain(t *testing.T) {
	for _, text := range allRules {
		r := newRule(t, fixed(), text)
		said := r.Explain(1e6)
		for _, v := range r.Properties().Visible {
			require.Contains(t, said, v)
		}
		require.NotContains(t, said, "Inf")
		require.NotContains(t, said, "NaN")
	}
	for text, want := range map[string]string{
		"token":               "stay different, but for a probability of 4e-13 among 1000000 values",
		"given":               "become equal",
		"ssn":                 "one of 889 million (2^29.7)",
		"uuid":                "one of 10^36 (2^120.0)",
		"iban":                "one of 100 billion (2^36.5)",
		"redact":              "nothing, not even which values are equal",
		"noise":               "guesses can be tested",
		"date,days=30":        "the intervals between dates of one subject",
		"email":               "guesses can be tested, about 10 million a second",
		"format,as=[0-9]{15}": "one of 10^15",
		"uuid,fallback=error": "refused, and the row with them",
		"int,lo=0,hi=999":     "who can have 1000 values of his own masked has a table of all",
		"text":                "all that is not recognised",
		"ip,keep=24":          "that a network is one, whose bits after the prefix stay zero",
		"name":                "the script",
		"date-round":          "there is no key: everybody sees this much",
		"null":                "the results have nothing of the values",
	} {
		require.Contains(t, newRule(t, fixed(), text).Explain(1e6), want, text)
	}
	p, err := mask.ParsePolicy([]byte(goodPolicy))
	require.NoError(t, err)
	tables, err := p.Compile(t.Context(), keyringtest.NewKeyring(t), "")
	require.NoError(t, err)
	said := tables["public.customers"].Explain(5000)
	require.Contains(t, said, "public.customers.id: as it is\n  because      a number without meaning\n")
	require.Contains(t, said, "public.customers.email: email,domain=customer.email\n")
	require.Contains(t, said, "among 5000 values")
	require.Equal(t, "public.audit is left out: of no use in tests\n", tables["public.audit"].Explain(1))
}

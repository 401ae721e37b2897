package mask

import (
	"math"
	"slices"
)

// Properties are what is known of a rule's results before it has seen a value. They
// are about values that the rule can parse; for others there is the Fallback.
//
// All rules are deterministic: nothing is drawn at random.
type Properties struct {
	// Keyed is whether the results depend on the key.
	Keyed bool
	// Deterministic is whether equal values have equal results in whatever
	// row. Otherwise the results depend on the row too.
	Deterministic bool
	// Bijective is whether different values of the Domain have different
	// results in the Domain. The shape that is the Fallback of other values
	// may by chance be the result of one of the Domain.
	Bijective bool
	// Fold is whether values that differ only in the case of ASCII letters have
	// equal results. If not, some may: in an e-mail address the case of the
	// domain does not count.
	Fold bool
	// Domain says which values the rule can parse, and which spellings it takes
	// for one value: these have equal results, or results that differ as they do.
	Domain string
	// Hidden is the number of values, as a power of two, among which the
	// visible parts leave a value: what somebody has to search who can try
	// guesses. It is that of the worst value, and 0 if the result shows it.
	Hidden float64
	// Reversible is whether who has the key can compute the value.
	Reversible bool
	// SameLength is whether results have as many characters as their values.
	SameLength bool
	// MaxLen is the largest number of characters of a result, or 0 if there
	// is no bound, or with SameLength none but that of the value.
	MaxLen int
	// Alphabet is the characters of results, as a bracket expression of
	// regular expressions, or empty for any.
	Alphabet string
	// Types are the PostgreSQL types that can hold the results, by their
	// names in pg_type, or any. Noise, bucket and round may lead beyond the
	// ends of a type for values that are near them.
	Types []string
	// Nullable is whether a value can become NULL, by the rule or its
	// Fallback.
	Nullable bool
	// Subject is whether the rule needs the Subject of a Row.
	Subject bool
	// Visible is what somebody without the key sees of a value.
	Visible []string
	// Fallback is what becomes of values that the rule can not parse: shape,
	// redact, null, error, or empty if it parses all.
	Fallback string

	// results is how many there are, as a power of two, if values of a rule
	// that is not bijective draw them with equal chances.
	results float64
}

// Collisions returns an upper bound of the probability that among so many different
// values of the Domain two have equal results: 0 for a bijective rule, else
// n(n-1)/2 divided by the number of results.
func (p Properties) Collisions(values float64) float64 {
	if p.Bijective || values < 2 {
		return 0
	}
	return min(1, math.Exp2(math.Log2(values)+math.Log2(values-1)-1-p.results))
}

var textTypes = []string{"text", "varchar", "bpchar", "citext"}

// join returns the properties of a rule that does sometimes p and sometimes q to
// parts of a value: what both promise.
func (p Properties) join(q Properties) Properties {
	p.Keyed = p.Keyed || q.Keyed
	p.Deterministic = p.Deterministic && q.Deterministic
	p.Bijective = p.Bijective && q.Bijective
	p.Hidden = min(p.Hidden, q.Hidden)
	p.Fold = p.Fold && q.Fold
	p.Reversible = p.Reversible && q.Reversible
	p.SameLength = p.SameLength && q.SameLength
	if p.MaxLen != 0 {
		p.MaxLen = max(p.MaxLen, q.MaxLen)
	}
	if q.MaxLen == 0 {
		p.MaxLen = 0
	}
	if p.Alphabet != q.Alphabet {
		p.Alphabet = ""
	}
	p.Nullable = p.Nullable || q.Nullable
	p.Subject = p.Subject || q.Subject
	p.Visible = slices.Clone(p.Visible)
	for _, v := range q.Visible {
		if !slices.Contains(p.Visible, v) {
			p.Visible = append(p.Visible, v)
		}
	}
	p.results = min(p.results, q.results)
	return p
}

package mask

import (
	"fmt"
	"math"
	"strings"
)

// Explain says in a few lines what stays visible of the values of this rule, and what
// somebody can do who knows how many values there can be, among so many different ones.
func (r *Rule) Explain(values float64) string {
	p := r.props
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "  %-12s %s\n", name, text) }
	fmt.Fprintf(&b, "%s\n", r.text)
	line("takes", p.Domain)
	visible := "nothing, not even which values are equal"
	if len(p.Visible) > 0 {
		visible = strings.Join(p.Visible, "; ")
	}
	line("visible", visible)
	line("hidden", p.hidden())
	line("without key", p.withoutKey())
	if p.Keyed {
		line("with key", p.withKey())
	}
	line("different", p.different(values))
	if p.Fallback != "" {
		others := map[string]string{"shape": "another text of the same shape", "redact": "***", "null": "NULL", "error": "refused, and the row with them"}[p.Fallback]
		line("others", others+", counted")
	}
	return b.String()
}

// hidden says among how many values the result leaves one.
func (p Properties) hidden() string {
	switch {
	case p.Hidden == 0:
		return "nothing that can be promised for every value"
	case math.IsInf(p.Hidden, 1):
		return "all that is not visible"
	}
	return fmt.Sprintf("the value is one of %s (2^%.1f) that look the same, or more", count(p.Hidden), p.Hidden)
}

// guesses is how many are tried in a second by who has the key.
const guesses = 10_000_000

func (p Properties) withoutKey() string {
	if !p.Keyed {
		if len(p.Visible) == 0 {
			return "nobody gets further: the results have nothing of the values"
		}
		return "there is no key: everybody sees this much, and nobody more"
	}
	text := "no guess can be tested; "
	if p.Deterministic {
		text += "who knows how often values occur finds the frequent ones, and one known pair shows every row with that value"
	} else {
		text += "one known pair shows what else of its subject was changed alike"
	}
	if p.Hidden < smallDomain && p.Hidden > 0 && p.Deterministic {
		text += fmt.Sprintf("; who can have %s values of his own masked has a table of all", count(p.Hidden))
	}
	return text
}

const smallDomain = 20 // bits: about a million values

func (p Properties) withKey() string {
	switch {
	case p.Reversible:
		return "the value can be computed"
	case math.IsInf(p.Hidden, 1) || p.Hidden == 0:
		return fmt.Sprintf("guesses can be tested, about %d million a second", guesses/1_000_000)
	}
	return fmt.Sprintf("all %s can be tried, in %s", count(p.Hidden), duration(math.Exp2(p.Hidden)/guesses))
}

func (p Properties) different(values float64) string {
	switch {
	case p.Bijective && (p.Fallback == "shape" || p.Fallback == "redact"):
		return "stay different, always; others may become equal"
	case p.Bijective:
		return "stay different, always: UNIQUE holds"
	}
	bound := p.Collisions(values)
	if bound > 0.5 {
		return fmt.Sprintf("become equal: of %.0f different values expect some that are", values)
	}
	return fmt.Sprintf("stay different, but for a probability of %.1g among %.0f values", bound, values)
}

// count writes 2^bits as a number of three digits at most.
func count(bits float64) string {
	n := math.Round(math.Exp2(bits))
	switch {
	case n >= 1e12:
		return fmt.Sprintf("10^%.0f", math.Floor(bits*math.Log10(2)+1e-9)) // a sum of logarithms may be a little less
	case n >= 1e9:
		return fmt.Sprintf("%.3g billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.3g million", n/1e6)
	}
	return fmt.Sprintf("%.0f", n)
}

func duration(seconds float64) string {
	const year = 365.25 * 24 * 3600
	switch {
	case seconds < 1:
		return "less than a second"
	case seconds < 3600:
		return fmt.Sprintf("about %.0f seconds", seconds)
	case seconds < 48*3600:
		return fmt.Sprintf("about %.0f hours", seconds/3600)
	case seconds < year:
		return fmt.Sprintf("about %.0f days", seconds/24/3600)
	case seconds < 1000*year:
		return fmt.Sprintf("about %.0f years", seconds/year)
	}
	return "more than a thousand years"
}

// Explain says it for every column of a table with so many rows.
func (t *Table) Explain(rows float64) string {
	var b strings.Builder
	if t.spec.skip != "" {
		fmt.Fprintf(&b, "%s is left out: %s\n", t.name, t.spec.skip)
		return b.String()
	}
	for _, c := range t.columns {
		r, keep, _ := t.Rule(c)
		if r == nil {
			fmt.Fprintf(&b, "%s.%s: as it is\n  %-12s %s\n", t.name, c, "because", keep)
			continue
		}
		fmt.Fprintf(&b, "%s.%s: %s", t.name, c, r.Explain(rows))
	}
	return b.String()
}

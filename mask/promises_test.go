package mask_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/dict"
)

// TestNameLengths draws names with and without a comma in all locales: none is longer
// than promised, and one is nearly as long.
func TestNameLengths(t *testing.T) {
	for _, locale := range dict.Names() {
		for _, rule := range []string{"name", "given", "surname"} {
			r := newRule(t, fixed(), rule+",locale="+locale)
			most := 0
			for i := range 20_000 {
				for _, format := range []string{"ann %d", "Smith, %d"} {
					most = max(most, utf8.RuneCountInString(apply(t, r, fmt.Sprintf(format, i))))
				}
			}
			require.LessOrEqual(t, most, r.Properties().MaxLen, r)
			require.Less(t, r.Properties().MaxLen-most, 3, r)
		}
	}
}

// TestHiddenNumbers counts the integers that have a result: there are at least as many
// as Hidden says for every result.
func TestHiddenNumbers(t *testing.T) {
	for _, size := range []int{2, 3, 4, 5, 10, 11} {
		for _, rule := range []string{"round,to=%d", "bucket,size=%d"} {
			r := newRule(t, fixed(), fmt.Sprintf(rule, size))
			counts := map[string]int{}
			for i := -20 * size; i <= 20*size; i++ {
				counts[apply(t, r, fmt.Sprint(i))]++
			}
			for i := -15; i <= 15; i++ {
				n := counts[fmt.Sprint(i*size)]
				require.GreaterOrEqual(t, math.Log2(float64(n))+1e-9, r.Properties().Hidden, "%s: %d integers become %d", r, n, i*size)
			}
		}
	}
}

// TestSpellings has values that are equal but for their spelling, and that the rule
// makes equal: its Domain says that they are one.
func TestSpellings(t *testing.T) {
	for _, c := range []struct{ rule, a, b, says string }{
		{"email", "ann@example.com", "ann@EXAMPLE.com", "differ in the case of the domain are one"},
		{"email,case=fold", "ann@example.com", "ANN@example.com", "differ in case are one"},
		{"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "F81d4fae-7dec-11d0-a765-00a0c91e6bf6", "in small letters"},
		{"ip", "2001:db8::1", "2001:DB8:0::1", "RFC 5952"},
	} {
		r := newRule(t, fixed(), c.rule)
		require.Equal(t, apply(t, r, c.a), apply(t, r, c.b))
		require.Contains(t, r.Properties().Domain, c.says)
	}
	r := newRule(t, fixed(), "email,at=keep")
	require.NotEqual(t, apply(t, r, "ann@example.com"), apply(t, r, "ann@EXAMPLE.com"))
	require.NotContains(t, r.Properties().Domain, "are one")
	require.Contains(t, newRule(t, fixed(), "mac").Properties().Domain, "in small letters")
}

// TestExplainOthers: values that a bijective rule can not parse may become equal, and
// Explain does not say that UNIQUE holds for these.
func TestExplainOthers(t *testing.T) {
	r := newRule(t, fixed(), "pan")
	seen := map[string]bool{}
	for i := range 10 {
		seen[apply(t, r, fmt.Sprint(i))] = true
	}
	require.Less(t, len(seen), 10, "the control: some are equal")
	for text, others := range map[string]bool{"pan": true, "pan,fallback=redact": true, "pan,fallback=error": false, "pan,fallback=null": false} {
		said := newRule(t, fixed(), text).Explain(1e6)
		require.Contains(t, said, "stay different, always")
		require.Equal(t, others, strings.Contains(said, "others may become equal"), said)
		require.Equal(t, !others, strings.Contains(said, "UNIQUE holds"), said)
	}
}

// TestNoiseKeepsSigns: an amount that is not 0 does not become 0, nor one of the other
// sign, so that CHECK (price > 0) holds.
func TestNoiseKeepsSigns(t *testing.T) {
	for _, rule := range []string{"noise", "noise,percent=1", "noise,percent=100"} {
		r := newRule(t, fixed(), rule)
		for i := 1; i <= 2000; i++ {
			for _, format := range []string{"%d", "0.%03d", "%d.00"} {
				value := fmt.Sprintf(format, i)
				if strings.HasPrefix(value, "0.") && i > 999 {
					continue
				}
				out := apply(t, r, value)
				require.NotContains(t, out, "-", value)
				require.NotEmpty(t, strings.Trim(out, "0."), "%s of %s is %s", r, value, out)
				require.NotEqual(t, value, out)
				require.NotEmpty(t, strings.Trim(apply(t, r, "-"+value), "-0."))
				require.Equal(t, byte('-'), apply(t, r, "-"+value)[0])
			}
		}
	}
}

// TestShapeIsNoDate: what a fallback makes of a date beyond a format's ends is no date,
// so that the rule is none for dates.
func TestShapeIsNoDate(t *testing.T) {
	const rule = "format,as=date:1990-01-01..2009-12-31,small=permute"
	r := newRule(t, fixed(), rule)
	require.Equal(t, uint64(0), r.Fallbacks())
	require.NotContains(t, r.Properties().Types, "date", "1989-12-31 becomes %s", apply(t, r, "1989-12-31"))
	require.Equal(t, uint64(1), r.Fallbacks())
	for _, fallback := range []string{"null", "error"} {
		require.Contains(t, newRule(t, fixed(), rule+",fallback="+fallback).Properties().Types, "date")
	}
	require.Contains(t, newRule(t, fixed(), "email").Properties().Types, "citext")
}

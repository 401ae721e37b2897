package pgxstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// BenchmarkVault compares one call for 10,000 values with calls for one value each,
// on one table that grows: values that are new, values that have a token, and the
// way back. Rounds interleave both; it reports the median of the ratios of their
// rates, values per second of wall time.
func BenchmarkVault(b *testing.B) {
	const rounds, single, batch = 9, 500, 10_000
	ctx := b.Context()
	store := migratedVault(b, parse(b, pgtest.Database(b)), VaultConfig{})
	kr := keyringtest.NewKeyring(b)
	next := 0
	fresh := func(n int) [][]byte {
		values := make([][]byte, n)
		for i := range values {
			next++
			values[i] = fmt.Appendf(nil, "4111%012d", next)
		}
		return values
	}
	for range b.N {
		for _, convergent := range []bool{true, false} {
			v := newVault(b, kr, store, token.VaultConfig{Convergent: convergent})
			oneByOne := func(values [][]byte) (tokens []token.Token) {
				for _, value := range values {
					tok, err := v.Tokenize(ctx, value, "")
					require.NoError(b, err)
					tokens = append(tokens, tok)
				}
				return tokens
			}
			atOnce := func(values [][]byte) []token.Token {
				tokens, err := v.TokenizeAll(ctx, values, "")
				require.NoError(b, err)
				return tokens
			}
			var few, many []token.Token
			var fewValues, manyValues [][]byte
			cases := []struct {
				name          string
				single, batch func()
			}{
				{"new", func() { few = oneByOne(fewValues) }, func() { many = atOnce(manyValues) }},
				{"known", func() { oneByOne(fewValues) }, func() { atOnce(manyValues) }},
				{"detokenize", func() {
					for _, tok := range few {
						_, err := v.Detokenize(ctx, tok, "")
						require.NoError(b, err)
					}
				}, func() {
					_, err := v.DetokenizeAll(ctx, many, "")
					require.NoError(b, err)
				}},
			}
			if !convergent {
				cases = slices.Delete(cases, 1, 2)
			}
			singles, batches, ratios := make([][]float64, len(cases)), make([][]float64, len(cases)), make([][]float64, len(cases))
			for round := range rounds + 1 { // the first one warms up
				fewValues, manyValues = fresh(single), fresh(batch)
				for i, c := range cases {
					start := time.Now()
					c.single()
					one := single / time.Since(start).Seconds()
					start = time.Now()
					c.batch()
					all := batch / time.Since(start).Seconds()
					if round > 0 {
						singles[i], batches[i], ratios[i] = append(singles[i], one), append(batches[i], all), append(ratios[i], all/one)
					}
				}
			}
			kind := map[bool]string{true: "convergent", false: "random"}[convergent]
			for i, c := range cases {
				for _, all := range [][]float64{singles[i], batches[i], ratios[i]} {
					slices.Sort(all)
				}
				b.Logf("%-10s %-10s batch of %d: %.1f times the rate of single calls (%.1f to %.1f; goal 20 for new ones); %.0f and %.0f values/s",
					kind, c.name, batch, ratios[i][rounds/2], ratios[i][0], ratios[i][rounds-1], batches[i][rounds/2], singles[i][rounds/2])
				b.ReportMetric(ratios[i][rounds/2], strings.Join([]string{kind, c.name, "x"}, "_"))
			}
		}
	}
}

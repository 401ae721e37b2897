package plan

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/token"
)

// Report is what an index over values of a known distribution gives away.
type Report struct {
	Rows, Distinct int64
	TopShare       float64 // the commonest value's share of the rows
	MinEntropy     float64 // bits: -log2(TopShare), how hard one guess is
	Entropy        float64 // bits, Shannon's
	Lengths        []Length
	Advice         Advice

	top int64
}

// Length is what an index with so many bits gives away and costs.
type Length struct {
	Bits      int
	Recovered float64 // share of rows whose value rank matching finds
	FalseRows float64 // rows that a search fetches beside those that match
}

// lengths are those in a Report. 128 stands for all at which no two values share
// a tag.
var lengths = []int{128, 16, 12, 10, 8, 6}

// minRows is the fewest rows about which a Report says anything.
const minRows = 100

// Count normalizes values and counts how often each occurs. nil stands for
// token.Identity.
func Count(values iter.Seq[[]byte], n token.Normalizer) ([]int64, error) {
	if n == nil {
		n = token.Identity
	}
	numbers := make(map[string]int64)
	for v := range values {
		normal, err := n.Append(nil, v)
		if err != nil {
			return nil, err
		}
		numbers[string(normal)]++
	}
	counts := make([]int64, 0, len(numbers))
	for _, c := range numbers {
		counts = append(counts, c)
	}
	return counts, nil
}

// Measure reports on a column in which each value occurs as often as counts says,
// in any order. It needs 100 rows at least.
//
// The share that is recovered is the mean of simulations: the attacker knows how
// common each value is, the column is a draw of as many rows from that, and its
// tags are matched to values by rank. The simulation has a fixed seed: equal
// counts give equal reports.
func Measure(counts []int64) (Report, error) {
	sorted := slices.Clone(counts)
	slices.SortFunc(sorted, func(a, b int64) int { return cmp.Compare(b, a) })
	for len(sorted) > 0 && sorted[len(sorted)-1] == 0 {
		sorted = sorted[:len(sorted)-1]
	}
	r := Report{Distinct: int64(len(sorted))}
	for _, c := range sorted {
		if c < 0 || c > math.MaxInt64-r.Rows {
			return Report{}, errors.New("plan: a count is negative, or all together are too many")
		}
		r.Rows += c
	}
	if r.Rows < minRows {
		return Report{}, fmt.Errorf("plan: %d rows are too few to say anything, at least %d are needed", r.Rows, minRows)
	}
	r.top = sorted[0]
	r.TopShare = float64(r.top) / float64(r.Rows)
	r.MinEntropy = -math.Log2(r.TopShare)
	alike := 0.0 // the chance that two rows have equal values
	for _, c := range sorted {
		p := float64(c) / float64(r.Rows)
		r.Entropy -= p * math.Log2(p)
		alike += p * p
	}
	s := newSimulation(sorted)
	for _, bits := range lengths {
		r.Lengths = append(r.Lengths, Length{bits, s.recovered(bits), FalseRows(r.Rows, int64(alike*float64(r.Rows)), bits)})
	}
	r.Advice, _ = Plan(r.Rows, r.Distinct, r.TopShare)
	if r.Lengths[0].Recovered > maxRecovered {
		r.Advice.Recommended = UseCompound
	}
	return r, nil
}

const maxRecovered = 0.05

// Limits are what Check lets pass. Zero fields mean the defaults; a higher value
// forces an index that Plan would refuse.
type Limits struct {
	// TopShare is the greatest share of rows that one value may have, unless
	// these are 10 rows or fewer. Defaults to 0.01.
	TopShare float64

	// Recovered is the greatest share of rows whose value rank matching may
	// find in an index of 128 bits. Defaults to 0.05.
	Recovered float64
}

// Check returns ErrLowCardinality, with the figures, if the report is beyond the
// limits.
func (r Report) Check(l Limits) error {
	top, recovered := cmp.Or(l.TopShare, commonShare), cmp.Or(l.Recovered, maxRecovered)
	if r.TopShare > top && r.top > commonRows {
		return fmt.Errorf("plan: %w: the commonest has %.3g %% of the rows, the limit is %.3g %%", ErrLowCardinality, 100*r.TopShare, 100*top)
	}
	if r.Lengths[0].Recovered > recovered {
		return fmt.Errorf("plan: %w: rank matching finds %.3g %% of the rows, the limit is %.3g %%", ErrLowCardinality, 100*r.Lengths[0].Recovered, 100*recovered)
	}
	return nil
}

// String returns the report as a table of text. It holds no value.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d different values\n", r.Rows, r.Distinct)
	fmt.Fprintf(&b, "commonest value %.3g %% of the rows, min-entropy %.1f bits, entropy %.1f bits\n", 100*r.TopShare, r.MinEntropy, r.Entropy)
	fmt.Fprintf(&b, "%6s  %16s  %21s\n", "bits", "rows recovered", "false rows per search")
	for _, l := range r.Lengths {
		fmt.Fprintf(&b, "%6d  %14.1f %%  %21.1f\n", l.Bits, 100*l.Recovered, l.FalseRows)
	}
	fmt.Fprintln(&b, r.Advice)
	return b.String()
}

// simulation draws columns and matches them.
type simulation struct {
	expected []float64 // rows of each value, from the commonest on
	rounds   int
	rows     []float64 // of each value, as drawn
	tagOf    []int32   // of each value
	tags     []tag     // those that occur
	slots    []int32   // by tag, its place in tags
}

type tag struct {
	rows float64
	tie  uint32 // random: who sees equal numbers can only guess
	id   int32
}

// newSimulation takes more rounds where there are fewer values, whose ranks hang
// on chance.
func newSimulation(counts []int64) *simulation {
	s := &simulation{rounds: min(200, max(3, 1_000_000/len(counts))), rows: make([]float64, len(counts)), tagOf: make([]int32, len(counts))}
	for _, c := range counts {
		s.expected = append(s.expected, float64(c))
	}
	return s
}

// recovered returns the mean share of rows that are recovered.
func (s *simulation) recovered(bits int) float64 {
	rnd := rand.New(rand.NewPCG(1, uint64(bits)))
	sum := 0.0
	for range s.rounds {
		s.draw(rnd, bits)
		sum += s.match()
	}
	return sum / float64(s.rounds)
}

// draw fills the column.
func (s *simulation) draw(rnd *rand.Rand, bits int) {
	different := bits == lengths[0]
	n := len(s.expected)
	if !different {
		n = 1 << bits
	}
	s.slots = slices.Grow(s.slots[:0], n)[:n]
	for i := range s.slots {
		s.slots[i] = -1
	}
	s.tags = s.tags[:0]
	for v, expected := range s.expected {
		id := int32(v)
		if !different {
			id = rnd.Int32N(int32(n))
		}
		s.rows[v], s.tagOf[v] = poisson(rnd, expected), id
		if s.rows[v] == 0 {
			continue
		}
		if s.slots[id] < 0 {
			s.slots[id] = int32(len(s.tags))
			s.tags = append(s.tags, tag{0, rnd.Uint32(), id})
		}
		s.tags[s.slots[id]].rows += s.rows[v]
	}
}

// match takes the commonest tag for the commonest value, and so on, and returns
// the share of rows for which that is right.
func (s *simulation) match() float64 {
	slices.SortFunc(s.tags, func(a, b tag) int { return cmp.Or(cmp.Compare(b.rows, a.rows), cmp.Compare(a.tie, b.tie)) })
	all, found := 0.0, 0.0
	for v, rows := range s.rows {
		all += rows
		if v < len(s.tags) && s.tags[v].id == s.tagOf[v] {
			found += rows
		}
	}
	return found / max(1, all)
}

// poisson returns a draw of the distribution of that mean, for large ones of the
// normal distribution that comes close to it.
func poisson(rnd *rand.Rand, mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*rnd.NormFloat64()))
	}
	n, p := -1.0, 1.0
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= rnd.Float64()
	}
	return n
}

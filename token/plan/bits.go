package plan

import (
	"errors"
	"fmt"
	"math"
)

// Range is a range of tag lengths in bits, both ends included. The zero Range
// is empty.
type Range struct{ Min, Max int }

func (r Range) String() string {
	if r == (Range{}) {
		return "none"
	}
	return fmt.Sprintf("%d to %d bits", r.Min, r.Max)
}

// and returns what both have.
func (r Range) and(other Range) Range {
	both := Range{max(r.Min, other.Min), min(r.Max, other.Max)}
	if both.Min > both.Max || both.Min == 0 {
		return Range{}
	}
	return both
}

// Existing is another index on the same column: together they tell more.
type Existing struct {
	Bits   int     // of its tags
	Domain float64 // bits of its values: log2 of how many there can be; 0 if they are without limit
}

// CipherSweet returns the lengths that CipherSweet's planner recommends for an
// index on a column of so many rows, whose values have domain bits (log2 of how
// many there can be; 0 if they are without limit), beside existing indexes. It
// fails for less than 16 rows, and if the existing indexes leave no length safe.
func CipherSweet(rows int64, domain float64, existing ...Existing) (Range, error) {
	if rows < 16 {
		return Range{}, errors.New("plan: less than 16 rows are too few for any index by CipherSweet's rule")
	}
	known := 0.0
	for _, e := range existing {
		known += limited(e.Bits, e.Domain)
	}
	// How many rows share what a reader sees of one of them.
	coincidences := func(bits int) float64 { return float64(rows) * math.Exp2(-known-limited(bits, domain)) }
	const longest = 256
	boundary := max(2, coincidences(longest+1))
	r := Range{Min: 1}
	for bits := longest; bits >= 1 && r.Max == 0; bits-- {
		if coincidences(bits) > boundary {
			r.Max = bits + 1
		}
	}
	if r.Max == 0 {
		return Range{}, errors.New("plan: there is no safe upper bound by CipherSweet's rule: the existing indexes tell too much already")
	}
	for bits := 1; bits <= longest; bits++ {
		if c := coincidences(bits); c >= 2 && c <= math.Sqrt(float64(rows)) {
			r.Min = bits
			break
		}
	}
	r.Min = min(r.Min, r.Max)
	return r, nil
}

func limited(bits int, domain float64) float64 {
	if domain > 0 {
		return min(float64(bits), domain)
	}
	return float64(bits)
}

// AWS returns the lengths N with 2^N > sqrt(distinct) and 2^N < distinct/2, the
// rule of the AWS Database Encryption SDK for beacons. It fails if there is none:
// for fewer than 9 different values, and for 16.
func AWS(distinct int64) (Range, error) {
	x := float64(distinct)
	var r Range
	for bits := 1; bits < 63; bits++ {
		if n := math.Exp2(float64(bits)); n > math.Sqrt(x) && n < x/2 {
			if r.Min == 0 {
				r.Min = bits
			}
			r.Max = bits
		}
	}
	if r.Min == 0 {
		return r, fmt.Errorf("plan: %d different values are too few for any index by AWS's rule", distinct)
	}
	return r, nil
}

// ValuesPerTag returns how many different values share a tag of so many bits on
// average.
func ValuesPerTag(distinct int64, bits int) float64 {
	return float64(distinct) * math.Exp2(-float64(bits))
}

// FalseRows returns how many rows a search fetches on average beside those that
// match.
func FalseRows(rows, matches int64, bits int) float64 {
	return float64(rows-matches) * math.Exp2(-float64(bits))
}

// ErrLowCardinality says that an index would give values away, because some of
// them are common. Whoever wants it nevertheless has to say so: by a higher limit
// in Limits, by ignoring this error of Plan.
var ErrLowCardinality = errors.New("the values are too common for an index of their own")

// What is common: more than commonShare of the rows, and more rows than
// commonRows, for in a small table shares say little.
const (
	commonShare = 0.01
	commonRows  = 10
)

// Advice is what Plan says.
type Advice struct {
	// Recommended is Exact with 128 bits, or Compound.
	Recommended Recommendation

	// CipherSweet, AWS and Both are the lengths for who wants fewer than 128
	// bits for privacy, by either rule and by both. Each is zero if there is
	// none; if only Both is, the rules disagree.
	CipherSweet, AWS, Both Range
}

// Recommendation is what to build.
type Recommendation string

// The recommendations.
const (
	// UseExact: an index of kind Exact with 128 bits tells next to nothing.
	UseExact Recommendation = "exact"
	// UseCompound: no index on this column alone.
	UseCompound Recommendation = "compound or none"
)

// String says it in a sentence.
func (a Advice) String() string {
	s := fmt.Sprintf("index: %s; with fewer bits for privacy: %v by rows (CipherSweet), %v by different values (AWS)", a.Recommended, a.CipherSweet, a.AWS)
	if a.Both == (Range{}) {
		return s + ", no length by both"
	}
	return s + fmt.Sprintf(", %v by both", a.Both)
}

// Plan advises on an index for a column of so many rows, so many different
// values and the given share of the commonest value, 0 to 1. It returns the
// advice together with ErrLowCardinality if that value has more than a hundredth
// of the rows (and more than 10 of them).
func Plan(rows, distinct int64, topShare float64) (Advice, error) {
	switch {
	case rows < 1 || distinct < 1 || distinct > rows:
		return Advice{}, fmt.Errorf("plan: %d rows can not have %d different values", rows, distinct)
	case !(topShare*float64(distinct) > 0.999 && topShare <= 1): // not a number, too
		return Advice{}, fmt.Errorf("plan: the commonest of %d values can not have a share of %g", distinct, topShare)
	}
	a := Advice{Recommended: UseExact}
	a.CipherSweet, _ = CipherSweet(rows, math.Log2(float64(distinct)))
	a.AWS, _ = AWS(distinct)
	a.Both = a.CipherSweet.and(a.AWS)
	if topShare > commonShare && topShare*float64(rows) > commonRows {
		a.Recommended = UseCompound
		return a, fmt.Errorf("plan: %w: the commonest has %.3g %% of the rows", ErrLowCardinality, 100*topShare)
	}
	return a, nil
}

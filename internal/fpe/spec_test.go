package fpe_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/token/ff1"
)

// part is a random element of a notation, as SPEC.md describes it.
type part struct {
	notation string
	kept     bool     // of a class or a literal
	classes  []string // the parts of a class, or a literal
	count    int      // of characters in the value, which a variable count allows
	numbers  []string // of a number, in order
	luhn     bool
}

type random struct{ *rand.Rand }

func escape(s string) string {
	return regexp.MustCompile(`[\[\](){}<>|!\\-]`).ReplaceAllString(s, `\$0`)
}

// class returns one to three disjoint parts of an alphabet.
func (r random) class(alphabet string) part {
	characters := []byte(alphabet)
	r.Shuffle(len(characters), func(i, j int) { characters[i], characters[j] = characters[j], characters[i] })
	var p part
	n := 1 + r.IntN(3)
	size := 2 + r.IntN(len(characters)/n-1)
	var escaped []string
	for i := range n {
		s := string(characters[i*size : (i+1)*size])
		p.classes, escaped = append(p.classes, s), append(escaped, escape(s))
	}
	p.notation = "[" + strings.Join(escaped, "|") + "]"
	return p
}

func (r random) number() part {
	width := 1 + r.IntN(4)
	most := int(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(width)), nil).Int64()) - 1
	lo := r.IntN(most)
	hi := lo + 1 + r.IntN(most-lo)
	p := part{notation: fmt.Sprintf("(%0*d-%0*d", width, lo, width, hi)}
	for x := lo; x <= hi; x++ {
		text := fmt.Sprintf("%0*d", width, x)
		if x > lo && x < hi && r.IntN(max(4, hi-lo)) < 2 {
			p.notation += "!" + text
		} else {
			p.numbers = append(p.numbers, text)
		}
	}
	p.notation += ")"
	return p
}

// parts returns a random notation, with one variable count at most, and how many
// values it has at least.
func (r random) parts(alphabet string) (all []part, least *big.Int) {
	least = big.NewInt(1)
	n := 1 + r.IntN(7)
	variable := r.IntN(n)
	for i := range n {
		var p part
		switch r.IntN(5) {
		case 0:
			c := string(alphabet[r.IntN(len(alphabet))])
			p = part{notation: escape(c), kept: true, classes: []string{c}, count: 1}
		case 1:
			p = r.number()
			least.Mul(least, big.NewInt(int64(len(p.numbers))))
		case 2:
			p = r.class(alphabet)
			p.kept, p.count = true, 1+r.IntN(3)
			p.notation = fmt.Sprintf("<%s{%d}>", p.notation, p.count)
		default:
			p = r.class(alphabet)
			shortest := 1 + r.IntN(6)
			least.Mul(least, new(big.Int).Exp(big.NewInt(int64(len(p.classes[0]))), big.NewInt(int64(shortest)), nil))
			p.count = shortest
			if i == variable {
				p.notation += fmt.Sprintf("{%d-%d}", shortest, shortest+3)
				p.count += r.IntN(4)
			} else {
				p.notation += fmt.Sprintf("{%d}", shortest)
			}
		}
		all = append(all, p)
	}
	if alphabet == "0123456789" && r.IntN(2) == 0 {
		all = slices.Insert(all, r.IntN(n+1), part{notation: "(luhn)", luhn: true})
	}
	return all, least
}

// value is a value on its way: text with a zero byte for the digit of Luhn, and what the
// section on numerals and tweak says of it. shape says where each numeral goes.
type value struct {
	text, tweak []byte
	numerals    []int
	shape       [][]string // the texts that each numeral stands for
	at          []int      // where in text
}

func (r random) value(all []part) (v value) {
	add := func(texts []string, mark byte) {
		i := r.IntN(len(texts))
		v.numerals, v.shape, v.at = append(v.numerals, i), append(v.shape, texts), append(v.at, len(v.text))
		v.text = append(v.text, texts[i]...)
		for range texts[i] {
			v.tweak = append(v.tweak, mark)
		}
	}
	for _, p := range all {
		switch {
		case p.luhn:
			v.text, v.tweak = append(v.text, 0), append(v.tweak, 0)
		case p.numbers != nil:
			add(p.numbers, 0)
		case p.kept:
			set := strings.Join(p.classes, "")
			for range p.count {
				c := set[r.IntN(len(set))]
				v.text, v.tweak = append(v.text, c), append(v.tweak, c)
			}
		default:
			for range p.count {
				i := r.IntN(len(p.classes))
				mark := byte(0)
				if len(p.classes) > 1 {
					mark = byte(i + 1)
				}
				add(strings.Split(p.classes[i], ""), mark)
			}
		}
	}
	return v
}

// string returns the value with other numerals, and the right digit of Luhn.
func (v value) string(numerals []int) string {
	text := slices.Clone(v.text)
	for i, x := range numerals {
		copy(text[v.at[i]:], v.shape[i][x])
	}
	s := string(text)
	for d := 0; strings.Contains(string(text), "\x00") && (strings.Contains(s, "\x00") || !luhn(s)); d++ {
		s = strings.Replace(string(text), "\x00", fmt.Sprint(d), 1)
	}
	return s
}

// token does the section on the permutation.
func (v value) token(t *testing.T) string {
	out := make([]int, len(v.numerals))
	first := len(v.shape[0])
	if !slices.ContainsFunc(v.shape, func(texts []string) bool { return len(texts) != first }) {
		c, err := ff1.New(testKeys("test").FF1, first)
		require.NoError(t, err)
		x := make([]uint16, len(out))
		for i, n := range v.numerals {
			x[i] = uint16(n)
		}
		x, err = c.Encrypt(nil, x, v.tweak)
		require.NoError(t, err)
		for i := range x {
			out[i] = int(x[i])
		}
		return v.string(out)
	}
	n, x := big.NewInt(1), new(big.Int)
	for i, numeral := range v.numerals {
		radix := big.NewInt(int64(len(v.shape[i])))
		n.Mul(n, radix)
		x.Add(x.Mul(x, radix), big.NewInt(int64(numeral)))
	}
	x, _ = reference(t, n, x, v.tweak)
	numeral := new(big.Int)
	for i := len(out) - 1; i >= 0; i-- {
		x.DivMod(x, big.NewInt(int64(len(v.shape[i]))), numeral)
		out[i] = int(numeral.Int64())
	}
	return v.string(out)
}

// TestSpec compares values of random formats with SPEC.md, section 10, done word
// by word: which formats have too few values, and what the token is.
func TestSpec(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4))}
	formats, small, values := 0, 0, 0
	for formats < 1500 {
		alphabet := []string{"0123456789", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", " !\"#$%&'()*+,-./01:;<=>?@AB[\\]^_`ab{|}~"}[r.IntN(3)]
		all, least := r.parts(alphabet)
		var notation string
		for _, p := range all {
			notation += p.notation
		}
		f, err := fpe.Parse(notation)
		if least.Cmp(big.NewInt(1)) == 0 {
			require.Error(t, err, notation)
			continue
		}
		require.NoError(t, err, notation)
		c, err := fpe.New(f, fpe.Options{}, testKeys("test"))
		if least.Cmp(big.NewInt(1_000_000)) < 0 {
			require.ErrorIs(t, err, ff1.ErrDomain, notation)
			small++
			continue
		}
		require.NoError(t, err, notation)
		formats++
		for range 3 {
			v := r.value(all)
			text, want := v.string(v.numerals), v.token(t)
			require.Equal(t, want, crypt(t, c, text, false), "%s %q", notation, text)
			require.Equal(t, text, crypt(t, c, want, true), "%s %q", notation, text)
			require.Regexp(t, f.Regexp(), want)
			values++
		}
	}
	t.Logf("%d values of %d formats are equal both ways, %d formats have too few values", values, formats, small)
}

package mask

import (
	"fmt"
	"strconv"
)

var numberTypes = []string{"int2", "int4", "int8", "numeric", "float4", "float8"}

// maxDigits is how many digits a decimal may have, so that twice its amount is an
// int64.
const maxDigits = 18

// decimal is a number: units * 10^-scale.
type decimal struct {
	units int64
	scale int
}

// parseDecimal reads digits with an optional - and an optional fraction. Exponents,
// NaN and infinity are none.
func parseDecimal(v []byte) (d decimal, ok bool) {
	negative := v[0] == '-'
	if negative {
		v = v[1:]
	}
	digits, point := 0, false
	for i, c := range v {
		switch {
		case c == '.' && !point && i > 0 && i < len(v)-1:
			point = true
		case isDigit(c) && digits < maxDigits:
			d.units = 10*d.units + int64(c-'0')
			digits++
			if point {
				d.scale++
			}
		default:
			return d, false
		}
	}
	if negative {
		d.units = -d.units
	}
	return d, digits > 0
}

func (d decimal) append(dst []byte) []byte {
	u := d.units
	if u < 0 {
		dst, u = append(dst, '-'), -u
	}
	var room [maxDigits + 4]byte
	i := len(room)
	for n := 0; u > 0 || n <= d.scale; n++ {
		if n == d.scale && n > 0 {
			i--
			room[i] = '.'
		}
		i--
		room[i] = '0' + byte(u%10)
		u /= 10
	}
	return append(dst, room[i:]...)
}

// one returns 10^scale, which is the number 1.
func (d decimal) one() int64 {
	n := int64(1)
	for range d.scale {
		n *= 10
	}
	return n
}

// buildNoise adds an amount that depends on the value, so that many queries do not
// average it out.
func buildNoise(b *builder) {
	percent := b.number("percent", 10, 1, 100)
	f := b.prf(fmt.Sprintf("noise/1/%d", percent))
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		d, ok := parseDecimal(src)
		if !ok {
			return nil, false
		}
		u := max(d.units, -d.units)
		most := max(1, u/100*percent+u%100*percent/100)
		s := f.Start(src)
		delta := int64(s.Below(uint64(2*most))) - most // -most .. most-1
		s.End()
		if delta >= 0 {
			delta++
		}
		switch {
		case u == 0:
			delta = 1
		case u+delta == 0:
			delta = most // what is not 0 stays so
		}
		if d.units < 0 {
			delta = -delta
		}
		d.units += delta
		return d.append(dst), true
	}
	p := &b.rule.props
	p.Domain, p.Types, p.Alphabet, p.MaxLen = "decimal numbers of at most 18 digits without an exponent", numberTypes, "[0-9.-]", maxDigits+3
	p.Visible = []string{fmt.Sprintf("the value to within %d percent or one of its last decimal, its sign and its number of decimals", percent), equality}
}

// buildBucket rounds down to a multiple of size.
func buildBucket(b *builder) {
	buildRounded(b, "size", "the bucket", func(u, size int64) int64 {
		r := u % size
		if r < 0 {
			r += size
		}
		return u - r
	})
}

// buildRound rounds to the nearest multiple, halves away from zero.
func buildRound(b *builder) {
	buildRounded(b, "to", "the rounded value", func(u, size int64) int64 {
		r := u % size
		switch {
		case r >= 0 && size-r <= r:
			return u - r + size
		case r < 0 && size+r <= -r:
			return u - r - size
		}
		return u - r
	})
	if to := b.number("to", 1, 2, 1e15); to%2 == 0 {
		b.rule.props.Hidden = bitsOf(float64(to - 1)) // around 0, from where both halves go away
	}
}

func buildRounded(b *builder, param, visible string, round func(u, size int64) int64) {
	size := b.number(param, 0, 2, 1e15)
	if size == 0 {
		b.fail(param, "is missing", "the width of a class, 2 or more")
		return
	}
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		d, ok := parseDecimal(src)
		if !ok || size > (1<<62)/d.one() {
			return nil, false
		}
		d.units = round(d.units, size*d.one()) / d.one()
		d.scale = 0
		return d.append(dst), true
	}
	p := &b.rule.props
	p.Domain, p.Types, p.Alphabet, p.MaxLen = "decimal numbers of at most 18 digits without an exponent", numberTypes, "[0-9-]", maxDigits+2
	p.Hidden = bitsOf(float64(size))
	p.Visible = []string{visible}
}

// buildAge keeps ages below top, which are the few that stand for nobody alone.
func buildAge(b *builder) {
	top := b.number("top", 90, 1, 150)
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		d, ok := parseDecimal(src)
		if !ok || d.scale != 0 || src[0] == '-' || d.units > 150 {
			return nil, false
		}
		return strconv.AppendInt(dst, min(d.units, top), 10), true
	}
	p := &b.rule.props
	p.Domain, p.Types, p.Alphabet, p.MaxLen = "whole years from 0 to 150", numberTypes, "[0-9]", 3
	p.Visible = []string{fmt.Sprintf("ages below %d as they are, and that one is %d or more", top, top)}
}

func buildInt(b *builder) {
	lo, hi := b.number("lo", 1, -1<<63, 1<<63-1), b.number("hi", 1<<31-1, -1<<63, 1<<63-1)
	if b.err == nil {
		buildRange(b, fmt.Sprintf("int:%d..%d", lo, hi))
	}
	p := &b.rule.props
	p.Domain, p.Alphabet, p.SameLength = fmt.Sprintf("integers from %d to %d", lo, hi), "[0-9-]", false
	p.MaxLen = max(len(strconv.FormatInt(lo, 10)), len(strconv.FormatInt(hi, 10)))
	p.Types = []string{"int8", "numeric", "text", "varchar"}
	if lo >= -1<<31 && hi < 1<<31 {
		p.Types = append([]string{"int4"}, p.Types...)
	}
	if lo >= -1<<15 && hi < 1<<15 {
		p.Types = append([]string{"int2"}, p.Types...)
	}
}

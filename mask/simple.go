package mask

import (
	"bytes"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/sealfield/sealfield/internal/dict"
	"github.com/sealfield/sealfield/internal/prf"
)

const (
	anyText  = "all values"
	equality = "which values are equal, and so how often each occurs"
)

var unbounded = math.Inf(1)

// bitsOf returns n as a power of two.
func bitsOf(n float64) float64 { return math.Log2(n) }

// definitions returns all rules by name.
func definitions() map[string]definition {
	return map[string]definition{
		"redact":      {build: buildRedact},
		"partial":     {params: "first last", build: buildPartial},
		"pan-display": {build: buildPANDisplay},
		"constant":    {params: "value", build: buildConstant},
		"null":        {build: buildNull},

		"json":   {params: "else domain", inner: true, fallback: "null", build: buildJSON},
		"array":  {inner: true, fallback: "null", build: buildArray},
		"hstore": {params: "else domain", inner: true, fallback: "null", build: buildHstore},
		"text":   {params: "email phone pan ssn iban ip at cc", build: buildText},

		"shape": {keyed: true, build: buildShape},
		"token": {params: "len prefix", keyed: true, build: buildToken},
		"hash":  {params: "len", keyed: true, build: buildHash},

		"email":  {params: "at to case", keyed: true, fallback: "shape", build: buildEmail},
		"phone":  {params: "cc", keyed: true, fallback: "shape", build: buildPhone},
		"pan":    {params: "keep", keyed: true, fallback: "shape", build: buildPAN},
		"ssn":    {keyed: true, fallback: "shape", build: buildSSN},
		"nino":   {keyed: true, fallback: "shape", build: buildNINO},
		"iban":   {keyed: true, fallback: "shape", build: buildIBAN},
		"format": {params: "as separators small", keyed: true, fallback: "shape", build: buildFormat},

		"given":    {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{g}" }, true)},
		"surname":  {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{f}" }, true)},
		"name":     {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(l *dict.Locale) string { return l.NameTemplate }, true)},
		"street":   {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(l *dict.Locale) string { return l.StreetTemplate }, false)},
		"city":     {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{c}" }, false)},
		"region":   {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{r}" }, false)},
		"postcode": {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{p}" }, false)},
		"country":  {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(*dict.Locale) string { return "{y}" }, false)},
		"address":  {params: "by locale", keyed: true, domain: "person", build: buildPerson(func(l *dict.Locale) string { return l.AddressTemplate }, false)},

		"uuid": {keyed: true, fallback: "null", build: buildUUID},
		"ip":   {params: "keep keep6", keyed: true, fallback: "null", build: buildIP},
		"mac":  {keyed: true, fallback: "null", build: buildMAC},
		"int":  {params: "lo hi", keyed: true, fallback: "null", build: buildInt},

		"date":       {params: "days weeks", keyed: true, fallback: "null", build: buildDate},
		"date-round": {params: "to", fallback: "null", build: buildDateRound},
		"noise":      {params: "percent", keyed: true, fallback: "null", build: buildNoise},
		"bucket":     {params: "size", fallback: "null", build: buildBucket},
		"round":      {params: "to", fallback: "null", build: buildRound},
		"age":        {params: "top", fallback: "null", build: buildAge},
	}
}

func buildConstant(b *builder) {
	value, ok := b.spec.params["value"]
	if !ok {
		b.fail("", "constant has no value", "write constant,value=...")
	}
	b.rule.mask = func(dst, _ []byte, _ *Row) ([]byte, bool) { return append(empty(dst), value...), true }
	p := &b.rule.props
	p.Domain, p.Hidden, p.MaxLen = anyText, unbounded, max(1, utf8.RuneCountInString(value))
	p.Types = []string{"any"} // as long as the value is of the type
}

func buildNull(b *builder) {
	b.rule.mask = func([]byte, []byte, *Row) ([]byte, bool) { return nil, true }
	p := &b.rule.props
	p.Domain, p.Hidden, p.Nullable, p.Types = anyText, unbounded, true, []string{"any"}
}

// prf returns the function of the rule's domain for that primitive.
func (b *builder) prf(primitive string) *prf.PRF {
	key, err := b.m.keys.derive(b.domain(), primitive, prf.KeySize)
	var p *prf.PRF
	if err == nil {
		p, err = prf.New(key)
	}
	if err != nil {
		b.fail("", err.Error(), "")
	}
	clear(key)
	return p
}

const (
	base32 = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's, in lower case
	hex16  = "0123456789abcdef"
)

// appendDigits appends n digits of an alphabet of at most 32 characters, whose
// length is a power of two: of 16 bits for each, the last ones.
func appendDigits(dst []byte, s *prf.Stream, alphabet string, n int) []byte {
	for n > 0 {
		drawn := s.Next(2 * n)
		for i := 1; i < len(drawn); i += 2 {
			dst = append(dst, alphabet[int(drawn[i])&(len(alphabet)-1)])
		}
		n -= len(drawn) / 2
	}
	return dst
}

func buildToken(b *builder) {
	n := int(b.number("len", 16, 4, 64))
	prefix := b.text("prefix", "")
	b.rule.mask = digitsEngine(b.prf("token/1"), base32, prefix, n)
	p := &b.rule.props
	p.Domain, p.Hidden, p.MaxLen, p.results, p.Types = anyText, unbounded, utf8.RuneCountInString(prefix)+n, min(128, 5*float64(n)), textTypes
	if prefix == "" {
		p.Alphabet = "[0-9a-hjkmnp-tv-z]"
	}
	p.Visible = []string{equality}
}

func buildHash(b *builder) {
	n := int(b.number("len", 32, 8, 64))
	b.rule.mask = digitsEngine(b.prf("hash/1"), hex16, "", n)
	p := &b.rule.props
	p.Domain, p.Hidden, p.MaxLen, p.results, p.Types = anyText, unbounded, n, min(128, 4*float64(n)), textTypes
	p.Alphabet = "[0-9a-f]"
	p.Visible = []string{equality}
}

func digitsEngine(f *prf.PRF, alphabet, prefix string, n int) engine {
	return func(dst, src []byte, _ *Row) ([]byte, bool) {
		s := f.Start(src)
		dst = appendDigits(append(dst, prefix...), s, alphabet, n)
		s.End()
		return dst, true
	}
}

func buildShape(b *builder) {
	b.rule.mask = b.shape()
	p := &b.rule.props
	p.Domain, p.SameLength, p.Types = anyText, true, textTypes
	p.Visible = []string{"the number of characters", "which are digits, small and capital letters, and where spaces, ASCII punctuation and control characters are", equality}
}

// shape returns the engine of the rule shape, which is also a fallback. Without keys
// it draws the first letter and digit everywhere.
func (b *builder) shape() engine {
	if b.m.keys == nil {
		return func(dst, src []byte, _ *Row) ([]byte, bool) { return appendShape(dst, src, nil), true }
	}
	f := b.prf("shape/1")
	return func(dst, src []byte, _ *Row) ([]byte, bool) {
		s := f.Start(src)
		dst = appendShape(dst, src, s)
		s.End()
		return dst, true
	}
}

// appendShape draws a character of the same kind for each: a digit for digits, a
// letter of ASCII for all that is not ASCII. Spaces, ASCII punctuation and control
// characters stay, unless there is nothing else. The result is never src.
func appendShape(dst, src []byte, s *prf.Stream) []byte {
	start, drawn := len(dst), -1
	for rest := src; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		base, n := kindOf(r)
		if n == 0 {
			dst = append(dst, byte(r))
			continue
		}
		if drawn < 0 {
			drawn = len(dst)
		}
		x := 0
		if s != nil {
			x = int(s.Uint16()) * n >> 16
		}
		dst = append(dst, base+byte(x))
	}
	out := dst[start:]
	switch {
	case drawn < 0:
		for i := range out {
			out[i] = 'x'
		}
	case bytes.Equal(out, src):
		base, n := kindOf(rune(dst[drawn]))
		dst[drawn] = base + byte((int(dst[drawn]-base)+1)%n)
	}
	return dst
}

// kindOf returns the first of the n characters among which r is drawn; n is 0 for
// one that stays.
func kindOf(r rune) (first byte, n int) {
	switch {
	case r < utf8.RuneSelf && isDigit(byte(r)), r >= utf8.RuneSelf && unicode.IsDigit(r):
		return '0', 10
	case r < utf8.RuneSelf && 'a' <= r && r <= 'z', r >= utf8.RuneSelf && !unicode.IsUpper(r):
		return 'a', 26
	case r < utf8.RuneSelf && 'A' <= r && r <= 'Z', r >= utf8.RuneSelf:
		return 'A', 26
	}
	return 0, 0
}

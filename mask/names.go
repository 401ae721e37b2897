package mask

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/sealfield/sealfield/internal/dict"
	"github.com/sealfield/sealfield/internal/prf"
)

// person is what a value or a subject draws: indexes into the lists of a locale, in
// this order, and the rest of the stream for a postcode.
type person struct {
	locale               *dict.Locale
	draws                *prf.Stream
	given, surname       int
	place, street, house int
}

// draw draws a person, of whom only the names are set if no more is wanted.
func (p *person) draw(names bool) {
	l := p.locale
	p.given = pick(p.draws, len(l.Given))
	p.surname = pick(p.draws, len(l.Surnames))
	if names {
		return
	}
	p.place = pick(p.draws, len(l.Places))
	p.street = pick(p.draws, len(l.Streets))
	p.house = 1 + pick(p.draws, maxHouse)
}

const maxHouse = 199

// pick draws a number below n, as 32 bits times n divided by 2^32.
func pick(s *prf.Stream, n int) int { return int(uint64(s.Uint32()) * uint64(n) >> 32) }

// append appends a template of the locale.
func (p *person) append(dst []byte, template string) []byte {
	l := p.locale
	for template != "" {
		if template[0] != '{' {
			dst, template = append(dst, template[0]), template[1:]
			continue
		}
		switch template[1] {
		case 'g':
			dst = append(dst, l.Given[p.given]...)
		case 'f':
			dst = append(dst, l.Surnames[p.surname]...)
		case 's':
			dst = append(dst, l.Streets[p.street]...)
		case 'n':
			dst = appendNumber(dst, uint32(p.house))
		case 't':
			dst = p.append(dst, l.StreetTemplate)
		case 'c':
			dst = append(dst, l.Places[p.place].City...)
		case 'r':
			dst = append(dst, l.Places[p.place].Region...)
		case 'y':
			dst = append(dst, l.Places[p.place].Country...)
		case 'p':
			dst = p.appendPostcode(dst)
		}
		template = template[3:]
	}
	return dst
}

func appendNumber(dst []byte, n uint32) []byte {
	if n >= 10 {
		dst = appendNumber(dst, n/10)
	}
	return append(dst, '0'+byte(n%10))
}

func (p *person) appendPostcode(dst []byte) []byte {
	const letters = "ABDEFGHJLNPQRSTUWXYZ"
	for _, c := range []byte(p.locale.Places[p.place].Postcode) {
		switch c {
		case '#':
			c = '0' + byte(int(p.draws.Uint16())*10>>16)
		case '@':
			c = letters[int(p.draws.Uint16())*len(letters)>>16]
		}
		dst = append(dst, c)
	}
	return dst
}

// buildPerson returns how a rule is built that writes the template of a locale.
func buildPerson(template func(*dict.Locale) string, isName bool) func(*builder) {
	return func(b *builder) {
		words, locales := []string{"value", "subject"}, append([]string{"auto"}, dict.Names()...)
		if !isName {
			// What belongs together has to be of one locale, and most
			// postcodes have no script.
			words, locales = []string{"subject", "value"}, dict.Names()
		}
		bySubject := b.choice("by", words...) == "subject"
		locale := b.choice("locale", locales...)
		f := b.prf("names/" + dict.Version)
		usual := dict.Get(latin) // the others are looked up
		if locale != "auto" {
			usual = dict.Get(locale)
		}
		key := func(src []byte, row *Row) []byte {
			if bySubject {
				return row.Subject
			}
			return src
		}
		b.draws(f, key, func(dst, src []byte, s *prf.Stream) ([]byte, bool) {
			l := usual
			if locale == "auto" {
				if name := dict.ScriptOf(src); name != latin {
					l = dict.Get(name)
				}
			}
			p := person{locale: l, draws: s}
			p.draw(isName)
			n, t := len(dst), template(l)
			if isName && len(t) > 3 && bytes.Contains(src, []byte(", ")) {
				t = commaName
			}
			dst = p.append(dst, t)
			if isCapitals(src) {
				dst = toUpper(dst, n)
			}
			return dst, true
		})
		p := &b.rule.props
		p.Domain, p.Hidden, p.Types = anyText, unbounded, textTypes
		p.Deterministic, p.Subject = !bySubject, bySubject
		p.Visible = []string{"whether it is in capitals"}
		if isName {
			p.Visible = append(p.Visible, "whether there is a comma in it")
		}
		if locale == "auto" {
			p.Visible = append(p.Visible, "the script")
			locales = locales[1:]
		} else {
			locales = []string{locale}
		}
		if bySubject {
			p.Visible = append(p.Visible, "which rows are of one subject")
		} else {
			p.Visible = append(p.Visible, equality)
		}
		p.results = unbounded
		for _, name := range locales {
			l := dict.Get(name)
			longest, results := extent(l, template(l))
			if isName && len(template(l)) > 3 {
				comma, _ := extent(l, commaName)
				longest = max(longest, comma)
			}
			p.MaxLen, p.results = max(p.MaxLen, longest), min(p.results, bitsOf(results))
		}
	}
}

const (
	commaName = "{f}, {g}"
	latin     = "en" // the locale of texts in Latin script
)

// extent returns the longest text of a template, in characters, and how many there
// are that are equally likely, places aside: some share a name.
func extent(l *dict.Locale, template string) (longest int, results float64) {
	results = 1
	of := func(list []string) {
		n := 0
		for _, s := range list {
			n = max(n, utf8.RuneCountInString(s))
		}
		longest += n
	}
	places := func(part func(dict.Place) string) {
		var list []string
		for _, p := range l.Places {
			list = append(list, part(p))
		}
		of(list)
	}
	for template != "" {
		if template[0] != '{' {
			_, size := utf8.DecodeRuneInString(template)
			longest, template = longest+1, template[size:]
			continue
		}
		switch template[1] {
		case 'g':
			of(l.Given)
			results *= float64(len(l.Given))
		case 'f':
			of(l.Surnames)
			results *= float64(len(l.Surnames))
		case 's':
			of(l.Streets)
			results *= float64(len(l.Streets))
		case 'n':
			longest += 3
			results *= maxHouse
		case 't':
			n, r := extent(l, l.StreetTemplate)
			longest, results = longest+n, results*r
		case 'c', 'r', 'p', 'y':
			places(func(p dict.Place) string {
				return map[byte]string{'c': p.City, 'r': p.Region, 'p': p.Postcode, 'y': p.Country}[template[1]]
			})
		}
		template = template[3:]
	}
	return longest, results
}

// isCapitals reports whether v has two or more capitals and no small letter.
func isCapitals(v []byte) bool {
	n := 0
	for len(v) > 0 {
		r, size := utf8.DecodeRune(v)
		v = v[size:]
		switch {
		case unicode.IsLower(r):
			return false
		case unicode.IsUpper(r):
			n++
		}
	}
	return n >= 2
}

// toUpper changes dst from n on.
func toUpper(dst []byte, n int) []byte {
	var room [maxUpper]byte
	v := append(room[:0], dst[n:]...)
	dst = dst[:n]
	for len(v) > 0 {
		r, size := utf8.DecodeRune(v)
		v = v[size:]
		dst = utf8.AppendRune(dst, unicode.ToUpper(r))
	}
	return dst
}

const maxUpper = 256 // bytes of an address, more is allocated

package mask

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// SpecError says what is wrong with the text of a rule, a tag or a policy. It holds
// no value of a database.
type SpecError struct {
	Line       int    // of a policy, from 1 on; else 0
	Field      string // where: tables.customers.columns.email
	Reason     string
	Suggestion string // what may have been meant, or empty
}

func (e *SpecError) Error() string {
	var b strings.Builder
	b.WriteString("mask: ")
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Reason)
	if e.Suggestion != "" {
		b.WriteString("; " + e.Suggestion)
	}
	return b.String()
}

// spec is a rule as it is written: in a tag, or in a policy.
type spec struct {
	name   string
	params map[string]string
	of     *spec      // of an array
	paths  []pathSpec // of json and hstore, in order

	field string // where it stands
	line  int
	lines map[string]int // of params, if they have lines of their own
}

type pathSpec struct {
	path string
	rule *spec
}

func (s *spec) fail(param, reason, suggestion string) *SpecError {
	e := &SpecError{s.line, s.field, reason, suggestion}
	if line, ok := s.lines[param]; ok {
		e.Line = line
	}
	if param != "" {
		e.Field = strings.TrimPrefix(e.Field+"."+param, ".")
	}
	return e
}

// parseSpec reads "name,param=value,...". No value holds a comma.
func parseSpec(text string, line int, field string) (*spec, *SpecError) {
	words := strings.Split(text, ",")
	s := &spec{name: words[0], params: map[string]string{}, line: line, field: field}
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, s.fail("", fmt.Sprintf("%q is no parameter", word), "parameters are written name=value, without spaces")
		}
		if _, twice := s.params[key]; twice {
			return nil, s.fail(key, "is there twice", "")
		}
		s.params[key] = value
	}
	return s, nil
}

// definition is a kind of rule.
type definition struct {
	params   string // beside domain and fallback, separated by spaces
	keyed    bool   // has a domain
	domain   string // the default, if it is not the rule's name
	fallback string // the default, or empty if all values can be parsed
	inner    bool   // may have of= or paths
	build    func(b *builder)
}

// builder makes one rule.
type builder struct {
	m    *Masker
	def  definition
	spec *spec
	rule *Rule
	err  *SpecError

	inners []*Rule // compiled so far
}

// Rule returns the rule that the text describes: a name and parameters,
// "email,domain=customer.email". An error is a *SpecError. Values with rules inside
// are described by a JSON object instead, as in a policy:
//
//	{"rule": "array", "of": "email"}
//	{"rule": "json", "paths": {"$.contact.email": "email", "$.phones[*]": "phone"}, "else": "null"}
//	{"rule": "hstore", "paths": {"email": "email"}}
//
// A path is for all below it that no longer path names, an exact name goes before *.
// What no path names is, by else=, null, redact, shape or keep.
//
// Rules with a key take domain=, which defaults to the name of the rule, or to person. Rules that
// parse take fallback=: shape (another text of the same shape), redact (***), null,
// or error; the default is shape for text and null for the rest. The rules, with
// parameters and their defaults, those without a key marked by *:
//
//	email,at=hash,case=exact       16 characters @ a domain below .example; at=keep keeps the
//	                               domain, at=map,to= gives all one; case=fold joins ANN and ann
//	phone,cc=                      calling code and first digit stay; +1 stays valid; cc= is
//	                               the country of numbers without +
//	pan,keep=bin6                  card number, right check digit; or last4, first, or both:
//	                               that is for few, it takes a millisecond for a card
//	ssn, nino, iban                as they can have been issued, with right check digits
//	given, surname, name,locale=auto,by=value
//	                               of person, in the script that the value has; by=subject
//	                               gives all rows of a subject one name
//	street, city, region, postcode, country, address,locale=en,by=subject
//	                               of person, and all of one place
//	uuid, mac, ip,keep=0,keep6=0   version, manufacturer; equal prefixes become equal prefixes
//	int,lo=1,hi=2147483647         a permutation of that range, for keys
//	format,as=,separators=reject,small=refuse
//	                               a permutation of the values of a format: pan, ssn,
//	                               date:LO..HI, or a notation such as [A-Z]{2}[0-9]{7}
//	date,days=365,weeks=no         shifted by up to so many days, all of a subject alike
//	date-round,to=year *           the first day of the year or month
//	noise,percent=10               up to so much more or less, for a value always the same
//	bucket,size= *  round,to= *    down to, or to the nearest, multiple
//	age,top=90 *                   ages from top on are top
//	shape                          letters and digits become others, all else stays
//	token,len=16,prefix=           prefix and len characters of base32: 5 bits each
//	hash,len=32                    hex digits: 4 bits each, 128 at most
//	text                           e-mail addresses, phone, card and social security numbers,
//	                               IBANs and IPv4 addresses in free text, and the row's own
//	                               values; email=, phone=, pan=, ssn=, iban=, ip= are their
//	                               domains, at= and cc= as of email and phone
//	redact *                       ***
//	partial,first=0,last=0 *       as Keep
//	pan-display *                  as PAN
//	constant,value= *              the value
//	null *                         NULL
func (m *Masker) Rule(text string) (*Rule, error) {
	s, err := parseRule(text)
	if err != nil {
		return nil, err
	}
	r, err := m.compile(s, new(atomic.Uint64))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// compile makes the rule, which counts its fallbacks in count.
func (m *Masker) compile(s *spec, count *atomic.Uint64) (*Rule, *SpecError) {
	all := definitions()
	d, ok := all[s.name]
	if !ok {
		return nil, s.fail("", fmt.Sprintf("there is no rule %q", s.name), suggest(s.name, slices.Sorted(maps.Keys(all))))
	}
	b := &builder{m: m, def: d, spec: s, rule: &Rule{text: s.String(), fallbacks: count}}
	b.checkParams(d)
	if b.err == nil {
		b.rule.props = Properties{Keyed: d.keyed, Deterministic: true}
		d.build(b)
	}
	if b.err == nil {
		b.setFallback(d)
	}
	return b.rule, b.err
}

func (b *builder) checkParams(d definition) {
	allowed := strings.Fields(d.params)
	if d.keyed {
		allowed = append(allowed, "domain")
	}
	if d.fallback != "" {
		allowed = append(allowed, "fallback")
	}
	for _, key := range slices.Sorted(maps.Keys(b.spec.params)) {
		if !slices.Contains(allowed, key) {
			b.fail(key, "rule "+b.spec.name+" has no such parameter", suggest(key, allowed))
		}
	}
	if !d.inner && (b.spec.of != nil || b.spec.paths != nil) {
		b.fail("", "rule "+b.spec.name+" has no rules inside", "")
	}
	if b.spec.of != nil && b.spec.name != "array" {
		b.fail("of", "is for arrays", "name parts by paths")
	}
	if b.spec.paths != nil && b.spec.name == "array" {
		b.fail("paths", "an array has none", "of is the rule of its elements")
	}
	if !d.keyed {
		return
	}
	if b.m.keys == nil {
		b.fail("", "rule "+b.spec.name+" needs keys", "make the Masker by mask.New")
	}
	if err := checkDomain(b.domain()); err != nil {
		b.fail("domain", err.Error(), "")
	}
}

// fail keeps the first error.
func (b *builder) fail(param, reason, suggestion string) {
	if b.err == nil {
		b.err = b.spec.fail(param, reason, suggestion)
	}
}

func (b *builder) domain() string {
	return b.text("domain", cmp.Or(b.def.domain, b.spec.name))
}

// text returns a parameter.
func (b *builder) text(param, standard string) string {
	if v, ok := b.spec.params[param]; ok {
		return v
	}
	return standard
}

// choice returns a parameter that is one of some words; the first is the default.
func (b *builder) choice(param string, words ...string) string {
	v := b.text(param, words[0])
	if !slices.Contains(words, v) {
		b.fail(param, fmt.Sprintf("%q is none of %s", v, strings.Join(words, ", ")), suggest(v, words))
		return words[0]
	}
	return v
}

// number returns a parameter that is an integer of a range.
func (b *builder) number(param string, standard, lo, hi int64) int64 {
	v, ok := b.spec.params[param]
	if !ok {
		return standard
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < lo || n > hi {
		b.fail(param, fmt.Sprintf("%q is no number from %d to %d", v, lo, hi), "")
		return standard
	}
	return n
}

func (b *builder) setFallback(d definition) {
	p := &b.rule.props
	if d.fallback == "" {
		return
	}
	if slices.ContainsFunc(b.inners, func(r *Rule) bool { return r.props.Fallback == "error" }) {
		// A part that is to be an error must not become something else.
		if b.choice("fallback", "error") == "error" {
			p.Fallback = "error"
		}
		return
	}
	p.Fallback = b.choice("fallback", append([]string{d.fallback}, "shape", "redact", "null", "error")...)
	switch p.Fallback {
	case "shape":
		b.rule.fallback = b.shape()
	case "redact":
		b.rule.fallback = func(dst, _ []byte, _ *Row) ([]byte, bool) { return appendFull(dst), true }
	case "null":
		p.Nullable = true
		b.rule.fallback = func([]byte, []byte, *Row) ([]byte, bool) { return nil, true }
	}
	if p.Fallback == "shape" || p.Fallback == "redact" {
		// What that makes of 1987-45-99 is no date.
		p.Types = slices.DeleteFunc(slices.Clone(p.Types), func(t string) bool { return !slices.Contains(textTypes, t) })
		if len(p.Types) == 0 {
			b.fail("fallback", p.Fallback+" makes text, which is none of the rule's types", "use null or error")
		}
	}
}

// suggest returns what may have been meant: the word that is nearest, or all of a few.
func suggest(word string, words []string) string {
	best, distance := "", 3
	for _, w := range words {
		if d := edits(word, w); d < distance && d < len(w) {
			best, distance = w, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(words) == 0:
		return "there are none"
	case len(words) > 8:
		return ""
	}
	return "there are: " + strings.Join(words, ", ")
}

// edits is Levenshtein's distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

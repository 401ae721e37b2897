package mask

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/sealfield/sealfield/internal/fpe"
	"github.com/sealfield/sealfield/internal/prf"
)

// fpe returns the cipher of the rule's domain for a format.
func (b *builder) fpe(notation string, o fpe.Options) *fpe.Cipher {
	f, err := fpe.Parse(notation)
	if err != nil {
		b.fail("", err.Error(), "")
		return nil
	}
	keys := fpe.Keys{Reserve: b.m.keys.reserve}
	if keys.FF1, err = b.m.keys.derive(b.domain(), "ff1/"+f.String(), 32); err == nil {
		keys.Permute, err = b.m.keys.derive(b.domain(), "permute/"+f.String(), 32)
	}
	var c *fpe.Cipher
	if err == nil {
		c, err = fpe.New(f, o, keys)
	}
	if err != nil {
		b.fail("", err.Error(), "")
	}
	return c
}

// encipher is an engine that is a format and nothing else.
func encipher(c *fpe.Cipher) engine {
	return func(dst, src []byte, _ *Row) ([]byte, bool) {
		out, err := c.Append(dst, src, false)
		return out, err == nil
	}
}

var dropped = fpe.Options{Separators: fpe.Drop}

const separators = "where spaces and - . / ( ) are"

func (b *builder) bijective(domain string, hidden float64, visible ...string) *Properties {
	p := &b.rule.props
	p.Bijective, p.Reversible, p.SameLength = true, true, true
	p.Domain, p.Hidden, p.Types = domain, hidden, textTypes
	p.Visible = append(visible, equality)
	return p
}

func buildSSN(b *builder) {
	b.rule.mask = encipher(b.fpe("ssn", dropped))
	p := b.bijective("social security numbers that can have been issued: not 000, 666 or 9xx, no part all zeros", bitsOf(898*99*9999), separators)
	p.Alphabet = "[0-9 ./()-]"
}

// NINOs begin with two letters, of which seven pairs are not used (HMRC, National
// Insurance Manual NIM39110).
const (
	ninoFormat = "[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"
	ninoUnused = " BG GB KN NK NT TN ZZ "
)

func buildNINO(b *builder) {
	c := b.fpe(ninoFormat, dropped)
	unused := func(v []byte) bool {
		var pair [2]byte
		n := 0
		for _, x := range v {
			if 'A' <= x && x <= 'Z' && n < 2 {
				pair[n] = x
				n++
			}
		}
		i := strings.Index(ninoUnused, string(pair[:]))
		return i >= 0
	}
	b.rule.mask = capital(func(dst, src []byte, _ *Row) ([]byte, bool) {
		if unused(src) {
			return nil, false
		}
		// Cycle walking: from a number that is used, the cycle of the
		// permutation comes back to one.
		n := len(dst)
		out, err := c.Append(dst, src, false)
		for range maxWalk {
			if err != nil || !unused(out[n:]) {
				break
			}
			out, err = c.Append(out[:n], out[n:], false)
		}
		return out, err == nil && !unused(out[n:])
	})
	p := b.bijective("national insurance numbers with a prefix that is used and a suffix", bitsOf((20*19-7)*4e6), separators, "whether it is in capitals")
	p.Alphabet = "[0-9A-Za-z ./()-]"
}

const maxWalk = 100 // each step misses with a probability of 7/380

func buildIBAN(b *builder) {
	b.rule.mask = capital(encipher(b.fpe("iban", dropped)))
	p := b.bijective("IBANs with right check digits", bitsOf(1e11), "the country and the number of characters", "which characters are letters", separators, "whether it is in capitals")
	p.Alphabet = "[0-9A-Za-z ./()-]"
}

// capital gives values in small letters to e in capitals and the result back in
// small ones. It refuses values with both.
func capital(e engine) engine {
	return func(dst, src []byte, row *Row) ([]byte, bool) {
		var room [maxCased]byte
		if len(src) > len(room) {
			return nil, false
		}
		v := room[:copy(room[:], src)]
		lower, upper := upperCase(v)
		if lower && upper {
			return nil, false
		}
		n := len(dst)
		out, ok := e(dst, v, row)
		if ok && lower {
			lowerCase(out[n:])
		}
		return out, ok
	}
}

const maxCased = 96 // characters; IBANs have 34

// upperCase changes v and says which letters it had.
func upperCase(v []byte) (lower, upper bool) {
	for i, c := range v {
		switch {
		case 'a' <= c && c <= 'z':
			lower = true
			v[i] = c - 'a' + 'A'
		case 'A' <= c && c <= 'Z':
			upper = true
		}
	}
	return lower, upper
}

func lowerCase(v []byte) {
	for i, c := range v {
		if 'A' <= c && c <= 'Z' {
			v[i] = c - 'A' + 'a'
		}
	}
}

func buildUUID(b *builder) {
	c := b.fpe("[0-9a-f]{12}<[0-9a-f]>[0-9a-f]{3}<[0-9a-f]>[0-9a-f]{15}", fpe.Options{})
	b.rule.mask = hexadecimal(c, "-{}", 32, 32)
	p := b.bijective("UUIDs in hexadecimal in small letters, or all in capitals, whatever their version", 120, "version and variant (two hex digits)", "spelling")
	p.Types, p.Alphabet = append([]string{"uuid"}, textTypes...), "[0-9A-Fa-f{}-]"
}

func buildMAC(b *builder) {
	c := b.fpe("<[0-9a-f]{6}>[0-9a-f]{6-10}", fpe.Options{})
	b.rule.mask = hexadecimal(c, ":-.", 12, 16)
	p := b.bijective("MAC addresses of 12 or 16 hex digits in small letters, or all in capitals", 24, "the manufacturer (OUI)", "spelling")
	p.Types, p.Alphabet = append([]string{"macaddr", "macaddr8"}, textTypes...), "[0-9A-Fa-f:.-]"
}

// hexadecimal is an engine for one or the other number of hex digits with separators,
// which stay where they are. Letters are small ones in the result, unless the value
// has capitals only.
func hexadecimal(c *fpe.Cipher, separators string, n1, n2 int) engine {
	return func(dst, src []byte, _ *Row) ([]byte, bool) {
		var room, outRoom [32]byte
		digits := room[:0]
		for _, x := range src {
			switch {
			case strings.IndexByte(separators, x) >= 0:
			case len(digits) == len(room), !isDigit(x) && (x|0x20 < 'a' || x|0x20 > 'f'):
				return nil, false
			default:
				digits = append(digits, x)
			}
		}
		if len(digits) != n1 && len(digits) != n2 || len(src) > 2*len(room) {
			return nil, false
		}
		lower, upper := upperCase(digits)
		lowerCase(digits)
		out, err := c.Append(outRoom[:0], digits, false)
		if err != nil {
			return nil, false
		}
		if upper && !lower {
			upperCase(out)
		}
		for _, x := range src {
			if strings.IndexByte(separators, x) < 0 {
				x, out = out[0], out[1:]
			}
			dst = append(dst, x)
		}
		return dst, true
	}
}

func buildFormat(b *builder) {
	o := fpe.Options{Permute: b.choice("small", "refuse", "permute") == "permute"}
	switch b.choice("separators", "reject", "keep", "drop") {
	case "keep":
		o.Separators = fpe.Keep
	case "drop":
		o.Separators = fpe.Drop
	}
	notation := b.text("as", "")
	f, err := fpe.Parse(notation)
	if err != nil {
		b.fail("as", err.Error(), "")
		return
	}
	if o.Permute && f.Keeps() {
		b.fail("small", "a format that keeps something would need a table for each thing that is kept", "encipher all of it")
	}
	if err := f.Allows(o); err != nil {
		b.fail("as", err.Error(), "make the domain larger, or write small=permute: tables instead of FF1")
		return
	}
	b.rule.mask = encipher(b.fpe(notation, o))
	p := b.bijective("values of the format", f.Bits(), "the number of characters")
	if f.Keeps() {
		p.Visible = append(p.Visible, "what the format keeps, and the class of characters in classes with parts")
	}
	if o.Separators != fpe.Reject {
		p.Visible = append(p.Visible, separators)
	}
	switch {
	case strings.HasPrefix(notation, "date:"):
		p.Types = append([]string{"date"}, textTypes...)
	case strings.HasPrefix(notation, "int:"):
		p.SameLength = false
	}
}

// buildRange is a range of fpe. A small one is permuted by a table.
func buildRange(b *builder, notation string) {
	o := fpe.Options{Permute: true}
	f, err := fpe.Parse(notation)
	if err == nil {
		err = f.Allows(o)
	}
	if err != nil {
		b.fail("", err.Error(), "")
		return
	}
	b.rule.mask = encipher(b.fpe(notation, o))
	b.bijective("", f.Bits())
}

func buildEmail(b *builder) {
	e := &email{at: b.choice("at", "hash", "keep", "map"), to: b.text("to", ""), fold: b.choice("case", "exact", "fold") == "fold"}
	if (e.at == "map") != (e.to != "") {
		b.fail("to", "at=map and to= belong together", "write at=map,to=example.com")
	}
	if e.to != "" && !validHost([]byte(e.to)) {
		b.fail("to", "is no domain", "")
	}
	e.f = b.prf("email/1")
	b.rule.mask, b.rule.batch = e.mask, e.maskBatch
	p := &b.rule.props
	p.Domain, p.Hidden, p.results, p.Types = "addresses of at most 320 bytes, with @ and without spaces", unbounded, 80, textTypes
	switch {
	case e.at == "keep" && e.fold:
		p.Domain += "; those that differ in the case before the @ are one"
	case e.fold:
		p.Domain += "; those that differ in case are one"
	case e.at != "keep":
		p.Domain += "; those that differ in the case of the domain are one"
	}
	p.Fold = e.fold && e.at != "keep"
	switch e.at {
	case "hash":
		p.MaxLen, p.Alphabet = 16+1+8+len(".example"), "[0-9a-z@.]"
		p.Visible = []string{"which addresses are of one domain", equality}
	case "map":
		p.MaxLen = 16 + 1 + len(e.to)
		p.Visible = []string{equality}
	default:
		p.MaxLen = 16 + 1 + 255
		p.Visible = []string{"the domain", equality}
	}
}

type email struct {
	f      *prf.PRF
	at, to string
	fold   bool
}

func (e *email) mask(dst, src []byte, _ *Row) ([]byte, bool) {
	var room [maxAddress]byte
	v, at, ok := e.parse(room[:], src)
	if !ok {
		return nil, false
	}
	s := e.f.Start(v)
	dst = appendLocal(dst, s)
	s.End()
	if e.at != "hash" {
		return e.appendHost(dst, src[at+1:]), true
	}
	s = e.f.Start(v[at+1:])
	dst = appendHashedHost(dst, s)
	s.End()
	return dst, true
}

// parse copies src to room, with the domain in small letters, and returns the copy and
// the place of the @.
func (e *email) parse(room, src []byte) (v []byte, at int, ok bool) {
	at = bytes.LastIndexByte(src, '@')
	if at < 1 || len(src) > maxAddress || !validLocal(src[:at]) {
		return nil, 0, false
	}
	v = room[:len(src)]
	copy(v, src[:at+1])
	if !lowerHost(v[at+1:], src[at+1:]) {
		return nil, 0, false
	}
	if e.fold {
		lowerCase(v[:at])
	}
	return v, at, true
}

func appendLocal(dst []byte, s *prf.Stream) []byte {
	return append(appendDigits(dst, s, base32, 16), '@')
}

func appendHashedHost(dst []byte, s *prf.Stream) []byte {
	return append(appendDigits(dst, s, base32, 8), ".example"...)
}

// appendHost appends the domain of an address, given that of the value.
func (e *email) appendHost(dst, host []byte) []byte {
	if e.at == "map" {
		return append(dst, e.to...)
	}
	return append(dst, host...)
}

func (e *email) maskBatch(b *batch) {
	var at, place [batchSize]int // of the @, and of the item
	n := 0
	for i := range b.n {
		v := &b.items[i]
		if b.values[n], at[n], v.ok = e.parse(b.rooms[n][:], v.src); v.ok {
			place[n] = i
			n++
		}
	}
	values := b.values[:n]
	streams := e.f.StartBatch(values, true)
	for k := range values {
		v := &b.items[place[k]]
		v.dst = appendLocal(v.dst, streams.Stream(k))
		if e.at != "hash" {
			v.dst = e.appendHost(v.dst, v.src[at[k]+1:])
		}
	}
	streams.End()
	if e.at != "hash" {
		return
	}
	for k := range values {
		values[k] = values[k][at[k]+1:]
	}
	streams = e.f.StartBatch(values, false)
	for k := range values {
		v := &b.items[place[k]]
		v.dst = appendHashedHost(v.dst, streams.Stream(k))
	}
	streams.End()
}

const maxAddress = 64 + 1 + 255 // RFC 5321, 4.5.3.1

// validLocal wants what has no spaces, controls or @; it may be UTF-8 (RFC 6531).
func validLocal(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c == 0x7f || c == '@' {
			return false
		}
	}
	return len(v) > 0 && len(v) <= 64
}

const maxHost = 255

func validHost(v []byte) bool {
	return len(v) <= maxHost && lowerHost(make([]byte, len(v)), v)
}

// lowerHost copies a domain in small letters to dst, which is as long. It wants labels of
// letters, digits, hyphens and UTF-8.
func lowerHost(dst, src []byte) bool {
	dst = dst[:len(src)]
	label := 0
	for i, c := range src {
		c = hostBytes[c]
		dst[i] = c
		label++
		switch c {
		case '.':
			if label == 1 {
				return false
			}
			label = 0
		case '-':
			if label == 1 {
				return false
			}
		case 0:
			return false
		}
	}
	return label > 0 && len(src) <= maxHost
}

// hostBytes has the bytes of domains in small letters, and 0 for others. A table does not
// make the processor guess whether a letter or a digit is next.
var hostBytes = func() (table [256]byte) {
	for i := range table {
		switch c := byte(i); {
		case c == '.', c == '-', isDigit(c), 'a' <= c && c <= 'z', c >= utf8.RuneSelf:
			table[i] = c
		case 'A' <= c && c <= 'Z':
			table[i] = c - 'A' + 'a'
		}
	}
	return table
}()

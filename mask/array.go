package mask

import (
	"bytes"
	"strings"
)

func buildArray(b *builder) {
	if b.spec.of == nil {
		b.fail("of", "is missing", "the rule of the elements")
		return
	}
	element := b.inner(b.spec.of)
	if b.err != nil {
		return
	}
	b.rule.mask = func(dst, src []byte, row *Row) ([]byte, bool) {
		a := array{src: src, dst: dst, row: row, rule: element}
		a.parse(0)
		return a.dst, !a.bad && a.at == len(src)
	}
	types := []string{"text"}
	for _, t := range element.props.Types {
		types = append(types, t+"[]")
	}
	b.container("PostgreSQL arrays of which each element is: "+element.props.Domain, "the number of elements, and which are null", types...)
	b.rule.props.Bijective = element.props.Bijective && !element.props.Nullable
}

// array masks the elements of an array in PostgreSQL's text form.
type array struct {
	src, dst []byte
	at       int
	row      *Row
	rule     *Rule
	room     []byte
	bad      bool
}

const maxDimensions = 6 // PostgreSQL's

func (a *array) peek() byte {
	if a.at < len(a.src) {
		return a.src[a.at]
	}
	a.bad = true
	return 0
}

// parse masks from { to }.
func (a *array) parse(depth int) {
	if a.peek() != '{' || depth == maxDimensions {
		a.bad = true
		return
	}
	a.dst = append(a.dst, '{')
	a.at++
	for first := true; !a.bad && (a.peek() != '}' || !first); first = false {
		if a.peek() == '{' {
			a.parse(depth + 1)
		} else {
			a.element()
		}
		switch c := a.peek(); {
		case a.bad:
		case c == ',':
			a.dst = append(a.dst, ',')
			a.at++
		case c == '}':
			a.close()
			return
		default:
			a.bad = true
		}
	}
	a.close()
}

func (a *array) close() {
	if !a.bad {
		a.dst = append(a.dst, '}')
		a.at++
	}
}

func (a *array) element() {
	var value []byte
	quoted := a.peek() == '"'
	if quoted {
		a.at++
	}
	for !a.bad {
		c := a.peek()
		if quoted && c == '"' {
			a.at++
			break
		}
		if !quoted && (c == ',' || c == '}') {
			break
		}
		if !quoted && (c == '{' || c == '"') {
			a.bad = true
		}
		if c == '\\' {
			a.at++
			c = a.peek()
		}
		value = append(value, c)
		a.at++
	}
	if !quoted && len(value) == 0 {
		a.bad = true // an empty element has quotes
	}
	if a.bad {
		return
	}
	if !quoted && strings.EqualFold(string(value), "null") {
		a.dst = append(a.dst, "NULL"...)
		return
	}
	out, err := a.rule.Append(a.room[:0], empty(value), a.row)
	switch {
	case err != nil:
		a.bad = true
		return
	case out == nil:
		a.dst = append(a.dst, "NULL"...)
		return
	}
	a.room = out
	if len(out) == 0 || bytes.ContainsAny(out, "{}\",\\ \t\n\r\v\f") || strings.EqualFold(string(out), "null") {
		a.dst = appendEscaped(a.dst, out)
	} else {
		a.dst = append(a.dst, out...)
	}
}

// appendEscaped appends v in double quotes, with \ before " and \.
func appendEscaped(dst, v []byte) []byte {
	dst = append(dst, '"')
	for _, c := range v {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func buildHstore(b *builder) {
	root := b.paths()
	rest := b.rest()
	b.rule.mask = func(dst, src []byte, row *Row) ([]byte, bool) {
		h := array{src: src, dst: dst, row: row}
		for !h.bad && h.at < len(src) {
			key := h.quoted()
			h.expect("=>")
			if h.bad {
				break
			}
			h.dst = append(appendEscaped(h.dst, key), "=>"...)
			rule := rest
			if n := root.child(key); n != nil && n.rule != nil {
				rule = n.rule
			}
			h.pair(rule)
			if !h.bad && h.at < len(src) {
				h.expect(", ")
				h.dst = append(h.dst, ", "...)
				h.bad = h.bad || h.at == len(src)
			}
		}
		return h.dst, !h.bad
	}
	b.container("hstore as PostgreSQL writes it", "the keys, and which values are null", "hstore", "text")
	b.byPath(rest)
}

func (a *array) expect(text string) {
	if !bytes.HasPrefix(a.src[a.at:], []byte(text)) {
		a.bad = true
		return
	}
	a.at += len(text)
}

// quoted reads a text in double quotes.
func (a *array) quoted() []byte {
	if a.peek() != '"' {
		a.bad = true
		return nil
	}
	value := []byte{}
	for a.at++; a.peek() != '"'; a.at++ {
		if a.peek() == '\\' {
			a.at++
		}
		c := a.peek()
		if a.bad {
			return nil
		}
		value = append(value, c)
	}
	a.at++
	return value
}

// pair masks the value of an hstore's key; nil keeps it.
func (a *array) pair(rule *Rule) {
	if bytes.HasPrefix(a.src[a.at:], []byte("NULL")) {
		a.at += len("NULL")
		a.dst = append(a.dst, "NULL"...)
		return
	}
	out := a.quoted()
	if a.bad {
		return
	}
	if rule != nil {
		var err error
		if out, err = rule.Append(nil, out, a.row); err != nil {
			a.bad = true
			return
		}
	}
	if out == nil {
		a.dst = append(a.dst, "NULL"...)
		return
	}
	a.dst = appendEscaped(a.dst, out)
}

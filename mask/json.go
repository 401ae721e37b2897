package mask

import (
	"bytes"
	"encoding/json"
)

// jsonWalker masks valid JSON. It stops at the first rule that refuses.
type jsonWalker struct {
	src   []byte
	at    int
	dst   []byte
	row   *Row
	rest  *Rule // nil keeps
	bools bool  // true and false stay where rest is the rule
	room  []byte
	err   error
}

func buildJSON(b *builder) {
	root := b.paths()
	rest := b.rest()
	// A shape tells true from false as well.
	shape := b.spec.params["else"] == "shape"
	b.rule.mask = func(dst, src []byte, row *Row) ([]byte, bool) {
		if !json.Valid(src) {
			return nil, false
		}
		w := jsonWalker{src: src, dst: dst, row: row, rest: rest, bools: shape}
		w.value(root, nil)
		w.space()
		return w.dst, w.err == nil
	}
	visible := "the structure: names, and which values are null"
	if shape {
		visible += ", true or false"
	}
	b.container("valid JSON", visible, "json", "jsonb", "text", "varchar")
	b.byPath(rest)
}

// space copies white space.
func (w *jsonWalker) space() {
	for w.at < len(w.src) && (w.src[w.at] == ' ' || w.src[w.at] == '\t' || w.src[w.at] == '\n' || w.src[w.at] == '\r') {
		w.byte()
	}
}

// byte copies one byte.
func (w *jsonWalker) byte() {
	w.dst = append(w.dst, w.src[w.at])
	w.at++
}

// value masks the value that begins here. n is where it is, or nil, and rule that of
// the nearest path to it, or nil.
func (w *jsonWalker) value(n *node, rule *Rule) {
	if n != nil && n.rule != nil {
		rule = n.rule
	}
	w.space()
	switch w.src[w.at] {
	case '{', '[':
		closing := w.src[w.at] + 2 // } and ] in ASCII
		object := closing == '}'
		w.byte()
		w.space()
		for w.src[w.at] != closing && w.err == nil {
			var name []byte
			if object {
				name = unquote(w.skip())
				w.space()
				w.byte() // the colon
			}
			w.value(n.child(name), rule)
			w.space()
			if w.src[w.at] == ',' {
				w.byte()
				w.space()
			}
		}
		if w.err == nil {
			w.byte()
		}
		return
	}
	start := len(w.dst)
	text := w.skip()
	if rule == nil {
		rule = w.rest
	}
	if rule != nil {
		w.leaf(start, text, rule)
	}
}

// skip copies a string, number or word, and returns it.
func (w *jsonWalker) skip() []byte {
	start := w.at
	if w.src[w.at] == '"' {
		for w.at++; w.src[w.at] != '"'; w.at++ {
			if w.src[w.at] == '\\' {
				w.at++
			}
		}
		w.at++
	} else {
		for w.at < len(w.src) && bytes.IndexByte([]byte(" \t\r\n,]}"), w.src[w.at]) < 0 {
			w.at++
		}
	}
	w.dst = append(w.dst, w.src[start:w.at]...)
	return w.src[start:w.at]
}

// leaf replaces what was appended to dst from start on, which is text.
func (w *jsonWalker) leaf(start int, text []byte, rule *Rule) {
	value, isString := text, text[0] == '"'
	switch {
	case isString:
		value = unquote(text)
	case text[0] == 'n', w.bools && rule == w.rest && (text[0] == 't' || text[0] == 'f'):
		return
	}
	out, err := rule.Append(w.room[:0], value, w.row)
	if err != nil {
		w.err = err
		return
	}
	w.dst = w.dst[:start]
	switch {
	case out == nil:
		w.dst = append(w.dst, "null"...)
	case !isString && json.Valid(out) && (isDigit(out[0]) || out[0] == '-'):
		w.dst = append(w.dst, out...)
	default:
		w.dst = appendQuoted(w.dst, out)
	}
	if out != nil {
		w.room = out
	}
}

// unquote returns the text of a JSON string.
func unquote(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1]
	}
	var s string
	_ = json.Unmarshal(text, &s) // it is valid
	return []byte(s)
}

// appendQuoted appends v as a JSON string; what is not UTF-8 becomes U+FFFD.
func appendQuoted(dst, v []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(v)) // a string always has JSON
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

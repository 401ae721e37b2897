// Package tree reads JSON into nodes that know their lines, for documents of which
// every mistake is to be named. Readers of other notations make the same nodes.
package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Node is a value.
type Node struct {
	Line   int // from 1 on
	Kind   Kind
	Text   string  // of a String or other Scalar, as it is written in JSON
	Fields []Field // of an Object, in order; no name twice
	Items  []*Node // of a List
}

// Field is a field of an object.
type Field struct {
	Name  string
	Line  int
	Value *Node
}

// Kind is what a node is.
type Kind int

// The kinds. Scalar is a number, true, false or null.
const (
	String Kind = iota
	Scalar
	Object
	List
)

func (k Kind) String() string {
	return [...]string{"a string", "a number, true, false or null", "an object", "a list"}[k]
}

// Get returns the field of that name, or nil.
func (n *Node) Get(name string) *Node {
	for _, f := range n.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// Add adds a field. A name that is there already is an error.
func (n *Node) Add(name string, line int, value *Node) error {
	if n.Get(name) != nil {
		return &Error{line, fmt.Sprintf("%q is there twice", name)}
	}
	n.Fields = append(n.Fields, Field{name, line, value})
	return nil
}

// Error says what is wrong in which line.
type Error struct {
	Line   int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// MaxDepth is how deep objects and lists may be nested.
const MaxDepth = 50

// ParseJSON reads one JSON value. An error is an *Error.
func ParseJSON(data []byte) (*Node, error) {
	p := &parser{data: data, d: json.NewDecoder(bytes.NewReader(data))}
	p.d.UseNumber()
	if n := validLen(data); n < len(data) {
		return nil, &Error{p.line(int64(n)), "the text is not UTF-8"}
	}
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{p.line(p.d.InputOffset()), "there is more after the end"}
	}
	return n, nil
}

// validLen returns the length of the UTF-8 that data begins with.
func validLen(data []byte) (n int) {
	for n < len(data) {
		r, size := utf8.DecodeRune(data[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

type parser struct {
	data           []byte
	d              *json.Decoder
	counted, lines int // of data, and the ends of lines in it
}

// line returns the line of an offset. Offsets that ascend take one pass over the data.
func (p *parser) line(offset int64) int {
	at := min(int(offset), len(p.data))
	if at < p.counted {
		p.counted, p.lines = 0, 0
	}
	p.lines += bytes.Count(p.data[p.counted:at], []byte("\n"))
	p.counted = at
	return 1 + p.lines
}

func (p *parser) token() (json.Token, int, error) {
	t, err := p.d.Token()
	line := p.line(p.d.InputOffset())
	switch syntax, ok := errors.AsType[*json.SyntaxError](err); {
	case ok:
		return nil, 0, &Error{p.line(syntax.Offset), syntax.Error()}
	case err != nil:
		return nil, 0, &Error{p.line(int64(len(p.data))), "the text ends too early"}
	}
	return t, line, nil
}

func (p *parser) value(depth int) (*Node, error) {
	t, line, err := p.token()
	if err != nil {
		return nil, err
	}
	if depth > MaxDepth {
		return nil, &Error{line, "nested too deep"}
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return p.object(line, depth)
		}
		return p.list(line, depth)
	case string:
		return &Node{Line: line, Kind: String, Text: t}, nil
	case nil:
		return &Node{Line: line, Kind: Scalar, Text: "null"}, nil
	}
	return &Node{Line: line, Kind: Scalar, Text: fmt.Sprint(t)}, nil
}

func (p *parser) object(line, depth int) (*Node, error) {
	n := &Node{Line: line, Kind: Object}
	for p.d.More() {
		t, line, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, &Error{line, "a name is missing"}
		}
		v, err := p.value(depth + 1)
		if err == nil {
			err = n.Add(name, line, v)
		}
		if err != nil {
			return nil, err
		}
	}
	_, _, err := p.token()
	return n, err
}

func (p *parser) list(line, depth int) (*Node, error) {
	n := &Node{Line: line, Kind: List}
	for p.d.More() {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, v)
	}
	_, _, err := p.token()
	return n, err
}

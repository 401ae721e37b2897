package mask

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/internal/tree"
)

// parseRule reads a rule from text: "name,param=value", or a JSON object.
func parseRule(text string) (*spec, *SpecError) {
	if !strings.HasPrefix(text, "{") {
		return parseSpec(text, 0, "")
	}
	n, err := tree.ParseJSON([]byte(text))
	if err != nil {
		return nil, treeError(err)
	}
	return specOf(n, "")
}

func treeError(err error) *SpecError {
	e := err.(*tree.Error)
	return &SpecError{Line: e.Line, Reason: e.Reason}
}

// specOf reads a rule from a node: a string as in a tag, or an object with rule, the
// parameters, of (the rule of an array's elements) and paths (rules by path).
func specOf(n *tree.Node, field string) (*spec, *SpecError) {
	if n.Kind == tree.String {
		return parseSpec(n.Text, n.Line, field)
	}
	s := &spec{params: map[string]string{}, lines: map[string]int{}, line: n.Line, field: field}
	if n.Kind != tree.Object {
		return nil, s.fail("", "a rule is a string or an object, not "+n.Kind.String(), "")
	}
	for _, f := range n.Fields {
		s.lines[f.Name] = f.Line
		var err *SpecError
		switch {
		case f.Name == "of":
			s.of, err = specOf(f.Value, join(field, "of"))
		case f.Name == "paths" && f.Value.Kind == tree.Object:
			s.paths, err = pathsOf(f.Value, join(field, "paths"))
		case f.Value.Kind != tree.String && f.Value.Kind != tree.Scalar || f.Value.Text == "null" && f.Value.Kind == tree.Scalar:
			err = s.fail(f.Name, "is "+f.Value.Kind.String(), "")
		case f.Name == "rule":
			s.name = f.Value.Text
		default:
			s.params[f.Name] = f.Value.Text
		}
		if err != nil {
			return nil, err
		}
	}
	if s.name == "" {
		return nil, s.fail("rule", "is missing", "")
	}
	return s, nil
}

func pathsOf(n *tree.Node, field string) (paths []pathSpec, err *SpecError) {
	paths = []pathSpec{}
	for _, f := range n.Fields {
		s, err := specOf(f.Value, join(field, f.Name))
		if err != nil {
			return nil, err
		}
		paths = append(paths, pathSpec{f.Name, s})
	}
	return paths, nil
}

func join(field, name string) string { return strings.TrimPrefix(field+"."+name, ".") }

// MarshalJSON writes the object that specOf reads.
func (s *spec) MarshalJSON() ([]byte, error) {
	object := map[string]any{"rule": s.name}
	for k, v := range s.params {
		object[k] = v
	}
	if s.of != nil {
		object["of"] = s.of
	}
	if s.paths != nil {
		paths := map[string]*spec{}
		for _, p := range s.paths {
			paths[p.path] = p.rule
		}
		object["paths"] = paths
	}
	return json.Marshal(object)
}

// String returns the text of the spec: with parameters in order, or as JSON if that
// can not be read back.
func (s *spec) String() string {
	plain := s.of == nil && s.paths == nil && !strings.HasPrefix(s.name, "{")
	var b strings.Builder
	b.WriteString(s.name)
	for _, key := range slices.Sorted(maps.Keys(s.params)) {
		plain = plain && !strings.Contains(s.params[key], ",")
		fmt.Fprintf(&b, ",%s=%s", key, s.params[key])
	}
	if plain {
		return b.String()
	}
	text, err := json.Marshal(s)
	if err != nil {
		return s.name // there is nothing in it that has no JSON
	}
	return string(text)
}

// inner compiles a rule inside the rule, whose promises become part of the rule's. It
// counts with it.
func (b *builder) inner(s *spec) *Rule {
	r, err := b.m.compile(s, b.rule.fallbacks)
	if err != nil {
		b.err = cmp.Or(b.err, err)
		return nil
	}
	if b.inners == nil {
		b.rule.props = r.props
	} else {
		b.rule.props = b.rule.props.join(r.props)
	}
	b.inners = append(b.inners, r)
	b.rule.readsOwn = b.rule.readsOwn || r.readsOwn
	return r
}

// node says what becomes of a part of a value, by the way to it.
type node struct {
	names map[string]*node
	any   *node // of all names, and of the elements of a list
	rule  *Rule // of all below, unless a longer path says something else
}

func (n *node) child(name []byte) *node {
	if n == nil {
		return nil
	}
	if c := n.names[string(name)]; c != nil {
		return c
	}
	return n.any
}

// inherit gives each name what * beside it says, where the name itself says nothing:
// a value below a name may be named by a longer path with *. It visits no more than
// left nodes, which it counts down below 0 if there are more.
func (n *node) inherit(left *int) {
	if *left--; *left < 0 {
		return
	}
	for _, c := range n.names {
		if n.any != nil {
			c.merge(n.any, left)
		}
		c.inherit(left)
	}
	if n.any != nil {
		n.any.inherit(left)
	}
}

// merge takes over from o all that n does not say. o stays as it is and is not shared.
func (n *node) merge(o *node, left *int) {
	if *left--; *left < 0 {
		return
	}
	if n.rule == nil {
		n.rule = o.rule
	}
	for name, c := range o.names {
		n.name(name).merge(c, left)
	}
	if o.any != nil {
		if n.any == nil {
			n.any = &node{}
		}
		n.any.merge(o.any, left)
	}
}

// name returns the node of a name below n, and makes it if need be.
func (n *node) name(name string) *node {
	if n.names == nil {
		n.names = map[string]*node{}
	}
	if n.names[name] == nil {
		n.names[name] = &node{}
	}
	return n.names[name]
}

const (
	maxSteps = 16      // of a path
	maxNodes = 100_000 // that inherit visits: names and * by turns double them with each step
)

// paths compiles the rules of paths, which are like $.contact.email, phones[*], or
// *.email; names with other characters than letters, digits and _ are in quotes:
// $."e-mail".
func (b *builder) paths() *node {
	root := &node{}
	if len(b.spec.paths) == 0 {
		b.fail("paths", "are missing", "name what is to be masked")
	}
	for _, p := range b.spec.paths {
		steps, ok := parsePath(p.path)
		if !ok {
			b.fail("paths", fmt.Sprintf("%q is no path", p.path), `write $.contact.email, $.phones[*] or $."e-mail"`)
			return nil
		}
		switch {
		case b.spec.name == "hstore" && len(steps) != 1:
			b.fail("paths", fmt.Sprintf("%q names no key of an hstore, which has one level", p.path), `write email, * or $."a.b"`)
			return nil
		case len(steps) > maxSteps:
			b.fail("paths", fmt.Sprintf("%q has more than %d steps", p.path, maxSteps), "")
			return nil
		}
		n := root
		for _, step := range steps {
			switch {
			case step != "*":
				n = n.name(step)
			case n.any == nil:
				n.any = &node{}
				n = n.any
			default:
				n = n.any
			}
		}
		if n.rule != nil {
			b.fail("paths", fmt.Sprintf("%q is there twice", p.path), "")
		}
		n.rule = b.inner(p.rule)
	}
	left := maxNodes
	if root.inherit(&left); left < 0 {
		b.fail("paths", "mix * and names at too many places", "name parts by fewer paths with *, or by longer ones without")
	}
	return root
}

// parsePath returns the steps of a path; "*" is any.
func parsePath(path string) (steps []string, ok bool) {
	rest := strings.TrimPrefix(path, "$")
	if rest != "" && rest[0] != '.' && rest[0] != '[' {
		rest = "." + rest
	}
	for rest != "" {
		var step string
		switch {
		case strings.HasPrefix(rest, "[*]"):
			step, rest = "*", rest[3:]
		case strings.HasPrefix(rest, `."`):
			step, rest, ok = strings.Cut(rest[2:], `"`)
			if !ok || step == "*" {
				return nil, false
			}
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			step, rest = rest[1:1+end], rest[1+end:]
			if step != "*" && strings.ContainsFunc(step, func(r rune) bool { return r < 0x80 && !alphanumeric(byte(r)) && r != '_' }) {
				return nil, false
			}
		default:
			return nil, false
		}
		if step == "" {
			return nil, false
		}
		steps = append(steps, step)
	}
	return steps, true
}

func alphanumeric(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// rest returns what becomes of parts that no path names: parameter else.
func (b *builder) rest() *Rule {
	what := b.choice("else", "null", "redact", "shape", "keep")
	b.checkShapeDomain(what)
	if what == "keep" || b.err != nil {
		b.rule.props.Visible = append(slices.Clone(b.rule.props.Visible), "all that no path names")
		return nil
	}
	s := &spec{name: what, line: b.spec.line, field: b.spec.field}
	if domain, ok := b.spec.params["domain"]; ok && what == "shape" {
		s.params = map[string]string{"domain": domain}
	}
	return b.inner(s)
}

// checkShapeDomain refuses a domain that is none or that nothing would be drawn under: it is that
// of else=shape and fallback=shape, as the rules inside have their own.
func (b *builder) checkShapeDomain(rest string) {
	domain, ok := b.spec.params["domain"]
	if !ok {
		return
	}
	if err := checkDomain(domain); err != nil {
		b.fail("domain", err.Error(), "")
	}
	if rest != "shape" && b.spec.params["fallback"] != "shape" {
		b.fail("domain", "is for else=shape and fallback=shape", "write domain= in the rules of the paths")
	}
}

// container completes the properties of a rule with rules inside.
func (b *builder) container(domain string, visible string, types ...string) {
	p := &b.rule.props
	p.Domain, p.Types, p.SameLength, p.MaxLen, p.Alphabet = domain, types, false, 0, ""
	p.Visible = append(slices.Clone(p.Visible), visible)
	p.Nullable, p.Fallback, p.Fold = false, "", false
}

// byPath completes the properties of a container whose parts have rules by path. Two
// values of a part may become equal in its fallback, which Domain does not rule out.
func (b *builder) byPath(rest *Rule) {
	p := &b.rule.props
	p.Bijective, p.Reversible, p.results = false, false, 0
	if rest == nil {
		p.Hidden = 0
	}
}

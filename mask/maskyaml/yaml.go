// Package maskyaml reads masking policies in YAML. They have the form that
// mask.Policy documents, as YAML writes it:
//
//	version: 1
//	epoch: 2026-q4
//	tables:
//	  public.customers:
//	    subject: id
//	    columns:
//	      id: {keep: a number without meaning}
//	      email: email,domain=customer.email
//	      card: {rule: pan, domain: card, keep: last4}
//	  public.audit:
//	    skip: of no use in tests
//
// It is as strict: unknown fields, fields that are there twice, wrong types and rules
// that are none are errors with their line. Anchors, aliases, merge keys, tags and more
// than one document are errors too, so that what a line says is what is done.
//
// It is a module of its own, for package mask needs no YAML.
package maskyaml

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sealfield/sealfield/internal/tree"
	"github.com/sealfield/sealfield/mask"
)

// Parse reads a policy. The error joins one *mask.SpecError for each mistake; if the
// text is no YAML, it is one for the first.
func Parse(data []byte) (*mask.Policy, error) {
	n, err := parse(string(data))
	if err != nil {
		return nil, err
	}
	return mask.PolicyOf(n)
}

func parse(text string) (*tree.Node, error) {
	d := yaml.NewDecoder(strings.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		return nil, syntaxError(err)
	}
	switch err := d.Decode(&more); {
	case err == nil:
		return nil, &mask.SpecError{Line: more.Line, Reason: "there is a second document"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	return node(doc.Content[0], 0)
}

var lineOf = regexp.MustCompile(`^yaml: line (\d+): `)

// syntaxError makes an error of the YAML package one with a line. Its text is about
// syntax and holds no more than names.
func syntaxError(err error) error {
	if errors.Is(err, io.EOF) {
		return &mask.SpecError{Line: 1, Reason: "the text is empty"}
	}
	text := err.Error()
	if m := lineOf.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1]) // it is digits
		return &mask.SpecError{Line: line, Reason: text[len(m[0]):]}
	}
	return &mask.SpecError{Reason: strings.TrimPrefix(text, "yaml: ")} // it does not say where
}

func node(y *yaml.Node, depth int) (*tree.Node, error) {
	fail := func(reason string) error { return &mask.SpecError{Line: y.Line, Reason: reason} }
	n := &tree.Node{Line: y.Line, Text: y.Value}
	switch {
	case depth > tree.MaxDepth:
		return nil, fail("nested too deep")
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, fail("anchors and aliases are not allowed")
	case y.Style&yaml.TaggedStyle != 0:
		return nil, fail("tags are not allowed")
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind = tree.Object
		for i := 0; i < len(y.Content); i += 2 {
			k := y.Content[i]
			if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" || k.Anchor != "" || k.Style&yaml.TaggedStyle != 0 {
				return nil, &mask.SpecError{Line: k.Line, Reason: "a name has to be plain text"}
			}
			v, err := node(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			if n.Get(k.Value) != nil {
				return nil, &mask.SpecError{Line: k.Line, Reason: fmt.Sprintf("%q is there twice", k.Value)}
			}
			n.Fields = append(n.Fields, tree.Field{Name: k.Value, Line: k.Line, Value: v})
		}
	case yaml.SequenceNode:
		n.Kind = tree.List
		for _, c := range y.Content {
			v, err := node(c, depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
	default:
		switch y.ShortTag() {
		case "!!str", "!!timestamp":
			n.Kind = tree.String
		case "!!null":
			n.Kind, n.Text = tree.Scalar, "null"
		default:
			n.Kind = tree.Scalar
		}
	}
	return n, nil
}

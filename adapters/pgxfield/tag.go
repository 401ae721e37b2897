package pgxfield

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sealfield/sealfield/token"
)

// tag is a parsed seal tag.
type tag struct {
	name    string // logical name of the column, "" for its database name
	typ     string // pg_type name, "" for the Go type's default
	noRow   bool
	indexes []indexTag
}

type indexTag struct {
	column string
	norm   string // "" stands for identity
}

// normalizers are the values of norm=. Each stands for its version 1 for ever.
var normalizers = map[string]token.Normalizer{
	"identity": token.Identity,
	"email":    token.Email,
	"digits":   token.Digits,
}

func parseTag(s string) (tag, error) {
	var t tag
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return t, errors.New("a tag has no spaces")
	}
	words := strings.Split(s, ",")
	if strings.HasPrefix(words[0], "token=") {
		return t, errors.New("token= is not supported")
	}
	if words[0] != "encrypt" {
		return t, fmt.Errorf("the first word is %q, it has to be encrypt", words[0])
	}
	for _, word := range words[1:] {
		if err := t.add(word); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *tag) add(word string) error {
	key, value, hasValue := strings.Cut(word, "=")
	if hasValue && value == "" {
		return fmt.Errorf("%s= has no value", key)
	}
	switch {
	case word == "norow":
		if t.noRow {
			return errors.New("norow is repeated")
		}
		t.noRow = true
		return nil
	case !hasValue:
		return fmt.Errorf("unknown word %q", word)
	case key == "type":
		return setOnce(&t.typ, key, value)
	case key == "name":
		return setOnce(&t.name, key, value)
	case key == "index":
		t.indexes = append(t.indexes, indexTag{column: value})
		return nil
	case key == "norm":
		if len(t.indexes) == 0 {
			return errors.New("norm= belongs after an index=")
		}
		if normalizers[value] == nil {
			return fmt.Errorf("norm=%s is no normalizer", value)
		}
		return setOnce(&t.indexes[len(t.indexes)-1].norm, key, value)
	case key == "kind" || key == "bits":
		return fmt.Errorf("%s= is not supported", key)
	}
	return fmt.Errorf("unknown word %q", key)
}

func setOnce(dst *string, key, value string) error {
	if *dst != "" {
		return fmt.Errorf("%s= is repeated", key)
	}
	*dst = value
	return nil
}

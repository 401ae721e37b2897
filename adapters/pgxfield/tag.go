package pgxfield

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sealfield/sealfield/token"
)

// tag is a parsed seal tag.
type tag struct {
	siv     bool   // token=siv in place of encrypt
	name    string // logical name of the column, "" for its database name
	typ     string // pg_type name, "" for the Go type's default
	noRow   bool
	raw     bool // values that are sealed already are sealed again
	force   bool // of token=siv
	indexes []indexTag

	token *tokenTag // nil for encrypt
}

// tokenTag is what stands after token=.
type tokenTag struct {
	token.FormatPreservingConfig
	key string // the column of the key id, "" with a version
	sep string // as it stands there
}

type indexTag struct {
	column string
	norm   string // "" stands for identity
	kind   string // "" stands for exact
	unique string // the second column, "" if the index is not unique
	force  bool
	numbers
}

// numbers are the words of an index that take a number, zero where they are
// missing.
type numbers struct{ bits, min, max int }

// normalizers are the values of norm=, beside those of Config.Normalizers. Each
// stands for its version 1 for ever.
var normalizers = map[string]token.Normalizer{
	"identity":  token.Identity,
	"email":     token.Email,
	"nfkc-fold": token.NFKCFold,
	"digits":    token.Digits,
}

func parseTag(s string) (tag, error) {
	var t tag
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return t, errors.New("a tag has no spaces")
	}
	words := strings.Split(s, ",")
	format, isToken := strings.CutPrefix(words[0], "token=")
	switch {
	case words[0] == "token=siv":
		t.siv = true
	case isToken:
		t.token = &tokenTag{FormatPreservingConfig: token.FormatPreservingConfig{Format: format}}
	case words[0] != "encrypt":
		return t, fmt.Errorf("the first word is %q, it has to be encrypt or token=", words[0])
	}
	for _, word := range words[1:] {
		if err := t.add(word); err != nil {
			return t, err
		}
	}
	if t.siv && len(t.indexes) > 0 {
		return t, errors.New("token=siv needs no index=, it is searched by itself")
	}
	return t, t.token.check()
}

func (t *tag) add(word string) error {
	key, value, hasValue := strings.Cut(word, "=")
	if hasValue && value == "" {
		return fmt.Errorf("%s= has no value", key)
	}
	switch {
	case tokenWords[key]:
		return t.token.add(key, value, hasValue)
	case word == "norow":
		if t.token != nil || t.siv {
			return errors.New("norow is for encrypt: a token is never bound to its row")
		}
		if t.noRow {
			return errors.New("norow is repeated")
		}
		t.noRow = true
		return nil
	case word == "raw":
		if t.token != nil {
			return errors.New("raw is for encrypt and token=siv")
		}
		if t.raw {
			return errors.New("raw is repeated")
		}
		t.raw = true
		return nil
	case word == "force":
		return t.addForce()
	case !hasValue:
		return fmt.Errorf("unknown word %q", word)
	case key == "type":
		return setOnce(&t.typ, key, value)
	case key == "name":
		return setOnce(&t.name, key, value)
	case key == "index":
		t.indexes = append(t.indexes, indexTag{column: value})
		return nil
	case key == "norm" || key == "kind" || key == "unique" || key == "bits" || key == "min" || key == "max":
		if len(t.indexes) == 0 {
			return fmt.Errorf("%s= belongs after an index=", key)
		}
		return t.indexes[len(t.indexes)-1].add(key, value)
	}
	return fmt.Errorf("unknown word %q", key)
}

// tokenWords are those that belong to token=.
var tokenWords = map[string]bool{"key": true, "version": true, "sep": true, "permute": true}

// separators are the values of sep=.
var separators = map[string]token.Separators{"keep": token.KeepSeparators, "drop": token.DropSeparators}

func (t *tokenTag) add(key, value string, hasValue bool) error {
	switch {
	case t == nil:
		return fmt.Errorf("%s is for token=", key)
	case key == "permute" && hasValue:
		return errors.New(`unknown word "permute="`)
	case key == "permute" && t.Permute:
		return errors.New("permute is repeated")
	case key == "permute":
		t.Permute = true
		return nil
	case !hasValue:
		return fmt.Errorf("%s= has no value", key)
	case key == "key":
		return setOnce(&t.key, key, value)
	case key == "sep":
		t.Separators = separators[value]
		if t.Separators == token.RejectSeparators {
			return fmt.Errorf("sep=%s is neither sep=keep nor sep=drop", value)
		}
		return setOnce(&t.sep, key, value)
	case t.Version != 0:
		return errors.New("version= is repeated")
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || strconv.Itoa(n) != value {
		return fmt.Errorf("version=%s is no number of a version: they begin with 1", value)
	}
	t.Version = n
	return nil
}

// check refuses a column from whose tokens nobody could tell the key.
func (t *tokenTag) check() error {
	switch {
	case t == nil:
		return nil
	case t.key == "" && t.Version == 0:
		return errors.New("a token does not say which key it is under: name a column for that with key=, or pin a version with version=")
	case t.key != "" && t.Version != 0:
		return errors.New("key= and version= exclude each other")
	}
	return nil
}

// addForce sets force of what it stands behind.
func (t *tag) addForce() error {
	force := &t.force
	if n := len(t.indexes); n > 0 {
		force = &t.indexes[n-1].force
	} else if !t.siv {
		return errors.New("force belongs after an index=")
	}
	if *force {
		return errors.New("force is repeated")
	}
	*force = true
	return nil
}

func (t *indexTag) add(key, value string) error {
	switch key {
	case "norm":
		return setOnce(&t.norm, key, value)
	case "kind":
		return setOnce(&t.kind, key, value)
	case "unique":
		return setOnce(&t.unique, key, value)
	}
	dst := map[string]*int{"bits": &t.bits, "min": &t.min, "max": &t.max}[key]
	if *dst != 0 {
		return fmt.Errorf("%s= is repeated", key)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || strconv.Itoa(n) != value {
		return fmt.Errorf("%s=%s is no positive number", key, value)
	}
	*dst = n
	return nil
}

func setOnce(dst *string, key, value string) error {
	if *dst != "" {
		return fmt.Errorf("%s= is repeated", key)
	}
	*dst = value
	return nil
}

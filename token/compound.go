package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealfield/sealfield/internal/pae"
)

// Compound returns the normalizer of an index over several values at once, such
// as a name together with a date of birth: each value goes through its own
// normalizer. The value of such an index is what Values makes of them:
//
//	byPerson, err := token.NewIndex(kr, "customers.person", token.IndexConfig{
//		Normalizer: token.Compound(token.NFKCFold, token.Identity)})
//	tag, err := byPerson.Tag(ctx, token.Values([]byte("Ann Lee"), []byte("1984-05-06")), "")
//
// A reader of the column learns which rows are equal in all of the values. That
// is the way to search a value of few kinds, such as a sex: together with another
// one that nearly every row has for itself.
//
// Its ID is "compound/1(first,second)"; nil stands for Identity. It refuses what is not made by Values, and
// another number of values.
func Compound(parts ...Normalizer) Normalizer {
	c := &compound{parts: slices.Clone(parts)}
	ids := make([]string, len(parts))
	for i := range c.parts {
		if c.parts[i] == nil {
			c.parts[i] = Identity
		}
		ids[i] = c.parts[i].ID()
	}
	c.id = "compound/1(" + strings.Join(ids, ",") + ")"
	return c
}

// Values returns the value of a compound index in an encoding in which no two
// lists of values are alike: uint32 number of values, then uint32 length and bytes
// of each, big endian. If one of the values is NULL, so is the index's tag, which
// is the caller's to keep so.
func Values(parts ...[]byte) []byte { return pae.Encode(parts...) }

type compound struct {
	id    string
	parts []Normalizer
}

func (c *compound) ID() string     { return c.id }
func (c *compound) String() string { return c.id }

var errValues = errors.New("the value is not made by Values of so many values")

func (c *compound) Append(dst, value []byte) ([]byte, error) {
	values, ok := pae.Decode(value)
	if !ok || len(values) != len(c.parts) {
		return nil, fmt.Errorf("token: %s: %w: %w", c.id, ErrValue, errValues)
	}
	normalized := make([][]byte, len(values))
	for i, part := range c.parts {
		var err error
		if normalized[i], err = part.Append(nil, []byte(values[i])); err != nil {
			return nil, err
		}
	}
	return pae.Append(dst, normalized...), nil
}

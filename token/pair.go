package token

import (
	"context"
	"errors"
)

// TagPair returns the tags of value for two columns, each with a unique index,
// that keep values unique while index keys are rotated: the first for keys of odd
// versions, the second for keys of even ones, nil for NULL. The index must be
// Exact and have 128 bits.
//
// They are the tags under the oldest key that is not destroyed, and under the
// oldest of the other parity after it, if there is one, whether it is active yet
// or not. So one column holds the tag of the older key in every row, by every
// writer, and no duplicate slips in, until all rows have the tag of the newer key
// in the other column. Then the older key can be destroyed, and the newer one is
// the older of the next pair. Keys that come later wait for that. Between two
// writers that know different keys there is always a column which both fill. A
// compromised key goes on to be written until it is destroyed.
//
// That rests on keys being known everywhere before others come to an end: like
// Match, TagPair fails where the keys could be too old, or one is suspended.
// pgxfield's Rotation tells the steps.
func (x *Index) TagPair(ctx context.Context, value []byte, scope string) (pair [2][]byte, err error) {
	if x.cfg.Kind != Exact || x.cfg.Bits != maxBits {
		return pair, x.error(errors.New("a pair of tags is for indexes of kind exact with 128 bits"))
	}
	keys, err := x.keys.Live(ctx, scope)
	if err == nil && len(keys) == 0 {
		if _, err = x.keys.Active(ctx, scope); err == nil { // makes the first
			keys, err = x.keys.Live(ctx, scope)
		}
	}
	if err != nil {
		return pair, x.error(err)
	}
	for _, k := range keys { // by ascending version
		column := (k.version + 1) % 2
		if pair[column] != nil {
			continue
		}
		if pair[column], err = k.append(nil, value, x.cfg.Normalizer); err != nil {
			return [2][]byte{}, x.error(err)
		}
	}
	return pair, nil
}

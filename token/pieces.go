package token

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// gramSize is the length of an n-gram in characters.
const gramSize = 3

func checkText(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: it is no valid UTF-8", ErrValue)
	}
	return nil
}

// pieces returns the parts of a normalized value that have a tag each. More than
// maxTags of them are not all returned.
func (c *IndexConfig) pieces(text []byte) [][]byte {
	if c.Kind == NGram {
		return grams(text)
	}
	var all [][]byte
	for n := c.Min; n <= c.Max; n++ {
		p := c.cut(text, n)
		if p == nil {
			break
		}
		all = append(all, p)
	}
	return all
}

// queryPieces returns the parts of a normalized text of which a row that has the
// text has the tags, and whether other rows may have them, too.
func (c *IndexConfig) queryPieces(text []byte) (all [][]byte, lossy bool, err error) {
	if bytes.ContainsAny(text, "%_*?") {
		return nil, false, fmt.Errorf("%w: it holds one of %% _ * ?, and there are no patterns", ErrQuery)
	}
	length, shortest := utf8.RuneCount(text), c.Min
	if c.Kind == NGram {
		shortest = gramSize
	}
	switch {
	case length < shortest:
		return nil, false, fmt.Errorf("%w: it has less than %d characters", ErrQuery, shortest)
	case c.Kind == NGram:
		if all = grams(text); len(all) > maxTags {
			return nil, false, fmt.Errorf("%w: it has more than %d tags", ErrQuery, maxTags)
		}
		return all, true, nil
	}
	return [][]byte{c.cut(text, min(length, c.Max))}, length > c.Max, nil
}

// cut returns the prefix or suffix of n characters, or nil if text is shorter.
func (c *IndexConfig) cut(text []byte, n int) []byte {
	at := 0
	for range n {
		var size int
		if c.Kind == Suffix {
			_, size = utf8.DecodeLastRune(text[:len(text)-at])
		} else {
			_, size = utf8.DecodeRune(text[at:])
		}
		if size == 0 {
			return nil
		}
		at += size
	}
	if c.Kind == Suffix {
		return text[len(text)-at:]
	}
	return text[:at]
}

// grams returns the different runs of gramSize characters, but stops once there
// are more than maxTags.
func grams(text []byte) [][]byte {
	var all [][]byte
	seen := make(map[string]bool)
	end := 0 // of the run that begins at start
	for range gramSize - 1 {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	for start := 0; end < len(text) && len(all) <= maxTags; {
		_, size := utf8.DecodeRune(text[end:])
		end += size
		if g := text[start:end]; !seen[string(g)] {
			seen[string(g)] = true
			all = append(all, g)
		}
		_, size = utf8.DecodeRune(text[start:])
		start += size
	}
	return all
}

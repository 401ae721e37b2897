package slogfield

import (
	"strings"

	"github.com/sealfield/sealfield/crypto"
)

// marker stands for what may not be seen.
const marker = "[redacted]"

// leastSealed is the size of the shortest sealed value: an index tag, an empty token.
const leastSealed = 21

// sealedBytes returns the note for b, if it is a sealed value.
func sealedBytes(b []byte) (note string, ok bool) {
	if len(b) < leastSealed {
		return "", false
	}
	id, err := crypto.KeyID(b)
	if err != nil {
		return "", false
	}
	return "sealed(key " + id.String() + ")", true
}

// sealedText is sealedBytes of the text form, or of the bytes of a string.
func sealedText(s string) (note string, ok bool) {
	switch {
	case len(s) < leastSealed:
		return "", false
	case s[0] == 1:
		return sealedBytes([]byte(s[:leastSealed]))
	case strings.HasPrefix(s, "sf1."):
		if b, err := crypto.DecodeText(s); err == nil {
			return sealedBytes(b)
		}
	}
	return "", false
}

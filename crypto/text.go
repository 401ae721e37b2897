package crypto

import (
	"encoding/base64"
	"strings"
)

const textPrefix = "sf1."

// EncodeText returns a ciphertext in the form for TEXT columns and JSON: "sf1."
// and base64url without padding (RFC 4648 section 5).
func EncodeText(ciphertext []byte) string {
	return textPrefix + base64.RawURLEncoding.EncodeToString(ciphertext)
}

// DecodeText returns the ciphertext in a new slice. It takes exactly what
// EncodeText writes: every other spelling of the same bytes (upper-case prefix,
// padding, line ends, unused bits set) is refused with ErrDecrypt.
func DecodeText(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, textPrefix)
	if ok && !strings.ContainsAny(body, "\r\n") {
		if ciphertext, err := base64.RawURLEncoding.Strict().DecodeString(body); err == nil {
			return ciphertext, nil
		}
	}
	return nil, &DecryptError{}
}

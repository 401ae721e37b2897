package crypto

import (
	"bytes"
	"context"
	"errors"

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/keyring"
)

// ErrSealed is the error of a value that is given to an adapter to be sealed and is
// sealed already, under a key of the same keyring and scope: it was read as
// ciphertext, and is on its way back.
var ErrSealed = errors.New("the value is sealed already")

// leastSealed is the size of the shortest sealed value: an index tag, an empty token.
const leastSealed = 21

// RefuseSealed refuses, for the adapters of this module, a plaintext of the given
// type class that is a ciphertext of the scope, or the text form of one. Own is the
// purpose of the keys that the value is to be sealed with, which are loaded if need
// be. Of random bytes of 33 and more, one in 2^40 passes for a ciphertext, for each
// key of the scope: 0x01 and 4 bytes of a key's id; text has to begin with "sf1.", too.
func RefuseSealed(ctx context.Context, _ derive.Access, kr *keyring.Keyring, class string, plaintext []byte, scope string, own keyring.Purpose) error {
	value := plaintext
	switch class {
	case "text":
		if !bytes.HasPrefix(plaintext, []byte(textPrefix)) {
			return nil
		}
		var err error
		if value, err = DecodeText(string(plaintext)); err != nil {
			return nil // no ciphertext, but a value that begins so
		}
	case "bytea":
	default:
		return nil
	}
	id, ok := parseKeyID(value)
	if !ok || len(value) < leastSealed {
		return nil
	}
	for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Token, keyring.Index} {
		known, err := kr.Knows(ctx, derive.Access{}, keyring.Target{Scope: scope, Purpose: purpose}, id, purpose == own)
		if err != nil {
			return err
		}
		if known {
			return ErrSealed
		}
	}
	return nil
}

package pgxfield

import (
	"bytes"
	"context"
	"errors"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/keyring"
)

// ErrSealed is the error of a value that is given to be sealed and is sealed already,
// under a key of the same keyring and scope: it was read without Row, as ciphertext,
// and is on its way back. See "raw" in the package documentation.
var ErrSealed = errors.New("the value is sealed already")

// ErrValue is the error of a value that a column of its type could not hold in the
// clear, or would give back as another one. Which values these are is said in the
// package documentation.
var ErrValue = sealform.ErrValue

// refuseSealed refuses a plaintext that is a ciphertext of the scope, or the text form
// of one. Of random bytes of 33 and more, one in 2^40 passes for one, for each key of
// the scope: 0x01 and 4 bytes of a key's id; text has to begin with "sf1.", too.
func (t *table) refuseSealed(ctx context.Context, s *sealed, plain []byte, scope string) error {
	value := plain
	switch {
	case s.raw || s.token != nil:
		return nil
	case s.pg.Class == "text":
		if !bytes.HasPrefix(plain, []byte("sf1.")) {
			return nil
		}
		var err error
		if value, err = crypto.DecodeText(string(plain)); err != nil {
			return nil // no ciphertext, but a value that begins so
		}
	case s.pg.Class != "bytea":
		return nil
	}
	id, err := crypto.KeyID(value)
	if err != nil || len(value) < leastToken {
		return nil
	}
	own := keyring.Encryption
	if s.siv != nil {
		own = keyring.Token
	}
	for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Token, keyring.Index} {
		known, err := t.keyring.Knows(ctx, derive.Access{}, keyring.Target{Scope: scope, Purpose: purpose}, id, purpose == own)
		if err != nil {
			return err
		}
		if known {
			return ErrSealed
		}
	}
	return nil
}

// leastToken is the size of the shortest sealed value: an index tag, an empty token.
const leastToken = 21

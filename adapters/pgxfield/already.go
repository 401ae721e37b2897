package pgxfield

import (
	"context"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/sealform"
	"github.com/sealfield/sealfield/keyring"
)

// ErrSealed is the error of a value that is given to be sealed and is sealed already,
// under a key of the same keyring and scope: it was read without Row, as ciphertext,
// and is on its way back. See "raw" in the package documentation. It is
// crypto.ErrSealed.
var ErrSealed = crypto.ErrSealed

// ErrValue is the error of a value that a column of its type could not hold in the
// clear, or would give back as another one. Which values these are is said in the
// package documentation.
var ErrValue = sealform.ErrValue

func (t *table) refuseSealed(ctx context.Context, s *sealed, plain []byte, scope string) error {
	if s.raw || s.token != nil {
		return nil
	}
	own := keyring.Encryption
	if s.siv != nil {
		own = keyring.Token
	}
	return crypto.RefuseSealed(ctx, derive.Access{}, t.keyring, s.pg.Class, plain, scope, own)
}

//go:build !unix

package keyring

import (
	"context"
	"errors"
)

func lockFile(context.Context, string) (func(), error) {
	return nil, errors.New("the file store can not lock files on this system; it can only be read")
}

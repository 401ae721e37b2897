package token_test

import (
	"testing"

	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/tokentest"
)

func TestMemoryVaultStore(t *testing.T) {
	tokentest.TestVaultStore(t, func(testing.TB) token.VaultStore { return token.NewMemoryVaultStore() })
}

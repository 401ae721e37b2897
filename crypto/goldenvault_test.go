package crypto_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// TestGoldenVault reads rows of a token.Vault that the other implementation wrote:
// from a token to its value, and from a value to its token.
func TestGoldenVault(t *testing.T) {
	ctx, g := t.Context(), loadGolden(t)
	kr, err := keyring.Open(ctx, keyring.Config{Name: g.Keyring, Scoped: true, Store: goldenStore{g: &g}, KMS: []keyring.KMS{goldenKMS{&g}}})
	require.NoError(t, err)
	defer kr.Close()

	var vectors struct {
		Vault, Prefix string
		Tokens        []struct {
			Convergent bool
			Value      string
			Token      token.Token
			Hash       hexBytes
			ExpiresAt  int64 `json:"expires_at_us"`
			Uses       int
			Tag        hexBytes
			Sealed     hexBytes
		}
	}
	data, err := os.ReadFile("testdata/vault.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.Len(t, vectors.Tokens, 2, "one of each kind")
	for _, v := range vectors.Tokens {
		row := token.VaultRow{Keyring: g.Keyring, Vault: vectors.Vault, Scope: g.Scope, Hash: token.TokenHash(v.Hash), Sealed: v.Sealed, Uses: v.Uses}
		if v.ExpiresAt != 0 {
			row.ExpiresAt = time.UnixMicro(v.ExpiresAt).UTC()
		}
		cfg := token.VaultConfig{Store: token.NewMemoryVaultStore(), Prefix: vectors.Prefix, Convergent: v.Convergent}
		if v.Convergent {
			row.Tags, cfg.Normalizer = [][]byte{v.Tag}, token.Digits
		}
		_, err := cfg.Store.Insert(ctx, []token.VaultRow{row})
		require.NoError(t, err)
		vault, err := token.NewVault(kr, vectors.Vault, cfg)
		require.NoError(t, err)
		if v.Convergent {
			found, err := vault.Match(ctx, []byte("4111-1111-1111-1111"), g.Scope)
			require.NoError(t, err)
			require.Equal(t, []token.Token{v.Token}, found)
		}
		value, err := vault.Detokenize(ctx, v.Token, g.Scope)
		require.NoError(t, err)
		require.Equal(t, v.Value, string(value))
	}
}

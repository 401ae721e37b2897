package token_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// TestEditedRows: whoever can write the table can make tokens fail, and no more.
func TestEditedRows(t *testing.T) {
	store := newTestVault()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	cfg := token.VaultConfig{Store: store, TTL: time.Hour, Uses: 3}
	v, other := newVault(t, kr, "v", cfg), newVault(t, kr, "other", cfg)
	victim := makeToken(t, v, pan, "a")
	sibling := rowOf(t, store, makeToken(t, v, "4242424242424242", "a"))
	foreign := rowOf(t, store, makeToken(t, v, "4242424242424242", "b"))
	elsewhere := rowOf(t, store, makeToken(t, other, "4242424242424242", "a"))
	for name, c := range map[string]struct {
		edit func(r *token.VaultRow)
		want error
	}{
		"control":                    {func(*token.VaultRow) {}, nil},
		"sealed of a sibling":        {func(r *token.VaultRow) { r.Sealed = sibling.Sealed }, token.ErrTampered},
		"sealed of another scope":    {func(r *token.VaultRow) { r.Sealed = foreign.Sealed }, crypto.ErrDecrypt},
		"sealed of another vault":    {func(r *token.VaultRow) { r.Sealed = elsewhere.Sealed }, token.ErrTampered},
		"row of a sibling":           {func(r *token.VaultRow) { h := r.Hash; *r = sibling; r.Hash = h }, token.ErrTampered},
		"row of another scope":       {func(r *token.VaultRow) { h := r.Hash; *r = foreign; r.Hash = h }, token.ErrScope},
		"row of another scope, said": {func(r *token.VaultRow) { h := r.Hash; *r = foreign; r.Hash, r.Scope = h, "a" }, crypto.ErrDecrypt},
		"row of another vault":       {func(r *token.VaultRow) { h := r.Hash; *r = elsewhere; r.Hash = h }, token.ErrKind},
		"row of another vault, said": {func(r *token.VaultRow) { h := r.Hash; *r = elsewhere; r.Hash, r.Vault = h, "v" }, token.ErrTampered},
		"another keyring":            {func(r *token.VaultRow) { r.Keyring = "other" }, token.ErrTampered},
		"a longer life":              {func(r *token.VaultRow) { r.ExpiresAt = r.ExpiresAt.Add(time.Hour) }, token.ErrTampered},
		"life for ever":              {func(r *token.VaultRow) { r.ExpiresAt = time.Time{} }, token.ErrTampered},
		"a life that is over":        {func(r *token.VaultRow) { r.ExpiresAt = time.Now().Add(-time.Hour) }, token.ErrExpired},
		"more uses":                  {func(r *token.VaultRow) { r.Uses, r.UsesLeft = 4, 4 }, token.ErrTampered},
		"any number of uses":         {func(r *token.VaultRow) { r.Uses, r.UsesLeft = 0, 0 }, token.ErrTampered},
		"more left than there were":  {func(r *token.VaultRow) { r.UsesLeft = 4 }, token.ErrTampered},
		"less than none left":        {func(r *token.VaultRow) { r.UsesLeft = -1 }, token.ErrTampered},
		"none left, but alive":       {func(r *token.VaultRow) { r.UsesLeft = 0 }, token.ErrTampered},
		"nothing sealed":             {func(r *token.VaultRow) { r.Sealed = nil }, token.ErrTampered},
		"plaintext":                  {func(r *token.VaultRow) { r.Sealed = []byte(pan) }, token.ErrTampered},
		"the token":                  {func(r *token.VaultRow) { r.Sealed = []byte(victim) }, token.ErrTampered},
		"an unknown ending":          {func(r *token.VaultRow) { r.Ended = "resumed" }, token.ErrTampered},
		"revoked":                    {func(r *token.VaultRow) { r.Ended = token.EndedRevoked }, token.ErrRevoked},
	} {
		store.edit = func(rows []token.VaultRow) []token.VaultRow {
			for i := range rows {
				c.edit(&rows[i])
			}
			return rows
		}
		value, err := v.Detokenize(t.Context(), victim, "a")
		require.ErrorIs(t, err, c.want, name)
		if c.want != nil {
			require.Nil(t, value, name)
			quiet(t, err, string(victim))
		}
	}
	for i := range sibling.Sealed {
		store.edit = func(rows []token.VaultRow) []token.VaultRow {
			rows[0].Sealed[i] ^= 1
			return rows
		}
		value, err := v.Detokenize(t.Context(), victim, "a")
		require.ErrorIs(t, err, crypto.ErrDecrypt, "a flipped bit in byte %d", i)
		require.Nil(t, value)
	}
}

// rowOf returns the row of a token.
func rowOf(t *testing.T, s *testVault, tok token.Token) token.VaultRow {
	rows, err := s.VaultStore.Load(t.Context(), "test", []token.TokenHash{token.HashOf(tok)})
	require.NoError(t, err)
	require.Len(t, rows.Rows, 1)
	return rows.Rows[0]
}

// TestMovedTags: a tag that was pointed to another row makes Tokenize and Match
// fail. They never give out another value's token.
func TestMovedTags(t *testing.T) {
	store := newTestVault()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	cfg := token.VaultConfig{Store: store, Convergent: true}
	v := newVault(t, kr, "v", cfg)
	makeToken(t, v, pan, "a")
	random := cfg
	random.Convergent = false
	for name, row := range map[string]token.VaultRow{
		"another value's":   rowOf(t, store, makeToken(t, v, "4242424242424242", "a")),
		"another scope's":   rowOf(t, store, makeToken(t, v, pan, "b")),
		"another vault's":   rowOf(t, store, makeToken(t, newVault(t, kr, "other", cfg), pan, "a")),
		"a random token's":  rowOf(t, store, makeToken(t, newVault(t, kr, "v", random), pan, "a")),
		"of another prefix": rowOf(t, store, makeToken(t, newVault(t, kr, "v", token.VaultConfig{Store: store, Convergent: true, Prefix: "eml"}), pan, "a")),
	} {
		store.edit = func(rows []token.VaultRow) []token.VaultRow {
			for i := range rows {
				tags := rows[i].Tags
				rows[i] = row
				rows[i].Tags = tags
			}
			return rows
		}
		tok, err := v.Tokenize(t.Context(), []byte(pan), "a")
		require.ErrorIs(t, err, token.ErrTampered, name)
		require.Empty(t, tok)
		quiet(t, err)
		tokens, err := v.TokenizeAll(t.Context(), [][]byte{[]byte("x"), []byte(pan)}, "a")
		require.ErrorIs(t, err, token.ErrTampered, name)
		require.Nil(t, tokens)
		matched, err := v.Match(t.Context(), []byte(pan), "a")
		require.ErrorIs(t, err, token.ErrTampered, name)
		require.Nil(t, matched)
	}
}

// TestTableAndKeysWithoutToken plays somebody who has the table and every key. Of a
// convergent vault that opens the values, as the control shows; of a random one it
// gives neither value nor token.
func TestTableAndKeysWithoutToken(t *testing.T) {
	for _, convergent := range []bool{true, false} {
		store := newTestVault()
		kr := keyringtest.NewKeyring(t)
		v := newVault(t, kr, "v", token.VaultConfig{Store: store, Convergent: convergent})
		tok := makeToken(t, v, pan, "")
		_, body := token.Parts(tok)
		row := rowOf(t, store, tok)
		require.NotContains(t, fmt.Sprintf("%+v", row), pan)
		require.NotContains(t, fmt.Sprintf("%+v", row), string(tok))
		require.False(t, bytes.Contains(row.Sealed, body[:]))

		thief, err := crypto.NewField(kr, "v", crypto.FieldConfig{Type: "vault/1"})
		require.NoError(t, err)
		place := pae.Encode(string(row.Hash[:]), "", strconv.Itoa(0))
		loot, err := thief.Decrypt(t.Context(), row.Sealed, crypto.Binding{Row: place})
		require.NoError(t, err)
		require.Equal(t, convergent, bytes.Contains(loot, []byte(pan)))
		require.Equal(t, convergent, bytes.Contains(loot, body[:]))
		require.Len(t, loot, map[bool]int{true: 1 + 16 + len(pan), false: 1 + 28 + len(pan)}[convergent])
		require.Equal(t, pan, redeem(t, v, tok, ""), "the token opens it")
	}
}

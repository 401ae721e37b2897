package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// testVault is a VaultStore that can be told to fail, and whose rows can be edited
// on their way out, as if somebody had edited the table.
type testVault struct {
	token.VaultStore
	fail  func(operation string) error
	edit  func(rows []token.VaultRow) []token.VaultRow
	calls map[string]int
	mu    sync.Mutex
}

func newTestVault() *testVault {
	return &testVault{VaultStore: token.NewMemoryVaultStore(), calls: make(map[string]int)}
}

func (s *testVault) call(operation string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	if s.fail != nil {
		return s.fail(operation)
	}
	return nil
}

func (s *testVault) edited(rows token.VaultRows, err error) (token.VaultRows, error) {
	if err == nil && s.edit != nil {
		rows.Rows = s.edit(rows.Rows)
	}
	return rows, err
}

func (s *testVault) Load(ctx context.Context, keyring string, hashes []token.TokenHash) (token.VaultRows, error) {
	if err := s.call("Load"); err != nil {
		return token.VaultRows{}, err
	}
	return s.edited(s.VaultStore.Load(ctx, keyring, hashes))
}

func (s *testVault) Find(ctx context.Context, keyring string, tags [][]byte) (token.VaultRows, error) {
	if err := s.call("Find"); err != nil {
		return token.VaultRows{}, err
	}
	return s.edited(s.VaultStore.Find(ctx, keyring, tags))
}

func (s *testVault) Insert(ctx context.Context, rows []token.VaultRow) ([]bool, error) {
	if err := s.call("Insert"); err != nil {
		return nil, err
	}
	return s.VaultStore.Insert(ctx, rows)
}

func (s *testVault) Use(ctx context.Context, keyring string, hashes []token.TokenHash) ([]bool, error) {
	if err := s.call("Use"); err != nil {
		return nil, err
	}
	return s.VaultStore.Use(ctx, keyring, hashes)
}

func (s *testVault) Revoke(ctx context.Context, keyring string, hash token.TokenHash) error {
	if err := s.call("Revoke"); err != nil {
		return err
	}
	return s.VaultStore.Revoke(ctx, keyring, hash)
}

func (s *testVault) Purge(ctx context.Context, keyring, vault string, keep time.Duration) (token.Purged, error) {
	if err := s.call("Purge"); err != nil {
		return token.Purged{}, err
	}
	return s.VaultStore.Purge(ctx, keyring, vault, keep)
}

func newVault(t testing.TB, kr *keyring.Keyring, name string, cfg token.VaultConfig) *token.Vault {
	if cfg.Store == nil {
		cfg.Store = token.NewMemoryVaultStore()
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "pan"
	}
	v, err := token.NewVault(kr, name, cfg)
	require.NoError(t, err)
	return v
}

func makeToken(t testing.TB, v *token.Vault, value, scope string) token.Token {
	t.Helper()
	tok, err := v.Tokenize(t.Context(), []byte(value), scope)
	require.NoError(t, err)
	return tok
}

func redeem(t testing.TB, v *token.Vault, tok token.Token, scope string) string {
	t.Helper()
	value, err := v.Detokenize(t.Context(), tok, scope)
	require.NoError(t, err)
	require.NotNil(t, value)
	return string(value)
}

const pan = "4111111111111111"

// oddValues are values that something on the way might mistake for another.
func oddValues() []string {
	return []string{
		pan, "", "a", "a\x00", "\x00", "\xff\xfe no UTF-8", "ab,c", "a,bc", " a", "NULL", "\\x41", strings.Repeat("v", token.MaxVaultValue),
		"sf1.AeF5", "pan_", string(specToken) + " ", strings.ToUpper(string(specToken)),
	}
}

func TestVaultRoundTrip(t *testing.T) {
	for _, convergent := range []bool{false, true} {
		t.Run(fmt.Sprintf("convergent %t", convergent), func(t *testing.T) {
			ctx := t.Context()
			v := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{Convergent: convergent})
			seen := make(map[token.Token]string)
			for _, value := range oddValues() {
				tok := makeToken(t, v, value, "")
				require.Regexp(t, "^pan_[b-df-hj-np-t]{40}$", tok)
				require.True(t, token.IsToken(tok))
				require.NotContains(t, seen, tok)
				seen[tok] = value
				require.Equal(t, convergent, makeToken(t, v, value, "") == tok)
				require.Equal(t, value, redeem(t, v, tok, ""))
				require.Equal(t, value, redeem(t, v, tok, ""), "any number of times")
			}
			null := makeToken(t, v, "", "")
			empty, err := v.Tokenize(ctx, nil, "")
			require.NoError(t, err)
			require.Equal(t, convergent, null == empty, "nil is the empty value")
		})
	}
}

func TestVaultBatch(t *testing.T) {
	ctx := t.Context()
	for _, convergent := range []bool{false, true} {
		store := newTestVault()
		v := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{Store: store, Convergent: convergent})
		before := makeToken(t, v, "value 7", "")
		clear(store.calls)
		var values [][]byte
		for i := range 2500 {
			values = append(values, fmt.Appendf(nil, "value %d", i%2400)) // the last hundred once more
		}
		tokens, err := v.TokenizeAll(ctx, values, "")
		require.NoError(t, err)
		require.Len(t, tokens, len(values))
		require.Equal(t, 3, store.calls["Insert"])
		require.Equal(t, convergent, tokens[7] == before)
		require.Equal(t, convergent, tokens[0] == tokens[2400])
		distinct := len(slices.Compact(slices.Sorted(slices.Values(tokens))))
		require.Equal(t, convergent, distinct == 2400)

		again, err := v.DetokenizeAll(ctx, tokens, "")
		require.NoError(t, err)
		require.Equal(t, values, again)
		require.Equal(t, 3, store.calls["Load"])

		for _, none := range [][][]byte{nil, {}} {
			tokens, err = v.TokenizeAll(ctx, none, "")
			require.NoError(t, err)
			require.Empty(t, tokens)
			again, err = v.DetokenizeAll(ctx, tokens, "")
			require.NoError(t, err)
			require.Empty(t, again)
		}
	}
}

// Batches of large values are cut by size, too.
func TestVaultBatchOfLargeValues(t *testing.T) {
	store := newTestVault()
	v := newVault(t, keyringtest.NewKeyring(t), "files", token.VaultConfig{Store: store})
	values := make([][]byte, 9)
	for i := range values {
		values[i] = bytes.Repeat([]byte{byte(i)}, token.MaxVaultValue)
	}
	tokens, err := v.TokenizeAll(t.Context(), values, "")
	require.NoError(t, err)
	require.Equal(t, 3, store.calls["Insert"])
	again, err := v.DetokenizeAll(t.Context(), tokens, "")
	require.NoError(t, err)
	require.Equal(t, values, again)
}

// Nothing but the same value in the same scope of the same vault of the same keyring
// gives the same token.
func TestVaultDomains(t *testing.T) {
	store, keys, kms := token.NewMemoryVaultStore(), keyring.NewMemoryStore(), keyringtest.NewKMS()
	seen := make(map[token.Token]string)
	for _, name := range []string{"one", "two"} {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Name, c.Store, c.KMS, c.Scoped = name, keys, []keyring.KMS{kms}, true })
		for _, scope := range []string{"t", "t1"} {
			for _, vault := range []string{"a.b", "a.b1", "1a.b"} {
				for _, prefix := range []string{"pan", "eml"} {
					for _, n := range []token.Normalizer{nil, token.Digits} {
						v := newVault(t, kr, vault, token.VaultConfig{Store: store, Prefix: prefix, Convergent: true, Normalizer: n})
						tok := makeToken(t, v, "123", scope)
						place := fmt.Sprint(name, " ", scope, " ", vault, " ", prefix, " ", n)
						require.Empty(t, seen[tok], place)
						seen[tok] = place
						require.Equal(t, tok, makeToken(t, v, "123", scope), place)
					}
				}
			}
		}
	}
	require.Len(t, seen, 48)
}

func TestVaultNormalizer(t *testing.T) {
	v := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{Convergent: true, Normalizer: token.Digits})
	tok := makeToken(t, v, "4111 1111 1111 1111", "")
	for _, spelling := range []string{pan, "4111-1111-1111-1111", " 41111111 11111111"} {
		require.Equal(t, tok, makeToken(t, v, spelling, ""))
	}
	require.Equal(t, "4111 1111 1111 1111", redeem(t, v, tok, ""), "the first spelling")
	tokens, err := v.TokenizeAll(t.Context(), [][]byte{[]byte("42"), []byte("4-2"), []byte(pan)}, "")
	require.NoError(t, err)
	require.Equal(t, tokens[0], tokens[1])
	require.Equal(t, tok, tokens[2])
	_, err = v.TokenizeAll(t.Context(), [][]byte{[]byte("43"), []byte("secret")}, "")
	require.ErrorIs(t, err, token.ErrValue)
	require.ErrorContains(t, err, "value 1")
	require.NotContains(t, err.Error(), "secret")
	matched, err := v.Match(t.Context(), []byte("43"), "")
	require.NoError(t, err)
	require.Empty(t, matched, "a batch with a value that is wrong does nothing")
}

func TestVaultMatch(t *testing.T) {
	ctx := t.Context()
	v := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{Convergent: true})
	match := func(value string) []token.Token {
		t.Helper()
		tokens, err := v.Match(ctx, []byte(value), "")
		require.NoError(t, err)
		require.NotNil(t, tokens)
		return tokens
	}
	require.Empty(t, match(pan), "before there is a key")
	tok := makeToken(t, v, pan, "")
	require.Equal(t, []token.Token{tok}, match(pan))
	require.Empty(t, match(pan+"1"))
	require.NoError(t, v.Revoke(ctx, tok, ""))
	require.Empty(t, match(pan))
	next := makeToken(t, v, pan, "")
	require.NotEqual(t, tok, next)
	require.Equal(t, []token.Token{next}, match(pan))

	random := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{})
	tokens, err := random.Match(ctx, []byte(pan), "")
	require.Error(t, err)
	require.Nil(t, tokens)
}

func TestNewVaultRefuses(t *testing.T) {
	kr, store := keyringtest.NewKeyring(t), token.NewMemoryVaultStore()
	for _, c := range []struct {
		kr   *keyring.Keyring
		name string
		cfg  token.VaultConfig
	}{
		{nil, "v", token.VaultConfig{Store: store, Prefix: "pan"}},
		{kr, "", token.VaultConfig{Store: store, Prefix: "pan"}},
		{kr, "sealfield/v", token.VaultConfig{Store: store, Prefix: "pan"}},
		{kr, "v", token.VaultConfig{Prefix: "pan"}},
		{kr, "v", token.VaultConfig{Store: store}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "p"}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "abcdefghijk"}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "Pan"}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan4"}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan_"}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", Normalizer: token.Email}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", TTL: -time.Second}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", TTL: time.Nanosecond}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", Uses: -1}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", Uses: 1 << 31}},
		{kr, "v", token.VaultConfig{Store: store, Prefix: "pan", Uses: 1, Convergent: true}},
	} {
		v, err := token.NewVault(c.kr, c.name, c.cfg)
		require.Error(t, err, "%q %+v", c.name, c.cfg)
		require.Nil(t, v)
	}
}

// refused checks that nothing comes out of a token but this error, whose text holds
// neither the token nor the value.
func refused(t *testing.T, v *token.Vault, tok token.Token, scope string, want error) {
	t.Helper()
	value, err := v.Detokenize(t.Context(), tok, scope)
	require.ErrorIs(t, err, want)
	require.Nil(t, value)
	quiet(t, err, string(tok))
	for _, other := range allErrors {
		require.Equal(t, other == want, errors.Is(err, other), "%v is %v", err, other)
	}
	values, err := v.DetokenizeAll(t.Context(), []token.Token{tok}, scope)
	require.ErrorIs(t, err, want)
	quiet(t, err, string(tok))
	for _, value := range values {
		require.Nil(t, value)
	}
}

func quiet(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range append(secrets, pan) {
		if len(secret) > 3 {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
	}
}

var allErrors = []error{
	token.ErrNotToken, token.ErrChecksum, token.ErrKind, token.ErrScope, token.ErrUnknown, token.ErrRevoked, token.ErrExpired, token.ErrUsed,
	token.ErrTampered, keyring.ErrScope, keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrClosed,
}

// TestVaultErrors: each reason has its own error.
func TestVaultErrors(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	store := newTestVault()
	for _, convergent := range []bool{false, true} {
		v := newVault(t, kr, "customers.pan", token.VaultConfig{Store: store, Convergent: convergent})
		tok := makeToken(t, v, pan, "a")
		refused(t, v, "", "a", token.ErrNotToken)
		refused(t, v, pan, "a", token.ErrNotToken)
		refused(t, v, token.Token(strings.ToUpper(string(tok))), "a", token.ErrNotToken)
		refused(t, v, "eml"+tok[3:], "a", token.ErrChecksum)
		refused(t, v, tok, "b", token.ErrScope)
		refused(t, v, tok, "", keyring.ErrScope)
		refused(t, v, token.NewToken("pan", [16]byte{1}), "a", token.ErrUnknown)
		refused(t, v, token.NewToken("eml", [16]byte{1}), "a", token.ErrKind)
		refused(t, newVault(t, kr, "customers.pan2", token.VaultConfig{Store: store, Convergent: convergent}), tok, "a", token.ErrKind)
		refused(t, newVault(t, kr, "customers.pan", token.VaultConfig{Prefix: "eml", Store: store}), tok, "a", token.ErrKind)
		for _, down := range []error{keyring.ErrUnavailable, keyring.ErrDenied} {
			store.fail = func(string) error { return fmt.Errorf("store: %w", down) }
			refused(t, v, tok, "a", down)
			_, err := v.Tokenize(ctx, []byte(pan), "a")
			require.ErrorIs(t, err, down)
			quiet(t, err)
			require.ErrorIs(t, v.Revoke(ctx, tok, "a"), down)
			_, err = v.Purge(ctx, 0)
			require.ErrorIs(t, err, down)
			store.fail = nil
		}
		require.Equal(t, pan, redeem(t, v, tok, "a"))

		for want, err := range map[error]error{
			token.ErrScope:    v.Revoke(ctx, tok, "b"),
			keyring.ErrScope:  v.Revoke(ctx, tok, ""),
			token.ErrUnknown:  v.Revoke(ctx, token.NewToken("pan", [16]byte{1}), "a"),
			token.ErrKind:     v.Revoke(ctx, token.NewToken("eml", [16]byte{1}), "a"),
			token.ErrNotToken: v.Revoke(ctx, pan, "a"),
		} {
			require.ErrorIs(t, err, want)
			quiet(t, err)
		}
		for range 2 {
			require.NoError(t, v.Revoke(ctx, tok, "a"))
			refused(t, v, tok, "a", token.ErrRevoked)
		}

		for value, want := range map[string]error{
			strings.Repeat("v", token.MaxVaultValue+1): token.ErrValueSize,
			string(tok): token.ErrIsToken,
		} {
			got, err := v.Tokenize(ctx, []byte(value), "a")
			require.ErrorIs(t, err, want)
			require.Empty(t, got)
			quiet(t, err, value)
			_, err = v.TokenizeAll(ctx, [][]byte{[]byte("fine"), []byte(value)}, "a")
			require.ErrorIs(t, err, want)
			require.ErrorContains(t, err, "value 1")
			quiet(t, err, value)
		}
		_, err := v.Tokenize(ctx, []byte(pan), "")
		require.ErrorIs(t, err, keyring.ErrScope)
		_, err = v.Purge(ctx, -1)
		require.Error(t, err)
	}
	_, err := newVault(t, keyringtest.NewKeyring(t), "v", token.VaultConfig{}).Tokenize(ctx, []byte(pan), "a")
	require.ErrorIs(t, err, keyring.ErrScope)
	closed := newVault(t, kr, "closed", token.VaultConfig{Store: store, Convergent: true})
	tok := makeToken(t, closed, pan, "a")
	require.NoError(t, kr.Close())
	refused(t, closed, tok, "a", keyring.ErrClosed)
	_, err = closed.Tokenize(ctx, []byte(pan), "a")
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestVaultErased: what a shredded scope's tokens say is what the keyring says.
func TestVaultKeyErrors(t *testing.T) {
	keys := keyring.NewMemoryStore()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Store, c.Scoped = keys, true })
	v := newVault(t, kr, "customers.pan", token.VaultConfig{Convergent: true})
	tok := makeToken(t, v, pan, "a")
	require.NoError(t, keys.EraseScope(t.Context(), "test", "a"))
	require.NoError(t, kr.Refresh(t.Context()))
	value, err := v.Detokenize(t.Context(), tok, "a")
	require.Nil(t, value)
	require.ErrorIs(t, err, keyring.ErrErased)
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.NotErrorIs(t, err, token.ErrTampered)
	_, err = v.Tokenize(t.Context(), []byte(pan), "a")
	require.ErrorIs(t, err, keyring.ErrErased)
	_, err = v.Match(t.Context(), []byte(pan), "a")
	require.ErrorIs(t, err, keyring.ErrErased)
}

func TestVaultPartlyFailedBatch(t *testing.T) {
	ctx := t.Context()
	store := newTestVault()
	v := newVault(t, keyringtest.NewKeyring(t), "customers.pan", token.VaultConfig{Store: store})
	good, revoked := makeToken(t, v, "good", ""), makeToken(t, v, "revoked", "")
	require.NoError(t, v.Revoke(ctx, revoked, ""))
	values, err := v.DetokenizeAll(ctx, []token.Token{pan, good, revoked, good, token.NewToken("pan", [16]byte{}), token.NewToken("eml", [16]byte{})}, "")
	require.Equal(t, [][]byte{nil, []byte("good"), nil, []byte("good"), nil, nil}, values)
	require.EqualError(t, err, "token: vault customers.pan: 4 tokens failed, first that at 0: it is no token")
	b, ok := errors.AsType[*token.BatchError](err)
	require.True(t, ok)
	require.Len(t, b.Errs, 4)
	require.ErrorIs(t, b.Errs[0], token.ErrNotToken)
	require.ErrorIs(t, b.Errs[2], token.ErrRevoked)
	require.ErrorIs(t, b.Errs[4], token.ErrUnknown)
	require.ErrorIs(t, b.Errs[5], token.ErrKind)
	require.ErrorIs(t, err, token.ErrRevoked)
	quiet(t, err, string(revoked))
	values[1][0] = 'X'
	require.Equal(t, "good", string(values[3]), "each value is a slice of its own")

	// A call of the store that fails costs only what it was about.
	many := make([]token.Token, 1500)
	for i := range many {
		many[i] = good
	}
	many[1200] = revoked
	many[200] = revoked
	loads := 0
	store.fail = func(operation string) error {
		if loads++; loads == 2 {
			return keyring.ErrUnavailable
		}
		return nil
	}
	values, err = v.DetokenizeAll(ctx, many, "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	b, _ = errors.AsType[*token.BatchError](err)
	failed := errors.Is(b.Errs[0], keyring.ErrUnavailable) // or else the second piece
	for i := range values {
		switch {
		case failed == (i < 1000):
			require.ErrorIs(t, b.Errs[i], keyring.ErrUnavailable)
			require.Nil(t, values[i])
		case many[i] == revoked:
			require.ErrorIs(t, b.Errs[i], token.ErrRevoked)
			require.Nil(t, values[i])
		default:
			require.Equal(t, "good", string(values[i]))
		}
	}
}

func TestVaultUses(t *testing.T) {
	ctx := t.Context()
	store := newTestVault()
	kr := keyringtest.NewKeyring(t)
	once := newVault(t, kr, "links", token.VaultConfig{Store: store, Prefix: "lnk", Uses: 1})
	tok := makeToken(t, once, pan, "")
	require.Equal(t, pan, redeem(t, once, tok, ""))
	refused(t, once, tok, "", token.ErrUsed)

	// The number is the token's, not that of the vault that redeems it.
	forever := newVault(t, kr, "links", token.VaultConfig{Store: store, Prefix: "lnk"})
	tok = makeToken(t, once, pan, "")
	require.Equal(t, pan, redeem(t, forever, tok, ""))
	refused(t, forever, tok, "", token.ErrUsed)

	thrice := newVault(t, kr, "links", token.VaultConfig{Store: store, Prefix: "lnk", Uses: 3})
	a, b := makeToken(t, thrice, "a", ""), makeToken(t, thrice, "b", "")
	values, err := thrice.DetokenizeAll(ctx, []token.Token{a, b, a, a, a, b}, "")
	require.ErrorIs(t, err, token.ErrUsed)
	require.Equal(t, [][]byte{[]byte("a"), []byte("b"), []byte("a"), []byte("a"), nil, []byte("b")}, values)
	batch, _ := errors.AsType[*token.BatchError](err)
	require.Len(t, batch.Errs, 1)
	require.Equal(t, "b", redeem(t, once, b, ""))
	refused(t, once, b, "", token.ErrUsed)
}

// What costs no use: an outage, of the store or of the keys, and being refused.
func TestOutageCostsNoUse(t *testing.T) {
	ctx := t.Context()
	store, keys, kms := newTestVault(), keyring.NewMemoryStore(), keyringtest.NewKMS()
	config := func(c *keyring.Config) { c.Store, c.KMS = keys, []keyring.KMS{kms} }
	cfg := token.VaultConfig{Store: store, Uses: 1}
	v := newVault(t, keyringtest.NewKeyring(t, config), "v", cfg)
	tok := makeToken(t, v, pan, "")

	for _, down := range []string{"Load", "Use"} {
		store.fail = func(operation string) error {
			if operation == down {
				return keyring.ErrUnavailable
			}
			return nil
		}
		refused(t, v, tok, "", keyring.ErrUnavailable)
	}
	store.fail = nil
	cold := newVault(t, keyringtest.NewKeyring(t, config), "v", cfg)
	kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrUnavailable })
	_, err := cold.Detokenize(ctx, tok, "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	kms.SetHook(nil)
	store.edit = func(rows []token.VaultRow) []token.VaultRow {
		for i := range rows {
			rows[i].Sealed = append(bytes.Clone(rows[i].Sealed[:10]), rows[i].Sealed[9:]...)
		}
		return rows
	}
	refused(t, v, tok, "", token.ErrTampered)
	store.edit = nil
	require.Equal(t, pan, redeem(t, v, tok, ""))
	refused(t, v, tok, "", token.ErrUsed)
}

// A token that ends between the look at it and its use gives nothing.
func TestVaultEndsMeanwhile(t *testing.T) {
	for want, end := range map[error]func(v *token.Vault, s *testVault, tok token.Token){
		token.ErrUsed:    func(v *token.Vault, _ *testVault, tok token.Token) { v.Detokenize(context.Background(), tok, "") },
		token.ErrRevoked: func(v *token.Vault, _ *testVault, tok token.Token) { v.Revoke(context.Background(), tok, "") },
		token.ErrUnknown: func(v *token.Vault, s *testVault, tok token.Token) {
			s.edit = func([]token.VaultRow) []token.VaultRow { return nil }
			v.Revoke(context.Background(), tok, "")
			s.VaultStore.Use(context.Background(), "test", nil)
			s.VaultStore = token.NewMemoryVaultStore()
		},
	} {
		store := newTestVault()
		v := newVault(t, keyringtest.NewKeyring(t), "v", token.VaultConfig{Store: store, Uses: 1})
		tok := makeToken(t, v, pan, "")
		var once atomic.Bool
		store.fail = func(operation string) error {
			if operation == "Use" && once.CompareAndSwap(false, true) {
				store.mu.Unlock()
				end(v, store, tok)
				store.mu.Lock()
			}
			return nil
		}
		value, err := v.Detokenize(t.Context(), tok, "")
		require.ErrorIs(t, err, want)
		require.Nil(t, value)
	}
}

func TestVaultSingleUseRace(t *testing.T) {
	v := newVault(t, keyringtest.NewKeyring(t), "links", token.VaultConfig{Uses: 1})
	for range 50 {
		tok := makeToken(t, v, pan, "")
		var won, used atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				value, err := v.Detokenize(t.Context(), tok, "")
				switch {
				case err == nil && string(value) == pan:
					won.Add(1)
				case errors.Is(err, token.ErrUsed) && value == nil:
					used.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
		require.EqualValues(t, 15, used.Load())
	}
}

func TestVaultTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		kr := keyringtest.NewKeyring(t)
		store := token.NewMemoryVaultStore()
		hour := newVault(t, kr, "v", token.VaultConfig{Store: store, Convergent: true, TTL: time.Hour})
		forever := newVault(t, kr, "v", token.VaultConfig{Store: store, Convergent: true})
		random := newVault(t, kr, "v", token.VaultConfig{Store: store, TTL: time.Hour})
		a, b, r := makeToken(t, hour, "a", ""), makeToken(t, forever, "b", ""), makeToken(t, random, "a", "")
		require.Equal(t, b, makeToken(t, hour, "b", ""), "which keeps its time")
		time.Sleep(time.Hour - time.Microsecond)
		require.Equal(t, a, makeToken(t, forever, "a", ""), "which keeps its time")
		for _, tok := range []token.Token{a, r} {
			require.Equal(t, "a", redeem(t, forever, tok, ""))
		}
		time.Sleep(time.Microsecond)
		for _, tok := range []token.Token{a, r} {
			refused(t, forever, tok, "", token.ErrExpired)
		}
		matched, err := hour.Match(ctx, []byte("a"), "")
		require.NoError(t, err)
		require.Empty(t, matched)
		require.Equal(t, "b", redeem(t, hour, b, ""))
		next := makeToken(t, hour, "a", "")
		require.NotEqual(t, a, next)
		require.Equal(t, "a", redeem(t, hour, next, ""))
		refused(t, hour, a, "", token.ErrExpired)

		purged, err := hour.Purge(ctx, time.Minute)
		require.NoError(t, err)
		require.Equal(t, token.Purged{Erased: 2}, purged)
		refused(t, hour, a, "", token.ErrExpired)
		require.NoError(t, hour.Revoke(ctx, a, ""), "it is over either way")
		time.Sleep(2 * time.Minute)
		purged, err = hour.Purge(ctx, time.Minute)
		require.NoError(t, err)
		require.Equal(t, token.Purged{Removed: 2}, purged)
		refused(t, hour, a, "", token.ErrUnknown)
		require.Equal(t, "a", redeem(t, hour, next, ""))
		require.NoError(t, kr.Close())
	})
}

// A store whose answers can not be right is no reason to give anything out.
func TestVaultDoesNotTrustTheStore(t *testing.T) {
	ctx := t.Context()
	v := newVault(t, keyringtest.NewKeyring(t), "v", token.VaultConfig{Store: &brokenVault{}, TTL: time.Hour})
	_, err := v.Tokenize(ctx, []byte(pan), "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	for _, s := range []*brokenVault{{now: time.Now()}, {now: time.Now(), inserted: make([]bool, 1)}} {
		for _, convergent := range []bool{false, true} {
			v := newVault(t, keyringtest.NewKeyring(t), "v", token.VaultConfig{Store: s, Convergent: convergent})
			tok, err := v.Tokenize(ctx, []byte(pan), "")
			require.ErrorIs(t, err, keyring.ErrUnavailable)
			require.Empty(t, tok)
		}
	}
}

// brokenVault answers without having done anything.
type brokenVault struct {
	token.VaultStore
	now      time.Time
	inserted []bool
}

func (s *brokenVault) Load(context.Context, string, []token.TokenHash) (token.VaultRows, error) {
	return token.VaultRows{Now: s.now}, nil
}

func (s *brokenVault) Find(context.Context, string, [][]byte) (token.VaultRows, error) {
	return token.VaultRows{Now: s.now}, nil
}

func (s *brokenVault) Insert(context.Context, []token.VaultRow) ([]bool, error) {
	return s.inserted, nil
}

// TestVaultFIPSOnly runs the round trips in a process of its own in FIPS-only mode.
func TestVaultFIPSOnly(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestVaultRoundTrip$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestVaultRoundTrip")
}

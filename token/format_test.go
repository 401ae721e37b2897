package token_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
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
	"github.com/sealfield/sealfield/token/ff1"
)

var tokenTarget = keyring.Target{Purpose: keyring.Token}

func newFormat(t testing.TB, kr *keyring.Keyring, name string, cfg token.FormatPreservingConfig) *token.FormatPreserving {
	f, err := token.NewFormatPreserving(kr, name, cfg)
	require.NoError(t, err)
	return f
}

func tokenize(t testing.TB, f *token.FormatPreserving, value, scope string) (string, keyring.KeyID) {
	t.Helper()
	tok, id, err := f.Tokenize(t.Context(), []byte(value), scope)
	require.NoError(t, err, "%q", value)
	require.True(t, id.Valid())
	return string(tok), id
}

func detokenize(t testing.TB, f *token.FormatPreserving, tok string, id keyring.KeyID, scope string) string {
	t.Helper()
	value, err := f.Detokenize(t.Context(), []byte(tok), id, scope)
	require.NoError(t, err)
	return string(value)
}

func TestFormatPreserving(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for format, value := range map[string]string{
		"pan": "4111111111111111", "pan-bin6": "4111111111111111", "ssn": "123456789", "phone": "+4915112345678", "iban": "GB82WEST12345698765432",
		"uuid": "f81d4fae-7dec-41d0-a765-00a0c91e6bf6", "int:1..2147483647": "42", "date:0001-01-01..9999-12-31": "1984-02-29", "[A-Z]{2}[0-9]{7}": "XK1234567",
	} {
		f := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: format})
		tok, id := tokenize(t, f, value, "")
		require.NotEqual(t, value, tok)
		require.Equal(t, value, detokenize(t, f, tok, id, ""))
		again, _ := tokenize(t, newFormat(t, kr, "f", token.FormatPreservingConfig{Format: format}), value, "")
		require.Equal(t, tok, again)
		dst, _, err := f.AppendTokenize(t.Context(), []byte("dst "), []byte(value), "")
		require.NoError(t, err)
		require.Equal(t, "dst "+tok, string(dst))
		dst, err = f.AppendDetokenize(t.Context(), []byte("dst "), []byte(tok), id, "")
		require.NoError(t, err)
		require.Equal(t, "dst "+value, string(dst))
		require.Equal(t, "f", f.Name())
	}
}

func TestNewFormatPreservingRefuses(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for _, c := range []struct {
		name string
		cfg  token.FormatPreservingConfig
		text string
	}{
		{"", token.FormatPreservingConfig{Format: "pan"}, "needs a name"},
		{"sealfield/x", token.FormatPreservingConfig{Format: "pan"}, "reserved"},
		{"f", token.FormatPreservingConfig{}, "no format of that name"},
		{"f", token.FormatPreservingConfig{Format: "visa"}, "no format of that name"},
		{"f", token.FormatPreservingConfig{Format: "pan", Version: -1}, "version -1"},
		{"f", token.FormatPreservingConfig{Format: "pan", Separators: 7}, "no such way"},
		{"f", token.FormatPreservingConfig{Format: "uuid", Separators: token.DropSeparators}, "separators"},
		{"f", token.FormatPreservingConfig{Format: "[0-9]{5}"}, "use token.Vault, or package mask"},
		{"f", token.FormatPreservingConfig{Format: "pan-bin6-last4"}, "use token.Vault, or package mask"},
		{"f", token.FormatPreservingConfig{Format: "<[0-9]{6}>[0-9]{5}(luhn)<[0-9]{4}>"}, "use token.Vault, or package mask"},
		{"f", token.FormatPreservingConfig{Format: "<[0-9]{6}>[0-9]{5}(luhn)<[0-9]{4}>", Permute: true}, "can not be permuted"},
		{"f", token.FormatPreservingConfig{Format: "[0-9]{5}", Permute: true, Separators: token.KeepSeparators}, "can not be permuted"},
		{"f", token.FormatPreservingConfig{Format: "[01]{5}", Permute: true}, "smaller than 100"},
	} {
		f, err := token.NewFormatPreserving(kr, c.name, c.cfg)
		require.ErrorContains(t, err, c.text)
		require.Nil(t, f)
		require.Equal(t, strings.Contains(c.text, "Vault"), errors.Is(err, ff1.ErrDomain))
	}
	_, err := token.NewFormatPreserving(nil, "f", token.FormatPreservingConfig{Format: "pan"})
	require.Error(t, err)
}

// TestFormatDomains checks that nothing but the same name and format in the same
// scope of the same keyring gives the same token.
func TestFormatDomains(t *testing.T) {
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	seen, n := map[string]string{}, 0
	for _, keyringName := range []string{"one", "two"} {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
			c.Name, c.Store, c.KMS, c.Scoped = keyringName, store, []keyring.KMS{kms}, true
		})
		for _, scope := range []string{"t", "t1"} {
			for _, name := range []string{"a.b", "a.b1", "1a.b"} {
				for _, format := range []string{"[0-9]{16}", "[0-9]{16-17}", "[0-9]{8}[0-9]{8}"} {
					tok, _ := tokenize(t, newFormat(t, kr, name, token.FormatPreservingConfig{Format: format}), "4111111111111111", scope)
					place := fmt.Sprint(keyringName, " ", scope, " ", name, " ", format)
					require.Empty(t, seen[tok], place)
					seen[tok], n = place, n+1
				}
			}
		}
	}
	require.Len(t, seen, n)
	// What must not change while there are tokens, because nothing notices.
	open := keyringtest.NewKeyring(t)
	keep := newFormat(t, open, "f", token.FormatPreservingConfig{Format: "pan", Separators: token.KeepSeparators})
	kept, id := tokenize(t, keep, "4111 1111 1111 1111", "")
	for name, cfg := range map[string]token.FormatPreservingConfig{
		"f":  {Format: "pan", Separators: token.DropSeparators},
		"f2": {Format: "pan", Separators: token.KeepSeparators},
	} {
		require.NotEqual(t, "4111 1111 1111 1111", detokenize(t, newFormat(t, open, name, cfg), kept, id, ""))
	}
	// What may change without a new key.
	kr := keyringtest.NewKeyring(t)
	want, _ := tokenize(t, newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "[0-9]{8-9}"}), "123456789", "")
	for _, cfg := range []token.FormatPreservingConfig{
		{Separators: token.KeepSeparators}, {Separators: token.DropSeparators}, {Permute: true}, {Version: 1},
	} {
		cfg.Format = "[0-9]{8-9}"
		got, _ := tokenize(t, newFormat(t, kr, "f", cfg), "123456789", "")
		require.Equal(t, want, got, "%+v", cfg)
	}
}

// TestFormatRotation keeps tokens and key ids through two rotations: each is read
// under its own id, searched for under all, and stale when it is.
func TestFormatRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kr := keyringtest.NewKeyring(t)
		f := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan"})
		const pan = "4111111111111111"
		tokens, ids, err := f.Match(t.Context(), []byte(pan), "")
		require.NoError(t, err)
		require.NotNil(t, tokens)
		require.Empty(t, tokens)
		require.Empty(t, ids)
		type row struct {
			tok string
			id  keyring.KeyID
		}
		var rows []row
		for version := 1; version < 4; version++ {
			tok, id := tokenize(t, f, pan, "")
			rows = append(rows, row{tok, id})
			tokens, ids, err := f.Match(t.Context(), []byte(pan), "")
			require.NoError(t, err)
			require.Len(t, tokens, version)
			for i, r := range rows {
				require.Equal(t, r, row{tokens[i], ids[i]})
				require.Equal(t, pan, detokenize(t, f, r.tok, r.id, ""))
				stale, err := f.Stale(t.Context(), r.id, "")
				require.NoError(t, err)
				require.Equal(t, i < version-1, stale)
			}
			next, err := kr.Rotate(t.Context(), tokenTarget, keyring.RotateOptions{})
			require.NoError(t, err)
			same, sameID := tokenize(t, f, pan, "")
			require.Equal(t, row{same, sameID}, rows[version-1], "a pending key makes no token")
			tokens, ids, err = f.Match(t.Context(), []byte(pan), "")
			require.NoError(t, err)
			require.Len(t, tokens, version+1, "and is searched for")
			require.Equal(t, next, ids[version])
			time.Sleep(11 * time.Minute)
		}
		require.NotEqual(t, rows[0].tok, rows[1].tok)
		wrong := detokenize(t, f, rows[0].tok, rows[1].id, "")
		require.NotEqual(t, pan, wrong, "another key is not noticed: that is what ids are for")
		_, err = f.Detokenize(t.Context(), []byte(rows[0].tok), 0, "")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		require.ErrorContains(t, errors.Unwrap(err), "no key id")
	})
}

// TestFormatPinned pins version 1 through a rotation and moves to version 2.
func TestFormatPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
		const pan = "4111111111111111"
		old := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan", Version: 1})
		next := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan", Version: 2})
		tokens, _, err := old.Match(t.Context(), []byte(pan), "t")
		require.NoError(t, err)
		require.Empty(t, tokens)
		tok, id := tokenize(t, old, pan, "t")
		require.Equal(t, pan, detokenize(t, old, tok, 0, "t"))
		require.Equal(t, pan, detokenize(t, old, tok, id, "t"))
		_, _, err = next.Tokenize(t.Context(), []byte(pan), "t")
		require.ErrorIs(t, err, keyring.ErrUnknownKey)
		_, err = next.Detokenize(t.Context(), []byte(tok), 0, "t")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		_, _, err = next.Match(t.Context(), []byte(pan), "t")
		require.ErrorIs(t, err, keyring.ErrUnknownKey, "another process may have made it just now")

		target := keyring.Target{Scope: "t", Purpose: keyring.Token}
		_, err = kr.Rotate(t.Context(), target, keyring.RotateOptions{})
		require.NoError(t, err)
		_, _, err = next.Tokenize(t.Context(), []byte(pan), "t")
		require.ErrorIs(t, err, keyring.ErrUnavailable, "pending")
		time.Sleep(11 * time.Minute)
		again, againID := tokenize(t, old, pan, "t")
		require.Equal(t, tok, again)
		require.Equal(t, id, againID)
		moved, movedID := tokenize(t, next, pan, "t")
		require.NotEqual(t, tok, moved)
		require.NotEqual(t, id, movedID)
		require.Equal(t, pan, detokenize(t, next, moved, 0, "t"))
		require.Equal(t, pan, detokenize(t, next, tok, id, "t"), "an id that is given counts")
		tokens, ids, err := next.Match(t.Context(), []byte(pan), "t")
		require.NoError(t, err)
		require.Equal(t, []string{moved}, tokens)
		require.Equal(t, []keyring.KeyID{movedID}, ids)
		for f, stale := range map[*token.FormatPreserving]bool{old: false, next: true} {
			got, err := f.Stale(t.Context(), id, "t")
			require.NoError(t, err)
			require.Equal(t, stale, got)
		}
	})
}

// TestFormatStates has a version that is pinned, retired, suspended, resumed and
// compromised.
func TestFormatStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kr := keyringtest.NewKeyring(t)
		f := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan", Version: 1})
		tok, id := tokenize(t, f, "4111111111111111", "")
		_, err := kr.Rotate(t.Context(), tokenTarget, keyring.RotateOptions{})
		require.NoError(t, err)
		time.Sleep(11 * time.Minute)
		tokenize(t, f, "4111111111111111", "")
		write := func() error {
			_, _, err := f.Tokenize(t.Context(), []byte("4111111111111111"), "")
			return err
		}
		read := func() error {
			_, err := f.Detokenize(t.Context(), []byte(tok), 0, "")
			return err
		}
		require.NoError(t, kr.Suspend(t.Context(), tokenTarget, id))
		require.ErrorIs(t, write(), keyring.ErrSuspended)
		require.ErrorIs(t, read(), keyring.ErrSuspended)
		require.ErrorIs(t, read(), crypto.ErrDecrypt)
		require.NoError(t, kr.Resume(t.Context(), tokenTarget, id))
		require.NoError(t, write())
		_, err = kr.MarkCompromised(t.Context(), tokenTarget, id)
		require.NoError(t, err)
		require.ErrorIs(t, write(), keyring.ErrCompromised)
		require.NoError(t, read())
		tokenize(t, newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan", Version: 2}), "4111111111111111", "")
	})
}

// TestFormatErrors has all that can go wrong with a token: a refused token is
// crypto.ErrDecrypt, an outage is not, and neither shows what it is about.
func TestFormatErrors(t *testing.T) {
	kms := keyringtest.NewKMS()
	store := keyring.NewMemoryStore()
	open := func() *keyring.Keyring {
		return keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Store, c.KMS = store, []keyring.KMS{kms} })
	}
	kr := open()
	f := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan"})
	tok, id := tokenize(t, f, "4111111111111111", "")
	for _, value := range []string{"", "4111111111111112", "411111111111111x", "4111 1111 1111 1111", strings.Repeat("4", 5000)} {
		out, gotID, err := f.Tokenize(t.Context(), []byte(value), "")
		require.ErrorIs(t, err, token.ErrFormat, "%q", value)
		require.Nil(t, out)
		require.Zero(t, gotID)
		require.NotContains(t, err.Error(), "4111")
		out, err = f.Detokenize(t.Context(), []byte(value), id, "")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		require.ErrorIs(t, err, token.ErrFormat)
		require.EqualError(t, err, crypto.ErrDecrypt.Error())
		require.Nil(t, out)
		var about *crypto.DecryptError
		require.ErrorAs(t, err, &about)
		require.Equal(t, "f", about.Field)
		require.Equal(t, id, about.KeyID)
		require.NotContains(t, fmt.Sprintf("%v %+v", about.Err, about), "4111")
		_, _, err = f.Match(t.Context(), []byte(value), "")
		require.ErrorIs(t, err, token.ErrFormat)
	}
	_, err := f.Detokenize(t.Context(), []byte(tok), 0x8badf00d, "")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	var unknown *keyring.KeyError
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	require.EqualValues(t, 0x8badf00d, unknown.ID)
	for _, call := range []func(scope string) error{
		func(scope string) error {
			_, _, err := f.Tokenize(t.Context(), []byte("4111111111111111"), scope)
			return err
		},
		func(scope string) error { _, err := f.Detokenize(t.Context(), []byte(tok), id, scope); return err },
		func(scope string) error {
			_, _, err := f.Match(t.Context(), []byte("4111111111111111"), scope)
			return err
		},
		func(scope string) error { _, err := f.Stale(t.Context(), id, scope); return err },
	} {
		err := call("tenant")
		require.ErrorIs(t, err, keyring.ErrScope)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)
		require.ErrorContains(t, err, "token: format-preserving f: ")
	}
	kms.SetHook(func(context.Context, string) ([]byte, error) { return nil, keyring.ErrUnavailable })
	cold := newFormat(t, open(), "f", token.FormatPreservingConfig{Format: "pan"})
	_, err = cold.Detokenize(t.Context(), []byte(tok), id, "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
	_, _, err = cold.Tokenize(t.Context(), []byte("4111111111111111"), "")
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.NoError(t, kr.Close())
	_, err = f.Detokenize(t.Context(), []byte(tok), id, "")
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
}

// TestFormatConcurrent tokenizes and detokenizes from 16 goroutines while keys
// rotate: the id that comes with a token is the one that opens it.
func TestFormatConcurrent(t *testing.T) {
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
		c.PropagationDelay, c.RefreshEvery = 20*time.Millisecond, 10*time.Millisecond
	})
	f := newFormat(t, kr, "f", token.FormatPreservingConfig{Format: "pan"})
	var wrong atomic.Int64
	var ids sync.Map
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			var tok, back []byte
			for {
				select {
				case <-stop:
					return
				default:
				}
				var id keyring.KeyID
				var err error
				if tok, id, err = f.AppendTokenize(context.Background(), tok[:0], []byte("4111111111111111"), ""); err != nil {
					wrong.Add(1)
					continue
				}
				ids.Store(id, true)
				if back, err = f.AppendDetokenize(context.Background(), back[:0], tok, id, ""); err != nil || string(back) != "4111111111111111" {
					wrong.Add(1)
				}
			}
		})
	}
	for range 5 {
		_, err := kr.Rotate(t.Context(), tokenTarget, keyring.RotateOptions{})
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	require.Zero(t, wrong.Load())
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	require.Greater(t, n, 1, "keys changed meanwhile")
}

func TestFormatAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	for _, version := range []int{0, 1} {
		f := newFormat(t, keyringtest.NewKeyring(t), "f", token.FormatPreservingConfig{Format: "pan", Version: version})
		ctx, value, dst := t.Context(), []byte("4111111111111111"), make([]byte, 0, 32)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			var id keyring.KeyID
			dst, id, _ = f.AppendTokenize(ctx, dst[:0], value, "")
			dst, _ = f.AppendDetokenize(ctx, dst[:0], dst, id, "")
		}))
		require.Equal(t, value, dst)
	}
}

// formatGolden is testdata/format.json: a keyring and tokens that were made by an
// implementation of SPEC.md in another language. No test writes it.
type formatGolden struct {
	Keyring, Scope string
	Settings       struct {
		Scoped             bool  `json:"scoped"`
		PropagationDelayUS int64 `json:"propagation_delay_us"`
		EncryptGraceUS     int64 `json:"encrypt_grace_us"`
		DecryptGraceUS     int64 `json:"decrypt_grace_us"`
	}
	Root struct {
		KeyID      string `json:"key_id"`
		CreatedAt  int64  `json:"created_at_us"`
		Secret     string
		KMSContext string `json:"kms_context"`
		Check      string `json:"check_value"`
	}
	DEKs []struct {
		Version    int
		KeyID      string `json:"key_id"`
		CreatedAt  int64  `json:"created_at_us"`
		ActivateAt int64  `json:"activate_at_us"`
		Wrapped    string
	}
	Formats []struct {
		Name, Format, Notation, Separators string
		Permute                            bool
		Version                            int
		Values                             []struct{ Value, Token string }
	}
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func keyID(t testing.TB, s string) keyring.KeyID {
	var id uint32
	_, err := fmt.Sscanf(s, "%08x", &id)
	require.NoError(t, err)
	return keyring.KeyID(id)
}

// formatStore gives the golden rows and takes none; formatKMS unwraps to the
// golden root, whose wrapped form is its encryption context.
type formatStore struct {
	keyring.Store
	loaded keyring.Loaded
}

func (s formatStore) Load(context.Context, string, []keyring.Target) (keyring.Loaded, error) {
	s.loaded.Now = time.Now()
	return s.loaded, nil
}

type formatKMS struct{ context, secret []byte }

func (formatKMS) URI() string { return "golden" }
func (formatKMS) Wrap(context.Context, []byte, keyring.EncryptionContext) ([]byte, error) {
	return nil, errors.New("not here")
}
func (k formatKMS) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if !bytes.Equal(wrapped, k.context) || !bytes.Equal(ec.Encode(), k.context) {
		return nil, keyring.ErrDenied
	}
	return bytes.Clone(k.secret), nil
}

func TestFormatGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/format.json")
	require.NoError(t, err)
	var g formatGolden
	require.NoError(t, json.Unmarshal(data, &g))
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	kms := formatKMS{unhex(t, g.Root.KMSContext), unhex(t, g.Root.Secret)}
	rootID := keyID(t, g.Root.KeyID)
	loaded := keyring.Loaded{Roots: []keyring.Root{{Keyring: g.Keyring, Purpose: keyring.Token, Version: 1, ID: rootID, State: keyring.RootOpen,
		CreatedAt: time.UnixMicro(g.Root.CreatedAt), Check: unhex(t, g.Root.Check), Revision: 1, Wraps: []keyring.Wrap{{URI: "golden", Wrapped: kms.context}},
		Settings: keyring.Settings{Scoped: g.Settings.Scoped, PropagationDelay: us(g.Settings.PropagationDelayUS),
			EncryptGrace: us(g.Settings.EncryptGraceUS), DecryptGrace: us(g.Settings.DecryptGraceUS)}}}}
	for _, k := range g.DEKs {
		loaded.Keys = append(loaded.Keys, keyring.Key{Keyring: g.Keyring, Scope: g.Scope, Purpose: keyring.Token, Version: k.Version, ID: keyID(t, k.KeyID), State: keyring.KeyEnabled,
			CreatedAt: time.UnixMicro(k.CreatedAt), ActivateAt: time.UnixMicro(k.ActivateAt), Root: rootID, Wrapped: unhex(t, k.Wrapped), Revision: 1})
	}
	kr, err := keyring.Open(t.Context(), keyring.Config{Name: g.Keyring, Store: formatStore{loaded: loaded}, KMS: []keyring.KMS{kms}, Scoped: g.Settings.Scoped})
	require.NoError(t, err)
	defer kr.Close()

	tokens := 0
	for _, c := range g.Formats {
		f := newFormat(t, kr, c.Name, token.FormatPreservingConfig{Format: c.Format, Permute: c.Permute, Version: c.Version,
			Separators: map[string]token.Separators{"reject": token.RejectSeparators, "keep": token.KeepSeparators, "drop": token.DropSeparators}[c.Separators]})
		for _, v := range c.Values {
			tok, id := tokenize(t, f, v.Value, g.Scope)
			require.Equal(t, v.Token, tok, "%s %q, version %d", c.Format, v.Value, c.Version)
			require.Equal(t, loaded.Keys[c.Version-1].ID, id)
			require.Equal(t, v.Value, detokenize(t, f, v.Token, id, g.Scope))
			tokens++
		}
		written, err := token.NewFormatPreserving(kr, c.Name, token.FormatPreservingConfig{Format: c.Notation, Permute: c.Permute, Version: c.Version})
		require.NoError(t, err)
		if c.Separators == "reject" {
			tok, _ := tokenize(t, written, c.Values[0].Value, g.Scope)
			require.Equal(t, c.Values[0].Token, tok, "a name is short for its notation")
		}
	}
	require.Greater(t, tokens, 100)
	t.Logf("%d tokens of %d formats and keys are equal both ways", tokens, len(g.Formats))
}

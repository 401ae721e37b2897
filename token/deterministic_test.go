package token_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/daead/aessiv"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

func newDeterministic(t testing.TB, kr *keyring.Keyring, name string) *token.Deterministic {
	d, err := token.NewDeterministic(kr, name, token.DeterministicConfig{})
	require.NoError(t, err)
	return d
}

func tinkSIV(t testing.TB, d *token.Deterministic, scope string) tink.DeterministicAEAD {
	h, err := d.TinkKeyset(t.Context(), scope, insecuresecretdataaccess.Token{})
	require.NoError(t, err)
	oracle, err := daead.New(h)
	require.NoError(t, err)
	return oracle
}

// TestDeterministicTink compares with Tink's AES-SIV and has each read what the
// other wrote.
func TestDeterministicTink(t *testing.T) {
	ctx := t.Context()
	d := newDeterministic(t, keyringtest.NewKeyring(t), "payments.iban")
	_, err := d.TinkKeyset(ctx, "", insecuresecretdataaccess.Token{})
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	_, err = d.Tokenize(ctx, nil, nil, "")
	require.NoError(t, err)
	oracle := tinkSIV(t, d, "")
	for _, value := range []string{"", "a", "DE89370400440532013000", "\xff\x00", strings.Repeat("x", 1<<20)} {
		for _, tweak := range []string{"", "merchant-7", strings.Repeat("t", 100)} {
			got, err := d.Tokenize(ctx, []byte(value), []byte(tweak), "")
			require.NoError(t, err)
			require.Len(t, got, len(value)+token.DeterministicOverhead)
			want, err := oracle.EncryptDeterministically([]byte(value), []byte(tweak))
			require.NoError(t, err)
			require.Equal(t, want, got)
			back, err := oracle.DecryptDeterministically(got, []byte(tweak))
			require.NoError(t, err)
			require.Equal(t, value, string(back))
			back, err = d.Detokenize(ctx, want, []byte(tweak), "")
			require.NoError(t, err)
			require.NotNil(t, back)
			require.Equal(t, value, string(back))
			matched, err := d.Match(ctx, []byte(value), []byte(tweak), "")
			require.NoError(t, err)
			require.Equal(t, [][]byte{got}, matched)
		}
	}
}

// TestDeterministicAppends checks the append forms: what is in front stays, the
// arguments too, and nothing is allocated.
func TestDeterministicAppends(t *testing.T) {
	ctx := t.Context()
	d := newDeterministic(t, keyringtest.NewKeyring(t), "f")
	value, tweak, room := []byte("4111111111111111"), []byte("tweak"), make([]byte, 0, 200)
	tok, err := d.AppendTokenize(ctx, append(room, "head"...), value, tweak, "")
	require.NoError(t, err)
	require.Equal(t, "head", string(tok[:4]))
	tok = bytes.Clone(tok[4:])
	back, err := d.AppendDetokenize(ctx, append(room, "head"...), tok, tweak, "")
	require.NoError(t, err)
	require.Equal(t, "head"+string(value), string(back))
	require.Zero(t, testing.AllocsPerRun(200, func() { d.AppendTokenize(ctx, room, value, tweak, "") }))
	require.Zero(t, testing.AllocsPerRun(200, func() { d.AppendDetokenize(ctx, room, tok, tweak, "") }))
	require.Equal(t, "4111111111111111tweak", string(value)+string(tweak))
}

// TestDeterministicPlaces checks that a token opens nowhere but in its place, and
// that the same value has another token everywhere.
func TestDeterministicPlaces(t *testing.T) {
	ctx := t.Context()
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	type place struct {
		d           *token.Deterministic
		tweak       string
		scope, name string
	}
	var places []place
	for _, name := range []string{"one", "two"} {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Name, c.Store, c.KMS, c.Scoped = name, store, []keyring.KMS{kms}, true })
		for _, field := range []string{"a.b", "a.b1"} {
			for _, typ := range []string{"", "int8"} {
				d, err := token.NewDeterministic(kr, field, token.DeterministicConfig{Type: typ})
				require.NoError(t, err)
				require.Equal(t, field, d.Name())
				for _, scope := range []string{"t", "t1"} {
					for _, tweak := range []string{"", "x", "x\x00"} {
						places = append(places, place{d, tweak, scope, fmt.Sprint(name, field, typ, scope, tweak)})
					}
				}
			}
		}
	}
	seen := map[string]bool{}
	for i, p := range places {
		tok, err := p.d.Tokenize(ctx, []byte("secret"), []byte(p.tweak), p.scope)
		require.NoError(t, err)
		require.False(t, seen[string(tok[5:21])], p.name)
		seen[string(tok[5:21])] = true
		for j, q := range places {
			out, err := q.d.Detokenize(ctx, tok, []byte(q.tweak), q.scope)
			if i == j {
				require.NoError(t, err)
				require.Equal(t, "secret", string(out))
				continue
			}
			require.ErrorIs(t, err, crypto.ErrDecrypt)
			require.Equal(t, crypto.ErrDecrypt.Error(), err.Error())
			require.Nil(t, out)
		}
	}
}

func TestDeterministicRefuses(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	d := newDeterministic(t, kr, "f")
	tok, err := d.Tokenize(ctx, []byte("secret-value"), nil, "")
	require.NoError(t, err)
	for bit := range 8 * len(tok) {
		changed := bytes.Clone(tok)
		changed[bit/8] ^= 1 << (bit % 8)
		_, err := d.Detokenize(ctx, changed, nil, "")
		if bit/8 >= 1 && bit/8 < 5 && err != nil && !strings.Contains(err.Error(), "decryption failed") {
			require.ErrorIs(t, err, keyring.ErrUnavailable, "too many unknown key ids")
			continue
		}
		require.ErrorIs(t, err, crypto.ErrDecrypt)
	}
	for cut := range len(tok) {
		_, err := d.Detokenize(ctx, tok[:cut], nil, "")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
	}
	_, err = d.Detokenize(ctx, append(bytes.Clone(tok), 0), nil, "")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	for _, input := range [][]byte{nil, {}, []byte("secret-value"), []byte("\x01")} {
		_, err := d.Detokenize(ctx, input, nil, "")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		_, err = d.Stale(ctx, input, "")
		require.ErrorIs(t, err, crypto.ErrDecrypt)
	}
	for _, f := range []func() error{
		func() error { _, err := d.Tokenize(ctx, nil, nil, "scope"); return err },
		func() error { _, err := d.Match(ctx, nil, nil, "scope"); return err },
		func() error { _, err := d.Detokenize(ctx, tok, nil, "scope"); return err },
		func() error { _, err := d.Stale(ctx, tok, "scope"); return err },
	} {
		require.ErrorIs(t, f(), keyring.ErrScope)
	}
	for _, name := range []string{"", "sealfield/x"} {
		_, err := token.NewDeterministic(kr, name, token.DeterministicConfig{})
		require.Error(t, err)
	}
	_, err = token.NewDeterministic(nil, "f", token.DeterministicConfig{})
	require.Error(t, err)

	other := newDeterministic(t, keyringtest.NewKeyring(t), "f")
	_, err = other.Detokenize(ctx, tok, nil, "")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	var refused *crypto.DecryptError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "f", refused.Field)
	require.Equal(t, tok[1:5], refused.KeyID.Bytes())

	// A keyring that is closed does not say anything about the token.
	require.NoError(t, kr.Close())
	_, err = d.Detokenize(ctx, tok, nil, "")
	require.ErrorIs(t, err, keyring.ErrClosed)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)
}

// TestDeterministicAcrossRotation checks that values are found and read at every
// moment, whichever key their tokens were made under.
func TestDeterministicAcrossRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kr := keyringtest.NewKeyring(t)
		ctx := t.Context()
		d := newDeterministic(t, kr, "f")
		none, err := d.Match(ctx, []byte("v"), nil, "")
		require.NoError(t, err)
		require.NotNil(t, none)
		require.Empty(t, none)
		var stored [][]byte
		write := func() {
			t.Helper()
			tok, err := d.Tokenize(ctx, []byte("v"), nil, "")
			require.NoError(t, err)
			stored = append(stored, tok)
			tokens, err := d.Match(ctx, []byte("v"), nil, "")
			require.NoError(t, err)
			oracle := tinkSIV(t, d, "")
			for _, s := range stored {
				require.True(t, contains(tokens, s))
				v, err := d.Detokenize(ctx, s, nil, "")
				require.NoError(t, err)
				require.Equal(t, "v", string(v))
				v, err = oracle.DecryptDeterministically(s, nil)
				require.NoError(t, err)
				require.Equal(t, "v", string(v))
				stale, err := d.Stale(ctx, s, "")
				require.NoError(t, err)
				require.Equal(t, !bytes.Equal(s, tok), stale)
			}
		}
		write()
		for range 3 {
			_, err = kr.Rotate(ctx, tokenTarget, keyring.RotateOptions{})
			require.NoError(t, err)
			write()
			require.Equal(t, stored[len(stored)-1], stored[len(stored)-2], "pending keys do not write")
			time.Sleep(11 * time.Minute)
			write()
			require.NotEqual(t, stored[len(stored)-1][:5], stored[len(stored)-2][:5], "the new key writes")
		}
		require.NoError(t, kr.Close())
	})
}

// TestDeterministicPrintsNoKey prints a Deterministic that has a key.
func TestDeterministicPrintsNoKey(t *testing.T) {
	d := newDeterministic(t, keyringtest.NewKeyring(t), "f")
	_, err := d.Tokenize(t.Context(), nil, nil, "")
	require.NoError(t, err)
	h, err := d.TinkKeyset(t.Context(), "", insecuresecretdataaccess.Token{})
	require.NoError(t, err)
	entry, err := h.Primary()
	require.NoError(t, err)
	raw := entry.Key().(*aessiv.Key).KeyBytes().Data(insecuresecretdataaccess.Token{})
	require.Len(t, raw, 64)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
		text, control := fmt.Sprintf(verb, *d), fmt.Sprintf(verb, struct{ K []byte }{raw})
		found := false
		for _, form := range []string{"%x", "%d", "%#v"} {
			part := fmt.Sprintf(form, raw[:8])
			part = strings.Trim(strings.TrimPrefix(part, "[]byte"), "[]{}")
			require.NotContains(t, text, part)
			found = found || strings.Contains(control, part)
		}
		require.True(t, found, "the control of %s", verb)
	}
}

// TestFIPSOnly runs TestDeterministicAppends in a process of its own in FIPS-only
// mode.
func TestFIPSOnly(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestDeterministicAppends$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestDeterministicAppends")
}

func FuzzDetokenize(f *testing.F) {
	d := newDeterministic(f, keyringtest.NewKeyring(f), "f")
	tok, err := d.Tokenize(f.Context(), []byte("value"), nil, "")
	require.NoError(f, err)
	f.Add(tok[5:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := d.Detokenize(t.Context(), append(bytes.Clone(tok[:5]), body...), nil, "")
		if err != nil {
			require.ErrorIs(t, err, crypto.ErrDecrypt)
			return
		}
		again, err := d.Tokenize(t.Context(), v, nil, "")
		require.NoError(t, err)
		require.Equal(t, body, again[5:])
	})
}

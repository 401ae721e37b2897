package token_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

var indexTarget = keyring.Target{Purpose: keyring.Index}

func newIndex(t testing.TB, kr *keyring.Keyring, name string, n token.Normalizer) *token.Index {
	x, err := token.NewIndex(kr, name, token.IndexConfig{Normalizer: n})
	require.NoError(t, err)
	return x
}

// TestTinkOracle compares tags with Tink's HMAC-SHA256 of 16 bytes and has Tink
// verify them.
func TestTinkOracle(t *testing.T) {
	ctx := t.Context()
	x := newIndex(t, keyringtest.NewKeyring(t), "customers.email", nil)
	for _, value := range []string{"", "a", "ann@example.com", string(make([]byte, 1000)), "\xff\x00"} {
		tag, err := x.Tag(ctx, []byte(value), "")
		require.NoError(t, err)
		require.Len(t, tag, token.TagSize)
		h, err := x.TinkKeyset(ctx, "")
		require.NoError(t, err)
		oracle, err := mac.New(h)
		require.NoError(t, err)
		want, err := oracle.ComputeMAC([]byte(value))
		require.NoError(t, err)
		require.Equal(t, want, tag)
		require.NoError(t, oracle.VerifyMAC(tag, []byte(value)))
	}
}

func TestEqualValuesEqualTags(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	email, digits, identity := newIndex(t, kr, "f", token.Email), newIndex(t, kr, "f", token.Digits), newIndex(t, kr, "f", nil)
	tag := func(x *token.Index, v string) string {
		b, err := x.Tag(ctx, []byte(v), "")
		require.NoError(t, err, "%q", v)
		return string(b)
	}
	for _, v := range []string{"ANN@EXAMPLE.COM", " ann@Example.com\t\r\n", "\u00a0ann@example.com\u2003", "Ann@example.com"} {
		require.Equal(t, tag(email, "ann@example.com"), tag(email, v), "%q", v)
	}
	require.Equal(t, tag(email, "jos\u00e9@example.com"), tag(email, "JOSE\u0301@example.com"), "NFC and NFD")
	for _, v := range []string{"ann@example.co", "an.n@example.com", "ann+x@example.com", ""} {
		require.NotEqual(t, tag(email, "ann@example.com"), tag(email, v), "%q", v)
	}
	for _, v := range []string{"+1 (555) 010-9999", "1.555.010.9999", "1/555/0109999", "15550109999"} {
		require.Equal(t, tag(digits, "15550109999"), tag(digits, v), "%q", v)
	}
	require.NotEqual(t, tag(identity, "a"), tag(identity, "a\x00"))
	require.NotEqual(t, tag(identity, "A"), tag(identity, "a"))
	require.NotEqual(t, tag(identity, "1"), tag(digits, "1"), "the normalizer is part of the key")
	require.NotEqual(t, tag(email, "1"), tag(digits, "1"))
}

func TestValuesThatCanNotBeNormalized(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for _, c := range []struct {
		n     token.Normalizer
		value string
	}{
		{token.Email, "secret\xff"}, {token.NFKCFold, "secret\xff"}, {token.Digits, "12a4"}, {token.Digits, "12\u0663"}, {token.Digits, "\uff11"},
		{token.Digits, "--"}, {token.Digits, "1+2"}, {token.Digits, "++1"}, {token.Digits, "-12\x00"}, {token.Digits, "secret"},
	} {
		x := newIndex(t, kr, "f", c.n)
		tag, err := x.Tag(t.Context(), []byte(c.value), "")
		require.ErrorIs(t, err, token.ErrValue, "%q", c.value)
		require.Nil(t, tag)
		require.NotContains(t, err.Error(), "secret")
		_, err = newIndex(t, kr, "g", nil).Tag(t.Context(), []byte("x"), "") // so that there is a key
		require.NoError(t, err)
		_, err = x.Match(t.Context(), []byte(c.value), "")
		require.ErrorIs(t, err, token.ErrValue, "%q", c.value)
	}
}

// TestDomains checks that nothing but the same index of the same scope of the
// same keyring gives the same tag, key ids aside.
func TestDomains(t *testing.T) {
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	seen := map[string]string{}
	for _, name := range []string{"one", "two"} {
		kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Name, c.Store, c.KMS, c.Scoped = name, store, []keyring.KMS{kms}, true })
		for _, scope := range []string{"t", "t1"} {
			for _, index := range []string{"a.b", "a.b1", "1a.b"} {
				for _, n := range []token.Normalizer{nil, token.Digits, token.Email} {
					tag, err := newIndex(t, kr, index, n).Tag(t.Context(), []byte("123"), scope)
					require.NoError(t, err)
					place := fmt.Sprint(name, " ", scope, " ", index, " ", n)
					require.Empty(t, seen[string(tag[5:])], place)
					seen[string(tag[5:])] = place
				}
			}
		}
	}
	require.Len(t, seen, 36)
}

// TestMatchAcrossRotation checks that rows are found at every moment of a
// rotation, whichever key they were written under.
func TestMatchAcrossRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kr := keyringtest.NewKeyring(t)
		ctx := t.Context()
		x := newIndex(t, kr, "f", nil)
		none, err := x.Match(ctx, []byte("v"), "")
		require.NoError(t, err)
		require.NotNil(t, none)
		require.Empty(t, none)

		var stored [][]byte
		found := func(n int) {
			t.Helper()
			tag, err := x.Tag(ctx, []byte("v"), "")
			require.NoError(t, err)
			stored = append(stored, tag)
			tags, err := x.Match(ctx, []byte("v"), "")
			require.NoError(t, err)
			require.Len(t, tags, n)
			for _, s := range stored {
				require.True(t, contains(tags, s))
			}
		}
		found(1)
		for n := 2; n < 5; n++ {
			_, err = kr.Rotate(ctx, indexTarget, keyring.RotateOptions{})
			require.NoError(t, err)
			found(n) // the new key is pending, and looked for already
			require.Equal(t, stored[len(stored)-1][:5], stored[len(stored)-2][:5], "pending keys do not write")
			time.Sleep(11 * time.Minute)
			found(n)
			require.NotEqual(t, stored[len(stored)-1][:5], stored[len(stored)-2][:5], "the new key writes")
		}
		_, err = kr.Rotate(ctx, indexTarget, keyring.RotateOptions{Immediate: true})
		require.Error(t, err)
		require.NoError(t, kr.Close())
	})
}

func contains(tags [][]byte, tag []byte) bool {
	for _, x := range tags {
		if bytes.Equal(x, tag) {
			return true
		}
	}
	return false
}

func TestNewIndexRefuses(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for _, name := range []string{"", "sealfield/x"} {
		_, err := token.NewIndex(kr, name, token.IndexConfig{})
		require.Error(t, err)
	}
	_, err := token.NewIndex(nil, "x", token.IndexConfig{})
	require.Error(t, err)
	x := newIndex(t, kr, "f", nil)
	_, err = x.Tag(t.Context(), nil, "scope")
	require.ErrorIs(t, err, keyring.ErrScope)
	_, err = x.Match(t.Context(), nil, "scope")
	require.ErrorIs(t, err, keyring.ErrScope)
}

func TestConcurrentUse(t *testing.T) {
	ctx := t.Context()
	x := newIndex(t, keyringtest.NewKeyring(t), "f", token.Email)
	want := map[int]string{}
	for i := range 50 {
		tag, err := x.Tag(ctx, fmt.Appendf(nil, "User%d@Example.com", i), "")
		require.NoError(t, err)
		want[i] = string(tag)
	}
	var wg sync.WaitGroup
	wrong := make(chan int, 16)
	for range 16 {
		wg.Go(func() {
			for n := range 2000 {
				i := n % 50
				tag, err := x.AppendTag(ctx, nil, fmt.Appendf(nil, " user%d@example.com", i), "")
				if err != nil || string(tag) != want[i] {
					wrong <- i
					return
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, wrong)
}

func FuzzNormalizers(f *testing.F) {
	for _, s := range []string{"", "Ann@Example.com", "e\u0301", "\u0130", "\xff", "+1 (555) 010", "\u212a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		given := bytes.Clone(value)
		for _, n := range []token.Normalizer{token.Identity, token.Email, token.Digits, token.NFKCFold} {
			once, err := n.Append([]byte("head"), value)
			require.Equal(t, given, value, "the value was changed")
			if err != nil {
				require.ErrorIs(t, err, token.ErrValue)
				continue
			}
			require.Equal(t, "head", string(once[:4]))
			twice, err := n.Append(nil, once[4:])
			require.NoError(t, err)
			require.Equal(t, string(once[4:]), string(twice), "%s must be idempotent", n.ID())
		}
	})
}

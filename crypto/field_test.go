package crypto_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

var algorithms = []keyring.Algorithm{keyring.XAES256GCM, keyring.AES256GCM}

// eachAlgorithm runs the test with a keyring of each algorithm.
func eachAlgorithm(t *testing.T, f func(t *testing.T, kr *keyring.Keyring, overhead int)) {
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			overhead := map[keyring.Algorithm]int{keyring.XAES256GCM: 45, keyring.AES256GCM: 33}[a]
			f(t, keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Algorithm = a }), overhead)
		})
	}
}

func newField(t testing.TB, kr *keyring.Keyring, name string, cfg crypto.FieldConfig) *crypto.Field {
	f, err := crypto.NewField(kr, name, cfg)
	require.NoError(t, err)
	return f
}

func tinkAEAD(t testing.TB, f *crypto.Field, scope string) tink.AEAD {
	h, err := f.TinkKeyset(t.Context(), scope, insecuresecretdataaccess.Token{})
	require.NoError(t, err)
	a, err := aead.New(h)
	require.NoError(t, err)
	return a
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, overhead int) {
		for _, cfg := range []crypto.FieldConfig{{}, {FreshSalt: true}, {RowBound: true}, {Type: "text"}} {
			f := newField(t, kr, "customers.email", cfg)
			for _, n := range []int{0, 1, 15, 16, 17, 64, 1 << 16, 1<<20 + 1} {
				plaintext := random(n)
				at := crypto.Binding{Row: crypto.Row("42")}
				ct, err := f.Encrypt(t.Context(), plaintext, at)
				require.NoError(t, err)
				require.Len(t, ct, n+overhead)
				got, err := f.Decrypt(t.Context(), ct, at)
				require.NoError(t, err)
				require.NotNil(t, got, "an empty value is an empty slice")
				require.True(t, bytes.Equal(plaintext, got))
			}
		}
	})
}

func TestNilIsEncryptedAsEmpty(t *testing.T) {
	f := newField(t, keyringtest.NewKeyring(t), "f", crypto.FieldConfig{})
	ct, err := f.Encrypt(t.Context(), nil, crypto.Binding{})
	require.NoError(t, err)
	pt, err := f.Decrypt(t.Context(), ct, crypto.Binding{})
	require.NoError(t, err)
	require.Equal(t, []byte{}, pt)
}

func TestAppend(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, overhead int) {
		f := newField(t, kr, "f", crypto.FieldConfig{})
		plaintext, at := []byte("the plaintext"), crypto.Binding{Row: []byte("row")}
		given := bytes.Clone(plaintext)
		for _, dst := range [][]byte{nil, {}, []byte("head"), append(make([]byte, 0, 200), "head"...)} {
			head := bytes.Clone(dst)
			ct, err := f.AppendEncrypt(t.Context(), dst, plaintext, at)
			require.NoError(t, err)
			require.Equal(t, given, plaintext, "the plaintext was changed")
			require.Equal(t, string(head), string(ct[:len(head)]))
			sealed := bytes.Clone(ct[len(head):])
			pt, err := f.AppendDecrypt(t.Context(), append([]byte(nil), head...), ct[len(head):], at)
			require.NoError(t, err)
			require.Equal(t, string(head)+string(plaintext), string(pt))
			require.Equal(t, sealed, ct[len(head):], "the ciphertext was changed")
		}
	})
}

// TestTinkOracle has Tink read what we write and the reverse, for keys before
// and after a rotation.
func TestTinkOracle(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, overhead int) {
		ctx := t.Context()
		for _, cfg := range []crypto.FieldConfig{{}, {FreshSalt: true}, {Type: "int8"}} {
			f := newField(t, kr, "customers.email", cfg)
			var written [][]byte
			for round := range 3 {
				for _, n := range []int{0, 1, 16, 100, 70_000} {
					plaintext := random(n)
					row := crypto.Row("customers", fmt.Sprint(n))
					ours, err := f.Encrypt(ctx, plaintext, crypto.Binding{Row: row})
					require.NoError(t, err)
					oracle := tinkAEAD(t, f, "")
					got, err := oracle.Decrypt(ours, row)
					require.NoError(t, err)
					require.True(t, bytes.Equal(plaintext, got))
					_, err = oracle.Decrypt(ours, nil)
					require.Error(t, err)

					theirs, err := oracle.Encrypt(plaintext, row)
					require.NoError(t, err)
					require.Len(t, theirs, n+overhead)
					require.Equal(t, ours[:5], theirs[:5], "Tink's primary is our active key")
					got, err = f.Decrypt(ctx, theirs, crypto.Binding{Row: row})
					require.NoError(t, err)
					require.True(t, bytes.Equal(plaintext, got))
					if n == 16 {
						written = append(written, ours)
					}
				}
				for _, ct := range written {
					_, err := tinkAEAD(t, f, "").Decrypt(ct, crypto.Row("customers", "16"))
					require.NoError(t, err, "round %d", round)
				}
				_, err := kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
				require.NoError(t, err)
			}
		}
	})
}

// TestMalformed flips, cuts and extends a ciphertext in every place. The last
// check shows that the ciphertext was good.
func TestMalformed(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, _ int) {
		ctx, at := t.Context(), crypto.Binding{Row: crypto.Row("42")}
		f := newField(t, kr, "f", crypto.FieldConfig{})
		plaintext := random(64)
		ct, err := f.Encrypt(ctx, plaintext, at)
		require.NoError(t, err)
		tried := 0
		refused := func(bad []byte, what string, n int) {
			t.Helper()
			tried++
			dst := make([]byte, 0, 200)
			got, err := f.AppendDecrypt(ctx, dst, bad, at)
			require.Nil(t, got)
			if err == nil || err.Error() != crypto.ErrDecrypt.Error() {
				// An unknown key id may also meet the limit on looking for it.
				require.ErrorIs(t, err, keyring.ErrUnavailable, "%s %d", what, n)
			} else {
				require.ErrorIs(t, err, crypto.ErrDecrypt, "%s %d", what, n)
			}
			require.NotContains(t, string(dst[:cap(dst)]), string(plaintext))
		}
		for bit := range len(ct) * 8 {
			bad := bytes.Clone(ct)
			bad[bit/8] ^= 1 << (bit % 8)
			refused(bad, "flip of bit", bit)
		}
		for n := range ct {
			refused(ct[:n], "cut to", n)
			refused(append(bytes.Clone(ct[:n]), ct[n+1:]...), "without byte", n)
			refused(ct[n+1:], "cut at the front by", n+1)
		}
		for n := range 64 {
			refused(append(bytes.Clone(ct), random(n+1)...), "extended by", n+1)
			refused(append(random(n+1), ct...), "prefixed by", n+1)
		}
		refused(nil, "nil", 0)
		got, err := f.Decrypt(ctx, ct, at)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
		t.Logf("%d altered ciphertexts refused", tried)
	})
}

// TestSwapGrid writes a value in every place of {row} x {field} x {scope} x
// {keyring} x {algorithm} and opens it in every other.
func TestSwapGrid(t *testing.T) {
	ctx := t.Context()
	type place struct {
		name  string
		field *crypto.Field
		at    crypto.Binding
	}
	var places []place
	for _, a := range algorithms {
		// One store and KMS: the two keyrings differ by name only.
		store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
		for _, name := range []string{"one", "two"} {
			kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
				c.Name, c.Store, c.KMS, c.Algorithm, c.Scoped = name, store, []keyring.KMS{kms}, a, true
			})
			for _, scope := range []string{"t1", "t2"} {
				for _, field := range []string{"customers.email", "customers.ssn"} {
					for _, typ := range []string{"", "text"} {
						f := newField(t, kr, field, crypto.FieldConfig{Type: typ})
						for _, row := range [][]byte{nil, crypto.Row("1"), crypto.Row("2"), crypto.Row("1", "2"), []byte("1")} {
							places = append(places, place{fmt.Sprint(a, name, scope, field, typ, row), f, crypto.Binding{Scope: scope, Row: row}})
						}
					}
				}
			}
		}
	}
	ciphertexts := make([][]byte, len(places))
	for i, p := range places {
		ct, err := p.field.Encrypt(ctx, []byte("value"), p.at)
		require.NoError(t, err)
		got, err := p.field.Decrypt(ctx, ct, p.at)
		require.NoError(t, err, "control: it must open in its own place")
		require.Equal(t, "value", string(got))
		ciphertexts[i] = ct
	}
	pairs, unavailable := 0, 0
	for i, from := range places {
		for j, to := range places {
			if i == j {
				continue
			}
			variants := [][]byte{ciphertexts[i]}
			// The same with the first bytes of a value that belongs there.
			variants = append(variants, append(bytes.Clone(ciphertexts[j][:5]), ciphertexts[i][5:]...))
			if len(ciphertexts[i]) == len(ciphertexts[j]) {
				variants = append(variants, append(bytes.Clone(ciphertexts[j][:17]), ciphertexts[i][17:]...))
			}
			for _, ct := range variants {
				pairs++
				got, err := to.field.Decrypt(ctx, ct, to.at)
				require.Error(t, err, "%s opened as %s", from.name, to.name)
				require.Nil(t, got)
				if !strings.Contains(err.Error(), crypto.ErrDecrypt.Error()) {
					require.ErrorIs(t, err, keyring.ErrUnavailable)
					unavailable++
				}
			}
		}
	}
	require.Greater(t, pairs, 10_000)
	t.Logf("%d swaps over %d places refused (%d of them by the limit on unknown key ids)", pairs, len(places), unavailable)
}

func TestStale(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	f := newField(t, kr, "f", crypto.FieldConfig{})
	ct, err := f.Encrypt(ctx, []byte("x"), crypto.Binding{})
	require.NoError(t, err)
	stale, err := f.Stale(ctx, ct, "")
	require.NoError(t, err)
	require.False(t, stale)

	id, err := kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	require.NoError(t, err)
	stale, err = f.Stale(ctx, ct, "")
	require.NoError(t, err)
	require.True(t, stale)
	again, err := f.Encrypt(ctx, []byte("x"), crypto.Binding{})
	require.NoError(t, err)
	got, err := crypto.KeyID(again)
	require.NoError(t, err)
	require.Equal(t, id, got)
	_, err = f.Stale(ctx, []byte("plain"), "")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

func TestBindingsThatDoNotFit(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	bound := newField(t, kr, "bound", crypto.FieldConfig{RowBound: true})
	free := newField(t, kr, "free", crypto.FieldConfig{})
	for name, row := range map[string][]byte{"an empty part": crypto.Row("1", ""), "no part": crypto.Row(), "empty": {}} {
		_, err := free.Encrypt(ctx, []byte("x"), crypto.Binding{Row: row})
		require.ErrorContains(t, err, "row key is empty", name)
		_, err = free.Decrypt(ctx, []byte("x"), crypto.Binding{Row: row})
		require.ErrorContains(t, err, "row key is empty", name)
	}
	_, err := bound.Encrypt(ctx, []byte("x"), crypto.Binding{})
	require.ErrorContains(t, err, "bound is bound to rows")
	_, err = free.Encrypt(ctx, []byte("x"), crypto.Binding{Scope: "tenant"})
	require.ErrorIs(t, err, keyring.ErrScope)

	scoped := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	f := newField(t, scoped, "f", crypto.FieldConfig{})
	_, err = f.Encrypt(ctx, []byte("x"), crypto.Binding{})
	require.ErrorIs(t, err, keyring.ErrScope)
	_, err = f.Decrypt(ctx, []byte("\x01\x80\x00\x00\x01........................................"), crypto.Binding{})
	require.ErrorIs(t, err, keyring.ErrScope)
}

func TestNewFieldRefuses(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	for _, name := range []string{"", "sealfield/x"} {
		_, err := crypto.NewField(kr, name, crypto.FieldConfig{})
		require.Error(t, err, name)
	}
	_, err := crypto.NewField(nil, "x", crypto.FieldConfig{})
	require.Error(t, err)
}

func TestText(t *testing.T) {
	f := newField(t, keyringtest.NewKeyring(t), "f", crypto.FieldConfig{})
	ct, err := f.Encrypt(t.Context(), []byte("x"), crypto.Binding{})
	require.NoError(t, err)
	text := crypto.EncodeText(ct)
	require.Regexp(t, `^sf1\.[A-Za-z0-9_-]+$`, text)
	got, err := crypto.DecodeText(text)
	require.NoError(t, err)
	require.Equal(t, ct, got)
	// 46 bytes end with two unused bits... one character short of a group.
	for _, bad := range []string{"", "sf1", text[1:], "SF1." + text[4:], text + "=", text + "==", text + "\n", text + "\r\n", " " + text,
		text[:10] + "\n" + text[10:], strings.ReplaceAll(text, text[10:11], "+"), "sf2." + text[4:], text[:len(text)-1] + "/"} {
		_, err := crypto.DecodeText(bad)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "%q", bad)
	}
	// Every last character but the canonical one sets unused bits.
	canonical := 0
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if b, err := crypto.DecodeText("sf1.AQ"[:5] + string(c)); err == nil {
			require.Equal(t, "sf1.A"+string(c), crypto.EncodeText(b))
			canonical++
		}
	}
	require.Equal(t, 4, canonical)
}

func TestNothingIsAllocated(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, kr *keyring.Keyring, _ int) {
		f := newField(t, kr, "f", crypto.FieldConfig{})
		ctx, at, plaintext := t.Context(), crypto.Binding{Row: crypto.Row("1")}, random(64)
		ct, err := f.Encrypt(ctx, plaintext, at)
		require.NoError(t, err)
		buf := make([]byte, 0, 256)
		require.Zero(t, testing.AllocsPerRun(1000, func() { f.AppendEncrypt(ctx, buf, plaintext, at) }))
		require.Zero(t, testing.AllocsPerRun(1000, func() { f.AppendDecrypt(ctx, buf, ct, at) }))
		require.EqualValues(t, 1, testing.AllocsPerRun(1000, func() { f.Encrypt(ctx, plaintext, at) }))
	})
}

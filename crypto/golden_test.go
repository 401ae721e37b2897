package crypto_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// golden is testdata/golden.json: keys, rows and values that were written by an
// implementation of SPEC.md in another language. No test writes it.
type golden struct {
	Keyring, Scope string
	Settings       struct {
		Scoped             bool  `json:"scoped"`
		PropagationDelayUS int64 `json:"propagation_delay_us"`
		EncryptGraceUS     int64 `json:"encrypt_grace_us"`
		DecryptGraceUS     int64 `json:"decrypt_grace_us"`
	}
	Roots []struct {
		Purpose    keyring.Purpose
		Version    int
		KeyID      hexBytes `json:"key_id"`
		CreatedAt  int64    `json:"created_at_us"`
		Secret     hexBytes
		KMSContext hexBytes `json:"kms_context"`
		Check      hexBytes `json:"check_value"`
	}
	DEKs []struct {
		Purpose    keyring.Purpose
		Version    int
		KeyID      hexBytes `json:"key_id"`
		Algorithm  keyring.Algorithm
		State      keyring.KeyState
		CreatedAt  int64 `json:"created_at_us"`
		ActivateAt int64 `json:"activate_at_us"`
		Root       hexBytes
		Wrapped    hexBytes
	}
	Values []struct {
		Field      string
		FieldKey   hexBytes `json:"field_key"`
		RowParts   []string `json:"row_parts"`
		Row        hexBytes
		Plaintext  string
		Ciphertext hexBytes
		Text       string
		TinkKeyset json.RawMessage `json:"tink_keyset"`
	}
	Tags []struct {
		Index, Normalizer, Value string
		Tag                      hexBytes
	}
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func (b hexBytes) id() keyring.KeyID {
	return keyring.KeyID(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
}

func loadGolden(t testing.TB) (g golden) {
	data, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	return g
}

// goldenStore gives the golden rows and takes none; goldenKMS unwraps to the
// golden roots, whose wrapped form is their encryption context.
type goldenStore struct {
	keyring.Store
	g *golden
}

func (s goldenStore) Load(context.Context, string, []keyring.Target) (keyring.Loaded, error) {
	l := keyring.Loaded{Now: time.Now()}
	set := s.g.Settings
	for _, r := range s.g.Roots {
		l.Roots = append(l.Roots, keyring.Root{Keyring: s.g.Keyring, Purpose: r.Purpose, Version: r.Version, ID: r.KeyID.id(), State: keyring.RootOpen,
			CreatedAt: time.UnixMicro(r.CreatedAt), Check: r.Check, Revision: 1, Wraps: []keyring.Wrap{{URI: "golden", Wrapped: r.KMSContext}},
			Settings: keyring.Settings{Scoped: set.Scoped, PropagationDelay: time.Duration(set.PropagationDelayUS) * time.Microsecond,
				EncryptGrace: time.Duration(set.EncryptGraceUS) * time.Microsecond, DecryptGrace: time.Duration(set.DecryptGraceUS) * time.Microsecond}})
	}
	for _, k := range s.g.DEKs {
		l.Keys = append(l.Keys, keyring.Key{Keyring: s.g.Keyring, Scope: s.g.Scope, Purpose: k.Purpose, Version: k.Version, ID: k.KeyID.id(),
			Algorithm: k.Algorithm, State: k.State, CreatedAt: time.UnixMicro(k.CreatedAt), ActivateAt: time.UnixMicro(k.ActivateAt),
			Root: k.Root.id(), Wrapped: k.Wrapped, Revision: 1})
	}
	return l, nil
}

type goldenKMS struct{ g *golden }

func (goldenKMS) URI() string { return "golden" }
func (goldenKMS) Wrap(context.Context, []byte, keyring.EncryptionContext) ([]byte, error) {
	return nil, errors.New("not here")
}
func (k goldenKMS) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	for _, r := range k.g.Roots {
		if bytes.Equal(r.KMSContext, wrapped) && bytes.Equal(ec.Encode(), wrapped) {
			return bytes.Clone(r.Secret), nil
		}
	}
	return nil, keyring.ErrDenied
}

// TestGolden reads what the other implementation wrote: through a keyring with
// its rows, from the KMS's answer down to the value; and with Tink, from the
// committed keysets.
func TestGolden(t *testing.T) {
	ctx, g := t.Context(), loadGolden(t)
	kr, err := keyring.Open(ctx, keyring.Config{Name: g.Keyring, Scoped: true, Store: goldenStore{g: &g}, KMS: []keyring.KMS{goldenKMS{&g}}})
	require.NoError(t, err)
	defer kr.Close()

	require.Len(t, g.Values, 2, "one per algorithm")
	for _, v := range g.Values {
		f := newField(t, kr, v.Field, crypto.FieldConfig{})
		row := crypto.Row(v.RowParts...)
		require.Equal(t, []byte(v.Row), row)
		pt, err := f.Decrypt(ctx, v.Ciphertext, crypto.Binding{Scope: g.Scope, Row: row})
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, string(pt))
		require.Equal(t, v.Text, crypto.EncodeText(v.Ciphertext))
		ct, err := crypto.DecodeText(v.Text)
		require.NoError(t, err)
		require.Equal(t, []byte(v.Ciphertext), ct)

		h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(v.TinkKeyset)))
		require.NoError(t, err)
		oracle, err := aead.New(h)
		require.NoError(t, err)
		pt, err = oracle.Decrypt(v.Ciphertext, row)
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, string(pt))

		// The keyset that we export has the same key.
		exported, err := f.TinkKeyset(ctx, g.Scope, insecuresecretdataaccess.Token{})
		require.NoError(t, err)
		var buf bytes.Buffer
		require.NoError(t, insecurecleartextkeyset.Write(exported, keyset.NewBinaryWriter(&buf)))
		require.True(t, bytes.Contains(buf.Bytes(), v.FieldKey))
	}
	normalizers := map[string]token.Normalizer{}
	for _, n := range []token.Normalizer{token.Identity, token.Email, token.Digits} {
		normalizers[n.ID()] = n
	}
	require.Len(t, g.Tags, 3)
	for _, v := range g.Tags {
		x, err := token.NewIndex(kr, v.Index, token.IndexConfig{Normalizer: normalizers[v.Normalizer]})
		require.NoError(t, err)
		tag, err := x.Tag(ctx, []byte(v.Value), g.Scope)
		require.NoError(t, err)
		require.Equal(t, []byte(v.Tag), tag, v.Normalizer)
	}
}

package token_test

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

	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// goldenRing is the part of the files in testdata that holds a root key and its
// DEKs. They were written by an implementation of SPEC.md in another language.
// No test writes them.
type goldenRing struct {
	Keyring  string
	Purpose  keyring.Purpose
	Settings struct {
		PropagationDelayUS int64 `json:"propagation_delay_us"`
		EncryptGraceUS     int64 `json:"encrypt_grace_us"`
		DecryptGraceUS     int64 `json:"decrypt_grace_us"`
	}
	Root struct {
		KeyID      hexBytes `json:"key_id"`
		CreatedAt  int64    `json:"created_at_us"`
		Secret     hexBytes
		KMSContext hexBytes `json:"kms_context"`
		Check      hexBytes `json:"check_value"`
	}
	DEKs []struct {
		Version    int
		KeyID      hexBytes `json:"key_id"`
		CreatedAt  int64    `json:"created_at_us"`
		ActivateAt int64    `json:"activate_at_us"`
		Wrapped    hexBytes
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

// goldenStore gives the golden rows and takes none.
type goldenStore struct {
	keyring.Store
	*goldenRing
}

func (s goldenStore) Load(context.Context, string, []keyring.Target) (keyring.Loaded, error) {
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	l := keyring.Loaded{Now: time.Now(), Roots: []keyring.Root{{Keyring: s.Keyring, Purpose: s.Purpose, Version: 1, ID: s.Root.KeyID.id(), State: keyring.RootOpen,
		CreatedAt: time.UnixMicro(s.Root.CreatedAt), Check: s.Root.Check, Revision: 1, Wraps: []keyring.Wrap{{URI: "golden", Wrapped: s.Root.KMSContext}},
		Settings: keyring.Settings{PropagationDelay: us(s.Settings.PropagationDelayUS), EncryptGrace: us(s.Settings.EncryptGraceUS), DecryptGrace: us(s.Settings.DecryptGraceUS)}}}}
	for _, k := range s.DEKs {
		l.Keys = append(l.Keys, keyring.Key{Keyring: s.Keyring, Purpose: s.Purpose, Version: k.Version, ID: k.KeyID.id(), State: keyring.KeyEnabled,
			CreatedAt: time.UnixMicro(k.CreatedAt), ActivateAt: time.UnixMicro(k.ActivateAt), Root: s.Root.KeyID.id(), Wrapped: k.Wrapped, Revision: 1})
	}
	return l, nil
}

// goldenKMS unwraps to the golden root, whose wrapped form is its context.
type goldenKMS struct{ *goldenRing }

func (goldenKMS) URI() string { return "golden" }
func (goldenKMS) Wrap(context.Context, []byte, keyring.EncryptionContext) ([]byte, error) {
	return nil, errors.New("not here")
}
func (k goldenKMS) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	if bytes.Equal(k.Root.KMSContext, wrapped) && bytes.Equal(ec.Encode(), wrapped) {
		return bytes.Clone(k.Root.Secret), nil
	}
	return nil, keyring.ErrDenied
}

// openGolden reads a file of testdata into file, and opens its keyring.
func openGolden(t testing.TB, name string, ring *goldenRing, file any) *keyring.Keyring {
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, ring))
	require.NoError(t, json.Unmarshal(data, file))
	kr, err := keyring.Open(t.Context(), keyring.Config{Name: ring.Keyring, Store: goldenStore{goldenRing: ring}, KMS: []keyring.KMS{goldenKMS{ring}}})
	require.NoError(t, err)
	t.Cleanup(func() { kr.Close() })
	return kr
}

func TestGoldenDeterministic(t *testing.T) {
	ctx := t.Context()
	var ring goldenRing
	var file struct {
		Tokens []struct {
			Name, Type, Value, Tweak string
			Under                    []struct{ Token hexBytes }
		}
	}
	kr := openGolden(t, "deterministic.json", &ring, &file)
	require.Len(t, file.Tokens, 6)
	for _, v := range file.Tokens {
		d, err := token.NewDeterministic(kr, v.Name, token.DeterministicConfig{Type: v.Type})
		require.NoError(t, err)
		tokens, err := d.Match(ctx, []byte(v.Value), []byte(v.Tweak), "")
		require.NoError(t, err)
		require.Len(t, v.Under, 2)
		require.Len(t, tokens, 2)
		for i, u := range v.Under {
			require.Equal(t, []byte(u.Token), tokens[i])
			value, err := d.Detokenize(ctx, u.Token, []byte(v.Tweak), "")
			require.NoError(t, err)
			require.Equal(t, v.Value, string(value))
		}
		written, err := d.Tokenize(ctx, []byte(v.Value), []byte(v.Tweak), "")
		require.NoError(t, err)
		require.Equal(t, tokens[1], written, "the newest key writes")
	}
}

func TestGoldenIndex(t *testing.T) {
	ctx := t.Context()
	normalizers := map[string]token.Normalizer{}
	for _, n := range []token.Normalizer{token.Identity, token.Email, token.Digits, token.NFKCFold} {
		normalizers[n.ID()] = n
	}
	var ring goldenRing
	var file struct {
		Indexes []struct {
			Name, Normalizer, Value string
			Kind                    token.Kind
			Bits, Min, Max          int
			Parts, Values           []string
			Under                   []struct{ Tags []hexBytes }
		}
	}
	kr := openGolden(t, "index.json", &ring, &file)
	require.Len(t, file.Indexes, 22)
	for _, v := range file.Indexes {
		norm, value := normalizers[v.Normalizer], []byte(v.Value)
		if v.Parts != nil {
			var parts []token.Normalizer
			var values [][]byte
			for i := range v.Parts {
				parts = append(parts, normalizers[v.Parts[i]])
				values = append(values, []byte(v.Values[i]))
			}
			norm, value = token.Compound(parts...), token.Values(values...)
			require.Equal(t, v.Normalizer, norm.ID())
		}
		x, err := token.NewIndex(kr, v.Name, token.IndexConfig{Kind: v.Kind, Normalizer: norm, Bits: v.Bits, Min: v.Min, Max: v.Max})
		require.NoError(t, err)
		require.Len(t, v.Under, 2)
		want := [][]byte{}
		for _, tag := range v.Under[1].Tags {
			want = append(want, tag)
		}
		if v.Kind != token.Exact {
			tags, err := x.Tags(ctx, value, "")
			require.NoError(t, err)
			require.Equal(t, want, tags)
			continue
		}
		tag, err := x.Tag(ctx, value, "")
		require.NoError(t, err)
		require.Equal(t, want, [][]byte{tag})
		q, err := x.Query(derive.Access{}, ctx, value, "")
		require.NoError(t, err)
		require.Len(t, q.Sets, 2)
		for i, set := range q.Sets {
			require.Equal(t, [][]byte{v.Under[i].Tags[0]}, set)
		}
	}
}

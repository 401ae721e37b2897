package crypto_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	streaming "github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
)

// goldenEnvelope is testdata/envelope.json: KMSs, data keys, messages and
// streams that were written by an implementation of SPEC.md in another language.
// No test writes it.
type goldenEnvelope struct {
	Name string
	KMS  []struct {
		URI string
		KEK hexBytes
	}
	DataKeys []struct {
		KeyID      hexBytes `json:"key_id"`
		DataKey    hexBytes `json:"data_key"`
		KMSContext hexBytes `json:"kms_context"`
		Wraps      []struct {
			URI     string
			Wrapped hexBytes
		}
	} `json:"data_keys"`
	Messages []struct {
		goldenHeader
		Nonce, Plaintext, Message hexBytes
	}
	Streams []struct {
		goldenHeader
		Salt, Prefix      hexBytes
		StreamKey         hexBytes `json:"stream_key"`
		Plaintext, Stream hexBytes
		File              string
		PlaintextSHA256   hexBytes `json:"plaintext_sha256"`
	}
}

type goldenHeader struct {
	Context                       keyring.EncryptionContext
	ContextEncoded                hexBytes `json:"context_encoded"`
	Header, Info, Key, Commitment hexBytes
}

func loadGoldenEnvelope(t testing.TB) (g goldenEnvelope) {
	data, err := os.ReadFile("testdata/envelope.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	return g
}

// goldenKEK is a KMS that wraps as localkms does.
type goldenKEK struct {
	uri string
	*kmsaead.Key
}

func (k goldenKEK) URI() string { return k.uri }

func (k goldenKEK) Wrap(_ context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return k.Key.Wrap(key, ec.Encode()), nil
}

func (k goldenKEK) Unwrap(_ context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	return k.Key.Unwrap(wrapped, ec.Encode())
}

// check holds the intermediate values against each other, and the header against
// its data key.
func (h goldenHeader) check(t *testing.T, g goldenEnvelope, kind byte) {
	require.Equal(t, []byte(h.ContextEncoded), h.Context.Encode())
	for _, d := range g.DataKeys {
		parts := [][]byte{d.KeyID}
		for _, w := range d.Wraps {
			parts = append(parts, []byte(w.URI), w.Wrapped)
		}
		if header := append([]byte("\xf5sf1"+string(kind)), pae.Encode(parts...)...); !bytes.Equal(header, h.Header) {
			continue
		}
		require.Equal(t, []byte(h.Info), pae.Encode([]byte("sealfield/v1/envelope"), []byte(g.Name), h.Header, h.ContextEncoded))
		out, err := hkdf.Key(sha256.New, d.DataKey, nil, string(h.Info), 64)
		require.NoError(t, err)
		require.Equal(t, append(bytes.Clone(h.Key), h.Commitment...), out)
		return
	}
	t.Fatal("the header is of no data key")
}

// TestGoldenEnvelope reads what the other implementation wrote, with each of the
// KMSs, and checks its intermediate values with the standard library and Tink.
func TestGoldenEnvelope(t *testing.T) {
	ctx, g := t.Context(), loadGoldenEnvelope(t)
	var kms []keyring.KMS
	for _, k := range g.KMS {
		key, err := kmsaead.New(k.KEK)
		require.NoError(t, err)
		kms = append(kms, goldenKEK{k.URI, key})
	}
	require.Len(t, kms, 2)
	require.Len(t, g.DataKeys, 2)
	for _, d := range g.DataKeys {
		ec := keyring.EncryptionContext{"sealfield": g.Name, "purpose": "envelope", "key_id": hex.EncodeToString(d.KeyID)}
		require.Equal(t, []byte(d.KMSContext), ec.Encode())
	}
	for i, set := range [][]keyring.KMS{kms, kms[:1], kms[1:]} {
		e, err := crypto.NewEnvelope(g.Name, set, crypto.EnvelopeConfig{})
		require.NoError(t, err)
		mine := func(header []byte) bool { return i < 2 || bytes.Contains(header, []byte(set[0].URI())) }
		require.Len(t, g.Messages, 3)
		for _, m := range g.Messages {
			m.check(t, g, 1)
			plain, err := subtle.NewAESGCM(m.Key)
			require.NoError(t, err)
			got, err := plain.Decrypt(m.Message[len(m.Header)+32:], nil)
			require.NoError(t, err)
			require.Equal(t, string(m.Plaintext), string(got))
			require.True(t, bytes.HasPrefix(m.Message, bytes.Join([][]byte{m.Header, m.Commitment, m.Nonce}, nil)))

			got, err = e.Decrypt(ctx, m.Message, m.Context)
			if !mine(m.Header) {
				refused(t, got, err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, string(m.Plaintext), string(got))
		}
		require.Len(t, g.Streams, 3)
		for _, s := range g.Streams {
			s.check(t, g, 2)
			if s.File != "" {
				s.Stream, err = os.ReadFile("testdata/" + s.File)
				require.NoError(t, err)
			}
			head := bytes.Join([][]byte{s.Header, s.Commitment, {40}, s.Salt, s.Prefix}, nil)
			require.True(t, bytes.HasPrefix(s.Stream, head))
			key, err := hkdf.Key(sha256.New, s.Key, s.Salt, "", 32)
			require.NoError(t, err)
			require.Equal(t, []byte(s.StreamKey), key)
			tink, err := streaming.NewAESGCMHKDF(s.Key, "SHA256", 32, 65536, 0)
			require.NoError(t, err)
			r, err := tink.NewDecryptingReader(bytes.NewReader(s.Stream[len(s.Header)+32:]), nil)
			require.NoError(t, err)
			want, err := io.ReadAll(r)
			require.NoError(t, err)
			if s.File != "" {
				sum := sha256.Sum256(want)
				require.Equal(t, []byte(s.PlaintextSHA256), sum[:])
			} else {
				require.Equal(t, string(s.Plaintext), string(want))
			}

			r, err = e.NewReader(ctx, bytes.NewReader(s.Stream), s.Context)
			if !mine(s.Header) {
				refused(t, nil, err)
				continue
			}
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
		require.NoError(t, e.Close())
	}
}

// TestSpecEnvelope holds the worked vector of SPEC.md against the golden file.
func TestSpecEnvelope(t *testing.T) {
	g := loadGoldenEnvelope(t)
	data, err := os.ReadFile("../SPEC.md")
	require.NoError(t, err)
	spec := strings.Join(strings.Fields(string(data)), "")
	d, m, s := g.DataKeys[0], g.Messages[0], g.Streams[0]
	for name, value := range map[string]hexBytes{
		"keyid": d.KeyID, "datakey": d.DataKey, "KMScontext": d.KMSContext, "wrapped": d.Wraps[0].Wrapped,
		"header": m.Header, "context": m.ContextEncoded, "info": m.Info, "key": m.Key, "commitment": m.Commitment, "nonce": m.Nonce, "message": m.Message,
		"Thesameplaintextandcontextasastreamunderthesamedatakey:header": s.Header, "\x00key": s.Key, "\x00commitment": s.Commitment,
		"salt": s.Salt, "prefix": s.Prefix, "streamkey": s.StreamKey, "stream": s.Stream,
	} {
		require.Contains(t, spec, strings.TrimPrefix(name, "\x00")+hex.EncodeToString(value), name)
	}
}

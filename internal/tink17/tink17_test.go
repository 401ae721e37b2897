package tink17_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/tink17"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/tinkkms"
)

var command string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tink17")
	if err != nil {
		panic(err)
	}
	command = filepath.Join(dir, "old")
	if out, err := exec.Command("go", "build", "-o", command, "./old").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// ask asks Tink 1.7.
func ask(t *testing.T, q tink17.Request) (p tink17.Response) {
	t.Helper()
	in, err := json.Marshal(q)
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), command)
	c.Stdin, c.Stderr = bytes.NewReader(in), os.Stderr
	out, err := c.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &p))
	return p
}

var values = []tink17.Value{
	{Plaintext: []byte("ann@example.com"), AssociatedData: []byte("row 1")},
	{Plaintext: []byte{}, AssociatedData: nil},
	{Plaintext: bytes.Repeat([]byte{7}, 70_000), AssociatedData: []byte{0}},
}

func openAEAD(t *testing.T, json []byte) tink.AEAD {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(json)))
	require.NoError(t, err)
	a, err := aead.New(h)
	require.NoError(t, err)
	return a
}

// TestOldKeysets reads keysets that Tink 1.7 wrote, in the four forms in which
// it stores them, with current Tink: what was written under either of their keys
// opens, and what is written now opens in 1.7.
func TestOldKeysets(t *testing.T) {
	for _, kind := range []string{"aead", "daead", "mac"} {
		p := ask(t, tink17.Request{Op: "create", Kind: kind, Values: values})
		require.Empty(t, p.Error)
		require.Len(t, p.Values, 2*len(values))
		kek := openAEAD(t, p.KEK)
		clear := func(r keyset.Reader) (*keyset.Handle, error) { return insecurecleartextkeyset.Read(r) }
		encrypted := func(r keyset.Reader) (*keyset.Handle, error) { return keyset.Read(r, kek) }
		for name, form := range map[string]struct {
			reader keyset.Reader
			read   func(keyset.Reader) (*keyset.Handle, error)
		}{
			"JSON":             {keyset.NewJSONReader(bytes.NewReader(p.JSON)), clear},
			"binary":           {keyset.NewBinaryReader(bytes.NewReader(p.Binary)), clear},
			"encrypted JSON":   {keyset.NewJSONReader(bytes.NewReader(p.EncryptedJSON)), encrypted},
			"encrypted binary": {keyset.NewBinaryReader(bytes.NewReader(p.EncryptedBinary)), encrypted},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				h, err := form.read(form.reader)
				require.NoError(t, err)
				require.Equal(t, 2, h.Len())
				open, seal := primitive(t, kind, h)
				ids := map[string]bool{}
				for _, v := range p.Values {
					got, err := open(v.Written, v)
					require.NoError(t, err)
					require.Equal(t, string(v.Plaintext), string(got))
					ids[string(v.Written[:5])] = true
					bad := bytes.Clone(v.Written)
					bad[len(bad)-1] ^= 1
					_, err = open(bad, v)
					require.Error(t, err)
				}
				require.Len(t, ids, 2, "both keys were used")
				now := make([]tink17.Value, len(values))
				for i, v := range values {
					v.Written, err = seal(v)
					require.NoError(t, err)
					now[i] = v
				}
				back := ask(t, tink17.Request{Op: "use", Kind: kind, KEK: p.KEK, Encrypted: p.EncryptedJSON, Values: now})
				require.Empty(t, back.Error)
				if kind != "aead" {
					require.Equal(t, now, back.Values, "both are deterministic")
				}
			})
		}
	}
}

// primitive returns how a keyset opens and writes a value in current Tink.
func primitive(t *testing.T, kind string, h *keyset.Handle) (open func([]byte, tink17.Value) ([]byte, error), seal func(tink17.Value) ([]byte, error)) {
	switch kind {
	case "aead":
		a, err := aead.New(h)
		require.NoError(t, err)
		return func(b []byte, v tink17.Value) ([]byte, error) { return a.Decrypt(b, v.AssociatedData) },
			func(v tink17.Value) ([]byte, error) { return a.Encrypt(v.Plaintext, v.AssociatedData) }
	case "daead":
		d, err := daead.New(h)
		require.NoError(t, err)
		return func(b []byte, v tink17.Value) ([]byte, error) {
				return d.DecryptDeterministically(b, v.AssociatedData)
			},
			func(v tink17.Value) ([]byte, error) { return d.EncryptDeterministically(v.Plaintext, v.AssociatedData) }
	}
	m, err := mac.New(h)
	require.NoError(t, err)
	return func(b []byte, v tink17.Value) ([]byte, error) { return v.Plaintext, m.VerifyMAC(b, v.Plaintext) },
		func(v tink17.Value) ([]byte, error) { return m.ComputeMAC(v.Plaintext) }
}

// TestFieldForOldReaders gives a field's exported keyset to Tink 1.7, which reads
// the field's values and writes some that the field reads. It does so for
// AES-256-GCM, also across a rotation; XAES-256-GCM did not exist then, and 1.7
// refuses such a keyset.
func TestFieldForOldReaders(t *testing.T) {
	ctx := t.Context()
	for _, algorithm := range []keyring.Algorithm{keyring.AES256GCM, keyring.XAES256GCM} {
		kms, err := tinkkms.New("keyset://old", tinkkms.IgnoreContext(openAEAD(t, ask(t, tink17.Request{Op: "create", Kind: "aead"}).JSON)), tinkkms.Config{})
		require.NoError(t, err)
		kr, err := keyring.Create(ctx, keyring.Config{Name: "old", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}, Algorithm: algorithm})
		require.NoError(t, err)
		defer kr.Close()
		field, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		at := crypto.Binding{Row: crypto.Row("42")}
		var written []tink17.Value
		for _, text := range []string{"before", "after"} {
			ct, err := field.Encrypt(ctx, []byte(text), at)
			require.NoError(t, err)
			written = append(written, tink17.Value{Plaintext: []byte(text), AssociatedData: at.Row, Written: ct})
			if text == "before" {
				_, err = kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
				require.NoError(t, err)
			}
		}
		h, err := field.TinkKeyset(ctx, "", insecuresecretdataaccess.Token{})
		require.NoError(t, err)
		var asJSON, asBinary bytes.Buffer
		require.NoError(t, insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&asJSON)))
		require.NoError(t, insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&asBinary)))
		for _, q := range []tink17.Request{{JSON: asJSON.Bytes()}, {Binary: asBinary.Bytes()}} {
			q.Op, q.Kind, q.Values = "use", "aead", written
			p := ask(t, q)
			if algorithm == keyring.XAES256GCM {
				require.Contains(t, p.Error, "XAesGcmKey")
				continue
			}
			require.Empty(t, p.Error)
			for _, v := range p.Values {
				got, err := field.Decrypt(ctx, v.Written, at)
				require.NoError(t, err)
				require.Equal(t, string(v.Plaintext), string(got))
			}
			q.Values[0].AssociatedData = crypto.Row("43")
			require.NotEmpty(t, ask(t, q).Error, "another row")
			q.Values[0].AssociatedData = at.Row
		}
	}
}

// TestOldKEK lets a keyset of Tink 1.7 be the KMS of an envelope and of a keyring:
// what it wraps, 1.7 unwraps with the encoded encryption context as associated
// data.
func TestOldKEK(t *testing.T) {
	ctx := t.Context()
	old := ask(t, tink17.Request{Op: "create", Kind: "aead"})
	require.Empty(t, old.Error)
	kms, err := tinkkms.New("keyset://old", tinkkms.IgnoreContext(openAEAD(t, old.JSON)), tinkkms.Config{})
	require.NoError(t, err)
	key := bytes.Repeat([]byte{7}, 32)
	ec := keyring.EncryptionContext{"sealfield": "old", "purpose": "encryption", "key_id": "80000001"}
	wrapped, err := kms.Wrap(ctx, key, ec)
	require.NoError(t, err)
	p := ask(t, tink17.Request{Op: "use", Kind: "aead", JSON: old.JSON, Values: []tink17.Value{{Plaintext: key, AssociatedData: ec.Encode(), Written: wrapped}}})
	require.Empty(t, p.Error)
	got, err := kms.Unwrap(ctx, p.Values[0].Written, ec)
	require.NoError(t, err)
	require.Equal(t, key, got)

	store := keyring.NewMemoryStore()
	cfg := keyring.Config{Name: "old", Store: store, KMS: []keyring.KMS{kms}}
	kr, err := keyring.Create(ctx, cfg)
	require.NoError(t, err)
	require.NoError(t, kr.Close())
	loaded, err := store.Load(ctx, "old", nil)
	require.NoError(t, err)
	for _, r := range loaded.Roots {
		ec := keyring.EncryptionContext{"sealfield": "old", "purpose": string(r.Purpose), "key_id": r.ID.String()}
		root, err := kms.Unwrap(ctx, r.Wraps[0].Wrapped, ec)
		require.NoError(t, err)
		p := ask(t, tink17.Request{Op: "use", Kind: "aead", JSON: old.JSON, Values: []tink17.Value{{Plaintext: root, AssociatedData: ec.Encode(), Written: r.Wraps[0].Wrapped}}})
		require.Empty(t, p.Error, "1.7 unwraps the root key of %s", r.Purpose)
	}
}

// TestOldStream has Tink 1.7 open the streams of the golden file.
func TestOldStream(t *testing.T) {
	data, err := os.ReadFile("../../crypto/testdata/envelope.json")
	require.NoError(t, err)
	var g struct {
		Streams []struct{ Header, Key, Plaintext, Stream, File string }
	}
	require.NoError(t, json.Unmarshal(data, &g))
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	require.Len(t, g.Streams, 3)
	for _, s := range g.Streams {
		whole, want := unhex(s.Stream), unhex(s.Plaintext)
		if s.File != "" {
			whole, err = os.ReadFile("../../crypto/testdata/" + s.File)
			require.NoError(t, err)
			for i := range 65480 + 65520 + 1000 {
				want = append(want, byte(i*i%251))
			}
		}
		p := ask(t, tink17.Request{Op: "stream", StreamKey: unhex(s.Key), Stream: whole[len(s.Header)/2+32:]})
		require.Empty(t, p.Error)
		require.True(t, bytes.Equal(want, p.Values[0].Plaintext))
	}
}

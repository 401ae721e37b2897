package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/derive"
	"github.com/sealfield/sealfield/internal/leaktest"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/mask"
	"github.com/sealfield/sealfield/token"
)

// TestNothingIsPrinted prints everything that holds a key in every way, and
// looks for the bytes of the KEK, a root key, a DEK and a field key.
func TestNothingIsPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	local, err := localkms.Create(path)
	require.NoError(t, err)
	line, err := os.ReadFile(path)
	require.NoError(t, err)
	kek, err := base64.RawURLEncoding.DecodeString(strings.Fields(string(line))[2])
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) { // so that nothing runs while the printers read
		f := newFixture()
		var root []byte
		f.cfg.KMS = []keyring.KMS{&spyKMS{local, func(key []byte) { root = append(root, key...) }}}
		kr := f.create(t)
		field, err := crypto.NewField(kr, "f", crypto.FieldConfig{})
		require.NoError(t, err)
		index, err := token.NewIndex(kr, "f", token.IndexConfig{})
		require.NoError(t, err)
		const plaintext = "Zq7-kVw9.xPl2_mNb5:rTy8;gHc3" // no six characters of it are in any other text
		ct, err := field.Encrypt(t.Context(), []byte(plaintext), crypto.Binding{})
		require.NoError(t, err)
		tag, err := index.Tag(t.Context(), []byte(plaintext), "")
		require.NoError(t, err)
		vault, err := token.NewVault(kr, "f", token.VaultConfig{Store: token.NewMemoryVaultStore(), Prefix: "pan", Convergent: true})
		require.NoError(t, err)
		_, err = vault.Tokenize(t.Context(), []byte(plaintext), "")
		require.NoError(t, err)
		siv, err := token.NewDeterministic(kr, "f", token.DeterministicConfig{})
		require.NoError(t, err)
		_, err = siv.Tokenize(t.Context(), []byte(plaintext), nil, "")
		require.NoError(t, err)
		query, err := index.Query(derive.Access{}, t.Context(), []byte(plaintext), "")
		require.NoError(t, err)
		const letters = "QzXkVwJpRbTgYmHcNdLfSaUe" // digits could be in addresses
		format, err := token.NewFormatPreserving(kr, "f", token.FormatPreservingConfig{Format: "[A-Za-z]{24}"})
		require.NoError(t, err)
		_, _, err = format.Tokenize(t.Context(), []byte(letters), "")
		require.NoError(t, err)
		masker, err := mask.New(t.Context(), kr, mask.Config{})
		require.NoError(t, err)
		rule, err := masker.Rule("email")
		require.NoError(t, err)
		_, err = rule.Append(nil, []byte(plaintext), nil)
		require.NoError(t, err)
		secrets := map[string][]byte{"KEK": kek, "root keys": root, "plaintext": []byte(plaintext), "letters": []byte(letters)}
		for i, s := range keyring.Secrets(kr) {
			secrets[fmt.Sprint("DEK ", i)] = bytes.Clone(s)
		}
		require.Len(t, secrets, 8, "a DEK for each purpose, beside four")
		k := use(kr, keyring.Encryption)
		var material *keyring.Material
		require.NoError(t, k.Each(t.Context(), "", func(m *keyring.Material) (err error) {
			material = m
			secrets["field key"], err = m.Derive("XAES-256-GCM", "f", 32)
			return err
		}))
		infos, err := kr.Keys(t.Context(), encryption)
		require.NoError(t, err)
		roots, rows := f.store.Snapshot()
		envelope, messages, dataKeys := useEnvelope(t, local, []byte(plaintext))
		for name, key := range dataKeys {
			secrets[name] = key
		}
		values := map[string]any{
			"envelope": envelope, "messages": messages,
			"keyring": kr, "material": material, "derivation": k.Derivation, "field": field, "index": index, "query": query, "vault": vault, "deterministic": siv, "format": format, "masker": masker, "rule": rule, "localkms": local,
			"infos": infos, "rows": rows, "roots": roots, "fixture": f,
		}
		// Errors of all kinds.
		_, values["altered"] = field.Decrypt(t.Context(), append(bytes.Clone(ct), 0), crypto.Binding{})
		_, values["plaintext given"] = field.Decrypt(t.Context(), []byte(plaintext), crypto.Binding{})
		_, values["tag given"] = field.Decrypt(t.Context(), append(tag, plaintext...), crypto.Binding{})
		_, values["scope"] = field.Encrypt(t.Context(), []byte(plaintext), crypto.Binding{Scope: "t"})
		_, values["text"] = crypto.DecodeText("sf1." + plaintext)
		_, values["message"] = envelope.Decrypt(t.Context(), []byte(plaintext), keyring.EncryptionContext{"a": "b"})
		_, values["context"] = envelope.Encrypt(t.Context(), []byte(plaintext), nil)
		_, values["wrap"] = local.Unwrap(t.Context(), []byte(plaintext), keyring.EncryptionContext{"a": "b"})
		f.store.Edit(func(_ *[]keyring.Root, keys *[]keyring.Key) { (*keys)[0].State = keyring.KeySuspended })
		time.Sleep(time.Second)
		values["tampered"] = kr.Refresh(t.Context())
		_, values["refused"] = field.Encrypt(t.Context(), []byte(plaintext), crypto.Binding{})
		for name, v := range values {
			require.NotNil(t, v, name)
			if _, ok := v.(error); ok {
				require.Error(t, v.(error))
			}
		}
		values["log"] = f.log.String()
		require.Contains(t, f.log.String(), "level=ERROR")

		synctest.Wait()
		leaktest.Check(t, secrets, values)
	})
}

// useEnvelope returns an envelope with all that it made in use, and its secrets.
func useEnvelope(t *testing.T, kms keyring.KMS, plaintext []byte) (e *crypto.Envelope, made []any, secrets map[string][]byte) {
	var dataKey []byte
	e, err := crypto.NewEnvelope("shop", []keyring.KMS{&spyKMS{kms, func(key []byte) { dataKey = key }}}, crypto.EnvelopeConfig{})
	require.NoError(t, err)
	ec := keyring.EncryptionContext{"queue": "orders"}
	m, err := e.Encrypt(t.Context(), plaintext, ec)
	require.NoError(t, err)
	_, err = e.Decrypt(t.Context(), m, ec)
	require.NoError(t, err)
	var stream, out bytes.Buffer
	w, err := e.NewWriter(t.Context(), &stream, ec)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	open, err := e.NewWriter(t.Context(), &out, ec)
	require.NoError(t, err)
	_, err = open.Write(plaintext) // and it is still in there
	require.NoError(t, err)
	r, err := e.NewReader(t.Context(), &stream, ec)
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 1))
	require.NoError(t, err)

	header := m[:len(m)-len(plaintext)-28-32]
	key := func(kind byte) []byte {
		info := pae.Encode("sealfield/v1/envelope", "shop", string(header[:4])+string(kind)+string(header[5:]), string(ec.Encode()))
		key, err := hkdf.Key(sha256.New, dataKey, nil, string(info), 32)
		require.NoError(t, err)
		return key
	}
	block, err := aes.NewCipher(key(1))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	sealed := m[len(header)+32:]
	_, err = gcm.Open(nil, sealed[:12], sealed[12:], nil)
	require.NoError(t, err, "it is the message key")
	prk, err := hkdf.Extract(sha256.New, dataKey, nil)
	require.NoError(t, err)
	return e, []any{m, w, open, r}, map[string][]byte{"data key": dataKey, "extracted key": prk, "message key": key(1), "stream key": key(2)}
}

// spyKMS tells what it wraps.
type spyKMS struct {
	keyring.KMS
	tell func(key []byte)
}

func (k *spyKMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.tell(bytes.Clone(key))
	return k.KMS.Wrap(ctx, key, ec)
}

// TestErrorTexts checks what an operator reads.
func TestErrorTexts(t *testing.T) {
	err := &keyring.KeyError{Keyring: "app", Scope: "t\n1", Purpose: keyring.Index, ID: 0x8000000a, Err: fmt.Errorf("x: %w", keyring.ErrSuspended)}
	require.Equal(t, `keyring: app: purpose index, scope "t\n1", key 8000000a: x: the key is suspended`, err.Error())
	require.ErrorIs(t, err, keyring.ErrSuspended)
	require.NotErrorIs(t, err, keyring.ErrErased)
	require.Equal(t, "keyring: app: purpose token: unknown key", (&keyring.KeyError{Keyring: "app", Purpose: keyring.Token, Err: keyring.ErrUnknownKey}).Error())
	require.Equal(t, "8000000a", err.ID.String())
	require.Equal(t, []byte{0x80, 0, 0, 10}, err.ID.Bytes())
	require.False(t, keyring.KeyID(0x7fffffff).Valid())
	var target *keyring.KeyError
	require.True(t, errors.As(fmt.Errorf("y: %w", err), &target))
}

// TestEncryptionContext pins what KMSs of all kinds are bound to: it can not
// change any more.
func TestEncryptionContext(t *testing.T) {
	ec := keyring.EncryptionContext{"sealfield": "app", "purpose": "encryption", "key_id": "80000001"}
	want := "\x00\x00\x00\x06\x00\x00\x00\x06key_id\x00\x00\x00\x0880000001\x00\x00\x00\x07purpose\x00\x00\x00\x0aencryption\x00\x00\x00\x09sealfield\x00\x00\x00\x03app"
	require.Equal(t, want, string(ec.Encode()))
	require.Equal(t, "\x00\x00\x00\x00", string(keyring.EncryptionContext(nil).Encode()))
	require.NotEqual(t, keyring.EncryptionContext{"a": "bc"}.Encode(), keyring.EncryptionContext{"ab": "c"}.Encode())

	f := newFixture()
	f.cfg.Scoped = true
	spy := &contextKMS{KMS: f.kms}
	f.cfg.KMS = []keyring.KMS{spy}
	use(f.create(t), keyring.Encryption).mustEncrypt(t, "a tenant")
	use(f.open(t), keyring.Encryption).mustEncrypt(t, "a tenant")
	require.Len(t, spy.seen, 9, "four wraps, each proven, and one unwrap")
	for _, ec := range spy.seen {
		require.Len(t, ec, 3)
		require.Equal(t, "test", ec["sealfield"])
		require.Regexp(t, "^[89a-f][0-9a-f]{7}$", ec["key_id"])
		require.Contains(t, keyring.Purposes(), keyring.Purpose(ec["purpose"]))
	}
	require.Equal(t, spy.seen[0], spy.seen[8])
}

type contextKMS struct {
	keyring.KMS
	seen []keyring.EncryptionContext
}

func (k *contextKMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.seen = append(k.seen, ec)
	return k.KMS.Wrap(ctx, key, ec)
}

func (k *contextKMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	k.seen = append(k.seen, ec)
	return k.KMS.Unwrap(ctx, wrapped, ec)
}

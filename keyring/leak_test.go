package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/pae"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
	"github.com/sealfield/sealfield/token"
)

// forms are the spellings in which some bytes of a secret could show up.
func forms(secret []byte) []string {
	var all []string
	for i := 0; i+12 <= len(secret); i++ {
		all = append(all, base64.StdEncoding.EncodeToString(secret[i:i+12]), base64.URLEncoding.EncodeToString(secret[i:i+12]))
	}
	for i := 0; i+6 <= len(secret); i++ {
		part := secret[i : i+6]
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)), fmt.Sprintf("% x", part),
			list, strings.ReplaceAll(list, " ", ", "), strings.ReplaceAll(list, " ", ","), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"))
	}
	return all
}

// printers are the ways in which a value can end up in a log. Each is given what
// it can show of v.
var printers = map[string]func(v any) string{
	"fmt": func(v any) string {
		var s strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "% x", "%q", "%d", "%o", "%b", "%c", "%T", "%p"} {
			fmt.Fprintf(&s, verb+"\n", v)
			fmt.Fprintf(&s, verb+"\n", []any{v, &v, map[string]any{"k": v}, struct{ X any }{v}})
		}
		return s.String()
	},
	"slog": func(v any) string {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).Error("m", "v", v, slog.Group("g", "v", []any{v}))
		}
		return b.String()
	},
	"json": func(v any) string {
		b, err := json.Marshal(map[string]any{"v": v})
		return string(b) + fmt.Sprint(err)
	},
	"xml": func(v any) string {
		b, err := xml.Marshal(v)
		return string(b) + fmt.Sprint(err)
	},
	"gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.String() + fmt.Sprint(err)
	},
	"testify": func(v any) string {
		var t failed
		assert.Equal(&t, reflect.New(reflect.TypeOf(v)).Elem().Interface(), v)
		assert.Nil(&t, v)
		return t.String()
	},
	"deep": func(v any) string {
		var s strings.Builder
		walk(&s, reflect.ValueOf(v), map[uintptr]bool{})
		return s.String()
	},
}

type failed struct{ strings.Builder }

func (t *failed) Errorf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

// walk writes every byte and string that reflection reaches from v, through
// unexported fields too.
func walk(s *strings.Builder, v reflect.Value, seen map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		walk(s, v.Elem(), seen)
	case reflect.Interface:
		if !v.IsNil() {
			walk(s, v.Elem(), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(s, v.Field(i), seen)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(s, it.Key(), seen)
			walk(s, it.Value(), seen)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			for i := range v.Len() {
				s.WriteByte(byte(v.Index(i).Uint()))
			}
			s.WriteByte('\n')
			return
		}
		for i := range v.Len() {
			walk(s, v.Index(i), seen)
		}
	case reflect.String:
		s.WriteString(v.String())
		s.WriteByte('\n')
	case reflect.Uint32: // a key schedule
		fmt.Fprintf(s, "%c%c%c%c", byte(v.Uint()>>24), byte(v.Uint()>>16), byte(v.Uint()>>8), byte(v.Uint()))
	}
}

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
		secrets := map[string][]byte{"KEK": kek, "root keys": root, "plaintext": []byte(plaintext)}
		for i, s := range keyring.Secrets(kr) {
			secrets[fmt.Sprint("DEK ", i)] = bytes.Clone(s)
		}
		require.Len(t, secrets, 5)
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
			"keyring": kr, "material": material, "derivation": k.Derivation, "field": field, "index": index, "vault": vault, "localkms": local,
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
		found := func(text string) (what string) {
			for name, secret := range secrets {
				for _, form := range forms(secret) {
					if strings.Contains(text, form) {
						return name
					}
				}
			}
			return ""
		}
		printed := 0
		for name, v := range values {
			for how, printer := range printers {
				text := printer(v)
				require.Empty(t, found(text), "%s shows it of %s", how, name)
				printed += len(text)
			}
		}
		// The control: each finds what is held carelessly.
		for how, printer := range printers {
			for name, secret := range secrets {
				careless := struct {
					XMLName struct{} `xml:"x"`
					X       []byte
					H       string // xml replaces what is no text in X
					y       *struct{ z []byte }
				}{X: secret, H: hex.EncodeToString(secret), y: &struct{ z []byte }{secret}}
				require.NotEmpty(t, found(printer(careless)), "the control of %s fails for %s", how, name)
			}
		}
		t.Logf("%d values, %d printers, %d secrets, %d bytes of output", len(values), len(printers), len(secrets), printed)
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

package main_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	vault "github.com/sealfield/sealfield/examples/cloudkms/vault"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

const token = "hvs.a-token-of-the-test"

var ec = keyring.EncryptionContext{"sealfield": "shop", "purpose": "encryption", "key_id": "80000001"}

// server is Vault with one key in the engine at transit/: AES-256-GCM over the
// plaintext and the associated data, and versions. It refuses with the status
// and the words that Vault's sources have.
type server struct {
	*httptest.Server
	t             testing.TB
	versions      []cipher.AEAD // from version 1
	minDecryption int           // the lowest version that decrypts
	token         string
	fail          func(w http.ResponseWriter, call int) bool // instead of the answer
	encrypts      atomic.Int64
	decrypts      atomic.Int64
}

func (s *server) rotate() {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	require.NoError(s.t, err)
	key, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(s.t, err)
	s.versions = append(s.versions, key)
}

type refusal struct {
	status int
	text   string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Plaintext, Ciphertext string
		AssociatedData        string `json:"associated_data"`
	}
	operation := s.encrypt
	calls := &s.encrypts
	if strings.HasPrefix(r.URL.Path, "/v1/transit/decrypt/") {
		operation, calls = s.decrypt, &s.decrypts
	}
	if call := calls.Add(1); s.fail != nil && s.fail(w, int(call)) {
		return
	}
	var data map[string]string
	var refused *refusal
	var aad []byte
	switch err := json.NewDecoder(r.Body).Decode(&request); {
	case r.Header.Get("X-Vault-Token") != s.token:
		refused = &refusal{403, "permission denied"}
	case !strings.HasPrefix(r.URL.Path, "/v1/transit/"):
		refused = &refusal{404, fmt.Sprintf("no handler for route %q. route entry not found.", r.URL.Path[4:])}
	case r.Method != http.MethodPut:
		refused = &refusal{405, "unsupported operation"}
	case err != nil:
		refused = &refusal{400, "failed to parse JSON input"}
	case !strings.HasSuffix(r.URL.Path, "/shop"):
		refused = &refusal{400, "encryption key not found"}
	default:
		if aad, err = base64.StdEncoding.DecodeString(request.AssociatedData); err != nil {
			refused = &refusal{400, "unable to decode associated_data"}
			break
		}
		data, refused = operation(request.Plaintext, request.Ciphertext, aad)
	}
	if refused != nil {
		answer(w, refused.status, map[string]any{"errors": []string{refused.text}})
		return
	}
	answer(w, 200, map[string]any{"request_id": "1", "data": data})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (s *server) encrypt(plaintext, _ string, aad []byte) (map[string]string, *refusal) {
	p, err := base64.StdEncoding.DecodeString(plaintext)
	if err != nil {
		return nil, &refusal{400, "illegal base64 data"}
	}
	newest := len(s.versions)
	sealed := s.versions[newest-1].Seal(nil, nil, p, aad)
	return map[string]string{"ciphertext": fmt.Sprintf("vault:v%d:%s", newest, base64.StdEncoding.EncodeToString(sealed))}, nil
}

func (s *server) decrypt(_, ciphertext string, aad []byte) (map[string]string, *refusal) {
	if ciphertext == "" {
		return nil, &refusal{400, "missing ciphertext to decrypt"}
	}
	rest, ok := strings.CutPrefix(ciphertext, "vault:v")
	if !ok {
		return nil, &refusal{400, "invalid ciphertext: no prefix"}
	}
	number, encoded, ok := strings.Cut(rest, ":")
	if !ok {
		return nil, &refusal{400, "invalid ciphertext: wrong number of fields"}
	}
	version, err := strconv.Atoi(number)
	if err != nil {
		return nil, &refusal{400, "invalid ciphertext: version number could not be decoded"}
	}
	if version == 0 {
		version = 1 // as Vault does, for ciphertexts of its first releases
	}
	if version > len(s.versions) {
		return nil, &refusal{400, "invalid ciphertext: version is too new"}
	}
	if version < s.minDecryption {
		return nil, &refusal{400, "ciphertext or signature version is disallowed by policy (too old)"}
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, &refusal{400, "invalid ciphertext: could not decode base64"}
	}
	plaintext, err := s.versions[version-1].Open(nil, nil, sealed, aad)
	if err != nil {
		return nil, &refusal{400, "cipher: message authentication failed"}
	}
	return map[string]string{"plaintext": base64.StdEncoding.EncodeToString(plaintext)}, nil
}

// newServer starts a server whose key has so many versions, and returns Vault's
// client for it, which does not try again.
func newServer(t testing.TB, versions int) (*server, *api.Client) {
	s := &server{t: t, token: token, minDecryption: 1}
	for range versions {
		s.rotate()
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	cfg := api.DefaultConfig()
	require.NoError(t, cfg.Error)
	cfg.Address = s.URL
	client, err := api.NewClient(cfg)
	require.NoError(t, err)
	client.SetToken(token)
	client.SetMaxRetries(0)
	return s, client
}

func newKMS(t testing.TB, client *api.Client) keyring.KMS {
	k, err := vault.NewKMS(client, "transit", "shop")
	require.NoError(t, err)
	return k
}

func TestConformance(t *testing.T) {
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		_, client := newServer(t, 1)
		return newKMS(t, client)
	})
}

// TestVersionZero shows the one change of a wrapped key that Vault lets pass: it
// reads version 0 as version 1. What comes out is the same key.
func TestVersionZero(t *testing.T) {
	_, client := newServer(t, 1)
	k := newKMS(t, client)
	key := bytes.Repeat([]byte{7}, 32)
	wrapped, err := k.Wrap(t.Context(), key, ec)
	require.NoError(t, err)
	encoded, ok := bytes.CutPrefix(wrapped, []byte("vault:v1:"))
	require.True(t, ok)
	got, err := k.Unwrap(t.Context(), append([]byte("vault:v0:"), encoded...), ec)
	require.NoError(t, err)
	require.Equal(t, key, got)
}

func TestRun(t *testing.T) {
	s, client := newServer(t, 1)
	var out strings.Builder
	require.NoError(t, vault.Run(t.Context(), newKMS(t, client), &out))
	require.Regexp(t, `^wrapped by hcvault://127.0.0.1:\d+/transit/keys/shop\nsealed: 01[89a-f][0-9a-f]{7}[0-9a-f]+\nopened: ann@example.com\n$`, out.String())
	require.EqualValues(t, len(keyring.Purposes()), s.encrypts.Load())
	require.EqualValues(t, len(keyring.Purposes())+1, s.decrypts.Load(), "the proofs of Create, and one")
}

func TestNewKMS(t *testing.T) {
	_, client := newServer(t, 1)
	_, err := vault.NewKMS(client, "transit", "a/b")
	require.Error(t, err)
	require.NoError(t, client.SetAddress("https://user:password@vault.example:8200"))
	k, err := vault.NewKMS(client, "team/transit", "shop")
	require.NoError(t, err)
	require.Equal(t, "hcvault://vault.example:8200/team/transit/keys/shop", k.URI(), "without the password")
}

// TestRotation: what an older version wrapped opens until it is trimmed.
func TestRotation(t *testing.T) {
	s, client := newServer(t, 1)
	k := newKMS(t, client)
	wrapped, err := k.Wrap(t.Context(), make([]byte, 32), ec)
	require.NoError(t, err)
	s.rotate()
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.NoError(t, err)
	s.minDecryption = 2
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.ErrorContains(t, err, "too old")
}

// refusing answers each call as Vault does when it refuses.
func refusing(status int, text string) func(http.ResponseWriter, int) bool {
	return func(w http.ResponseWriter, _ int) bool {
		answer(w, status, map[string]any{"errors": []string{text}})
		return true
	}
}

func TestFailures(t *testing.T) {
	raw := func(status int, body string) func(http.ResponseWriter, int) bool {
		return func(w http.ResponseWriter, _ int) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	for name, c := range map[string]struct {
		change func(*server, *api.Client)
		want   error
		text   string
	}{
		"sealed":          {failing(refusing(503, "Vault is sealed")), keyring.ErrUnavailable, "Vault is sealed"},
		"quota":           {failing(refusing(429, `request path "transit/encrypt/shop": rate limit quota exceeded`)), keyring.ErrUnavailable, "quota"},
		"behind":          {failing(refusing(412, "required index state not present")), keyring.ErrUnavailable, "index state"},
		"DR standby":      {failing(refusing(472, "")), keyring.ErrUnavailable, "472"},
		"standby":         {failing(refusing(473, "")), keyring.ErrUnavailable, "473"},
		"internal":        {failing(refusing(500, "internal error")), keyring.ErrUnavailable, "internal error"},
		"proxy":           {failing(raw(502, "<html>Bad Gateway</html>")), keyring.ErrUnavailable, "502"},
		"proxy timeout":   {failing(raw(504, "")), keyring.ErrUnavailable, "504"},
		"no right":        {failing(refusing(403, "permission denied")), keyring.ErrDenied, "permission denied"},
		"token expired":   {func(s *server, _ *api.Client) { s.token = "another" }, keyring.ErrDenied, "permission denied"},
		"no token":        {func(_ *server, c *api.Client) { c.ClearToken() }, keyring.ErrDenied, "permission denied"},
		"invalid request": {failing(refusing(400, "encryption key not found")), keyring.ErrDenied, "key not found"},
		"no engine":       {failing(refusing(404, "no handler for route")), keyring.ErrDenied, "no handler"},
		"empty 404":       {failing(raw(404, "")), keyring.ErrDenied, "404"},
		"HTML":            {failing(raw(200, "<html>Welcome</html>")), keyring.ErrUnavailable, "invalid character"},
		"cut answer":      {failing(raw(200, `{"data": {"plain`)), keyring.ErrUnavailable, "EOF"},
		"no base64":       {failing(raw(200, `{"data": {"plaintext": "?", "ciphertext": 7}}`)), keyring.ErrUnavailable, ""},
		"hung up":         {failing(func(http.ResponseWriter, int) bool { panic(http.ErrAbortHandler) }), keyring.ErrUnavailable, "EOF"},
		"no server":       {func(s *server, _ *api.Client) { s.Close() }, keyring.ErrUnavailable, "Put"},
	} {
		t.Run(name, func(t *testing.T) {
			s, client := newServer(t, 1)
			k := newKMS(t, client)
			wrapped, err := k.Wrap(t.Context(), make([]byte, 32), ec)
			require.NoError(t, err)
			c.change(s, client)
			_, wrapErr := k.Wrap(t.Context(), make([]byte, 32), ec)
			_, unwrapErr := k.Unwrap(t.Context(), wrapped, ec)
			for operation, err := range map[string]error{"wrap": wrapErr, "unwrap": unwrapErr} {
				require.ErrorIs(t, err, c.want, operation)
				require.NotErrorIs(t, err, map[error]error{keyring.ErrDenied: keyring.ErrUnavailable, keyring.ErrUnavailable: keyring.ErrDenied}[c.want])
				require.ErrorContains(t, err, c.text)
				require.NotContains(t, err.Error(), token)
				require.True(t, strings.HasPrefix(err.Error(), "tinkkms: "+operation+": "+c.want.Error()+": "), err.Error())
			}
		})
	}
}

func failing(fail func(http.ResponseWriter, int) bool) func(*server, *api.Client) {
	return func(s *server, _ *api.Client) { s.fail = fail }
}

// TestEmptyAnswers: Tink's client reads them as an empty plaintext.
func TestEmptyAnswers(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"no data":      func(w http.ResponseWriter) { answer(w, 200, map[string]any{"data": nil}) },
		"no plaintext": func(w http.ResponseWriter) { answer(w, 200, map[string]any{"data": map[string]string{"x": "y"}}) },
		"empty": func(w http.ResponseWriter) {
			answer(w, 200, map[string]any{"data": map[string]string{"plaintext": ""}})
		},
	} {
		s, client := newServer(t, 1)
		s.fail = func(w http.ResponseWriter, _ int) bool { write(w); return true }
		_, err := newKMS(t, client).Unwrap(t.Context(), []byte("vault:v1:AAAA"), ec)
		require.ErrorIs(t, err, keyring.ErrTampered, name)
	}
}

// TestRetries: Vault's client asks again by itself when Vault is sealed.
func TestRetries(t *testing.T) {
	s, client := newServer(t, 1)
	client.SetMaxRetries(2)
	client.SetMinRetryWait(time.Millisecond)
	client.SetMaxRetryWait(time.Millisecond)
	s.fail = func(w http.ResponseWriter, call int) bool {
		return call < 3 && refusing(503, "Vault is sealed")(w, call)
	}
	_, err := newKMS(t, client).Wrap(t.Context(), make([]byte, 32), ec)
	require.NoError(t, err)
	require.EqualValues(t, 3, s.encrypts.Load())
	s.fail = refusing(503, "Vault is sealed")
	_, err = newKMS(t, client).Wrap(t.Context(), make([]byte, 32), ec)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.EqualValues(t, 6, s.encrypts.Load())
}

// TestClientTimeout: Vault's client ends a call that hangs by its own timeout.
func TestClientTimeout(t *testing.T) {
	s, client := newServer(t, 1)
	client.SetClientTimeout(50 * time.Millisecond)
	release := make(chan struct{})
	defer close(release)
	s.fail = func(http.ResponseWriter, int) bool { <-release; return true }
	_, err := newKMS(t, client).Wrap(t.Context(), make([]byte, 32), ec)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestKeyring proves what a program sees of a Vault that fails: never
// ErrDecrypt, and nothing after it is back.
func TestKeyring(t *testing.T) {
	for status, class := range map[int]error{403: keyring.ErrDenied, 503: keyring.ErrUnavailable} {
		s, client := newServer(t, 1)
		cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{newKMS(t, client)}}
		kr, err := keyring.Create(t.Context(), cfg)
		require.NoError(t, err)
		field, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		sealed, err := field.Encrypt(t.Context(), []byte("ann@example.com"), crypto.Binding{})
		require.NoError(t, err)
		require.NoError(t, kr.Close())

		var down atomic.Bool
		down.Store(true)
		s.fail = func(w http.ResponseWriter, call int) bool { return down.Load() && refusing(status, "no")(w, call) }
		_, err = keyring.Create(t.Context(), keyring.Config{Name: "new", Store: cfg.Store, KMS: cfg.KMS})
		require.ErrorIs(t, err, class)
		kr, err = keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer kr.Close()
		field, err = crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		_, err = field.Decrypt(t.Context(), sealed, crypto.Binding{})
		require.ErrorIs(t, err, class)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)

		down.Store(false)
		require.NoError(t, kr.Refresh(t.Context()))
		opened, err := field.Decrypt(t.Context(), sealed, crypto.Binding{})
		require.NoError(t, err)
		require.Equal(t, "ann@example.com", string(opened))
	}
}

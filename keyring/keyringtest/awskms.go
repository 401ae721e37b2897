package keyringtest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
)

// AWSKMS is AWS KMS in memory: an HTTP server on the loopback interface that
// AWS's own clients can talk to, with keys of its own, IAM policies per access
// key, and faults on demand. Its methods are safe for concurrent use.
//
// It knows Encrypt, Decrypt, GenerateDataKey, ReEncrypt and DescribeKey of the
// JSON 1.1 protocol, for symmetric keys of one account and Region. Ciphertexts
// are AES-256-GCM, bound to key and encryption context, and name their key, but
// are not AWS's: neither side can open the other's. A request must be signed
// with an access key that SetPolicy made known; signature, date and Region are
// not verified. A parameter that it does not know is refused, not ignored, as is
// everything in a policy that it can not evaluate. There are no key policies,
// grants or quotas: what the IAM policies allow is allowed.
type AWSKMS struct {
	server *httptest.Server

	mu       sync.Mutex
	keys     map[string]*awsKey        // by key id
	aliases  map[string]string         // alias name to key id
	policies map[string][]awsStatement // by access key id
	calls    map[string]int            // by operation
	hook     AWSHook
}

// AWSKeyState is the state of a key, as AWS names it.
type AWSKeyState string

// The states of a key. Only an enabled key can be used.
const (
	AWSEnabled         AWSKeyState = "Enabled"
	AWSDisabled        AWSKeyState = "Disabled"
	AWSPendingDeletion AWSKeyState = "PendingDeletion"
	AWSPendingImport   AWSKeyState = "PendingImport"
	AWSUnavailable     AWSKeyState = "Unavailable" // its custom key store is disconnected
)

const (
	awsARN      = "arn:aws:kms:eu-central-1:111122223333:"
	awsMaxPlain = 4096 // bytes, as AWS has it
	awsMaxBlob  = 6144 // bytes, as AWS has it
)

type awsKey struct {
	id    string
	state AWSKeyState
	key   *kmsaead.Key
}

func (k *awsKey) arn() string { return awsARN + "key/" + k.id }

// NewAWSKMS starts a server without keys, aliases and access keys. It is stopped
// at the end of the test.
func NewAWSKMS(t testing.TB) *AWSKMS {
	s := &AWSKMS{
		keys: make(map[string]*awsKey), aliases: make(map[string]string),
		policies: make(map[string][]awsStatement), calls: make(map[string]int),
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// URL is the endpoint to be given to a client, such as "http://127.0.0.1:12345".
func (s *AWSKMS) URL() string { return s.server.URL }

// CreateKey makes an enabled key and returns its ARN.
func (s *AWSKMS) CreateKey() (arn string) {
	secret := make([]byte, kmsaead.KeySize)
	rand.Read(secret)
	key, err := kmsaead.New(secret)
	if err != nil {
		panic(err)
	}
	k := &awsKey{id: awsUUID(), state: AWSEnabled, key: key}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.id] = k
	return k.arn()
}

// SetKeyState sets the state of the key with that ARN. It panics if there is
// none.
func (s *AWSKMS) SetKeyState(arn string, state AWSKeyState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustFind(arn).state = state
}

// SetAlias makes or moves an alias, such as "alias/app", to the key with that
// ARN. It panics if there is none.
func (s *AWSKMS) SetAlias(name, arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliases[name] = s.mustFind(arn).id
}

func (s *AWSKMS) mustFind(arn string) *awsKey {
	k, err := s.find(arn)
	if err != nil {
		panic("keyringtest: no key " + arn)
	}
	return k
}

// SetHook installs a hook; nil removes it.
func (s *AWSKMS) SetHook(h AWSHook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Calls returns how many requests for the operation, such as "Decrypt", have
// arrived, refused and failed ones included.
func (s *AWSKMS) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

func (s *AWSKMS) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", awsUUID())
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, refused := s.answer(r, body)
		if err != nil {
			refused = awsRefusal{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "the request is too large"}
		}
		awsWrite(w, out, refused)
	})
	s.mu.Lock()
	s.calls[AWSOperation(r)]++
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		answer(w, r)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	hook(w, r, answer)
}

// awsRefusal is an error answer.
type awsRefusal struct {
	status        int
	code, message string
}

func (e awsRefusal) Error() string { return e.code + ": " + e.message }

// refuse returns an error answer of status 400, which is what KMS gives for
// whatever is the caller's fault.
func refuse(code, format string, args ...any) error {
	return awsRefusal{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func awsWrite(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	if err != nil {
		refusal := err.(awsRefusal)
		status, out = refusal.status, map[string]string{"__type": refusal.code, "message": refusal.message}
	}
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

const awsTarget = "TrentService."

// AWSOperation returns the operation that a request is for, such as "Decrypt".
func AWSOperation(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), awsTarget)
}

func (s *AWSKMS) answer(r *http.Request, body []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, refuse("MalformedHttpRequestException", "not a POST of application/x-amz-json-1.1 to /")
	}
	policy, err := s.authenticate(r)
	if err != nil {
		return nil, err
	}
	c := awsCall{s, policy}
	switch r.Header.Get("X-Amz-Target") {
	case awsTarget + "Encrypt":
		return handle(body, c.encrypt)
	case awsTarget + "Decrypt":
		return handle(body, c.decrypt)
	case awsTarget + "GenerateDataKey":
		return handle(body, c.generateDataKey)
	case awsTarget + "ReEncrypt":
		return handle(body, c.reEncrypt)
	case awsTarget + "DescribeKey":
		return handle(body, c.describeKey)
	}
	return nil, refuse("UnknownOperationException", "no such operation")
}

func handle[In any](body []byte, operation func(In) (any, error)) (any, error) {
	var in In
	if err := strictly(body, &in); err != nil {
		return nil, refuse("ValidationException", "the parameters: %v", err)
	}
	return operation(in)
}

// strictly decodes one JSON value and refuses what v has no field for.
func strictly(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

// awsCall is one request of a caller with these rights.
type awsCall struct {
	s      *AWSKMS
	policy []awsStatement
}

const awsSymmetric = "SYMMETRIC_DEFAULT"

type awsEncrypt struct {
	KeyId               string
	Plaintext           []byte
	EncryptionContext   keyring.EncryptionContext
	EncryptionAlgorithm string
}

func (c awsCall) encrypt(in awsEncrypt) (any, error) {
	k, err := c.use("kms:Encrypt", in.KeyId, in.EncryptionContext, in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if n := len(in.Plaintext); n == 0 || n > awsMaxPlain {
		return nil, refuse("ValidationException", "Plaintext has %d bytes, 1 to %d are allowed", n, awsMaxPlain)
	}
	return map[string]any{"KeyId": k.arn(), "CiphertextBlob": k.seal(in.Plaintext, in.EncryptionContext), "EncryptionAlgorithm": awsSymmetric}, nil
}

type awsDecrypt struct {
	CiphertextBlob      []byte
	KeyId               string
	EncryptionContext   keyring.EncryptionContext
	EncryptionAlgorithm string
}

func (c awsCall) decrypt(in awsDecrypt) (any, error) {
	k, plaintext, err := c.open("kms:Decrypt", in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyId": k.arn(), "Plaintext": plaintext, "EncryptionAlgorithm": awsSymmetric}, nil
}

type awsGenerateDataKey struct {
	KeyId             string
	EncryptionContext keyring.EncryptionContext
	KeySpec           string
	NumberOfBytes     int
}

func (c awsCall) generateDataKey(in awsGenerateDataKey) (any, error) {
	k, err := c.use("kms:GenerateDataKey", in.KeyId, in.EncryptionContext, "")
	if err != nil {
		return nil, err
	}
	n := map[string]int{"": in.NumberOfBytes, "AES_128": 16, "AES_256": 32}[in.KeySpec]
	if n < 1 || n > 1024 || in.KeySpec != "" && in.NumberOfBytes != 0 {
		return nil, refuse("ValidationException", "either KeySpec (AES_128, AES_256) or NumberOfBytes (1 to 1024) must be given")
	}
	plaintext := make([]byte, n)
	rand.Read(plaintext)
	return map[string]any{"KeyId": k.arn(), "Plaintext": plaintext, "CiphertextBlob": k.seal(plaintext, in.EncryptionContext)}, nil
}

type awsReEncrypt struct {
	CiphertextBlob                 []byte
	SourceKeyId                    string
	SourceEncryptionContext        keyring.EncryptionContext
	SourceEncryptionAlgorithm      string
	DestinationKeyId               string
	DestinationEncryptionContext   keyring.EncryptionContext
	DestinationEncryptionAlgorithm string
}

func (c awsCall) reEncrypt(in awsReEncrypt) (any, error) {
	from, plaintext, err := c.open("kms:ReEncryptFrom", awsDecrypt{in.CiphertextBlob, in.SourceKeyId, in.SourceEncryptionContext, in.SourceEncryptionAlgorithm})
	if err != nil {
		return nil, err
	}
	to, err := c.use("kms:ReEncryptTo", in.DestinationKeyId, in.DestinationEncryptionContext, in.DestinationEncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"SourceKeyId": from.arn(), "KeyId": to.arn(), "CiphertextBlob": to.seal(plaintext, in.DestinationEncryptionContext),
		"SourceEncryptionAlgorithm": awsSymmetric, "DestinationEncryptionAlgorithm": awsSymmetric,
	}, nil
}

type awsDescribeKey struct {
	KeyId string
}

func (c awsCall) describeKey(in awsDescribeKey) (any, error) {
	k, err := c.allowed("kms:DescribeKey", in.KeyId, nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": map[string]any{
		"KeyId": k.id, "Arn": k.arn(), "AWSAccountId": "111122223333", "KeyState": k.state, "Enabled": k.state == AWSEnabled,
		"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": awsSymmetric, "EncryptionAlgorithms": []string{awsSymmetric},
		"KeyManager": "CUSTOMER", "Origin": "AWS_KMS", "MultiRegion": false,
	}}, nil
}

// open returns the key and the plaintext of a ciphertext.
func (c awsCall) open(action string, in awsDecrypt) (*awsKey, []byte, error) {
	if n := len(in.CiphertextBlob); n == 0 || n > awsMaxBlob {
		return nil, nil, refuse("ValidationException", "CiphertextBlob has %d bytes, 1 to %d are allowed", n, awsMaxBlob)
	}
	by := c.s.keyOf(in.CiphertextBlob)
	if by == nil {
		return nil, nil, refuse("InvalidCiphertextException", "")
	}
	if in.KeyId == "" {
		in.KeyId = by.arn()
	}
	k, err := c.use(action, in.KeyId, in.EncryptionContext, in.EncryptionAlgorithm)
	if err != nil {
		return nil, nil, err
	}
	if k != by {
		return nil, nil, refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	plaintext, err := k.unseal(in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, nil, refuse("InvalidCiphertextException", "")
	}
	return k, plaintext, nil
}

// use returns the key for a cryptographic operation, if the caller may do it and
// the key's state allows it.
func (c awsCall) use(action, keyID string, ec keyring.EncryptionContext, algorithm string) (*awsKey, error) {
	k, err := c.allowed(action, keyID, ec)
	if err != nil {
		return nil, err
	}
	switch k.state {
	case AWSEnabled:
	case AWSDisabled:
		return nil, refuse("DisabledException", "%s is disabled.", k.arn())
	case AWSPendingDeletion:
		return nil, refuse("KMSInvalidStateException", "%s is pending deletion.", k.arn())
	case AWSPendingImport:
		return nil, refuse("KMSInvalidStateException", "%s is pending import.", k.arn())
	default:
		return nil, refuse("KMSInvalidStateException", "%s is unavailable.", k.arn())
	}
	if algorithm != "" && algorithm != awsSymmetric {
		return nil, refuse("InvalidKeyUsageException", "the key is for %s", awsSymmetric)
	}
	return k, nil
}

// allowed returns the key that keyID names, if the caller may do this with it.
func (c awsCall) allowed(action, keyID string, ec keyring.EncryptionContext) (*awsKey, error) {
	k, err := c.s.find(keyID)
	if err != nil {
		return nil, err
	}
	if !allows(c.policy, action, k.arn(), ec) {
		return nil, refuse("AccessDeniedException", "the caller is not authorized to perform: %s on resource: %s", action, k.arn())
	}
	return k, nil
}

// find returns the key of a key id, key ARN, alias name or alias ARN.
func (s *AWSKMS) find(keyID string) (*awsKey, error) {
	if keyID == "" {
		return nil, refuse("ValidationException", "KeyId is required")
	}
	name := strings.TrimPrefix(keyID, awsARN)
	id := strings.TrimPrefix(name, "key/")
	if strings.HasPrefix(name, "alias/") {
		id = s.aliases[name]
	}
	k := s.keys[id]
	if k == nil {
		return nil, refuse("NotFoundException", "there is no key '%s'", keyID)
	}
	return k, nil
}

// A ciphertext is 1, the length of the key id, the key id, and what kmsaead
// wrote, with the id and the encoded context as associated data.
func (k *awsKey) seal(plaintext []byte, ec keyring.EncryptionContext) []byte {
	header := append([]byte{1, byte(len(k.id))}, k.id...)
	return append(header, k.key.Wrap(plaintext, append(header, ec.Encode()...))...)
}

func (k *awsKey) unseal(blob []byte, ec keyring.EncryptionContext) ([]byte, error) {
	header := bytes.Clone(blob[:2+len(k.id)])
	return k.key.Unwrap(blob[len(header):], append(header, ec.Encode()...))
}

// keyOf returns the key that a ciphertext names, or nil.
func (s *AWSKMS) keyOf(blob []byte) *awsKey {
	if len(blob) < 2 || blob[0] != 1 || len(blob) < 2+int(blob[1]) {
		return nil
	}
	return s.keys[string(blob[2:2+int(blob[1])])]
}

func awsUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

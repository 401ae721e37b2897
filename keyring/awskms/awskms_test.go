package awskms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/awskms"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

var (
	secret = []byte("0123456789abcdef0123456789ABCDEF")
	quiet  = slog.New(slog.DiscardHandler)
	ec     = keyring.EncryptionContext{"sealfield": "shop", "purpose": "encryption", "key_id": "80000001"}
)

// newClient returns AWS's client with an access key that may do everything.
func newClient(t testing.TB, s *keyringtest.AWSKMS, change ...func(*kms.Options)) *kms.Client {
	require.NoError(t, s.SetPolicy("ALLOWALL", keyringtest.AWSAllowAll))
	return clientOf(s, "ALLOWALL", change...)
}

func clientOf(s *keyringtest.AWSKMS, accessKey string, change ...func(*kms.Options)) *kms.Client {
	options := kms.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(s.URL()), HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret"}, nil
		}),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
	}
	for _, f := range change {
		f(&options)
	}
	return kms.New(options)
}

func newKMS(t testing.TB, client awskms.Client, keyID string) *awskms.KMS {
	k, err := awskms.New(client, keyID)
	require.NoError(t, err)
	return k
}

func TestConformance(t *testing.T) {
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		s := keyringtest.NewAWSKMS(t)
		return newKMS(t, newClient(t, s), s.CreateKey())
	})
}

// TestOneAccount is the suite on keys of one account, as they usually are.
func TestOneAccount(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS { return newKMS(t, client, s.CreateKey()) })
}

func TestNames(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	arn, other := s.CreateKey(), s.CreateKey()
	s.SetAlias("alias/shop", arn)
	k := newKMS(t, client, arn)
	require.Equal(t, "aws-kms://"+arn, k.URI())
	require.Zero(t, s.Calls("DescribeKey"), "an ARN is not looked up")
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	prefix, id, _ := strings.Cut(arn, "key/")
	for _, name := range []string{"alias/shop", prefix + "alias/shop", id} {
		byName := newKMS(t, client, name)
		require.Equal(t, k.URI(), byName.URI(), name)
		got, err := byName.Unwrap(t.Context(), wrapped, ec)
		require.NoError(t, err)
		require.Equal(t, secret, got)
	}
	require.Equal(t, 3, s.Calls("DescribeKey"), "once each")

	old := newKMS(t, client, "alias/shop")
	s.SetAlias("alias/shop", other)
	_, err = old.Unwrap(t.Context(), wrapped, ec)
	require.NoError(t, err, "an alias that is moved means the old key to who resolved it before")
	moved := newKMS(t, client, "alias/shop")
	require.Equal(t, "aws-kms://"+other, moved.URI())
	_, err = moved.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrWrongContext)

	for _, name := range []string{"alias/none", "nonsense", strings.Replace(arn, id, "", 1), strings.Replace(arn, "kms", "s3", 1)} {
		_, err = awskms.New(client, name)
		require.ErrorIs(t, err, awskms.ErrKeyNotFound, name)
		require.ErrorContains(t, err, name)
	}
	_, err = awskms.New(client, "")
	require.Error(t, err)
	_, err = awskms.New(nil, arn)
	require.Error(t, err)
	s.SetHook(keyringtest.AWSAnswer(200, `{"KeyMetadata": {"Arn": "alias/shop"}}`))
	_, err = awskms.New(client, "alias/shop")
	require.ErrorIs(t, err, awskms.ErrWrongAnswer)
}

// errorTable is what the API reference documents for Encrypt, Decrypt and
// DescribeKey, and the common errors of AWS's services:
//
//	docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
//	docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
//	docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
//	docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
//	docs.aws.amazon.com/kms/latest/developerguide/throttling.html
//	docs.aws.amazon.com/kms/latest/developerguide/key-state.html
//
// attempts is how often the client tries.
var errorTable = []struct {
	source, code string
	status       int
	message      string
	kind         error
	class        error
	attempts     int
}{
	{"API_Decrypt", "DependencyTimeoutException", 503, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
	{"API_Decrypt", "DisabledException", 400, "arn is disabled.", awskms.ErrDisabled, keyring.ErrDenied, 1},
	{"API_Decrypt", "DryRunOperationException", 412, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"API_Decrypt", "IncorrectKeyException", 400, "", awskms.ErrWrongContext, keyring.ErrDenied, 1},
	{"API_Decrypt", "InvalidCiphertextException", 400, "", awskms.ErrWrongContext, keyring.ErrDenied, 1},
	{"API_Decrypt", "InvalidGrantTokenException", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"API_Decrypt", "InvalidKeyUsageException", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"API_Decrypt", "KeyUnavailableException", 500, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
	{"API_Decrypt", "KMSInternalException", 500, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
	{"key-state", "KMSInvalidStateException", 400, "arn is pending deletion.", awskms.ErrDisabled, keyring.ErrDenied, 1},
	{"key-state", "KMSInvalidStateException", 400, "arn is pending import.", awskms.ErrDisabled, keyring.ErrDenied, 1},
	{"key-state", "KMSInvalidStateException", 400, "arn is unavailable.", awskms.ErrUnreachable, keyring.ErrUnavailable, 1},
	{"API_Decrypt", "NotFoundException", 400, "", awskms.ErrKeyNotFound, keyring.ErrDenied, 1},
	{"API_DescribeKey", "InvalidArnException", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"throttling", "ThrottlingException", 400, "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.", awskms.ErrThrottled, keyring.ErrUnavailable, 3},
	{"CommonErrors", "LimitExceededException", 400, "", awskms.ErrThrottled, keyring.ErrUnavailable, 3},
	{"CommonErrors", "AccessDeniedException", 400, "User: x is not authorized to perform: kms:Decrypt", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "ExpiredTokenException", 403, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "IncompleteSignature", 403, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "InternalFailure", 500, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
	{"CommonErrors", "MissingAuthenticationToken", 403, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "NotAuthorized", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "OptInRequired", 403, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "RequestExpired", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "ServiceUnavailable", 503, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
	{"CommonErrors", "UnrecognizedClientException", 403, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"CommonErrors", "ValidationError", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"none", "SomethingNew", 400, "", keyring.ErrDenied, keyring.ErrDenied, 1},
	{"none", "SomethingNew", 500, "", awskms.ErrUnreachable, keyring.ErrUnavailable, 3},
}

func TestErrorTable(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	arn := s.CreateKey()
	k := newKMS(t, client, arn)
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	for _, e := range errorTable {
		name := fmt.Sprintf("%s %d %q (%s)", e.code, e.status, e.message, e.source)
		s.SetHook(keyringtest.AWSError(e.status, e.code, e.message))
		for operation, call := range map[string]func() error{
			"Decrypt": func() error { _, err := k.Unwrap(t.Context(), wrapped, ec); return err },
			"Encrypt": func() error { _, err := k.Wrap(t.Context(), secret, ec); return err },
		} {
			before := s.Calls(operation)
			err := call()
			require.ErrorIs(t, err, e.kind, name)
			require.ErrorIs(t, err, e.class, name)
			for _, other := range []error{keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrTampered} {
				require.Equal(t, other == e.class, errors.Is(err, other), name)
			}
			require.Equal(t, e.attempts, s.Calls(operation)-before, name)
			for _, text := range []string{operation, arn, e.code, e.message} {
				require.ErrorContains(t, err, text)
			}
			require.Regexp(t, `\(request "[0-9a-f-]{36}"\)`, err.Error(), name)
		}
	}
	t.Logf("%d shapes of errors, through AWS's own deserialisers", len(errorTable))
}

// TestKeyStates runs the server's own refusals.
func TestKeyStates(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	arn := s.CreateKey()
	k := newKMS(t, client, arn)
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	for state, kind := range map[keyringtest.AWSKeyState]error{
		keyringtest.AWSEnabled: nil, keyringtest.AWSDisabled: awskms.ErrDisabled, keyringtest.AWSPendingDeletion: awskms.ErrDisabled,
		keyringtest.AWSPendingImport: awskms.ErrDisabled, keyringtest.AWSUnavailable: awskms.ErrUnreachable,
	} {
		s.SetKeyState(arn, state)
		_, err := k.Unwrap(t.Context(), wrapped, ec)
		require.ErrorIs(t, err, kind, state)
	}
	s.SetKeyState(arn, keyringtest.AWSEnabled)
	for accessKey, code := range map[string]string{"UNKNOWN": "UnrecognizedClientException", "NOTHING": "AccessDeniedException"} {
		require.NoError(t, s.SetPolicy("NOTHING"))
		_, err = newKMS(t, clientOf(s, accessKey), arn).Unwrap(t.Context(), wrapped, ec)
		require.ErrorIs(t, err, keyring.ErrDenied)
		require.ErrorContains(t, err, code)
	}
	none := clientOf(s, "", func(o *kms.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no role found")
		})
	})
	_, err = newKMS(t, none, arn).Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrUnreachable)
	require.ErrorContains(t, err, "no role found")
	anonymous := clientOf(s, "", func(o *kms.Options) { o.Credentials = aws.AnonymousCredentials{} })
	_, err = newKMS(t, anonymous, arn).Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.ErrorContains(t, err, "MissingAuthenticationToken")
}

// TestWrongAnswers has the server answer with status 200 and nonsense.
func TestWrongAnswers(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	arn, other := s.CreateKey(), s.CreateKey()
	k := newKMS(t, client, arn)
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	leak := base64.StdEncoding.EncodeToString(secret)
	change := func(key string, value any) keyringtest.AWSHook {
		return keyringtest.AWSChange(func(answer map[string]any) { answer[key] = value })
	}
	remove := func(keys ...string) keyringtest.AWSHook {
		return keyringtest.AWSChange(func(answer map[string]any) {
			for _, key := range keys {
				delete(answer, key)
			}
		})
	}
	for name, hook := range map[string]keyringtest.AWSHook{
		"nothing":          keyringtest.AWSAnswer(200, ""),
		"no object":        keyringtest.AWSAnswer(200, "{}"),
		"null":             keyringtest.AWSAnswer(200, "null"),
		"a list":           keyringtest.AWSAnswer(200, `["`+leak+`"]`),
		"garbage":          keyringtest.AWSAnswer(200, "\x00\x01garbage"+leak),
		"a page":           keyringtest.AWSAnswer(200, "<html>"+leak),
		"cut short":        keyringtest.AWSAnswer(200, `{"KeyId": "`+arn+`", "Plaintext": "`+leak),
		"no base64":        keyringtest.AWSAnswer(200, `{"KeyId": "`+arn+`", "Plaintext": "?`+leak+`", "CiphertextBlob": "?`+leak+`"}`),
		"a number":         keyringtest.AWSAnswer(200, `{"KeyId": "`+arn+`", "Plaintext": 7, "CiphertextBlob": 7}`),
		"10 MB":            keyringtest.AWSAnswer(200, strings.Repeat("x", 10<<20)),
		"another key":      change("KeyId", other),
		"an alias":         change("KeyId", "alias/shop"),
		"no key":           remove("KeyId"),
		"no payload":       remove("Plaintext", "CiphertextBlob"),
		"an empty payload": keyringtest.AWSChange(func(a map[string]any) { a["Plaintext"], a["CiphertextBlob"] = "", "" }),
	} {
		s.SetHook(hook)
		for operation, call := range map[string]func() ([]byte, error){
			"unwrap": func() ([]byte, error) { return k.Unwrap(t.Context(), wrapped, ec) },
			"wrap":   func() ([]byte, error) { return k.Wrap(t.Context(), secret, ec) },
		} {
			got, err := call()
			require.ErrorIs(t, err, awskms.ErrWrongAnswer, "%s, %s", name, operation)
			require.ErrorIs(t, err, keyring.ErrTampered)
			require.NotErrorIs(t, err, keyring.ErrUnavailable)
			require.Nil(t, got)
			noSecret(t, err)
		}
	}
	// What only a keyring can tell to be wrong, it does.
	for name, payload := range map[string][]byte{"short": secret[:31], "long": append(secret, 0), "another": bytes.Repeat([]byte{1}, 32)} {
		s.SetHook(nil)
		store := keyring.NewMemoryStore()
		cfg := keyring.Config{Name: "shop", Store: store, KMS: []keyring.KMS{k}, Logger: quiet}
		kr, err := keyring.Create(t.Context(), cfg)
		require.NoError(t, err)
		require.NoError(t, encrypt(t, kr))
		require.NoError(t, kr.Close())
		s.SetHook(change("Plaintext", payload))
		kr, err = keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		require.ErrorIs(t, encrypt(t, kr), keyring.ErrTampered, name)
		require.NoError(t, kr.Close())
	}
}

func encrypt(t testing.TB, kr *keyring.Keyring) error {
	f, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	require.NoError(t, err)
	_, err = f.Encrypt(t.Context(), []byte("ann@example.com"), crypto.Binding{})
	return err
}

// noSecret requires that nothing that can be reached from err has the secret.
func noSecret(t *testing.T, err error) {
	t.Helper()
	forms := []string{string(secret), base64.StdEncoding.EncodeToString(secret), fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint(secret), "[]")}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%v %+v %#v %s", e, e, e, e)} {
			for _, form := range forms {
				require.NotContains(t, text, form)
			}
		}
		require.Contains(t, []string{"*fmt.wrapError", "*errors.errorString"}, reflect.TypeOf(e).String(), "an error of the client is in the chain")
	}
}

// TestFaults breaks the connection. The client's retries are bounded whatever it
// is configured with.
func TestFaults(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	arn := s.CreateKey()
	wrapped, err := newKMS(t, newClient(t, s), arn).Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	patient := func(attempts int) func(*kms.Options) {
		return func(o *kms.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, time.Millisecond, ratelimit.None
			})
		}
	}
	for name, c := range map[string]struct {
		change   func(*kms.Options)
		attempts int
	}{
		"as it comes":          {func(*kms.Options) {}, 3},
		"10 attempts":          {patient(10), 3},
		"without end":          {patient(0), 3},
		"RetryMaxAttempts 8":   {func(o *kms.Options) { o.RetryMaxAttempts = 8 }, 3},
		"RetryMaxAttempts 2":   {func(o *kms.Options) { o.RetryMaxAttempts = 2 }, 2},
		"none":                 {func(o *kms.Options) { o.Retryer = aws.NopRetryer{} }, 1},
		"adaptive, 9 attempts": {func(o *kms.Options) { o.RetryMode = aws.RetryModeAdaptive; o.Retryer = nil; o.RetryMaxAttempts = 9 }, 3},
	} {
		k, adaptive := newKMS(t, newClient(t, s, c.change), arn), strings.HasPrefix(name, "adaptive")
		if adaptive {
			k.SetTimeout(300 * time.Millisecond)
		}
		for fault, hook := range map[string]keyringtest.AWSHook{
			"reset": keyringtest.AWSReset, "500": keyringtest.AWSError(500, "KMSInternalException", ""), "throttled": keyringtest.AWSError(400, "ThrottlingException", ""),
		} {
			s.SetHook(hook)
			before := s.Calls("Decrypt")
			_, err := k.Unwrap(t.Context(), wrapped, ec)
			require.ErrorIs(t, err, keyring.ErrUnavailable, "%s, %s", name, fault)
			if adaptive { // slows down after what it has seen
				require.LessOrEqual(t, s.Calls("Decrypt")-before, c.attempts, "%s, %s", name, fault)
			} else {
				require.Equal(t, c.attempts, s.Calls("Decrypt")-before, "%s, %s", name, fault)
			}
			noSecret(t, err)
		}
		if c.attempts > 1 && !adaptive {
			s.SetHook(keyringtest.AWSFirst(c.attempts-1, keyringtest.AWSReset))
			got, err := k.Unwrap(t.Context(), wrapped, ec)
			require.NoError(t, err, name)
			require.Equal(t, secret, got)
		}
	}
	s.SetHook(nil)
	gone := newKMS(t, newClient(t, s, func(o *kms.Options) { o.BaseEndpoint = aws.String("http://127.0.0.1:1") }), arn)
	_, err = gone.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrUnreachable)
}

// TestSilentKMS never gets an answer: the call ends by itself, or with its
// caller.
func TestSilentKMS(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	arn := s.CreateKey()
	k := newKMS(t, newClient(t, s), arn)
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	s.SetHook(keyringtest.AWSHang)
	k.SetTimeout(50 * time.Millisecond)
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrUnreachable)
	require.ErrorContains(t, err, "no answer within 50ms")
	k.SetTimeout(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = k.Unwrap(ctx, wrapped, ec)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
}

// TestClientLog looks at the options of calls by a client that logs all it can.
func TestClientLog(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	const everything = aws.LogRequestWithBody | aws.LogResponseWithBody | aws.LogRequest | aws.LogResponse | aws.LogRetries | aws.LogSigning
	client := &optionsClient{Client: newClient(t, s, func(o *kms.Options) { o.ClientLogMode = everything })}
	k := newKMS(t, client, s.CreateKey())
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.NoError(t, err)
	want := aws.LogRequest | aws.LogResponse | aws.LogRetries | aws.LogSigning
	require.Equal(t, []aws.ClientLogMode{want, want}, client.modes)
}

// optionsClient notes the log mode that calls are made with.
type optionsClient struct {
	*kms.Client
	modes []aws.ClientLogMode
}

func (c *optionsClient) note(options []func(*kms.Options)) {
	o := c.Options()
	for _, f := range options {
		f(&o)
	}
	c.modes = append(c.modes, o.ClientLogMode)
}

func (c *optionsClient) Encrypt(ctx context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	c.note(options)
	return c.Client.Encrypt(ctx, in, options...)
}

func (c *optionsClient) Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	c.note(options)
	return c.Client.Decrypt(ctx, in, options...)
}

// TestPolicies runs a keyring under the documented policies: each service can do
// what it is for and nothing else.
func TestPolicies(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	arn, store := s.CreateKey(), keyring.NewMemoryStore()
	policy := func(name, old string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(t, err)
		return strings.ReplaceAll(strings.ReplaceAll(string(text), "KEY", arn), "OLD", old)
	}
	for _, name := range []string{"operator", "service", "search-only", "mask-only"} {
		require.NoError(t, s.SetPolicy(name, policy(name, "")))
	}
	config := func(accessKey, name string) keyring.Config {
		return keyring.Config{Name: name, Store: store, KMS: []keyring.KMS{newKMS(t, clientOf(s, accessKey), arn)}, Logger: quiet}
	}
	open := func(accessKey string) *keyring.Keyring {
		kr, err := keyring.Open(t.Context(), config(accessKey, "shop"))
		require.NoError(t, err)
		t.Cleanup(func() { kr.Close() })
		return kr
	}
	for _, accessKey := range []string{"service", "search-only", "mask-only"} {
		_, err := keyring.Create(t.Context(), config(accessKey, "shop"))
		require.ErrorIs(t, err, keyring.ErrDenied, accessKey)
	}
	_, err := keyring.Create(t.Context(), config("operator", "other"))
	require.ErrorIs(t, err, keyring.ErrDenied, "of another keyring")
	operator, err := keyring.Create(t.Context(), config("operator", "shop"))
	require.NoError(t, err)
	defer operator.Close()

	service := open("service")
	emails, err := crypto.NewField(service, "customers.email", crypto.FieldConfig{})
	require.NoError(t, err)
	sealed, err := emails.Encrypt(t.Context(), []byte("ann@example.com"), crypto.Binding{})
	require.NoError(t, err)
	index, err := token.NewIndex(service, "customers.email", token.IndexConfig{})
	require.NoError(t, err)
	tag, err := index.Tag(t.Context(), []byte("ann@example.com"), "")
	require.NoError(t, err)

	search := open("search-only")
	index, err = token.NewIndex(search, "customers.email", token.IndexConfig{})
	require.NoError(t, err)
	tags, err := index.Match(t.Context(), []byte("ann@example.com"), "")
	require.NoError(t, err)
	require.Equal(t, [][]byte{tag}, tags)
	for _, accessKey := range []string{"search-only", "mask-only"} {
		emails, err = crypto.NewField(open(accessKey), "customers.email", crypto.FieldConfig{})
		require.NoError(t, err)
		_, err = emails.Decrypt(t.Context(), sealed, crypto.Binding{})
		require.ErrorIs(t, err, keyring.ErrDenied, accessKey)
		require.ErrorContains(t, err, "AccessDeniedException")
		require.ErrorContains(t, err, arn)
		require.NotErrorIs(t, err, crypto.ErrDecrypt)
	}
	index, err = token.NewIndex(open("mask-only"), "customers.email", token.IndexConfig{})
	require.NoError(t, err)
	_, err = index.Tag(t.Context(), []byte("ann@example.com"), "")
	require.ErrorIs(t, err, keyring.ErrDenied)

	// Denying a root key takes it from who has not got it.
	old := operator.Health().Roots[0].ID
	require.NoError(t, s.SetPolicy("service", policy("service", ""), policy("deny-old-root", old)))
	require.ErrorIs(t, encrypt(t, open("service")), keyring.ErrDenied)
	require.NoError(t, encrypt(t, service), "until the grace ends, which has the key asked for again")
}

// TestDocumentedPolicies holds the package doc to the files.
func TestDocumentedPolicies(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(string(doc), "")
	for _, name := range []string{"operator", "service", "search-only", "deny-old-root"} {
		policy, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(t, err)
		require.Contains(t, text, string(policy), name)
	}
	mask, err := os.ReadFile("testdata/mask-only.json")
	require.NoError(t, err)
	search, err := os.ReadFile("testdata/search-only.json")
	require.NoError(t, err)
	require.Equal(t, string(mask), strings.ReplaceAll(string(search), `"index"`, `"masking"`))
}

// TestTwoKeys creates a keyring under two AWS keys, loses one, and moves to a
// third.
func TestTwoKeys(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	first, second, third := newKMS(t, client, s.CreateKey()), newKMS(t, client, s.CreateKey()), newKMS(t, client, s.CreateKey())
	cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{first, second}, Logger: quiet}
	kr, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, encrypt(t, kr))
	require.NoError(t, kr.Close())
	s.SetKeyState(strings.TrimPrefix(first.URI(), "aws-kms://"), keyringtest.AWSPendingDeletion)
	before := s.Calls("Decrypt")
	kr, err = keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, encrypt(t, kr))
	require.Equal(t, 2, s.Calls("Decrypt")-before, "one is refused, one answers, and no call per value")
	require.NoError(t, kr.Close())

	move := cfg
	move.KMS = []keyring.KMS{third}
	mover, err := keyring.Open(t.Context(), move)
	require.NoError(t, err)
	defer mover.Close()
	_, err = mover.Rewrap(t.Context(), keyring.RewrapOptions{From: []keyring.KMS{second}, Remove: true})
	require.NoError(t, err)
	require.NoError(t, encrypt(t, mover))
}

// TestConcurrentColdStart is the figure of the package doc: one Decrypt.
func TestConcurrentColdStart(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	k := newKMS(t, newClient(t, s), s.CreateKey())
	cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{k}, Logger: quiet}
	kr, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, encrypt(t, kr))
	require.NoError(t, kr.Close())
	kr, err = keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer kr.Close()
	before := s.Calls("Decrypt")
	errs := make(chan error)
	var failed atomic.Int64
	for range 1000 {
		go func() { errs <- encrypt(t, kr) }()
	}
	for range 1000 {
		if <-errs != nil {
			failed.Add(1)
		}
	}
	require.Zero(t, failed.Load())
	require.Equal(t, 1, s.Calls("Decrypt")-before)
}

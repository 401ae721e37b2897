package awskms_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/awskms"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestCutAnswers ends the connection in the middle of a right answer. Nothing is
// known of that answer but that it did not arrive.
func TestCutAnswers(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	k := newKMS(t, newClient(t, s), s.CreateKey())
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	for name, framing := range map[string]func(body string) string{
		"length":  func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) },
		"chunked": func(body string) string { return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(body)) },
	} {
		for _, reset := range []bool{false, true} {
			for _, tenths := range []int{1, 5, 9} {
				s.SetHook(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					right := httptest.NewRecorder()
					next.ServeHTTP(right, r)
					body := right.Body.String()
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						panic(err)
					}
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n%s%s", framing(body), body[:len(body)*tenths/10])
					if reset {
						time.Sleep(10 * time.Millisecond) // let the client read
						conn.(*net.TCPConn).SetLinger(0)
					}
					conn.Close()
				})
				_, err := k.Unwrap(t.Context(), wrapped, ec)
				require.ErrorIs(t, err, awskms.ErrUnreachable, "%s, reset %t, %d/10: %v", name, reset, tenths, err)
				require.NotErrorIs(t, err, keyring.ErrTampered)
				noSecret(t, err)
				_, err = k.Wrap(t.Context(), secret, ec)
				require.ErrorIs(t, err, awskms.ErrUnreachable)
			}
		}
	}
}

// TestStatusOfProxies answers as what stands between may do: with a status of
// HTTP and a page, and no code of AWS.
func TestStatusOfProxies(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	k := newKMS(t, newClient(t, s), s.CreateKey())
	for status, kind := range map[int]error{
		302: awskms.ErrUnreachable, 307: awskms.ErrUnreachable,
		400: keyring.ErrDenied, 401: keyring.ErrDenied, 403: keyring.ErrDenied, 404: keyring.ErrDenied, 407: keyring.ErrDenied,
		408: awskms.ErrUnreachable, 413: keyring.ErrDenied, 429: awskms.ErrThrottled,
		500: awskms.ErrUnreachable, 502: awskms.ErrUnreachable, 503: awskms.ErrUnreachable, 504: awskms.ErrUnreachable,
	} {
		for _, body := range []string{"", "{}", "<html>"} {
			s.SetHook(keyringtest.AWSAnswer(status, body))
			_, err := k.Unwrap(t.Context(), []byte("wrapped"), ec)
			require.ErrorIs(t, err, kind, "%d %q: %v", status, body, err)
			for _, other := range []error{keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrTampered} {
				require.Equal(t, errors.Is(kind, other), errors.Is(err, other), "%d %q: %v", status, body, err)
			}
		}
	}
}

// TestLatency has the server answer late: within the limit that is no fault.
func TestLatency(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	k := newKMS(t, newClient(t, s), s.CreateKey())
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	late := func(d time.Duration) keyringtest.AWSHook {
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			select {
			case <-time.After(d):
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}
	}
	before := s.Calls("Decrypt")
	s.SetHook(late(50 * time.Millisecond))
	got, err := k.Unwrap(t.Context(), wrapped, ec)
	require.NoError(t, err)
	require.Equal(t, secret, got)
	require.Equal(t, 1, s.Calls("Decrypt")-before)

	k.SetTimeout(50 * time.Millisecond)
	s.SetHook(late(time.Hour))
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrUnreachable)
	require.Equal(t, 2, s.Calls("Decrypt")-before, "no second attempt after the limit")

	// An answer that begins and does not end.
	s.SetHook(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		fmt.Fprint(w, `{"KeyId": "`)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err = k.Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrUnreachable)
}

// TestModeledErrors proves that AWS's deserialisers make of the server's errors
// the types that AWS models, with their messages.
func TestModeledErrors(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client, arn := newClient(t, s, func(o *kms.Options) { o.Retryer = aws.NopRetryer{} }), s.CreateKey()
	for code, target := range map[string]any{
		"DependencyTimeoutException": new(*types.DependencyTimeoutException),
		"DisabledException":          new(*types.DisabledException),
		"DryRunOperationException":   new(*types.DryRunOperationException),
		"IncorrectKeyException":      new(*types.IncorrectKeyException),
		"InvalidCiphertextException": new(*types.InvalidCiphertextException),
		"InvalidGrantTokenException": new(*types.InvalidGrantTokenException),
		"InvalidKeyUsageException":   new(*types.InvalidKeyUsageException),
		"KeyUnavailableException":    new(*types.KeyUnavailableException),
		"KMSInternalException":       new(*types.KMSInternalException),
		"KMSInvalidStateException":   new(*types.KMSInvalidStateException),
		"NotFoundException":          new(*types.NotFoundException),
	} {
		s.SetHook(keyringtest.AWSError(400, code, "as the test says"))
		_, err := client.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &arn, CiphertextBlob: []byte("x")})
		require.True(t, errors.As(err, target), "%s is %v", code, err)
		require.ErrorContains(t, err, "as the test says")
	}
}

// bareClient is what a user might write to test without HTTP: it applies the
// options of a call to none.
type bareClient struct{ *kms.Client }

func (c *bareClient) Encrypt(_ context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	var o kms.Options
	for _, f := range options {
		f(&o)
	}
	return &kms.EncryptOutput{KeyId: in.KeyId, CiphertextBlob: []byte("wrapped")}, nil
}

func TestClientWithoutRetryer(t *testing.T) {
	k := newKMS(t, &bareClient{}, "arn:aws:kms:eu-central-1:111122223333:key/x")
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)
	require.Equal(t, []byte("wrapped"), wrapped)
}

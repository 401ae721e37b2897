package awskms

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/sealfield/sealfield/keyring"
)

// The errors of Wrap, Unwrap and New, beside keyring.ErrDenied for every other
// refusal. The package doc says which answer of AWS leads to which.
var (
	ErrThrottled    = fmt.Errorf("throttled: %w", keyring.ErrUnavailable)
	ErrUnreachable  = fmt.Errorf("unreachable: %w", keyring.ErrUnavailable)
	ErrDisabled     = fmt.Errorf("the key is disabled or pending deletion: %w", keyring.ErrDenied)
	ErrKeyNotFound  = fmt.Errorf("no such key: %w", keyring.ErrDenied)
	ErrWrongContext = fmt.Errorf("wrapped by another key or in another encryption context, or altered: %w", keyring.ErrDenied)
	ErrWrongAnswer  = fmt.Errorf("the answer is wrong: %w", keyring.ErrTampered)
)

// kinds maps AWS's error codes. Those that are not here go by the HTTP status.
var kinds = map[string]error{
	"ThrottlingException":               ErrThrottled,
	"Throttling":                        ErrThrottled,
	"ThrottledException":                ErrThrottled,
	"RequestThrottled":                  ErrThrottled,
	"RequestThrottledException":         ErrThrottled,
	"TooManyRequestsException":          ErrThrottled,
	"RequestLimitExceeded":              ErrThrottled,
	"LimitExceededException":            ErrThrottled,
	"DisabledException":                 ErrDisabled,
	"KMSInvalidStateException":          ErrDisabled, // but see kindOf
	"NotFoundException":                 ErrKeyNotFound,
	"InvalidCiphertextException":        ErrWrongContext,
	"IncorrectKeyException":             ErrWrongContext,
	"KMSInternalException":              ErrUnreachable,
	"DependencyTimeoutException":        ErrUnreachable,
	"KeyUnavailableException":           ErrUnreachable,
	"CloudHsmClusterNotActiveException": ErrUnreachable,
	"XksProxyUriUnreachableException":   ErrUnreachable,
	"InternalFailure":                   ErrUnreachable,
	"ServiceUnavailable":                ErrUnreachable,
	"ServiceUnavailableException":       ErrUnreachable,
	"RequestTimeout":                    ErrUnreachable,
	"RequestTimeoutException":           ErrUnreachable,
}

// failed says what an error of the client means. The result holds text only, none
// of the client's errors: one that says that an answer could not be decoded has
// the answer with it, and so perhaps a root key.
func (k *KMS) failed(operation string, err error) error {
	text := fmt.Sprintf("awskms: %s with %s", operation, k.arn)
	var request interface{ ServiceRequestID() string }
	if errors.As(err, &request) && request.ServiceRequestID() != "" {
		text += fmt.Sprintf(" (request %.100q)", request.ServiceRequestID())
	}
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	var answer interface{ HTTPStatusCode() int }
	status := 0
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	switch {
	case errors.As(err, &api):
		return fmt.Errorf("%s: %w: %.100q: %.300q", text, kindOf(api.ErrorCode(), api.ErrorMessage(), status), api.ErrorCode(), api.ErrorMessage())
	case status != 0 && brokeOff(err):
		return fmt.Errorf("%s: %w: the answer broke off, HTTP status %d", text, ErrUnreachable, status)
	case status >= 300:
		return fmt.Errorf("%s: %w: HTTP status %d", text, kindOf("", "", status), status)
	case status != 0:
		return fmt.Errorf("%s: %w: it can not be decoded", text, ErrWrongAnswer)
	}
	// No answer, or no request: no connection, no credentials, no Region.
	return fmt.Errorf("%s: %w: %.300s", text, ErrUnreachable, err.Error())
}

func kindOf(code, message string, status int) error {
	kind, ok := kinds[code]
	switch {
	case code == "KMSInvalidStateException" && strings.Contains(message, "unavailable"):
		return ErrUnreachable // its custom key store is disconnected
	case ok:
		return kind
	case status == http.StatusTooManyRequests:
		return ErrThrottled
	case status >= 500, status == http.StatusRequestTimeout, status/100 == 3: // of a redirect, which is not followed
		return ErrUnreachable
	}
	return keyring.ErrDenied
}

// brokeOff reports whether the body of the answer did not arrive in full.
func brokeOff(err error) bool {
	_, lost := errors.AsType[net.Error](err)
	return lost || errors.Is(err, io.ErrUnexpectedEOF)
}

func (k *KMS) wrong(operation, what string) error {
	return fmt.Errorf("awskms: %s with %s: %w: %s", operation, k.arn, ErrWrongAnswer, what)
}

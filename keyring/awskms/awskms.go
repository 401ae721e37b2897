package awskms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/sealfield/sealfield/keyring"
)

// Client is what a *kms.Client can do and a KMS needs.
type Client interface {
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
}

var _ Client = (*kms.Client)(nil)

const (
	scheme      = "aws-kms://" // as Tink has it
	maxAttempts = 3            // of one call, the first included
	timeout     = 4 * time.Second
)

// KMS is a symmetric key of AWS KMS. It is safe for concurrent use.
type KMS struct {
	client  Client
	arn     string
	timeout time.Duration
}

var _ keyring.KMS = (*KMS)(nil)

// New returns the KMS of a key, which is named by its ARN, its id, or an alias's
// name or ARN. With the ARN of a key it calls nobody. Anything else it resolves
// to the ARN once, with DescribeKey and for 4 seconds at the most: an alias that
// is moved later goes on to mean the old key until the process is restarted, and
// is then another KMS, which can not unwrap what the old one has wrapped. See
// keyring.Keyring.Rewrap.
func New(client Client, keyID string) (*KMS, error) {
	if client == nil || keyID == "" {
		return nil, errors.New("awskms: New needs a client and a key")
	}
	k := &KMS{client, keyID, timeout}
	if isKeyARN(keyID) {
		return k, nil
	}
	out, err := call(context.Background(), k, "DescribeKey", func(ctx context.Context, options func(*kms.Options)) (*kms.DescribeKeyOutput, error) {
		return client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &keyID}, options)
	})
	if err != nil {
		return nil, err
	}
	if out.KeyMetadata == nil || !isKeyARN(aws.ToString(out.KeyMetadata.Arn)) {
		return nil, k.wrong("DescribeKey", "the answer names no key")
	}
	k.arn = *out.KeyMetadata.Arn
	return k, nil
}

// isKeyARN reports whether id is arn:PARTITION:kms:REGION:ACCOUNT:key/ID.
func isKeyARN(id string) bool {
	parts := strings.Split(id, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "kms" && strings.HasPrefix(parts[5], "key/") && len(parts[5]) > len("key/")
}

// URI returns "aws-kms://" and the ARN of the key.
func (k *KMS) URI() string { return scheme + k.arn }

// Wrap implements keyring.KMS by the operation Encrypt.
func (k *KMS) Wrap(ctx context.Context, key []byte, ec keyring.EncryptionContext) ([]byte, error) {
	in := &kms.EncryptInput{KeyId: &k.arn, Plaintext: key, EncryptionContext: ec, EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault}
	out, err := call(ctx, k, "Encrypt", func(ctx context.Context, options func(*kms.Options)) (*kms.EncryptOutput, error) {
		return k.client.Encrypt(ctx, in, options)
	})
	if err != nil {
		return nil, err
	}
	return k.checked("Encrypt", out.KeyId, out.CiphertextBlob)
}

// Unwrap implements keyring.KMS by the operation Decrypt, which is told the key:
// what names another one in the wrapped bytes is refused.
func (k *KMS) Unwrap(ctx context.Context, wrapped []byte, ec keyring.EncryptionContext) ([]byte, error) {
	in := &kms.DecryptInput{KeyId: &k.arn, CiphertextBlob: wrapped, EncryptionContext: ec, EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault}
	out, err := call(ctx, k, "Decrypt", func(ctx context.Context, options func(*kms.Options)) (*kms.DecryptOutput, error) {
		return k.client.Decrypt(ctx, in, options)
	})
	if err != nil {
		return nil, err
	}
	return k.checked("Decrypt", out.KeyId, out.Plaintext)
}

// checked returns the payload of an answer that names the key.
func (k *KMS) checked(operation string, keyID *string, payload []byte) ([]byte, error) {
	switch {
	case aws.ToString(keyID) != k.arn:
		clear(payload)
		return nil, k.wrong(operation, fmt.Sprintf("it names the key %.200q", aws.ToString(keyID)))
	case len(payload) == 0:
		return nil, k.wrong(operation, "it is empty")
	}
	return payload, nil
}

// call makes one call within the time limit.
func call[Out any](ctx context.Context, k *KMS, operation string, f func(context.Context, func(*kms.Options)) (*Out, error)) (*Out, error) {
	limited, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	out, err := f(limited, options)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("awskms: %s with %s: %w: %w", operation, k.arn, ErrUnreachable, context.Cause(ctx))
	case err != nil && limited.Err() != nil:
		return nil, fmt.Errorf("awskms: %s with %s: %w: no answer within %v", operation, k.arn, ErrUnreachable, k.timeout)
	case err != nil:
		return nil, k.failed(operation, err)
	case out == nil:
		return nil, k.wrong(operation, "there is none")
	}
	return out, nil
}

// options bounds the client's own retries, and takes the bodies of requests and
// answers, which hold root keys, out of its log.
func options(o *kms.Options) {
	if o.Retryer != nil { // as always in AWS's client
		if n := o.Retryer.MaxAttempts(); n <= 0 || n > maxAttempts {
			o.Retryer = retry.AddWithMaxAttempts(o.Retryer, maxAttempts)
		}
	}
	o.ClientLogMode &^= aws.LogRequestWithBody | aws.LogResponseWithBody
}

//go:build awskms_live

// These tests run on a real account, which they cost a few cents. They need two
// symmetric keys, SEALFIELD_AWS_KMS_KEY and SEALFIELD_AWS_KMS_KEY2 (ARNs), the
// right to Encrypt, Decrypt and DescribeKey with them, and AWS_REGION,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a role, AWS_SESSION_TOKEN:
//
//	go test -tags awskms_live -run Live ./keyring/awskms
package awskms_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/awskms"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

func required(t testing.TB, name string) string {
	value := os.Getenv(name)
	require.NotEmpty(t, value, "set %s", name)
	return value
}

func liveClient(t testing.TB, change ...func(*kms.Options)) *kms.Client {
	options := kms.Options{Region: required(t, "AWS_REGION")}
	id, key := required(t, "AWS_ACCESS_KEY_ID"), required(t, "AWS_SECRET_ACCESS_KEY")
	options.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
	})
	for _, f := range change {
		f(&options)
	}
	return kms.New(options)
}

func TestLiveConformance(t *testing.T) {
	client, keys := liveClient(t), []string{required(t, "SEALFIELD_AWS_KMS_KEY"), required(t, "SEALFIELD_AWS_KMS_KEY2")}
	n := 0
	keyringtest.TestKMS(t, func(t testing.TB) keyring.KMS {
		n++
		return newKMS(t, client, keys[n%2])
	})
}

// TestLiveErrors runs those rows of the error table that need nothing broken.
func TestLiveErrors(t *testing.T) {
	client, arn, other := liveClient(t), required(t, "SEALFIELD_AWS_KMS_KEY"), required(t, "SEALFIELD_AWS_KMS_KEY2")
	k := newKMS(t, client, arn)
	wrapped, err := k.Wrap(t.Context(), secret, ec)
	require.NoError(t, err)

	_, err = k.Unwrap(t.Context(), wrapped, keyring.EncryptionContext{"sealfield": "other"})
	require.ErrorIs(t, err, awskms.ErrWrongContext)
	require.ErrorContains(t, err, "InvalidCiphertextException")
	_, err = newKMS(t, client, other).Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, awskms.ErrWrongContext)
	require.ErrorContains(t, err, "IncorrectKeyException")
	prefix, _, _ := strings.Cut(arn, "key/")
	_, err = newKMS(t, client, prefix+"key/00000000-0000-4000-8000-000000000000").Wrap(t.Context(), secret, ec)
	require.ErrorIs(t, err, keyring.ErrDenied) // not found, or not allowed to know
	_, err = awskms.New(client, "alias/sealfield-no-such-alias")
	require.ErrorIs(t, err, keyring.ErrDenied)

	wrong := liveClient(t, func(o *kms.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wrong"}, nil
		})
	})
	_, err = newKMS(t, wrong, arn).Unwrap(t.Context(), wrapped, ec)
	require.ErrorIs(t, err, keyring.ErrDenied)
}

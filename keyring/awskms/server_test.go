package awskms_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// These tests hold keyringtest.AWSKMS to AWS's client. They are here because
// keyringtest must not import it.

func code(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestServerOperations(t *testing.T) {
	ctx := t.Context()
	s := keyringtest.NewAWSKMS(t)
	client := newClient(t, s)
	a, b := s.CreateKey(), s.CreateKey()
	context := map[string]string{"tenant": "7"}

	key, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &a, KeySpec: types.DataKeySpecAes256, EncryptionContext: context})
	require.NoError(t, err)
	require.Len(t, key.Plaintext, 32)
	require.Equal(t, a, *key.KeyId)
	short, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: &a, NumberOfBytes: aws.Int32(7)})
	require.NoError(t, err)
	require.Len(t, short.Plaintext, 7)

	// Decrypt finds the key by itself.
	opened, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: key.CiphertextBlob, EncryptionContext: context})
	require.NoError(t, err)
	require.Equal(t, key.Plaintext, opened.Plaintext)
	require.Equal(t, a, *opened.KeyId)

	moved, err := client.ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: key.CiphertextBlob, SourceEncryptionContext: context, DestinationKeyId: &b})
	require.NoError(t, err)
	require.Equal(t, []string{a, b}, []string{*moved.SourceKeyId, *moved.KeyId})
	opened, err = client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob, KeyId: &b})
	require.NoError(t, err)
	require.Equal(t, key.Plaintext, opened.Plaintext)

	described, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &a})
	require.NoError(t, err)
	require.Equal(t, a, *described.KeyMetadata.Arn)
	require.Equal(t, types.KeyStateEnabled, described.KeyMetadata.KeyState)

	for want, call := range map[string]func() error{
		"InvalidCiphertextException": func() error {
			_, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: key.CiphertextBlob})
			return err
		},
		"IncorrectKeyException": func() error {
			_, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: key.CiphertextBlob, EncryptionContext: context, KeyId: &b})
			return err
		},
		"ValidationException": func() error {
			_, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &a, Plaintext: make([]byte, 4097)})
			return err
		},
		"InvalidKeyUsageException": func() error {
			_, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &a, Plaintext: secret, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1})
			return err
		},
		"NotFoundException": func() error {
			_, err := client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{KeyId: aws.String("alias/none"), NumberOfBytes: aws.Int32(1)})
			return err
		},
		"UnknownOperationException": func() error {
			_, err := client.ListKeys(ctx, &kms.ListKeysInput{})
			return err
		},
	} {
		require.Equal(t, want, code(call()))
	}
	for _, in := range []*kms.GenerateDataKeyInput{
		{KeyId: &a}, {KeyId: &a, NumberOfBytes: aws.Int32(1025)}, {KeyId: &a, KeySpec: types.DataKeySpecAes128, NumberOfBytes: aws.Int32(16)},
		{KeyId: &a, NumberOfBytes: aws.Int32(1), GrantTokens: []string{"unknown to the server"}},
	} {
		_, err := client.GenerateDataKey(ctx, in)
		require.Equal(t, "ValidationException", code(err))
	}
	// No ciphertext makes it panic.
	for i := range 256 {
		_, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: []byte{1, byte(i), 2, 3}})
		require.Equal(t, "InvalidCiphertextException", code(err))
	}
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Method = http.MethodGet },
		func(r *http.Request) { r.URL.Path = "/other" },
		func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		func(r *http.Request) { r.Header.Set("Authorization", "Basic x") },
		func(r *http.Request) {},
	} {
		r, err := http.NewRequest(http.MethodPost, s.URL()+"/", strings.NewReader("{}"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "TrentService.Decrypt")
		change(r)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		answer.Body.Close()
		require.Equal(t, http.StatusBadRequest, answer.StatusCode, "%s", body)
	}
}

func TestServerPolicies(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	arn, other := s.CreateKey(), s.CreateKey()
	statement := func(effect, action, resource, condition string) string {
		return `{"Version": "2012-10-17", "Statement": [{"Sid": "x", "Effect": "` + effect + `", "Action": ["` + action + `"], "Resource": "` + resource + `"` + condition + `}]}`
	}
	equals := func(key, value string) string {
		return `, "Condition": {"StringEquals": {"` + key + `": ` + value + `}}`
	}
	tenant := "kms:EncryptionContext:tenant"
	for name, c := range map[string]struct {
		policies []string
		context  map[string]string
		allowed  bool
	}{
		"none":                    {nil, nil, false},
		"all":                     {[]string{keyringtest.AWSAllowAll}, nil, true},
		"the action":              {[]string{statement("Allow", "kms:Encrypt", arn, "")}, nil, true},
		"in another case":         {[]string{statement("Allow", "KMS:encrypt", arn, "")}, nil, true},
		"another action":          {[]string{statement("Allow", "kms:Decrypt", arn, "")}, nil, false},
		"a wildcard":              {[]string{statement("Allow", "kms:Enc*", "arn:aws:kms:*:*:key/????????-*", "")}, nil, true},
		"a wildcard that is not":  {[]string{statement("Allow", "kms:Enc?", arn, "")}, nil, false},
		"another key":             {[]string{statement("Allow", "kms:*", other, "")}, nil, false},
		"denied":                  {[]string{keyringtest.AWSAllowAll, statement("Deny", "kms:Encrypt", "*", "")}, nil, false},
		"denied for another":      {[]string{keyringtest.AWSAllowAll, statement("Deny", "kms:*", "*", equals(tenant, `"8"`))}, map[string]string{"tenant": "7"}, true},
		"the context":             {[]string{statement("Allow", "kms:*", "*", equals(tenant, `"7"`))}, map[string]string{"tenant": "7", "more": "x"}, true},
		"one of two":              {[]string{statement("Allow", "kms:*", "*", equals(tenant, `["6", "7"]`))}, map[string]string{"tenant": "7"}, true},
		"another context":         {[]string{statement("Allow", "kms:*", "*", equals(tenant, `"7"`))}, map[string]string{"tenant": "8"}, false},
		"no context":              {[]string{statement("Allow", "kms:*", "*", equals(tenant, `"7"`))}, nil, false},
		"a value in another case": {[]string{statement("Allow", "kms:*", "*", equals(tenant, `"a"`))}, map[string]string{"tenant": "A"}, false},
		"a key in another case":   {[]string{statement("Allow", "kms:*", "*", equals(tenant, `"7"`))}, map[string]string{"Tenant": "7"}, true},
	} {
		require.NoError(t, s.SetPolicy("CALLER", c.policies...), name)
		_, err := clientOf(s, "CALLER").Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: secret, EncryptionContext: c.context})
		if c.allowed {
			require.NoError(t, err, name)
		} else {
			require.Equal(t, "AccessDeniedException", code(err), name)
		}
	}
	for name, policy := range map[string]string{
		"no JSON":             "x",
		"empty":               "{}",
		"no statement":        `{"Version": "2012-10-17", "Statement": []}`,
		"another version":     strings.Replace(keyringtest.AWSAllowAll, "2012-10-17", "2008-10-17", 1),
		"two documents":       keyringtest.AWSAllowAll + keyringtest.AWSAllowAll,
		"another effect":      statement("Permit", "kms:*", "*", ""),
		"NotAction":           strings.Replace(keyringtest.AWSAllowAll, "Action", "NotAction", 1),
		"Principal":           strings.Replace(keyringtest.AWSAllowAll, `"Effect"`, `"Principal": "*", "Effect"`, 1),
		"an operator":         statement("Allow", "kms:*", "*", `, "Condition": {"StringLike": {"kms:EncryptionContext:tenant": "7"}}`),
		"a condition key":     statement("Allow", "kms:*", "*", equals("aws:SourceIp", `"10.0.0.1"`)),
		"a condition of none": statement("Allow", "kms:*", "*", equals(tenant, `[]`)),
		"a variable":          statement("Allow", "kms:*", "*", equals(tenant, `"${aws:username}"`)),
	} {
		require.Error(t, s.SetPolicy("CALLER", policy), name)
	}
}

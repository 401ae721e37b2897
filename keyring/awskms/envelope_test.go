package awskms_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/awskms"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestEnvelope gives a producer the right to wrap and a consumer the right to
// unwrap data keys of the envelope shop, and a search service that to unwrap
// root keys of the keyring shop.
func TestEnvelope(t *testing.T) {
	const policy = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:%s", "Resource": "%s",
		"Condition": {"StringEquals": {"kms:EncryptionContext:sealfield": "shop", "kms:EncryptionContext:purpose": "%s"}}}}`
	s := keyringtest.NewAWSKMS(t)
	arn := s.CreateKey()
	open := func(accessKey, operation, purpose string) *crypto.Envelope {
		require.NoError(t, s.SetPolicy(accessKey, fmt.Sprintf(policy, operation, arn, purpose)))
		e, err := crypto.NewEnvelope("shop", []keyring.KMS{newKMS(t, clientOf(s, accessKey), arn)}, crypto.EnvelopeConfig{Logger: quiet})
		require.NoError(t, err)
		t.Cleanup(func() { e.Close() })
		return e
	}
	producer, consumer, search := open("PRODUCER", "Encrypt", "envelope"), open("CONSUMER", "Decrypt", "envelope"), open("SEARCH", "Decrypt", "index")
	context := keyring.EncryptionContext{"queue": "orders"}
	var messages [][]byte
	for i := range 100 {
		m, err := producer.Encrypt(t.Context(), fmt.Append(nil, i), context)
		require.NoError(t, err)
		messages = append(messages, m)
	}
	for i, m := range messages {
		got, err := consumer.Decrypt(t.Context(), m, context)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(got))
	}
	require.Equal(t, []int{1, 1}, []int{s.Calls("Encrypt"), s.Calls("Decrypt")})

	_, err := producer.Decrypt(t.Context(), messages[0], context)
	require.ErrorIs(t, err, keyring.ErrDenied)
	_, err = consumer.Encrypt(t.Context(), []byte("v"), context)
	require.ErrorIs(t, err, keyring.ErrDenied)
	_, err = search.Decrypt(t.Context(), messages[0], context)
	require.ErrorIs(t, err, keyring.ErrDenied)
	require.NotErrorIs(t, err, awskms.ErrWrongContext)

	// Here the KMS tells an altered wrapped key from a missing right.
	altered := append([]byte(nil), messages[0]...)
	altered[len(altered)-100] ^= 1
	_, err = consumer.Decrypt(t.Context(), altered, context)
	require.ErrorIs(t, err, awskms.ErrWrongContext)
	require.NotErrorIs(t, err, crypto.ErrDecrypt)

	s.SetKeyState(arn, keyringtest.AWSUnavailable)
	got, err := consumer.Decrypt(t.Context(), messages[1], context)
	require.NoError(t, err)
	require.Equal(t, "1", string(got), "the data key is in the cache")
	fresh := open("CONSUMER", "Decrypt", "envelope")
	_, err = fresh.Decrypt(t.Context(), messages[1], context)
	require.ErrorIs(t, err, keyring.ErrUnavailable)
}

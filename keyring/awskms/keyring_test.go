package awskms_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/awskms"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestKeyringErrors opens a keyring while AWS KMS fails in each way: the error
// says of which keyring and root key, with which key of AWS, and is of the class
// that the package doc has. Nothing of a root key is in it, nor stays of a wrong
// one.
func TestKeyringErrors(t *testing.T) {
	s := keyringtest.NewAWSKMS(t)
	client, arn := newClient(t, s), s.CreateKey()
	k := newKMS(t, client, arn)
	cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{k}, Logger: quiet}

	// Create proves its wraps, so all root keys pass by here.
	var roots []string
	spy := func(answer map[string]any) {
		if p, ok := answer["Plaintext"].(string); ok {
			roots = append(roots, p)
		}
	}
	s.SetHook(keyringtest.AWSChange(spy))
	creator, err := keyring.Create(t.Context(), cfg)
	require.NoError(t, err)
	defer creator.Close()
	require.NoError(t, encrypt(t, creator))
	require.Len(t, roots, len(keyring.Purposes()))

	plaintext := func(p []byte) keyringtest.AWSHook {
		return keyringtest.AWSChange(func(a map[string]any) { a["Plaintext"] = base64.StdEncoding.EncodeToString(p) })
	}
	altered := func(alter func(p []byte) []byte) keyringtest.AWSHook {
		return keyringtest.AWSChange(func(a map[string]any) {
			p, err := base64.StdEncoding.DecodeString(a["Plaintext"].(string))
			require.NoError(t, err)
			a["Plaintext"] = base64.StdEncoding.EncodeToString(alter(p))
		})
	}
	of := func(i int) []byte {
		p, err := base64.StdEncoding.DecodeString(roots[i])
		require.NoError(t, err)
		return p
	}
	type fault struct {
		hook        keyringtest.AWSHook
		kind, class error
	}
	faults := map[string]fault{
		"throttled":           {keyringtest.AWSError(400, "ThrottlingException", "Rate exceeded"), awskms.ErrThrottled, keyring.ErrUnavailable},
		"denied":              {keyringtest.AWSError(400, "AccessDeniedException", "no"), keyring.ErrDenied, keyring.ErrDenied},
		"disabled":            {keyringtest.AWSError(400, "DisabledException", "is disabled."), awskms.ErrDisabled, keyring.ErrDenied},
		"pending deletion":    {keyringtest.AWSError(400, "KMSInvalidStateException", "is pending deletion."), awskms.ErrDisabled, keyring.ErrDenied},
		"not found":           {keyringtest.AWSError(400, "NotFoundException", "no"), awskms.ErrKeyNotFound, keyring.ErrDenied},
		"wrong context":       {keyringtest.AWSError(400, "InvalidCiphertextException", ""), awskms.ErrWrongContext, keyring.ErrDenied},
		"reset":               {keyringtest.AWSReset, awskms.ErrUnreachable, keyring.ErrUnavailable},
		"silent":              {keyringtest.AWSHang, awskms.ErrUnreachable, keyring.ErrUnavailable},
		"garbage":             {keyringtest.AWSAnswer(200, "\x00garbage"+roots[0]), awskms.ErrWrongAnswer, keyring.ErrTampered},
		"empty":               {plaintext(nil), awskms.ErrWrongAnswer, keyring.ErrTampered},
		"short":               {altered(func(p []byte) []byte { return p[:31] }), nil, keyring.ErrTampered},
		"long":                {altered(func(p []byte) []byte { return append(p, 0) }), nil, keyring.ErrTampered},
		"of another purpose":  {plaintext(of(1)), nil, keyring.ErrTampered},
		"names another key":   {keyringtest.AWSChange(func(a map[string]any) { a["KeyId"] = arn[:len(arn)-1] + "x" }), awskms.ErrWrongAnswer, keyring.ErrTampered},
		"random":              {plaintext(secret), nil, keyring.ErrTampered},
		"names the alias":     {keyringtest.AWSChange(func(a map[string]any) { a["KeyId"] = "alias/shop" }), awskms.ErrWrongAnswer, keyring.ErrTampered},
		"answers for Encrypt": {keyringtest.AWSChange(func(a map[string]any) { a["CiphertextBlob"] = a["Plaintext"]; delete(a, "Plaintext") }), awskms.ErrWrongAnswer, keyring.ErrTampered},
	}
	for bit := range 32 {
		faults[fmt.Sprint("bit ", 8*bit+bit%8)] = fault{altered(func(p []byte) []byte { p[bit] ^= 1 << (bit % 8); return p }), nil, keyring.ErrTampered}
	}
	for name, c := range faults {
		k.SetTimeout(4 * time.Second)
		if name == "silent" {
			k.SetTimeout(50 * time.Millisecond)
		}
		kr, err := keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		s.SetHook(c.hook)
		err = encrypt(t, kr)
		require.ErrorIs(t, err, c.class, name)
		if c.kind != nil {
			require.ErrorIs(t, err, c.kind, name)
		}
		require.NotErrorIs(t, err, crypto.ErrDecrypt, name)
		require.ErrorContains(t, err, "keyring: shop: purpose encryption, key ", name)
		require.ErrorContains(t, err, "under "+kr.Health().Roots[0].ID+": root key: KMS aws-kms://"+arn+": ", name)
		if c.kind != nil { // what the keyring found is not said by awskms
			require.ErrorContains(t, err, "awskms: Decrypt with "+arn, name)
		}
		text := fmt.Sprintf("%v %+v %#v", err, err, kr.Health())
		for i := range roots {
			for _, form := range []string{roots[i], string(of(i)), fmt.Sprintf("%x", of(i)), strings.Trim(fmt.Sprint(of(i)), "[]")} {
				require.NotContains(t, text, form, name)
			}
		}
		require.False(t, kr.Health().Roots[0].Unwrapped, name)
		s.SetHook(nil)
		require.NoError(t, encrypt(t, kr), name)
		require.NoError(t, kr.Close())
	}
	t.Logf("%d faults", len(faults))
}

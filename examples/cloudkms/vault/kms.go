package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/tinkkms"
)

// NewKMS returns the key name of the transit engine mounted at mount as a KMS.
// The key must be of a type with associated data, such as Vault's default
// aes256-gcm96, and not derived. The calls of client can not be stopped, so its
// own timeout should be no longer than the keyring's.
func NewKMS(client *api.Client, mount, name string) (*tinkkms.KMS, error) {
	path := "/" + mount + "/keys/" + name
	aead, err := hcvault.NewAEAD(path, client.Logical())
	if err != nil {
		return nil, fmt.Errorf("vault: %s: %w", path, err)
	}
	address, err := url.Parse(client.Address())
	if err != nil {
		return nil, errors.New("vault: the address of the client is no URL")
	}
	return tinkkms.New("hcvault://"+address.Host+path, tinkkms.IgnoreContext(aead), tinkkms.Config{Classify: classify})
}

// classify names the answers of Vault that may be better next time. An error
// that has no HTTP status is not Vault's, or of an answer that was cut.
//
// The others are refusals, among them 400 (altered bytes, another context, a key
// that is unknown or a version below min_decryption_version), 403 (no right, or
// a token that has expired) and 404 (no engine at this mount).
func classify(err error) error {
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return keyring.ErrUnavailable
	}
	switch code := answer.StatusCode; {
	case code == http.StatusPreconditionFailed, // a standby has not caught up
		code == http.StatusTooManyRequests, // a quota
		code == 472, code == 473,           // a standby that does not serve
		code >= 500: // sealed, in maintenance, an error of its own
		return keyring.ErrUnavailable
	}
	return nil // keyring.ErrDenied
}

package token

import (
	"context"

	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac/hmac"
	"github.com/tink-crypto/tink-go/v2/secretdata"

	"github.com/sealfield/sealfield/keyring"
)

// TinkKeyset returns the index's keys as a Tink MAC keyset, the newest primary.
func (x *Index) TinkKeyset(ctx context.Context, scope string) (*keyset.Handle, error) {
	params, err := hmac.NewParameters(hmac.ParametersOpts{KeySizeInBytes: 32, TagSizeInBytes: 16, HashType: hmac.SHA256, Variant: hmac.VariantTink})
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	err = x.keys.Each(ctx, scope, func(m *keyring.Material) error {
		raw, err := m.Derive("HMAC-SHA256", x.name, 32, x.cfg.detail()...)
		if err != nil {
			return err
		}
		k, err := hmac.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), params, uint32(m.ID()))
		if err != nil {
			return err
		}
		id, err := manager.AddKey(k)
		if err != nil {
			return err
		}
		return manager.SetPrimary(id)
	})
	if err != nil {
		return nil, err
	}
	return manager.Handle()
}

// NewToken returns the token with that prefix and random part.
func NewToken(prefix string, b [16]byte) Token { return newToken(prefix, (*body)(&b)) }

// Parts returns the prefix and the random part of a token.
func Parts(t Token) (string, [16]byte) {
	prefix, b, _ := parse(t)
	return prefix, b
}

// HashOf returns the hash that stands for a token in a store.
func HashOf(t Token) TokenHash { return t.hash() }

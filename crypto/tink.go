package crypto

import (
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"

	"github.com/sealfield/sealfield/internal/xaes"
	"github.com/sealfield/sealfield/keyring"
)

// TinkKeyset returns the field's keys for one scope as a Tink keyset, for
// readers and writers in other languages: every key that is not destroyed, with
// the one that Encrypt uses now as primary. Tink's AEAD of the keyset, given
// Binding.Row as associated data, reads what Encrypt wrote and the reverse.
//
// It is raw key material, hence the token. It opens this field of this scope
// and nothing else, but does so for ever: it is a snapshot that sees no
// rotation, suspension or erasure. It fails if the scope has no key.
func (f *Field) TinkKeyset(ctx context.Context, scope string, token insecuresecretdataaccess.Token) (*keyset.Handle, error) {
	h, err := f.tinkKeyset(ctx, scope, token)
	if err != nil {
		return nil, fmt.Errorf("crypto: export field %s: %w", f.name, err)
	}
	return h, nil
}

func (f *Field) tinkKeyset(ctx context.Context, scope string, token insecuresecretdataaccess.Token) (*keyset.Handle, error) {
	active, err := f.keys.ActiveID(ctx, scope)
	if err != nil {
		return nil, err
	}
	manager := keyset.NewManager()
	err = f.keys.Each(ctx, scope, func(m *keyring.Material) error {
		raw, err := f.derive(m)
		if err != nil {
			return err
		}
		defer clear(raw)
		k, err := tinkKey(m, secretdata.NewBytesFromData(raw, token))
		if err != nil {
			return err
		}
		_, err = manager.AddKey(k)
		return err
	})
	if err != nil {
		return nil, err
	}
	if active == 0 {
		return nil, fmt.Errorf("scope %q: %w", scope, keyring.ErrUnknownKey)
	}
	if err := manager.SetPrimary(uint32(active)); err != nil {
		return nil, err
	}
	return manager.Handle()
}

func tinkKey(m *keyring.Material, raw secretdata.Bytes) (key.Key, error) {
	if m.Algorithm() == keyring.AES256GCM {
		params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
			KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
		})
		if err != nil {
			return nil, err
		}
		return aesgcm.NewKey(raw, uint32(m.ID()), params)
	}
	params, err := xaesgcm.NewParameters(xaesgcm.VariantTink, xaes.SaltSize)
	if err != nil {
		return nil, err
	}
	return xaesgcm.NewKey(raw, uint32(m.ID()), params)
}

package mask

import "github.com/sealfield/sealfield/internal/secret"

// Fixed returns a masker whose epoch key is given, for golden values.
func Fixed(epochKey []byte) *Masker {
	return &Masker{keys: &epochKeys{secret.New(epochKey), func(int64) bool { return true }}}
}

// NewCryptoPAn returns Crypto-PAn under a key.
func NewCryptoPAn(key []byte) (func(address []byte, from, to int), error) {
	p, err := newCryptoPAn(key)
	return p.crypt, err
}

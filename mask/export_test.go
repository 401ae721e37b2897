package mask

import "github.com/sealfield/sealfield/internal/secret"

// Fixed returns a masker whose epoch key is given, for golden values.
func Fixed(epochKey []byte) *Masker {
	return &Masker{keys: &epochKeys{secret.New(epochKey), func(int64) bool { return true }}}
}

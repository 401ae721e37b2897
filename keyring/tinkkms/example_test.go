package tinkkms_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/tinkkms"
)

// A keyset of Tink serves as the KMS. (A new one at each start, as here, would
// lose everything that the one before has wrapped.)
func ExampleNew() {
	ctx := context.Background()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		log.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		log.Fatal(err)
	}
	kms, err := tinkkms.New("keyset://example", tinkkms.IgnoreContext(a), tinkkms.Config{})
	if err != nil {
		log.Fatal(err)
	}
	kr, err := keyring.Create(ctx, keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}})
	if err != nil {
		log.Fatal(err)
	}
	defer kr.Close()
	fmt.Println(kr, "is wrapped by", kms)
	// Output: keyring shop is wrapped by keyset://example
}

// First encrypts one value, shows that it opens only where it belongs, and
// rotates its key. It needs no database: keys are in two files.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

func main() {
	ctx := context.Background()

	kms, err := localkms.OpenOrCreate("app.key") // a key file, mode 0600
	check(err)
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{
		Name:  "app",
		Store: keyring.NewFileStore("app.keys"), // wrapped keys only
		KMS:   []keyring.KMS{kms},
	})
	check(err)
	defer kr.Close()

	email, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	check(err)
	ann := crypto.Binding{Row: crypto.Row("1")} // the row's primary key
	ben := crypto.Binding{Row: crypto.Row("2")}

	// Encrypt, decrypt.
	ciphertext, err := email.Encrypt(ctx, []byte("ann@example.com"), ann)
	check(err)
	plaintext, err := email.Decrypt(ctx, ciphertext, ann)
	check(err)
	fmt.Printf("%d bytes hold %q\n", len(ciphertext), plaintext)

	// The same bytes in another row are refused.
	_, err = email.Decrypt(ctx, ciphertext, ben)
	fmt.Println("in Ben's row:", err)

	// After a rotation the old value still opens, and is known to be stale.
	_, err = kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	check(err)
	plaintext, err = email.Decrypt(ctx, ciphertext, ann)
	check(err)
	stale, err := email.Stale(ctx, ciphertext, "")
	check(err)
	fmt.Printf("after rotation: %q, stale: %t\n", plaintext, stale)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

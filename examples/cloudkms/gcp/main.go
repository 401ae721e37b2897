// Command gcp makes a keyring whose root keys are wrapped by Google Cloud KMS,
// encrypts a value and decrypts it. It is given the resource name of a
// symmetric key, and uses the application default credentials:
//
//	gcp projects/P/locations/L/keyRings/R/cryptoKeys/K
//
// The keyring is in memory and gone at the end; a program keeps it in a store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
)

func main() {
	if err := start(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gcp:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: gcp projects/P/locations/L/keyRings/R/cryptoKeys/K")
	}
	kms, err := NewKMS(ctx, args[0])
	if err != nil {
		return err
	}
	return Run(ctx, kms, os.Stdout)
}

// Run makes a keyring that kms wraps, opens it as another process would, and
// encrypts and decrypts a value.
func Run(ctx context.Context, kms keyring.KMS, out io.Writer) error {
	cfg := keyring.Config{Name: "shop", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}}
	kr, err := keyring.Create(ctx, cfg) // once; it needs the right to encrypt and to decrypt
	if err != nil {
		return err
	}
	if err := kr.Close(); err != nil {
		return err
	}
	if kr, err = keyring.Open(ctx, cfg); err != nil { // a service; it needs the right to decrypt
		return err
	}
	defer kr.Close()
	email, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	if err != nil {
		return err
	}
	at := crypto.Binding{Row: crypto.Row("42")}
	sealed, err := email.Encrypt(ctx, []byte("ann@example.com"), at)
	if err != nil {
		return err
	}
	opened, err := email.Decrypt(ctx, sealed, at)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "wrapped by %s\nsealed: %x\nopened: %s\n", kms.URI(), sealed, opened)
	return nil
}

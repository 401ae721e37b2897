// Command vault makes a keyring whose root keys are wrapped by a key of
// HashiCorp Vault's transit engine, encrypts a value and decrypts it. It is
// given the mount of the engine and the name of the key, and reads VAULT_ADDR,
// VAULT_TOKEN and the other variables of Vault's client:
//
//	vault transit shop
//
// The keyring is in memory and gone at the end; a program keeps it in a store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
)

func main() {
	if err := start(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: vault MOUNT KEY")
	}
	client, err := api.NewClient(nil) // a login method renews its token, in a program
	if err != nil {
		return err
	}
	client.SetClientTimeout(5 * time.Second) // for all tries of a call; the keyring's Timeout
	kms, err := NewKMS(client, args[0], args[1])
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

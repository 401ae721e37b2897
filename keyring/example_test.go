package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// openExample opens a keyring of tenants that lives as long as the example.
func openExample(delay, grace time.Duration) *keyring.Keyring {
	kr, err := keyring.Create(context.Background(), keyring.Config{
		Name: "example", Scoped: true, Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{keyringtest.NewKMS()},
		PropagationDelay: delay, EncryptGrace: grace, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return kr
}

// A tenant leaves, and takes its data along.
func ExampleKeyring_Shred() {
	ctx := context.Background()
	kr := openExample(0, 0)
	defer kr.Close()
	email, _ := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	at := crypto.Binding{Scope: "tenant-7", Row: crypto.Row("42")}
	ciphertext, _ := email.Encrypt(ctx, []byte("ann@example.com"), at)

	report, err := kr.Shred(ctx, "tenant-7", keyring.ShredOptions{By: "ticket 4711"})
	fmt.Println(len(report.Keys), "key destroyed by", report.Keys[0].DestroyedBy, err)

	_, err = email.Decrypt(ctx, ciphertext, at)
	fmt.Println(errors.Is(err, crypto.ErrDecrypt), errors.Is(err, keyring.ErrErased))
	_, err = email.Encrypt(ctx, []byte("again"), at)
	fmt.Println(errors.Is(err, keyring.ErrErased))
	// Output:
	// 1 key destroyed by ticket 4711 <nil>
	// true true
	// true
}

// A key goes when nothing needs it any more. The keyring of this example has
// short times; usual are minutes and hours.
func ExampleKeyring_Destroy() {
	ctx := context.Background()
	kr := openExample(50*time.Millisecond, 50*time.Millisecond)
	defer kr.Close()
	email, _ := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	at := crypto.Binding{Scope: "tenant-7", Row: crypto.Row("42")}
	stored, _ := email.Encrypt(ctx, []byte("ann@example.com"), at)
	old, _ := crypto.KeyID(stored)
	target := keyring.Target{Scope: "tenant-7", Purpose: keyring.Encryption}

	// First a newer key, and all values under it.
	if _, err := kr.Rotate(ctx, target, keyring.RotateOptions{}); err != nil {
		panic(err)
	}
	destroy := keyring.DestroyOptions{By: "ann", Count: func(_ context.Context, key keyring.KeyInfo) (int64, error) {
		// select count(*) from customers where substring(email from 2 for 4) = $1
		if id, _ := crypto.KeyID(stored); id == key.ID {
			return 1, nil
		}
		return 0, nil
	}}
	var inUse *keyring.InUseError
	err := kr.Destroy(ctx, target, old, destroy)
	fmt.Println(errors.As(err, &inUse)) // it has to be suspended first

	// The first step can be taken back, the second can not.
	if err := kr.Suspend(ctx, target, old); err != nil {
		panic(err)
	}
	time.Sleep(300 * time.Millisecond) // PropagationDelay, twice, and EncryptGrace
	err = kr.Destroy(ctx, target, old, destroy)
	fmt.Println(errors.As(err, &inUse), inUse.Reason)

	stored, _ = email.Encrypt(ctx, []byte("ann@example.com"), at)
	fmt.Println(kr.Destroy(ctx, target, old, destroy))
	// Output:
	// true
	// true 1 values are under it
	// <nil>
}

// A root key may be known to somebody: every key below it moves, no value does.
func ExampleKeyring_RotateRoot() {
	ctx := context.Background()
	kr := openExample(0, 0)
	defer kr.Close()
	email, _ := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
	at := crypto.Binding{Scope: "tenant-7"}
	ciphertext, _ := email.Encrypt(ctx, []byte("ann@example.com"), at)

	done, err := kr.RotateRoot(ctx, keyring.Encryption)
	fmt.Println("version", done.Version, "moved", done.Moved, err)
	for _, id := range done.Empty {
		fmt.Println(kr.DestroyRoot(ctx, id))
	}
	plaintext, err := email.Decrypt(ctx, ciphertext, at)
	fmt.Println(string(plaintext), err)
	// Output:
	// version 2 moved 1 <nil>
	// <nil>
	// ann@example.com <nil>
}

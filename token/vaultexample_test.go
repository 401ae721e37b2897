package token_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// exampleKeyring returns a keyring that is gone with the process: do not use one
// like it for anything real.
func exampleKeyring(ctx context.Context) *keyring.Keyring {
	kr, err := keyring.Create(ctx, keyring.Config{Name: "app", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{keyringtest.NewKMS()}})
	if err != nil {
		panic(err)
	}
	return kr
}

// Card numbers leave the application's tables: equal numbers, however they are
// typed, have one token, by which payments can be counted and joined.
func ExampleVault() {
	ctx := context.Background()
	kr := exampleKeyring(ctx)
	defer kr.Close()
	cards, err := token.NewVault(kr, "customers.pan", token.VaultConfig{
		Store:      token.NewMemoryVaultStore(), // pgxstore.NewVaultStore(...)
		Prefix:     "pan",
		Convergent: true,
		Normalizer: token.Digits,
	})
	if err != nil {
		panic(err)
	}

	tok, err := cards.Tokenize(ctx, []byte("4111 1111 1111 1111"), "")
	again, err2 := cards.Tokenize(ctx, []byte("4111111111111111"), "")
	fmt.Println(tok[:4], len(tok), "letters, the same again:", tok == again, err, err2)

	value, err := cards.Detokenize(ctx, tok, "")
	fmt.Println(string(value), err)

	_, err = cards.Tokenize(ctx, []byte(tok), "")
	fmt.Println(err)
	_, err = cards.Detokenize(ctx, tok[:30]+"x"+tok[31:], "")
	fmt.Println(err)

	err = cards.Revoke(ctx, tok, "")
	value, err2 = cards.Detokenize(ctx, tok, "")
	fmt.Println(value == nil, err, err2)
	// Output:
	// pan_ 44 letters, the same again: true <nil> <nil>
	// 4111 1111 1111 1111 <nil>
	// token: vault customers.pan: the value is a token
	// token: vault customers.pan: it is no token
	// true <nil> token: vault customers.pan: the token is revoked
}

// A link that shows a document once, within the hour.
func ExampleVault_singleUse() {
	ctx := context.Background()
	kr := exampleKeyring(ctx)
	defer kr.Close()
	links, err := token.NewVault(kr, "links", token.VaultConfig{
		Store: token.NewMemoryVaultStore(), Prefix: "doc", TTL: time.Hour, Uses: 1,
	})
	if err != nil {
		panic(err)
	}
	tok, err := links.Tokenize(ctx, []byte("documents/4711"), "")
	if err != nil {
		panic(err)
	}
	for range 2 {
		value, err := links.Detokenize(ctx, tok, "")
		fmt.Printf("%q %v %t\n", value, err, errors.Is(err, token.ErrUsed))
	}
	// Output:
	// "documents/4711" <nil> false
	// "" token: vault links: the token is used up true
}

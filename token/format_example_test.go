package token_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/ff1"
)

func ExampleFormatPreserving() {
	ctx := context.Background()
	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "app", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{keyringtest.NewKMS()}})
	if err != nil {
		log.Fatal(err)
	}
	defer kr.Close()
	cards, err := token.NewFormatPreserving(kr, "payments.pan", token.FormatPreservingConfig{Format: "pan"})
	if err != nil {
		log.Fatal(err)
	}
	tok, id, err := cards.Tokenize(ctx, []byte("4111111111111111"), "") // insert ... pan = tok, pan_key = id
	if err != nil {
		log.Fatal(err)
	}
	pan, err := cards.Detokenize(ctx, tok, id, "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(tok) != string(pan), len(tok), string(tok[12:]), string(pan))

	_, _, err = cards.Tokenize(ctx, []byte("4111111111111112"), "")
	fmt.Println(errors.Is(err, token.ErrFormat), err)
	_, err = token.NewFormatPreserving(kr, "payments.pan", token.FormatPreservingConfig{Format: "pan-bin6-last4"})
	fmt.Println(errors.Is(err, ff1.ErrDomain))
	// Output:
	// true 16 1111 4111111111111111
	// true token: format-preserving payments.pan: the value does not fit the format: a wrong check digit at byte 11
	// true
}

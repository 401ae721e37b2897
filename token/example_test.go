package token_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/sealfield/sealfield/token"
)

func exampleCheck(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleIndex() {
	ctx := context.Background()
	byEmail, err := token.NewIndex(exampleKeyring(ctx), "customers.email", token.IndexConfig{Normalizer: token.Email})
	exampleCheck(err)
	tag, err := byEmail.Tag(ctx, []byte(" Ann@Example.COM"), "")
	exampleCheck(err)
	tags, err := byEmail.Match(ctx, []byte("ann@example.com"), "")
	exampleCheck(err)
	fmt.Println(len(tag), "bytes, found:", bytes.Equal(tags[0], tag))
	// Output:
	// 21 bytes, found: true
}

// The tags of a prefix index are an array, "name_prefixes && $1" in SQL.
func ExampleIndex_prefix() {
	ctx := context.Background()
	byName, err := token.NewIndex(exampleKeyring(ctx), "customers.name", token.IndexConfig{Kind: token.Prefix, Normalizer: token.NFKCFold})
	exampleCheck(err)
	tags, err := byName.Tags(ctx, []byte("Straßmann"), "")
	exampleCheck(err)
	for _, typed := range []string{"STRASS", "stra", "strat"} {
		match, err := byName.Match(ctx, []byte(typed), "")
		exampleCheck(err)
		found := slices.ContainsFunc(tags, func(tag []byte) bool { return bytes.Equal(tag, match[0]) })
		fmt.Println(typed, found)
	}
	_, err = byName.Match(ctx, []byte("stra%"), "")
	fmt.Println(err)
	// Output:
	// STRASS true
	// stra true
	// strat false
	// token: index customers.name: the index can not be searched for this: it holds one of % _ * ?, and there are no patterns
}

func ExampleCompound() {
	ctx := context.Background()
	byPerson, err := token.NewIndex(exampleKeyring(ctx), "customers.person", token.IndexConfig{
		Normalizer: token.Compound(token.NFKCFold, token.Identity)})
	exampleCheck(err)
	tag, err := byPerson.Tag(ctx, token.Values([]byte("Ann Lee"), []byte("1984-05-06")), "")
	exampleCheck(err)
	tags, err := byPerson.Match(ctx, token.Values([]byte("ANN  LEE"), []byte("1984-05-06")), "")
	exampleCheck(err)
	fmt.Println(bytes.Equal(tags[0], tag))
	// Output:
	// true
}

func ExampleDeterministic() {
	ctx := context.Background()
	iban, err := token.NewDeterministic(exampleKeyring(ctx), "payments.iban", token.DeterministicConfig{})
	exampleCheck(err)
	tok, err := iban.Tokenize(ctx, []byte("DE89370400440532013000"), nil, "")
	exampleCheck(err)
	again, err := iban.Tokenize(ctx, []byte("DE89370400440532013000"), nil, "")
	exampleCheck(err)
	value, err := iban.Detokenize(ctx, tok, nil, "")
	exampleCheck(err)
	fmt.Println(len(tok), "bytes, equal:", bytes.Equal(tok, again))
	fmt.Println(string(value))
	_, err = iban.Detokenize(ctx, tok, []byte("another tweak"), "")
	fmt.Println(err)
	// Output:
	// 43 bytes, equal: true
	// DE89370400440532013000
	// crypto: decryption failed
}

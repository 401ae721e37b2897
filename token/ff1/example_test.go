package ff1_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/sealfield/sealfield/token/ff1"
)

func ExampleCipher_EncryptString() {
	// A test key: a real one is 32 random bytes, used for nothing else.
	key := []byte("0123456789abcdef0123456789abcdef")
	digits, err := ff1.NewAlphabet("0123456789")
	if err != nil {
		log.Fatal(err)
	}
	cipher, err := ff1.New(key, digits.Len())
	if err != nil {
		log.Fatal(err)
	}
	tweak := []byte("customers.phone")
	ciphertext, err := cipher.EncryptString(digits, "4915112345678", tweak)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := cipher.DecryptString(digits, ciphertext, tweak)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ciphertext, plaintext)

	_, err = cipher.EncryptString(digits, "12345", tweak)
	fmt.Println(errors.Is(err, ff1.ErrDomain), err)
	_, err = cipher.EncryptString(digits, "+4915112345678", tweak)
	fmt.Println(err)
	// Output:
	// 4555236332883 4915112345678
	// true ff1: the domain is smaller than 1,000,000 values: 5 numerals, at least 6
	// ff1: the value is outside the alphabet at position 0
}

func ExampleCipher_AppendEncrypt() {
	key := []byte("0123456789abcdef0123456789abcdef")
	letters, err := ff1.NewAlphabet("abcdefghijklmnopqrstuvwxyzäöüß")
	if err != nil {
		log.Fatal(err)
	}
	cipher, err := ff1.New(key, letters.Len())
	if err != nil {
		log.Fatal(err)
	}
	line := []byte("name=")
	line, err = cipher.AppendEncrypt(line, letters, []byte("größer"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
	// Output:
	// name=äupvöy
}

func ExampleCipher_Encrypt() {
	key := []byte("0123456789abcdef0123456789abcdef")
	cipher, err := ff1.New(key, 1000) // numerals 0 to 999
	if err != nil {
		log.Fatal(err)
	}
	numerals, err := cipher.Encrypt(nil, []uint16{1, 22, 333}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(numerals)
	numerals, err = cipher.Decrypt(numerals[:0], numerals, nil)
	fmt.Println(numerals, err)
	// Output:
	// [321 499 633]
	// [1 22 333] <nil>
}

func ExampleCipher_EncryptBatch() {
	key := []byte("0123456789abcdef0123456789abcdef")
	digits, err := ff1.NewAlphabet("0123456789")
	if err != nil {
		log.Fatal(err)
	}
	cipher, err := ff1.New(key, digits.Len())
	if err != nil {
		log.Fatal(err)
	}
	var values [][]uint16
	var tweaks [][]byte
	for _, phone := range []string{"4915112345678", "4915112345679"} {
		numerals, err := digits.AppendNumerals(nil, []byte(phone))
		if err != nil {
			log.Fatal(err)
		}
		values, tweaks = append(values, numerals), append(tweaks, []byte("customers.phone"))
	}
	if err := cipher.EncryptBatch(values, tweaks); err != nil {
		log.Fatal(err)
	}
	for _, x := range values {
		fmt.Println(string(digits.AppendText(nil, x)))
	}
	// Output:
	// 4555236332883
	// 5780110297207
}

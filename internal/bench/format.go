//go:build unix

package main

import (
	"crypto/aes"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
	"github.com/sealfield/sealfield/token/ff1"
)

// formatTable compares FF1 and format-preserving tokens with ten chained AES-256
// blocks, below which no FF1 can be.
func formatTable(kr *keyring.Keyring) table {
	block, chain := must(aes.NewCipher(random(32))), make([]byte, aes.BlockSize)
	t := table{"Tokens that keep their format, into a given slice", 1, []benchmark{{"floor: 10 chained AES-256 blocks", "", func() work {
		return func(n int) {
			for range n {
				for range 10 {
					block.Encrypt(chain, chain)
				}
			}
		}
	}}}}
	add := func(name, goal string, f func(dst []byte) ([]byte, error)) {
		t.rows = append(t.rows, benchmark{name, goal, func() work {
			dst := make([]byte, 0, 64)
			return func(n int) {
				for range n {
					must(f(dst))
				}
			}
		}})
	}
	digits := must(ff1.NewAlphabet("0123456789"))
	cipher, value, tweak := must(ff1.New(random(32), 10)), []byte("4111111111111111"), make([]byte, 8)
	add("ff1.Cipher.AppendEncrypt, 16 digits", "<= 2.3, 0 allocs", func(dst []byte) ([]byte, error) { return cipher.AppendEncrypt(dst, digits, value, tweak) })
	for _, c := range [][2]string{{"[0-9]{16}", "4111111111111111"}, {"pan", "4111111111111111"}, {"pan-bin6", "4111111111111111"}, {"ssn", "123456789"}, {"phone", "+4915112345678"},
		{"iban", "GB82WEST12345698765432"}, {"uuid", "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"}, {"int:1..2147483647", "123456"}} {
		f, value := must(token.NewFormatPreserving(kr, "payments.pan", token.FormatPreservingConfig{Format: c[0]})), []byte(c[1])
		add("AppendTokenize "+c[0], "", func(dst []byte) ([]byte, error) {
			dst, _, err := f.AppendTokenize(ctx, dst, value, "")
			return dst, err
		})
		if c[0] == "pan" {
			tok, id, err := f.Tokenize(ctx, value, "")
			check(err)
			add("AppendDetokenize "+c[0], "", func(dst []byte) ([]byte, error) { return f.AppendDetokenize(ctx, dst, tok, id, "") })
		}
	}
	return t
}

//go:build unix

package main

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/internal/kmsaead"
	"github.com/sealfield/sealfield/keyring"
)

// scopes encrypts for one of 10,000 tenants after the other, in random order: what
// it costs to find a tenant's key, beside 10,000 AEADs in a slice.
func scopes() table {
	const n = 10_000
	kms := memoryKMS{must(kmsaead.New(random(kmsaead.KeySize)))}
	kr := must(keyring.Create(ctx, keyring.Config{Name: "bench", Store: keyring.NewMemoryStore(), KMS: []keyring.KMS{kms}, Scoped: true, NewScopesPerMinute: 2 * n}))
	field := must(crypto.NewField(kr, "customers.email", crypto.FieldConfig{}))
	names, aeads := make([]string, n), make([]cipher.AEAD, n)
	for i := range n {
		names[i], aeads[i] = fmt.Sprintf("tenant-%08d", i), gcm()
		must(field.Encrypt(ctx, nil, crypto.Binding{Scope: names[i]}))
	}
	row, plaintext := crypto.Row("12345678"), random(64)
	inOrder := func(f func(dst []byte, i int)) func() work {
		return func() work {
			dst := make([]byte, 0, 256)
			order := mathrand.Perm(n)
			next := 0
			return func(n int) {
				for range n {
					f(dst, order[next])
					if next++; next == len(order) {
						next = 0
					}
				}
			}
		}
	}
	return table{"Encrypt 64 B into a given slice, of 10,000 scopes in random order", 1, []benchmark{
		{"floor: 10,000 stdlib AES-256-GCM, same dst", "", inOrder(func(dst []byte, i int) {
			nonce := dst[:12]
			rand.Read(nonce)
			aeads[i].Seal(nonce, nonce, plaintext, row)
		})},
		{"Field.AppendEncrypt", "<= 1.3, 0 allocs", inOrder(func(dst []byte, i int) {
			must(field.AppendEncrypt(ctx, dst, plaintext, crypto.Binding{Scope: names[i], Row: row}))
		})},
	}}
}

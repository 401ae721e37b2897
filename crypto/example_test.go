package crypto_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/localkms"
)

// Two services share a key file and nothing else. One sends messages, the other
// opens them; each says for whom it thinks they are.
func ExampleEnvelope() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	kms, err := localkms.Create(filepath.Join(dir, "shared.key"))
	check(err)
	sender, err := crypto.NewEnvelope("orders", []keyring.KMS{kms}, crypto.EnvelopeConfig{})
	check(err)
	defer sender.Close()
	receiver, err := crypto.NewEnvelope("orders", []keyring.KMS{kms}, crypto.EnvelopeConfig{})
	check(err)
	defer receiver.Close()

	message, err := sender.Encrypt(ctx, []byte("ship 3 to Ann"), keyring.EncryptionContext{"tenant": "7", "order": "1001"})
	check(err)
	plaintext, err := receiver.Decrypt(ctx, message, keyring.EncryptionContext{"tenant": "7", "order": "1001"})
	check(err)
	fmt.Printf("%s\n", plaintext)

	_, err = receiver.Decrypt(ctx, message, keyring.EncryptionContext{"tenant": "8", "order": "1001"})
	fmt.Println("for tenant 8:", err)

	// Output:
	// ship 3 to Ann
	// for tenant 8: crypto: decryption failed
}

// A large value is written and read piece by piece. Close comes after the last
// write and is not deferred: it says that the stream is complete.
func ExampleEnvelope_NewWriter() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	kms, err := localkms.Create(filepath.Join(dir, "app.key"))
	check(err)
	backups, err := crypto.NewEnvelope("backups", []keyring.KMS{kms}, crypto.EnvelopeConfig{})
	check(err)
	defer backups.Close()

	var file bytes.Buffer
	w, err := backups.NewWriter(ctx, &file, keyring.EncryptionContext{"table": "customers"})
	check(err)
	_, err = io.Copy(w, strings.NewReader(strings.Repeat("a row\n", 100_000)))
	check(err)
	check(w.Close())

	whole := file.Bytes()
	for _, data := range [][]byte{whole, whole[:300_000]} {
		r, err := backups.NewReader(ctx, bytes.NewReader(data), keyring.EncryptionContext{"table": "customers"})
		check(err)
		n, err := io.Copy(io.Discard, r)
		fmt.Println(n, "bytes, cut off:", errors.Is(err, io.ErrUnexpectedEOF))
	}

	// Output:
	// 600000 bytes, cut off: false
	// 262040 bytes, cut off: true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

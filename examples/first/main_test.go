package main

import (
	"log"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "first")
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func Example() {
	main()
	// Output:
	// 60 bytes hold "ann@example.com"
	// in Ben's row: crypto: decryption failed
	// after rotation: "ann@example.com", stale: true
}

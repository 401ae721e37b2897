package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/sealfield/sealfield/internal/pgtest"
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// run gives the program an empty PostgreSQL and a folder of its own.
func run(m *testing.M) (int, error) {
	server, err := pgtest.Start(context.Background())
	if errors.Is(err, pgtest.ErrNoBinaries) && os.Getenv(pgtest.EnvRequire) == "" {
		fmt.Println("SKIPPED without PostgreSQL:", err)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer server.Stop()
	dir, err := os.MkdirTemp("", "pgx")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chdir(dir), os.Setenv("DATABASE_URL", server.DSN())); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func Example() {
	main()
	// Output:
	// [{ID:1 Name:Ann Email:Ann@Example.com}]
	// in the table: 60 bytes, in clear: false
	// plaintext is refused: true
}

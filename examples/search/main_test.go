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
	dir, err := os.MkdirTemp("", "search")
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
	// e-mail: Anna Straßer
	// phone 0049 30 12345678: Anna Straßer
	// phone (030) 12345678: Anna Straßer
	// phone +493012345678: Anna Straßer
	// name_begins "ann": Anna Straßer; Annabel Lee;
	// name_begins "ANNA S": Anna Straßer;
	// name_begins "anna strasse": Anna Straßer;
	// name_holds "strass": Anna Straßer; José Müller-Strass;
	// name_holds "strass": Anna Straßer;
	// tags of a part of a name are lossy: true
	// there are no patterns: true
	// this is no phone number: true
	// the e-mail address is taken: true
	// plan: the values are too common for an index of their own: the commonest has 30 % of the rows
}

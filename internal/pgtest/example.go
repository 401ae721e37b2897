package pgtest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
)

// ExampleDatabase is Database for an example, which has no testing.TB: it panics where
// that would fail or skip. The caller calls drop at the end.
func ExampleDatabase() (dsn string, drop func()) {
	var tb exampleTB
	dsn = Database(&tb)
	return dsn, func() {
		for _, f := range tb.cleanups {
			f()
		}
	}
}

type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (*exampleTB) Helper()                           {}
func (*exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*exampleTB) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*exampleTB) Skipf(format string, args ...any)  { panic(fmt.Sprintf(format, args...)) }
func (e *exampleTB) Cleanup(f func())                { e.cleanups = append(e.cleanups, f) }

// Main is for TestMain of packages whose examples call ExampleDatabase: it runs the
// tests, and skips the examples, which can not skip themselves, where there is no
// PostgreSQL.
func Main(m *testing.M) {
	flag.Parse()
	if _, err := Binaries(); errors.Is(err, ErrNoBinaries) && os.Getenv(EnvDSN) == "" && os.Getenv(EnvRequire) == "" {
		fmt.Printf("SKIPPED without PostgreSQL: the examples: %v\n", err)
		if err := flag.Set("test.skip", "^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

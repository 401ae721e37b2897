package slogfield_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/sealfield/sealfield/adapters/slogfield"
)

type Customer struct {
	ID    int64   `db:"id" json:"id"`
	Email string  `db:"email" json:"email" seal:"encrypt,index=email_idx,norm=email"`
	SSN   *string `db:"ssn" json:"ssn,omitempty" seal:"encrypt"`
	City  string  `db:"city" json:"city"`
}

// withoutTime drops the time, which differs from run to run.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func Example() {
	ann := &Customer{ID: 1, Email: "ann@example.com", City: "Oslo"}
	inner := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	log := slog.New(slogfield.NewHandler(inner))

	log.Info("signed up", "customer", ann)
	log.Info("export", "by_city", map[string][]*Customer{"Oslo": {ann}})
	// Output:
	// {"level":"INFO","msg":"signed up","customer":{"id":1,"email":"[redacted]","ssn":"[redacted]","city":"Oslo"}}
	// {"level":"INFO","msg":"export","by_city":{"Oslo":[{"id":1,"email":"[redacted]","ssn":"[redacted]","city":"Oslo"}]}}
}

// Behind a ReplaceAttr of your own.
func ExampleReplaceAttr() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			return slogfield.ReplaceAttr(groups, withoutTime(groups, a))
		},
	}))
	log.Info("signed up", "customer", Customer{ID: 1, Email: "ann@example.com", City: "Oslo"})
	// Output:
	// level=INFO msg="signed up" customer="{ID:1 Email:[redacted] SSN:[redacted] City:Oslo}"
}

// takenError is an error that holds a row. Its text is not printed.
type takenError struct{ by *Customer }

func (e *takenError) Error() string { return "taken by " + e.by.Email }

func Example_errors() {
	log := slog.New(slogfield.NewHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	err := fmt.Errorf("sign up: %w", &takenError{&Customer{Email: "ann@example.com"}})
	log.Error("failed", "err", err)
	log.Error("failed", "err", errors.New("no such plan"))
	// Output:
	// level=ERROR msg=failed err="[redacted] error of type *fmt.wrapError"
	// level=ERROR msg=failed err="no such plan"
}

// Ciphertext that was read without being opened.
func Example_sealed() {
	log := slog.New(slogfield.NewHandler(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	tag := []byte("\x01\x89\xab\xcd\xef" + strings.Repeat("t", 16))
	log.Info("found", "email_idx", tag)
	// Output:
	// level=INFO msg=found email_idx="sealed(key 89abcdef)"
}

package pgxstore

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sealfield/sealfield/keyring"
)

// failed says what an error of pgx means to a keyring; nil stays nil. The text
// holds no values and no connection string. A cancelled context, a
// *pgconn.PgError and the like stay visible to errors.Is and errors.As.
func failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, keyring.ErrExists) {
		return fmt.Errorf("pgxstore: %s: %w", operation, keyring.ErrExists)
	}
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = c.Unwrap() // without its Config, which holds the password
	}
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("pgxstore: %s: %w: %w", operation, keyring.ErrUnavailable, err)
	}
	switch code := server.Code; {
	case strings.HasPrefix(code, "23"): // an integrity constraint; the text names it, the detail has values
		return conflict(operation)
	case code == "42P01", code == "3F000":
		return fmt.Errorf("pgxstore: %s: %w: the tables are missing, run Store.Migrate: %w", operation, keyring.ErrUnavailable, err)
	case code == "42501", strings.HasPrefix(code, "28"):
		return fmt.Errorf("pgxstore: %s: %w: %w", operation, keyring.ErrDenied, err)
	}
	return fmt.Errorf("pgxstore: %s: %w: %w", operation, keyring.ErrUnavailable, err)
}

func conflict(operation string) error {
	return fmt.Errorf("pgxstore: %s: %w", operation, keyring.ErrConflict)
}

// checkText refuses what PostgreSQL can not store as text.
func checkText(operation string, texts ...string) error {
	for _, s := range texts {
		if !validText(s) {
			return fmt.Errorf("pgxstore: %s: %w: a name, scope or URI is no UTF-8 or holds a NUL", operation, keyring.ErrDenied)
		}
	}
	return nil
}

func validText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

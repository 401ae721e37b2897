// Package ormtest is what the tests of the examples have in common that keep sealed
// columns through libraries over database/sql.
package ormtest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// Open returns a fresh database through pgx's driver for database/sql, and what the
// driver logs: every statement with its arguments.
func Open(t testing.TB) (*sql.DB, *Log) {
	cfg, log := Config(t)
	db := stdlib.OpenDB(*cfg)
	t.Cleanup(func() { db.Close() })
	return db, log
}

// Config is Open for pgx itself.
func Config(t testing.TB) (*pgx.ConnConfig, *Log) {
	cfg, err := pgx.ParseConfig(pgtest.Database(t))
	require.NoError(t, err)
	log := &Log{}
	cfg.Tracer = &tracelog.TraceLog{LogLevel: tracelog.LogLevelTrace, Logger: tracelog.LoggerFunc(func(_ context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
		fmt.Fprintf(log, "%s %v\n", msg, data)
	})}
	return cfg, log
}

// Log is a writer for the debug output of libraries. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

// Take returns and forgets what was written.
func (l *Log) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.all.Reset()
	return l.all.String()
}

// Shows reports whether text holds value as it is, in hex, in base64, or as the numbers
// of its bytes.
func Shows(text, value string) bool {
	forms := []string{value, hex.EncodeToString([]byte(value)), strings.Trim(fmt.Sprint([]byte(value)), "[]")}
	for skip := range 3 { // wherever it begins in what is encoded
		whole := value[skip : len(value)-(len(value)-skip)%3]
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(whole)))
	}
	for _, f := range forms {
		if strings.Contains(strings.ToLower(text), strings.ToLower(f)) {
			return true
		}
	}
	return false
}

// NewKeyring returns a scoped keyring that Rotate can rotate.
func NewKeyring(t testing.TB) *keyring.Keyring {
	return keyringtest.NewKeyring(t, func(cfg *keyring.Config) {
		cfg.Scoped, cfg.PropagationDelay = true, 50*time.Millisecond
	})
}

// Rotate adds keys to the scope, and returns when they are in use. The older ones go on
// to open and to find.
func Rotate(t testing.TB, kr *keyring.Keyring, scope string) {
	probe, err := token.NewIndex(kr, "ormtest.probe", token.IndexConfig{})
	require.NoError(t, err)
	tag := func() string {
		b, err := probe.Tag(t.Context(), []byte("probe"), scope)
		require.NoError(t, err)
		return string(b)
	}
	before := tag()
	_, err = kr.Rotate(t.Context(), keyring.Target{Scope: scope, Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	require.NoError(t, err)
	_, err = kr.Rotate(t.Context(), keyring.Target{Scope: scope, Purpose: keyring.Index}, keyring.RotateOptions{})
	require.NoError(t, err)
	for tag() == before {
		time.Sleep(5 * time.Millisecond)
	}
}

// Refused requires that PostgreSQL refused a row because of the named CHECK.
func Refused(t testing.TB, err error, check string) {
	t.Helper()
	refused, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, "23514", refused.Code, refused.Message)
	require.Equal(t, check, refused.ConstraintName)
}

// Guide holds the README of the folder to one screen, and its code, Go and other, to that
// of the folder's files.
func Guide(t testing.TB) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(readme), "\n"), 80, "lines of README.md")
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	var code strings.Builder
	for _, f := range files {
		if f.IsDir() || f.Name() == "README.md" {
			continue
		}
		b, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		code.Write(b)
	}
	blocks := regexp.MustCompile("(?s)```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		require.Contains(t, code.String(), b[1])
	}
}

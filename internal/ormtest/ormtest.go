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
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
// of its bytes. A value of less than 12 bytes could be there by chance, and panics.
func Shows(text, value string) bool {
	if len(value) < 12 {
		panic("ormtest: too short a value to be looked for: " + value)
	}
	forms := []string{value, hex.EncodeToString([]byte(value)), strings.Trim(fmt.Sprint([]byte(value)), "[]")}
	for skip := range 3 { // wherever it begins in what is encoded
		whole := value[skip : len(value)-(len(value)-skip)%3]
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(whole)))
	}
	forms = append(forms, strings.ToUpper(forms[1]))
	return slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(text, form) })
}

// NewKeyring returns a scoped keyring that Rotate can rotate.
func NewKeyring(t testing.TB) *keyring.Keyring {
	return keyringtest.NewKeyring(t, func(cfg *keyring.Config) { cfg.Scoped, cfg.Store = true, store{cfg.Store} })
}

// Rotate adds keys to the scope, and has them in use when it returns. The older ones go
// on to open and to find. It is not for parallel tests.
func Rotate(t testing.TB, kr *keyring.Keyring, scope string) {
	ctx := t.Context()
	probe, err := token.NewIndex(kr, "ormtest.probe", token.IndexConfig{})
	require.NoError(t, err)
	before, err := probe.Tag(ctx, []byte("probe"), scope)
	require.NoError(t, err)
	for _, purpose := range []keyring.Purpose{keyring.Encryption, keyring.Index} {
		_, err = kr.Rotate(ctx, keyring.Target{Scope: scope, Purpose: purpose}, keyring.RotateOptions{})
		require.NoError(t, err)
	}
	// What was in use once stays so when the clock goes back.
	for _, d := range []time.Duration{time.Hour, 0} {
		ahead.Store(int64(d))
		require.NoError(t, kr.Refresh(ctx))
	}
	after, err := probe.Tag(ctx, []byte("probe"), scope)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
}

// store has a clock that Rotate sets forward, since a PropagationDelay that is worth
// waiting for is too short for a slow machine.
type store struct{ keyring.Store }

var ahead atomic.Int64

func (s store) Load(ctx context.Context, name string, targets []keyring.Target) (keyring.Loaded, error) {
	l, err := s.Store.Load(ctx, name, targets)
	l.Now = l.Now.Add(time.Duration(ahead.Load()))
	return l, err
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
// of the folder's files, and those below it.
func Guide(t testing.TB) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(readme), "\n"), 80, "lines of README.md")
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "README.md" {
			return err
		}
		b, err := os.ReadFile(path)
		code.Write(b)
		return err
	}))
	blocks := regexp.MustCompile("(?s)```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		require.True(t, strings.Contains(code.String(), b[1]), "no file has\n%s", b[1])
	}
}

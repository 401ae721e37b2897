package pgxmask

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sealfield/sealfield/internal/pgsql"
)

// settings make the text of values, and the order of rows, the same in every session,
// and keep the session alive while others work. They end with the transaction.
var settings = [][2]string{
	{"search_path", "pg_catalog"},
	{"datestyle", "ISO, YMD"},
	{"intervalstyle", "postgres"},
	{"timezone", "UTC"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"lc_monetary", "C"},
	{"extra_float_digits", "1"},
	{"quote_all_identifiers", "off"},
	{"row_security", "off"}, // an error rather than fewer rows
	{"synchronize_seqscans", "off"},
	{"max_parallel_workers_per_gather", "0"},
	{"lock_timeout", "60s"},
}

// inputSettings make PostgreSQL read the text of values as settings have it written, where
// that is not of one meaning.
var inputSettings = [][2]string{
	{"lc_monetary", "C"},
	{"xmloption", "content"},
	{"array_nulls", "on"},
}

// readBuffer is how many bytes are asked of the connection at once.
const readBuffer = 128 << 10

// dial opens a session that is not shared with anybody. It speaks UTF-8, whatever the
// encoding of the database.
func dial(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	config = config.Copy()
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["client_encoding"] = "UTF8"
	build := config.BuildFrontend
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return build(bufio.NewReaderSize(r, readBuffer), w)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, failed("connect", err)
	}
	return conn, nil
}

// disconnect ends a session, also if its context did.
func disconnect(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn.Close(ctx)
}

// begin starts the transaction that sees the snapshot. If there is none yet, the first query
// takes it, which has to come after the locks: to an older one, a table that was rewritten
// or truncated in between is empty.
func begin(ctx context.Context, conn *pgx.Conn, snapshot string) error {
	sql := "begin isolation level repeatable read, read only;"
	if snapshot != "" {
		sql += "set transaction snapshot " + literal(snapshot) + ";"
	}
	for _, s := range settings {
		sql += "set local " + s[0] + " = " + literal(s[1]) + ";"
	}
	_, err := conn.PgConn().Exec(ctx, sql+noTimeouts(conn)).ReadAll()
	return err
}

// noTimeouts is for the session, and heeded at once. It is no query, with which a
// transaction would take its snapshot.
func noTimeouts(conn *pgx.Conn) string {
	sql := "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0"
	if versionOf(conn) >= 140000 {
		sql += "; set idle_session_timeout = 0"
	}
	if versionOf(conn) >= 170000 {
		sql += "; set transaction_timeout = 0"
	}
	return sql
}

// literal quotes a text in SQL, where standard_conforming_strings is on.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// lock keeps the tables from being altered while they are read, as pg_dump does. Every
// session takes the locks at its start, so that none waits later behind somebody who
// waits for the others.
func lockTables(ctx context.Context, conn *pgx.Conn, tables []*table) error {
	for _, t := range tables {
		if _, err := conn.Exec(ctx, "lock table "+t.ident()+" in access share mode"); err != nil {
			return failed("lock "+t.String(), err)
		}
	}
	return nil
}

func versionOf(conn *pgx.Conn) int {
	version, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(strings.TrimRight(major, "abcdefghijklmnopqrstuvwxyz"))
	return n * 10000
}

// failed says at what an error of PostgreSQL happened. The text has the message's code
// and what it names, not the message, its detail or context: they may hold values. A
// *pgconn.PgError stays visible to errors.As.
func failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = c.Unwrap() // without its Config, which holds the password
	}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		err = &serverError{server}
	}
	return fmt.Errorf("pgxmask: %s: %w", operation, err)
}

type serverError struct{ server *pgconn.PgError }

func (e *serverError) Unwrap() error { return e.server }

func (e *serverError) Error() string {
	safe := pgsql.Redact(e.server)
	text := "PostgreSQL reports SQLSTATE " + safe.Code
	if safe.Message != "" {
		text = safe.Severity + ": " + safe.Message + " (SQLSTATE " + safe.Code + ")"
	}
	for _, name := range []struct{ what, name string }{
		{"table", safe.TableName}, {"column", safe.ColumnName}, {"constraint", safe.ConstraintName},
	} {
		if name.name != "" {
			text += ", " + name.what + " " + name.name
		}
	}
	return text
}

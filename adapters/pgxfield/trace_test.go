package pgxfield_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// spy is a tracer of everything that notes what it was called with.
type spy struct {
	tracelog.TraceLog
	calls []string
}

func (s *spy) note(name string, v any) { s.calls = append(s.calls, fmt.Sprintf("%s %+v", name, v)) }

func (s *spy) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		s.note("batch", *q)
	}
	return s.TraceLog.TraceBatchStart(ctx, conn, data)
}

func (s *spy) TraceRelease(pool *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	s.note("release", data.Conn != nil)
	s.TraceLog.TraceRelease(pool, data)
}

// TestRedactTracer logs statements that bind, write and get plain values, at every
// level, in every mode, with a tracer that redacts and, as the control, without.
func TestRedactTracer(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	table := newTable[customer](t, kr, "customers", byID)
	setup := connect(t)
	run(t, setup, createCustomers, "create table clear (v text unique, n int)")
	run(t, setup, table.DDL()...)
	for _, mode := range modes {
		for _, level := range []tracelog.LogLevel{tracelog.LogLevelTrace, tracelog.LogLevelDebug, tracelog.LogLevelInfo, tracelog.LogLevelWarn, tracelog.LogLevelError} {
			for _, kind := range []string{"none", "table", "all"} {
				var log collector
				inner := &spy{TraceLog: tracelog.TraceLog{Logger: &log, LogLevel: level, Config: tracelog.DefaultTraceLogConfig()}}
				tracer := pgx.QueryTracer(inner)
				switch kind {
				case "table":
					tracer = pgxfield.RedactTracer(inner, table)
				case "all":
					tracer = pgxfield.RedactTracer(inner)
				}
				cfg, err := pgxpool.ParseConfig(setup.Config().ConnString())
				require.NoError(t, err)
				cfg.MaxConns = 1
				cfg.ConnConfig.Tracer, cfg.ConnConfig.DefaultQueryExecMode = tracer, mode
				pool, err := pgxpool.NewWithConfig(ctx, cfg)
				require.NoError(t, err)

				for _, sql := range []string{
					"update customers set email = $1::text::bytea", "select * from Customers where ssn = $1::text::bytea", `select $1::text from public . "customers"`, "select $1::text /* clear */ from customers",
					"select ($1::text)::uuid from customers",                                                 // 22P02 quotes the value
					"insert into customers (id, email, email_idx, born) values (1, $1::text::bytea, '', '')", // 23514 has the row in its detail
				} {
					_, _ = pool.Exec(ctx, sql, marker)
					_, _ = pool.Exec(ctx, sql, "id "+marker)
				}
				_, err = pool.Exec(ctx, "select $1::int from customers", marker) // pgx quotes it
				require.Error(t, err)
				_, err = pool.Exec(ctx, insertCustomer, table.Args(&customer{Email: marker, ID: 0}))
				require.ErrorContains(t, err, "row key column id is NULL or zero")
				var batch pgx.Batch
				batch.Queue("select $1::text from customers", marker)
				batch.Queue("select @v::text from customers where id = @id", table.Args(ann(1), pgx.NamedArgs{"v": marker}))
				_ = pool.SendBatch(ctx, &batch).Close()
				conn, err := pool.Acquire(ctx)
				require.NoError(t, err)
				_, err = conn.Conn().Prepare(ctx, "stmt", "select $1::text from customers")
				require.NoError(t, err)
				if mode != pgx.QueryExecModeSimpleProtocol && mode != pgx.QueryExecModeExec {
					_, err = conn.Exec(ctx, "stmt", marker)
					require.NoError(t, err)
				}
				conn.Release()
				secret := log.String() + strings.Join(inner.calls, "\n")
				_, err = pool.Exec(ctx, "select $1::text from clear", "OTHER-1")
				require.NoError(t, err)
				_, err = pool.Exec(ctx, "insert into clear (n) values ($1)", "OTHER-2")
				require.Error(t, err)
				_, err = pool.CopyFrom(ctx, pgx.Identifier{"clear"}, []string{"v"}, pgx.CopyFromRows([][]any{{"OTHER-3"}}))
				require.NoError(t, err)
				run(t, setup, "delete from clear")
				pool.Close()

				if kind == "none" {
					require.Contains(t, secret, marker, "the control")
				} else {
					require.NotContains(t, secret, marker, "%v at %v", mode, level)
				}
				if level < tracelog.LogLevelInfo {
					continue
				}
				// Nothing else is lost.
				require.Equal(t, kind != "none", strings.Contains(secret, "[redacted]"))
				require.Contains(t, secret, "pgxfield.Args(customers)")
				require.Contains(t, strings.Join(inner.calls, "\n"), "release")
				for _, part := range []string{"select $1::text from customers", "OTHER-1", "CopyFrom", "BatchQuery", "Prepare", "Connect", "23514", "row key column id is NULL or zero"} {
					if kind == "all" && part == "OTHER-1" {
						require.NotContains(t, log.String(), part)
						continue
					}
					require.Contains(t, log.String(), part, "%s at %v", kind, level)
				}
			}
		}
	}
}

// TestRedactedMessages has the messages of PostgreSQL that quote a value, each with the
// whole error as its control, and some that have to stay.
func TestRedactedMessages(t *testing.T) {
	ctx := t.Context()
	setup := connect(t)
	run(t, setup, "create table unique_ones (v text constraint unique_ones_v_once unique)",
		"create function raised(v text) returns void language plpgsql as $$ begin raise unique_violation using message = 'twice ' || v, column = v; end $$",
		"create function executed(v text) returns void language plpgsql as $$ begin execute v; end $$")
	var log collector
	cfg := setup.Config().Copy()
	cfg.Tracer = pgxfield.RedactTracer(&tracelog.TraceLog{Logger: &log, LogLevel: tracelog.LogLevelTrace})
	conn, err := pgx.ConnectConfig(ctx, cfg)
	require.NoError(t, err)
	defer conn.Close(ctx)
	codes := map[string]bool{}
	for _, sql := range []string{
		"select to_tsquery($1)", "select $1::text::regclass", "select $1::text::regtype", "select $1::text::regproc", "select ($1::text || '()')::regprocedure", "select $1::text::regrole", "select $1::text::regconfig", "select $1::text::regnamespace",
		"select pg_get_serial_sequence('unique_ones', $1)", "select nextval($1::text::regclass)", "select pg_read_file($1)", "select set_config('timezone', $1, false)", "select $1::text::int", "select $1::text::jsonb",
		"select to_timestamp($1, 'YYYY')", "select 'x' ~ ($1 || '[')", "select raised($1)", "select executed($1)", "select has_table_privilege($1, 'select')", "select $1::text::xml",
	} {
		for _, value := range []string{marker, "of " + marker + " <", `"` + marker + `"`, `"` + marker + `"()`} {
			log.Reset()
			_, err := conn.Exec(ctx, sql, pgx.QueryExecModeCacheDescribe, value)
			if err == nil || !strings.Contains(err.Error(), marker) {
				continue
			}
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg, sql)
			codes[pg.Code] = true
			holdsNothing(t, log.String())
			require.Contains(t, log.String(), pg.Code)
			require.Contains(t, log.String(), "[redacted] (SQLSTATE")
		}
	}
	for _, code := range []string{"42601", "42P01", "42704", "42883", "42703", "3F000", "58P01", "22023", "22P02", "23505"} {
		require.True(t, codes[code], "control: a message of %s holds the value", code)
	}
	for message, sql := range map[string]string{
		`duplicate key value violates unique constraint "unique_ones_v_once"`: "insert into unique_ones values ($1), ($1)",
		`canceling statement due to statement timeout`:                        "select $1, set_config('statement_timeout', '1', true), pg_sleep(5)",
		`permission denied for table pg_authid`:                               "select $1, rolpassword from pg_authid",
		`could not determine data type of parameter $2`:                       "select $1::text, $2 is null",
	} {
		log.Reset()
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "set local role pg_monitor")
		if strings.Contains(sql, "unique_ones") {
			_, err = tx.Exec(ctx, "reset role")
		}
		require.NoError(t, err)
		if strings.Contains(sql, "timeout") {
			_, err = tx.Exec(ctx, "set local statement_timeout = 1")
			require.NoError(t, err)
		}
		args := []any{pgx.QueryExecModeCacheDescribe, marker}
		if strings.Contains(sql, "$2") {
			args = append(args, marker)
		}
		_, err = tx.Exec(ctx, sql, args...)
		require.Error(t, err)
		require.NoError(t, tx.Rollback(ctx))
		holdsNothing(t, log.String())
		require.Contains(t, log.String(), message)
	}
}

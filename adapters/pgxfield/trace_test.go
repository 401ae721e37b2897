package pgxfield_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
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

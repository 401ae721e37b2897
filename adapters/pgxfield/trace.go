package pgxfield

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealfield/sealfield/internal/pgsql"
)

// AnyTable is a *Table of any row.
type AnyTable interface {
	tableName() string
}

func (t *Table[T]) tableName() string { return t.table.name[len(t.table.name)-1] }

// RedactTracer returns a tracer for pgx.ConnConfig.Tracer that passes all on to
// inner, such as a tracelog.TraceLog or one of OpenTelemetry, but for the arguments of
// statements about the given tables, and what errors of these statements say of
// values. With no table it is so for every statement.
//
// What pgx itself hands to a tracer: the SQL of Exec, Query and of each statement in a
// batch, as it was given, with all arguments; names only for CopyFrom and Prepare;
// and all errors. Args prints the table's name in place of its values by itself, but
// for a batch, where the tracer gets what was made of them: sealed values and those in
// the clear. So what this tracer is for are the statements whose arguments are not
// sealed: a plain value that somebody binds by mistake, what is in the clear beside.
//
// A statement is about a table if it names it, in any schema, or if it is the name
// of a prepared one. Views and functions that stand for the table are not known as
// such: give none of the tables, or one for the view. Values that were written into the
// SQL itself stay there. An error of PostgreSQL keeps its code, and the names of
// schema, table, column and constraint; its message stays under those codes alone that
// quote nothing but these, such as those of constraints, locks and cancellation; details
// are dropped, and all of it that a function raises. Of errors of pgx about a value only their type is left. Whoever called gets the whole error.
//
// If inner is a tracer of batches, CopyFrom, Prepare, connections or a pool, too, it
// still is. The result is as safe for concurrent use as inner.
func RedactTracer(inner pgx.QueryTracer, tables ...AnyTable) pgx.QueryTracer {
	r := &redacting{inner: inner}
	for _, t := range tables {
		r.tables = append(r.tables, t.tableName())
	}
	return r
}

// redacting implements all of pgx's tracers: what inner is not comes to nothing.
type redacting struct {
	inner  pgx.QueryTracer
	tables []string // none means all
}

// redacted stands for an argument.
type redacted struct{}

const redactedText = "[redacted]"

func (redacted) String() string               { return redactedText }
func (redacted) GoString() string             { return redactedText }
func (redacted) Format(f fmt.State, _ rune)   { f.Write([]byte(redactedText)) }
func (redacted) LogValue() slog.Value         { return slog.StringValue(redactedText) }
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

type redactKey struct{}

// isAbout reports whether sql names one of the tables, or may: a single name is
// that of a prepared statement.
func (r *redacting) isAbout(sql string) bool {
	if len(r.tables) == 0 {
		return true
	}
	tokens := 0
	for i := 0; i < len(sql); {
		next := skipToken(sql, i)
		name := ""
		switch c := sql[i]; {
		case isLetter(c):
			name = foldName(sql[i:next])
		case c == '"':
			for next < len(sql) && sql[next] == '"' { // a doubled quote
				next = skipPast(sql, next+1, `"`)
			}
			name, _, _ = pgsql.CutQuoted(sql[i+1 : next])
		case c <= ' ':
			i = next
			continue
		}
		if slices.Contains(r.tables, name) {
			return true
		}
		tokens++
		i = next
	}
	return tokens == 1
}

// foldName returns a name without quotes as PostgreSQL folds it.
func foldName(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// args returns what may be seen of a statement's arguments: those of Args and what is
// an option of pgx, and of all others that they are there.
func (r *redacting) args(sql string, all []any) []any {
	if !r.isAbout(sql) {
		return all
	}
	out := make([]any, len(all))
	for i, a := range all {
		switch a.(type) {
		case args, pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
			out[i] = a
		default:
			out[i] = redacted{}
		}
	}
	return out
}

func (r *redacting) start(ctx context.Context, sql string) context.Context {
	return context.WithValue(ctx, redactKey{}, r.isAbout(sql))
}

// end returns what may be seen of an error.
func end(ctx context.Context, err error) error {
	if about, ok := ctx.Value(redactKey{}).(bool); ok && !about {
		return err
	}
	return redactError(err)
}

// redactError returns an error that says of err what holds no value.
func redactError(err error) error {
	var (
		own      *argsError
		pg       *pgconn.PgError
		netError net.Error
	)
	switch {
	case err == nil, err == pgx.ErrNoRows, err == pgx.ErrTooManyRows, err == pgx.ErrTxClosed:
		return err
	case errors.As(err, &pg):
		return redactPgError(pg)
	case errors.As(err, &own), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &netError), pgconn.SafeToRetry(err):
		return err
	}
	return fmt.Errorf("pgxfield: an error of type %T, whose text could hold a value", err)
}

func redactPgError(pg *pgconn.PgError) error {
	out := pgsql.Redact(pg)
	if out.Message == "" {
		out.Message = redactedText
	}
	return out
}

func (r *redacting) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	data.Args = r.args(data.SQL, data.Args)
	return r.inner.TraceQueryStart(r.start(ctx, data.SQL), conn, data)
}

func (r *redacting) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	data.Err = end(ctx, data.Err)
	r.inner.TraceQueryEnd(ctx, conn, data)
}

func (r *redacting) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	inner, ok := r.inner.(pgx.BatchTracer)
	if !ok {
		return ctx
	}
	about := false
	if data.Batch != nil {
		copied := &pgx.Batch{}
		for _, q := range data.Batch.QueuedQueries {
			copied.QueuedQueries = append(copied.QueuedQueries, &pgx.QueuedQuery{SQL: q.SQL, Arguments: r.args(q.SQL, q.Arguments)})
			about = about || r.isAbout(q.SQL)
		}
		data.Batch = copied
	}
	return inner.TraceBatchStart(context.WithValue(ctx, redactKey{}, about), conn, data)
}

func (r *redacting) TraceBatchQuery(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	inner, ok := r.inner.(pgx.BatchTracer)
	if !ok {
		return
	}
	data.Args = r.args(data.SQL, data.Args)
	if r.isAbout(data.SQL) {
		data.Err = redactError(data.Err)
	}
	inner.TraceBatchQuery(ctx, conn, data)
}

func (r *redacting) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	if inner, ok := r.inner.(pgx.BatchTracer); ok {
		data.Err = end(ctx, data.Err)
		inner.TraceBatchEnd(ctx, conn, data)
	}
}

func (r *redacting) TraceCopyFromStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceCopyFromStartData) context.Context {
	inner, ok := r.inner.(pgx.CopyFromTracer)
	if !ok {
		return ctx
	}
	about := len(r.tables) == 0 || len(data.TableName) > 0 && slices.Contains(r.tables, data.TableName[len(data.TableName)-1])
	return inner.TraceCopyFromStart(context.WithValue(ctx, redactKey{}, about), conn, data)
}

func (r *redacting) TraceCopyFromEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceCopyFromEndData) {
	if inner, ok := r.inner.(pgx.CopyFromTracer); ok {
		data.Err = end(ctx, data.Err)
		inner.TraceCopyFromEnd(ctx, conn, data)
	}
}

func (r *redacting) TracePrepareStart(ctx context.Context, conn *pgx.Conn, data pgx.TracePrepareStartData) context.Context {
	if inner, ok := r.inner.(pgx.PrepareTracer); ok {
		return inner.TracePrepareStart(ctx, conn, data)
	}
	return ctx
}

func (r *redacting) TracePrepareEnd(ctx context.Context, conn *pgx.Conn, data pgx.TracePrepareEndData) {
	if inner, ok := r.inner.(pgx.PrepareTracer); ok {
		inner.TracePrepareEnd(ctx, conn, data)
	}
}

func (r *redacting) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	if inner, ok := r.inner.(pgx.ConnectTracer); ok {
		return inner.TraceConnectStart(ctx, data)
	}
	return ctx
}

func (r *redacting) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	if inner, ok := r.inner.(pgx.ConnectTracer); ok {
		inner.TraceConnectEnd(ctx, data)
	}
}

func (r *redacting) TraceAcquireStart(ctx context.Context, pool *pgxpool.Pool, data pgxpool.TraceAcquireStartData) context.Context {
	if inner, ok := r.inner.(pgxpool.AcquireTracer); ok {
		return inner.TraceAcquireStart(ctx, pool, data)
	}
	return ctx
}

func (r *redacting) TraceAcquireEnd(ctx context.Context, pool *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	if inner, ok := r.inner.(pgxpool.AcquireTracer); ok {
		inner.TraceAcquireEnd(ctx, pool, data)
	}
}

func (r *redacting) TraceRelease(pool *pgxpool.Pool, data pgxpool.TraceReleaseData) {
	if inner, ok := r.inner.(pgxpool.ReleaseTracer); ok {
		inner.TraceRelease(pool, data)
	}
}

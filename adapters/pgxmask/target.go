package pgxmask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// target is an output in a database. The manifest is a table there, and the rows of a
// chunk come in one transaction with its line.
type target struct {
	job  *job
	conn *pgx.Conn
	made bool // by create: the schema is pg_dump's, without constraints yet
}

func newTarget(ctx context.Context, j *job) (sink, error) {
	conn, err := dial(ctx, j.config.Target)
	if err != nil {
		return nil, err
	}
	err = failed("prepare a session of the target", execAll(ctx, conn, noTimeouts(conn)))
	if err == nil {
		err = lockTarget(ctx, conn)
	}
	if err != nil {
		disconnect(conn)
		return nil, err
	}
	return &target{job: j, conn: conn}, nil
}

// lockTarget keeps other processes from the output while the session lasts. That of a
// process which was killed lasts until the server notices.
func lockTarget(ctx context.Context, conn *pgx.Conn) error {
	err := execAll(ctx, conn, "set local lock_timeout = '3s'; select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('pgxmask', 0))")
	const lockNotAvailable = "55P03"
	if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == lockNotAvailable {
		return fmt.Errorf("pgxmask: the target: %w", ErrInUse)
	}
	return failed("lock the target", err)
}

// execAll runs statements that may be several.
func execAll(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// createManifest makes a table that takes no chunk twice: what a process which was killed had
// sent may be committed after another one has read the manifest.
const createManifest = `create schema pgxmask;
	create table pgxmask.manifest (n bigint generated always as identity primary key, line text not null);
	create unique index on pgxmask.manifest ((line::json #>> '{chunk,table}'), (line::json #>> '{chunk,n}'))`

// create makes the manifest and, if none of the tables is there, the schema, all or
// nothing.
func (t *target) create(ctx context.Context, h *header) error {
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return failed("begin in the target", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if err := execAll(ctx, t.conn, createManifest); err != nil {
		if server, ok := errors.AsType[*pgconn.PgError](err); ok && (server.Code == "42P06" || server.Code == "42P07") {
			return fmt.Errorf("pgxmask: the target has a schema pgxmask: %w", ErrExists)
		}
		return failed("make the manifest in the target", err)
	}
	found := 0
	for _, table := range t.job.plan.tables {
		var there, rows bool
		err := t.conn.QueryRow(ctx, "select to_regclass($1) is not null", table.ident()).Scan(&there)
		if err == nil && there {
			found++
			err = t.conn.QueryRow(ctx, "select exists (select from "+table.ident()+")").Scan(&rows)
		}
		if err != nil {
			return failed("look at the target", err)
		}
		if rows {
			return fmt.Errorf("pgxmask: the target has rows in %s: %w", table, ErrExists)
		}
	}
	switch {
	case found == 0:
		before, _, err := t.job.schemaOf(ctx)
		if err != nil {
			return err
		}
		if err := execAll(ctx, t.conn, string(restriction.ReplaceAll(before, nil))); err != nil {
			return failed("make the schema in the target", err)
		}
		h.Made = true
	case found < len(t.job.plan.tables):
		return fmt.Errorf("pgxmask: the target has %d of the %d tables: %w", found, len(t.job.plan.tables), ErrSchema)
	}
	t.made = h.Made
	if err := insertLine(ctx, t.conn, &line{Header: h}); err != nil {
		return err
	}
	return failed("commit in the target", tx.Commit(ctx))
}

func insertLine(ctx context.Context, conn *pgx.Conn, l *line) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "insert into pgxmask.manifest (line) values ($1)", string(data))
	return failed("write the manifest in the target", err)
}

func (t *target) load(ctx context.Context) (*state, error) {
	rows, err := t.conn.Query(ctx, "select line from pgxmask.manifest order by n")
	if err != nil {
		return nil, failed("read the manifest in the target", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, failed("read the manifest in the target", err)
	}
	s := &state{}
	for _, text := range lines {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return nil, fmt.Errorf("pgxmask: the manifest in the target: %w", ErrDamaged)
		}
		if err := s.add(&l); err != nil {
			return nil, err
		}
	}
	if s.header == nil {
		return nil, fmt.Errorf("pgxmask: the manifest in the target has no header: %w", ErrDamaged)
	}
	t.made = s.header.Made
	return s, nil
}

// intact trusts the transaction.
func (t *target) intact(context.Context, *done) (bool, error) { return true, nil }

// same is about the bytes that went to the target.
func (t *target) same(d *done, rows *sum) (bool, error) { return d.SHA256 == rows.hex(), nil }

func (t *target) record(ctx context.Context, l *line) error { return insertLine(ctx, t.conn, l) }

func (t *target) worker(ctx context.Context) (sinkWorker, error) {
	conn, err := dial(ctx, t.job.config.Target)
	if err != nil {
		return nil, err
	}
	// Tables that were there may have foreign keys and triggers, which are not for
	// rows that come in any order.
	settings := "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; " + noTimeouts(conn)
	for _, s := range inputSettings {
		settings += "; set " + s[0] + " = " + literal(s[1])
	}
	if !t.made {
		settings += "; set session_replication_role = replica"
	}
	if err := execAll(ctx, conn, settings); err != nil {
		disconnect(conn)
		return nil, failed("prepare a session of the target", err)
	}
	return &targetWorker{t.job, conn}, nil
}

type targetWorker struct {
	job  *job
	conn *pgx.Conn
}

func (w *targetWorker) close() { disconnect(w.conn) }

func (w *targetWorker) write(ctx context.Context, c *chunk, d *done, fill func(io.Writer) (int64, error)) error {
	table := w.job.plan.tables[c.table]
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return failed("begin in the target", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))

	r, pipe := io.Pipe()
	s := newSum(pipe)
	filled := make(chan error, 1)
	go func() {
		var err error
		d.Rows, err = fill(s)
		pipe.CloseWithError(err)
		filled <- err
	}()
	tag, err := w.conn.PgConn().CopyFrom(ctx, r, "copy "+table.ident()+table.columnList()+" from stdin")
	r.CloseWithError(io.ErrClosedPipe)
	if source := <-filled; source != nil && !errors.Is(source, io.ErrClosedPipe) {
		return source
	}
	if err != nil {
		return failed("copy into "+table.String(), err)
	}
	if tag.RowsAffected() != d.Rows {
		return fmt.Errorf("pgxmask: copy into %s: %d rows went, and %d came", table, d.Rows, tag.RowsAffected())
	}
	d.Bytes, d.SHA256 = s.n, s.hex()
	if err := insertLine(ctx, w.conn, &line{Chunk: d}); err != nil {
		return err
	}
	return failed("commit in the target", tx.Commit(ctx))
}

// schema makes the constraints and indexes, once.
func (t *target) schema(ctx context.Context, _ []*done) (map[string]string, error) {
	if !t.made || t.job.constrained {
		return nil, nil
	}
	_, after, err := t.job.schemaOf(ctx)
	if err != nil {
		return nil, err
	}
	statements, err := t.job.sequences(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return nil, failed("begin in the target", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	for _, s := range statements {
		if err := execAll(ctx, t.conn, s); err != nil {
			return nil, failed("set a sequence in the target", err)
		}
	}
	if err := execAll(ctx, t.conn, string(restriction.ReplaceAll(after, nil))); err != nil {
		return nil, failed("make the constraints in the target", err)
	}
	if err := insertLine(ctx, t.conn, &line{Constraints: schemaDigest(after)}); err != nil {
		return nil, err
	}
	return nil, failed("commit in the target", tx.Commit(ctx))
}

func (t *target) texts(ctx context.Context) (map[string][]byte, error) {
	if !t.made {
		return nil, nil
	}
	before, after, err := t.job.schemaOf(ctx)
	return map[string][]byte{"the schema before the rows": before, "the schema after the rows": after}, err
}

func (t *target) digests(context.Context) (map[string]string, error) { return nil, nil }

// read reads table after table, in a session of its own.
func (t *target) read(ctx context.Context, rows func(int, int, string) func(int64, [][]byte)) error {
	conn, err := dial(ctx, t.job.config.Target)
	if err != nil {
		return err
	}
	defer disconnect(conn)
	if err := begin(ctx, conn, ""); err != nil {
		return failed("begin in the target", err)
	}
	copied := make([]int64, len(t.job.plan.tables))
	for _, d := range t.job.list() {
		copied[d.Table] += d.Rows
	}
	for i, table := range t.job.plan.tables {
		row := rows(i, -1, "the target's "+table.String())
		reader := &textReader{table: table, row: row}
		columns := strings.Trim(table.columnList(), " ()")
		if _, err := conn.PgConn().CopyTo(ctx, reader, "copy (select "+columns+" from "+table.ident()+") to stdout"); err != nil {
			return failed("read "+table.String()+" in the target", err)
		}
		if reader.rows != copied[i] {
			return fmt.Errorf("pgxmask: the target's %s has %d rows, and %d were copied: %w", table, reader.rows, copied[i], ErrDamaged)
		}
		row(-1, nil)
	}
	return nil
}

func (t *target) finish(ctx context.Context, m *Finished) error {
	return insertLine(ctx, t.conn, &line{Finished: m})
}

func (t *target) close() { disconnect(t.conn) }

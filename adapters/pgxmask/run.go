package pgxmask

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// RunConfig says from where to where rows are copied. Source and one of Dir and Target
// are required.
type RunConfig struct {
	// Source is the database of the plan, by pgx.ParseConfig. The user needs to read
	// the tables; for Format SQL and a Target also what pg_dump needs. Every worker
	// has a connection, and one more holds the snapshot: vacuum keeps old rows until
	// the end.
	Source *pgx.ConnConfig

	// Dir is the folder of the output. Run makes it; it has to be empty.
	Dir string

	// Target is a database to copy into instead, by pgx.ParseConfig. Run makes the
	// schema there with pg_dump's help, with constraints and indexes after the rows. Or
	// it finds all tables there, empty, with the same types: then triggers and foreign keys are
	// passed by, for which the user needs to set session_replication_role, and
	// Verify checks the references; sequences stay as they are. The manifest is in a schema pgxmask.
	Target *pgx.ConnConfig

	// Format is that of the files in Dir. Defaults to CopyText.
	Format Format

	// Compression is that of the files in Dir. Defaults to None.
	Compression Compression

	// Workers is how many chunks are copied at the same time. The bytes do not
	// depend on it. Defaults to the number of CPUs, at most 8.
	Workers int

	// Progress is where to say how far it is: a bar, if it is a terminal, else a line
	// now and then. Defaults to nowhere.
	Progress io.Writer

	// PgDump is the path of pg_dump. Defaults to the one in PATH. It must not be
	// older than the server.
	PgDump string

	// SkipVerify leaves out Verify, which is a part of Run and Resume otherwise.
	SkipVerify bool

	// bare is Run without a manifest, fsync and digests, for benchmarks.
	bare bool
}

// maxWorkers is the default's limit: the server has others to serve.
const maxWorkers = 8

func (c *RunConfig) check() error {
	switch {
	case c.Source == nil:
		return errors.New("pgxmask: RunConfig.Source is missing")
	case (c.Dir == "") == (c.Target == nil):
		return errors.New("pgxmask: RunConfig needs one of Dir and Target")
	case c.Target != nil && (c.Format != "" || c.Compression != None):
		return errors.New("pgxmask: RunConfig.Format and Compression are of files, and there is a Target")
	case c.Workers < 0:
		return errors.New("pgxmask: RunConfig.Workers is negative")
	}
	if c.Workers == 0 {
		c.Workers = min(runtime.NumCPU(), maxWorkers)
	}
	if c.Format == "" {
		c.Format = CopyText
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if _, err := c.Format.encoder(); err != nil {
		return err
	}
	return c.Compression.check()
}

// Result is what was copied.
type Result struct {
	Finished

	// Kept is how many chunks Resume found done.
	Kept int
	// Verification is nil with SkipVerify.
	Verification *Verification
}

// Run copies the tables of the plan, masked, as they are in one snapshot, and verifies
// the output, which gets its finished marker last. Whatever happens before that, the
// error says it, and Resume goes on from there. The context ends it early.
func (p *Plan) Run(ctx context.Context, config RunConfig) (*Result, error) {
	return p.run(ctx, config, false)
}

func (p *Plan) run(ctx context.Context, config RunConfig, resume bool) (_ *Result, err error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	j := newJob(p, config)
	if j.holder, err = dial(ctx, config.Source); err != nil {
		return nil, err
	}
	defer disconnect(j.holder)
	if err := j.export(ctx); err != nil {
		return nil, err
	}
	if j.sink, err = j.newSink(ctx); err != nil {
		return nil, err
	}
	defer j.sink.close()
	if resume {
		err = j.load(ctx)
	} else {
		err = j.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	if !config.SkipVerify && !config.bare {
		j.verifier = newVerifier(j)
	}
	if err := j.copy(ctx); err != nil {
		return nil, err
	}
	return j.finish(ctx)
}

func newJob(p *Plan, config RunConfig) *job {
	return &job{plan: p, config: config, done: map[chunkKey]*done{}, changed: map[chunkKey]bool{}, copied: map[chunkKey]*done{}}
}

// job is a run.
type job struct {
	plan     *Plan
	config   RunConfig
	holder   *pgx.Conn // has the snapshot
	snapshot *snapshot
	sink     sink
	header   *header
	chunks   []*chunk
	verifier *verifier // or nil
	progress *progress

	constrained bool // the Target has its constraints

	done    map[chunkKey]*done // by an earlier run
	changed map[chunkKey]bool  // of these, in the source since
	kept    int

	holding sync.Mutex // holder, while workers copy

	mu     sync.Mutex
	copied map[chunkKey]*done // by this one
}

// export takes the locks and the snapshot, in this order: what is altered in between
// would be seen half.
func (j *job) export(ctx context.Context) error {
	if j.plan.hasSubset() {
		if err := makeSubset(ctx, j.holder); err != nil {
			return err
		}
	}
	if err := begin(ctx, j.holder, ""); err != nil {
		return failed("begin", err)
	}
	if err := lockTables(ctx, j.holder, j.plan.tables); err != nil {
		return err
	}
	j.snapshot = &snapshot{}
	err := j.holder.QueryRow(ctx, `
		select pg_export_snapshot(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
			case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text, now(),
			(select system_identifier from pg_control_system()) || '/' || case when pg_is_in_recovery()
				then (select timeline_id from pg_control_checkpoint())::text else left(pg_walfile_name(pg_current_wal_lsn()), 8) end
				|| '/' || (select oid from pg_database where datname = current_database()),
			(select coalesce(hashtextextended(string_agg(oid || ' ' || enumlabel, ',' order by oid), 0), 0) from pg_enum)`).
		Scan(&j.snapshot.ID, &j.snapshot.Xmin, &j.snapshot.LSN, &j.snapshot.Time, &j.snapshot.Cluster, &j.snapshot.Labels)
	if err != nil {
		return failed("export the snapshot", err)
	}
	j.snapshot.Time = j.snapshot.Time.UTC()
	h := &header{
		Version: manifestVersion, Database: j.plan.database, Policy: j.plan.fingerprint(), Check: j.plan.check,
		Format: j.config.Format, Compression: j.config.Compression,
	}
	if err := j.plan.checkSchema(ctx, j.holder); err != nil {
		return err
	}
	for _, t := range j.plan.tables {
		relations, err := locate(ctx, j.holder, t)
		if err != nil {
			return failed("find the pages of "+t.String(), err)
		}
		h.Tables = append(h.Tables, tableHeader{t.String(), t.names(), relations})
	}
	j.header = h
	return j.chooseSubset(ctx)
}

// create starts a new output.
func (j *job) create(ctx context.Context) error {
	j.divide()
	if err := j.sink.create(ctx, j.header); err != nil {
		return err
	}
	return j.sink.record(ctx, &line{Snapshot: j.snapshot})
}

// divide makes the chunks from the header.
func (j *job) divide() {
	for i := range j.header.Tables {
		j.chunks = append(j.chunks, chunksOf(i, j.header.Tables[i].Storage)...)
	}
}

// copy copies the chunks that are not done. The others are read for the verifier.
func (j *job) copy(ctx context.Context) error {
	var todo []*chunk
	for _, c := range j.chunks {
		if j.verifier != nil || j.done[c.key()] == nil {
			todo = append(todo, c)
		}
	}
	j.progress = newProgress(j.config.Progress, todo)
	defer j.progress.stop()
	return j.parallel(ctx, todo, func(ctx context.Context) (func(*pgx.Conn, *chunk) error, func(), error) {
		out, err := j.sink.worker(ctx)
		if err != nil {
			return nil, nil, err
		}
		return func(conn *pgx.Conn, c *chunk) error {
			err := j.chunk(ctx, conn, out, c)
			j.progress.complete(c)
			return err
		}, out.close, nil
	})
}

// parallel has the workers, each in a session of its own, take chunks in their order. start
// returns what a worker does with them, and at its end.
func (j *job) parallel(parent context.Context, chunks []*chunk, start func(context.Context) (func(*pgx.Conn, *chunk) error, func(), error)) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var next atomic.Int64
	work := func() error {
		conn, err := dial(ctx, j.config.Source)
		if err != nil {
			return err
		}
		defer disconnect(conn)
		if err := begin(ctx, conn, j.snapshot.ID); err != nil {
			return failed("take the snapshot", err)
		}
		if err := lockTables(ctx, conn, j.plan.tables); err != nil {
			return err
		}
		do, stop, err := start(ctx)
		if err != nil {
			return err
		}
		defer stop()
		for ctx.Err() == nil {
			n := next.Add(1) - 1
			if n >= int64(len(chunks)) {
				return nil
			}
			if err := do(conn, chunks[n]); err != nil {
				return err
			}
		}
		return nil
	}
	var workers sync.WaitGroup
	for range min(j.config.Workers, len(chunks)) {
		workers.Go(func() {
			if err := work(); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if err := parent.Err(); err != nil {
		return fmt.Errorf("pgxmask: copy: %w: %w", err, context.Cause(parent))
	}
	return context.Cause(ctx)
}

// fill copies the rows of a chunk, masked, to w, and returns how many.
func (j *job) fill(ctx context.Context, conn *pgx.Conn, c *chunk, rows string, w io.Writer, seen observer) (int64, error) {
	t := j.plan.tables[c.table]
	encode, err := j.config.Format.encoder()
	if err != nil {
		return 0, err
	}
	s, err := newStream(ctx, t, encode, w)
	if err != nil {
		return 0, err
	}
	s.report, s.seen = j.progress.reporter(), seen
	tag, err := conn.PgConn().CopyTo(ctx, s, c.sql(t, rows, nil))
	if err != nil {
		return 0, failed("copy "+t.String(), err)
	}
	if err := s.close(); err != nil {
		return 0, err
	}
	if n := tag.RowsAffected(); n != s.rows {
		return 0, fmt.Errorf("pgxmask: copy %s: PostgreSQL sent %d rows and says %d", t, s.rows, n)
	}
	if seen != nil {
		seen.close()
	}
	return s.rows, nil
}

// chunk copies one chunk, or only reads it if it is done.
func (j *job) chunk(ctx context.Context, conn *pgx.Conn, out sinkWorker, c *chunk) error {
	old := j.done[c.key()]
	var seen observer
	if j.verifier != nil {
		o, err := j.verifier.chunk(c, old == nil || !j.changed[c.key()])
		if err != nil {
			return err
		}
		seen = o
	}
	rows, err := j.rowsOf(ctx, c)
	if err != nil {
		return err
	}
	if old != nil {
		return j.compare(ctx, conn, c, rows, old, seen)
	}
	d := &done{Table: c.table, N: c.n, Subset: subsetDigest(rows)}
	err = out.write(ctx, c, d, func(w io.Writer) (int64, error) { return j.fill(ctx, conn, c, rows, w, seen) })
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.copied[c.key()] = d
	j.mu.Unlock()
	return nil
}

// compare reads a chunk that is done. If its rows are as they were, they have the same bytes
// once more; sealing is random.
func (j *job) compare(ctx context.Context, conn *pgx.Conn, c *chunk, rows string, old *done, seen observer) error {
	s := newSum(io.Discard)
	if _, err := j.fill(ctx, conn, c, rows, s, seen); err != nil {
		return err
	}
	if j.changed[c.key()] || j.plan.tables[c.table].sealed != nil {
		return nil
	}
	same, err := j.sink.same(old, s)
	if err == nil && !same {
		j.verifier.differs(c)
	}
	return err
}

// list returns what the chunks have become, in their order.
func (j *job) list() []*done {
	list := make([]*done, len(j.chunks))
	for i, c := range j.chunks {
		if list[i] = j.copied[c.key()]; list[i] == nil {
			list[i] = j.done[c.key()]
		}
	}
	return list
}

// finish verifies, and then writes the marker.
func (j *job) finish(ctx context.Context) (*Result, error) {
	r := &Result{Kept: j.kept}
	list := j.list()
	for _, d := range list {
		r.Rows += d.Rows
		r.Bytes += d.Bytes
	}
	schema, err := j.sink.schema(ctx, list)
	if err != nil {
		return nil, err
	}
	r.Version, r.Tables, r.Digest = manifestVersion, len(j.plan.tables), digest(j.header, list, schema)
	r.Snapshot = j.snapshot.Time.Format(time.RFC3339Nano)
	if j.verifier != nil {
		if r.Verification, err = j.verify(ctx); err != nil {
			return r, err
		}
		r.Verified = true
	}
	return r, j.sink.finish(ctx, &r.Finished)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// sum counts and digests what is written.
type sum struct {
	w    io.Writer
	n    int64
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func newSum(w io.Writer) *sum { return &sum{w: w, hash: sha256.New()} }

func (s *sum) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	s.hash.Write(p[:n])
	return n, err
}

func (s *sum) hex() string { return hex.EncodeToString(s.hash.Sum(nil)) }

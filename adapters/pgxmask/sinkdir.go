package pgxmask

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// The files of an output beside those with rows.
const (
	manifestName = "manifest.jsonl"
	finishedName = "finished.json"
	beforeName   = "pre-data.sql"
	afterName    = "post-data.sql"
	scriptName   = "restore.sql"
)

var (
	// ErrExists says that there is an output already. Resume goes on with one that is
	// not finished.
	ErrExists = errors.New("there is an output already")
	// ErrUnfinished says that an output has no finished marker: it may lack rows, or
	// hold what should have been masked.
	ErrUnfinished = errors.New("the output is not finished")
	// ErrDamaged says that an output is not what its manifest says.
	ErrDamaged = errors.New("the output is not what its manifest says")
	// ErrInUse says that another process writes the output.
	ErrInUse = errors.New("another process writes the output")
)

// folder is an output of files: one for every chunk, in a folder for every table, named
// so that their order is that of the tables and rows.
type folder struct {
	job  *job
	path string

	script []byte // restore.sql

	mu       sync.Mutex
	manifest *os.File
}

func newFolder(j *job) *folder { return &folder{job: j, path: j.config.Dir} }

func (f *folder) create(ctx context.Context, h *header) error {
	if f.job.config.Format == SQL {
		if _, err := f.job.pgDump(ctx); err != nil { // now rather than after the rows
			return err
		}
		if err := f.job.checkScript(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	if f.job.config.bare {
		return f.folders(h)
	}
	if found, err := os.ReadDir(f.path); err != nil || len(found) > 0 {
		if err == nil {
			err = fmt.Errorf("%s is not empty: %w", f.path, ErrExists)
		}
		return fmt.Errorf("pgxmask: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(f.path, manifestName), os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	f.manifest = file
	if err := lockFile(file); err != nil {
		return err
	}
	if err := f.folders(h); err != nil {
		return err
	}
	if err := f.record(context.Background(), &line{Header: h}); err != nil {
		return err
	}
	return syncDir(f.path)
}

func (f *folder) folders(h *header) error {
	for i := range h.Tables {
		if err := os.MkdirAll(filepath.Join(f.path, tableFolder(h, i)), 0o700); err != nil {
			return fmt.Errorf("pgxmask: %w", err)
		}
	}
	return nil
}

// tableFolder is the name of a table's folder. Its number is the place in the order in
// which tables can be loaded; the name of the table is for people, and cut where file systems
// would not take more.
func tableFolder(h *header, i int) string {
	return fmt.Sprintf("%04d-%.200s", i+1, url.PathEscape(h.Tables[i].Name))
}

func (f *folder) fileName(c *chunk) string {
	return fmt.Sprintf("%s/%06d.%s%s", tableFolder(f.job.header, c.table), c.n+1, f.job.config.Format.extension(), f.job.config.Compression.extension())
}

func (f *folder) load(context.Context) (*state, error) {
	file, err := os.OpenFile(filepath.Join(f.path, manifestName), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	f.manifest = file
	if err := lockFile(file); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	// A line without its end was being written when the process ended.
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	if err := file.Truncate(int64(len(whole))); err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	s, err := parseManifest(whole)
	if err != nil {
		return nil, err
	}
	s.finished, err = readFinished(f.path)
	if errors.Is(err, ErrUnfinished) {
		err = nil
	}
	return s, err
}

func parseManifest(data []byte) (*state, error) {
	s := &state{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("pgxmask: line %d of %s: %w", n, manifestName, ErrDamaged)
		}
		if err := s.add(&l); err != nil {
			return nil, err
		}
	}
	if s.header == nil {
		return nil, fmt.Errorf("pgxmask: %s has no header: remove the output and start again: %w", manifestName, ErrDamaged)
	}
	return s, nil
}

// readFinished reads the marker.
func readFinished(path string) (*Finished, error) {
	data, err := os.ReadFile(filepath.Join(path, finishedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pgxmask: %s: %w", path, ErrUnfinished)
	}
	if err != nil {
		return nil, fmt.Errorf("pgxmask: %w", err)
	}
	var m Finished
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("pgxmask: %s: %w", finishedName, ErrDamaged)
	}
	return &m, nil
}

func (f *folder) intact(_ context.Context, d *done) (bool, error) {
	// The name is part of restore.sql, and so of what psql gives to a shell.
	if name := f.fileName(&chunk{table: d.Table, n: d.N}); d.File != name {
		return false, fmt.Errorf("pgxmask: %s has another name for %s: %w", manifestName, name, ErrDamaged)
	}
	n, digest, err := fileDigest(filepath.Join(f.path, filepath.FromSlash(d.File)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return n == d.Bytes && digest == d.SHA256, err
}

// same reads a file only if it is compressed: the digest of others, which intact has
// looked at, is that of the rows.
func (f *folder) same(d *done, rows *sum) (bool, error) {
	if f.job.config.Compression == None {
		return d.SHA256 == rows.hex(), nil
	}
	found := newSum(io.Discard)
	err := f.open(d, func(r io.Reader) error {
		_, err := io.Copy(found, r)
		return err
	})
	return found.hex() == rows.hex(), err
}

func fileDigest(path string) (int64, string, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", fmt.Errorf("pgxmask: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, file)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

func (f *folder) record(_ context.Context, l *line) error {
	if f.job.config.bare {
		return nil
	}
	data, err := encodeLine(l)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.manifest.Write(data); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	if err := f.manifest.Sync(); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	return nil
}

func (f *folder) worker(context.Context) (sinkWorker, error) { return folderWorker{f}, nil }

type folderWorker struct{ *folder }

func (folderWorker) close() {}

// write writes under the final name: a file counts when the manifest has it.
func (f folderWorker) write(ctx context.Context, c *chunk, d *done, fill func(io.Writer) (int64, error)) (err error) {
	d.File = f.fileName(c)
	file, err := os.OpenFile(filepath.Join(f.path, filepath.FromSlash(d.File)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = fmt.Errorf("pgxmask: %w", closed)
		}
	}()
	var w io.Writer = file
	s := newSum(file)
	if !f.job.config.bare {
		w = s
	}
	compressed, err := f.job.config.Compression.writer(w)
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	if d.Rows, err = fill(compressed); err != nil {
		return err
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	if f.job.config.bare {
		return nil
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	d.Bytes, d.SHA256 = s.n, s.hex()
	return f.record(ctx, &line{Chunk: d})
}

// finish makes the names of all files durable, then the marker.
func (f *folder) finish(_ context.Context, m *Finished) error {
	if f.job.config.bare {
		return nil
	}
	for i := range f.job.header.Tables {
		if err := syncDir(filepath.Join(f.path, tableFolder(f.job.header, i))); err != nil {
			return err
		}
	}
	if f.script != nil {
		if err := writeAtomic(filepath.Join(f.path, scriptName), f.script); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeAtomic(filepath.Join(f.path, finishedName), append(data, '\n'))
}

// writeAtomic makes a file appear as a whole.
func writeAtomic(path string, data []byte) error {
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = syncDir(filepath.Dir(path)) // all that was there before
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	return nil
}

func (f *folder) close() {
	if f.manifest != nil {
		f.manifest.Close() // and with it the lock
	}
}

// schema writes the files of Format SQL. Its script comes with the marker: it
// must not be there before all that it needs.
func (f *folder) schema(ctx context.Context, chunks []*done) (map[string]string, error) {
	if f.job.config.Format != SQL {
		return nil, nil
	}
	before, after, err := f.job.schemaOf(ctx)
	if err != nil {
		return nil, err
	}
	sequences, err := f.job.sequences(ctx)
	if err != nil {
		return nil, err
	}
	f.script = f.job.script(chunks, sequences)
	digests := map[string]string{scriptName: schemaDigest(f.script)}
	for name, sql := range map[string][]byte{beforeName: before, afterName: after} {
		if err := writeAtomic(filepath.Join(f.path, name), sql); err != nil {
			return nil, err
		}
		digests[name] = schemaDigest(sql)
	}
	return digests, nil
}

func (f *folder) texts(context.Context) (map[string][]byte, error) {
	if f.job.config.Format != SQL {
		return nil, nil
	}
	found := map[string][]byte{}
	for _, name := range []string{beforeName, afterName, scriptName} {
		text, err := os.ReadFile(filepath.Join(f.path, name))
		if name == scriptName && f.script != nil {
			text, err = f.script, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pgxmask: %w", err)
		}
		found[name] = text
	}
	return found, nil
}

func (f *folder) digests(ctx context.Context) (map[string]string, error) {
	found, err := f.texts(ctx)
	if err != nil || found == nil {
		return nil, err
	}
	digests := map[string]string{}
	for name, text := range found {
		digests[name] = schemaDigest(text)
	}
	return digests, nil
}

func (f *folder) read(ctx context.Context, rows func(int, int, string) func(int64, [][]byte)) error {
	chunks := f.job.list()
	if err := f.checkNames(chunks); err != nil {
		return err
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, f.job.config.Workers)
	for w := range errs {
		workers.Go(func() {
			for errs[w] == nil && ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= int64(len(chunks)) {
					return
				}
				d := chunks[n]
				errs[w] = f.readFile(d, rows(d.Table, d.N, d.File))
			}
		})
	}
	workers.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// checkNames looks for files that no chunk has, and that whoever loads all files of a
// table's folder would load, too. A shell's * does not mean those that begin with a dot.
func (f *folder) checkNames(chunks []*done) error {
	known := map[string]bool{}
	for _, d := range chunks {
		known[d.File] = true
	}
	for i := range f.job.header.Tables {
		name := tableFolder(f.job.header, i)
		found, err := os.ReadDir(filepath.Join(f.path, name))
		if err != nil {
			return fmt.Errorf("pgxmask: %w", err)
		}
		for _, file := range found {
			if !known[name+"/"+file.Name()] && !strings.HasPrefix(file.Name(), ".") {
				return fmt.Errorf("pgxmask: %s/%s is of no chunk: %w", name, file.Name(), ErrDamaged)
			}
		}
	}
	return nil
}

// readFile reads the rows of a file.
func (f *folder) readFile(d *done, row func(int64, [][]byte)) error {
	return f.open(d, func(r io.Reader) error {
		n, err := f.job.config.Format.read(r, f.job.plan.tables[d.Table], row)
		if err == nil && n != d.Rows {
			err = ErrDamaged
		}
		return err
	})
}

// open has what is in a file read.
func (f *folder) open(d *done, read func(io.Reader) error) error {
	file, err := os.Open(filepath.Join(f.path, filepath.FromSlash(d.File)))
	if err != nil {
		return fmt.Errorf("pgxmask: %w", err)
	}
	defer file.Close()
	r, err := f.job.config.Compression.reader(file)
	if err == nil {
		defer r.Close()
		err = read(r)
	}
	if err != nil {
		return fmt.Errorf("pgxmask: %s: %w", d.File, err)
	}
	return nil
}

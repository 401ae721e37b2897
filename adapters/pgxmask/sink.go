package pgxmask

import (
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// sink is where an output goes, with its manifest.
type sink interface {
	// create makes a new output. It fails if there is one.
	create(context.Context, *header) error
	// load reads what there is of an output, and makes the manifest ready for more.
	load(context.Context) (*state, error)
	// intact reports whether what a chunk wrote is there as it was.
	intact(context.Context, *done) (bool, error)
	// same reports whether the rows of a chunk have these bytes.
	same(*done, *sum) (bool, error)
	// record appends to the manifest, durably.
	record(context.Context, *line) error
	// worker returns what writes chunks, of one goroutine.
	worker(context.Context) (sinkWorker, error)
	// schema writes what is not rows, after them, and returns the digests of files.
	schema(context.Context, []*done) (map[string]string, error)
	// read calls rows for every part of the output: a chunk, or a table with chunk -1,
	// and what it returns for every row of it, and with row -1 at the end of a table.
	// It does so in several goroutines.
	read(ctx context.Context, rows func(table, chunk int, place string) func(row int64, values [][]byte)) error
	// texts returns what there is besides rows, by name.
	texts(context.Context) (map[string][]byte, error)
	// digests returns what schema did, from what is there.
	digests(context.Context) (map[string]string, error)
	// finish writes the marker.
	finish(context.Context, *Finished) error
	close()
}

type sinkWorker interface {
	// write makes the bytes of a chunk durable, then its line in the manifest.
	// fill returns how many rows it wrote; d gets the rest.
	write(ctx context.Context, c *chunk, d *done, fill func(io.Writer) (int64, error)) error
	close()
}

func (j *job) newSink(ctx context.Context) (sink, error) {
	if j.config.Target != nil {
		return newTarget(ctx, j)
	}
	return newFolder(j), nil
}

// Compression of files.
type Compression string

const (
	None Compression = ""
	Zstd Compression = "zstd"
	// Gzip runs in parallel, too: every chunk is a file, and workers compress theirs.
	Gzip Compression = "gzip"
)

func (c Compression) check() error {
	switch c {
	case None, Zstd, Gzip:
		return nil
	}
	return fmt.Errorf("pgxmask: unknown compression %q", string(c))
}

func (c Compression) extension() string {
	switch c {
	case Zstd:
		return ".zst"
	case Gzip:
		return ".gz"
	}
	return ""
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// writer compresses what goes to w. One goroutine does it, so that the bytes are always
// the same; closing it does not close w.
func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	case Gzip:
		return gzip.NewWriter(w), nil
	}
	return nopCloser{w}, nil
}

// reader is the inverse.
func (c Compression) reader(r io.Reader) (io.ReadCloser, error) {
	switch c {
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case Gzip:
		return gzip.NewReader(r)
	}
	return io.NopCloser(r), nil
}

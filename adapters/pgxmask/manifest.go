package pgxmask

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// The manifest of an output is lines of JSON, each made durable before the next: the
// header, a line for every snapshot, and one for every chunk that is complete. Of two
// lines for a chunk the later one counts, and none that a snapshot drops. The finished marker comes last of all, and
// an output without it is none.
const manifestVersion = 1

// line is a line of the manifest; one of its fields is there.
type line struct {
	Header   *header   `json:"header,omitempty"`
	Snapshot *snapshot `json:"snapshot,omitempty"`
	Chunk    *done     `json:"chunk,omitempty"`
	Finished *Finished `json:"finished,omitempty"`
	// Constraints is the digest of pg_dump's post-data, once a Target has it.
	Constraints string `json:"constraints,omitempty"`
}

// header says what the output is made of.
type header struct {
	Version     int           `json:"version"`
	Database    string        `json:"database"`
	Policy      string        `json:"policy"` // Plan.fingerprint
	Check       string        `json:"check"`  // of the keys
	Format      Format        `json:"format"`
	Compression Compression   `json:"compression,omitempty"`
	Made        bool          `json:"made,omitempty"` // whether the schema of a Target is pg_dump's
	Tables      []tableHeader `json:"tables"`
}

type tableHeader struct {
	Name    string    `json:"name"`
	Columns []string  `json:"columns"`
	Storage []storage `json:"storage"`
}

// snapshot is the state of the database that the chunks after it have.
type snapshot struct {
	ID string `json:"id"`
	// Cluster is the system identifier, the timeline, and the OID of the database:
	// elsewhere, also in a restored backup or a standby that was promoted, transactions have
	// numbers of their own; and a database that was made anew from the same template has
	// other rows of the same transactions in files with the same numbers.
	Cluster string    `json:"cluster"`
	Labels  int64     `json:"labels"` // a hash of the labels of all enums
	Xmin    uint64    `json:"xmin"`   // transactions before it had ended
	LSN     string    `json:"lsn,omitempty"`
	Time    time.Time `json:"time"`
	// Kept is how many chunks of former snapshots were found unchanged, so that
	// they are of this one too.
	Kept int `json:"kept,omitempty"`
	// Dropped are those that were not: table and number.
	Dropped [][2]int `json:"dropped,omitempty"`
}

// done is a chunk of which the bytes are safe.
type done struct {
	Table  int    `json:"table"`
	N      int    `json:"n"`
	File   string `json:"file,omitempty"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`  // of the file; into a database, of COPY text
	SHA256 string `json:"sha256"` // of these
	// Subset is the SHA-256 of the list of rows, by which a chunk of a restricted
	// table was copied.
	Subset string `json:"subset,omitempty"`
}

// Finished is the marker of an output that is complete: the file finished.json in
// its folder, or the last row of pgxmask.manifest in its database.
type Finished struct {
	Version  int    `json:"version"`
	Digest   string `json:"digest"` // SHA-256 of header, chunks and schema
	Tables   int    `json:"tables"`
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
	Snapshot string `json:"snapshot"` // the time of the state of the data, RFC 3339
	Verified bool   `json:"verified"`
}

// state is what a manifest says.
type state struct {
	header    *header
	snapshots []*snapshot
	chunks    map[chunkKey]*done
	finished  *Finished

	constrained bool // the Target has its constraints
}

type chunkKey struct{ table, n int }

func (s *state) add(l *line) error {
	switch {
	case l.Header != nil:
		if l.Header.Version != manifestVersion {
			return fmt.Errorf("pgxmask: the manifest has version %d, not %d", l.Header.Version, manifestVersion)
		}
		s.header = l.Header
	case l.Snapshot != nil:
		s.snapshots = append(s.snapshots, l.Snapshot)
		for _, c := range l.Snapshot.Dropped {
			delete(s.chunks, chunkKey{c[0], c[1]})
		}
	case l.Chunk != nil:
		if s.chunks == nil {
			s.chunks = map[chunkKey]*done{}
		}
		s.chunks[chunkKey{l.Chunk.Table, l.Chunk.N}] = l.Chunk
	case l.Finished != nil:
		s.finished = l.Finished
	case l.Constraints != "":
		s.constrained = true
	}
	return nil
}

// digest binds all that an output consists of: its header, but for where its rows were
// stored, and the chunks in their order.
func digest(h *header, chunks []*done, schema map[string]string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %q %q %q %q %q\n", h.Version, h.Database, h.Policy, h.Check, h.Format, h.Compression)
	for _, t := range h.Tables {
		fmt.Fprintf(sum, "%q %q\n", t.Name, t.Columns)
	}
	for _, c := range chunks {
		fmt.Fprintf(sum, "%d %d %q %d %d %s\n", c.Table, c.N, c.File, c.Rows, c.Bytes, c.SHA256)
	}
	for _, name := range sortedKeys(schema) {
		fmt.Fprintf(sum, "%q %s\n", name, schema[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func encodeLine(l *line) ([]byte, error) {
	data, err := json.Marshal(l)
	return append(data, '\n'), err
}

package pgxmask

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// ErrPlan says that an output was begun with another plan: another policy, other keys, or
// another format.
var ErrPlan = errors.New("the output was begun with another plan")

// Resume goes on with an output that Run, or a former Resume, did not finish: after a
// lost connection, a full disk, a cancelled context, kill -9. Plan and config are
// those of Run, but for Workers, Progress and SkipVerify.
//
// The snapshot of Run is lost with its session. Resume takes a new one and keeps
// the chunks of which the rows are the same in it: those where no row is from a
// transaction that had not ended at the old one, no row is missing, and the table was not
// rewritten and has the same columns; none of a source that is another cluster, or another
// timeline of it, or has other labels of enums. All others it copies again. So the output is one state of the database,
// that of the new snapshot; if nothing changed in between, its bytes are those of a Run
// that nothing disturbed. Chunks whose bytes are not as the manifest has them are
// copied again as well. A Target can not take rows back: if its chunks would have to be
// copied again, the error is ErrChanged, and it has to be made anew.
func (p *Plan) Resume(ctx context.Context, config RunConfig) (*Result, error) {
	return p.run(ctx, config, true)
}

// ErrChanged says that rows changed since they were copied into a Target.
var ErrChanged = errors.New("rows have changed since they were copied")

// load makes the job go on from the manifest.
func (j *job) load(ctx context.Context) error {
	s, err := j.sink.load(ctx)
	if err != nil {
		return err
	}
	if s.finished != nil {
		return fmt.Errorf("pgxmask: it is finished: %w", ErrExists)
	}
	if err := sameJob(s.header, j.header); err != nil {
		return err
	}
	if err := j.keep(ctx, s, false); err != nil {
		return err
	}
	return j.sink.record(ctx, &line{Snapshot: j.snapshot})
}

// keep takes over the chunks that are as they were, in the output and in the source. With
// all set it takes those that changed in the source as well.
func (j *job) keep(ctx context.Context, s *state, all bool) error {
	now := j.header
	j.header, j.constrained = s.header, s.constrained
	j.divide()
	if len(s.snapshots) == 0 {
		return nil
	}
	for _, c := range j.chunks {
		d := s.chunks[c.key()]
		if d == nil {
			continue
		}
		intact, err := j.sink.intact(ctx, d)
		if err != nil {
			return err
		}
		if !intact && all {
			return fmt.Errorf("pgxmask: %s: %w", d.File, ErrDamaged)
		}
		same := false
		if intact {
			if same, err = j.unchanged(ctx, c, d, s.snapshots[len(s.snapshots)-1], now); err != nil {
				return err
			}
		}
		switch {
		case same || all:
			j.done[c.key()], j.changed[c.key()] = d, !same
			j.kept++
		case j.config.Target != nil:
			return fmt.Errorf("pgxmask: %s: %w", j.plan.tables[c.table], ErrChanged)
		default:
			j.snapshot.Dropped = append(j.snapshot.Dropped, [2]int{c.table, c.n})
		}
	}
	j.snapshot.Kept = j.kept
	return nil
}

// sameJob compares the header of an output with that of this plan and schema. Where rows
// are stored is for unchanged.
func sameJob(old, now *header) error {
	if old.Policy != now.Policy || old.Check != now.Check || old.Database != now.Database || old.Format != now.Format || old.Compression != now.Compression || len(old.Tables) != len(now.Tables) {
		return fmt.Errorf("pgxmask: %w", ErrPlan)
	}
	for i := range old.Tables {
		if old.Tables[i].Name != now.Tables[i].Name || !reflect.DeepEqual(old.Tables[i].Columns, now.Tables[i].Columns) {
			return fmt.Errorf("pgxmask: %w", ErrPlan)
		}
		if !reflect.DeepEqual(storageNames(old.Tables[i]), storageNames(now.Tables[i])) {
			return fmt.Errorf("pgxmask: %s has other partitions: %w", old.Tables[i].Name, ErrSchema)
		}
		for _, s := range old.Tables[i].Storage {
			if s.Step < stepLimits[0] || s.Pages < 0 || s.Pages > math.MaxUint32 {
				return fmt.Errorf("pgxmask: the manifest divides %s into what no run does: %w", old.Tables[i].Name, ErrDamaged)
			}
		}
	}
	return nil
}

func storageNames(t tableHeader) (names []string) {
	for _, s := range t.Storage {
		names = append(names, s.Name)
	}
	return names
}

// unchanged reports whether the rows of a chunk are the same in the snapshot of this job
// and in an older one. A row that came, or came anew by an update, since then has an
// xmin that is not before the old snapshot's; one that went is missing in the count.
// Rows only move to other pages when the table is rewritten, and then its file has
// another number. Of a restricted table the same rows have to be in the subset. A chunk
// is thought changed rather than unchanged where that can not be said: foreign tables
// have no xmin.
func (j *job) unchanged(ctx context.Context, c *chunk, d *done, old *snapshot, now *header) (bool, error) {
	t := j.plan.tables[c.table]
	if c.storage.Filenode == 0 || j.snapshot.Cluster != old.Cluster || j.snapshot.Labels != old.Labels || j.snapshot.Xmin < old.Xmin || j.snapshot.Xmin-old.Xmin > math.MaxInt32/2 {
		return false, nil
	}
	for _, s := range now.Tables[c.table].Storage {
		if s.Name == c.storage.Name && (s.Filenode != c.storage.Filenode || s.Columns != c.storage.Columns) {
			return false, nil
		}
	}
	list, err := j.rowsOf(ctx, c)
	if err != nil || subsetDigest(list) != d.Subset {
		return false, err
	}
	// xmin is the low half of the transaction's number, so the comparison is modulo
	// 2^32; numbers below 3 are frozen rows of databases from before PostgreSQL 9.4.
	var rows, newer int64
	err = j.holder.QueryRow(ctx, fmt.Sprintf(`
		select count(*), count(*) filter (where x >= 3 and (x - %d + 6442450944) %% 4294967296 >= 2147483648)
		from (select xmin::text::bigint as x from only %s%s) r`, uint32(old.Xmin), c.storage.Name, and(c.conditions(list)))).Scan(&rows, &newer)
	if err != nil {
		return false, failed("look for changes in "+t.String(), err)
	}
	return rows == d.Rows && newer == 0, nil
}

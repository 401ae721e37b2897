package pgxmask

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A subset is a closure over references, of rows rather than of tables. It starts with
// the rows that Config.Subset names. It goes down: what refers to a row is in, and
// what refers to that. And it goes up: what a row refers to is in, or it could not
// be; from there it does not go down again, or all orders of all customers who bought
// the same thing would follow. Last come tables that refer only to such as were
// reached by going up: of these, the rows whose targets are all in.
//
// The closure is computed by PostgreSQL in a temporary table of the session that holds
// the snapshot, where a row is known by its relation and ctid: these do not change
// while the snapshot lasts.

// edge is a reference between tables of the plan, by number.
type edge struct {
	from, to  int
	columns   []string
	targets   []string
	operators []string // between target and column, with their schemas
	name      string
}

// reach says how the closure comes to a table.
type reach struct {
	down   bool // its rows take along what refers to them
	up     bool // rows of it are needed by others
	filter bool // it has the rows whose targets are in
}

func (r reach) restricted() bool { return r.down || r.up || r.filter }

// reachOf says for each of n tables how the closure comes to it, from those of start.
func reachOf(n int, start map[int]string, edges []edge) []reach {
	all := make([]reach, n)
	for t := range start {
		all[t].down = true
	}
	spread := func(step func(e edge) bool) {
		for changed := true; changed; {
			changed = false
			for _, e := range edges {
				changed = step(e) || changed
			}
		}
	}
	spread(func(e edge) bool {
		from, to := &all[e.from], &all[e.to]
		switch {
		case to.down && !from.down:
			from.down = true
		case (from.down || from.up) && !to.down && !to.up:
			to.up = true
		default:
			return false
		}
		return true
	})
	spread(func(e edge) bool {
		if all[e.from].restricted() || !all[e.to].restricted() {
			return false
		}
		all[e.from].filter = true
		return true
	})
	return all
}

// edges returns the references of a plan between its tables. Those that need not hold
// are followed as well: a row that is wanted too many does no harm.
func (p *Plan) edges() (all []edge) {
	for _, r := range p.references {
		e := edge{from: p.find(r.table), to: p.find(r.to), columns: r.columns, targets: r.targetColumns, name: r.name}
		if e.from >= 0 && e.to >= 0 {
			all = append(all, e)
		}
	}
	return all
}

// start returns the conditions of the rows that a subset begins with, by table.
func (p *Plan) start() map[int]string {
	all := map[int]string{}
	for i, t := range p.tables {
		if t.where != "" {
			all[i] = t.where
		}
	}
	return all
}

func (p *Plan) hasSubset() bool { return len(p.start()) > 0 }

// checkSubset takes over Config.Subset, and says which tables it restricts.
func (p *planner) checkSubset(ctx context.Context, tx pgx.Tx) error {
	for _, text := range slices.Sorted(maps.Keys(p.cfg.Subset)) {
		name, ok := canonicalName(text)
		i := -1
		if ok {
			i = p.plan.find(name)
		}
		if i < 0 {
			p.add(&Finding{Kind: Unused, Table: text, Reason: "Config.Subset has it, and no such table is copied"})
			continue
		}
		t := p.plan.tables[i]
		t.where = p.cfg.Subset[text]
		if strings.TrimSpace(t.where) == "" {
			p.add(&Finding{Kind: Subset, Table: t.title(), Reason: "the condition is empty", Suggestion: `write "true" for all rows`})
			continue
		}
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "explain "+startSQL(t), pgx.QueryExecModeDescribeExec)
			return err
		})
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			p.add(&Finding{Kind: Subset, Table: t.title(), Reason: "PostgreSQL does not take its condition: " + e.Message + " (SQLSTATE " + e.Code + ")"})
		} else if err != nil {
			return err
		}
	}
	if p.plan.hasSubset() {
		if p.noTrial != "" {
			p.add(&Finding{Kind: Rights, Reason: "a subset needs a temporary table: " + p.noTrial})
		}
		for i, r := range reachOf(len(p.plan.tables), p.plan.start(), p.plan.edges()) {
			p.plan.tables[i].restricted = r.restricted()
		}
	}
	return nil
}

// startSQL chooses the rows that a table begins with. A comment in the condition ends with
// its line.
func startSQL(t *table) string {
	return fmt.Sprintf("select t.tableoid, t.ctid from %s t where (%s\n)", t.ident(), t.where)
}

// chooseSubset computes the closure, and divides the tables that it restricts into small
// chunks: their rows are named one by one.
func (j *job) chooseSubset(ctx context.Context) error {
	if !j.plan.hasSubset() {
		return nil
	}
	c := &closure{conn: j.holder, tables: j.plan.tables, start: j.plan.start(), edges: j.plan.edges()}
	for i := range c.edges {
		if err := c.edges[i].findOperators(ctx, c.conn, c.tables[c.edges[i].from]); err != nil {
			return err
		}
	}
	if err := c.compute(ctx); err != nil {
		return err
	}
	for i, t := range j.plan.tables {
		if t.restricted {
			for k := range j.header.Tables[i].Storage {
				j.header.Tables[i].Storage[k].Step = stepLimits[0]
			}
		}
	}
	return nil
}

// rowsOf returns the rows of a chunk that are in the subset as a literal, or "" if they all
// are.
func (j *job) rowsOf(ctx context.Context, c *chunk) (string, error) {
	if !j.plan.tables[c.table].restricted {
		return "", nil
	}
	j.holding.Lock()
	defer j.holding.Unlock()
	list, err := tids(ctx, j.holder, c.storage.Name, c.from, c.to)
	return literal(list), err
}

// subsetDigest is for lists of rows, and "" for none.
func subsetDigest(list string) string {
	if list == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(list))
	return hex.EncodeToString(sum[:])
}

const subsetTable = "pg_temp.pgxmask_subset"

// makeSubset makes the table of the closure, before the transaction, which may not.
func makeSubset(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "create temporary table "+subsetTable+" (rel oid, tid tid, down boolean not null, step integer not null, primary key (rel, tid))")
	return failed("make a temporary table for the subset", err)
}

// closure fills the table of the closure in the transaction of the snapshot.
type closure struct {
	conn   *pgx.Conn
	tables []*table
	start  map[int]string
	edges  []edge
	reach  []reach
	step   int
}

func (c *closure) compute(ctx context.Context) error {
	c.reach = reachOf(len(c.tables), c.start, c.edges)
	for t, where := range c.start {
		if _, err := c.insert(ctx, t, "true", fmt.Sprintf("from %s t where (%s\n)", c.tables[t].ident(), where)); err != nil {
			return err
		}
	}
	for found := int64(1); found > 0; {
		if err := c.next(ctx); err != nil {
			return err
		}
		found = 0
		for _, e := range c.edges {
			n, err := c.follow(ctx, e)
			if err != nil {
				return err
			}
			found += n
		}
	}
	for found := int64(1); found > 0; {
		if err := c.next(ctx); err != nil {
			return err
		}
		found = 0
		for t := range c.tables {
			if !c.reach[t].filter {
				continue
			}
			n, err := c.filter(ctx, t)
			if err != nil {
				return err
			}
			found += n
		}
	}
	return nil
}

// next begins another step, for which the planner knows how many rows there are.
func (c *closure) next(ctx context.Context) error {
	c.step++
	_, err := c.conn.Exec(ctx, "analyze "+subsetTable)
	return failed("analyze the subset", err)
}

// insert adds rows t of a table. One that was reached by going up, and now by going
// down, takes along what refers to it from now on.
func (c *closure) insert(ctx context.Context, t int, down, from string) (int64, error) {
	sql := fmt.Sprintf(`insert into %[1]s as s select distinct t.tableoid, t.ctid, %[2]s, %[3]d %[4]s
		on conflict (rel, tid) do update set down = true, step = excluded.step where excluded.down and not s.down`, subsetTable, down, c.step, from)
	tag, err := c.conn.Exec(ctx, sql)
	if err != nil {
		return 0, failed("choose rows of "+c.tables[t].String(), err)
	}
	return tag.RowsAffected(), nil
}

// follow follows a reference from the rows of the last step, down and up.
func (c *closure) follow(ctx context.Context, e edge) (found int64, err error) {
	from, to := c.tables[e.from].ident(), c.tables[e.to].ident()
	if c.reach[e.to].down {
		found, err = c.insert(ctx, e.from, "true", fmt.Sprintf("from %s r join %s o on r.rel = o.tableoid and r.tid = o.ctid join %s t on %s where r.step = %d and r.down",
			subsetTable, to, from, e.on("o", "t"), c.step-1))
		if err != nil {
			return 0, err
		}
	}
	n, err := c.insert(ctx, e.to, "false", fmt.Sprintf("from %s r join %s o on r.rel = o.tableoid and r.tid = o.ctid join %s t on %s where r.step = %d",
		subsetTable, from, to, e.on("t", "o"), c.step-1))
	return found + n, err
}

// on is the condition under which a row refers to a target.
func (e *edge) on(target, row string) string {
	terms := make([]string, len(e.columns))
	for i := range e.columns {
		terms[i] = fmt.Sprintf("%s.%s %s %s.%s", target, ident(e.targets[i]), e.operators[i], row, ident(e.columns[i]))
	}
	return strings.Join(terms, " and ")
}

// filter adds the rows of a table of which all targets are in, as far as the tables of
// these are restricted.
func (c *closure) filter(ctx context.Context, t int) (int64, error) {
	conditions := []string{fmt.Sprintf("not exists (select from %s r where r.rel = t.tableoid and r.tid = t.ctid)", subsetTable)}
	for _, e := range c.edges {
		if e.from != t || !c.reach[e.to].restricted() {
			continue
		}
		alternatives := []string{fmt.Sprintf("exists (select from %s o join %s r on r.rel = o.tableoid and r.tid = o.ctid where %s)", c.tables[e.to].ident(), subsetTable, e.on("o", "t"))}
		if e.to == t {
			alternatives = append(alternatives, e.on("t", "t")) // it refers to itself
		}
		for _, column := range e.columns {
			alternatives = append(alternatives, "t."+ident(column)+" is null")
		}
		conditions = append(conditions, "("+strings.Join(alternatives, " or ")+")")
	}
	return c.insert(ctx, t, "false", fmt.Sprintf("from %s t where %s", c.tables[t].ident(), strings.Join(conditions, " and ")))
}

// operators finds those by which a foreign key compares. One that is not in the
// catalogue compares by that of pg_catalog.
func (e *edge) findOperators(ctx context.Context, conn *pgx.Conn, t *table) error {
	e.operators = make([]string, len(e.columns))
	for i := range e.operators {
		e.operators[i] = "operator(pg_catalog.=)"
	}
	if e.name == "" {
		return nil
	}
	rows, err := conn.Query(ctx, `
		select 'operator(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
		from pg_constraint c cross join unnest(c.conpfeqop) with ordinality u (op, i)
		join pg_operator o on o.oid = u.op join pg_namespace n on n.oid = o.oprnamespace
		where c.conrelid = $1::regclass and c.conname = $2 and c.contype = 'f' order by u.i`, t.ident(), e.name)
	if err != nil {
		return failed("read the foreign keys of "+t.String(), err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return failed("read the foreign keys of "+t.String(), err)
	}
	if len(found) == len(e.operators) {
		e.operators = found
	}
	return nil
}

// tids returns the rows of a relation's pages that are in the subset, as a literal.
func tids(ctx context.Context, conn *pgx.Conn, relation string, from, to int64) (string, error) {
	var list string
	err := conn.QueryRow(ctx, fmt.Sprintf(`
		select coalesce(array_agg(tid order by tid), '{}')::text from %s
		where rel = $1::regclass and tid >= format('(%%s,0)', $2::bigint)::tid and ($3 = 0 or tid < format('(%%s,0)', $3::bigint)::tid)`, subsetTable), relation, from, to).Scan(&list)
	return list, failed("read the subset", err)
}

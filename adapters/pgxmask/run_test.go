package pgxmask

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

// customers is a table of 10 columns, 6 of them masked, as the figures are for.
const customers = `create table customers (
	id bigint primary key, email text not null unique, phone text not null, given text not null, surname text not null,
	card text not null, born date not null, plan text not null, note text, created timestamptz not null)`

const customersPolicy = `"public.customers": {"subject": "id", "columns": {
	"id": {"keep": "a number"}, "email": "email,domain=customer.email", "phone": "phone,domain=customer.phone",
	"given": "given", "surname": "surname", "card": "pan,domain=card", "born": "date,fallback=error",
	"plan": {"keep": "four values"}, "note": {"keep": "made by the system"}, "created": {"keep": "when"}}}`

// fill makes customers from..to, whose notes need escapes now and then.
func fill(t testing.TB, conn *pgx.Conn, from, to int) {
	rows, w := io.Pipe()
	go func() {
		b := bufio.NewWriter(w)
		for i := from; i <= to; i++ {
			note := []string{`a\ttab, a \\ and\na line "quoted"`, `\N`, ``, `say, 'no'`}[min(i%10, 3)]
			fmt.Fprintf(b, "%d\tann.%d@mail%d.example.com\t+4930%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
				i, i, i%1000, 10000000+i,
				[]string{"Ann", "Bob", "Carla", "Dmitri", "Ève"}[i%5], []string{"Smith", "Müller", "O'Neil", "Ng", "García"}[i%7%5],
				luhn(fmt.Sprintf("4%014d", i*7919)), time.Unix(0, 0).UTC().AddDate(0, 0, -i%20000).Format(time.DateOnly),
				[]string{"free", "team", "pro", "old"}[i%4], note, time.Unix(1.7e9+int64(i), 0).UTC().Format(time.RFC3339))
		}
		b.Flush()
		w.Close()
	}()
	_, err := conn.PgConn().CopyFrom(t.Context(), rows, "copy customers from stdin")
	require.NoError(t, err)
}

// luhn appends the check digit.
func luhn(digits string) string {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return digits + strconv.Itoa((10-sum%10)%10)
}

func parsePolicy(tables string) (*mask.Policy, error) {
	return mask.ParsePolicy([]byte(`{"version": 1, "epoch": "test", "tables": {` + tables + "}}"))
}

// newCustomers returns a connection to a database with so many customers, and the plan.
func newCustomers(t testing.TB, rows int) (*pgx.Conn, *Plan) {
	conn := connect(t, customers)
	fill(t, conn, 1, rows)
	run(t, conn, "analyze")
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), customersPolicy)
	require.NoError(t, err)
	return conn, p
}

// small makes chunks of a few pages, so that small tables have many.
func small(t testing.TB) {
	old := stepLimits
	stepLimits = [2]int64{8, 8}
	t.Cleanup(func() { stepLimits = old })
}

// files returns the digests of all files with rows and schema, by name.
func files(t testing.TB, dir string) map[string]string {
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == manifestName || d.Name() == finishedName {
			return err
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		name, _ := filepath.Rel(dir, path)
		found[name] = hex.EncodeToString(sum[:])
		return err
	}))
	return found
}

// content returns the rows of a table of an output.
func content(t testing.TB, dir, table string, c Compression) []byte {
	names, err := filepath.Glob(filepath.Join(dir, "*-"+table, "*"))
	require.NoError(t, err)
	var all bytes.Buffer
	for _, name := range names {
		f, err := os.Open(name)
		require.NoError(t, err)
		r, err := c.reader(f)
		require.NoError(t, err)
		_, err = io.Copy(&all, r)
		require.NoError(t, err)
		r.Close()
		f.Close()
	}
	return all.Bytes()
}

// TestRun copies a table with 1 and 3 workers, and has PostgreSQL read the copy back:
// kept columns are the same in every row, and masked ones are what their rules say.
func TestRun(t *testing.T) {
	small(t)
	conn, p := newCustomers(t, 5000)
	one, three := t.TempDir(), t.TempDir()
	r, err := p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: one, Workers: 1})
	require.NoError(t, err)
	require.Equal(t, int64(5000), r.Rows)
	r3, err := p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: three, Workers: 3})
	require.NoError(t, err)
	require.Equal(t, r.Digest, r3.Digest)
	require.Equal(t, files(t, one), files(t, three))
	require.Greater(t, len(files(t, one)), 10, "many chunks")

	run(t, conn, "create table copy (like customers)")
	_, err = conn.PgConn().CopyFrom(t.Context(), bytes.NewReader(content(t, one, "public.customers", None)), "copy copy from stdin")
	require.NoError(t, err)
	var same, masked int
	require.NoError(t, conn.QueryRow(t.Context(), `select
		count(*) filter (where a.plan = b.plan and a.note is not distinct from b.note and a.created = b.created),
		count(*) filter (where a.email <> b.email and a.phone <> b.phone and a.card <> b.card and a.born <> b.born)
		from customers a join copy b using (id)`).Scan(&same, &masked))
	require.Equal(t, 5000, same)
	require.Equal(t, 5000, masked)
	rows, err := conn.Query(t.Context(), "select a.email, b.email, a.card, b.card from customers a join copy b using (id) limit 100")
	require.NoError(t, err)
	for rows.Next() {
		var email, maskedEmail, card, maskedCard string
		require.NoError(t, rows.Scan(&email, &maskedEmail, &card, &maskedCard))
		require.Equal(t, apply(t, p, "email", email), maskedEmail)
		require.Equal(t, apply(t, p, "card", card), maskedCard)
	}
	require.NoError(t, rows.Err())
}

func apply(t testing.TB, p *Plan, column, value string) string {
	rule, _, ok := p.tables[0].masks.Rule(column)
	require.True(t, ok)
	out, err := rule.Append(nil, []byte(value), nil)
	require.NoError(t, err)
	return string(out)
}

func TestRunRefuses(t *testing.T) {
	conn, p := newCustomers(t, 10)
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		config RunConfig
		text   string
	}{
		{"no source", RunConfig{Dir: dir}, "Source is missing"},
		{"no output", RunConfig{Source: conn.Config()}, "one of Dir and Target"},
		{"two outputs", RunConfig{Source: conn.Config(), Dir: dir, Target: conn.Config()}, "one of Dir and Target"},
		{"format", RunConfig{Source: conn.Config(), Dir: dir, Format: "parquet"}, `unknown format "parquet"`},
		{"compression", RunConfig{Source: conn.Config(), Dir: dir, Compression: "lzma"}, `unknown compression "lzma"`},
		{"workers", RunConfig{Source: conn.Config(), Dir: dir, Workers: -1}, "negative"},
		{"target has no files", RunConfig{Source: conn.Config(), Target: conn.Config(), Format: CSV}, "are of files"},
	} {
		_, err := p.Run(t.Context(), c.config)
		require.ErrorContains(t, err, c.text, c.name)
	}
	_, err := p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
	require.ErrorIs(t, err, ErrExists)
	_, err = p.Resume(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
	require.ErrorIs(t, err, ErrExists)

	run(t, conn, "alter table customers add column secret text")
	other := t.TempDir()
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: other})
	require.ErrorIs(t, err, ErrSchema)
	require.ErrorContains(t, err, "public.customers.secret")
	require.Empty(t, files(t, other))
}

// TestChanged alters, between plan and run, what the plan was about. What it is not about
// does no harm.
func TestChanged(t *testing.T) {
	for _, c := range []struct{ change, text string }{
		{"create table new (a int)", "public.new is not in the plan"},
		{"create schema s create table new (a int)", "s.new is not in the plan"},
		{"create view new as select 1 as a", "public.new is not in the plan"},
		{"alter table a add unique (e)", "public.a (a_e_key) is not in the plan"},
		{"alter table a add check (e > 'z')", "public.a (a_e_check) is not in the plan"},
		{"alter table a alter e set not null", "public.a.e is otherwise than in the plan"},
		{"alter table a add g text generated always as (upper(e)) stored", "public.a.g is not in the plan"},
		{"alter domain called add check (value > 'z')", "public.a.n is otherwise than in the plan"},
		{"alter domain called set not null", "public.a.n is otherwise than in the plan"},
		{"alter table a add foreign key (k) references k", "public.a (a_k_fkey) is not in the plan"},
		{"alter table k add foreign key (k) references k", "public.k (k_k_fkey) is not in the plan"},
		{"create table c () inherits (a)", "public.a is otherwise than in the plan"},
		{"create table c () inherits (k); drop table a; alter table c rename to a", "public.a is otherwise than in the plan"},
		{"alter table p attach partition q default", "public.q is in the plan, and gone"},
		{"alter table p detach partition p1", "public.p1 is not in the plan"},
		{"select lo_create(0)", "a large object is not in the plan"},
		{"create table p2 partition of p for values in (2)", ""},
		{"create index on a (e); comment on table a is 'many'; alter table a alter n set default 'Ann'", ""},
		{"alter table left_out add a int unique", ""},
	} {
		t.Run(c.change, func(t *testing.T) {
			conn := connect(t, "create domain called as text", "create table k (k int primary key)", "create table a (k int, e text, n called)",
				"create table p (k int) partition by list (k)", "create table p1 partition of p for values in (1)", "create table q (k int)", "create table left_out ()")
			const keep = `"k": {"keep": "a number"}`
			p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.a": {"columns": {`+keep+`, "e": "email", "n": "given"}}, "public.k": {"columns": {`+keep+`}},
				"public.p": {"columns": {`+keep+`}}, "public.q": {"columns": {`+keep+`}}, "public.left_out": {"skip": "empty"}`)
			require.NoError(t, err)
			run(t, conn, c.change)
			dir := t.TempDir()
			_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
			if c.text == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrSchema)
			require.ErrorContains(t, err, c.text)
			require.Empty(t, files(t, dir))
		})
	}
}

// TestRewritten begins while a table is being rewritten: to a snapshot from before, it would
// be empty.
func TestRewritten(t *testing.T) {
	conn, p := newCustomers(t, 100)
	other, err := pgx.ConnectConfig(t.Context(), conn.Config())
	require.NoError(t, err)
	t.Cleanup(func() { other.Close(context.Background()) })
	run(t, other, "begin", "alter table customers alter born type date using born + 1")
	ran := make(chan error, 1)
	var r *Result
	go func() {
		var err error
		r, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
		ran <- err
	}()
	for waiting := false; !waiting && len(ran) == 0; {
		require.NoError(t, conn.QueryRow(t.Context(), "select exists(select from pg_locks where relation = 'customers'::regclass and not granted)").Scan(&waiting))
	}
	run(t, other, "commit")
	require.NoError(t, <-ran)
	require.Equal(t, int64(100), r.Rows)
}

// TestPadded has values of char(n), which COPY sends with the spaces that fill them up and
// that mean nothing.
func TestPadded(t *testing.T) {
	conn := connect(t, `create domain addr as char(60)`, `create table t (id int, e char(60) unique, d addr, n char(8))`,
		`insert into t select n, 'ann' || n || '@example.com', 'bob' || n || '@example.com', case when n % 2 = 0 then '' end from generate_series(100, 200) n`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"e": "email,fallback=error", "d": "email,fallback=error", "n": "shape"`))
	require.NoError(t, err)
	require.Empty(t, p.Warnings())
	dir := t.TempDir()
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	_, err = p.Verify(t.Context(), RunConfig{Source: conn.Config(), Dir: dir})
	require.NoError(t, err)
	line, _, _ := bytes.Cut(content(t, dir, "public.t", None), []byte("\n"))
	require.Equal(t, "100\t"+apply(t, p, "e", "ann100@example.com")+"\t"+apply(t, p, "d", "bob100@example.com")+"\t", string(line))
	copied := connect(t)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Target: copied.Config()})
	require.NoError(t, err)
}

package pgxmask

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// interrupt makes a finished output one that lacks its marker and all but the first
// chunks, and ends within a line.
func interrupt(t *testing.T, dir string, chunks int) {
	require.NoError(t, os.Remove(filepath.Join(dir, finishedName)))
	name := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	lines := bytes.SplitAfter(data, []byte("\n"))
	require.Greater(t, len(lines), 3+chunks)
	cut := append(bytes.Join(lines[:2+chunks], nil), lines[2+chunks][:10]...)
	require.NoError(t, os.WriteFile(name, cut, 0o600))
}

// TestResumeChanged changes the source between Run and Resume: the output is that of a Run
// afterwards, and of the chunks those are kept where nothing changed.
func TestResumeChanged(t *testing.T) {
	const rows = 2500
	small(t)
	conn := connect(t)
	for _, c := range []struct {
		name   string
		change []string
		kept   string // all, some, none
	}{
		{"nothing", nil, "all"},
		{"vacuum", []string{"vacuum (freeze) customers"}, "all"},
		{"read and locked", []string{"select * from customers for update"}, "all"},
		{"update", []string{"update customers set note = 'new' where id = 7"}, "some"},
		{"update at the end", []string{"update customers set note = 'new' where id = 2500"}, "all"},
		{"update in place", []string{"delete from customers where id = 8", "vacuum customers", "update customers set note = 'new' where id = 7"}, "some"},
		{"delete", []string{"delete from customers where id = 7"}, "some"},
		{"delete one, insert one", []string{"delete from customers where id = 7", "vacuum customers",
			"insert into customers select 7, 'x@y.z', phone, given, surname, card, born, plan, note, created from customers where id = 8"}, "some"},
		{"rolled back", []string{"begin", "delete from customers", "rollback"}, "all"},
		{"insert", []string{"insert into customers select -id, 'x' || email, phone, given, surname, card, born, plan, note, created from customers"}, "all"},
		{"rewritten", []string{"vacuum full customers"}, "none"},
		{"truncated", []string{"create temp table t as table customers", "truncate customers", "insert into customers table t", "drop table t"}, "none"},
		{"sorted", []string{"cluster customers using customers_email_key"}, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, conn, "drop table if exists customers", customers)
			fill(t, conn, 1, rows)
			p, err := newPlan(t, conn, keyringtest.NewKeyring(t), customersPolicy)
			require.NoError(t, err)
			config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Workers: 1}
			_, err = p.Run(t.Context(), config)
			require.NoError(t, err)
			const chunks = 4
			interrupt(t, config.Dir, chunks)
			run(t, conn, c.change...)

			// A Resume that ends at once must not make the next one forget.
			j := newJob(p, config)
			require.NoError(t, j.config.check())
			j.holder, err = dial(t.Context(), config.Source)
			require.NoError(t, err)
			require.NoError(t, j.export(t.Context()))
			j.sink = newFolder(j)
			require.NoError(t, j.load(t.Context()))
			j.sink.close()
			disconnect(j.holder)

			r, err := p.Resume(t.Context(), config)
			require.NoError(t, err)
			switch c.kept {
			case "all":
				require.Equal(t, chunks, r.Kept)
			case "some":
				require.Equal(t, chunks-1, r.Kept)
			case "none":
				require.Zero(t, r.Kept)
			}
			afresh := config
			afresh.Dir = t.TempDir()
			want, err := p.Run(t.Context(), afresh)
			require.NoError(t, err)
			require.Equal(t, want.Rows, r.Rows)
			require.Equal(t, content(t, afresh.Dir, "public.customers", None), content(t, config.Dir, "public.customers", None))
		})
	}
}

// TestResumeText changes the text of rows that stay as they are.
func TestResumeText(t *testing.T) {
	small(t)
	for _, change := range []string{
		"alter table a drop column z, add column z text default 'new'",
		"alter type mood rename value 'sad' to 'low'",
		"alter function f rename to g",
	} {
		t.Run(change, func(t *testing.T) {
			conn := connect(t, "create type mood as enum ('sad', 'merry')", "create function f() returns int language sql as 'select 1'", "create table a (e text, m mood, f regproc[], z text)",
				"insert into a select 'ann.' || i || '@example.com', 'sad', '{f}', repeat('z', 200) from generate_series(1, 1000) i")
			p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.a": {"columns": {
				"e": "email", "m": {"keep": "a mood"}, "f": {"keep": "a name"}, "z": {"keep": "of no use"}}}`)
			require.NoError(t, err)
			config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Workers: 1}
			_, err = p.Run(t.Context(), config)
			require.NoError(t, err)
			interrupt(t, config.Dir, 2)
			run(t, conn, change)
			r, err := p.Resume(t.Context(), config)
			require.NoError(t, err)
			require.Zero(t, r.Kept)
			afresh := config
			afresh.Dir = t.TempDir()
			_, err = p.Run(t.Context(), afresh)
			require.NoError(t, err)
			require.Equal(t, content(t, afresh.Dir, "public.a", None), content(t, config.Dir, "public.a", None))
		})
	}
}

// TestResumeElsewhere goes on from a source with the same tables that is another
// cluster, where the numbers of transactions say nothing.
func TestResumeElsewhere(t *testing.T) {
	small(t)
	conn, p := newCustomers(t, 2500)
	config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Workers: 1}
	_, err := p.Run(t.Context(), config)
	require.NoError(t, err)
	interrupt(t, config.Dir, 4)
	name := filepath.Join(config.Dir, manifestName)
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	var cluster string
	require.NoError(t, conn.QueryRow(t.Context(), "select system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || (select oid from pg_database where datname = current_database()) from pg_control_system()").Scan(&cluster))
	require.Contains(t, string(data), `"`+cluster+`"`)
	require.NoError(t, os.WriteFile(name, bytes.ReplaceAll(data, []byte(cluster), []byte("1/00000001")), 0o600))
	r, err := p.Resume(t.Context(), config)
	require.NoError(t, err)
	require.Zero(t, r.Kept)
}

// TestResumeAnew goes on from a database that was made anew from its template: its rows are
// of the same transactions, in files with the same numbers, and not the same.
func TestResumeAnew(t *testing.T) {
	small(t)
	template := connect(t, "create table a (e text, z text) with (fillfactor = 50)", "insert into a select i || '@example.com', repeat('z', 200) from generate_series(1, 1000) i")
	root := connect(t)
	config := RunConfig{Source: template.Config().Copy(), Workers: 1, Dir: t.TempDir()}
	require.NoError(t, template.Close(t.Context()))
	name := "anew_" + config.Source.Database
	anew := func() *pgx.Conn {
		run(t, root, "create database "+ident(name)+" template "+ident(config.Source.Database))
		c := config.Source.Copy()
		c.Database = name
		conn, err := pgx.ConnectConfig(t.Context(), c)
		require.NoError(t, err)
		return conn
	}
	conn := anew()
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.a": {"columns": {"e": "email", "z": {"keep": "of no use"}}}`)
	require.NoError(t, err)
	run(t, conn, "update a set z = 'changed' where ctid = '(0,1)'")
	source := config
	source.Source = conn.Config()
	_, err = p.Run(t.Context(), source)
	require.NoError(t, err)
	interrupt(t, source.Dir, 2)
	require.NoError(t, conn.Close(t.Context()))
	run(t, root, "drop database "+ident(name))
	conn = anew()
	r, err := p.Resume(t.Context(), source)
	require.NoError(t, err)
	require.Zero(t, r.Kept)
	require.NotContains(t, string(content(t, source.Dir, "public.a", None)), "changed")
	require.NoError(t, conn.Close(t.Context()))
	run(t, root, "drop database "+ident(name))
}

// TestResumeRefuses has what Resume can not go on with.
func TestResumeRefuses(t *testing.T) {
	small(t)
	conn, p := newCustomers(t, 5000)
	config := RunConfig{Source: conn.Config(), Dir: t.TempDir()}
	_, err := p.Run(t.Context(), config)
	require.NoError(t, err)
	interrupt(t, config.Dir, 3)

	other, err := newPlan(t, conn, keyringtest.NewKeyring(t), customersPolicy)
	require.NoError(t, err)
	_, err = other.Resume(t.Context(), config)
	require.ErrorIs(t, err, ErrPlan, "other keys")
	changed := config
	changed.Format = CSV
	_, err = p.Resume(t.Context(), changed)
	require.ErrorIs(t, err, ErrPlan, "another format")

	j := newJob(p, config)
	f := newFolder(j)
	_, err = f.load(t.Context())
	require.NoError(t, err)
	_, err = p.Resume(t.Context(), config)
	require.ErrorIs(t, err, ErrInUse)
	f.close()

	files, err := filepath.Glob(filepath.Join(config.Dir, "*", "*"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], []byte("1\tdamaged\n"), 0o600))
	r, err := p.Resume(t.Context(), config)
	require.NoError(t, err)
	require.Equal(t, 2, r.Kept, "a damaged file is copied again")

	for _, step := range []string{"0", "-1", "1"} {
		interrupt(t, config.Dir, 3)
		name := filepath.Join(config.Dir, manifestName)
		manifest, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(manifest), `"step":8`)
		require.NoError(t, os.WriteFile(name, bytes.ReplaceAll(manifest, []byte(`"step":8`), []byte(`"step":`+step)), 0o600))
		_, err = p.Resume(t.Context(), config)
		require.ErrorIs(t, err, ErrDamaged, "chunks without end")
		require.NoError(t, os.WriteFile(name, manifest, 0o600))
		_, err = p.Resume(t.Context(), config)
		require.NoError(t, err)
	}

	interrupt(t, config.Dir, 3)
	run(t, conn, "alter table customers add column secret text")
	_, err = p.Resume(t.Context(), config)
	require.ErrorIs(t, err, ErrSchema)
}

// TestKillTarget kills processes that copy into a database.
func TestKillTarget(t *testing.T) {
	f := newFixture(t, pgtest.Database(t), 5_000)
	const rows = "select count(*) || md5(string_agg(c::text, '' order by id)) from customers c"
	var whole string
	resumed := 0
	for _, lines := range []int{0, 1, 3, 9, -1} { // of the manifest, before the kill; -1: it is not killed
		target := pgtest.Database(t)
		cmd := f.child("", "PGXMASK_TARGET="+target)
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		conn, err := pgx.Connect(t.Context(), target)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close(context.Background()) })
		count := func() (n int) {
			if conn.QueryRow(t.Context(), "select count(*) from pgxmask.manifest").Scan(&n) != nil {
				return 0
			}
			return n
		}
		for alive := true; alive && (lines < 0 || count() < lines); {
			select {
			case <-ended:
				alive = false
			case <-time.After(5 * time.Millisecond):
			}
		}
		cmd.Process.Kill()
		<-ended
		require.Eventually(t, func() bool { // what the server does for a dead client comes to its end
			const others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
			var n int
			return conn.QueryRow(t.Context(), others).Scan(&n) == nil && n == 0
		}, time.Minute, 5*time.Millisecond)
		config := RunConfig{Source: f.conn.Config(), Target: conn.Config()}
		if count() == 0 {
			_, err = f.plan.Run(t.Context(), config)
		} else if _, verify := f.plan.Verify(t.Context(), config); verify != nil {
			require.ErrorIs(t, verify, ErrUnfinished)
			resumed++
			_, err = f.plan.Resume(t.Context(), config)
		}
		require.NoError(t, err)
		var got string
		require.NoError(t, conn.QueryRow(t.Context(), rows).Scan(&got))
		if whole == "" {
			whole = got
		}
		require.Equal(t, whole, got)
		_, err = f.plan.Verify(t.Context(), config)
		require.NoError(t, err)
		_, err = f.plan.Resume(t.Context(), config)
		require.ErrorIs(t, err, ErrExists)
	}
	require.NotZero(t, resumed)
}

// TestCommitInFlight has what a process which was killed had sent be committed while another
// one resumes: the chunk is there once, whoever comes first.
func TestCommitInFlight(t *testing.T) {
	source := connect(t, "create table a (e text)", "insert into a select i || '@example.com' from generate_series(1, 10) i")
	p, err := newPlan(t, source, keyringtest.NewKeyring(t), `"public.a": {"columns": {"e": "email"}}`)
	require.NoError(t, err)
	copied := connect(t, "create table a (e text)")
	config := RunConfig{Source: source.Config(), Target: copied.Config(), SkipVerify: true}
	_, err = p.Run(t.Context(), config)
	require.NoError(t, err)

	// It had all but the commit of its only chunk.
	dying, err := pgx.ConnectConfig(t.Context(), copied.Config())
	require.NoError(t, err)
	t.Cleanup(func() { dying.Close(context.Background()) })
	run(t, copied, "create temporary table kept as select * from pgxmask.manifest", "create table rows as table a", "delete from a", "delete from pgxmask.manifest where line ~ 'chunk|finished'")
	run(t, dying, "begin", "insert into a table rows")
	var line string
	require.NoError(t, copied.QueryRow(t.Context(), "select line from kept where line ~ 'chunk'").Scan(&line))
	_, err = dying.Exec(t.Context(), "insert into pgxmask.manifest (line) values ($1)", line)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { _, err := p.Resume(t.Context(), config); ended <- err }()
	for waits := false; !waits && len(ended) == 0; {
		require.NoError(t, copied.QueryRow(t.Context(), "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')").Scan(&waits))
	}
	run(t, dying, "commit")
	require.ErrorContains(t, <-ended, "23505")
	_, err = p.Resume(t.Context(), config)
	require.NoError(t, err)
	var n int
	require.NoError(t, copied.QueryRow(t.Context(), "select count(*) from a").Scan(&n))
	require.Equal(t, 10, n)
}

// forge changes the rows of an output that is finished, and its manifest and marker with
// them.
func forge(t *testing.T, p *Plan, dir, pattern string, change func([]byte) []byte) {
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	require.NoError(t, err)
	s, err := parseManifest(data)
	require.NoError(t, err)
	changed := false
	for _, d := range s.chunks {
		name := filepath.Join(dir, filepath.FromSlash(d.File))
		if ok, _ := filepath.Match(pattern, d.File); ok {
			rows, err := os.ReadFile(name)
			require.NoError(t, err)
			forged := change(bytes.Clone(rows))
			changed = changed || !bytes.Equal(rows, forged)
			require.NoError(t, os.WriteFile(name, forged, 0o600))
			d.Rows = int64(bytes.Count(forged, []byte("\n")))
		}
		d.Bytes, d.SHA256, err = fileDigest(name)
		require.NoError(t, err)
	}
	require.True(t, changed)
	var lines []byte
	add := func(l *line) {
		data, err := encodeLine(l)
		require.NoError(t, err)
		lines = append(lines, data...)
	}
	add(&line{Header: s.header})
	add(&line{Snapshot: s.snapshots[0]})
	var list []*done
	for i := range s.header.Tables {
		for n := 0; s.chunks[chunkKey{i, n}] != nil; n++ {
			add(&line{Chunk: s.chunks[chunkKey{i, n}]})
			list = append(list, s.chunks[chunkKey{i, n}])
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, manifestName), lines, 0o600))
	m, err := readFinished(dir)
	require.NoError(t, err)
	m.Digest = digest(s.header, list, nil)
	data, err = json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, finishedName), data, 0o600))
}

// TestForged gives Verify outputs with right digests and wrong rows.
func TestForged(t *testing.T) {
	small(t)
	conn := connect(t,
		"create table accounts (email text primary key, phone text not null, note text)",
		"create table logins (email text not null references accounts, at int not null)",
		"insert into accounts select 'user' || i || '@example.com', '+4930' || 10000000 + i, 'n' from generate_series(1, 2000) i",
		"insert into logins select email, 1 from accounts", "analyze")
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `
		"public.accounts": {"columns": {"email": "email", "phone": "phone", "note": {"keep": "short"}}},
		"public.logins": {"columns": {"email": "email", "at": {"keep": "a number"}}}`)
	require.NoError(t, err)
	for _, c := range []struct {
		name, files string
		change      func([]byte) []byte
		want        []Kind
	}{
		{"nothing", "*accounts/*", nil, nil},
		{"masked values of another rule", "*accounts/*", func(rows []byte) []byte {
			return bytes.ReplaceAll(rows, []byte("\t+49"), []byte("\t+48"))
		}, []Kind{Remask}},
		{"an original", "*accounts/*", func(rows []byte) []byte {
			return bytes.Replace(rows, []byte("\tn\n"), []byte("\tuser77@example.com\n"), 1)
		}, []Kind{Leak}},
		{"an original in its own column", "*logins/*", func(rows []byte) []byte {
			lines := bytes.SplitAfter(rows, []byte("\n"))
			lines[1] = []byte("user2@example.com\t1\n")
			return bytes.Join(lines, nil)
		}, []Kind{ForeignKey, Leak}},
		{"a kept value", "*accounts/*", func(rows []byte) []byte {
			return bytes.Replace(rows, []byte("\tn\n"), []byte("\tm\n"), 1)
		}, []Kind{Remask}},
		{"a row less", "*accounts/*", func(rows []byte) []byte {
			_, rest, _ := bytes.Cut(rows, []byte("\n"))
			return rest
		}, []Kind{ForeignKey}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Workers: 1}
			_, err := p.Run(t.Context(), config)
			require.NoError(t, err)
			if c.change != nil {
				forge(t, p, config.Dir, c.files, c.change)
			}
			r, err := p.Verify(t.Context(), config)
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, 1, r.Verification.References)
				return
			}
			require.ErrorIs(t, err, ErrVerify)
			kinds := map[Kind]bool{}
			for _, f := range r.Verification.Findings {
				kinds[f.Kind] = true
				require.NotContains(t, f.Error(), "@")
			}
			for _, k := range c.want {
				require.True(t, kinds[k], "%s in %v", k, err)
			}
		})
	}
}

// TestDistinctCounts counts exactly while it can, and notices what comes with two others.
func TestDistinctCounts(t *testing.T) {
	mix := func(i uint64) uint64 { return (i + 1) * 0x9e3779b97f4a7c15 * 31 }
	a, b := newDistinct(), newDistinct()
	for i := range uint64(5000) {
		a.add(mix(i), i)
		b.add(mix(i+2500), i+2500)
	}
	a.merge(b)
	require.Equal(t, 7500.0, a.count())
	require.Zero(t, a.conflicts)
	a.add(mix(3), 4)
	require.Equal(t, int64(1), a.conflicts)
	for i := range uint64(200_000) {
		a.add(mix(i), i)
	}
	require.InEpsilon(t, 200_000.0, a.count(), 0.05)
	require.LessOrEqual(t, len(a.seen), maxDistinct)
}

// TestManifestOfAnother has somebody name another file in the manifest, which restore.sql
// would name as well, and psql give to a shell.
func TestManifestOfAnother(t *testing.T) {
	conn, p := newCustomers(t, 10)
	dir := t.TempDir()
	config := RunConfig{Source: conn.Config(), Dir: dir, Format: SQL, Compression: Gzip}
	_, err := p.Run(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, finishedName)))
	name := filepath.Join(dir, manifestName)
	manifest, err := os.ReadFile(name)
	require.NoError(t, err)
	table := filepath.Join(dir, "0001-public.customers")
	const file = "000001.copy.gz"
	require.NoError(t, os.Rename(filepath.Join(table, file), filepath.Join(table, "'; touch pwned; '")))
	require.NoError(t, os.WriteFile(name, bytes.ReplaceAll(manifest, []byte(file), []byte("'; touch pwned; '")), 0o600))
	_, err = p.Resume(t.Context(), config)
	require.ErrorIs(t, err, ErrDamaged)
}

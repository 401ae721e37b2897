package pgxfield_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// markedRow has a marker of each of 8 types, and one that is stored out of line.
type markedRow struct {
	ID    int64             `db:"id"`
	Text  string            `db:"text" seal:"encrypt,index=text_idx"`
	Int   int64             `db:"int" seal:"encrypt"`
	Num   pgtype.Numeric    `db:"num" seal:"encrypt"`
	UUID  [16]byte          `db:"uuid" seal:"encrypt"`
	Bytes []byte            `db:"bytes" seal:"encrypt"`
	JSON  map[string]string `db:"json" seal:"encrypt"`
	Time  time.Time         `db:"time" seal:"encrypt"`
	Texts []string          `db:"texts" seal:"encrypt"`
	Long  string            `db:"long" seal:"encrypt"`
}

// plainRow is the same without encryption: the control.
type plainRow struct {
	ID    int64             `db:"id"`
	Text  string            `db:"text"`
	Int   int64             `db:"int"`
	Num   pgtype.Numeric    `db:"num"`
	UUID  [16]byte          `db:"uuid"`
	Bytes []byte            `db:"bytes"`
	JSON  map[string]string `db:"json"`
	Time  time.Time         `db:"time"`
	Texts []string          `db:"texts"`
	Long  string            `db:"long"`
}

const (
	createMarked = `create table marked (id bigint primary key, text bytea, text_idx bytea, int bytea, num bytea, uuid bytea, bytes bytea, json bytea, time bytea, texts bytea, long bytea)`
	createPlain  = `create table plain (id bigint primary key, text text, int bigint, num numeric, uuid uuid, bytes bytea, json jsonb, time timestamptz, texts text[], long text)`
)

var markedTypes = []string{"text", "int", "num", "uuid", "bytes", "json", "time", "texts", "long"}

// markers are all forms of what must not be seen, and what they are of.
type markers struct {
	of    map[uint64][]needle // by their first 8 bytes
	known [1 << 16]bool       // first 2 bytes
}

type needle struct {
	bytes []byte
	what  string
}

// newRow returns a row of random values and notes their forms. Each value has at
// least 8 bytes of its own.
func (m *markers) newRow(t *testing.T, id int64, where string) plainRow {
	number := func() int64 {
		var b [8]byte
		rand.Read(b[:])
		return int64(binary.BigEndian.Uint64(b[:])>>2 | 1<<61)
	}
	text := func() string { return "marker " + rand.Text()[:16] }
	row := plainRow{ID: id, Text: text(), Int: number(), Bytes: []byte(rand.Text()[:20]), JSON: map[string]string{"k": text()},
		Time: time.Unix(2e9+number()%1e9, number()%1e6*1000).UTC().Truncate(time.Microsecond), Texts: []string{text(), text()}}
	rand.Read(row.UUID[:])
	rand.Read(row.Bytes[:10])
	row.Long = text() + strings.Repeat(rand.Text(), 200)
	require.NoError(t, row.Num.Scan(fmt.Sprintf("%d%d.%d", number(), number(), 1000+number()%9000)))

	types := pgtype.NewMap()
	encode := func(oid uint32, format int16, v any) []byte {
		b, err := types.Encode(oid, format, v, nil)
		require.NoError(t, err)
		return b
	}
	reversed := func(b []byte, n int) []byte { // numbers of n bytes, as x86 and ARM store them
		b = bytes.Clone(b)
		for i := 0; i+n <= len(b); i += n {
			for j := range n / 2 {
				b[i+j], b[i+n-1-j] = b[i+n-1-j], b[i+j]
			}
		}
		return b
	}
	both := func(oid uint32, n, skip int, v any) [][]byte {
		binary := encode(oid, pgtype.BinaryFormatCode, v)[skip:]
		return [][]byte{binary, reversed(binary, n), encode(oid, pgtype.TextFormatCode, v)}
	}
	for what, values := range map[string][][]byte{
		"text": {[]byte(row.Text)}, "long": {[]byte(row.Long[:23])}, "json": {[]byte(row.JSON["k"])}, "texts": {[]byte(row.Texts[0]), []byte(row.Texts[1])},
		"bytes": {row.Bytes}, "uuid": both(pgtype.UUIDOID, 1, 0, row.UUID),
		"int": both(pgtype.Int8OID, 8, 0, row.Int), "num": both(pgtype.NumericOID, 2, 8, row.Num), // without the numeric's head
		"time": append(both(pgtype.TimestamptzOID, 8, 0, row.Time), []byte(row.Time.Format("2006-01-02 15:04:05.999999"))),
	} {
		for _, v := range values {
			m.add(v, where+" "+what)
		}
	}
	return row
}

// add notes the forms of a value.
func (m *markers) add(value []byte, what string) {
	wide := make([]byte, 2*len(value)) // UTF-16, big and little endian
	for i, c := range value {
		wide[2*i+1] = c
	}
	forms := [][]byte{value, wide, append(wide[1:len(wide):len(wide)], 0), []byte(hex.EncodeToString(value)), []byte(strings.ToUpper(hex.EncodeToString(value)))}
	for skip := range 3 { // wherever it begins in what is encoded
		whole := value[skip : len(value)-(len(value)-skip)%3]
		forms = append(forms, []byte(base64.StdEncoding.EncodeToString(whole)), []byte(base64.URLEncoding.EncodeToString(whole)))
	}
	for _, form := range forms {
		first := binary.BigEndian.Uint64(form)
		m.of[first] = append(m.of[first], needle{form, what})
		m.known[first>>48] = true
	}
}

// in returns which values are found in b, in whatever form.
func (m *markers) in(b []byte) map[string]bool {
	found := map[string]bool{}
	for i := 0; i+8 <= len(b); i++ {
		if !m.known[binary.BigEndian.Uint16(b[i:])] {
			continue
		}
		for _, n := range m.of[binary.BigEndian.Uint64(b[i:])] {
			if bytes.HasPrefix(b[i:], n.bytes) {
				found[n.what] = true
			}
		}
	}
	return found
}

// markedTable is how one of the two tables is used.
type markedTable struct {
	name    string
	columns []string
	args    func(*plainRow) any
	read    func(pgx.Rows) ([]plainRow, error)
	copy    func(ctx context.Context, conn *pgx.Conn, row plainRow) error
}

func sealedMarkers(ctx context.Context, table *pgxfield.Table[markedRow]) markedTable {
	return markedTable{"marked", table.Columns(),
		func(row *plainRow) any { return table.Args((*markedRow)(row)) },
		func(rows pgx.Rows) ([]plainRow, error) {
			all, err := pgx.CollectRows(rows, table.Row(ctx))
			plain := make([]plainRow, len(all))
			for i, row := range all {
				plain[i] = plainRow(row)
			}
			return plain, err
		},
		func(ctx context.Context, conn *pgx.Conn, row plainRow) error {
			_, err := conn.CopyFrom(ctx, pgx.Identifier{"marked"}, table.Columns(), copySource(ctx, table, []markedRow{markedRow(row)}))
			return err
		}}
}

func plainMarkers() markedTable {
	columns := append([]string{"id"}, markedTypes...)
	named := func(row *plainRow) pgx.NamedArgs {
		named := pgx.NamedArgs{}
		for i, c := range columns {
			named[c] = reflect.ValueOf(*row).Field(i).Interface()
		}
		// Not every mode knows how to send these as they are.
		named["uuid"], named["json"] = pgtype.UUID{Bytes: row.UUID, Valid: true}, fmt.Sprintf(`{"k": %q}`, row.JSON["k"])
		return named
	}
	return markedTable{"plain", columns,
		func(row *plainRow) any { return named(row) },
		func(rows pgx.Rows) ([]plainRow, error) { return pgx.CollectRows(rows, pgx.RowToStructByName[plainRow]) },
		func(ctx context.Context, conn *pgx.Conn, row plainRow) error {
			values := make([]any, len(columns))
			for i, c := range columns {
				values[i] = named(&row)[c]
			}
			_, err := conn.CopyFrom(ctx, pgx.Identifier{"plain"}, columns, pgx.CopyFromRows([][]any{values}))
			return err
		}}
}

// markedWays are the ways to write a row. Add Table.CopyFrom here.
var markedWays = []struct {
	name  string
	write func(ctx context.Context, conn *pgx.Conn, table markedTable, row *plainRow) error
}{
	{"Exec", func(ctx context.Context, conn *pgx.Conn, table markedTable, row *plainRow) error {
		_, err := conn.Exec(ctx, insertSQL(table.name, table.columns), table.args(row))
		return err
	}},
	{"Query", func(ctx context.Context, conn *pgx.Conn, table markedTable, row *plainRow) error {
		rows, err := conn.Query(ctx, insertSQL(table.name, table.columns)+" returning *", table.args(row))
		if err != nil {
			return err
		}
		_, err = table.read(rows)
		return err
	}},
	{"Batch", func(ctx context.Context, conn *pgx.Conn, table markedTable, row *plainRow) error {
		var batch pgx.Batch
		batch.Queue(insertSQL(table.name, table.columns), table.args(row))
		return conn.SendBatch(ctx, &batch).Close()
	}},
	{"CopyFrom", func(ctx context.Context, conn *pgx.Conn, table markedTable, row *plainRow) error {
		return table.copy(ctx, conn, *row)
	}},
}

// logEverything are settings under which a server logs all that it can.
func logEverything(bin string) map[string]string {
	settings := map[string]string{"log_statement": "all", "log_min_duration_statement": "0", "log_duration": "on", "log_parameter_max_length": "-1",
		"log_parameter_max_length_on_error": "-1", "log_error_verbosity": "verbose", "log_min_error_statement": "debug5", "track_activity_query_size": "1MB"}
	libraries := func(name string) []string {
		found, _ := filepath.Glob(filepath.Join(bin, "..", "lib", name+".*"))
		inner, _ := filepath.Glob(filepath.Join(bin, "..", "lib", "postgresql*", name+".*"))
		return append(found, inner...)
	}
	if len(libraries("auto_explain")) > 0 {
		settings["session_preload_libraries"], settings["auto_explain.log_min_duration"], settings["auto_explain.log_verbose"] = "auto_explain", "0", "on"
	}
	if len(libraries("pg_stat_statements")) > 0 {
		settings["shared_preload_libraries"] = "pg_stat_statements"
	}
	return settings
}

// startServer starts a server of the test's own.
func startServer(t *testing.T, bin string, settings map[string]string) *pgtest.Server {
	s, err := pgtest.StartWith(t.Context(), pgtest.Config{Binaries: bin, Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { s.Stop() })
	return s
}

// binaries returns the folder of the usual PostgreSQL.
func binaries(t *testing.T) string {
	bin, err := pgtest.Binaries()
	if err != nil && os.Getenv(pgtest.EnvRequire) == "" {
		t.Skip("SKIPPED without PostgreSQL: ", err)
	}
	require.NoError(t, err)
	return bin
}

// TestMarkers writes rows in every exec mode and way, into a sealed table and into
// one in the clear, looks everywhere that they left traces for their values in many
// forms, and must not find those of the sealed table, but, as a control, the others.
func TestMarkers(t *testing.T) {
	ctx := t.Context()
	bin := binaries(t)
	settings := logEverything(bin)
	server := startServer(t, bin, settings)
	admin := connectTo(t, server.DSN(), pgx.QueryExecModeExec)
	table := newTable[markedRow](t, keyringtest.NewKeyring(t), "marked", byID)
	run(t, admin, createMarked, createPlain)
	run(t, admin, table.DDL()...)
	for _, name := range []string{"marked", "plain"} {
		for _, c := range markedTypes {
			if c != "long" {
				run(t, admin, fmt.Sprintf("create index on %s (%s)", name, c))
			}
		}
		run(t, admin, fmt.Sprintf("alter table %s alter long set storage external", name))
	}
	proxy := pgtest.StartProxy(t, server.DSN())
	forms := &markers{of: map[uint64][]needle{}}
	places := map[string]map[string]bool{}
	look := func(place string, b []byte) {
		if places[place] == nil {
			places[place] = map[string]bool{}
		}
		for what := range forms.in(b) {
			places[place][what] = true
		}
	}
	id := int64(0)
	for _, mode := range modes {
		var log collector
		cfg, err := pgx.ParseConfig(proxy.DSN)
		require.NoError(t, err)
		cfg.DefaultQueryExecMode = mode
		cfg.Tracer = &tracelog.TraceLog{Logger: &log, LogLevel: tracelog.LogLevelTrace}
		conn, err := pgx.ConnectConfig(ctx, cfg)
		require.NoError(t, err)
		for _, table := range []markedTable{sealedMarkers(ctx, table), plainMarkers()} {
			for _, way := range markedWays {
				id++
				row := forms.newRow(t, id, fmt.Sprintf("%s %s %s", table.name, mode, way.name))
				require.NoError(t, way.write(ctx, conn, table, &row))
				activity, err := pgx.CollectRows(must(admin.Query(ctx, "select query from pg_stat_activity where pid = $1", int64(conn.PgConn().PID())))(t), pgx.RowTo[string])
				require.NoError(t, err)
				look("pg_stat_activity", []byte(strings.Join(activity, "\n")))
				look("wire", proxy.Take())

				// Once more is refused; and what was written is read.
				err = way.write(ctx, conn, table, &row)
				require.ErrorContains(t, err, "(SQLSTATE 23505)")
				look("errors", fmt.Appendf(nil, "%+v", deepErrors(err)))
				all, err := table.read(must(conn.Query(ctx, fmt.Sprintf("select %s from %s where id = $1", strings.Join(table.columns, ", "), table.name), id))(t))
				require.NoError(t, err)
				require.Len(t, all, 1)
				require.Equal(t, row.Text, all[0].Text)
				require.Equal(t, row.Long, all[0].Long)
				require.True(t, row.Time.Equal(all[0].Time))
				proxy.Take()
			}
		}
		look("tracelog", log.Bytes())
		require.NoError(t, conn.Close(ctx))
	}
	var data string
	require.NoError(t, admin.QueryRow(ctx, "show data_directory").Scan(&data))
	// The control of looking at pg_stat_statements, which replaces constants.
	forms.add([]byte("marker in a comment"), "comment")
	run(t, admin, "comment on table plain is 'marker in a comment'", "checkpoint")
	for _, file := range must(pgx.CollectRows(must(admin.Query(ctx, `
		select case when c.relkind = 'i' and t.relkind = 'r' then 'index' when c.relkind = 'r' then 'heap' else 'toast' end || ' ' || pg_relation_filepath(c.oid)
		from pg_class t join lateral (select t.oid union all select t.reltoastrelid union all select indexrelid from pg_index where indrelid in (t.oid, t.reltoastrelid)) r(oid) on true
			join pg_class c on c.oid = r.oid
		where t.relname in ('marked', 'plain')`))(t), pgx.RowTo[string]))(t) {
		place, path, _ := strings.Cut(file, " ")
		look(place, must(os.ReadFile(filepath.Join(data, path)))(t))
	}
	look("wal", readWAL(t, filepath.Join(data, "pg_wal")))
	if settings["shared_preload_libraries"] != "" {
		run(t, admin, "create extension pg_stat_statements")
		look("pg_stat_statements", []byte(strings.Join(must(pgx.CollectRows(must(admin.Query(ctx, "select query from pg_stat_statements"))(t), pgx.RowTo[string]))(t), "\n")))
		require.True(t, places["pg_stat_statements"]["comment"], "control")
	} else {
		t.Log("not looked at, since it is not installed: pg_stat_statements")
	}
	require.NoError(t, server.Stop())
	log, err := server.Log()
	require.NoError(t, err)
	look("server log", log)
	if settings["session_preload_libraries"] != "" {
		require.Contains(t, string(log), "Query Text: ", "auto_explain")
	} else {
		t.Log("not looked at, since it is not installed: auto_explain")
	}

	for place, found := range places {
		for what := range found {
			require.False(t, strings.HasPrefix(what, "marked "), "%s: %s", place, what)
		}
	}
	controls := 0
	for _, mode := range modes {
		for _, way := range markedWays {
			for _, what := range markedTypes {
				key := fmt.Sprintf("plain %s %s %s", mode, way.name, what)
				expected := []string{"heap", "wal", "wire"}
				if what == "long" {
					expected = []string{"toast", "wal", "wire"}
				} else {
					expected = append(expected, "index")
				}
				if way.name != "CopyFrom" { // rows of COPY are not logged
					expected = append(expected, "server log")
				}
				if mode == pgx.QueryExecModeSimpleProtocol && (way.name == "Exec" || way.name == "Query") {
					expected = append(expected, "pg_stat_activity") // elsewhere it has $1
				}
				if what == "text" && way.name != "CopyFrom" {
					expected = append(expected, "tracelog")
				}
				for _, place := range expected {
					require.True(t, places[place][key], "control: %s in %s", key, place)
					controls++
				}
			}
		}
	}
	t.Logf("%d values in the clear were found where they have to be, and 0 of %d sealed ones anywhere", controls, len(modes)*len(markedWays)*len(markedTypes))
}

// readWAL returns the write-ahead log, and after it the same without the heads of
// its pages, which may lie in the middle of a value.
func readWAL(t *testing.T, dir string) []byte {
	const page, head, longHead = 8192, 24, 40
	segments, err := filepath.Glob(filepath.Join(dir, strings.Repeat("[0-9A-F]", 24)))
	require.NoError(t, err)
	require.NotEmpty(t, segments)
	var raw, joined []byte
	for _, name := range segments { // in the order of their names, which is that of time
		b := must(os.ReadFile(name))(t)
		raw = append(raw, b...)
		for ; len(b) >= page; b = b[page:] {
			n := head
			if binary.NativeEndian.Uint16(b[2:])&2 != 0 {
				n = longHead
			}
			joined = append(joined, b[n:page]...)
		}
	}
	return append(raw, joined...)
}

// deepErrors returns all that an error holds.
func deepErrors(err error) (all []any) {
	for ; err != nil; err = unwrap(err) {
		all = append(all, fmt.Sprintf("%v %+v %#v", err, err, reflect.Indirect(reflect.ValueOf(err))))
	}
	return all
}

func unwrap(err error) error {
	u, ok := err.(interface{ Unwrap() error })
	if !ok {
		return nil
	}
	return u.Unwrap()
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

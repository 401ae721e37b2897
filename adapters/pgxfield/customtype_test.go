package pgxfield_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

type mood string

type place2 struct {
	Street string
	No     *int32
	Flags  []string
	_      int
	Skip   string `db:"-"`
}

type visit struct {
	At    time.Time
	Where *place2
	Raw   []byte
	Mood  mood
	OK    bool
}

// custom has a field of each kind of custom type.
type custom struct {
	ID     int64             `db:"id"`
	Mood   mood              `db:"mood" seal:"encrypt,type=mood,index=mood_idx"`
	MoodP  *string           `db:"mood_p" seal:"encrypt,type=app.mood"`
	MoodT  pgtype.Text       `db:"mood_t" seal:"encrypt,type=mood"`
	Moods  []mood            `db:"moods" seal:"encrypt,type=mood[]"`
	MoodPs []*mood           `db:"mood_ps" seal:"encrypt,type=_mood"`
	Place  place2            `db:"place" seal:"encrypt,type=place"`
	PlaceP *place2           `db:"place_p" seal:"encrypt,type=app.place"`
	PlaceS string            `db:"place_s" seal:"encrypt,type=place"`
	Places []place2          `db:"places" seal:"encrypt,type=place[]"`
	Visit  visit             `db:"visit" seal:"encrypt,type=visit"`
	Visits []*visit          `db:"visits" seal:"encrypt,type=visit[]"`
	Level  int16             `db:"level" seal:"encrypt,type=level"`
	Odd    string            `db:"odd" seal:"encrypt,type=\"odd.type\""`
	Levels pgtype.Array[int] `db:"-"`
}

var customTypes = []string{
	"create schema app", "set search_path = app, public",
	`create type app.mood as enum ('sad', 'it''s "ok"', 'a, b {c} (d) \e', '', 'NULL', 'größe')`,
	"create type app.place as (street text, no int, flags text[])",
	"create type app.visit as (at timestamptz, place app.place, raw bytea, mood app.mood, ok boolean)",
	"create domain app.level as smallint check (value between 0 and 9)",
	`create type app."odd.type" as enum ('x')`,
}

// clearType names the type in the clear of a column of custom.
var clearType = map[string]string{
	"mood": "app.mood", "mood_p": "app.mood", "mood_t": "app.mood", "moods": "app.mood[]", "mood_ps": "app.mood[]", "place": "app.place", "place_p": "app.place", "place_s": "app.place", "places": "app.place[]",
	"visit": "app.visit", "visits": "app.visit[]", "level": "app.level", "odd": `app."odd.type"`,
}

func customRows() []custom {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	odd := place2{Street: "a \"b\" (c), \\d\n{e}", No: ptr(int32(-5)), Flags: []string{"x", "", "NULL", "a,b", `q"\`, "{}"}}
	return []custom{
		{ID: 1, Mood: "größe", MoodP: ptr(`it's "ok"`), MoodT: pgtype.Text{String: "sad", Valid: true}, Moods: []mood{"sad", `a, b {c} (d) \e`, "", "NULL", `it's "ok"`}, MoodPs: []*mood{nil, ptr(mood("sad")), ptr(mood(""))},
			Place: odd, PlaceP: &place2{Street: "", Flags: []string{}}, PlaceS: `("x y",7,{a})`, Places: []place2{odd, {Street: "s"}, {}},
			Visit:  visit{at, &odd, []byte{0, 1, '"'}, "sad", true},
			Visits: []*visit{{At: at, Mood: "NULL", Raw: []byte{}}, nil, {At: at, Where: &place2{}, Mood: "", OK: true}}, Level: 7, Odd: "x"},
		{ID: 2, Mood: "", Moods: []mood{}, MoodPs: []*mood{}, Places: []place2{}, PlaceS: "(,,)", Visit: visit{At: at, Mood: "sad"}, Visits: []*visit{}, Odd: "x"},
		{ID: 3, Mood: "NULL", PlaceS: `("",,{})`, Visit: visit{At: at, Mood: "sad"}, Odd: "x"},
	}
}

func (c custom) utc() custom {
	c.Visit.At = c.Visit.At.UTC()
	for _, v := range c.Visits {
		if v != nil {
			v.At = v.At.UTC()
		}
	}
	return c
}

// TestCustomTypes writes and reads custom types in all modes, and holds what is
// sealed to what PostgreSQL itself writes for the same value.
func TestCustomTypes(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, customTypes...)
	table := newTable[custom](t, kr, "app.t", byID)
	run(t, conn, createSQL("app.t", table.Columns()))
	run(t, conn, table.DDL()...)
	for _, column := range []string{"mood", "place", "place_s", "visit", "level", "odd"} {
		run(t, conn, "alter table app.t alter "+column+" set not null")
	}
	require.NoError(t, table.Verify(ctx, conn))
	want := customRows()
	for i := range want {
		_, err := conn.Exec(ctx, insertSQL("app.t", table.Columns()), table.Args(&want[i]))
		require.NoError(t, err)
	}
	for _, mode := range modes {
		_, err := conn.Exec(ctx, "delete from app.t where id = 1", mode)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, insertSQL("app.t", table.Columns()), mode, table.Args(&want[0]))
		require.NoError(t, err)
		all, err := query(t, conn, table.Row(ctx), "select * from app.t order by id", mode)
		require.NoError(t, err)
		for i := range all {
			all[i] = all[i].utc()
		}
		require.Equal(t, want, all)
		tags, err := table.Match(ctx, "mood", "größe")
		require.NoError(t, err)
		all, err = query(t, conn, table.Row(ctx), "select id, mood from app.t where mood_idx = any($1)", mode, tags)
		require.NoError(t, err)
		require.Len(t, all, 1)
	}

	// What is sealed is the text that PostgreSQL writes for a value in the clear.
	run(t, conn, "set timezone = 'UTC'", "set bytea_output = hex")
	for column, typ := range clearType {
		f, err := crypto.NewField(kr, "app.t."+column, crypto.FieldConfig{RowBound: true, Type: classOf(typ)})
		require.NoError(t, err)
		for _, row := range want {
			var stored []byte
			require.NoError(t, conn.QueryRow(ctx, fmt.Sprintf("select %s from app.t where id = $1", column), row.ID).Scan(&stored))
			if stored == nil {
				continue
			}
			text, err := f.Decrypt(ctx, stored, crypto.Binding{Row: crypto.Row(fmt.Sprint(row.ID))})
			require.NoError(t, err, column)
			var again string
			require.NoError(t, conn.QueryRow(ctx, fmt.Sprintf("select $1::text::%s::text", typ), string(text)).Scan(&again))
			if column != "visit" && column != "visits" { // times are written with more zeros
				require.Equal(t, again, string(text), column)
			}
			var same bool
			require.NoError(t, conn.QueryRow(ctx, fmt.Sprintf("select $1::text::%s is not distinct from $2::text::%[1]s", typ), string(text), again).Scan(&same))
			require.True(t, same)
		}
	}
}

// classOf is the class that stands in the key.
func classOf(typ string) string {
	return "text:" + strings.Trim(strings.TrimPrefix(strings.ReplaceAll(typ, `"`, ""), "app."), " ")
}

// TestCustomTypeRefuses covers values that are not of the type, and a type that
// changed.
func TestCustomTypeRefuses(t *testing.T) {
	type row[V any] struct {
		ID int64 `db:"id"`
		V  V     `db:"v" seal:"encrypt,type=place"`
	}
	type other struct {
		ID int64  `db:"id"`
		V  string `db:"v" seal:"encrypt,type=place2"`
	}
	type plain struct {
		ID int64  `db:"id"`
		V  string `db:"v" seal:"encrypt"`
	}
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	run(t, conn, "create table t (id bigint primary key, v bytea)")
	texts, structs := newTable[row[string]](t, kr, "t", byID), newTable[row[place2]](t, kr, "t", byID)
	_, err := conn.Exec(ctx, "insert into t values (@id, @v)", structs.Args(&row[place2]{1, place2{Street: "\x00" + marker}}))
	require.ErrorContains(t, err, "@v: the value is no UTF-8 text")
	require.NotContains(t, err.Error(), marker)
	for i, bad := range []string{"", "(", "()", "(a,1)", "(a,1,{},)", "a,1,{}", `(a,1,"{})`, `(a,x` + marker + `,{})`, "(a,1,{", `(a,1,{}) x`, `(a(,1,{})`, `(a,99999999999,)`, `(,1,{})`} {
		_, err := conn.Exec(ctx, "insert into t values (@id, @v)", texts.Args(&row[string]{int64(i + 1), bad}))
		require.NoError(t, err)
		_, err = query(t, conn, structs.Row(ctx), "select * from t where id = $1", i+1)
		require.EqualError(t, err, "pgxfield: t: column v (row key id): the place value does not fit Go type pgxfield_test.place2", bad)
	}
	for _, good := range []string{`(a,1,{x})`, ` ( a,1,"{""x""}") `, `("",,)`} {
		_, err := conn.Exec(ctx, "update t set v = @v where id = @id", texts.Args(&row[string]{1, good}))
		require.NoError(t, err)
		_, err = query(t, conn, structs.Row(ctx), "select * from t where id = 1")
		require.NoError(t, err, good)
	}
	_, err = query(t, conn, newTable[other](t, kr, "t", byID).Row(ctx), "select * from t where id = 1")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
	_, err = query(t, conn, newTable[plain](t, kr, "t", byID).Row(ctx), "select * from t where id = 1")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

// TestVerifyCustomTypes breaks what the struct says of its types.
func TestVerifyCustomTypes(t *testing.T) {
	type row struct {
		ID    int64     `db:"id"`
		Mood  string    `db:"mood" seal:"token=siv,type=mood"`
		Place place2    `db:"place" seal:"encrypt,type=app.place"`
		Day   time.Time `db:"day" seal:"encrypt,type=day"`
		Level int       `db:"level" seal:"encrypt,type=level,index=level_idx"`
	}
	ctx := t.Context()
	conn := connect(t)
	table := newTable[row](t, keyringtest.NewKeyring(t), "app.t", byID)
	run(t, conn, append(customTypes, "create domain app.day as timestamptz", "create table app.t (id bigint primary key, mood bytea not null, place bytea not null, day bytea not null, level bytea not null, level_idx bytea)")...)
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	for _, c := range []struct{ change, want string }{
		{"alter type app.mood rename to feeling", `app.t.mood: there is no type "mood"`},
		{"alter type app.place rename to location", `app.t.place: there is no type "app"."place"`},
		{"alter type app.place drop attribute no cascade", `app.t.place: type "app"."place": struct pgxfield_test.place2 has 3 fields, and it has 2`},
		{"alter type app.place alter attribute no type text cascade", `attribute no: values of it are kept as int8, and it is made of text`},
		{"alter type app.place alter attribute flags type text cascade", `attribute flags: a slice is kept as an array, and it is none`},
		{"drop type app.place cascade; create domain app.place as text", `struct pgxfield_test.place2 is kept as a composite, and it is none`},
		{"drop domain app.day; create domain app.day as date", `app.t.day: type "app"."day": values of it are kept as timestamptz, and it is made of date`},
		{"drop domain app.level; create domain app.level as numeric", `level: type "app"."level": values of it are kept as int8, and it is made of numeric`},
		{"drop type app.mood cascade; create type app.mood as (a text)", `app.t.mood: equal values of type "mood" can have different texts`},
		{"create type public.mood as enum ('other')", `there is a type "mood" in several schemas of search_path, [app public]: name one`},
		{"set local search_path = public", `there is no type "level"`},
	} {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, c.change)
		require.NoError(t, err, c.change)
		require.ErrorContains(t, table.Verify(ctx, tx), c.want)
		require.NoError(t, tx.Rollback(ctx))
	}
	require.NoError(t, table.Verify(ctx, conn))

	type misspelt struct {
		ID int64  `db:"id"`
		A  string `db:"mood" seal:"encrypt,type=tetx"`
		B  string `db:"place" seal:"encrypt,type=public.int8"`
	}
	err := newTable[misspelt](t, keyringtest.NewKeyring(t), "app.t", pgxfield.Config{}).Verify(ctx, conn)
	require.ErrorContains(t, err, `app.t.mood: there is no type "tetx"`)
	require.ErrorContains(t, err, `app.t.place: there is no type "public"."int8"`)
}

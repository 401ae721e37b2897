package pgxfield_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// person has an index of every kind.
type person struct {
	ID      int64      `db:"id"`
	Country string     `db:"country"`
	Joined  *time.Time `db:"joined"`
	Name    string     `db:"name"  seal:"encrypt,index=name_pre,kind=prefix,norm=nfkc-fold,index=name_suf,kind=suffix,norm=nfkc-fold,min=2,index=name_tri,kind=ngram,norm=nfkc-fold"`
	City    string     `db:"city"  seal:"encrypt,index=city6,norm=nfkc-fold,bits=6,index=city8,norm=nfkc-fold,bits=8,index=city10,norm=nfkc-fold,bits=10"`
	Email   *string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
	IBAN    string     `db:"iban"  seal:"token=siv"`
	Member  bool       `db:"member" seal:"encrypt"`
}

const createPersons = `create table persons (id bigint primary key, country text not null, joined timestamptz, name bytea not null, name_pre bytea[] not null, name_suf bytea[] not null, name_tri bytea[] not null,
	city bytea not null, city6 bytea not null, city8 bytea not null, city10 bytea not null, email bytea, email_idx bytea, iban bytea not null, member bytea not null, person_idx bytea)`

var personConfig = pgxfield.Config{RowKey: []string{"id"}, Compound: []pgxfield.CompoundIndex{
	{Column: "person_idx", Of: []pgxfield.CompoundPart{{Column: "name", Norm: "nfkc-fold"}, {Column: "email", Norm: "email"}, {Column: "member"}}}}}

func newPersons(t testing.TB, kr *keyring.Keyring, n int) (*pgx.Conn, *pgxfield.Table[person], []person) {
	conn := connect(t)
	table := newTable[person](t, kr, "persons", personConfig)
	run(t, conn, createPersons)
	persons := makePersons(n)
	copyRows(t, conn, table, "persons", persons)
	run(t, conn, table.DDL()...)
	run(t, conn, "analyze persons")
	require.NoError(t, table.Verify(t.Context(), conn))
	return conn, table, persons
}

// makePersons returns persons whose names repeat, and whose cities are many for
// the bits of their indexes.
func makePersons(n int) []person {
	rnd := rand.New(rand.NewPCG(5, 6))
	syllables := strings.Fields("an na ma ri be lo tu ki sa jo \u00e9l mar lin ber ton ova sen dra")
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(syllables[rnd.IntN(len(syllables))])
		}
		first, size := utf8.DecodeRuneInString(b.String())
		return strings.ToUpper(string(first)) + b.String()[size:]
	}
	persons := make([]person, n)
	for i := range persons {
		p := person{ID: int64(i + 1), Country: []string{"de", "fr", "at"}[rnd.IntN(3)], Name: word(2) + " " + word(3), City: fmt.Sprintf("City %d", rnd.IntN(2000)), IBAN: fmt.Sprintf("DE%020d", rnd.Uint32()), Member: rnd.IntN(2) == 0}
		if rnd.IntN(10) > 0 {
			p.Email = ptr(fmt.Sprintf("Person.%d@Example.com", rnd.IntN(n)))
		}
		persons[i] = p
	}
	return persons
}

// copyRows writes rows by COPY.
func copyRows[T any](t testing.TB, conn *pgx.Conn, table *pgxfield.Table[T], name string, rows []T) {
	_, err := conn.CopyFrom(t.Context(), pgx.Identifier{name}, table.Columns(), copySource(t.Context(), table, rows))
	require.NoError(t, err)
}

func copySource[T any](ctx context.Context, table *pgxfield.Table[T], rows []T) pgx.CopyFromSource {
	names := "@" + strings.Join(table.Columns(), " @")
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		_, values, err := table.Args(&rows[i]).RewriteQuery(ctx, nil, names, nil)
		return values, err
	})
}

func fold(t testing.TB, s string) string {
	b, err := token.NFKCFold.Append(nil, []byte(s))
	require.NoError(t, err)
	return string(b)
}

// collectSearch runs a search to its end.
func collectSearch[T any](t testing.TB, table *pgxfield.Table[T], db pgxfield.DB, q pgxfield.SearchQuery) []T {
	var all []T
	for row, err := range table.Search(t.Context(), db, q) {
		require.NoError(t, err)
		all = append(all, row)
	}
	return all
}

func filter(persons []person, keep func(*person) bool) []person {
	var all []person
	for i := range persons {
		if keep(&persons[i]) {
			all = append(all, persons[i])
		}
	}
	return all
}

// TestSearch compares every kind with the truth, in all of pgx's modes.
func TestSearch(t *testing.T) {
	conn, table, persons := newPersons(t, keyringtest.NewKeyring(t), 3000)
	name := persons[7].Name
	email := "person.17@EXAMPLE.com"
	holder := slices.IndexFunc(persons, func(p person) bool { return p.Email != nil })
	for _, c := range []struct {
		column string
		value  any
		keep   func(*person) bool
	}{
		{"name_pre", "anma", func(p *person) bool { return strings.HasPrefix(fold(t, p.Name), "anma") }},
		{"name_pre", "ANMA", func(p *person) bool { return strings.HasPrefix(fold(t, p.Name), "anma") }},
		{"name_pre", name, func(p *person) bool { return strings.HasPrefix(fold(t, p.Name), fold(t, name)) }},
		{"name_pre", name[:10], func(p *person) bool { return strings.HasPrefix(fold(t, p.Name), fold(t, name[:10])) }},
		{"name_suf", "sen", func(p *person) bool { return strings.HasSuffix(fold(t, p.Name), "sen") }},
		{"name_suf", "lindraberton", func(p *person) bool { return strings.HasSuffix(fold(t, p.Name), "lindraberton") }},
		{"name_tri", "nna", func(p *person) bool { return strings.Contains(fold(t, p.Name), "nna") }},
		{"name_tri", "\u00c9LMA", func(p *person) bool { return strings.Contains(fold(t, p.Name), "\u00e9lma") }},
		{"name_tri", "ma be", func(p *person) bool { return strings.Contains(fold(t, p.Name), "ma be") }},
		{"name_tri", "xyz", func(p *person) bool { return false }},
		{"city6", "city  42", func(p *person) bool { return p.City == "City 42" }},
		{"city8", "CITY 42", func(p *person) bool { return p.City == "City 42" }},
		{"city10", "City 42", func(p *person) bool { return p.City == "City 42" }},
		{"city6", "City", func(p *person) bool { return false }},
		{"email", email, func(p *person) bool { return p.Email != nil && strings.EqualFold(*p.Email, email) }},
		{"person_idx", []any{strings.ToUpper(persons[holder].Name), persons[holder].Email, persons[holder].Member}, func(p *person) bool {
			return fold(t, p.Name) == fold(t, persons[holder].Name) && p.Email != nil && *p.Email == *persons[holder].Email && p.Member == persons[holder].Member
		}},
	} {
		want := filter(persons, c.keep)
		for _, mode := range modes {
			db := reconnect(t, conn, mode)
			require.Equal(t, want, collectSearch(t, table, db, pgxfield.SearchQuery{Column: c.column, Value: c.value}), "%s %v", c.column, c.value)
		}
		var paged []person
		for q := (pgxfield.SearchQuery{Column: c.column, Value: c.value, Limit: 7}); ; {
			page := collectSearch(t, table, conn, q)
			paged = append(paged, page...)
			if len(page) < q.Limit {
				break
			}
			q.After = []any{page[6].ID}
		}
		require.Equal(t, want, paged)
	}
}

// TestSearchOrder has conditions, orders and directions of all sorts.
func TestSearchOrder(t *testing.T) {
	ctx := t.Context()
	conn, table, persons := newPersons(t, keyringtest.NewKeyring(t), 3000)
	q := pgxfield.SearchQuery{Column: "name_tri", Value: "ber", Where: "country = @c and id > @from -- or true", Args: pgx.NamedArgs{"c": "fr", "from": 100, "unused": 1}, OrderBy: []string{"country"}, Limit: 5}
	want := filter(persons, func(p *person) bool {
		return strings.Contains(fold(t, p.Name), "ber") && p.Country == "fr" && p.ID > 100
	})
	require.Greater(t, len(want), 12)
	require.Equal(t, want[:5], collectSearch(t, table, conn, q))
	q.After = []any{"fr", want[4].ID}
	require.Equal(t, want[5:10], collectSearch(t, table, conn, q))
	q.Desc, q.After, q.Where = true, nil, "country <> 'x'"
	q.OrderBy = []string{"country"}
	want = filter(persons, func(p *person) bool { return strings.Contains(fold(t, p.Name), "ber") })
	slices.SortFunc(want, func(a, b person) int {
		if c := strings.Compare(b.Country, a.Country); c != 0 {
			return c
		}
		return int(b.ID - a.ID)
	})
	q.Limit = 0
	require.Equal(t, want, collectSearch(t, table, conn, q))
	q.Limit = 10
	var paged []person
	for {
		page := collectSearch(t, table, conn, q)
		paged = append(paged, page...)
		if len(page) < 10 {
			break
		}
		q.After = []any{page[9].Country, page[9].ID}
	}
	require.Equal(t, want, paged)

	// The connection is free in the loop, and leaving it is fine.
	n := 0
	for p, err := range table.Search(ctx, conn, pgxfield.SearchQuery{Column: "name_pre", Value: "ann"}) {
		require.NoError(t, err)
		_, err := query(t, conn, table.Row(ctx), "select * from persons where id = $1", p.ID)
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, collectSearch(t, table, tx, pgxfield.SearchQuery{Column: "name_pre", Value: "ann"}))
	require.NoError(t, tx.Rollback(ctx))
}

func TestSearchRefuses(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table, persons := newPersons(t, kr, 50)
	base := pgxfield.SearchQuery{Column: "name_pre", Value: "ann"}
	with := func(change func(*pgxfield.SearchQuery)) pgxfield.SearchQuery {
		q := base
		change(&q)
		return q
	}
	type query = pgxfield.SearchQuery
	for _, c := range []struct {
		q    query
		want string
	}{
		{query{}, "it has no index"}, {query{Column: "nope"}, "it has no index"}, {query{Column: "iban"}, "it has no index"}, {query{Column: "country"}, "it has no index"},
		{query{Column: "name", Value: "ann"}, "several indexes"},
		{with(func(q *query) { q.Value = nil }), "NULL has no index tags"},
		{with(func(q *query) { q.Value = 5 }), "can not be stored as type text"},
		{with(func(q *query) { q.Value = "secret%" }), "the index can not be searched for this"},
		{with(func(q *query) { q.Value = "se" }), "less than 3 characters"},
		{with(func(q *query) { q.Value = "\xff" }), "no UTF-8"},
		{query{Column: "person_idx", Value: "ann"}, "searched by 3 values, and there are 0"},
		{query{Column: "person_idx", Value: []any{"ann", "x"}}, "searched by 3 values, and there are 2"},
		{query{Column: "person_idx", Value: []any{"ann", nil, true}}, "column email: NULL"},
		{with(func(q *query) { q.Limit = -1 }), "Limit is negative"},
		{with(func(q *query) { q.After = []any{1, 2} }), "After has 2 values, and rows are ordered by 1"},
		{with(func(q *query) { q.OrderBy = []string{"email"} }), "no column email in the clear"},
		{with(func(q *query) { q.OrderBy = []string{"nope"} }), "no column nope in the clear"},
		{with(func(q *query) { q.OrderBy = []string{"joined"} }), "not NULL"},
		{with(func(q *query) { q.Where = "id = @nope" }), "@nope: there is no such argument"},
		{with(func(q *query) { q.Where = "id = $1" }), "positional arguments"},
		{with(func(q *query) { q.Where = "id = @sealfield_tags0"; q.Args = pgx.NamedArgs{"sealfield_tags0": 1} }), "reserved"},
		{with(func(q *query) { q.Where = "no_such_column = 1" }), "no_such_column"},
	} {
		n := 0
		for row, err := range table.Search(ctx, conn, c.q) {
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "pgxfield: persons."+c.q.Column+": search: ")
			require.NotContains(t, err.Error(), "secret")
			require.Zero(t, row)
			n++
		}
		require.Equal(t, 1, n, c.want)
	}
	for _, column := range []string{"name_tri", "city6"} {
		_, err := table.Match(ctx, column, "berlin")
		require.ErrorIs(t, err, token.ErrLossy)
	}
	_, err := table.Match(ctx, "name_pre", "a name of many letters")
	require.ErrorIs(t, err, token.ErrLossy)

	loose := newTable[person](t, kr, "persons", pgxfield.Config{Compound: personConfig.Compound})
	for _, err := range loose.Search(ctx, conn, base) {
		require.ErrorContains(t, err, "needs Config.RowKey")
	}
	empty := newTable[person](t, keyringtest.NewKeyring(t), "persons", personConfig)
	require.Empty(t, collectSearch(t, empty, conn, base), "there is no key yet")

	// A row that does not open ends the search.
	run(t, conn, "update persons set name = (select name from persons where id = 2), name_pre = (select name_pre from persons where id = 2) where id = 1")
	var last error
	for _, err := range table.Search(ctx, conn, pgxfield.SearchQuery{Column: "name_pre", Value: persons[1].Name[:4]}) {
		last = err
	}
	require.ErrorIs(t, last, crypto.ErrDecrypt)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range table.Search(canceled, conn, base) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

// TestSearchNull has a NULL where the struct says that there is none: it must not
// be passed over.
func TestSearchNull(t *testing.T) {
	conn, table, _ := newPersons(t, keyringtest.NewKeyring(t), 300)
	run(t, conn, "alter table persons alter country drop not null", "update persons set country = null where id % 7 = 0")
	q := pgxfield.SearchQuery{Column: "name_tri", Value: "ber", OrderBy: []string{"country"}, Limit: 1}
	for page := 0; ; page++ {
		require.Less(t, page, 300)
		var row person
		var err error
		for row, err = range table.Search(t.Context(), conn, q) {
		}
		if err != nil {
			require.ErrorContains(t, err, "country")
			return
		}
		require.NotZero(t, row.ID, "the rows with NULL were passed over")
		q.After = []any{row.Country, row.ID}
	}
}

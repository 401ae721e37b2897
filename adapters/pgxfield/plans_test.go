package pgxfield_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// planRows is how many rows the table has whose plans are looked at.
func planRows() int {
	if raceEnabled { // ten times as slow
		return 20_000
	}
	return 200_000
}

// node is a node of a plan in JSON.
type node struct {
	NodeType     string `json:"Node Type"`
	RelationName string `json:"Relation Name"`
	IndexName    string `json:"Index Name"`
	Plans        []node
}

// onIndex reports whether a plan reads persons by the index, and not otherwise.
func (n *node) onIndex(index string) (found bool, err error) {
	switch n.NodeType {
	case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
		if n.IndexName != index {
			return false, fmt.Errorf("%s on %s", n.NodeType, n.IndexName)
		}
		found = true
	case "Seq Scan":
		return false, fmt.Errorf("Seq Scan on %s", n.RelationName)
	}
	for i := range n.Plans {
		below, err := n.Plans[i].onIndex(index)
		if err != nil {
			return false, err
		}
		found = found || below
	}
	return found, nil
}

func requireOnIndex(t testing.TB, conn pgxfield.DB, index, sql string, args ...any) {
	plan := planOf(t, conn, sql, args...)
	found, err := plan.onIndex(index)
	require.NoError(t, err, "%s\n%+v", sql, plan)
	require.True(t, found, "%s\n%+v", sql, plan)
}

func planOf(t testing.TB, conn pgxfield.DB, sql string, args ...any) *node {
	rows, err := conn.Query(t.Context(), "explain (format json) "+sql, args...)
	require.NoError(t, err)
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var plan []struct{ Plan node }
	require.NoError(t, json.Unmarshal([]byte(text), &plan))
	return &plan[0].Plan
}

// explainer explains each statement before it runs it.
type explainer struct {
	t     testing.TB
	conn  *pgx.Conn
	index string
	n     int
}

func (e *explainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	requireOnIndex(e.t, e.conn, e.index, sql, args...)
	e.n++
	return e.conn.Query(ctx, sql, args...)
}

// TestPlans holds, on a large table after ANALYZE and with two index keys, that
// every predicate is answered by the index that is meant for it, by plans for the
// values at hand and by generic ones; and that pages hold exactly the true matches
// in order, whatever the bits.
func TestPlans(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.PropagationDelay = 4 * time.Second })
	conn := connect(t)
	table := newTable[person](t, kr, "persons", personConfig)
	run(t, conn, createPersons)
	persons := makePersons(planRows())
	start := time.Now()
	half := len(persons) / 2
	copyRows(t, conn, table, "persons", persons[:half])
	for _, p := range []keyring.Purpose{keyring.Index, keyring.Token} {
		_, err := kr.Rotate(ctx, keyring.Target{Purpose: p}, keyring.RotateOptions{})
		require.NoError(t, err)
	}
	time.Sleep(5 * time.Second)
	copyRows(t, conn, table, "persons", persons[half:])
	t.Logf("%d rows written after %v", len(persons), time.Since(start).Round(time.Second))
	run(t, conn, table.DDL()...)
	run(t, conn, "analyze persons")
	if raceEnabled { // in a small table reading all of it may be right
		t.Logf("under the race detector: %d rows, and only whether the indexes can be used", len(persons))
		run(t, conn, "set enable_seqscan = off")
	}
	t.Logf("indexes are there after %v", time.Since(start).Round(time.Second))

	match := func(column string, v ...any) [][]byte {
		tags, err := table.Match(ctx, column, v...)
		require.NoError(t, err)
		require.Len(t, tags, 2)
		return tags
	}
	for _, c := range []struct {
		index, sql string
		tags       [][]byte
	}{
		{"persons_email_idx_key", "select * from persons where email_idx = any($1)", match("email", "person.1@example.com")},
		{"persons_email_idx_key", "select * from persons where email_idx = any(array(select unnest($1::bytea[])))", match("email", "person.1@example.com")},
		{"persons_iban_key", "select * from persons where iban = any($1)", match("iban", persons[0].IBAN)},
		{"persons_name_pre_key", "select * from persons where name_pre && $1", match("name_pre", "anna")},
		{"persons_name_suf_key", "select * from persons where name_suf && $1", match("name_suf", "sendra")},
		{"persons_person_idx_key", "select * from persons where person_idx = any($1)", match("person_idx", "Anna Berton", "a@b", true)},
	} {
		requireOnIndex(t, conn, c.index, c.sql, c.tags)
		// PostgreSQL plans a prepared statement without its values, too.
		name := "p_" + c.index
		run(t, conn, "set plan_cache_mode = force_generic_plan", "prepare "+name+" (bytea[]) as "+c.sql)
		requireOnIndex(t, simple{conn}, c.index, "execute "+name+"("+arrayLiteral(c.tags)+")")
		run(t, conn, "reset plan_cache_mode", "deallocate "+name)
	}

	for _, sql := range []string{"select * from persons where octet_length(email) = 1", "select * from persons where id = 5"} {
		_, err := planOf(t, conn, sql).onIndex("persons_email_idx_key")
		require.Error(t, err, "the control: %s", sql)
	}

	first := fold(t, persons[0].Name)
	for _, c := range []struct {
		column, value string
		keep          func(name, city string) bool
	}{
		{"city6", "City 42", func(_, city string) bool { return city == "city 42" }},
		{"city8", "City 42", func(_, city string) bool { return city == "city 42" }},
		{"city10", "City 42", func(_, city string) bool { return city == "city 42" }},
		{"name_pre", first[:4], func(name, _ string) bool { return strings.HasPrefix(name, first[:4]) }},
		{"name_pre", first, func(name, _ string) bool { return strings.HasPrefix(name, first) }},
		{"name_suf", "sendra", func(name, _ string) bool { return strings.HasSuffix(name, "sendra") }},
		{"name_tri", "sendrasen", func(name, _ string) bool { return strings.Contains(name, "sendrasen") }},
		{"name_tri", "dra", func(name, _ string) bool { return strings.Contains(name, "dra") }},
	} {
		var want []int64
		for i := range persons {
			if c.keep(fold(t, persons[i].Name), fold(t, persons[i].City)) {
				want = append(want, persons[i].ID)
			}
		}
		require.NotEmpty(t, want)
		want = want[:min(len(want), 1000)]
		var got []int64
		db := &explainer{t: t, conn: conn, index: "persons_" + c.column + "_key"}
		pages := 0
		for q := (pgxfield.SearchQuery{Column: c.column, Value: c.value, Limit: 25}); len(got) < len(want); pages++ {
			page := collectSearch(t, table, db, q)
			for _, p := range page {
				got = append(got, p.ID)
			}
			if len(page) < q.Limit {
				break
			}
			q.After = []any{page[len(page)-1].ID}
		}
		require.Equal(t, want, got[:len(want)], c.column)
		t.Logf("%-8s %-12q %4d rows in %2d pages of 25, by %2d statements", c.column, c.value, len(got), pages, db.n)
	}
	t.Logf("done after %v", time.Since(start).Round(time.Second))
}

// simple sends statements by the simple protocol.
type simple struct{ conn *pgx.Conn }

func (s simple) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.conn.Query(ctx, sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
}

func arrayLiteral(tags [][]byte) string {
	all := make([]string, len(tags))
	for i, tag := range tags {
		all[i] = fmt.Sprintf(`'\x%x'::bytea`, tag)
	}
	return "array[" + strings.Join(all, ", ") + "]"
}

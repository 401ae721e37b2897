package pgxmask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

const plantedPolicy = `"public.people": {"columns": {"id": {"keep": "a number"}, "email": "email", "phone": "phone", "card": "pan",
	"note": {"keep": "planted"}, "extra": {"keep": "planted"}, "raw": {"keep": "planted"}}}`

// plant makes rows, each with one value of another row's masked column in a column that
// is kept, in one of the forms that are looked for; without hidden the same with values
// that nobody has. The last hundred are in comments. It returns how many in which form.
func plant(t *testing.T, conn *pgx.Conn, rows int, hidden bool) map[string]int64 {
	run(t, conn, "create table people (id int primary key, email text, phone text, card text, note text, extra jsonb, raw bytea)")
	email := func(i int) string { return fmt.Sprintf("Ann.%d@mail%d.example.com", i, i%7) }
	phone := func(i int) string { return fmt.Sprintf("+49 30 %08d", 10000000+i*31) }
	card := func(i int) string { return luhn(fmt.Sprintf("4%014d", i*7919)) }
	want := map[string]int64{}
	var data [][]any
	var comments []string
	for i := range rows {
		other := (i*7 + 3) % rows
		value := []string{email(other), phone(other), card(other)}[i%3]
		if !hidden {
			value = []string{email(other + rows), phone(other + rows), card(other + rows)}[i%3]
		}
		note, extra, raw, found := "nothing to see here, 12345", any(nil), []byte(nil), plain
		if i >= rows-100 {
			comments = append(comments, value)
		} else {
			switch i / 3 % 11 {
			case 0:
				note = "asked by " + strings.ToUpper(value) + ", answered"
			case 1:
				note, found = base64.StdEncoding.EncodeToString([]byte("user="+value+";")), base64ed
			case 2:
				note, found = "x "+base64.RawURLEncoding.EncodeToString([]byte(value)), base64ed
			case 3:
				note, found = hex.EncodeToString([]byte(value)), hexed
			case 4:
				raw, found = []byte{0, 1, 2}, hexed
				raw = append(raw, value...)
			case 5:
				note, found = "<"+backwards(value)+">", reversed
			case 6:
				extra = map[string]any{"contact": []any{1, map[string]any{"at": value}}}
			case 7:
				note, found = `{"a":"\u00e9\n`+value+`"}`, escaped
			case 8:
				note, found = `https://example.com/?q=`+url.QueryEscape("="+value), percent
				if i%3 == 2 { // which has nothing to encode
					found = plain
				}
			case 9:
				note = fmt.Sprintf("(%s)", value)
				if i%3 == 2 {
					note = value[:4] + " " + value[4:8] + "-" + value[8:]
				}
			case 10:
				note = "'" + value + "'\t"
			}
		}
		want[found.String()]++
		data = append(data, []any{i, email(i), phone(i), card(i), note, extra, raw})
	}
	_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"people"}, []string{"id", "email", "phone", "card", "note", "extra", "raw"}, pgx.CopyFromRows(data))
	require.NoError(t, err)
	run(t, conn, "comment on table people is "+literal(strings.Join(comments, "\n")), "analyze")
	return want
}

func backwards(s string) string {
	b := []byte(s)
	reverse(b)
	return string(b)
}

// TestLeaks looks for 10,000 values of masked columns that are elsewhere, in kept columns
// and in a comment, and finds every one; and none in the same data without them.
func TestLeaks(t *testing.T) {
	const rows = 10_000
	for _, format := range []Format{CopyText, SQL, CSV, JSONL, "target"} {
		t.Run(string(format), func(t *testing.T) {
			small(t)
			for _, hidden := range []bool{true, false} {
				conn := connect(t)
				want := plant(t, conn, rows, hidden)
				p, err := newPlan(t, conn, keyringtest.NewKeyring(t), plantedPolicy)
				require.NoError(t, err)
				config := RunConfig{Source: conn.Config(), Dir: t.TempDir(), Format: format}
				if format == "target" {
					target, err := pgx.ParseConfig(pgtest.Database(t))
					require.NoError(t, err)
					config = RunConfig{Source: conn.Config(), Target: target}
				}
				r, err := p.Run(t.Context(), config)
				require.NotNil(t, r.Verification)
				require.Equal(t, 1, r.Verification.OneIn)
				if !hidden {
					require.NoError(t, err)
					require.Empty(t, r.Verification.Findings)
					continue
				}
				require.ErrorIs(t, err, ErrVerify)
				require.NoFileExists(t, filepath.Join(config.Dir, finishedName))
				if format != "target" && format != SQL { // they have no comments
					want[plain.String()] -= 100
				}
				if format == JSONL || format == CopyText || format == CSV || format == SQL || format == "target" {
					found := map[string]int64{}
					for _, f := range r.Verification.Findings {
						require.Equal(t, Leak, f.Kind)
						var n int64
						at := strings.LastIndex(f.Reason, ": ")
						_, err := fmt.Sscanf(f.Reason[at:], ": %d times", &n)
						require.NoError(t, err, f.Reason)
						form := f.Reason[strings.LastIndex(f.Reason[:at], ", ")+2 : at]
						found[form] += n
					}
					// With escapes or percent encoding a value may be found as it is, too.
					require.GreaterOrEqual(t, found[plain.String()], want[plain.String()])
					for _, form := range []form{base64ed, hexed, reversed, percent, escaped} {
						require.GreaterOrEqual(t, found[form.String()], want[form.String()], form)
					}
				}
				for _, leak := range []string{"example.com", "+49", "4000"} {
					require.NotContains(t, err.Error(), leak, "no values in errors")
				}
			}
		})
	}
}

// TestComposed has values of masked columns in the parts of documents that their rules
// keep, and results of the rules inside that happen to be values of others.
func TestComposed(t *testing.T) {
	for _, target := range []bool{false, true} {
		for leaks, note := range []string{"'nothing to see'", "'asked by user' || (i % 2000 + 1) || '@example.com'"} {
			conn := connect(t, "create table people (id int primary key, email text not null, code text not null, extra jsonb)",
				fmt.Sprintf(`insert into people select i, 'user' || i || '@example.com', 'AB' || lpad((i * 499)::text, 6, '0'), jsonb_build_object('code', 'AB' || lpad((i * 499)::text, 6, '0'), 'note', %s)
					from generate_series(1, 2000) i`, note), "analyze")
			p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.people": {"columns": {"id": {"keep": "a number"}, "email": "email", "code": {"rule": "format", "as": "AB[0-9]{6}"},
				"extra": {"rule": "json", "paths": {"$.code": {"rule": "format", "as": "AB[0-9]{6}"}}, "else": "keep"}}}`)
			require.NoError(t, err)
			config := RunConfig{Source: conn.Config()}
			if target {
				config.Target, err = pgx.ParseConfig(pgtest.Database(t))
				require.NoError(t, err)
			} else {
				config.Dir = t.TempDir()
			}
			r, err := p.Run(t.Context(), config)
			if leaks == 0 {
				require.NoError(t, err, "codes that are others' are no leak")
				continue
			}
			require.ErrorIs(t, err, ErrVerify)
			require.NotEmpty(t, r.Verification.Findings)
			require.ErrorContains(t, err, "public.people.extra: has values of public.people.email, which is masked, as it is: 2000 times")
		}
	}
}

// TestComposedSmall has documents with many values of a small domain: a rule inside makes some
// of them itself, and of others one that the same document had.
func TestComposedSmall(t *testing.T) {
	conn := connect(t, "create table rooms (code text not null, others jsonb, note text)",
		`insert into rooms select 'ROOM-' || i, (select jsonb_agg('ROOM-' || j) from generate_series(i, i + 200, 10) j) from generate_series(1000, 1999) i`, "analyze")
	const code = `{"rule": "format", "as": "ROOM-[0-9]{4}", "small": "permute"}`
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), `"public.rooms": {"columns": {"code": `+code+`, "others": {"rule": "json", "paths": {"$[*]": `+code+`}, "else": "keep"}, "note": {"keep": "made by the system"}}}`)
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err)
}

// TestForms has every form on its own, and what is not one.
func TestForms(t *testing.T) {
	f := newFilter(10)
	s := &scanner{filter: f}
	value := "Zoë.Müller@example.com"
	for _, v := range []string{value, "4111 1111 1111 1111", "+49 30 901820", "a1", "12345678"} {
		if norm := s.view.original([]byte(v)); norm != nil {
			f.add(norm)
		}
	}
	require.Equal(t, int64(3), f.added.Load(), "short ones are none")
	asJSON, _ := json.Marshal(map[string]string{"x\n": "\t" + value})
	for _, c := range []struct {
		text string
		form form
		ok   bool
	}{
		{value, plain, true},
		{"zoë.müller@EXAMPLE.COM", plain, true},
		{"mailto:zoë.müller@example.com>", plain, true},
		{"xzoë.müller@example.com", plain, false}, // another address
		{"zoë.müller@example.community", plain, false},
		{"41111111-11111111", plain, true},
		{"941111111-11111111", plain, false},
		{"tel 0049 30901820", plain, false},
		{"tel +4930901820", plain, true},
		{string(asJSON), escaped, true},
		{`\u005ao\u00eb.M\u00fcller@example.com`, escaped, true},
		{url.QueryEscape(value), percent, true},
		{backwards(value), reversed, true},
		{base64.StdEncoding.EncodeToString([]byte(value)), base64ed, true},
		{base64.URLEncoding.EncodeToString([]byte("a" + value[:0] + " " + value)), base64ed, true},
		{base64.RawStdEncoding.EncodeToString([]byte("ab " + value + "...")), base64ed, true},
		{"id=" + base64.RawStdEncoding.EncodeToString([]byte(value)), base64ed, true},
		{hex.EncodeToString([]byte(value)), hexed, true},
		{`\x` + strings.ToUpper(hex.EncodeToString([]byte("\x00\xff"+value))), hexed, true},
		{"12345678", plain, false},
	} {
		found := false
		s.scan([]byte(c.text), func(_ []byte, f form) { found = found || f == c.form })
		require.Equal(t, c.ok, found, "%s %s", c.text, c.form)
	}
}

// TestFilter has no false negatives, and few false positives.
func TestFilter(t *testing.T) {
	const n = 100_000
	f := newFilter(n)
	for i := range n {
		f.add(fmt.Appendf(nil, "original%d", i))
	}
	wrong := 0
	for i := range n {
		require.True(t, f.has(fmt.Appendf(nil, "original%d", i)))
		if f.has(fmt.Appendf(nil, "another%d", i)) {
			wrong++
		}
	}
	require.Less(t, wrong, 20)

	sampled := newFilter(3 * maxFilter * 8 / bitsEach)
	require.Equal(t, uint64(3), sampled.oneIn)
	require.LessOrEqual(t, len(sampled.words)*8, maxFilter)
	for i := range n {
		sampled.add(fmt.Appendf(nil, "original%d", i))
	}
	require.InDelta(t, n/3, float64(sampled.added.Load()), n/30)
}

// TestTampered changes an output that is finished, and Verify says what is wrong.
func TestTampered(t *testing.T) {
	source, p := newShop(t)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   error
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"a byte", func(t *testing.T, dir string) { edit(t, dir, "*items/000001.copy", "quote", "quotE") }, ErrDamaged},
		{"a file less", func(t *testing.T, dir string) { remove(t, dir, "*orders/000001.copy") }, ErrDamaged},
		{"a file more", func(t *testing.T, dir string) {
			folders, err := filepath.Glob(filepath.Join(dir, "*orders"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(folders[0], "000002.copy"), nil, 0o600))
		}, ErrDamaged},
		{"a file of the file system", func(t *testing.T, dir string) {
			folders, err := filepath.Glob(filepath.Join(dir, "*orders"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(folders[0], ".DS_Store"), nil, 0o600))
		}, nil},
		{"schema", func(t *testing.T, dir string) { edit(t, dir, "post-data.sql", "UNIQUE", "") }, ErrDamaged},
		{"script", func(t *testing.T, dir string) { edit(t, dir, "restore.sql", "commit", "rollback") }, ErrDamaged},
		{"marker", func(t *testing.T, dir string) { remove(t, dir, finishedName) }, ErrUnfinished},
		{"digest", func(t *testing.T, dir string) { edit(t, dir, finishedName, `"digest": "`, `"digest": "0`) }, ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := RunConfig{Source: source.Config(), Dir: t.TempDir(), Format: SQL}
			_, err := p.Run(t.Context(), config)
			require.NoError(t, err)
			c.change(t, config.Dir)
			r, err := p.Verify(t.Context(), config)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.NotZero(t, r.Verification.Sampled)
		})
	}
}

func edit(t *testing.T, dir, pattern, old, with string) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.Len(t, names, 1, pattern)
	data, err := os.ReadFile(names[0])
	require.NoError(t, err)
	require.True(t, bytes.Contains(data, []byte(old)), old)
	require.NoError(t, os.WriteFile(names[0], bytes.Replace(data, []byte(old), []byte(with), 1), 0o600))
}

func remove(t *testing.T, dir, pattern string) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.Len(t, names, 1, pattern)
	require.NoError(t, os.Remove(names[0]))
}

// TestNothingToMask has values of which a rule leaves nothing else to say.
func TestNothingToMask(t *testing.T) {
	conn := connect(t, `create table t (id int, a text, b text)`,
		`insert into t select n, case when n % 10 = 0 then 'value ' || n else '' end, case when n % 10 = 0 then 'value ' || n else '-' end from generate_series(1, 1000) n`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"a": "shape", "b": "shape"`))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err)
}

// TestTemporal has keys WITHOUT OVERLAPS and references to PERIODs, which need rows that
// are not equal.
func TestTemporal(t *testing.T) {
	conn := connect(t)
	if versionOf(conn) < 180000 {
		t.Skip("SKIPPED: this PostgreSQL does not know WITHOUT OVERLAPS")
	}
	run(t, conn, "create extension btree_gist",
		"create table rooms (n text, at daterange, primary key (n, at without overlaps))",
		"create table stays (n text, at daterange, foreign key (n, period at) references rooms (n, period at))",
		"insert into rooms values ('one@example.com', '[2020-01-01,2021-01-01)'), ('one@example.com', '[2021-01-01,2022-01-01)'), ('two@example.com', '[2020-01-01,2021-01-01)')",
		"insert into stays values ('one@example.com', '[2020-12-01,2021-02-01)')")
	const columns = `{"columns": {"n": "email,fallback=error", "at": {"keep": "when"}}}`
	cfg := Config{Keyring: keyringtest.NewKeyring(t), Policy: policy(t, `"public.rooms": `+columns+`, "public.stays": `+columns), Subset: map[string]string{"public.stays": "true"}}
	p, err := NewPlan(t.Context(), conn, cfg)
	require.NoError(t, err)
	r, err := p.Run(t.Context(), RunConfig{Source: conn.Config(), Dir: t.TempDir()})
	require.NoError(t, err)
	require.Equal(t, 1, r.Verification.References)
	require.Equal(t, int64(3), r.Rows, "both rooms of the stay")
}

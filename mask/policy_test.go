package mask_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
)

const goodPolicy = `{
  "version": 1,
  "epoch": "2026-q4",
  "tables": {
    "public.customers": {
      "subject": "id",
      "columns": {
        "id": {"keep": "a number without meaning"},
        "name": "name",
        "email": "email,domain=customer.email",
        "card": {"rule": "pan", "domain": "card", "keep": "last4"},
        "born": "date",
        "note": "text,email=customer.email"
      }
    },
    "public.orders": {
      "columns": {
        "email": "email,domain=customer.email",
        "total": "noise"
      }
    },
    "public.audit": {"skip": "of no use in tests"}
  }
}`

func values(row ...string) (out [][]byte) {
	for _, v := range row {
		if v == "NULL" {
			out = append(out, nil)
		} else {
			out = append(out, []byte(v))
		}
	}
	return out
}

func TestPolicy(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	p, err := mask.ParsePolicy([]byte(goodPolicy))
	require.NoError(t, err)
	require.Equal(t, "2026-q4", p.Epoch)
	tables, err := p.Compile(t.Context(), kr, "")
	require.NoError(t, err)
	require.Len(t, tables, 3)
	require.Equal(t, "of no use in tests", tables["public.audit"].Skip())
	_, err = tables["public.audit"].Rows(nil)
	require.EqualError(t, err, "mask: table public.audit is skipped")

	customers := tables["public.customers"]
	require.Equal(t, []string{"born", "card", "email", "id", "name", "note"}, customers.Columns())
	require.Equal(t, "id", customers.Subject())
	_, keep, ok := customers.Rule("id")
	require.True(t, ok)
	require.Equal(t, "a number without meaning", keep)
	_, _, ok = customers.Rule("ssn")
	require.False(t, ok)

	rows, err := customers.Rows([]string{"note", "id", "name", "email", "card", "born"})
	require.NoError(t, err)
	in := values("Zyx Qwertz (zyx@example.com) called, card 4111111111111111", "7", "Zyx Qwertz", "zyx@example.com", "4111111111111111", "NULL")
	out, err := rows.Mask(in)
	require.NoError(t, err)
	require.Equal(t, "7", string(out[1]))
	require.Nil(t, out[5])
	require.Contains(t, string(out[0]), string(out[2])+" ("+string(out[3])+") called, card "+string(out[4]))
	for _, secret := range []string{"Zyx", "Qwertz", "zyx@", "4111111111111111"} { // no name that a rule makes has one of these
		for _, v := range out {
			require.NotContains(t, string(v), secret)
		}
	}
	again := string(out[3])

	orders, err := tables["public.orders"].Rows([]string{"email", "total"})
	require.NoError(t, err)
	out, err = orders.Mask(values("zyx@example.com", "10.00"))
	require.NoError(t, err)
	require.Equal(t, again, string(out[0]), "tables join")
	_, err = orders.Mask(values("x"))
	require.EqualError(t, err, "mask: the row has 1 values, not 2")
	_, err = rows.Mask(values("n", "NULL", "Ann Smith", "a@b", "4111111111111111", "2024-02-29"))
	require.ErrorIs(t, err, mask.ErrSubject, "a row without its subject")
}

// TestColumns checks that a policy fails closed: on a column that it does not name.
func TestColumns(t *testing.T) {
	p, err := mask.ParsePolicy([]byte(goodPolicy))
	require.NoError(t, err)
	tables, err := p.Compile(t.Context(), keyringtest.NewKeyring(t), "")
	require.NoError(t, err)
	orders := tables["public.orders"]
	require.NoError(t, orders.Check([]string{"total", "email"}))
	require.Equal(t, 19, orders.Line("total"))
	require.Equal(t, 16, orders.Line("phone"), "that of the table")
	for _, columns := range [][]string{{"email", "total", "phone"}, {"email", "totals"}, {"email"}} {
		require.Error(t, orders.Check(columns))
		_, err := orders.Rows(columns)
		require.Error(t, err)
	}
	require.EqualError(t, orders.Check([]string{"email", "totals"}), `mask: line 16: tables.public.orders.columns.totals: the policy does not name this column; give it a rule, or {"keep": "why"}
mask: line 19: tables.public.orders.columns.total: there is no such column; did you mean "totals"?`)
}

func TestPolicyCheck(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	m, err := mask.New(t.Context(), kr, mask.Config{Epoch: "2026-q4"})
	require.NoError(t, err)
	for check, ok := range map[string]bool{m.Check(): true, "0000000000000000": false} {
		p, err := mask.ParsePolicy([]byte(strings.Replace(goodPolicy, `"tables"`, `"check": "`+check+`", "tables"`, 1)))
		require.NoError(t, err)
		_, err = p.Compile(t.Context(), kr, "")
		require.Equal(t, ok, err == nil)
		require.Equal(t, !ok, errors.Is(err, mask.ErrCheck))
	}
}

func TestPolicyMistakes(t *testing.T) {
	edit := func(old, replacement string) string {
		require.Contains(t, goodPolicy, old)
		return strings.Replace(goodPolicy, old, replacement, 1)
	}
	for text, want := range map[string]string{
		"":                                   "mask: line 1: the text ends too early",
		"[]":                                 "mask: line 1: is a list, not an object",
		"{}":                                 "mask: line 1: version: is missing; write 1\nmask: line 1: tables: has to be an object with one or more tables",
		edit(`"version": 1`, `"version": 2`): "mask: line 2: version: is not known here; write 1",
		edit(`"epoch"`, `"epok"`):            `mask: line 3: epok: unknown field; did you mean "epoch"?`,
		edit(`"2026-q4"`, `20264`):           "mask: line 3: epoch: has to be a string that is not empty",
		edit(`"subject": "id"`, `"subject": "idd"`):                                       `mask: line 6: tables.public.customers.subject: there is no column "idd"; did you mean "id"?`,
		edit(`"subject": "id",`, ``):                                                      `mask: line 12: tables.public.customers.columns.born: rule date needs the table's subject; write "subject": the column that names whom a row is about`,
		edit(`"columns"`, `"colums"`):                                                     "mask: line 7: tables.public.customers.colums: unknown field; did you mean \"columns\"?\nmask: line 5: tables.public.customers.columns: has to be an object with every column; or say why the table is left out: {\"skip\": \"...\"}",
		edit(`{"keep": "a number without meaning"}`, `"keep"`):                            `mask: line 8: tables.public.customers.columns.id: keep needs a reason; write {"keep": "why"}`,
		edit(`{"keep": "a number without meaning"}`, `{"keep": ""}`):                      "mask: line 8: tables.public.customers.columns.id.keep: has to be a string that is not empty",
		edit(`{"keep": "a number without meaning"}`, `{"keep": "x", "reson": "y"}`):       "mask: line 8: tables.public.customers.columns.id.reson: unknown field; there are: keep",
		edit(`"name": "name"`, `"name": ""`):                                              `mask: line 9: tables.public.customers.columns.name: there is no rule ""`,
		edit(`"name": "name"`, `"name": null`):                                            "mask: line 9: tables.public.customers.columns.name: a rule is a string or an object, not a number, true, false or null",
		edit(`"name": "name"`, `"name": "name,lcale=de"`):                                 `mask: line 9: tables.public.customers.columns.name.lcale: rule name has no such parameter; did you mean "locale"?`,
		edit(`"name": "name"`, `"email": "email"`):                                        `mask: line 10: "email" is there twice`,
		edit(`"keep": "last4"`, `"keep": "last5"`):                                        `mask: line 11: tables.public.customers.columns.card.keep: "last5" is none of bin6, last4, first, both; did you mean "last4"?`,
		edit(`"domain": "card"`, `"domain": "sealfield/x"`):                               "mask: line 11: tables.public.customers.columns.card.domain: domains that begin with sealfield/ are reserved",
		edit(`"skip": "of no use in tests"`, `"skip": "x", "columns": {}`):                "mask: line 22: tables.public.audit: is skipped and has other fields",
		edit(`"total": "noise"`, `"total": "noise,percent=200"`):                          `mask: line 19: tables.public.orders.columns.total.percent: "200" is no number from 1 to 100`,
		strings.Replace(edit(`"name": "name"`, `"name": "nam"`), `"noise"`, `"noize"`, 1): "mask: line 9: tables.public.customers.columns.name: there is no rule \"nam\"; did you mean \"name\"?\nmask: line 19: tables.public.orders.columns.total: there is no rule \"noize\"; did you mean \"noise\"?",
	} {
		_, err := mask.ParsePolicy([]byte(text))
		require.EqualError(t, err, want)
		_, ok := errors.AsType[*mask.SpecError](err)
		require.True(t, ok)
	}
}

func TestRowsAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	p, err := mask.ParsePolicy([]byte(goodPolicy))
	require.NoError(t, err)
	tables, err := p.Compile(t.Context(), keyringtest.NewKeyring(t), "")
	require.NoError(t, err)
	rows, err := tables["public.orders"].Rows([]string{"email", "total"})
	require.NoError(t, err)
	row := values("ann@example.com", "10.00")
	require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = rows.Mask(row) }))
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{goodPolicy, "", "{}", `{"version":1,"tables":{"t":{"columns":{"c":"email"}}}}`, `{"version":1,"tables":{"t":{"columns":{"c":{"rule":"array","of":{"rule":"array"}}}}}}`,
		`{"version":1,"tables":{"t":{"skip":"x"}}}`, `{"version":1,"tables":{"t":{"columns":{"c":{"rule":"json","paths":{"$":"email","$..":"x"}}}}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := mask.ParsePolicy(data); err != nil {
			_, ok := errors.AsType[*mask.SpecError](err)
			require.True(t, ok, err)
		}
	})
}

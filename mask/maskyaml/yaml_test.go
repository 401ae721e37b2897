package maskyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/mask"
	"github.com/sealfield/sealfield/mask/maskyaml"
)

const good = `# test data for the shop
version: 1
epoch: 2026-q4
tables:
  public.customers:
    subject: id
    columns:
      id: {keep: a number without meaning}
      email: email,domain=customer.email
      card:
        rule: pan
        domain: card
        keep: last4
      born: {rule: date, days: 30, weeks: yes}
      extra: {rule: json, paths: {$.mail: "email,domain=customer.email"}, else: redact}
  public.audit:
    skip: of no use in tests
`

// TestSame reads one policy in both notations: one key, one set of results.
func TestSame(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	y, err := maskyaml.Parse([]byte(good))
	require.NoError(t, err)
	j, err := mask.ParsePolicy([]byte(`{"version": 1, "epoch": "2026-q4", "tables": {
		"public.customers": {"subject": "id", "columns": {"id": {"keep": "a number without meaning"}, "email": "email,domain=customer.email",
			"card": {"rule": "pan", "domain": "card", "keep": "last4"}, "born": {"rule": "date", "days": 30, "weeks": "yes"},
			"extra": {"rule": "json", "paths": {"$.mail": "email,domain=customer.email"}, "else": "redact"}}},
		"public.audit": {"skip": "of no use in tests"}}}`))
	require.NoError(t, err)
	columns := []string{"id", "email", "card", "born", "extra"}
	row := [][]byte{[]byte("7"), []byte("ann@example.com"), []byte("4111111111111111"), []byte("2024-02-29"), []byte(`{"mail":"ann@example.com","x":1}`)}
	var results [][][]byte
	for _, p := range []*mask.Policy{y, j} {
		tables, err := p.Compile(t.Context(), kr, "")
		require.NoError(t, err)
		require.Equal(t, "of no use in tests", tables["public.audit"].Skip())
		rows, err := tables["public.customers"].Rows(columns)
		require.NoError(t, err)
		out, err := rows.Mask(row)
		require.NoError(t, err)
		results = append(results, out)
	}
	require.Equal(t, results[0], results[1])
	require.Contains(t, string(results[0][4]), string(results[0][1]), "the address in the JSON is that of the column")
}

func TestMistakes(t *testing.T) {
	edit := func(old, replacement string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, replacement, 1)
	}
	for text, want := range map[string]string{
		edit("email: email,domain=", "email: emial,domain="):             `mask: line 9: tables.public.customers.columns.email: there is no rule "emial"; did you mean "email"?`,
		edit("        domain: card", "        domian: card"):             `mask: line 12: tables.public.customers.columns.card.domian: rule pan has no such parameter; did you mean "domain"?`,
		edit("subject: id", "subjet: id"):                                "mask: line 6: tables.public.customers.subjet: unknown field; did you mean \"subject\"?",
		edit("subject: id", "subject: ident"):                            `mask: line 6: tables.public.customers.subject: there is no column "ident"; there are: born, card, email, extra, id`,
		edit("version: 1", "version: 2"):                                 "mask: line 2: version: is not known here; write 1",
		edit("version: 1", "version: 1\nversion: 1"):                     `mask: line 3: "version" is there twice`,
		edit("days: 30", "days: 0"):                                      `mask: line 14: tables.public.customers.columns.born.days: "0" is no number from 1 to 36500`,
		edit("skip: of no use in tests", "skip:"):                        "mask: line 17: tables.public.audit.skip: has to be a string that is not empty",
		edit("id: {keep: a number without meaning}", "id: keep"):         `mask: line 8: tables.public.customers.columns.id: keep needs a reason; write {"keep": "why"}`,
		edit("id: {keep: a number without meaning}", "id: &a {keep: x}"): "mask: line 8: anchors and aliases are not allowed",
		edit("id: {keep: a number without meaning}", "id: *a"):           "mask: unknown anchor 'a' referenced",
		edit("id: {keep: a number without meaning}", "<<: {keep: x}"):    "mask: line 8: a name has to be plain text",
		edit("id: {keep: a number without meaning}", "id: !!str x"):      "mask: line 8: tags are not allowed",
		good + "---\na: b\n":                                             "mask: line 18: there is a second document",
		"":                                                               "mask: line 1: the text is empty",
		"a: [":                                                           "mask: line 1: did not find expected node content",
		"- a":                                                            "mask: line 1: is a list, not an object",
	} {
		_, err := maskyaml.Parse([]byte(text))
		require.Error(t, err, text)
		require.Contains(t, err.Error(), want)
		_, ok := errors.AsType[*mask.SpecError](err)
		require.True(t, ok)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{good, "", "a: b", "- a", "a: &x b\nc: *x", "a: [", "? {a: b}\n: c", "\x00", "version: 1\ntables: {t: {columns: {c: email}}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := maskyaml.Parse(data); err != nil {
			_, ok := errors.AsType[*mask.SpecError](err)
			require.True(t, ok, err)
		}
	})
}

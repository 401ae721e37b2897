package pgxmask

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTexts plants values of a masked column wherever the schema has text.
func TestTexts(t *testing.T) {
	rows := `; insert into t select i, (array['zeppelin@example.com', 'Zeppelin O''Brien', '+12125550100', 'Date', '{"a": "zeppelin-17"}'])[i], 'ok' from generate_series(1, 5) i; analyze`
	table := `create table t (id int, a text, b text)`
	policy := columns(`"a": "token", "b": {"keep": "x"}`)
	found := func(texts ...string) (all []string) {
		for _, x := range texts {
			all = append(all, "policy line 1: public.t.a ("+x+"): it has a value of this column, and goes with the schema into the copy; change the text, or accept it")
		}
		return all
	}
	testCases(t, []planCase{
		{name: "comments", ddl: table + rows + `; comment on table t is 'as zeppelin@example.com wrote'; comment on column t.b is 'Zeppelin o''brien'; comment on schema public is '+12125550100';
				create index i on t (b); comment on index i is 'zeppelin@example.com'; create domain d as text; comment on domain d is 'zeppelin@example.com';
				create function f() returns int language sql as 'select 1'; comment on function f is 'zeppelin-17'; comment on column t.id is 'zeppelin@example.community'`,
			policy: policy, want: found("comment function public.f()", "comment schema public", "comment type public.d", "comment public.t", "comment index public.t i", "comment public.t.b")},
		{name: "literals", ddl: `create type e as enum ('one', 'zeppelin@example.com'); create domain d as text default 'Zeppelin O''Brien';
				create table t (id int, a text, b text default 'zeppelin@example.com', constraint c check (b <> 'zeppelin o''brien'))` + rows + `;
				create index i on t (b) where b <> '+12125550100'; create view v as select * from t where a = 'date';
				create function f() returns date language plpgsql as 'begin return ''zeppelin@example.com''; end';
				create table p (x text) partition by list (x); create table p1 partition of p for values in ('zeppelin@example.com')`,
			policy: policy + `, "public.v": {"skip": "x"}, "public.p": {"skip": "x"}`,
			want:   found("domain public.d", "enum public.e", "function public.f()", "partition bound public.p1", "check public.t c", "index public.t i", "default public.t.b", "view public.v")},
		{name: "words of SQL are none", ddl: `create table t (id int, a text, b text, d date default '2024-01-01'::date)` + `; insert into t values (1, 'date', 'x'), (2, 'text', 'y'), (3, '2024', 'z'), (4, 'id', null); comment on table t is 'since 2024'`,
			policy: columns(`"a": "token", "b": {"keep": "x"}, "d": {"keep": "x"}`)},
		{name: "accepted", ddl: table + rows + `; comment on table t is 'as zeppelin@example.com wrote'`, policy: policy, change: accept(SchemaText, "public.t", "comment public.t")},
		{name: "the labels of an enum are its own values", ddl: `create type mood as enum ('happy', 'grumpy'); create table t (id int, a mood, b text); insert into t values (1, 'grumpy', 'x')`,
			policy: columns(`"a": "constant,value=happy", "b": {"keep": "x"}`)},
	})
}

func TestDiscover(t *testing.T) {
	kept := ""
	for _, c := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "firstName", "Client_IP", "dob", "uid", "title", "pwd"} {
		if kept != "" {
			kept += ", "
		}
		kept += `"` + c + `": {"keep": "x"}`
	}
	testCases(t, []planCase{
		{name: "by values and names", ddl: `create table t (id int, a text, b text, c text, d text, e text, f inet, g text, h text, i bigint, j bigint, k jsonb, l text[], m uuid, n text, o text,
				"firstName" text, "Client_IP" text, dob date, uid int, title text, pwd bytea);
				insert into t select x, 'zeppelin' || x || '@example.com', '4111 1111 1111 1111', 'DE89370400440532013000', '123-45-6789', '+1 212 555 0' || x, '192.0.2.1', 'James Zeppelin',
					'zeppelin had called and wanted to know when his order would come', 4111111111111111, 1000000000000000 + x, '{"contact": {"mail": "zeppelin@example.com"}}', array['zeppelin@example.com'],
					gen_random_uuid(), 'paid', '2024-01-0' || (x % 9 + 1), null, null, null, x, 'Dr', null
				from generate_series(100, 300) x; analyze`,
			policy: columns(kept),
			warned: []string{
				`public.t.Client_IP: it is kept, and its name looks like an IP address`,
				`public.t.a: it is kept, and 201 of 201 sampled values look like an e-mail address`,
				`public.t.b: it is kept, and 201 of 201 sampled values look like a card number`,
				`public.t.c: it is kept, and 201 of 201 sampled values look like an IBAN`,
				`public.t.d: it is kept, and 201 of 201 sampled values look like a social security or tax number`,
				`public.t.dob: it is kept, and its name looks like a date of birth`,
				`public.t.e: it is kept, and 201 of 201 sampled values look like a phone number`,
				`public.t.f: it is kept, and 201 of 201 sampled values look like an IP address`,
				`public.t.firstName: it is kept, and its name looks like a name of a person`,
				`public.t.g: it is kept, and 201 of 201 sampled values look like a name of a person`,
				`public.t.h: it is kept, and 201 of 201 sampled values look like free text`,
				`public.t.i: it is kept, and 201 of 201 sampled values look like a card number`,
				`public.t.k: it is kept, and 201 of 201 sampled values look like an e-mail address`,
				`public.t.l: it is kept, and 201 of 201 sampled values look like an e-mail address`,
				`public.t.pwd: it is kept, and its name looks like a password or a key`,
			}},
		{name: "words of masked ones", ddl: `create table t (id int, email text, v tsvector)`, policy: columns(`"email": "email", "v": {"keep": "x"}`),
			warned: []string{`public.t.v: it is kept, and a tsvector has the words of other columns, of which some are masked`}},
		{name: "words", ddl: `create table t (id int, v tsvector)`, policy: columns(`"v": {"keep": "x"}`)},
		{name: "masked ones are none", ddl: `create table t (id int, email text); insert into t values (1, 'zeppelin@example.com')`, policy: columns(`"email": "email"`)},
	})
}

// TestRecognise has what each recogniser knows, and what it must not.
func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name, category, value, want string
	}{
		{"x", "S", "ann@example.com", "an e-mail address"},
		{"x", "S", "@home", ""},
		{"x", "S", "call 4111-1111-1111-1111 now", "a card number"},
		{"x", "S", "4111111111111112", ""},
		{"x", "N", "5500005555555559", "a card number"},
		{"x", "S", "GB82 WEST 1234 5698 7654 32", "an IBAN"},
		{"x", "S", "GB82 WEST 1234 5698 7654 33", ""},
		{"x", "S", "078-05-1120", "a social security or tax number"},
		{"x", "S", "2024-05-1120", ""},
		{"x", "S", "2001:db8::1", "an IP address"},
		{"x", "S", "1.2.3", ""},
		{"x", "S", "12:30", ""},
		{"x", "I", "10.0.0.1/8", "an IP address"},
		{"x", "S", "(212) 555-0100", "a phone number"},
		{"x", "S", "00447700900123", "a phone number"},
		{"x", "D", "2024-05-17", ""},
		{"x", "S", "Mary Smith", "a name of a person"},
		{"x", "S", "Müller", "a name of a person"},
		{"x", "S", "in stock", ""},
		{"x", "S", "the quick brown fox jumps over the lazy dog", "free text"},
		{"customerEmail", "S", "", "an e-mail address"},
		{"email_id", "N", "17", ""},
		{"email_id", "S", "17", "an e-mail address"},
		{"HomePhone2", "S", "", "a phone number"},
		{"PASSWORD_HASH", "S", "", "a password or a key"},
		{"birth_date", "D", "", "a date of birth"},
		{"surname", "S", "", "a name of a person"},
		{"zip", "S", "", "an address"},
		{"lat", "N", "", "a place"},
		{"notes", "S", "", "free text"},
		{"company", "S", "", ""},
		{"status", "S", "paid", ""},
		{"wheel_size", "N", "17", ""},
	} {
		var values []string
		if c.value != "" {
			values = []string{c.value}
		}
		got := looksLike(c.name, c.category, values)
		switch {
		case c.want == "":
			require.Empty(t, got, "%+v", c)
		case c.value == "" || c.name != "x":
			require.Contains(t, got, "its name looks like "+c.want, "%+v", c)
		default:
			require.Equal(t, fmt.Sprintf("1 of 1 sampled values look like %s", c.want), got, "%+v", c)
		}
	}
}

package pgxmask

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// planCase is a schema, a policy for it and what a plan says.
type planCase struct {
	name   string
	since  int // of PostgreSQL
	ddl    string
	policy string // tables
	change func(*Config)
	want   []string // errors, without what all begin with; none: there is a plan
	proven []string // some of the proofs
	warned []string // all warnings
}

// columns is a policy for table public.t.
func columns(text string) string {
	return `"public.t": {"subject": "id", "columns": {"id": {"keep": "a number"}, ` + text + `}}`
}

func accept(kind Kind, table, object string) func(*Config) {
	return func(c *Config) { c.Accept = append(c.Accept, Accepted{kind, table, object, "it is known"}) }
}

// reset makes a database as it was when it was new.
const reset = `do $$ declare s text; begin
	for s in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
		execute format('drop schema %I cascade', s);
	end loop;
	for s in select fdwname from pg_foreign_data_wrapper loop
		execute format('drop foreign data wrapper %I cascade', s);
	end loop;
	perform lo_unlink(oid) from pg_largeobject_metadata;
end $$; create schema public; comment on schema public is 'standard public schema'`

func (c planCase) run(t *testing.T, conn *pgx.Conn) {
	run(t, conn, reset)
	if v := conn.PgConn().ParameterStatus("server_version"); c.since > 0 {
		if major, _, _ := strings.Cut(v, "."); len(major) < 2 || major < strconv.Itoa(c.since) {
			t.Skipf("SKIPPED: PostgreSQL %s does not know this", v)
		}
	}
	run(t, conn, c.ddl)
	cfg := Config{Policy: policy(t, c.policy), Keyring: keyringtest.NewKeyring(t)}
	if c.change != nil {
		c.change(&cfg)
	}
	p, err := NewPlan(t.Context(), conn, cfg)
	var got []string
	if err != nil {
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			got = append(got, strings.TrimPrefix(e.Error(), "pgxmask: "))
		}
	}
	require.Equal(t, c.want, got)
	require.NotContains(t, fmt.Sprintf("%v %#v", err, err), secret)
	if err != nil {
		require.Nil(t, p)
		return
	}
	for _, want := range c.proven {
		require.Contains(t, p.proofLines(), want)
	}
	var warned []string
	for _, w := range p.Warnings() {
		warned = append(warned, w.String())
	}
	require.Equal(t, c.warned, warned)
	require.NotContains(t, fmt.Sprint(p.Warnings(), string(p.Lock())), secret)
	changes, err := p.Changes(p.Lock())
	require.NoError(t, err)
	require.Empty(t, changes)
}

// secret is in values that no error, warning or lock may have.
const secret = "zeppelin"

func (p *Plan) proofLines() (all []string) {
	for _, x := range p.proofs {
		all = append(all, x.object+": "+x.how)
	}
	return all
}

func testCases(t *testing.T, cases []planCase) {
	conn := connect(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, conn) })
	}
}

func TestObjects(t *testing.T) {
	testCases(t, []planCase{
		{name: "table that the policy does not name", ddl: `create table t (id int); create table u (id int)`,
			policy: `"public.t": {"skip": "x"}`,
			want: []string{
				`public.u: the policy does not name this table; give it columns, or leave it out: {"skip": "why"}`,
			}},
		{name: "other schemas are selected, too", ddl: `create schema s; create table s.t (id int); create table t (id int)`,
			policy: `"public.t": {"skip": "x"}`,
			want: []string{
				`s.t: the policy does not name this table; give it columns, or leave it out: {"skip": "why"}`,
			}},
		{name: "but those that Config names alone", ddl: `create schema s; create table s.t (id int); create table t (id int)`,
			policy: `"public.t": {"skip": "x"}`, change: func(c *Config) { c.Schemas = []string{"public"} }},
		{name: "a schema that is not there", ddl: `create table t (id int)`,
			policy: `"public.t": {"skip": "x"}`, change: func(c *Config) { c.Schemas = []string{"public", "pubic"} },
			want: []string{
				`the database (pubic): there is no schema pubic`,
			}},
		{name: "unknown tables and columns", ddl: `create table t (id int, b text, c text)`,
			policy: columns(`"b": "shape", "d": "shape"`) + `,
				"public.u": {"skip": "x"}, "t": {"skip": "x"}, "public.T": {"skip": "x"}`,
			want: []string{
				`policy line 2: public.T: the policy names it, and there is no such table in the selected schemas`,
				`policy line 1: public.t.c: the policy does not name this column; give it a rule, or {"keep": "why"}`,
				`policy line 1: public.t.d: the policy names it, and there is no such column`,
				`policy line 2: public.u: the policy names it, and there is no such table in the selected schemas`,
				`policy line 2: t: it is no name of a schema and a table; write public.customers`,
			}},
		{name: "one table by two names", ddl: `create table t (id int, b text)`,
			policy: columns(`"b": "shape"`) + `, "public.\"t\"": {"skip": "x"}`,
			want: []string{
				`policy line 1: public.t: the policy names it twice`,
			}},
		{name: "views and others", ddl: `create table t (id int); create view v as select * from t; create materialized view m as select * from t;
				create foreign data wrapper w; create server s foreign data wrapper w; create foreign table f (id int) server s;
				create view v2 as select 1 as x; create sequence s; create type c as (a int); create index i on t (id)`,
			policy: `"public.t": {"skip": "x"}, "public.v": {"skip": "x"}, "public.m": {"columns": {"id": {"keep": "x"}}}`,
			want: []string{
				`public.f: the policy does not name this foreign table; leave it out: {"skip": "why"}`,
				`policy line 1: public.m: it is a materialized view, of which no rows are copied; leave it out: {"skip": "why"}`,
				`public.v2: the policy does not name this view; leave it out: {"skip": "why"}`,
			}},
		{name: "a view with a key", ddl: `create table t (id int, b text); create materialized view m as select * from t; create index i on m (id); create unique index u on m (b)`,
			policy: columns(`"b": "shape"`) + `, "public.m": {"skip": "x"}`,
			warned: []string{`public.m: it is a materialized view, which a copy fills from masked rows, and of these nothing is known for its unique index u`}},
		{name: "inheritance", ddl: `create table t (id int); create table u () inherits (t)`,
			policy: columns(`"b": "shape"`) + `, "public.u": {"columns": {"id": {"keep": "x"}}}`,
			want: []string{
				`policy line 1: public.t: it inherits columns and rows, or others inherit its; leave it out: {"skip": "why"}`,
				`policy line 1: public.u: it inherits columns and rows, or others inherit its; leave it out: {"skip": "why"}`,
			}},
		{name: "partitions", ddl: `create schema o; create table t (id int, b text) partition by range (id);
				create table t1 partition of t for values from (0) to (10); create table o.t2 partition of t for values from (10) to (20)`,
			policy: columns(`"b": "shape"`) + `, "public.t1": {"skip": "x"}`, change: func(c *Config) { c.Schemas = []string{"public"} },
			want: []string{
				`public.t: it has partitions in a schema that is not selected; add the schema to Config.Schemas`,
				`policy line 1: public.t1: it is a partition; name public.t alone: what is said of it is for all its partitions`,
			}},
		{name: "a partition without its root", ddl: `create schema o; create table o.t (id int) partition by range (id);
				create table t1 partition of o.t for values from (0) to (10)`,
			policy: `"public.t1": {"skip": "x"}`, change: func(c *Config) { c.Schemas = []string{"public"} },
			want: []string{
				`policy line 1: public.t1: it is a partition of a table in a schema that is not selected; add the schema to Config.Schemas`,
			}},
		{name: "a partition that is foreign", ddl: `create table t (id int, b text) partition by range (id);
				create foreign data wrapper w; create server s foreign data wrapper w;
				create foreign table f partition of t for values from (0) to (10) server s`,
			policy: columns(`"b": "shape"`),
			want: []string{
				`public.f: it is a partition that is a foreign table, of which no rows are copied; leave the whole table out`,
			}},
		{name: "generated columns", ddl: `create table t (id int generated always as identity, b text, u text generated always as (upper(b)) stored)`,
			policy: columns(`"b": "shape", "u": "shape"`),
			want: []string{
				`policy line 1: public.t.u: it is a generated column, which the copy computes again; leave it out of the policy`,
			}},
		{name: "large objects", ddl: `create table t (id int, b oid); select lo_create(0)`, policy: columns(`"b": {"keep": "x"}`),
			want: []string{
				`the database: it has large objects, which are not copied, and public.t.b may refer to them`,
			}},
		{name: "large objects that nobody needs", ddl: `create table t (id int, b oid); select lo_create(0)`, policy: columns(`"b": {"keep": "x"}`),
			change: accept(LargeObjects, "", "")},
		{name: "accepted in vain", ddl: `create table t (id int, b text)`, policy: columns(`"b": "shape"`),
			change: func(c *Config) {
				accept(Unique, "public.t", "t_pkey")(c)
				accept(Rights, "public.t", "")(c)
				c.Accept = append(c.Accept, Accepted{Kind: Check, Table: "public.t", Object: "c"})
			},
			want: []string{
				`public.t (t_pkey): Config.Accept has a finding of kind "unique" that there is none of; leave it out`,
				`public.t: a finding of kind "rights" can not be accepted`,
				`public.t (c): it is accepted without a reason`,
			}},
	})
}

func TestColumns(t *testing.T) {
	testCases(t, []planCase{
		{name: "types", ddl: `create extension citext; create type e as enum ('a'); create type c as (a int); create domain d as text;
				create schema x; create type x.text as enum ('a');
				create table t (id int, a int, b bytea, e e, c c, r int4range, m int4multirange, v e[], f x.text, ok1 citext, ok2 d, ok3 text[], ok4 d[], o oid, x xml, ts tsvector, bit bit(3))`,
			policy: columns(`"a": "email", "b": "shape", "e": "shape", "c": "shape", "r": "shape", "m": "shape", "v": {"rule": "array", "of": "shape"}, "f": "shape", "ok1": "email", "ok2": "email",
				"ok3": {"rule": "array", "of": "shape"}, "ok4": {"rule": "array", "of": "shape"}, "o": "int", "x": "shape", "ts": "text", "bit": "redact"`),
			want: []string{
				`policy line 1: public.t.a: rule email makes text, varchar, bpchar, citext, and the column is integer; take int, noise, round or bucket`,
				`policy line 1: public.t.b: rule shape makes text, varchar, bpchar, citext, and the column is bytea; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.e: rule shape makes text, varchar, bpchar, citext, and the column is public.e; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.c: rule shape makes text, varchar, bpchar, citext, and the column is public.c; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.r: rule shape makes text, varchar, bpchar, citext, and the column is int4range; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.m: rule shape makes text, varchar, bpchar, citext, and the column is int4multirange; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.v: rule {"of":{"rule":"shape"},"rule":"array"} makes text, text[], varchar[], bpchar[], citext[], and the column is public.e[]; take null, keep it with a reason, or leave the table out`,
				`policy line 1: public.t.f: rule shape makes text, varchar, bpchar, citext, and the column is x.text; take null, keep it with a reason, or leave the table out`,
				`policy line 2: public.t.ok4: rule {"of":{"rule":"shape"},"rule":"array"} makes text, text[], varchar[], bpchar[], citext[], and the column is public.d[]; take null, keep it with a reason, or leave the table out`,
				`policy line 2: public.t.o: rule int makes int4, int8, numeric, text, varchar, and the column is oid; take null, keep it with a reason, or leave the table out`,
				`policy line 2: public.t.x: rule shape makes text, varchar, bpchar, citext, and the column is xml; take null, keep it with a reason, or leave the table out`,
				`policy line 2: public.t.ts: rule text makes text, varchar, bpchar, citext, and the column is tsvector; take null, keep it with a reason, or leave the table out`,
				`policy line 2: public.t.bit: rule redact makes text, varchar, bpchar, citext, and the column is bit(3); take null, keep it with a reason, or leave the table out`,
			}},
		{name: "null and kept columns may be of any", ddl: `create type e as enum ('a'); create type c as (a int);
				create table t (id int, b bytea, e e, c c, r int4range, m int4multirange, x xml, v e[])`,
			policy: columns(`"b": "null", "e": "null", "c": {"keep": "x"}, "r": {"keep": "x"}, "m": "null", "x": "null", "v": {"keep": "x"}`)},
		{name: "lengths", ddl: `create domain d as varchar(10);
				create table t (id int, a varchar(33), b varchar(32), c d, d char(2), e varchar(20), f varchar(5), g varchar(10)[], h numeric(9,0), i numeric(12,2), j numeric(5,2), k varchar(1), l varchar(1000))`,
			policy: columns(`"a": "email", "b": "email", "c": "hash", "d": "redact", "e": "text", "f": "shape", "g": {"rule": "array", "of": "shape"}, "h": "int", "i": "int", "j": "noise", "k": "null", "l": "partial,first=1"`),
			want: []string{
				`policy line 1: public.t.b: results have up to 33 characters, and character varying(32) takes 32; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.c: results have up to 32 characters, and public.d takes 10; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.d: results have up to 3 characters, and character(2) takes 2; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.e: there is no bound for the length of results, and character varying(20) takes 20; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.g: there is no bound for the length of elements, and character varying(10)[] takes 10; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.h: results have up to 10 characters, and numeric(9,0) takes 9; take a shorter rule, or one that keeps the length`,
				`policy line 1: public.t.l: there is no bound for the length of results, and character varying(1000) takes 1000; take a shorter rule, or one that keeps the length`,
			}},
		{name: "not null", ddl: `create domain d as date not null; create table t (id int not null, a date not null, b d, c date not null, d date, e text not null)`,
			policy: columns(`"a": "date", "b": "date", "c": "date,fallback=error", "d": "date", "e": "null"`),
			want: []string{
				`policy line 1: public.t.a: rule date can make NULL, and the column is NOT NULL; say fallback=error, if the rule has a fallback`,
				`policy line 1: public.t.b: rule date can make NULL, and the column is NOT NULL; say fallback=error, if the rule has a fallback`,
				`policy line 1: public.t.e: rule null can make NULL, and the column is NOT NULL; say fallback=error, if the rule has a fallback`,
			}},
		{name: "a length that is known to be enough", ddl: `create table t (id int, e varchar(20))`, policy: columns(`"e": "partial,first=1"`), change: accept(Length, "public.t", "e")},
		{name: "accepted for another column", ddl: `create table t (id int, e varchar(20))`, policy: columns(`"e": "text"`), change: accept(Length, "public.t", "id"),
			want: []string{"policy line 1: public.t.e: there is no bound for the length of results, and character varying(20) takes 20; take a shorter rule, or one that keeps the length"}},
		{name: "a subject that can be NULL", ddl: `create table t (id int, b date)`, policy: columns(`"b": "date"`),
			want: []string{
				`policy line 1: public.t.id: it is the subject and can be NULL, and rule date of b refuses such rows; take a subject that is NOT NULL`,
			}},
		{name: "and is known to be none", ddl: `create table t (id int, b date)`, policy: columns(`"b": "date"`), change: accept(NotNull, "public.t", "id")},
	})
}

func TestUnique(t *testing.T) {
	cases := []planCase{
		{name: "by rules", ddl: `create table t (id int primary key, a text unique, b text unique, c text, d text unique, e text unique, f text unique, g text unique, h date unique, unique (a, c), unique (c))`,
			policy: columns(`"a": "email", "b": "pan,fallback=error", "c": "name", "d": "hash,len=8", "e": "redact", "f": "null", "g": "pan,fallback=redact", "h": "date"`),
			want: []string{
				`policy line 1: public.t.c (t_c_key): rule name may make two of about 1000 values equal, with a probability of up to 1; the limit is 1e-09; take a bijective or a longer rule`,
				`policy line 1: public.t.d (t_d_key): rule hash,len=8 may make two of about 1000 values equal, with a probability of up to 0.00012; the limit is 1e-09; take a bijective or a longer rule`,
				`policy line 1: public.t.e (t_e_key): rule redact may make two of about 1000 values equal, with a probability of up to 1; the limit is 1e-09; take a bijective or a longer rule`,
				`policy line 1: public.t.g (t_g_key): all values that rule pan,fallback=redact can not parse become ***; say fallback=error or fallback=null`,
				`policy line 1: public.t.h (t_h_key): rule date may make two of about 1000 values equal, with a probability of up to 1; the limit is 1e-09; take a bijective or a longer rule`,
			}},
		{name: "by shape", ddl: `create table t (id int primary key, a text unique, b text unique, c text unique)`,
			policy: columns(`"a": "email", "b": "shape", "c": "pan"`),
			want: []string{
				`policy line 1: public.t.b (t_b_key): rule shape may make two of about 1000 values equal, with a probability of up to 1; the limit is 1e-09; take a bijective or a longer rule`,
			}},
		{name: "by the number of rows", ddl: `create table t (id int, a text, b text); insert into t select i, i, i from generate_series(1, 1000) i; analyze; create unique index on t (a); create unique index on t (b)`,
			policy: columns(`"a": "token,len=8", "b": "token,len=16"`),
			want: []string{
				`policy line 1: public.t.a (t_a_idx): rule token,len=8 may make two of about 1000 values equal, with a probability of up to 4.5e-07; the limit is 1e-09; take a bijective or a longer rule`,
			}},
		{name: "and known to be no harm", ddl: `create table t (id int, a text); insert into t select i, i from generate_series(1, 1000) i; analyze; create unique index on t (a)`,
			policy: columns(`"a": "token,len=8"`), change: accept(Unique, "public.t", "t_a_idx")},
		{name: "unless another key holds", ddl: `create table t (id int primary key, a text, unique (id, a)); insert into t values (1, 'x')`,
			policy: columns(`"a": "redact"`), proven: []string{"unique constraint t_id_a_key: it has all columns of primary key t_pkey"}},
		{name: "partial", ddl: `create table t (id int, a text, b text, live bool);
				insert into t values (1, 'a@b.c', 'a@b.c', true), (2, 'b@b.c', null, false);
				create unique index i1 on t (a) where live; create unique index i2 on t (a) where b > 'x'; create unique index i3 on t (b) where b is not null; create unique index i4 on t (a) where t.* is not null`,
			policy: columns(`"a": "email", "b": "email", "live": {"keep": "x"}`),
			want: []string{
				`policy line 1: public.t (i2): its predicate uses masked columns, and so may choose other rows`,
				`policy line 1: public.t (i4): its predicate uses masked columns, and so may choose other rows`,
			}},
		{name: "expressions", ddl: `create extension citext; create table t (id int, a text, b citext, c citext, "user" text, e text, f text);
				insert into t select i, i, i, i, i, i, i from generate_series(1, 2) i;
				create unique index i1 on t (lower(a)); create unique index i2 on t (b); create unique index i3 on t (c); create unique index i4 on t (lower("user"));
				create unique index i5 on t (md5(e)); create unique index i6 on t ((id + 1)); create unique index i7 on t (f)`,
			policy: columns(`"a": "email,fallback=error", "b": "token", "c": {"rule": "format", "as": "[A-Za-z0-9]{16}", "fallback": "error"}, "user": "token", "e": "token", "f": "email,case=fold"`),
			want: []string{
				`policy line 1: public.t.c (i3): case does not count here, and results of rule format,as=[A-Za-z0-9]{16},fallback=error may differ in nothing else; take a rule with results in small letters, such as email or token`,
				`policy line 1: public.t (i5): it is by an expression of masked columns`,
				`policy line 1: public.t.f (i7): rule email,case=fold makes values equal that differ in case; say case=exact`,
			}},
		{name: "collations and operators", ddl: `create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
				create table t (id int, a text collate folded, b text, c text, d text collate folded); insert into t values (1, '1', '1', '1', '1');
				create unique index i1 on t (a); create unique index i2 on t (b collate folded); create unique index i4 on t (d);
				create operator class mine for type text using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 bttextcmp(text, text);
				create unique index i3 on t (c mine)`,
			policy: columns(`"a": {"rule": "format", "as": "[A-Za-z0-9]{16}", "fallback": "error"}, "b": {"rule": "format", "as": "[A-Za-z0-9]{16}", "fallback": "error"}, "c": "token", "d": "token"`),
			want: []string{
				`policy line 1: public.t.a (i1): case does not count here, and results of rule format,as=[A-Za-z0-9]{16},fallback=error may differ in nothing else; take a rule with results in small letters, such as email or token`,
				`policy line 1: public.t.b (i2): case does not count here, and results of rule format,as=[A-Za-z0-9]{16},fallback=error may differ in nothing else; take a rule with results in small letters, such as email or token`,
				`policy line 1: public.t (i3): it is by operators of its own`,
			}},
		{name: "nulls not distinct", since: 15, ddl: `create table t (id int, a uuid, b text); create unique index i1 on t (a) nulls not distinct; create unique index i2 on t (b) nulls not distinct; create unique index i3 on t (b)`,
			policy: columns(`"a": "uuid", "b": "null"`),
			want: []string{
				`policy line 1: public.t.a (i1): rule uuid can make NULL of several, which are not distinct here; say fallback=error`,
				`policy line 1: public.t.b (i2): rule null can make NULL of several, which are not distinct here; say fallback=error`,
			}},
		{name: "of generated columns", ddl: `create table t (id int, a text, u text generated always as (upper(a)) stored unique, v int generated always as (id + 1) stored unique)`,
			policy: columns(`"a": "email"`),
			want: []string{
				`policy line 1: public.t (t_u_key): u is generated from masked columns`,
			}},
		{name: "shapes of what does not parse", ddl: `create table t (id int, a text unique); insert into t values (1, '4111111111111111'), (2, 'none'), (3, '1234')`,
			policy: columns(`"a": "pan"`),
			want: []string{
				`policy line 1: public.t.a (t_a_key): rule pan can not parse 2 of 3 sampled values: fallback=shape, by which two may become equal; correct them, say fallback=null, or take another rule`,
			}},
		{name: "exclusion", ddl: `create extension btree_gist; create table t (id int not null, a text, r tsrange, d date,
				constraint x1 exclude using gist (a with =, r with &&), constraint x2 exclude using gist (d with <>), constraint x3 exclude using gist (id with =, r with &&),
				constraint x4 exclude using gist (id with =) where (a > 'x'), constraint x5 exclude using gist (upper(a) with =))`,
			policy: columns(`"a": "email", "r": {"keep": "x"}, "d": "date"`),
			want: []string{
				`policy line 1: public.t.d (x2): it is masked, and compared by more than =`,
				`policy line 1: public.t (x4): its predicate uses masked columns, and so may choose other rows`,
			}},
	}
	testCases(t, cases)
}

func TestPartitions(t *testing.T) {
	testCases(t, []planCase{
		{name: "by a kept key", ddl: `create table t (id int, a text, primary key (id)) partition by range (id); create table t1 partition of t for values from (0) to (10);
				create table t2 partition of t for values from (10) to (20) partition by list (id); create table t3 partition of t2 default; create unique index on t1 (a)`,
			policy: columns(`"a": "email"`),
			warned: []string{
				`public.t.a: values that rule email can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique index t1_a_idx is sure`,
			}},
		{name: "by a masked key", ddl: `create table t (id int not null, a text, d date) partition by range (d); create table t1 partition of t for values from ('2020-01-01') to ('2021-01-01'); create unique index on t1 (a)`,
			policy: columns(`"a": "email", "d": "date"`),
			want: []string{
				`policy line 1: public.t (public.t): the partition key is masked, and there may be no partition for a row; keep the key, or add a default partition`,
				`policy line 1: public.t (t1_a_idx): it is of a partition alone, and rows may come to it from others: the partition key is masked`,
			}},
		{name: "and a partition for each is known to be there", ddl: `create table t (id int, a text) partition by range (a); create table t1 partition of t for values from (minvalue) to (maxvalue)`,
			policy: columns(`"a": "email"`), change: accept(Partition, "public.t", "public.t")},
		{name: "by an expression", ddl: `create table t (id int, a text) partition by range (lower(a)); create table t1 partition of t for values from ('a') to ('z')`,
			policy: columns(`"a": "email"`),
			want: []string{
				`policy line 1: public.t (public.t): the partition key is masked, and there may be no partition for a row; keep the key, or add a default partition`,
			}},
		{name: "with a default", ddl: `create table t (id int, a text) partition by list (a); create table t1 partition of t default`,
			policy: columns(`"a": "email"`), proven: []string{"partitions of public.t: they take every row, whatever its key becomes"}},
		{name: "by hash", ddl: `create table t (id int, a text) partition by hash (a); create table t1 partition of t for values with (modulus 2, remainder 0); create table t2 partition of t for values with (modulus 4, remainder 1)
				; create table t3 partition of t for values with (modulus 4, remainder 3)`,
			policy: columns(`"a": "email"`), proven: []string{"partitions of public.t: they take every row, whatever its key becomes"}},
		{name: "by hash with a hole", ddl: `create table t (id int, a text) partition by hash (a); create table t1 partition of t for values with (modulus 2, remainder 0)`,
			policy: columns(`"a": "email"`),
			want: []string{
				`policy line 1: public.t (public.t): the partition key is masked, and there may be no partition for a row; keep the key, or add a default partition`,
			}},
		{name: "an index that no partition has proves nothing", ddl: `create table t (id int, d int, a text) partition by range (d); create table t1 partition of t default;
				create unique index x on t (d, id, a); create unique index y on only t (d, id)`,
			policy: columns(`"a": "name", "d": {"keep": "x"}`),
			want:   []string{`policy line 1: public.t.a (x): rule name may make two of about 1000 values equal, with a probability of up to 1; the limit is 1e-09; take a bijective or a longer rule`}},
		{name: "one that all have does", ddl: `create table t (id int, d int, a text) partition by range (d); create table t1 partition of t default;
				create unique index x on t (d, id, a); create unique index y on t (d, id)`,
			policy: columns(`"a": "name", "d": {"keep": "x"}`), proven: []string{`unique index x: it has all columns of unique index y`}},
		{name: "checks of one partition", ddl: `create table t (id int, a text, b int) partition by list (id); create table t1 partition of t default; alter table t1 add check (a > 'a'), add check (b > 0); insert into t values (1, 'b@c.d', 1)`,
			policy: columns(`"a": "email", "b": {"keep": "x"}`),
			want: []string{
				`policy line 1: public.t (t1_a_check): it is of partition public.t1 alone, and not tried; add it to all partitions`,
			}},
	})
}

func TestReferences(t *testing.T) {
	two := `create table u (id int primary key, a text unique, b text, c int, unique (b, c), unique (c)); `
	of := func(t, u string) string {
		return `"public.t": {"columns": {` + t + `}}, "public.u": {"columns": {` + u + `}}`
	}
	keep := `{"keep": "x"}`
	testCases(t, []planCase{
		{name: "kept", ddl: two + `create table t (id int references u)`,
			policy: of(`"id": `+keep, `"id": `+keep+`, "a": "email", "b": "email", "c": `+keep), proven: []string{"foreign key t_id_fkey: neither end is masked"},
			warned: []string{
				`public.u.a: values that rule email can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique constraint u_a_key is sure`,
				`public.u.b: values that rule email can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique constraint u_b_c_key is sure`,
			}},
		{name: "one end", ddl: two + `create table t (id int references u, a text references u (a))`,
			policy: of(`"id": "int", "a": `+keep, `"id": `+keep+`, "a": "email", "b": "email", "c": `+keep),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): it is kept, and public.u.a is masked by email; give both the same rule`,
				`policy line 1: public.t.id (t_id_fkey): id is masked by int, and public.u.id is kept; give both the same rule`,
			}},
		{name: "two rules", ddl: two + `create table t (a text references u (a))`,
			policy: of(`"a": "email,domain=x"`, `"id": `+keep+`, "a": "email", "b": "email", "c": `+keep),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): a is masked by email,domain=x, and public.u.a by email; give both the same rule, in the same words`,
			}},
		{name: "the same rule", ddl: two + `create table t (a text references u (a))`,
			policy: of(`"a": "email,domain=x"`, `"id": `+keep+`, "a": "email,domain=x", "b": "email", "c": `+keep),
			proven: []string{"foreign key t_a_fkey: a and public.u.a have the same rule email,domain=x"},
			warned: []string{
				`public.u.a: values that rule email,domain=x can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique constraint u_a_key is sure`,
				`public.u.b: values that rule email can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique constraint u_b_c_key is sure`,
			}},
		{name: "composite", ddl: two + `create table t (c int, b text, foreign key (b, c) references u (b, c) match full); create table v (b text, c int, foreign key (b, c) references u (b, c))`,
			policy: of(`"c": "int", "b": "email"`, `"id": `+keep+`, "a": "email", "b": "email", "c": "int"`) + `, "public.v": {"columns": {"b": "email", "c": "int"}}`,
			want: []string{
				`policy line 1: public.t (t_b_c_fkey): rule int can make NULL, and MATCH FULL takes no key of which a part is NULL; say fallback=error`,
			}},
		{name: "to itself", ddl: `create table t (id int primary key, up int references t)`,
			policy: `"public.t": {"columns": {"id": "int,fallback=error", "up": "int"}}`,
			want: []string{
				`policy line 1: public.t.up (t_up_fkey): up is masked by int, and public.t.id by int,fallback=error; give both the same rule, in the same words`,
			}},
		{name: "to what is left out", ddl: two + `create schema o; create table o.w (id int primary key);
				create table t (id int references u, b int references o.w, c int references u, d int references o.w)`,
			policy: `"public.t": {"columns": {"id": ` + keep + `, "b": ` + keep + `, "c": "null", "d": ` + keep + `}}, "public.u": {"skip": "x"}`,
			change: func(c *Config) {
				c.Schemas = []string{"public"}
				accept(ForeignKey, "public.t", "t_d_fkey")(c)
			},
			want: []string{
				`policy line 1: public.t.b (t_b_fkey): it refers to a table that is left out; copy that one, too, or mask the column by null`,
				`policy line 1: public.t.id (t_id_fkey): it refers to a table that is left out; copy that one, too, or mask the column by null`,
			}},
		{name: "by the row", ddl: `create table u (id int primary key, d date unique); create table t (id int primary key, d date references u (d))`,
			policy: `"public.t": {"subject": "id", "columns": {"id": ` + keep + `, "d": "date"}}, "public.u": {"subject": "id", "columns": {"id": ` + keep + `, "d": "date"}}`,
			change: accept(Unique, "public.u", "u_d_key"),
			want: []string{
				`policy line 1: public.t.d (t_d_fkey): rule date makes different results of equal values in other rows; take one that depends on the value alone`,
			}},
		{name: "of types", ddl: `create extension citext; create table u (a citext unique, b numeric unique, c varchar(40) unique, d bigint unique, e char(9) unique);
				create table t (a citext references u (a), b numeric references u (b), c text references u (c), d int references u (d), e char(12) references u (e))`,
			policy: of(`"a": "email", "b": "int", "c": "email", "d": "int", "e": "ssn"`, `"a": "email", "b": "int", "c": "email", "d": "int", "e": "ssn"`),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): case does not count between a and public.u.a, and does in rule email; take case=fold, if the rule has it`,
				`policy line 1: public.t.b (t_b_fkey): b and public.u.b are numeric and numeric, in which equal values may be written differently; give both the same type`,
				`policy line 1: public.t.e (t_e_fkey): e and public.u.e are character(12) and character(9), in which equal values may be written differently; give both the same type`,
			}},
		{name: "citext", ddl: `create extension citext; create table u (a citext unique); create table t (a citext references u (a))`,
			policy: of(`"a": "email,case=fold"`, `"a": "email,case=fold"`),
			warned: []string{
				`public.u.a: values that rule email,case=fold can not parse become others of their shape, of which two may be equal: with fallback=error, or null, unique constraint u_a_key is sure`,
			}},
		{name: "in a collation", ddl: `create collation folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false); create table u (a text collate folded unique); create table t (a text collate folded references u (a))`,
			policy: of(`"a": "email,case=fold"`, `"a": "email,case=fold"`),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): in the collation of a and public.u.a equal values may be written differently`,
			}},
		{name: "to a partition", ddl: `create table u (id int primary key) partition by list (id); create table u1 partition of u default; create table t (id int references u, b int references u1 (id))`,
			policy: of(`"id": "int", "b": "int"`, `"id": "int,fallback=error"`),
			want: []string{
				`policy line 1: public.t.b (t_b_fkey): it refers to a partition alone`,
				`policy line 1: public.t.id (t_id_fkey): id is masked by int, and public.u.id by int,fallback=error; give both the same rule, in the same words`,
			}},
		{name: "of arrays", ddl: `create table u (a numeric[] unique, b text[] unique); create table t (a numeric[] references u (a), b text[] references u (b))`,
			policy: of(`"a": {"rule": "array", "of": "int,fallback=error"}, "b": {"rule": "array", "of": "token"}`, `"a": {"rule": "array", "of": "int,fallback=error"}, "b": {"rule": "array", "of": "token"}`),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): a and public.u.a are numeric[] and numeric[], in which equal values may be written differently; give both the same type`,
			}},
		{name: "of arrays of citext", ddl: `create extension citext; create table u (a citext[] unique); create table t (a citext[] references u (a))`,
			policy: of(`"a": {"rule": "array", "of": "iban,fallback=error"}`, `"a": {"rule": "array", "of": "iban,fallback=error"}`),
			want: []string{
				`policy line 1: public.t.a (t_a_fkey): case does not count between a and public.u.a, and does in rule {"of":{"fallback":"error","rule":"iban"},"rule":"array"}; take case=fold, if the rule has it`,
				`policy line 1: public.u.a (u_a_key): case does not count here, and results of rule {"of":{"fallback":"error","rule":"iban"},"rule":"array"} may differ in nothing else; take a rule with results in small letters, such as email or token`,
			}},
		{name: "virtual", ddl: `create table u (a text, b text); create table t (a text, b text)`,
			policy: of(`"a": "email", "b": "email"`, `"a": "email", "b": "email,domain=x"`),
			change: func(c *Config) {
				c.References = []Reference{
					{"public.t", []string{"a"}, "public.u", []string{"a"}}, {"public.t", []string{"a", "b"}, "public.u", []string{"a", "b"}},
					{"public.t", []string{"a"}, "public.u", []string{"a", "b"}}, {"public.t", []string{"x"}, "public.u", []string{"a"}},
					{"public.v", []string{"a"}, "public.u", []string{"a"}}, {"public.t", []string{"a"}, "u", []string{"a"}}, {"public.t", nil, "public.u", nil},
				}
			},
			want: []string{
				`policy line 1: public.t.a (public.t (a, b) to public.u (a, b)): b is masked by email, and public.u.b by email,domain=x; give both the same rule, in the same words`,
				`public.t: Config.References: there have to be as many columns as target columns, and at least one`,
				`public.t.x: Config.References: there is no such column`,
				`public.t: Config.References: u is not copied`,
				`public.t: Config.References: there have to be as many columns as target columns, and at least one`,
				`public.v: Config.References: public.v is not copied`,
			}},
	})
}

// TestInvalidIndex has an index that could not be built, for there are duplicates: it proves
// nothing, and pg_dump leaves it out.
func TestInvalidIndex(t *testing.T) {
	conn := connect(t, `create table t (id int, e text, f text)`, `insert into t values (1, 'ann@example.com', 'a'), (2, 'ann@example.com', 'b')`)
	_, err := conn.Exec(t.Context(), `create unique index concurrently x on t (e)`)
	require.Error(t, err)
	run(t, conn, `create unique index y on t (e, f)`)
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"e": "email,fallback=error", "f": "given"`))
	require.ErrorContains(t, err, "rule given may make two")
	require.Nil(t, p)
}

// TestPolicyRoles has a row-level policy for a role that the server of the copy may not have.
func TestPolicyRoles(t *testing.T) {
	conn := connect(t, `create table t (id int, e text)`, `create policy p on t to pg_monitor, public using (true)`, `create policy q on t to pg_read_all_data, current_user using (true)`)
	var user string
	require.NoError(t, conn.QueryRow(t.Context(), "select quote_ident(current_user)").Scan(&user))
	p, err := newPlan(t, conn, keyringtest.NewKeyring(t), columns(`"e": "email,fallback=error"`))
	require.NoError(t, err)
	require.Equal(t, []Warning{{"public.t", "", "its policy q is for role " + user + ", without which the copy can not be restored"}}, p.Warnings())
}

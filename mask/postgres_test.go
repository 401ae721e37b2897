package mask_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/mask"
)

// TestPostgres has PostgreSQL read the results of rules for its types, also those of
// values that do not fit, and read back what it writes itself.
func TestPostgres(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(t.Context()) })
	_, err = conn.Exec(t.Context(), "set timezone to 'Asia/Kolkata'")
	require.NoError(t, err)
	one := func(sql string, args ...any) (out string) {
		t.Helper()
		require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&out), "%s %q", sql, args)
		return out
	}
	row := &mask.Row{Subject: []byte("42")}
	for _, c := range []struct {
		rule, typ string
		values    []string // as SQL
	}{
		{"date", "date", []string{"'2024-02-29'", "'0001-01-01'", "'9999-12-31'", "'infinity'", "'0044-03-15 BC'"}},
		{"date,weeks=yes", "timestamp", []string{"'2024-02-29 23:59:59.999999'", "'2024-02-29 24:00'", "'-infinity'", "'12024-02-29'"}},
		{"date-round", "timestamptz", []string{"now()", "'2024-02-29 12:00+14'", "'1890-01-01 00:00:00+00'"}},
		{"date", "timestamptz", []string{"now()", "'1890-01-01 00:00:00+00'"}},
		{"uuid", "uuid", []string{"gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"}},
		{"ip", "inet", []string{"'192.0.2.17'", "'10.1.2.3/8'", "'2001:db8::1/64'", "'::ffff:1.2.3.4'", "'0.0.0.0/0'", "'::'"}},
		{"ip", "cidr", []string{"'10.1.0.0/16'", "'2001:db8::/32'", "'10.1.2.3'", "'0.0.0.0/0'"}},
		{"mac", "macaddr", []string{"'08:00:2b:01:02:03'"}},
		{"mac", "macaddr8", []string{"'08:00:2b:01:02:03:04:05'"}},
		{"noise", "numeric", []string{"1234.50", "-0.0001", "0", "'NaN'", "1e30", "'Infinity'", "999999999999999999"}},
		{"noise", "float8", []string{"1234.5", "1e300", "1e-300", "'-Infinity'", "0.1"}},
		{"noise", "int8", []string{"9223372036854775807", "-1"}},
		{"bucket,size=10", "int4", []string{"2147483647", "-2147483640"}},
		{"round,to=10", "numeric", []string{"1e17", "-15"}},
		{"age", "int2", []string{"0", "42", "117", "-1"}},
		{"int", "int4", []string{"1", "2147483647", "0"}},
		{arrayRule, "text[]", []string{"array['ann@example.com', null, '', 'a \"b\" \\ {c}', 'NULL']", "'{}'", "array[['a@b','c@d'],['e@f','g@h']]"}},
		{`{"rule":"array","of":"int"}`, "int4[]", []string{"array[1,null,7]", "'[0:1]={1,2}'"}},
		{`{"rule":"array","of":"date"}`, "date[]", []string{"array['2024-02-29'::date, null]"}},
		{jsonRule, "jsonb", []string{`'{"email":"ann@example.com","phones":["+12125550100"],"n":12.50,"x":{"card":"4111111111111111"}}'`, "'[]'", `'"x\u00e9\"\\"'`, "'7'"}},
		{jsonRule, "json", []string{`'{"email" : "ann@example.com", "email": 1e400}'`}},
		{hstoreRule, "hstore", []string{`'email=>ann@example.com, b=>NULL, "c \" d"=>"e, f=>\\"'`, "''"}},
	} {
		if c.typ == "hstore" {
			_, err := conn.Exec(t.Context(), "create extension hstore")
			require.NoError(t, err)
		}
		r := newRule(t, fixed(), c.rule)
		require.Contains(t, r.Properties().Types, c.typ, "%s says what it is for", c.rule)
		for _, value := range c.values {
			text := one("select (" + value + ")::" + c.typ + "::text")
			out, err := r.Append(nil, []byte(text), row)
			require.NoError(t, err)
			if out == nil {
				require.True(t, r.Properties().Nullable)
				continue
			}
			one("select $1::text::"+c.typ+"::text", string(out))
		}
	}
}

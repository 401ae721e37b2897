package sealform

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// TestTextsAreRefused has texts that pgx reads as other values than PostgreSQL, which
// refuses them. Those that are taken show that the refusal is of the text.
func TestTextsAreRefused(t *testing.T) {
	for _, c := range []struct {
		typ       string
		taken, no []string
	}{
		{"int4", []string{"5", "-2147483648"}, []string{"2147483648", "5.5", "", "x"}},
		{"int2[]", []string{"{1,NULL,32767}", "{}", "[2:3]={1,2}", "{{1},{2}}"}, []string{"{32768}", "{NULL,-32769}", "{1.5}", "{{1},{2,3}}"}},
		{"name[]", []string{"{x}"}, []string{"{" + string(make([]byte, 64)) + "}", "{aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234}"}},
		{"bool", []string{"t", "false"}, []string{"terrible", "", "x"}},
		{"bool[]", []string{"{t,NULL}"}, []string{"{terrible}"}},
		{"uuid", []string{"0a0b0c0d-0102-0304-0506-0708090a0b0c"}, []string{"0a0b0c0d_0102_0304_0506_0708090a0b0c", "0a"}},
		{"time", []string{"24:00:00", "11:22:33.5"}, []string{"24:00:01", "25:61:00", "10:61:00", "10:00:00.1234567"}},
		{"timestamp", []string{"2024-02-29 23:59:59.5"}, []string{"2024-02-30 00:00:00", "2024-01-01 25:00:00", "2024-01-01 00:61:00"}},
		{"date", []string{"2024-02-29", "infinity"}, []string{"2024-02-30", "2024-13-01"}},
		{"timestamptz", []string{"-infinity", "2024-02-29 23:59:59+05:30"}, []string{"2024-02-30 00:00:00+00"}},
		{"timestamp[]", []string{`{infinity,NULL,"2024-02-29 23:59:59"}`}, []string{"{x}"}},
		{"daterange", []string{"[2024-02-29,infinity)"}, []string{"[2024-02-29,2023-01-01)"}},
		{"interval", []string{"1 year 2 mons -3 days +04:05:06.789", "-00:00:01", "1 day", "-1 mons +1 day", "-1 years +2 mons"}, []string{"00:61:00", "99999999999 days", "00:00:00.0000001", "1 day 2 days", "300000000 years", ""}},
		{"inet", []string{"fe80::1", "10.0.0.1/8"}, []string{"fe80::1%eth0", "10.0.0.300"}},
		{"cidr", []string{"10.0.0.0/8"}, []string{"10.1.2.3/8"}},
		{"cidr[]", []string{"{10.0.0.0/8}"}, []string{"{10.1.2.3/8}"}},
		{"varbit", []string{"0101", ""}, []string{"012", "x"}},
		{"json", []string{`"\u0000"`}, []string{"{", "\"\xff\""}},
		{"jsonb", []string{`"x"`}, []string{`"\u0000"`}},
		{"jsonb[]", []string{`{"\"x\""}`}, []string{`{"\"\\u0000\""}`}},
		{"int4range", []string{"[1,3)"}, []string{"[3,1)"}},
		{"tstzrange", []string{`["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")`}, []string{`["2024-01-02 00:00:00+00","2024-01-01 00:00:00+00")`}},
		{"numrange", []string{"(1.5,)", "empty"}, []string{"[2,1.5]"}},
		{"int8multirange", []string{"{[1,3),[5,7)}", "{}"}, []string{"{[3,1)}"}},
		{"tsrange[]", []string{`{"[\"2024-01-01 00:00:00\",)",NULL}`}, []string{`{"[\"2024-01-01 00:00:00\",\"2023-01-01 00:00:00\")"}`}},
		{"text[]", []string{"{a}"}, []string{"{\xff}"}},
	} {
		pg, err := Named(c.typ)
		require.NoError(t, err)
		for _, text := range c.taken {
			form, err := pg.AppendForm(NewMap(), []byte("x"), []byte(text))
			require.NoError(t, err, "%s %q", c.typ, text)
			back, err := pg.AppendText(NewMap(), nil, form[1:])
			require.NoError(t, err, "%s %q", c.typ, text)
			again, err := pg.AppendForm(NewMap(), []byte("x"), back)
			require.NoError(t, err, "%s %q", c.typ, back)
			require.Equal(t, form, again)
		}
		for _, text := range c.no {
			out, err := pg.AppendForm(NewMap(), []byte("x"), []byte(text))
			require.ErrorIs(t, err, ErrValue, "%s %q", c.typ, text)
			require.Equal(t, "x", string(out))
		}
	}
}

// TestMapsAreChecked holds that the rules stand in the map of types, and only there.
func TestMapsAreChecked(t *testing.T) {
	for oid := range rules {
		before, _ := pgtype.NewMap().TypeForOID(oid)
		after, _ := NewMap().TypeForOID(oid)
		require.Equal(t, before.Name, after.Name)
		require.IsType(t, checked{}, after.Codec)
		require.NotEqual(t, before.Codec, after.Codec)
	}
}

// TestWithoutExponent holds numbers that are written out to what they were.
func TestWithoutExponent(t *testing.T) {
	for _, sign := range []string{"", "-", "+"} {
		for _, mantissa := range []string{"0", "1", "10", "007", "0.0", "0.50", "12.345", ".5", "5.", "00.001", "123456789012345678901234567890.5"} {
			for e := -40; e <= 40; e++ {
				text := fmt.Sprint(sign, mantissa, "e", e)
				plain := withoutExponent(text)
				want, ok := new(big.Rat).SetString(text)
				require.True(t, ok, text)
				got, ok := new(big.Rat).SetString(plain)
				require.True(t, ok, plain)
				require.Zero(t, want.Cmp(got), "%s is %s", text, plain)
				require.NotContains(t, plain, "e")
			}
		}
	}
	for _, other := range []string{"", "e", "1", "1.5", "NaN", "Infinity", "1e", "e1", "1e1.0", "0x1e2", "1e99999999999999999999", "1e131072", " 1e5"} {
		require.Equal(t, other, withoutExponent(other))
	}
}

package pgxfield_test

import (
	"context"
	"database/sql/driver"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

func refuse[T any](cfg pgxfield.Config, name string) func(*keyring.Keyring) error {
	return func(kr *keyring.Keyring) error {
		return pgxfield.CheckStruct(kr, reflect.TypeFor[T](), name, cfg)
	}
}

// base is what the structs below would be accepted with.
type base struct {
	ID int64  `db:"id"`
	A  string `db:"a" seal:"encrypt"`
}

// Types that are made of themselves.
type (
	link struct {
		Name string
		Next []*link
	}
	lists []lists
)

type exported string

type onlyValuer string

func (v onlyValuer) Value() (driver.Value, error) { return strings.ToUpper(string(v)), nil }

type onlyScanner struct{ s string }

func (s *onlyScanner) Scan(src any) error { s.s, _ = src.(string); return nil }

// pair has two sealed columns, one of them with an index.
type pair struct {
	ID int64  `db:"id"`
	A  string `db:"a" seal:"encrypt,index=a_idx"`
	B  bool   `db:"b" seal:"encrypt"`
}

func parts(columns ...string) (parts []pgxfield.CompoundPart) {
	for _, c := range columns {
		parts = append(parts, pgxfield.CompoundPart{Column: c})
	}
	return parts
}

func TestNewTableRefuses(t *testing.T) {
	type none = pgxfield.Config
	kr := keyringtest.NewKeyring(t)
	require.NoError(t, refuse[base](none{RowKey: []string{"id"}}, "s.t")(kr))
	for _, c := range []struct {
		want string
		try  func(*keyring.Keyring) error
	}{
		{"needs a keyring", func(*keyring.Keyring) error { return refuse[base](none{}, "t")(nil) }},
		{"int is no struct", refuse[int](none{}, "t")},
		{"is no struct", refuse[*base](none{}, "t")},
		{"has to be", refuse[base](none{}, "")},
		{"has to be", refuse[base](none{}, "a.b.c")},
		{"has to be", refuse[base](none{}, ".a")},
		{"reserved", refuse[base](none{Name: "sealfield/x"}, "t")},
		{"has no field with a seal tag", refuse[struct {
			ID int64 `db:"id"`
		}](none{}, "t")},

		// Tags.
		{`the first word is ""`, refuse[struct {
			A string `db:"a" seal:""`
		}](none{}, "t")},
		{`the first word is "index=x"`, refuse[struct {
			A string `db:"a" seal:"index=x"`
		}](none{}, "t")},
		{"no spaces", refuse[struct {
			A string `db:"a" seal:"encrypt, norow"`
		}](none{}, "t")},
		{`unknown word ""`, refuse[struct {
			A string `db:"a" seal:"encrypt,"`
		}](none{}, "t")},
		{`unknown word "encrypt"`, refuse[struct {
			A string `db:"a" seal:"encrypt,encrypt"`
		}](none{}, "t")},
		{`unknown word "row"`, refuse[struct {
			A string `db:"a" seal:"encrypt,row=id"`
		}](none{}, "t")},
		{`unknown word "norow"`, refuse[struct {
			A string `db:"a" seal:"encrypt,norow=true"`
		}](none{}, "t")},
		{"norow is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,norow,norow"`
		}](none{}, "t")},
		{"type= is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,type=text,type=text"`
		}](none{}, "t")},
		{"name= is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,name=x,name=y"`
		}](none{}, "t")},
		{"type= has no value", refuse[struct {
			A string `db:"a" seal:"encrypt,type="`
		}](none{}, "t")},
		{"index= has no value", refuse[struct {
			A string `db:"a" seal:"encrypt,index="`
		}](none{}, "t")},
		{"norm= belongs after", refuse[struct {
			A string `db:"a" seal:"encrypt,norm=email"`
		}](none{}, "t")},
		{"norm= belongs after", refuse[struct {
			A string `db:"a" seal:"encrypt,norm=email,index=x"`
		}](none{}, "t")},
		{"norm= is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,norm=email,norm=email"`
		}](none{}, "t")},
		{"norm=rot13 is no normalizer", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,norm=rot13"`
		}](none{}, "t")},
		{"kind= belongs after", refuse[struct {
			A string `db:"a" seal:"encrypt,kind=prefix,index=x"`
		}](none{}, "t")},
		{"kind= is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,kind=prefix,kind=prefix"`
		}](none{}, "t")},
		{`no kind "like"`, refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,kind=like"`
		}](none{}, "t")},
		{"bits=x is no positive number", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,bits=x"`
		}](none{}, "t")},
		{"bits=0 is no positive number", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,bits=0"`
		}](none{}, "t")},
		{"bits=010 is no positive number", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,bits=010"`
		}](none{}, "t")},
		{"bits= is repeated", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,bits=10,bits=10"`
		}](none{}, "t")},
		{"Bits is 129", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,bits=129"`
		}](none{}, "t")},
		{"Bits is for Exact", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,kind=ngram,bits=64"`
		}](none{}, "t")},
		{"are 9 and 8", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,kind=prefix,min=9"`
		}](none{}, "t")},
		{"unique= is for kind exact", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,unique=y,kind=prefix"`
		}](none{}, "t")},
		{"unique= is for kind exact", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,unique=y,bits=64"`
		}](none{}, "t")},
		{"unique= belongs after", refuse[struct {
			A string `db:"a" seal:"encrypt,unique=y,index=x"`
		}](none{}, "t")},
		{"column x is there already", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,unique=x"`
		}](none{}, "t")},
		{"a unique index has 128 bits", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: parts("a", "b"), Unique: "y", Bits: 64}}}, "t")},
		{"min= belongs after", refuse[struct {
			A string `db:"a" seal:"encrypt,min=3"`
		}](none{}, "t")},
		{"kind=prefix is for text", refuse[struct {
			A []byte `db:"a" seal:"encrypt,index=x,kind=prefix"`
		}](none{}, "t")},
		{"needs no index=", refuse[struct {
			A string `db:"a" seal:"token=siv,index=x"`
		}](none{}, "t")},
		{"never bound to its row", refuse[struct {
			A string `db:"a" seal:"token=siv,norow"`
		}](none{}, "t")},
		{"can not be searched", refuse[struct {
			A float64 `db:"a" seal:"token=siv"`
		}](none{}, "t")},
		{"has so few values", refuse[struct {
			A bool `db:"a" seal:"token=siv"`
		}](none{}, "t")},
		{"has so few values", refuse[struct {
			A *bool `db:"a" seal:"encrypt,index=x"`
		}](none{}, "t")},
		{"force belongs after", refuse[struct {
			A bool `db:"a" seal:"encrypt,force,index=x"`
		}](none{}, "t")},
		{"force is repeated", refuse[struct {
			A bool `db:"a" seal:"encrypt,index=x,force,force"`
		}](none{}, "t")},
		{"force is repeated", refuse[struct {
			A bool `db:"a" seal:"token=siv,force,force"`
		}](none{}, "t")},

		// Compound indexes and normalizers.
		{"at least two columns", refuse[base](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: parts("a")}}}, "t")},
		{"needs a Column", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Of: parts("a", "b")}}}, "t")},
		{"column id is not sealed", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: parts("a", "id")}}}, "t")},
		{"column a_idx is not sealed", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: parts("a", "a_idx")}}}, "t")},
		{"column a_idx is there already", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "a_idx", Of: parts("a", "b")}}}, "t")},
		{"norm=rot13 is no normalizer", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: []pgxfield.CompoundPart{{Column: "a"}, {Column: "b", Norm: "rot13"}}}}}, "t")},
		{"Bits is 200", refuse[pair](none{Compound: []pgxfield.CompoundIndex{{Column: "x", Of: parts("a", "b"), Bits: 200}}}, "t")},
		{"the name of another one", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,norm=email"`
		}](none{Normalizers: map[string]token.Normalizer{"email": token.Digits}}, "t")},
		{`"phone" is nil`, refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,norm=phone"`
		}](none{Normalizers: map[string]token.Normalizer{"phone": nil}}, "t")},

		// Fields.
		{"it needs a db tag", refuse[struct{ A string }](none{}, "t")},
		{"it needs a db tag", refuse[struct {
			A string `db:"" seal:"encrypt"`
		}](none{}, "t")},
		{"is not stored", refuse[struct {
			A string `db:"-" seal:"encrypt"`
		}](none{}, "t")},
		{"is not stored", refuse[struct {
			a string `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"no pointer", refuse[struct{ *base }](none{}, "t")},
		{"is not stored", refuse[struct {
			base `seal:"encrypt"`
		}](none{}, "t")},
		{"without tags", refuse[struct {
			base `db:"base"`
		}](none{}, "t")},
		{"only a struct can be embedded", refuse[struct{ exported }](none{}, "t")},
		{"field Text: field String: it needs a db tag", refuse[struct{ pgtype.Text }](none{}, "t")},
		{"field Time: the embedded struct has no column", refuse[struct {
			base
			time.Time
		}](none{}, "t")},
		{"field base: field ID: column id is there already", refuse[struct {
			ID int64 `db:"id"`
			base
		}](none{}, "t")},
		{"field base: field A: column a is there already", refuse[struct {
			B string `db:"b" seal:"encrypt,index=a"`
			base
		}](none{}, "t")},
		{"field base: field A: name a is there already", refuse[struct {
			B string `db:"b" seal:"encrypt,name=a"`
			base
		}](none{}, "t")},

		// "app" with "users.email" would have the keys of "app.users" with "email".
		{`field A: the logical name "users.email" has a point in it`, refuse[struct {
			A string `db:"users.email" seal:"encrypt"`
		}](none{}, "app")},
		{`has a point in it`, refuse[struct {
			A string `db:"a" seal:"encrypt,name=users.email"`
		}](none{}, "app")},
		{`has a point in it`, refuse[struct {
			A string `db:"users.email" seal:"token=siv"`
		}](none{}, "app")},

		// Names that PostgreSQL would cut off.
		{"1 to 63 bytes", refuse[base](none{}, strings.Repeat("t", 64))},
		{"1 to 63 bytes", refuse[base](none{}, strings.Repeat("s", 64)+".t")},
		{"1 to 63 bytes", refuse[base](none{}, "t\x00")},
		{"1 to 63 bytes", refuse[struct {
			A string `db:"a23456789_123456789_123456789_123456789_123456789_123456789_1234" seal:"encrypt"`
		}](none{}, "t")},
		{"1 to 63 bytes", refuse[struct {
			A string `db:"a" seal:"encrypt,index=a23456789_123456789_123456789_123456789_123456789_123456789_1234"`
		}](none{}, "t")},
		{"1 to 63 bytes", refuse[struct {
			A string `db:"größe_6789_123456789_123456789_123456789_123456789_123456789_1" seal:"encrypt"`
		}](none{}, "t")},
		{"column a is there already", refuse[struct {
			A string `db:"a" seal:"encrypt"`
			B string `db:"a"`
		}](none{}, "t")},
		{"column b is there already", refuse[struct {
			A string `db:"a" seal:"encrypt,index=b"`
			B []byte `db:"b"`
		}](none{}, "t")},
		{"column x is there already", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x"`
			B string `db:"b" seal:"encrypt,index=x"`
		}](none{}, "t")},
		{"name a is there already", refuse[struct {
			A string `db:"a" seal:"encrypt"`
			B string `db:"b" seal:"encrypt,name=a"`
		}](none{}, "t")},

		// Types.
		{"has no PostgreSQL type", refuse[struct {
			A chan int `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"has no PostgreSQL type", refuse[struct {
			A any `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"has no PostgreSQL type", refuse[struct {
			A complex128 `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"has no PostgreSQL type", refuse[struct {
			A struct{ hidden int } `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"can not be stored as type jsonb", refuse[struct {
			A struct{ F func() } `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"pointer to a pointer", refuse[struct {
			A **string `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"it has no modifiers", refuse[struct {
			A string `db:"a" seal:"encrypt,type=varchar(10)"`
		}](none{}, "t")},
		{"it is int4 there", refuse[struct {
			A int `db:"a" seal:"encrypt,type=integer"`
		}](none{}, "t")},
		{"it is float8 there", refuse[struct {
			A []float64 `db:"a" seal:"encrypt,type=double[]"`
		}](none{}, "t")},
		{"arrays one []", refuse[struct {
			A []string `db:"a" seal:"encrypt,type=text[][]"`
		}](none{}, "t")},
		{"type=money is built in, but", refuse[struct {
			A string `db:"a" seal:"encrypt,type=money"`
		}](none{}, "t")},
		{"type=pg_catalog.record is built in, but", refuse[struct {
			A string `db:"a" seal:"encrypt,type=pg_catalog.record"`
		}](none{}, "t")},
		{"type=a.b.c: the name has to be", refuse[struct {
			A string `db:"a" seal:"encrypt,type=a.b.c"`
		}](none{}, "t")},
		{"1 to 63 bytes", refuse[struct {
			A string `db:"a" seal:"encrypt,type=a23456789_123456789_123456789_123456789_123456789_123456789_1234"`
		}](none{}, "t")},

		// Custom types, and ranges.
		{"can not be stored as type mood[]: it is no slice", refuse[struct {
			A int `db:"a" seal:"encrypt,type=mood[]"`
		}](none{}, "t")},
		{"can not be stored as type mood", refuse[struct {
			A []string `db:"a" seal:"encrypt,type=mood"`
		}](none{}, "t")},
		{"can not be stored as type mood", refuse[struct {
			A map[string]int `db:"a" seal:"encrypt,type=mood"`
		}](none{}, "t")},
		{"field F: it has no text form", refuse[struct {
			A struct{ F chan int } `db:"a" seal:"encrypt,type=pair"`
		}](none{}, "t")},
		{"without exported fields", refuse[struct {
			A struct{ f int } `db:"a" seal:"encrypt,type=pair"`
		}](none{}, "t")},
		{"it has no text form", refuse[struct {
			A pgtype.Range[int32] `db:"a" seal:"encrypt,type=floatrange"`
		}](none{}, "t")},
		{"field Next: no composite is a member of itself", refuse[struct {
			A link `db:"a" seal:"encrypt,type=link"`
		}](none{}, "t")},
		{"the Go type pgxfield_test.lists has no PostgreSQL type of its own", refuse[struct {
			A lists `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"have no last dimension", refuse[struct {
			A lists `db:"a" seal:"encrypt,type=int4[]"`
		}](none{}, "t")},
		{"norm=email is for text, and the type is mood", refuse[struct {
			A string `db:"a" seal:"encrypt,type=mood,index=x,norm=email"`
		}](none{}, "t")},
		{"has no PostgreSQL type", refuse[struct {
			A pgtype.Range[time.Time] `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"has no PostgreSQL type", refuse[struct {
			A pgtype.Multirange[pgtype.Range[int64]] `db:"a" seal:"encrypt"`
		}](none{}, "t")},
		{"can not be searched", refuse[struct {
			A pgtype.Range[pgtype.Int4] `db:"a" seal:"token=siv"`
		}](none{}, "t")},
		{"can not be searched", refuse[struct {
			A pgtype.Point `db:"a" seal:"encrypt,index=x"`
		}](none{}, "t")},
		{"only one of driver.Valuer and sql.Scanner", refuse[struct {
			A onlyValuer `db:"a" seal:"encrypt,type=text"`
		}](none{}, "t")},
		{"only one of driver.Valuer and sql.Scanner", refuse[struct {
			A *onlyScanner `db:"a" seal:"encrypt,type=text"`
		}](none{}, "t")},
		{"int can not be stored as type date", refuse[struct {
			A int `db:"a" seal:"encrypt,type=date"`
		}](none{}, "t")},
		{"time.Time can not be stored as type int8", refuse[struct {
			A time.Time `db:"a" seal:"encrypt,type=int4"`
		}](none{}, "t")},
		{"can not be stored as type text[]", refuse[struct {
			A int `db:"a" seal:"encrypt,type=text[]"`
		}](none{}, "t")},

		// Indexes.
		{"norm=email is for text", refuse[struct {
			A int `db:"a" seal:"encrypt,index=x,norm=email"`
		}](none{}, "t")},
		{"norm=digits is for text", refuse[struct {
			A []byte `db:"a" seal:"encrypt,index=x,norm=digits"`
		}](none{}, "t")},
		{"can not be searched", refuse[struct {
			A pgtype.Numeric `db:"a" seal:"encrypt,index=x"`
		}](none{}, "t")},
		{"can not be searched", refuse[struct {
			A []float64 `db:"a" seal:"encrypt,index=x"`
		}](none{}, "t")},
		{"has such an index already", refuse[struct {
			A string `db:"a" seal:"encrypt,index=x,index=y,norm=identity"`
		}](none{}, "t")},

		// Config.
		{"no field has the column uid", refuse[base](none{RowKey: []string{"uid"}}, "t")},
		{"column id is repeated", refuse[base](none{RowKey: []string{"id", "id"}}, "t")},
		{"column a is sealed itself", refuse[base](none{RowKey: []string{"a"}}, "t")},
		{"no field has the column tenant", refuse[base](none{Scope: "tenant"}, "t")},
		{"column a is sealed itself", refuse[base](none{Scope: "a"}, "t")},
		{"can not be a row key", refuse[struct {
			ID float64 `db:"id"`
			A  string  `db:"a" seal:"encrypt"`
		}](none{RowKey: []string{"id"}}, "t")},
		{"can not be a row key", refuse[struct {
			ID time.Time `db:"id"`
			A  string    `db:"a" seal:"encrypt"`
		}](none{RowKey: []string{"id"}}, "t")},
		{"can not be a row key", refuse[struct {
			ID *big.Int `db:"id"`
			A  string   `db:"a" seal:"encrypt"`
		}](none{RowKey: []string{"id"}}, "t")},
	} {
		require.ErrorContains(t, c.try(kr), c.want)
	}
	require.NoError(t, refuse[pair](none{Normalizers: map[string]token.Normalizer{"phone": token.Digits}, Compound: []pgxfield.CompoundIndex{
		{Column: "x", Of: []pgxfield.CompoundPart{{Column: "a", Norm: "phone"}, {Column: "b"}}}, {Column: "y", Of: parts("b", "a")}}}, "t")(kr))
	require.NoError(t, refuse[struct {
		A bool   `db:"a" seal:"encrypt,index=x,force,index=y,bits=1,force"`
		B *bool  `db:"b" seal:"token=siv,force,name=d"`
		C string `db:"c" seal:"encrypt,index=z,kind=prefix,norm=nfkc-fold,min=2,max=64,index=w,kind=ngram,index=v,kind=exact,bits=128"`
	}](none{}, "t")(kr))
	require.NoError(t, refuse[struct {
		base `db:"-"`
		A    string `db:"a,omitempty" seal:"encrypt,index=x,index=y,norm=email,name=b"`
		b    int
	}](none{}, "t")(kr))
	require.NoError(t, refuse[struct{ base }](none{RowKey: []string{"id"}}, "t")(kr))
}

// TestMatchRefuses covers what can not be searched for.
func TestMatchRefuses(t *testing.T) {
	type row struct {
		ID   int64  `db:"id"`
		Name string `db:"name" seal:"encrypt"`
		Mail string `db:"mail" seal:"encrypt,index=mail_idx,norm=email,index=mail_exact"`
		Age  *int16 `db:"age" seal:"encrypt,index=age_idx"`
	}
	ctx := context.Background()
	table := newTable[row](t, keyringtest.NewKeyring(t), "t", pgxfield.Config{})
	require.Equal(t, []string{"id", "name", "mail", "mail_idx", "mail_exact", "age", "age_idx"}, table.Columns())

	tags, err := table.Match(ctx, "age", 5)
	require.NoError(t, err)
	require.NotNil(t, tags)
	require.Empty(t, tags, "there is no key yet")
	_, _, err = table.Args(&row{Age: ptr(int16(5))}).RewriteQuery(ctx, nil, "@age @age_idx", nil)
	require.NoError(t, err)
	tags, err = table.Match(ctx, "age", 5)
	require.NoError(t, err)
	require.Len(t, tags, 1)
	for _, same := range []any{int64(5), uint8(5), ptr(5), ptr(int16(5)), pgtype.Int4{Int32: 5, Valid: true}} {
		again, err := table.Match(ctx, "age", same)
		require.NoError(t, err)
		require.Equal(t, tags, again, "%T", same)
	}
	mail, err := table.Match(ctx, "mail_idx", "Ann@Example.com")
	require.NoError(t, err)
	exact, err := table.Match(ctx, "mail_exact", "Ann@Example.com")
	require.NoError(t, err)
	require.NotEqual(t, mail, exact)

	for _, c := range []struct {
		column string
		value  any
		want   string
	}{
		{"name", "x", "t.name: match: it has no index"}, {"id", 1, "it has no index"}, {"nope", 1, "it has no index"},
		{"mail", "x", "several indexes"},
		{"age", nil, "NULL has no index tags"}, {"age", (*int16)(nil), "NULL has no index tags"}, {"age", (*int)(nil), "NULL has no index tags"},
		{"age", pgtype.Int4{}, "NULL has no index tags"},
		{"age", "secret", "the value can not be encoded as int8"}, {"age", time.Time{}, "Go type time.Time can not be stored as type int8"}, {"age", uint64(1 << 63), "out of range"},
		{"mail_idx", 5, "can not be stored as type text"},
	} {
		_, err := table.Match(ctx, c.column, c.value)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "secret")
	}
}

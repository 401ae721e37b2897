package pgxfield_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// card has tokens in every kind of column: with key ids and with a pinned version,
// text and integers, beside a ciphertext.
type card struct {
	ID       int64       `db:"id"`
	PAN      string      `db:"pan" seal:"token=pan,key=pan_key,index=pan_idx"`
	Number   *int64      `db:"number" seal:"token=pan-bin6,version=1"`
	IBAN     pgtype.Text `db:"iban" seal:"token=iban,version=1,name=account"`
	Phone    phone       `db:"phone" seal:"token=phone,key=phone_key,type=varchar"`
	SSN      string      `db:"ssn" seal:"token=ssn,version=1,sep=drop,index=ssn_idx,norm=digits"`
	No       int         `db:"no" seal:"token=int:1..2147483647,version=1"`
	Passport *string     `db:"passport" seal:"token=[A-Z]{2}[0-9]{7},version=1"`
	Zip      string      `db:"zip" seal:"token=[0-9]{5},version=1,permute"`
	Note     string      `db:"note" seal:"encrypt"`
}

type phone string

const createCards = `create table cards (id bigint primary key, pan text not null, pan_key bytea not null, pan_idx bytea not null, number bigint, iban text,
	phone varchar(16) not null, phone_key bytea not null, ssn text not null, ssn_idx bytea not null, no int not null, passport text, zip text not null, note bytea not null)`

const insertCard = `insert into cards (id, pan, pan_key, pan_idx, number, iban, phone, phone_key, ssn, ssn_idx, no, passport, zip, note)
	values (@id, @pan, @pan_key, @pan_idx, @number, @iban, @phone, @phone_key, @ssn, @ssn_idx, @no, @passport, @zip, @note)`

func visa(id int64) *card {
	return &card{id, "4111111111111111", ptr(int64(4222222222222)), pgtype.Text{String: "GB82WEST12345698765432", Valid: true}, "+4915112345678",
		"123-45-6789", 42, ptr("XK1234567"), "90210", "note"}
}

func newCards(t testing.TB, kr *keyring.Keyring) (*pgx.Conn, *pgxfield.Table[card]) {
	conn := connect(t)
	table := newTable[card](t, kr, "cards", byID)
	run(t, conn, createCards)
	run(t, conn, table.DDL()...)
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(t.Context(), conn))
	return conn, table
}

// TestTokens writes and reads tokens in every exec mode, and looks at what is
// stored.
func TestTokens(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn, table := newCards(t, kr)
	require.Equal(t, []string{"id", "pan", "pan_key", "pan_idx", "number", "iban", "phone", "phone_key", "ssn", "ssn_idx", "no", "passport", "zip", "note"}, table.Columns())
	var id int64
	for _, mode := range modes {
		for _, null := range []bool{false, true} {
			id++
			c := visa(id)
			if null {
				c.Number, c.IBAN, c.Passport = nil, pgtype.Text{}, nil
			}
			rows, err := conn.Query(ctx, insertCard+" returning *", mode, table.Args(c))
			require.NoError(t, err)
			back, err := pgx.CollectExactlyOneRow(rows, table.Row(ctx))
			require.NoError(t, err, mode)
			require.Equal(t, *c, back)
		}
		all, err := query(t, conn, table.Row(ctx), "select * from cards where id % 2 = 1", mode)
		require.NoError(t, err, mode)
		for _, c := range all {
			require.Equal(t, *visa(c.ID), c)
		}
		for column, v := range map[string]any{"number": int64(4222222222222), "iban": "GB82WEST12345698765432", "no": 42, "passport": ptr("XK1234567"), "zip": "90210"} {
			tokens, err := table.Tokens(ctx, column, v)
			require.NoError(t, err, column)
			all, err := query(t, conn, table.Row(ctx), "select * from cards where "+column+" = any($1)", mode, tokens)
			require.NoError(t, err, "%s in %s", column, mode)
			require.NotEmpty(t, all)
		}
		for column, v := range map[string]any{"pan": "4111111111111111", "ssn": "123 45 6789"} {
			tags, err := table.Match(ctx, column, v)
			require.NoError(t, err)
			all, err := query(t, conn, table.Row(ctx), "select * from cards where "+column+"_idx = any($1)", mode, tags)
			require.NoError(t, err)
			require.Len(t, all, int(id))
		}
	}
	type stored struct {
		PAN, IBAN, Phone, SSN, Passport, Zip string
		Number                               int64
		No                                   int32
		Key                                  []byte
	}
	all, err := query(t, conn, pgx.RowToStructByPos[stored], "select distinct pan, iban, phone, ssn, passport, zip, number, no, pan_key from cards where number is not null")
	require.NoError(t, err)
	require.Len(t, all, 1, "equal values have equal tokens")
	s := all[0]
	require.Regexp(t, `^[1-9]\d{11}1111$`, s.PAN)
	require.Regexp(t, `^GB\d\d[A-Z]{4}\d{14}$`, s.IBAN)
	require.Regexp(t, `^\+49\d{11}$`, s.Phone)
	require.Regexp(t, `^\d{3}-\d{2}-\d{4}$`, s.SSN)
	require.Regexp(t, `^[A-Z]{2}\d{7}$`, s.Passport)
	require.Regexp(t, `^\d{5}$`, s.Zip)
	require.Regexp(t, `^422222\d{7}$`, fmt.Sprint(s.Number))
	for _, value := range []string{"4111111111111111", "GB82WEST12345698765432", "+4915112345678", "123-45-6789", "XK1234567", "90210", "4222222222222", "42"} {
		require.NotContains(t, []string{s.PAN, s.IBAN, s.Phone, s.SSN, s.Passport, s.Zip, fmt.Sprint(s.Number), fmt.Sprint(s.No)}, value)
	}

	// What the table wrote, package token reads, and the reverse.
	f, err := token.NewFormatPreserving(kr, "cards.pan", token.FormatPreservingConfig{Format: "pan"})
	require.NoError(t, err)
	tok, keyID, err := f.Tokenize(ctx, []byte("4111111111111111"), "")
	require.NoError(t, err)
	require.Equal(t, s.PAN, string(tok))
	require.Equal(t, s.Key, keyID.Bytes())
	account, err := token.NewFormatPreserving(kr, "cards.account", token.FormatPreservingConfig{Format: "iban", Version: 1})
	require.NoError(t, err)
	tok, _, err = account.Tokenize(ctx, []byte("GB82WEST12345698765432"), "")
	require.NoError(t, err)
	require.Equal(t, s.IBAN, string(tok))
}

func TestNewTableRefusesTokens(t *testing.T) {
	type none = pgxfield.Config
	kr := keyringtest.NewKeyring(t)
	for _, c := range []struct {
		want string
		try  func(*keyring.Keyring) error
	}{
		{"does not say which key it is under", refuse[struct {
			A string `db:"a" seal:"token=pan"`
		}](none{}, "t")},
		{"exclude each other", refuse[struct {
			A string `db:"a" seal:"token=pan,key=k,version=1"`
		}](none{}, "t")},
		{"no format of that name", refuse[struct {
			A string `db:"a" seal:"token=,version=1"`
		}](none{}, "t")},
		{"no format of that name", refuse[struct {
			A string `db:"a" seal:"token=visa,version=1"`
		}](none{}, "t")},
		{"use token.Vault, or package mask", refuse[struct {
			A string `db:"a" seal:"token=pan-bin6-last4,version=1"`
		}](none{}, "t")},
		{"use token.Vault, or package mask", refuse[struct {
			A string `db:"a" seal:"token=[0-9]{5},version=1"`
		}](none{}, "t")},
		{`unknown word "token"`, refuse[struct {
			A string `db:"a" seal:"token=pan,token=pan-bin6,version=1"`
		}](none{}, "t")},
		{"key= has no value", refuse[struct {
			A string `db:"a" seal:"token=pan,key="`
		}](none{}, "t")},
		{"key= has no value", refuse[struct {
			A string `db:"a" seal:"token=pan,key"`
		}](none{}, "t")},
		{"key= is repeated", refuse[struct {
			A string `db:"a" seal:"token=pan,key=k,key=l"`
		}](none{}, "t")},
		{"version=0 is no number of a version", refuse[struct {
			A string `db:"a" seal:"token=pan,version=0"`
		}](none{}, "t")},
		{"version=01 is no number of a version", refuse[struct {
			A string `db:"a" seal:"token=pan,version=01"`
		}](none{}, "t")},
		{"version= is repeated", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1,version=2"`
		}](none{}, "t")},
		{"sep=reject is neither", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1,sep=reject"`
		}](none{}, "t")},
		{"sep= is repeated", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1,sep=keep,sep=drop"`
		}](none{}, "t")},
		{"permute is repeated", refuse[struct {
			A string `db:"a" seal:"token=[0-9]{5},version=1,permute,permute"`
		}](none{}, "t")},
		{`unknown word "permute="`, refuse[struct {
			A string `db:"a" seal:"token=[0-9]{5},version=1,permute=true"`
		}](none{}, "t")},
		{"can not be permuted", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1,permute"`
		}](none{}, "t")},
		{"norow is for encrypt", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1,norow"`
		}](none{}, "t")},
		{"key is for token=", refuse[struct {
			A string `db:"a" seal:"encrypt,key=k"`
		}](none{}, "t")},
		{"version is for token=", refuse[struct {
			A string `db:"a" seal:"encrypt,version=1"`
		}](none{}, "t")},
		{"sep is for token=", refuse[struct {
			A string `db:"a" seal:"encrypt,sep=drop"`
		}](none{}, "t")},
		{"permute is for token=", refuse[struct {
			A string `db:"a" seal:"encrypt,permute"`
		}](none{}, "t")},
		{"the type is bytea", refuse[struct {
			A []byte `db:"a" seal:"token=pan,version=1"`
		}](none{}, "t")},
		{"the type is date", refuse[struct {
			A time.Time `db:"a" seal:"token=date:0001-01-01..9999-12-31,version=1,type=date"`
		}](none{}, "t")},
		{"the type is text[]", refuse[struct {
			A []string `db:"a" seal:"token=pan,version=1"`
		}](none{}, "t")},
		{"not all decimal integers", refuse[struct {
			A int64 `db:"a" seal:"token=ssn,version=1"`
		}](none{}, "t")},
		{"not all decimal integers", refuse[struct {
			A int64 `db:"a" seal:"token=[0-9]{9},version=1"`
		}](none{}, "t")},
		{"no format of that name", refuse[struct {
			A string `db:"a" seal:"token=sealed,version=1"`
		}](none{}, "t")},
		{"column k is there already", refuse[struct {
			A string `db:"a" seal:"token=pan,key=k"`
			K []byte `db:"k"`
		}](none{}, "t")},
		{"column k is there already", refuse[struct {
			A string `db:"a" seal:"token=pan,key=k"`
			B string `db:"b" seal:"token=pan,key=k"`
		}](none{}, "t")},
		{"name a is there already", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1"`
			B string `db:"b" seal:"encrypt,name=a"`
		}](none{}, "t")},
		{"column a is sealed itself", refuse[struct {
			A string `db:"a" seal:"token=pan,version=1"`
		}](none{RowKey: []string{"a"}}, "t")},
	} {
		require.ErrorContains(t, c.try(kr), c.want)
	}
}

// TestTokenStatements has statements that would part a token from its key.
func TestTokenStatements(t *testing.T) {
	ctx := t.Context()
	conn, table := newCards(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCard, table.Args(visa(1)))
	require.NoError(t, err)
	for sql, want := range map[string]string{
		"update cards set pan = @pan, pan_idx = @pan_idx where id = @id":         "@pan and @pan_key have to stand in the same statement",
		"update cards set pan_key = @pan_key where id = @id":                     "@pan and @pan_key have to stand in the same statement",
		"update cards set phone = @phone where id = @id":                         "@phone and @phone_key have to stand in the same statement",
		"update cards set ssn = @ssn where id = @id":                             "@ssn and @ssn_idx have to stand in the same statement",
		"select id from cards where pan = @pan and pan_key = @pan_key or id = 1": "@pan and @pan_idx have to stand in the same statement",
	} {
		_, err := conn.Exec(ctx, sql, table.Args(visa(1)))
		require.ErrorContains(t, err, want)
	}
	changed := visa(1)
	changed.Phone, changed.No = "+15551234567", 7
	_, err = conn.Exec(ctx, "update cards set phone = @phone, phone_key = @phone_key, no = @no where id = @id", table.Args(changed))
	require.NoError(t, err)
	all, err := query(t, conn, table.Row(ctx), "select * from cards")
	require.NoError(t, err)
	require.Equal(t, []card{*changed}, all)

	for sql, want := range map[string]string{
		"select pan from cards":                             "the result has the tokens of pan without pan_key",
		"select pan, pan_key::text as pan_key from cards":   "column pan_key of the result is no bytea",
		"select pan::bytea as pan, pan_key from cards":      "column pan of the result is not of the type of its tokens",
		"select number::text as number from cards":          "column number of the result is not of the type of its tokens",
		"select no::numeric as no from cards":               "column no of the result is not of the type of its tokens",
		"select pan, pan_key, 1 as pan from cards":          "twice",
		"select zip::integer as zip from cards":             "column zip of the result is not of the type of its tokens",
		"select note, id, pan_key, pan from cards limit -1": "LIMIT must not be negative",
	} {
		_, err := query(t, conn, table.Row(ctx), sql)
		require.ErrorContains(t, err, want, sql)
	}
	part, err := query(t, conn, table.Row(ctx), "select pan_key, phone_key, zip, pan_idx, no::bigint as no from cards")
	require.NoError(t, err)
	require.Equal(t, []card{{Zip: "90210", No: 7}}, part, "key columns without tokens are skipped")
}

// TestTokenUpserts has upserts that would leave a row with the token of one key
// beside the id of another: it would be read as another card number, once keys had
// been rotated, and nothing would notice.
func TestTokenUpserts(t *testing.T) {
	ctx := t.Context()
	conn, table := newCards(t, keyringtest.NewKeyring(t))
	const all = "pan = excluded.pan, pan_key = excluded.pan_key, pan_idx = excluded.pan_idx"
	for set, want := range map[string]string{
		"pan = excluded.pan":         "pan and pan_key have to stand in the same set, or neither",
		"pan = @pan":                 "pan and pan_key",
		"pan_key = excluded.pan_key": "pan and pan_key",
		`"pan" = excluded."pan", pan_idx = excluded.pan_idx`:                 "pan and pan_key",
		"(PAN, pan_idx) = (excluded.PAN, excluded.pan_idx)":                  "pan and pan_key",
		"pan = excluded.pan, pan_key = excluded.pan_key":                     "pan and pan_idx",
		"phone = excluded.phone where cards.phone_key <> excluded.phone_key": "phone and phone_key",
		"phone = excluded.phone returning phone_key":                         "phone and phone_key",
		"ssn = excluded.ssn": "ssn and ssn_idx",
	} {
		_, err := conn.Exec(ctx, insertCard+" on conflict (id) do update set "+set, table.Args(visa(1)))
		require.ErrorContains(t, err, want, set)
	}
	for _, set := range []string{
		all,
		strings.ToUpper(all),
		"pan = @pan, pan_key = @pan_key, pan_idx = @pan_idx",
		"(pan, pan_key, pan_idx) = (excluded.pan, @pan_key, excluded.pan_idx), note = excluded.note",
		"note = excluded.note where cards.pan_idx is distinct from excluded.pan_idx",
		"no = excluded.no + 0 * length('pan') /* pan */ returning pan",
		"number = (select max(number) from cards) where true",
	} {
		_, err := conn.Exec(ctx, insertCard+" on conflict (id) /**/ do update\nset "+set, table.Args(visa(1)))
		require.NoError(t, err, set)
	}
	_, err := conn.Exec(ctx, "with x as ("+insertCard+" on conflict (id) do update set "+all+" returning id) select pan from cards", table.Args(visa(1)))
	require.NoError(t, err)
	_, err = conn.Exec(ctx, insertCard+" on conflict do nothing", table.Args(visa(1)))
	require.NoError(t, err)
	back, err := query(t, conn, table.Row(ctx), "select * from cards")
	require.NoError(t, err)
	require.Equal(t, []card{*visa(1)}, back)
}

// TestTokenValues has values that are no tokens, on the way in and on the way
// out. No error shows one.
func TestTokenValues(t *testing.T) {
	ctx := t.Context()
	conn, table := newCards(t, keyringtest.NewKeyring(t))
	for name, change := range map[string]func(c *card){
		"pan":    func(c *card) { c.PAN = "4111111111111112" },
		"phone":  func(c *card) { c.Phone = "015112345678" },
		"ssn":    func(c *card) { c.SSN = "666-45-6789" },
		"no":     func(c *card) { c.No = 0 },
		"number": func(c *card) { c.Number = ptr(int64(6304000000000000000)) }, // 19 digits: the token may not fit
		"iban":   func(c *card) { c.IBAN.String = "GB82 WEST 1234 5698 7654 32" },
		"zip":    func(c *card) { c.Zip = "" },
	} {
		c := visa(1)
		change(c)
		_, err := conn.Exec(ctx, insertCard, table.Args(c))
		require.ErrorIs(t, err, token.ErrFormat, name)
		require.ErrorContains(t, err, "pgxfield.Args(cards): @"+name)
		require.NotContains(t, err.Error(), "4111")
	}
	c := visa(1)
	c.PAN = "\xff"
	_, err := conn.Exec(ctx, insertCard, table.Args(c))
	require.ErrorContains(t, err, "@pan: the value is no UTF-8 text")

	_, err = conn.Exec(ctx, insertCard, table.Args(visa(1)))
	require.NoError(t, err)
	for _, drop := range []string{"cards_pan_key_keyid", "cards_pan_format"} {
		run(t, conn, "alter table cards drop constraint "+drop)
	}
	run(t, conn, "alter table cards alter pan_key drop not null")
	for _, c := range []struct {
		sql  string
		want error
	}{
		{"update cards set pan = '4111111111111112'", token.ErrFormat},
		{"update cards set pan = 'x'", token.ErrFormat},
		{"update cards set pan_key = null", crypto.ErrDecrypt},
		{`update cards set pan_key = ''`, crypto.ErrDecrypt},
		{`update cards set pan_key = '\x01020304'`, crypto.ErrDecrypt},
		{`update cards set pan_key = '\x0102030405'`, crypto.ErrDecrypt},
		{`update cards set pan_key = '\x8badf00d'`, keyring.ErrUnknownKey},
	} {
		for _, mode := range modes {
			tx, err := conn.Begin(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, c.sql)
			require.NoError(t, err)
			rows, err := tx.Query(ctx, "select * from cards", mode)
			require.NoError(t, err)
			_, err = pgx.CollectRows(rows, table.Row(ctx))
			require.ErrorIs(t, err, crypto.ErrDecrypt, c.sql)
			require.ErrorIs(t, err, c.want, c.sql)
			require.EqualError(t, err, "pgxfield: cards: column pan: crypto: decryption failed")
			require.NoError(t, tx.Rollback(ctx))
		}
	}
	for column, v := range map[string]any{"pan": "4111111111111111", "note": "x", "id": 1, "pan_key": nil, "nope": 1, "ssn_idx": "x"} {
		_, err := table.Tokens(ctx, column, v)
		require.Error(t, err, column)
	}
	_, err = table.Tokens(ctx, "pan", "4111111111111111")
	require.ErrorContains(t, err, "pgxfield: cards.pan: tokens: its rows are under different keys (pan_key): give it an index= and use Match")
	for _, v := range []any{nil, (*int64)(nil)} {
		_, err = table.Tokens(ctx, "number", v)
		require.ErrorContains(t, err, "NULL")
	}
	_, err = table.Tokens(ctx, "number", "4222-222222222")
	require.ErrorContains(t, err, "the value can not be encoded as int8")
	_, err = table.Tokens(ctx, "number", 17)
	require.ErrorIs(t, err, token.ErrFormat)
	_, err = table.Match(ctx, "number", int64(4222222222222))
	require.ErrorContains(t, err, "it has no index")
}

// TestTokenOfTooLargeValue has a token in a bigint that belongs to a value that is
// none, as only something else than the table can write it.
func TestTokenOfTooLargeValue(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t)
	conn := connect(t)
	table := newTable[struct {
		A int64 `db:"a" seal:"token=pan,version=1"`
	}](t, kr, "t", pgxfield.Config{})
	f, err := token.NewFormatPreserving(kr, "t.a", token.FormatPreservingConfig{Format: "pan", Version: 1})
	require.NoError(t, err)
	run(t, conn, "create table t (a bigint not null)")
	for i, found := 0, false; !found; i++ { // most have a wrong check digit, and some a token of 2^63 or more
		tok, _, err := f.Tokenize(ctx, fmt.Appendf(nil, "98765432101%08d", i), "")
		if _, large := strconv.ParseInt(string(tok), 10, 64); err == nil && large == nil {
			found = true
			run(t, conn, "insert into t values ("+string(tok)+")")
		}
	}
	for _, mode := range modes {
		_, err = query(t, conn, table.Row(ctx), "select * from t", mode)
		require.ErrorIs(t, err, crypto.ErrDecrypt)
	}
}

// TestTokenChecks writes by raw SQL what the CHECKs have to refuse.
func TestTokenChecks(t *testing.T) {
	ctx := t.Context()
	conn, table := newCards(t, keyringtest.NewKeyring(t))
	_, err := conn.Exec(ctx, insertCard, table.Args(visa(1)))
	require.NoError(t, err)
	for sql, constraint := range map[string]string{
		"update cards set pan = '4111-1111-1111-1111'":                                   "cards_pan_format",
		"update cards set pan = '411111111111'":                                          "cards_pan_format",
		"update cards set pan = 'sf1.AeF5R6Jox1nZ'":                                      "cards_pan_format",
		"update cards set number = 4111":                                                 "cards_number_format",
		"update cards set number = -4111111111111111":                                    "cards_number_format",
		"update cards set no = 0":                                                        "cards_no_format",
		"update cards set iban = 'gb82WEST12345698765432'":                               "cards_iban_format",
		"update cards set phone = '015112345678'":                                        "cards_phone_format",
		"update cards set passport = 'XK123456'":                                         "cards_passport_format",
		`update cards set pan_key = '\x00000001'`:                                        "cards_pan_key_keyid",
		`update cards set pan_key = '\x80'`:                                              "cards_pan_key_keyid",
		`update cards set pan_key = '\x8000000000'`:                                      "cards_pan_key_keyid",
		`alter table cards alter pan_key drop not null; update cards set pan_key = null`: "cards_pan_key_keyid",
		`alter table cards alter pan drop not null; update cards set pan = null`:         "cards_pan_key_keyid",
	} {
		_, err := conn.Exec(ctx, sql)
		require.ErrorContains(t, err, `violates check constraint "`+constraint+`"`, sql)
	}
	run(t, conn, "alter table cards alter pan drop not null, alter pan_key drop not null, alter pan_idx drop not null",
		"update cards set pan = null, pan_key = null, pan_idx = null")
}

// TestVerifyTokens breaks one thing after the other.
func TestVerifyTokens(t *testing.T) {
	ctx := t.Context()
	conn, table := newCards(t, keyringtest.NewKeyring(t))
	ddl := func(constraint string) string {
		for _, sql := range table.DDL() {
			if strings.Contains(sql, `add constraint "`+constraint+`" `) {
				return sql
			}
		}
		return ""
	}
	for _, c := range []struct {
		change string
		want   []string
		back   string
	}{
		{"alter table cards rename pan_key to k", []string{".pan_key: there is no such column: it holds the key ids of pan"}, "alter table cards rename k to pan_key"},
		{"alter table cards drop constraint cards_pan_key_keyid", []string{".pan_key: there is no CHECK ((pan is null) = (pan_key is null) and"}, ddl("cards_pan_key_keyid")},
		{"select 1", []string{".pan_key: the CHECK is there, but not validated"}, "alter table cards validate constraint cards_pan_key_keyid"},
		{"alter table cards drop constraint cards_pan_format", []string{".pan: there is no CHECK (pan ~ '^[1-9][0-9]{7,13}[0-9][0-9]{4}$')"}, ddl("cards_pan_format") + "; alter table cards validate constraint cards_pan_format"},
		{"alter table cards drop constraint cards_number_format", []string{".number: there is no CHECK (number >= '1000000000000'::bigint and number <= '999999999999999999'::bigint)"}, ddl("cards_number_format") + "; alter table cards validate constraint cards_number_format"},
		{"alter table cards drop constraint cards_phone_format, alter phone type text", []string{".phone: there is no CHECK"}, ddl("cards_phone_format") + "; alter table cards validate constraint cards_phone_format"},
		{"alter table cards drop constraint cards_zip_format, alter zip type char(5)", []string{".zip: a column of these tokens has to be text or varchar, it is bpchar"}, "alter table cards alter zip type text; " + ddl("cards_zip_format") + "; alter table cards validate constraint cards_zip_format"},
		{"alter table cards alter no type bigint", nil, "alter table cards alter no type int"},
		{"alter table cards drop constraint cards_number_format, alter number type numeric", []string{".number: a column of these tokens has to be int8, it is numeric"}, "alter table cards alter number type bigint; " + ddl("cards_number_format") + "; alter table cards validate constraint cards_number_format"},
		{"alter table cards alter zip drop not null", []string{".zip: it can be NULL, which Go type string can not hold"}, "alter table cards alter zip set not null"},
	} {
		run(t, conn, c.change)
		for _, mode := range modes {
			err := table.Verify(ctx, reconnect(t, conn, mode))
			if len(c.want) == 0 {
				require.NoError(t, err, c.change)
				continue
			}
			require.Error(t, err, c.change)
			got := strings.Split(err.Error(), "\n")
			require.Len(t, got, len(c.want), err)
			for i := range c.want {
				require.Contains(t, got[i], "pgxfield: cards"+c.want[i])
			}
		}
		run(t, conn, c.back)
		if !strings.Contains(c.back, "not valid") || strings.Contains(c.back, "; alter table") {
			require.NoError(t, table.Verify(ctx, conn), c.back)
		}
	}
	run(t, conn, "set bytea_output = escape")
	require.NoError(t, table.Verify(ctx, conn))
	run(t, conn, "drop table cards", strings.ReplaceAll(createCards, "pan_key bytea", "pan_key text"))
	require.ErrorContains(t, table.Verify(ctx, conn), ".pan_key: a column of key ids has to be bytea, it is text")
}

// TestTokenNames uses names that need quotes, in a schema, and formats with all
// that SQL and regular expressions could trip over.
func TestTokenNames(t *testing.T) {
	ctx := t.Context()
	conn := connect(t)
	odd := newTable[struct {
		A string `db:"we\"i rd" seal:"token=pan,key=größe_(x)"`
		B int64  `db:"$ddl$" seal:"token=pan,version=1"`
	}](t, keyringtest.NewKeyring(t), `Sche"ma.T`, pgxfield.Config{})
	run(t, conn, `create schema "Sche""ma"`, `create table "Sche""ma"."T" ("we""i rd" varchar not null, "größe_(x)" bytea not null, "$ddl$" bigint not null)`)
	run(t, conn, odd.DDL()...)
	run(t, conn, odd.DDL()...)
	require.NoError(t, odd.Verify(ctx, conn))

	type row struct {
		A string `db:"a" seal:"token=it's$ddl$\\\\\\[[a-z']{6},key=k"`
		B string `db:"b" seal:"token=a+.*^?[\\-+.*^?$/\\[\\]]{8},version=1"`
	}
	table := newTable[row](t, keyringtest.NewKeyring(t), "t", pgxfield.Config{})
	run(t, conn, "create table t (a varchar not null, k bytea not null, b text not null)")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	want := row{`it's$ddl$\[o'neil`, `a+.*^?-+.*^?[]`}
	for _, mode := range modes {
		_, err := conn.Exec(ctx, "insert into t values (@a, @k, @b)", mode, table.Args(&want))
		require.NoError(t, err)
	}
	all, err := query(t, conn, table.Row(ctx), "select * from t")
	require.NoError(t, err)
	require.Len(t, all, len(modes))
	require.Equal(t, want, all[0])
	_, err = conn.Exec(ctx, "update t set b = 'a+.*^?aaaaaaaa'")
	require.ErrorContains(t, err, "t_b_format")
}

// TestTokensUnderRotation writes rows before and after a rotation: each is read
// under its own key, found by its index, and brought up to date by an update.
// A pinned version stays.
func TestTokensUnderRotation(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
		c.PropagationDelay, c.RefreshEvery = 4*time.Second, 100*time.Millisecond
	})
	conn, table := newCards(t, kr)
	write := func(id int64) (pan, zip string, key []byte) {
		_, err := conn.Exec(ctx, insertCard, table.Args(visa(id)))
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(ctx, "select pan, zip, pan_key from cards where id = $1", id).Scan(&pan, &zip, &key))
		return pan, zip, key
	}
	pan1, zip1, key1 := write(1)
	for _, p := range []keyring.Purpose{keyring.Token, keyring.Index} {
		_, err := kr.Rotate(ctx, keyring.Target{Purpose: p}, keyring.RotateOptions{})
		require.NoError(t, err)
	}
	f, err := token.NewFormatPreserving(kr, "cards.pan", token.FormatPreservingConfig{Format: "pan"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stale, err := f.Stale(ctx, keyring.KeyID(uint32(key1[0])<<24|uint32(key1[1])<<16|uint32(key1[2])<<8|uint32(key1[3])), "")
		return err == nil && stale
	}, 30*time.Second, 10*time.Millisecond)
	pan2, zip2, key2 := write(2)
	require.NotEqual(t, pan1, pan2)
	require.NotEqual(t, key1, key2)
	require.Equal(t, zip1, zip2)
	all, err := query(t, conn, table.Row(ctx), "select * from cards order by id")
	require.NoError(t, err)
	require.Equal(t, []card{*visa(1), *visa(2)}, all)
	tokens, ids, err := f.Match(ctx, []byte("4111111111111111"), "")
	require.NoError(t, err)
	var keys [][]byte
	for _, id := range ids {
		keys = append(keys, id.Bytes())
	}
	for _, mode := range modes {
		all, err = query(t, conn, table.Row(ctx), "select * from cards where (pan, pan_key) in (select * from unnest($1::text[], $2::bytea[]))", mode, tokens, keys)
		require.NoError(t, err)
		require.Len(t, all, 2, mode)
	}
	tags, err := table.Match(ctx, "pan", "4111111111111111")
	require.NoError(t, err)
	all, err = query(t, conn, table.Row(ctx), "select * from cards where pan_idx = any($1) order by id", tags)
	require.NoError(t, err)
	require.Len(t, all, 2)
	_, err = conn.Exec(ctx, "update cards set pan = @pan, pan_key = @pan_key, pan_idx = @pan_idx where id = @id and pan_key = @old", table.Args(&all[0], pgx.NamedArgs{"old": key1}))
	require.NoError(t, err)
	var distinct int
	require.NoError(t, conn.QueryRow(ctx, "select count(distinct pan_key) from cards").Scan(&distinct))
	require.Equal(t, 1, distinct)

	// A token with the key of another row's: one statement can not do that, and
	// what comes of raw SQL is another card number.
	_, err = conn.Exec(ctx, "update cards set pan = $1, pan_key = $2 where id = 1", pan1, key2)
	require.NoError(t, err)
	all, err = query(t, conn, table.Row(ctx), "select * from cards where id = 1")
	require.NoError(t, err)
	require.NotEqual(t, "4111111111111111", all[0].PAN)
}

// TestTokensRace rotates while rows are written and read by many connections:
// every token stands beside the id of its key.
func TestTokensRace(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) {
		c.PropagationDelay, c.RefreshEvery = 20*time.Millisecond, 10*time.Millisecond
	})
	conn, table := newCards(t, kr)
	var id, wrong atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		own := reconnect(t, conn, pgx.QueryExecModeCacheStatement)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := visa(id.Add(1))
				rows, err := own.Query(context.Background(), insertCard+" returning *", table.Args(c))
				if err == nil {
					var back card
					if back, err = pgx.CollectExactlyOneRow(rows, table.Row(context.Background())); back.PAN != c.PAN || back.Phone != c.Phone {
						err = errors.New("another value")
					}
				}
				if err != nil {
					wrong.Add(1)
				}
			}
		})
	}
	for range 5 {
		_, err := kr.Rotate(ctx, keyring.Target{Purpose: keyring.Token}, keyring.RotateOptions{})
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	require.Zero(t, wrong.Load())
	var keys int
	require.NoError(t, conn.QueryRow(ctx, "select count(distinct pan_key) from cards").Scan(&keys))
	require.Greater(t, keys, 1)
	all, err := query(t, conn, table.Row(ctx), "select * from cards")
	require.NoError(t, err)
	require.EqualValues(t, id.Load(), len(all))
	for _, c := range all {
		require.Equal(t, *visa(c.ID), c)
	}
}

// TestTokensAreNotPrinted looks for a card number in all that pgx logs and all
// that printers make of Args. Its control is pgx.NamedArgs.
func TestTokensAreNotPrinted(t *testing.T) {
	ctx := t.Context()
	var log collector
	kr := keyringtest.NewKeyring(t)
	conn, table := newCards(t, kr)
	cfg := conn.Config()
	cfg.Tracer = &tracelog.TraceLog{Logger: &log, LogLevel: tracelog.LogLevelTrace}
	for i, mode := range modes {
		cfg.DefaultQueryExecMode = mode
		traced, err := pgx.ConnectConfig(ctx, cfg)
		require.NoError(t, err)
		args := table.Args(visa(int64(i + 1)))
		_, err = traced.Exec(ctx, insertCard, args)
		require.NoError(t, err)
		_, err = query(t, traced, table.Row(ctx), "select * from cards")
		require.NoError(t, err)
		_, err = traced.Exec(ctx, insertCard, args)
		require.Error(t, err, "duplicate key")
		printed := log.String() + fmt.Sprintf("%v %+v %#v %s", args, args, args, args) + err.Error()
		for _, value := range []string{"4111111111111111", "4222222222222", "GB82WEST", "15112345678", "123-45-6789", "XK1234567", "90210"} {
			require.NotContains(t, printed, value, mode)
		}
		_, err = traced.Exec(ctx, "select @pan::text", pgx.NamedArgs{"pan": "4111111111111111"})
		require.NoError(t, err)
		require.Contains(t, log.String(), "4111111111111111", "control")
		log.Reset()
		require.NoError(t, traced.Close(ctx))
	}
}

// TestTokenScopes binds tokens to their scope.
func TestTokenScopes(t *testing.T) {
	ctx := t.Context()
	type account struct {
		ID     int64  `db:"id"`
		Tenant string `db:"tenant"`
		PAN    string `db:"pan" seal:"token=pan,version=1"`
		IBAN   string `db:"iban" seal:"token=iban,key=iban_key"`
	}
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	conn := connect(t)
	table := newTable[account](t, kr, "accounts", pgxfield.Config{Scope: "tenant"})
	run(t, conn, "create table accounts (id bigint primary key, tenant text not null, pan text not null, iban text not null, iban_key bytea not null)")
	run(t, conn, table.DDL()...)
	require.NoError(t, table.Verify(ctx, conn))
	for i, tenant := range []string{"acme", "umbrella"} {
		_, err := conn.Exec(ctx, "insert into accounts values (@id, @tenant, @pan, @iban, @iban_key)", table.Args(&account{int64(i), tenant, "4111111111111111", "NO9386011117947"}))
		require.NoError(t, err)
	}
	all, err := query(t, conn, table.Row(ctx), "select * from accounts")
	require.NoError(t, err)
	require.Len(t, all, 2)
	for _, a := range all {
		require.Equal(t, "4111111111111111", a.PAN)
		require.Equal(t, "NO9386011117947", a.IBAN)
	}
	var tokens int
	require.NoError(t, conn.QueryRow(ctx, "select count(distinct pan) from accounts").Scan(&tokens))
	require.Equal(t, 2, tokens)
	_, err = query(t, conn, table.Row(ctx), "select pan from accounts")
	require.ErrorContains(t, err, "without tenant")
	found, err := table.In("acme").Tokens(ctx, "pan", "4111111111111111")
	require.NoError(t, err)
	require.Len(t, found, 1)
	none, err := table.In("new").Tokens(ctx, "pan", "4111111111111111")
	require.NoError(t, err)
	require.Equal(t, []string{}, none)
	_, err = table.Tokens(ctx, "pan", "4111111111111111")
	require.ErrorIs(t, err, keyring.ErrScope)
	run(t, conn, "update accounts set tenant = 'acme', iban_key = (select iban_key from accounts where id = 1) where id = 1")
	_, err = query(t, conn, table.Row(ctx), "select * from accounts where id = 1")
	require.ErrorIs(t, err, crypto.ErrDecrypt, "the key id is of another scope")
}

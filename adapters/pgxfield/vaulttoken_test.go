package pgxfield_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// payer has a column of vault tokens beside a sealed one.
type payer struct {
	ID   int64        `db:"id"`
	Card token.Token  `db:"card"`
	Old  *token.Token `db:"old"`
	Note string       `db:"note" seal:"encrypt"`
}

const (
	somePAN                 = "4111111111111111"
	someToken   token.Token = "pan_bbbcbdbfbgbhbjbkblbmbnbpbqbrbsbtrrdhbcbg"
	createPayer             = `create table payers (id bigint primary key, card text not null, old text, note bytea not null)`
	insertPayer             = `insert into payers (id, card, old, note) values (@id, @card, @old, @note)`
)

// TestVaultTokens: a value does not get into the column of a token, nor a token into
// that of a value, and no error shows either.
func TestVaultTokens(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			ctx := t.Context()
			conn := connect(t, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
			payers := newTable[payer](t, keyringtest.NewKeyring(t), "payers", byID)
			run(t, conn, createPayer)
			run(t, conn, payers.DDL()...)

			for name, p := range map[string]*payer{
				"a value for a token":         {1, somePAN, nil, "note"},
				"a value for a nullable one":  {1, someToken, ptr(token.Token(somePAN)), "note"},
				"no token":                    {1, "", nil, "note"},
				"a mistyped token":            {1, someToken[:43] + "b", nil, "note"},
				"a token for a value":         {1, someToken, nil, string(someToken)},
				"another's token for a value": {1, someToken, nil, "eml_bbbcbdbfbgbhbjbkblbmbnbpbqbrbsbtmnmtptmc"},
			} {
				_, err := conn.Exec(ctx, insertPayer, payers.Args(p))
				require.Error(t, err, name)
				for _, secret := range []string{somePAN, string(someToken)[4:]} {
					require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret, name)
				}
			}
			_, err := conn.Exec(ctx, insertPayer, payers.Args(&payer{1, someToken, nil, string(someToken)}))
			require.ErrorIs(t, err, token.ErrIsToken)
			_, err = conn.CopyFrom(ctx, pgx.Identifier{"payers"}, []string{"id", "card", "note"}, pgx.CopyFromRows([][]any{{1, token.Token(somePAN), []byte("x")}}))
			require.ErrorContains(t, err, token.ErrNotToken.Error()) // pgx keeps the text only
			require.NotContains(t, err.Error(), somePAN)
			var n int
			require.NoError(t, conn.QueryRow(ctx, `select count(*) from payers`).Scan(&n))
			require.Zero(t, n)

			for _, p := range []*payer{{1, someToken, nil, "note"}, {2, someToken, ptr(someToken), "see " + string(someToken)}} {
				_, err := conn.Exec(ctx, insertPayer, payers.Args(p))
				require.NoError(t, err)
				got, err := query(t, conn, payers.Row(ctx), `select * from payers where id = $1`, p.ID)
				require.NoError(t, err)
				require.Equal(t, []payer{*p}, got)
			}

			// What something else wrote there is not read as a token.
			run(t, conn, `update payers set card = '`+somePAN+`'`)
			got, err := query(t, conn, payers.Row(ctx), `select * from payers`)
			require.ErrorIs(t, err, token.ErrNotToken)
			require.Nil(t, got)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), somePAN)
		})
	}
}

func TestTokensAreNotSealed(t *testing.T) {
	kr := keyringtest.NewKeyring(t)
	_, err := pgxfield.NewTable[struct {
		ID   int64       `db:"id"`
		Card token.Token `db:"card" seal:"encrypt"`
	}](kr, "payers", byID)
	require.ErrorContains(t, err, "no value to seal")
	_, err = pgxfield.NewTable[struct {
		ID   int64        `db:"id"`
		Card *token.Token `db:"card" seal:"encrypt,index=card_idx"`
	}](kr, "payers", byID)
	require.ErrorContains(t, err, "no value to seal")
}

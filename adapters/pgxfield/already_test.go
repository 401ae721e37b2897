package pgxfield_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// TestAlreadySealed gives back what was read without Row.
func TestAlreadySealed(t *testing.T) {
	type row struct {
		ID   int64  `db:"id"`
		Data []byte `db:"data" seal:"encrypt"`
		Text string `db:"text" seal:"encrypt,index=text_idx"`
		SIV  []byte `db:"siv" seal:"token=siv"`
	}
	type rawRow struct {
		ID   int64  `db:"id"`
		Data []byte `db:"data" seal:"encrypt,raw"`
		Text string `db:"text" seal:"encrypt,raw"`
	}
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	table := newTable[row](t, kr, "t", pgxfield.Config{}).In("acme")
	seal := func(r *row) ([]any, error) {
		_, values, err := table.Args(r).RewriteQuery(ctx, nil, "@data @text @text_idx @siv", nil)
		return values, err
	}
	sealed, err := seal(&row{1, []byte("data"), "text", []byte("siv")})
	require.NoError(t, err)
	for i, v := range sealed {
		value := v.([]byte)
		for _, again := range []row{{Data: value}, {Text: crypto.EncodeText(value)}, {SIV: value}} {
			_, err := seal(&again)
			require.ErrorIs(t, err, pgxfield.ErrSealed, i)
			require.ErrorContains(t, err, "pgxfield.Args(t): @")
			other := newTable[row](t, kr, "t", pgxfield.Config{}).In("zeta")
			_, _, err = other.Args(&again).RewriteQuery(ctx, nil, "@data @text @text_idx @siv", nil)
			require.NoError(t, err, "another scope's is none of ours")
		}
		// What only looks like it.
		cut := value[:20]
		flipped := append([]byte(nil), value...)
		flipped[4] ^= 1
		for _, r := range []row{{Data: cut}, {Data: flipped}, {Data: append([]byte{2}, value...)}, {Data: value[1:]}, {Text: string(value[5:5])}, {Text: "sf1."}, {Text: "sf1.no base64!"}, {Text: crypto.EncodeText(value) + "="}, {Text: "SF1." + crypto.EncodeText(value)[4:]}} {
			_, err := seal(&r)
			require.NoError(t, err)
		}
		raw := newTable[rawRow](t, kr, "t", pgxfield.Config{}).In("acme")
		_, _, err := raw.Args(&rawRow{1, value, crypto.EncodeText(value)}).RewriteQuery(ctx, nil, "@data @text", nil)
		require.NoError(t, err, "who says raw means it")
	}
	random := make([]byte, 64)
	for range 10_000 {
		rand.Read(random)
		random[0], random[1] = 1, random[1]|0x80
		_, err := seal(&row{Data: random})
		require.NoError(t, err)
	}
}

// TestAlreadySealedCold asks a keyring that has not loaded its keys yet.
func TestAlreadySealedCold(t *testing.T) {
	type row struct {
		ID   int64  `db:"id"`
		Data []byte `db:"data" seal:"encrypt"`
	}
	ctx := t.Context()
	store, kms := keyring.NewMemoryStore(), keyringtest.NewKMS()
	var value []byte
	for i := range 2 {
		kr, err := keyring.OpenOrCreate(ctx, keyring.Config{Name: "app", Store: store, KMS: []keyring.KMS{kms}})
		require.NoError(t, err)
		table := newTable[row](t, kr, "t", pgxfield.Config{})
		if i == 0 {
			_, values, err := table.Args(&row{1, []byte("x")}).RewriteQuery(ctx, nil, "@data", nil)
			require.NoError(t, err)
			value = values[0].([]byte)
		} else { // the first use of a key that another process made
			_, _, err := table.Args(&row{1, value}).RewriteQuery(ctx, nil, "@data", nil)
			require.ErrorIs(t, err, pgxfield.ErrSealed)
		}
		require.NoError(t, kr.Close())
	}
}

package sqlfield_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

type nowhere struct{}

func (nowhere) Column() *sqlfield.Column[string] { return nil }
func (nowhere) Index() *sqlfield.Index[string]   { return nil }

type zeroed struct{}

func (zeroed) Column() *sqlfield.Column[string] { return new(sqlfield.Column[string]) }
func (zeroed) Index() *sqlfield.Index[string]   { return new(sqlfield.Index[string]) }

// embedded is what libraries need that do not know type parameters.
type embedded struct {
	sqlfield.Sealed[string, mark[string]]
}

type embeddedTag struct {
	sqlfield.Tag[string, mark[string]]
}

var (
	_ driver.Valuer  = embedded{}
	_ sql.Scanner    = (*embedded)(nil)
	_ sqlfield.Field = (*embedded)(nil)
	_ driver.Valuer  = embeddedTag{}
	_ sql.Scanner    = (*embeddedTag)(nil)
	_ sqlfield.Field = (*embeddedTag)(nil)
)

// sealIt returns v sealed by Seal, alone.
func sealIt[V any](t testing.TB, at crypto.Binding, v V) sealed[V] {
	s := sqlfield.Of[mark[V]](v)
	require.NoError(t, sqlfield.Seal(t.Context(), at, &s))
	return s
}

// ciphertext returns what is written of v.
func ciphertext(t testing.TB, v driver.Valuer) []byte {
	b, err := v.Value()
	require.NoError(t, err)
	return b.([]byte)
}

// TestNotSetUp has nil and zero columns: all is an error, and nothing is written.
func TestNotSetUp(t *testing.T) {
	notSetUp[nowhere](t)
	notSetUp[zeroed](t)
}

func notSetUp[N interface {
	sqlfield.Marker[string]
	sqlfield.IndexMarker[string]
}](t *testing.T) {
	ctx := t.Context()
	use[string](t, newKeyring(t), "t.v", sqlfield.Config{})
	bytes := ciphertext(t, sealIt(t, crypto.Binding{}, "v"))

	pending, read, null := sqlfield.Of[N]("v"), sqlfield.Sealed[string, N]{}, sqlfield.Sealed[string, N]{}
	require.NoError(t, read.Scan(bytes), "Scan needs no key")
	for _, v := range []sqlfield.Sealed[string, N]{pending, read} {
		got, err := v.Value()
		require.ErrorIs(t, err, sqlfield.ErrNotSetUp)
		require.Equal(t, []byte{}, got, "not NULL")
		require.ErrorIs(t, sqlfield.Seal(ctx, crypto.Binding{}, &v), sqlfield.ErrNotSetUp)
		require.NotEmpty(t, v.String())
	}
	got, err := null.Value()
	require.NoError(t, err)
	require.Nil(t, got)
	for _, v := range []sqlfield.Sealed[string, N]{read, null} {
		_, err = v.Open(ctx)
		require.ErrorIs(t, err, sqlfield.ErrNotSetUp)
	}
	require.ErrorIs(t, null.Scan("plain"), crypto.ErrDecrypt)

	var one sqlfield.Tag[string, N]
	require.ErrorIs(t, sqlfield.Seal(ctx, crypto.Binding{}, &one), sqlfield.ErrNotSetUp)
	var marker N
	_, err = marker.Index().Match(ctx, "v", "")
	require.ErrorIs(t, err, sqlfield.ErrNotSetUp)
	_, err = marker.Index().Tag(ctx, "v", "")
	require.ErrorIs(t, err, sqlfield.ErrNotSetUp)
	_, err = marker.Column().NewIndex(token.IndexConfig{})
	require.ErrorIs(t, err, sqlfield.ErrNotSetUp)

	failed, ok := errors.AsType[*sqlfield.Error](sqlfield.Seal(ctx, crypto.Binding{}, &pending))
	require.True(t, ok)
	require.Contains(t, failed.Column, "sqlfield_test.", "the name of the marker")
}

// TestValue has what is sealed without Seal, and what is not.
func TestValue(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t)
	use[string](t, kr, "t.v", sqlfield.Config{})
	v := sqlfield.Of[mark[string]]("v")
	first, second := ciphertext(t, v), ciphertext(t, v)
	require.NotEqual(t, first, second)
	for _, b := range [][]byte{first, second} {
		require.Len(t, b, 1+crypto.Overhead)
		var read sealed[string]
		require.NoError(t, read.Scan(b))
		got, err := read.Open(ctx)
		require.NoError(t, err)
		require.Equal(t, "v", got)
	}
	got, err := v.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, "v", got)

	for why, column := range map[string]func() *sqlfield.Column[string]{
		"it is bound to its row": func() *sqlfield.Column[string] {
			return use[string](t, kr, "t.v", sqlfield.Config{RowBound: true})
		},
		"its keys have a scope": func() *sqlfield.Column[string] {
			return use[string](t, newKeyring(t, scoped), "t.v", sqlfield.Config{})
		},
		"it has an index": func() *sqlfield.Column[string] {
			c := use[string](t, kr, "t.v", sqlfield.Config{})
			_, err := c.NewIndex(token.IndexConfig{})
			require.NoError(t, err)
			return c
		},
	} {
		column()
		got, err := sqlfield.Of[mark[string]]("v").Value()
		require.ErrorIs(t, err, sqlfield.ErrNotSealed)
		require.ErrorContains(t, err, why)
		require.Equal(t, []byte{}, got, "not NULL")
	}
}

// TestPlaces swaps values between columns, rows and scopes.
func TestPlaces(t *testing.T) {
	ctx := t.Context()
	kr := newKeyring(t, scoped)
	at := func(scope string, key any) crypto.Binding {
		return crypto.Binding{Scope: scope, Row: sqlfield.Row(key)}
	}
	bound := use[string](t, kr, "t.a", sqlfield.Config{RowBound: true})
	v := sealIt(t, at("acme", 1), "v")
	got, err := v.OpenAt(ctx, at("acme", 1))
	require.NoError(t, err)
	require.Equal(t, "v", got)
	for what, place := range map[string]crypto.Binding{"row": at("acme", 2), "scope": at("zeta", 1)} {
		_, err := v.OpenAt(ctx, place)
		require.ErrorIs(t, err, crypto.ErrDecrypt, what)
		moved := v
		require.ErrorIs(t, sqlfield.Seal(ctx, place, &moved), crypto.ErrDecrypt, what)
		require.Equal(t, v, moved)
	}
	other, err := sqlfield.NewColumn[string](kr, "t.b", sqlfield.Config{RowBound: true})
	require.NoError(t, err)
	set(other)
	_, err = v.OpenAt(ctx, at("acme", 1))
	require.ErrorIs(t, err, crypto.ErrDecrypt, "column")
	refused, ok := errors.AsType[*crypto.DecryptError](err)
	require.True(t, ok)
	require.Equal(t, "t.b", refused.Field)
	require.EqualError(t, err, "sqlfield: t.b: open, key "+refused.KeyID.String()+": crypto: decryption failed")
	set(bound)

	// What is no row.
	var null *int64
	for _, row := range [][]byte{nil, {}, sqlfield.Row(), sqlfield.Row(0), sqlfield.Row(""), sqlfield.Row(null), sqlfield.Row(nil), sqlfield.Row(1, ""), sqlfield.Row([16]byte{}), sqlfield.Row(pgtype.Int8{Int64: 5})} {
		for _, v := range []sealed[string]{v, sqlfield.Of[mark[string]]("v")} {
			err := sqlfield.Seal(ctx, crypto.Binding{Scope: "acme", Row: row}, &v)
			require.ErrorContains(t, err, "sqlfield: t.a: seal: crypto: field t.a")
		}
		_, err := v.OpenAt(ctx, crypto.Binding{Scope: "acme", Row: row})
		require.ErrorContains(t, err, "sqlfield: t.a: open: crypto: field t.a")
	}
	_, err = v.Open(ctx)
	require.Error(t, err)

	// A column that is not bound takes any place in its scope, but no other scope.
	use[string](t, kr, "t.c", sqlfield.Config{})
	v = sealIt(t, at("acme", 1), "v")
	_, err = v.OpenAt(ctx, crypto.Binding{Scope: "acme"})
	require.NoError(t, err)
	_, err = v.Open(ctx)
	require.ErrorContains(t, err, "scope")
}

func TestRow(t *testing.T) {
	type id int32
	n := id(7)
	u := [16]byte{0xA0, 15: 0x11}
	require.Equal(t, crypto.Row("7", "-1", "a", "ab", "a0000000-0000-0000-0000-000000000011"), sqlfield.Row(&n, int64(-1), "a", []byte{0xAB}, u))
	for _, v := range []any{1.5, true, time.Time{}, struct{}{}} {
		require.Panics(t, func() { sqlfield.Row(v) })
	}
}

// TestScan has all that a driver may hand over.
func TestScan(t *testing.T) {
	ctx := t.Context()
	use[string](t, newKeyring(t), "t.v", sqlfield.Config{Text: true})
	v := sealIt(t, crypto.Binding{}, "v")
	value, err := v.Value()
	require.NoError(t, err)
	text := value.(string)
	bytes, err := crypto.DecodeText(text)
	require.NoError(t, err)

	for _, src := range []any{text, []byte(text), slices.Clone(bytes)} {
		var read sealed[string]
		require.NoError(t, read.Scan(src))
		if b, ok := src.([]byte); ok {
			clear(b) // drivers use their buffers again
		}
		require.Equal(t, v, read)
		got, err := read.Open(ctx)
		require.NoError(t, err)
		require.Equal(t, "v", got)
	}
	read := v
	require.NoError(t, read.Scan(nil))
	require.True(t, read.IsZero())

	for _, src := range []any{
		"v", "", "sf1.", "sf1.AYAB", text + "=", "SF1." + text[4:], string(bytes),
		[]byte{}, []byte("v"), []byte("plaintext of more than 33 bytes, which is none"), bytes[1:], bytes[:32], append([]byte{2}, bytes[1:]...), append([]byte{1, 0x7f}, bytes[2:]...),
	} {
		read := v
		err := read.Scan(src)
		require.ErrorIs(t, err, crypto.ErrDecrypt, "%q", src)
		require.Equal(t, v, read)
	}
	for _, src := range []any{1, int64(1), 1.5, true, time.Now(), []string{"a"}, &text} {
		read := v
		require.ErrorContains(t, read.Scan(src), "a sealed value is bytes or text, and the driver has a ")
		require.Equal(t, v, read)
	}
	cut := v
	require.NoError(t, cut.Scan(bytes[:len(bytes)-1]), "it may be one")
	_, err = cut.Open(ctx)
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

// TestNull has the NULLs of Go types.
func TestNull(t *testing.T) {
	kr := newKeyring(t)
	null[*string](t, kr, "", nil)
	null[[]byte](t, kr, "", nil)
	null[[]string](t, kr, "", nil)
	null[map[string]int](t, kr, "", nil)
	null[json.RawMessage](t, kr, "", nil)
	null(t, kr, "", pgtype.Text{})
	null(t, kr, "numeric", pgtype.Numeric{})
	null(t, kr, "text", sql.NullString{})
	null(t, kr, "text", sql.Null[string]{})

	ctx := t.Context()
	use[string](t, kr, "t.v", sqlfield.Config{})
	var v sealed[string]
	_, err := v.Open(ctx)
	require.ErrorIs(t, err, sqlfield.ErrNull)
	empty := sealIt(t, crypto.Binding{}, "")
	require.False(t, empty.IsZero(), "an empty string is none")
	got, err := empty.Open(ctx)
	require.NoError(t, err)
	require.Empty(t, got)
}

func null[V any](t *testing.T, kr *keyring.Keyring, typ string, v V) {
	t.Helper()
	use[V](t, kr, "t.v", sqlfield.Config{Type: typ})
	of := sqlfield.Of[mark[V]](v)
	value, err := of.Value()
	require.NoError(t, err)
	require.Nil(t, value)
	require.NoError(t, sqlfield.Seal(t.Context(), crypto.Binding{}, &of))
	require.True(t, of.IsZero())
	got, err := of.Open(t.Context())
	require.NoError(t, err)
	require.Equal(t, v, got)
}

// TestAlreadySealed gives ciphertexts as values.
func TestAlreadySealed(t *testing.T) {
	kr := newKeyring(t)
	use[string](t, kr, "t.v", sqlfield.Config{})
	v := ciphertext(t, sealIt(t, crypto.Binding{}, "v"))
	text := sqlfield.Of[mark[string]](crypto.EncodeText(v))
	for range 2 {
		_, err := text.Value()
		require.ErrorIs(t, err, sqlfield.ErrSealed)
		require.ErrorIs(t, sqlfield.Seal(t.Context(), crypto.Binding{}, &text), crypto.ErrSealed)
	}
	use[[]byte](t, kr, "t.v", sqlfield.Config{})
	bytes := sqlfield.Of[mark[[]byte]](v)
	require.ErrorIs(t, sqlfield.Seal(t.Context(), crypto.Binding{}, &bytes), sqlfield.ErrSealed)
	use[[]byte](t, newKeyring(t), "t.v", sqlfield.Config{})
	require.NoError(t, sqlfield.Seal(t.Context(), crypto.Binding{}, &bytes), "another keyring's is none of ours")

	use[[]byte](t, kr, "t.v", sqlfield.Config{Raw: true})
	raw := sealIt(t, crypto.Binding{}, v)
	got, err := raw.Open(t.Context())
	require.NoError(t, err)
	require.Equal(t, v, got)

	vault, err := token.NewVault(kr, "t.v", token.VaultConfig{Store: token.NewMemoryVaultStore(), Prefix: "pan"})
	require.NoError(t, err)
	tok, err := vault.Tokenize(t.Context(), []byte("v"), "")
	require.NoError(t, err)
	use[string](t, kr, "t.v", sqlfield.Config{})
	_, err = sqlfield.Of[mark[string]](string(tok)).Value()
	require.ErrorIs(t, err, token.ErrIsToken)
}

// TestErrValue has values that a column in the clear would not take.
func TestErrValue(t *testing.T) {
	kr := newKeyring(t)
	use[int](t, kr, "t.v", sqlfield.Config{Type: "int2"})
	_, err := sqlfield.Of[mark[int]](1 << 15).Value()
	require.ErrorIs(t, err, sqlfield.ErrValue)
	use[string](t, kr, "t.v", sqlfield.Config{})
	v := sqlfield.Of[mark[string]]("\xff")
	require.ErrorIs(t, sqlfield.Seal(t.Context(), crypto.Binding{}, &v), sqlfield.ErrValue)
}

// TestSizes has values that are too large.
func TestSizes(t *testing.T) {
	column := use[string](t, newKeyring(t), "t.v", sqlfield.Config{})
	require.Equal(t, 1<<29-1<<10, column.Limit(100), "as pgxfield has it")
	fits, more := strings.Repeat("x", 100-crypto.Overhead), strings.Repeat("x", 101-crypto.Overhead)
	require.Len(t, ciphertext(t, sealIt(t, crypto.Binding{}, fits)), 100)
	require.Len(t, ciphertext(t, sqlfield.Of[mark[string]](fits)), 100)
	const why = "the sealed value would be of 101 bytes, and the most are 100"
	v := sqlfield.Of[mark[string]](more)
	got, err := v.Value()
	require.ErrorIs(t, err, sqlfield.ErrValue)
	require.EqualError(t, err, "sqlfield: t.v: value: "+why)
	require.Equal(t, []byte{}, got)
	err = sqlfield.Seal(t.Context(), crypto.Binding{}, &v)
	require.ErrorIs(t, err, sqlfield.ErrValue)
	require.EqualError(t, err, "sqlfield: t.v: seal: "+why)
}

// TestMistakes are found when the program starts.
func TestMistakes(t *testing.T) {
	kr := newKeyring(t)
	refuse := func(name string, cfg sqlfield.Config, why string) {
		t.Helper()
		_, err := sqlfield.NewColumn[string](kr, name, cfg)
		require.ErrorContains(t, err, why)
	}
	refuse("", sqlfield.Config{}, `"table.column"`)
	refuse("email", sqlfield.Config{}, `"table.column"`)
	refuse(".email", sqlfield.Config{}, `"table.column"`)
	refuse("t.", sqlfield.Config{}, `"table.column"`)
	refuse("app.t.", sqlfield.Config{}, `"table.column"`)
	refuse("sealfield/t.x", sqlfield.Config{}, "reserved")
	refuse("t.v", sqlfield.Config{Type: "integer"}, "type=integer is no name in pg_type")
	refuse("t.v", sqlfield.Config{Type: "bytea"}, "can not be stored as type bytea")
	_, err := sqlfield.NewColumn[string](nil, "t.v", sqlfield.Config{})
	require.ErrorContains(t, err, "keyring")
	_, err = sqlfield.NewColumn[func()](kr, "t.v", sqlfield.Config{})
	require.ErrorContains(t, err, "Config.Type")
	_, err = sqlfield.NewColumn[**string](kr, "t.v", sqlfield.Config{})
	require.Error(t, err)
	_, err = sqlfield.NewColumn[any](kr, "t.v", sqlfield.Config{})
	require.Error(t, err)
	_, err = sqlfield.NewColumn[token.Token](kr, "t.v", sqlfield.Config{})
	require.ErrorContains(t, err, "vault")

	text, err := sqlfield.NewColumn[string](kr, "t.v", sqlfield.Config{})
	require.NoError(t, err)
	for _, cfg := range []token.IndexConfig{{Kind: token.Prefix}, {Kind: token.NGram}, {Bits: 64}} {
		_, err := text.NewIndex(cfg)
		require.ErrorContains(t, err, "sqlfield: index of t.v: it has to be of kind exact")
	}
	_, err = text.NewIndex(token.IndexConfig{})
	require.NoError(t, err)
	_, err = text.NewIndex(token.IndexConfig{Normalizer: token.Identity})
	require.ErrorContains(t, err, "such an index already")
	_, err = text.NewIndex(token.IndexConfig{Normalizer: token.Email})
	require.NoError(t, err)
	number, err := sqlfield.NewColumn[float64](kr, "t.v", sqlfield.Config{})
	require.NoError(t, err)
	_, err = number.NewIndex(token.IndexConfig{})
	require.ErrorContains(t, err, "can not be searched")
	flag, err := sqlfield.NewColumn[bool](kr, "t.v", sqlfield.Config{})
	require.NoError(t, err)
	_, err = flag.NewIndex(token.IndexConfig{})
	require.ErrorContains(t, err, "so few values")
	n, err := sqlfield.NewColumn[int](kr, "t.v", sqlfield.Config{})
	require.NoError(t, err)
	_, err = n.NewIndex(token.IndexConfig{Normalizer: token.Email})
	require.ErrorContains(t, err, "Normalizer is for text")
}

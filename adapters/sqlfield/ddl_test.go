package sqlfield_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// TestDDL proves that PostgreSQL takes what is sealed, and refuses what is not: with
// the CHECKs of CREATE TABLE, and with those of DDL, which may run twice.
func TestDDL(t *testing.T) {
	ctx := t.Context()
	db := connect(t)
	run(t, db, `create schema app`, `create table app.added (id bigint primary key, "a ""name" bytea, name_idx bytea)`,
		fmt.Sprintf(`create table created (id bigint primary key, name bytea check (%s), name_idx bytea check (%s))`,
			sqlfield.SealedCheck(sqlfield.PostgreSQL, "name"), sqlfield.TagCheck(sqlfield.PostgreSQL, "name_idx")),
		fmt.Sprintf(`create table texts (id bigint primary key, name text check (%s), name_idx bytea)`, sqlfield.TextCheck(sqlfield.PostgreSQL, "name")))
	for range 2 {
		all, err := sqlfield.DDL("app.added", []string{`a "name`}, []string{"name_idx"})
		require.NoError(t, err)
		require.Len(t, all, 5)
		run(t, db, all...)
	}
	for _, name := range []string{"", "a.b.c", strings.Repeat("x", 64)} {
		_, err := sqlfield.DDL(name, nil, nil)
		require.ErrorContains(t, err, "sqlfield: table "+name)
	}
	var indexes int
	require.NoError(t, db.QueryRow("select count(*) from pg_indexes where tablename = 'added'").Scan(&indexes))
	require.Equal(t, 2, indexes)

	id := 0
	for _, algorithm := range []keyring.Algorithm{keyring.XAES256GCM, keyring.AES256GCM} {
		kr := newKeyring(t, func(cfg *keyring.Config) { cfg.Algorithm = algorithm })
		for table, text := range map[string]bool{"app.added": false, "created": false, "texts": true} {
			x, err := use[string](t, kr, "t.name", sqlfield.Config{Text: text}).NewIndex(token.IndexConfig{})
			require.NoError(t, err)
			set(x)
			for _, name := range []string{"", "ann@example.com", strings.Repeat("long ", 1000)} {
				v, tag := sqlfield.Of[mark[string]](name), tag[string]{}
				require.NoError(t, sqlfield.Seal(ctx, crypto.Binding{}, &v, &tag))
				id++
				_, err := db.Exec("insert into "+table+" values ($1, $2, $3)", id, v, tag)
				require.NoError(t, err)
				tags, err := x.Match(ctx, name, "")
				require.NoError(t, err)
				var read sealed[string]
				require.NoError(t, db.QueryRow("select * from "+table+" where name_idx = any($1) and id = $2", tags, id).Scan(&id, &read, &tag))
				got, err := read.Open(ctx)
				require.NoError(t, err)
				require.Equal(t, name, got)
			}
			_, err = db.Exec("insert into "+table+" values ($1, $2, $3)", id+1, sealed[string]{}, tag[string]{})
			require.NoError(t, err, "NULL")
			id++
		}
	}
	long := strings.Repeat("plain ", 20)
	for table, values := range map[string][]any{
		"app.added": {"ann@example.com", long, []byte(long), []byte("\x01" + long), []byte{}, make([]byte, 40), []byte("\x01\x80")},
		"texts":     {"ann@example.com", long, "", "sf1.", "sf1.AYAB", "sf1.A" + strings.Repeat("A", 60), "sf1.AY" + strings.Repeat("!", 60), "SF1.AY" + strings.Repeat("A", 60)},
	} {
		for _, v := range values {
			_, err := db.Exec("insert into "+table+" values (0, $1)", v)
			require.ErrorContains(t, err, "23514", "%s takes %q", table, v)
		}
	}
	for _, v := range []any{"ann@example.com", "ann.smith@example.com", long, []byte(long), []byte("\x01ann.smith@example.co")} {
		_, err := db.Exec("insert into created values (0, $1)", v)
		require.ErrorContains(t, err, "23514")
		_, err = db.Exec("insert into created values (0, null, $1)", v)
		require.ErrorContains(t, err, "23514")
	}
}

package sqlfield_test

import (
	"database/sql"
	"reflect"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/sqlfield"
	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// connect returns a fresh database through database/sql.
func connect(t testing.TB) *sql.DB { return openDB(t, pgtest.Database(t)) }

func openDB(t testing.TB, dsn string) *sql.DB {
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// run executes statements one by one.
func run(t testing.TB, db *sql.DB, statements ...string) {
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}

// mark is the marker of the column of Go type V that was set last, and of its index.
type mark[V any] struct{}

type (
	sealed[V any] = sqlfield.Sealed[V, mark[V]]
	tag[V any]    = sqlfield.Tag[V, mark[V]]
)

var current sync.Map // of *sqlfield.Column and *sqlfield.Index by their types

func get[P any]() (p P) {
	v, _ := current.Load(reflect.TypeFor[P]())
	p, _ = v.(P)
	return p
}

func set[P any](p P) P {
	current.Store(reflect.TypeFor[P](), p)
	return p
}

func (mark[V]) Column() *sqlfield.Column[V] { return get[*sqlfield.Column[V]]() }
func (mark[V]) Index() *sqlfield.Index[V]   { return get[*sqlfield.Index[V]]() }

// use makes mark[V] stand for a new column.
func use[V any](t testing.TB, kr *keyring.Keyring, name string, cfg sqlfield.Config) *sqlfield.Column[V] {
	c, err := sqlfield.NewColumn[V](kr, name, cfg)
	require.NoError(t, err, name)
	set[*sqlfield.Index[V]](nil)
	return set(c)
}

func newKeyring(t testing.TB, change ...func(*keyring.Config)) *keyring.Keyring {
	return keyringtest.NewKeyring(t, change...)
}

func scoped(cfg *keyring.Config) { cfg.Scoped = true }

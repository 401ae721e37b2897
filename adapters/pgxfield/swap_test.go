package pgxfield_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/adapters/pgxfield"
	"github.com/sealfield/sealfield/crypto"
	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/keyring/keyringtest"
)

// swapRow has two sealed columns that could be mistaken for each other.
type swapRow struct {
	ID     int32  `db:"id"`
	Region string `db:"region"`
	A      string `db:"a" seal:"encrypt"`
	B      string `db:"b" seal:"encrypt"`
}

// place is where one sealed value is.
type place struct {
	table, tenant, region, column string
	id                            int32
}

// where is the condition that finds the place's row.
func (p place) where() string {
	return fmt.Sprintf("where id = %d and region = '%s'", p.id, p.region)
}

// TestSwaps moves every sealed value to every other place, rows, columns, tables,
// tenants and keyrings, and tries to read it there. As its control, every value
// is read in its own place first, by the same statement.
func TestSwaps(t *testing.T) {
	for _, algorithm := range []keyring.Algorithm{keyring.XAES256GCM, keyring.AES256GCM} {
		t.Run(string(algorithm), func(t *testing.T) { testSwaps(t, algorithm) })
	}
}

func testSwaps(t *testing.T, algorithm keyring.Algorithm) {
	ctx := t.Context()
	conn := connect(t)
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Algorithm, c.Scoped = algorithm, true })
	cfg := pgxfield.Config{RowKey: []string{"id", "region"}}
	tables := map[string]*pgxfield.Table[swapRow]{"left": newTable[swapRow](t, kr, "left", cfg), "right": newTable[swapRow](t, kr, "right", cfg)}

	var places []place
	values := map[place][]byte{}
	for _, name := range []string{"left", "right"} {
		for _, tenant := range []string{"acme", "zeta"} {
			// A schema for each tenant; the table's name, as it is bound, is the same.
			run(t, conn, "create schema if not exists "+tenant, fmt.Sprintf("create table %s.%q (id int, region text, a bytea, b bytea, primary key (id, region))", tenant, name))
			run(t, conn, "set search_path = "+tenant)
			run(t, conn, tables[name].DDL()...)
			for _, key := range []place{{id: 1, region: "1"}, {id: 1, region: "11"}, {id: 11, region: "1"}} {
				_, err := conn.Exec(ctx, fmt.Sprintf("insert into %q (id, region, a, b) values (@id, @region, @a, @b)", name),
					tables[name].In(tenant).Args(&swapRow{key.id, key.region, "the same value", "the same value"}))
				require.NoError(t, err)
				for _, column := range []string{"a", "b"} {
					p := place{name, tenant, key.region, column, key.id}
					var value []byte
					require.NoError(t, conn.QueryRow(ctx, fmt.Sprintf("select %s from %q %s", column, name, p.where())).Scan(&value))
					places = append(places, p)
					values[p] = value
				}
			}
		}
	}

	put := func(p place, value []byte) {
		_, err := conn.Exec(ctx, fmt.Sprintf("update %s.%q set %s = $1 %s", p.tenant, p.table, p.column, p.where()), value)
		require.NoError(t, err)
	}
	get := func(p place) error {
		all, err := query(t, conn, tables[p.table].In(p.tenant).Row(ctx), fmt.Sprintf("select id, region, %s from %s.%q %s", p.column, p.tenant, p.table, p.where()))
		if err == nil {
			require.Len(t, all, 1)
			require.Equal(t, "the same value", all[0].A+all[0].B)
		}
		return err
	}
	controls, refused := 0, 0
	for _, to := range places {
		require.NoError(t, get(to), "control")
		controls++
		for _, from := range places {
			if from == to {
				continue
			}
			put(to, values[from])
			require.ErrorIs(t, get(to), crypto.ErrDecrypt, "%+v to %+v", from, to)
			refused++
		}
		put(to, values[to])
		require.NoError(t, get(to), "control")
	}

	// Another keyring over the same names, and other first bytes.
	for _, p := range places {
		other := newTable[swapRow](t, keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Algorithm, c.Scoped = algorithm, true }), p.table, cfg)
		_, _, err := other.In(p.tenant).Args(&swapRow{p.id, p.region, "", ""}).RewriteQuery(ctx, nil, "@a", nil)
		require.NoError(t, err)
		_, err = query(t, conn, other.In(p.tenant).Row(ctx), fmt.Sprintf("select id, region, %s from %s.%q %s", p.column, p.tenant, p.table, p.where()))
		require.ErrorIs(t, err, crypto.ErrDecrypt)
		refused++
		for i := range 5 {
			changed := append([]byte(nil), values[p]...)
			changed[i] ^= 1
			if i == 0 {
				_, err := conn.Exec(ctx, fmt.Sprintf("update %s.%q set %s = $1 %s", p.tenant, p.table, p.column, p.where()), changed)
				require.ErrorContains(t, err, "23514")
			} else {
				put(p, changed)
				require.ErrorIs(t, get(p), crypto.ErrDecrypt)
			}
			refused++
		}
		put(p, values[p])
		require.NoError(t, get(p), "control")
	}
	require.Equal(t, len(places), controls)
	require.Equal(t, len(places)*(len(places)-1)+6*len(places), refused)
	t.Logf("%s: %d places read, %d of %d swaps and changes refused", algorithm, controls, refused, len(places)*(len(places)-1)+6*len(places))
}

// TestSwapsUnbound is the control of TestSwaps: the same moves between all places,
// with nothing that binds a value: no row key, no scope, one logical name for all
// columns of all tables. Every one of them is read.
func TestSwapsUnbound(t *testing.T) {
	type a struct {
		ID     int32  `db:"id"`
		Region string `db:"region"`
		V      string `db:"a" seal:"encrypt,name=v"`
	}
	type b struct {
		ID     int32  `db:"id"`
		Region string `db:"region"`
		V      string `db:"b" seal:"encrypt,name=v"`
	}
	ctx := t.Context()
	conn := connect(t)
	kr := keyringtest.NewKeyring(t)
	cfg := pgxfield.Config{Name: "shared"}
	var places []place
	values := map[place][]byte{}
	columnA, columnB := map[string]*pgxfield.Table[a]{}, map[string]*pgxfield.Table[b]{}
	for _, name := range []string{"left", "right"} {
		columnA[name], columnB[name] = newTable[a](t, kr, name, cfg), newTable[b](t, kr, name, cfg)
		for _, tenant := range []string{"acme", "zeta"} {
			run(t, conn, "create schema if not exists "+tenant, fmt.Sprintf("create table %s.%q (id int, region text, a bytea, b bytea, primary key (id, region))", tenant, name))
			for _, key := range []place{{id: 1, region: "1"}, {id: 1, region: "11"}, {id: 11, region: "1"}} {
				run(t, conn, fmt.Sprintf("insert into %s.%q (id, region) values (%d, '%s')", tenant, name, key.id, key.region))
				for column, args := range map[string]pgx.QueryRewriter{"a": columnA[name].Args(&a{V: "the same value"}), "b": columnB[name].Args(&b{V: "the same value"})} {
					p := place{name, tenant, key.region, column, key.id}
					var value []byte
					require.NoError(t, conn.QueryRow(ctx, fmt.Sprintf("update %s.%q set %s = @%[3]s %s returning %[3]s", tenant, name, column, p.where()), args).Scan(&value))
					places, values[p] = append(places, p), value
				}
			}
		}
	}
	accepted := 0
	for _, to := range places {
		for _, from := range places {
			sql := fmt.Sprintf("update %s.%q set %s = $1 %s", to.tenant, to.table, to.column, to.where())
			_, err := conn.Exec(ctx, sql, values[from])
			require.NoError(t, err)
			sql = fmt.Sprintf("select %s from %s.%q %s", to.column, to.tenant, to.table, to.where())
			var got string
			if to.column == "a" {
				all, err := query(t, conn, columnA[to.table].Row(ctx), sql)
				require.NoError(t, err)
				got = all[0].V
			} else {
				all, err := query(t, conn, columnB[to.table].Row(ctx), sql)
				require.NoError(t, err)
				got = all[0].V
			}
			require.Equal(t, "the same value", got)
			accepted++
		}
	}
	require.Equal(t, 24*24, accepted)
}

// TestScopeColumn takes the scope from the row.
func TestScopeColumn(t *testing.T) {
	type note struct {
		ID     int64  `db:"id"`
		Tenant string `db:"tenant"`
		Text   string `db:"text" seal:"encrypt,index=text_idx"`
	}
	ctx := t.Context()
	conn := connect(t)
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.Scoped = true })
	notes := newTable[note](t, kr, "notes", pgxfield.Config{RowKey: []string{"id"}, Scope: "tenant"})
	run(t, conn, "create table notes (id bigint primary key, tenant text not null, text bytea not null, text_idx bytea)")
	run(t, conn, notes.DDL()...)
	require.NoError(t, notes.Verify(ctx, conn))
	insert := "insert into notes (id, tenant, text, text_idx) values (@id, @tenant, @text, @text_idx)"
	want := []note{{1, "acme", "hello"}, {2, "zeta", "hello"}}
	for _, n := range want {
		_, err := conn.Exec(ctx, insert, notes.Args(&n))
		require.NoError(t, err)
	}
	all, err := query(t, conn, notes.Row(ctx), "select * from notes order by id")
	require.NoError(t, err)
	require.Equal(t, want, all)
	tags, err := notes.In("zeta").Match(ctx, "text", "hello")
	require.NoError(t, err)
	all, err = query(t, conn, notes.Row(ctx), "select * from notes where text_idx = any($1)", tags)
	require.NoError(t, err)
	require.Equal(t, want[1:], all)

	_, err = conn.Exec(ctx, insert, notes.Args(&note{3, "", "x"}))
	require.ErrorContains(t, err, "scope column tenant is NULL or zero")
	_, err = conn.Exec(ctx, insert, notes.In("acme").Args(&note{3, "zeta", "x"}))
	require.ErrorContains(t, err, "another scope")
	_, err = query(t, conn, notes.In("acme").Row(ctx), "select * from notes")
	require.ErrorContains(t, err, "another scope")
	_, err = query(t, conn, notes.Row(ctx), "select id, text from notes")
	require.ErrorContains(t, err, "without tenant")
	_, err = notes.Match(ctx, "text", "hello")
	require.ErrorIs(t, err, keyring.ErrScope)
	run(t, conn, "update notes set tenant = 'acme' where id = 2")
	_, err = query(t, conn, notes.Row(ctx), "select * from notes where id = 2")
	require.ErrorIs(t, err, crypto.ErrDecrypt)
}

// TestRotation searches and reads before and after both kinds of keys change.
func TestRotation(t *testing.T) {
	ctx := t.Context()
	kr := keyringtest.NewKeyring(t, func(c *keyring.Config) { c.PropagationDelay = 4 * time.Second })
	conn, table := newCustomers(t, kr)
	var rows int64
	insert := func() (encryption, index keyring.KeyID) {
		rows++
		var raw [2][]byte
		require.NoError(t, kr.Refresh(ctx))
		require.NoError(t, conn.QueryRow(ctx, insertCustomer+" returning email, email_idx", table.Args(ann(rows))).Scan(&raw[0], &raw[1]))
		for i, p := range []*keyring.KeyID{&encryption, &index} {
			id, err := crypto.KeyID(raw[i])
			require.NoError(t, err)
			*p = id
		}
		return encryption, index
	}
	search := func() {
		for _, mode := range modes {
			require.NoError(t, kr.Refresh(ctx))
			tags, err := table.Match(ctx, "email", " ann@EXAMPLE.com")
			require.NoError(t, err)
			found, err := query(t, conn, table.Row(ctx), "select * from customers where email_idx = any($1) order by id", mode, tags)
			require.NoError(t, err)
			require.Len(t, found, int(rows))
			for i, c := range found {
				require.Equal(t, *ann(int64(i + 1)), c)
			}
			tags, err = table.Match(ctx, "email", "bob@example.com")
			require.NoError(t, err)
			found, err = query(t, conn, table.Row(ctx), "select * from customers where email_idx = any($1)", mode, tags)
			require.NoError(t, err)
			require.Empty(t, found)
		}
	}
	firstEncryption, firstIndex := insert()
	search()
	newEncryption, err := kr.Rotate(ctx, keyring.Target{Purpose: keyring.Encryption}, keyring.RotateOptions{Immediate: true})
	require.NoError(t, err)
	encryption, _ := insert()
	require.Equal(t, newEncryption, encryption)
	require.NotEqual(t, firstEncryption, encryption)
	search()
	newIndex, err := kr.Rotate(ctx, keyring.Target{Purpose: keyring.Index}, keyring.RotateOptions{})
	require.NoError(t, err)
	_, index := insert()
	require.Equal(t, firstIndex, index, "the new key is pending")
	search()
	for index != newIndex {
		time.Sleep(100 * time.Millisecond)
		_, index = insert()
		search()
	}
}

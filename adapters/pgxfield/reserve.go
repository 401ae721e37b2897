package pgxfield

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ReserveKeys takes the next n values of the sequence of the row key's serial or
// identity column, in one round trip, for rows that are bound to their key and so
// have to know it before they are inserted:
//
//	ids, err := customers.ReserveKeys(ctx, pool, 1)
//	c.ID = ids[0]
//	_, err = pool.Exec(ctx, `insert into customers (id, email, email_idx) values (@id, @email, @email_idx)`, customers.Args(&c))
//
// Where the column is "generated always as identity", write "overriding system
// value" before values; COPY needs nothing. Keys that are not used leave a gap, as
// in any sequence, and are given to nobody else. They ascend, but need not be
// consecutive.
//
// The sequence has to be the column's own, as that of serial and identity columns
// is ("alter sequence ... owned by" makes it so), and exactly one column of
// Config.RowKey has to have one.
func (t *Table[T]) ReserveKeys(ctx context.Context, db DB, n int) ([]int64, error) {
	keys, err := t.table.reserveKeys(ctx, db, n)
	if err != nil {
		return nil, fmt.Errorf("pgxfield: %s: reserve keys: %w", t.table.title(), err)
	}
	return keys, nil
}

const reserveKeys = `with s as materialized (
		select pg_catalog.pg_get_serial_sequence($1::pg_catalog.text, c) as name
		from pg_catalog.unnest($2::pg_catalog.text[]) c)
	select pg_catalog.nextval(one.name::pg_catalog.regclass)
	from (select pg_catalog.min(name) as name from s having pg_catalog.count(name) operator(pg_catalog.=) 1) one,
		pg_catalog.generate_series(1, $3::pg_catalog.int8)`

func (t *table) reserveKeys(ctx context.Context, db DB, n int) ([]int64, error) {
	if n < 0 {
		return nil, errors.New("the number of keys is negative")
	}
	if len(t.key) == 0 {
		return nil, errNoRowKey
	}
	columns := make([]string, len(t.key))
	for i, k := range t.key {
		columns[i] = k.column
	}
	rows, err := db.Query(ctx, reserveKeys, t.name.Sanitize(), columns, int64(n))
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(keys) != n {
		err = errors.New("no column of the row key, or more than one, has a sequence of its own")
	}
	return keys, err
}

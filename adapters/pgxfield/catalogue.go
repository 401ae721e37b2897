package pgxfield

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// This file reads the catalogue. Every operator, function and type in its
// statements stands in pg_catalog, since search_path can put others before them.

// relation is a table, or what stands for one.
type relation struct {
	OID     uint32
	Schema  string
	Name    string
	Kind    string // pg_class.relkind
	columns map[string]catalogueColumn

	targets  []target // of a view
	children []*relation
	checks   map[string][]catalogueCheck
	indexes  map[string][]catalogueIndex
}

func (r *relation) String() string { return pgx.Identifier{r.Schema, r.Name}.Sanitize() }

func (r *relation) isView() bool { return r.Kind == "v" || r.Kind == "m" }

type catalogueColumn struct {
	Number  int16
	Name    string
	Quoted  string // as the catalogue's own SQL spells it
	Type    string // of a domain, that under it; with its schema if that is not pg_catalog
	NotNull bool
}

type catalogueCheck struct {
	Column     string
	Validated  bool
	Own        bool // whether it is made of PostgreSQL's own operators and functions only
	Definition string
}

type catalogueIndex struct {
	Column, Method string
	Unique         bool // by this column alone
}

// target is a column of a view's SELECT, and the column of a relation that it
// shows, or zero.
type target struct {
	Number int16
	Name   string
	OID    uint32
	Column int16
}

const (
	selectRelation = `select c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace `
	relationByName   = selectRelation + `where c.oid operator(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid`
	relationByOID    = selectRelation + `where c.oid::pg_catalog.text operator(pg_catalog.=) $1`
	selectNamesakes  = selectRelation + `where c.relname::pg_catalog.text operator(pg_catalog.=) $1 and n.nspname operator(pg_catalog.=) any (pg_catalog.current_schemas(true))`
	selectChildrenOf = selectRelation + `join pg_catalog.pg_inherits i on i.inhrelid operator(pg_catalog.=) c.oid where i.inhparent::pg_catalog.text operator(pg_catalog.=) $1`

	// Partitions and tables that inherit, at any depth, that are foreign ones.
	selectForeign = `with recursive t(oid) as (
		select i.inhrelid from pg_catalog.pg_inherits i where i.inhparent::pg_catalog.text operator(pg_catalog.=) $1
		union select i.inhrelid from t join pg_catalog.pg_inherits i on i.inhparent operator(pg_catalog.=) t.oid)
		` + selectRelation + `join t on t.oid operator(pg_catalog.=) c.oid where c.relkind operator(pg_catalog.=) 'f' order by c.oid`

	selectColumns = `select a.attnum, a.attname::pg_catalog.text, pg_catalog.quote_ident(a.attname),
		case when n.nspname operator(pg_catalog.=) 'pg_catalog' then '' else n.nspname::pg_catalog.text operator(pg_catalog.||) '.' end operator(pg_catalog.||) coalesce(b.typname, t.typname)::pg_catalog.text,
		a.attnotnull or t.typnotnull
		from pg_catalog.pg_attribute a
		join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) a.atttypid
		left join pg_catalog.pg_type b on b.oid operator(pg_catalog.=) t.typbasetype
		join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) coalesce(b.typnamespace, t.typnamespace)
		where a.attrelid::pg_catalog.text operator(pg_catalog.=) $1 and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped`

	// What a CHECK needs beside its table and PostgreSQL's own objects is in
	// pg_depend: those are pinned, and never there.
	selectChecks = `select a.attname::pg_catalog.text, c.convalidated,
		not exists (select from pg_catalog.pg_depend d where d.classid operator(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
			and d.objid operator(pg_catalog.=) c.oid and d.refclassid operator(pg_catalog.<>) 'pg_catalog.pg_class'::pg_catalog.regclass),
		pg_catalog.pg_get_constraintdef(c.oid)
		from pg_catalog.pg_constraint c
		join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) c.conrelid and a.attnum operator(pg_catalog.=) any (c.conkey)
		where c.conrelid::pg_catalog.text operator(pg_catalog.=) $1 and c.contype operator(pg_catalog.=) 'c'`

	selectIndexes = `select a.attname::pg_catalog.text, m.amname::pg_catalog.text, i.indisunique and i.indnkeyatts operator(pg_catalog.=) 1
		from pg_catalog.pg_index i
		join pg_catalog.pg_class k on k.oid operator(pg_catalog.=) i.indexrelid
		join pg_catalog.pg_am m on m.oid operator(pg_catalog.=) k.relam
		join pg_catalog.pg_attribute a on a.attrelid operator(pg_catalog.=) i.indrelid and a.attnum operator(pg_catalog.=) i.indkey[0]
		where i.indrelid::pg_catalog.text operator(pg_catalog.=) $1 and i.indisvalid and i.indpred is null
		and m.amname operator(pg_catalog.=) any ('{btree,hash,gin}'::pg_catalog.name[])`

	// The tree of a view's SELECT says of each column where it comes from. Those
	// of subselects are in it, too.
	selectTargets = `select t[1]::pg_catalog.int2, pg_catalog.regexp_replace(t[2], '\\(.)', '\1', 'g'), t[3]::pg_catalog.oid, t[4]::pg_catalog.int2
		from pg_catalog.pg_rewrite r,
		pg_catalog.regexp_matches(r.ev_action::pg_catalog.text, ':resno (\d+) :resname ((?:\\.|[^\\\s])+) :ressortgroupref \d+ :resorigtbl (\d+) :resorigcol (\d+) ', 'g') t
		where r.ev_class::pg_catalog.text operator(pg_catalog.=) $1 and r.rulename operator(pg_catalog.=) '_RETURN'`
)

// collect returns what a statement with one argument finds. It goes out without
// the use of prepared statements' types, which differ with search_path.
func collect[E any](ctx context.Context, db DB, sql, arg string, f pgx.RowToFunc[E]) ([]E, error) {
	rows, err := db.Query(ctx, sql, arg)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, f)
}

func scanRelation(row pgx.CollectableRow) (*relation, error) {
	r := new(relation)
	return r, row.Scan(&r.OID, &r.Schema, &r.Name, &r.Kind)
}

// readRelation fills in what the catalogue knows of r.
func readRelation(ctx context.Context, db DB, r *relation) error {
	oid := fmt.Sprint(r.OID)
	columns, err := collect(ctx, db, selectColumns, oid, pgx.RowToStructByPos[catalogueColumn])
	if err != nil {
		return err
	}
	checks, err := collect(ctx, db, selectChecks, oid, pgx.RowToStructByPos[catalogueCheck])
	if err != nil {
		return err
	}
	indexes, err := collect(ctx, db, selectIndexes, oid, pgx.RowToStructByPos[catalogueIndex])
	if err != nil {
		return err
	}
	if r.isView() {
		if r.targets, err = collect(ctx, db, selectTargets, oid, pgx.RowToStructByPos[target]); err != nil {
			return err
		}
	}
	r.columns, r.checks, r.indexes = map[string]catalogueColumn{}, map[string][]catalogueCheck{}, map[string][]catalogueIndex{}
	for _, c := range columns {
		r.columns[c.Name] = c
	}
	for _, c := range checks {
		r.checks[c.Column] = append(r.checks[c.Column], c)
	}
	for _, i := range indexes {
		r.indexes[i.Column] = append(r.indexes[i.Column], i)
	}
	if r.Kind != "r" { // indexes and CHECKs of a partitioned table are those of its partitions
		return nil
	}
	if r.children, err = collect(ctx, db, selectChildrenOf, oid, scanRelation); err != nil {
		return err
	}
	for _, child := range r.children {
		if err := readRelation(ctx, db, child); err != nil {
			return err
		}
	}
	return nil
}

// source returns the relation whose column c of the view r is, or zero. Of what
// stands in subselects, too, nobody can tell which it is.
func (r *relation) source(c catalogueColumn) (oid uint32, column int16) {
	found := slices.DeleteFunc(slices.Clone(r.targets), func(t target) bool { return t.Number != c.Number || t.Name != c.Name })
	for _, t := range found {
		if t != found[0] {
			return 0, 0
		}
	}
	if len(found) == 0 {
		return 0, 0
	}
	return found[0].OID, found[0].Column
}

// plainDefinition returns a definition without parentheses, without the schema
// that search_path makes PostgreSQL write, and with bytea in hex, whatever the
// connection's bytea_output.
func plainDefinition(s string) string {
	return strings.NewReplacer("OPERATOR(pg_catalog.>=)", ">=", "OPERATOR(pg_catalog.<=)", "<=", "OPERATOR(pg_catalog.=)", "=", "OPERATOR(pg_catalog.<)", "<", "OPERATOR(pg_catalog.>)", ">", "OPERATOR(pg_catalog.~)", "~",
		"pg_catalog.", "", "(", "", ")", "",
		`'\001\200'`, `'\x0180'`, `'\001\377'`, `'\x01ff'`, `'\002\000'`, `'\x0200'`, `'\200\000\000\000'`, `'\x80000000'`).Replace(s)
}

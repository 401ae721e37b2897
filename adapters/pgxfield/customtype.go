package pgxfield

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/internal/sealform"
)

const (
	selectType = `select t.oid, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, t.typtype::pg_catalog.text, t.typbasetype,
		case when t.typlen operator(pg_catalog.=) -1 and t.typsubscript operator(pg_catalog.=) 'pg_catalog.array_subscript_handler'::pg_catalog.regproc then t.typelem else 0::pg_catalog.oid end,
		t.typrelid
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) t.typnamespace `
	typeByName = selectType + `where t.oid operator(pg_catalog.=) pg_catalog.to_regtype($1)::pg_catalog.oid`
	typeByOID  = selectType + `where t.oid::pg_catalog.text operator(pg_catalog.=) $1`
	attributes = `select a.attname::pg_catalog.text, a.atttypid from pg_catalog.pg_attribute a
		where a.attrelid::pg_catalog.text operator(pg_catalog.=) $1 and a.attnum operator(pg_catalog.>) 0 and not a.attisdropped order by a.attnum`
)

func scanType(row pgx.CollectableRow) (*sealform.CatalogueType, error) {
	t := new(sealform.CatalogueType)
	return t, row.Scan(&t.OID, &t.Schema, &t.Name, &t.Kind, &t.BaseOID, &t.ElemOID, &t.Record)
}

// readType returns a type and what it is made of, or nil.
func readType(ctx context.Context, db DB, sql, arg string, depth int) (*sealform.CatalogueType, error) {
	const deepest = 16 // domains over composites over arrays
	if depth > deepest {
		return nil, fmt.Errorf("type %s is nested too deeply", arg)
	}
	found, err := collect(ctx, db, sql, arg, scanType)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	t := found[0]
	byOID := func(oid uint32) (*sealform.CatalogueType, error) {
		if oid == 0 {
			return nil, nil
		}
		return readType(ctx, db, typeByOID, fmt.Sprint(oid), depth+1)
	}
	if t.Base, err = byOID(t.BaseOID); err != nil {
		return nil, err
	}
	if t.Element, err = byOID(t.ElemOID); err != nil || t.Record == 0 {
		return t, err
	}
	type column struct {
		Name string
		Type uint32
	}
	columns, err := collect(ctx, db, attributes, fmt.Sprint(t.Record), pgx.RowToStructByPos[column])
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		of, err := byOID(c.Type)
		if err != nil {
			return nil, err
		}
		t.Attributes = append(t.Attributes, sealform.Attribute{Name: c.Name, Type: of})
	}
	return t, nil
}

// customType holds a column of a custom type against the catalogue.
func (v *verifier) customType(s *sealed) error {
	name := s.pg.Custom.Sanitize()
	t, err := readType(v.ctx, v.db, typeByName, name, 0)
	switch {
	case err != nil:
		return err
	case t == nil:
		v.report(s.column, "there is no type %s", name)
		return nil
	case t.BuiltIn():
		v.report(s.column, "type %s is a built-in one, which has another form: name it without a schema", name)
		return nil
	case s.pg.Custom[len(s.pg.Custom)-1] != t.Name:
		v.report(s.column, "type %s is %s in the catalogue", name, t.Name)
		return nil
	}
	if len(s.pg.Custom) == 1 {
		others, err := collect(v.ctx, v.db, shadowTypes, t.Name, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(others) > 1 {
			v.report(s.column, "there is a type %s in several schemas of search_path, %v: name one", name, others)
		}
	}
	of := t
	if s.pg.IsArray() {
		of = &sealform.CatalogueType{OID: t.OID, Kind: "b", Name: t.Name, Element: t}
	}
	if why := sealform.Misfit(s.codec, of); why != "" {
		v.report(s.column, "type %s: %s", pgx.Identifier{t.Schema, t.Name}.Sanitize(), why)
	}
	if base := t.Under(); (len(s.indexes) > 0 || s.siv != nil || v.inCompound(s)) && base.Kind != "e" && !(base.BuiltIn() && base.Kind == "b" && sealform.Comparable(sealform.ClassOf(base.Name))) {
		v.report(s.column, "equal values of type %s can have different texts, so it can not be searched", name)
	}
	return nil
}

func (v *verifier) inCompound(s *sealed) bool {
	return slices.ContainsFunc(v.compound(), func(x *indexed) bool { return slices.Contains(x.of, s) })
}

const shadowTypes = `select n.nspname::pg_catalog.text from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) t.typnamespace
	where t.typname::pg_catalog.text operator(pg_catalog.=) $1 and n.nspname operator(pg_catalog.=) any (pg_catalog.current_schemas(true))`

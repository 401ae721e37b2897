package sealform

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sealfield/sealfield/internal/pgsql"
)

// Type is what a sealed column's values are.
type Type struct {
	Class string // the name that stands in the key's derivation
	OID   uint32 // the type whose binary form is sealed, or would be for text, bytea and int8; 0 for custom types

	// Custom names a type that PostgreSQL has not built in, or its element if
	// the class is one of arrays.
	Custom pgx.Identifier

	narrow string // the type that was named, if it holds less than its class: int2, int4, name
}

// Name is the name for errors.
func (t Type) Name() string { return strings.TrimPrefix(t.Class, customClass) }

// customClass begins the class of custom types, whose names could otherwise be
// those of built-in ones.
const customClass = "text:"

// Types whose values are interchangeable share a class, so that widening a
// column loses nothing: the class's type is their common sealed form.
var classes = map[string]string{
	"int2": "int8", "int4": "int8",
	"varchar": "text", "bpchar": "text", "name": "text",
}

// ClassOf returns the class of a type in pg_type that is no array.
func ClassOf(name string) string {
	if c, ok := classes[name]; ok {
		return c
	}
	return name
}

// Comparable reports whether equal values of a class that is none of arrays have
// equal sealed forms.
func Comparable(class string) bool { return !noIndex[class] }

// noIndex are the classes in which equal values can have different bytes, so
// that a search could miss some: 1.0 and 1.00, +0 and -0, 24 hours and a day, and
// [1,3] and [1,4) of all ranges.
var noIndex = map[string]bool{
	"numeric": true, "float4": true, "float8": true, "json": true, "jsonb": true, "interval": true, "xml": true,
	"point": true, "line": true, "lseg": true, "box": true, "path": true, "polygon": true, "circle": true,
	"int4range": true, "int8range": true, "numrange": true, "daterange": true, "tsrange": true, "tstzrange": true,
	"int4multirange": true, "int8multirange": true, "nummultirange": true, "datemultirange": true, "tsmultirange": true, "tstzmultirange": true,
}

// pseudoTypes are known to pgx, but no column has them.
var pseudoTypes = map[string]bool{"record": true, "unknown": true}

// spellings are names that SQL has for types, and not the catalogue.
var spellings = map[string]string{
	"bigint": "int8", "int": "int4", "integer": "int4", "smallint": "int2", "bigserial": "int8", "serial": "int4", "smallserial": "int2",
	"boolean": "bool", "character": "bpchar", "varying": "varchar", "decimal": "numeric", "dec": "numeric", "real": "float4", "float": "float8", "double": "float8",
	"bytes": "bytea", "string": "text",
}

// unknownToPgx are built-in types without a codec in pgx.
var unknownToPgx = map[string]bool{
	"aclitem": true, "gtsvector": true, "int2vector": true, "jsonpath": true, "money": true, "oid8": true, "oidvector": true, "pg_lsn": true, "pg_node_tree": true,
	"pg_snapshot": true, "refcursor": true, "regclass": true, "regcollation": true, "regconfig": true, "regdictionary": true, "regnamespace": true,
	"regoper": true, "regoperator": true, "regproc": true, "regprocedure": true, "regrole": true, "regtype": true, "timetz": true, "tsquery": true, "txid_snapshot": true,
}

// Named resolves a pg_type name; int4[] and _int4 are the same array type. A
// name that is no built-in one, or stands in a schema, is that of a custom type,
// which Verify resolves.
func Named(name string) (Type, error) {
	element, isArray := strings.CutSuffix(name, "[]")
	if !isArray {
		element, isArray = strings.CutPrefix(name, "_")
	}
	element = strings.TrimPrefix(element, "pg_catalog.")
	array := ""
	if isArray {
		array = "[]"
	}
	switch other, isSpelling := spellings[element]; {
	case isSpelling:
		return Type{}, fmt.Errorf("type=%s is no name in pg_type: it is %s there", name, other)
	case unknownToPgx[element] || pseudoTypes[element]:
		return Type{}, fmt.Errorf("type=%s is built in, but pgx has no form of it that could be sealed", name)
	case strings.ContainsAny(element, "()[]%"):
		return Type{}, fmt.Errorf("type=%s is no name in pg_type: it has no modifiers, and arrays one []", name)
	}
	class := ClassOf(element)
	catalogue := class
	if isArray {
		catalogue = "_" + class
	}
	if t, ok := pgtype.NewMap().TypeForName(catalogue); ok && !strings.HasPrefix(element, "_") {
		found := Type{Class: class + array, OID: t.OID}
		if element == "int2" || element == "int4" || element == "name" {
			found.narrow = element
		}
		return found, nil
	}
	custom, err := pgsql.ParseName(element)
	if err != nil {
		return Type{}, fmt.Errorf("type=%s: %w", name, err)
	}
	return Type{Class: customClass + custom[len(custom)-1] + array, Custom: custom}, nil
}

var (
	timeType      = reflect.TypeFor[time.Time]()
	durationType  = reflect.TypeFor[time.Duration]()
	bytesType     = reflect.TypeFor[[]byte]()
	uuidType      = reflect.TypeFor[[16]byte]()
	rawJSONType   = reflect.TypeFor[json.RawMessage]()
	valuerType    = reflect.TypeFor[driver.Valuer]()
	marshalerType = reflect.TypeFor[json.Marshaler]()
	scannerType   = reflect.TypeFor[sql.Scanner]()
)

// Default names the PostgreSQL type that t has without type=, or "".
func Default(t reflect.Type) string {
	switch {
	case isEndless(t):
		return ""
	case t.Kind() == reflect.Pointer:
		return Default(t.Elem())
	case t == rawJSONType:
		return "jsonb"
	case t.ConvertibleTo(timeType):
		return "timestamptz"
	case t == durationType:
		return "interval"
	case IsUUID(t):
		return "uuid"
	case CustomForm(t) || ownGetter(t):
		return registeredType(t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		if name := registeredType(t); name != "" && !IsInteger(t.Elem().Kind()) && t.Elem() != rawJSONType {
			return name
		}
		element := Default(t.Elem())
		if element == "" || strings.HasSuffix(element, "[]") {
			return element
		}
		return element + "[]"
	case IsInteger(t.Kind()):
		return "int8"
	}
	if name := registeredType(t); name != "" {
		return name
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Float32:
		return "float4"
	case reflect.Float64:
		return "float8"
	case reflect.Slice:
		return "bytea"
	case reflect.Map:
		return "jsonb"
	case reflect.Struct:
		if hasJSON(t) {
			return "jsonb"
		}
	}
	return ""
}

// isEndless reports whether t is made of itself alone, as type T []T is.
func isEndless(t reflect.Type) bool {
	for seen := []reflect.Type{}; t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array; t = t.Elem() {
		if slices.Contains(seen, t) {
			return true
		}
		seen = append(seen, t)
	}
	return false
}

// hasJSON reports whether a struct keeps anything at all as JSON.
func hasJSON(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(marshalerType) {
		return true
	}
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			return true
		}
	}
	return false
}

// registeredType names the type that pgx itself gives values of type t, or "".
func registeredType(t reflect.Type) string {
	found, ok := pgtype.NewMap().TypeForValue(reflect.Zero(t).Interface())
	if !ok {
		return ""
	}
	if element, ok := strings.CutPrefix(found.Name, "_"); ok {
		return element + "[]"
	}
	return found.Name
}

// CustomForm reports whether t says itself how it is stored.
func CustomForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(valuerType) || p.Implements(scannerType)
}

// ownGetter reports whether pgx asks values of type t for their parts.
func ownGetter(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, getter := range []reflect.Type{
		reflect.TypeFor[pgtype.RangeValuer](), reflect.TypeFor[pgtype.MultirangeGetter](), reflect.TypeFor[pgtype.ArrayGetter](), reflect.TypeFor[pgtype.CompositeIndexGetter](),
	} {
		if p.Implements(getter) {
			return true
		}
	}
	return false
}

// IsInteger reports whether values of the kind are integers.
func IsInteger(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Uint64
}

// IsUUID reports whether t is 16 bytes: pgx reads and writes every such type as
// a uuid.
func IsUUID(t reflect.Type) bool {
	return t.Kind() == reflect.Array && t.ConvertibleTo(uuidType)
}

// IsArray reports whether the values are arrays.
func (t Type) IsArray() bool { return strings.HasSuffix(t.Class, "[]") }

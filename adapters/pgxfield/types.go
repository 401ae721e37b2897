package pgxfield

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// pgType is what a sealed column's values are: a type that PostgreSQL has built
// in.
type pgType struct {
	class string // the name that stands in the key's derivation
	oid   uint32 // the type whose binary form is sealed, or would be for text, bytea and int8
}

// Types whose values are interchangeable share a class, so that widening a
// column loses nothing: the class's type is their common sealed form.
var classes = map[string]string{
	"int2": "int8", "int4": "int8",
	"varchar": "text", "bpchar": "text", "name": "text",
}

// noIndex are the classes in which equal values can have different bytes, so
// that a search could miss some: 1.0 and 1.00, +0 and -0, 24 hours and a day.
var noIndex = map[string]bool{
	"numeric": true, "float4": true, "float8": true, "json": true, "jsonb": true, "interval": true,
}

// pseudoTypes are known to pgx, but no column has them.
var pseudoTypes = map[string]bool{"record": true, "unknown": true}

// typeNamed resolves a pg_type name; int4[] and _int4 are the same array type.
func typeNamed(name string) (pgType, error) {
	element, isArray := strings.CutSuffix(name, "[]")
	if !isArray {
		element, isArray = strings.CutPrefix(name, "_")
	}
	class := element
	if c, ok := classes[element]; ok {
		class = c
	}
	catalogue := class
	if isArray {
		class, catalogue = class+"[]", "_"+class
	}
	t, ok := pgtype.NewMap().TypeForName(catalogue)
	if !ok || pseudoTypes[element] || strings.HasPrefix(element, "_") {
		return pgType{}, fmt.Errorf("type=%s is no name of a built-in type in pg_type", name)
	}
	return pgType{class, t.OID}, nil
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

// defaultType names the PostgreSQL type that t has without type=, or "".
func defaultType(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return defaultType(t.Elem())
	case t == rawJSONType:
		return "jsonb"
	case t.ConvertibleTo(timeType):
		return "timestamptz"
	case t == durationType:
		return "interval"
	case isUUID(t):
		return "uuid"
	case customForm(t):
		return registeredType(t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		if name := registeredType(t); name != "" && !isInteger(t.Elem().Kind()) && t.Elem() != rawJSONType {
			return name
		}
		element := defaultType(t.Elem())
		if element == "" || strings.HasSuffix(element, "[]") {
			return element
		}
		return element + "[]"
	case isInteger(t.Kind()):
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

// customForm reports whether t says itself how it is stored.
func customForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(valuerType) || p.Implements(scannerType)
}

func isInteger(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Uint64
}

// isUUID reports whether t is 16 bytes: pgx reads and writes every such type as
// a uuid.
func isUUID(t reflect.Type) bool {
	return t.Kind() == reflect.Array && t.ConvertibleTo(uuidType)
}

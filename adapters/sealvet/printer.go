package sealvet

import (
	"go/types"
	"reflect"
	"strings"
)

// printer is a way to print a value: as package fmt does under a verb, or as
// encoding/json does. What it follows is what those packages follow.
type printer struct {
	fmt  bool
	verb verb
	json bool
}

// shows tells whether the value of a sealed field of type t can be read in what
// is printed of it: fmt prints the address of what a pointer points to.
func (p printer) shows(t types.Type) bool { return p.showsIn(t, 0, true) }

// showsIn is shows for a value inside of another one, where methods tells whether
// the printer calls its methods.
func (p printer) showsIn(t types.Type, depth int, methods bool) bool {
	if t == nil || methods && p.redactsField(t) {
		return false
	}
	if depth > maxDepth { // a type of itself
		return true
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return p.follows(u, depth) && p.showsIn(u.Elem(), depth+1, methods)
	case *types.Slice:
		return p.showsIn(u.Elem(), depth+1, methods)
	case *types.Array:
		return p.showsIn(u.Elem(), depth+1, methods)
	}
	return true
}

// follows tells whether the printer shows what a pointer points to.
func (p printer) follows(ptr *types.Pointer, depth int) bool {
	if p.json {
		return true
	}
	switch ptr.Elem().Underlying().(type) {
	case *types.Struct, *types.Slice, *types.Array, *types.Map:
		return depth == 0
	}
	return false
}

// redacted tells whether a type that holds sealed fields says itself what is
// printed of it.
func (p printer) redacted(t types.Type) bool {
	if p.json {
		return marshals(t)
	}
	switch {
	case formats(t):
		return true
	case p.verb.sharp && p.verb.letter == 'v':
		return method(t, "GoString") == "() string"
	case strings.ContainsRune("vsqxXw", p.verb.letter):
		return method(t, "String") == "() string" || method(t, "Error") == "() string"
	}
	return false
}

// redactsField is redacted for the type of a sealed field. A String method does
// not count: most return the value.
func (p printer) redactsField(t types.Type) bool {
	if p.json {
		return redactsItself(t) && marshals(t)
	}
	return redactsItself(t) && formats(t)
}

// redactsItself tells whether a type takes care of what is printed of it: it has
// the methods of fmt.Formatter or slog.LogValuer, and is not one of the standard
// library's numbers.
func redactsItself(t types.Type) bool {
	named, ok := types.Unalias(deref(t)).(*types.Named)
	if !ok || pathOf(named.Obj()) == "math/big" {
		return false
	}
	return formats(t) || logs(t)
}

func formats(t types.Type) bool { return method(t, "Format") == "(fmt.State, rune)" }

func logs(t types.Type) bool { return method(t, "LogValue") == "() log/slog.Value" }

func marshals(t types.Type) bool {
	return method(t, "MarshalJSON") == "() ([]byte, error)" || method(t, "MarshalText") == "() ([]byte, error)"
}

// method returns the parameters and results of a method that values of type t
// have, or "".
func method(t types.Type, name string) string {
	sel := types.NewMethodSet(t).Lookup(nil, name)
	if sel == nil {
		return ""
	}
	sig := sel.Type().(*types.Signature)
	unnamed := types.NewSignatureType(nil, nil, nil, unnamed(sig.Params()), unnamed(sig.Results()), sig.Variadic())
	return strings.TrimPrefix(types.TypeString(unnamed, nil), "func")
}

func unnamed(tuple *types.Tuple) *types.Tuple {
	var list []*types.Var
	for v := range tuple.Variables() {
		list = append(list, types.NewParam(v.Pos(), v.Pkg(), "", v.Type()))
	}
	return types.NewTuple(list...)
}

func fieldTag(st *types.Struct, i int) reflect.StructTag { return reflect.StructTag(st.Tag(i)) }

package sealvet

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// carried is a tagged field whose plain value an expression carries.
type carried struct {
	field *field
	at    ast.Expr // where it is read
}

// carries returns the tagged fields whose plain values are in the value of e:
// the field itself, and what text, slices, maps and database/sql's or pgtype's
// wrappers are made of it. It does not look into calls, but for those that only
// change the form.
func (c *checker) carries(e ast.Expr) []carried { return c.carriesIn(e, 0) }

// maxDepth ends the way through variables that are made of each other.
const maxDepth = 12

func (c *checker) carriesIn(e ast.Expr, depth int) (found []carried) {
	if depth > maxDepth {
		return nil
	}
	all := func(list ...ast.Expr) {
		for _, e := range list {
			found = append(found, c.carriesIn(e, depth+1)...)
		}
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		all(e.X)
	case *ast.StarExpr:
		all(e.X)
	case *ast.UnaryExpr:
		if e.Op == token.AND {
			all(e.X)
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD && isString(c.info.TypeOf(e)) {
			all(e.X, e.Y)
		}
	case *ast.IndexExpr: // of a field that is a slice; of a variable it may be any entry
		if x, ok := ast.Unparen(e.X).(*ast.SelectorExpr); ok && !isString(c.info.TypeOf(x)) {
			all(x)
		}
	case *ast.CompositeLit:
		if c.isWrapper(c.info.TypeOf(e)) {
			all(elements(e)...)
		}
	case *ast.SelectorExpr:
		if f := c.selected(e, c.tagged); f != nil {
			found = append(found, carried{f, e})
		}
	case *ast.Ident:
		if v := c.variable(e); v != nil {
			all(v.all()...)
		}
	case *ast.CallExpr:
		if f := c.opened(e); f != nil {
			found = append(found, carried{f, e})
		}
		all(c.unchanged(e)...)
	}
	return found
}

// opened returns the field that a call of sqlfield's Open or OpenAt decrypts.
func (c *checker) opened(call *ast.CallExpr) *field {
	fn := c.callee(call)
	if fn == nil || !strings.HasPrefix(fn.Name(), "Open") || pathOf(fn) != sqlfieldPath || fn.Signature().Recv() == nil {
		return nil
	}
	if x, ok := ast.Unparen(ast.Unparen(call.Fun).(*ast.SelectorExpr).X).(*ast.SelectorExpr); ok {
		return c.selected(x, c.sealed)
	}
	return nil
}

// isWrapper tells whether a value of the type holds others as they are: a slice,
// a map, or a struct such as sql.NullString and pgtype.Text.
func (c *checker) isWrapper(t types.Type) bool {
	switch deref(t).Underlying().(type) {
	case *types.Slice, *types.Array, *types.Map:
		return true
	}
	named, ok := types.Unalias(deref(t)).(*types.Named)
	if !ok || named.Obj().Pkg() == nil {
		return false
	}
	path := named.Obj().Pkg().Path()
	return path == "database/sql" || path == "github.com/jackc/pgx/v5/pgtype"
}

// unchanged returns the expressions whose values a call only changes the form of.
func (c *checker) unchanged(call *ast.CallExpr) []ast.Expr {
	if c.info.Types[call.Fun].IsType() {
		return call.Args
	}
	switch fn := typeutil.Callee(c.info, call).(type) {
	case *types.Builtin:
		if fn.Name() == "append" {
			return call.Args
		}
	case *types.Func:
		sel, isMethod := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		isMethod = isMethod && fn.Signature().Recv() != nil
		switch path := pathOf(fn); {
		case makesText(fn):
			return call.Args
		case path == "database/sql" && fn.Name() == "Named":
			return call.Args
		case path == "strings" && !isMethod && returnsString(fn) && fn.Name() != "Map": // Map may mask
			return call.Args
		case path == "strconv" && returnsString(fn):
			return call.Args
		case isMethod && fn.Name() == "String" && returnsString(fn):
			if t := c.info.TypeOf(sel.X); !redactsItself(t) {
				return []ast.Expr{sel.X}
			}
		case isMethod && path == "time" && (returnsString(fn) || returnsReceiver(fn)):
			return []ast.Expr{sel.X}
		}
	}
	return nil
}

func pathOf(o types.Object) string {
	if o.Pkg() == nil {
		return ""
	}
	return o.Pkg().Path()
}

func isString(t types.Type) bool {
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

func returnsString(fn *types.Func) bool {
	r := fn.Signature().Results()
	return r.Len() == 1 && isString(r.At(0).Type())
}

// returnsReceiver tells whether a method makes another value of its type.
func returnsReceiver(fn *types.Func) bool {
	r := fn.Signature().Results()
	return r.Len() == 1 && types.Identical(r.At(0).Type(), deref(fn.Signature().Recv().Type()))
}

// elements returns the values in a composite literal.
func elements(lit *ast.CompositeLit) []ast.Expr {
	values := make([]ast.Expr, len(lit.Elts))
	for i, e := range lit.Elts {
		values[i] = e
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			values[i] = kv.Value
		}
	}
	return values
}

package sealvet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/inspector"
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

// variable is what a function puts into one of its variables.
type variable struct {
	values  []ast.Expr       // assigned to it
	added   []ast.Expr       // by += and append
	entries []*ast.IndexExpr // set in it
	set     []ast.Expr       // the values of entries
	unknown bool             // something else changes it
}

// all returns the values that are in it for sure.
func (v *variable) all() []ast.Expr {
	all := append([]ast.Expr(nil), v.values...)
	return append(append(all, v.added...), v.set...)
}

// variables returns the local variables of a package.
func variables(in *inspector.Inspector, pass *analysis.Pass) map[*types.Var]*variable {
	all := make(map[*types.Var]*variable)
	local := func(e ast.Expr) *variable {
		id, ok := ast.Unparen(e).(*ast.Ident)
		if !ok {
			return nil
		}
		v, ok := pass.TypesInfo.ObjectOf(id).(*types.Var)
		if !ok || v.IsField() || v.Parent() == pass.Pkg.Scope() {
			return nil
		}
		if all[v] == nil {
			all[v] = new(variable)
		}
		return all[v]
	}
	spoil := func(e ast.Expr) {
		if v := local(e); v != nil {
			v.unknown = true
		}
	}
	assign := func(left, right ast.Expr, tok token.Token) {
		if index, ok := ast.Unparen(left).(*ast.IndexExpr); ok {
			if v := local(index.X); v != nil {
				v.entries, v.set = append(v.entries, index), append(v.set, right)
			}
			return
		}
		v := local(left)
		if v == nil {
			return
		}
		grown := appended(pass.TypesInfo, left, right)
		switch {
		case tok == token.ADD_ASSIGN:
			v.added = append(v.added, right)
		case tok != token.ASSIGN && tok != token.DEFINE:
			v.unknown = true
		case grown != nil:
			v.added = append(v.added, grown...)
		default:
			v.values = append(v.values, right)
		}
	}
	nodes := []ast.Node{(*ast.AssignStmt)(nil), (*ast.ValueSpec)(nil), (*ast.RangeStmt)(nil), (*ast.UnaryExpr)(nil), (*ast.FuncType)(nil), (*ast.CallExpr)(nil)}
	for n := range in.PreorderSeq(nodes...) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if len(n.Lhs) == len(n.Rhs) {
					assign(left, n.Rhs[i], n.Tok)
				} else if i == 0 { // email, err := c.Email.Open(ctx)
					assign(left, n.Rhs[0], n.Tok)
				} else {
					spoil(left)
				}
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if len(n.Names) == len(n.Values) {
					assign(name, n.Values[i], token.DEFINE)
				} else if len(n.Values) > 0 {
					spoil(name)
				}
			}
		case *ast.RangeStmt:
			spoil(n.Key)
			spoil(n.Value)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				spoil(n.X)
			}
		case *ast.FuncType: // a parameter has a value from elsewhere
			for _, list := range []*ast.FieldList{n.Params, n.Results} {
				for _, f := range fieldsOf(list) {
					for _, name := range f.Names {
						spoil(name)
					}
				}
			}
		case *ast.CallExpr:
			if b, ok := typeutil.Callee(pass.TypesInfo, n).(*types.Builtin); ok && (b.Name() == "delete" || b.Name() == "clear") {
				spoil(n.Args[0])
			}
		}
	}
	return all
}

func fieldsOf(list *ast.FieldList) []*ast.Field {
	if list == nil {
		return nil
	}
	return list.List
}

// appended returns what x = append(x, ...) adds to x, or nil.
func appended(info *types.Info, left, right ast.Expr) []ast.Expr {
	call, ok := ast.Unparen(right).(*ast.CallExpr)
	if !ok || len(call.Args) < 2 {
		return nil
	}
	b, ok := typeutil.Callee(info, call).(*types.Builtin)
	if !ok || b.Name() != "append" {
		return nil
	}
	x, ok := ast.Unparen(left).(*ast.Ident)
	y, ok2 := ast.Unparen(call.Args[0]).(*ast.Ident)
	if !ok || !ok2 || info.ObjectOf(x) != info.ObjectOf(y) {
		return nil
	}
	return call.Args[1:]
}

// variable returns the local variable that an identifier stands for, if it is
// assigned once and otherwise only added to; else nil.
func (c *checker) variable(id *ast.Ident) *variable {
	obj, ok := c.info.ObjectOf(id).(*types.Var)
	if !ok {
		return nil
	}
	v := c.variables[obj]
	if v == nil || v.unknown || len(v.values) > 1 {
		return nil
	}
	return v
}

// resolve returns the expression that a variable was assigned, or e itself.
func (c *checker) resolve(e ast.Expr) ast.Expr {
	for range maxDepth {
		id, ok := ast.Unparen(e).(*ast.Ident)
		if !ok {
			break
		}
		v := c.variable(id)
		if v == nil || len(v.values) != 1 {
			break
		}
		e = v.values[0]
	}
	return ast.Unparen(e)
}

// arguments returns those of a call from the given parameter on, with those in a
// slice that is passed with "..." one by one, as far as they are known.
func (c *checker) arguments(call *ast.CallExpr, from int) []ast.Expr {
	if from >= len(call.Args) {
		return nil
	}
	args := call.Args[from:]
	if !call.Ellipsis.IsValid() {
		return args
	}
	last := args[len(args)-1]
	spread := []ast.Expr{last}
	if lit, ok := c.resolve(last).(*ast.CompositeLit); ok {
		spread = elements(lit)
	}
	if id, ok := ast.Unparen(last).(*ast.Ident); ok {
		if v := c.variable(id); v != nil {
			spread = append(spread, v.added...)
		}
	}
	return append(append([]ast.Expr(nil), args[:len(args)-1]...), spread...)
}

// text returns the constant that e is, also through a variable to which nothing
// is added.
func (c *checker) text(e ast.Expr) (string, bool) {
	if id, ok := ast.Unparen(e).(*ast.Ident); ok {
		if v := c.variable(id); v != nil && len(v.added) > 0 {
			return "", false
		}
	}
	v := c.info.Types[c.resolve(e)].Value
	if v == nil || v.Kind() != constant.String {
		return "", false
	}
	return constant.StringVal(v), true
}

package sealvet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"
)

// variable is what a function puts into one of its variables.
type variable struct {
	values  []ast.Expr       // assigned to it
	added   []ast.Expr       // by +=, append and loops and, to a strings.Builder or bytes.Buffer, by writing
	entries []*ast.IndexExpr // set in it
	set     []ast.Expr       // the values of entries
	unknown bool             // something else changes it
}

// all returns the values that are in it for sure.
func (v *variable) all() []ast.Expr {
	return slices.Concat(v.values, v.added, v.set)
}

// collector collects the local variables of a package.
type collector struct {
	pass      *analysis.Pass
	variables map[*types.Var]*variable
	writers   map[*ast.UnaryExpr]bool // &b that changes b as write has it
}

func variables(in *inspector.Inspector, pass *analysis.Pass) map[*types.Var]*variable {
	c := collector{pass, make(map[*types.Var]*variable), make(map[*ast.UnaryExpr]bool)}
	for n := range in.PreorderSeq((*ast.AssignStmt)(nil), (*ast.ValueSpec)(nil), (*ast.RangeStmt)(nil),
		(*ast.UnaryExpr)(nil), (*ast.FuncType)(nil), (*ast.CallExpr)(nil)) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			c.assignAll(n.Lhs, n.Rhs, n.Tok)
		case *ast.ValueSpec:
			names := make([]ast.Expr, len(n.Names))
			for i, name := range n.Names {
				names[i] = name
			}
			c.assignAll(names, n.Values, token.DEFINE)
		case *ast.RangeStmt:
			c.spoil(n.Key)
			c.each(n.Value, n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND && !c.writers[n] {
				c.spoil(n.X)
			}
		case *ast.FuncType: // a parameter has a value from elsewhere
			c.spoilFields(n.Params)
			c.spoilFields(n.Results)
		case *ast.CallExpr:
			if b, ok := typeutil.Callee(pass.TypesInfo, n).(*types.Builtin); ok && (b.Name() == "delete" || b.Name() == "clear") {
				c.spoil(n.Args[0])
			}
			c.write(n)
		}
	}
	return c.variables
}

// assignAll notes an assignment, or a declaration, which may be without values.
func (c collector) assignAll(left, right []ast.Expr, tok token.Token) {
	switch {
	case len(left) == len(right):
		for i := range left {
			c.assign(left[i], right[i], tok)
		}
	case len(right) > 0: // email, err := c.Email.Open(ctx)
		c.assign(left[0], right[0], tok)
		c.spoil(left[1:]...)
	}
}

func (c collector) assign(left, right ast.Expr, tok token.Token) {
	if index, ok := ast.Unparen(left).(*ast.IndexExpr); ok {
		if v := c.local(index.X); v != nil {
			v.entries, v.set = append(v.entries, index), append(v.set, right)
		}
		return
	}
	v := c.local(left)
	if v == nil {
		return
	}
	grown := appended(c.pass.TypesInfo, left, right)
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

// each notes what a loop over a list or a map puts into its variable.
func (c collector) each(value, of ast.Expr) {
	switch deref(c.pass.TypesInfo.TypeOf(of)).Underlying().(type) {
	case *types.Slice, *types.Array, *types.Map:
		if v := c.local(value); v != nil {
			v.added = append(v.added, of)
		}
	default:
		c.spoil(value)
	}
}

// write notes what a call adds to a strings.Builder or bytes.Buffer. Bun takes a map by
// its address, and adds nothing.
func (c collector) write(call *ast.CallExpr) {
	fn, ok := typeutil.Callee(c.pass.TypesInfo, call).(*types.Func)
	if !ok {
		return
	}
	var to ast.Expr
	args := call.Args
	switch sel, isMethod := ast.Unparen(call.Fun).(*ast.SelectorExpr); {
	case pathOf(fn) == "fmt" && strings.HasPrefix(fn.Name(), "Fprint"), pathOf(fn) == "io" && fn.Name() == "WriteString":
		to, args = args[0], args[1:]
	case isMethod && (fn.Name() == "WriteString" || fn.Name() == "Write"):
		to = sel.X
	case isMethod && (fn.Name() == "Reset" || fn.Name() == "Truncate"):
		c.spoil(sel.X)
		return
	case pathOf(fn) == bunPath && fn.Name() == "Model" && len(args) == 1:
		to, args = args[0], nil
	default:
		return
	}
	address, isAddress := ast.Unparen(to).(*ast.UnaryExpr)
	if isAddress {
		to = address.X
	}
	if v := c.local(to); v != nil && (args == nil || isBuilder(c.pass.TypesInfo.TypeOf(to))) {
		v.added = append(v.added, args...)
		c.writers[address] = isAddress
	}
}

// isBuilder tells whether t is, or points to, a strings.Builder or bytes.Buffer.
func isBuilder(t types.Type) bool {
	named, ok := types.Unalias(deref(t)).(*types.Named)
	if !ok {
		return false
	}
	path, name := pathOf(named.Obj()), named.Obj().Name()
	return path == "strings" && name == "Builder" || path == "bytes" && name == "Buffer"
}

// spoil gives up the variables among some expressions.
func (c collector) spoil(list ...ast.Expr) {
	for _, e := range list {
		if v := c.local(e); v != nil {
			v.unknown = true
		}
	}
}

func (c collector) spoilFields(list *ast.FieldList) {
	if list == nil {
		return
	}
	for _, f := range list.List {
		for _, name := range f.Names {
			c.spoil(name)
		}
	}
}

// local returns the local variable that e is, or nil.
func (c collector) local(e ast.Expr) *variable {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return nil
	}
	v, ok := c.pass.TypesInfo.ObjectOf(id).(*types.Var)
	if !ok || v.IsField() || v.Parent() == c.pass.Pkg.Scope() {
		return nil
	}
	if c.variables[v] == nil {
		c.variables[v] = new(variable)
	}
	return c.variables[v]
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
	return slices.Concat(args[:len(args)-1], spread)
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

package sealvet

import (
	"go/ast"
	"go/token"
	"go/types"
	"iter"
	"strings"
)

const (
	gormPath       = "gorm.io/gorm"
	gormClausePath = gormPath + "/clause"
)

// gorm looks at GORM's methods that take rows, maps of columns, or one column.
func (c *checker) gorm(call *ast.CallExpr, fn *types.Func, name string) {
	if fn.Signature().Recv() == nil {
		return
	}
	written := " is written in the clear by " + name + useSQL
	switch fn.Name() {
	case "Create", "Save", "CreateInBatches":
		for _, arg := range call.Args {
			c.gormMap(call, arg, written)
			c.gormRow(call, arg, written)
		}
	case "Updates", "UpdateColumns":
		arg := call.Args[len(call.Args)-1]
		c.gormMap(call, arg, written)
		if c.rowLiteral(arg) != nil { // what it sets is what is written
			c.setFields(call, arg, written)
		} else {
			c.gormRow(call, arg, written)
		}
	case "Update", "UpdateColumn":
		if n := len(call.Args); n >= 2 {
			c.gormColumn(call, call.Args[n-2], call.Args[n-1], written)
		}
	case "Where", "Not", "Or", "Attrs", "Assign", "FirstOrCreate", "FirstOrInit", "Having":
		c.gormConditions(call, call.Args, name)
	case "First", "Last", "Take", "Find": // what they fill comes first
		if len(call.Args) > 0 {
			c.gormConditions(call, call.Args[1:], name)
		}
	}
}

// gormConditions looks at conditions that are maps, or rows.
func (c *checker) gormConditions(call *ast.CallExpr, conditions []ast.Expr, name string) {
	after := " is an argument of " + name + " in the clear" + useSQL
	for _, arg := range conditions {
		c.gormMap(call, arg, after)
		c.setFields(call, arg, after)
	}
}

// gormClause looks at a literal of one of GORM's conditions or assignments.
func (c *checker) gormClause(lit *ast.CompositeLit) {
	named, ok := types.Unalias(c.info.TypeOf(lit)).(*types.Named)
	if !ok || pathOf(named.Obj()) != gormClausePath {
		return
	}
	for _, e := range elements(lit) {
		c.reportCarried(lit, e, c.carries(e), " stands in the clear in clause."+named.Obj().Name()+useSQL)
	}
}

// isGormText tells whether a method of GORM takes a text of SQL alone.
func isGormText(fn *types.Func) bool {
	return pathOf(fn) == gormPath && (fn.Name() == "Order" || fn.Name() == "Group")
}

// gormRow reports a row that GORM writes. Where Select or Omit choose the columns
// it is not known which.
func (c *checker) gormRow(call *ast.CallExpr, row ast.Expr, after string) {
	t := rowType(c.info.TypeOf(row))
	if t == nil {
		return
	}
	for previous := range c.chain(call) {
		if fn := c.callee(previous); fn != nil && (fn.Name() == "Select" || fn.Name() == "Omit") {
			return
		}
	}
	for _, f := range c.fields(t) {
		if !gormSkips(f) {
			c.report(call, row.Pos(), f.String()+after)
			return
		}
	}
}

// setFields reports the sealed fields that a literal of a row sets.
func (c *checker) setFields(n ast.Node, row ast.Expr, after string) {
	lit := c.rowLiteral(row)
	if lit == nil {
		return
	}
	t := c.info.TypeOf(lit)
	st := structOf(t)
	for i, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			i = fieldIndex(st, kv.Key)
		}
		if f := c.tagged(t, st, i); f != nil && !gormSkips(f) {
			c.report(n, e.Pos(), f.String()+after)
		}
	}
}

// fieldIndex returns the number of the field that a literal's key names.
func fieldIndex(st *types.Struct, key ast.Expr) int {
	i := 0
	for st.Field(i).Name() != key.(*ast.Ident).Name {
		i++
	}
	return i
}

// rowLiteral returns the literal of a struct that row is, or nil.
func (c *checker) rowLiteral(row ast.Expr) *ast.CompositeLit {
	e := ast.Unparen(row)
	if u, ok := e.(*ast.UnaryExpr); ok && u.Op == token.AND {
		e = ast.Unparen(u.X)
	}
	lit, ok := e.(*ast.CompositeLit)
	if !ok || structOf(c.info.TypeOf(lit)) == nil {
		return nil
	}
	return lit
}

// gormSkips tells whether GORM leaves a field of a row out, or gives it to a
// serializer, which may seal it.
func gormSkips(f *field) bool {
	tag := f.tag.Get("gorm")
	return strings.Contains(tag, "serializer:") || strings.HasPrefix(tag, "-") || strings.Contains(tag, "<-:false")
}

// gormMap reports the entries of a map that go into sealed columns.
func (c *checker) gormMap(call *ast.CallExpr, arg ast.Expr, after string) {
	if _, ok := deref(c.info.TypeOf(arg)).Underlying().(*types.Map); !ok {
		return
	}
	if lit, ok := c.resolve(arg).(*ast.CompositeLit); ok {
		for _, e := range lit.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				c.gormColumn(call, kv.Key, kv.Value, after)
			}
		}
	}
	if id, ok := ast.Unparen(arg).(*ast.Ident); ok {
		if v := c.variable(id); v != nil {
			for i, entry := range v.entries {
				c.gormColumn(call, entry.Index, v.set[i], after)
			}
		}
	}
}

// gormColumn reports a value that goes into a sealed column: the plain value of
// a tagged field, or, where the model is known, anything that is not sealed.
func (c *checker) gormColumn(call *ast.CallExpr, key, value ast.Expr, after string) {
	if found := c.carries(value); len(found) > 0 {
		c.reportCarried(call, value, found, after)
		return
	}
	model := c.model(call)
	column, ok := c.text(key)
	if model == nil || !ok || !c.mayBeClear(value) {
		return
	}
	if f := c.sealedColumn(model, column); f != nil {
		c.report(call, value.Pos(), f.String()+after)
	}
}

// mayBeClear tells whether a value can not have been sealed: it is not nil, not
// bytes, and no type that converts itself for the database, but for the standard
// library's.
func (c *checker) mayBeClear(value ast.Expr) bool {
	tv := c.info.Types[value]
	if tv.IsNil() || tv.Type == nil || sealsItself(tv.Type) {
		return false
	}
	t := deref(tv.Type)
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return false
	case *types.Slice:
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 {
			return false
		}
	}
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || pathOf(named.Obj()) == "database/sql" {
		return true
	}
	return !convertsItself(t) && !databasePaths[pathOf(named.Obj())]
}

// model returns the type of the row that a chain of GORM's calls is about, or
// nil: that of Model, or of the generic interfaces.
func (c *checker) model(call *ast.CallExpr) types.Type {
	for call := range c.chain(call) {
		fn := c.callee(call)
		if fn == nil || pathOf(fn) != gormPath {
			return nil
		}
		if fn.Name() == "Model" {
			return rowType(c.info.TypeOf(call.Args[0]))
		}
		if named, ok := types.Unalias(c.info.TypeOf(call)).(*types.Named); ok && named.TypeArgs().Len() == 1 {
			return rowType(named.TypeArgs().At(0))
		}
	}
	return nil
}

// chain yields the calls whose results the method of call was called on, also
// through variables, the last one first.
func (c *checker) chain(call *ast.CallExpr) iter.Seq[*ast.CallExpr] {
	return func(yield func(*ast.CallExpr) bool) {
		for range 32 {
			sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
			if !ok {
				return
			}
			if call, ok = c.resolve(sel.X).(*ast.CallExpr); !ok || !yield(call) {
				return
			}
		}
	}
}

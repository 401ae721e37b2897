package sealvet

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

const gormPath = "gorm.io/gorm"

// gorm looks at GORM's methods that take rows, maps of columns, or one column.
func (c *checker) gorm(call *ast.CallExpr, fn *types.Func, name string) {
	if fn.Signature().Recv() == nil {
		return
	}
	after := " is written in the clear by " + name + useSQL
	switch fn.Name() {
	case "Create", "Save", "CreateInBatches":
		for _, arg := range call.Args {
			c.gormRow(call, arg, after)
			c.gormMap(call, arg, after)
		}
	case "Updates", "UpdateColumns":
		arg := call.Args[len(call.Args)-1]
		c.gormRow(call, arg, after)
		c.gormMap(call, arg, after)
	case "Update", "UpdateColumn":
		if n := len(call.Args); n >= 2 {
			c.gormColumn(call, call.Args[n-2], call.Args[n-1], after)
		}
	case "Where", "Not", "Or", "Attrs", "Assign", "FirstOrCreate", "FirstOrInit", "Having":
		for _, arg := range call.Args {
			after := " is an argument of " + name + " in the clear" + useSQL
			c.gormMap(call, arg, after)
			c.setFields(call, arg, after)
		}
	}
}

// gormRow reports a row that GORM writes. Of a literal for an update, what it
// sets is what is written; one of GORM's serializers may seal the field.
func (c *checker) gormRow(n ast.Node, row ast.Expr, after string) {
	t := rowType(c.info.TypeOf(row))
	if t == nil {
		return
	}
	if strings.Contains(after, "Update") && c.rowLiteral(row) != nil {
		c.setFields(n, row, after)
		return
	}
	for _, f := range c.fields(t) {
		if !hasSerializer(f) {
			c.report(n, row.Pos(), f.String()+after)
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
	for _, f := range c.fields(c.info.TypeOf(lit)) {
		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == f.name && !hasSerializer(f) {
				c.report(n, kv.Pos(), f.String()+after)
			}
		}
	}
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

func hasSerializer(f *field) bool {
	return strings.Contains(f.tag.Get("gorm"), "serializer:")
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
	for range 32 {
		sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		if named, ok := types.Unalias(deref(c.info.TypeOf(sel.X))).(*types.Named); ok &&
			pathOf(named.Obj()) == gormPath && named.TypeArgs().Len() == 1 {
			return rowType(named.TypeArgs().At(0))
		}
		next, ok := c.resolve(sel.X).(*ast.CallExpr)
		if !ok {
			return nil
		}
		if fn := c.callee(next); fn != nil && pathOf(fn) == gormPath && fn.Name() == "Model" {
			return rowType(c.info.TypeOf(next.Args[0]))
		}
		call = next
	}
	return nil
}

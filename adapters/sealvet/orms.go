package sealvet

import (
	"go/ast"

	"golang.org/x/tools/go/ast/inspector"
)

const (
	sqlxPath = "github.com/jmoiron/sqlx"
	bunPath  = "github.com/uptrace/bun"
)

// namedStruct looks at sqlx's functions that take a struct, or a map.
func (c *checker) namedStruct(call *ast.CallExpr, name string) {
	for i, arg := range call.Args {
		if !isString(c.info.TypeOf(arg)) || i+1 >= len(call.Args) {
			continue
		}
		value, after := call.Args[i+1], " is written in the clear by "+name+useSQL
		sql, ok := c.text(arg)
		c.reportColumns(call, value, ":", sql, ok, after)
		c.reportCarried(call, value, c.carries(value), after)
		return
	}
}

// namedStatement looks at the methods of sqlx's prepared statements, whose last argument
// is a struct, or a map.
func (c *checker) namedStatement(call *ast.CallExpr, name string) {
	if len(call.Args) == 0 { // Close
		return
	}
	sql, known := "", false
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if prepare, ok := c.resolve(sel.X).(*ast.CallExpr); ok && len(prepare.Args) > 0 {
			sql, known = c.text(prepare.Args[len(prepare.Args)-1])
		}
	}
	value, after := call.Args[len(call.Args)-1], " is written in the clear by "+name+useSQL
	c.reportColumns(call, value, ":", sql, known, after)
	c.reportCarried(call, value, c.carries(value), after)
}

// bunModel looks at the row, or the map, of bun's INSERT or UPDATE. Where other methods
// choose the columns it is not known which are written.
func (c *checker) bunModel(cur inspector.Cursor, call *ast.CallExpr, name string) {
	if len(call.Args) != 1 {
		return
	}
	if conversion, ok := ast.Unparen(call.Args[0]).(*ast.CallExpr); ok && c.info.Types[conversion.Fun].IsType() {
		return // (*Customer)(nil)
	}
	for {
		sel, ok := cur.Parent().Node().(*ast.SelectorExpr)
		if !ok {
			break
		}
		switch sel.Sel.Name {
		case "Column", "ExcludeColumn", "Set", "SetColumn":
			return
		}
		cur = cur.Parent().Parent() // the call of sel
	}
	after := " is written in the clear by " + name + useSQL
	c.reportCarried(call, call.Args[0], c.carries(call.Args[0]), after)
	c.reportRow(call, call.Args[0], after)
}

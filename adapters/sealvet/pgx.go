package sealvet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/ast/inspector"
)

const pgxPath = "github.com/jackc/pgx/v5"

// namedArgs looks at a literal of pgx.NamedArgs.
func (c *checker) namedArgs(lit *ast.CompositeLit) {
	name := namedArgsType(c.info.TypeOf(lit))
	if name == "" {
		return
	}
	for _, e := range elements(lit) {
		c.namedArg(lit, e, name)
	}
}

// namedArgsEntry looks at args["email"] = v.
func (c *checker) namedArgsEntry(n *ast.AssignStmt) {
	if len(n.Lhs) != len(n.Rhs) {
		return
	}
	for i, left := range n.Lhs {
		if index, ok := ast.Unparen(left).(*ast.IndexExpr); ok {
			if name := namedArgsType(c.info.TypeOf(index.X)); name != "" {
				c.namedArg(n, n.Rhs[i], name)
			}
		}
	}
}

// namedArgsOf looks at pgx.NamedArgs(m).
func (c *checker) namedArgsOf(call *ast.CallExpr) {
	if c.info.Types[call.Fun].IsType() && len(call.Args) == 1 {
		if name := namedArgsType(c.info.TypeOf(call)); name != "" {
			c.namedArg(call, call.Args[0], name)
		}
	}
}

func (c *checker) namedArg(n ast.Node, value ast.Expr, name string) {
	after := " is written in the clear by " + name + useArgs
	c.reportCarried(n, value, c.carries(value), after)
	c.reportRow(n, value, after)
}

// namedArgsType returns the name of the type if it is one of pgx's for named
// arguments.
func namedArgsType(t types.Type) string {
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || pathOf(named.Obj()) != pgxPath {
		return ""
	}
	if name := named.Obj().Name(); name == "NamedArgs" || name == "StrictNamedArgs" {
		return "pgx." + name
	}
	return ""
}

// structArgs looks at pgx.StructArgs(row). It is harmless in a statement that
// names no sealed column.
func (c *checker) structArgs(cur inspector.Cursor, call *ast.CallExpr, name string) {
	sql, ok := c.sqlAround(cur, call)
	c.reportColumns(call, call.Args[0], "@", sql, ok, " is written in the clear by "+name+useArgs)
}

// sqlAround returns the constant text of the statement in whose call cur stands.
func (c *checker) sqlAround(cur inspector.Cursor, inner *ast.CallExpr) (string, bool) {
	outer, ok := cur.Parent().Node().(*ast.CallExpr)
	if !ok {
		return "", false
	}
	for _, arg := range outer.Args {
		if arg != inner && isString(c.info.TypeOf(arg)) {
			return c.text(arg)
		}
	}
	return "", false
}

// copyFrom looks at the values of a COPY.
func (c *checker) copyFrom(call *ast.CallExpr, name string) {
	after := " is copied in the clear by " + name + useCopy
	for _, arg := range call.Args {
		lit, ok := c.resolve(arg).(*ast.FuncLit)
		if !ok {
			c.reportCarried(call, arg, c.carries(arg), after)
			continue
		}
		ast.Inspect(lit.Body, func(n ast.Node) bool {
			if ret, ok := n.(*ast.ReturnStmt); ok && len(ret.Results) > 0 {
				c.reportCarried(ret, ret.Results[0], c.carries(ret.Results[0]), after)
			}
			return true
		})
	}
}

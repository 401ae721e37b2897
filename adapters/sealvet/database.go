package sealvet

import (
	"go/ast"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"
)

// databasePaths are the packages whose functions, and functions with whose
// results, execute SQL.
var databasePaths = map[string]bool{
	"database/sql":       true,
	pgxPath:              true,
	pgxPath + "/pgxpool": true,
	pgxPath + "/pgconn":  true,
	sqlxPath:             true,
	bunPath:              true,
	gormPath:             true,
	gormClausePath:       true,
}

// What to use in place of what was found.
const (
	useArgs  = ": use pgxfield's Table.Args"
	useTable = ": write with pgxfield's Table.Args, search with its Match"
	useCopy  = ": use pgxfield's Table.CopyFrom"
	useSQL   = ": use a sqlfield.Sealed"
)

// database looks at a call that may bring values into a database.
func (c *checker) database(cur inspector.Cursor, call *ast.CallExpr, fn *types.Func) {
	name := calledName(fn)
	switch pathOf(fn) {
	case pgxPath:
		switch fn.Name() {
		case "StructArgs", "StrictStructArgs":
			c.structArgs(cur, call, name)
			return
		case "CopyFromRows", "CopyFromSlice", "CopyFromFunc":
			c.copyFrom(call, name)
			return
		}
	case sqlxPath:
		if recv := fn.Signature().Recv(); recv != nil && typeNamed(recv.Type(), "NamedStmt") {
			c.namedStatement(call, name)
			return
		}
		if strings.HasPrefix(fn.Name(), "Named") || fn.Name() == "BindNamed" {
			c.namedStruct(call, name)
			return
		}
	case bunPath:
		if recv := fn.Signature().Recv(); recv != nil && fn.Name() == "Model" && typeNamed(recv.Type(), "InsertQuery", "UpdateQuery") {
			c.bunModel(cur, call, name)
			return
		}
	case gormPath:
		c.gorm(call, fn, name)
	case gormClausePath:
		if fn.Name() == "Assignments" && len(call.Args) == 1 { // and no method
			c.reportCarried(call, call.Args[0], c.carries(call.Args[0]), " is written in the clear by "+name+useSQL)
		}
	}
	c.statement(call, fn, name)
}

// calledName returns the name of a function as the messages have it.
func calledName(fn *types.Func) string {
	if recv := fn.Signature().Recv(); recv != nil {
		if named, ok := types.Unalias(deref(recv.Type())).(*types.Named); ok {
			return fn.Pkg().Name() + "." + named.Obj().Name() + "." + fn.Name()
		}
		return fn.Name()
	}
	return fn.Pkg().Name() + "." + fn.Name()
}

// reportColumns reports the first sealed column of a row, of those that the
// statement names, if the statement is known.
func (c *checker) reportColumns(call *ast.CallExpr, row ast.Expr, sign, sql string, known bool, after string) {
	t := rowType(c.info.TypeOf(row))
	if t == nil {
		return
	}
	for _, f := range c.fields(t) {
		if known && !regexp.MustCompile(sign+regexp.QuoteMeta(f.column)+`\b`).MatchString(sql) {
			continue
		}
		c.report(call, row.Pos(), f.String()+after)
		return
	}
}

// reportRow reports a row, or rows, with sealed columns.
func (c *checker) reportRow(n ast.Node, row ast.Expr, after string) {
	t := rowType(c.info.TypeOf(row))
	if t == nil || convertsItself(c.info.TypeOf(row)) {
		return
	}
	if found := c.fields(t); len(found) > 0 {
		c.report(n, row.Pos(), found[0].String()+after)
	}
}

// convertsItself tells whether a type has a say in what the database gets of it:
// it is a driver.Valuer or a pgx.QueryRewriter.
func convertsItself(t types.Type) bool {
	return method(t, "Value") == "() (database/sql/driver.Value, error)" || method(t, "RewriteQuery") != ""
}

// statement looks at a call that executes SQL: a function with a last parameter
// "args ...any", or one that is named sql or query, that belongs to a database
// package or has a result of one, so that an application's own interface over pgx
// or database/sql is one too.
func (c *checker) statement(call *ast.CallExpr, fn *types.Func, name string) {
	if !usesDatabase(fn) {
		return
	}
	hint := useSQL
	if isPgx(fn) {
		hint = useTable
	}
	takesArgs, last := argsOf(fn)
	for i := range min(last, len(call.Args)) {
		param, arg := fn.Signature().Params().At(i), call.Args[i]
		isSQL := takesArgs || param.Name() == "sql" || param.Name() == "query" || isGormText(fn)
		if isString(c.info.TypeOf(arg)) && isSQL {
			c.reportCarried(call, arg, c.carries(arg), " stands in the clear in the SQL of "+name+hint)
		}
	}
	if !takesArgs {
		return
	}
	for _, arg := range c.arguments(call, last) {
		if namedArgsType(c.info.TypeOf(arg)) != "" { // reported where it is filled
			continue
		}
		after := " is an argument of " + name + " in the clear" + hint
		c.reportCarried(call, arg, c.carries(arg), after)
		if pathOf(fn) != gormPath {
			c.reportRow(call, arg, after)
		}
	}
}

// argsOf tells whether a function takes the arguments of a statement as its last
// parameter, and returns the number of those before. Where no parameter could
// be the statement, "...any" are destinations, as of Scan; but a Stmt has it.
func argsOf(fn *types.Func) (takesArgs bool, before int) {
	sig := fn.Signature()
	params := sig.Params()
	if !sig.Variadic() {
		return false, params.Len()
	}
	before = params.Len() - 1
	slice, ok := params.At(before).Type().(*types.Slice)
	if !ok || !types.Identical(slice.Elem().Underlying(), types.NewInterfaceType(nil, nil)) {
		return false, before
	}
	if recv := sig.Recv(); recv != nil && typeNamed(recv.Type(), "Stmt") {
		return true, before
	}
	for i := range before {
		t := params.At(i).Type()
		if isString(t) || types.Identical(t.Underlying(), types.NewInterfaceType(nil, nil)) {
			return true, before
		}
	}
	return false, before
}

// typeNamed tells whether t is, or points to, a type of one of those names.
func typeNamed(t types.Type, names ...string) bool {
	named, ok := types.Unalias(deref(t)).(*types.Named)
	return ok && slices.Contains(names, named.Obj().Name())
}

// usesDatabase tells whether a function belongs to a database package or returns
// a type of one.
func usesDatabase(fn *types.Func) bool {
	return anyPackage(fn, func(path string) bool { return databasePaths[path] })
}

// isPgx tells whether a function is pgx's or returns a type of pgx.
func isPgx(fn *types.Func) bool {
	return anyPackage(fn, func(path string) bool { return strings.HasPrefix(path, pgxPath) })
}

// anyPackage tells whether is does so of the package of a function or of one of
// its results.
func anyPackage(fn *types.Func, is func(path string) bool) bool {
	if is(pathOf(fn)) {
		return true
	}
	for v := range fn.Signature().Results().Variables() {
		if named, ok := types.Unalias(deref(v.Type())).(*types.Named); ok && is(pathOf(named.Obj())) {
			return true
		}
	}
	return false
}

// callee returns the function of a package that a call names, or nil.
func (c *checker) callee(call *ast.CallExpr) *types.Func {
	fn, ok := typeutil.Callee(c.info, call).(*types.Func)
	if !ok || fn.Pkg() == nil { // the method of error belongs to none
		return nil
	}
	return fn
}

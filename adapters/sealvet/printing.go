package sealvet

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// printing looks at a call that prints its arguments.
func (c *checker) printing(call *ast.CallExpr, fn *types.Func) {
	name, path := fn.Name(), pathOf(fn)
	params := fn.Signature().Params().Len()
	last := max(0, params-1)
	formatted := strings.HasSuffix(name, "f")
	switch {
	case path == "fmt":
		switch {
		case strings.HasPrefix(name, "Print"), name == "Errorf":
			c.printed(call, fn, last, formatted, true)
		case strings.HasPrefix(name, "Fprint"):
			c.printed(call, fn, last, formatted, c.opts.strict || c.isStandardStream(call.Args[0]))
		case makesText(fn):
			c.printed(call, fn, last, formatted, c.opts.strict)
		}
	case path == "errors" && name == "New":
		c.printed(call, fn, 0, false, true)
	case path == "log":
		c.printed(call, fn, last, formatted, true)
	case path == "log/slog", c.loggers[path]:
		last = min(last, len(call.Args))
		for _, arg := range slices.Concat(call.Args[:last], c.arguments(call, last)) {
			c.logged(call, fn, arg)
		}
	}
}

// builtin looks at a call of panic, print or println. What panics is printed by the
// runtime, or by what recovers it.
func (c *checker) builtin(call *ast.CallExpr) {
	b, ok := typeutil.Callee(c.info, call).(*types.Builtin)
	if !ok || b.Name() != "panic" && b.Name() != "print" && b.Name() != "println" {
		return
	}
	p := printer{fmt: true, verb: plainVerb}
	for _, arg := range call.Args {
		found := c.carries(arg)
		if p.shows(c.info.TypeOf(arg)) && len(found) > 0 {
			c.reportCarried(call, arg, found, shownBy(b.Name())+", or mask it")
		} else if b.Name() == "panic" {
			c.reportRevealed(call, "panic", arg, p, "Format")
		}
	}
}

// isStandardStream tells whether a writer is os.Stdout or os.Stderr.
func (c *checker) isStandardStream(w ast.Expr) bool {
	sel, ok := ast.Unparen(w).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	v := c.info.ObjectOf(sel.Sel)
	return v != nil && pathOf(v) == "os" && (v.Name() == "Stdout" || v.Name() == "Stderr")
}

// printed looks at the arguments of a function that prints as fmt does, from the
// given one on. A field is a finding only if fields is set, a row always is.
func (c *checker) printed(call *ast.CallExpr, fn *types.Func, from int, formatted, fields bool) {
	var verbs map[int][]verb
	if formatted && from > 0 && from <= len(call.Args) {
		format := call.Args[from-1]
		if text, ok := c.text(format); ok {
			verbs = parseVerbs(text)
		} else if fields {
			c.shownFields(call, fn, format, plainVerb)
		}
	}
	for i, arg := range c.arguments(call, from) {
		list, ok := verbs[i]
		if !ok {
			list = []verb{plainVerb}
		}
		for _, v := range list {
			if v.letter == 'T' || v.letter == 'p' {
				continue
			}
			if fields && c.shownFields(call, fn, arg, v) {
				break
			}
			if c.shownRow(call, fn, arg, v) {
				break
			}
		}
	}
}

// shownFields reports the fields whose values an argument prints.
func (c *checker) shownFields(call *ast.CallExpr, fn *types.Func, arg ast.Expr, v verb) bool {
	if p := (printer{fmt: true, verb: v}); !p.shows(c.info.TypeOf(arg)) {
		return false
	}
	return c.reportShown(call, fn, arg)
}

func shownBy(name string) string { return " is shown in the clear by " + name + ": leave it out" }

// reportShown reports the fields that an argument carries. What fmt.Sprintf makes
// of a field that is part of another finding, such as of an SQL text, is not
// another one.
func (c *checker) reportShown(call *ast.CallExpr, fn *types.Func, arg ast.Expr) bool {
	found := c.carries(arg)
	if makesText(fn) {
		found = slices.DeleteFunc(found, func(f carried) bool { return c.used[f.at.Pos()] })
	}
	c.reportCarried(call, arg, found, shownBy(calledName(fn))+", or mask it")
	return len(found) > 0
}

// makesText tells whether a function returns what it prints.
func makesText(fn *types.Func) bool {
	return pathOf(fn) == "fmt" && (strings.HasPrefix(fn.Name(), "Sprint") || strings.HasPrefix(fn.Name(), "Append"))
}

// shownRow reports an argument whose type has sealed fields that are printed.
func (c *checker) shownRow(call *ast.CallExpr, fn *types.Func, arg ast.Expr, v verb) bool {
	return c.reportRevealed(call, calledName(fn), arg, printer{fmt: true, verb: v}, "Format")
}

// logged looks at an argument of a function of log/slog, or of another logger.
// It may be printed as text or as JSON.
func (c *checker) logged(call *ast.CallExpr, fn *types.Func, arg ast.Expr) {
	t, remedy, isSlog := c.info.TypeOf(arg), "", pathOf(fn) == "log/slog"
	if isSlog {
		if logs(t) {
			return
		}
		remedy = "LogValue"
	}
	text, json := printer{fmt: true, verb: plainVerb}, printer{json: true}
	if (text.shows(t) || json.shows(t)) && c.reportShown(call, fn, arg) {
		return
	}
	if isSlog && c.opts.slogfield { // which redacts rows, but knows no field alone
		return
	}
	name := calledName(fn)
	_ = c.reportRevealed(call, name, arg, text, remedy) || c.reportRevealed(call, name, arg, json, remedy)
}

// reportRevealed reports the first of the sealed fields that printing a value of
// arg's type shows. The remedy is a method that would help, or "".
func (c *checker) reportRevealed(call *ast.CallExpr, name string, arg ast.Expr, p printer, remedy string) bool {
	row := ast.Unparen(arg)
	if conversion, ok := row.(*ast.CallExpr); ok && c.info.Types[conversion.Fun].IsType() && len(conversion.Args) == 1 {
		row = conversion.Args[0] // any(c)
	}
	found := c.revealed(c.info.TypeOf(row), p)
	if len(found) == 0 {
		return false
	}
	f, advice := found[0], ", or mask it"
	if remedy != "" && f.of != unnamedStruct && method(f.owner, remedy) == "" {
		advice = ", or give " + f.of + " a " + remedy + " method"
	}
	c.report(call, arg.Pos(), f.String()+shownBy(name)+advice)
	return true
}

// revealed returns the sealed fields that a printer shows of a value of type t.
func (c *checker) revealed(t types.Type, p printer) (found []*field) {
	seen := make(map[types.Type]bool)
	var walk func(t types.Type, depth int, methods bool)
	walk = func(t types.Type, depth int, methods bool) {
		if t == nil || depth > maxDepth || seen[t] || methods && p.redacted(t) {
			return
		}
		seen[t] = true
		switch u := t.Underlying().(type) {
		case *types.Pointer:
			if p.follows(u, depth) {
				walk(u.Elem(), depth+1, methods)
			}
		case *types.Slice:
			walk(u.Elem(), depth+1, methods)
		case *types.Array:
			walk(u.Elem(), depth+1, methods)
		case *types.Map:
			walk(u.Key(), depth+1, methods)
			walk(u.Elem(), depth+1, methods)
		case *types.Struct:
			for i := range u.NumFields() {
				v := u.Field(i)
				if p.json && hiddenFromJSON(u, i) {
					continue
				}
				if f := c.tagged(t, u, i); f == nil {
					walk(v.Type(), depth+1, methods && v.Exported())
				} else if p.showsIn(v.Type(), depth+1, methods && v.Exported()) {
					found = append(found, f)
				}
			}
		}
	}
	walk(t, 0, true)
	return found
}

// hiddenFromJSON tells whether encoding/json leaves out a field.
func hiddenFromJSON(st *types.Struct, i int) bool {
	v := st.Field(i)
	return !v.Exported() && !v.Embedded() || fieldTag(st, i).Get("json") == "-"
}

package sealvet

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// Analyzer reports code that brings fields with seal tags past the library into
// a database, or into a log. See the package documentation for its flags.
var Analyzer = newAnalyzer()

// options are the analyzer's flags.
type options struct {
	slogfield bool
	strict    bool
	tests     bool
	loggers   string
}

func newAnalyzer() *analysis.Analyzer {
	opts := new(options)
	a := &analysis.Analyzer{
		Name: "sealvet",
		Doc: "report fields with seal tags that are written, or printed, in the clear\n\n" +
			"A field with a tag such as seal:\"encrypt\" is encrypted by the package that\n" +
			"reads the tag. Other ways into the database, and into a log, take its plain value.\n" +
			"A finding is silenced by a comment on its line or above, //sealvet:ignore reason.",
		URL:      "https://pkg.go.dev/github.com/sealfield/sealfield/adapters/sealvet",
		Requires: []*analysis.Analyzer{inspect.Analyzer},
	}
	a.Flags.BoolVar(&opts.slogfield, "slogfield", false, "leave rows in log/slog to package slogfield, and report single fields only")
	a.Flags.BoolVar(&opts.strict, "strict", false, "report also a single field in fmt.Sprint, fmt.Append and fmt.Fprint")
	a.Flags.BoolVar(&opts.tests, "tests", false, "look at test files too")
	a.Flags.StringVar(&opts.loggers, "loggers", "", "import paths of more packages that log, separated by commas")
	a.Run = func(pass *analysis.Pass) (any, error) {
		newChecker(pass, opts).run()
		return nil, nil
	}
	return a
}

// checker looks at one package.
type checker struct {
	pass      *analysis.Pass
	info      *types.Info
	opts      *options
	loggers   map[string]bool
	variables map[*types.Var]*variable
	ignored   map[place]bool
	reported  map[finding]bool
	used      map[token.Pos]bool // the fields in findings
}

type finding struct {
	pos  token.Pos
	text string
}

// place is a line of a file.
type place struct {
	file string
	line int
}

func newChecker(pass *analysis.Pass, opts *options) *checker {
	c := &checker{
		pass:     pass,
		info:     pass.TypesInfo,
		opts:     opts,
		loggers:  make(map[string]bool),
		ignored:  make(map[place]bool),
		reported: make(map[finding]bool),
		used:     make(map[token.Pos]bool),
	}
	for path := range strings.SplitSeq(opts.loggers, ",") {
		c.loggers[path] = true
	}
	return c
}

func (c *checker) run() {
	in := c.pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	c.variables = variables(in, c.pass)
	for _, file := range c.pass.Files {
		if c.skip(file.Pos()) {
			continue
		}
		c.readComments(file)
	}
	// A field in SQL text that fmt.Sprintf makes is the statement's finding: it
	// comes first.
	for cur := range in.Root().Preorder((*ast.CompositeLit)(nil), (*ast.AssignStmt)(nil), (*ast.CallExpr)(nil)) {
		if c.skip(cur.Node().Pos()) {
			continue
		}
		switch n := cur.Node().(type) {
		case *ast.CompositeLit:
			c.namedArgs(n)
			c.gormClause(n)
		case *ast.AssignStmt:
			c.namedArgsEntry(n)
		case *ast.CallExpr:
			c.namedArgsOf(n)
			if fn := c.callee(n); fn != nil {
				c.database(cur, n, fn)
			}
		}
	}
	for cur := range in.Root().Preorder((*ast.CallExpr)(nil)) {
		if c.skip(cur.Node().Pos()) {
			continue
		}
		call := cur.Node().(*ast.CallExpr)
		if fn := c.callee(call); fn != nil {
			c.printing(call, fn)
		}
		c.builtin(call)
	}
}

// skip tells whether pos is in a file that is not looked at.
func (c *checker) skip(pos token.Pos) bool {
	return !c.opts.tests && strings.HasSuffix(c.pass.Fset.File(pos).Name(), "_test.go")
}

const ignore = "//sealvet:ignore"

// readComments collects the lines that are to be left alone, and reports the
// comments that give no reason.
func (c *checker) readComments(file *ast.File) {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			reason, ok := strings.CutPrefix(comment.Text, ignore)
			if !ok || reason != "" && reason[0] != ' ' && reason[0] != '\t' {
				continue
			}
			if strings.TrimSpace(reason) == "" {
				c.pass.Reportf(comment.Pos(), "sealvet:ignore without a reason: say why this is safe")
				continue
			}
			c.ignored[c.place(comment.Pos())] = true
		}
	}
}

func (c *checker) place(pos token.Pos) place {
	p := c.pass.Fset.Position(pos)
	return place{p.Filename, p.Line}
}

// ignores tells whether there is a comment on the line of pos or above.
func (c *checker) ignores(pos token.Pos) bool {
	p := c.place(pos)
	return c.ignored[p] || c.ignored[place{p.file, p.line - 1}]
}

// report reports, once, what is at pos in n, unless a comment there or at the
// beginning of n says otherwise. What reached a call through a variable is
// reported at the call's last argument.
func (c *checker) report(n ast.Node, pos token.Pos, text string) {
	if call, ok := n.(*ast.CallExpr); ok && (pos < n.Pos() || n.End() <= pos) {
		pos = call.Args[len(call.Args)-1].Pos()
	}
	f := finding{pos, text}
	if c.reported[f] || c.ignores(pos) || c.ignores(n.Pos()) {
		return
	}
	c.reported[f] = true
	c.pass.Report(analysis.Diagnostic{Pos: pos, Message: text})
}

// reportCarried reports the fields whose plain values an argument carries. A
// field in the argument itself is the finding's place, else it is the argument.
func (c *checker) reportCarried(n ast.Node, arg ast.Expr, found []carried, after string) {
	for _, f := range found {
		pos := arg.Pos()
		if pos <= f.at.Pos() && f.at.End() <= arg.End() {
			pos = f.at.Pos()
		}
		c.used[f.at.Pos()] = true
		c.report(n, pos, f.field.String()+after)
	}
}

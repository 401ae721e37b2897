package pgxmask

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"
)

// report is what a reader sees, in Markdown or HTML.
type report struct {
	Database, Digest, Check string
	Schemas                 []string
	Warnings                []reportLine
	Tables                  []reportTable
	Cycles                  []string
	Skipped                 []reportLine
	Accepted                []reportLine
	Texts                   []reportLine
}

// reportLine is something and what is said of it.
type reportLine struct{ What, Text string }

type reportTable struct {
	Name, Kind, Rows, Sample, Subject string
	Columns                           []reportColumn
	Proofs                            []reportLine
	References                        []reportLine
}

type reportColumn struct {
	Name, Type string
	Masked     bool
	Becomes    string
	Visible    string
	Explain    string // of a rule, in lines
}

func (p *Plan) report() report {
	r := report{Database: p.database, Digest: p.digest, Check: p.check, Schemas: p.schemas}
	for _, w := range p.warnings {
		r.Warnings = append(r.Warnings, reportLine{(&Finding{Table: w.Table, Column: w.Column}).Where(), w.Reason})
	}
	for _, t := range p.tables {
		r.Tables = append(r.Tables, p.reportTable(t))
	}
	for _, c := range p.cycles {
		r.Cycles = append(r.Cycles, strings.Join(c, ", "))
	}
	for _, s := range p.skipped {
		r.Skipped = append(r.Skipped, reportLine{s.table + ", a " + s.kind, s.reason})
	}
	for _, a := range p.accepted {
		r.Accepted = append(r.Accepted, reportLine{a.finding.Where() + ": " + a.finding.Reason, a.reason})
	}
	for _, t := range p.texts {
		r.Texts = append(r.Texts, reportLine{t.title(), t.Text})
	}
	return r
}

func (p *Plan) reportTable(t *table) reportTable {
	r := reportTable{Name: t.title(), Kind: relationKinds[string(t.kind)], Rows: fmt.Sprintf("%.0f", t.rows), Sample: fmt.Sprint(t.sampled), Subject: t.subject}
	switch {
	case t.where != "":
		r.Rows += ", of which those where " + t.where + ", and what belongs to the subset"
	case t.restricted:
		r.Rows += ", of which what belongs to the subset"
	}
	for _, c := range t.columns {
		x := reportColumn{Name: c.name, Type: c.typ, Becomes: "as it is: " + c.keep, Visible: "everything"}
		if c.notNull {
			x.Type += " not null"
		}
		if c.rule != nil {
			x.Masked, x.Becomes = true, c.rule.String()
			x.Visible = cmp.Or(strings.Join(c.rule.Properties().Visible, "; "), "nothing")
			x.Explain = c.rule.Explain(max(t.rows, minRows))
		}
		switch {
		case len(c.sealed.of) > 0:
			x.Becomes, x.Visible = "made anew with "+strings.Join(c.sealed.of, ", "), "which values are equal"
		case c.sealed.typ != "":
			x.Type += ", sealed " + c.sealed.typ
			x.Becomes += ", sealed for the copy"
		}
		r.Columns = append(r.Columns, x)
	}
	for _, c := range t.generated {
		r.Columns = append(r.Columns, reportColumn{Name: c.name, Type: c.typ, Becomes: "computed again by the copy", Visible: "what its columns show"})
	}
	for _, x := range p.proofs {
		if x.table == r.Name {
			r.Proofs = append(r.Proofs, reportLine{x.object, x.how})
		}
	}
	for _, x := range p.references {
		if x.table == r.Name {
			text := fmt.Sprintf("(%s) to %s (%s)", strings.Join(x.columns, ", "), cmp.Or(x.target, "a table that is left out"), strings.Join(x.targetColumns, ", "))
			if x.accepted != "" {
				text += ", which need not hold: " + x.accepted
			}
			r.References = append(r.References, reportLine{cmp.Or(x.name, "virtual"), text})
		}
	}
	return r
}

//go:embed report.html.tmpl
var htmlReport string

var htmlTemplate = template.Must(template.New("report").Funcs(template.FuncMap{"clean": clean}).Parse(htmlReport))

// WriteHTML writes a report for people: one page without anything from elsewhere. It says
// what becomes of each column, what stays visible and what somebody can do with it,
// what holds in the copy and why, and has the text of the schema that goes along. It
// has no value of a row, but whatever values the text of the schema has.
func (p *Plan) WriteHTML(w io.Writer) error { return htmlTemplate.Execute(w, p.report()) }

// WriteMarkdown writes the same as WriteHTML does, in Markdown.
func (p *Plan) WriteMarkdown(w io.Writer) error {
	m := &markdown{}
	m.report(p.report())
	_, err := io.WriteString(w, m.String())
	return err
}

// clean returns text in which nothing is invisible: whoever made the schema chose it.
func clean(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}

// markdown writes GitHub's dialect.
type markdown struct{ strings.Builder }

func (m *markdown) line(format string, args ...any) {
	for i, a := range args {
		args[i] = markdownText(a.(string))
	}
	fmt.Fprintf(m, format+"\n", args...)
}

// markdownText escapes what is markup.
func markdownText(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
			continue
		case strings.ContainsRune("\\`*_[]<>|~&", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// code writes a block of text as it is.
func (m *markdown) code(text string) {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	fmt.Fprintf(m, "%s\n%s\n%s\n\n", fence, strings.TrimRight(clean(text), "\n"), fence)
}

func (m *markdown) table(what, text string, lines []reportLine) {
	m.line("| %s | %s |", what, text)
	m.line("|---|---|")
	for _, l := range lines {
		m.line("| %s | %s |", l.What, l.Text)
	}
	m.line("")
}

func (m *markdown) report(r report) {
	m.line("# Masking plan of database %s\n", r.Database)
	m.line("Policy sha256 %s, keys %s, schemas %s.\n", r.Digest, r.Check, strings.Join(r.Schemas, ", "))
	if len(r.Warnings) > 0 {
		m.line("## Look at these\n")
		m.table("What", "Why", r.Warnings)
	}
	if len(r.Accepted) > 0 {
		m.line("## Accepted\n")
		m.table("What was found", "Why it does no harm", r.Accepted)
	}
	for _, t := range r.Tables {
		m.reportTable(t)
	}
	if len(r.Cycles) > 0 {
		m.line("## Tables that refer to each other\n")
		for _, c := range r.Cycles {
			m.line("- %s", c)
		}
		m.line("")
	}
	if len(r.Skipped) > 0 {
		m.line("## Left out\n")
		m.table("What", "Why", r.Skipped)
	}
	if len(r.Texts) > 0 {
		m.line("## Text of the schema that will be copied\n")
		for _, t := range r.Texts {
			m.line("%s\n", t.What)
			m.code(t.Text)
		}
	}
}

func (m *markdown) reportTable(t reportTable) {
	m.line("## Table %s\n", t.Name)
	text := "A " + t.Kind + " of about " + t.Rows + " rows, of which " + t.Sample + " were sampled"
	if t.Subject != "" {
		text += "; whom a row is about is in " + t.Subject
	}
	m.line("%s.\n", text)
	m.line("| Column | Type | Becomes | Visible |\n|---|---|---|---|")
	for _, c := range t.Columns {
		m.line("| %s | %s | %s | %s |", c.Name, c.Type, c.Becomes, c.Visible)
	}
	m.line("")
	var explained strings.Builder
	for _, c := range t.Columns {
		if c.Masked {
			fmt.Fprintf(&explained, "%s: %s", strings.ReplaceAll(c.Name, "\n", " "), c.Explain)
		}
	}
	if explained.Len() > 0 {
		m.code(explained.String())
	}
	if len(t.References) > 0 {
		m.table("Reference", "Between", t.References)
	}
	if len(t.Proofs) > 0 {
		m.table("What holds in the copy", "Why", t.Proofs)
	}
}

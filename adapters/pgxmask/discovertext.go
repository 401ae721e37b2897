package pgxmask

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textSearch finds values in the text of the schema.
type textSearch struct {
	texts []schemaText
	lower []string
	words map[string][]textPlace // by their first word
}

// textPlace is where a word begins.
type textPlace struct {
	text, at int
	literal  bool // in a literal or in prose
}

var (
	wordPattern    = regexp.MustCompile(`[\pL\pN\pM]+`)
	literalPattern = regexp.MustCompile(`'(?:[^']|'')*'`)
)

func newTextSearch(texts []schemaText) *textSearch {
	s := &textSearch{texts: texts, words: map[string][]textPlace{}}
	for i, t := range texts {
		text := strings.ToLower(t.Text)
		literals := [][]int{{0, len(text)}}
		if !t.Prose {
			text, literals = literalsOf(text)
		}
		s.lower = append(s.lower, text)
		for _, w := range wordPattern.FindAllStringIndex(text, -1) {
			for len(literals) > 0 && literals[0][1] <= w[0] {
				literals = literals[1:]
			}
			inside := len(literals) > 0 && literals[0][0] <= w[0]
			s.words[text[w[0]:w[1]]] = append(s.words[text[w[0]:w[1]]], textPlace{i, w[0], inside})
		}
	}
	return s
}

// literalsOf returns SQL with the quotes in its literals as they are in the value, and
// where those begin and end.
func literalsOf(sql string) (text string, literals [][]int) {
	var b strings.Builder
	last := 0
	for _, l := range literalPattern.FindAllStringIndex(sql, -1) {
		b.WriteString(sql[last:l[0]])
		start := b.Len()
		b.WriteString("'" + strings.ReplaceAll(sql[l[0]+1:l[1]-1], "''", "'") + "'")
		literals = append(literals, []int{start, b.Len()})
		last = l[1]
	}
	b.WriteString(sql[last:])
	return b.String(), literals
}

// find returns the numbers of the texts that have a value as whole words, whatever their
// case. Short values are not looked for, and those that may be a word of SQL only
// in literals.
func (s *textSearch) find(value string) (texts []int) {
	v := strings.ToLower(strings.TrimSpace(value))
	first := wordPattern.FindStringIndex(v)
	if first == nil || !telling(v) {
		return nil
	}
	isWord := len(wordPattern.FindString(v)) == len(v) && !strings.ContainsFunc(v, unicode.IsDigit)
	for _, p := range s.words[v[first[0]:first[1]]] {
		if isWord && !p.literal {
			continue
		}
		start := p.at - first[0]
		text := s.lower[p.text]
		if start < 0 || !strings.HasPrefix(text[start:], v) {
			continue
		}
		after, _ := utf8.DecodeRuneInString(text[start+len(v):])
		last, _ := utf8.DecodeLastRuneInString(v)
		if isWordRune(last) && isWordRune(after) {
			continue
		}
		if !slices.Contains(texts, p.text) {
			texts = append(texts, p.text)
		}
	}
	return texts
}

func isWordRune(r rune) bool { return r != utf8.RuneError && wordPattern.MatchString(string(r)) }

// telling reports whether a value has three letters, or six digits: others are found
// everywhere.
func telling(v string) bool {
	letters, digits := 0, 0
	for _, r := range v {
		switch {
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r):
			digits++
		}
	}
	return letters >= 3 || digits >= 6
}

// searchTexts reports where the text of the schema has a sampled value of a masked column.
func (p *planner) searchTexts(t *table, s *sample, search *textSearch) {
	for i, c := range t.columns {
		if c.rule == nil {
			continue
		}
		found := map[int]bool{}
		for _, row := range s.rows {
			for _, v := range valuesIn(row[i]) {
				for _, n := range search.find(v) {
					found[n] = true
				}
			}
		}
		for n, text := range search.texts {
			if found[n] && !p.ownEnum(t, c, text) {
				p.report(t.finding(SchemaText, c.name, text.title(), "it has a value of this column, and goes with the schema into the copy", "change the text, or accept it"))
			}
		}
	}
}

// ownEnum reports whether the text is the labels of the column's own type.
func (p *planner) ownEnum(t *table, c column, text schemaText) bool {
	base := t.relation.attribute(c.name).base
	return text.Kind == "enum" && base.Kind == "e" && text.Schema == base.Schema && text.Object == base.Name
}

var innerPattern = regexp.MustCompile(`[^\s"'{}\[\](),;:]+`)

// valuesIn returns a value and, of a longer one such as an array, JSON or free text, the
// words in it with a digit or an @.
func valuesIn(v []byte) []string {
	text := string(v)
	all := []string{text}
	for _, w := range innerPattern.FindAllString(text, -1) {
		if w != text && strings.ContainsAny(w, "@0123456789") {
			all = append(all, w)
		}
	}
	return all
}

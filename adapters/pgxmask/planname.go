package pgxmask

import (
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tableName returns what a policy calls a table: schema.name, where a part with a dot or
// a quote, or without a character, is in double quotes as in SQL. There is no folding of
// case: what is not in quotes is the name as it is.
func tableName(schema, name string) string { return quotePart(schema) + "." + quotePart(name) }

func quotePart(s string) string {
	if s != "" && !strings.ContainsAny(s, `."`) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// canonicalName returns the name as tableName has it, or false if the text is not one
// of a schema and a table.
func canonicalName(text string) (string, bool) {
	schema, rest, ok := cutPart(text)
	if !ok || rest == "" || rest[0] != '.' {
		return "", false
	}
	name, rest, ok := cutPart(rest[1:])
	if !ok || rest != "" {
		return "", false
	}
	return tableName(schema, name), true
}

// cutPart cuts off the first part of a name.
func cutPart(text string) (part, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexByte(text, '.')
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], end > 0 && !strings.Contains(text[:end], `"`)
	}
	rest = text[1:]
	for {
		before, after, found := strings.Cut(rest, `"`)
		part += before
		if !found || !strings.HasPrefix(after, `"`) {
			return part, after, found && part != ""
		}
		part, rest = part+`"`, after[1:]
	}
}

// isIdentifier reports whether SQL that PostgreSQL wrote is that name and no more.
func isIdentifier(sql, name string) bool {
	return sql == name && plainIdentifier.MatchString(name) || sql == pgx.Identifier{name}.Sanitize()
}

var plainIdentifier = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

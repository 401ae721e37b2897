package pgxfield

import (
	"errors"
	"strconv"
	"strings"
	"sync"
)

// This file finds the @names of an SQL statement, as PostgreSQL's own lexer
// would see them: not in strings, quoted identifiers and comments, and not as
// the end of an operator.

var (
	errPositional = errors.New("positional arguments ($1) can not stand beside named ones")
	errTooMany    = errors.New("more than 65535 arguments")
)

// numberNames replaces each @name in sql by $n and returns the names in the
// order of their numbers. A name that occurs again keeps its number.
func numberNames(sql string) (string, []string, error) {
	var (
		out     strings.Builder
		names   []string
		numbers = make(map[string]int)
		done    int // sql[:done] has been written
	)
	for i := 0; i < len(sql); {
		if sql[i] != '@' {
			next := skipToken(sql, i)
			if sql[i] == '$' && next == i+1 && next < len(sql) && isDigit(sql[next]) {
				return "", nil, errPositional
			}
			i = next
			continue
		}
		end := i + 1
		for end < len(sql) && (isLetter(sql[end]) || end > i+1 && isDigit(sql[end])) {
			end++
		}
		if end == i+1 || endsOperator(sql, i) {
			i = end
			continue
		}
		name := sql[i+1 : end]
		if numbers[name] == 0 {
			names = append(names, name)
			numbers[name] = len(names)
		}
		out.WriteString(sql[done:i])
		out.WriteByte('$')
		out.WriteString(strconv.Itoa(numbers[name]))
		i, done = end, end
	}
	if len(names) > 65535 {
		return "", nil, errTooMany
	}
	out.WriteString(sql[done:])
	return out.String(), names, nil
}

// skipToken returns the end of the token at i, which does not begin with '@'.
// What is not terminated ends with the statement: PostgreSQL will refuse it.
func skipToken(sql string, i int) int {
	rest := sql[i:]
	switch c := rest[0]; {
	case (c == 'e' || c == 'E') && strings.HasPrefix(rest[1:], "'"):
		return skipEscapeString(sql, i+1)
	case isLetter(c):
		for i < len(sql) && (isLetter(sql[i]) || isDigit(sql[i]) || sql[i] == '$') {
			i++
		}
		return i
	case c == '\'' || c == '"': // a doubled quote reads as two strings in a row
		return skipPast(sql, i+1, rest[:1])
	case c == '$':
		if tag := dollarTag(rest); tag != "" {
			return skipPast(sql, i+len(tag), tag)
		}
	case strings.HasPrefix(rest, "--"):
		return skipLine(sql, i)
	case strings.HasPrefix(rest, "/*"):
		return skipComment(sql, i)
	}
	return i + 1
}

// assignments returns for each SET of the statement that is sure to be one of the
// table, or has no table of its own ("do update set", MERGE's "update set"), the names
// that stand in it: unquoted ones in lower case, and none that another one follows
// after a point.
func assignments(sql, table string) (all [][]string) {
	var (
		names                []string
		depth, cases         int
		before, target       string // the word before, and the table of an UPDATE
		updates, wants, sets bool   // after "update", before its table's name, after "set"
	)
	end := func() {
		if sets {
			all = append(all, names)
		}
		names, updates, sets = nil, false, false
	}
	for i, next := 0, 0; i < len(sql); i = next {
		next = skipToken(sql, i)
		word := sql[i:next]
		qualifies := strings.HasPrefix(sql[next:], ".")
		switch c := word[0]; {
		case c == '(':
			depth++
			continue
		case c == ')':
			depth--
		case isLetter(c):
			word = foldName(word)
		case c != '"' && c != ';':
			continue
		}
		switch {
		case depth < 0, word == ";":
			end()
			depth = 0
		case word == "update" && !sets:
			updates, wants, target, depth = true, true, "", 0
		case updates && word == "set":
			updates, sets, depth, cases = false, target == "" || target == table, 0, 0
		case updates && wants && word != "only":
			target, wants = strings.Trim(word, `"`), qualifies
		case sets && depth == 0 && (word == "where" || word == "returning" || word == "from" && before != "distinct" || word == "when" && cases == 0):
			end()
		case word == ")":
		case sets && word == "case":
			cases++
		case sets && word == "end":
			cases--
		case sets && !qualifies:
			names = append(names, strings.Trim(word, `"`))
		}
		before = word
	}
	end()
	return all
}

func skipPast(sql string, from int, mark string) int {
	if n := strings.Index(sql[from:], mark); n >= 0 {
		return from + n + len(mark)
	}
	return len(sql)
}

// skipEscapeString skips a string with backslash escapes whose opening quote is
// at i. Such a string goes on, escapes and all, in a quote on a later line.
func skipEscapeString(sql string, i int) int {
	for i++; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			i++
		case '\'':
			next := i + 1
			if next == len(sql) || sql[next] != '\'' {
				if next = continuation(sql, next); next < 0 {
					return i + 1
				}
			}
			i = next
		}
	}
	return len(sql)
}

// continuation returns where the quote is that continues the string that ended
// before i, or -1.
func continuation(sql string, i int) int {
	newline := false
	for i < len(sql) {
		switch c := sql[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case c == ' ' || c == '\t' || c == '\f' || c == '\v':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i = skipLine(sql, i)
		case c == '\'' && newline:
			return i
		default:
			return -1
		}
	}
	return -1
}

func skipLine(sql string, i int) int {
	if n := strings.IndexAny(sql[i:], "\r\n"); n >= 0 {
		return i + n
	}
	return len(sql)
}

func skipComment(sql string, i int) int {
	for depth := 0; i < len(sql); {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(sql)
}

// dollarTag returns the $tag$ that s begins with, or "".
func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '$':
			return s[:i+1]
		case isLetter(s[i]), i > 1 && isDigit(s[i]):
		default:
			return ""
		}
	}
	return ""
}

// endsOperator reports whether the '@' at i is the end of an operator. After
// other operator characters it begins a name, as in "id=@id", although
// PostgreSQL would read "=@" as one operator: it has none of that name.
func endsOperator(sql string, i int) bool {
	start := i
	for start > 0 && strings.IndexByte("+-*/<>=~!@#%^&|`?", sql[start-1]) >= 0 {
		start--
	}
	switch sql[start:i] {
	case "@", "@@", "@-", "<", "^", "?<", "^<":
		return true
	}
	return false
}

// isLetter reports whether c can begin an identifier. PostgreSQL takes every
// byte above ASCII as a letter.
func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// statement is an SQL statement that was parsed for one table.
type statement struct {
	sql  string
	args []argument
	size int // bytes that the sealed values of a row are likely to take
}

// argument says where the value of one $n comes from.
type argument struct {
	name   string
	field  *field   // a field of the struct; nil for one of the caller's own
	sealed *sealed  // set if the field is sealed
	index  *indexed // set if the name is one of its index columns
	keyID  bool     // set if the name is its column for key ids
	even   bool     // set if it is the second one of a unique index
}

const (
	maxStatements   = 512     // per table
	maxStatementLen = 1 << 14 // longer ones are parsed each time
)

// statementCache holds the statements parsed last, in no order.
type statementCache struct {
	mu sync.RWMutex
	m  map[string]*statement
}

func (c *statementCache) get(sql string) *statement {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[sql]
}

func (c *statementCache) put(sql string, s *statement) {
	if len(sql) > maxStatementLen {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]*statement)
	}
	for old := range c.m {
		if len(c.m) < maxStatements {
			break
		}
		delete(c.m, old)
	}
	c.m[sql] = s
}

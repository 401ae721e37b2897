package sealvet

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// verb is a verb of a format.
type verb struct {
	letter rune
	sharp  bool
}

// plainVerb is the one of fmt.Print.
var plainVerb = verb{letter: 'v'}

// parseVerbs returns the verbs that a format has for each argument.
func parseVerbs(format string) map[int][]verb {
	verbs := make(map[int][]verb)
	arg := 0
	for {
		_, rest, ok := strings.Cut(format, "%")
		if !ok {
			return verbs
		}
		afterFlags := strings.TrimLeft(rest, "#+- 0")
		sharp := strings.Contains(rest[:len(rest)-len(afterFlags)], "#")
		rest = cutNumber(afterFlags, &arg)
		if precision, ok := strings.CutPrefix(rest, "."); ok {
			rest = cutNumber(precision, &arg)
		}
		rest = cutIndex(rest, &arg)
		letter, size := utf8.DecodeRuneInString(rest)
		if size > 0 && letter != '%' {
			verbs[arg] = append(verbs[arg], verb{letter, sharp})
			arg++
		}
		format = rest[size:]
	}
}

// cutNumber cuts off a width or precision: digits, or an argument.
func cutNumber(s string, arg *int) string {
	s = cutIndex(s, arg)
	if rest, ok := strings.CutPrefix(s, "*"); ok {
		*arg++
		return rest
	}
	return strings.TrimLeft(s, "0123456789")
}

// cutIndex cuts off the number of an argument, [2].
func cutIndex(s string, arg *int) string {
	if !strings.HasPrefix(s, "[") {
		return s
	}
	number, rest, ok := strings.Cut(s[1:], "]")
	if n, err := strconv.Atoi(number); ok && err == nil && n > 0 {
		*arg = n - 1
		return rest
	}
	return s
}

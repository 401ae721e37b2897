package pgsql

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

var (
	errName       = errors.New(`the name has to be "table" or "schema.table", a part with a dot in it in double quotes`)
	errIdentifier = errors.New("a name in PostgreSQL is UTF-8 of 1 to 63 bytes without zero bytes")
)

// maxName is the longest name in bytes: PostgreSQL cuts off the rest, so that two
// names could become one.
const maxName = 63

// CheckIdentifier refuses what is no name in PostgreSQL, or would be cut off.
func CheckIdentifier(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
		return errIdentifier
	}
	return nil
}

// ParseName parses the name of a table. A part that begins with a double quote is
// quoted as in SQL; others are taken as they are.
func ParseName(s string) (name pgx.Identifier, err error) {
	for {
		var part string
		if quoted, ok := strings.CutPrefix(s, `"`); ok {
			if part, s, ok = CutQuoted(quoted); !ok {
				return nil, errName
			}
		} else {
			n := strings.IndexByte(s, '.')
			if n < 0 {
				n = len(s)
			}
			part, s = s[:n], s[n:]
		}
		if part == "" || len(name) == 2 {
			return nil, errName
		}
		if err := CheckIdentifier(part); err != nil {
			return nil, err
		}
		name = append(name, part)
		if s == "" {
			return name, nil
		}
		if s[0] != '.' {
			return nil, errName
		}
		s = s[1:]
	}
}

// CutQuoted returns what stands before the closing quote, with doubled quotes
// undone, and what follows it.
func CutQuoted(s string) (name, rest string, ok bool) {
	var b strings.Builder
	for {
		n := strings.IndexByte(s, '"')
		if n < 0 {
			return "", "", false
		}
		b.WriteString(s[:n])
		if s = s[n+1:]; !strings.HasPrefix(s, `"`) {
			return b.String(), s, true
		}
		b.WriteByte('"')
		s = s[1:]
	}
}

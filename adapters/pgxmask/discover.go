package pgxmask

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/sealfield/sealfield/internal/dict"
)

// recogniser knows a kind of personal data by the names of columns and by values.
type recogniser struct {
	what  string
	name  *regexp.Regexp    // of names in snake_case, or nil
	value func(string) bool // or nil
	share float64           // of the values that has to be of the kind, at least one
	types string            // of columns whose names are looked at: pg_type.typcategory
}

// recognisers are in the order in which they are asked; the first that knows a
// column is right.
var recognisers = sync.OnceValue(func() []recogniser {
	name := func(words string) *regexp.Regexp { return regexp.MustCompile(`(^|_)(` + words + `)(_|$|[0-9])`) }
	return []recogniser{
		{"a password or a key", name(`password|passwd|pwd|secret|api_?key|private_key|token|otp|pin`), nil, 0, "SNU"},
		{"an e-mail address", name(`e_?mails?|mail`), emailPattern.MatchString, 0, "SA"},
		{"an IBAN", name(`iban|bank_account`), isIBAN, 0, "SA"},
		{"a card number", name(`pan|card_?(no|num|number)|cc_?(no|num|number)|credit_?card`), isCard, 0.3, "SNA"},
		{"a social security or tax number", name(`ssn|social_security|sin|nino|tax_?id|tin|national_?id|personal_?id|passport(_no|_number)?`), ssnPattern.MatchString, 0.05, "SNA"},
		{"an IP address", name(`ip|ip_?addr(ess)?|remote_addr|client_ip`), isIP, 0.1, "SIA"},
		{"a phone number", name(`phone|telephone|tel|mobile|cell|fax|msisdn`), isPhone, 0.3, "SNA"},
		{"a date of birth", name(`birth|birth_?(date|day)|date_of_birth|dob|born`), nil, 0, "SD"},
		{"a name of a person", name(`(first|last|middle|given|family|full|maiden|display)_?name|surname|fname|lname|forename|name`), isName, 0.5, "SA"},
		{"an address", name(`address|addr|street|zip|zip_?code|postal_?code|postcode|city|town`), nil, 0, "S"},
		{"a place", name(`lat|lng|lon|latitude|longitude|geo|location`), nil, 0, "SNGU"},
		{"free text", name(`notes?|comments?|message|body|description|remarks?|bio|memo|feedback`), isProse, 0.3, "SU"},
	}
})

var (
	emailPattern = regexp.MustCompile(`(?i)[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+`)
	ssnPattern   = regexp.MustCompile(`(^|[^0-9-])[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}([^0-9-]|$)`)
	phonePattern = regexp.MustCompile(`^(\+|00|0|\()[0-9 ()./-]{7,20}$`)
	ibanPattern  = regexp.MustCompile(`[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,3})?`)
	cardPattern  = regexp.MustCompile(`[2-6][0-9]([ -]?[0-9]){10,17}`)
	ipv4Pattern  = regexp.MustCompile(`(^|[^0-9.])(([0-9]{1,3}\.){3}[0-9]{1,3})([^0-9.]|$)`)
	camelPattern = regexp.MustCompile(`([\p{Ll}0-9])(\p{Lu})`)
)

// discover warns of columns that are kept and look like personal data.
func (p *planner) discover(t *table, s *sample) {
	for i, c := range t.columns {
		a := t.relation.attribute(c.name)
		if c.rule != nil || len(c.sealed.of) > 0 {
			continue
		}
		var sampled []string
		for _, row := range s.rows {
			if len(row[i]) > 0 && (c.sealed.typ != "" || !slices.Contains([]string{"bytea", "uuid", "bool"}, a.base.Name)) {
				sampled = append(sampled, string(row[i]))
			}
		}
		if a.base.Name == "tsvector" && slices.ContainsFunc(t.columns, func(c column) bool { return c.rule != nil }) {
			p.warn(t, c.name, "it is kept, and a tsvector has the words of other columns, of which some are masked")
			continue
		}
		if reason := looksLike(c.name, a.base.Category, sampled); reason != "" {
			p.warn(t, c.name, "it is kept, and "+reason)
		}
	}
}

// discoverSealed warns of columns that look sealed and that nobody will open.
func (p *planner) discoverSealed(t *table, s *sample) {
	for i, c := range t.columns {
		if c.rule != nil || c.sealed.made || t.relation.attribute(c.name).base.Name != "bytea" {
			continue
		}
		var sampled []string
		for _, row := range s.rows {
			if row[i] != nil {
				sampled = append(sampled, string(row[i]))
			}
		}
		if isSealed(sampled) {
			p.warn(t, c.name, "it is kept, and looks sealed: the copy needs the source's keys to open it; name the table in Config.Sealed")
		}
	}
}

// looksLike says what a column may be, or nothing.
func looksLike(name, category string, sampled []string) string {
	snake := strings.ToLower(camelPattern.ReplaceAllString(name, "${1}_${2}"))
	snake = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '_'
	}, snake)
	for _, r := range recognisers() {
		var why []string
		if r.name != nil && strings.Contains(r.types, category) && r.name.MatchString(snake) {
			why = append(why, "its name looks like "+r.what)
		}
		if r.value != nil && category != "D" && category != "B" {
			n := 0
			for _, v := range sampled {
				if r.value(v) {
					n++
				}
			}
			if n > 0 && float64(n) >= r.share*float64(len(sampled)) {
				why = append(why, fmt.Sprintf("%d of %d sampled values look like %s", n, len(sampled), r.what))
			}
		}
		if len(why) > 0 {
			return strings.Join(why, ", and ")
		}
	}
	return ""
}

func digitsOf(v string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || '9' < r {
			return -1
		}
		return r
	}, v)
}

// isCard looks for a number of 12 to 19 digits with a right check digit.
func isCard(v string) bool {
	return slices.ContainsFunc(cardPattern.FindAllString(v, -1), func(s string) bool {
		digits := digitsOf(s)
		sum := 0
		for i := range len(digits) {
			d := int(digits[len(digits)-1-i] - '0')
			if i%2 == 1 {
				d *= 2
			}
			sum += d/10 + d%10
		}
		return sum%10 == 0
	})
}

// isIBAN looks for one with right check digits (ISO 13616).
func isIBAN(v string) bool {
	return slices.ContainsFunc(ibanPattern.FindAllString(v, -1), func(s string) bool {
		s = strings.ReplaceAll(s, " ", "")
		rest := 0
		for _, r := range s[4:] + s[:4] {
			if '0' <= r && r <= '9' {
				rest = (rest*10 + int(r-'0')) % 97
			} else {
				rest = (rest*100 + int(r-'A') + 10) % 97
			}
		}
		return rest == 1
	})
}

func isIP(v string) bool {
	if _, err := netip.ParsePrefix(v); err == nil && strings.ContainsAny(v, ".:") {
		return true
	}
	if _, err := netip.ParseAddr(v); err == nil {
		return true
	}
	m := ipv4Pattern.FindStringSubmatch(v)
	if m == nil {
		return false
	}
	_, err := netip.ParseAddr(m[2])
	return err == nil
}

func isPhone(v string) bool {
	n := len(digitsOf(v))
	return phonePattern.MatchString(v) && 8 <= n && n <= 15
}

// isName knows one to four words, of which one is a name of package mask's lists.
func isName(v string) bool {
	words := strings.FieldsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || r == ',' })
	if len(words) == 0 || len(words) > 4 {
		return false
	}
	known := false
	for _, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsMark(r) && !strings.ContainsRune("-.'’", r)
		}) {
			return false
		}
		known = known || knownNames()[strings.ToLower(w)]
	}
	return known
}

// knownNames are those of all locales, in small letters.
var knownNames = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, locale := range dict.Names() {
		l := dict.Get(locale)
		for _, n := range slices.Concat(l.Given, l.Surnames) {
			all[strings.ToLower(n)] = true
		}
	}
	return all
})

// isProse knows text of several words.
func isProse(v string) bool {
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return false
	}
	return len(v) >= 40 && len(strings.Fields(v)) >= 6
}

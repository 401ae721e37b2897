package mask

import (
	"fmt"
	"time"

	"github.com/sealfield/sealfield/internal/prf"
)

var dateTypes = []string{"date", "timestamp", "timestamptz", "text", "varchar"}

const isoDates = "ISO dates of the years 0001 to 9999, with or without a time"

// day is the number of a day in the Gregorian calendar, from 1 March of the year 0 on.
// Package time can do more and takes twice as long.
type day int

var firstDay, lastDay = dayOf(1, 1, 1), dayOf(9999, 12, 31)

// dayOf takes months of 1 to 13. Years begin in March here, so that a leap day ends one;
// then 153 days are five months, and the fractions add up to months of 31 and 30 days as
// they are.
func dayOf(year, month, d uint32) day {
	if month < 3 {
		month += 12
		year--
	}
	return day(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + d - 1)
}

// date is the inverse, for days that are not negative. A day, times four and 3 more, divided by
// the days of 400 years is the century, which leaves four times the day in it; and so on
// with four years and with five months.
func (n day) date() (year, month, d uint32) {
	rest := uint32(4*n + 3)
	century := rest / 146_097
	rest = rest%146_097 | 3
	year, rest = 100*century+rest/1461, rest%1461/4*5+2
	month, d = rest/153+3, rest%153/5+1
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, d
}

func (n day) time() time.Time {
	year, month, d := n.date()
	return time.Date(int(year), time.Month(month), int(d), 0, 0, 0, 0, time.UTC)
}

// parseDate reads YYYY-MM-DD and, after a space or T, a time of day with an optional
// zone, which it returns with what is before it as it is.
func parseDate(v []byte) (n day, rest []byte, ok bool) {
	if len(v) < len(time.DateOnly) || len(v) > len(time.DateOnly)+maxTime || v[4] != '-' || v[7] != '-' {
		return 0, nil, false
	}
	year, ok1 := decimalDigits(v[:4])
	month, ok2 := decimalDigits(v[5:7])
	d, ok3 := decimalDigits(v[8:10])
	if !ok1 || !ok2 || !ok3 || year == 0 || month < 1 || month > 12 || d < 1 {
		return 0, nil, false
	}
	y, m := uint32(year), uint32(month)
	n, rest = dayOf(y, m, uint32(d)), v[10:]
	return n, rest, n < dayOf(y, m+1, 1) && validTime(rest)
}

const maxTime = 32 // bytes of a time of day

// validTime takes nothing, or " 15:04[:05[.999999]][ zone]", zone being Z or +hh[:mm].
func validTime(v []byte) bool {
	if len(v) == 0 {
		return true
	}
	if len(v) < 6 || v[0] != ' ' && v[0] != 'T' {
		return false
	}
	hour, ok1 := decimalDigits(v[1:3])
	minute, ok2 := decimalDigits(v[4:6])
	if !ok1 || !ok2 || v[3] != ':' || hour > 24 || minute > 59 {
		return false
	}
	if v = v[6:]; len(v) >= 3 && v[0] == ':' {
		second, ok := decimalDigits(v[1:3])
		if !ok || second > 60 {
			return false
		}
		if v = v[3:]; len(v) > 1 && v[0] == '.' {
			n := 1
			for n < len(v) && isDigit(v[n]) {
				n++
			}
			if n == 1 {
				return false
			}
			v = v[n:]
		}
	}
	if len(v) == 0 || len(v) == 1 && v[0] == 'Z' {
		return true
	}
	if v[0] != '+' && v[0] != '-' {
		return false
	}
	for i, c := range v[1:] {
		if i%3 == 2 && c != ':' || i%3 != 2 && !isDigit(c) {
			return false
		}
	}
	return len(v)%3 == 0 && len(v) <= len("+hh:mm:ss")
}

func decimalDigits(v []byte) (n int, ok bool) {
	for _, c := range v {
		if !isDigit(c) {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(v) > 0
}

func appendDate(dst []byte, n day) ([]byte, bool) {
	if n < firstDay || n > lastDay {
		return nil, false
	}
	digit := func(n uint32) byte { return '0' + byte(n%10) }
	y, m, d := n.date()
	return append(dst, digit(y/1000), digit(y/100), digit(y/10), digit(y), '-', digit(m/10), digit(m), '-', digit(d/10), digit(d)), true
}

// buildDate shifts all dates of a subject by one number of days.
func buildDate(b *builder) {
	days := b.number("days", 365, 1, 36500)
	weeks := b.choice("weeks", "no", "yes") == "yes"
	unit := int64(1)
	if weeks {
		unit = 7
	}
	units := days / unit
	if units == 0 {
		b.fail("days", "is less than a week", "")
		return
	}
	f := b.prf(fmt.Sprintf("date/1/%d/%d", units, unit))
	subject := func(_ []byte, row *Row) []byte { return row.Subject }
	b.draws(f, subject, func(dst, src []byte, s *prf.Stream) ([]byte, bool) {
		n, rest, ok := parseDate(src)
		if !ok {
			return nil, false
		}
		shift := int64(s.Below(uint64(2*units))) - units // -units .. units-1
		if shift >= 0 {
			shift++
		}
		if dst, ok = appendDate(dst, n+day(shift*unit)); !ok {
			return nil, false
		}
		return append(dst, rest...), true
	})
	p := &b.rule.props
	p.Deterministic, p.Subject = false, true
	p.Domain, p.Types, p.SameLength, p.Alphabet = isoDates, dateTypes, true, "[0-9T Z:.+-]"
	p.Hidden, p.Reversible = bitsOf(float64(2*units)), true
	p.Visible = []string{fmt.Sprintf("the date to within %d days", units*unit), "the intervals between dates of one subject", "time of day and zone, which tells summer from winter where it changes: timestamptz is best masked in UTC"}
	if weeks {
		p.Visible = append(p.Visible, "the day of the week")
	}
}

// buildDateRound puts a date to the first day of its month or year.
func buildDateRound(b *builder) {
	to := b.choice("to", "year", "month")
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		n, rest, ok := parseDate(src)
		if !ok {
			return nil, false
		}
		year, month, _ := n.date()
		if to == "year" {
			month = 1
		}
		dst, ok = appendDate(dst, dayOf(year, month, 1))
		if ok && len(rest) > 0 {
			dst = append(append(dst, rest[0]), "00:00:00"...)
			dst = append(dst, zone(rest)...)
		}
		return dst, ok
	}
	p := &b.rule.props
	p.Domain, p.Types, p.Alphabet, p.MaxLen = isoDates, dateTypes, "[0-9T Z:.+-]", len("2006-01-02 00:00:00+00:00:00")
	p.Hidden = bitsOf(28)
	if to == "year" {
		p.Hidden = bitsOf(365)
	}
	p.Visible = []string{"the " + to, "the zone, which tells summer from winter where it changes: timestamptz is best masked in UTC"}
}

// zone returns the end of a valid time from its zone on.
func zone(v []byte) []byte {
	for i, c := range v {
		if c == 'Z' || c == '+' || c == '-' {
			return v[i:]
		}
	}
	return nil
}

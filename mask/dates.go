package mask

import (
	"fmt"
	"time"

	"github.com/sealfield/sealfield/internal/prf"
)

var dateTypes = []string{"date", "timestamp", "timestamptz", "text", "varchar"}

const isoDates = "ISO dates of the years 0001 to 9999, with or without a time"

// parseDate reads YYYY-MM-DD and, after a space or T, a time of day with an optional
// zone, which it returns with what is before it as it is.
func parseDate(v []byte) (day time.Time, rest []byte, ok bool) {
	if len(v) < len(time.DateOnly) || len(v) > len(time.DateOnly)+maxTime || v[4] != '-' || v[7] != '-' {
		return day, nil, false
	}
	year, ok1 := decimalDigits(v[:4])
	month, ok2 := decimalDigits(v[5:7])
	d, ok3 := decimalDigits(v[8:10])
	day = time.Date(year, time.Month(month), d, 0, 0, 0, 0, time.UTC)
	rest = v[10:]
	_, actualMonth, actualDay := day.Date()
	ok = ok1 && ok2 && ok3 && year > 0 && actualMonth == time.Month(month) && actualDay == d && validTime(rest)
	return day, rest, ok
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

func appendDate(dst []byte, day time.Time) ([]byte, bool) {
	y, m, d := day.Date()
	if y < 1 || y > 9999 {
		return nil, false
	}
	n := len(dst)
	dst = append(dst, time.DateOnly...)
	putDigits(dst[n:n+4], y)
	putDigits(dst[n+5:n+7], int(m))
	putDigits(dst[n+8:], d)
	return dst, true
}

// buildDate shifts all dates of a subject by one number of days.
func buildDate(b *builder) {
	days := b.number("days", 365, 1, 36500)
	weeks := b.choice("weeks", "no", "yes") == "yes"
	unit := int64(1)
	if weeks {
		unit = 7
	}
	n := days / unit
	if n == 0 {
		b.fail("days", "is less than a week", "")
		return
	}
	f := b.prf(fmt.Sprintf("date/1/%d/%d", n, unit))
	subject := func(_ []byte, row *Row) []byte { return row.Subject }
	b.draws(f, subject, func(dst, src []byte, s *prf.Stream) ([]byte, bool) {
		day, rest, ok := parseDate(src)
		if !ok {
			return nil, false
		}
		shift := int64(s.Below(uint64(2*n))) - n // -n .. n-1
		if shift >= 0 {
			shift++
		}
		if dst, ok = appendDate(dst, day.Add(time.Duration(shift*unit)*24*time.Hour)); !ok {
			return nil, false
		}
		return append(dst, rest...), true
	})
	p := &b.rule.props
	p.Deterministic, p.Subject = false, true
	p.Domain, p.Types, p.SameLength, p.Alphabet = isoDates, dateTypes, true, "[0-9T Z:.+-]"
	p.Hidden, p.Reversible = bitsOf(float64(2*n)), true
	p.Visible = []string{fmt.Sprintf("the date to within %d days", n*unit), "the intervals between dates of one subject", "time of day and zone, which tells summer from winter where it changes: timestamptz is best masked in UTC"}
	if weeks {
		p.Visible = append(p.Visible, "the day of the week")
	}
}

// buildDateRound puts a date to the first day of its month or year.
func buildDateRound(b *builder) {
	to := b.choice("to", "year", "month")
	b.rule.mask = func(dst, src []byte, _ *Row) ([]byte, bool) {
		day, rest, ok := parseDate(src)
		if !ok {
			return nil, false
		}
		if to == "year" {
			day = day.AddDate(0, 1-int(day.Month()), 0)
		}
		dst, ok = appendDate(dst, day.AddDate(0, 0, 1-day.Day()))
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

package fpe

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// interval is the domain of an int or date format: integers, or days since
// 1970-01-01, from lo to hi, ends included.
type interval struct {
	date   bool
	lo, hi int64
}

func parseInterval(s string) (*interval, error) {
	kind, bounds, _ := strings.Cut(s, ":")
	lo, hi, ok := strings.Cut(bounds, "..")
	v := &interval{date: kind == "date"}
	var okLo, okHi bool
	v.lo, okLo = v.parse([]byte(lo))
	v.hi, okHi = v.parse([]byte(hi))
	if !ok || !okLo || !okHi || v.lo >= v.hi {
		return nil, errors.New("it has to be int:LO..HI, or date:LO..HI with dates like 2006-01-02")
	}
	return v, nil
}

// size returns the number of values, modulo 2^64.
func (v *interval) size() uint64 { return uint64(v.hi) - uint64(v.lo) + 1 }

const secondsOfDay = 24 * 60 * 60

// parse reads a number or date in the canonical spelling.
func (v *interval) parse(text []byte) (int64, bool) {
	if v.date {
		return parseDate(text)
	}
	const longest = len("-9223372036854775808")
	if len(text) > longest {
		return 0, false
	}
	x, err := strconv.ParseInt(string(text), 10, 64)
	var spelling [longest]byte
	return x, err == nil && string(strconv.AppendInt(spelling[:0], x, 10)) == string(text)
}

// append appends the spelling of x.
func (v *interval) append(dst []byte, x int64) []byte {
	if v.date {
		return time.Unix(x*secondsOfDay, 0).UTC().AppendFormat(dst, time.DateOnly)
	}
	return strconv.AppendInt(dst, x, 10)
}

// parseDate returns the day of a date of the years 0001 to 9999 in the
// proleptic Gregorian calendar.
func parseDate(text []byte) (int64, bool) {
	if len(text) != len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	year, okYear := digits(text[:4])
	month, okMonth := digits(text[5:7])
	day, okDay := digits(text[8:])
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	same := t.Year() == year && t.Month() == time.Month(month) && t.Day() == day
	return t.Unix() / secondsOfDay, okYear && okMonth && okDay && same && year > 0
}

// digits reads decimal digits.
func digits(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

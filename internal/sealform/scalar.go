package sealform

import (
	"encoding/binary"
	"errors"
	"time"
)

// This file holds PostgreSQL's binary forms of the common fixed-size types.

var (
	ErrForm        = errors.New("the sealed bytes are no value of the column's type")
	ErrRange error = valueError("the value is out of range")
)

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

func appendInteger[E integer](dst []byte, v *E) ([]byte, error) {
	n := int64(*v)
	if (n < 0) != (*v < 0) {
		return dst, ErrRange
	}
	return binary.BigEndian.AppendUint64(dst, uint64(n)), nil
}

func scanInteger[E integer](src []byte, v *E) error {
	if len(src) != 8 {
		return ErrForm
	}
	n := int64(binary.BigEndian.Uint64(src))
	if e := E(n); int64(e) != n || (e < 0) != (n < 0) {
		return ErrRange
	}
	*v = E(n)
	return nil
}

func appendBool(dst []byte, v *bool) ([]byte, error) {
	if *v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func scanBool(src []byte, v *bool) error {
	if len(src) != 1 || src[0] > 1 {
		return ErrForm
	}
	*v = src[0] == 1
	return nil
}

func appendUUID(dst []byte, v *[16]byte) ([]byte, error) { return append(dst, v[:]...), nil }

func scanUUID(src []byte, v *[16]byte) error {
	if len(src) != len(v) {
		return ErrForm
	}
	copy(v[:], src)
	return nil
}

var (
	epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // from which PostgreSQL counts
	// What PostgreSQL's timestamps can hold: a date can be later.
	minTime = time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC)
)

const daySeconds = 24 * 60 * 60

func appendTimestamptz(dst []byte, v *time.Time) ([]byte, error) {
	if v.Before(minTime) || !v.Before(maxTime) {
		return dst, ErrRange
	}
	micros := (v.Unix()-epoch.Unix())*1_000_000 + int64(v.Nanosecond())/1_000
	return binary.BigEndian.AppendUint64(dst, uint64(micros)), nil
}

func scanTimestamptz(src []byte, v *time.Time) error {
	if len(src) != 8 {
		return ErrForm
	}
	micros := int64(binary.BigEndian.Uint64(src))
	t := time.Unix(epoch.Unix()+micros/1_000_000, micros%1_000_000*1_000)
	if t.Before(minTime) || !t.Before(maxTime) { // infinity among others
		return ErrRange
	}
	*v = t
	return nil
}

func appendDate(dst []byte, v *time.Time) ([]byte, error) {
	if v.Before(minTime) || !v.Before(maxTime) {
		return dst, ErrRange
	}
	year, month, day := v.Date()
	seconds := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() - epoch.Unix()
	return binary.BigEndian.AppendUint32(dst, uint32(int32(seconds/daySeconds))), nil
}

func scanDate(src []byte, v *time.Time) error {
	if len(src) != 4 {
		return ErrForm
	}
	days := int32(binary.BigEndian.Uint32(src))
	t := epoch.AddDate(0, 0, int(days))
	if t.Before(minTime) || !t.Before(maxTime) {
		return ErrRange
	}
	*v = t
	return nil
}

package sealform

import "fmt"

// MostBytes is the size of the largest sealed value. PostgreSQL takes messages and
// values of less than 1 GiB, and the text of a bytea, in which simple_protocol and exec
// send it and pg_dump reads it, has two digits for each byte.
const MostBytes = 1<<29 - 1<<10

// SizeError is the error of a value that is too large. It is an ErrValue.
type SizeError struct {
	What        string
	Bytes, Most int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s would be of %d bytes, and the most are %d", e.What, e.Bytes, e.Most)
}

// Is makes errors.Is find ErrValue.
func (e *SizeError) Is(target error) bool { return target == ErrValue }

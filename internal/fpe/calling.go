package fpe

// CallingCodeLen returns the number of digits of the country calling code that a
// number of three or more digits begins with, as (cc) takes it.
func CallingCodeLen(digits []byte) int { return callingCodeLen(digits) }

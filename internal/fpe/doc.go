// Package fpe enciphers text and keeps its format: it parses formats, splits a
// value into what is kept and one number below the size of its domain, permutes
// the numbers with FF1, and puts the result together again. It knows nothing of
// keyrings; packages token and mask give it keys.
//
// A format is a name (pan, pan-bin6, ssn, phone, iban, uuid), a range (int:LO..HI,
// date:YYYY-MM-DD..YYYY-MM-DD) or a notation, which describes a value from left
// to right:
//
//	[A-Z0-9]{8}     eight characters of the class, enciphered; {6-10} is six to ten
//	[0-9|A-Z]{8}    the same, but digits become digits and letters letters
//	<[0-9]{4}>      four characters of the class, kept
//	(001-899!666)   a number of that width and range, 666 excepted, enciphered
//	(luhn)          the check digit of ISO/IEC 7812-1, here or elsewhere: worked out
//	(mod97)         the two check digits of an IBAN (ISO 13616): worked out
//	(cc)            a country calling code (ITU-T E.164), kept
//	ID-             any other character stands for itself; \ before [ ] ( ) < > { } | ! - \
//
// One count of a format may be variable. Characters are printable ASCII. What is
// kept goes into the tweak; the class of a character in a class with | is kept.
package fpe

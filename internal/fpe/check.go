package fpe

// luhnDigit returns the digit that belongs at position of text, which is digits,
// by the formula of ISO/IEC 7812-1: every second digit from the right, beginning
// with the last but one, is doubled and the digits of that added up; the sum
// of all is a multiple of 10. What that adds up to, 0 2 4 6 8 1 3 5 7 9, is another
// for each digit, so that there is one that is right wherever it stands.
func luhnDigit(text []byte, position int) byte {
	sum := 0
	for i, c := range text {
		d := int(c - '0')
		switch {
		case i == position:
		case (len(text)-i)%2 != 0:
			sum += d
		case d < 5:
			sum += 2 * d
		default:
			sum += 2*d - 9
		}
	}
	d := (10 - sum%10) % 10
	if (len(text)-position)%2 == 0 {
		d = (d + d%2*9) / 2
	}
	return '0' + byte(d)
}

// ibanDigits returns the two check digits of an IBAN in text, which is digits and
// capital letters and has them at position 2: 98 less what the rest, turned
// round and followed by 00, is modulo 97 with A as 10 and Z as 35 (ISO 13616).
func ibanDigits(text []byte) [2]byte {
	m := 0
	for i := range text {
		c := text[(i+4)%len(text)]
		switch {
		case i >= len(text)-2:
			m = m * 10 % 97
		case c <= '9':
			m = (m*10 + int(c-'0')) % 97
		default:
			m = (m*100 + int(c-'A') + 10) % 97
		}
	}
	m = 98 - m
	return [2]byte{'0' + byte(m/10), '0' + byte(m%10)}
}

// callingCodeLen returns the number of digits of the country calling code that
// text begins with: one in zones 1 and 7, and three unless it is among those of
// two (ITU-T E.164, list of country codes assigned).
func callingCodeLen(text []byte) int {
	switch {
	case len(text) == 0 || text[0] == '1' || text[0] == '7':
		return 1
	case len(text) > 1 && twoDigitCodes[text[0]&15][text[1]&15]:
		return 2
	}
	return 3
}

// twoDigitCodes are indexed with the low four bits of two ASCII digits.
var twoDigitCodes = func() (table [16][16]bool) {
	const codes = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98"
	for i := 0; i < len(codes); i += 3 {
		table[codes[i]-'0'][codes[i+1]-'0'] = true
	}
	return table
}()

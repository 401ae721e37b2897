// Package ff1 is FF1, the format-preserving encryption of NIST SP 800-38G: a
// value of 16 digits becomes another 16 digits, and back with the key.
//
//	digits, err := ff1.NewAlphabet("0123456789")
//	cipher, err := ff1.New(key, digits.Len())
//	ct, err := cipher.EncryptString(digits, "4000001234567899", tweak)
//	pt, err := cipher.DecryptString(digits, ct, tweak)
//
// It is right where a column, file layout or foreign system leaves no room for
// a real ciphertext. Where there is room, encrypt with package crypto, which
// also authenticates and hides equality.
//
// What a reader of the ciphertexts learns: the length of each value, and which
// values are equal under one tweak, hence how often each occurs. FF1 does not
// authenticate: every string of the alphabet decrypts to something, also under
// a wrong key or tweak, and anyone who can write can replace one ciphertext by
// another. It was not built to take the same time for all values: the integer
// arithmetic of long ones does not.
//
// The tweak is not secret and need not be unique, and decryption needs the same
// one. Put into it what the value belongs to (the name of the column, the
// tenant, the digits that stay in clear): equal values under different tweaks
// look unrelated, and a small domain gives away less the more tweaks there are.
// Leave out what is not known at decryption or what must join: columns that
// are compared need the same tweak. Encode several parts unambiguously.
//
// Values of fewer than 1,000,000 per length are refused (ErrDomain): 5 digits,
// 19 bits. SP 800-38G of 2016 recommends that minimum, its Revision 1 (second
// public draft, February 2025) requires it, because small domains have been
// attacked (Hoang, Tessaro, Trieu). There is no FF3 and no FF3-1: after further
// attacks NIST dropped them in the same draft.
//
// Patents: NIST writes (csrc.nist.gov, Block Cipher Techniques, Current Modes)
// that Voltage Security gave it a letter of assurance about licensing patents
// that may be relevant for these modes. Its successors hold more of them. Nobody
// here has examined them: if that matters to you, ask counsel.
//
// Everything here is exact: AES is the standard library's, and all else integer
// arithmetic without floating point, in one word for values of up to 32
// decimal digits, two words up to 76, and math/big above. It runs under
// GODEBUG=fips140=only, but FF1 itself is outside Go's validated module.
package ff1

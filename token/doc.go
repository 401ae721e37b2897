// Package token makes encrypted fields searchable, and replaces values by tokens.
//
// An Index turns a value into a tag, a keyed hash that is stored in a column
// beside the ciphertext and compared there:
//
//	byEmail, err := token.NewIndex(kr, "customers.email", token.IndexConfig{Normalizer: token.Email})
//	tag, err := byEmail.Tag(ctx, []byte("Ann@Example.com"), "")      // insert ... email_idx
//	tags, err := byEmail.Match(ctx, []byte("ann@example.com"), "")   // where email_idx = any($1)
//
// The tag is a blind index, byte for byte Tink's HMAC-SHA256 (RFC 2104) with a
// tag of 128 bits: 0x01, key id (4 bytes, big endian), 16 bytes. Different values
// collide with probability 2^-128, so a unique index on the column is exact as
// long as one index key is in use, and with TagPair also in a rotation. Kinds
// Prefix, Suffix and NGram have several tags for a value; Compound is an index over
// several values at once.
//
// A FormatPreserving turns a value into a token that looks like one, and back for
// who has the key: FF1 (NIST SP 800-38G, see package ff1), for columns that take
// nothing but card numbers, say. It does not authenticate, and leaves the id of
// the key to be stored beside the token.
//
// A Deterministic turns a value into a token that can be compared like a tag and
// turned back: AES-SIV (RFC 5297), as Tink writes it.
//
//	iban, err := token.NewDeterministic(kr, "payments.iban", token.DeterministicConfig{})
//	tok, err := iban.Tokenize(ctx, value, nil, "")
//	value, err = iban.Detokenize(ctx, tok, nil, "")
//
// A Vault takes a value out of the application's tables altogether: it leaves a
// random token there, such as pan_bbbcbdbfbgbhbjbkblbmbnbpbqbrbsbtrrdhbcbg, which
// has nothing of the value in it, and keeps the value, encrypted, in a VaultStore.
// Tokens can be limited in time and in uses, and revoked. Its documentation says
// what it leaks and when not to use it.
//
// What a reader of the columns learns of the others:
//
//	Exact             which rows hold equal values, and so how often each occurs
//	fewer Bits        the same, blurred where values are rare, not where they are common
//	Compound          which rows are equal in all parts
//	Prefix, Suffix    which rows share a beginning (end) of each length
//	NGram             which rows share trigrams, and how many: the most of all
//	Deterministic     as Exact, and each value's length
//	FormatPreserving  as Exact, each value's length, and what the format keeps
//
// That is harmless where nearly every value is different (e-mail, phone, card
// number), and gives the values away where few are common (sex, country, birth
// year): do not index those, or only within a Compound. Package token/plan counts
// it. Who can write values through the application and read the column can test
// guesses. Who has the index key can test all values of a small domain, but
// decrypts nothing: index keys are apart from encryption keys, down to the root.
package token

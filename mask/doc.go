// Package mask makes test data that keeps its shape: a card number becomes another
// card number with a right check digit, an e-mail address another address, and
// equal values become equal results in every table, file and database.
//
//	m, err := mask.New(ctx, kr, mask.Config{Epoch: "2026-q4"})
//	email, err := m.Rule("email,domain=customer.email")
//	out, err := email.Append(nil, []byte("ann@example.com"), nil)
//
// A Rule is named by text, the same everywhere: in Go as above, in struct tags
// (NewStruct, JSON) and in a policy for databases (ParsePolicy, and YAML by
// mask/maskyaml). What it does is known before it has seen a value: Properties has
// what a plan needs to prove that UNIQUE, NOT NULL, CHECK and lengths survive,
// and Explain says what stays visible. The rules are listed at Masker.Rule.
//
// Keys come from the keyring's Masking purpose, by join domain and epoch. The domain
// is a logical name (customer.email, never table.column): columns that have to join
// share it. Results of two epochs, domains or keyrings can not be linked. Check
// is a fingerprint of the key, by which two jobs notice that theirs differ.
//
// A value that a rule can not parse goes to its fallback, which is part of the rule,
// and is counted; it is never copied. NULL stays NULL and the empty value empty.
//
// This is for test data, not for keeping secrets: frequencies stay, and so do the
// lengths and the parts that Properties lists as visible. Who knows that somebody
// is in the data may find the row by what stays. Who has the same rows of several
// epochs side by side averages noise out, and narrows shifted dates down. Who has the key can undo the
// bijective rules and try guesses at all others. A masked phone number or card
// number may be somebody's.
//
// Full, Keep and PAN are redaction for people, for logs and screens: one-way and
// without a key.
package mask

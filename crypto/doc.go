// Package crypto encrypts single values, such as database fields, so that each
// opens only in the place it was written to.
//
// It shadows the standard library's package of the same name, of which programs
// seldom need both:
//
//	import "github.com/sealfield/sealfield/crypto"
//
//	email, err := crypto.NewField(kr, "customers.email", crypto.FieldConfig{})
//	at := crypto.Binding{Row: crypto.Row("42")}
//	ct, err := email.Encrypt(ctx, []byte("ann@example.com"), at)
//	pt, err := email.Decrypt(ctx, ct, at) // fails for any other row or field
//
// A Field is a name, fixed for ever, and a keyring; its key is derived from
// keyring, scope and name, and the row is associated data. So a value that is
// moved to another field, tenant or keyring finds another key, one moved to
// another row fails authentication, and all of it is errors.Is(err, ErrDecrypt).
//
// The ciphertext is what Tink writes and reads: 0x01, key id (4 bytes, big
// endian), then XAES-256-GCM (C2SP; 45 bytes longer than the plaintext) or, for
// keys made so, AES-256-GCM (NIST SP 800-38D; 33 bytes). TinkKeyset hands the
// keys to readers in other languages.
//
// An Envelope is for what leaves the store: messages in queues, files, streams of
// any length. Each carries its key, wrapped by one KMS or several, and opens with
// any of them.
//
// What a reader of a Field's ciphertexts learns: the exact length of each value,
// which values share a key version, and, from equal salts, which were written
// by the same run of a process. Not whether two values are equal.
//
// What is not hidden: that a row was put back to an older value of its own, or
// deleted. AES-GCM does not commit to its key; a field's key is fixed by its
// place, so no attacker chooses it. An Envelope's messages commit to theirs.
package crypto

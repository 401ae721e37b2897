// Package keyring manages the keys under which Sealfield encrypts: it makes,
// stores, caches, rotates and refuses them. Most programs open one keyring at
// start, hand it to crypto.NewField and token.NewIndex, and close it at the end:
//
//	kms, err := localkms.OpenOrCreate("app.key")
//	kr, err := keyring.OpenOrCreate(ctx, keyring.Config{
//		Name: "app", Store: keyring.NewFileStore("app.keys"), KMS: []keyring.KMS{kms},
//	})
//	defer kr.Close()
//
// Three levels of keys: a KMS holds a KEK; it wraps one root key per purpose;
// the root wraps data-encryption keys (DEKs), one per scope (tenant or data
// subject), purpose and version. What encrypts a value is derived from a DEK by
// HKDF-SHA256 (RFC 5869) for one field. A process asks the KMS once per
// purpose, never per value, and again when half a grace is over; only wrapped
// keys are stored.
//
// Rotate adds a version. It is known at once, encrypts after the
// PropagationDelay on the store's clock, and the older ones go on to decrypt:
// a fleet changes keys without a leader and without a moment in which one
// process writes what another can not read.
//
// Keys end, too. Suspend stops a key and Resume takes it back; MarkCompromised
// ends its use for encryption; Destroy erases one that nothing needs any more.
// Shred erases all keys of a scope. RotateRoot puts every key of a purpose under
// a new root key, and touches no data.
//
// Every KMS of the Config wraps every root key and any one unwraps it, so that
// one may be down. Rewrap moves a keyring to other KMSs and touches no data.
//
// Nothing falls back. A store or KMS that fails is an error (ErrUnavailable,
// ErrDenied), never a new key and never plaintext; keys in memory serve on for
// EncryptGrace and DecryptGrace, then fail with ErrStale until store and KMS
// are back. Rows that were edited, moved, rolled back or deleted are refused by
// name (*KeyError, ErrTampered). Health tells a probe whether a keyring serves,
// and an operator what it misses; the Logger is told of each change.
//
// Who reads the store learns scopes, counts, states and times of keys. Who
// writes it can withhold keys, and can show a process that has just started an
// older state of a row. Who can use a purpose's KEK and read the store can
// read everything of that purpose, of every scope.
package keyring

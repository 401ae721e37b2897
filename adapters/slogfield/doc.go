// Package slogfield keeps fields that are sealed in the database out of logs. It reads
// the tags of pgxfield: a field with a seal tag prints as [redacted], whatever it holds,
// wherever its struct is.
//
//	type Customer struct {
//		ID    int64  `db:"id"`
//		Email string `db:"email" seal:"encrypt,index=email_idx,norm=email"`
//	}
//	log := slog.New(slogfield.NewHandler(slog.NewJSONHandler(os.Stderr, nil)))
//	log.Info("signed up", "customer", c) // "customer":{"ID":1,"Email":"[redacted]"}
//
// NewHandler wraps any handler, and is the one to use: nothing gets around it but what
// the handler itself adds. ReplaceAttr is for handlers that take a
// slog.HandlerOptions, as those of package slog do. These call it with each value after
// they resolved it and with what is in groups, also of With, so that it sees the same
// as NewHandler; and it can stand behind a ReplaceAttr of your own, whose results
// NewHandler, being in front, does not see. It costs more: with a ReplaceAttr, these
// handlers pass it time, level and message, too.
//
// # What is redacted
//
// A value is looked at as far as a handler could print it: through pointers,
// interfaces, slices, arrays, maps and their keys, embedded structs, errors that wrap
// others, and what a LogValuer returns. If it holds a struct with a tagged field, then
// a copy is printed: with the names and JSON tags of the exported fields, and without
// methods, so that no String, Format, Error, MarshalText or MarshalJSON can tell what
// the tags hide. Structs that are copied print without their unexported fields, and so
// do structs in their fields that have no methods, such as a sync.Mutex. In a
// copy pointers print as what they point to, and maps have text for keys. A value
// in which nothing is found is passed on as it is.
//
// What can not be looked at is taken for the worst:
//
//   - Unexported fields are never read, since others may be writing them. If the type of
//     one could hold a tagged struct, or has an interface, the struct is printed as
//     a copy, without it. So some types of others, whose String would be harmless, print
//     as {}: log what their String returns instead.
//   - An error that is, holds or wraps such a struct prints as its type only. The text of
//     all others is printed as it is, and so is what an error has in unexported fields.
//   - A pointer that leads back into itself, what lies more than 100 steps deep, and a
//     value with more than 65,536 others in it print as [redacted], and so does one
//     whose methods panic. Channels and functions print as addresses, or not at all.
//
// A type that has a LogValue method of its own decides for itself, by what that
// returns: tags are looked at in that. In slices and structs slog does not call
// LogValue, and tags count.
//
// Sealed values are no secret, but of no use in a log. []byte and strings that are
// one, and nothing else, are replaced by a note with the id of the key, such as
// sealed(key 89abcdef): ciphertexts of package crypto, index tags, deterministic
// tokens, in bytes and in the text form "sf1.". Of other binary data of 21 bytes and
// more, one in 512 is taken for such if it is random.
//
// # What is not
//
// Text is not searched: what was formatted before it came here, the message, an error's
// text, the result of LogValue. Neither are keys of attributes. A plaintext that is
// in no tagged field, such as a string variable, is not known as one.
//
// Attributes that are strings, numbers, times and the like cost next to nothing and
// no allocation. What is known of a type is kept for the life of the process.
package slogfield

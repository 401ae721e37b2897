// Package tink17 proves that Sealfield and current Tink read what the last
// release of Tink's old Go module wrote, github.com/google/tink/go v1.7.0, and
// the reverse.
//
// Both versions register the same protocol buffers, so no program can import
// both: the command in the folder old speaks for the old one, over its standard
// input and output. It is a module of its own because no user of Sealfield needs
// the old one.
package tink17

// Request is what the command is asked.
type Request struct {
	// Op is "create": make a keyset of two keys and write values with each.
	// "use": read a keyset and the values, and write each again with the
	// primary key. "stream": open a stream.
	Op string

	Kind      string  // of the keyset: aead, daead, mac
	KEK       []byte  // create: a keyset in clear JSON; nil makes one
	JSON      []byte  // use: a keyset in clear JSON, or
	Binary    []byte  // in clear binary, or
	Encrypted []byte  // in JSON under KEK
	Values    []Value // to write; use: to read and write

	StreamKey []byte // stream
	Stream    []byte
}

// Value is something written with a keyset: a ciphertext, or a MAC.
type Value struct {
	Plaintext, AssociatedData, Written []byte
}

// Response is what the command says.
type Response struct {
	KEK             []byte // the clear JSON of the key that encrypts keysets
	JSON, Binary    []byte // the keyset in clear
	EncryptedJSON   []byte // and under KEK
	EncryptedBinary []byte
	Values          []Value // what was written
	Error           string
}

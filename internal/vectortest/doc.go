// Package vectortest runs Project Wycheproof's test vectors (C2SP, Apache-2.0)
// against Sealfield's own primitives. It is a module of its own because the
// vectors need a newer Go than Sealfield does.
package vectortest

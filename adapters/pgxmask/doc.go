// Package pgxmask copies a live PostgreSQL database, masked, so that the copy can be
// used in tests: it reads the catalogue, proves from a policy's rules that constraints
// survive, copies one snapshot in parallel, and looks for values that stayed.
package pgxmask

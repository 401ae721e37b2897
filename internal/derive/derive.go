// Package derive holds the pass by which the packages of this module, and no
// others, reach key material through package keyring.
package derive

// Access is the pass. Other modules can not name it.
type Access struct{}

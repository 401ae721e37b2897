// Package archtest holds the tests that prove how the packages of this module
// may depend on each other and on others, and what its go.mod may say.
package archtest

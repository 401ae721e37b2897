// Package sqlitetest holds the tests of sqlfield on SQLite, which the root module
// does not require.
package sqlitetest

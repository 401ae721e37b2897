// Package sqlitetest holds the tests of sqlfield that need what the root module does
// not require: SQLite, and the printer spew.
package sqlitetest

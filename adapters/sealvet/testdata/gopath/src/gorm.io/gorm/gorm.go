// Package gorm has what the test uses of the package of this name.
package gorm

type DB struct{}

func (*DB) Model(value any) *DB                 { return nil }
func (*DB) Create(value any) *DB                { return nil }
func (*DB) Where(query any, args ...any) *DB    { return nil }
func (*DB) Update(column string, value any) *DB { return nil }
func (*DB) Updates(values any) *DB              { return nil }
func (*DB) Exec(sql string, values ...any) *DB  { return nil }

// Package sealvet is a pass of go vet that finds the ways past Sealfield: code that
// takes the plain value of a field with a seal tag into a database or a log.
//
//	go install github.com/sealfield/sealfield/adapters/sealvet/cmd/sealvet@latest
//	go vet -vettool=$(which sealvet) ./...
//
// That runs nothing else: go vet's own passes stay a step of their own. Of this row
//
//	type Customer struct {
//		ID    int64  `db:"id"`
//		Email string `db:"email" seal:"encrypt,index=email_idx"`
//	}
//
// it reports, each with the field, its column and what to use instead,
//
//	pool.Exec(ctx, sql, pgx.NamedArgs{"email": c.Email}) // and StructArgs, CopyFromRows
//	pool.Exec(ctx, "update customers set email = $1", c.Email)
//	pool.Exec(ctx, "update customers set email = '"+c.Email+"'")
//	db.Model(&Customer{}).Updates(map[string]any{"email": in.Email}) // GORM; also of a sqlfield.Sealed
//	slog.Info("new customer", "customer", c)
//	return fmt.Errorf("no such customer: %s", c.Email)
//
// Statements are those of pgx, database/sql, GORM, sqlx and bun, and of any function
// that takes args ...any and returns a type of theirs, such as an application's own
// interface. Printed are rows, alone or in pointers, slices, maps and other structs,
// in so far as fmt, or encoding/json for slog, would show the value: a type with a
// Format method, or for slog LogValue, speaks for itself. A single field is reported
// in fmt.Print, fmt.Errorf, errors.New, panic, log and slog; in fmt.Sprint, Append, and
// Fprint to a writer other than os.Stdout and os.Stderr it may be what the program is
// for, and only the flag -strict reports it.
//
// To silence a finding say why, on its line, on the line above or above the
// statement; without a reason the comment is reported itself:
//
//	//sealvet:ignore support staff may see this
//
// The flags stand between: go vet -vettool=$(which sealvet) -slogfield ./...
//
//	-slogfield     rows in log/slog are no findings: where each handler is one of
//	               package slogfield, which can not be seen here. Single fields
//	               stay findings: slogfield knows them in their structs only
//	-strict        single fields in fmt.Sprint, Append and Fprint, too
//	-tests         test files, too: what they print is made up
//	-loggers=a,b   import paths of more packages whose functions log
//
// It is a reader, not a proof. It follows a value through string concatenation,
// Sprintf, package strings, builders of text, conversions, slices, maps, loops over
// them, and local variables that are assigned once. It does not see values that pass
// through other functions, through other structs, interfaces or variables assigned
// twice; sealed columns written from values that are no field (but for GORM's maps,
// where the model is known); reflection, encoding/json, templates, and testing.T.Log.
// The CHECKs of pgxfield's DDL refuse what is missed on its way into a sealed column;
// nothing refuses it in a log.
package sealvet

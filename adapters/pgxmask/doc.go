// Package pgxmask copies a live PostgreSQL database, masked, so that the copy can be
// used in tests: it reads the catalogue, proves from a policy's rules that constraints
// survive, copies one snapshot in parallel, and looks for values that stayed.
//
//	plan, err := pgxmask.NewPlan(ctx, conn, pgxmask.Config{Policy: policy, Keyring: kr})
//	result, err := plan.Run(ctx, pgxmask.RunConfig{Source: conn.Config(), Dir: "copy", Format: pgxmask.SQL})
//
// An output is a folder, of COPY text, CSV, JSON lines or what psql restores, or another
// database. Every chunk of it is on disk before the manifest has its line, and the
// finished marker comes last: what has none, Verify refuses, and Resume goes on with.
//
// Run verifies what it wrote, by reading it back. What it can not see: values of fewer
// than 8 letters and digits, or 9 if they are all digits; names, places, dates
// and amounts, which stand elsewhere by chance; parts of values; what is compressed,
// encrypted, or spelled in a way that Verification does not name; values of rows and tables
// that are left out; and where rules keep a part by contract, that part. In columns whose
// rule is a permutation, such as a card number, every result may be somebody's: there it
// counts how many values became themselves. Verification has what was looked for in which
// column.
//
// The memory does not depend on the size of tables: it is below 200 MB, and some times
// the longest row for every worker.
package pgxmask

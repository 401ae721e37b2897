// Package sqlfield keeps columns encrypted through database/sql: its types are
// driver.Valuer and sql.Scanner, and so fit whatever builds on these, such as GORM, ent,
// bun, sqlx and sqlc, on PostgreSQL, SQLite and others. With pgx itself package
// pgxfield does more, and faster; both read what the other wrote.
//
// The program has a variable for each column and each index, and a type without fields
// that leads there, the marker. The marker stands in the type of the values:
//
//	var (
//		email    *sqlfield.Column[string]
//		emailIdx *sqlfield.Index[string]
//		ssn      *sqlfield.Column[*string]
//	)
//
//	type (
//		Email    struct{}
//		EmailIdx struct{}
//		SSN      struct{}
//	)
//
//	func (Email) Column() *sqlfield.Column[string]  { return email }
//	func (EmailIdx) Index() *sqlfield.Index[string] { return emailIdx }
//	func (SSN) Column() *sqlfield.Column[*string]   { return ssn }
//
//	type Customer struct {
//		ID       int64
//		Email    sqlfield.Sealed[string, Email]
//		EmailIdx sqlfield.Tag[string, EmailIdx]
//		SSN      sqlfield.Sealed[*string, SSN]
//	}
//
//	// When the program starts:
//	email, err = sqlfield.NewColumn[string](kr, "customers.email", sqlfield.Config{})
//	emailIdx, err = email.NewIndex(token.IndexConfig{Normalizer: token.Email})
//	ssn, err = sqlfield.NewColumn[*string](kr, "customers.ssn", sqlfield.Config{RowBound: true})
//
//	// Write:
//	c := Customer{ID: id, Email: sqlfield.Of[Email]("ann@example.com"), SSN: sqlfield.Of[SSN](&number)}
//	at := crypto.Binding{Row: crypto.Row(strconv.FormatInt(c.ID, 10))}
//	err = sqlfield.Seal(ctx, at, sqlfield.Fields(&c)...)
//	_, err = db.ExecContext(ctx, `insert into customers (id, email, email_idx, ssn) values ($1, $2, $3, $4)`, c.ID, c.Email, c.EmailIdx, c.SSN)
//
//	// Search and read:
//	tags, err := emailIdx.Match(ctx, "Ann@example.com", "")
//	err = db.QueryRowContext(ctx, `select id, email, ssn from customers where email_idx = any($1)`, tags).Scan(&c.ID, &c.Email, &c.SSN)
//	address, err := c.Email.Open(ctx)
//	pointer, err := c.SSN.OpenAt(ctx, at)
//
// For databases without arrays In makes the condition. Each opens large results, and
// SealEach seals large loads, on several processors.
//
// Reading a row opens nothing: Scan copies the ciphertext, Open decrypts it, with a
// context, and only what is wanted. Writing seals where there is a context: in Seal,
// which also knows the row, the scope and the index tags. A library's hook that has a
// context is the place for it. Value of a driver.Valuer knows none of these: it seals
// what Of was given for columns that need none of them, and fails for others. What was
// read can be written as it is; Seal makes sure that it belongs there, and seals it anew
// if its key has been rotated.
//
// Nothing prints what a Sealed holds, and nothing but Open gives it away. So it is not
// marshalled to JSON either: open it and put the result into another type. It can not
// be compared with ==, for equal values are different bytes.
//
// A library that generates code and does not know type parameters (ent) takes a type
// that embeds: type EmailValue struct{ sqlfield.Sealed[string, Email] }.
//
// The columns are bytea (blob), or text with Config.Text. Make the database refuse
// plaintext, by the CHECKs of SealedCheck, TagCheck and DDL: raw SQL, or a map of
// columns, would write it otherwise. What a reader of the table learns is said in
// packages crypto and token: lengths, key versions, and equality where there is an
// index.
//
// Columns and indexes are made once, before the column seals a value, and safe for
// concurrent use. The program's variables are not: set them before they are used. The
// keyring stays the caller's.
package sqlfield

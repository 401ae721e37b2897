// Package pgxfield keeps fields of a struct encrypted in PostgreSQL. Tags say
// which; Args seals them on the way in and Row opens them on the way out, through
// pgx's own seams: any pgx connection, pool, transaction and batch, in all of
// pgx's exec modes.
//
//	type Customer struct {
//		ID    int64     `db:"id"`
//		Email string    `db:"email" seal:"encrypt,index=email_idx,norm=email"`
//		SSN   *string   `db:"ssn"   seal:"encrypt"`
//		Born  time.Time `db:"born"  seal:"encrypt,type=date"`
//	}
//	customers, err := pgxfield.NewTable[Customer](kr, "customers", pgxfield.Config{RowKey: []string{"id"}})
//
//	_, err = pool.Exec(ctx, `insert into customers (id, email, email_idx, ssn, born)
//		values (@id, @email, @email_idx, @ssn, @born)`, customers.Args(&c))
//	tags, err := customers.Match(ctx, "email", "ann@example.com")
//	rows, err := pool.Query(ctx, `select * from customers where email_idx = any($1)`, tags)
//	found, err := customers.Collect(ctx, rows)
//
// Row reads single rows through pgx's own functions, Scan one table's share of a
// join. For many rows there are Collect, Each, which streams, and CopyFrom: they
// seal and open on several processors. ReserveKeys gives serial keys before the
// INSERT. The examples are a guide to each kind of statement.
//
// The columns are bytea, but for tokens; make them so, execute DDL, call Verify at
// start. A pgx.Row scanned plainly, without Row, gives ciphertext.
//
// A tag is "encrypt" and then, separated by commas without spaces: type=, a name
// in pg_type, where the Go type's default will not do; norow, not bound to the
// row; name=, the logical name after a column was renamed, or where the column's own
// has a point in it, which no logical name may have; and any number of
// indexes: index=, a column of its own, followed by norm= (identity, email,
// nfkc-fold, digits, or one of Config.Normalizers), kind= (exact, prefix, suffix,
// ngram), bits=, min=, max=, all as in token.IndexConfig; unique=, a second column,
// which keeps values unique while keys are rotated (see Rotation); and force,
// without which a bool is not indexed. Kinds other than exact are bytea[] columns, searched with
// "&& $1". Match refuses a search that tags alone can not answer; Search takes all:
//
//	for c, err := range customers.Search(ctx, pool, pgxfield.SearchQuery{Column: "name", Value: "ann", Limit: 20})
//
// "token=siv" in place of encrypt makes equal values equal bytes in all rows
// (token.Deterministic): the column is searched and joined by itself.
//
// Any other token= is the name or notation of a format, and keeps
// format-preserving tokens (see token.FormatPreserving) in a column that stays
// text, varchar or integer, and does not take ciphertexts:
//
//	PAN string `db:"pan" seal:"token=pan,key=pan_key,index=pan_idx"`
//	No  int64  `db:"no"  seal:"token=int:1..2147483647,version=1"`
//
// key= names a bytea column for the key id of each token, which is written and
// read with it, so that keys can rotate; search by an index=. version= pins a
// version of the key instead; search by Tokens. One of the two there has to be.
// Never change format, name, version or sep of a column that has rows: they would
// be read as other values, without an error; Verify sees a changed format by its CHECK,
// and nothing of the rest. sep=keep or sep=drop admits separators, permute small
// domains. Tokens are bound to the column and the scope, never to the row.
//
// Integers of any width share a form, and so do text types; any other change of
// type makes old values unreadable. time.Time is a timestamptz: it comes back in
// time.Local, in whole microseconds.
//
// What a column of the type in the clear could not hold is refused (ErrValue), and so
// is what pgx would make another value of: a fraction in an integer, a float64 in float4
// or an integer in float8 that is not exact, parts of a microsecond of a time.Duration,
// the date and the zone of a time.Time in time (what comes back is of 2000-01-01 UTC), the
// zone of an address, an IPv4 address in the 16 bytes of a net.IP, unused bits that are
// set, an array with holes. Of that only a time.Time's parts of a microsecond are
// dropped. json, jsonb, xml and ranges come back as they were spelt, not as PostgreSQL
// would spell them, and nobody parses xml.
//
// The largest value is one of 512 MiB, less 1 KiB for what sealing adds, and so is all
// that a statement seals: its text, which some exec modes send and pg_dump reads, is
// twice as long, and PostgreSQL's limit is 1 GiB. A value with token=siv has to fit into
// a btree, with 2692 bytes sealed. More is refused (ErrValue).
//
// type= also takes an enum, a composite (a struct's fields in order), a domain or an
// extension's type, with or without its schema, and arrays of them: they are kept as
// text, which nobody checks against the type before it is cast to it; Verify holds the
// Go type against it.
//
// A value of text or bytea that is sealed already, under a key of this keyring and
// scope, is refused (ErrSealed): it was read without Row. Random bytes pass for such
// with a chance of 2^-40 for each key. The word raw in the tag takes them all.
//
// With Config.RowKey a value opens only in the row it was sealed for. So
//
//   - in an upsert, make the row key the conflict target, "on conflict (id) do
//     update set email = excluded.email": on conflict of another column, the
//     row that is updated has another key than the one that was bound; so it is with
//     a MERGE and its condition, and with an UPDATE that takes sealed values "from"
//     another row;
//   - to change a row's key, read the row, set the key in the struct and write
//     all sealed columns: "update customers set id = @id, email = @email, ...
//     where id = @old", customers.Args(&c, pgx.NamedArgs{"old": 42}).
//
// Otherwise the values are refused when they are read. What a reader of the table
// learns is said in packages crypto and token.
//
// Behind pgbouncer in transaction pooling use the exec mode cache_describe, exec or
// simple_protocol. cache_statement, pgx's default, fails with SQLSTATE 42P05 unless
// pgbouncer (1.21 or newer) has max_prepared_statements. Never use describe_exec:
// outside of transactions and batches its arguments may run another client's
// statement, and a row end in another table.
//
// Nothing that went through this package reaches PostgreSQL's log in the clear.
// What others send does, even when a CHECK refuses it; to keep that out set
// log_min_error_statement = panic and log_error_verbosity = terse, and do not log
// statements, durations or parameters.
package pgxfield

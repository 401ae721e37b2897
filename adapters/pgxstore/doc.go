// Package pgxstore keeps the rows of keyrings and of token vaults in PostgreSQL (14
// or newer) through pgx. VaultStore implements token.VaultStore, and Store implements
// keyring.Store and keyring.Watcher:
//
//	config, err := pgx.ParseConfig(os.Getenv("DATABASE_URL")) // or pool.Config().ConnConfig
//	store, err := pgxstore.New(ctx, config, pgxstore.Config{})
//	defer store.Close()
//	err = store.Migrate(ctx) // once per release, by a role that may create tables
//	kr, err := keyring.Open(ctx, keyring.Config{Name: "app", Store: store, ...})
//
// A Store has connections of its own, at most two and one that listens, and
// never borrows from the application's pool: a key that is loaded in the middle
// of a query must not wait for a connection which that query holds.
//
// All names in SQL are qualified and quoted, so that a search_path changes
// nothing. A service needs no more than
//
//	grant usage on schema sealfield to app;
//	grant select on all tables in schema sealfield to app;
//	grant insert on sealfield.key_ids, sealfield.scopes, sealfield.keys to app; -- makes keys
//	grant update on sealfield.scopes, sealfield.keys to app;
//	grant update (revision) on sealfield.roots to app;                          -- locks the root meanwhile
//
// and one that only decrypts and searches needs the first two lines. Changes of
// a key's state (Suspend, MarkCompromised, Destroy, Shred) need what making keys
// does. Create and RotateRoot need insert on roots as well; RotateRoot, DestroyRoot,
// Rewrap and Config.AllowMissingWraps update of the roots' wraps, state and
// revision. Grant changes of roots to people, not to services.
//
// Changes are told by triggers and NOTIFY, also those made by hand. Behind a
// proxy that pools transactions (pgbouncer) use the exec mode cache_describe, exec
// or simple_protocol; cache_statement fails there before pgbouncer 1.21, and
// describe_exec at random. LISTEN can not work there, which Watch finds out by a
// notice to itself, and the keyring polls: its Health says Watching: false.
package pgxstore

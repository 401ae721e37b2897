// Package pgtest gives tests a PostgreSQL of their own: a throw-away cluster
// on the loopback interface, made from the binaries that are installed and
// gone when the process is, however it ends. It never touches a server that
// was there. Only tests, examples and the command withpg import it.
package pgtest

// EnvDSN names the environment variable with the connection string of a server
// to use instead of a throw-away one. Its user must be allowed to create
// databases.
const EnvDSN = "SEALFIELD_PG_DSN"

// EnvRequire names the environment variable that, when it is not empty, makes
// Database fail instead of skip where there is no PostgreSQL.
const EnvRequire = "SEALFIELD_REQUIRE_PG"

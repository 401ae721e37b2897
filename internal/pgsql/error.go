package pgsql

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// valueless are the codes of those errors whose messages name no more than the
// database's own objects and types. All others may quote a value, which stands there
// as a relation, a function or a word of tsquery that does not exist.
var valueless = map[string]bool{
	"08P01": true, "21000": true, "22001": true, "22012": true, "22P03": true, "23502": true, "23503": true, "23505": true, "23514": true, "23P01": true,
	"25001": true, "25006": true, "25P01": true, "25P02": true, "26000": true, "28000": true, "28P01": true, "3D000": true, "40001": true, "40P01": true,
	"42501": true, "42804": true, "42P02": true, "42P05": true, "42P08": true, "42P10": true, "42P18": true,
	"53000": true, "53100": true, "53200": true, "53300": true, "53400": true, "54000": true, "54001": true, "54023": true, "55P03": true,
	"57014": true, "57P01": true, "57P02": true, "57P03": true, "57P05": true,
}

// Redact returns what holds no value of an error. Its Message is empty if that could.
func Redact(pg *pgconn.PgError) *pgconn.PgError {
	out := &pgconn.PgError{
		Severity: pg.Severity, SeverityUnlocalized: pg.SeverityUnlocalized, Code: pg.Code, Position: pg.Position,
		File: pg.File, Line: pg.Line, Routine: pg.Routine,
	}
	// A procedural language raises what its functions say, under any code: these are
	// pl_exec.c, plperl.c, plpy_elog.c and pltcl.c.
	if strings.HasPrefix(pg.File, "pl") {
		return out
	}
	out.SchemaName, out.TableName, out.ColumnName, out.DataTypeName, out.ConstraintName = pg.SchemaName, pg.TableName, pg.ColumnName, pg.DataTypeName, pg.ConstraintName
	if valueless[pg.Code] {
		out.Message = pg.Message
	}
	return out
}

package pgxmask

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPgDump says that there is no pg_dump, or one that is older than the server.
var ErrPgDump = errors.New("needs pg_dump, of the server's major version or newer")

// schemaOf returns what pg_dump writes of the schema before and after the rows, as the
// snapshot has it. Owners, rights and tablespaces are of the source's server; and a
// copy must not subscribe to anything.
func (j *job) schemaOf(ctx context.Context) (before, after []byte, err error) {
	program, err := j.pgDump(ctx)
	if err != nil {
		return nil, nil, err
	}
	dump := func(section string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, program, "--section="+section, "--snapshot="+j.snapshot.ID, "--encoding=UTF8",
			"--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions", "--no-security-labels")
		cmd.Env = environment(j.config.Source)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("pgxmask: pg_dump --section=%s: %w: %s", section, err, bytes.TrimSpace(stderr.Bytes()))
		}
		return out, nil
	}
	if err := j.checkMappings(ctx); err != nil {
		return nil, nil, err
	}
	if before, err = dump("pre-data"); err != nil {
		return nil, nil, err
	}
	after, err = dump("post-data")
	return before, after, err
}

// checkMappings looks for passwords of other servers that the role of the plan could not
// see, and this one can.
func (j *job) checkMappings(ctx context.Context) error {
	mappings, err := collect[mapping](ctx, j.holder, selectMappings)
	if err != nil {
		return failed("read the user mappings", err)
	}
	for _, m := range mappings {
		f := m.finding()
		if !slices.ContainsFunc(j.plan.accepted, func(a accepted) bool { return a.finding.Kind == f.Kind && a.finding.Object == f.Object }) {
			return f
		}
	}
	return nil
}

// pgDump finds the program and compares its version with the server's.
func (j *job) pgDump(ctx context.Context) (string, error) {
	name := j.config.PgDump
	if name == "" {
		name = "pg_dump"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("pgxmask: the schema %w: %w", ErrPgDump, err)
	}
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("pgxmask: the schema %w: %w", ErrPgDump, err)
	}
	major, _ := strconv.Atoi(string(regexp.MustCompile(`\d+`).Find(out)))
	if server := versionOf(j.holder) / 10000; major < server {
		return "", fmt.Errorf("pgxmask: the schema %w: it is of version %d, and the server of %d", ErrPgDump, major, server)
	}
	return program, nil
}

// environment is that of this process, with the parameters of a connection for libpq.
// What pgx keeps in another form is taken from the connection string. Variables by which
// libpq would go to another server are left out.
func environment(config *pgx.ConnConfig) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PGSERVICE=") || strings.HasPrefix(e, "PGHOSTADDR=")
	})
	env = append(env,
		"PGHOST="+config.Host, "PGPORT="+strconv.Itoa(int(config.Port)), "PGUSER="+config.User,
		"PGDATABASE="+config.Database,
	)
	if config.Password != "" {
		env = append(env, "PGPASSWORD="+config.Password)
	}
	for _, name := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey"} {
		if value := parameter(config.ConnString(), name); value != "" {
			env = append(env, "PG"+strings.ToUpper(name)+"="+value)
		}
	}
	mode := cmp.Or(parameter(config.ConnString(), "sslmode"), os.Getenv("PGSSLMODE"))
	if onlyTLS(config) && slices.Contains([]string{"", "disable", "allow", "prefer"}, mode) {
		env = append(env, "PGSSLMODE=require") // the program set TLSConfig itself
	}
	return env
}

// onlyTLS reports whether a connection is encrypted, or none.
func onlyTLS(config *pgx.ConnConfig) bool {
	return config.TLSConfig != nil && !slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}

// parameter returns a parameter of a connection string.
func parameter(dsn, name string) string {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		return u.Query().Get(name)
	}
	m := regexp.MustCompile(`(?:^|\s)` + name + `\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`).FindStringSubmatch(dsn)
	if m == nil {
		return ""
	}
	return regexp.MustCompile(`\\(.)`).ReplaceAllString(strings.Trim(m[1], "'"), "$1")
}

// restriction is what pg_dump writes against meta-commands of psql in names; its key is
// another one each time.
var restriction = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`)

// schemaDigest is that of a schema, whenever it was dumped.
func schemaDigest(sql []byte) string {
	sum := sha256.Sum256(restriction.ReplaceAll(sql, nil))
	return hex.EncodeToString(sum[:])
}

// columnList is the names in parentheses, as in COPY.
func (t *table) columnList() string {
	names := make([]string, len(t.columns))
	for i := range t.columns {
		names[i] = ident(t.columns[i].name)
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// checkScript looks for names that end psql's \copy, which is of one line.
func (j *job) checkScript() error {
	for _, t := range j.plan.tables {
		if strings.ContainsAny(t.ident()+t.columnList(), "\r\n") {
			return fmt.Errorf("pgxmask: %q has a line break in its name or in that of a column, with which psql can not restore it", t)
		}
	}
	return nil
}

// script is restore.sql: what psql runs to restore an output of Format SQL.
func (j *job) script(chunks []*done, sequences []string) []byte {
	var b bytes.Buffer
	b.WriteString("-- Restores a masked copy. Run it in its folder, in an empty database:\n-- psql -X -f restore.sql\n" +
		"\\set ON_ERROR_STOP on\nbegin;\n\\ir " + beforeName + "\n")
	for _, s := range inputSettings {
		b.WriteString("set " + s[0] + " = " + literal(s[1]) + ";\n")
	}
	for _, d := range chunks {
		t := j.plan.tables[d.Table]
		file := strings.ReplaceAll(d.File, "'", "''")
		switch j.config.Compression {
		case Zstd:
			file = "program 'zstd -dcq ''" + file + "'''"
		case Gzip:
			file = "program 'gzip -dc ''" + file + "'''"
		default:
			file = "'" + file + "'"
		}
		b.WriteString("\\copy " + t.ident() + t.columnList() + " from " + file + "\n")
	}
	for _, s := range inputSettings {
		b.WriteString("reset " + s[0] + ";\n")
	}
	for _, s := range sequences {
		b.WriteString(s + "\n")
	}
	b.WriteString("\\ir " + afterName + "\ncommit;\n")
	return b.Bytes()
}

package pgxstore

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/token"
)

// TestVaultPlans has PostgreSQL explain every statement about tokens, for one and
// for a thousand keys, planned for the very arguments and for any, on tables of
// 200,000 rows: everything is found by an index of ours.
func TestVaultPlans(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	store := migratedVault(t, config, VaultConfig{})
	conn := connect(t, config)
	execSQL(t, conn, `
insert into sealfield.vault_tokens (keyring, hash, vault, scope, sealed, tags, uses, uses_left, expires_at, ended, ended_at)
select 'app', sha256(n::text::bytea), 'v', 's' || n % 100, case when n % 10 > 0 then sha256(n::text::bytea) end,
	case when n % 10 > 0 then array[substring(sha256('tag' || sha256(n::text::bytea)) for 21), substring(sha256('next' || sha256(n::text::bytea)) for 21)] end, n % 2, n % 2,
	case when n % 3 = 0 then now() + (n - 5000) * interval '1 second' end, case when n % 10 = 0 then 'revoked' end, case when n % 10 = 0 then now() - n * interval '1 second' end
from generate_series(1, 200000) n;
insert into sealfield.vault_tags (keyring, tag, hash, expires_at)
select keyring, unnest(tags), hash, expires_at from sealfield.vault_tokens where ended is null;
analyze sealfield.vault_tokens; analyze sealfield.vault_tags;`)
	const tokens, tags = "vault_tokens_pkey", "vault_tags_pkey"
	for _, n := range []int{1, 1000} {
		var hashes []token.TokenHash
		var some [][]byte
		var rows []token.VaultRow
		for i := range n {
			h := token.TokenHash(sha256.Sum256(fmt.Append(nil, i*7+1)))
			tag := sha256.Sum256(append([]byte("tag"), h[:]...))
			hashes, some = append(hashes, h), append(some, tag[:21])
			rows = append(rows, token.VaultRow{Keyring: "app", Vault: "v", Hash: sha256.Sum256(tag[:]), Sealed: tag[:], Tags: [][]byte{tag[:21]}})
		}
		named, _, err := insertArgs(rows)
		require.NoError(t, err)
		insert, insertArgs, err := named.RewriteQuery(t.Context(), conn, store.queries.insert, nil)
		require.NoError(t, err)
		for name, q := range map[string]struct {
			sql     string
			args    []any
			indexes []string
		}{
			"load":        {store.queries.load, []any{"app", bytesOf(hashes)}, []string{tokens}},
			"find":        {store.queries.find, []any{"app", some}, []string{tags, tokens}},
			"insert":      {insert, insertArgs, []string{"Conflict Arbiter Indexes: " + tags}},
			"drop claims": {store.queries.dropClaims, []any{"app", named["tags"], named["tag_hashes"]}, []string{tags, tokens}},
			"present":     {store.queries.present, []any{"app", bytesOf(hashes)}, []string{tokens}},
			"use":         {store.queries.use, []any{"app", bytesOf(hashes)}, []string{tokens, tags}},
			"revoke":      {store.queries.revoke, []any{"app", hashes[0][:]}, []string{tokens, tags}},
			"expire":      {store.queries.expire, []any{"app", "v"}, []string{"vault_tokens_expiry", tokens, tags}},
			"remove":      {store.queries.remove, []any{"app", "v", time.Hour.Microseconds()}, []string{"vault_tokens_ended", tokens}},
		} {
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				execSQL(t, conn, "set plan_cache_mode = "+mode)
				execSQL(t, conn, "prepare q as "+q.sql)
				var params []string
				for i := range q.args {
					params = append(params, fmt.Sprint("$", i+1))
				}
				got, err := conn.Query(t.Context(), fmt.Sprintf("explain (costs off) execute q (%s)", strings.Join(params, ", ")), q.args...)
				require.NoError(t, err)
				lines, err := pgx.CollectRows(got, pgx.RowTo[string])
				require.NoError(t, err)
				execSQL(t, conn, "deallocate q")
				for i, line := range lines {
					lines[i] = line[:min(len(line), 150)]
				}
				plan := strings.Join(lines, "\n")
				what := fmt.Sprintf("%s of %d, %s:\n%s", name, n, mode, plan)
				require.NotContains(t, plan, "Seq Scan", what)
				for _, index := range q.indexes {
					require.Contains(t, plan, index, what)
				}
			}
		}
	}
}

package pgxstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sealfield/sealfield/internal/pgtest"
	"github.com/sealfield/sealfield/keyring/keyringtest"
	"github.com/sealfield/sealfield/token"
)

// fillVault adds 200,000 tokens with two tags each, of which every tenth has ended.
const fillVault = `
insert into sealfield.vault_tokens (keyring, hash, vault, scope, sealed, tags, uses, uses_left, expires_at, ended, ended_at)
select 'app', hash, 'v', 's' || n % 100, case when n % 10 > 0 then hash end,
	case when n % 10 > 0 then array[substring(sha256('tag' || hash) for 21), substring(sha256('next' || hash) for 21)] end, n % 2, n % 2,
	case when n % 3 = 0 then now() + (n - 5000) * interval '1 second' end, case when n % 10 = 0 then 'revoked' end, case when n % 10 = 0 then now() - n * interval '1 second' end
from generate_series(1, 200000) n, lateral (select sha256(n::text::bytea) as hash) h;
insert into sealfield.vault_tags (keyring, tag, hash, expires_at)
select keyring, unnest(tags), hash, expires_at from sealfield.vault_tokens where vault = 'v' and ended is null;`

// TestVaultPlans has PostgreSQL explain every statement about tokens, for one and
// for a thousand keys, planned for the very arguments and for any: on tables of
// 200,000 rows after ANALYZE, and on tables that are empty or have a few rows, with
// and without statistics, since such plans are kept when the tables grow. Every row
// is found by its whole key in an index of ours.
func TestVaultPlans(t *testing.T) {
	config := parse(t, pgtest.Database(t))
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	store := migratedVault(t, config, VaultConfig{})
	conn := connect(t, config)
	execSQL(t, conn, `alter table sealfield.vault_tokens set (autovacuum_enabled = off); alter table sealfield.vault_tags set (autovacuum_enabled = off)`)
	explainAll(t, conn, store, "empty", true)
	few := newVault(t, keyringtest.NewKeyring(t), store, token.VaultConfig{Convergent: true})
	_, err := few.TokenizeAll(t.Context(), someValues(20), "")
	require.NoError(t, err)
	explainAll(t, conn, store, "few", true)
	execSQL(t, conn, `analyze sealfield.vault_tokens; analyze sealfield.vault_tags`)
	explainAll(t, conn, store, "few, analyzed", true)
	execSQL(t, conn, fillVault)
	explainAll(t, conn, store, "many, last analyzed when few", true)
	execSQL(t, conn, `analyze sealfield.vault_tokens; analyze sealfield.vault_tags`)
	explainAll(t, conn, store, "many, analyzed", true)
	explainAll(t, conn, store, "many, analyzed, scans allowed", false)
}

func explainAll(t *testing.T, conn *pgx.Conn, store *VaultStore, state string, byKey bool) {
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
				plan := explain(t, conn, q.sql, mode, byKey, q.args)
				what := fmt.Sprintf("%s of %d, %s, %s:\n%s", name, n, state, mode, plan)
				require.NotContains(t, plan, "Seq Scan", what)
				for _, index := range q.indexes {
					require.Contains(t, plan, index, what)
				}
				for _, scan := range indexScan.FindAllStringSubmatch(plan, -1) {
					require.Contains(t, scan[2], map[string]string{tokens: "(hash = ", tags: "(tag = ", "vault_tokens_expiry": "expires_at <= ", "vault_tokens_ended": "ended_at < "}[scan[1]],
						"not by the whole key: %s", what)
				}
			}
		}
	}
}

// indexScan is a line about an index and the one with the condition.
var indexScan = regexp.MustCompile(`(?:Index Scan|Index Only Scan|Bitmap Index Scan) (?:using|on) (\w+)[^\n]*\n([^\n]*)`)

func explain(t *testing.T, conn *pgx.Conn, sql, mode string, byKey bool, args []any) string {
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background())
	if byKey {
		_, err = tx.Exec(t.Context(), newVaultQueries("sealfield").byKey)
		require.NoError(t, err)
	}
	_, err = tx.Exec(t.Context(), "set local plan_cache_mode = "+mode+"; prepare q as "+sql)
	require.NoError(t, err)
	var params []string
	for i := range args {
		params = append(params, fmt.Sprint("$", i+1))
	}
	rows, err := tx.Query(t.Context(), fmt.Sprintf("explain (costs off) execute q (%s)", strings.Join(params, ", ")), args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "deallocate q")
	require.NoError(t, err)
	for i, line := range lines {
		lines[i] = line[:min(len(line), 200)]
	}
	return strings.Join(lines, "\n")
}

// TestVaultPlansAreKept has the server keep the plans that it makes for nearly empty
// tables, lets these grow, and counts what the statements read then.
func TestVaultPlansAreKept(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			ctx := t.Context()
			config := parse(t, pgtest.Database(t))
			conn := connect(t, config)
			config.DefaultQueryExecMode = mode
			migratedVault(t, config, VaultConfig{}).Close()
			store := openVault(t, config, VaultConfig{MaxConns: 1})
			execSQL(t, conn, `alter table sealfield.vault_tokens set (autovacuum_enabled = off); alter table sealfield.vault_tags set (autovacuum_enabled = off)`)
			kr := keyringtest.NewKeyring(t)
			convergent, once := newVault(t, kr, store, token.VaultConfig{Convergent: true}), newVault(t, kr, store, token.VaultConfig{Uses: 1})
			work := func(round, n int) {
				var values [][]byte
				for i := range n {
					values = append(values, fmt.Appendf(nil, "%d of round %d", i, round))
				}
				for _, v := range []*token.Vault{convergent, convergent, once} { // the second time they are known
					tokens, err := v.TokenizeAll(ctx, values, "")
					require.NoError(t, err)
					_, err = v.DetokenizeAll(ctx, tokens, "")
					require.NoError(t, err)
					if v == convergent {
						require.NoError(t, v.Revoke(ctx, tokens[0], ""))
					}
					_, err = v.Purge(ctx, time.Hour)
					require.NoError(t, err)
				}
			}
			for round := range 8 { // at the sixth time plans become generic
				work(round, 3)
				if round == 1 {
					execSQL(t, conn, `analyze sealfield.vault_tokens; analyze sealfield.vault_tags`)
				}
			}
			filler := config.Copy()
			filler.DefaultQueryExecMode, filler.RuntimeParams["application_name"] = pgx.QueryExecModeSimpleProtocol, "filler"
			fill := connect(t, filler)
			execSQL(t, fill, strings.ReplaceAll(fillVault, "'app'", "'test'"))
			require.NoError(t, fill.Close(ctx)) // it tells what it read when it ends
			require.Eventually(t, func() bool { return connections(t, conn, "filler") == 0 }, 20*time.Second, 5*time.Millisecond)
			execSQL(t, conn, `select pg_stat_reset()`)
			const n = 500
			work(100, n)
			store.Close()

			var whole, looked, read int
			require.Eventually(t, func() bool {
				err := conn.QueryRow(ctx, `
select (select sum(seq_scan) from pg_stat_user_tables where relname like 'vault%'), sum(idx_scan), sum(idx_tup_read) from pg_stat_user_indexes where relname like 'vault%'`).Scan(&whole, &looked, &read)
				return err == nil && looked > 0 && connections(t, conn, "sealfield") == 0
			}, 20*time.Second, 20*time.Millisecond)
			require.Zero(t, whole, "a whole table was read")
			require.Less(t, read, 40*n, "%d lookups read %d entries of indexes", looked, read)
			t.Logf("%d lookups read %d entries of indexes", looked, read)
		})
	}
}

func connections(t *testing.T, conn *pgx.Conn, name string) (n int) {
	require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and application_name = $1`, name).Scan(&n))
	return n
}

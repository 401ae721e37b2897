package pgxstore

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/keyring"
	"github.com/sealfield/sealfield/token"
)

// vaultQueries are the statements about tokens. Every parameter has a cast, as in
// queries.
//
// Whoever locks rows of both tables locks those of vault_tokens first, in the order
// of their hashes or without waiting, and those of vault_tags after that, in the
// order of their tags. Insert waits for tags only, in their order. So nobody waits
// in a circle.
//
// The server may keep a plan that it made when a table was small and had no
// statistics, and run it when the table has grown. So no statement leaves a choice:
// tables are not joined, which could be done by all rows of a keyring, but looked up
// by the whole key, in a lateral subquery that a limit or a lock keeps from being
// merged, or by an array of keys; and byKey rules out scans of a whole table.
type vaultQueries struct {
	now, byKey         string
	load, find         string
	insert, dropClaims string
	present            string
	use, revoke        string
	expire, remove     string
}

func newVaultQueries(schema string) vaultQueries {
	q := func(sql string) string { return inSchema(schema, sql) }
	return vaultQueries{
		now: `select pg_catalog.clock_timestamp()`,

		byKey: `select pg_catalog.set_config('enable_seqscan', 'off', true)`, // until the transaction ends

		load: q(`
select t.vault, t.scope, w.hash, t.sealed, t.expires_at, t.uses, t.uses_left, coalesce(t.ended, ''), $1::text, null::bytea
from pg_catalog.unnest($2::bytea[]) as w (hash)
cross join lateral (select * from {schema}.vault_tokens t where t.keyring = $1::text and t.hash = w.hash limit 1) t`),

		find: q(`
select t.vault, t.scope, t.hash, t.sealed, t.expires_at, t.uses, t.uses_left, '', $1::text, w.tag
from pg_catalog.unnest($2::bytea[]) as w (tag)
cross join lateral (select hash from {schema}.vault_tags g where g.keyring = $1::text and g.tag = w.tag limit 1) g
cross join lateral (
	select * from {schema}.vault_tokens t where t.keyring = $1::text and t.hash = g.hash
		and t.ended is null and (t.expires_at is null or t.expires_at > pg_catalog.clock_timestamp()) limit 1) t`),

		insert: q(insertTokens),

		// The rows of one Insert have no tag in common: one that belongs to a hash
		// among theirs belongs to the row that was to have it.
		dropClaims: q(`
delete from {schema}.vault_tags where keyring = $1::text and hash = any($3::bytea[]) and tag = any(array(
	select c.tag from rows from (pg_catalog.unnest($2::bytea[]), pg_catalog.unnest($3::bytea[])) as c (tag, hash)
	where (select true from {schema}.vault_tokens t where t.keyring = $1::text and t.hash = c.hash limit 1) is null))`),

		present: q(`
select w.hash from pg_catalog.unnest($2::bytea[]) as w (hash)
cross join lateral (select from {schema}.vault_tokens t where t.keyring = $1::text and t.hash = w.hash limit 1) t`),

		use: q(`
with mine as materialized (
	select hash, uses_left, tags from {schema}.vault_tokens
	where keyring = $1::text and hash = any($2::bytea[])
		and ended is null and uses_left > 0 and (expires_at is null or expires_at > pg_catalog.clock_timestamp())
	order by hash for update
), over as (select hash, tags from mine where uses_left = 1
), ` + freeTags + `
update {schema}.vault_tokens set uses_left = uses_left - 1,
	sealed = case when uses_left > 1 then sealed end,
	tags = case when uses_left > 1 then tags end,
	ended = case when uses_left > 1 then null else 'used' end,
	ended_at = case when uses_left > 1 then null else pg_catalog.clock_timestamp() end
where keyring = $1::text and hash = any(array(select hash from mine))
returning hash`),

		revoke: q(`
with over as materialized (
	select hash, tags from {schema}.vault_tokens where keyring = $1::text and hash = $2::bytea and ended is null for update
), ` + freeTags + `
update {schema}.vault_tokens set sealed = null, tags = null, ended = 'revoked', ended_at = pg_catalog.clock_timestamp()
where keyring = $1::text and hash = any(array(select hash from over))`),

		// statement_timestamp and not clock_timestamp, which no index can serve.
		expire: q(`
with over as materialized (
	select hash, tags from {schema}.vault_tokens
	where keyring = $1::text and vault = $2::text and ended is null and expires_at <= pg_catalog.statement_timestamp()
	order by expires_at limit 1000 for update skip locked
), ` + freeTags + `
update {schema}.vault_tokens set sealed = null, tags = null, ended = 'expired', ended_at = expires_at
where keyring = $1::text and hash = any(array(select hash from over))`),

		remove: q(`
with over as materialized (
	select hash from {schema}.vault_tokens
	where keyring = $1::text and vault = $2::text and ended is not null
		and ended_at < pg_catalog.statement_timestamp() - $3::bigint * interval '1 microsecond'
	order by ended_at limit 1000 for update skip locked
)
delete from {schema}.vault_tokens where keyring = $1::text and hash = any(array(select hash from over))`),
	}
}

// freeTags deletes the tags of the tokens in over. A tag that was taken by another
// token while the statement waited for it has another hash by then: it is not held,
// and stays.
const freeTags = `held as materialized (
	select g.tag from (select own.tag, over.hash from over cross join pg_catalog.unnest(over.tags) as own (tag) order by own.tag) own
	cross join lateral (select * from {schema}.vault_tags g where g.keyring = $1::text and g.tag = own.tag and g.hash = own.hash for update) g
), freed as (
	delete from {schema}.vault_tags where keyring = $1::text and tag = any(array(select tag from held))
)`

// insertTokens takes the tags of all rows, in order, and adds those rows whose tags
// it got, all of them. At READ COMMITTED the statement's snapshot may be older than
// a tag that another transaction took; ON CONFLICT DO UPDATE waits for that and then
// looks at the tag's latest version, whatever the snapshot. Tags of tokens that have
// expired are free.
//
// A row that got some of its tags and not others is left out, and what it got is
// given back by dropClaims, in the same transaction. A statement can not delete what
// it has inserted.
const insertTokens = `
with claimed as (
	insert into {schema}.vault_tags (keyring, tag, hash, expires_at)
	select @keyring::text, tag, hash, expires_at
	from rows from (pg_catalog.unnest(@tags::bytea[]), pg_catalog.unnest(@tag_hashes::bytea[]), pg_catalog.unnest(@tag_expires::timestamptz[]))
		as c (tag, hash, expires_at)
	order by tag
	on conflict (keyring, tag) do update set hash = excluded.hash, expires_at = excluded.expires_at
		where vault_tags.expires_at <= pg_catalog.clock_timestamp()
	returning tag, hash
), got as (select hash, count(*) as n, pg_catalog.array_agg(tag) as tags from claimed group by hash)
insert into {schema}.vault_tokens (keyring, hash, vault, scope, sealed, tags, uses, uses_left, expires_at)
select @keyring::text, r.hash, r.vault, r.scope, r.sealed, got.tags, r.uses, r.uses, r.expires_at
from rows from (pg_catalog.unnest(@hashes::bytea[]), pg_catalog.unnest(@vaults::text[]), pg_catalog.unnest(@scopes::text[]), pg_catalog.unnest(@sealed::bytea[]),
	pg_catalog.unnest(@uses::integer[]), pg_catalog.unnest(@expires::timestamptz[]), pg_catalog.unnest(@tag_counts::bigint[]))
	as r (hash, vault, scope, sealed, uses, expires_at, n)
left join got using (hash) where r.n = coalesce(got.n, 0)`

// insertArgs returns the arguments of insertTokens, and whether a row has several
// tags.
func insertArgs(rows []token.VaultRow) (args pgx.StrictNamedArgs, several bool, err error) {
	n := len(rows)
	hashes, sealed := make([][]byte, n), make([][]byte, n)
	vaults, scopes := make([]string, n), make([]string, n)
	uses, counts := make([]int32, n), make([]int64, n)
	expires := make([]*time.Time, n)
	tags, tagHashes, tagExpires := [][]byte{}, [][]byte{}, []*time.Time{}
	for i, r := range rows {
		if r.Keyring != rows[0].Keyring {
			return nil, false, conflict("insert tokens")
		}
		if err := checkText("insert tokens", r.Keyring, r.Vault, r.Scope); err != nil {
			return nil, false, err
		}
		hashes[i], sealed[i], vaults[i], scopes[i] = rows[i].Hash[:], notNil(r.Sealed), r.Vault, r.Scope
		uses[i], counts[i] = int32(r.Uses), int64(len(r.Tags))
		if !r.ExpiresAt.IsZero() {
			at := wholeMicros(r.ExpiresAt)
			expires[i] = &at
		}
		for _, tag := range r.Tags {
			tags, tagHashes, tagExpires = append(tags, tag), append(tagHashes, hashes[i]), append(tagExpires, expires[i])
		}
		several = several || len(r.Tags) > 1
	}
	return pgx.StrictNamedArgs{
		"keyring": rows[0].Keyring, "hashes": hashes, "vaults": vaults, "scopes": scopes, "sealed": sealed, "uses": uses, "expires": expires,
		"tag_counts": counts, "tags": tags, "tag_hashes": tagHashes, "tag_expires": tagExpires,
	}, several, nil
}

func scanVaultRow(row pgx.CollectableRow) (r token.VaultRow, tag []byte, err error) {
	var hash []byte
	var expires *time.Time
	err = row.Scan(&r.Vault, &r.Scope, &hash, &r.Sealed, &expires, &r.Uses, &r.UsesLeft, &r.Ended, &r.Keyring, &tag)
	if err != nil {
		return r, nil, err
	}
	if len(hash) != len(r.Hash) {
		return r, nil, fmt.Errorf("%w: a hash of %d bytes", keyring.ErrUnavailable, len(hash))
	}
	r.Hash = token.TokenHash(hash)
	if expires != nil {
		r.ExpiresAt = expires.UTC()
	}
	return r, tag, nil
}

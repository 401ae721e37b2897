package pgxstore

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sealfield/sealfield/keyring"
)

// queries are the statements of one schema. Every parameter has a cast, so
// that they mean the same in all of pgx's exec modes.
type queries struct {
	now, loadRoots, loadKeys, loadErased string
	exists, insertRoot, updateRoot       string
	nextRoot, closeRoot                  string
	insertKey, updateKey, loadUnder      string
	erased, eraseScope                   string
}

func newQueries(schema string) queries {
	q := func(sql string) string { return inSchema(schema, sql) }
	return queries{
		now: `select pg_catalog.clock_timestamp()`,

		loadRoots: q(`
select keyring, purpose, version, key_id, state, created_at,
	scoped, propagation_delay_us, encrypt_grace_us, decrypt_grace_us, wraps, check_value, revision
from {schema}.roots where keyring = $1::text
order by purpose, version`),

		loadKeys: q(`
select keyring, scope, purpose, version, key_id, algorithm, state, created_at, activate_at, root_id, wrapped, revision
from {schema}.keys
where keyring = $1::text and (scope, purpose) in (select * from rows from (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[])))
order by scope, purpose, version`),

		loadErased: q(`select scope from {schema}.scopes where keyring = $1::text and scope = any($2::text[]) and erased_at is not null`),

		exists: q(`select exists (select from {schema}.roots where keyring = $1::text)`),

		insertRoot: q(`
insert into {schema}.roots (keyring, purpose, version, key_id, state, created_at,
	scoped, propagation_delay_us, encrypt_grace_us, decrypt_grace_us, wraps, check_value, revision)
values (@keyring::text, @purpose::text, @version::bigint, @id::bigint, @state::text, @created_at::timestamptz,
	@scoped::boolean, @propagation_delay::bigint, @encrypt_grace::bigint, @decrypt_grace::bigint, @wraps::jsonb, @check::bytea, 1)`),

		nextRoot: q(`
select coalesce(max(version) = $3::bigint - 1, false) from {schema}.roots where keyring = $1::text and purpose = $2::text`),

		closeRoot: q(`
update {schema}.roots set state = 'closed', revision = revision + 1
where keyring = $1::text and purpose = $2::text and version = $3::bigint and state <> 'destroyed'`),

		updateRoot: q(updateRoot),

		insertKey: q(insertKey),

		updateKey: q(updateKey),

		loadUnder: q(`
select keyring, scope, purpose, version, key_id, algorithm, state, created_at, activate_at, root_id, wrapped, revision
from {schema}.keys
where keyring = $1::text and purpose = $2::text and root_id = $3::bigint and key_id > $4::bigint
order by key_id limit $5::bigint`),

		erased: q(`select exists (select from {schema}.scopes where keyring = $1::text and scope = $2::text and erased_at is not null)`),

		eraseScope: q(`
insert into {schema}.scopes (keyring, scope, erased_at) values ($1::text, $2::text, pg_catalog.clock_timestamp())
on conflict (keyring, scope) do update set erased_at = excluded.erased_at where scopes.erased_at is null`),
	}
}

// updateRoot lets a root become destroyed only when it is closed and no key is
// under it. Its own snapshot suffices: whoever puts a key under a root holds the
// root's row, open, until the commit (insertKey, updateKey), so that all of them
// came before the commit that closed it, which this statement sees.
const updateRoot = `
update {schema}.roots set wraps = @wraps::jsonb, state = @state::text, revision = revision + 1
where keyring = @keyring::text and key_id = @id::bigint and revision = @revision::bigint
	and case @state::text
		when 'open' then state = 'open'
		when 'closed' then state in ('open', 'closed')
		when 'destroyed' then state = 'destroyed' or state = 'closed'
			and exists (select from {schema}.roots newer where newer.keyring = roots.keyring and newer.purpose = roots.purpose and newer.version > roots.version)
			and not exists (select from {schema}.keys k where k.keyring = @keyring::text and k.purpose = roots.purpose and k.root_id = @id::bigint)
		else false
	end`

// updateKey leaves the root alone, or moves the key to the newest root, which
// it then locks and looks at anew as insertKey does.
const updateKey = `
with root as (
	select key_id from {schema}.roots
	where keyring = @keyring::text and purpose = @purpose::text and key_id = @root::bigint and state = 'open'
		and version = (select max(version) from {schema}.roots where keyring = @keyring::text and purpose = @purpose::text)
	for share
)
update {schema}.keys set algorithm = @algorithm::text, state = @state::text, created_at = @created_at::timestamptz,
	activate_at = @activate_at::timestamptz, root_id = @root::bigint, wrapped = @wrapped::bytea, revision = revision + 1
where keyring = @keyring::text and scope = @scope::text and purpose = @purpose::text and version = @version::bigint
	and key_id = @id::bigint and revision = @revision::bigint
	and (root_id = @root::bigint or exists (select from root))`

// insertKey checks and inserts in one statement. At READ COMMITTED all of it
// sees one snapshot, taken before it waits for anybody; what others commit
// after that must be noticed by locks and indexes. Each condition in turn:
//
//   - Open root: FOR SHARE waits for a transaction that changes the root's row,
//     then looks at the row's new version again (the WHERE is evaluated anew),
//     and keeps the row from changing until the key is committed.
//   - Newest root: who adds a root first updates the newest one's row, to close
//     it (Store.InsertRoot), and so comes before this statement or after it.
//   - Tombstone: a NOT EXISTS would look at the snapshot, and miss a tombstone
//     that was committed while the statement waited. ON CONFLICT DO UPDATE looks
//     at the latest version of the scope's row, whatever the snapshot, and locks it:
//     EraseScope, which does the same, either comes first and leaves nothing
//     to insert, or waits until the key is committed and returns after that.
//   - Next version: the snapshot's highest version can only be too low. Then the
//     version exists and the primary key refuses it.
//   - New id: the primary key of key_ids, through the trigger reserve_id.
//
// Everybody locks the root first and the scope second, so nobody deadlocks.
const insertKey = `
with root as (
	select key_id from {schema}.roots
	where keyring = @keyring::text and purpose = @purpose::text and key_id = @root::bigint and state = 'open'
		and version = (select max(version) from {schema}.roots where keyring = @keyring::text and purpose = @purpose::text)
	for share
), scope as (
	insert into {schema}.scopes (keyring, scope)
	select @keyring::text, @scope::text from root
	where @version::bigint = 1 + coalesce((select max(version) from {schema}.keys
			where keyring = @keyring::text and scope = @scope::text and purpose = @purpose::text), 0)
		and @created_at::timestamptz between pg_catalog.clock_timestamp() - interval '1 minute' and pg_catalog.clock_timestamp() + interval '1 minute'
	on conflict (keyring, scope) do update set erased_at = null where scopes.erased_at is null
	returning scope
)
insert into {schema}.keys (keyring, scope, purpose, version, key_id, algorithm, state, created_at, activate_at, root_id, wrapped, revision)
select @keyring::text, @scope::text, @purpose::text, @version::bigint, @id::bigint, @algorithm::text, @state::text,
	@created_at::timestamptz, @activate_at::timestamptz, @root::bigint, @wrapped::bytea, 1
from scope`

func keyArgs(k keyring.Key) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"keyring": k.Keyring, "scope": k.Scope, "purpose": string(k.Purpose), "version": int64(k.Version), "id": int64(k.ID),
		"algorithm": string(k.Algorithm), "state": string(k.State), "created_at": wholeMicros(k.CreatedAt), "activate_at": wholeMicros(k.ActivateAt),
		"root": int64(k.Root), "wrapped": notNil(k.Wrapped),
	}
}

func scanKey(row pgx.CollectableRow) (k keyring.Key, err error) {
	err = row.Scan(&k.Keyring, &k.Scope, &k.Purpose, &k.Version, &k.ID, &k.Algorithm, &k.State,
		&k.CreatedAt, &k.ActivateAt, &k.Root, &k.Wrapped, &k.Revision)
	k.CreatedAt, k.ActivateAt = k.CreatedAt.UTC(), k.ActivateAt.UTC()
	return k, err
}

// wrap is keyring.Wrap as it stands in the column wraps.
type wrap struct {
	URI     string `json:"uri"`
	Wrapped []byte `json:"wrapped"`
}

// rootArgs returns the fields of a root that both Create and UpdateRoot write.
func rootArgs(operation string, r keyring.Root) (pgx.StrictNamedArgs, error) {
	texts := []string{r.Keyring, string(r.Purpose), string(r.State)}
	wraps := make([]wrap, len(r.Wraps))
	for i, w := range r.Wraps {
		wraps[i] = wrap(w)
		texts = append(texts, w.URI)
	}
	if err := checkText(operation, texts...); err != nil {
		return nil, err
	}
	text, err := json.Marshal(wraps)
	if err != nil {
		return nil, fmt.Errorf("pgxstore: %s: %w", operation, err)
	}
	return pgx.StrictNamedArgs{"keyring": r.Keyring, "id": int64(r.ID), "state": string(r.State), "wraps": string(text)}, nil
}

func newRootArgs(r keyring.Root) (pgx.StrictNamedArgs, error) {
	args, err := rootArgs("create", r)
	if err != nil {
		return nil, err
	}
	maps.Copy(args, pgx.StrictNamedArgs{
		"purpose": string(r.Purpose), "version": int64(r.Version), "created_at": wholeMicros(r.CreatedAt), "scoped": r.Settings.Scoped,
		"propagation_delay": r.Settings.PropagationDelay.Microseconds(), "encrypt_grace": r.Settings.EncryptGrace.Microseconds(),
		"decrypt_grace": r.Settings.DecryptGrace.Microseconds(), "check": notNil(r.Check),
	})
	return args, nil
}

func scanRoot(row pgx.CollectableRow) (r keyring.Root, err error) {
	var propagation, encrypt, decrypt int64
	var wraps []wrap
	err = row.Scan(&r.Keyring, &r.Purpose, &r.Version, &r.ID, &r.State, &r.CreatedAt,
		&r.Settings.Scoped, &propagation, &encrypt, &decrypt, &wraps, &r.Check, &r.Revision)
	r.CreatedAt = r.CreatedAt.UTC()
	r.Settings.PropagationDelay = time.Duration(propagation) * time.Microsecond
	r.Settings.EncryptGrace = time.Duration(encrypt) * time.Microsecond
	r.Settings.DecryptGrace = time.Duration(decrypt) * time.Microsecond
	for _, w := range wraps {
		r.Wraps = append(r.Wraps, keyring.Wrap(w))
	}
	return r, err
}

// wholeMicros makes sure that all exec modes send the same time: some truncate
// what is finer, some leave it to the server, which rounds.
func wholeMicros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// notNil keeps a nil slice from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

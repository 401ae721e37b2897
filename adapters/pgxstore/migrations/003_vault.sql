-- Tokens of token.Vault: neither tokens nor values are here. {schema} is replaced
-- by the quoted name of the store's schema.

create table {schema}.vault_tokens (
	keyring    text collate "C" not null check (keyring <> ''),
	hash       bytea            not null check (octet_length(hash) = 32), -- SHA-256 of the token
	vault      text collate "C" not null,
	scope      text collate "C" not null,
	sealed     bytea,                                                     -- the encrypted value, until the token ends
	tags       bytea[],                                                   -- its own in vault_tags, if any, until then
	uses       integer          not null check (uses >= 0),               -- 0: any number
	uses_left  integer          not null check (uses_left between 0 and uses),
	created_at timestamptz      not null default pg_catalog.clock_timestamp(),
	expires_at timestamptz,
	ended      text collate "C" check (ended in ('revoked', 'used', 'expired')),
	ended_at   timestamptz,
	primary key (hash, keyring), -- the hash first: it tells rows apart at once
	check ((ended is null) = (sealed is not null) and (ended is null) = (ended_at is null) and (ended is null or tags is null))
);
alter table {schema}.vault_tokens alter column sealed set storage external; -- it does not compress
create index vault_tokens_expiry on {schema}.vault_tokens (keyring, vault, expires_at) where ended is null and expires_at is not null;
create index vault_tokens_ended on {schema}.vault_tokens (keyring, vault, ended_at) where ended is not null;

-- The keyed hashes by which the token of a value is found, one under each index key
-- that was not destroyed when the token was made. Only tokens that have not ended
-- have any; expires_at is the token's.
create table {schema}.vault_tags (
	keyring    text collate "C" not null,
	tag        bytea            not null check (octet_length(tag) = 21),
	hash       bytea            not null,
	expires_at timestamptz,
	primary key (tag, keyring)
);

-- Tokens may be deleted by hand: their tags go with them, or the values could have
-- no other token.
create function {schema}.drop_vault_tags() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	if exists (select from gone where tags is not null) then
		execute format('delete from %I.vault_tags t using gone, unnest(gone.tags) as g (tag)
			where t.keyring = gone.keyring and t.tag = g.tag and t.hash = gone.hash', tg_table_schema);
	end if;
	return null;
end $$;

create trigger drop_vault_tags after delete on {schema}.vault_tokens
	referencing old table as gone for each statement execute function {schema}.drop_vault_tags();

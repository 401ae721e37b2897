-- Keys are rows of text and ciphertext: nothing here is secret. {schema} is
-- replaced by the quoted name of the store's schema. Times are exact to the
-- microsecond, durations are in microseconds, key ids are unsigned 32-bit
-- numbers with the high bit set.

-- Every id that was ever used in a keyring, by a root or by a key: an id stays
-- reserved when its row is gone.
create table {schema}.key_ids (
	keyring text collate "C" not null,
	key_id  bigint           not null check (key_id between 2147483648 and 4294967295),
	primary key (keyring, key_id)
);

create table {schema}.roots (
	keyring              text collate "C" not null check (keyring <> ''),
	purpose              text collate "C" not null check (purpose in ('encryption', 'index', 'token', 'masking')),
	version              bigint           not null check (version >= 1),
	key_id               bigint           not null,
	state                text collate "C" not null check (state in ('open', 'closed')),
	created_at           timestamptz      not null,
	scoped               boolean          not null,
	propagation_delay_us bigint           not null,
	encrypt_grace_us     bigint           not null,
	decrypt_grace_us     bigint           not null,
	wraps                jsonb            not null, -- [{"uri": ..., "wrapped": base64}]
	check_value          bytea            not null check (octet_length(check_value) = 32),
	revision             bigint           not null check (revision >= 1),
	primary key (keyring, purpose, version),
	unique (keyring, key_id),
	unique (keyring, purpose, key_id)
);

-- The scopes that have keys or are erased. InsertKey and EraseScope lock the
-- row of their scope, so that one comes after the other.
create table {schema}.scopes (
	keyring   text collate "C" not null,
	scope     text collate "C" not null,
	erased_at timestamptz,
	primary key (keyring, scope)
);

-- The foreign key to roots keeps a root that wraps any key.
create table {schema}.keys (
	keyring     text collate "C" not null,
	scope       text collate "C" not null,
	purpose     text collate "C" not null,
	version     bigint           not null check (version >= 1),
	key_id      bigint           not null,
	algorithm   text collate "C" not null,
	state       text collate "C" not null check (state in ('enabled', 'suspended', 'compromised', 'destroyed')),
	created_at  timestamptz      not null,
	activate_at timestamptz      not null,
	root_id     bigint           not null,
	wrapped     bytea            not null,
	revision    bigint           not null check (revision >= 1),
	primary key (keyring, scope, purpose, version),
	unique (keyring, key_id),
	foreign key (keyring, scope) references {schema}.scopes,
	foreign key (keyring, purpose, root_id) references {schema}.roots (keyring, purpose, key_id)
);
create index on {schema}.keys (keyring, purpose, root_id);

create function {schema}.reserve_id() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	execute format('insert into %I.key_ids (keyring, key_id) values ($1, $2)', tg_table_schema) using new.keyring, new.key_id;
	return new;
end $$;

create trigger reserve_id before insert or update of keyring, key_id on {schema}.roots for each row execute function {schema}.reserve_id();
create trigger reserve_id before insert or update of keyring, key_id on {schema}.keys for each row execute function {schema}.reserve_id();

-- Every change, by whatever program, is told on the channel that is named as
-- the schema; the payload is the keyring.
create function {schema}.tell() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	perform pg_notify(tg_table_schema, case tg_op when 'DELETE' then old.keyring else new.keyring end);
	return null;
end $$;

create trigger tell after insert or update or delete on {schema}.roots for each row execute function {schema}.tell();
create trigger tell after insert or update or delete on {schema}.keys for each row execute function {schema}.tell();
create trigger tell after insert or update or delete on {schema}.scopes for each row execute function {schema}.tell();

-- A destroyed root has no wraps, and no key under it; its row stays.
alter table {schema}.roots drop constraint roots_state_check;
alter table {schema}.roots add constraint roots_state_check check (state in ('open', 'closed', 'destroyed'));

-- The keys of a root in pages, by ascending id.
create index on {schema}.keys (keyring, purpose, root_id, key_id);
drop index {schema}.keys_keyring_purpose_root_id_idx;

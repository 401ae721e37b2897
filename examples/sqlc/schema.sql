create table if not exists customers (
	id uuid primary key,
	tenant text not null,
	name text not null,
	email bytea not null,
	email_idx bytea not null,
	ssn bytea,
	-- Plaintext is refused, by what sqlfield.SealedCheck and TagCheck return.
	constraint customers_email_sealed check (substring("email" from 1 for 2) operator(pg_catalog.>=) '\x0180'::pg_catalog.bytea and substring("email" from 1 for 2) operator(pg_catalog.<=) '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length("email") operator(pg_catalog.>=) 33),
	constraint customers_email_idx_tag check (substring("email_idx" from 1 for 2) operator(pg_catalog.>=) '\x0180'::pg_catalog.bytea and substring("email_idx" from 1 for 2) operator(pg_catalog.<=) '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length("email_idx") operator(pg_catalog.=) 21),
	constraint customers_ssn_sealed check (substring("ssn" from 1 for 2) operator(pg_catalog.>=) '\x0180'::pg_catalog.bytea and substring("ssn" from 1 for 2) operator(pg_catalog.<=) '\x01ff'::pg_catalog.bytea and pg_catalog.octet_length("ssn") operator(pg_catalog.>=) 33)
);

create index if not exists customers_email_idx_key on customers (email_idx);

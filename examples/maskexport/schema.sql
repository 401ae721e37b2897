create schema shop;
create table shop.customers (
	id bigint primary key,
	name text not null,
	email bytea not null,       -- sealed
	email_idx bytea not null,
	born bytea,                 -- sealed
	phone text not null unique check (phone ~ '^\+[0-9]{8,15}$'),
	country char(2) not null,
	profile jsonb not null,
	referred_by bigint references shop.customers
);
create table shop.cards (
	id bigint primary key,
	customer_id bigint not null references shop.customers,
	pan varchar(19) not null unique check (pan ~ '^[0-9]{12,19}$'),
	holder text not null,
	expires date not null
);
create table shop.products (
	sku text primary key,
	title text not null,
	price numeric(10,2) not null check (price > 0)
);
create table shop.orders (
	id bigint primary key,
	customer_id bigint not null references shop.customers,
	placed_at timestamptz not null,
	address text not null,
	ip inet
);
create table shop.items (
	order_id bigint references shop.orders,
	line smallint check (line > 0),
	sku text not null references shop.products,
	quantity integer not null check (quantity > 0),
	primary key (order_id, line)
);
create table shop.tickets (
	id bigint primary key,
	customer_id bigint not null references shop.customers,
	opened_at timestamptz not null,
	contact text not null,
	note text not null
);
create table shop.log (at timestamptz not null, line text not null);

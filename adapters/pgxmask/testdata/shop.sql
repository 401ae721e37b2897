create schema crm;
create extension citext;
create type public.mood as enum ('happy', 'grumpy', 'o''neill');
create domain crm.email_address as text constraint has_at check (value ~ '@');

create table crm.customers (
	id bigint generated always as identity primary key,
	email crm.email_address not null unique,
	phone text check (phone ~ '^\+[0-9]{8,15}$'),
	given varchar(40) not null,
	surname varchar(40) not null,
	born date,
	card char(16) unique,
	mood public.mood not null default 'happy',
	shown text generated always as (given || ' ' || surname) stored,
	profile jsonb,
	tags text[],
	constraint grown check (born is null or born > '1800-01-01')
);
comment on table crm.customers is 'One row for each <customer> | `all` of them';
comment on column crm.customers.mood is 'as of the last call';

create table public.orders (
	id bigint not null,
	placed date not null,
	customer bigint not null references crm.customers,
	email text not null,
	total numeric(12,2) not null check (total >= 0),
	note text,
	primary key (id, placed)
) partition by range (placed);
create table public.orders_2024 partition of public.orders for values from ('2024-01-01') to ('2025-01-01');
create table public.orders_2025 partition of public.orders for values from ('2025-01-01') to ('2026-01-01');

create table public.items (
	"order" bigint not null,
	placed date not null,
	line int not null,
	article text not null,
	primary key ("order", placed, line),
	foreign key ("order", placed) references public.orders
);

create table public.departments (id int primary key, name text not null unique, head int);
create table public.employees (
	id int primary key,
	department int not null references public.departments,
	boss int references public.employees,
	login citext not null unique,
	extension text
);
alter table public.departments add foreign key (head) references public.employees;
create unique index employees_login on public.employees (lower(extension)) where extension is not null;

create table public."Ünï.c""ode | table" ("na.me ""x""" text not null, "<script>" int primary key, "a|b" text);

create table public.audit (line text);
create view public.totals as select 'x'::text as one;

insert into crm.customers (email, phone, given, surname, born, card, profile, tags)
	select 'zeppelin' || i || '@example.com', '+1212555' || 1000 + i, 'Ann', 'Zeppelin', date '1980-01-01' + i,
		substr('411111111111', 1, 12) || lpad(i::text, 4, '0'), jsonb_build_object('mail', 'zeppelin' || i || '@example.com'), array['zeppelin']
	from generate_series(1, 100) i;
insert into public.orders
	select i, date '2024-06-01' + i, i % 100 + 1, 'zeppelin' || i % 100 + 1 || '@example.com', i * 1.5, 'call Zeppelin' from generate_series(1, 300) i;
insert into public.items select i, date '2024-06-01' + i, 1, 'a chair' from generate_series(1, 300) i;
insert into public.departments values (1, 'sales', null);
insert into public.employees select i, 1, 1, 'zeppelin' || i, i::text from generate_series(1, 10) i;
update public.departments set head = 1;
insert into public."Ünï.c""ode | table" values ('zeppelin', 1, 'x');
analyze;

package pgxmask

// session makes the text of values and definitions the same whatever the settings of the
// role and the database are, and lets nobody's schema come before pg_catalog.
const session = `set local search_path = pg_catalog, pg_temp;
set local row_security = on;
set local client_encoding = 'UTF8';
set local datestyle = 'ISO, MDY';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local bytea_output = 'hex';
set local extra_float_digits = 1;
set local xmlbinary = 'base64';
set local quote_all_identifiers = off;
set local standard_conforming_strings = on;
set local lc_monetary = 'C'`

const (
	// ofRelations joins and selects the relations of the schemas $1 that have
	// columns of their own. Those of a session are nobody's but its own.
	ofRelations = ` join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = any($1) and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' `

	// The columns of an expression are read off its parsed form, in which a
	// constant is written as numbers and so is not taken for one. 0 is the whole row.
	columnsOf = `::text, ':varattno (-?[0-9]+)', 'g') m)`
	matches   = `array(select distinct m[1]::int2 from pg_catalog.regexp_matches(`

	// byExtension is for what create extension has made.
	byExtension = ` (select from pg_catalog.pg_depend e where e.deptype = 'e' and e.refclassid = 'pg_catalog.pg_extension'::regclass and e.objid = `
)

const (
	selectTransaction = `select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')::bool,
		pg_catalog.has_database_privilege(pg_catalog.current_database(), 'temporary')`

	selectDatabase = `select pg_catalog.current_database()::text, exists(select from pg_catalog.pg_largeobject_metadata)`

	selectSchemas = `select n.oid, n.nspname::text, pg_catalog.has_schema_privilege(n.oid, 'usage')
		from pg_catalog.pg_namespace n
		where case when $1::text[] is null then n.nspname !~ '^pg_' and n.nspname <> 'information_schema' else n.nspname = any($1) end
		order by n.nspname collate "C"`

	selectTypes = `select t.oid, n.nspname::text, t.typname::text, t.typtype::text, t.typcategory::text,
		t.typbasetype, t.typtypmod, t.typnotnull, t.typelem
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace`

	selectRelations = `select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition,
		pg_catalog.has_table_privilege(c.oid, 'select'), pg_catalog.row_security_active(c.oid),
		c.reltuples::float8, c.relpages,
		case when $2 and c.relkind in ('r', 'm') then coalesce(pg_catalog.pg_relation_size(c.oid), 0) else 0 end,
		case when $2 and c.relkind in ('r', 'm') then coalesce(pg_catalog.pg_table_size(c.oid), 0) else 0 end,
		coalesce((select x.extname::text from pg_catalog.pg_depend d join pg_catalog.pg_extension x on x.oid = d.refobjid
			where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
			and d.refclassid = 'pg_catalog.pg_extension'::regclass), ''),
		array(select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = c.oid order by i.inhseqno),
		(select count(*) from pg_catalog.pg_inherits i where i.inhparent = c.oid), coalesce(pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''),
		coalesce(p.partstrat::text, ''), coalesce(p.partdefid <> 0, false),
		coalesce(p.partattrs::int2[], '{}'), ` + matches + `p.partexprs` + columnsOf + `
		from pg_catalog.pg_class c left join pg_catalog.pg_partitioned_table p on p.partrelid = c.oid` + ofRelations + `
		order by n.nspname collate "C", c.relname collate "C"`

	selectAttributes = `select a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod,
		pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text, a.attidentity::text,
		coalesce((select l.collisdeterministic from pg_catalog.pg_collation l where l.oid = a.attcollation), true),
		` + matches + `d.adbin` + columnsOf + `
		from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
		left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum` + ofRelations + `
		and a.attnum > 0 and not a.attisdropped
		order by a.attrelid, a.attnum`

	selectConstraints = `select k.oid, k.conname::text, k.contype::text, k.conrelid, k.contypid, k.confrelid,
		coalesce(k.conkey, '{}'), coalesce(k.confkey, '{}'), k.confmatchtype::text, k.convalidated,
		k.conparentid <> 0 or k.coninhcount > 0, coalesce((pg_catalog.to_jsonb(k) ->> 'conperiod')::bool, false),
		array(select case when o.oprnamespace = 'pg_catalog'::regnamespace
			or exists` + byExtension + `o.oid and e.classid = 'pg_catalog.pg_operator'::regclass) then o.oprname::text else '' end from unnest(k.conexclop) with ordinality u(oid, i) join pg_catalog.pg_operator o on o.oid = u.oid order by u.i),
		pg_catalog.pg_get_constraintdef(k.oid)
		from pg_catalog.pg_constraint k
		where (k.contype in ('c', 'f', 'x') or k.conexclop is not null) and (k.contypid <> 0 or k.conrelid in (select c.oid from pg_catalog.pg_class c` + ofRelations + `))
		order by k.conname collate "C", k.oid`

	selectIndexes = `select i.indexrelid, i.indrelid, x.relname::text, i.indisprimary, i.indisunique, i.indisexclusion, i.indisvalid,
		(i.indkey::int2[])[0:i.indnkeyatts - 1], ` + matches + `i.indexprs` + columnsOf + `, ` + matches + `i.indpred` + columnsOf + `,
		coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''),
		array(select pg_catalog.pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnkeyatts) k),
		coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
		exists(select from pg_catalog.pg_inherits h where h.inhrelid = i.indexrelid),
		exists(select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u')),
		exists(select from pg_catalog.pg_collation l where l.oid = any(i.indcollation) and not l.collisdeterministic),
		exists(select from pg_catalog.pg_opclass o where o.oid = any(i.indclass) and o.opcnamespace <> 'pg_catalog'::regnamespace
			and not exists` + byExtension + `o.oid and e.classid = 'pg_catalog.pg_opclass'::regclass)),
		pg_catalog.pg_get_indexdef(i.indexrelid)
		from pg_catalog.pg_index i
		join pg_catalog.pg_class x on x.oid = i.indexrelid
		join pg_catalog.pg_class c on c.oid = i.indrelid` + ofRelations + `
		and (i.indisunique or i.indisexclusion) and (i.indisvalid or c.relkind = 'p')
		order by i.indisprimary desc, x.relname collate "C"`

	// selectCalls has the functions that a CHECK or a generated column calls, also
	// by an operator, if they are somebody's who could not do the same otherwise.
	selectCalls = `select distinct d.classid = 'pg_catalog.pg_constraint'::regclass, d.objid, p.oid::pg_catalog.regprocedure::text, r.rolname::text
		from (
			select d.classid, coalesce(f.adrelid, d.objid),
				coalesce(o.oprcode::oid, d.refobjid)
			from pg_catalog.pg_depend d
			left join pg_catalog.pg_operator o on d.refclassid = 'pg_catalog.pg_operator'::regclass and o.oid = d.refobjid
			left join pg_catalog.pg_attrdef f on d.classid = 'pg_catalog.pg_attrdef'::regclass and f.oid = d.objid
			where d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
			and (d.classid = 'pg_catalog.pg_constraint'::regclass or exists(select from pg_catalog.pg_attribute a where a.attgenerated <> ''
				and (a.attrelid = f.adrelid and a.attnum = f.adnum
				or d.classid = 'pg_catalog.pg_class'::regclass and a.attrelid = d.objid and a.attnum = d.objsubid)))
		) d (classid, objid, function)
		join pg_catalog.pg_proc p on p.oid = d.function
		join pg_catalog.pg_roles r on r.oid = p.proowner
		where not r.rolsuper and r.rolname <> current_user
		and not exists` + byExtension + `p.oid and e.classid = 'pg_catalog.pg_proc'::regclass)
		order by 3, 1, 2`

	// selectTexts has the text of the schema that may hold values. Prose is text all
	// of which may be one; of the others it is the literals.
	selectTexts = `with c as (select c.*, n.nspname from pg_catalog.pg_class c` + ofRelations + `)
		select 'default' as kind, c.nspname::text, c.relname::text, a.attname::text as column, '' as object, pg_catalog.pg_get_expr(d.adbin, d.adrelid) as text, false
		from pg_catalog.pg_attrdef d join c on c.oid = d.adrelid join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
		where a.attgenerated = ''
		union all
		select 'generated', c.nspname, c.relname, a.attname, '', pg_catalog.pg_get_expr(d.adbin, d.adrelid), false
		from pg_catalog.pg_attrdef d join c on c.oid = d.adrelid join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
		where a.attgenerated <> ''
		union all
		select 'check', c.nspname, c.relname, '', k.conname, pg_catalog.pg_get_constraintdef(k.oid), false
		from pg_catalog.pg_constraint k join c on c.oid = k.conrelid where k.contype = 'c' and k.coninhcount = 0
		union all
		select 'index', c.nspname, c.relname, '', x.relname, pg_catalog.pg_get_indexdef(i.indexrelid), false
		from pg_catalog.pg_index i join c on c.oid = i.indrelid join pg_catalog.pg_class x on x.oid = i.indexrelid
		where i.indpred is not null or i.indexprs is not null
		union all
		select 'partition bound', c.nspname, c.relname, '', '', pg_catalog.pg_get_expr(c.relpartbound, c.oid), false
		from c where c.relpartbound is not null
		union all
		select 'partition key', c.nspname, c.relname, '', '', pg_catalog.pg_get_partkeydef(c.oid), false
		from c join pg_catalog.pg_partitioned_table p on p.partrelid = c.oid where p.partexprs is not null
		union all
		select 'view', c.nspname, c.relname, '', '', pg_catalog.pg_get_viewdef(c.oid), false
		from c where c.relkind in ('v', 'm')
		union all
		select 'rule', c.nspname, c.relname, '', w.rulename, pg_catalog.pg_get_ruledef(w.oid), false
		from pg_catalog.pg_rewrite w join c on c.oid = w.ev_class where w.rulename <> '_RETURN'
		union all
		select 'trigger', c.nspname, c.relname, '', t.tgname, pg_catalog.pg_get_triggerdef(t.oid), false
		from pg_catalog.pg_trigger t join c on c.oid = t.tgrelid where not t.tgisinternal
		union all
		select 'policy', c.nspname, c.relname, '', l.polname,
			pg_catalog.concat_ws(' ', pg_catalog.pg_get_expr(l.polqual, l.polrelid), pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid)), false
		from pg_catalog.pg_policy l join c on c.oid = l.polrelid
		union all
		select 'comment', c.nspname, c.relname, coalesce(a.attname, ''), '', d.description, true
		from pg_catalog.pg_description d join c on c.oid = d.objoid
		left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
		where d.classoid = 'pg_catalog.pg_class'::regclass
		union all
		select 'comment constraint', c.nspname, c.relname, '', k.conname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_constraint k on k.oid = d.objoid join c on c.oid = k.conrelid
		where d.classoid = 'pg_catalog.pg_constraint'::regclass
		union all
		select 'comment index', c.nspname, c.relname, '', x.relname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_index i on i.indexrelid = d.objoid
		join pg_catalog.pg_class x on x.oid = i.indexrelid join c on c.oid = i.indrelid
		where d.classoid = 'pg_catalog.pg_class'::regclass
		union all
		select 'comment trigger', c.nspname, c.relname, '', t.tgname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_trigger t on t.oid = d.objoid join c on c.oid = t.tgrelid
		where d.classoid = 'pg_catalog.pg_trigger'::regclass
		union all
		select 'comment policy', c.nspname, c.relname, '', l.polname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_policy l on l.oid = d.objoid join c on c.oid = l.polrelid
		where d.classoid = 'pg_catalog.pg_policy'::regclass
		union all
		select 'comment schema', n.nspname, '', '', '', d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_namespace n on n.oid = d.objoid
		where d.classoid = 'pg_catalog.pg_namespace'::regclass and n.nspname = any($1)
		union all
		select 'comment relation', n.nspname, '', '', s.relname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_class s on s.oid = d.objoid join pg_catalog.pg_namespace n on n.oid = s.relnamespace
		where d.classoid = 'pg_catalog.pg_class'::regclass and s.relkind in ('S', 'c') and n.nspname = any($1)
		union all
		select 'comment type', n.nspname, '', '', t.typname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_type t on t.oid = d.objoid join pg_catalog.pg_namespace n on n.oid = t.typnamespace
		where d.classoid = 'pg_catalog.pg_type'::regclass and n.nspname = any($1)
		and not exists` + byExtension + `t.oid and e.classid = 'pg_catalog.pg_type'::regclass)
		union all
		select 'comment domain constraint', n.nspname, '', '', t.typname || ' ' || k.conname, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_constraint k on k.oid = d.objoid
		join pg_catalog.pg_type t on t.oid = k.contypid join pg_catalog.pg_namespace n on n.oid = t.typnamespace
		where d.classoid = 'pg_catalog.pg_constraint'::regclass and n.nspname = any($1)
		union all
		select 'enum', n.nspname, '', '', t.typname, (select pg_catalog.string_agg(pg_catalog.quote_literal(v.enumlabel), ', ' order by v.enumsortorder)
			from pg_catalog.pg_enum v where v.enumtypid = t.oid), false
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
		where t.typtype = 'e' and n.nspname = any($1)
		and not exists` + byExtension + `t.oid and e.classid = 'pg_catalog.pg_type'::regclass)
		union all
		select 'domain', n.nspname, '', '', t.typname,
			pg_catalog.concat_ws(' ', 'DEFAULT ' || pg_catalog.pg_get_expr(t.typdefaultbin, 0),
				(select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ' order by k.conname) from pg_catalog.pg_constraint k where k.contypid = t.oid)), false
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
		where t.typtype = 'd' and n.nspname = any($1)
		and not exists` + byExtension + `t.oid and e.classid = 'pg_catalog.pg_type'::regclass)
		union all
		select 'function', n.nspname, '', '', 'function ' || p.oid::pg_catalog.regprocedure::text, pg_catalog.pg_get_functiondef(p.oid), false
		from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
		where p.prokind in ('f', 'p') and n.nspname = any($1)
		and not exists` + byExtension + `p.oid and e.classid = 'pg_catalog.pg_proc'::regclass)
		union all
		select 'aggregate', n.nspname, '', '', 'aggregate ' || p.oid::pg_catalog.regprocedure::text, pg_catalog.concat_ws(' ', g.agginitval, g.aggminitval), true
		from pg_catalog.pg_aggregate g join pg_catalog.pg_proc p on p.oid = g.aggfnoid join pg_catalog.pg_namespace n on n.oid = p.pronamespace
		where coalesce(g.agginitval, g.aggminitval) is not null and n.nspname = any($1)
		and not exists` + byExtension + `p.oid and e.classid = 'pg_catalog.pg_proc'::regclass)
		union all
		select 'comment function', n.nspname, '', '', 'comment function ' || p.oid::pg_catalog.regprocedure::text, d.description, true
		from pg_catalog.pg_description d join pg_catalog.pg_proc p on p.oid = d.objoid join pg_catalog.pg_namespace n on n.oid = p.pronamespace
		where d.classoid = 'pg_catalog.pg_proc'::regclass and n.nspname = any($1)
		and not exists` + byExtension + `p.oid and e.classid = 'pg_catalog.pg_proc'::regclass)
		union all
		select 'statistics', n.nspname, '', '', s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid), false
		from pg_catalog.pg_statistic_ext s join pg_catalog.pg_namespace n on n.oid = s.stxnamespace where n.nspname = any($1)
		union all
		select 'foreign data wrapper', '', '', '', 'foreign data wrapper ' || w.fdwname, pg_catalog.array_to_string(w.fdwoptions, ', '), true
		from pg_catalog.pg_foreign_data_wrapper w where w.fdwoptions <> '{}'
		union all
		select 'server', '', '', '', 'server ' || s.srvname, pg_catalog.array_to_string(s.srvoptions, ', '), true
		from pg_catalog.pg_foreign_server s where s.srvoptions <> '{}'
		union all
		select 'foreign table', c.nspname, c.relname, '', '', pg_catalog.array_to_string(f.ftoptions, ', '), true
		from pg_catalog.pg_foreign_table f join c on c.oid = f.ftrelid where f.ftoptions <> '{}'
		union all
		select 'foreign column', c.nspname, c.relname, a.attname, '', pg_catalog.array_to_string(a.attfdwoptions, ', '), true
		from pg_catalog.pg_attribute a join c on c.oid = a.attrelid where a.attfdwoptions <> '{}'
		union all
		select 'text search dictionary', n.nspname, '', '', d.dictname, d.dictinitoption, true
		from pg_catalog.pg_ts_dict d join pg_catalog.pg_namespace n on n.oid = d.dictnamespace
		where d.dictinitoption is not null and n.nspname = any($1)
		and not exists` + byExtension + `d.oid and e.classid = 'pg_catalog.pg_ts_dict'::regclass)
		union all
		select 'comment ' || i.type, '', '', '', 'comment ' || i.type || ' ' || i.identity, d.description, true
		from pg_catalog.pg_description d cross join pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) i
		where d.objoid >= 16384 and d.classoid not in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_constraint'::regclass,
			'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_namespace'::regclass,
			'pg_catalog.pg_type'::regclass, 'pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_extension'::regclass)
		and not exists` + byExtension + `d.objoid and e.classid = d.classoid)
		order by 2, 3, 4, 1, 5`

	// selectPolicyRoles has the roles that policies name, but for those of every server.
	selectPolicyRoles = `select n.nspname::text, c.relname::text, l.polname::text, r.rolname::text
		from pg_catalog.pg_policy l join pg_catalog.pg_roles r on r.oid = any(l.polroles)
		join pg_catalog.pg_class c on c.oid = l.polrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where r.rolname !~ '^pg_' order by 1, 2, 3, 4`

	// selectMappings has those of which pg_dump writes the options.
	selectMappings = `select m.usename::text, m.srvname::text from pg_catalog.pg_user_mappings m where m.umoptions <> '{}' order by 2, 1`
)

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification asks PostgreSQL's catalogs. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Objects of extensions and of the service itself are nobody's to compare: their versions are compared instead.
"""

from __future__ import annotations

SYSTEM_DATABASES = ("azure_maintenance", "azure_sys")

#: azuresu is the superuser of the service, which keeps its own schemas; an old server's `public` is its, too.
_USER_SCHEMA = (
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND (n.nspname = 'public' OR pg_catalog.pg_get_userbyid(n.nspowner) <> 'azuresu')"
)


def _own(alias: str, kind: str) -> str:
    """Return the condition that an object is no part of an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.{kind}'::pg_catalog.regclass"
        f" AND x.objid = {alias}.oid AND x.deptype = 'e')"
    )


_OWN_CLASS = _own("c", "pg_class")

#: A database whose removal was interrupted has the limit -2 and lets nobody in.
DATABASES = """
SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2
"""
DATABASE = f"""
SELECT pg_catalog.pg_get_userbyid(datdba) AS owner, pg_catalog.pg_encoding_to_char(encoding) AS encoding,
  datcollate AS collation, datcollversion AS recorded, pg_catalog.pg_database_collation_actual_version(oid) AS actual,
  (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata) AS large_objects,
  ARRAY(SELECT DISTINCT k.collname::text FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
    WHERE k.collversion IS NOT NULL AND {_USER_SCHEMA}
    AND k.collversion <> pg_catalog.pg_collation_actual_version(k.oid)) AS changed_collations
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""
TABLES = f"""
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, greatest(c.reltuples, 0)::bigint AS estimate,
  pg_catalog.pg_relation_size(c.oid) AS bytes,
  pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND c.relpersistence = 'p' AND {_USER_SCHEMA} AND {_OWN_CLASS}
ORDER BY 5 DESC
"""
COLUMNS = f"""
SELECT n.nspname || '.' || c.relname AS name, pg_catalog.array_agg(a.attname || ' ' ||
  pg_catalog.format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
  ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USER_SCHEMA} AND {_OWN_CLASS} GROUP BY 1
"""
#: A constraint that is not enforced (PostgreSQL 18) is never validated, by intent.
CONSTRAINTS = f"""
SELECT n.nspname || '.' || c.relname || '.' || k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
  k.convalidated OR pg_catalog.to_jsonb(k) ->> 'conenforced' = 'false' AS valid
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_USER_SCHEMA} AND {_OWN_CLASS}
"""
INDEXES = f"""
SELECT n.nspname || '.' || c.relname AS name, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
  i.indisvalid AND i.indisready AS valid, c.oid::bigint AS oid, m.amname AS method
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am m ON m.oid = c.relam
WHERE c.relkind = 'i' AND c.relpersistence = 'p' AND {_USER_SCHEMA} AND {_OWN_CLASS}
"""
#: What feeds a column of a table. A sequence that starts again at its end is rightly behind its column.
SEQUENCES = f"""
SELECT n.nspname AS schema, c.relname AS name, s.seqincrement AS increment_by, s.seqcycle AS cycles,
  tn.nspname AS table_schema, t.relname AS table_name, a.attname AS column_name,
  pg_catalog.has_schema_privilege(tn.oid, 'USAGE') AND pg_catalog.has_table_privilege(t.oid, 'SELECT')
  AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS readable,
  a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AS of_integers,
  a.atttypid = 'numeric'::regtype AS of_numbers
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
  AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0
LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p') AND t.relpersistence = 'p'
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND {_USER_SCHEMA} AND {_OWN_CLASS}
"""

_RELATION = """CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
  WHEN 'f' THEN 'foreign table' ELSE 'table' END"""
_FUNCTION = "p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'"

#: What tables, columns, constraints and indexes do not tell: kind and name -> a digest of the definition. Asked for
#: with a search_path of its own, since names in definitions are written by it. Options of user mappings, which may hold
#: passwords, are not read.
DEFINITIONS = f"""
SELECT o.name, pg_catalog.md5(o.definition) AS digest FROM (
  SELECT 'schema ' || n.nspname AS name, '' AS definition FROM pg_catalog.pg_namespace n
  WHERE {_USER_SCHEMA} AND {_own("n", "pg_namespace")}
UNION ALL
  SELECT {_RELATION} || ' ' || n.nspname || '.' || c.relname, pg_catalog.concat_ws('|', c.relkind, c.relpersistence,
    c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions,
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
    CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
    pg_catalog.pg_get_expr(c.relpartbound, c.oid),
    (SELECT pg_catalog.concat_ws('|', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)
      FROM pg_catalog.pg_sequence s WHERE s.seqrelid = c.oid),
    (SELECT pg_catalog.concat_ws('|', s.srvname, f.ftoptions) FROM pg_catalog.pg_foreign_table f
      JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
    (SELECT pg_catalog.string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
      FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid))
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'index ' || n.nspname || '.' || c.relname, pg_catalog.pg_get_indexdef(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'I' AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'default of ' || n.nspname || '.' || c.relname || '.' || a.attname,
    pg_catalog.concat_ws('|', a.attidentity, a.attgenerated, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE (a.atthasdef OR a.attidentity <> '') AND a.attnum > 0 AND NOT a.attisdropped AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'function ' || n.nspname || '.' || {_FUNCTION},
    CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE pg_catalog.pg_get_functiondef(p.oid) END
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE {_USER_SCHEMA} AND {_own("p", "pg_proc")}
UNION ALL
  SELECT 'trigger ' || n.nspname || '.' || c.relname || '.' || t.tgname,
    pg_catalog.concat_ws('|', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
  FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT t.tgisinternal AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'rule ' || n.nspname || '.' || c.relname || '.' || r.rulename,
    pg_catalog.concat_ws('|', r.ev_enabled, pg_catalog.pg_get_ruledef(r.oid))
  FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE r.rulename <> '_RETURN' AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'policy ' || n.nspname || '.' || c.relname || '.' || p.polname, pg_catalog.concat_ws('|', p.polcmd,
    p.polpermissive, (SELECT pg_catalog.string_agg(pg_catalog.pg_get_userbyid(r), ',' ORDER BY 1)
      FROM pg_catalog.unnest(p.polroles) r),
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'type ' || n.nspname || '.' || t.typname, pg_catalog.concat_ws('|', t.typtype, t.typnotnull, t.typdefault,
    CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
    (SELECT pg_catalog.string_agg(l.enumlabel, ',' ORDER BY l.enumsortorder)
      FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid),
    (SELECT pg_catalog.string_agg(k.conname || pg_catalog.pg_get_constraintdef(k.oid), ',' ORDER BY k.conname)
      FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid),
    (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid),
    (SELECT pg_catalog.string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ','
      ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  WHERE (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c') AND {_USER_SCHEMA} AND {_own("t", "pg_type")}
UNION ALL
  SELECT 'statistics ' || n.nspname || '.' || s.stxname, pg_catalog.pg_get_statisticsobjdef(s.oid)
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE {_USER_SCHEMA}
UNION ALL
  SELECT 'publication ' || p.pubname, pg_catalog.concat_ws('|', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
    p.pubtruncate, (SELECT pg_catalog.string_agg(r.prrelid::regclass::text, ',' ORDER BY r.prrelid::regclass::text)
      FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid))
  FROM pg_catalog.pg_publication p
UNION ALL
  SELECT 'event trigger ' || e.evtname, pg_catalog.concat_ws('|', e.evtevent, e.evtenabled, e.evtfoid::regproc)
  FROM pg_catalog.pg_event_trigger e
  WHERE pg_catalog.pg_get_userbyid(e.evtowner) <> 'azuresu' AND {_own("e", "pg_event_trigger")}
UNION ALL
  SELECT 'foreign server ' || s.srvname, pg_catalog.concat_ws('|', s.srvtype, s.srvversion, s.srvoptions, w.fdwname)
  FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
  WHERE {_own("s", "pg_foreign_server")}
) o
"""

_SORTED = 'ARRAY(SELECT i::text FROM pg_catalog.unnest({acl}) i ORDER BY i::text COLLATE "C")'
_HELD = (
    "pg_catalog.pg_get_userbyid(o.owner) || ': ' || pg_catalog.array_to_string("
    + _SORTED.format(acl="coalesce(o.acl, pg_catalog.acldefault(o.kind, o.owner))")
    + ", ', ')"
)

#: Kind and name -> owner and what is granted, sorted: the same grants are the same text however they came.
GRANTS = f"""
SELECT o.name, {_HELD} AS held, false AS is_default FROM (
  SELECT {_RELATION} || ' ' || n.nspname || '.' || c.relname AS name, c.relowner AS owner, c.relacl AS acl,
    CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char" AS kind
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'column ' || n.nspname || '.' || c.relname || '.' || a.attname, c.relowner, a.attacl, 'c'
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND {_USER_SCHEMA} AND {_OWN_CLASS}
UNION ALL
  SELECT 'function ' || n.nspname || '.' || {_FUNCTION}, p.proowner, p.proacl, 'f'
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE {_USER_SCHEMA} AND {_own("p", "pg_proc")}
UNION ALL
  SELECT 'schema ' || n.nspname, n.nspowner, n.nspacl, 'n' FROM pg_catalog.pg_namespace n
  WHERE {_USER_SCHEMA} AND {_own("n", "pg_namespace")}
UNION ALL
  SELECT 'type ' || n.nspname || '.' || t.typname, t.typowner, t.typacl, 'T'
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  WHERE (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c') AND {_USER_SCHEMA} AND {_own("t", "pg_type")}
UNION ALL
  SELECT 'foreign server ' || s.srvname, s.srvowner, s.srvacl, 'S' FROM pg_catalog.pg_foreign_server s
  WHERE {_own("s", "pg_foreign_server")}
) o
UNION ALL
SELECT pg_catalog.concat_ws(' ', 'what', pg_catalog.pg_get_userbyid(d.defaclrole), 'makes',
    'in schema ' || n.nspname, 'of kind', d.defaclobjtype),
  pg_catalog.array_to_string({_SORTED.format(acl="d.defaclacl")}, ', '), true
FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
"""

#: Roles and databases of the server, by kind of fact. Values of settings may be anybody's: only their digests leave.
SERVER = f"""
SELECT 'attributes' AS kind, r.rolname::text AS name, pg_catalog.concat_ws(' ',
  CASE WHEN r.rolcanlogin THEN 'login' END, CASE WHEN r.rolinherit THEN 'inherit' END,
  CASE WHEN r.rolcreatedb THEN 'createdb' END, CASE WHEN r.rolcreaterole THEN 'createrole' END,
  CASE WHEN r.rolreplication THEN 'replication' END, CASE WHEN r.rolbypassrls THEN 'bypassrls' END,
  CASE WHEN r.rolsuper THEN 'superuser' END, 'limit ' || r.rolconnlimit, 'until ' || r.rolvaliduntil) AS value
FROM pg_catalog.pg_roles r
UNION ALL
SELECT 'memberships', pg_catalog.pg_get_userbyid(m.member) || ' in ' || pg_catalog.pg_get_userbyid(m.roleid),
  pg_catalog.concat_ws(' ', CASE WHEN bool_or(m.admin_option) THEN 'admin' END,
    CASE WHEN bool_or((pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean) THEN 'inherit' END,
    CASE WHEN bool_or((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean) THEN 'set' END)
FROM pg_catalog.pg_auth_members m GROUP BY m.member, m.roleid
UNION ALL
SELECT 'settings', pg_catalog.concat_ws(' ', 'of ' || nullif(pg_catalog.pg_get_userbyid(nullif(s.setrole, 0)), ''),
    'in ' || d.datname, pg_catalog.split_part(c.setting, '=', 1)), pg_catalog.md5(c.setting)
FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(setting)
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
UNION ALL
SELECT 'databases', o.datname::text, pg_catalog.concat_ws(', ', o.encoding_name, o.datcollate, o.datctype,
    'limit ' || o.datconnlimit, {_HELD})
FROM (SELECT d.datname, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding_name, d.datcollate, d.datctype,
  d.datconnlimit, d.datdba AS owner, d.datacl AS acl, 'd'::"char" AS kind FROM pg_catalog.pg_database d
  WHERE NOT d.datistemplate AND d.datname NOT IN ('azure_maintenance', 'azure_sys')) o
"""

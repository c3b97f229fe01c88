# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies tables of one server into a side schema of another, in one transaction on each side.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_extract_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, ident, literal

#: What the text of a value depends on, so that both servers write it alike; and no path, so that names are qualified.
SETTINGS = {
    "search_path": "",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

_TABLE = """
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, pg_catalog.pg_table_size(c.oid) AS bytes
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""
_COLUMNS = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
  CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END AS default,
  CASE WHEN a.attcollation <> y.typcollation
    THEN pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname) END AS collation,
  y.typnamespace = 'pg_catalog'::regnamespace AS own,
  a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
  EXISTS (SELECT FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
    WHERE p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid) AS sequence
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
SELECT conname AS name, contype::text AS kind, pg_catalog.pg_get_constraintdef(oid) AS definition
FROM pg_catalog.pg_constraint WHERE conrelid = %s::oid AND contype <> 'n' ORDER BY contype <> 'p', conname
"""
_INDEXES = """
SELECT c.relname AS name, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition, i.indisunique AS unique
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::oid AND i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
    WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x') AND k.conrelid = i.indrelid)
ORDER BY 1
"""
_SCHEMA = """
SELECT pg_catalog.obj_description(oid, 'pg_namespace') AS comment FROM pg_catalog.pg_namespace WHERE nspname = %s
"""


def describe(session: t.Any, wish: plans.Wish) -> tuple[plans.Table, int]:
    """Return a table and its size.

    :raises AksPlatformError: there is none, or it is a view or the like.
    """
    rows = session.rows(_TABLE, (wish.schema, wish.name))
    if not rows or rows[0]["kind"] not in ("r", "p"):
        what = "is no table" if rows else "does not exist"
        raise AksPlatformError(
            f"{wish.schema}.{wish.name} {what} in the database {session.database} that was restored."
        )
    oid = rows[0]["oid"]
    left_out, columns = [], []
    for row in session.rows(_COLUMNS, (oid,)):
        if row["sequence"] or row["identity"]:
            left_out.append(f"the sequence of {row['name']}")
        if row["generated"]:
            left_out.append(f"the expression of {row['name']}")
        default = None if row["sequence"] else row["default"]
        columns.append(
            {**{key: row[key] for key in ("name", "type", "not_null", "collation", "own")}, "default": default}
        )
    constraints = {}
    for row in session.rows(_CONSTRAINTS, (oid,)):
        if row["kind"] in plans.CONSTRAINTS:
            constraints[row["name"]] = row["definition"]
        else:
            left_out.append(f"the constraint {row['name']} ({row['definition']})")
    indexes = {
        row["name"]: (plans.index_tail(row["definition"]), row["unique"]) for row in session.rows(_INDEXES, (oid,))
    }
    binary = all(column["own"] for column in columns)
    table = plans.Table(wish.schema, wish.name, rows[0]["kind"] == "p", columns, constraints, indexes, left_out, binary)
    return table, rows[0]["bytes"]


def extract(
    source: t.Any,
    live: t.Any,
    *,
    source_name: str,
    schema: str,
    tables: t.Sequence[str],
    check_mode: bool,
    progress: t.Callable[[str], None],
) -> dict[str, t.Any]:
    """Copy the tables, or say what would be copied.

    Everything appears at the end, in one step: a run that is cut off leaves nothing, and is started again.

    :param source_name: what the comment of the side schema says that it comes from.
    :raises AksPlatformError: refused, or a copy differs from what was read.
    """
    wanted = plans.wishes(tables)
    plans.check_schema(schema)
    there = live.rows(_SCHEMA, (schema,))
    if there:
        copies = plans.existing(schema, there[0]["comment"], source_name, live.database, wanted)
        return {"changed": False, "schema": schema, "tables": copies}
    source.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    found = [describe(source, wish) for wish in wanted]
    if check_mode:
        copies = [{"table": table.full, "bytes": size, "left_out": table.left_out} for table, size in found]
        return {"changed": True, "schema": schema, "tables": copies}
    same = _version(source) == _version(live)
    live.rows("BEGIN")
    try:
        live.rows(f"CREATE SCHEMA {ident(schema)}")
        copies = [_copy(source, live, table, schema, same, progress) for table, _size in found]
        comment = literal(plans.marker(source_name, live.database, copies))
        live.rows(f"COMMENT ON SCHEMA {ident(schema)} IS {comment}")
        live.rows("COMMIT")
    except AksPlatformError:
        _give_up(live)
        raise
    return {"changed": True, "schema": schema, "tables": copies}


def _copy(
    source: t.Any, live: t.Any, table: plans.Table, schema: str, same: bool, progress: t.Callable[[str], None]
) -> dict[str, t.Any]:
    progress(f"copying {table.full}")
    for statement in plans.create(table, schema):
        live.rows(statement)
    read, write = plans.copy(table, schema, binary=same)
    size = source.copy_into(read, live, write)
    for statement in plans.complete(table, schema):
        live.rows(statement)
    copied = f"{ident(schema)}.{ident(table.name)}"
    before = source.rows(plans.digest(table.quoted, table))[0]
    after = live.rows(plans.digest(copied, table))[0]
    if before != after:
        raise AksPlatformError(
            f"The copy of {table.full} differs from the table: {after['rows']} rows instead of {before['rows']}, "
            f"checksum {after['checksum']} instead of {before['checksum']}. Nothing was kept."
        )
    return {
        "table": table.full,
        "copy": f"{schema}.{table.name}",
        "rows": after["rows"],
        "checksum": after["checksum"],
        "bytes": size,
        "left_out": table.left_out,
    }


def _version(session: t.Any) -> int:
    return int(session.rows("SELECT pg_catalog.current_setting('server_version_num') AS number")[0]["number"]) // 10000


def _give_up(session: t.Any) -> None:
    try:
        session.rows("ROLLBACK")
    except SqlError:
        session.close()

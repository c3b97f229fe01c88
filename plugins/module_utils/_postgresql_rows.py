# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows by the transaction that wrote them. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Every row version carries the number of its transaction (xmin). A restored server is a physical copy, so a row version
that its source has and it has not was written after the moment of the restore. This needs no commit timestamps.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, ident

#: How many transactions before the moment of a restore may still have been under way then.
WINDOW = 100_000

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY c.relpages, 1, 2
"""
_NOW = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text AS now"
_CHANGES = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint AS n FROM pg_catalog.pg_stat_user_tables"


class Table(t.NamedTuple):
    """The name of a table."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        return f"{ident(self.schema)}.{ident(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def now(session: t.Any) -> int:
    """Return the number that the next transaction of a server will have."""
    return int(session.rows(_NOW)[0]["now"])


def pid(session: t.Any) -> int:
    """Return the process of a session."""
    return int(session.rows("SELECT pg_catalog.pg_backend_pid() AS pid")[0]["pid"])


def tables(session: t.Any) -> list[Table]:
    """Return the tables of a database, the smallest first."""
    return [Table(**row) for row in session.rows(_TABLES)]


def changes(session: t.Any) -> int:
    """Return how many rows of a database's tables were ever inserted, updated or deleted, as PostgreSQL counts them."""
    return int(session.rows(_CHANGES)[0]["n"])


def short(number: int) -> int:
    """Return a transaction's number as a row carries it."""
    return number % 2**32


def since(number: int) -> str:
    """Return the condition for rows that this transaction or a later one has written."""
    return f"pg_catalog.age(xmin) BETWEEN 0 AND pg_catalog.age('{short(number)}'::xid)"


def written_since(session: t.Any, number: int) -> list[dict[str, t.Any]]:
    """Return the tables with rows that are newer than a transaction; rows is None where that cannot be told."""
    found: list[dict[str, t.Any]] = []
    session.rows("SET statement_timeout = '30s'")
    for table in tables(session):
        try:
            rows = session.rows(f"SELECT count(*) AS n FROM ONLY {table.sql} WHERE {since(number)}")[0]["n"]
        except SqlError as error:
            found.append({"table": str(table), "rows": None, "why": str(error)})
            continue
        if rows:
            found.append({"table": str(table), "rows": rows})
    return found

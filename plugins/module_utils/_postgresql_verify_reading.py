# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tables of one database to their end, each only once. FOR INTERNAL COLLECTION USE ONLY."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, ident

#: The table went while the others were read: a server in use may do that.
DROPPED = "42P01"
_LAST_VALUES = "SELECT schemaname || '.' || sequencename AS name, last_value FROM pg_catalog.pg_sequences"


class Reading:
    """What one pass over each table yields: rows, bytes, and the largest value of each column that a sequence feeds.

    The server makes the text of every row, as COPY would, so each page and each value stored out of line is read and
    decoded; but only the length leaves it.

    :param tables: schema, name of each table.
    :param sequences: schema, name of each sequence, and the column that it feeds.
    """

    def __init__(self, tables: t.Sequence[dict[str, t.Any]], sequences: t.Sequence[dict[str, t.Any]]) -> None:
        self.tables = tables
        self._names = [f"{row['schema']}.{row['name']}" for row in sequences]
        self._feeding = [
            row
            for row in sequences
            if row["column_name"] is not None
            and row["readable"]
            and row["increment_by"] > 0
            and not row["cycles"]
            and (row["of_integers"] or row["of_numbers"])
        ]
        self._largest: dict[tuple[str, str], int | None] = {}

    def run(self, session: t.Any, facts: plans.Facts) -> tuple[int, list[str]]:
        """Read every table, note what is found, and return (bytes, what could not be read)."""
        fed: dict[str, list[str]] = {}
        for row in self._feeding:
            if row["of_integers"]:
                fed.setdefault(_table(row), []).append(row["column_name"])
        size, failures = 0, []
        for row in self.tables:
            full = f"{row['schema']}.{row['name']}"
            columns = fed.get(full, [])
            largest = "".join(f", max(aksops_row.{ident(column)}) AS largest_{n}" for n, column in enumerate(columns))
            try:
                found = session.rows(
                    "SELECT count(*) AS rows, coalesce(sum(octet_length(aksops_row::text)), 0)::bigint AS bytes"
                    f"{largest} FROM {ident(row['schema'])}.{ident(row['name'])} AS aksops_row"
                )[0]
            except SqlError as error:
                if error.sqlstate != DROPPED:
                    failures.append(f"{full}: {error}")
                continue
            size += found["bytes"]
            facts.tables[full] = found["rows"]
            facts.exact.append(full)
            for n, column in enumerate(columns):
                self._largest[full, column] = found[f"largest_{n}"]
        return size, failures

    def sequences(self, session: t.Any, facts: plans.Facts, database: str) -> plans.Result:
        """Compare each sequence with the column that it feeds."""
        for row in self._feeding:
            if (_table(row), row["column_name"]) not in self._largest:
                table = f"{ident(row['table_schema'])}.{ident(row['table_name'])}"
                statement = f"SELECT max({ident(row['column_name'])})::numeric AS largest FROM {table}"
                self._largest[_table(row), row["column_name"]] = session.rows(statement)[0]["largest"]
        if self._names:
            # Asked after the columns: on a server that takes writes, no sequence is behind what was seen before.
            last_values = {row["name"]: row["last_value"] for row in session.rows(_LAST_VALUES)}
            facts.sequences = {name: last_values.get(name) for name in self._names}
        behind = []
        for row in self._feeding:
            full = f"{row['schema']}.{row['name']}"
            last, largest = facts.sequences[full], self._largest[_table(row), row["column_name"]]
            if largest is not None and largest > (last or 0):
                behind.append({"sequence": full, "last": last or "its start", "largest": largest})
        return plans.sequences(database, behind, len(self._feeding))


def _table(sequence: t.Mapping[str, t.Any]) -> str:
    """Return schema.table of the column that a sequence feeds."""
    return f"{sequence['table_schema']}.{sequence['table_name']}"

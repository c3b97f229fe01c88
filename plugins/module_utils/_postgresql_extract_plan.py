# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a table's copy in a side schema looks like. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

A copy holds rows, not behaviour: generated and identity columns become plain ones with the values they had, and foreign
keys, triggers, policies and sequences stay behind, because they would tie the copy to the live tables.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import ident

MARKER = "Copied by aksops.platform.postgresql_extract: "
#: C(contype) of what is made again: primary key, unique, exclusion, check.
CONSTRAINTS = ("p", "u", "x", "c")


@dataclasses.dataclass
class Table:
    """A table as its server's catalog describes it; names are plain, definitions are SQL.

    :param columns: name, type, whether not null, default, collation, in order.
    :param binary: whether every type is PostgreSQL's own, so that its binary form means the same on both servers.
    :param constraints: name -> definition.
    :param indexes: name -> everything after C(ON table), and whether unique.
    """

    schema: str
    name: str
    partitioned: bool
    columns: list[dict[str, t.Any]]
    constraints: dict[str, str]
    indexes: dict[str, tuple[str, bool]]
    left_out: list[str]
    binary: bool = True

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return f"{ident(self.schema)}.{ident(self.name)}"


class Wish(t.NamedTuple):
    """Which table is wanted."""

    schema: str
    name: str


def wishes(tables: t.Sequence[str]) -> list[Wish]:
    """Return the tables that are asked for, as SCHEMA.NAME or NAME (in public).

    :raises AksPlatformError: none, or two that would have the same name in the side schema.
    """
    found: list[Wish] = []
    for text in tables:
        parts = text.split(".")
        if len(parts) > 2 or not all(parts):
            raise AksPlatformError(f"{text!r} is no table: write SCHEMA.NAME, or NAME for one in the schema public.")
        wish = Wish(parts[0] if len(parts) == 2 else "public", parts[-1])
        if wish in found:
            continue
        twin = next((other for other in found if other.name == wish.name), None)
        if twin is not None:
            raise AksPlatformError(
                f"{twin.schema}.{twin.name} and {wish.schema}.{wish.name} would have the same name in the side schema: "
                "extract them into two."
            )
        found.append(wish)
    if not found:
        raise AksPlatformError("tables is empty: name at least one table to recover.")
    return found


def check_schema(schema: str) -> str:
    """Return the side schema's name.

    :raises AksPlatformError: PostgreSQL would cut it or keeps it for itself.
    """
    if not schema or len(schema.encode()) > 63 or schema.startswith("pg_") or schema == "information_schema":
        raise AksPlatformError(
            f"{schema!r} cannot be a side schema's name: 1 to 63 bytes, not beginning with pg_, such as recovered_1."
        )
    return schema


def create(table: Table, schema: str) -> list[str]:
    """Return the statements that make the empty copy."""
    lines = []
    for column in table.columns:
        parts = [ident(column["name"]), column["type"]]
        if column["collation"]:
            parts.append(f"COLLATE {column['collation']}")
        if column["default"]:
            parts.append(f"DEFAULT {column['default']}")
        if column["not_null"]:
            parts.append("NOT NULL")
        lines.append(" ".join(parts))
    return [f"CREATE TABLE {ident(schema)}.{ident(table.name)} ({', '.join(lines)})"]


def complete(table: Table, schema: str) -> list[str]:
    """Return the statements that follow the rows: constraints and indexes are faster made at once."""
    target = f"{ident(schema)}.{ident(table.name)}"
    statements = [
        f"ALTER TABLE {target} ADD CONSTRAINT {ident(name)} {definition}"
        for name, definition in table.constraints.items()
    ]
    for name, (definition, unique) in table.indexes.items():
        statements.append(f"CREATE {'UNIQUE ' if unique else ''}INDEX {ident(name)} ON {target} {definition}")
    return statements


def copy(table: Table, schema: str, *, binary: bool) -> tuple[str, str]:
    """Return the statements that read the rows and that take them in."""
    form = "binary" if binary and table.binary else "text"
    columns = ", ".join(ident(column["name"]) for column in table.columns)
    only = "" if table.partitioned else "ONLY "
    return (
        f"COPY (SELECT {columns} FROM {only}{table.quoted}) TO STDOUT (FORMAT {form})",
        f"COPY {ident(schema)}.{ident(table.name)} ({columns}) FROM STDIN (FORMAT {form})",
    )


def digest(quoted: str, table: Table) -> str:
    """Return the query for rows and an order-independent checksum of their text."""
    only = "" if table.partitioned else "ONLY "
    columns = ", ".join(ident(column["name"]) for column in table.columns)
    row = f"ROW({columns})::text"
    return (
        f"SELECT count(*) AS rows, coalesce(sum(pg_catalog.hashtextextended({row}, 0)::numeric), 0)::text AS checksum"
        f" FROM {only}{quoted}"
    )


def index_tail(definition: str) -> str:
    """Return what of an index's definition follows the table's name."""
    match = re.search(r" USING [a-z_0-9\"]+ \(.*", definition, re.DOTALL)
    if match is None:
        raise AksPlatformError(f"The index definition {definition!r} is not understood.")
    return match[0].strip()


def marker(source: str, database: str, copies: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Return the comment that says where a side schema comes from."""
    content = {"source": source.lower(), "database": database, "tables": [dict(item) for item in copies]}
    return MARKER + json.dumps(content, sort_keys=True)


def existing(
    schema: str, comment: str | None, source: str, database: str, wanted: t.Sequence[Wish]
) -> list[dict[str, t.Any]]:
    """Return the copies that a finished run of the same extraction has made.

    :raises AksPlatformError: the schema is something else, which is never overwritten.
    """
    try:
        content = json.loads((comment or "").removeprefix(MARKER)) if (comment or "").startswith(MARKER) else {}
        copies = list(content.get("tables") or [])
        same = content.get("source") == source.lower() and content.get("database") == database
        same = same and sorted(item["table"] for item in copies) == sorted(f"{one.schema}.{one.name}" for one in wanted)
    except (ValueError, KeyError, TypeError, AttributeError):
        same, copies = False, []
    if not same:
        raise AksPlatformError(
            f"The schema {schema} exists already in the database {database} and is not this extraction's; choose "
            "another name by schema. Nothing was changed."
        )
    return copies

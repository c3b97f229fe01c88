# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a server does not come along to another. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_rows as rows
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_fence_plan import SPARED
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, literal

_DATABASES = (
    "SELECT datname FROM pg_catalog.pg_database WHERE NOT datistemplate AND datallowconn AND datname <> ALL (%s)"
)

Connect = t.Callable[[str], t.Any]


class Gap:
    """Compares two servers table by table, the smallest first, until the time is over.

    :param source: gives a session in a database of the server that is left.
    :param target: the same for its physical copy that takes over; None counts by C(since) instead.
    :param since: number of the first transaction of the source that the other one cannot know.
    :param seconds: for all tables together.
    """

    def __init__(
        self,
        source: Connect,
        target: Connect | None,
        since: int,
        seconds: float,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._target = target
        self._since = since
        self._clock = clock
        self._until = clock() + seconds
        self._tables: list[dict[str, t.Any]] = []
        self._untold: list[dict[str, str]] = []

    def report(self) -> dict[str, t.Any]:
        """Return rows that stay behind, and rows that come back, by table; what could not be counted is named."""
        with self._source("postgres") as session:
            names = self._databases(session)
        there = set(names)
        if self._target is not None:
            with self._target("postgres") as session:
                there = set(self._databases(session))
        for name in sorted({*names, *there}):
            try:
                self._database(name, name in names, name in there)
            except AksPlatformError as error:
                self._untold.append({"database": name, "table": "", "why": str(error)})
        return summary("copy" if self._target is not None else "since", self._tables, self._untold)

    @staticmethod
    def _databases(session: t.Any) -> list[str]:
        return [row["datname"] for row in session.rows(_DATABASES, (list(SPARED),))]

    def _database(self, name: str, here: bool, there: bool) -> None:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(self._source(name)) if here else None
            target = stack.enter_context(self._target(name)) if self._target is not None and there else None
            for session in (source, target):
                if session is not None:
                    # Rows that a policy hides are not silently left out.
                    session.rows("SET row_security = off")
            mine = rows.tables(source) if source is not None else []
            others = rows.tables(target) if target is not None else []
            for table in [*mine, *(item for item in others if item not in set(mine))]:
                sessions = (source if table in mine else None, target if table in others else None)
                self._table(name, table, *sessions)

    def _table(self, database: str, table: rows.Table, source: t.Any, target: t.Any) -> None:
        left = self._until - self._clock()
        if left <= 0:
            self._untold.append({"database": database, "table": str(table), "why": "the time for counting was over"})
            return
        for session in (source, target):
            if session is not None:
                session.rows(f"SET statement_timeout = {max(1, int(left * 1000))}")
        try:
            newer, gone = self._since_mark(table, source) if self._target is None else _copies(table, source, target)
        except SqlError as error:
            self._untold.append({"database": database, "table": str(table), "why": str(error)})
            return
        if newer or gone:
            self._tables.append({"database": database, "table": str(table), "newer": newer, "back": gone})

    def _since_mark(self, table: rows.Table, source: t.Any) -> tuple[int, None]:
        found = source.rows(f"SELECT count(*) AS n FROM ONLY {table.sql} WHERE {rows.since(self._since)}")
        return int(found[0]["n"]), None


def _copies(table: rows.Table, source: t.Any, target: t.Any) -> tuple[int, int]:
    """Return how many rows only the source has, and how many only its copy has."""
    if target is None:
        return int(source.rows(f"SELECT count(*) AS n FROM ONLY {table.sql}")[0]["n"]), 0
    first = max(3, rows.now(target) - rows.WINDOW)
    known = target.rows(
        "SELECT count(*) AS n, coalesce(array_agg(DISTINCT xmin::text)"
        f" FILTER (WHERE {rows.since(first)}), '{{}}') AS writers FROM ONLY {table.sql}"
    )[0]
    if source is None:
        return 0, int(known["n"])
    writers = literal("{" + ",".join(known["writers"]) + "}")
    found = source.rows(
        f"SELECT count(*) AS n, count(*) FILTER (WHERE {rows.since(first)} AND xmin <> ALL ({writers}::xid[])) AS newer"
        f" FROM ONLY {table.sql}"
    )[0]
    newer = int(found["newer"])
    return newer, max(0, int(known["n"]) - (int(found["n"]) - newer))


def summary(
    method: str, tables: t.Sequence[dict[str, t.Any]], untold: t.Sequence[dict[str, str]], why: str = ""
) -> dict[str, t.Any]:
    """Return a report with its totals and one sentence; C(why): nothing could be counted at all."""
    newer, back = (sum(item[key] or 0 for item in tables) for key in ("newer", "back"))
    return {
        "method": "" if why else method,
        "newer": None if why else newer,
        "back": None if why or method == "since" else back,
        "tables": list(tables),
        "untold": list(untold),
        "text": why or _sentence(newer, back, tables, untold),
    }


def _sentence(newer: int, back: int, tables: t.Sequence[dict[str, t.Any]], untold: t.Sequence[dict[str, str]]) -> str:
    parts = [f"{newer} rows that were inserted or updated since do not come along"]
    if newer:
        listed = [f"{i['database']}.{i['table']} {i['newer']}" for i in tables if i["newer"]]
        parts[0] += f" ({', '.join(listed[:10])}{', ...' if len(listed) > 10 else ''})"
    if back:
        parts.append(f"{back} rows that were deleted or updated since come back as they were")
    if untold:
        names = [f"{item['database']}.{item['table']}".rstrip(".") for item in untold]
        parts.append(f"not counted: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}")
    return "; ".join(parts) + "."

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses and admits applications. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_fence_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _tags
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, parse_id
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import ident
from ansible_collections.aksops.platform.plugins.module_utils._waiter import poll

_LIMITS = """
SELECT datname, datconnlimit FROM pg_catalog.pg_database
WHERE NOT datistemplate AND datallowconn AND datname <> ALL (%s)
"""
_SESSIONS = """
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.datname <> ALL (%s) AND a.backend_type = 'client backend' AND NOT r.rolsuper
  AND a.pid <> pg_catalog.pg_backend_pid()
"""


class Fence:
    """The fence of one server.

    :param arm: an ArmClient.
    :param connect: gives a session in the maintenance database, used as a context manager.
    """

    def __init__(self, arm: t.Any, server_id: str, connect: t.Callable[[], t.Any]) -> None:
        self._arm = arm
        self._server = parse_id(server_id)
        self._connect = connect

    def apply(self, state: str, *, check_mode: bool, timeout: float) -> dict[str, t.Any]:
        """Bring the fence to C(state), fenced or open, and return what changed.

        :raises AksPlatformError: there is no such server, a session does not end, or PostgreSQL refused.
        """
        server = self._arm.get(self._server.path, API_VERSION)
        if server is None:
            raise AksPlatformError(f"There is no PostgreSQL server {self._server.name} in {self._server.group}.")
        tag = (server.get("tags") or {}).get(plans.TAG_FENCE)
        with self._connect() as session:
            # The session may be read-only by default: what it does here is its purpose.
            session.rows("SET default_transaction_read_only = off")
            rows = session.rows(_LIMITS, (list(plans.SPARED),))
            limits = {row["datname"]: row["datconnlimit"] for row in rows}
            if state == "fenced":
                return self._close(session, limits, tag, check_mode, timeout)
            return self._open(session, limits, tag, check_mode)

    def _close(
        self, session: t.Any, limits: dict[str, int], tag: str | None, check_mode: bool, timeout: float
    ) -> dict[str, t.Any]:
        record = plans.record(limits, tag)
        changes = plans.fence(limits)
        ended = len(session.rows(f"SELECT a.pid {_SESSIONS}", (list(plans.SPARED),)))
        if not check_mode:
            if record != tag:
                _tags.merge(self._arm, self._server.path, {plans.TAG_FENCE: record})
            self._limit(session, changes)
            self._end_sessions(session, timeout)
        return {"changed": bool(changes or ended or record != tag), "databases": list(changes), "sessions": ended}

    def _open(self, session: t.Any, limits: dict[str, int], tag: str | None, check_mode: bool) -> dict[str, t.Any]:
        changes = plans.unfence(limits, tag)
        if not check_mode:
            self._limit(session, changes)
            if tag is not None:
                _tags.remove(self._arm, self._server.path, {plans.TAG_FENCE: tag})
        return {"changed": bool(changes) or tag is not None, "databases": list(changes), "sessions": 0}

    @staticmethod
    def _limit(session: t.Any, changes: dict[str, int]) -> None:
        for name, limit in changes.items():
            session.rows(f"ALTER DATABASE {ident(name)} CONNECTION LIMIT {limit}")

    @staticmethod
    def _end_sessions(session: t.Any, timeout: float) -> None:
        def check() -> tuple[bool, str]:
            session.rows(f"SELECT pg_catalog.pg_terminate_backend(a.pid) {_SESSIONS}", (list(plans.SPARED),))
            rows = session.rows(f"SELECT a.datname, a.usename {_SESSIONS}", (list(plans.SPARED),))
            names = ", ".join(f"{row['usename']} in {row['datname']}" for row in rows[:5])
            return not rows, f"{len(rows)} sessions still open: {names}" if rows else "no session left"

        poll(check, timeout=timeout, interval=0.2, describe="the end of the applications' sessions")

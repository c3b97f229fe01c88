# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses and admits applications. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_fence_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_rows as rows
from ansible_collections.aksops.platform.plugins.module_utils import _tags
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, parse_id
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, ident, literal
from ansible_collections.aksops.platform.plugins.module_utils._waiter import poll

_LIMITS = """
SELECT datname, datconnlimit FROM pg_catalog.pg_database
WHERE NOT datistemplate AND datallowconn AND datname <> ALL (%s)
"""
_SETTINGS = """
SELECT coalesce(d.datname, '') AS database, coalesce(r.rolname, '') AS role, split_part(c.setting, '=', 2) AS value
FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
WHERE c.setting LIKE 'default_transaction_read_only=%%' AND NOT coalesce(r.rolsuper, false)
"""
_SESSIONS = """
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.datname <> ALL (%s) AND a.backend_type = 'client backend' AND NOT r.rolsuper
  AND a.pid <> pg_catalog.pg_backend_pid() AND a.pid <> ALL (%s) AND a.backend_start <= %s
"""


class Fence:
    """The fence of one server.

    :param arm: an ArmClient.
    :param connect: gives a session in a database, used as a context manager.
    """

    def __init__(self, arm: t.Any, server_id: str, connect: t.Callable[[str], t.Any]) -> None:
        self._arm = arm
        self._server = parse_id(server_id)
        self._connect = connect
        self._limits: dict[str, int] = {}
        self._settings: list[plans.Setting] = []
        self._tag: str | None = None
        self._mark = plans.Mark()
        self._marked = False

    def apply(self, state: str, *, check_mode: bool, timeout: float) -> dict[str, t.Any]:
        """Bring the fence to a state, and return what changed. A closed server stays closed where read-only is asked.

        :raises AksPlatformError: there is no such server, a session does not end, or PostgreSQL refused.
        """
        server = self._arm.get(self._server.path, API_VERSION)
        if server is None:
            raise AksPlatformError(f"There is no PostgreSQL server {self._server.name} in {self._server.group}.")
        tags = server.get("tags") or {}
        self._tag = tags.get(plans.TAG_FENCE)
        self._mark = plans.read_mark(tags.get(plans.TAG_MARK))
        self._marked = plans.TAG_MARK in tags
        result: dict[str, t.Any] = {"changed": False, "databases": [], "sessions": 0, "late": None}
        with self._connect("postgres") as session:
            # The session may be read-only by default: what it does here is its purpose.
            session.rows("SET default_transaction_read_only = off")
            found = session.rows(_LIMITS, (list(plans.SPARED),))
            self._limits = {row["datname"]: row["datconnlimit"] for row in found}
            self._settings = [plans.Setting(**row) for row in session.rows(_SETTINGS)]
            if state == plans.OPEN:
                self._open(session, check_mode, result)
            else:
                self._read_only(session, check_mode, timeout, result)
            if state == plans.CLOSED:
                self._close(session, check_mode, timeout, result)
        result["databases"] = sorted(set(result["databases"]))
        return result

    def _read_only(self, session: t.Any, check_mode: bool, timeout: float, result: dict[str, t.Any]) -> None:
        changes = plans.seal(self._limits, self._settings)
        if not changes and self._mark.read_only:
            return
        result["changed"] = True
        result["databases"] += [item.database for item in changes]
        result["sessions"] += len(self._open_sessions(session))
        if check_mode:
            return
        for item in changes:
            self._set(session, item)
        # A session reads the settings when it begins: whatever began before this moment may still write.
        self._end_sessions(session, timeout)
        mark = self._mark._replace(read_only=rows.now(session), changes=self._changes())
        _tags.merge(self._arm, self._server.path, {plans.TAG_MARK: plans.write_mark(mark)})
        self._mark = mark

    def _close(self, session: t.Any, check_mode: bool, timeout: float, result: dict[str, t.Any]) -> None:
        record = plans.record(self._limits, self._tag)
        changes = plans.fence(self._limits)
        ended = len(self._open_sessions(session))
        result["changed"] |= bool(changes or ended or record != self._tag)
        result["databases"] += list(changes)
        result["sessions"] += ended
        if check_mode:
            return
        if record != self._tag:
            _tags.merge(self._arm, self._server.path, {plans.TAG_FENCE: record})
        with contextlib.ExitStack() as stack:
            # They come in before the door is shut, so that they see what was written until then.
            readers = {name: stack.enter_context(self._connect(name)) for name in changes}
            self._limit(session, changes)
            self._end_sessions(session, timeout, spare=[rows.pid(reader) for reader in readers.values()])
            if readers:
                result["late"] = self._late(readers)

    def _open(self, session: t.Any, check_mode: bool, result: dict[str, t.Any]) -> None:
        limits = plans.unfence(self._limits, self._tag)
        settings = plans.unseal(self._limits, self._settings)
        fenced = bool(limits or settings or self._tag is not None or self._mark.read_only)
        result["changed"] = fenced
        result["databases"] += [*limits, *(item.database for item in settings)]
        if check_mode or not fenced:
            return
        mark = plans.write_mark(plans.Mark(opened=rows.now(session)))
        for item in settings:
            self._set(session, item)
        self._limit(session, limits)
        # Sessions that began before this are read-only for as long as they live.
        self._end_sessions(session, 60)
        _tags.merge(self._arm, self._server.path, {plans.TAG_MARK: mark})
        if self._tag is not None:
            _tags.remove(self._arm, self._server.path, {plans.TAG_FENCE: self._tag})

    def _changes(self) -> int:
        """Changed rows of all databases that let this login in; -1 where one does not."""
        if any(limit == 0 for limit in self._limits.values()):
            return -1
        total = 0
        for name in self._limits:
            with self._connect(name) as session:
                total += rows.changes(session)
        return total

    def _late(self, readers: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return what was written after the server was made read-only: a client may ask for that by itself."""
        if not self._mark.read_only or self._mark.changes < 0 or set(readers) != set(self._limits):
            return {"told": False, "changes": None, "tables": []}
        changes = sum(rows.changes(session) for session in readers.values()) - self._mark.changes
        tables: list[dict[str, t.Any]] = []
        if changes:
            for name, session in sorted(readers.items()):
                tables += [{"database": name, **item} for item in rows.written_since(session, self._mark.read_only)]
        return {"told": True, "changes": changes, "tables": tables}

    @staticmethod
    def _set(session: t.Any, item: plans.Setting) -> None:
        inside = f" IN DATABASE {ident(item.database)}" if item.role else ""
        what = f"ROLE {ident(item.role)}{inside}" if item.role else f"DATABASE {ident(item.database)}"
        name = "default_transaction_read_only"
        action = f"RESET {name}" if item.value is None else f"SET {name} = {literal(item.value)}"
        try:
            session.rows(f"ALTER {what} {action}")
        except SqlError as error:
            if not item.role or error.sqlstate != "42501":
                raise
            raise AksPlatformError(
                f"The role {item.role} has a setting {name} of its own that lets it write to {item.database}, and this "
                f"login may not change it: let the role's owner reset it, and run this again. ({error})"
            ) from None

    @staticmethod
    def _limit(session: t.Any, changes: dict[str, int]) -> None:
        for name, limit in changes.items():
            session.rows(f"ALTER DATABASE {ident(name)} CONNECTION LIMIT {limit}")

    @staticmethod
    def _open_sessions(
        session: t.Any, spare: t.Sequence[int] = (), until: t.Any = "infinity"
    ) -> list[dict[str, t.Any]]:
        found: list[dict[str, t.Any]] = session.rows(
            f"SELECT a.pid, a.datname, a.usename {_SESSIONS}", (list(plans.SPARED), list(spare), until)
        )
        return found

    def _end_sessions(self, session: t.Any, timeout: float, spare: t.Sequence[int] = ()) -> None:
        """End the sessions that began before now; those that come later know the new settings."""
        until = session.rows("SELECT clock_timestamp() AS now")[0]["now"]

        def check() -> tuple[bool, str]:
            arguments = (list(plans.SPARED), list(spare), until)
            session.rows(f"SELECT pg_catalog.pg_terminate_backend(a.pid) {_SESSIONS}", arguments)
            found = self._open_sessions(session, spare, until)
            names = ", ".join(f"{row['usename']} in {row['datname']}" for row in found[:5])
            return not found, f"{len(found)} sessions still open: {names}" if found else "no session left"

        poll(check, timeout=timeout, interval=0.2, describe="the end of the applications' sessions")

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the record of a promotion in Azure. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_promotion_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _tags
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, SERVER_TYPE
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_active import group_tags
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_restore_plan import TAG_ROLE

LOCKS_API = "2020-05-01"
_NOTES = "A promotion has replaced this server. It is kept so that the promotion can be rolled back."


class Promotion:
    """The change of one platform's server.

    :param arm: an ArmClient.
    :param group: resource id of the platform's resource group.
    :param known: name of the server in use where no promotion has ever named one.
    """

    def __init__(self, arm: t.Any, group: str, known: str, *, check_mode: bool) -> None:
        self._arm = arm
        self._group = group.rstrip("/")
        self._check = check_mode
        self._tags = group_tags(arm, self._group)
        self.record = plans.read(self._tags, known)
        self.actions: list[str] = []

    def begin(
        self, kind: str, target: str, receipts: t.Sequence[t.Mapping[str, t.Any]], max_age: float
    ) -> dict[str, t.Any]:
        """Begin or resume a change and return what later steps need.

        :raises AksPlatformError: refused; nothing was written.
        """
        began = datetime.datetime.now(plans.UTC).strftime("%Y%m%dT%H%M%SZ")
        wanted = plans.begin(self.record, kind, target, began)
        change, receipt = wanted.change, None
        if change is not None and change.kind == plans.PROMOTE and change.phase == plans.FENCING:
            server = self._server(change.target)
            plans.check_candidate(change.target, server, self._server(change.source))
            receipt = plans.gate(receipts, server or {}, max_age, datetime.datetime.now(plans.UTC))
        self._store(wanted, f"record: {change}")
        if receipt is not None and change is not None:
            # From now on a restore that is not wanted any more is not deleted by name.
            self._role(change.target, plans.CANDIDATE)
        return {"receipt": receipt, **self.facts()}

    def switch(self) -> None:
        """Name the new server as the one in use."""
        wanted = plans.switch(self.record)
        self._role(wanted.active, plans.ACTIVE)
        self._store(wanted, f"name {wanted.active} as the server in use")

    def mark(self) -> None:
        """Tag both servers with what they are, and lock the one that a promotion has replaced."""
        change = self.record.change
        if change is None:
            return
        promoted = change.kind == plans.PROMOTE
        self._lock(change.source if promoted else change.target, promoted)
        self._role(change.source, plans.SUPERSEDED if promoted else plans.ROLLED_BACK)
        self._role(change.target, plans.ACTIVE)

    def finish(self) -> None:
        """End the change."""
        change = self.record.change
        self._store(plans.finish(self.record), f"finished: {change}")

    def facts(self) -> dict[str, t.Any]:
        """Return the change with ids and host names of both servers; {} for change where there is none."""
        change = self.record.change
        found: dict[str, t.Any] = {}
        if change is not None:
            found = {"kind": change.kind, "phase": change.phase, "id": change.identity}
            for part, name in (("source", change.source), ("target", change.target)):
                server = self._server(name) or {}
                fqdn = (server.get("properties") or {}).get("fullyQualifiedDomainName", "")
                found[part] = {"name": name, "id": self._id(name), "fqdn": fqdn, "exists": bool(server)}
        return {"active": self.record.active, "previous": self.record.previous, "change": found}

    def _id(self, name: str) -> str:
        return f"{self._group}/providers/{SERVER_TYPE}/{name}"

    def _server(self, name: str) -> dict[str, t.Any] | None:
        found: dict[str, t.Any] | None = self._arm.get(self._id(name), API_VERSION)
        return found

    def _store(self, record: plans.Record, text: str) -> None:
        setting, gone = plans.write(self._tags, record)
        # The name of the server in use is written with the first change, never for its own sake.
        if (setting or gone) and (record.change is not None or self.record.change is not None):
            self.actions.append(text)
            if not self._check:
                _tags.merge(self._arm, self._group, setting)
                _tags.remove(self._arm, self._group, gone)
                self._tags = {name: value for name, value in self._tags.items() if name not in gone} | setting
        self.record = record

    def _role(self, name: str, role: str) -> None:
        server = self._server(name)
        if server is not None and (server.get("tags") or {}).get(TAG_ROLE) != role:
            self.actions.append(f"tag {name} as {role}")
            if not self._check:
                _tags.merge(self._arm, self._id(name), {TAG_ROLE: role})

    def _lock(self, name: str, wanted: bool) -> None:
        path = f"{self._id(name)}/providers/Microsoft.Authorization/locks/{plans.LOCK}"
        there = self._arm.get(path, LOCKS_API) is not None
        if there == wanted or (wanted and self._server(name) is None):
            return
        self.actions.append(f"lock {name} against deletion" if wanted else f"unlock {name}")
        if self._check:
            return
        if wanted:
            self._arm.put(path, LOCKS_API, {"properties": {"level": "CanNotDelete", "notes": _NOTES}})
        else:
            self._arm.delete(path, LOCKS_API)

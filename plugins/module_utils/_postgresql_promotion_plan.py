# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a promotion and of its undoing: pure functions. FOR INTERNAL COLLECTION USE ONLY.

The record lives in tags of the platform's resource group. A change goes through two phases. While it is fencing, the
record still names the old server; the one write that begins the phase switching also names the new one. From there on
every run, of this playbook or of site.yml, leads to the new server.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_active import (
    TAG_ACTIVE,
    TAG_CHANGE,
    TAG_PREVIOUS,
)
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_restore_plan import (
    PHASES as RESTORE_PHASES,
)
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_restore_plan import (
    TAG_ID,
    TAG_PHASE,
    UTC,
    parse_point,
)

PROMOTE, ROLL_BACK = "promote", "roll-back"
FENCING, SWITCHING = "fencing", "switching"
CANDIDATE, ACTIVE, SUPERSEDED, ROLLED_BACK = "candidate", "active", "superseded", "rolled-back"
LOCK = "aksops-superseded"


@dataclasses.dataclass(frozen=True)
class Change:
    """A change that is under way: from C(source) to C(target), both names of servers."""

    kind: str
    source: str
    target: str
    phase: str = FENCING
    began: str = ""

    @property
    def identity(self) -> str:
        """What its receipts are told from those of other changes by."""
        return f"{self.kind}-{self.source}-{self.target}-{self.began}"

    def __str__(self) -> str:
        return f"{self.kind} {self.source} {self.target} {self.phase} {self.began}".strip()


@dataclasses.dataclass(frozen=True)
class Record:
    """What the tags of a resource group say: the server in use, the one before it, a change under way."""

    active: str
    previous: str = ""
    change: Change | None = None


def read(tags: t.Mapping[str, str], known: str) -> Record:
    """Return what tags say; C(known) is the server in use where no promotion has ever named one.

    :raises AksPlatformError: somebody else wrote the tag of a change.
    """
    text = tags.get(TAG_CHANGE, "")
    change = None
    if text:
        parts = text.split()
        if len(parts) not in (4, 5) or parts[0] not in (PROMOTE, ROLL_BACK) or parts[3] not in (FENCING, SWITCHING):
            raise AksPlatformError(
                f"The tag {TAG_CHANGE} says {text!r}, which no promotion writes: correct or remove it."
            )
        change = Change(*parts)
    return Record(tags.get(TAG_ACTIVE) or known, tags.get(TAG_PREVIOUS, ""), change)


def write(before: t.Mapping[str, str], record: Record) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tags to set, and the tags to remove after that."""
    wanted = {TAG_ACTIVE: record.active, TAG_PREVIOUS: record.previous, TAG_CHANGE: str(record.change or "")}
    setting = {name: value for name, value in wanted.items() if value and before.get(name) != value}
    gone = {name: before[name] for name, value in wanted.items() if not value and name in before}
    return setting, gone


def begin(record: Record, kind: str, target: str = "", began: str = "") -> Record:
    """Return the record of a change that begins or goes on; without a change where there is nothing to do.

    :raises AksPlatformError: another change is under way.
    """
    change = record.change
    if kind == PROMOTE:
        if change is not None:
            if change.kind == PROMOTE and change.target == target:
                return record
            raise AksPlatformError(
                f"Another change is under way ({change}): finish it, or undo it with "
                "postgresql_promote_state=rolled_back."
            )
        if record.active == target:
            return record
        return dataclasses.replace(record, change=Change(PROMOTE, record.active, target, began=began))
    if change is not None and change.kind == ROLL_BACK:
        return record
    if change is not None:
        return dataclasses.replace(record, change=Change(ROLL_BACK, change.target, change.source, began=began))
    if record.previous:
        return dataclasses.replace(record, change=Change(ROLL_BACK, record.active, record.previous, began=began))
    return record


def switch(record: Record) -> Record:
    """Return the record once the old server is read-only and the new one open: the commit point of the change."""
    change = _under_way(record)
    return dataclasses.replace(record, active=change.target, change=dataclasses.replace(change, phase=SWITCHING))


def finish(record: Record) -> Record:
    """Return the record after the change."""
    change = _under_way(record)
    if change.phase != SWITCHING:
        raise AksPlatformError(f"The change {change} has not been switched yet, so it cannot be finished.")
    if change.kind == PROMOTE:
        return Record(change.target, previous=change.source)
    return Record(change.target, previous="" if record.previous == change.target else record.previous)


def _under_way(record: Record) -> Change:
    if record.change is None:
        raise AksPlatformError("No change of the PostgreSQL server is under way: begin one first.")
    return record.change


def check_candidate(name: str, server: t.Mapping[str, t.Any] | None, active: t.Mapping[str, t.Any] | None) -> None:
    """Refuse a server that cannot take over.

    :raises AksPlatformError: one sentence that says why.
    """
    if server is None:
        raise AksPlatformError(
            f"There is no PostgreSQL server {name} in the platform's resource group: restore one first."
        )
    tags = server.get("tags") or {}
    if TAG_ID not in tags:
        raise AksPlatformError(
            f"The server {name} is no restore of playbooks/restore_postgresql.yml, so it is not promoted."
        )
    phase = tags.get(TAG_PHASE)
    if phase != RESTORE_PHASES[-1]:
        raise AksPlatformError(
            f"The restore {name} is {phase}, not {RESTORE_PHASES[-1]}: run restore_postgresql.yml again."
        )
    state = (server.get("properties") or {}).get("state")
    if state != "Ready":
        raise AksPlatformError(f"The server {name} is {state}, not Ready: wait, or start it.")
    if active is not None:
        for what, path in (("version", ("version",)), ("geo-redundant backup", ("backup", "geoRedundantBackup"))):
            mine, wanted = (_property(item, path) for item in (server, active))
            if mine != wanted:
                raise AksPlatformError(
                    f"The server {name} has {what} {mine} and {active.get('name')} has {wanted}, which is decided at "
                    "creation: restore again."
                )
    here, there = (str((item or {}).get("location") or "").replace(" ", "").lower() for item in (server, active))
    if active is not None and here != there:
        raise AksPlatformError(f"The server {name} is in {here} and the platform in {there}: it cannot take over.")


def _property(server: t.Mapping[str, t.Any], path: t.Sequence[str]) -> t.Any:
    found: t.Any = server.get("properties") or {}
    for part in path:
        found = (found or {}).get(part)
    return found


def gate(
    receipts: t.Sequence[t.Mapping[str, t.Any]], server: t.Mapping[str, t.Any], max_age: float, now: datetime.datetime
) -> dict[str, t.Any]:
    """Return the receipt that lets a server be promoted: fresh, passing and for this very restore.

    :param max_age: hours.
    :raises AksPlatformError: there is none; the sentence says what was found and what to do.
    """
    name, identity = server["name"], (server.get("tags") or {}).get(TAG_ID, "")
    again = "run playbooks/restore_postgresql.yml again with the same variables: it only verifies what is there"
    own = [item for item in receipts if str((item.get("server") or {}).get("id", "")).lower() == server["id"].lower()]
    if not own:
        raise AksPlatformError(f"{name} is not promoted: it has no receipt; {again}.")
    same = [item for item in own if item.get("restore_id") == identity]
    if not same:
        raise AksPlatformError(
            f"{name} is not promoted: its receipts are of another restore ({own[0].get('restore_id')}), this one is "
            f"{identity}; {again}."
        )
    newest = max(same, key=_finished)
    if newest.get("status") not in ("pass", "warn"):
        raise AksPlatformError(
            f"{name} is not promoted: its newest receipt says {newest.get('status')}; see why, and {again}."
        )
    age = (now - _finished(newest)).total_seconds() / 3600
    if age > max_age or age < -0.1:
        raise AksPlatformError(
            f"{name} is not promoted: its newest receipt is of {newest.get('finished')}, and it may be {max_age:g} "
            f"hours old at most; {again}."
        )
    return {"restore_id": identity, "status": newest["status"], "finished": newest["finished"]}


def _finished(receipt: t.Mapping[str, t.Any]) -> datetime.datetime:
    try:
        return parse_point(str(receipt.get("finished")))
    except AksPlatformError:
        return datetime.datetime.min.replace(tzinfo=UTC)

"""Which backups build on which, where a restore begins, and what retention still needs: no files, no processes.

An automatic backup is full once a week, and else holds what changed since the one before it. Every backup on demand is
full, because its user may delete it at any time.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from aksops_sandbox.engines.postgres.runtime import PostgresError

FULL_EVERY = datetime.timedelta(days=7)
LONGEST = 14  # backups in one line: a restore reads each of them
AUTOMATIC, ON_DEMAND = "Full", "Customer On-Demand"


@dataclass(frozen=True)
class Backup:
    """A backup. Times are UTC in ISO form.

    Args:
        kind: as Azure lists it: Full (automatic; the incremental ones too) or Customer On-Demand.
        completed: the earliest moment that it can be recovered to.
        first_wal: the segment of write-ahead log that recovery from it begins with.
        parent: the backup that it is incremental to; empty for a full one.
        expired: it is older than retention, and kept only because a later one builds on it.
    """

    name: str
    kind: str
    started: str
    completed: str
    first_wal: str
    parent: str = ""
    expired: bool = False

    @property
    def completed_at(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.completed)


def line(backups: Sequence[Backup], backup: Backup) -> list[Backup]:
    """The backups that this one is put together from, the full one first. Empty where one of them is missing."""
    by_name = {item.name: item for item in backups}
    found = [backup]
    while found[-1].parent:
        parent = by_name.get(found[-1].parent)
        if parent is None:
            return []
        found.append(parent)
    return found[::-1]


def usable(backups: Sequence[Backup]) -> list[Backup]:
    """The backups that a restore may begin with, oldest first."""
    there = [item for item in backups if not item.expired and line(backups, item)]
    return sorted(there, key=lambda item: item.completed_at)


def choose(backups: Sequence[Backup], target: datetime.datetime | None) -> Backup:
    """The newest backup that can reach the target (None: the latest state). Raises PostgresError where none can."""
    there = usable(backups)
    if not there:
        raise PostgresError("There is no backup to recover from.")
    reaching = [item for item in there if target is None or item.completed_at <= target]
    if not reaching:
        raise PostgresError(f"There is no backup from before {target}: the earliest is from {there[0].completed}.")
    return reaching[-1]


def next_parent(backups: Sequence[Backup], now: datetime.datetime) -> Backup | None:
    """What the next automatic backup is incremental to; None where it has to be a full one."""
    automatic = [item for item in usable(backups) if item.kind == AUTOMATIC]
    if not automatic:
        return None
    members = line(backups, automatic[-1])
    if len(members) >= LONGEST or now - members[0].completed_at >= FULL_EVERY:
        return None
    return automatic[-1]


def outdated(backups: Sequence[Backup], edge: datetime.datetime) -> tuple[set[str], set[str]]:
    """(names to remove, names to keep for those that build on them) where retention begins at `edge`.

    The newest backup from before the edge stays usable, since every moment up to the next one is recovered from it.
    """
    there = usable(backups)
    outside = [item for item in there if item.completed_at < edge]
    points = [item for item in there if item not in outside[:-1]]
    needed = {member.name for point in points for member in line(backups, point)}
    return {item.name for item in backups} - needed, needed - {point.name for point in points}

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fences a server, and what opens it again: pure functions. FOR INTERNAL COLLECTION USE ONLY.

A fence has two steps. A read-only server refuses writes: each database gets C(default_transaction_read_only), and so
does each role that has a setting of its own, which would win. A closed one refuses connections as well: a limit of zero
refuses everybody but superusers, and Azure gives nobody a superuser.

What was there before comes back when the server is opened. A limit is kept in a tag of the server. A setting keeps its
past in its own spelling, which PostgreSQL takes and stores as it is: so nothing has to be written down before the
setting is changed, and it is told from one that somebody else made, on a server restored from this one too.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

TAG_FENCE = "aksops-postgresql-fence"
#: When the server was last made read-only and opened, in its own transaction numbers.
TAG_MARK = "aksops-postgresql-mark"
#: What the administrator works in, and Azure's own.
SPARED = ("postgres", "azure_maintenance", "azure_sys")
UNLIMITED = -1
OPEN, READ_ONLY, CLOSED = "open", "read_only", "closed"
_LONGEST_TAG = 256

#: Two spellings of "on" that people do not use: ours where nothing was set before, and ours where "off" was.
OURS, OURS_OFF = "tru", "ye"
_OFF = ("0", "f", "fa", "fal", "fals", "false", "n", "no", "of", "off")


class Setting(t.NamedTuple):
    """C(default_transaction_read_only) of a database (role ''), of a role (database ''), or of a role in a database.

    C(value) is None where there is none.
    """

    database: str
    role: str
    value: str | None


class Mark(t.NamedTuple):
    """Transaction numbers: when the server was opened and made read-only (0: unknown), and changed rows by then."""

    opened: int = 0
    read_only: int = 0
    changes: int = -1


def seal(databases: t.Iterable[str], settings: t.Sequence[Setting]) -> list[Setting]:
    """Return what has to be set so that every new session in the databases is read-only; roles come first."""
    known = {(item.database, item.role): item.value for item in settings}
    free = sorted({item.role for item in settings if not item.database and item.role and _off(item.value)})
    roles, whole = [], []
    for name in sorted(databases):
        for role in sorted({item.role for item in settings if item.role and item.database == name} | set(free)):
            value = known.get((name, role))
            if value is None or _off(value):
                roles.append(Setting(name, role, OURS if value is None else OURS_OFF))
        value = known.get((name, ""))
        if value is None or _off(value):
            whole.append(Setting(name, "", OURS if value is None else OURS_OFF))
    return roles + whole


def unseal(databases: t.Iterable[str], settings: t.Iterable[Setting]) -> list[Setting]:
    """Return what has to be set, or reset (None), so that what a fence has set is as it was before."""
    back = {OURS: None, OURS_OFF: "off"}
    names = set(databases)
    ours = [item for item in settings if item.database in names and item.value in back]
    return [item._replace(value=back[str(item.value)]) for item in sorted(ours)]


def _off(value: str | None) -> bool:
    return value is not None and value.strip().lower() in _OFF


def read_mark(tag: str | None) -> Mark:
    """Return what a tag says; an empty mark where there is none, or none that can be read."""
    try:
        found = json.loads(tag or "{}")
        return Mark(**{name: int(found[name]) for name in Mark._fields if name in found})
    except (ValueError, TypeError):
        return Mark()


def write_mark(mark: Mark) -> str:
    """Return the tag that says this."""
    return json.dumps({name: value for name, value in mark._asdict().items() if value != Mark._field_defaults[name]})


def record(limits: t.Mapping[str, int], known: str | None) -> str:
    """Return the tag that keeps the limits of databases that have one; an earlier record is kept as it is.

    :raises AksPlatformError: it is longer than a tag may be.
    """
    if known:
        return known
    text = json.dumps({name: limit for name, limit in sorted(limits.items()) if limit != UNLIMITED})
    if len(text) > _LONGEST_TAG:
        raise AksPlatformError(
            f"The connection limits of {text.count(':')} databases do not fit into a tag ({_LONGEST_TAG} characters): "
            "take the limits off databases that the application does not use."
        )
    return text


def recorded(tag: str | None) -> dict[str, int]:
    """Return the limits that a tag keeps; {} where there is none, or none that can be read."""
    try:
        found = json.loads(tag or "{}")
    except ValueError:
        return {}
    return {str(name): int(limit) for name, limit in found.items()} if isinstance(found, dict) else {}


def fence(limits: t.Mapping[str, int]) -> dict[str, int]:
    """Return the databases whose limit has to change, and to what."""
    return {name: 0 for name, limit in sorted(limits.items()) if limit != 0}


def unfence(limits: t.Mapping[str, int], tag: str | None) -> dict[str, int]:
    """Return the databases whose limit has to change, and to what.

    A restore may have brought a limit of zero along without the tag: zero is opened unless the tag says it was meant.
    """
    before = recorded(tag)
    wanted = {name: before.get(name, UNLIMITED) for name, limit in sorted(limits.items()) if limit == 0}
    return {name: limit for name, limit in wanted.items() if limit != 0}

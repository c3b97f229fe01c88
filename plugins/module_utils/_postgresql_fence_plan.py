# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fences a server, and what opens it again: pure functions. FOR INTERNAL COLLECTION USE ONLY.

A connection limit of zero refuses everybody but superusers, and Azure gives nobody a superuser. The limit that a
database had is kept in a tag of the server before it is changed.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

TAG_FENCE = "aksops-postgresql-fence"
#: What the administrator works in, and Azure's own.
SPARED = ("postgres", "azure_maintenance", "azure_sys")
UNLIMITED = -1
_LONGEST_TAG = 256


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

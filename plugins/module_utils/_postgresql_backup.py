# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a PostgreSQL Flexible Server that a person asks for. FOR INTERNAL COLLECTION USE ONLY."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, ServerId

#: How many of them Azure keeps for a server.
MOST = 7
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")

Item = t.Mapping[str, t.Any]


def describe(backup: Item) -> dict[str, t.Any]:
    """Return a backup as modules show it."""
    properties = backup.get("properties") or {}
    return {
        "name": backup.get("name"),
        "completed": properties.get("completedTime"),
        "kind": properties.get("backupType"),
        "source": properties.get("source"),
    }


def change(server: Item | None, backups: t.Sequence[Item], name: str, state: str) -> str | None:
    """Return what is to be done, C(take) or C(delete), None where nothing is.

    :raises AksPlatformError: Azure would refuse it; one sentence with what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise AksPlatformError(f"{name!r} is no name of a backup: 1 to 128 letters, digits, hyphens and underscores.")
    if server is None:
        raise AksPlatformError("The server does not exist; check server_id.")
    found = next((item for item in backups if item.get("name") == name), None)
    automatic = found is not None and describe(found)["source"] == "Automatic"
    if state == "absent":
        if automatic:
            raise AksPlatformError(
                f"The backup {name} is an automatic one, which only Azure deletes, at the end of its days."
            )
        return "delete" if found else None
    if found:
        return None
    properties = server.get("properties") or {}
    label = str(server.get("name"))
    if (server.get("sku") or {}).get("tier") == "Burstable":
        raise AksPlatformError(f"{label} is Burstable, and Azure takes a backup on request of the other tiers only.")
    if (properties.get("storage") or {}).get("type") == "PremiumV2_LRS":
        raise AksPlatformError(f"{label} has a Premium SSD v2 disk, of which Azure takes no backup on request.")
    if properties.get("state") != "Ready":
        raise AksPlatformError(f"{label} is {properties.get('state')}; a backup is taken of a server that is Ready.")
    own = [str(item.get("name")) for item in backups if describe(item)["source"] != "Automatic"]
    if len(own) >= MOST:
        raise AksPlatformError(
            f"{label} has {MOST} backups on request, as many as Azure keeps: delete one of {', '.join(own)}."
        )
    return "take"


def apply(servers: t.Any, server_id: ServerId, name: str, state: str, *, check_mode: bool) -> tuple[str | None, Item]:
    """Take or delete the backup; return what was, or would be, done, and the backup.

    :param servers: C(_postgresql_restore.Servers).
    """
    server = servers.get(server_id)
    backups = servers.backups(server_id) if server else []
    action = change(server, backups, name, state)
    path = f"{server_id.path}/backups/{name}"
    if action == "take" and not check_mode:
        servers.write("PUT", path, API_VERSION, {})
        backups = servers.backups(server_id)
    elif action == "delete" and not check_mode:
        servers.delete(path, API_VERSION)
    found = next((item for item in backups if item.get("name") == name), None)
    return action, describe(found) if found else {"name": name}

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets by the host that they lead to, and their way back. FOR INTERNAL COLLECTION USE ONLY.

Nothing here, nor in any error, carries a value.
"""

from __future__ import annotations

import concurrent.futures
import hmac
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import (
    API_VERSION,
    KeyVaultError,
    VaultClient,
    _current,
    quote,
)
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Current, Version

RESTORE, RESTORED, LEFT = "restore", "restored", "left"


def leads_to(value: str | None, host: str) -> bool:
    """Whether a value names a host, as it stands or behind an escaped character; a longer name is another host."""
    begins = r"(?:(?<![a-z0-9-])|(?<=%[0-9a-f]{2})|(?<=\\[nrt]))"
    return bool(re.search(rf"(?i){begins}{re.escape(host)}(?![a-z0-9-])", value or ""))


def way_back(before: str, versions: t.Sequence[Version], current: str | None, same: bool) -> str:
    """Return what to do with a secret that a promotion may have rewritten.

    :param before: the version that was current before the promotion.
    :param versions: all of them.
    :param same: whether the current value is that of C(before).
    """
    known = {item.version: item for item in versions}
    if before not in known:
        return LEFT
    if current == before or same:
        return RESTORED
    later = [item for item in versions if item.version != before and item.created >= known[before].created]
    # More than one: somebody has changed it since, and what they wrote is newer than the record.
    return RESTORE if [item.version for item in later] == [current] else LEFT


class Connections:
    """The secrets of one vault."""

    def __init__(self, vault: VaultClient, concurrency: int) -> None:
        self._vault = vault
        self._concurrency = concurrency

    def find(self, host: str, owner_tag: str, owner: str) -> tuple[dict[str, str], list[str]]:
        """Return name -> version of the enabled secrets that lead to a host, and the names of those of other owners."""
        listed = [item for page in self._vault.secrets() for item in page]
        wanted = [item for item in listed if item.metadata.enabled and not item.managed]
        with concurrent.futures.ThreadPoolExecutor(self._concurrency) as pool:
            read = list(pool.map(lambda item: self._get(item.name), wanted))
        found = sorted((item for item in read if item and leads_to(item.value, host)), key=lambda item: item.name)
        foreign = [item.name for item in found if item.metadata.tags.get(owner_tag) != owner]
        return {item.name: str(item.version) for item in found}, foreign

    def restore(self, previous: t.Mapping[str, str], *, check_mode: bool) -> dict[str, list[str]]:
        """Give secrets the values that they had before a promotion; returns their names by what was done."""
        done: dict[str, list[str]] = {RESTORE: [], RESTORED: [], LEFT: []}
        for name, version in sorted(previous.items()):
            done[self._restore(name, version, check_mode)].append(name)
        return done

    def _restore(self, name: str, version: str, check_mode: bool) -> str:
        current, before = self._get(name), self._get(name, version)
        if current is None or before is None or current.value is None or before.value is None:
            return LEFT
        same = hmac.compare_digest(current.value.encode(), before.value.encode())
        action = way_back(version, self._vault.versions(name), current.version, same)
        if action == RESTORE and not check_mode:
            self._vault.set(name, before.value, before.metadata, current.created)
        return action

    def _get(self, name: str, version: str = "") -> Current | None:
        """Return a secret, or one version of it; None where it is gone or disabled."""
        path = f"/secrets/{quote(name)}{'/' if version else ''}{quote(version)}?api-version={API_VERSION}"
        try:
            reply = self._vault.read(path, f"read {name}", missing=True)
        except KeyVaultError as error:
            if error.status != 403 or error.inner == "ForbiddenByRbac":
                raise
            return None
        return None if reply.status == 404 else _current(reply.body)

# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a region offers of PostgreSQL Flexible Server and what the subscription has left of it, read from ARM's answers.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import re
import typing as t

Item = t.Mapping[str, t.Any]

_SIZE = re.compile(r"(?i)(?:standard_)?([a-z])(\d+)([a-z]*)(?:_(v\d+))?")


class Offer(t.NamedTuple):
    """A region's offer. Empty C(versions) or C(sizes): nothing is known of them."""

    versions: list[str]
    #: by name in lower case, as in the answer
    sizes: dict[str, Item]
    geo_redundant_backup: bool

    def size(self, name: str) -> Item | None:
        """Return what is offered of a size, such as C(Standard_D2ds_v5)."""
        return self.sizes.get(name.lower())


def read_offer(capabilities: t.Sequence[Item] | None) -> Offer | None:
    """Return the offer among the capabilities that Azure lists for a region, None where it lists none."""
    if not capabilities:
        return None
    listed = capabilities[0]
    return Offer(
        [str(item.get("name")) for item in listed.get("supportedServerVersions") or []],
        {
            str(sku.get("name")).lower(): sku
            for edition in listed.get("supportedServerEditions") or []
            for sku in edition.get("supportedServerSkus") or []
        },
        str(listed.get("geoBackupSupported", "")).lower() != "disabled",
    )


def quota_name(size: str) -> tuple[str, int] | None:
    """Return the name of the quota that a size counts to and its vCores, None for a size of another form."""
    match = _SIZE.fullmatch(size)
    if match is None:
        return None
    letter, cores, kind, version = (part or "" for part in match.groups())
    kind = "S" if letter.upper() == "B" else kind.upper()
    return f"standard{letter.upper()}{kind}{version.lower()}Family", int(cores)


class Shortage(t.NamedTuple):
    """A quota, in vCores, that is too small for what is wanted."""

    quota: str
    limit: int
    used: int
    needed: int


def shortages(usages: t.Iterable[Item], size: str, machines: int) -> list[Shortage]:
    """Return the quotas that have no room for a server; nothing known is no shortage.

    :param usages: as Azure lists them for the region.
    :param machines: two with high availability.
    """
    named = quota_name(size)
    if named is None:
        return []
    family, cores = named
    found = []
    for item in usages:
        name = str((item.get("name") or {}).get("value"))
        limit, used = int(item.get("limit") or 0), int(item.get("currentValue") or 0)
        if name.lower() in (family.lower(), "cores") and 0 <= limit < used + cores * machines:
            found.append(Shortage(name, limit, used, cores * machines))
    return found

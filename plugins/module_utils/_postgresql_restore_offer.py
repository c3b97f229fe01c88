# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the region, the subscription's quota and the subnet have room for a restored server: pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import SERVER_TYPE
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_offer import Item, read_offer, shortages

#: The end of a private DNS zone's name that Azure accepts for a server in a delegated subnet.
ZONE = "postgres.database.azure.com"


def check_offer(capabilities: t.Sequence[Item], size: str, version: str, zone: str | None, location: str) -> None:
    """Refuse a version, size or zone that the region does not offer. Nothing known refuses nothing.

    :param capabilities: as Azure lists them for the region.
    :raises AksPlatformError: not offered; one sentence with the allowed values.
    """
    offer = read_offer(capabilities)
    if offer is None:
        return
    if version and offer.versions and version not in offer.versions:
        raise AksPlatformError(
            f"{location} offers no PostgreSQL {version}, the source's version, but {', '.join(offer.versions)}: a "
            "restore cannot change it, so upgrade the source first, or dump and load."
        )
    found = offer.size(size)
    if offer.sizes and found is None:
        raise AksPlatformError(f"{location} does not offer the size {size}; choose another by sku.")
    zones = [str(item) for item in (found or {}).get("supportedZones") or []]
    if zone and found is not None and zone not in zones:
        raise AksPlatformError(
            f"{size} is not offered in zone {zone} of {location}, but in {', '.join(zones) or 'none'}."
        )


def check_quota(usages: t.Sequence[Item], size: str, machines: int, location: str) -> None:
    """Refuse a server that the subscription has no vCores for. Nothing known refuses nothing.

    :param machines: two with high availability.
    :raises AksPlatformError: too few are left.
    """
    for short in shortages(usages, size, machines):
        raise AksPlatformError(
            f"The quota {short.quota} of PostgreSQL in {location} is {short.limit} vCores, of which {short.used} are "
            f"in use, and the restore needs {short.needed}: choose a smaller sku, leave high availability out, or ask "
            "for more."
        )


def check_subnet(
    vnet: Item | None, usages: t.Sequence[Item], subnet_id: str, zone_id: str | None, machines: int, location: str
) -> None:
    """Refuse a subnet that no server can be placed in.

    :param vnet: the virtual network that it is in, None where it does not exist.
    :param usages: addresses in use, subnet by subnet; nothing known refuses nothing.
    :raises AksPlatformError: it is absent, elsewhere, not delegated or full, or the DNS zone has another name.
    """
    where = f"The subnet {'/'.join(subnet_id.split('/')[-3::2])}"
    subnets = ((vnet or {}).get("properties") or {}).get("subnets") or []
    found = next((item for item in subnets if str(item.get("id")).lower() == subnet_id.lower()), None)
    if vnet is None or found is None:
        raise AksPlatformError(f"{where} does not exist; name the id of one that is delegated to {SERVER_TYPE}.")
    home = str(vnet.get("location") or "").replace(" ", "").lower()
    if home and home != location:
        raise AksPlatformError(f"{where} is in {home}, and the restored server will be in {location}.")
    services = [
        str((item.get("properties") or {}).get("serviceName"))
        for item in (found.get("properties") or {}).get("delegations") or []
    ]
    if SERVER_TYPE.lower() not in (service.lower() for service in services):
        shown = f"to {', '.join(services)}" if services else "to nothing"
        raise AksPlatformError(f"{where} is delegated {shown}; a server needs one that is delegated to {SERVER_TYPE}.")
    usage = next((item for item in usages if str(item.get("id")).lower() == subnet_id.lower()), None)
    if usage is not None:
        free = int(usage.get("limit") or 0) - int(usage.get("currentValue") or 0)
        if free < machines:
            raise AksPlatformError(
                f"{where} has {max(free, 0)} free addresses, and the restored server needs {machines}; choose another."
            )
    if zone_id and not zone_id.rsplit("/", 1)[-1].lower().endswith(ZONE):
        raise AksPlatformError(f"The DNS zone {zone_id.rsplit('/', 1)[-1]} does not end in {ZONE}, as Azure demands.")

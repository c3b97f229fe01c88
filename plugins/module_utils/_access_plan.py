# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's own address is let into, and how that is put on record. FOR INTERNAL COLLECTION USE ONLY.

The record is a tag of the storage account of Terraform's state, one a host: it outlives a killed run and a lost disk,
so that the next run of the host closes what an earlier one has left open.
"""

from __future__ import annotations

import copy
import datetime
import ipaddress
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._aks_addons_plan import without_read_only
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

TAG = "aksops-access-"

#: Hours after which anybody closes what a host has left open: no run lasts so long.
STALE_HOURS = 12

#: Services whose firewall takes an address, in the order in which their doors open.
OPENABLE = ("state", "vault", "storage", "api_server")

#: The firewalls refuse these: they never are the public address of a caller.
NEVER_PUBLIC = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")

Body = dict[str, t.Any]


class Record(t.NamedTuple):
    """Which doors a host has opened for which address, and since when."""

    holder: str
    address: str
    doors: tuple[str, ...]
    since: datetime.datetime

    @property
    def value(self) -> str:
        return f"{self.address} {','.join(self.doors)} {self.since:%Y-%m-%dT%H:%M:%SZ}"


def holder_of(name: str) -> str:
    """Return a host's name as it can stand in a tag's name."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:60] or "unnamed"


def checked_address(text: str) -> str:
    """Return the address where a firewall of Azure takes it.

    :raises AksPlatformError: it is no public IPv4 address.
    """
    try:
        address = ipaddress.IPv4Address(text.strip())
    except ValueError:
        raise AksPlatformError(
            f"The caller's address {text!r} is not an IPv4 address, and firewalls take no other."
        ) from None
    if any(address in ipaddress.ip_network(block) for block in NEVER_PUBLIC):
        raise AksPlatformError(
            f"The caller's address {address} is private: give the public one by which Azure sees this machine."
        )
    return str(address)


def records(tags: t.Mapping[str, str] | None) -> list[Record]:
    """Return what is on record; a tag that cannot be read is no record."""
    found = []
    for name, value in (tags or {}).items():
        parts = str(value).split(" ")
        if not name.startswith(TAG) or len(parts) != 3:
            continue
        try:
            since = datetime.datetime.strptime(parts[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
            address = str(ipaddress.IPv4Address(parts[0]))
        except ValueError:
            continue
        doors = tuple(door for door in parts[1].split(",") if door in OPENABLE)
        found.append(Record(name[len(TAG) :], address, doors, since))
    return found


def overdue(found: t.Iterable[Record], holder: str, now: datetime.datetime) -> list[Record]:
    """Return other hosts' records that no run can still need."""
    limit = now - datetime.timedelta(hours=STALE_HOURS)
    return [item for item in found if item.holder != holder and item.since < limit]


def ours(door: str, address: str, listed: bool, found: t.Iterable[Record]) -> bool:
    """Whether a run that opens C(door) must close it again: not where somebody else has listed the address for good."""
    return not listed or any(item.address == address and door in item.doors for item in found)


def to_close(record: Record, others: t.Iterable[Record]) -> list[str]:
    """Return the doors of a record that no other host still needs for the same address, the record's own one last."""
    needed = {door for item in others if item.address == record.address for door in item.doors}
    return [door for door in reversed(OPENABLE) if door in record.doors and door not in needed]


def rules(kind: str, body: Body) -> list[str]:
    """Return the addresses and blocks that the service's firewall lists."""
    properties = body.get("properties") or {}
    if kind == "api_server":
        return [str(item) for item in (properties.get("apiServerAccessProfile") or {}).get("authorizedIPRanges") or []]
    entries = (properties.get("networkAcls") or {}).get("ipRules") or []
    return [str(item.get("value") or item.get("ipMask") or "") for item in entries]


def is_listed(kind: str, body: Body, address: str) -> bool:
    """Whether the firewall names exactly this address."""
    return any(_block(item) == _block(address) for item in rules(kind, body))


def lingers(kind: str, body: Body, address: str) -> bool:
    """Whether the firewall does not let the address in, whatever it answers at this moment.

    A firewall follows its rules with a delay, so one that was just closed still answers, and shuts amid the work. What
    has a private endpoint may have answered there.
    """
    properties = body.get("properties") or {}
    if kind == "api_server":
        guarded = bool(rules(kind, body))
    else:
        action = (properties.get("networkAcls") or {}).get("defaultAction")
        guarded = str(action or "Allow").lower() == "deny" and not properties.get("privateEndpointConnections")
    own = _block(address)
    blocks = [block for block in map(_block, rules(kind, body)) if isinstance(block, type(own))]
    return guarded and not any(own.subnet_of(block) for block in blocks)


def changed_body(kind: str, body: Body, address: str, *, listed: bool) -> Body | None:
    """Return what to write so that the address is listed, or is not; None where it is so.

    Every other rule stays as it is. A vault and an account take a part (PATCH), a cluster the whole (PUT).
    """
    if is_listed(kind, body, address) == listed:
        return None
    properties = body.get("properties") or {}
    if kind == "api_server":
        whole: Body = without_read_only(body)
        profile = whole.setdefault("properties", {}).setdefault("apiServerAccessProfile", {})
        kept = [item for item in rules(kind, body) if _block(item) != _block(address)]
        profile["authorizedIPRanges"] = [*kept, f"{address}/32"] if listed else kept
        return whole
    acls = copy.deepcopy(properties.get("networkAcls") or {})
    kept = [
        item
        for item in acls.get("ipRules") or []
        if _block(str(item.get("value") or item.get("ipMask") or "")) != _block(address)
    ]
    # An account refuses blocks of one address; a vault shows every address as one.
    new = {"value": f"{address}/32"} if kind == "vault" else {"value": address, "action": "Allow"}
    acls["ipRules"] = [*kept, new] if listed else kept
    return {"properties": {"networkAcls": acls}}


def cannot_open(kind: str, body: Body) -> str | None:
    """Return why no address can be let into the service, None where one can."""
    name, properties = body.get("name"), body.get("properties") or {}
    if kind == "api_server":
        if (properties.get("apiServerAccessProfile") or {}).get("enablePrivateCluster"):
            return (
                f"The cluster {name} is private, so that no address can be let in: run in its network, or make the "
                "cluster with kubernetes.api_server.access public."
            )
        return None
    if kind not in OPENABLE:
        return (
            f"Work on the PostgreSQL server {name} is refused with access allowlist: no address is ever opened on it, "
            "so run this stage in the platform's network."
        )
    if str(properties.get("publicNetworkAccess") or "Enabled").lower() != "enabled":
        return (
            f"The public address of {name} is off, so that no address can be let in: run playbooks/infrastructure.yml "
            "with platform_access allowlist first, or run in the platform's network."
        )
    return None


def _block(text: str) -> t.Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text

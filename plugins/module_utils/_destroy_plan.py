# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes, in which order, and what stays when a platform is destroyed. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Nothing goes through Terraform: what is gone Terraform's next refresh forgets by itself, and what stayed it still knows.
So a platform whose data was kept is made whole by the next run of site.yml, without a plan that replaces anything.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._postgresql_promotion_plan import LOCK, SUPERSEDED
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_restore_plan import TAG_ROLE

#: What holds data, and why it stays unless the caller gives the data up.
DATA: dict[str, str] = {
    "microsoft.containerregistry/registries": "images",
    "microsoft.dbforpostgresql/flexibleservers": "databases and their backups",
    "microsoft.keyvault/vaults": "secrets, keys and certificates",
    "microsoft.operationalinsights/workspaces": "logs",
    "microsoft.storage/storageaccounts": "blobs",
}

#: What costs nothing, and is known by its id to the data that stays.
COMPANIONS: dict[str, str] = {
    "microsoft.managedidentity/userassignedidentities": "its object id stands in databases and roles that stay",
}

#: Types by the round in which they go; what is not named goes first. What is still in use is tried again at the end.
ROUNDS: dict[str, int] = {
    "microsoft.containerservice/managedclusters": 0,
    "microsoft.network/privateendpoints": 0,
    "microsoft.network/applicationgateways": 1,
    "microsoft.network/privatednszones/virtualnetworklinks": 1,
    "microsoft.network/privatednszones": 2,
    "microsoft.network/applicationgatewaywebapplicationfirewallpolicies": 2,
    "microsoft.network/networkinterfaces": 2,
    "microsoft.network/virtualnetworks": 3,
    "microsoft.network/natgateways": 4,
    "microsoft.network/networksecuritygroups": 4,
    "microsoft.network/routetables": 4,
    "microsoft.network/publicipaddresses": 5,
}

#: Days that Azure keeps what was deleted, where it tells no date: type -> (days, how it is had back).
HELD: dict[str, tuple[int, str]] = {
    "microsoft.dbforpostgresql/flexibleservers": (5, "revived by a server with createMode ReviveDropped"),
    "microsoft.storage/storageaccounts": (14, "recovered in the portal under Storage accounts, Restore"),
}

ENVIRONMENT_TAG = "aksops-environment"
SERVERS = "microsoft.dbforpostgresql/flexibleservers"
CLUSTER = "microsoft.containerservice/managedclusters"
IDENTITY = "microsoft.managedidentity/userassignedidentities"


class Kept(t.NamedTuple):
    """What stays, and why."""

    id: str
    type: str
    why: str


class Plan(t.NamedTuple):
    """Resource ids by round, and what stays."""

    rounds: list[list[str]]
    kept: list[Kept]


def kind(resource: t.Mapping[str, t.Any]) -> str:
    """Return a resource's type in lower case."""
    return str(resource.get("type", "")).lower()


def plan(
    resources: t.Sequence[t.Mapping[str, t.Any]],
    *,
    data: bool,
    needed_by_data: t.Mapping[str, str] | None = None,
    messages: t.Mapping[str, int] | None = None,
) -> Plan:
    """Return what goes in which round.

    :param resources: everything in the group, children that must go by themselves included.
    :param data: whether data goes too; then everything goes.
    :param needed_by_data: lower-case ids of what data that stays cannot be without, with the reason.
    :param messages: how many messages each Service Bus namespace (lower-case id) holds.
    """
    rounds: dict[int, list[str]] = {}
    kept = []
    for resource in sorted(resources, key=lambda item: str(item["id"]).lower()):
        why = "" if data else _why_kept(resource, needed_by_data or {}, messages or {})
        if why:
            kept.append(Kept(str(resource["id"]), str(resource["type"]), why))
        else:
            rounds.setdefault(ROUNDS.get(kind(resource), 0), []).append(str(resource["id"]))
    return Plan([rounds[number] for number in sorted(rounds)], kept)


def _why_kept(resource: t.Mapping[str, t.Any], needed: t.Mapping[str, str], messages: t.Mapping[str, int]) -> str:
    where = str(resource["id"]).lower()
    if kind(resource) in DATA:
        replaced = (resource.get("tags") or {}).get(TAG_ROLE) == SUPERSEDED
        return f"holds {DATA[kind(resource)]}" + (" of before a promotion, and keeps its lock" if replaced else "")
    if kind(resource) in COMPANIONS:
        return COMPANIONS[kind(resource)]
    if messages.get(where):
        return f"holds {messages[where]} messages"
    for other, why in needed.items():
        if where == other or where.startswith(f"{other}/"):
            return why
    return ""


def needed_by(servers: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Return what PostgreSQL servers in a delegated subnet cannot be without: their network and their zone."""
    found = {}
    for server in servers:
        network = (server.get("properties") or {}).get("network") or {}
        subnet, zone = network.get("delegatedSubnetResourceId"), network.get("privateDnsZoneArmResourceId")
        why = f"{server.get('name')} stands in it"
        if subnet:
            found[str(subnet).lower().split("/subnets/")[0]] = why
        if subnet and zone:
            found[str(zone).lower()] = f"{server.get('name')} is found by it"
    return found


def own_locks(locks: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the ids of locks that promotions have set on servers which they replaced: it goes with the data."""
    return [str(item["id"]) for item in locks if item.get("name") == LOCK and f"/{SERVERS}/" in str(item["id"]).lower()]


def refusals(
    group: t.Mapping[str, t.Any],
    environment: str,
    locks: t.Iterable[t.Mapping[str, t.Any]],
    kept: t.Iterable[Kept],
    volumes: t.Iterable[str],
) -> list[str]:
    """Return why the platform cannot be destroyed as it is: not ours, locked by others, volumes that would go."""
    found = []
    owner = (group.get("tags") or {}).get(ENVIRONMENT_TAG)
    if owner != environment:
        found.append(
            f"The resource group {group.get('name')} is not of {environment}: its tag {ENVIRONMENT_TAG} is "
            f"{owner or 'missing'}. Nothing was removed."
        )
    stays = [item.id.lower() for item in kept]
    for lock in locks:
        scope = str(lock["id"]).lower().split("/providers/microsoft.authorization/locks/")[0]
        if not any(scope == item or scope.startswith(f"{item}/") for item in stays):
            notes = str((lock.get("properties") or {}).get("notes") or "").strip().rstrip(".")
            found.append(
                f"The lock {lock.get('name')} on {scope.rsplit('/', 1)[-1]} forbids it"
                + (f" ({notes})" if notes else "")
                + ": whoever set it removes it first."
            )
    volumes = sorted(volumes)
    if volumes:
        found.append(
            f"Disks of the cluster's persistent volumes would go with it: {', '.join(volumes)}. Save what they hold "
            "and delete their claims, or give up the data (destroy_data)."
        )
    return found


def volumes(resources: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return the disks of persistent volumes among a node group's resources."""
    return [
        str(item.get("name"))
        for item in resources
        if kind(item) == "microsoft.compute/disks"
        and any(key.startswith("kubernetes.io-created-for-pv") for key in item.get("tags") or {})
    ]


def outside(assignments: t.Iterable[t.Mapping[str, t.Any]], going: t.Iterable[str]) -> list[str]:
    """Return the ids of assignments whose scope does not go by itself with one of the ids in C(going)."""
    gone = [item.lower() for item in going]
    found = []
    for item in assignments:
        scope = str((item.get("properties") or {}).get("scope") or "").lower().rstrip("/")
        if not any(scope == other or scope.startswith(f"{other}/") for other in gone):
            found.append(str(item["id"]))
    return sorted(found)


def bills(kept: t.Iterable[Kept]) -> list[str]:
    """Return the names of what stays and costs money."""
    free = {*COMPANIONS, "microsoft.network/virtualnetworks", "microsoft.network/privatednszones/virtualnetworklinks"}
    return [item.id.rsplit("/", 1)[-1] for item in kept if item.type.lower() not in free]


class SoftDeleted(t.NamedTuple):
    """What Azure still holds: C(until) is a date, C(how) says how it is had back."""

    name: str
    type: str
    until: str
    how: str


def soft_deleted(
    group_id: str,
    vaults: t.Iterable[t.Mapping[str, t.Any]],
    workspaces: t.Iterable[t.Mapping[str, t.Any]],
    deleted: t.Iterable[tuple[str, str]],
    now: datetime.datetime,
) -> list[SoftDeleted]:
    """Return what soft delete holds of a group.

    :param deleted: C((id, type)) of what this run deleted.
    """
    below = f"{group_id.lower()}/"
    found = []
    for vault in vaults:
        properties = vault.get("properties") or {}
        if not str(properties.get("vaultId", "")).lower().startswith(below):
            continue
        how = "site.yml recovers it with its secrets"
        if not properties.get("purgeProtectionEnabled"):
            how += ", az keyvault purge ends it earlier"
        until = str(properties.get("scheduledPurgeDate") or "")[:10]
        found.append(SoftDeleted(str(vault.get("name")), "Microsoft.KeyVault/vaults", until, how))
    for item in workspaces:
        if str(item.get("id", "")).lower().replace("deletedworkspaces", "workspaces").startswith(below):
            since = _date(str((item.get("properties") or {}).get("deletedDate") or "")) or now.date()
            until = str(since + datetime.timedelta(days=14))
            how = "site.yml recovers it with its logs"
            found.append(SoftDeleted(str(item.get("name")), "Microsoft.OperationalInsights/workspaces", until, how))
    for where, name in deleted:
        if name.lower() in HELD:
            days, how = HELD[name.lower()]
            until = str((now + datetime.timedelta(days=days)).date())
            found.append(SoftDeleted(where.rsplit("/", 1)[-1], name, until, how))
    return found


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text[:10])
    except ValueError:
        return None

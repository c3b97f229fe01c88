# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroys a platform through ARM, in rounds, and says what Azure still holds.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Every step asks what is there first, so a run that was killed is simply run again.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import functools
import time
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _destroy_plan as planning
from ansible_collections.aksops.platform.plugins.module_utils import _verify_azure
from ansible_collections.aksops.platform.plugins.module_utils._destroy_plan import CLUSTER, IDENTITY, Kept, SoftDeleted
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress

WORKERS = 8
GROUPS = "2022-09-01"
LOCKS = "2020-05-01"
ASSIGNMENTS = "2022-04-01"
POLICIES = "2022-06-01"

#: Codes of refusals that pass when something else is gone.
IN_USE = (400, 409, 412, 429)

#: Looks at what is still in use before giving up, and the seconds between them.
TRIES = 10
PAUSE = 5.0


class Settings(t.NamedTuple):
    """What is to go. C(state_group_id): the group of Terraform's state, which goes with the data ('' keeps it)."""

    group_id: str
    environment: str
    data: bool = False
    state_group_id: str = ""
    check_mode: bool = False


class Outcome(t.NamedTuple):
    """What went (or would go), what stays, what soft delete holds."""

    removed: list[str]
    kept: list[Kept]
    soft_deleted: list[SoftDeleted]


class Found(t.NamedTuple):
    """What is there before anything goes."""

    group: dict[str, t.Any] | None
    resources: list[dict[str, t.Any]]
    needed: dict[str, str] = {}
    messages: dict[str, int] = {}
    locks: list[dict[str, t.Any]] = []
    volumes: list[str] = []
    clusters: list[dict[str, t.Any]] = []
    identities: dict[str, str] = {}
    addon_identities: dict[str, str] = {}


def run(
    settings: Settings,
    arm: t.Any,
    progress: Progress | None = None,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Outcome:
    """Destroy; in check mode only say what would go.

    :raises AksPlatformError: it is not ours, locked, holds volumes, or something does not go; the sentence names it.
    """
    say = progress or (lambda _text: None)
    found = look(arm, settings)
    removed: list[str] = []
    deleted: list[tuple[str, str]] = []
    kept: list[Kept] = []
    if found.group is not None:
        plan = planning.plan(found.resources, data=settings.data, needed_by_data=found.needed, messages=found.messages)
        kept = plan.kept
        ours = planning.own_locks(found.locks) if settings.data else []
        others = [lock for lock in found.locks if lock["id"] not in ours]
        refused = planning.refusals(
            found.group, settings.environment, others, kept, () if settings.data else found.volumes
        )
        if refused:
            raise AksPlatformError("\n".join(refused), refusals=refused)
        types = {str(item["id"]): str(item["type"]) for item in found.resources}
        unlocked = _delete(settings, arm, ours, say, sleep)
        removed, deleted = _group(settings, arm, found, plan, types, say, sleep)
        removed = [*unlocked, *removed]
    if settings.data and settings.state_group_id:
        gone = _state(settings, arm, say)
        removed += gone
        deleted += [(item, "Microsoft.Storage/storageAccounts") for item in gone if _is_account(item)]
    held = [] if settings.check_mode else _held(settings, arm, deleted)
    return Outcome(removed, kept, held)


def _is_account(where: str) -> bool:
    head, _found, name = where.lower().rpartition("/storageaccounts/")
    return head.endswith("/microsoft.storage") and "/" not in name


# -- looking ----------------------------------------------------------------------------------------------------------


def _side_by_side(calls: t.Sequence[t.Callable[[], t.Any]]) -> list[t.Any]:
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda call: call(), calls))


def look(arm: t.Any, settings: Settings) -> Found:
    """Read what is in the group, and what decides about it."""
    group = arm.get(settings.group_id, GROUPS)
    if group is None:
        return Found(None, [])
    resources = arm.list(f"{settings.group_id}/resources", GROUPS)
    # Private endpoints take their network interfaces along, and a list of resources may leave out a zone's links.
    resources = [item for item in resources if not _of_endpoint(arm, item)]
    known = {str(item["id"]).lower() for item in resources}
    resources += [item for item in _links(arm, resources) if str(item["id"]).lower() not in known]
    servers = _bodies(arm, resources, "microsoft.dbforpostgresql/flexibleservers")
    clusters = _bodies(arm, resources, CLUSTER)
    nodes = [item for cluster in clusters for item in _node_resources(arm, settings.group_id, cluster)]
    return Found(
        group,
        resources,
        needed=planning.needed_by(servers),
        messages={} if settings.data else _messages(arm, resources),
        locks=arm.list(f"{settings.group_id}/providers/Microsoft.Authorization/locks", LOCKS),
        volumes=planning.volumes(nodes),
        clusters=clusters,
        identities=_principals(arm, resources),
        addon_identities=_principals(arm, nodes),
    )


def _of_endpoint(arm: t.Any, item: dict[str, t.Any]) -> bool:
    if planning.kind(item) != "microsoft.network/networkinterfaces":
        return False
    body = arm.get(str(item["id"]), _verify_azure.VERSIONS["Microsoft.Network/privateEndpoints"])
    return body is None or bool((body.get("properties") or {}).get("privateEndpoint"))


def _links(arm: t.Any, resources: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    version = _verify_azure.VERSIONS["Microsoft.Network/privateDnsZones"]
    zones = [item for item in resources if planning.kind(item) == "microsoft.network/privatednszones"]
    lists = _side_by_side([functools.partial(arm.list, f"{zone['id']}/virtualNetworkLinks", version) for zone in zones])
    kind = "Microsoft.Network/privateDnsZones/virtualNetworkLinks"
    return [{"id": link["id"], "type": kind, "name": link.get("name")} for links in lists for link in links]


def _bodies(arm: t.Any, resources: t.Iterable[dict[str, t.Any]], kind: str) -> list[dict[str, t.Any]]:
    versions = {name.lower(): version for name, version in _verify_azure.VERSIONS.items()}
    wanted = [str(item["id"]) for item in resources if planning.kind(item) == kind]
    found = _side_by_side([functools.partial(arm.get, item, versions[kind]) for item in wanted])
    return [{**body, "id": where} for where, body in zip(wanted, found, strict=True) if body is not None]


def _node_resources(arm: t.Any, group_id: str, cluster: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    name = (cluster.get("properties") or {}).get("nodeResourceGroup")
    base = group_id.rsplit("/resourceGroups/", 1)[0]
    return arm.list(f"{base}/resourceGroups/{name}/resources", GROUPS) if name else []


def _principals(arm: t.Any, resources: t.Iterable[dict[str, t.Any]]) -> dict[str, str]:
    """Return the object ids of user-assigned identities, by resource id."""
    return {
        str(body["id"]): str((body.get("properties") or {}).get("principalId"))
        for body in _bodies(arm, resources, IDENTITY)
    }


def _messages(arm: t.Any, resources: t.Iterable[dict[str, t.Any]]) -> dict[str, int]:
    version, found = _verify_azure.VERSIONS["Microsoft.ServiceBus/namespaces"], {}
    for item in resources:
        if planning.kind(item) != "microsoft.servicebus/namespaces":
            continue
        where = str(item["id"])
        entities = arm.list(f"{where}/queues", version)
        for topic in arm.list(f"{where}/topics", version):
            entities += arm.list(f"{where}/topics/{topic['name']}/subscriptions", version)
        found[where.lower()] = sum(
            int((entity.get("properties") or {}).get("messageCount") or 0) for entity in entities
        )
    return found


# -- removing ---------------------------------------------------------------------------------------------------------


def _group(
    settings: Settings,
    arm: t.Any,
    found: Found,
    plan: planning.Plan,
    types: t.Mapping[str, str],
    say: Progress,
    sleep: t.Callable[[float], None],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Remove the group, or all of it but what is kept; returns what went, and it with its types."""
    base = settings.group_id.rsplit("/resourceGroups/", 1)[0]
    everything = [item for group in plan.rounds for item in group]
    removed: list[str] = []

    # The add-ons' identities go with the cluster; afterwards nobody could say whose assignments theirs were.
    orphans = _assignments(arm, base, found.addon_identities.values(), everything)
    orphans += _policies(arm, base, found.clusters, [settings.group_id] if settings.data else [])
    removed += _delete(settings, arm, orphans, say, sleep)
    if not settings.data:
        removed += _delete(settings, arm, _federated(arm, found.identities, bool(found.clusters)), say, sleep)
        for ids in plan.rounds:
            removed += _delete(settings, arm, ids, say, sleep)
        _node_groups_gone(settings, arm, base, found.clusters, say, sleep)
        return removed, [(item, types[item]) for item in everything]

    clusters = [str(item["id"]) for item in found.clusters]
    removed += _delete(settings, arm, clusters, say, sleep)
    _node_groups_gone(settings, arm, base, found.clusters, say, sleep)
    removed += _delete(
        settings, arm, _assignments(arm, base, found.identities.values(), [settings.group_id]), say, sleep
    )
    removed += [item for item in everything if item not in clusters]
    removed += _delete(settings, arm, [settings.group_id], say, sleep)
    return removed, [(item, types[item]) for item in everything]


def _assignments(arm: t.Any, base: str, principals: t.Iterable[str], going: t.Iterable[str]) -> list[str]:
    """Return the role assignments of principals that do not go with what goes."""
    going = list(going)
    path = f"{base}/providers/Microsoft.Authorization/roleAssignments"
    lists = _side_by_side(
        [
            functools.partial(arm.list, f"{path}?$filter=principalId%20eq%20%27{item}%27", ASSIGNMENTS)
            for item in principals
        ]
    )
    return planning.outside([item for items in lists for item in items], going)


def _policies(arm: t.Any, base: str, clusters: t.Iterable[dict[str, t.Any]], going: list[str]) -> list[str]:
    """Return the policy assignments that the role azure_policy named after the clusters."""
    begins = tuple(f"aks-{str(item['id']).rsplit('/', 1)[-1].lower()}-" for item in clusters)
    if not begins:
        return []
    listed = arm.list(f"{base}/providers/Microsoft.Authorization/policyAssignments", POLICIES)
    ours = [item for item in listed if str(item.get("name", "")).lower().startswith(begins)]
    return planning.outside(ours, going)


def _federated(arm: t.Any, identities: t.Iterable[str], cluster_goes: bool) -> list[str]:
    """Return the federated credentials that trust a cluster which goes."""
    if not cluster_goes:
        return []
    version = _verify_azure.VERSIONS["Microsoft.ManagedIdentity/userAssignedIdentities"]
    lists = _side_by_side(
        [functools.partial(arm.list, f"{item}/federatedIdentityCredentials", version) for item in identities]
    )
    return [str(item["id"]) for items in lists for item in items]


def _delete(
    settings: Settings, arm: t.Any, ids: t.Sequence[str], say: Progress, sleep: t.Callable[[float], None]
) -> list[str]:
    """Delete side by side; what is still in use is tried again after the rest.

    :raises AksPlatformError: something does not go.
    """
    if settings.check_mode or not ids:
        return list(ids)
    left, errors = list(ids), {}
    for attempt in range(TRIES):
        say(f"removing {len(left)}: {', '.join(item.rsplit('/', 1)[-1] for item in left[:5])}")
        results = _side_by_side([functools.partial(_delete_one, arm, item) for item in left])
        errors = {item: error for item, error in zip(left, results, strict=True) if error is not None}
        hard = [error for error in errors.values() if error.status not in IN_USE]
        if hard or not errors:
            break
        stuck = len(errors) == len(left)
        left = list(errors)
        if stuck and attempt < TRIES - 1:
            sleep(PAUSE)
    if errors:
        shown = "\n".join(f"- {error}" for error in errors.values())
        raise AksPlatformError(f"{len(errors)} of {len(ids)} did not go; run this again when they can:\n{shown}")
    return list(ids)


def _delete_one(arm: t.Any, where: str) -> ArmError | None:
    try:
        arm.delete(where, version_of(arm, where))
    except ArmError as error:
        return error
    return None


#: Versions of what is removed but not read.
_OTHERS = {
    "microsoft.authorization/policyassignments": POLICIES,
    "microsoft.authorization/roleassignments": ASSIGNMENTS,
    "microsoft.authorization/locks": LOCKS,
    "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials": "2024-11-30",
}


def version_of(arm: t.Any, where: str) -> str:
    """Return the API version to delete something by: ours, else the newest stable one that its provider offers."""
    _head, found, tail = where.rpartition("/providers/")
    if not found:
        return GROUPS
    parts = tail.split("/")
    kind = "/".join([parts[0], *parts[1::2]]).lower()
    known = {name.lower(): version for name, version in _verify_azure.VERSIONS.items()}
    if kind in _OTHERS:
        return _OTHERS[kind]
    for name in (kind, "/".join(kind.split("/")[:2])):
        if name in known:
            return known[name]
    base = "/".join(where.split("/")[:3])
    provider = arm.get(f"{base}/providers/{parts[0]}", "2021-04-01") or {}
    for entry in provider.get("resourceTypes") or []:
        if f"{parts[0]}/{entry.get('resourceType')}".lower() == kind:
            stable = [version for version in entry.get("apiVersions") or [] if "preview" not in version]
            if stable:
                return str(max(stable))
    raise AksPlatformError(f"No API version is known for {where}: remove it by hand, and run this again.")


def _node_groups_gone(
    settings: Settings,
    arm: t.Any,
    base: str,
    clusters: t.Iterable[dict[str, t.Any]],
    say: Progress,
    sleep: t.Callable[[float], None],
) -> None:
    """Check that the groups which AKS made for its nodes went with the clusters."""
    if settings.check_mode:
        return
    for cluster in clusters:
        name = (cluster.get("properties") or {}).get("nodeResourceGroup")
        for attempt in range(TRIES):
            if not name or arm.get(f"{base}/resourceGroups/{name}", GROUPS) is None:
                break
            say(f"waiting for the node group {name} to go")
            if attempt < TRIES - 1:
                sleep(PAUSE)
        else:
            raise AksPlatformError(f"The node group {name} did not go with its cluster: remove it, and run this again.")


def _state(settings: Settings, arm: t.Any, say: Progress) -> list[str]:
    """Remove the group of Terraform's state, with the lock that the role terraform_state set on its account."""
    group = arm.get(settings.state_group_id, GROUPS)
    if group is None:
        return []
    if (group.get("tags") or {}).get("aksops-purpose") != "terraform-state":
        raise AksPlatformError(
            f"The resource group {group.get('name')} was left alone: its tag aksops-purpose is not terraform-state, "
            "so it is not the state's."
        )
    resources = [str(item["id"]) for item in arm.list(f"{settings.state_group_id}/resources", GROUPS)]
    locks = arm.list(f"{settings.state_group_id}/providers/Microsoft.Authorization/locks", LOCKS)
    ours = [str(item["id"]) for item in locks if item.get("name") == "keep"]
    others = [str(item.get("name")) for item in locks if item.get("name") != "keep"]
    if others:
        raise AksPlatformError(
            f"The lock {', '.join(others)} forbids to remove {group.get('name')}: whoever set it removes it first."
        )
    _delete(settings, arm, ours, say, time.sleep)
    _delete(settings, arm, [settings.state_group_id], say, time.sleep)
    return [*ours, *resources, settings.state_group_id]


def _held(settings: Settings, arm: t.Any, deleted: list[tuple[str, str]]) -> list[SoftDeleted]:
    base = settings.group_id.rsplit("/resourceGroups/", 1)[0]
    vaults, workspaces = _side_by_side(
        [
            functools.partial(arm.list, f"{base}/providers/Microsoft.KeyVault/deletedVaults", "2023-07-01"),
            functools.partial(
                arm.list, f"{base}/providers/Microsoft.OperationalInsights/deletedWorkspaces", "2023-09-01"
            ),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    return planning.soft_deleted(settings.group_id, vaults, workspaces, deleted, now)


def text(outcome: Outcome, check_mode: bool) -> list[str]:
    """Return the outcome as lines for a person."""
    verb = "would be removed" if check_mode else "removed"
    lines = [f"{len(outcome.removed)} {verb}" if outcome.removed else "There was nothing to remove."]
    replaced = [
        item.split("/")[-5] for item in planning.own_locks({"id": i, "name": i.split("/")[-1]} for i in outcome.removed)
    ]
    lines += [f"  among them {name}, which a promotion had replaced, with the lock on it" for name in replaced]
    if outcome.kept:
        lines.append("Stays, because its data was not given up (destroy_data):")
        lines += [f"  {item.id.rsplit('/', 1)[-1]} {item.why}" for item in outcome.kept]
        billed = planning.bills(outcome.kept)
        if billed:
            lines.append(f"Of these, billed as before: {', '.join(billed)}.")
    if outcome.soft_deleted:
        lines.append("Still held by soft delete:")
        lines += [f"  {item.name} until {item.until}: {item.how}" for item in outcome.soft_deleted]
    return lines

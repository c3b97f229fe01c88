# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure must answer before the platform can be made, and the judgement of its answers.

FOR INTERNAL COLLECTION USE ONLY: may change in any release. Nothing here sends a request: C(_preflight) does.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _providers
from ansible_collections.aksops.platform.plugins.module_utils._permissions import allows
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_offer import read_offer, shortages
from ansible_collections.aksops.platform.plugins.module_utils._preflight_rules import any_of

#: What a run does, by the operation's name: enough to tell Owner from Contributor from Reader.
RIGHTS = (
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.ContainerService/managedClusters/write",
    "Microsoft.Network/virtualNetworks/write",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/policyAssignments/write",
    "Microsoft.Authorization/locks/write",
)


class Question(t.NamedTuple):
    """One request that only reads: its key among the answers, path and version.

    C(single): the answer is one object, not a list. C(body): it is a POST (of an action that only reads).
    """

    key: str
    path: str
    api_version: str
    single: bool = False
    body: dict[str, t.Any] | None = None


class Findings:
    """What preflight has to say: problems stop the run, warnings do not."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []


class Answers:
    """The answers by key. One that failed is an exception; asking for it reports that once, and gives None."""

    def __init__(self, raw: t.Mapping[str, t.Any], findings: Findings) -> None:
        self._raw = raw
        self._findings = findings

    def get(self, key: str) -> t.Any:
        value = self._raw.get(key)
        if isinstance(value, Exception):
            text = f"A question of preflight was not answered: {value}"
            if text not in self._findings.problems:
                self._findings.problems.append(text)
            return None
        return value


# -- questions --------------------------------------------------------------------------------------------------------


def first_questions(base: str) -> list[Question]:
    """What the subscription at the path C(base) is."""
    return [
        Question("providers", f"{base}/providers", "2021-04-01"),
        Question("locations", f"{base}/locations", "2022-12-01"),
    ]


def group_questions(base: str, group: str) -> list[Question]:
    """What exists already."""
    return [
        Question("group", f"{base}/resourceGroups/{group}", "2022-09-01", single=True),
        Question("resources", f"{base}/resourceGroups/{group}/resources", "2022-09-01"),
    ]


def capacity_questions(base: str, location: str) -> list[Question]:
    """What the region offers and what is left of it."""
    postgresql = f"{base}/providers/Microsoft.DBforPostgreSQL/locations/{location}"
    sizes = f"Microsoft.Compute/skus?$filter=location%20eq%20%27{location}%27"
    versions = f"Microsoft.ContainerService/locations/{location}/kubernetesVersions"
    return [
        Question("usages", f"{base}/providers/Microsoft.Compute/locations/{location}/usages", "2024-07-01"),
        Question("skus", f"{base}/providers/{sizes}", "2021-07-01"),
        Question("kubernetes", f"{base}/providers/{versions}", "2025-10-01", single=True),
        Question("postgresql", f"{postgresql}/capabilities", "2025-08-01"),
        Question("postgresql_usages", f"{postgresql}/resourceType/flexibleServers/usages", "2025-08-01"),
    ]


def rights_question(scope: str) -> Question:
    """What the caller may do at a scope."""
    return Question("permissions", f"{scope}/providers/Microsoft.Authorization/permissions", "2022-04-01")


class GlobalName(t.NamedTuple):
    """How Azure is asked whether a global name is free. C(sends_type): with its type."""

    key: str
    type: str
    operation: str
    api_version: str
    sends_type: bool = True


GLOBAL_NAMES = (
    GlobalName("key_vault", "Microsoft.KeyVault/vaults", "Microsoft.KeyVault/checkNameAvailability", "2023-07-01"),
    GlobalName("storage", "Microsoft.Storage/storageAccounts", "Microsoft.Storage/checkNameAvailability", "2023-05-01"),
    GlobalName(
        "registry",
        "Microsoft.ContainerRegistry/registries",
        "Microsoft.ContainerRegistry/checkNameAvailability",
        "2023-07-01",
    ),
    GlobalName(
        "service_bus",
        "Microsoft.ServiceBus/namespaces",
        "Microsoft.ServiceBus/CheckNameAvailability",
        "2024-01-01",
        sends_type=False,
    ),
    GlobalName(
        "postgresql",
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "Microsoft.DBforPostgreSQL/checkNameAvailability",
        "2025-08-01",
    ),
)


def name_questions(
    base: str, location: str, names: t.Mapping[str, str], resources: t.Iterable[t.Mapping[str, t.Any]]
) -> list[Question]:
    """Whether the global names that are not ours yet are free; for the vault, whether a deleted one of ours waits."""
    have = {(str(item.get("type", "")).lower(), str(item.get("name", "")).lower()) for item in resources}
    found = []
    for item in GLOBAL_NAMES:
        name = names[item.key]
        if (item.type.lower(), name.lower()) in have:
            continue
        body = {"name": name, "type": item.type} if item.sends_type else {"name": name}
        found.append(Question(f"name:{item.key}", f"{base}/providers/{item.operation}", item.api_version, body=body))
        if item.key == "key_vault":
            path = f"{base}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}"
            found.append(Question("deleted_vault", path, "2023-07-01", single=True))
    return found


# -- judgement --------------------------------------------------------------------------------------------------------


def judge_subscription(body: t.Mapping[str, t.Any], tenant_id: str, findings: Findings) -> None:
    """Enabled, and of the tenant that the inputs name."""
    name = f"{body.get('displayName')} ({body.get('subscriptionId')})"
    state = str(body.get("state") or "")
    if state.lower() in ("disabled", "deleted", "expired"):
        findings.problems.append(
            f"The subscription {name} is {state}: Azure refuses every write until its owner enables it again."
        )
    elif state.lower() in ("warned", "pastdue"):
        findings.warnings.append(f"The subscription {name} is {state}: settle its bills before Azure disables it.")
    tenant = str(body.get("tenantId") or "")
    if tenant and tenant_id and tenant.lower() != tenant_id.lower():
        findings.problems.append(
            f"The subscription {name} belongs to the tenant {tenant}, and tenant_id is {tenant_id}: "
            "correct one of them."
        )


def judge_providers(answers: Answers, findings: Findings) -> None:
    """Every provider that we use is registered."""
    providers = answers.get("providers")
    if providers is None:
        return
    states = {str(item.get("namespace", "")).lower(): str(item.get("registrationState", "")) for item in providers}
    missing = _providers.missing({name: states.get(name.lower(), "") for name in _providers.PROVIDERS})
    if missing:
        findings.problems.append(
            f"The subscription has not registered {', '.join(missing)}: somebody with rights on the subscription runs "
            "playbooks/subscription.yml once."
        )


def judge_rights(answers: Answers, scope: str, rights: t.Iterable[str], findings: Findings) -> None:
    """The caller may do what a run does."""
    permissions = answers.get("permissions")
    if permissions is None:
        return
    missing = [right for right in rights if not allows(permissions, right)]
    if not missing:
        return
    role = "Owner, or Contributor with User Access Administrator,"
    if not permissions:
        findings.problems.append(f"The credential has no role at {scope}: assign {role} to it there.")
    else:
        findings.problems.append(
            f"The credential may not do {', '.join(missing)} at {scope}: assign {role} to it there."
        )


def judge_location(answers: Answers, inputs: t.Mapping[str, t.Any], prefix: str, findings: Findings) -> bool:
    """The region exists for this subscription, and has the zones. False: nothing else about it can be asked."""
    locations = answers.get("locations")
    if locations is None:
        return False
    wanted = str(inputs["location"])
    found = next((item for item in locations if str(item.get("name", "")).lower() == wanted), None)
    if found is None:
        known = ", ".join(sorted(str(item.get("name")) for item in locations))
        findings.problems.append(
            f"{prefix}location is {wanted}, which this subscription does not have: known are {known}."
        )
        return False
    offered = {str(item.get("logicalZone")) for item in found.get("availabilityZoneMappings") or []}
    missing = [zone for zone in inputs["zones"] if zone not in offered]
    if missing:
        shown = any_of(sorted(offered)) if offered else "none"
        findings.problems.append(
            f"{prefix}zones has {', '.join(missing)}, and {wanted} offers this subscription {shown}: "
            f"change {prefix}zones."
        )
    return True


def pools(inputs: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return the node pools by the name that the user gave them."""
    kubernetes = inputs["kubernetes"]
    return {
        "system_pool": kubernetes["system_pool"],
        **{f"user_pools.{name}": pool for name, pool in kubernetes["user_pools"].items()},
    }


def judge_sizes(answers: Answers, inputs: t.Mapping[str, t.Any], prefix: str, findings: Findings) -> None:
    """Each pool's size is offered here, in the zones, with the disk that is asked for, and quota is left."""
    skus = answers.get("skus")
    if skus is None:
        return
    by_name = {str(sku.get("name")): sku for sku in skus if sku.get("resourceType") == "virtualMachines"}
    needs: dict[str, int] = {}
    may_need: dict[str, int] = {}
    for name, pool in pools(inputs).items():
        where = f"{prefix}kubernetes.{name}.vm_size"
        sku = by_name.get(pool["vm_size"])
        if sku is None:
            findings.problems.append(f"{where} is {pool['vm_size']}, which {inputs['location']} does not offer.")
            continue
        findings.problems += _size_problems(sku, pool, where, inputs)
        cores, family = _capability(sku, "vCPUs"), str(sku.get("family", ""))
        if cores:
            for key in (family, "cores"):
                needs[key] = needs.get(key, 0) + int(cores) * pool["min_count"]
                may_need[key] = may_need.get(key, 0) + int(cores) * pool["max_count"]
    _judge_quota(answers, needs, may_need, str(inputs["location"]), findings)


def _capability(sku: t.Mapping[str, t.Any], name: str) -> str | None:
    return next((str(item["value"]) for item in sku.get("capabilities") or [] if item.get("name") == name), None)


def _size_problems(
    sku: t.Mapping[str, t.Any], pool: t.Mapping[str, t.Any], where: str, inputs: t.Mapping[str, t.Any]
) -> list[str]:
    found, location = [], str(inputs["location"])
    blocked_zones: set[str] = set()
    for item in sku.get("restrictions") or []:
        if item.get("type") == "Location":
            reason = item.get("reasonCode") or "restricted"
            found.append(
                f"{where} is {pool['vm_size']}, which this subscription may not use in {location} ({reason}): choose "
                "another size, or ask Azure support for it."
            )
        elif item.get("type") == "Zone":
            blocked_zones |= set((item.get("restrictionInfo") or {}).get("zones") or [])
    info: dict[str, t.Any] = next(
        (item for item in sku.get("locationInfo") or [] if str(item.get("location", "")).lower() == location), {}
    )
    zones = set(info.get("zones") or []) - blocked_zones
    missing = [zone for zone in inputs["zones"] if zone not in zones]
    if missing and not found:
        found.append(
            f"{where} is {pool['vm_size']}, which is not to be had in zone {', '.join(missing)} of {location}: choose "
            "another size, or change the zones."
        )
    if pool["os_disk_type"] == "Ephemeral":
        found += _disk_problems(sku, pool, where)
    return found


def _disk_problems(sku: t.Mapping[str, t.Any], pool: t.Mapping[str, t.Any], where: str) -> list[str]:
    if (_capability(sku, "EphemeralOSDiskSupported") or "True").lower() != "true":
        return [f"{where} is {pool['vm_size']}, which has no ephemeral disk: set os_disk_type to Managed."]
    room = max(
        int(_capability(sku, "CachedDiskBytes") or 0),
        int(_capability(sku, "MaxResourceVolumeMB") or 0) << 20,
        int(_capability(sku, "NvmeDiskSizeInMiB") or 0) << 20,
    )
    if room and room < pool["os_disk_size_gb"] << 30:
        text = (
            f"{where} is {pool['vm_size']}, whose ephemeral disk holds {room >> 30} GiB, and os_disk_size_gb is "
            f"{pool['os_disk_size_gb']}: lower it, or set os_disk_type to Managed."
        )
        return [text]
    return []


def _judge_quota(
    answers: Answers, needs: t.Mapping[str, int], may_need: t.Mapping[str, int], location: str, findings: Findings
) -> None:
    usages = answers.get("usages")
    if usages is None:
        return
    left = {
        str((item.get("name") or {}).get("value", "")).lower(): (
            int(item.get("limit") or 0) - int(item.get("currentValue") or 0),
            int(item.get("limit") or 0),
        )
        for item in usages
    }
    for key, count in needs.items():
        if key.lower() not in left:
            continue
        free, limit = left[key.lower()]
        what = "vCPUs of all families" if key == "cores" else f"vCPUs of {key}"
        if count > free:
            findings.problems.append(
                f"The quota of {location} leaves {free} of {limit} {what}, and the node pools start with {count}: ask "
                "for more in the portal under Quotas, or choose smaller pools."
            )
        elif may_need[key] > free:
            findings.warnings.append(
                f"The quota of {location} leaves {free} of {limit} {what}: enough to start ({count}), but the pools "
                f"cannot grow to their max_count ({may_need[key]})."
            )


def judge_kubernetes(answers: Answers, inputs: t.Mapping[str, t.Any], prefix: str, findings: Findings) -> list[str]:
    """The minor version is offered here; returns those that are."""
    body = answers.get("kubernetes")
    if body is None:
        return []
    values = [item for item in body.get("values") or [] if "KubernetesOfficial" in _plans(item)]
    general = sorted((str(item["version"]) for item in values if not item.get("isPreview")), key=_version)
    wanted = str(inputs["kubernetes"]["version"])
    preview = [str(item["version"]) for item in values if item.get("isPreview")]
    where = f"{prefix}kubernetes.version is {wanted}"
    if wanted in preview:
        findings.problems.append(f"{where}, a preview in {inputs['location']}: choose {any_of(general)}.")
    elif general and wanted not in general:
        findings.problems.append(
            f"{where}, which Azure does not offer in {inputs['location']}: choose {any_of(general)}."
        )
    return general


def _plans(item: t.Mapping[str, t.Any]) -> list[str]:
    return (item.get("capabilities") or {}).get("supportPlan") or ["KubernetesOfficial"]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def judge_postgresql(answers: Answers, inputs: t.Mapping[str, t.Any], prefix: str, findings: Findings) -> None:
    """Version, size, high availability and geo-redundant backup are offered here, and quota is left."""
    wanted, location = inputs["postgresql"], inputs["location"]
    name = f"{prefix}postgresql"
    size, high = str(wanted["sku_name"]).split("_", 1)[-1], wanted["high_availability"]
    for short in shortages(answers.get("postgresql_usages") or [], size, 1 if high == "Disabled" else 2):
        findings.problems.append(
            f"The quota {short.quota} of PostgreSQL in {location} is {short.limit} vCores, of which {short.used} are "
            f"in use, and {name} needs {short.needed}: ask for more in the portal under Quotas, or choose a smaller "
            "sku_name."
        )
    offer = read_offer(answers.get("postgresql"))
    if offer is None:
        return
    if offer.versions and wanted["version"] not in offer.versions:
        findings.problems.append(
            f"{name}.version is {wanted['version']}, which {location} does not offer: choose {any_of(offer.versions)}."
        )
    found = offer.size(size)
    if offer.sizes and found is None:
        findings.problems.append(f"{name}.sku_name is {wanted['sku_name']}, which {location} does not offer.")
    modes = (found or {}).get("supportedHaMode")
    if high != "Disabled" and isinstance(modes, list) and high not in modes:
        shown = f"only {any_of(modes)}" if modes else "none"
        findings.problems.append(
            f"{name}.high_availability is {high}, and {wanted['sku_name']} has {shown} in {location}."
        )
    if wanted["geo_redundant_backup"] and not offer.geo_redundant_backup:
        findings.problems.append(
            f"{name}.geo_redundant_backup is true, and {location} has none: set it to false, or choose another region."
        )


def judge_names(
    answers: Answers, names: t.Mapping[str, str], group_id: str, keys: t.Iterable[str], findings: Findings
) -> None:
    """The global names are free, or belong to a deleted vault of ours that will be recovered."""
    asked = set(keys)
    for item in GLOBAL_NAMES:
        key = f"name:{item.key}"
        body = answers.get(key) if key in asked else None
        if not isinstance(body, dict) or body.get("nameAvailable", True):
            continue
        name = names[item.key]
        if item.key == "key_vault":
            deleted = answers.get("deleted_vault") or {}
            held = deleted.get("properties") or {}
            if str(held.get("vaultId", "")).lower().startswith(f"{group_id.lower()}/"):
                until = str(held.get("scheduledPurgeDate", ""))[:10]
                findings.warnings.append(
                    f"The deleted vault {name} is kept until {until}: this run recovers it with its secrets."
                )
                continue
        reason = str(body.get("message") or body.get("reason") or "no reason given").rstrip(".")
        findings.problems.append(
            f"The name {name} is not free for {item.type}: {reason}; change the environment's name or the name prefix."
        )

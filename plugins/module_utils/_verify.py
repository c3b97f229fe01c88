# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks Azure and Kubernetes what is there, side by side, and says what is wrong.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import functools
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _retirements
from ansible_collections.aksops.platform.plugins.module_utils import _verify_azure as azure
from ansible_collections.aksops.platform.plugins.module_utils import _verify_kubernetes as kubernetes
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._verify_azure import FAIL, PASS, WARN, Check, dig
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, WaitTimeoutError, poll

WORKERS = 8
GROUPS = "2022-09-01"
DIAGNOSTICS = "2021-05-01-preview"
GATEWAYS = azure.VERSIONS["Microsoft.Network/applicationGateways"]


class Settings(t.NamedTuple):
    """What to look at.

    C(access): inside or allowlist. C(applications): namespace/name of what Argo CD must have. C(telemetry_keys):
    whether Application Insights accepts keys on purpose.
    """

    group_id: str
    access: str = "inside"
    applications: tuple[str, ...] = ()
    timeout: float = 120
    interval: float = 3
    today: datetime.date | None = None
    telemetry_keys: bool = False


class Result(t.NamedTuple):
    """The checks, and a summary for people and for later tasks."""

    checks: list[Check]
    summary: dict[str, t.Any]


def run(settings: Settings, arm: t.Any, client: t.Any = None, progress: Progress | None = None) -> Result:
    """Look at everything once, and at what is still settling in the cluster until it has, or the time is over.

    :param client: a KubernetesClient, or None to leave the cluster's inside out.
    :raises AksPlatformError: the resource group does not exist, or ARM refuses to be asked.
    """
    platform = ask_azure(arm, settings.group_id)
    found = azure.checks(platform, settings.access, settings.telemetry_keys)
    today = settings.today or datetime.date.today()
    for where, notice in _retirements.in_resources(platform.resources.values(), today):
        found.append(Check("retirement", where.rsplit("/", 1)[-1], FAIL if notice.retired else WARN, notice.text))
    if client is None:
        found += kubernetes.not_asked()
        return Result(found, summary(platform, {}))
    enabled = [
        name for body in platform.of("Microsoft.ContainerService/managedClusters") for name in azure.addons(body)
    ]
    inside, objects = _settled(client, enabled, settings, progress)
    return Result([*found, *inside], summary(platform, objects))


def _settled(
    client: t.Any, addons: list[str], settings: Settings, progress: Progress | None
) -> tuple[list[Check], kubernetes.Objects]:
    latest: list[t.Any] = [[], {}]

    def check() -> tuple[bool, str]:
        try:
            objects = ask_kubernetes(client)
            latest[0] = kubernetes.checks(objects, addons, settings.applications)
            latest[1] = objects
        except AksPlatformError as error:
            latest[0] = kubernetes.unreachable(str(error))
        failed = [f"{item.name} {item.subject}" for item in latest[0] if item.status == FAIL]
        return not failed, ", ".join(failed[:5])

    # What has not settled when the time is over is among the checks.
    with contextlib.suppress(WaitTimeoutError):
        poll(
            check,
            timeout=settings.timeout,
            interval=settings.interval,
            describe="the cluster to settle",
            progress=progress,
        )
    return latest[0], latest[1]


# -- asking -----------------------------------------------------------------------------------------------------------


def _side_by_side(calls: t.Sequence[t.Callable[[], t.Any]]) -> list[t.Any]:
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda call: call(), calls))


def ask_azure(arm: t.Any, group_id: str) -> azure.Platform:
    """Read the group, its resources and what hangs below them; every request only reads."""
    group = arm.get(group_id, GROUPS)
    if group is None:
        name = group_id.rsplit("/", 1)[-1]
        raise AksPlatformError(f"The resource group {name} does not exist: run playbooks/infrastructure.yml.")
    versions = {kind.lower(): version for kind, version in azure.VERSIONS.items()}
    everything = arm.list(f"{group_id}/resources", GROUPS)
    listed = [item for item in everything if item["type"].lower() in versions]
    bodies = _side_by_side([functools.partial(arm.get, item["id"], versions[item["type"].lower()]) for item in listed])
    resources = {}
    for item, body in zip(listed, bodies, strict=True):
        if body is not None:
            resources[item["id"].lower()] = {**body, "id": item["id"], "type": item["type"], "name": item["name"]}
    return _with_children(arm, azure.Platform(group, resources, types=[str(item["type"]) for item in everything]))


def _with_children(arm: t.Any, platform: azure.Platform) -> azure.Platform:
    calls: list[tuple[str, str, t.Callable[[], t.Any]]] = []
    for body in platform.of("Microsoft.Cache/redisEnterprise"):
        path, version = f"{body['id']}/databases/default", azure.VERSIONS["Microsoft.Cache/redisEnterprise"]
        calls.append(("children", body["id"], functools.partial(arm.get, path, version)))
    for body in platform.of("Microsoft.Network/privateDnsZones"):
        path, version = f"{body['id']}/A", azure.VERSIONS["Microsoft.Network/privateDnsZones"]
        calls.append(("records", body["id"], functools.partial(arm.list, path, version)))
    for body in platform.of(*azure.DIAGNOSED):
        target = azure.diagnosed_id(body)
        path = f"{target}/providers/Microsoft.Insights/diagnosticSettings"
        calls.append(("diagnostics", target, functools.partial(arm.list, path, DIAGNOSTICS)))
    for body in platform.of("Microsoft.Network/applicationGateways"):
        calls.append(("backends", body["id"], functools.partial(_backends, arm, body["id"])))
    found: dict[str, dict[str, t.Any]] = {"children": {}, "records": {}, "diagnostics": {}, "backends": {}}
    for (kind, key, _call), value in zip(calls, _side_by_side([call for _, _, call in calls]), strict=True):
        found[kind][key.lower()] = value
    return platform._replace(**found)


def _backends(arm: t.Any, path: str) -> t.Any:
    try:
        return arm.post(f"{path}/backendhealth", GATEWAYS)
    except AksPlatformError as error:
        return str(error)


def ask_kubernetes(client: t.Any) -> dict[str, list[dict[str, t.Any]] | None]:
    """Read the lists side by side; None for a type that the cluster does not know.

    :raises AksPlatformError: the API server is not reached, or refuses the caller.
    """

    def one(path: str) -> list[dict[str, t.Any]] | None:
        status, body = client.call(path)
        if status == 404:
            return None
        if status != 200 or not isinstance(body, dict):
            raise AksPlatformError(
                f"The API server answers HTTP {status} to {path}; does the caller have the role Azure Kubernetes "
                "Service RBAC Reader or more on the cluster?"
            )
        return body.get("items") or []

    keys = list(kubernetes.LISTS)
    lists = _side_by_side([functools.partial(one, kubernetes.LISTS[key]) for key in keys])
    return dict(zip(keys, lists, strict=True))


# -- what a person reads ----------------------------------------------------------------------------------------------


def summary(platform: azure.Platform, objects: kubernetes.Objects) -> dict[str, t.Any]:
    """Return what exists, endpoints, versions and what to try next."""
    counts: dict[str, int] = {}
    for kind in platform.types:
        counts[kind] = counts.get(kind, 0) + 1
    endpoints = _endpoints(platform)
    return {
        "resource_group": platform.group.get("name"),
        "location": platform.group.get("location"),
        "resources": dict(sorted(counts.items())),
        "endpoints": endpoints,
        "versions": _versions(platform, objects),
        "workloads": sorted(
            f"{item['metadata'].get('namespace')}/{item['metadata'].get('name')}"
            for item in objects.get("deployments") or []
        ),
        "next": _next(platform, endpoints, objects),
    }


def _endpoints(platform: azure.Platform) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, key, path in (
        ("Microsoft.ContainerService/managedClusters", "kubernetes", "properties.fqdn"),
        ("Microsoft.ContainerService/managedClusters", "kubernetes", "properties.privateFQDN"),
        ("Microsoft.ContainerRegistry/registries", "registry", "properties.loginServer"),
        ("Microsoft.DBforPostgreSQL/flexibleServers", "postgresql", "properties.fullyQualifiedDomainName"),
        ("Microsoft.KeyVault/vaults", "key_vault", "properties.vaultUri"),
        ("Microsoft.ServiceBus/namespaces", "service_bus", "properties.serviceBusEndpoint"),
        ("Microsoft.Cache/redisEnterprise", "redis", "properties.hostName"),
        ("Microsoft.Cache/redis", "redis", "properties.hostName"),
        ("Microsoft.Storage/storageAccounts", "storage", "properties.primaryEndpoints.blob"),
    ):
        for body in platform.of(kind):
            value = dig(body, path)
            if value:
                found[key] = str(value)
    gateways = {str(body["id"]).lower() for body in platform.of("Microsoft.Network/applicationGateways")}
    for address in platform.of("Microsoft.Network/publicIPAddresses"):
        used_by = str(dig(address, "properties.ipConfiguration.id") or "").lower()
        if any(used_by.startswith(f"{gateway}/") for gateway in gateways):
            found["gateway"] = str(dig(address, "properties.dnsSettings.fqdn") or dig(address, "properties.ipAddress"))
    return dict(sorted(found.items()))


def _versions(platform: azure.Platform, objects: kubernetes.Objects) -> dict[str, str]:
    found = {}
    for body in platform.of("Microsoft.ContainerService/managedClusters"):
        version = dig(body, "properties.currentKubernetesVersion") or dig(body, "properties.kubernetesVersion")
        found["kubernetes"] = str(version)
    for body in platform.of("Microsoft.DBforPostgreSQL/flexibleServers"):
        minor = dig(body, "properties.minorVersion")
        found["postgresql"] = str(dig(body, "properties.version")) + (f".{minor}" if minor else "")
    for item in objects.get("deployments") or []:
        labels = (item.get("metadata") or {}).get("labels") or {}
        if labels.get("app.kubernetes.io/part-of") == "argocd" and labels.get("app.kubernetes.io/version"):
            # A tag that is pinned by digest carries it along.
            found["argocd"] = str(labels["app.kubernetes.io/version"]).split("-sha256-")[0]
    return found


def _next(platform: azure.Platform, endpoints: dict[str, str], objects: kubernetes.Objects) -> list[str]:
    found = []
    for body in platform.of("Microsoft.ContainerService/managedClusters"):
        found.append(f"az aks get-credentials --resource-group {platform.group.get('name')} --name {body['name']}")
    if objects.get("applications"):
        found.append("kubectl get applications --all-namespaces")
    if endpoints.get("gateway"):
        found.append(f"curl http://{endpoints['gateway']}/")
    if endpoints.get("postgresql"):
        found.append("ansible-playbook playbooks/restore_postgresql.yml")
    return found


def text(result: Result) -> list[str]:
    """Return the result as lines for a person: what is wrong first, then what there is."""
    total, bad = len(result.checks), [item for item in result.checks if item.status != PASS]
    lines = [f"{total - len(bad)} of {total} checks passed"]
    lines += [f"{item.status.upper()} {item.name} {item.subject}: {item.evidence}" for item in bad]
    found = result.summary
    lines.append(f"{found['resource_group']} in {found['location']}: {sum(found['resources'].values())} resources")
    width = max([len(key) for key in (*found["endpoints"], *found["versions"])], default=0)
    for key, value in found["endpoints"].items():
        version = found["versions"].get(key)
        lines.append(f"  {key:<{width}}  {value}" + (f"  ({version})" if version else ""))
    for key, value in found["versions"].items():
        if key not in found["endpoints"]:
            lines.append(f"  {key:<{width}}  {value}")
    if found["next"]:
        lines.append("Try next:")
        lines += [f"  {item}" for item in found["next"]]
    return lines


def failure(checks: t.Iterable[Check]) -> str:
    """Return one message that names everything that is wrong."""
    bad = [item for item in checks if item.status == FAIL]
    head = "1 thing is wrong" if len(bad) == 1 else f"{len(bad)} things are wrong"
    return "\n".join([f"{head}:", *[f"- {item.name} {item.subject}: {item.evidence}" for item in bad]])
